/* SPDX-License-Identifier: MIT */
/*
 * sem.c - a number of permits, served in order.
 *
 *   word: permits that nobody has, and the top bit: somebody waits (or did just now)
 *   waiters: each with the number it wants in its node's `data`
 *
 * A waiter is served when its turn comes and there are as many as it wants; so one that wants many holds up those behind it.
 *
 * I1  The bit is set whenever the list is not empty. It changes under the lock, and while it is set the whole word does. So
 *     acquire and release by compare-and-swap on a word without the bit are complete, and nobody overtakes who waits.
 * I2  When the lock is released, the first in line that is still to be had wants more than there is. What is passed by: those
 *     claimed elsewhere, who are about to leave, and selects that are out of reach (TRYING), which look again.
 * I3  A waiter that wanted several and was cancelled may have held up others: it serves them itself when it is back. A waiter for
 *     one holds up others only where there is none to be had, so it leaves nothing to settle, and may park flat.
 * I4  A releaser's last access is the one by which its permits can be taken: the release of the lock while the bit is set, else
 *     the compare-and-swap. So who takes the last permit may destroy the semaphore at once.
 *
 * Cost: an acquire or release that meets nobody is one compare-and-swap, and none while private (sched/worker.h).
 */
#include "sync/chain.h"
#include "sync/select.h"

#define WAITERS (UINT64_C(1) << 63)

/* In a coir_sem. */
struct sem {
    _Atomic uint64_t word;
    coir__lock lock; /* guards the list, and the word while it has the bit */
    coir__link waiters;
};

_Static_assert(sizeof(struct sem) <= sizeof(coir_sem), "the public struct has room");
_Static_assert(offsetof(struct sem, lock) == 8, "dumps find the semaphore by its lock");

static struct sem *sem_of(coir_sem *s) { return (struct sem *)(void *)s; }

static uint64_t wish_of(const coir__node *n) { return (uintptr_t)n->data; }

/* -- without the lock ------------------------------------------------------------------------------------------- */

/* Takes `n` if nobody waits and there are as many. */
static bool sem_grab(coir__worker *w, struct sem *s, uint64_t n)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
        if (word & WAITERS || word < n)
            return false;
        if (coir__likely(coir__swap_64(w, &s->word, word, word - n)))
            return true;
    }
}

static void check_sum(const struct sem *s, uint64_t permits)
{
    if (coir__unlikely(permits > COIR_SEM_MAX))
        coir__misuse("coir_sem_release: more than COIR_SEM_MAX permits in semaphore %p",
                     (const void *)s);
}

/* Adds `n` if nobody waits. */
static bool sem_put(coir__worker *w, struct sem *s, uint64_t n)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
        if (word & WAITERS)
            return false;
        check_sum(s, word + n);
        if (coir__likely(coir__swap_64(w, &s->word, word, word + n)))
            return true;
    }
}

/* -- with the lock ---------------------------------------------------------------------------------------------- */

/* The permits there are. From here to sem_leave(), or to the end of the wait, the bit is set. */
static uint64_t sem_enter_locked(struct sem *s)
{
    return atomic_fetch_or_explicit(&s->word, WAITERS, memory_order_acquire) & ~WAITERS;
}

static void word_store(struct sem *s, uint64_t permits, bool waiters)
{
    atomic_store_explicit(&s->word, permits | (waiters ? WAITERS : 0),
                          memory_order_release); /* pairs with sem_grab() */
}

/* Releases the lock, and takes the bit away if nobody waits. */
static void sem_leave(struct sem *s)
{
    uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);
    if ((word & WAITERS) && coir__list_is_empty(&s->waiters))
        word_store(s, word & ~WAITERS, false);
    coir__lock_drop(&s->lock);
}

/* Serves those who wait, as far as the permits go, up to the first node of `self` (NULL: to the end). True if it got there: nobody
 * else's turn comes first. */
static bool serve_locked(struct sem *s, uint64_t *permits, const coir__task *self,
                         coir__chain *served)
{
    coir__link *next;
    for (coir__link *link = coir__list_first(&s->waiters); link; link = next) {
        coir__node *n = (coir__node *)(void *)link;
        next = coir__list_next(&s->waiters, link);
        if (n->task == self)
            return true;
        uint64_t wish = wish_of(n);
        if (wish > *permits)
            return false; /* if it has been cancelled: I3 */
        uint32_t was = coir__claim(n->task);
        if (was == COIR__PARK_ACTIVE)
            continue;
        coir__list_remove(link);
        link->next = NULL;
        *permits -= wish;
        coir__chain_add(served, n, was);
    }
    return true;
}

/* Takes `n` if it is the turn of `self`, after serving those whose turn it is before. */
static bool take_locked(struct sem *s, uint64_t n, const coir__task *self, coir__chain *served)
{
    uint64_t permits = sem_enter_locked(s);
    bool taken = serve_locked(s, &permits, self, served) && permits >= n;
    word_store(s, taken ? permits - n : permits, true);
    return taken;
}

/* -- acquire ---------------------------------------------------------------------------------------------------- */

static bool try_take(coir__worker *w, struct sem *s, uint64_t n, const coir__task *self)
{
    if (sem_grab(w, s, n))
        return true;
    coir__chain served = {0};
    coir__lock_take(&s->lock);
    bool taken = take_locked(s, n, self, &served);
    sem_leave(s);
    coir__wake_all(w, served.first, 0);
    return taken;
}

#define MUST_PARK 1

