/* SPDX-License-Identifier: MIT */
/*
 * io.c - calls that wait for a descriptor: io/op.h has the picture.
 *
 * HOT: a receive or send that waits takes the slot's lock twice and moves a record from a list and back, about 40 ns
 * beside some microseconds in the kernel.
 */
#include "io/op.h"

#include <coir/net.h>
#include <fcntl.h>
#include <limits.h>

#include "loop/attempt.h"
#include "loop/fd.h"

/* Of one read or write, as in the kernel; so every result is an int. */
#define LENGTH_MAX ((size_t)0x7ffff000)

/* COIR_OP_AGAIN as an int. */
#define AGAIN INT_MIN

coir__worker *coir__task_only(const char *function)
{
    coir__worker *w = coir__worker_or_null();
    if (coir__unlikely(!w || w->rt == 0 || w->current == &w->base))
        coir__misuse("%s() was called from a thread that is not a task", function);
    return w;
}

/* For an operation that has entered its slot: whether it came too late for the sweep of a shutdown, which is to end it. */
static bool is_refused(coir__worker *w, const coir__call *call)
{
    coir__fence_light(); /* pairs with the heavy fence of coir_shutdown_begin() */
    return coir__is_draining(w) &&
           (call->drains || (call->kind == COIR_OP_POLL && coir__is_listener(call->fd)));
}

int coir__io_enter(coir__worker *w, coir__call *call, coir__op **ret_op)
{
    coir__fd *slot = coir__fd_slot(call->fd);
    coir__op *o = slot ? coir__op_take(w, call->kind, call->fd) : NULL;
    if (coir__unlikely(!o))
        return -ENOMEM;
    o->op.events = call->events;
    o->op.buf = call->buf;
    o->op.len = call->len < LENGTH_MAX ? call->len : LENGTH_MAX;
    o->op.addr = call->addr;
    o->op.owner = w->current;
    o->drains = call->drains;
    coir__lock_take(&slot->lock);
    bool entered = coir__fd_enter_locked(slot, &o->op, call->generation);
    call->generation = (uint64_t)slot->generation + 1;
    coir__lock_drop(&slot->lock);
    if (coir__unlikely(!entered)) {
        coir__op_give_back(w, o);
        return -EBADF;
    }
    if (call->kind > COIR_OP_WRITE && coir__unlikely(is_refused(w, call))) {
        coir__fd_leave(w, &o->op, -ESHUTDOWN);
        coir__op_give_back(w, o);
        return -ESHUTDOWN;
    }
    *ret_op = o;
    return 0;
}

/* A read or write of nothing only looks whether it could be one of something. */
static int64_t do_nothing(const coir_op *op) { return fcntl(op->fd, F_GETFD) < 0 ? -EBADF : 0; }

/* Up to where it must wait. */
static int64_t begin(coir__worker *w, coir__task *self, coir_op *op, void **ret_lock)
{
    if (coir__unlikely(op->len == 0 && op->kind <= COIR_OP_WRITE))
        return do_nothing(op);
    int64_t n = w->engine->attempt(w->loop, op);
    if (n != COIR_OP_PENDING)
        return n;
    if (coir__unlikely(coir__must_attend(self))) {
        coir__scope_look(w, self);
        if (coir__is_cancelled(self))
            return -ECANCELED;
    }
    return w->engine->submit(w->loop, op, ret_lock);
}

/* One operation, from its entry to its end. AGAIN: it has ended with nothing done, but could be done now. */
static int once(coir__worker *w, coir__call *call)
{
    coir__task *self = w->current;
    coir__op *o;
    void *lock = NULL;
    if (coir__unlikely(coir__is_cancelled(self)))
        return -ECANCELED;
    int rc = call->fd < 0 ? -EBADF : coir__io_enter(w, call, &o);
    if (coir__unlikely(rc < 0))
        return rc;
    int64_t result = begin(w, self, &o->op, &lock);
    if (result != COIR_OP_PENDING) {
        result = coir__fd_leave(w, &o->op, result);
        coir__op_give_back(w, o);
        return (int)result;
    }
    coir__io_count(&w->io_started);
    rc = coir__park_io(w, self, lock, o->op.id);
    w = coir__worker_or_null();
    coir__io_count(&w->io_ended);
    return rc;
}

