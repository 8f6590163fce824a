/* SPDX-License-Identifier: MIT */
/*
 * notify.c - wake one, or let the next one through.
 *
 * I1  A permit is stored only if nobody could be claimed for it. So nobody waits while one is stored, but those claimed elsewhere and
 *     selects that are about to look again.
 * I2  A select has waited since it showed its node, though it can't be claimed while it tries a case. A permit that was stored
 *     meanwhile it finds; that all were notified it knows by their number, `alls`.
 *
 * A notify may be on a waiter's stack: the last access of who wakes it is the release of the lock.
 */
#include "sync/select.h"

/* In a coir_notify. */
struct notify {
    coir__lock lock; /* guards the rest */
    bool permit;
    uint64_t alls; /* calls of coir_notify_all() */
    coir__link waiters;
};

_Static_assert(sizeof(struct notify) <= sizeof(coir_notify), "the public struct has room");

static struct notify *notify_of(coir_notify *n) { return (struct notify *)(void *)n; }

static bool take_permit_locked(struct notify *n)
{
    bool taken = n->permit;
    n->permit = false;
    return taken;
}

static COIR__NOINLINE int wait_slow(struct notify *n)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    for (bool attended = !coir__must_attend(self);; attended = true) {
        coir__lock_take(&n->lock);
        if (take_permit_locked(n)) {
            coir__lock_drop(&n->lock);
            return coir__charge(w, 0);
        }
        if (attended)
            break;
        coir__lock_drop(&n->lock);
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
    }
    coir__wait_queue(self, &n->waiters, NULL);
    return coir__park(w, self, &n->lock, COIR__WAIT_NOTIFY);
}

COIR__INLINE int wait_short(coir__worker *w, coir__task *self, struct notify *n, bool private)
{
    if (take_permit_locked(n)) {
        coir__short_leave(w, &n->lock, private);
        return coir__charge(w, 0);
    }
    coir__wait_queue(self, &n->waiters, NULL);
    return coir__park_way(w, self, &n->lock, COIR__WAIT_NOTIFY, private);
}

static COIR__NOINLINE int wait_locked(coir__worker *w, coir__task *self, struct notify *n)
{
    if (coir__unlikely(!coir__lock_try(&n->lock)))
        return wait_slow(n);
    return wait_short(w, self, n, false);
}

int coir_notify_wait(coir_notify *notify)
{
    struct notify *n = notify_of(notify);
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return wait_slow(n);
    if (!coir__private_enter(w))
        return wait_locked(w, self, n);
    return wait_short(w, self, n, true);
}

void coir_notify_one(coir_notify *notify)
{
    struct notify *n = notify_of(notify);
    coir__worker *w = coir__worker_here();
    uint32_t was = 0;
    bool private = coir__short_enter(w, &n->lock);
    coir__node *met = coir__claim_first_way(&n->waiters, NULL, &was, private);
    if (!met)
        n->permit = true;
    coir__short_leave(w, &n->lock, private);
    if (met)
        coir__wake(w, met, was, 0);
}

void coir_notify_all(coir_notify *notify)
{
    struct notify *n = notify_of(notify);
    coir__worker *w = coir__worker_here();
    coir__lock_take(&n->lock);
    n->alls++;
    coir__node *met = coir__claim_all(&n->waiters);
    coir__lock_drop(&n->lock);
    coir__wake_all(w, met, 0);
}

/* -- select ----------------------------------------------------------------------------------------------------- */

/* I2: whether all were notified since the case was shown. */
static bool was_notified_locked(const struct notify *n, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    return slot->shown && slot->number != n->alls;
}

static bool notify_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    struct notify *n = k->object;
    (void)w;
    coir__lock_take(&n->lock);
    bool done = was_notified_locked(n, k) || take_permit_locked(n);
    coir__lock_drop(&n->lock);
    *ret_outcome = 0;
    return done;
}

static bool notify_show(coir__worker *w, coir_case *k)
{
    struct notify *n = k->object;
    coir__slot *slot = coir__case_slot(k);
    (void)w;
    coir__lock_take(&n->lock);
    slot->number = n->alls;
    coir__list_append(&n->waiters, &slot->u.wait.node.link);
    bool ready = n->permit;
    coir__lock_drop(&n->lock);
    return ready;
}

static bool notify_peek(coir__worker *w, coir_case *k)
{
    struct notify *n = k->object;
    (void)w;
    coir__lock_take(&n->lock);
    bool ready = n->permit || was_notified_locked(n, k);
    coir__lock_drop(&n->lock);
    return ready;
}

static void notify_hide(coir__worker *w, coir_case *k)
{
    coir__case_unlink(w, k, &((struct notify *)k->object)->lock);
}

const coir__case_ops coir__case_notify = {notify_attempt, notify_show, notify_peek, notify_hide};
