/* SPDX-License-Identifier: MIT */
/*
 * shutdown.c - the end of a runtime in two phases.
 *
 *   coir_shutdown_begin(grace) --> draining: who waits for a listener or a signal gets -ESHUTDOWN, now and later
 *                              --> after `grace`: the root scope is cancelled
 *
 * Draining is a flag and a sweep. An operation enters its slot and then looks at the flag (coir__io_enter()); the sweep stores the
 * flag, executes the heavy fence, and then looks at the slots of all operations there are. So either the operation sees the flag or
 * the sweep sees the operation. The sweep only asks for its end, as coir_close() does: completion wins.
 *
 * What is swept: accepts and waits for a signal, which say so themselves (coir__op.drains), and polls of listening sockets. An accept
 * that waits for a free descriptor waits for rt->shutdown.begun as well.
 *
 * The grace is a timer of the runtime's in the wheel of the worker where it was armed. It is never taken out at the end: when no task
 * is left, and the workers have stopped, the wheel goes with the runtime.
 *
 * Locks: rt->shutdown.lock, an object lock, is held while a wheel's is taken; nothing else is taken under it.
 */
#include <sys/socket.h>

#include "base/fence.h"
#include "base/time.h"
#include "io/op.h"
#include "loop/fd.h"
#include "scope/scope.h"

bool coir__is_listener(int fd)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

/* -- draining ------------------------------------------------------------------------------------- */

static bool is_to_end(coir__runtime *rt, const coir__op *o)
{
    if (o->worker->runtime != rt || o->drained)
        return false;
    return o->drains || (o->op.kind == COIR_OP_POLL && coir__is_listener(o->op.fd));
}

/* All operations on a descriptor that has one. While they are in its slot they stay, and it is not closed. */
static void drain_slot(coir__runtime *rt, int fd)
{
    coir__fd *slot = coir__fd_slot(fd);
    coir__lock_take(&slot->lock);
    for (coir_op *op = slot->first; op; op = op->next) {
        coir__op *o = (coir__op *)(void *)op;
        if (!is_to_end(rt, o))
            continue;
        o->drained = true;
        coir__op_post(o);
    }
    coir__lock_drop(&slot->lock);
}

static void drain(coir__runtime *rt)
{
    coir__fence_heavy(); /* pairs with coir__io_enter() */
    coir__ops_visit(rt, drain_slot);
    coir_event_set(&rt->shutdown.begun);
}

/* -- the grace ------------------------------------------------------------------------------------ */

static void cancel_root(coir__worker *w, coir__runtime *rt, coir_cancel_reason reason)
{
    coir__group *root = (coir__group *)(void *)&rt->root;
    coir__scope_cancel(w, root->scope.owner, &root->scope.head, 0, reason);
}

void coir__shutdown_timer_fired(coir__worker *w, coir__timer *t)
{
    coir__runtime *rt = coir__container(t, coir__runtime, shutdown.timer);
    coir__lock_take(&rt->shutdown.lock);
    coir_cancel_reason reason = rt->shutdown.reason;
    coir__lock_drop(&rt->shutdown.lock);
    cancel_root(w, rt, reason);
    atomic_store_explicit(&t->state, COIR__TIMER_IDLE, memory_order_release);
}

/* Out of its wheel; false if it has fired. */
static bool disarm_locked(coir__runtime *rt)
{
    coir__wheel *wheel = rt->shutdown.wheel;
    coir__lock_take(&wheel->lock);
    bool out = coir__wheel_disarm_locked(wheel, &rt->shutdown.timer);
    coir__lock_drop(&wheel->lock);
    return out;
}

/* Into the wheel of the caller's worker, unless it will fire sooner where it is. */
static void arm(coir__worker *w, int64_t when, coir_cancel_reason reason)
{
    coir__runtime *rt = w->runtime;
    coir__timer *t = &rt->shutdown.timer;
    coir__lock_take(&rt->shutdown.lock);
    if (!rt->shutdown.wheel || (when < t->when && disarm_locked(rt))) {
        rt->shutdown.wheel = &w->wheel;
        rt->shutdown.reason = reason;
        t->when = when;
        t->kind = COIR__TIMER_SHUTDOWN;
        coir__lock_take(&w->wheel.lock);
        coir__wheel_arm_locked(&w->wheel, t);
        coir__lock_drop(&w->wheel.lock);
    }
    coir__lock_drop(&rt->shutdown.lock);
}

void coir_shutdown_begin_at(const char *file, int line, int64_t grace)
{
    coir__worker *w = coir__task_only("coir_shutdown_begin");
    coir__runtime *rt = w->runtime;
    coir_cancel_reason reason = {.code = -ECANCELED,
                                 .why = "shutdown",
                                 .file = file,
                                 .line = line,
                                 .task_id = coir_task_id(coir_self())};
    if (!atomic_exchange(&rt->draining, true))
        drain(rt);
    if (grace <= 0)
        cancel_root(w, rt, reason);
    else if (grace != COIR_FOREVER)
        arm(w, coir__time_add(coir__now(w), grace), reason);
}
