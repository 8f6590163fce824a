/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - mutual exclusion for tasks and threads.
 *
 *   owner word: 0 free; else the owner's descriptor, and bit 0: somebody waits.
 *
 * Barging: an unlock frees the word and wakes the first waiter, who competes with whoever comes by. That is what
 * throughput wants: a hand-off makes every section cost a switch. But a waiter that has been passed over for about 1 ms
 * turns hand-off on: from then on an unlock gives the mutex to the first in line, until nobody waits. (In the manner of Go's
 * sync.Mutex.)
 *
 * I1  bit 0 is set whenever the list is not empty; it changes under the lock. So an unlock by compare-and-swap from
 *     "owner, nobody waits" is complete.
 * I2  the owner word becomes free by the unlocker's last access, if nobody waits; or under the lock, while somebody is in the
 *     list, whose bit sends the next unlocker to the lock. So a mutex may be destroyed by its last user at once.
 * I3  every wake is answered: a waiter that is woken and then cancelled can't be, because it returns from its park with
 *     success and competes; if it leaves (cancelled on its next wait) and the mutex is free, it passes the wake on.
 */
#include "base/time.h"
#include "sync/wait.h"

#define STARVING COIR_MS(1)
#define WAITERS ((uintptr_t)1)

enum { WOKEN = 0, HANDED = 1 }; /* what a park returns */

/* In a coir_mutex. */
struct mutex {
    coir__lock lock; /* guards list and hand_off */
    bool hand_off;
    _Atomic uintptr_t owner;
    coir__link waiters;
};

_Static_assert(sizeof(struct mutex) <= sizeof(coir_mutex), "the public struct has room");

static struct mutex *mutex_of(coir_mutex *m) { return (struct mutex *)(void *)m; }

static coir__task *owner_of(uintptr_t word) { return (coir__task *)(word & ~WAITERS); }

/* Takes it if it is free, whoever waits. */
static bool mutex_grab(struct mutex *m, coir__task *self)
{
    uintptr_t word = atomic_load_explicit(&m->owner, memory_order_relaxed);
    while (!owner_of(word))
        if (atomic_compare_exchange_weak_explicit(&m->owner, &word,
                                                  (uintptr_t)self | (word & WAITERS),
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

/* Whether the list has become empty; then nobody waits, and hand-off ends. The lock is held. */
static void settle_locked(struct mutex *m)
{
    if (!coir__list_is_empty(&m->waiters))
        return;
    m->hand_off = false;
    atomic_fetch_and_explicit(&m->owner, ~WAITERS, memory_order_relaxed);
}

/* One wait. WOKEN, HANDED, or an error. `again`: it has waited before, and goes to the front. */
static int mutex_park(struct mutex *m, coir__worker *w, coir__task *self, bool again, bool starving)
{
    coir__lock_take(&m->lock);
    atomic_fetch_or_explicit(&m->owner, WAITERS, memory_order_relaxed);
    if (starving)
        m->hand_off = true;
    if (mutex_grab(
            m, self)) { /* after the bit, so that an unlock in between has been seen or sees us */
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
    return coir__park(w, self, &m->lock, COIR__WAIT_MUTEX);
}

/* Wakes the first waiter, if the mutex is free or must be handed over. */
static void mutex_pass(struct mutex *m, coir__worker *w)
{
    uint32_t was = 0;
    coir__lock_take(&m->lock);
    coir__node *n = NULL;
    if (!owner_of(atomic_load_explicit(&m->owner, memory_order_relaxed)))
        n = coir__claim_first(&m->waiters, NULL, &was);
    int outcome = WOKEN;
    uintptr_t free_word = WAITERS;
    if (n && m->hand_off &&
        atomic_compare_exchange_strong_explicit(&m->owner, &free_word, (uintptr_t)n->task | WAITERS,
                                                memory_order_relaxed, memory_order_relaxed))
        outcome = HANDED;
    settle_locked(m);
    coir__lock_drop(&m->lock);
    if (n)
        coir__wake(w, n, was, outcome);
}

static COIR__NOINLINE int lock_slow(struct mutex *m)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    int64_t since = 0;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    if (owner_of(atomic_load_explicit(&m->owner, memory_order_relaxed)) == self)
        return -EDEADLK;
    for (bool again = false; !mutex_grab(m, self); again = true) {
        int rc = coir__must_attend(self) ? coir__scope_attend(w, self) : 0;
        int64_t now = coir__now(w);
        if (!again)
            since = now;
        if (rc == 0)
            rc = mutex_park(m, w, self, again, now - since > STARVING);
        w = coir__worker_here();
        if (rc == HANDED)
            break;
        if (rc < 0) {
            mutex_pass(m, w); /* I3 */
            return rc;
        }
    }
    return coir__charge(w, 0);
}

int coir_mutex_lock(coir_mutex *mutex)
{
    struct mutex *m = mutex_of(mutex);
    coir__worker *w = coir__worker_or_null();
    if (coir__unlikely(!w))
        return lock_slow(m);
    coir__task *self = w->current;
    uintptr_t free_word = 0;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) &
                       COIR__ATTENTION_CANCELLED))
        return lock_slow(m);
    if (coir__unlikely(!atomic_compare_exchange_strong_explicit(
            &m->owner, &free_word, (uintptr_t)self, memory_order_acquire, memory_order_relaxed)))
        return lock_slow(m);
    return coir__charge(w, 0);
}

