/* SPDX-License-Identifier: MIT */
/*
 * cpu_latency.c - benches/cpu_latency.c with threads: as many that compute as there are cores, and one
 * that sleeps until it is due. "Yielding" calls sched_yield() after each portion.
 */

#include "../../latency.h"
#include "threads.h"

#include <stdatomic.h>

static struct {
    uint64_t workers;
    latency_ticks ticks;
    bool yielding;
    int64_t start;
    _Atomic uint64_t computing, sum;
    _Atomic int64_t over;
} w = {.workers = 1, .ticks = {.portions = 25000}};

static void *compute(void *arg)
{
    uint64_t x = 1;
    for (uint64_t i = 0; i < w.ticks.portions; i++) {
        x = bench_hash(x, BENCH_PORTION * BENCH_MICROSECOND);
        if (w.yielding)
            sched_yield();
    }
    atomic_fetch_add(&w.sum, x);
    if (atomic_fetch_sub(&w.computing, 1) == 1)
        atomic_store(&w.over, bench_now());
    return arg;
}

static void *tick(void *arg)
{
    for (int64_t due = w.start + 1000000;; due += 1000000) {
        struct timespec t = {due / 1000000000, due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        int64_t over = atomic_load(&w.over);
        if ((over && due >= over) || w.ticks.count == LATENCY_TICKS)
            return arg;
        w.ticks.samples[w.ticks.count++] = (double)(bench_now() - due);
    }
}

static bool measure(bool yielding, const char *form)
{
    pthread_t *threads = calloc(w.workers + 1, sizeof *threads);
    if (!threads)
        return false;
    w.yielding = yielding;
    w.ticks.count = 0;
    w.sum = 0;
    w.over = 0;
    w.computing = w.workers;
    w.start = bench_now();
    for (uint64_t i = 0; i <= w.workers; i++)
        threads_start(&threads[i], i == 0 ? tick : compute, NULL);
    for (uint64_t i = 0; i <= w.workers; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    w.ticks.span = w.over - w.start;
    w.ticks.sum = w.sum;
    return latency_report_ticks(&w.ticks, form, "threads", w.workers);
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "portions of 20 us", .number = &w.ticks.portions, .min = 1, .max = 10000000},
    };
    bench_parse(argc, argv, "a ticking thread beside computing ones", options, 2);
    threads_begin(&w.workers);
    w.ticks.samples = calloc(LATENCY_TICKS, sizeof *w.ticks.samples);
    return w.ticks.samples && measure(true, "yielding") && measure(false, "not yielding") ? 0 : 1;
}
