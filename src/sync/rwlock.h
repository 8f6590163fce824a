/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_RWLOCK_H
#define COIR_SYNC_RWLOCK_H

#include "sync/wait.h"

enum coir__rwlock_word {
    COIR__RWLOCK_WRITER = 1,  /* held for writing */
    COIR__RWLOCK_PENDING = 2, /* somebody waits: newcomers and the last to leave come to the lock */
    COIR__RWLOCK_BIASED = 4,  /* readers may be noted with their workers: sync/bias.h */
    COIR__RWLOCK_READER =
        8, /* one of those who hold it for reading; the rest of the word counts them */
};

/* In a coir_rwlock. */
struct coir__rwlock {
    coir__lock lock;           /* guards the lists; first, so that its address names the object */
    _Atomic uint32_t word;     /* coir__rwlock_word */
    coir__task *_Atomic owner; /* who holds it for writing */
    coir__link readers;        /* who waits to read */
    coir__link writers;
    int64_t unbiased_until; /* not to be biased before; guarded by the lock */
};

_Static_assert(sizeof(struct coir__rwlock) <= sizeof(coir_rwlock), "the public struct has room");

/* Who holds it for writing; else NULL, and how many read. */
COIR__INLINE coir__task *coir__rwlock_holder(struct coir__rwlock *l, uint32_t *ret_readers)
{
    *ret_readers = atomic_load_explicit(&l->word, memory_order_relaxed) / COIR__RWLOCK_READER;
    return atomic_load_explicit(&l->owner, memory_order_relaxed);
}

#endif
