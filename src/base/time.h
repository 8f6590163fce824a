/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_TIME_H
#define COIR_BASE_TIME_H

#include <coir.h>
#include <stdint.h>
#include <time.h>

#include "base/compat.h"

/* CLOCK_MONOTONIC in nanoseconds. About 40 ns in a virtual machine, 20 on metal. */
int64_t coir__time_now(void);

/* The sum, saturated at COIR_FOREVER; a negative duration counts as 0. */
COIR__INLINE int64_t coir__time_add(int64_t t, int64_t duration)
{
    int64_t sum;
    if (duration <= 0)
        return t;
    return __builtin_add_overflow(t, duration, &sum) ? COIR_FOREVER : sum;
}

COIR__INLINE struct timespec coir__time_spec(int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    return ts;
}

#endif
