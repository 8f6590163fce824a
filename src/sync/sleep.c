/* SPDX-License-Identifier: MIT */
/*
 * sleep.c - waiting for a time.
 *
 * The object is the wheel of the worker: the task's own node, used as a timer, goes into it, and the switch releases the
 * wheel's lock. HOT: no allocation, no system call, one clock read.
 */
#include "base/time.h"
#include "sched/timer.h"
#include "sync/select.h"

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

/* -- select ----------------------------------------------------------------------------------------------------- */

/* Before it is shown its slot has no time yet, and one counted from the call needs no look at the clock. */
static bool time_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    coir__slot *slot = coir__case_slot(k);
    *ret_outcome = 0;
    if (!slot->shown && k->kind == COIR_CASE_AFTER)
        return k->value <= 0;
    return coir__now(w) >= (slot->shown ? slot->when : k->value);
}

static bool time_show(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    int32_t index = slot->u.wait.index;
    coir__timer_node *n = &slot->u.timer;
    n->task = w->current;
    n->timer.result = index;
    n->timer.kind = COIR__TIMER_SELECT;
    n->timer.when = slot->when;
    atomic_store_explicit(&n->timer.state, COIR__TIMER_IDLE, memory_order_relaxed);
    slot->place = w->rt ? &w->wheel : NULL; /* a thread's select has a deadline instead */
    if (!w->rt)
        return false;
    coir__lock_take(&w->wheel.lock);
    coir__wheel_arm_locked(&w->wheel, &n->timer);
    coir__lock_drop(&w->wheel.lock);
    return false;
}

static bool time_peek(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    return w->rt && atomic_load_explicit(&slot->u.timer.timer.state, memory_order_relaxed) ==
                        COIR__TIMER_IDLE;
}

static void time_hide(coir__worker *w, coir_case *k)
{
    (void)w;
    coir__slot *slot = coir__case_slot(k);
    coir__wheel *wheel = slot->place;
    if (!wheel)
        return;
    coir__lock_take(&wheel->lock);
    coir__wheel_disarm_locked(wheel, &slot->u.timer.timer);
    coir__lock_drop(&wheel->lock);
}

const coir__case_ops coir__case_time = {time_attempt, time_show, time_peek, time_hide};
