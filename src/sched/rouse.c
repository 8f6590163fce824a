/* SPDX-License-Identifier: MIT */
/*
 * rouse.c - waking workers that sleep.
 *
 * One worker at a time searches (rt->searching). The word is taken before somebody is woken for it, and goes over to who is.
 *
 * I1  While somebody has the word, others who would wake leave it to that one. So who has it and finds nobody to wake gives it
 *     back, and then looks once more: what was left to it meanwhile it sees, or the one who left it sees the word free.
 *     A searcher that takes a nap (idle.c) keeps its word for 0.1 ms at most.
 */
#include "sched/runtime.h"

static bool rouse_as(coir__worker *w, uint32_t state)
{
    uint32_t asleep = COIR__ASLEEP;
    if (!atomic_compare_exchange_strong(&w->sleeping, &asleep, state))
        return false;
    atomic_fetch_add_explicit(&w->metric_wakes, 1, memory_order_relaxed);
    w->engine->wake(w->loop);
    return true;
}

bool coir__worker_rouse(coir__worker *w) { return rouse_as(w, COIR__ROUSED); }

bool coir__rouse_any(coir__runtime *rt, uint32_t state)
{
    for (unsigned i = 0; i < rt->worker_count; i++)
        if (rouse_as(rt->workers[i], state))
            return true;
    return false;
}

bool coir__work_is_seen(const coir__runtime *rt)
{
    if (atomic_load_explicit(&rt->inject_count, memory_order_relaxed) != 0)
        return true;
    for (unsigned i = 0; i < rt->worker_count; i++)
        if (!coir__ring_is_empty(rt->workers[i]))
            return true;
    return false;
}

bool coir__any_asleep(coir__runtime *rt)
{
    for (unsigned i = 0; i < rt->worker_count; i++)
        if (atomic_load(&rt->workers[i]->sleeping) == COIR__ASLEEP)
            return true;
    return false;
}

/* While the word is ours others leave the waking to us; so who finds all awake looks again when it has given the word back. */
void coir__runtime_notify(coir__runtime *rt)
{
    do {
        uint32_t idle = 0;
        if (!atomic_compare_exchange_strong(&rt->searching, &idle, 1))
            return; /* whoever searches looks at every queue after it has stopped searching */
        if (coir__rouse_any(rt, COIR__ROUSED_TO_SEARCH))
            return;
        atomic_store(&rt->searching, 0);
        atomic_thread_fence(memory_order_seq_cst); /* pairs with that of who made work visible */
    } while (coir__work_is_seen(rt) && coir__any_asleep(rt));
}
