/* SPDX-License-Identifier: MIT */
#include "base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/time.h"

void coir__futex_sleep(_Atomic uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct timespec ts, *until = NULL;
    if (deadline != COIR_FOREVER) {
        ts = coir__time_spec(deadline > 0 ? deadline : 0);
        until = &ts;
    }
    /* The bitset form takes an absolute time on the monotonic clock. */
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

void coir__futex_rouse(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}
