/* SPDX-License-Identifier: MIT */
/*
 * cond.c - conditions: what a task waits for while it does not hold the mutex.
 *
 * I1  who waits is in the list before the mutex is free, and parks with the lock of the condition. So a signal by somebody
 *     who has had the mutex after it finds it, and finds its registers saved.
 * I2  a signal is one claim. Who was claimed by a canceller is passed over, so no signal is used up by one who returns
 *     -ECANCELED; and who was signalled returns 0, cancelled or not.
 * I3  the mutex is taken again uncancellably, whatever came out of the wait.
 *
 * A signaller's last access is the release of the lock: the last one that is woken may destroy the condition. Who takes the
 * mutex again does not touch it any more.
 *
 * Order of locks: the condition's, then that of the mutex, for as long as its unlock takes. A signaller takes only the first.
 * Cost: the lock once for each call, besides the mutex.
 */
#include "sync/mutex.h"

/* In a coir_cond. */
struct cond {
    coir__lock lock; /* guards the list; first, so that its address names the condition */
    coir__link waiters;
};

_Static_assert(sizeof(struct cond) <= sizeof(coir_cond), "the public struct has room");

static struct cond *cond_of(coir_cond *c) { return (struct cond *)(void *)c; }

#define NOT_PRIVATE 1

/* The same as below while nobody else can come, and nobody waits for the mutex. */
static int wait_privately(struct cond *c, struct coir__mutex *m, coir__worker *w, coir__task *self)
{
    if (!coir__private_enter(w))
        return NOT_PRIVATE;
    if (coir__unlikely(atomic_load_explicit(&m->owner, memory_order_relaxed) != (uintptr_t)self)) {
        coir__private_leave(w);
        return NOT_PRIVATE;
    }
    atomic_store_explicit(&m->owner, 0, memory_order_relaxed);
    coir__wait_queue(self, &c->waiters, NULL);
    return coir__park_private(w, self, &c->lock, COIR__WAIT_COND);
}

int coir_cond_wait(coir_cond *cond, coir_mutex *mutex)
{
    struct cond *c = cond_of(cond);
    struct coir__mutex *m = (struct coir__mutex *)(void *)mutex;
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__unlikely(!m || coir__mutex_owner(m) != self))
        coir__misuse("coir_cond_wait: the caller does not hold mutex %p", (void *)m);
    if (coir__unlikely(coir__is_cancelled(self)))
        return coir__scope_refuse(w, self);
    if (coir__unlikely(coir__must_attend(self))) {
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
        w = coir__worker_here();
    }
    int rc = wait_privately(c, m, w, self);
    if (rc == NOT_PRIVATE) {
        coir__lock_take(&c->lock);
        coir__wait_queue(self, &c->waiters, NULL);
        coir__mutex_release(m, w, self);
        rc = coir__park(w, self, &c->lock, COIR__WAIT_COND);
    }
    coir__mutex_take_shielded(m, coir__worker_here(), self);
    return rc;
}

void coir_cond_signal(coir_cond *cond)
{
    struct cond *c = cond_of(cond);
    coir__worker *w = coir__worker_here();
    uint32_t was = 0;
    bool private = coir__short_enter(w, &c->lock);
    coir__node *n = coir__claim_first_way(&c->waiters, NULL, &was, private);
    coir__short_leave(w, &c->lock, private);
    if (n)
        coir__wake(w, n, was, 0);
}

void coir_cond_broadcast(coir_cond *cond)
{
    struct cond *c = cond_of(cond);
    coir__worker *w = coir__worker_here();
    bool private = coir__short_enter(w, &c->lock);
    coir__node *chain = coir__claim_all(&c->waiters);
    coir__short_leave(w, &c->lock, private);
    coir__wake_all(w, chain, 0);
}
