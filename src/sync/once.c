/* SPDX-License-Identifier: MIT */
/*
 * once.c - something done by the first who comes.
 *
 * I1  `runner` is the task that is inside the function, or NULL.
 * I2  who waits is woken when the runner has come out: to return (done), or to compete for being the next runner.
 */
#include "sync/once.h"

#include "sync/holder.h"

static void runner_set(struct coir__once *o, coir__task *t)
{
    atomic_store_explicit(&o->runner, t, memory_order_relaxed);
}

static void run_end(struct coir__once *o, bool done)
{
    coir__lock_take(&o->lock);
    o->done = done;
    runner_set(o, NULL);
    coir__node *n = coir__claim_all(&o->waiters);
    coir__lock_drop(&o->lock);
    coir__wake_all(coir__worker_here(), n, 0);
}

/* Waits until the runner has come out. The lock is held, and released. */
static int once_wait(struct coir__once *o, coir__worker *w, coir__task *self)
{
    if (coir__must_attend(self)) {
        coir__lock_drop(&o->lock);
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
        coir__lock_take(&o->lock);
        if (!coir__once_runner(o)) {
            coir__lock_drop(&o->lock);
            return 0;
        }
    }
    coir__wait_queue(self, &o->waiters, NULL);
    int rc = coir__park(w, self, &o->lock, COIR__WAIT_ONCE);
    coir__holder_let_look();
    return rc;
}

int coir_once_run(coir_once *once, coir_fn *fn, void *arg)
{
    struct coir__once *o = (struct coir__once *)(void *)once;
    if (!fn)
        return -EINVAL;
    for (;;) {
        coir__worker *w = coir__worker_here();
        coir__task *self = w->current;
        if (coir__is_cancelled(self))
            return coir__scope_refuse(w, self);
        coir__lock_take(&o->lock);
        coir__task *runner = coir__once_runner(o);
        if (o->done || runner == self || !runner) {
            int rc = o->done ? 0 : runner == self ? -EDEADLK : -EAGAIN;
            if (rc == -EAGAIN)
                runner_set(o, self);
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
