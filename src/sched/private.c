/* SPDX-License-Identifier: MIT */
/* private.c - a runtime that nobody else can reach, until somebody can; worker.h has the rule. */
#include "base/fence.h"
#include "sched/runtime.h"

#define LOOK_ROUNDS 3000 /* about 200 ms */

/* Plain threads that have a pseudo-worker. Guarded by coir__runtimes_lock. */
static unsigned threads;

/* From here on every other thread may use what the runtime's tasks use. */
static void runtime_share(coir__runtime *rt)
{
    coir__worker *w = rt->workers[0];
    if (atomic_load_explicit(&w->shared, memory_order_relaxed))
        return;
    atomic_store_explicit(&w->shared, true, memory_order_relaxed);
    coir__fence_heavy(); /* pairs with coir__private_enter(): it sees `shared`, or we see `busy` */
    for (unsigned round = 0; atomic_load_explicit(&w->busy, memory_order_acquire) != 0; round++)
        coir__spin(round);
}

static unsigned share_all(const coir__runtime *but)
{
    unsigned others = 0;
    for (unsigned i = 1; i < COIR__RUNTIMES_MAX; i++) {
        coir__runtime *rt = atomic_load_explicit(&coir__runtimes[i], memory_order_relaxed);
        if (!rt || rt == but)
            continue;
        others++;
        runtime_share(rt);
    }
    return others;
}

void coir__private_begin_locked(coir__runtime *rt, bool from_thread)
{
    bool alone = share_all(rt) == 0 && threads == (from_thread ? 1u : 0u);
    for (unsigned i = 0; i < rt->worker_count; i++)
        atomic_store_explicit(&rt->workers[i]->shared,
                              COIR__TSAN || !rt->solo || !alone || coir__fence_needed,
                              memory_order_relaxed);
}

void coir__private_thread_begin(void)
{
    coir__lock_take(&coir__runtimes_lock);
    threads++;
    share_all(NULL);
    coir__lock_drop(&coir__runtimes_lock);
}

void coir__private_thread_end(void)
{
    coir__lock_take(&coir__runtimes_lock);
    threads--;
    coir__lock_drop(&coir__runtimes_lock);
}

void coir__private_look(void)
{
    if (coir__worker_or_null())
        return; /* a worker of the runtime itself, or a thread that is known */
    for (unsigned round = 0; round < LOOK_ROUNDS; round++) {
        if (coir__lock_try(&coir__runtimes_lock)) {
            share_all(NULL);
            coir__lock_drop(&coir__runtimes_lock);
            return;
        }
        coir__spin(round);
    }
}
