/* SPDX-License-Identifier: MIT */
/*
 * cancel.c - benches/cancel.c with threads, which wait on a condition and look at a flag.
 */

#include "threads.h"

static struct {
    uint64_t tasks, repeats, workers;
    pthread_mutex_t mutex;
    pthread_cond_t changed, full;
    bool cancelled;
    uint64_t arrived, count; /* arrived: in this repetition; count: of those cancelled in all */
    pthread_t *threads;
} w = {.tasks = 10000, .repeats = 3, .workers = 1, .mutex = PTHREAD_MUTEX_INITIALIZER,
       .changed = PTHREAD_COND_INITIALIZER, .full = PTHREAD_COND_INITIALIZER};

static void *wait_inside(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&w.mutex);
    if (++w.arrived == w.tasks)
        pthread_cond_signal(&w.full);
    while (!w.cancelled)
        pthread_cond_wait(&w.changed, &w.mutex);
    w.count++;
    pthread_mutex_unlock(&w.mutex);
    return NULL;
}

static double repetition(void)
{
    w.cancelled = false;
    w.arrived = 0;
    for (uint64_t i = 0; i < w.tasks; i++)
        threads_start(&w.threads[i], wait_inside, NULL);
    pthread_mutex_lock(&w.mutex);
    while (w.arrived < w.tasks)
        pthread_cond_wait(&w.full, &w.mutex);
    int64_t start = bench_now();
    w.cancelled = true;
    pthread_cond_broadcast(&w.changed);
    pthread_mutex_unlock(&w.mutex);
    for (uint64_t i = 0; i < w.tasks; i++)
        pthread_join(w.threads[i], NULL);
    return (double)(bench_now() - start) / (double)w.tasks;
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "threads", .number = &w.tasks, .min = 1, .max = 10000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "telling threads that wait", options, 3);
    threads_begin(&w.workers);
    threads_want(w.tasks);
    w.threads = calloc(w.tasks, sizeof *w.threads);
    double *samples = calloc(w.repeats, sizeof *samples);
    if (!w.threads || !samples)
        return 1;
    for (uint64_t i = 0; i < w.repeats; i++)
        samples[i] = repetition();
    bench_result_median("cancel", "threads", w.workers, "ns per task", samples, w.repeats, w.count);
    return w.count == w.tasks * w.repeats ? 0 : 1;
}
