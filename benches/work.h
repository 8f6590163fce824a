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

#include <stdint.h>

enum { BENCH_MICROSECOND = 400 };

static inline uint64_t bench_hash(uint64_t x, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93;
    }
    return x;
}

#endif
