/* SPDX-License-Identifier: MIT */
/* test_pin.c - tasks that stay on their worker, whoever wakes them. */
#include "sched_test.h"

enum { WORKERS = 4 };

COIR_CHAN_TYPE(ints, int)

/* -- waits of all kinds, among tasks that wander ------------------------------------------------------------------ */

typedef struct traffic {
    ints *there, *back;
    coir_mutex lock;
    _Atomic bool stop;
    int rounds;
} traffic;

static int echo(void *arg)
{
    traffic *t = arg;
    int n;
    while (ints_recv(t->there, &n) == 0)
        CHECK_EQ(ints_send(t->back, n), 0);
    return 0;
}

static int wander(void *arg)
{
    traffic *t = arg;
    while (!atomic_load(&t->stop)) {
        CHECK_EQ(coir_mutex_lock(&t->lock), 0);
        coir_yield();
        coir_mutex_unlock(&t->lock);
        CHECK_EQ(coir_sleep(COIR_US(20)), 0);
    }
    return 0;
}

static int return_0(void *arg)
{
    (void)arg;
    return 0;
}

static void wait_once(traffic *t, int i)
{
    int n = 0;
    coir_group g;
    coir_task child;
    coir_case cases[] = {COIR_AFTER(COIR_US(10)), COIR_AFTER(COIR_FOREVER)};
    switch (i % 7) {
    case 0:
        coir_yield();
        break;
    case 1:
        CHECK_EQ(coir_sleep(COIR_US(10)), 0);
        break;
    case 2:
        CHECK_EQ(coir_mutex_lock(&t->lock), 0);
        coir_mutex_unlock(&t->lock);
        break;
    case 3:
        CHECK_EQ(coir_select(cases, 2), 0);
        break;
    case 4:
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn_with(&g, NULL, return_0, NULL, &child), 0);
        CHECK_EQ(coir_join(child, NULL), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        break;
    case 5:
        while (coir_maybe_yield() == 0) {}
        break;
    default:
        CHECK_EQ(ints_send(t->there, i), 0);
        CHECK_EQ(ints_recv(t->back, &n), 0);
        break;
    }
}

/* Returns whether the caller was on one thread all the time. */
static bool stays(traffic *t)
{
    pid_t first = thread_id();
    bool moved = false;
    for (int i = 0; i < t->rounds; i++) {
        wait_once(t, i);
        moved = moved || thread_id() != first;
    }
    return !moved;
}

static void traffic_begin(traffic *t, coir_group *g)
{
    *t = (traffic){.there = ints_new(1), .back = ints_new(0), .lock = COIR_MUTEX_INIT};
    t->rounds = 700 / harness_scale();
    CHECK(t->there && t->back);
    coir_group_begin(g, 0);
    CHECK_EQ(coir_spawn(g, echo, t), 0);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(coir_spawn(g, wander, t), 0);
}

static void traffic_end(traffic *t, coir_group *g)
{
    atomic_store(&t->stop, true);
    ints_close(t->there);
    CHECK_EQ(coir_group_end(g), 0);
    ints_free(t->there);
    ints_free(t->back);
}

/* -- four ways of being pinned -------------------------------------------------------------------------------- */

static int stay_task(void *arg)
{
    CHECK(stays(arg));
    return 0;
}

static int with_flag(void *arg)
{
    (void)arg;
    traffic t;
    coir_group g;
    coir_task_options pinned = {.flags = COIR_PINNED};
    coir_task task;
    traffic_begin(&t, &g);
    CHECK_EQ(coir_spawn_with(&g, &pinned, stay_task, &t, &task), 0);
    CHECK_EQ(coir_join(task, NULL), 0);
    traffic_end(&t, &g);
    return 0;
}

TEST(a_pinned_task_stays_on_its_worker) { CHECK_EQ(run_on(WORKERS, with_flag, NULL), 0); }

TEST(a_pinned_task_stays_although_tasks_migrate)
{
    CHECK_EQ(run_migrating(WORKERS, with_flag, NULL), 0);
}

static int note_thread(void *arg)
{
    *(pid_t *)arg = thread_id();
    return 0;
}

static int on_spawners_worker(void *arg)
{
    (void)arg;
    coir_task_options pinned = {.flags = COIR_PINNED};
    CHECK_EQ(coir_pin(), 0);
    for (int i = 0; i < 100; i++) {
        pid_t there = 0;
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn_with(&g, &pinned, note_thread, &there, NULL), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(there, thread_id());
    }
    return coir_unpin();
}

