/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - mutual exclusion for tasks and threads.
 *
 *   owner word: 0 free; else the owner's descriptor; WAITERS: somebody is in the list; WOKEN: somebody is on the way.
 *
 * Barging: an unlock frees the word and wakes the first waiter, who competes with whoever comes by. That is what
 * throughput wants: a hand-off makes every section cost a switch. While the one that was woken is on the way, further
 * unlocks wake nobody. But a waiter that has been passed over for about 1 ms turns hand-off on: from then on an unlock gives
 * the mutex to the first in line, until nobody waits. (In the manner of Go's sync.Mutex.)
 *
 * I1  WAITERS is set whenever the list is not empty; it changes under the lock. So an unlock by compare-and-swap from
 *     "owner, nobody waits" is complete.
 * I2  WOKEN is set under the lock, when a waiter is woken to compete, and only while it is not set. That waiter takes it
 *     away: with the mutex, or under the lock when it waits again or leaves. So an unlock that finds it set may leave the rest
 *     to that waiter, and does, by a compare-and-swap.
 * I3  every wake is answered: a waiter that was woken can't be cancelled, because it returns from its park with success and
 *     competes; if it leaves (cancelled at its next wait) and the mutex is free, it passes the wake on.
 * I4  The last access. The word becomes free by the unlocker's last access; or under the lock while somebody is inside a call
 *     who keeps the mutex in existence: one who is in the list, or has been taken out of it and not been woken yet. So the last
 *     user may destroy a mutex at once.
 *
 * While a task owns the mutex and has its lock, nobody else changes the word: newcomers need it free, waiters need the lock.
 *
 * A waiter is also what keeps the mutex in existence for a dump that looks at its owner: sync/holder.h.
 *
 * Order of locks: that of a condition comes before that of its mutex (coir__mutex_release()).
 * Cost: one compare-and-swap each, uncontended, and none while private (sched/worker.h). The clock is read by those who wait, unless the mutex is being handed on.
 */
#include "sync/mutex.h"

#include "base/time.h"
#include "sync/holder.h"

#define STARVING COIR_MS(1)
#define UNTIMED (-1)
#define WAITERS ((uintptr_t)COIR__MUTEX_WAITERS)
#define WOKEN_ONE ((uintptr_t)COIR__MUTEX_WOKEN)

enum { WOKEN = 0, HANDED = 1 }; /* what a park returns */

static struct coir__mutex *mutex_of(coir_mutex *m) { return (struct coir__mutex *)(void *)m; }

static coir__task *owner_of(uintptr_t word)
{
    return (coir__task *)(word & ~(uintptr_t)COIR__MUTEX_BITS);
}

/* Takes it if it is free, whoever waits. `woken`: the caller is the one on the way. */
static bool mutex_grab(struct coir__mutex *m, coir__task *self, bool woken)
{
    uintptr_t keep = woken ? WAITERS : WAITERS | WOKEN_ONE;
    uintptr_t word = atomic_load_explicit(&m->owner, memory_order_relaxed);
    while (!owner_of(word))
        if (atomic_compare_exchange_weak_explicit(&m->owner, &word, (uintptr_t)self | (word & keep),
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

/* From `word`, which it was a moment ago, to `to`. */
COIR__INLINE bool word_swap(struct coir__mutex *m, uintptr_t word, uintptr_t to)
{
    return atomic_compare_exchange_strong_explicit(&m->owner, &word, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* mutex_grab(m, self, false) in one step, private or not. */
COIR__INLINE bool take_fast(struct coir__mutex *m, coir__worker *w, const coir__task *self)
{
    bool private = coir__private_enter(w);
    uintptr_t word = atomic_load_explicit(&m->owner, memory_order_relaxed);
    bool is_free = coir__likely(!owner_of(word));
    if (!private)
        return is_free && coir__likely(word_swap(m, word, word | (uintptr_t)self));
    if (is_free)
        atomic_store_explicit(&m->owner, word | (uintptr_t)self, memory_order_relaxed);
    coir__private_leave(w);
    return is_free;
}

/* Whether the list has become empty; then nobody waits, and hand-off ends. The lock is held. */
static void settle_locked(struct coir__mutex *m)
{
    if (!coir__list_is_empty(&m->waiters))
        return;
    atomic_store_explicit(&m->hand_off, false, memory_order_relaxed);
    atomic_fetch_and_explicit(&m->owner, ~WAITERS, memory_order_relaxed);
}

/* -- locking ---------------------------------------------------------------------------------- */

struct contender {
    bool shielded; /* can't be cancelled */
    bool woken;    /* has waited, and is the one on the way */
    int64_t since; /* when it came, or UNTIMED */
};

/* Whether it has been passed over for too long. */
static bool is_starving(struct coir__mutex *m, const coir__worker *w, struct contender *c)
{
    if (atomic_load_explicit(&m->hand_off, memory_order_relaxed))
        return false; /* it can't help it any further */
    int64_t now = coir__now(w);
    if (c->since == UNTIMED)
        c->since = now;
    return now - c->since > STARVING;
}

/* One wait. WOKEN, HANDED, or an error. */
static int mutex_park(struct coir__mutex *m, coir__worker *w, coir__task *self, struct contender *c)
{
    bool starving = is_starving(m, w, c), again = c->woken;
    coir__lock_take(&m->lock);
    if (!(atomic_load_explicit(&m->owner, memory_order_relaxed) & WAITERS))
        atomic_fetch_or_explicit(&m->owner, WAITERS, memory_order_relaxed);
    if (again)
        atomic_fetch_and_explicit(&m->owner, ~WOKEN_ONE, memory_order_relaxed);
    c->woken = false;
    if (starving)
        atomic_store_explicit(&m->hand_off, true, memory_order_relaxed);
    /* After the bits, so that an unlock in between has been seen or sees us. */
    if (mutex_grab(m, self, false)) {
        settle_locked(m);
        coir__lock_drop(&m->lock);
        return HANDED;
    }
    self->wait.node.task = self;
    self->wait.node.data = NULL;
    if (again)
        coir__list_prepend(&m->waiters, &self->wait.node.link);
    else
        coir__list_append(&m->waiters, &self->wait.node.link);
    int rc = c->shielded ? coir__park_shielded(w, self, &m->lock, COIR__WAIT_MUTEX)
                         : coir__park(w, self, &m->lock, COIR__WAIT_MUTEX);
    coir__holder_let_look();
    c->woken = rc == WOKEN;
    return rc;
}

/* Who leaves without the mutex: wakes the first waiter if the mutex is free and nobody is on the way. */
static void mutex_pass(struct coir__mutex *m, coir__worker *w, bool woken)
{
    uint32_t was = 0;
    int outcome = WOKEN;
    coir__node *n = NULL;
    coir__lock_take(&m->lock);
    if (woken)
        atomic_fetch_and_explicit(&m->owner, ~WOKEN_ONE, memory_order_relaxed);
    uintptr_t word = atomic_load_explicit(&m->owner, memory_order_relaxed);
    if (!owner_of(word) && !(word & WOKEN_ONE))
        n = coir__claim_first(&m->waiters, NULL, &was);
    if (n && atomic_load_explicit(&m->hand_off, memory_order_relaxed) &&
        atomic_compare_exchange_strong_explicit(&m->owner, &word, (uintptr_t)n->task | WAITERS,
                                                memory_order_acquire, memory_order_relaxed))
        outcome = HANDED;
    else if (n)
        atomic_fetch_or_explicit(&m->owner, WOKEN_ONE, memory_order_relaxed);
    settle_locked(m);
    coir__lock_drop(&m->lock);
    if (n)
        coir__wake(w, n, was, outcome);
}

/* Waits until it has the mutex; or -ECANCELED, if it is not shielded. */
static int contend_slow(struct coir__mutex *m, coir__worker *w, coir__task *self, bool shielded)
{
    struct contender c = {.shielded = shielded, .since = UNTIMED};
    while (!mutex_grab(m, self, c.woken)) {
        int rc = !shielded && coir__must_attend(self) ? coir__scope_attend(w, self) : 0;
        if (rc == 0)
            rc = mutex_park(m, w, self, &c);
        w = coir__worker_here();
        if (rc == HANDED)
            return 0;
        if (rc < 0) {
            mutex_pass(m, w, c.woken); /* I3 */
            return rc;
        }
    }
    return 0;
}

/* Charged before it has the mutex: a task should not lose its turn while others wait for what it holds. */
static COIR__NOINLINE int lock_slow(struct coir__mutex *m)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    if (coir__mutex_owner(m) == self)
        return -EDEADLK;
    coir__charge(w, 0);
    return contend_slow(m, coir__worker_here(), self, false);
}

int coir_mutex_lock(coir_mutex *mutex)
{
    struct coir__mutex *m = mutex_of(mutex);
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(coir__is_cancelled_or_thread(self)) || coir__unlikely(--w->budget < 0))
        return lock_slow(m);
    return coir__likely(take_fast(m, w, self)) ? 0 : lock_slow(m);
}

int coir_mutex_try_lock(coir_mutex *mutex)
{
    struct coir__mutex *m = mutex_of(mutex);
    coir__task *self = coir__worker_here()->current;
    if (mutex_grab(m, self, false))
        return 0;
    return coir__mutex_owner(m) == self ? -EDEADLK : -EAGAIN;
}

void coir__mutex_take_shielded(struct coir__mutex *m, coir__worker *w, coir__task *self)
{
    if (coir__unlikely(!take_fast(m, w, self)))
        contend_slow(m, w, self, true);
}

/* -- unlocking -------------------------------------------------------------------------------- */

/* `self` holds it, and nobody waits, or somebody is on the way (I2). */
COIR__INLINE bool needs_no_wake(uintptr_t word, const coir__task *self)
{
    uintptr_t bits = word - (uintptr_t)self;
    return coir__likely(bits == 0) || bits == WOKEN_ONE || bits == (WOKEN_ONE | WAITERS);
}

/*
 * With the lock: hands over, or frees and wakes. False: nobody waits, the word says so, and the caller still holds the mutex,
 * to free it without the lock (I4).
 */
static bool unlock_locked(struct coir__mutex *m, coir__task *self, coir__node **ret_node,
                          uint32_t *ret_was, int *ret_outcome)
{
    coir__node *n = *ret_node = coir__claim_first(&m->waiters, NULL, ret_was);
    bool more = !coir__list_is_empty(&m->waiters);
    bool hand = n && atomic_load_explicit(&m->hand_off, memory_order_relaxed);
    uintptr_t word = more ? WAITERS : 0;
    if (!more)
        atomic_store_explicit(&m->hand_off, false, memory_order_relaxed);
    if (hand)
        word |= (uintptr_t)n->task;
    else if (n)
        word |= WOKEN_ONE;
    else if (!more)
        word = (uintptr_t)self;
    *ret_outcome = hand ? HANDED : WOKEN;
    atomic_store_explicit(&m->owner, word, memory_order_release);
    return n || more;
}

/* One try, since the word may change between a look at it and a step. */
static bool unlock_step(struct coir__mutex *m, coir__worker *w, coir__task *self)
{
    coir__node *n;
    uint32_t was = 0;
    int outcome;
    uintptr_t word = atomic_load_explicit(&m->owner, memory_order_relaxed);
    if (needs_no_wake(word, self))
        return atomic_compare_exchange_strong_explicit(&m->owner, &word, word & COIR__MUTEX_BITS,
                                                       memory_order_release, memory_order_relaxed);
    coir__lock_take(&m->lock);
    bool done = unlock_locked(m, self, &n, &was, &outcome);
    coir__lock_drop(&m->lock);
    if (n)
        coir__wake(w, n, was, outcome);
    return done;
}

static COIR__NOINLINE void unlock_slow(struct coir__mutex *m)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__mutex_owner(m) != self)
        coir__misuse("coir_mutex_unlock: the caller does not hold mutex %p", (void *)m);
    while (!unlock_step(m, w, self))
        ;
}

COIR__INLINE bool release_fast(struct coir__mutex *m, coir__worker *w, const coir__task *self)
{
    bool private = coir__private_enter(w);
    uintptr_t word = atomic_load_explicit(&m->owner, memory_order_relaxed);
    bool simple = coir__likely(needs_no_wake(word, self));
    if (!private)
        return simple && coir__likely(word_swap(m, word, word & COIR__MUTEX_BITS));
    if (simple)
        atomic_store_explicit(&m->owner, word & COIR__MUTEX_BITS, memory_order_relaxed);
    coir__private_leave(w);
    return simple;
}

void coir__mutex_release(struct coir__mutex *m, coir__worker *w, coir__task *self)
{
    if (coir__unlikely(!release_fast(m, w, self)))
        unlock_slow(m);
}

void coir_mutex_unlock(coir_mutex *mutex)
{
    coir__worker *w = coir__worker_near();
    coir__mutex_release(mutex_of(mutex), w, w->current);
}
