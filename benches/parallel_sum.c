/* SPDX-License-Identifier: MIT */
/*
 * parallel_sum.c - uneven work for many tasks: a sum over an array in 1,000 chunks, a task for
 * each.
 *
 * Most chunks (chunks.h) are short, a few long. So the tasks that one worker has spawned must be
 * found by the others, and not all of them be equal. The figure is that of all of it over the
 * elements, the median of the repetitions; on one thread it is the work, on several the share that
 * they make of it.
 */

#include "chunks.h"

#include <coir.h>

typedef struct work {
    chunks chunks;
    uint64_t repeats, workers;
    uint64_t sum;    /* of all repetitions */
    double *samples; /* ns per element */
} work;

static int sum_chunk(void *arg)
{
    chunk *c = arg;
    c->sum = chunk_sum(c);
    return 0;
}

static int together(work *w)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->chunks.count && rc == 0; i++)
        rc = coir_spawn(&g, sum_chunk, &w->chunks.all[i]);
    int ended = coir_group_end(&g);
    w->sum += chunks_total(&w->chunks);
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    work *w = arg;
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = coir_now();
        int rc = together(w);
        if (rc < 0)
            return rc;
        w->samples[i] = (double)(coir_now() - start) / (double)w->chunks.elements;
    }
    return w->sum == w->repeats * chunks_wanted(&w->chunks) ? 0 : -EPROTO;
}

int main(int argc, char **argv)
{
    work w = {.chunks = {.elements = 4000000, .count = 1000}, .repeats = 30, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n',
         .help = "elements",
         .number = &w.chunks.elements,
         .min = 1,
         .max = 1000000000},
        {.letter = 't',
         .help = "chunks, and tasks",
         .number = &w.chunks.count,
         .min = 1,
         .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "a sum in uneven chunks", options, sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (chunks_make(&w.chunks) && w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc == 0)
        bench_result_median("parallel sum", "coir", w.workers, "ns per element", w.samples,
                            w.repeats, w.sum);
    else
        fprintf(stderr, "parallel_sum: %s\n", coir_strerror(rc));
    chunks_free(&w.chunks);
    free(w.samples);
    return rc < 0;
}
