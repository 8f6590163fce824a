/* SPDX-License-Identifier: MIT */
#ifndef COIR_SCHED_RUNTIME_H
#define COIR_SCHED_RUNTIME_H

/* runtime.h - workers and what they share. */

#include "sched/worker.h"

#define COIR__WORKERS_MAX 1024
#define COIR__RUNTIMES_MAX 1024

struct coir__runtime {
    coir_options options; /* as given, environment applied */
    char *name;
    uint16_t index; /* in the table of runtimes; never 0 */
    bool solo;
    unsigned worker_count;
    coir__worker **workers;
    coir__stack_pool *stacks;
    bool stacks_grow; /* strategy: memory must be touched before the kernel sees it */
    bool census;      /* COIR_DEBUG=census=1: every task's use of its stack is measured */
    const coir_engine *engine;
    uint64_t seed;
    bool overflow_handler;
    bool dump_on_abort; /* COIR_DEBUG=dump=1 */

    /* The root group, where detached tasks and the first task live; scope/group.c knows its shape. */
    coir_group root;

    _Alignas(64) coir__lock inject_lock;
    coir__link inject; /* tasks, linked by wait.node.link */
    _Atomic uint32_t inject_count;

    _Alignas(64) _Atomic uint32_t sleepers; /* workers asleep or about to be */
    _Atomic uint32_t searching;             /* a worker is looking for work, or has been woken to */
    _Atomic uint32_t patrol; /* a sleeping worker looks after the others now and then */
    _Atomic bool stopping;
    struct {
        int64_t delay;
        uint32_t runs;
        uint8_t state;
    } quiet; /* debug/deadlock.c's; under coir__runtimes_lock */

    _Alignas(64) _Atomic uint32_t
        external;          /* things outside that will wake a task: helper threads, the kernel */
    _Atomic uint32_t live; /* tasks of the root group that have not ended */
    _Atomic uint64_t
        foreign_spawned;       /* tasks spawned by threads that are no worker of this runtime */
    _Atomic uint32_t visitors; /* others who are making a task runnable */
    _Atomic int first_result;

    /* operations (io/op.c) */
    coir__lock op_lock;
    void *_Atomic ops; /* set once */
    /* helper threads (io/resolve.c) */
    void *resolver;
};

extern coir__runtime *_Atomic coir__runtimes[COIR__RUNTIMES_MAX];
extern coir__lock coir__runtimes_lock; /* guards entering and leaving; rank: registry */

COIR__INLINE coir__runtime *coir__runtime_of(const coir__task *t)
{
    return atomic_load_explicit(&coir__runtimes[t->rt], memory_order_relaxed);
}

COIR__INLINE int64_t coir__runtime_now(const coir__runtime *rt)
{
    const coir_clock *clock = rt->options.clock;
    return clock->now(clock->arg);
}

/* Now, for the caller's worker; the system's for a thread. */
int64_t coir__now(const coir__worker *w);

/* Nothing of this runtime can happen by itself any more: all workers have declared that they sleep, no timer is armed, nothing
 * is asked of the kernel, tasks exist. While a worker is about to leave its sleep it may be true by mistake. */
bool coir__runtime_is_quiet(coir__runtime *rt);

/* One line through the runtime's hook (NULL: stderr). */
void coir__runtime_log(coir__runtime *rt, const char *format, ...) COIR__PRINTF(2, 3);

#endif