int coir_mutex_try_lock(coir_mutex *mutex)
{
    struct mutex *m = mutex_of(mutex);
    coir__task *self = coir__worker_here()->current;
    if (mutex_grab(m, self))
        return 0;
    return owner_of(atomic_load_explicit(&m->owner, memory_order_relaxed)) == self ? -EDEADLK
                                                                                   : -EAGAIN;
}

/* Hands over, or frees and wakes. False: somebody has come to wait meanwhile, and the caller still holds the mutex. */
static bool unlock_step(struct mutex *m, coir__worker *w, coir__task *self)
{
    uint32_t was = 0;
    coir__lock_take(&m->lock);
    coir__node *n = coir__claim_first(&m->waiters, NULL, &was);
    bool hand = n && m->hand_off;
    bool more = !coir__list_is_empty(&m->waiters);
    if (hand) /* nobody but `n` can have it from here on, and `n` sleeps until we wake it */
        atomic_store_explicit(&m->owner, (uintptr_t)n->task | WAITERS, memory_order_release);
    else if (more) /* I2: whoever gets it now finds the bit, and comes to the lock */
        atomic_store_explicit(&m->owner, WAITERS, memory_order_release);
    settle_locked(m);
    coir__lock_drop(&m->lock);
    uintptr_t word = (uintptr_t)self;
    bool done = hand || more ||
                atomic_compare_exchange_strong_explicit(&m->owner, &word, 0, memory_order_release,
                                                        memory_order_relaxed);
    if (n)
        coir__wake(w, n, was, hand ? HANDED : WOKEN);
    return done;
}

static COIR__NOINLINE void unlock_slow(struct mutex *m, coir__worker *w, coir__task *self)
{
    if (owner_of(atomic_load_explicit(&m->owner, memory_order_relaxed)) != self)
        coir__misuse("coir_mutex_unlock: the caller does not hold mutex %p", (void *)m);
    while (!unlock_step(m, w, self))
        ;
}

void coir_mutex_unlock(coir_mutex *mutex)
{
    struct mutex *m = mutex_of(mutex);
    coir__worker *w = coir__worker_here();
    uintptr_t word = (uintptr_t)w->current;
    if (coir__unlikely(!atomic_compare_exchange_strong_explicit(
            &m->owner, &word, 0, memory_order_release, memory_order_relaxed)))
        unlock_slow(m, w, w->current);
}
