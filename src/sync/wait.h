/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_WAIT_H
#define COIR_SYNC_WAIT_H

/*
 * wait.h - the one rule by which everything waits.
 *
 * A call that may wait has this shape, and so has every object in this folder:
 *
 *   entry    the attention word: cancelled? Then coir__scope_refuse(). One load.
 *   lock     the object's; contended, or anything else unusual: tail-call the `_slow` twin.
 *   done?    if it can be done now: do it, unlock, wake whom it concerns, coir__charge(). "Completion wins".
 *   attend   about to wait, with a deadline around: unlock, coir__scope_attend(), lock and look again (the slow twin).
 *   queue    the task's own node goes into the object's list.
 *   park     coir__park(), a tail call: WAITING, pick, switch, which releases the lock. The waker stored the result.
 *
 * and a waker:
 *
 *   lock; take a node from the list; coir__claim() its task, or skip the node if that fails;
 *   only now take the item, permit or lock for it ("claim before consume"); unlock; coir__wake() it.
 *
 * A canceller claims by the same word, then takes the object's lock (whoever gets it finds saved registers), unlinks the
 * node, and makes the task runnable with -ECANCELED (coir__wait_abandon).
 */

#include <assert.h>

#include "base/fence.h"
#include "sched/runtime.h"
#include "sched/upcall.h"

/* A select's node: shares the task's park word with its siblings, lies in the frame of the select. */
typedef struct coir__select_node {
    coir__node node; /* first */
    int32_t index;
    int32_t outcome; /* of the case, stored by the claimer */
} coir__select_node;

/* Whether the caller must refuse at entry, or has no worker that could be used (coir__nobody). */
COIR__INLINE bool coir__is_cancelled_or_thread(const coir__task *self)
{
    return (atomic_load_explicit(&self->attention, memory_order_relaxed) &
            (COIR__ATTENTION_CANCELLED | COIR__ATTENTION_THREAD)) != 0;
}

/* Whether the caller must refuse at entry. */
COIR__INLINE bool coir__is_cancelled(const coir__task *self)
{
    return (atomic_load_explicit(&self->attention, memory_order_relaxed) &
            COIR__ATTENTION_CANCELLED) != 0;
}

/* Whether a call that is about to wait must attend to deadlines first. */
COIR__INLINE bool coir__must_attend(const coir__task *self)
{
    return (atomic_load_explicit(&self->attention, memory_order_relaxed) &
            COIR__ATTENTION_DEADLINE) != 0;
}

/* Puts the task's own node at the end of a list; the object's lock is held. */
COIR__INLINE void coir__wait_queue(coir__task *self, coir__link *list, void *data)
{
    self->wait.node.task = self;
    self->wait.node.data = data;
    coir__list_append(list, &self->wait.node.link);
}

/* The same for a list that has been initialised. HOT. */
COIR__INLINE void coir__wait_queue_ready(coir__task *self, coir__link *list, void *data)
{
    coir__link *link = &self->wait.node.link;
    coir__link *last = list->prev;
    self->wait.node.task = self;
    self->wait.node.data = data;
    link->next = list;
    link->prev = last;
    last->next = link;
    list->prev = link;
}

/* The end of a claim: stores what the wait returns, and runs the task. `was` is what coir__claim() returned; the
 * object's lock has been released (or is released by the caller right after: nothing here takes it). */
COIR__INLINE void coir__wake(coir__worker *w, coir__node *n, uint32_t was, int32_t outcome)
{
    coir__task *t = n->task;
    if (coir__likely(n == &t->wait.node)) {
        t->ctx.result = outcome;
        coir__runnable(w, t);
        return;
    }
    coir__select_node *s = (coir__select_node *)(void *)n;
    s->outcome = outcome;
    t->ctx.result = s->index;
    if (was == COIR__PARK_SELECTING)
        atomic_store_explicit(&t->park, COIR__PARK_ACTIVE,
                              memory_order_release); /* pairs with select's wait */
    else
        coir__runnable(w, t);
}

/*
 * The short ways. An operation that is done often has two, which differ in a constant: `private` (sched/worker.h), between
 * coir__private_enter() and coir__short_leave(), where the object's lock is neither taken nor needed, and locked.
 */

