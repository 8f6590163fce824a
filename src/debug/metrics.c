/* SPDX-License-Identifier: MIT */
/* metrics.c - counters, summed over the workers when somebody asks. Each worker counts for itself, so counting is a store. */
#include <coir/debug.h>

#include "sched/runtime.h"

int coir_metrics_read(coir_metrics *ret)
{
    const coir__worker *w = coir__worker_or_null();
    coir_metrics m = {0};
    uint64_t ended = 0;
    if (!w || w->rt == 0)
        return -EINVAL;
    coir__runtime *rt = w->runtime;
    for (unsigned i = 0; i < rt->worker_count; i++) /* first: none that is not counted as spawned */
        ended += atomic_load_explicit(&rt->workers[i]->metric_ended, memory_order_acquire);
    m.tasks_spawned = atomic_load_explicit(&rt->foreign_spawned, memory_order_relaxed);
    for (unsigned i = 0; i < rt->worker_count; i++) {
        w = rt->workers[i];
        m.tasks_spawned += atomic_load_explicit(&w->metric_spawned, memory_order_relaxed);
        m.steals += atomic_load_explicit(&w->metric_steals, memory_order_relaxed);
        m.wakes += atomic_load_explicit(&w->metric_wakes, memory_order_relaxed);
        m.polls += atomic_load_explicit(&w->metric_polls, memory_order_relaxed);
    }
    m.tasks_live = m.tasks_spawned > ended ? m.tasks_spawned - ended : 0;
    m.stacks_mapped = coir__stack_pool_mapped(rt->stacks);
    if (ret)
        *ret = m;
    return 0;
}
