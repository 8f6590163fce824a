/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_HOLDER_H
#define COIR_SYNC_HOLDER_H

/*
 * holder.h - who holds what a task waits for; for dumps. Who runs the function of a once holds it.
 *
 * A lock lies in memory of the user's and may be gone a moment after it was seen in a wait note. What keeps it in existence is
 * a task that waits for it: nobody may destroy a lock while somebody is inside a call to it. So whoever looks says so
 * first, in one word for the process; and whoever comes back from a wait for a lock, before its call returns, lets those
 * finish who look. They see a task waiting only if it will see them: a store-load pair, whose heavy fence is the looker's
 * (base/fence.h).
 *
 * A look is bounded and takes no lock. While it lasts, a task that has been seen waiting for a lock does nothing of its own:
 * what it holds it keeps.
 * Cost: a load for each wait for a lock.
 */
#include "sync/wait.h"

extern _Atomic uint32_t coir__holder_looks; /* how many look now */

void coir__holder_wait_for_looks(void);

/* Between a wait for a lock and the return of its call, whatever came out of it. */
COIR__INLINE void coir__holder_let_look(void)
{
    coir__fence_light(); /* pairs with coir__holder_look_begin() */
    if (coir__unlikely(atomic_load_explicit(&coir__holder_looks, memory_order_acquire) != 0))
        coir__holder_wait_for_looks();
}

/* What somebody waits for, and who holds it. */
typedef struct coir__holder {
    const coir__task *waiter;
    uint8_t kind;     /* coir__wait_kind: a lock, or COIR__WAIT_JOIN */
    coir__lock *lock; /* of what is waited for */
    coir__task *
        task; /* who holds it, or is joined; a descriptor, perhaps of a task that has ended; NULL: unknown */
    uint32_t readers; /* how many hold it */
} coir__holder;

/* Whether a wait of this kind has a holder. */
COIR__INLINE bool coir__holder_has(uint8_t kind)
{
    return kind == COIR__WAIT_MUTEX || kind == COIR__WAIT_READ_LOCK ||
           kind == COIR__WAIT_WRITE_LOCK || kind == COIR__WAIT_ONCE || kind == COIR__WAIT_JOIN;
}

/* A look. Nothing in between may wait for anything. Any thread, signal handlers too. */
void coir__holder_look_begin(void);
void coir__holder_look_end(void);

/* Inside a look: what `t`, a descriptor, waits for. False: for nothing of these kinds. */
bool coir__holder_find(const coir__task *t, coir__holder *ret);

#endif
