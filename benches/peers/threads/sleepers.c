/* SPDX-License-Identifier: MIT */
/*
 * sleepers.c - benches/sleepers.c with threads, which sleep in the kernel.
 */

#include "threads.h"

static struct timespec pause_time;

static void *rest(void *arg)
{
    nanosleep(&pause_time, NULL);
    ++*(uint32_t *)arg;
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, tasks = 10000, milliseconds = 10, repeats = 3;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "threads", .number = &tasks, .min = 1, .max = 10000000},
        {.letter = 'm', .help = "milliseconds", .number = &milliseconds, .min = 1, .max = 10000},
        {.letter = 'r', .help = "repetitions after the first", .number = &repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "threads that sleep", options, 4);
    threads_begin(&workers);
    threads_want(tasks);
    int64_t sleep = (int64_t)milliseconds * 1000000;
    pause_time = (struct timespec){sleep / 1000000000, sleep % 1000000000};
    uint32_t *cells = calloc(tasks, sizeof *cells);
    pthread_t *threads = calloc(tasks, sizeof *threads);
    double *samples = calloc(repeats + 1, sizeof *samples);
    if (!cells || !threads || !samples)
        return 1;
    for (uint64_t r = 0; r <= repeats; r++) {
        int64_t start = bench_now();
        for (uint64_t i = 0; i < tasks; i++)
            threads_start(&threads[i], rest, &cells[i]);
        for (uint64_t i = 0; i < tasks; i++)
            pthread_join(threads[i], NULL);
        samples[r] = (double)(bench_now() - start - sleep) / (double)tasks;
    }
    uint64_t count = 0;
    for (uint64_t i = 0; i < tasks; i++)
        count += cells[i];
    bench_result_sleepers("threads", workers, tasks, samples, repeats);
    return count == tasks * (repeats + 1) ? 0 : 1;
}
