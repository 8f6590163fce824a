/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c - benches/rwlock.c with threads, pthread_rwlock_t and sched_yield(2).
 *
 * The lock prefers writers, as those of the others do: by default glibc's lets readers pass a writer
 * for as long as there are any.
 */

#include "threads.h"

typedef struct form {
    const char *scenario;
    bool yields;
    uint64_t reads, writes;
} form;

typedef struct work {
    uint64_t readers, reads, repeats, workers;
    const form *f;
    pthread_rwlock_t lock;
    uint64_t number, triple;
    _Atomic uint64_t good;
    pthread_t *threads;
    double *samples;
} work;

static void *read_often(void *arg)
{
    work *w = arg;
    uint64_t good = 0;
    for (uint64_t i = 0; i < w->f->reads; i++) {
        pthread_rwlock_rdlock(&w->lock);
        uint64_t number = w->number;
        if (w->f->yields)
            sched_yield();
        good += w->triple == 3 * number;
        pthread_rwlock_unlock(&w->lock);
    }
    w->good += good;
    return NULL;
}

static void *write_often(void *arg)
{
    work *w = arg;
    for (uint64_t i = 0; i < w->f->writes; i++) {
        pthread_rwlock_wrlock(&w->lock);
        w->number++;
        if (w->f->yields)
            sched_yield();
        w->triple += 3;
        pthread_rwlock_unlock(&w->lock);
        if (!w->f->yields)
            sched_yield();
    }
    return NULL;
}

static int measure(work *w, const form *f)
{
    w->f = f;
    w->number = w->triple = 0;
    w->good = 0;
    uint64_t sections = w->readers * f->reads + f->writes, n = w->readers + (f->writes > 0);
    for (uint64_t r = 0; r < w->repeats; r++) {
        int64_t start = bench_now();
        for (uint64_t i = 0; i < n; i++)
            threads_start(&w->threads[i], i < w->readers ? read_often : write_often, w);
        for (uint64_t i = 0; i < n; i++)
            pthread_join(w->threads[i], NULL);
        w->samples[r] = (double)(bench_now() - start) / (double)sections;
    }
    uint64_t done = w->good + w->number;
    bench_result_median(f->scenario, "threads", w->workers, "ns per section", w->samples, w->repeats, done);
    return done == w->repeats * sections ? 0 : 1;
}

int main(int argc, char **argv)
{
    work w = {.readers = 8, .reads = 100000, .repeats = 15, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &w.workers, .max = 1024},
        {.letter = 't', .help = "reading threads", .number = &w.readers, .min = 1, .max = 10000},
        {.letter = 'n', .help = "reads of each; a tenth as many writes in all", .number = &w.reads, .min = 100,
         .max = 1000000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "many readers, one writer", options, 4);
    threads_begin(&w.workers);
    pthread_rwlockattr_t kind;
    pthread_rwlockattr_init(&kind);
    pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&w.lock, &kind);
    w.threads = calloc(w.readers + 1, sizeof *w.threads);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    if (!w.threads || !w.samples)
        return 1;
    uint64_t n = w.reads;
    const form forms[] = {
        {"rwlock", false, n, n / 10},
        {"rwlock, readers only", false, n, 0},
        {"rwlock, held over a yield", true, n / 10, n / 100},
    };
    int rc = 0;
    for (int i = 0; i < 3; i++)
        rc |= measure(&w, &forms[i]);
    return rc;
}
