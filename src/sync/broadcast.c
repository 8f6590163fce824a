/* SPDX-License-Identifier: MIT */
/*
 * broadcast.c - every subscriber sees every item; a sender never waits.
 *
 *   sent:   0 1 2 3 4 5 6 7 8            ring: the last `capacity` of them
 *                 ^         ^ ^
 *         oldest kept       | `sent`, the number of the next
 *                           a subscriber's `next`; below the oldest kept: it has lost what is in between
 *
 * I1  who waits has seen everything: its `next` is `sent`. Except selects that could not be claimed when something came
 *     (TRYING), which look again by themselves: neither a sender nor a close touches them, or they would miss that.
 * I2  a subscriber that waits is claimed first; then the sender copies the item to where it wants it, and moves its `next`.
 *     So nothing can be lost between the wake and the receive.
 * I3  a subscriber with somebody in its list is in the list `waiting`. It may stay there for a while afterwards: a canceller
 *     takes out the node only.
 *
 * Lock: b->lock guards all, the subscribers' fields too. Cost: a send is one copy and a step for each subscriber that waits; a
 * receive is one lock and one copy. Why not otherwise: docs/design/015.
 */
#include <string.h>

#include "base/alloc.h"
#include "sync/chain.h"
#include "sync/select.h"

struct coir_broadcast {
    coir__lock lock; /* first, so that its address names the broadcast */
    bool closed;
    size_t elem_size;   /* fixed */
    size_t capacity;    /* fixed */
    size_t tail;        /* where the next item goes */
    uint64_t sent;      /* how many; the number of the next */
    size_t subscribers; /* how many */
    coir__link waiting; /* of subscribers */
    char *ring;         /* fixed */
};

struct coir_subscriber {
    coir__link link;    /* in b->waiting, else link.next is NULL; first */
    coir_broadcast *b;  /* fixed */
    uint64_t next;      /* the number of the item that it has next */
    uint64_t lost;      /* reported as lost, in all */
    coir__link waiters; /* one, or several nodes of one select; `data`: where the item goes */
};

/* -- items ------------------------------------------------------------------------------------------------------ */

COIR__INLINE void copy(const coir_broadcast *b, void *to, const void *from)
{
    if (coir__likely(b->elem_size == 8))
        __builtin_memcpy(to, from, 8);
    else if (b->elem_size > 0)
        memcpy(to, from, b->elem_size);
}

/* The item that is `back` before the next; at most `capacity`. */
static char *item_at(coir_broadcast *b, uint64_t back)
{
    size_t i = b->tail >= back ? b->tail - (size_t)back : b->tail + b->capacity - (size_t)back;
    return b->ring + i * b->elem_size;
}

static void ring_push(coir_broadcast *b, const void *elem)
{
    copy(b, b->ring + b->tail * b->elem_size, elem);
    b->tail = b->tail + 1 == b->capacity ? 0 : b->tail + 1;
    b->sent++;
}

static uint64_t lost_locked(const coir_subscriber *s)
{
    uint64_t behind = s->b->sent - s->next;
    return behind > s->b->capacity ? behind - s->b->capacity : 0;
}

/* Whether a receive would not wait. */
static bool is_ready_locked(const coir_subscriber *s)
{
    return s->next != s->b->sent || s->b->closed;
}

/* Receives if that needs no wait: 1; 0: it would wait; -EOVERFLOW; -EPIPE. */
COIR__INLINE int recv_step(coir_subscriber *s, void *elem, uint64_t *ret_lost)
{
    coir_broadcast *b = s->b;
    if (s->next == b->sent)
        return coir__unlikely(b->closed) ? -EPIPE : 0;
    uint64_t lost = lost_locked(s);
    if (coir__unlikely(lost > 0)) {
        s->next += lost;
        s->lost += lost;
        if (ret_lost)
            *ret_lost = lost;
        return -EOVERFLOW;
    }
    copy(b, elem, item_at(b, b->sent - s->next));
    s->next++;
    return 1;
}

/* -- who waits -------------------------------------------------------------------------------------------------- */

