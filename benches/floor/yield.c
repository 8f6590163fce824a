/* SPDX-License-Identifier: MIT */
/*
 * yield.c - the floor of benches/yield.c: two contexts that switch to each other, each
 * of which knows the other's place at compile time.
 */

#include "../measure.h"

#include "switch.h"

static uint64_t yields = 5000000, done;
static floor_context home, players[2];

static inline __attribute__((always_inline)) void give_way(floor_context *me, floor_context *other)
{
    uint64_t i;
    for (i = 0; i < yields; i++)
        floor_switch(me, other);
    done += i;
    floor_leave(me, done < 2 * yields ? other : &home);
}

static void first(floor_context *self)
{
    (void)self;
    give_way(&players[0], &players[1]);
}

static void second(floor_context *self)
{
    (void)self;
    give_way(&players[1], &players[0]);
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'n', .help = "yields of each", .number = &yields, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "two contexts that switch, by hand", options, 1);
    char *stacks = floor_stacks(2);
    floor_make(&players[0], stacks, 0, first, NULL);
    floor_make(&players[1], stacks, 1, second, NULL);
    int64_t start = bench_now();
    floor_switch(&home, &players[0]);
    double ns = (double)(bench_now() - start) / (double)done;
    printf("%" PRIu64 " switches: %.2f ns each\n", done, ns);
    bench_result("yield", "floor", 1, "ns per yield", ns, done);
    return done == 2 * yields ? 0 : 1;
}
