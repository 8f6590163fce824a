/* SPDX-License-Identifier: MIT */
/*
 * chan.c - channels between tasks.
 *
 *   senders -> [ ring of `capacity` elements ] -> receivers
 *
 * I1  receivers wait only while the ring is empty and no sender waits; senders only while it is full and no receiver waits.
 * I2  a waiter is claimed, once, before anything is taken for it.
 * I3  after close no waiter stays queued, but for those whom somebody else has claimed, and I5.
 * I4  a sender that waits on a full ring gets its element into the ring when a receiver makes room.
 * I5  a select that could not be claimed when something came into the ring (TRYING) stays in the list, and looks again by itself.
 *     While the ring has elements it is left alone: else it would be given a later one first, or be told of the end too soon.
 *
 * Lock: c->lock guards everything. The waiting task parks with it (base/lock.h).
 * Cost: a send and a receive take the lock once each; no allocation, no system call. HOT: benches/pingpong. The functions
 * that park are leaves but for tail calls, so that they land in the caller: what is unusual (contention, odd element sizes,
 * deadlines) goes to a `_slow` twin by a tail call. A lock-free ring was not tried: rendezvous needs the waiters anyway.
 */
#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "sync/select.h"

struct coir_chan {
    coir__lock lock; /* guards what is not fixed; first, so that its address names the channel */
    bool closed;
    bool odd;         /* closed, or its elements are not copied without a call */
    size_t elem_size; /* fixed */
    size_t capacity;  /* fixed */
    size_t count;     /* elements in the ring */
    size_t head;      /* the oldest */
    size_t tail;      /* where the next goes */
    coir__link receivers;
    coir__link senders;
    char *ring; /* fixed */
    void (*drop)(void *elem);
};

/* -- elements --------------------------------------------------------------------------------------------------- */

/* The common sizes without a call. False for others. */
COIR__INLINE bool size_is_simple(size_t size) { return size == 8 || size == 4 || size == 0; }

COIR__INLINE void copy_simple(void *to, const void *from, size_t size)
{
    if (coir__likely(size == 8))
        __builtin_memcpy(to, from, 8);
    else if (size == 4)
        __builtin_memcpy(to, from, 4);
}

COIR__INLINE void copy_any(void *to, const void *from, size_t size)
{
    if (size_is_simple(size))
        copy_simple(to, from, size);
    else
        memcpy(to, from, size);
}

COIR__INLINE char *slot_at(coir_chan *c, size_t i) { return c->ring + i * c->elem_size; }

COIR__INLINE void ring_push(coir_chan *c, const void *elem, bool simple)
{
    char *slot = slot_at(c, c->tail);
    if (simple)
        copy_simple(slot, elem, c->elem_size);
    else
        copy_any(slot, elem, c->elem_size);
    c->tail = c->tail + 1 == c->capacity ? 0 : c->tail + 1;
    c->count++;
}

COIR__INLINE void ring_pop(coir_chan *c, void *elem, bool simple)
{
    char *slot = slot_at(c, c->head);
    if (simple)
        copy_simple(elem, slot, c->elem_size);
    else
        copy_any(elem, slot, c->elem_size);
    c->head = c->head + 1 == c->capacity ? 0 : c->head + 1;
    c->count--;
}

/* -- the steps, with the lock held ------------------------------------------------------------------------------ */

/* A waiter that a step has claimed, to be woken when the lock is free. */
struct wakeup {
    coir__node *node; /* NULL: nobody */
    uint32_t was;
};

/* The lock, or a private operation instead, which is returned. That must be short: no elements of any size (I6 of worker.h). */
COIR__INLINE bool enter(coir__worker *w, coir_chan *c)
{
    if (coir__likely(coir__private_enter(w))) {
        if (coir__likely(!c->odd))
            return true;
        coir__private_leave(w);
    }
    coir__lock_take(&c->lock);
    return false;
}

