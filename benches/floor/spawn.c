/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - the floor of benches/spawn.c: 10,000 functions noted with their arguments, then called
 * one after the other.
 */

#include "../measure.h"

typedef struct job {
    int (*fn)(void *arg);
    void *arg;
} job;

static __attribute__((noinline)) int touch(void *arg)
{
    uint32_t *cell = arg;
    ++*cell;
    return 0;
}

static int (*volatile what)(void *) = touch; /* not known to the compiler, as it isn't to a runtime */

static int run(job *jobs, uint32_t *cells, uint64_t n)
{
    int rc = 0;
    for (uint64_t i = 0; i < n; i++)
        jobs[i] = (job){what, &cells[i]};
    for (uint64_t i = 0; i < n; i++)
        rc |= jobs[i].fn(jobs[i].arg);
    return rc;
}

int main(int argc, char **argv)
{
    uint64_t tasks = 10000, repeats = 200;
    bench_option options[] = {
        {.letter = 'n', .help = "functions", .number = &tasks, .min = 1, .max = 10000000},
        {.letter = 'r', .help = "repetitions", .number = &repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "functions noted and called", options, 2);
    job *jobs = calloc(tasks, sizeof *jobs);
    uint32_t *cells = calloc(tasks, sizeof *cells);
    double *samples = calloc(repeats, sizeof *samples);
    if (!jobs || !cells || !samples)
        return 1;
    for (uint64_t i = 0; i < repeats; i++) {
        int64_t start = bench_now();
        if (run(jobs, cells, tasks) != 0)
            return 1;
        samples[i] = (double)(bench_now() - start) / (double)tasks;
    }
    uint64_t count = 0;
    for (uint64_t i = 0; i < tasks; i++)
        count += cells[i];
    bench_result_tasks("spawn, group end", "floor", 1, tasks, samples, repeats, count);
    bench_result_tasks("spawn, join each", "floor", 1, tasks, samples, repeats, count);
    return count == tasks * repeats ? 0 : 1;
}
