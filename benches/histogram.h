/* SPDX-License-Identifier: MIT */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

/*
 * histogram.h - counts of durations in logarithmic buckets.
 *
 * Every power of two is cut into 32 buckets, so a percentile is exact to about 3 %; durations
 * below 32 ns have a bucket each. 15 KiB, any thread may add at any time, read it when all are
 * done.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_STEPS = 32,
    HISTOGRAM_BITS = 5,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) * HISTOGRAM_STEPS
};

typedef struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t greatest;
} histogram;

static inline size_t histogram_bucket(uint64_t v)
{
    if (v < HISTOGRAM_STEPS)
        return (size_t)v;
    unsigned shift = 63U - (unsigned)__builtin_clzll(v) - HISTOGRAM_BITS;
    return shift * HISTOGRAM_STEPS + (size_t)(v >> shift);
}

/* The greatest value that falls into `bucket`. */
static inline uint64_t histogram_upper(size_t bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = (unsigned)(bucket / HISTOGRAM_STEPS) - 1;
    uint64_t step = bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1;
}

static inline void histogram_add(histogram *h, int64_t duration)
{
    uint64_t v = duration > 0 ? (uint64_t)duration : 0;
    atomic_fetch_add_explicit(&h->buckets[histogram_bucket(v)], 1, memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&h->greatest, memory_order_relaxed);
    while (v > seen && !atomic_compare_exchange_weak(&h->greatest, &seen, v))
        continue;
}

static inline uint64_t histogram_count(histogram *h)
{
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
    return count;
}

/* The value that `percent` of all are not above; 0 when there are none. */
static inline uint64_t histogram_percentile(histogram *h, double percent)
{
    uint64_t greatest = atomic_load(&h->greatest);
    double wanted = (double)histogram_count(h) * percent / 100;
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        if (count > 0 && (double)count >= wanted)
            return histogram_upper(i) < greatest ? histogram_upper(i) : greatest;
    }
    return greatest;
}

#endif