/* Sends if that needs no wait: 1; 0: it would wait; -EPIPE. Meets nobody of `self`. */
COIR__INLINE int send_step(coir_chan *c, const void *elem, const coir__task *self,
                           struct wakeup *wake, bool private)
{
    if (coir__unlikely(c->closed))
        return -EPIPE;
    coir__node *receiver = NULL;
    if (coir__likely(c->count == 0)) /* I5 */
        receiver = coir__claim_first_way(&c->receivers, self, &wake->was, private);
    if (receiver) {
        copy_any(receiver->data, elem, c->elem_size);
        wake->node = receiver;
        return 1;
    }
    if (c->count == c->capacity)
        return 0;
    ring_push(c, elem, false);
    return 1;
}

COIR__INLINE int recv_step(coir_chan *c, void *elem, const coir__task *self, struct wakeup *wake,
                           bool private)
{
    bool buffered = c->count > 0;
    if (buffered)
        ring_pop(c, elem, false);
    coir__node *sender = coir__claim_first_way(&c->senders, self, &wake->was, private);
    wake->node = sender;
    if (buffered) {
        if (sender) /* I4 */
            ring_push(c, sender->data, false);
        return 1;
    }
    if (!sender)
        return coir__unlikely(c->closed) ? -EPIPE : 0;
    copy_any(elem, sender->data, c->elem_size);
    return 1;
}

COIR__INLINE void finish(coir__worker *w, coir_chan *c, const struct wakeup *wake, bool private)
{
    coir__short_leave(w, &c->lock, private);
    if (wake->node)
        coir__wake(w, wake->node, wake->was, 0);
}

/* -- send and receive ------------------------------------------------------------------------------------------- */

/* Anything but the short way: contention, odd sizes, scopes, plain threads. */
static COIR__NOINLINE int send_slow(coir_chan *c, const void *elem)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    for (bool attended = !coir__must_attend(self);; attended = true) {
        struct wakeup wake = {0};
        coir__lock_take(&c->lock);
        int rc = send_step(c, elem, NULL, &wake, false);
        if (rc != 0) {
            finish(w, c, &wake, false);
            return coir__charge(w, rc < 0 ? rc : 0);
        }
        if (attended)
            break;
        coir__lock_drop(&c->lock);
        if ((rc = coir__scope_attend(w, self)) < 0)
            return rc;
    }
    coir__wait_queue(self, &c->senders, (void *)(uintptr_t)elem);
    return coir__park(w, self, &c->lock, COIR__WAIT_SEND);
}

static COIR__NOINLINE int recv_slow(coir_chan *c, void *elem)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    for (bool attended = !coir__must_attend(self);; attended = true) {
        struct wakeup wake = {0};
        coir__lock_take(&c->lock);
        int rc = recv_step(c, elem, NULL, &wake, false);
        if (rc != 0) {
            finish(w, c, &wake, false);
            return coir__charge(w, rc < 0 ? rc : 0);
        }
        if (attended)
            break;
        coir__lock_drop(&c->lock);
        if ((rc = coir__scope_attend(w, self)) < 0)
            return rc;
    }
    coir__wait_queue(self, &c->receivers, elem);
    return coir__park(w, self, &c->lock, COIR__WAIT_RECV);
}

/* There is more to it than the short way does. */
static COIR__NOINLINE int send_leave_slow(coir__worker *w, coir_chan *c, const void *elem)
{
    coir__private_leave(w);
    return send_slow(c, elem);
}

static COIR__NOINLINE int send_unlock_slow(coir_chan *c, const void *elem)
{
    coir__lock_drop(&c->lock);
    return send_slow(c, elem);
}

static COIR__NOINLINE int recv_leave_slow(coir__worker *w, coir_chan *c, void *elem)
{
    coir__private_leave(w);
    return recv_slow(c, elem);
}

static COIR__NOINLINE int recv_unlock_slow(coir_chan *c, void *elem)
{
    coir__lock_drop(&c->lock);
    return recv_slow(c, elem);
}

