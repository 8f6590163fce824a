/* SPDX-License-Identifier: MIT */
/*
 * future.c - a value that will be known once.
 *
 * I1  `value` changes once, before `set`, under the lock; who waits is given it before being woken, and so does not come back to the
 *     future, which may be gone then.
 * I2  nobody waits while it is set, but those claimed elsewhere.
 * The setter's last access is the release of the lock; who finds the value at once takes the lock before it returns.
 */
#include "sync/chain.h"
#include "sync/select.h"

/* In a coir_future. */
struct future {
    coir__lock lock; /* guards the rest */
    bool set;
    void *value;
    coir__link waiters; /* `data`: where the value goes; may be NULL */
};

_Static_assert(sizeof(struct future) <= sizeof(coir_future), "the public struct has room");

static struct future *future_of(coir_future *f) { return (struct future *)(void *)f; }

/* The lock is held and the value is there: stores it, releases. */
static void take_value(struct future *f, void **ret_value)
{
    void *value = f->value;
    coir__lock_drop(&f->lock);
    if (ret_value)
        *ret_value = value;
}

static COIR__NOINLINE int get_slow(struct future *f, void **ret_value)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    for (bool attended = !coir__must_attend(self);; attended = true) {
        coir__lock_take(&f->lock);
        if (f->set) {
            take_value(f, ret_value);
            return coir__charge(w, 0);
        }
        if (attended)
            break;
        coir__lock_drop(&f->lock);
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
    }
    coir__wait_queue(self, &f->waiters, ret_value);
    return coir__park(w, self, &f->lock, COIR__WAIT_FUTURE);
}

int coir_future_get(coir_future *future, void **ret_value)
{
    struct future *f = future_of(future);
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return get_slow(f, ret_value);
    if (coir__unlikely(!coir__lock_try(&f->lock)))
        return get_slow(f, ret_value);
    if (f->set) {
        take_value(f, ret_value);
        return coir__charge(w, 0);
    }
    coir__wait_queue(self, &f->waiters, ret_value);
    return coir__park_short(w, self, &f->lock, COIR__WAIT_FUTURE);
}

int coir_future_set(coir_future *future, void *value)
{
    struct future *f = future_of(future);
    coir__worker *w = coir__worker_here();
    coir__chain chain = {0};
    coir__node *n;
    uint32_t was;
    coir__lock_take(&f->lock);
    bool already = f->set;
    if (!already) {
        f->value = value;
        f->set = true;
        while ((n = coir__claim_first(&f->waiters, NULL, &was)) != NULL) {
            if (n->data)
                *(void **)n->data = value;
            coir__chain_add(&chain, n, was);
        }
    }
    coir__lock_drop(&f->lock);
    coir__wake_all(w, chain.first, 0);
    return already ? -EALREADY : 0;
}

/* -- select ----------------------------------------------------------------------------------------------------- */

static bool future_is_set(struct future *f)
{
    coir__lock_take(&f->lock);
    bool set = f->set;
    coir__lock_drop(&f->lock);
    return set;
}

static bool future_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    (void)w;
    *ret_outcome = 0;
    return future_is_set(k->object);
}

static bool future_show(coir__worker *w, coir_case *k)
{
    struct future *f = k->object;
    coir__node *n = &coir__case_slot(k)->u.wait.node;
    (void)w;
    n->data = NULL;
    coir__lock_take(&f->lock);
    coir__list_append(&f->waiters, &n->link);
    bool set = f->set;
    coir__lock_drop(&f->lock);
    return set;
}

static bool future_peek(coir__worker *w, coir_case *k)
{
    (void)w;
    return future_is_set(k->object);
}

static void future_hide(coir__worker *w, coir_case *k)
{
    coir__case_unlink(w, k, &((struct future *)k->object)->lock);
}

const coir__case_ops coir__case_future = {future_attempt, future_show, future_peek, future_hide};
