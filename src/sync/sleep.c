/* SPDX-License-Identifier: MIT */
/*
 * sleep.c - waiting for a time.
 *
 * The object is the wheel of the worker: the task's own node, used as a timer, goes into it, and the switch releases the
 * wheel's lock. HOT: no allocation, no system call, one clock read.
 */
#include "base/time.h"
#include "sched/timer.h"
#include "sync/wait.h"

static coir_event never = COIR_EVENT_INIT;

/* A plain thread has no wheel: it waits for what never comes, under a deadline. */
static int thread_sleep(int64_t when)
{
    coir_scope alarm;
    coir_scope_begin(&alarm, when - coir__time_now());
    int rc = coir_scope_end(&alarm, coir_event_wait(&never));
    return rc == -ETIMEDOUT ? 0 : rc;
}

/* Puts the timer in and takes the wheel's lock, which the park releases. */
static void timer_queue(coir__worker *w, coir__task *self, int64_t when)
{
    coir__timer *t = &self->wait.timer;
    coir__lock_take(&w->wheel.lock);
    t->when = when;
    t->kind = COIR__TIMER_SLEEP;
    coir__wheel_arm_locked(&w->wheel, t);
}

static COIR__NOINLINE int sleep_slow(coir__worker *w, coir__task *self, int64_t when)
{
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    if (coir__must_attend(self)) {
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
    }
    if (w->rt == 0)
        return thread_sleep(when);
    timer_queue(w, self, when);
    return coir__park(w, self, &w->wheel.lock, COIR__WAIT_SLEEP);
}

static COIR__NOINLINE int sleep_not(coir__worker *w, coir__task *self)
{
    if (coir__must_attend(self))
        coir__scope_look(w, self);
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    coir_yield();
    return 0;
}

COIR__INLINE int sleep_until(coir__worker *w, coir__task *self, int64_t when)
{
    if (coir__unlikely(when == COIR_FOREVER))
        return coir_event_wait(&never);
    if (coir__unlikely(atomic_load_explicit(&self->attention, memory_order_relaxed) != 0))
        return sleep_slow(w, self, when);
    timer_queue(w, self, when);
    return coir__park_short(w, self, &w->wheel.lock, COIR__WAIT_SLEEP);
}

int coir_sleep(int64_t ns)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__unlikely(ns <= 0))
        return sleep_not(w, self);
    return sleep_until(w, self, coir__time_add(coir__now(w), ns));
}

int coir_sleep_until(int64_t t)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__unlikely(t <= coir__now(w)))
        return sleep_not(w, self);
    return sleep_until(w, self, t);
}

void coir__sleep_held(coir__worker *w, coir__task *self, int64_t when)
{
    if (w->rt == 0) {
        struct timespec ts = coir__time_spec(when);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
        return;
    }
    timer_queue(w, self, when);
    coir__park_shielded(w, self, &w->wheel.lock, COIR__WAIT_SLEEP);
}