/* 0 or an error, or MUST_PARK: the caller is in line, and the lock is held. */
static int enter_line(coir__worker *w, coir__task *self, struct sem *s, uint64_t n)
{
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    if (sem_grab(w, s, n))
        return coir__charge(w, 0);
    for (bool attended = !coir__must_attend(self);;) {
        coir__chain served = {0};
        coir__lock_take(&s->lock);
        bool taken = take_locked(s, n, NULL, &served);
        if (!taken && !served.first && attended)
            break;
        sem_leave(s);
        coir__wake_all(w, served.first, 0);
        if (taken)
            return coir__charge(w, 0);
        if (!attended) {
            int rc = coir__scope_attend(w, self);
            if (rc < 0)
                return rc;
            attended = true;
        }
    }
    coir__wait_queue(self, &s->waiters, (void *)(uintptr_t)n);
    return MUST_PARK;
}

static COIR__NOINLINE int acquire_slow(struct sem *s)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    int rc = enter_line(w, self, s, 1);
    if (rc != MUST_PARK)
        return rc;
    return coir__park(w, self, &s->lock, COIR__WAIT_SEM); /* I3 */
}

static COIR__NOINLINE int acquire_many(struct sem *s, uint64_t n)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    int rc = enter_line(w, self, s, n);
    if (rc != MUST_PARK)
        return rc;
    rc = coir__park(w, self, &s->lock, COIR__WAIT_SEM);
    if (rc < 0)
        try_take(coir__worker_here(), s, 0, NULL); /* I3: takes nothing, serves the others */
    return rc;
}

int coir_sem_acquire(coir_sem *sem)
{
    struct sem *s = sem_of(sem);
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return acquire_slow(s);
    if (coir__likely(sem_grab(w, s, 1)))
        return coir__charge(w, 0);
    if (coir__unlikely(!coir__lock_try(&s->lock)))
        return acquire_slow(s);
    if (coir__unlikely(sem_enter_locked(s) > 0)) {
        sem_leave(s);
        return acquire_slow(s);
    }
    coir__wait_queue(self, &s->waiters, (void *)(uintptr_t)1);
    return coir__park_short(w, self, &s->lock, COIR__WAIT_SEM);
}

int coir_sem_acquire_n(coir_sem *sem, size_t n)
{
    if (n == 0 || n > COIR_SEM_MAX)
        return -EINVAL;
    return n == 1 ? coir_sem_acquire(sem) : acquire_many(sem_of(sem), n);
}

int coir_sem_try_acquire(coir_sem *sem) { return coir_sem_try_acquire_n(sem, 1); }

int coir_sem_try_acquire_n(coir_sem *sem, size_t n)
{
    if (n == 0 || n > COIR_SEM_MAX)
        return -EINVAL;
    return try_take(coir__worker_here(), sem_of(sem), n, NULL) ? 0 : -EAGAIN;
}

/* -- release ---------------------------------------------------------------------------------------------------- */

/* Gives `n` more to those who wait. If nobody waits any more, what is over of them is not put into the word but returned: the
 * caller puts it there when it has released the lock (I4). */
static uint64_t hand_out_locked(struct sem *s, uint64_t n, coir__chain *served)
{
    uint64_t permits = sem_enter_locked(s) + n;
    serve_locked(s, &permits, NULL, served);
    check_sum(s, permits);
    bool waiters = !coir__list_is_empty(&s->waiters);
    uint64_t over = waiters ? 0 : permits < n ? permits : n;
    word_store(s, permits - over, waiters);
    return over;
}

static COIR__NOINLINE void release_slow(struct sem *s, uint64_t n)
{
    coir__worker *w = coir__worker_here();
    coir__chain served = {0};
    while (n > 0 && !sem_put(w, s, n)) {
        coir__lock_take(&s->lock);
        n = hand_out_locked(s, n, &served);
        coir__lock_drop(&s->lock);
    }
    coir__wake_all(w, served.first, 0);
}

void coir_sem_release_n(coir_sem *sem, size_t n)
{
    struct sem *s = sem_of(sem);
    check_sum(s, n);
    coir__worker *w = coir__worker_here();
    if (coir__unlikely(!sem_put(w, s, n)))
        release_slow(s, n);
}

void coir_sem_release(coir_sem *sem) { coir_sem_release_n(sem, 1); }

/* -- select: one permit ----------------------------------------------------------------------------------------- */

/* Whether the turn of `self`, whose node is in the list, has come. */
static bool is_turn_locked(struct sem *s, const coir__task *self)
{
    uint64_t permits = atomic_load_explicit(&s->word, memory_order_relaxed) & ~WAITERS;
    for (coir__link *link = coir__list_first(&s->waiters); link;
         link = coir__list_next(&s->waiters, link)) {
        coir__node *n = (coir__node *)(void *)link;
        if (wish_of(n) > permits)
            return false;
        if (n->task == self)
            return true;
    }
    return false;
}

static bool sem_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    *ret_outcome = 0;
    return try_take(w, k->object, 1, w->current);
}

static bool sem_show(coir__worker *w, coir_case *k)
{
    struct sem *s = k->object;
    coir__node *n = &coir__case_slot(k)->u.wait.node;
    n->data = (void *)(uintptr_t)1;
    coir__lock_take(&s->lock);
    sem_enter_locked(s);
    coir__list_append(&s->waiters, &n->link);
    bool ready = is_turn_locked(s, w->current);
    coir__lock_drop(&s->lock);
    return ready;
}

static bool sem_peek(coir__worker *w, coir_case *k)
{
    struct sem *s = k->object;
    coir__lock_take(&s->lock);
    bool ready = is_turn_locked(s, w->current);
    coir__lock_drop(&s->lock);
    return ready;
}

static void sem_hide(coir__worker *w, coir_case *k)
{
    struct sem *s = k->object;
    (void)w;
    coir__lock_take(&s->lock);
    coir__case_unlink_locked(k);
    sem_leave(s);
}

const coir__case_ops coir__case_sem = {sem_attempt, sem_show, sem_peek, sem_hide};