/* For the kernel, which would return EFAULT. */
static int make_accessible(coir__worker *w, const coir__call *call)
{
    coir__stack *s = w->current->stack;
    int rc = coir__stack_touch(s, call->addr ? (void *)call->addr : call->buf);
    return rc == 0 && call->buf ? coir__stack_touch(s, call->buf) : rc;
}

int coir__io(coir__call *call)
{
    coir__worker *w = coir__task_only(call->name);
    int n = coir__unlikely(w->runtime->stacks_grow) ? make_accessible(w, call) : 0;
    if (coir__unlikely(n < 0))
        return n;
    while (coir__unlikely((n = once(w, call)) == AGAIN)) /* of the same generation */
        w = coir__worker_or_null();
    w = coir__worker_or_null();
    return n == -ECANCELED ? coir__scope_refuse(w, w->current) : coir__charge(w, n);
}

void coir_op_hold(coir_op *op)
{
    coir__runtime *rt = ((coir__op *)(void *)op)->worker->runtime;
    op->held = rt != coir__worker_or_null()->runtime;
    if (coir__unlikely(op->held))
        atomic_fetch_add_explicit(&rt->visitors, 1, memory_order_relaxed);
}

/* An operation of another runtime, which may end as soon as its task can run, or its select has another case. */
static COIR__COLD void complete_held(coir_op *op, int64_t result)
{
    coir__runtime *rt = ((coir__op *)(void *)op)->worker->runtime;
    op->held = false;
    coir_op_complete(op, result);
    atomic_fetch_sub_explicit(&rt->visitors, 1,
                              memory_order_release); /* pairs with await_visitors() */
}

/* The record is given back here, where it is at hand; the task need not touch it. */
void coir_op_complete(coir_op *op, int64_t result)
{
    coir__worker *w = coir__worker_or_null();
    coir__op *o = (coir__op *)(void *)op;
    if (coir__unlikely(op->held)) {
        complete_held(op, result);
        return;
    }
    result = coir__fd_leave(w, op, result);
    if (o->watch) {
        coir__watch_end(w, o, result);
        return;
    }
    coir__task *t = op->owner;
    coir__prefetch(t->ctx.sp); /* it runs soon */
    coir__op_give_back(w, o);
    t->ctx.result = result == COIR_OP_AGAIN ? AGAIN : (int)result;
    atomic_store_explicit(&t->park, COIR__PARK_ACTIVE, memory_order_release);
    coir__runnable(w, t);
}

/* -- public --------------------------------------------------------------------------------------- */

ssize_t coir_read(int fd, void *buf, size_t n)
{
    coir__call c = {.name = "coir_read", .kind = COIR_OP_READ, .fd = fd, .buf = buf, .len = n};
    return coir__io(&c);
}

ssize_t coir_write(int fd, const void *buf, size_t n)
{
    coir__call c = {.name = "coir_write",
                    .kind = COIR_OP_WRITE,
                    .fd = fd,
                    .buf = (void *)(uintptr_t)buf,
                    .len = n};
    return coir__io(&c);
}

/* Repeats a call until all is moved, on one and the same file. */
static int move_all(coir__call *c, size_t *ret_done)
{
    size_t n = c->len, done = 0;
    int rc;
    do {
        rc = coir__io(c);
        if (rc > 0) {
            done += (size_t)rc;
            c->buf = (char *)c->buf + rc;
            c->len -= (size_t)rc;
        }
    } while (rc > 0 && done < n);
    if (ret_done)
        *ret_done = done;
    if (rc < 0)
        return rc;
    return done < n ? -EPIPE : 0;
}

int coir_read_full(int fd, void *buf, size_t n, size_t *ret_done)
{
    coir__call c = {.name = "coir_read_full", .kind = COIR_OP_READ, .fd = fd, .buf = buf, .len = n};
    return move_all(&c, ret_done);
}

int coir_write_all(int fd, const void *buf, size_t n, size_t *ret_done)
{
    coir__call c = {.name = "coir_write_all",
                    .kind = COIR_OP_WRITE,
                    .fd = fd,
                    .buf = (void *)(uintptr_t)buf,
                    .len = n};
    return move_all(&c, ret_done);
}

int coir_poll(int fd, short events)
{
    coir__call c = {.name = "coir_poll", .kind = COIR_OP_POLL, .fd = fd, .events = events};
    return coir__io(&c);
}
