/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_ONCE_H
#define COIR_SYNC_ONCE_H

/* once.h - what a once is, for those who look into it. */

#include "sync/wait.h"

/* In a coir_once. */
struct coir__once {
    coir__lock lock; /* guards the rest; first, so that its address names the once */
    bool done;
    coir__link waiters;
    coir__task *_Atomic runner;
};

_Static_assert(sizeof(struct coir__once) <= sizeof(coir_once), "the public struct has room");

/* The task that is inside the function, or NULL. */
COIR__INLINE coir__task *coir__once_runner(struct coir__once *o)
{
    return atomic_load_explicit(&o->runner, memory_order_relaxed);
}

#endif
