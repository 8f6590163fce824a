/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - benches/mutex.c with threads, pthread_mutex_t and sched_yield(2).
 */

#include "threads.h"

typedef struct work {
    uint64_t tasks, sections, repeats, workers;
    uint64_t now;
    pthread_mutex_t mutex;
    uint64_t counter;
    pthread_t *threads;
    double *samples;
} work;

static void *count(void *arg)
{
    work *w = arg;
    for (uint64_t i = 0; i < w->now; i++) {
        pthread_mutex_lock(&w->mutex);
        w->counter++;
        pthread_mutex_unlock(&w->mutex);
    }
    return NULL;
}

static void *count_and_yield(void *arg)
{
    work *w = arg;
    for (uint64_t i = 0; i < w->now; i++) {
        pthread_mutex_lock(&w->mutex);
        uint64_t before = w->counter;
        sched_yield();
        w->counter = before + 1;
        pthread_mutex_unlock(&w->mutex);
    }
    return NULL;
}

static int measure(work *w, void *(*fn)(void *), const char *scenario, uint64_t sections)
{
    w->now = sections;
    w->counter = 0;
    for (uint64_t r = 0; r < w->repeats; r++) {
        int64_t start = bench_now();
        for (uint64_t i = 0; i < w->tasks; i++)
            threads_start(&w->threads[i], fn, w);
        for (uint64_t i = 0; i < w->tasks; i++)
            pthread_join(w->threads[i], NULL);
        w->samples[r] = (double)(bench_now() - start) / (double)(w->tasks * sections);
    }
    bench_result_median(scenario, "threads", w->workers, "ns per section", w->samples, w->repeats, w->counter);
    return w->counter == w->repeats * w->tasks * sections ? 0 : 1;
}

int main(int argc, char **argv)
{
    work w = {.tasks = 4, .sections = 100000, .repeats = 30, .workers = 1, .mutex = PTHREAD_MUTEX_INITIALIZER};
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &w.workers, .max = 1024},
        {.letter = 't', .help = "threads", .number = &w.tasks, .min = 1, .max = 10000},
        {.letter = 'n', .help = "sections of each", .number = &w.sections, .min = 1, .max = 1000000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "threads that share a mutex", options, 4);
    threads_begin(&w.workers);
    w.threads = calloc(w.tasks, sizeof *w.threads);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    if (!w.threads || !w.samples)
        return 1;
    return measure(&w, count, "mutex", w.sections) |
           measure(&w, count_and_yield, "mutex, held over a yield", (w.sections + 9) / 10);
}
