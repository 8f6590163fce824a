/* SPDX-License-Identifier: MIT */
/* thread.c - how a plain thread waits: as a task does, but on a futex. Its deadlines are the futex's timeout. */
#include "base/futex.h"
#include "base/time.h"
#include "sched/upcall.h"

void coir__thread_wake(coir__task *t)
{
    coir__worker *w = t->arg;
    atomic_store_explicit(&w->thread_word, 1,
                          memory_order_release); /* pairs with coir__thread_wait() */
    coir__futex_rouse(&w->thread_word, 1); /* `w` may be gone: an address is all the kernel needs */
}

int coir__thread_wait(coir__worker *w, coir__task *self, coir__lock *lock)
{
    if (lock)
        coir__lock_drop(lock);
    uint8_t kind = coir__wait_kind_of(self);
    atomic_store_explicit(&self->wait_note, coir__since_of(coir__time_now()) | kind,
                          memory_order_relaxed);
    while (atomic_load_explicit(&w->thread_word, memory_order_acquire) == 0) {
        bool cancelled = atomic_load_explicit(&self->attention, memory_order_relaxed) &
                         COIR__ATTENTION_CANCELLED;
        int64_t deadline = cancelled
                               ? COIR_FOREVER
                               : self->scope->deadline; /* a cancelled wait that goes on is held */
        coir__futex_sleep(&w->thread_word, 0, deadline);
        if (deadline != COIR_FOREVER && coir__time_now() >= deadline)
            coir__scope_look(
                w, self); /* cancels the scope, which claims this wait and sets the word */
    }
    atomic_store_explicit(&w->thread_word, 0, memory_order_relaxed);
    return (int)self->ctx.result;
}
