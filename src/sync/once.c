/* SPDX-License-Identifier: MIT */
/*
 * once.c - something done by the first who comes.
 *
 * I1  `runner` is the task that is inside the function, or NULL.
 * I2  who waits is woken when the runner has come out: to return (done), or to compete for being the next runner.
 */
#include "sync/wait.h"

/* In a coir_once. */
struct once {
    coir__lock lock; /* guards the rest */
    bool done;
    coir__link waiters;
    coir__task *runner;
};

_Static_assert(sizeof(struct once) <= sizeof(coir_once), "the public struct has room");

static void run_end(struct once *o, bool done)
{
    coir__lock_take(&o->lock);
    o->done = done;
    o->runner = NULL;
    coir__node *n = coir__claim_all(&o->waiters);
    coir__lock_drop(&o->lock);
    coir__wake_all(coir__worker_here(), n, 0);
}

/* Waits until the runner has come out. The lock is held, and released. */
static int once_wait(struct once *o, coir__worker *w, coir__task *self)
{
    if (coir__must_attend(self)) {
        coir__lock_drop(&o->lock);
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
        coir__lock_take(&o->lock);
        if (!o->runner) {
            coir__lock_drop(&o->lock);
            return 0;
        }
    }
    coir__wait_queue(self, &o->waiters, NULL);
    return coir__park(w, self, &o->lock, COIR__WAIT_ONCE);
}

int coir_once_run(coir_once *once, coir_fn *fn, void *arg)
{
    struct once *o = (struct once *)(void *)once;
    if (!fn)
        return -EINVAL;
    for (;;) {
        coir__worker *w = coir__worker_here();
        coir__task *self = w->current;
        if (coir__is_cancelled(self))
            return coir__scope_refuse(w, self);
        coir__lock_take(&o->lock);
        if (o->done || o->runner == self || !o->runner) {
            int rc = o->done ? 0 : o->runner == self ? -EDEADLK : -EAGAIN;
            if (rc == -EAGAIN)
                o->runner = self;
            coir__lock_drop(&o->lock);
            if (rc != -EAGAIN)
                return rc < 0 ? rc : coir__charge(w, 0);
            rc = fn(arg);
            run_end(o, rc >= 0);
            return rc < 0 ? rc : 0;
        }
        int rc = once_wait(o, w, self);
        if (rc < 0)
            return rc;
    }
}
