/* SPDX-License-Identifier: MIT */
/*
 * parallel_sum.c - benches/parallel_sum.c with as many threads as cores, each of which takes the next
 * chunk while there is one. They are created and joined for each sum.
 */

#include "../../chunks.h"
#include "threads.h"

#include <stdatomic.h>

static chunks all = {.elements = 4000000, .count = 1000};
static _Atomic uint64_t next;

static void *sum_chunks(void *arg)
{
    uint64_t i;
    (void)arg;
    while ((i = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed)) < all.count)
        all.all[i].sum = chunk_sum(&all.all[i]);
    return NULL;
}

static uint64_t together(pthread_t *threads, uint64_t n)
{
    next = 0;
    for (uint64_t i = 0; i < n; i++)
        threads_start(&threads[i], sum_chunks, NULL);
    for (uint64_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    return chunks_total(&all);
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, repeats = 30, sum = 0;
    bench_option options[] = {
        {.letter = 'w', .help = "cores, and threads; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "elements", .number = &all.elements, .min = 1, .max = 1000000000},
        {.letter = 't', .help = "chunks", .number = &all.count, .min = 1, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "a sum in uneven chunks", options, 4);
    threads_begin(&workers);
    pthread_t *threads = calloc(workers, sizeof *threads);
    double *samples = calloc(repeats, sizeof *samples);
    if (!threads || !samples || !chunks_make(&all))
        return 1;
    for (uint64_t r = 0; r < repeats; r++) {
        int64_t start = bench_now();
        sum += together(threads, workers);
        samples[r] = (double)(bench_now() - start) / (double)all.elements;
    }
    bench_result_median("parallel sum", "threads", workers, "ns per element", samples, repeats, sum);
    return sum == repeats * chunks_wanted(&all) ? 0 : 1;
}
