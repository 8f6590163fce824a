/* SPDX-License-Identifier: MIT */
#ifndef COIR_SCHED_TIMER_H
#define COIR_SCHED_TIMER_H

/*
 * timer.h - one wheel of timers per worker.
 *
 * A hierarchical timing wheel (Varghese and Lauck, SOSP 1987): 8 levels of 64 slots, the lowest of 1 us. A timer lies on
 * the level of the highest digit in which its time differs from the wheel's; when the wheel gets there it moves down. Arming
 * and disarming are a few stores, whatever the number of timers; nothing is allocated. Times are rounded up to a slot,
 * so that nothing fires early; timers of one slot fire in no particular order.
 *
 * The lock is an object lock like any other: a sleeping task parks with it (base/lock.h), and whoever has claimed a
 * sleeper takes it to take the timer out.
 */

#include "sched/task.h"

#define COIR__WHEEL_LEVELS 8
#define COIR__WHEEL_SLOTS 64
#define COIR__WHEEL_SHIFT 10 /* log2 of a slot of the lowest level, in ns */

typedef struct coir__wheel {
    coir__lock lock;
    uint32_t count;   /* armed */
    uint64_t elapsed; /* all up to this tick has fired */
    _Atomic int64_t
        next; /* lower bound of the first time; COIR_FOREVER when empty. Read by others */
    uint64_t occupied[COIR__WHEEL_LEVELS]; /* a bit a slot */
    coir__timer *slots[COIR__WHEEL_LEVELS][COIR__WHEEL_SLOTS];
} coir__wheel;

/* An empty wheel; zeroed memory. */
void coir__wheel_init(coir__wheel *wh, int64_t now);

/* Puts a timer in, `when` set. The lock is held. */
void coir__wheel_arm_locked(coir__wheel *wh, coir__timer *t);

/* Takes a timer out; false if it has fired. The lock is held. */
bool coir__wheel_disarm_locked(coir__wheel *wh, coir__timer *t);

/* Fires what is due at `now`: wakes tasks onto `w`, cancels scopes. Returns how many fired. Any worker may do this for
 * any wheel. */
unsigned coir__wheel_expire(coir__wheel *wh, coir__worker *w, int64_t now);

#endif