static void note_waiting_locked(coir_subscriber *s)
{
    if (!s->link.next)
        coir__list_append(&s->b->waiting, &s->link);
}

/* I3: nobody waits on it any more. */
static void forget_waiting_locked(coir_subscriber *s)
{
    if (!s->link.next || !coir__list_is_empty(&s->waiters))
        return;
    coir__list_remove(&s->link);
    s->link.next = NULL;
}

/* Claims those who had seen everything when `sent` was `seen` (I1), and gives them the item; none at a close: NULL. */
static void claim_locked(coir_broadcast *b, uint64_t seen, const void *elem, coir__chain *chain)
{
    coir__link *next;
    for (coir__link *link = coir__list_first(&b->waiting); link; link = next) {
        coir_subscriber *s = (coir_subscriber *)(void *)link;
        uint32_t was = 0;
        next = coir__list_next(&b->waiting, link);
        coir__node *n = s->next == seen ? coir__claim_first(&s->waiters, NULL, &was) : NULL;
        if (n) {
            if (elem)
                copy(b, n->data, elem);
            s->next = b->sent;
            coir__chain_add(chain, n, was);
        }
        forget_waiting_locked(s);
    }
}

/* -- send and close --------------------------------------------------------------------------------------------- */

int coir_broadcast_send(coir_broadcast *b, const void *elem)
{
    coir__worker *w = coir__worker_here();
    coir__chain chain = {0};
    coir__lock_take(&b->lock);
    if (coir__unlikely(b->closed)) {
        coir__lock_drop(&b->lock);
        return -EPIPE;
    }
    ring_push(b, elem);
    claim_locked(b, b->sent - 1, elem, &chain);
    coir__lock_drop(&b->lock);
    coir__wake_all(w, chain.first, 0);
    return 0;
}

void coir_broadcast_close(coir_broadcast *b)
{
    coir__worker *w = coir__worker_here();
    coir__chain chain = {0};
    coir__lock_take(&b->lock);
    b->closed = true;
    claim_locked(b, b->sent, NULL, &chain);
    coir__lock_drop(&b->lock);
    coir__wake_all(w, chain.first, -EPIPE);
}

/* -- receive ---------------------------------------------------------------------------------------------------- */

static COIR__NOINLINE int recv_slow(coir_subscriber *s, void *elem, uint64_t *ret_lost)
{
    coir_broadcast *b = s->b;
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    for (bool attended = !coir__must_attend(self);; attended = true) {
        coir__lock_take(&b->lock);
        int rc = recv_step(s, elem, ret_lost);
        if (rc != 0) {
            coir__lock_drop(&b->lock);
            return coir__charge(w, rc < 0 ? rc : 0);
        }
        if (attended)
            break;
        coir__lock_drop(&b->lock);
        if ((rc = coir__scope_attend(w, self)) < 0)
            return rc;
    }
    note_waiting_locked(s);
    coir__wait_queue(self, &s->waiters, elem);
    return coir__park(w, self, &b->lock, COIR__WAIT_BROADCAST);
}

int coir_broadcast_recv(coir_subscriber *s, void *elem, uint64_t *ret_lost)
{
    coir_broadcast *b = s->b;
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return recv_slow(s, elem, ret_lost);
    if (coir__unlikely(!coir__lock_try(&b->lock)))
        return recv_slow(s, elem, ret_lost);
    int rc = recv_step(s, elem, ret_lost);
    if (rc == 0) {
        note_waiting_locked(s);
        coir__wait_queue(self, &s->waiters, elem);
        return coir__park_short(w, self, &b->lock, COIR__WAIT_BROADCAST);
    }
    coir__lock_drop(&b->lock);
    return coir__charge(w, rc < 0 ? rc : 0);
}

int coir_broadcast_try_recv(coir_subscriber *s, void *elem, uint64_t *ret_lost)
{
    coir__worker_here(); /* I7 of sched/worker.h */
    coir__lock_take(&s->b->lock);
    int rc = recv_step(s, elem, ret_lost);
    coir__lock_drop(&s->b->lock);
    return rc < 0 ? rc : rc == 0 ? -EAGAIN : 0;
}

