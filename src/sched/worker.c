/* SPDX-License-Identifier: MIT */
/*
 * worker.c - what a worker does between tasks.
 *
 * Its own stack (`base`) runs the loop: a tick (timers, kernel, shared queue), then a task; the task switches to other
 * tasks directly and comes back here when there is nothing to pick or the budget is spent.
 *
 * In a foreign loop the same is done in pieces (coir__worker_pump()). Between two of them the worker counts as asleep, so that
 * whoever has something for it writes to its engine's descriptor, which that loop polls.
 */
#include "sched/worker.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "arch/fpenv.h"
#include "base/alloc.h"
#include "base/time.h"
#include "sched/upcall.h"

#define YIELD_POLL COIR_US(10) /* between polls for a task that yields alone */
#define DEEP_TURNS 64          /* of the newest in the ring, at ticks, before one of the oldest */

/* The C++ runtime's, where there is one. */
extern coir__eh *__cxa_get_globals(void) __attribute__((weak));

/* -- finding work ----------------------------------------------------------------------------------------------- */

static void inbox_take(coir__worker *w)
{
    coir__lock_take(&w->inbox_lock);
    coir__link *link;
    while ((link = coir__list_first(&w->inbox)) != NULL) {
        coir__list_remove(link);
        coir__list_append(&w->private_, link);
        w->private_count++;
    }
    atomic_store_explicit(&w->inbox_count, 0, memory_order_relaxed);
    coir__lock_drop(&w->inbox_lock);
}

static coir__task *private_take(coir__worker *w)
{
    if (w->private_count == 0)
        return NULL;
    coir__link *link = coir__list_first(&w->private_);
    coir__list_remove(link);
    link->next = NULL;
    w->private_count--;
    return coir__container(link, coir__task, wait.node.link);
}

/* I8. A program's own clock may stand still, therefore the count. */
static coir__task *take_ring(coir__worker *w)
{
    if (w->deep != 0 && w->slice_start - w->deep_since < COIR__SLICE &&
        w->deep_turns++ < DEEP_TURNS)
        return coir__ring_pop_deep(w);
    w->deep_since = w->slice_start;
    w->deep_turns = 0;
    return coir__ring_pop(w);
}

/* Pinned tasks and the others take turns. */
static coir__task *take_own(coir__worker *w)
{
    coir__task *t = w->handoff;
    if (t) {
        w->handoff = NULL;
        return t;
    }
    w->private_turn = !w->private_turn;
    if (w->private_turn && (t = private_take(w)) != NULL)
        return t;
    if (w->lifo_left > 0 && (t = coir__lifo_take(w)) != NULL) {
        w->lifo_left--;
        return t;
    }
    w->lifo_left = COIR__LIFO_MAX;
    if ((t = take_ring(w)) != NULL || (t = coir__lifo_take(w)) != NULL ||
        (t = private_take(w)) != NULL)
        return t;
    return coir__inject_pop(w);
}

/* -- the loop --------------------------------------------------------------------------------------------------- */

static void poll_now_and_then(coir__worker *w, int64_t now)
{
    bool alone = !w->handoff && coir__ring_is_empty(w) &&
                 !atomic_load_explicit(&w->lifo, memory_order_relaxed);
    bool sleeps = alone && !w->yielded && w->private_count == 0; /* then the sleep polls */
    if (!sleeps && (now - w->last_poll >= (alone ? YIELD_POLL : COIR__SLICE) ||
                    w->engine->has_events(w->loop))) {
        w->last_poll = now;
        atomic_fetch_add_explicit(&w->metric_polls, 1, memory_order_relaxed);
        w->engine->poll(w->loop, 0);
    }
}

/* Behind everything else. */
static void queue_yielded(coir__worker *w)
{
    coir__task *t = w->yielded;
    w->yielded = NULL;
    if (!w->handoff && !w->chaos && coir__worker_is_alone(w))
        w->handoff = t; /* not into the ring, from where a worker woken for it would take it */
    else if (atomic_load_explicit(&t->flags, memory_order_relaxed) & COIR__TASK_PINNED && !w->solo)
        coir__runnable_slow(w, t);
    else if (w->chaos)
        coir__inject(w->runtime, t);
    else
        coir__ring_push(w, t);
}

