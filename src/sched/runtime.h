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
    unsigned started; /* workers whose loop stands */
    coir__worker **workers;
    coir__stack_pool *stacks;
    uint8_t stack_class; /* of tasks that ask for none */
    bool stacks_grow;    /* strategy: memory must be touched before the kernel sees it */
    bool census;         /* COIR_DEBUG=census=1: every task's use of its stack is measured */
    const coir_engine *engine;
    uint64_t seed;
    bool overflow_handler;
    bool dump_on_abort;       /* COIR_DEBUG=dump=1 */
    _Atomic bool draining;    /* the end in two phases has begun */
    _Atomic uint64_t signals; /* waited for here, a bit each (io/signal.c) */

    /* The root group, where detached tasks and the first task live; scope/group.c knows its shape. */
    coir_group root;

    _Alignas(64) coir__lock inject_lock;
    coir__link inject; /* tasks, linked by wait.node.link */
    _Atomic uint32_t inject_count;

    _Alignas(64) _Atomic uint32_t sleepers; /* workers asleep or about to be */
    _Atomic uint32_t searching;             /* a worker is looking for work, or has been woken to */
    _Atomic uint32_t patrol;                /* coir__post: those that are taken (sched/patrol.c) */
    coir__lock patrol_lock;
    _Atomic bool stopping;
    _Atomic bool
        embedded; /* in a foreign loop: it goes on without tasks, and its thread is nobody's we know */
    struct {
        int64_t delay;
        uint32_t runs;
        uint8_t state;
    } quiet; /* debug/deadlock.c's; under coir__runtimes_lock */

    _Alignas(64) _Atomic uint32_t
        external;          /* things outside that will wake a task: helper threads, the kernel */
    _Atomic uint32_t live; /* tasks of the root group that have not ended */
    _Atomic uint64_t
        foreign_spawned;      /* tasks spawned by threads that are no worker of this runtime */
    _Atomic uint32_t watches; /* of selects, under way: the runtime ends after the last of them */
    _Atomic uint32_t
        visitors; /* others who are making a task runnable, or completing an operation */
    _Atomic int first_result;

    /* The end in two phases (io/shutdown.c). */
    struct {
        coir_event begun;
        coir__lock lock;    /* guards the rest; before a wheel's */
        coir__wheel *wheel; /* where the timer was armed; NULL: never */
        coir__timer timer;  /* of the grace */
        coir_cancel_reason reason;
    } shutdown;
    uint64_t
        unblocked; /* signals that were blocked on the first worker's thread, which alone writes this */

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

/* A runtime without tasks, whose first worker is the calling thread from here to the close. `embedded`: it has no other. */
int coir__runtime_open(coir__runtime **ret, const coir_options *given, bool embedded);

/* All tasks have ended. The thread is `outer` again, what it was before the opening. */
void coir__runtime_close(coir__runtime *rt, coir__worker *outer);

/* Now, for the caller's worker; the system's for a thread. */
int64_t coir__now(const coir__worker *w);

/* Nothing of this runtime can happen by itself any more: all workers have declared that they sleep, no timer is armed, nothing
 * is asked of the kernel, tasks exist. While a worker is about to leave its sleep it may be true by mistake. */
bool coir__runtime_is_quiet(coir__runtime *rt);

/* Whether coir__runtime_now() is CLOCK_MONOTONIC. */
bool coir__runtime_has_system_clock(const coir__runtime *rt);

/* One line through the runtime's hook (NULL: stderr). */
void coir__runtime_log(coir__runtime *rt, const char *format, ...) COIR__PRINTF(2, 3);

#endif
