/* SPDX-License-Identifier: MIT */
/*
 * event.c - a flag to wait for.
 *
 * I1  nobody waits while the flag is set, but those whom somebody else has claimed.
 * An event may be on a waiter's stack: the setter's last access to it is the release of the lock, and a waiter that finds the
 * flag set at once takes the lock before it returns.
 */
#include "sync/event.h"

static struct coir__event *event_of(coir_event *e) { return (struct coir__event *)(void *)e; }

static COIR__NOINLINE int wait_slow(struct coir__event *e)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    for (bool attended = !coir__must_attend(self);; attended = true) {
        coir__lock_take(&e->lock);
        if (e->set) {
            coir__lock_drop(&e->lock);
            return coir__charge(w, 0);
        }
        if (attended)
            break;
        coir__lock_drop(&e->lock);
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
    }
    coir__wait_queue(self, &e->waiters, NULL);
    return coir__park(w, self, &e->lock, COIR__WAIT_EVENT);
}

/* Others may be at it too. */
static COIR__NOINLINE int wait_locked(coir__worker *w, coir__task *self, struct coir__event *e)
{
    coir__private_leave(w);
    if (coir__unlikely(!coir__lock_try(&e->lock)))
        return wait_slow(e);
    if (e->set) {
        coir__lock_drop(&e->lock);
        return coir__charge(w, 0);
    }
    coir__wait_queue(self, &e->waiters, NULL);
    return coir__park_way(w, self, &e->lock, COIR__WAIT_EVENT, false);
}

/* HOT. */
int coir_event_wait(coir_event *event)
{
    struct coir__event *e = event_of(event);
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return wait_slow(e);
    if (!coir__private_enter(w))
        return wait_locked(w, self, e);
    if (e->set) {
        coir__private_leave(w);
        return coir__charge(w, 0);
    }
    coir__wait_queue(self, &e->waiters, NULL);
    return coir__park_way(w, self, &e->lock, COIR__WAIT_EVENT, true);
}

void coir_event_set(coir_event *event)
{
    struct coir__event *e = event_of(event);
    coir__worker *w = coir__worker_here();
    coir__lock_take(&e->lock);
    e->set = true;
    coir__node *n = coir__claim_all(&e->waiters);
    coir__lock_drop(&e->lock);
    coir__wake_all(w, n, 0);
}

void coir_event_reset(coir_event *event)
{
    struct coir__event *e = event_of(event);
    coir__worker_here(); /* I7 of sched/worker.h */
    coir__lock_take(&e->lock);
    e->set = false;
    coir__lock_drop(&e->lock);
}

bool coir_event_is_set(coir_event *event)
{
    struct coir__event *e = event_of(event);
    coir__worker_here();
    coir__lock_take(&e->lock);
    bool set = e->set;
    coir__lock_drop(&e->lock);
    return set;
}