/* Everything that is not running tasks: timers, kernel, other workers. Reads the clock once. */
static void worker_tick(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    atomic_store_explicit(&w->tick, atomic_load_explicit(&w->tick, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    int64_t now = coir__runtime_now(rt);
    w->slice_start = now;
    w->since = coir__since_of(now);
    if (coir__unlikely(w->unblock != 0))
        coir__signal_unblock(w);
    coir__worker_trim_busy(w, now);
    if (atomic_load_explicit(&w->cancels, memory_order_relaxed))
        coir__op_drain_cancels(w);
    if (atomic_load_explicit(&w->inbox_count, memory_order_relaxed))
        inbox_take(w);
    if (atomic_load_explicit(&w->wheel.next, memory_order_relaxed) <= now)
        coir__wheel_expire(&w->wheel, w, now);
    if (!w->solo)
        coir__patrol_mind(w, now);
    poll_now_and_then(w, now);
    uint32_t shared = atomic_load_explicit(&rt->inject_count, memory_order_relaxed);
    if (shared)
        coir__inject_take(w, shared / rt->worker_count + 1 < COIR__RING / 4
                                 ? shared / rt->worker_count + 1
                                 : COIR__RING / 4);
    if (!coir__ring_is_empty(w)) { /* what was woken here keeps its order */
        coir__task *t = coir__lifo_take(w);
        if (t)
            coir__ring_push(w, t);
    }
    if (w->yielded)
        queue_yielded(w);
}

/* A task is about to run that may keep the worker from its timers, and nobody looks after it. */
static bool patrol_is_wanted(coir__worker *w)
{
    return (atomic_load_explicit(&w->careful, memory_order_relaxed) & COIR__CAREFUL_UNWATCHED) &&
           atomic_load_explicit(&w->wheel.next, memory_order_relaxed) != COIR_FOREVER;
}

static void worker_switch(coir__worker *w, coir__task *t)
{
    if (coir__unlikely(patrol_is_wanted(w)))
        coir__runtime_patrol(w->runtime);
    if (t->ctx.sp == NULL)
        coir__pick_equip(w, t);
    w->budget = w->private_count ? COIR__BUDGET / 16 : COIR__BUDGET;
    if (w->lifo_left > COIR__LIFO_MAX) /* I5: the ring may have been filled from elsewhere */
        w->lifo_left = COIR__LIFO_MAX;
    w->current = t;
    atomic_store_explicit(&w->runs, atomic_load_explicit(&w->runs, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    coir__switch(&w->base.ctx, &t->ctx, &w->nowhere, 0);
    w->current = &w->base;
}

/* All tasks have ended. What they have left to the kernel ends too, and soon: it has been asked to. */
static bool watches_are_over(coir__worker *w)
{
    if (atomic_load_explicit(&w->runtime->watches, memory_order_acquire) == 0)
        return true;
    w->engine->poll(w->loop, COIR_MS(1));
    return false;
}

static void run_until_stopped(coir__worker *w)
{
    for (;;) {
        worker_tick(w);
        coir__task *t = take_own(w);
        if (!t) {
            if (atomic_load_explicit(&w->runtime->stopping, memory_order_acquire)) {
                if (watches_are_over(w))
                    break;
                continue;
            }
            t = coir__worker_idle(w);
        }
        if (!t)
            continue;
        if (coir__unlikely(w->post))
            coir__patrol_leave(w);
        w->rests = false;
        worker_switch(w, t);
    }
}

/* The thread may be inside a C++ handler, whose exception is none of the tasks'. */
static coir__eh eh_put_away(coir__worker *w)
{
    coir__eh outer = *w->eh;
    if (coir__unlikely(outer.caught || outer.uncaught))
        *w->eh = (coir__eh){0};
    return outer;
}

static void eh_put_back(coir__worker *w, coir__eh outer)
{
    if (coir__unlikely(outer.caught || outer.uncaught))
        *w->eh = outer;
}

void coir__worker_run(coir__worker *w)
{
    coir__eh outer = eh_put_away(w);
    run_until_stopped(w);
    eh_put_back(w, outer);
}

/* -- in a foreign loop ------------------------------------------------------------------------------------------ */

static bool has_own(coir__worker *w)
{
    return w->handoff || w->yielded || w->private_count != 0 || w->overflow_count != 0 ||
           !coir__ring_is_empty(w) || atomic_load_explicit(&w->lifo, memory_order_relaxed);
}

static void worker_rise(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    atomic_fetch_sub(&rt->sleepers, 1);
    if (atomic_exchange(&w->sleeping, COIR__AWAKE) == COIR__ROUSED_TO_SEARCH)
        atomic_store(&rt->searching, 0); /* every queue is looked at from here on */
}

/* Declares sleep and then looks at everything, the kernel included. False: it is awake again, because something is to be done. What
 * comes after the look finds it asleep, and writes to the descriptor. Who has roused it already may have done so for a task that has
 * run long since, and the poll has taken what it wrote: to sleep on like that would be to sleep for ever. */
static bool worker_rest(coir__worker *w)
{
    atomic_store(&w->sleeping, COIR__ASLEEP);
    atomic_fetch_add(&w->runtime->sleepers, 1);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with whoever makes work visible */
    atomic_fetch_add_explicit(&w->metric_polls, 1, memory_order_relaxed);
    w->engine->poll(w->loop, 0);
    if (!has_own(w) && !coir__worker_is_wanted(w) && !coir__work_is_seen(w->runtime) &&
        !w->engine->has_events(w->loop) && atomic_load(&w->sleeping) == COIR__ASLEEP)
        return true;
    worker_rise(w);
    return false;
}

static bool pump(coir__worker *w, int64_t end)
{
    for (;;) {
        worker_tick(w);
        coir__task *t = take_own(w);
        if (t) {
            worker_switch(w, t);
            if (coir__time_now() < end)
                continue;
        }
        if (worker_rest(w))
            return true;
        if (coir__time_now() >= end)
            return false;
    }
}

bool coir__worker_pump(coir__worker *w, int64_t budget)
{
    int64_t end = coir__time_add(coir__time_now(),
                                 budget); /* of the system, whatever the tasks' clock */
    coir__eh outer = eh_put_away(w);
    coir__fpenv fp = coir__fpenv_save();
    if (atomic_load(&w->sleeping) != COIR__AWAKE)
        worker_rise(w);
    bool done = pump(w, end);
    if (!done)
        w->engine->wake(w->loop);
    if (coir__unlikely(w->unblock != 0)) /* a tick may not have followed the last task */
        coir__signal_unblock(w);
    coir__worker_trim_idle(w);
    coir__fpenv_load(fp);
    eh_put_back(w, outer);
    return done;
}

/* -- life ------------------------------------------------------------------------------------------------------- */

int coir__worker_init(coir__worker *w, coir__runtime *rt, int16_t index)
{
    static coir__eh no_eh;
    int64_t now = coir__runtime_now(rt);
    w->runtime = rt;
    w->rt = rt->index;
    w->solo = rt->solo;
    atomic_store_explicit(&w->odd, w->chaos ? COIR__ODD_ALWAYS : 0, memory_order_relaxed);
    w->index = index;
    w->engine = rt->engine;
    w->eh = __cxa_get_globals ? __cxa_get_globals() : &no_eh;
    w->current = &w->base;
    w->base.rt = rt->index;
    w->base.scope = &w->base.root;
    w->base.root.deadline = COIR_FOREVER;
    w->thread = pthread_self();
    w->tid = (pid_t)syscall(SYS_gettid);
    w->slice_start = w->last_poll = w->last_trim = now;
    w->since = coir__since_of(now);
    atomic_store_explicit(&w->careful,
                          (uint32_t)rt->index << 16 | (rt->solo ? 0 : COIR__CAREFUL_UNWATCHED) |
                              (w->chaos ? COIR__CAREFUL_CHAOS : 0),
                          memory_order_relaxed);
    coir__rng_init(&w->rng, rt->seed + (uint64_t)index);
    coir__wheel_init(&w->wheel, now);
    coir__context_thread(&w->base.ctx);
    int rc = w->engine->init(&w->loop);
    if (rc < 0)
        return rc;
    if (rt->overflow_handler)
        rc = coir__overflow_thread_begin(&w->signal_stack);
    if (rc < 0)
        w->engine->destroy(w->loop);
    return rc;
}

void coir__worker_destroy(coir__worker *w)
{
    if (w->runtime->overflow_handler)
        coir__overflow_thread_end(w->signal_stack);
    w->engine->destroy(w->loop);
    coir__values_free(&w->base); /* a hook may have set some */
    coir__bias_release(w);
    coir__task_free_kept(w);
}
