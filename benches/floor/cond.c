/* SPDX-License-Identifier: MIT */
/*
 * cond.c - the floor of benches/cond.c: two contexts take turns under a word that is exchanged; who
 * isn't on lets go of it, switches, and takes it again.
 */

#include "../measure.h"

#include "turns.h"

typedef struct table {
    uint64_t rounds;
    turns_lock lock;
    volatile uint64_t turns;
} table;

static void play(floor_context *self, void *arg, uint64_t number)
{
    table *t = arg;
    for (uint64_t i = 0; i < t->rounds; i++) {
        turns_take(&t->lock, self);
        while (t->turns % 2 != number) {
            turns_drop(&t->lock);
            floor_give_way(self);
            turns_take(&t->lock, self);
        }
        t->turns++;
        turns_drop(&t->lock);
    }
}

int main(int argc, char **argv)
{
    table t = {.rounds = 1000000};
    bench_option options[] = {
        {.letter = 'n', .help = "rounds", .number = &t.rounds, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "two contexts take turns, by hand", options, 1);
    turns all = turns_new(2);
    int64_t start = bench_now();
    turns_run(&all, 2, play, &t);
    double ns = (double)(bench_now() - start) / (double)t.rounds;
    printf("%" PRIu64 " rounds: %.1f ns each\n", t.rounds, ns);
    bench_result("cond", "floor", 1, "ns per round", ns, t.turns);
    return t.turns == 2 * t.rounds ? 0 : 1;
}
