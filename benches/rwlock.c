/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c - eight readers, one writer, one read-write lock.
 *
 * Three forms. "rwlock": each reader reads a small struct 100,000 times, the writer changes it
 * 10,000 times and yields after each: 98.8 % reads. "rwlock, readers only": the same without the
 * writer. In both, on one thread, nobody is ever kept waiting, for nothing gives way while it holds
 * the lock. "rwlock, held over a yield": a tenth of the sections, and everybody, the writer too,
 * yields inside; so readers pile up, and the writer waits for them and they for it. One repetition
 * is all tasks from before the first spawn until all have ended; the figure is the median of
 * the repetitions, over all sections, reads and writes. Each read checks that it has not seen half
 * a write.
 */

#include "measure.h"

#include <coir.h>

typedef struct quote {
    uint64_t number, triple; /* triple == 3 * number, but for whoever is writing */
} quote;

typedef struct work {
    uint64_t readers, reads, repeats, workers;
    uint64_t now; /* reads of each reader in this form */
    uint64_t writes;
    coir_rwlock lock;
    quote shared;    /* guarded by the lock */
    uint64_t *good;  /* for each reader: consistent reads in all */
    double *samples; /* ns per section */
} work;

typedef struct reader {
    work *w;
    uint64_t *good;
} reader;

/* The tasks of one form. */
typedef struct form {
    const char *scenario;
    coir_fn *read, *write;
    uint64_t reads, writes;
} form;

static int read_often(void *arg)
{
    reader *r = arg;
    work *w = r->w;
    uint64_t sections = w->now; /* not from the line of the lock each time */
    uint64_t good = 0;
    for (uint64_t i = 0; i < sections; i++) {
        int rc = coir_rwlock_read_lock(&w->lock);
        if (rc < 0)
            return rc;
        good += w->shared.triple == 3 * w->shared.number;
        coir_rwlock_read_unlock(&w->lock);
    }
    *r->good += good;
    return 0;
}

static int write_often(void *arg)
{
    work *w = arg;
    uint64_t sections = w->writes;
    for (uint64_t i = 0; i < sections; i++) {
        int rc = coir_rwlock_write_lock(&w->lock);
        if (rc < 0)
            return rc;
        w->shared.number++;
        w->shared.triple += 3;
        coir_rwlock_write_unlock(&w->lock);
        coir_yield();
    }
    return 0;
}

static int read_and_yield(void *arg)
{
    reader *r = arg;
    work *w = r->w;
    uint64_t sections = w->now; /* not from the line of the lock each time */
    uint64_t good = 0;
    for (uint64_t i = 0; i < sections; i++) {
        int rc = coir_rwlock_read_lock(&w->lock);
        if (rc < 0)
            return rc;
        uint64_t number = w->shared.number;
        coir_yield();
        good += w->shared.triple == 3 * number;
        coir_rwlock_read_unlock(&w->lock);
    }
    *r->good += good;
    return 0;
}

static int write_and_yield(void *arg)
{
    work *w = arg;
    uint64_t sections = w->writes;
    for (uint64_t i = 0; i < sections; i++) {
        int rc = coir_rwlock_write_lock(&w->lock);
        if (rc < 0)
            return rc;
        w->shared.number++;
        coir_yield();
        w->shared.triple += 3;
        coir_rwlock_write_unlock(&w->lock);
    }
    return 0;
}

static int together(work *w, const form *f)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->readers && rc == 0; i++) {
        reader r = {w, &w->good[i]};
        rc = coir_spawn_copy(&g, f->read, &r, sizeof r);
    }
    if (rc == 0 && f->write)
        rc = coir_spawn(&g, f->write, w);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int measure(work *w, const form *f)
{
    w->now = f->reads;
    w->writes = f->writes;
    w->shared = (quote){0, 0};
    memset(w->good, 0, w->readers * sizeof *w->good);
    uint64_t sections = w->readers * f->reads + f->writes;
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = coir_now();
        int rc = together(w, f);
        if (rc < 0)
            return rc;
        w->samples[i] = (double)(coir_now() - start) / (double)sections;
    }
    uint64_t done = w->shared.number;
    for (uint64_t i = 0; i < w->readers; i++)
        done += w->good[i];
    if (done != w->repeats * sections || w->shared.triple != 3 * w->shared.number) {
        fprintf(stderr, "rwlock: %" PRIu64 " good reads and writes, not %" PRIu64 "\n", done,
                w->repeats * sections);
        return -EPROTO;
    }
    bench_result_median(f->scenario, "coir", w->workers, "ns per section", w->samples, w->repeats,
                        done);
    return 0;
}

static int first(void *arg)
{
    work *w = arg;
    uint64_t n = w->reads;
    form forms[] = {
        {"rwlock", read_often, write_often, n, n / 10},
        {"rwlock, readers only", read_often, NULL, n, 0},
        {"rwlock, held over a yield", read_and_yield, write_and_yield, n / 10, n / 100},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof forms / sizeof *forms && rc == 0; i++)
        rc = measure(w, &forms[i]);
    return rc;
}

int main(int argc, char **argv)
{
    work w = {.readers = 8, .reads = 100000, .repeats = 15, .workers = 1, .lock = COIR_RWLOCK_INIT};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 't', .help = "reading tasks", .number = &w.readers, .min = 1, .max = 1000000},
        {.letter = 'n',
         .help = "reads of each; a tenth as many writes in all",
         .number = &w.reads,
         .min = 100,
         .max = 1000000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "many readers, one writer", options, sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.good = calloc(w.readers, sizeof *w.good);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.good && w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc < 0)
        fprintf(stderr, "rwlock: %s\n", coir_strerror(rc));
    free(w.good);
    free(w.samples);
    return rc < 0;
}
