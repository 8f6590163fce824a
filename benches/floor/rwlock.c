/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c - the floor of benches/rwlock.c: a word that counts the readers, and says whether there
 * is a writer.
 *
 * A writer that waits keeps new readers out. Who has to wait gives way and tries again.
 */

#include "../measure.h"

#include "turns.h"

enum { WRITING = 1 << 20, WISHED = 1 << 21 };

typedef struct form {
    const char *scenario;
    bool yields;
    uint64_t reads, writes;
} form;

typedef struct work {
    uint64_t readers, reads, repeats;
    const form *f;
    _Atomic unsigned lock;
    volatile uint64_t number, triple;
    uint64_t good;
    double *samples;
} work;

static void read_lock(work *w, floor_context *self)
{
    for (;;) {
        unsigned seen = atomic_load_explicit(&w->lock, memory_order_relaxed);
        if (seen < WRITING && atomic_compare_exchange_weak_explicit(&w->lock, &seen, seen + 1, memory_order_acquire,
                                                                    memory_order_relaxed))
            return;
        if (seen >= WRITING)
            floor_give_way(self);
    }
}

static void write_lock(work *w, floor_context *self)
{
    for (;;) {
        unsigned seen = atomic_load_explicit(&w->lock, memory_order_relaxed);
        if ((seen & ~(unsigned)WISHED) == 0) {
            if (atomic_compare_exchange_weak_explicit(&w->lock, &seen, WRITING, memory_order_acquire,
                                                      memory_order_relaxed))
                return;
            continue;
        }
        atomic_fetch_or_explicit(&w->lock, WISHED, memory_order_relaxed);
        floor_give_way(self);
    }
}

static void read_often(work *w, floor_context *self)
{
    uint64_t good = 0;
    for (uint64_t i = 0; i < w->f->reads; i++) {
        read_lock(w, self);
        uint64_t number = w->number;
        if (w->f->yields)
            floor_give_way(self);
        good += w->triple == 3 * number;
        atomic_fetch_sub_explicit(&w->lock, 1, memory_order_release);
    }
    w->good += good;
}

static void write_often(work *w, floor_context *self)
{
    for (uint64_t i = 0; i < w->f->writes; i++) {
        write_lock(w, self);
        w->number++;
        if (w->f->yields)
            floor_give_way(self);
        w->triple += 3;
        atomic_store_explicit(&w->lock, 0, memory_order_release);
        if (!w->f->yields)
            floor_give_way(self);
    }
}

static void take_part(floor_context *self, void *arg, uint64_t number)
{
    work *w = arg;
    if (number < w->readers)
        read_often(w, self);
    else
        write_often(w, self);
}

static int measure(work *w, turns *t, const form *f)
{
    w->f = f;
    w->number = w->triple = w->good = 0;
    uint64_t sections = w->readers * f->reads + f->writes;
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = bench_now();
        turns_run(t, w->readers + (f->writes > 0), take_part, w);
        w->samples[i] = (double)(bench_now() - start) / (double)sections;
    }
    uint64_t done = w->good + w->number;
    bench_result_median(f->scenario, "floor", 1, "ns per section", w->samples, w->repeats, done);
    return done == w->repeats * sections ? 0 : 1;
}

int main(int argc, char **argv)
{
    work w = {.readers = 8, .reads = 100000, .repeats = 15};
    bench_option options[] = {
        {.letter = 't', .help = "readers", .number = &w.readers, .min = 1, .max = 100000},
        {.letter = 'n', .help = "reads of each; a tenth as many writes in all", .number = &w.reads, .min = 100,
         .max = 1000000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "many readers and a writer of a word", options, 3);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    turns t = turns_new(w.readers + 1);
    if (!w.samples)
        return 1;
    uint64_t n = w.reads;
    const form forms[] = {
        {"rwlock", false, n, n / 10},
        {"rwlock, readers only", false, n, 0},
        {"rwlock, held over a yield", true, n / 10, n / 100},
    };
    int rc = 0;
    for (int i = 0; i < 3; i++)
        rc |= measure(&w, &t, &forms[i]);
    return rc;
}