/* Begins one that is written once: private if that is possible, which it returns, else with the lock taken. */
COIR__INLINE bool coir__short_enter(coir__worker *w, coir__lock *lock)
{
    if (coir__likely(coir__private_enter(w)))
        return true;
    coir__lock_take(lock);
    return false;
}

COIR__INLINE void coir__short_leave(coir__worker *w, coir__lock *lock, bool private)
{
    if (private)
        coir__private_leave(w);
    else
        coir__lock_drop(lock);
}

/*
 * Compare-and-swap of a word of an object that is locked by that word alone: a load and a store while private. `w` is the
 * caller's worker. Acquires and releases.
 */
#define COIR__DEFINE_SWAP(name, type)                                                              \
    COIR__INLINE bool name(coir__worker *w, _Atomic type *word, type from, type to)                \
    {                                                                                              \
        if (coir__likely(coir__private_enter(w))) {                                                \
            bool same = atomic_load_explicit(word, memory_order_relaxed) == from;                  \
            if (coir__likely(same))                                                                \
                atomic_store_explicit(word, to, memory_order_relaxed);                             \
            coir__private_leave(w);                                                                \
            return same;                                                                           \
        }                                                                                          \
        return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_acq_rel,      \
                                                       memory_order_relaxed);                      \
    }

COIR__DEFINE_SWAP(coir__swap_pointer, uintptr_t)
COIR__DEFINE_SWAP(coir__swap_32, uint32_t)
COIR__DEFINE_SWAP(coir__swap_64, uint64_t)

/* Takes `t` out of a single wait, and its node, the first of the list, out of that. False: it is a select's, or somebody else
 * was first; nothing has happened. HOT. */
COIR__INLINE bool coir__claim_single(coir__task *t, coir__link *list, coir__link *first,
                                     bool private)
{
    uint32_t waiting = COIR__PARK_WAITING;
    if (private) {
        if (coir__unlikely(atomic_load_explicit(&t->park, memory_order_relaxed) != waiting))
            return false;
        atomic_store_explicit(&t->park, COIR__PARK_ACTIVE, memory_order_relaxed);
    } else if (coir__unlikely(!atomic_compare_exchange_strong_explicit(
                   &t->park, &waiting, COIR__PARK_ACTIVE, memory_order_acq_rel,
                   memory_order_relaxed))) {
        return false;
    }
    coir__link *second = first->next;
    list->next = second;
    second->prev = list;
    return true;
}

int coir__wake_single_slow(coir__worker *w, coir__task *t);

/* Wakes what coir__claim_single() claimed, with outcome 0, and returns 0, charged. HOT: tail-call it. */
COIR__INLINE int coir__wake_single(coir__worker *w, coir__task *t)
{
    if (coir__unlikely(!coir__runnable_is_short(w, t)) || coir__unlikely(--w->budget < 0))
        return coir__wake_single_slow(w, t);
    t->ctx.result = 0;
    atomic_store_explicit(&w->lifo, t, memory_order_release); /* pairs with the taker's exchange */
    return 0;
}

/* The first waiter of a list that could be claimed, out of the list; NULL if none. Not one of `self` (NULL: of anybody).
 * *ret_was is for coir__wake(). Nodes that can't be claimed are left to those who claimed them. `private`: within a private
 * operation. */
COIR__INLINE coir__node *coir__claim_first_way(coir__link *list, const coir__task *self,
                                               uint32_t *ret_was, bool private)
{
    coir__link *link = coir__list_first(list);
    while (coir__unlikely(link != NULL)) {
        coir__node *n = (coir__node *)(void *)link;
        uint32_t was = n->task == self ? COIR__PARK_ACTIVE
                       : private       ? coir__claim_private(n->task)
                                       : coir__claim(n->task);
        if (coir__likely(was != COIR__PARK_ACTIVE)) {
            coir__list_remove(link);
            link->next = NULL;
            *ret_was = was;
            return n;
        }
        link = coir__list_next(list, link);
    }
    return NULL;
}

COIR__INLINE coir__node *coir__claim_first(coir__link *list, const coir__task *self,
                                           uint32_t *ret_was)
{
    return coir__claim_first_way(list, self, ret_was, false);
}

/* Claims all waiters of a list and chains them; the object's lock is held. Then, without it, wakes the chain. */
coir__node *coir__claim_all(coir__link *list);
void coir__wake_all(coir__worker *w, coir__node *chain, int32_t outcome);

