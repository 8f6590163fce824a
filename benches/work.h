/* SPDX-License-Identifier: MIT */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

/*
 * work.h - something to do for tasks that shall have something to do.
 *
 * The same steps in peers/go/work/work.go and peers/tokio/src/lib.rs. Each step needs the result
 * of the one before, so that no compiler can do several at once: it takes a shift, an exclusive
 * or and a multiplication of latency, about 2.5 ns. BENCH_MICROSECOND of them are about one.
 */

#include "measure.h"

#include <stdatomic.h>

enum {
    BENCH_MICROSECOND = 400,
    BENCH_PORTION = 20 /* us: what is done between two looks at whether somebody else has to run */
};

static inline uint64_t bench_hash(uint64_t x, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93;
    }
    return x;
}

/* What a server computes beside what it serves: portions, one after the other. */
typedef struct bench_busy {
    _Atomic uint64_t portions; /* for who reports */
    uint64_t x;
    int64_t start;
} bench_busy;

static inline void bench_busy_portion(bench_busy *b)
{
    if (b->portions == 0)
        b->start = bench_now();
    b->x = bench_hash(b->x | 1, BENCH_PORTION * BENCH_MICROSECOND);
    atomic_fetch_add_explicit(&b->portions, 1, memory_order_relaxed);
}

/* How much it was; nothing if it was nothing. */
static inline void bench_busy_report(const bench_busy *b, const char *runtime, uint64_t threads)
{
    if (b->portions == 0)
        return;
    double seconds = (double)(bench_now() - b->start) / 1e9;
    double ms = (double)b->portions * BENCH_PORTION / 1e3 / seconds;
    printf("beside it %.0f ms of work a second (%" PRIx64 ")\n", ms, b->x);
    bench_result("echo beside computing, work", runtime, threads, "ms of work/s", ms, 0);
}

/* What 1 to `items` become, added up. */
static inline uint64_t bench_hash_sum(uint64_t items, uint64_t steps)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < items; i++)
        sum += bench_hash(i + 1, steps);
    return sum;
}

/* Checks the sum of a program that has passed on 1 to `items`, `repeats` times, and says what it took. */
static inline bool bench_result_items(const char *name, const char *runtime, uint64_t threads,
                                      uint64_t items, uint64_t capacity, uint64_t steps,
                                      double *samples, uint64_t repeats, uint64_t sum)
{
    uint64_t wanted = repeats * bench_hash_sum(items, steps);
    if (sum != wanted) {
        fprintf(stderr, "%s: the items add up to %" PRIu64 ", not %" PRIu64 "\n", name, sum,
                wanted);
        return false;
    }
    char scenario[64], part[32];
    snprintf(scenario, sizeof scenario, "%s", name);
    if (capacity > 0) {
        snprintf(part, sizeof part, ", capacity %" PRIu64, capacity);
        strcat(scenario, part);
    }
    if (steps > 0)
        strcat(scenario, ", work");
    bench_result_median(scenario, runtime, threads, "ns per item", samples, repeats, sum);
    return true;
}

#endif
