/* SPDX-License-Identifier: MIT */
/*
 * cpu_latency.c - how late a task is that wants to run every millisecond, beside others that
 * compute.
 *
 * For each worker there is a task that computes, in portions of about 20 us. One more task is due
 * every millisecond from the start, until the last computation is over, and takes down how much
 * later than due it runs; when it has been kept away for longer it does the missed ones one after
 * the other, each as late as it is by then. So nobody is spared for having been made to wait once.
 *
 * Two forms: "yielding", where the computing tasks call coir_maybe_yield() after each portion, and
 * "not yielding", where they call nothing. The figures are percentiles of the lateness, and what a
 * portion took in all, divided by the microseconds of work that it is meant to be, for what the
 * yielding costs.
 */

#include "latency.h"

#include <coir.h>
#include <stdatomic.h>

typedef struct work {
    latency_ticks ticks;
    uint64_t workers;
    bool yielding; /* in this form */
    int64_t start;
    _Atomic uint64_t computing; /* tasks that have not ended */
    _Atomic uint64_t sum;       /* of their results */
    _Atomic int64_t over;       /* when the last of them ended; 0: not yet */
} work;

static int compute(void *arg)
{
    work *w = arg;
    uint64_t x = 1;
    for (uint64_t i = 0; i < w->ticks.portions; i++) {
        x = bench_hash(x, BENCH_PORTION * BENCH_MICROSECOND);
        if (w->yielding && coir_maybe_yield() < 0)
            return -ECANCELED;
    }
    atomic_fetch_add(&w->sum, x);
    if (atomic_fetch_sub(&w->computing, 1) == 1)
        atomic_store(&w->over, bench_now());
    return 0;
}

static int tick(void *arg)
{
    work *w = arg;
    for (int64_t due = w->start + COIR_MS(1);; due += COIR_MS(1)) {
        int rc = coir_sleep_until(due);
        if (rc < 0)
            return rc;
        int64_t over = atomic_load(&w->over);
        if ((over && due >= over) || w->ticks.count == LATENCY_TICKS)
            return 0;
        w->ticks.samples[w->ticks.count++] = (double)(bench_now() - due);
    }
}

static int together(work *w)
{
    coir_group g;
    w->ticks.count = 0;
    w->sum = 0;
    w->over = 0;
    w->computing = w->workers;
    w->start = bench_now();
    coir_group_begin(&g, 0);
    int rc = coir_spawn(&g, tick, w);
    for (uint64_t i = 0; i < w->workers && rc == 0; i++)
        rc = coir_spawn(&g, compute, w);
    if (rc < 0)
        coir_group_cancel(&g, "could not spawn everybody");
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int measure(work *w, bool yielding, const char *form)
{
    w->yielding = yielding;
    int rc = together(w);
    if (rc < 0)
        return rc;
    w->ticks.span = w->over - w->start;
    w->ticks.sum = w->sum;
    return latency_report_ticks(&w->ticks, form, "coir", w->workers) ? 0 : -ERANGE;
}

static int first(void *arg)
{
    work *w = arg;
    int rc = measure(w, true, "yielding");
    return rc < 0 ? rc : measure(w, false, "not yielding");
}

int main(int argc, char **argv)
{
    work w = {.ticks = {.portions = 25000}, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n',
         .help = "portions of 20 us that each task computes",
         .number = &w.ticks.portions,
         .min = 1,
         .max = 10000000},
    };
    bench_parse(argc, argv, "a ticking task beside computing ones", options,
                sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.ticks.samples = calloc(LATENCY_TICKS, sizeof *w.ticks.samples);
    int rc = -ENOMEM;
    if (w.ticks.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc < 0)
        fprintf(stderr, "cpu_latency: %s\n", coir_strerror(rc));
    free(w.ticks.samples);
    return rc < 0;
}
