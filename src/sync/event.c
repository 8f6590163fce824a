/* SPDX-License-Identifier: MIT */
/*
 * event.c - a flag to wait for.
 *
 * I1  nobody waits while the flag is set, but those whom somebody else has claimed.
 * An event may be on a waiter's stack: the setter's last access to it is the release of the lock, and a waiter that finds the
 * flag set at once takes the lock before it returns.
 */
#include "sync/select.h"

/* In a coir_event. */
struct event {
    coir__lock lock; /* guards the rest */
    bool set;
    coir__link waiters;
};

_Static_assert(sizeof(struct event) <= sizeof(coir_event), "the public struct has room");

static struct event *event_of(coir_event *e) { return (struct event *)(void *)e; }

static COIR__NOINLINE int wait_slow(struct event *e)
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

COIR__INLINE int wait_short(coir__worker *w, coir__task *self, struct event *e, bool private)
{
    if (e->set) {
        coir__short_leave(w, &e->lock, private);
        return coir__charge(w, 0);
    }
    coir__wait_queue(self, &e->waiters, NULL);
    return coir__park_way(w, self, &e->lock, COIR__WAIT_EVENT, private);
}

/* Others may be at it too. */
static COIR__NOINLINE int wait_locked(coir__worker *w, coir__task *self, struct event *e)
{
    if (coir__unlikely(!coir__lock_try(&e->lock)))
        return wait_slow(e);
    return wait_short(w, self, e, false);
}

/* HOT. */
int coir_event_wait(coir_event *event)
{
    struct event *e = event_of(event);
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return wait_slow(e);
    if (!coir__private_enter(w))
        return wait_locked(w, self, e);
    return wait_short(w, self, e, true);
}

void coir_event_set(coir_event *event)
{
    struct event *e = event_of(event);
    coir__worker *w = coir__worker_here();
    coir__lock_take(&e->lock);
    e->set = true;
    coir__node *n = coir__claim_all(&e->waiters);
    coir__lock_drop(&e->lock);
    coir__wake_all(w, n, 0);
}

void coir_event_reset(coir_event *event)
{
    struct event *e = event_of(event);
    coir__worker_here(); /* I7 of sched/worker.h */
    coir__lock_take(&e->lock);
    e->set = false;
    coir__lock_drop(&e->lock);
}

bool coir_event_is_set(coir_event *event)
{
    struct event *e = event_of(event);
    coir__worker_here();
    coir__lock_take(&e->lock);
    bool set = e->set;
    coir__lock_drop(&e->lock);
    return set;
}

/* -- select ----------------------------------------------------------------------------------------------------- */

static bool event_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    (void)w;
    *ret_outcome = 0;
    return coir_event_is_set(k->object);
}

static bool event_show(coir__worker *w, coir_case *k)
{
    (void)w;
    struct event *e = k->object;
    coir__lock_take(&e->lock);
    coir__list_append(&e->waiters, &coir__case_slot(k)->u.wait.node.link);
    bool set = e->set;
    coir__lock_drop(&e->lock);
    return set;
}

static bool event_peek(coir__worker *w, coir_case *k)
{
    (void)w;
    return coir_event_is_set(k->object);
}

static void event_hide(coir__worker *w, coir_case *k)
{
    coir__case_unlink(w, k, &((struct event *)k->object)->lock);
}

const coir__case_ops coir__case_event = {event_attempt, event_show, event_peek, event_hide};
