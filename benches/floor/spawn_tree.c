/* SPDX-License-Identifier: MIT */
/*
 * spawn_tree.c - the floor of benches/spawn_tree.c: each node makes a context for its child,
 * switches there, and is switched back to at its end; then the other.
 *
 * One after the other, so that there is a stack for each level, used over and over. For a cold
 * round there are too few of them to be worth a row.
 */

#include "../measure.h"

#include "switch.h"

enum { DEPTH_MAX = 24 };

typedef struct node {
    floor_context context, *parent;
    uint64_t depth; /* levels below it */
    uint64_t count; /* its result: nodes from here down */
} node;

static char *stacks;

static void grow(floor_context *self);

/* Runs a node of that depth to its end, and says how many there were. */
static uint64_t run(floor_context *parent, uint64_t depth)
{
    node n = {.parent = parent, .depth = depth};
    floor_make(&n.context, stacks, depth, grow, &n);
    floor_switch(parent, &n.context);
    return n.count;
}

static void grow(floor_context *self)
{
    node *n = self->arg;
    n->count = 1;
    if (n->depth > 0) {
        n->count += run(self, n->depth - 1);
        n->count += run(self, n->depth - 1);
    }
    floor_leave(self, n->parent);
}

int main(int argc, char **argv)
{
    uint64_t depth = 16, repeats = 5, count = 0;
    bench_option options[] = {
        {.letter = 'd', .help = "depth of the tree", .number = &depth, .max = DEPTH_MAX},
        {.letter = 'r', .help = "repetitions", .number = &repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "a tree of contexts, by hand", options, 2);
    uint64_t nodes = (UINT64_C(2) << depth) - 1;
    floor_context home;
    double *samples = calloc(repeats, sizeof *samples);
    stacks = floor_stacks(DEPTH_MAX + 1);
    if (!samples)
        return 1;
    for (uint64_t i = 0; i < repeats; i++) {
        int64_t start = bench_now();
        count += run(&home, depth);
        samples[i] = (double)(bench_now() - start) / (double)nodes;
    }
    bench_result_median("spawn tree", "floor", 1, "ns per task", samples, repeats, count);
    return count == nodes * repeats ? 0 : 1;
}
