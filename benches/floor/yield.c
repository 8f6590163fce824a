/* SPDX-License-Identifier: MIT */
/*
 * yield.c - the floor of benches/yield.c: two contexts that switch to each other.
 */

#include "../measure.h"

#include "switch.h"

typedef struct rally {
    uint64_t yields; /* of each */
    uint64_t count;
    unsigned running;
    floor_context home;
} rally;

static void give_way(floor_context *self)
{
    rally *r = self->arg;
    uint64_t i;
    for (i = 0; i < r->yields; i++)
        floor_give_way(self);
    r->count += i;
    floor_leave(self, --r->running ? self->next : &r->home);
}

int main(int argc, char **argv)
{
    rally r = {.yields = 5000000, .running = 2};
    bench_option options[] = {
        {.letter = 'n', .help = "yields of each", .number = &r.yields, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "two contexts that switch, by hand", options, 1);

    floor_context players[2];
    char *stacks = floor_stacks(2);
    for (unsigned i = 0; i < 2; i++) {
        floor_make(&players[i], stacks, i, give_way, &r);
        players[i].next = &players[1 - i];
    }
    int64_t start = bench_now();
    floor_switch(&r.home, &players[0]);
    double ns = (double)(bench_now() - start) / (double)r.count;
    printf("%" PRIu64 " switches: %.2f ns each\n", r.count, ns);
    bench_result("yield", "floor", 1, "ns per yield", ns, r.count);
    return r.count == 2 * r.yields ? 0 : 1;
}
