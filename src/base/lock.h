/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_LOCK_H
#define COIR_BASE_LOCK_H

/*
 * lock.h - the lock inside every object that is waited for.
 *
 * One word, 0 when free. It guards a few dozen instructions, so waiters spin, then give the processor up in growing
 * steps. Locks may be held *into* a context switch, which releases them by one store once the parker's registers are
 * saved (arch/switch.h): whoever gets the lock finds saved registers.
 *
 * Order of locks: registry < scope chain of a task, group (outer before inner) < any object. No two object locks
 * at once, except by select (none held while it takes the next).
 *
 * Cost: 2.3 ns for the exchange on a line the core owns; the release is a plain store on x86.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compat.h"

typedef struct coir__lock {
    _Atomic uint32_t word;
} coir__lock;

COIR__INLINE bool coir__lock_try(coir__lock *l)
{
    return atomic_exchange_explicit(&l->word, 1, memory_order_acquire) == 0;
}

void coir__lock_wait(coir__lock *l);

COIR__INLINE void coir__lock_take(coir__lock *l)
{
    if (coir__unlikely(!coir__lock_try(l)))
        coir__lock_wait(l);
}

COIR__INLINE void coir__lock_drop(coir__lock *l)
{
    atomic_store_explicit(&l->word, 0, memory_order_release);
}

#if defined(__x86_64__) || defined(__i386__)
#define coir__cpu_relax() __asm__ volatile("pause" ::: "memory")
#elif defined(__aarch64__)
#define coir__cpu_relax() __asm__ volatile("isb" ::: "memory")
#else
#define coir__cpu_relax() coir__compiler_fence()
#endif

/* One step of waiting for another thread that is about to finish; `round` counts them. */
void coir__spin(unsigned round);

#endif
