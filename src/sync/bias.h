/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_BIAS_H
#define COIR_SYNC_BIAS_H

/*
 * bias.h - read locks that are noted with the worker instead of in the lock.
 *
 * Readers on several processors that count themselves in one word spend their time on sending its line about. A lock that has seen
 * that is biased: its readers count in a table of their worker's, and only look at the lock's word, whose line then stays with
 * all of them. A writer ends the bias first, and adds up what the tables have. (BRAVO: Dice and Kogan, USENIX ATC 2019; here with an
 * asymmetric fence instead of one for each reader.)
 *
 *   reader  inside = yes; (compiler fence) biased? -> count in the table; inside = no
 *   writer  biased = no; heavy fence; wait until nobody is inside; take the counts out of all tables
 *
 * I1  A count in a table changes by its worker, inside, while the lock is biased; by the writer, after it has waited, when it is not.
 *     So never by two at once.
 * I2  Holds are alike. A reader that has moved to another worker, or whose lock has another's place, takes one out of the lock's
 *     own count, or ends the bias. All that matters is the sum.
 * I3  A table outlives its worker: it may hold what a reader of another runtime has to give back. The next worker takes it over as it
 *     is.
 * I4  The last access of an unlock to the lock is its look while inside; a writer that might destroy the lock waits for that.
 *
 * Cost: a lock and its unlock four stores to the worker's own line, nothing shared. The end of a bias: membarrier(2), and a look at as
 * many tables as there have been workers.
 */
#include "sched/runtime.h"

#define COIR__BIAS_ENTRIES 8

typedef struct coir__bias_entry {
    const void *_Atomic lock;
    _Atomic uint32_t count; /* 0: the place is free */
} coir__bias_entry;

/* A worker's. */
struct coir__bias {
    _Alignas(64) _Atomic bool inside; /* the worker looks at a lock, and counts */
    coir__bias_entry entries[COIR__BIAS_ENTRIES];
};

COIR__INLINE coir__bias_entry *coir__bias_entry_of(struct coir__bias *b, const void *lock)
{
    uintptr_t address = (uintptr_t)lock;
    return &b->entries[(address >> 4 ^ address >> 9) % COIR__BIAS_ENTRIES];
}

/* Then look at the lock. */
COIR__INLINE void coir__bias_enter(struct coir__bias *b)
{
    atomic_store_explicit(&b->inside, true, memory_order_relaxed);
    coir__compiler_fence(); /* pairs with the heavy fence in coir__bias_collect() */
}

COIR__INLINE void coir__bias_leave(struct coir__bias *b)
{
    atomic_store_explicit(&b->inside, false, memory_order_release); /* pairs with the collector */
}

/* Inside: notes one more reader of `lock`. False: its place is another's. */
COIR__INLINE bool coir__bias_add(struct coir__bias *b, const void *lock)
{
    coir__bias_entry *e = coir__bias_entry_of(b, lock);
    uint32_t count = atomic_load_explicit(&e->count, memory_order_acquire);
    if (coir__unlikely(count != 0 && atomic_load_explicit(&e->lock, memory_order_relaxed) != lock))
        return false;
    atomic_store_explicit(&e->lock, lock, memory_order_relaxed);
    atomic_store_explicit(&e->count, count + 1,
                          memory_order_release); /* after the name, for the collector */
    return true;
}

/* Inside: one less. False: none is noted here. */
COIR__INLINE bool coir__bias_remove(struct coir__bias *b, const void *lock)
{
    coir__bias_entry *e = coir__bias_entry_of(b, lock);
    uint32_t count = atomic_load_explicit(&e->count, memory_order_acquire);
    if (coir__unlikely(count == 0 || atomic_load_explicit(&e->lock, memory_order_relaxed) != lock))
        return false;
    atomic_store_explicit(&e->count, count - 1, memory_order_release);
    return true;
}

/* The table of a worker, which gets one at its first call; NULL for a plain thread's, and when there is none left. */
struct coir__bias *coir__bias_of(coir__worker *w);

/* Whether a lock may be biased here at all. */
bool coir__bias_is_possible(void);

/* `lock` is not biased any more: takes the readers that all tables have of it, and returns how many. Whoever makes it biased again
 * has been kept out, until this has returned. */
uint32_t coir__bias_collect(const void *lock);

#endif