TEST(the_flag_binds_to_the_spawners_worker)
{
    CHECK_EQ(run_on(WORKERS, on_spawners_worker, NULL), 0);
    CHECK_EQ(run_migrating(WORKERS, on_spawners_worker, NULL), 0);
}

static int with_pin(void *arg)
{
    (void)arg;
    traffic t;
    coir_group g;
    traffic_begin(&t, &g);
    CHECK_EQ(coir_pin(), 0);
    CHECK(stays(&t));
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(coir_unpin(), 0);
    CHECK(stays(&t)); /* it nests */
    CHECK_EQ(coir_unpin(), 0);
    traffic_end(&t, &g);
    return 0;
}

TEST(a_task_that_pins_itself_stays)
{
    CHECK_EQ(run_on(WORKERS, with_pin, NULL), 0);
    CHECK_EQ(run_migrating(WORKERS, with_pin, NULL), 0);
}

static int with_group(void *arg)
{
    (void)arg;
    traffic t;
    coir_group g, pinned;
    pid_t there[8] = {0};
    traffic_begin(&t, &g);
    coir_group_begin(&pinned, COIR_GROUP_PINNED);
    pid_t opener = thread_id();
    for (int i = 0; i < 8; i++)
        CHECK_EQ(coir_spawn(&pinned, note_thread, &there[i]), 0);
    CHECK_EQ(coir_spawn(&pinned, stay_task, &t), 0);
    CHECK_EQ(coir_group_end(&pinned), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(there[i], opener);
    traffic_end(&t, &g);
    return 0;
}

TEST(the_tasks_of_a_pinned_group_stay_on_the_openers_worker)
{
    CHECK_EQ(run_on(WORKERS, with_group, NULL), 0);
    CHECK_EQ(run_migrating(WORKERS, with_group, NULL), 0);
}

static int all_stay(void *arg)
{
    (void)arg;
    traffic t;
    coir_group g;
    traffic_begin(&t, &g);
    coir_task other;
    CHECK_EQ(coir_spawn_with(&g, NULL, stay_task, &t, &other), 0);
    CHECK(stays(&t));
    CHECK_EQ(coir_join(other, NULL), 0);
    traffic_end(&t, &g);
    return 0;
}

TEST(in_a_pinned_runtime_no_task_moves_once_it_runs)
{
    coir_options o = {.workers = WORKERS, .pinned = true};
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, all_stay, NULL), 0);
}

static int meet(void *arg)
{
    atomic_int *present = arg;
    atomic_fetch_add(present, 1);
    while (atomic_load(present) < WORKERS)
        sched_yield();
    return 0;
}

static int spawn_meeting(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(coir_spawn(&g, meet, arg), 0);
    return coir_group_end(&g);
}

TEST(a_pinned_runtime_uses_all_workers_all_the_same)
{
    atomic_int present = 0;
    coir_options o = {.workers = WORKERS, .pinned = true};
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, spawn_meeting, &present), 0);
}

/* -- and not pinned ------------------------------------------------------------------------------------------- */

static int moves_in_the_end(void *arg)
{
    (void)arg;
    pid_t first = thread_id();
    while (thread_id() == first)
        coir_yield();
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(coir_unpin(), 0);
    first = thread_id();
    while (thread_id() == first) /* free again */
        coir_yield();
    return 0;
}

TEST(without_pins_a_task_migrates) { CHECK_EQ(run_migrating(2, moves_in_the_end, NULL), 0); }

/* -- counting ------------------------------------------------------------------------------------------------- */

TASK_TEST(an_unpin_too_many_is_invalid)
{
    CHECK_EQ(coir_unpin(), -EINVAL);
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(coir_unpin(), 0);
    CHECK_EQ(coir_unpin(), 0);
    CHECK_EQ(coir_unpin(), -EINVAL);
}

static int unpin_bound(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_unpin(), -EINVAL); /* the flag is for life */
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(coir_unpin(), 0);
    pid_t first = thread_id();
    for (int i = 0; i < 200; i++) {
        coir_yield();
        CHECK_EQ(thread_id(), first);
    }
    return 0;
}

static int spawn_bound(void *arg)
{
    (void)arg;
    coir_task_options pinned = {.flags = COIR_PINNED};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(coir_spawn_with(&g, &pinned, unpin_bound, NULL, NULL), 0);
    return coir_group_end(&g);
}

TEST(an_unpin_does_not_free_a_task_spawned_pinned)
{
    CHECK_EQ(run_migrating(WORKERS, spawn_bound, NULL), 0);
}

TEST(pins_mean_nothing_in_a_thread)
{
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(coir_unpin(), 0);
    CHECK_EQ(coir_unpin(), 0);
}

TEST_MAIN("sched_pin")
