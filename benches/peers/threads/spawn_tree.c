/* SPDX-License-Identifier: MIT */
/*
 * spawn_tree.c - benches/spawn_tree.c with threads. The first round is no colder than the others.
 */

#include "threads.h"

typedef struct node {
    uint64_t depth; /* levels below it */
    uint64_t count; /* its result: threads from here down */
} node;

static void *grow(void *arg)
{
    node *n = arg;
    n->count = 1;
    if (n->depth > 0) {
        node children[] = {{n->depth - 1, 0}, {n->depth - 1, 0}};
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            threads_start(&threads[i], grow, &children[i]);
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
            n->count += children[i].count;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, depth = 10, repeats = 3, count = 0;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'd', .help = "depth of the tree", .number = &depth, .max = 24},
        {.letter = 'r', .help = "repetitions", .number = &repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "a tree of threads", options, 3);
    threads_begin(&workers);
    uint64_t nodes = (UINT64_C(2) << depth) - 1;
    threads_want(nodes);
    double *samples = calloc(repeats, sizeof *samples);
    if (!samples)
        return 1;
    for (uint64_t i = 0; i < repeats; i++) {
        node root = {depth, 0};
        pthread_t thread;
        int64_t start = bench_now();
        threads_start(&thread, grow, &root);
        pthread_join(thread, NULL);
        samples[i] = (double)(bench_now() - start) / (double)nodes;
        count += root.count;
    }
    bench_result_median("spawn tree", "threads", workers, "ns per task", samples, repeats, count);
    return count == nodes * repeats ? 0 : 1;
}
