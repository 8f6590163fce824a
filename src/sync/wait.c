/* SPDX-License-Identifier: MIT */
/* wait.c - the ways of parking that are not the common one; see wait.h. */
#include "sync/wait.h"

#include "sched/timer.h"
#include "sync/chain.h"

coir__node *coir__claim_all(coir__link *list)
{
    coir__chain chain = {0};
    coir__node *n;
    uint32_t was;
    while ((n = coir__claim_first(list, NULL, &was)) != NULL)
        coir__chain_add(&chain, n, was);
    return chain.first;
}

void coir__wake_all(coir__worker *w, coir__node *chain, int32_t outcome)
{
    while (chain) {
        coir__node *next = chain->data;
        coir__wake(w, chain, (uint32_t)(uintptr_t)chain->link.prev, outcome);
        chain = next;
    }
}

void coir__wait_abandon(coir__task *t)
{
    uint8_t kind = coir__wait_kind_of(t);
    coir__lock *lock = atomic_load_explicit(&t->wait_lock, memory_order_relaxed);
    if (kind == COIR__WAIT_JOIN) {
        coir__join_abandon(t);
        return;
    }
    coir__lock_take(lock); /* after this the registers of `t` are saved */
    if (kind == COIR__WAIT_SLEEP)
        coir__wheel_disarm_locked(coir__container(lock, coir__wheel, lock), &t->wait.timer);
    else
        coir__list_remove(&t->wait.node.link);
    coir__lock_drop(lock);
}

COIR__NOINLINE int coir__wake_single_slow(coir__worker *w, coir__task *t)
{
    t->ctx.result = 0;
    coir__runnable(w, t);
    return coir__charge(w, 0);
}

/* Nothing woken is at hand, or its turn is over. */
COIR__NOINLINE int coir__park_picking(coir__worker *w, coir__task *self, _Atomic uint32_t *word)
{
    return coir__leave(w, self, coir__pick(w), word, 0);
}

/* The task saw the mark of a canceller after it had shown its wait; or it is a thread. */
COIR__NOINLINE int coir__park_refused(coir__worker *w, coir__task *self, coir__lock *lock)
{
    if (coir__is_cancelled(self)) {
        uint32_t waiting = COIR__PARK_WAITING;
        if (atomic_compare_exchange_strong(&self->park, &waiting, COIR__PARK_ACTIVE)) {
            coir__lock_drop(lock);
            coir__wait_abandon(self);
            return coir__scope_refuse(w, self);
        } /* else the canceller was first, and will wake us */
    }
    if (w->rt == 0)
        return coir__thread_wait(w, self, lock);
    return coir__leave(w, self, coir__pick(w), &lock->word, 0);
}

COIR__NOINLINE int coir__park_shielded(coir__worker *w, coir__task *self, coir__lock *lock,
                                       uint8_t kind)
{
    coir__wait_note(w, self, kind, lock);
    atomic_store_explicit(&self->park, COIR__PARK_HELD, memory_order_release);
    if (w->rt == 0)
        return coir__thread_wait(w, self, lock);
    return coir__leave(w, self, coir__pick(w), &lock->word, 0);
}

COIR__NOINLINE int coir__park_shielded_private(coir__worker *w, coir__task *self, coir__lock *lock,
                                               uint8_t kind)
{
    coir__wait_note(w, self, kind, lock);
    atomic_store_explicit(&self->park, COIR__PARK_HELD, memory_order_relaxed);
    return coir__leave(w, self, coir__pick(w), &w->busy, 0);
}

COIR__NOINLINE int coir__park_io(coir__worker *w, coir__task *self, coir__lock *lock, uint64_t id)
{
    coir__wait_note(w, self, COIR__WAIT_IO, (coir__lock *)(uintptr_t)id);
    atomic_store_explicit(&self->park, COIR__PARK_IO, memory_order_release);
    coir__fence_light(); /* pairs with the canceller's heavy fence */
    if (coir__unlikely(coir__is_cancelled(self)))
        coir__op_cancel_post(w->runtime, id);
    return coir__leave(w, self, coir__pick(w), lock ? &lock->word : &w->nowhere, 0);
}
