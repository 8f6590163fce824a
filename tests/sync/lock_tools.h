/* SPDX-License-Identifier: MIT */
#ifndef LOCK_TOOLS_H
#define LOCK_TOOLS_H

/* lock_tools.h - what tests of locks, conditions and barriers need besides wait_tools.h. */

#include "sync/wait_tools.h"

#include "sync/wait.h"

/*
 * A cancellation in two steps, as a canceller takes them, so that a test can do something in between: the task is out of its
 * wait, and still in the object's list.
 */
static inline void cancel_claim(coir_task t)
{
    CHECK_EQ(coir__claim(t.opaque), COIR__PARK_WAITING);
}

static inline void cancel_finish(coir_task t)
{
    coir__task *task = t.opaque;
    coir__wait_abandon(task);
    task->ctx.result = -ECANCELED;
    coir__runnable(coir__worker_here(), task);
}

/* coir_run(NULL, fn, arg) in a thread. */
typedef struct other_runtime {
    test_thread thread;
    coir_fn *fn;
    void *arg;
} other_runtime;

static inline int other_main(void *arg)
{
    other_runtime *o = arg;
    return coir_run(NULL, o->fn, o->arg);
}

static inline void other_start(other_runtime *o, coir_fn *fn, void *arg)
{
    o->fn = fn;
    o->arg = arg;
    thread_start(&o->thread, other_main, o);
}

static inline int other_finish(other_runtime *o) { return thread_finish(&o->thread); }

#endif
