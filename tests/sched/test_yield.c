/* SPDX-License-Identifier: MIT */
/* test_yield.c - going behind everything runnable. */
#include "sched_test.h"

#include <coir/debug.h>
#include <coir/loop.h>

#include <coir/net.h>

typedef struct trace {
    char text[256];
    size_t used;
} trace;

static void note(trace *t, char c)
{
    if (t->used < sizeof t->text - 1)
        t->text[t->used++] = c;
}

typedef struct player {
    trace *t;
    char name;
    int rounds;
} player;

static int play(void *arg)
{
    player *p = arg;
    for (int i = 0; i < p->rounds; i++) {
        note(p->t, p->name);
        coir_yield();
    }
    return 0;
}

static int alternate(void *arg)
{
    (void)arg;
    trace t = {.used = 0};
    player players[] = {{&t, 'a', 50}, {&t, 'b', 50}, {&t, 'c', 50}};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_spawn(&g, play, &players[i]), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(t.used, 150);
    for (size_t i = 0; i < t.used; i++)
        CHECK_EQ(t.text[i], "abc"[i % 3]);
    return 0;
}

TEST(on_one_worker_tasks_that_yield_take_turns) { CHECK_EQ(run_on(1, alternate, NULL), 0); }

/* -- behind what is runnable, wherever it is ---------------------------------------------------------------- */

static int set_flag(void *arg)
{
    *(bool *)arg = true;
    return 0;
}

static int yield_after_spawn(void *arg)
{
    (void)arg;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 300; i++) { /* the budget of picks ends several times */
        bool ran = false;
        CHECK_EQ(coir_spawn(&g, set_flag, &ran), 0);
        coir_yield();
        CHECK(ran);
    }
    return coir_group_end(&g);
}

TEST(on_one_worker_a_spawned_task_runs_before_yield_returns)
{
    CHECK_EQ(run_on(1, yield_after_spawn, NULL), 0);
}

static int yield_after_many(void *arg)
{
    (void)arg;
    enum { N = 700 }; /* the ring, and the shared queue behind it */
    bool ran[N] = {false};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir_spawn(&g, set_flag, &ran[i]), 0);
    coir_yield();
    int missing = 0;
    for (int i = 0; i < N; i++)
        missing += !ran[i];
    CHECK_EQ(missing, 0);
    return coir_group_end(&g);
}

TEST(on_one_worker_yield_goes_behind_the_shared_queue_too)
{
    CHECK_EQ(run_on(1, yield_after_many, NULL), 0);
}

typedef struct sleeper {
    bool woken;
    coir_event *event;
} sleeper;

static int wait_and_set(void *arg)
{
    sleeper *s = arg;
    CHECK_EQ(coir_event_wait(s->event), 0);
    s->woken = true;
    return 0;
}

static int yield_after_wake(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        coir_group g;
        coir_event e = COIR_EVENT_INIT;
        sleeper s = {.event = &e};
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, wait_and_set, &s), 0);
        coir_yield(); /* it waits now */
        coir_event_set(&e);
        coir_yield();
        CHECK(s.woken);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST(on_one_worker_a_woken_task_runs_before_yield_returns)
{
    CHECK_EQ(run_on(1, yield_after_wake, NULL), 0);
}

static void *inject(void *arg)
{
    sleeper *s = arg;
    coir_event_set(s->event);
    return NULL;
}

/* The thread has set the event, and has ended: so the task is in the shared queue. */
static int yield_after_foreign_wake(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        coir_group g;
        coir_event e = COIR_EVENT_INIT;
        sleeper s = {.event = &e};
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, wait_and_set, &s), 0);
        coir_yield();
        thread_finish(thread_start(inject, &s));
        coir_yield();
        CHECK(s.woken);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST(on_one_worker_yield_goes_behind_what_threads_woke)
{
    CHECK_EQ(run_on(1, yield_after_foreign_wake, NULL), 0);
}

