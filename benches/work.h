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

enum { BENCH_MICROSECOND = 400 };

static inline uint64_t bench_hash(uint64_t x, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93;
    }
    return x;
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
        fprintf(stderr, "%s: the items add up to %" PRIu64 ", not %" PRIu64 "\n", name, sum, wanted);
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
