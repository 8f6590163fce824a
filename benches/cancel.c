/* SPDX-License-Identifier: MIT */
/*
 * cancel.c - 10,000 tasks that wait are cancelled, and awaited.
 *
 * All wait to receive from one channel that nobody sends on. A repetition spawns them, lets them
 * run until the last has arrived there, and only then takes the time: from before their group is
 * cancelled until all have ended. The figure is the median of the repetitions.
 */

#include "measure.h"

#include <coir.h>
#include <stdatomic.h>

typedef struct work {
    uint64_t tasks, repeats, workers;
    coir_chan *never;
    _Atomic uint64_t arrived, cancelled; /* of this repetition */
    uint64_t count;                      /* tasks cancelled in all */
    double *samples;                     /* ns per task */
} work;

static int wait_inside(void *arg)
{
    work *w = arg;
    atomic_fetch_add_explicit(&w->arrived, 1, memory_order_relaxed);
    int rc = coir_chan_recv(w->never, NULL);
    atomic_fetch_add_explicit(&w->cancelled, rc == -ECANCELED, memory_order_relaxed);
    return rc;
}

static int repetition(work *w, double *ret_sample)
{
    coir_group g;
    int rc = 0;
    w->arrived = w->cancelled = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->tasks && rc == 0; i++)
        rc = coir_spawn(&g, wait_inside, w);
    while (rc == 0 && atomic_load_explicit(&w->arrived, memory_order_relaxed) < w->tasks)
        coir_yield();
    int64_t start = coir_now();
    coir_group_cancel(&g, "it is time");
    int ended = coir_group_end(&g);
    *ret_sample = (double)(coir_now() - start) / (double)w->tasks;
    if (rc < 0)
        return rc;
    w->count += w->cancelled;
    return ended == -ECANCELED && w->cancelled == w->tasks ? 0 : -EPROTO;
}

static int first(void *arg)
{
    work *w = arg;
    int rc = 0;
    w->never = coir_chan_new(0, 0);
    if (!w->never)
        return -ENOMEM;
    for (uint64_t i = 0; i < w->repeats && rc == 0; i++)
        rc = repetition(w, &w->samples[i]);
    coir_chan_free(w->never);
    return rc;
}

int main(int argc, char **argv)
{
    work w = {.tasks = 10000, .repeats = 20, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "tasks", .number = &w.tasks, .min = 1, .max = 10000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "cancelling tasks that wait", options,
                sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc == 0)
        bench_result_median("cancel", "coir", w.workers, "ns per task", w.samples, w.repeats,
                            w.count);
    else
        fprintf(stderr, "cancel: %s\n", coir_strerror(rc));
    free(w.samples);
    return rc < 0;
}
