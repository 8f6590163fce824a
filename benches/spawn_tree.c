/* SPDX-License-Identifier: MIT */
/*
 * spawn_tree.c - a binary tree of tasks: each spawns two, waits for both and adds up what they say.
 *
 * With depth 16, the default, that is 131,071 tasks, half of which are leaves; each result is the
 * number of tasks from there down. Who spawns also waits, so everybody but the leaves parks once,
 * and as many stacks are in use at a time as the order in which the tasks run makes it. One
 * repetition is one tree; the first, with cold stacks, has a row of its own, and the other figure
 * is the median of the rest.
 */

#include "measure.h"

#include <coir.h>

typedef struct work {
    uint64_t depth, repeats, workers;
    uint64_t count;  /* of tasks, in all repetitions */
    double *samples; /* ns per task */
} work;

typedef struct node {
    uint64_t depth; /* levels below it */
    uint64_t count; /* its result: tasks from here down */
} node;

static int grow(void *arg)
{
    node *n = arg;
    if (n->depth == 0) {
        n->count = 1;
        return 0;
    }
    node left = {n->depth - 1, 0}, right = {n->depth - 1, 0};
    coir_group g;
    coir_group_begin(&g, 0);
    int rc = coir_spawn(&g, grow, &left);
    if (rc == 0)
        rc = coir_spawn(&g, grow, &right);
    int ended = coir_group_end(&g);
    n->count = left.count + right.count + 1;
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    work *w = arg;
    uint64_t tasks = (UINT64_C(2) << w->depth) - 1;
    for (uint64_t i = 0; i <= w->repeats; i++) {
        node root = {w->depth, 0};
        int64_t start = coir_now();
        coir_group g;
        coir_group_begin(&g, 0);
        int rc = coir_spawn(&g, grow, &root);
        int ended = coir_group_end(&g);
        if (rc < 0 || ended < 0)
            return rc < 0 ? rc : ended;
        if (root.count != tasks)
            return -EPROTO;
        w->samples[i] = (double)(coir_now() - start) / (double)tasks;
        w->count += root.count;
    }
    return 0;
}

static void report(work *w)
{
    uint64_t each = w->count / (w->repeats + 1);
    bench_result_median("spawn tree, cold", "coir", w->workers, "ns per task", w->samples, 1, each);
    bench_result_median("spawn tree", "coir", w->workers, "ns per task", w->samples + 1, w->repeats,
                        each * w->repeats);
}

int main(int argc, char **argv)
{
    work w = {.depth = 16, .repeats = 5, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'd', .help = "depth of the tree", .number = &w.depth, .max = 24},
        {.letter = 'r',
         .help = "repetitions after the first",
         .number = &w.repeats,
         .min = 1,
         .max = 1000000},
    };
    bench_parse(argc, argv, "a tree of tasks", options, sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.samples = calloc(w.repeats + 1, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc == 0)
        report(&w);
    else
        fprintf(stderr, "spawn_tree: %s\n", coir_strerror(rc));
    free(w.samples);
    return rc < 0;
}
