/* SPDX-License-Identifier: MIT */
#include "base/lock.h"

#include <sched.h>
#include <time.h>

void coir__spin(unsigned round)
{
    if (round < 64) {
        coir__cpu_relax();
    } else if (round < 80) {
        sched_yield(); /* the holder may be off its processor */
    } else {
        struct timespec nap = {.tv_nsec = 20000};
        nanosleep(&nap, NULL);
    }
}

COIR__COLD void coir__lock_wait(coir__lock *l)
{
    unsigned round = 0;
    do {
        while (atomic_load_explicit(&l->word, memory_order_relaxed) != 0)
            coir__spin(round++);
    } while (!coir__lock_try(l));
}