COIR__INLINE int send_short(coir__worker *w, coir__task *self, coir_chan *c, const void *elem,
                            bool private)
{
    coir__link *first = c->receivers.next;
    if (coir__unlikely(c->odd))
        goto slow;
    if (first != &c->receivers) {
        coir__node *receiver = (coir__node *)(void *)first;
        coir__task *t = receiver->task;
        if (coir__unlikely(!coir__claim_single(t, &c->receivers, first, private)))
            goto slow;
        copy_simple(receiver->data, elem, c->elem_size);
        coir__short_leave(w, &c->lock, private);
        return coir__wake_single(w, t);
    }
    if (c->count == c->capacity) {
        coir__wait_queue_ready(self, &c->senders, (void *)(uintptr_t)elem);
        return coir__park_way(w, self, &c->lock, COIR__WAIT_SEND, private);
    }
    ring_push(c, elem, true);
    coir__short_leave(w, &c->lock, private);
    return coir__charge(w, 0);
slow:
    return private ? send_leave_slow(w, c, elem) : send_unlock_slow(c, elem);
}

/* From a full ring, whose room goes to a sender that has been claimed (I4). */
COIR__INLINE int recv_refill(coir__worker *w, coir_chan *c, void *elem, coir__node *sender,
                             bool private)
{
    coir__task *t = sender->task;
    ring_pop(c, elem, true);
    ring_push(c, sender->data, true);
    coir__short_leave(w, &c->lock, private);
    return coir__wake_single(w, t);
}

static COIR__NOINLINE int recv_refill_private(coir__worker *w, coir_chan *c, void *elem,
                                              coir__node *sender)
{
    return recv_refill(w, c, elem, sender, true);
}

static COIR__NOINLINE int recv_refill_locked(coir__worker *w, coir_chan *c, void *elem,
                                             coir__node *sender)
{
    return recv_refill(w, c, elem, sender, false);
}

COIR__INLINE int recv_short(coir__worker *w, coir__task *self, coir_chan *c, void *elem,
                            bool private)
{
    coir__link *first = c->senders.next;
    if (coir__unlikely(c->odd))
        goto slow;
    if (first != &c->senders) {
        coir__node *sender = (coir__node *)(void *)first;
        coir__task *t = sender->task;
        if (coir__unlikely(!coir__claim_single(t, &c->senders, first, private)))
            goto slow;
        if (c->count > 0)
            return private ? recv_refill_private(w, c, elem, sender)
                           : recv_refill_locked(w, c, elem, sender);
        copy_simple(elem, sender->data, c->elem_size);
        coir__short_leave(w, &c->lock, private);
        return coir__wake_single(w, t);
    }
    if (c->count == 0) {
        coir__wait_queue_ready(self, &c->receivers, elem);
        return coir__park_way(w, self, &c->lock, COIR__WAIT_RECV, private);
    }
    ring_pop(c, elem, true);
    coir__short_leave(w, &c->lock, private);
    return coir__charge(w, 0);
slow:
    return private ? recv_leave_slow(w, c, elem) : recv_unlock_slow(c, elem);
}

static COIR__NOINLINE int send_locked(coir__worker *w, coir__task *self, coir_chan *c,
                                      const void *elem)
{
    if (coir__unlikely(!coir__lock_try(&c->lock)))
        return send_slow(c, elem);
    return send_short(w, self, c, elem, false);
}

static COIR__NOINLINE int recv_locked(coir__worker *w, coir__task *self, coir_chan *c, void *elem)
{
    if (coir__unlikely(!coir__lock_try(&c->lock)))
        return recv_slow(c, elem);
    return recv_short(w, self, c, elem, false);
}

/* HOT: benches/pingpong. */
int coir_chan_send(coir_chan *c, const void *elem)
{
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return send_slow(c, elem);
    if (!coir__private_enter(w))
        return send_locked(w, self, c, elem);
    return send_short(w, self, c, elem, true);
}

/* HOT. */
int coir_chan_recv(coir_chan *c, void *elem)
{
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return recv_slow(c, elem);
    if (!coir__private_enter(w))
        return recv_locked(w, self, c, elem);
    return recv_short(w, self, c, elem, true);
}

int coir_chan_try_send(coir_chan *c, const void *elem)
{
    struct wakeup wake = {0};
    coir__worker *w = coir__worker_here();
    bool private = enter(w, c);
    int rc = send_step(c, elem, NULL, &wake, private);
    finish(w, c, &wake, private);
    return rc < 0 ? rc : rc == 0 ? -EAGAIN : 0;
}