static int yield_after_pinned_spawn(void *arg)
{
    (void)arg;
    coir_task_options pinned = {.flags = COIR_PINNED};
    coir_group g;
    CHECK_EQ(coir_pin(), 0);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 200; i++) {
        bool ran = false;
        CHECK_EQ(coir_spawn_with(&g, &pinned, set_flag, &ran, NULL), 0);
        for (int k = 0; k < 2 && !ran; k++) /* pinned ones and the others take turns */
            coir_yield();
        CHECK(ran);
    }
    CHECK_EQ(coir_unpin(), 0);
    return coir_group_end(&g);
}

TEST(pinned_tasks_yield_to_each_other) { CHECK_EQ(run_on(2, yield_after_pinned_spawn, NULL), 0); }

/* -- timers and I/O ----------------------------------------------------------------------------------------- */

typedef struct stop {
    _Atomic bool set;
    int fd;
    atomic_long yields;
} stop;

static int yield_until(void *arg)
{
    stop *s = arg;
    while (!atomic_load(&s->set)) {
        coir_yield();
        atomic_fetch_add_explicit(&s->yields, 1, memory_order_relaxed);
    }
    return 0;
}

static int sleep_then_stop(void *arg)
{
    stop *s = arg;
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    atomic_store(&s->set, true);
    return 0;
}

static int read_then_stop(void *arg)
{
    stop *s = arg;
    char c = 0;
    CHECK_EQ(coir_read(s->fd, &c, 1), 1);
    CHECK_EQ(c, 'x');
    atomic_store(&s->set, true);
    return 0;
}

/* As many that only yield as there may be workers, and more. */
static int yield_beside(coir_fn *fn, stop *s)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(coir_spawn(&g, yield_until, s), 0);
    CHECK_EQ(coir_spawn(&g, fn, s), 0);
    return coir_group_end(&g);
}

TASK_TEST(timers_get_in_while_tasks_only_yield)
{
    stop s = {.set = false};
    CHECK_EQ(yield_beside(sleep_then_stop, &s), 0);
}

static void *write_later(void *arg)
{
    stop *s = arg;
    while (atomic_load(&s->yields) < 1000) /* they are at it */
        sched_yield();
    CHECK_EQ(write(s->fd, "x", 1), 1);
    return NULL;
}

TASK_TEST(io_gets_in_while_tasks_only_yield)
{
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    stop s = {.fd = fds[0]};
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, read_then_stop, &s), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(coir_spawn(&g, yield_until, &s), 0);
    stop writer = {.fd = fds[1]};
    atomic_store(&writer.yields, 1000);
    while (atomic_load(&s.yields) < 1000)
        coir_yield();
    thread_finish(thread_start(write_later, &writer));
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_close(fds[0]), 0);
    CHECK_EQ(coir_close(fds[1]), 0);
}

static int stop_now(void *arg)
{
    atomic_store(&((stop *)arg)->set, true);
    return 0;
}

typedef struct late {
    coir_group *g;
    stop *s;
} late;

static void *spawn_from_outside(void *arg)
{
    late *l = arg;
    while (atomic_load(&l->s->yields) < 1000)
        sched_yield();
    CHECK_EQ(coir_spawn(l->g, stop_now, l->s), 0);
    return NULL;
}

TASK_TEST(tasks_from_threads_get_in_while_tasks_only_yield)
{
    stop s = {.set = false};
    coir_group g;
    late l = {&g, &s};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(coir_spawn(&g, yield_until, &s), 0);
    pthread_t thread = thread_start(spawn_from_outside, &l);
    yield_until(&s);
    thread_finish(thread);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- maybe_yield -------------------------------------------------------------------------------------------- */

static int see_slice(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        int yielded = 0;
        while (yielded == 0) /* ends when the slice is spent */
            yielded = coir_maybe_yield();
        CHECK_EQ(yielded, 1);
    }
    return 0;
}

TASK_TEST(maybe_yield_returns_1_once_the_slice_is_spent) { CHECK_EQ(see_slice(NULL), 0); }

/* Other tasks get their turn from one that computes. */
static int compute_until(void *arg)
{
    stop *s = arg;
    while (!atomic_load(&s->set))
        CHECK_GE(coir_maybe_yield(), 0);
    return 0;
}

