/* SPDX-License-Identifier: MIT */
/*
 * sleepers.c - many tasks that sleep for 10 ms: what spawning them, their timers and their end
 * cost.
 *
 * A round spawns them all, and each sleeps once; the figure is how much longer than 10 ms the round
 * took, over the tasks. (It is no latency: the first has slept before the last was spawned, if
 * there are enough. What the tasks can't do while they sleep is what the round takes longer.)
 * The first, cold round has a row of its own; the other is the median of the warm ones.
 */

#include "measure.h"

#include <coir.h>
#include <stdatomic.h>

typedef struct work {
    uint64_t tasks, milliseconds, repeats, workers;
    int64_t sleep;           /* ns */
    _Atomic uint64_t rested; /* tasks that have slept */
    double *samples;         /* ns per task beyond the sleep */
} work;

static int rest(void *arg)
{
    work *w = arg;
    int rc = coir_sleep(w->sleep);
    atomic_fetch_add_explicit(&w->rested, rc == 0, memory_order_relaxed);
    return rc;
}

static int together(work *w)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->tasks && rc == 0; i++)
        rc = coir_spawn(&g, rest, w);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    work *w = arg;
    for (uint64_t i = 0; i <= w->repeats; i++) {
        int64_t start = bench_now();
        int rc = together(w);
        if (rc < 0)
            return rc;
        w->samples[i] = (double)(bench_now() - start - w->sleep) / (double)w->tasks;
    }
    return w->rested == w->tasks * (w->repeats + 1) ? 0 : -EPROTO;
}

int main(int argc, char **argv)
{
    work w = {.tasks = 10000, .milliseconds = 10, .repeats = 10, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "tasks", .number = &w.tasks, .min = 1, .max = 10000000},
        {.letter = 'm', .help = "milliseconds", .number = &w.milliseconds, .min = 1, .max = 10000},
        {.letter = 'r',
         .help = "repetitions after the first",
         .number = &w.repeats,
         .min = 1,
         .max = 1000000},
    };
    bench_parse(argc, argv, "tasks that sleep", options, sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();
    w.sleep = COIR_MS(w.milliseconds);

    w.samples = calloc(w.repeats + 1, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc == 0)
        bench_result_sleepers("coir", w.workers, w.tasks, w.samples, w.repeats);
    else
        fprintf(stderr, "sleepers: %s\n", coir_strerror(rc));
    free(w.samples);
    return rc < 0;
}