int coir_chan_try_recv(coir_chan *c, void *elem)
{
    struct wakeup wake = {0};
    coir__worker *w = coir__worker_here();
    bool private = enter(w, c);
    int rc = recv_step(c, elem, NULL, &wake, private);
    finish(w, c, &wake, private);
    return rc < 0 ? rc : rc == 0 ? -EAGAIN : 0;
}

/* -- batches ---------------------------------------------------------------------------------------------------- */

/* Moves as many as it can without waiting; the waiters it meets are woken one by one, because each may be the last that
 * keeps the channel alive for others. Returns the count, or -EPIPE if that is 0. */
static ssize_t batch(coir_chan *c, bool send, char *elems, size_t n)
{
    coir__worker *w = coir__worker_here();
    size_t done = 0;
    while (done < n) {
        struct wakeup wake = {0};
        coir__lock_take(&c->lock);
        int rc = 1;
        while (done < n && !wake.node && rc > 0) {
            char *elem = elems + done * c->elem_size;
            rc = send ? send_step(c, elem, NULL, &wake, false)
                      : recv_step(c, elem, NULL, &wake, false);
            done += rc > 0;
        }
        finish(w, c, &wake, false);
        if (rc <= 0)
            return done > 0 ? (ssize_t)done : rc;
    }
    return (ssize_t)done;
}

static ssize_t batch_wait(coir_chan *c, bool send, void *elems, size_t n)
{
    if (n == 0)
        return -EINVAL;
    if (n > SSIZE_MAX)
        n = SSIZE_MAX;
    int rc = send ? coir_chan_send(c, elems) : coir_chan_recv(c, elems);
    if (rc < 0 || n == 1)
        return rc < 0 ? rc : 1;
    ssize_t more = batch(c, send, (char *)elems + c->elem_size, n - 1);
    return more > 0 ? more + 1 : 1;
}

ssize_t coir_chan_send_n(coir_chan *c, const void *elems, size_t n)
{
    return batch_wait(c, true, (void *)(uintptr_t)elems, n);
}

ssize_t coir_chan_recv_n(coir_chan *c, void *elems, size_t n)
{
    return batch_wait(c, false, elems, n);
}

/* -- close and the rest ----------------------------------------------------------------------------------------- */

void coir_chan_close(coir_chan *c)
{
    coir__worker *w = coir__worker_here();
    coir__lock_take(&c->lock);
    c->closed = c->odd = true;
    coir__node *receivers = c->count == 0 ? coir__claim_all(&c->receivers) : NULL; /* I5 */
    coir__node *senders = coir__claim_all(&c->senders);
    coir__lock_drop(&c->lock);
    coir__wake_all(w, receivers, -EPIPE);
    coir__wake_all(w, senders, -EPIPE);
}

coir_chan *coir_chan_new(size_t elem_size, size_t capacity)
{
    size_t bytes;
    if (__builtin_mul_overflow(elem_size, capacity, &bytes) ||
        bytes > PTRDIFF_MAX - sizeof(coir_chan))
        return NULL;
    coir_chan *c = coir__alloc_zero(sizeof *c);
    if (!c)
        return NULL;
    coir__list_init(&c->receivers);
    coir__list_init(&c->senders);
    c->elem_size = elem_size;
    c->odd = !size_is_simple(elem_size);
    c->capacity = capacity;
    if (bytes > 0 && !(c->ring = coir__alloc(bytes))) {
        coir__release(c);
        return NULL;
    }
    return c;
}

void coir_chan_free(coir_chan *c)
{
    if (!c)
        return;
    coir__worker_here();
    coir__lock_take(&c->lock); /* whoever woke the caller may still be about to release it */
    bool waited_for = !coir__list_is_empty(&c->receivers) || !coir__list_is_empty(&c->senders);
    coir__lock_drop(&c->lock);
    if (waited_for)
        coir__misuse("coir_chan_free: somebody waits on channel %p", (void *)c);
    while (c->drop && c->count > 0) {
        c->drop(slot_at(c, c->head));
        c->head = c->head + 1 == c->capacity ? 0 : c->head + 1;
        c->count--;
    }
    coir__release(c->ring);
    coir__release(c);
}