TASK_TEST(maybe_yield_lets_others_run)
{
    stop s = {.set = false};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(coir_spawn(&g, compute_until, &s), 0);
    CHECK_EQ(coir_spawn(&g, sleep_then_stop, &s), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* A slice that has just begun: of many tries at least one call must find it unspent, unless the machine
 * stops for 100 us between any two statements. */
TASK_TEST(maybe_yield_returns_0_within_the_slice)
{
    bool found = false;
    while (!found) {
        coir_yield();
        found = coir_maybe_yield() == 0;
    }
}

static atomic_llong moved_by_hand;

static int64_t hand_clock(void *arg)
{
    (void)arg;
    return atomic_load(&moved_by_hand);
}

static int sleep_10_us(void *arg)
{
    CHECK_EQ(coir_sleep(COIR_US(10)), 0);
    *(bool *)arg = true;
    return 0;
}

static int compute_beside(void *arg)
{
    bool woke = false;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, sleep_10_us, &woke), 0);
    coir_yield(); /* it sleeps */
    CHECK_EQ(coir_maybe_yield(), 0);
    atomic_fetch_add(&moved_by_hand, COIR_US(90)); /* the slice is not over */
    CHECK_EQ(coir_maybe_yield(), 1);
    CHECK(woke);
    return coir_group_end(&g);
}

static void run_on_hand_clock(coir_fn *fn)
{
    coir_clock clock = {.now = hand_clock};
    coir_options o = {.workers = 1, .clock = &clock};
    unsetenv("COIR_WORKERS");
    moved_by_hand = COIR_S(1000);
    CHECK_EQ(coir_run(&o, fn, NULL), 0);
}

TEST(maybe_yield_lets_in_who_has_slept_long_enough) { run_on_hand_clock(compute_beside); }

/* Each time, and not only when the clock would have been read anyway. */
static int yield_beside_sleeper(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        bool woke = false;
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, sleep_10_us, &woke), 0);
        coir_yield(); /* it sleeps */
        for (int k = 0; k < i; k++)
            coir_yield();
        CHECK(!woke);
        atomic_fetch_add(&moved_by_hand, COIR_US(90));
        coir_yield();
        CHECK(woke);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST(a_yield_lets_in_who_has_slept_long_enough) { run_on_hand_clock(yield_beside_sleeper); }

TASK_TEST(maybe_yield_is_a_cancel_point_and_yield_is_not)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    coir_scope_cancel(&s, "now");
    CHECK_EQ(coir_maybe_yield(), -ECANCELED);
    coir_yield();
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK_GE(coir_maybe_yield(), 0);
}

/* -- alone -------------------------------------------------------------------------------------------------- */

static atomic_long looks;

static int64_t counting_clock(void *arg)
{
    (void)arg;
    atomic_fetch_add(&looks, 1);
    return COIR_S(1000);
}

static int yield_alone(void *arg)
{
    const unsigned *workers = arg;
    enum { N = 12800 };
    coir_metrics before, after;
    CHECK_EQ(coir_metrics_read(&before), 0);
    long looks_before = atomic_load(&looks);
    for (int i = 0; i < N; i++)
        coir_yield();
    if (*workers == 1) {
        CHECK_LE(atomic_load(&looks) - looks_before, N / 10);
        CHECK_GE(atomic_load(&looks) - looks_before, N / 128);
    }
    CHECK_EQ(coir_metrics_read(&after), 0);
    CHECK_EQ(after.steals, before.steals);
    return 0;
}

TEST(a_task_that_yields_alone_looks_at_the_clock_now_and_then_and_is_not_stolen)
{
    coir_clock clock = {.now = counting_clock};
    for (unsigned workers = 1; workers <= 2; workers++) {
        coir_options o = {.workers = workers, .clock = &clock};
        unsetenv("COIR_WORKERS");
        CHECK_EQ(coir_run(&o, yield_alone, &workers), 0);
    }
}

/* -- threads ------------------------------------------------------------------------------------------------ */

TEST(a_plain_thread_may_yield)
{
    coir_yield(); /* before coir knows the thread */
    CHECK_EQ(coir_maybe_yield(), 0);
    coir_yield();
    coir_scope s;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_maybe_yield(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

TEST_MAIN("sched_yield")
