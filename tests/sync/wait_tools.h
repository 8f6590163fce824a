/* SPDX-License-Identifier: MIT */
#ifndef WAIT_TOOLS_H
#define WAIT_TOOLS_H

/*
 * wait_tools.h - what tests of waiting need: to know that somebody waits, and a clock that moves when told to.
 *
 * Nothing here sleeps. "B waits" is read from B's park word, yielding until it says so.
 */

#include "support/harness.h"

#include <coir/loop.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "sched/task.h"
#include "sched/worker.h"

/* -- tasks -------------------------------------------------------------------------------------------------- */

/* A task whose handle is kept; its group (NULL: the root group) must outlive what is done with it. */
static inline coir_task start_task(coir_group *g, coir_fn *fn, void *arg)
{
    coir_task t = {0};
    CHECK_EQ(coir_spawn_with(g, NULL, fn, arg, &t), 0);
    return t;
}

static inline bool descriptor_is_parked(coir__task *t)
{
    switch (atomic_load_explicit(&t->park, memory_order_acquire)) {
    case COIR__PARK_WAITING:
    case COIR__PARK_SELECTED:
    case COIR__PARK_HELD:
        return true;
    default:
        return false;
    }
}

static inline bool is_parked(coir_task t) { return descriptor_is_parked(t.opaque); }

/* Lets others run until `t` waits for something. It must be about to. */
static inline void await_parked(coir_task t)
{
    while (!is_parked(t))
        coir_yield();
}

static inline void await_value(_Atomic int *word, int value)
{
    while (atomic_load(word) != value)
        coir_yield();
}

static inline int join_result(coir_task t)
{
    int result = INT32_MIN;
    CHECK_EQ(coir_join(t, &result), 0);
    return result;
}

/* -- plain threads ------------------------------------------------------------------------------------------ */

typedef struct test_thread {
    pthread_t thread;
    coir_fn *fn;
    void *arg;
    int result;
    coir__task *_Atomic self;
    _Atomic int ended;
} test_thread;

static inline void *test_thread_main(void *arg)
{
    test_thread *t = arg;
    atomic_store(&t->self, coir__worker_here()->current);
    t->result = t->fn(t->arg);
    atomic_store(&t->ended, 1);
    return NULL;
}

static inline void thread_start(test_thread *t, coir_fn *fn, void *arg)
{
    t->fn = fn;
    t->arg = arg;
    atomic_store(&t->self, NULL);
    atomic_store(&t->ended, 0);
    CHECK_EQ(pthread_create(&t->thread, NULL, test_thread_main, t), 0);
}

/* Lets others run until the thread waits in a function of the library. */
static inline void thread_await_parked(test_thread *t)
{
    coir__task *self;
    while (!(self = atomic_load(&t->self)) || !descriptor_is_parked(self))
        coir_yield();
}

/* Waits for its end without stopping a worker that others may need. */
static inline int thread_finish(test_thread *t)
{
    await_value(&t->ended, 1);
    CHECK_EQ(pthread_join(t->thread, NULL), 0);
    return t->result;
}

/* -- a clock that stands still ------------------------------------------------------------------------------ */

/*
 * Workers sleep in the kernel for as long as the clock says is left, and look at it again. So with deadlines of about a
 * virtual millisecond a worker that sleeps notices soon that the clock was moved, however far.
 */
static _Atomic int64_t test_time;

#define TEST_TIME_START COIR_S(1000)
#define TEST_TICK COIR_MS(1)

static inline int64_t test_clock_now(void *arg)
{
    (void)arg;
    return atomic_load(&test_time);
}

static inline void time_pass(int64_t ns) { atomic_fetch_add(&test_time, ns); }

/* coir_run() on that clock. */
static inline int run_on_test_clock(coir_fn *fn, void *arg)
{
    static const coir_clock clock = {.now = test_clock_now};
    coir_options o = {.clock = &clock};
    atomic_store(&test_time, TEST_TIME_START);
    return coir_run(&o, fn, arg);
}

/* With one worker nothing happens between two statements that do not wait. */
static inline void use_one_worker(void) { CHECK_EQ(setenv("COIR_WORKERS", "1", 1), 0); }

/* -- chance ------------------------------------------------------------------------------------------------- */

typedef struct dice {
    uint64_t state;
} dice;

static inline uint32_t dice_below(dice *d, uint32_t n)
{
    d->state = d->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(d->state >> 33) % n;
}

/* Spends a little time, at most about a microsecond times `most`. */
static inline void dice_spin(dice *d, uint32_t most)
{
    uint32_t rounds = most ? dice_below(d, most * 64) : 0;
    for (uint32_t i = 0; i < rounds; i++)
        __asm__ volatile("" ::: "memory");
}

/* How often a loop of `n` rounds goes here. */
static inline int rounds_of(int n) { return n / harness_scale() > 0 ? n / harness_scale() : 1; }

#endif
