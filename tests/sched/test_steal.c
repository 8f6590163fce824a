/* SPDX-License-Identifier: MIT */
/*
 * test_steal.c - work spreads over the workers.
 *
 * Tasks here hold their worker (they give the processor up by sched_yield(), not by coir_yield()) until something has
 * happened that needs another worker. So a test passes as soon as it happens, however long that takes, and hangs if it
 * never does.
 */
#include "sched_test.h"

enum { WORKERS = 4 };

/* -- rings -------------------------------------------------------------------------------------------------- */

static int spawn_meeting(void *arg)
{
    meeting *m = arg;
    coir_group g;
    for (int round = 0; round < 50; round++) {
        atomic_store(&m->present, 0);
        coir_group_begin(&g, 0);
        for (int i = 0; i < m->expected; i++)
            CHECK_EQ(coir_spawn(&g, attend, m), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST(tasks_of_one_worker_are_taken_by_all_others)
{
    meeting m = {.expected = WORKERS};
    CHECK_EQ(run_on(WORKERS, spawn_meeting, &m), 0);
}

/* The spawner itself holds its worker. */
static int meet_children(void *arg)
{
    meeting *m = arg;
    coir_group g;
    for (int round = 0; round < 50; round++) {
        atomic_store(&m->present, 0);
        coir_group_begin(&g, 0);
        for (int i = 0; i < WORKERS - 1; i++)
            CHECK_EQ(coir_spawn(&g, attend, m), 0);
        attend(m);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST(the_ring_of_a_worker_that_computes_is_emptied_by_others)
{
    meeting m = {.expected = WORKERS};
    CHECK_EQ(run_on(WORKERS, meet_children, &m), 0);
}

static int count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* More than the ring holds: the rest is in the shared queue. */
static int overflow_ring(void *arg)
{
    (void)arg;
    enum { N = 2000 };
    atomic_int ran = 0;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir_spawn(&g, count_up, &ran), 0);
    while (atomic_load(&ran) < N) /* others do all of it */
        sched_yield();
    return coir_group_end(&g);
}

TEST(an_overflowing_ring_is_worked_off_by_others) { CHECK_EQ(run_on(2, overflow_ring, NULL), 0); }

/* Thieves beside the owner: every task runs once. */
typedef struct family {
    atomic_int *ran;
    int depth;
} family;

static int branch(void *arg)
{
    family *f = arg;
    atomic_fetch_add(f->ran, 1);
    if (f->depth == 0)
        return 0;
    family child = {f->ran, f->depth - 1};
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_copy(&g, branch, &child, sizeof child), 0);
    CHECK_EQ(coir_spawn_copy(&g, branch, &child, sizeof child), 0);
    return coir_group_end(&g);
}

static int grow_tree(void *arg)
{
    atomic_int ran = 0;
    family root = {&ran, SCHED_TSAN ? 9 : 12};
    (void)arg;
    CHECK_EQ(branch(&root), 0);
    CHECK_EQ(atomic_load(&ran), (2 << root.depth) - 1);
    return 0;
}

TEST(a_tree_of_tasks_runs_every_one_once)
{
    CHECK_EQ(run_on(WORKERS, grow_tree, NULL), 0);
    CHECK_EQ(run_migrating(WORKERS, grow_tree, NULL), 0);
}

/* -- the slot ----------------------------------------------------------------------------------------------- */

typedef struct rescue {
    coir_event go;
    atomic_int waiting;
    atomic_int woken;
} rescue;

static int wait_and_tell(void *arg)
{
    rescue *r = arg;
    atomic_fetch_add(&r->waiting, 1);
    CHECK_EQ(coir_event_wait(&r->go), 0);
    atomic_store(&r->woken, 1);
    return 0;
}

/* Wakes one task, which goes into the slot, and then holds the worker until it has run. */
static int hog_after_wake(void *arg)
{
    (void)arg;
    int rounds = 200 / harness_scale();
    for (int i = 0; i < rounds; i++) {
        rescue r = {.go = COIR_EVENT_INIT};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, wait_and_tell, &r), 0);
        while (atomic_load(&r.waiting) == 0)
            coir_yield();
        if (i % 2) /* now and then after a rest, when everybody sleeps soundly */
            CHECK_EQ(coir_sleep(i % 20 == 1 ? COIR_MS(30) : COIR_US(200)), 0);
        coir_event_set(&r.go);
        while (atomic_load(&r.woken) == 0)
            sched_yield();
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST_TIMEOUT(a_lone_woken_task_behind_one_that_computes_is_rescued, 40)
{
    for (unsigned workers = 2; workers <= WORKERS; workers++)
        CHECK_EQ(run_on(workers, hog_after_wake, NULL), 0);
}

/* The others are awake when the slot is filled, and go to sleep afterwards. */
static int hold_briefly(void *arg)
{
    int64_t until = coir_now() + *(int64_t *)arg;
    while (coir_now() < until)
        sched_yield();
    return 0;
}

static int hog_while_others_fall_asleep(void *arg)
{
    (void)arg;
    int rounds = 300 / harness_scale();
    for (int i = 0; i < rounds; i++) {
        rescue r = {.go = COIR_EVENT_INIT};
        int64_t span = COIR_US(20) + i % 50 * COIR_US(5);
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, wait_and_tell, &r), 0);
        while (atomic_load(&r.waiting) == 0)
            coir_yield();
        for (int k = 0; k < WORKERS - 1; k++)
            CHECK_EQ(coir_spawn(&g, hold_briefly, &span), 0);
        int64_t until = coir_now() + COIR_US(50);
        while (coir_now() < until) /* the others take them */
            sched_yield();
        coir_event_set(&r.go);
        while (atomic_load(&r.woken) == 0)
            sched_yield();
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST_TIMEOUT(a_woken_task_is_rescued_by_workers_that_fall_asleep_later, 40)
{
    CHECK_EQ(run_on(WORKERS, hog_while_others_fall_asleep, NULL), 0);
    CHECK_EQ(run_on(2, hog_while_others_fall_asleep, NULL), 0);
}

/* -- timers of a worker that computes ----------------------------------------------------------------------- */

static int sleep_and_tell(void *arg)
{
    rescue *r = arg;
    atomic_fetch_add(&r->waiting, 1);
    CHECK_EQ(coir_sleep(COIR_US(500)), 0);
    atomic_store(&r->woken, 1);
    return 0;
}

/* The sleeper's timer is on the hog's own worker: pinned there while it goes to sleep. */
static int hog_beside_sleeper(void *arg)
{
    (void)arg;
    int rounds = 20;
    for (int i = 0; i < rounds; i++) {
        rescue r = {.go = COIR_EVENT_INIT}, other = {.go = COIR_EVENT_INIT};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, sleep_and_tell, &r), 0);
        CHECK_EQ(coir_spawn(&g, wait_and_tell, &other), 0);
        while (atomic_load(&r.waiting) == 0 || atomic_load(&other.waiting) == 0)
            coir_yield();
        coir_event_set(&other.go); /* starts the patrol */
        while (atomic_load(&r.woken) == 0)
            sched_yield();
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST_TIMEOUT(timers_behind_a_task_that_computes_fire, 40)
{
    CHECK_EQ(run_on(WORKERS, hog_beside_sleeper, NULL), 0);
}

typedef struct busy {
    atomic_uint turns;
    atomic_bool stop;
} busy;

static int yield_until_stopped(void *arg)
{
    busy *b = arg;
    while (!atomic_load(&b->stop)) {
        atomic_fetch_add(&b->turns, 1);
        coir_yield();
    }
    return 0;
}

/* Of two workers one is held here, the other always has something to run: nobody sleeps who could keep the patrol. */
static int hog_beside_busy_worker(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        rescue r = {.go = COIR_EVENT_INIT};
        busy b = {0};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, yield_until_stopped, &b), 0);
        while (atomic_load(&b.turns) < 10) /* until the other worker has it */
            sched_yield();
        CHECK_EQ(coir_spawn(&g, sleep_and_tell, &r), 0);
        while (atomic_load(&r.waiting) == 0)
            coir_yield();
        while (atomic_load(&r.woken) == 0)
            sched_yield();
        atomic_store(&b.stop, true);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

TEST_TIMEOUT(they_fire_even_if_all_other_workers_are_busy, 40)
{
    CHECK_EQ(run_on(2, hog_beside_busy_worker, NULL), 0);
}

/* -- shared queue ------------------------------------------------------------------------------------------- */

typedef struct outside {
    coir_group *g;
    atomic_int ran;
    int n;
} outside;

static void *spawn_outside(void *arg)
{
    outside *o = arg;
    for (int i = 0; i < o->n; i++)
        CHECK_EQ(coir_spawn(o->g, count_up, &o->ran), 0);
    return NULL;
}

static int hog_until_outsiders_ran(void *arg)
{
    (void)arg;
    coir_group g;
    outside o = {.g = &g, .n = 1000};
    coir_group_begin(&g, 0);
    pthread_t thread = thread_start(spawn_outside, &o);
    while (atomic_load(&o.ran) < o.n)
        sched_yield();
    thread_finish(thread);
    return coir_group_end(&g);
}

TEST(tasks_from_threads_run_on_another_worker_while_one_computes)
{
    CHECK_EQ(run_on(2, hog_until_outsiders_ran, NULL), 0);
}

TEST_MAIN("sched_steal")
