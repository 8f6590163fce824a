/* SPDX-License-Identifier: MIT */
/*
 * select_case.c - readiness of a descriptor as a case of a select.
 *
 * A watch is a poll operation whose owner is the select's node, in the frame of the select. Whoever completes it looks at the
 * node under the record's lock, and hide() takes the node away under the same lock. The operation itself ends later, by its
 * own completion, which finds no node then. It is in its descriptor's slot until then, so a runtime ends after the last
 * of its watches (rt->watches).
 *
 * A watch that fires while the select is out of reach (TRYING) has told nobody. peek() sees that and begins another.
 */
#include <poll.h>

#include "io/op.h"
#include "loop/attempt.h"
#include "loop/fd.h"
#include "sync/select.h"

static int fd_of(const coir_case *k)
{
    return k->value < 0 || k->value > INT32_MAX ? -1 : (int)k->value;
}

static short events_of(const coir_case *k)
{
    return k->kind == COIR_CASE_READABLE ? POLLIN : POLLOUT;
}

static bool is_closing(int fd)
{
    coir__fd *slot = coir__fd_slot(fd);
    if (!slot)
        return false;
    coir__lock_take(&slot->lock);
    bool closing = slot->closing;
    coir__lock_drop(&slot->lock);
    return closing;
}

/* The events that are ready now, 0, or an error. */
static int ready_now(const coir__worker *w, const coir_case *k)
{
    int fd = fd_of(k);
    if (fd < 0 || is_closing(fd))
        return -EBADF;
    if (coir__unlikely(coir__is_draining(w)) && coir__is_listener(fd))
        return -ESHUTDOWN;
    return coir__attempt_poll(fd, events_of(k));
}

/* -- watches -------------------------------------------------------------------------------------- */

void coir__watch_end(coir__worker *w, coir__op *o, int64_t result)
{
    coir__lock_take(&o->lock);
    coir__select_node *n = o->node;
    o->node = NULL;
    if (n) {
        uint32_t was = coir__claim(n->node.task);
        if (was != COIR__PARK_ACTIVE)
            coir__wake(w, &n->node, was, (int32_t)result);
    }
    coir__lock_drop(&o->lock);
    coir__runtime *rt = o->worker->runtime;
    coir__op_give_back(w, o);
    atomic_fetch_sub_explicit(&rt->watches, 1, memory_order_release);
}

static void set_node(coir__op *o, coir__select_node *n)
{
    coir__lock_take(&o->lock);
    o->node = n;
    coir__lock_drop(&o->lock);
}

static int64_t begin(coir__worker *w, coir__op *o)
{
    void *lock = NULL;
    int64_t result = w->engine->attempt(w->loop, &o->op);
    if (result == COIR_OP_PENDING)
        result = w->engine->submit(w->loop, &o->op, &lock);
    if (lock)
        coir__lock_drop(lock); /* a select may be claimed before it has left */
    return result;
}

int coir__watch_begin(coir__worker *w, coir__call *call, coir__select_node *n, uint64_t *ret_id)
{
    coir__op *o;
    int rc = call->fd < 0 ? -EBADF : coir__io_enter(w, call, &o);
    if (rc < 0)
        return rc;
    uint64_t id = o->op.id;
    o->watch = true;
    set_node(o, n);
    atomic_fetch_add_explicit(&w->runtime->watches, 1, memory_order_relaxed);
    int64_t result = begin(w, o);
    if (result == COIR_OP_PENDING) {
        coir__io_count(&w->io_started);
        *ret_id = id;
        return 0;
    }
    result = coir__fd_leave(w, &o->op, result);
    set_node(o, NULL);
    coir__op_give_back(w, o);
    atomic_fetch_sub_explicit(&w->runtime->watches, 1, memory_order_relaxed);
    return (int)result;
}

/* The record of a watch that may still touch its node, its lock held; else NULL. */
static coir__op *lock_watch(coir__worker *w, uint64_t id)
{
    coir__op *o = coir__op_record(w->runtime, id);
    coir__lock_take(&o->lock);
    uint64_t word = atomic_load_explicit(&o->word, memory_order_relaxed);
    if (word >> 32 == id >> 32 && (word & COIR__OP_LIVE) && o->node)
        return o;
    coir__lock_drop(&o->lock);
    return NULL;
}

void coir__watch_leave(coir__worker *w, uint64_t id)
{
    coir__op *o = lock_watch(w, id);
    if (o) {
        o->node = NULL;
        coir__lock_drop(&o->lock);
        coir__op_cancel_post(w->runtime, id);
    }
    coir__io_count(&w->io_ended);
}

bool coir__watch_is_on(coir__worker *w, uint64_t id)
{
    coir__op *o = lock_watch(w, id);
    if (o)
        coir__lock_drop(&o->lock);
    return o != NULL;
}

/* -- the case: slot->number is the watch, 0: none; slot->when an error of the show ---------------- */

static bool fd_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    coir__slot *slot = coir__case_slot(k);
    if (w->rt == 0)
        coir__misuse("coir_select(): a descriptor's case in a thread that is not a task");
    if (slot->shown && slot->when < 0)
        *ret_outcome = (int)slot->when;
    else
        *ret_outcome = ready_now(w, k);
    return *ret_outcome != 0;
}

static bool fd_show(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    coir__call call = {.kind = COIR_OP_POLL, .fd = fd_of(k), .events = events_of(k)};
    slot->number = 0;
    int rc = coir__watch_begin(w, &call, &slot->u.wait, &slot->number);
    slot->when = rc < 0 ? rc : 0;
    return rc != 0;
}

static void fd_hide(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    if (slot->number)
        coir__watch_leave(w, slot->number);
    slot->number = 0;
}

static bool fd_peek(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    if (slot->number && coir__watch_is_on(w, slot->number))
        return ready_now(w, k) != 0;
    fd_hide(w, k);
    return fd_show(w, k) || ready_now(w, k) != 0;
}

const coir__case_ops coir__case_fd = {fd_attempt, fd_show, fd_peek, fd_hide};
