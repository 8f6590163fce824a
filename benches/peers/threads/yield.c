/* SPDX-License-Identifier: MIT */
/*
 * yield.c - benches/yield.c with two threads and sched_yield(2).
 */

#include "threads.h"

static uint64_t yields = 500000;

static void *give_way(void *arg)
{
    uint64_t i;
    for (i = 0; i < yields; i++)
        sched_yield();
    *(uint64_t *)arg = i;
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, counts[2];
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "yields of each thread", .number = &yields, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "two threads that yield", options, 2);
    threads_begin(&workers);
    pthread_t threads[2];
    int64_t start = bench_now();
    for (int i = 0; i < 2; i++)
        threads_start(&threads[i], give_way, &counts[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    uint64_t count = counts[0] + counts[1];
    double ns = (double)(bench_now() - start) / (double)count;
    printf("%" PRIu64 " yields: %.1f ns each\n", count, ns);
    bench_result("yield", "threads", workers, "ns per yield", ns, count);
    return 0;
}
