/* SPDX-License-Identifier: MIT */
#include "base/time.h"

int64_t coir__time_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}