uint64_t coir_broadcast_lost(coir_subscriber *s)
{
    coir__worker_here();
    coir__lock_take(&s->b->lock);
    uint64_t lost = s->lost + lost_locked(s);
    coir__lock_drop(&s->b->lock);
    return lost;
}

/* -- life ------------------------------------------------------------------------------------------------------- */

coir_broadcast *coir_broadcast_new(size_t elem_size, size_t capacity)
{
    size_t bytes;
    if (capacity == 0 || __builtin_mul_overflow(elem_size, capacity, &bytes) ||
        bytes > PTRDIFF_MAX - sizeof(coir_broadcast))
        return NULL;
    coir_broadcast *b = coir__alloc_zero(sizeof *b);
    if (!b)
        return NULL;
    b->elem_size = elem_size;
    b->capacity = capacity;
    if (bytes > 0 && !(b->ring = coir__alloc(bytes))) {
        coir__release(b);
        return NULL;
    }
    return b;
}

void coir_broadcast_free(coir_broadcast *b)
{
    if (!b)
        return;
    coir__worker_here();
    coir__lock_take(&b->lock); /* whoever woke the caller may still be about to release it */
    bool used = b->subscribers > 0;
    coir__lock_drop(&b->lock);
    if (used)
        coir__misuse("coir_broadcast_free: broadcast %p has subscribers", (void *)b);
    coir__release(b->ring);
    coir__release(b);
}

coir_subscriber *coir_broadcast_subscribe(coir_broadcast *b)
{
    coir_subscriber *s = coir__alloc_zero(sizeof *s);
    if (!s)
        return NULL;
    s->b = b;
    coir__worker_here();
    coir__lock_take(&b->lock);
    b->subscribers++;
    s->next = b->sent;
    coir__lock_drop(&b->lock);
    return s;
}

void coir_broadcast_unsubscribe(coir_subscriber *s)
{
    if (!s)
        return;
    coir_broadcast *b = s->b;
    coir__worker_here();
    coir__lock_take(&b->lock);
    bool waited_for = !coir__list_is_empty(&s->waiters);
    if (!waited_for) {
        forget_waiting_locked(s);
        b->subscribers--;
    }
    coir__lock_drop(&b->lock);
    if (waited_for)
        coir__misuse("coir_broadcast_unsubscribe: somebody waits on a subscriber of broadcast %p",
                     (void *)b);
    coir__release(s);
}

/* -- select ----------------------------------------------------------------------------------------------------- */

static bool subscriber_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    coir_subscriber *s = k->object;
    (void)w;
    coir__lock_take(&s->b->lock);
    int rc = recv_step(s, k->data, NULL);
    coir__lock_drop(&s->b->lock);
    *ret_outcome = rc < 0 ? rc : 0;
    return rc != 0;
}

static bool subscriber_show(coir__worker *w, coir_case *k)
{
    coir_subscriber *s = k->object;
    coir__node *n = &coir__case_slot(k)->u.wait.node;
    (void)w;
    n->data = k->data;
    coir__lock_take(&s->b->lock);
    note_waiting_locked(s);
    coir__list_append(&s->waiters, &n->link);
    bool ready = is_ready_locked(s);
    coir__lock_drop(&s->b->lock);
    return ready;
}

static bool subscriber_peek(coir__worker *w, coir_case *k)
{
    coir_subscriber *s = k->object;
    (void)w;
    coir__lock_take(&s->b->lock);
    bool ready = is_ready_locked(s);
    coir__lock_drop(&s->b->lock);
    return ready;
}

static void subscriber_hide(coir__worker *w, coir_case *k)
{
    coir_subscriber *s = k->object;
    (void)w;
    coir__lock_take(&s->b->lock);
    coir__case_unlink_locked(k);
    forget_waiting_locked(s);
    coir__lock_drop(&s->b->lock);
}

const coir__case_ops coir__case_subscriber = {subscriber_attempt, subscriber_show, subscriber_peek,
                                              subscriber_hide};
