/* SPDX-License-Identifier: MIT */
#ifndef CLAIMED_H
#define CLAIMED_H

/* claimed.h - a canceller in slow motion: between the two halves the waiter is still in its object's list, but somebody else's. */

#include "sync/wait.h"
#include "sync/wait_tools.h"

/* The task waits, and nothing else is about to end that. */
static inline void cancel_begin(coir_task t)
{
    CHECK_EQ(coir__claim(t.opaque), COIR__PARK_WAITING);
}

static inline void cancel_end(coir_task t)
{
    coir__task *task = t.opaque;
    coir__wait_abandon(task);
    task->ctx.result = -ECANCELED;
    coir__runnable(coir__worker_here(), task);
}

#endif