int coir__park_refused(coir__worker *w, coir__task *self, coir__lock *lock);
int coir__park_picking(coir__worker *w, coir__task *self, _Atomic uint32_t *word);

/* Shows that the task waits; its node is queued under `lock`. */
COIR__INLINE void coir__park_show(coir__worker *w, coir__task *self, coir__lock *lock, uint8_t kind)
{
    coir__wait_note(w, self, kind, lock);
    atomic_store_explicit(&self->park, COIR__PARK_WAITING, memory_order_release);
}

/* Parks the task, whose node is queued under `lock`. Returns what the waker stored. Tail-call it. */
COIR__INLINE int coir__park(coir__worker *w, coir__task *self, coir__lock *lock, uint8_t kind)
{
    coir__park_show(w, self, lock, kind);
    coir__fence_light(); /* pairs with the canceller's heavy fence */
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) &
                       (COIR__ATTENTION_CANCELLED | COIR__ATTENTION_THREAD)))
        return coir__park_refused(w, self, lock);
    return coir__leave(w, self, coir__pick(w), &lock->word, 0);
}

/* The same within a private operation, which the switch ends. */
COIR__INLINE int coir__park_private(coir__worker *w, coir__task *self, coir__lock *lock,
                                    uint8_t kind)
{
    coir__park_show(w, self, lock, kind);
    return coir__leave(w, self, coir__pick(w), &w->busy, 0);
}

/*
 * The same for a caller whose attention word was 0 at entry. HOT: nothing but tail calls, so that no register need be
 * saved; what is not the common case (a woken task in the slot) is left to others. While private nobody can have
 * changed the attention word since then.
 */
COIR__INLINE int coir__park_way(coir__worker *w, coir__task *self, coir__lock *lock, uint8_t kind,
                                bool private)
{
    _Atomic uint32_t *word = private ? &w->busy : &lock->word;
    coir__park_show(w, self, lock, kind);
    coir__compiler_fence(); /* pairs with the canceller's heavy fence; without membarrier attention is not 0 */
    if (!private &&
        coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return coir__park_refused(w, self, lock);
    if (coir__unlikely(--w->budget < 0) || coir__unlikely(--w->lifo_left < 0))
        return coir__park_picking(w, self, word);
    coir__task *next;
    if (private) { /* nobody steals */
        next = atomic_load_explicit(&w->lifo, memory_order_relaxed);
        atomic_store_explicit(&w->lifo, NULL, memory_order_relaxed);
    } else {
        next = coir__lifo_take(w);
    }
    if (coir__unlikely(!next))
        return coir__park_picking(w, self, word);
    assert(next->ctx.sp); /* worker.h, I4 */
    w->current = next;
    if (coir__unlikely(coir__eh_in_use(w)))
        return coir__leave_keeping(w, self, next, word, 0);
    return coir__switch(&self->ctx, &next->ctx, word, 0);
}

COIR__INLINE int coir__park_short(coir__worker *w, coir__task *self, coir__lock *lock, uint8_t kind)
{
    return coir__park_way(w, self, lock, kind, false);
}

/* Parks as coir__park() does, uncancellably: for what must be waited for. Not a tail call. */
int coir__park_shielded(coir__worker *w, coir__task *self, coir__lock *lock, uint8_t kind);

/* The same within a private operation, which the switch ends. */
int coir__park_shielded_private(coir__worker *w, coir__task *self, coir__lock *lock, uint8_t kind);

/* Parks until the completion of the operation `id`, pending on this worker, and returns what that stored; `lock` (may be
 * NULL) is released by the switch.
 * Uncancellable: a canceller, or this function if the caller has been cancelled meanwhile, asks for the end of the operation
 * by coir__op_cancel_post(), which therefore must not take `lock`. The caller may be on another worker afterwards. */
int coir__park_io(coir__worker *w, coir__task *self, coir__lock *lock, uint64_t id);

/* A claimed WAITING task is cancelled: takes it out of the object's list. Then the caller stores the result and
 * makes it runnable. */
void coir__wait_abandon(coir__task *t);

/* Sleeps until `when`, uncancellably. */
void coir__sleep_held(coir__worker *w, coir__task *self, int64_t when);

/* The wait of a thread, after its node is queued and `lock` is held: sleeps on a futex. */
int coir__thread_wait(coir__worker *w, coir__task *self, coir__lock *lock);

#endif
