/* SPDX-License-Identifier: MIT */
/*
 * parallel_sum.c - uneven work for many tasks: a sum over an array in 1,000 chunks, a task for
 * each.
 *
 * Chunk lengths differ by a factor of up to 64: most are short, a few long. So the tasks that one
 * worker has spawned must be found by the others, and not all of them be equal. Inside a chunk
 * each element needs the result of the one before (a multiplication), so that no compiler can do
 * several at once: about 1.3 ns each. The figure is that of all of it over the elements, the
 * median of the repetitions; on one thread it is the work, on several the share that they make of
 * it.
 */

#include "measure.h"

#include <coir.h>

typedef struct chunk {
    const uint32_t *begin, *end;
    uint64_t sum; /* its result */
} chunk;

typedef struct work {
    uint64_t elements, chunk_count, repeats, workers;
    uint32_t *array;
    chunk *chunks;
    uint64_t sum;    /* of all repetitions */
    double *samples; /* ns per element */
} work;

static uint64_t sum_of(const uint32_t *begin, const uint32_t *end)
{
    uint64_t sum = 0;
    for (const uint32_t *e = begin; e < end; e++)
        sum = (sum ^ *e) * 0xd6e8feb86659fd93;
    return sum;
}

static int sum_chunk(void *arg)
{
    chunk *c = arg;
    c->sum = sum_of(c->begin, c->end);
    return 0;
}

/* The relative length of a chunk: 1, 2, 4 ... 64, each half as often as the one before. */
static uint64_t weight(uint64_t i)
{
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15;
    return UINT64_C(1) << __builtin_ctzll((x >> 40) | 64);
}

static void divide(work *w)
{
    uint64_t total = 0, before = 0;
    for (uint64_t i = 0; i < w->elements; i++)
        w->array[i] = (uint32_t)(i * 2654435761U);
    for (uint64_t i = 0; i < w->chunk_count; i++)
        total += weight(i);
    for (uint64_t i = 0; i < w->chunk_count; i++) {
        w->chunks[i].begin = w->array + w->elements * before / total;
        before += weight(i);
        w->chunks[i].end = w->array + w->elements * before / total;
    }
}

static int together(work *w)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->chunk_count && rc == 0; i++)
        rc = coir_spawn(&g, sum_chunk, &w->chunks[i]);
    int ended = coir_group_end(&g);
    for (uint64_t i = 0; i < w->chunk_count; i++)
        w->sum += w->chunks[i].sum;
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    work *w = arg;
    divide(w);
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = coir_now();
        int rc = together(w);
        if (rc < 0)
            return rc;
        w->samples[i] = (double)(coir_now() - start) / (double)w->elements;
    }
    uint64_t wanted = 0;
    for (uint64_t i = 0; i < w->chunk_count; i++)
        wanted += w->repeats * sum_of(w->chunks[i].begin, w->chunks[i].end);
    return w->sum == wanted ? 0 : -EPROTO;
}

int main(int argc, char **argv)
{
    work w = {.elements = 4000000, .chunk_count = 1000, .repeats = 30, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "elements", .number = &w.elements, .min = 1, .max = 1000000000},
        {.letter = 't',
         .help = "chunks, and tasks",
         .number = &w.chunk_count,
         .min = 1,
         .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "a sum in uneven chunks", options, sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.array = calloc(w.elements, sizeof *w.array);
    w.chunks = calloc(w.chunk_count, sizeof *w.chunks);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.array && w.chunks && w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc == 0)
        bench_result_median("parallel sum", "coir", w.workers, "ns per element", w.samples,
                            w.repeats, w.sum);
    else
        fprintf(stderr, "parallel_sum: %s\n", coir_strerror(rc));
    free(w.array);
    free(w.chunks);
    free(w.samples);
    return rc < 0;
}
