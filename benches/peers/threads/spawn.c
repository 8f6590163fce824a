/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - benches/spawn.c with threads: each is created, and joined when all have been.
 *
 * Where the system does not allow so many at a time they are joined in batches.
 */

#include "threads.h"

static void *touch(void *arg)
{
    ++*(uint32_t *)arg;
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, tasks = 10000, repeats = 5;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "threads", .number = &tasks, .min = 1, .max = 10000000},
        {.letter = 'r', .help = "repetitions", .number = &repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "threads that end at once", options, 3);
    threads_begin(&workers);
    uint64_t batch = tasks < threads_limit() ? tasks : threads_limit();
    uint32_t *cells = calloc(tasks, sizeof *cells);
    pthread_t *threads = calloc(batch, sizeof *threads);
    double *samples = calloc(repeats, sizeof *samples);
    if (!cells || !threads || !samples)
        return 1;
    for (uint64_t r = 0; r < repeats; r++) {
        int64_t start = bench_now();
        for (uint64_t i = 0; i < tasks; i += batch) {
            uint64_t n = tasks - i < batch ? tasks - i : batch;
            for (uint64_t k = 0; k < n; k++)
                threads_start(&threads[k], touch, &cells[i + k]);
            for (uint64_t k = 0; k < n; k++)
                pthread_join(threads[k], NULL);
        }
        samples[r] = (double)(bench_now() - start) / (double)tasks;
    }
    uint64_t count = 0;
    for (uint64_t i = 0; i < tasks; i++)
        count += cells[i];
    if (count != tasks * repeats)
        return 1;
    bench_result_tasks("spawn, group end", "threads", workers, tasks, samples, repeats, count);
    bench_result_tasks("spawn, join each", "threads", workers, tasks, samples, repeats, count);
    return 0;
}