size_t coir_chan_len(coir_chan *c)
{
    coir__worker_here(); /* I7 of sched/worker.h */
    coir__lock_take(&c->lock);
    size_t count = c->count;
    coir__lock_drop(&c->lock);
    return count;
}

size_t coir_chan_cap(coir_chan *c) { return c->capacity; }

void coir_chan_on_drop(coir_chan *c, void (*drop)(void *elem))
{
    coir__worker_here();
    coir__lock_take(&c->lock);
    c->drop = drop;
    coir__lock_drop(&c->lock);
}

/* -- select ----------------------------------------------------------------------------------------------------- */

/* Nobody is there, and nothing: what most looks find. */
COIR__INLINE bool is_idle_locked(const coir_chan *c, bool send)
{
    const coir__link *others = send ? &c->receivers : &c->senders;
    return others->next == others && c->count == (send ? c->capacity : 0) && !c->closed;
}

/* Whether somebody else waits there who might be claimed, now or after a try of its own (TRYING). A select that has been
 * claimed elsewhere stays in the list until it runs again; to look for it again and again would keep it from running. */
static bool waits_another(const coir__link *list, const coir__task *self)
{
    for (coir__link *link = coir__list_first(list); link; link = coir__list_next(list, link)) {
        const coir__task *t = ((coir__node *)(void *)link)->task;
        uint32_t state = atomic_load_explicit(&t->park, memory_order_relaxed);
        if (t != self && state != COIR__PARK_ACTIVE && state != COIR__PARK_CLAIMED)
            return true;
    }
    return false;
}

/* Whether the step might not return 0. */
static bool is_ready_locked(const coir_chan *c, bool send, const coir__task *self)
{
    if (coir__likely(is_idle_locked(c, send)))
        return false;
    if (c->closed || (send ? c->count < c->capacity : c->count > 0))
        return true;
    if (send)
        return c->count == 0 && waits_another(&c->receivers, self); /* I5 */
    return waits_another(&c->senders, self);
}

/* Of a channel that is not idle; ends what `private` says. */
static COIR__NOINLINE bool attempt_busy(coir__worker *w, coir_case *k, int *ret_outcome,
                                        bool private)
{
    coir_chan *c = k->object;
    struct wakeup wake = {0};
    int rc = k->kind == COIR_CASE_SEND ? send_step(c, k->data, w->current, &wake, private)
                                       : recv_step(c, k->data, w->current, &wake, private);
    finish(w, c, &wake, private);
    *ret_outcome = rc < 0 ? rc : 0;
    return rc != 0;
}

static bool chan_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    coir_chan *c = k->object;
    bool private = enter(w, c);
    if (!is_idle_locked(c, k->kind == COIR_CASE_SEND))
        return attempt_busy(w, k, ret_outcome, private);
    coir__short_leave(w, &c->lock, private);
    return false;
}

static bool chan_show(coir__worker *w, coir_case *k)
{
    coir_chan *c = k->object;
    coir__node *n = &coir__case_slot(k)->u.wait.node;
    bool send = k->kind == COIR_CASE_SEND;
    n->data = k->data;
    bool private = coir__short_enter(w, &c->lock);
    coir__list_append(send ? &c->senders : &c->receivers, &n->link);
    bool ready = is_ready_locked(c, send, w->current);
    coir__short_leave(w, &c->lock, private);
    return ready;
}

static bool chan_peek(coir__worker *w, coir_case *k)
{
    coir_chan *c = k->object;
    coir__lock_take(&c->lock);
    bool ready = is_ready_locked(c, k->kind == COIR_CASE_SEND, w->current);
    coir__lock_drop(&c->lock);
    return ready;
}

static void chan_hide(coir__worker *w, coir_case *k)
{
    coir__case_unlink(w, k, &((coir_chan *)k->object)->lock);
}

const coir__case_ops coir__case_chan = {chan_attempt, chan_show, chan_peek, chan_hide};
