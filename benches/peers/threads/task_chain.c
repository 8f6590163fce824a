/* SPDX-License-Identifier: MIT */
/*
 * task_chain.c - benches/task_chain.c with threads, and channels of a mutex and conditions.
 */

#include "threads.h"

typedef struct work {
    uint64_t tasks, repeats, workers;
    threads_chan *channels; /* tasks + 1 of them */
    pthread_t *threads;
    double *samples;
} work;

typedef struct link {
    uint64_t after; /* how many come after this one */
    uint64_t count; /* its result: it and those */
} link;

static void *spawn_next(void *arg)
{
    link *l = arg;
    link next = {l->after - 1, 0};
    if (l->after > 0) {
        pthread_t thread;
        threads_start(&thread, spawn_next, &next);
        pthread_join(thread, NULL);
    }
    l->count = next.count + 1;
    return NULL;
}

static uint64_t chain_by_spawn(work *w)
{
    link begin = {w->tasks, 0}; /* this thread is not counted */
    spawn_next(&begin);
    return begin.count - 1;
}

static void *pass_on(void *arg)
{
    threads_chan *channels = arg;
    uint64_t value = 0;
    threads_recv(&channels[0], &value);
    threads_send(&channels[1], value + 1);
    return NULL;
}

static uint64_t chain_by_channels(work *w)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < w->tasks; i++)
        threads_start(&w->threads[i], pass_on, &w->channels[i]);
    threads_send(&w->channels[0], 0);
    threads_recv(&w->channels[w->tasks], &count);
    for (uint64_t i = 0; i < w->tasks; i++)
        pthread_join(w->threads[i], NULL);
    return count;
}

static bool measure(work *w, uint64_t form(work *), const char *scenario)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = bench_now();
        sum += form(w);
        w->samples[i] = (double)(bench_now() - start) / (double)w->tasks;
    }
    bench_result_median(scenario, "threads", w->workers, "ns per task", w->samples, w->repeats, sum);
    return sum == w->tasks * w->repeats;
}

int main(int argc, char **argv)
{
    work w = {.tasks = 10000, .repeats = 2, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "threads", .number = &w.tasks, .min = 1, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "threads in a row", options, 3);
    threads_begin(&w.workers);
    threads_want(w.tasks);
    w.channels = calloc(w.tasks + 1, sizeof *w.channels);
    w.threads = calloc(w.tasks, sizeof *w.threads);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    if (!w.channels || !w.threads || !w.samples)
        return 1;
    for (uint64_t i = 0; i <= w.tasks; i++)
        threads_chan_init(&w.channels[i], 0);
    return measure(&w, chain_by_spawn, "task chain, spawn and wait") &&
                   measure(&w, chain_by_channels, "task chain, channels")
               ? 0
               : 1;
}
