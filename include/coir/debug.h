/* SPDX-License-Identifier: MIT */
#ifndef COIR_DEBUG_H
#define COIR_DEBUG_H

/* Looking at a running program. coir_dump() is in <coir.h> too, because every program wants it once. */

#include <coir.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counters of the caller's runtime since its start. They are read without stopping anything: each is exact, their
 * relation to one another is not. */
typedef struct coir_metrics {
    uint64_t tasks_live;    /* spawned and not ended */
    uint64_t tasks_spawned; /* ever */
    uint64_t steals;        /* times a worker took work from another */
    uint64_t wakes;         /* system calls made to wake a worker */
    uint64_t polls;         /* times the kernel was asked for events */
    uint64_t stacks_mapped; /* stack slots that exist, used or not */
} coir_metrics;

/* 0, or -EINVAL outside a task. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_metrics_read(coir_metrics *ret);

/*
 * The most that the calling task has had of its own stack in use so far, in bytes. Whole pages, and what an earlier task
 * has left on the same stack is counted too; exact with COIR_DEBUG=census=1, which measures every task when it ends, and prints
 * in dumps and at the end of coir_run, by the place where tasks were spawned, what they have used at most and which
 * stack_reserve would do. 0 outside a task. From: any. Switches: no. Cancel point: no.
 */
COIR_API size_t coir_stack_high_water(void);

#ifdef __cplusplus
}
#endif

#endif
