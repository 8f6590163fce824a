/* SPDX-License-Identifier: MIT */
/*
 * futex.c - waiting for a word of the program's own.
 *
 *   address --hash--> bucket: lock, those who wait at any address that comes here (`data`: which)
 *
 * The word is compared under the bucket's lock, and who wakes takes that lock after it has changed the word. So either the waiter
 * sees the change, or it is in the list when the waker comes. Nobody else reads the word, and wake not even that: it
 * may be gone by then.
 *
 * Cost: a wake that finds nobody is a lock taken and released; those of other addresses in the bucket are walked over.
 */
#include "sync/chain.h"

#define BUCKETS 256u /* a power of two; 16 KiB */

struct bucket {
    _Alignas(64) coir__lock lock;
    coir__link waiters;
};

static struct bucket buckets[BUCKETS];

static struct bucket *bucket_of(const uint32_t *addr)
{
    uint64_t key = (uint64_t)(uintptr_t)addr *
                   UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio */
    return &buckets[(key >> 32) % BUCKETS];
}

static bool is_word(const uint32_t *addr) { return addr && (uintptr_t)addr % sizeof *addr == 0; }

/* Acquire: who finds another value sees what was written before it. */
static uint32_t value_of(const uint32_t *addr) { return __atomic_load_n(addr, __ATOMIC_ACQUIRE); }

static void *name_of(const uint32_t *addr) { return (void *)(uintptr_t)addr; }

static COIR__NOINLINE int wait_slow(const uint32_t *addr, uint32_t expected)
{
    struct bucket *b = bucket_of(addr);
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (!is_word(addr))
        return -EINVAL;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    for (bool attended = !coir__must_attend(self);; attended = true) {
        coir__lock_take(&b->lock);
        if (value_of(addr) != expected) {
            coir__lock_drop(&b->lock);
            return coir__charge(w, -EAGAIN);
        }
        if (attended)
            break;
        coir__lock_drop(&b->lock);
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
    }
    coir__wait_queue(self, &b->waiters, name_of(addr));
    return coir__park(w, self, &b->lock, COIR__WAIT_FUTEX);
}

int coir_futex_wait(const uint32_t *addr, uint32_t expected)
{
    struct bucket *b = bucket_of(addr);
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(!is_word(addr)))
        return wait_slow(addr, expected);
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return wait_slow(addr, expected);
    if (coir__unlikely(!coir__lock_try(&b->lock)))
        return wait_slow(addr, expected);
    if (value_of(addr) != expected) {
        coir__lock_drop(&b->lock);
        return coir__charge(w, -EAGAIN);
    }
    coir__wait_queue(self, &b->waiters, name_of(addr));
    return coir__park_short(w, self, &b->lock, COIR__WAIT_FUTEX);
}

/* Claims up to `n` of those who wait at `addr`. How many. */
static int claim_locked(struct bucket *b, const uint32_t *addr, int n, coir__chain *chain)
{
    int count = 0;
    coir__link *next;
    for (coir__link *link = coir__list_first(&b->waiters); link && count < n; link = next) {
        coir__node *node = (coir__node *)(void *)link;
        next = coir__list_next(&b->waiters, link);
        if (node->data != name_of(addr))
            continue;
        uint32_t was = coir__claim(node->task);
        if (was == COIR__PARK_ACTIVE)
            continue;
        coir__list_remove(link);
        link->next = NULL;
        coir__chain_add(chain, node, was);
        count++;
    }
    return count;
}

int coir_futex_wake(const uint32_t *addr, int n)
{
    if (!is_word(addr) || n <= 0)
        return -EINVAL;
    struct bucket *b = bucket_of(addr);
    coir__worker *w = coir__worker_here();
    coir__chain chain = {0};
    coir__lock_take(&b->lock);
    int count = claim_locked(b, addr, n, &chain);
    coir__lock_drop(&b->lock);
    coir__wake_all(w, chain.first, 0);
    return count;
}
