/* SPDX-License-Identifier: MIT */
/*
 * cycle.c - finds tasks that wait for one another in a ring.
 *
 * A task waits for one thing at most, and a mutex, a lock held for writing, a once or the end of a task has one holder at most:
 * from each task one way leads on. Walking it takes a moment, in which others lock and unlock; so a ring may have been put together
 * of waits that were not there at the same time. Therefore it is walked twice inside one look (sync/holder.h). Who was seen
 * waiting for a lock in the first walk comes out of that call after the look only, and unlocks nothing until then. So
 * if the second walk finds the same, all of it was there between the two.
 *
 * Two waits are outside that argument: a join may be cancelled in between and begin again; and a task that has ended with a
 * mutex locked is not told from the next one in its descriptor.
 */
#include "debug/cycle.h"

static uint64_t id_of(const coir__task *t)
{
    return atomic_load_explicit(&t->id, memory_order_relaxed);
}

/* Back to `t`, and over nobody with a lower id: how many; else 0. */
static unsigned walk(const coir__task *t, coir__holder ret[COIR__CYCLE_MAX])
{
    const coir__task *at = t;
    for (unsigned n = 0; n < COIR__CYCLE_MAX; n++) {
        if (!coir__holder_find(at, &ret[n]) || !ret[n].task)
            return 0;
        at = ret[n].task;
        if (at == t)
            return n + 1;
        if (id_of(at) < id_of(t))
            return 0;
    }
    return 0;
}

static bool is_still_so(const coir__holder *seen)
{
    coir__holder now;
    return coir__holder_find(seen->waiter, &now) && now.kind == seen->kind &&
           now.lock == seen->lock && now.task == seen->task;
}

unsigned coir__cycle_find(coir__task *t, coir__holder ret[COIR__CYCLE_MAX])
{
    if (!coir__holder_has(coir__wait_kind_of(t)))
        return 0;
    coir__holder_look_begin();
    unsigned n = walk(t, ret);
    for (unsigned i = 0; i < n; i++)
        if (!is_still_so(&ret[i]))
            n = 0;
    coir__holder_look_end();
    return n;
}
