/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_MUTEX_H
#define COIR_SYNC_MUTEX_H

/* mutex.h - what a mutex is, and its steps for a condition. */

#include "sync/wait.h"

enum coir__mutex_bits {
    COIR__MUTEX_WAITERS = 1, /* the list is not empty */
    COIR__MUTEX_WOKEN = 2,   /* somebody has been woken, and has neither got it nor waits again */
    COIR__MUTEX_BITS = 3,
};

/* In a coir_mutex. */
struct coir__mutex {
    coir__lock lock;         /* guards the list; first, so that its address names the mutex */
    _Atomic bool hand_off;   /* changes under the lock */
    _Atomic uintptr_t owner; /* its descriptor, or 0; and coir__mutex_bits */
    coir__link waiters;
};

_Static_assert(sizeof(struct coir__mutex) <= sizeof(coir_mutex), "the public struct has room");

COIR__INLINE coir__task *coir__mutex_owner(struct coir__mutex *m)
{
    uintptr_t word = atomic_load_explicit(&m->owner, memory_order_relaxed);
    return (coir__task *)(word & ~(uintptr_t)COIR__MUTEX_BITS);
}

/* Unlocks for `self`, who holds it. The lock of a condition may be held. */
void coir__mutex_release(struct coir__mutex *m, coir__worker *w, coir__task *self);

/* Locks uncancellably, whatever the deadlines. The caller does not hold it, and may be on another worker afterwards. */
void coir__mutex_take_shielded(struct coir__mutex *m, coir__worker *w, coir__task *self);

#endif
