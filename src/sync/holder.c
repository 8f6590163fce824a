/* SPDX-License-Identifier: MIT */
/*
 * holder.c - looking into locks that somebody waits for.
 *
 * Why coir__holder_find() may follow the address in a wait note, in the order of its loads. Look `L` has begun.
 *
 *   1  the park word says that `t` waits. So whatever `t` returns from next, it returns from it after L was visible to it.
 *   2  the note says "for a lock". It was written for the wait seen in 1 or for a later one. In both cases `t` does not come
 *      out of that call, past coir__holder_let_look(), before L ends.
 *   3  the park word says that `t` waits. It is that call's wait: an earlier one had ended when the note was written.
 *   4  the address. It is that call's: written before the word seen in 3, and the next is written after L.
 */
#include "sync/holder.h"

#include "sync/mutex.h"
#include "sync/once.h"
#include "sync/rwlock.h"

_Atomic uint32_t coir__holder_looks;

COIR__COLD void coir__holder_wait_for_looks(void)
{
    unsigned round = 0;
    while (atomic_load_explicit(&coir__holder_looks, memory_order_acquire) != 0)
        coir__spin(round++);
}

void coir__holder_look_begin(void)
{
    atomic_fetch_add(&coir__holder_looks, 1);
    coir__fence_heavy(); /* pairs with coir__holder_let_look() */
}

void coir__holder_look_end(void)
{
    atomic_fetch_sub_explicit(&coir__holder_looks, 1, memory_order_release);
}

static bool is_parked(const coir__task *t)
{
    uint32_t park = atomic_load_explicit(&t->park, memory_order_acquire);
    return park == COIR__PARK_WAITING || park == COIR__PARK_HELD;
}

static uint8_t kind_of(const coir__task *t)
{
    return (uint8_t)atomic_load_explicit(&t->wait_note, memory_order_acquire);
}

bool coir__holder_find(const coir__task *t, coir__holder *ret)
{
    if (!is_parked(t))
        return false;
    uint8_t kind = kind_of(t);
    if (!coir__holder_has(kind) || !is_parked(t))
        return false;
    coir__lock *lock = atomic_load_explicit(&t->wait_lock, memory_order_acquire);
    *ret = (coir__holder){.waiter = t, .kind = kind, .lock = lock};
    if (kind == COIR__WAIT_JOIN)
        ret->task = coir__container(lock, coir__task, scope_lock);
    else if (kind == COIR__WAIT_MUTEX)
        ret->task = coir__mutex_owner(coir__container(lock, struct coir__mutex, lock));
    else if (kind == COIR__WAIT_ONCE)
        ret->task = coir__once_runner(coir__container(lock, struct coir__once, lock));
    else
        ret->task = coir__rwlock_holder(coir__container(lock, struct coir__rwlock, lock),
                                        &ret->readers);
    if (ret->task && !coir__task_is_descriptor(ret->task))
        ret->task = NULL; /* a hook's; or a join that has ended */
    return true;
}
