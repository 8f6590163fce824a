/* SPDX-License-Identifier: MIT */
/*
 * parallel_sum.c - the floor of benches/parallel_sum.c: the sum alone, chunk after chunk. For
 * several threads the floor is peers/threads/parallel_sum.c.
 */

#include "../chunks.h"

int main(int argc, char **argv)
{
    chunks c = {.elements = 4000000, .count = 1000};
    uint64_t repeats = 30, sum = 0;
    bench_option options[] = {
        {.letter = 'n', .help = "elements", .number = &c.elements, .min = 1, .max = 1000000000},
        {.letter = 't', .help = "chunks", .number = &c.count, .min = 1, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "a sum in uneven chunks, by hand", options, 3);
    double *samples = calloc(repeats, sizeof *samples);
    if (!samples || !chunks_make(&c))
        return 1;
    for (uint64_t r = 0; r < repeats; r++) {
        int64_t start = bench_now();
        for (uint64_t i = 0; i < c.count; i++)
            c.all[i].sum = chunk_sum(&c.all[i]);
        sum += chunks_total(&c);
        samples[r] = (double)(bench_now() - start) / (double)c.elements;
    }
    bench_result_median("parallel sum", "floor", 1, "ns per element", samples, repeats, sum);
    return sum == repeats * chunks_wanted(&c) ? 0 : 1;
}
