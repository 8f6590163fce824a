/* SPDX-License-Identifier: MIT */
/* test_deadline_many.c - ten thousand scopes with deadlines: none fires, all fire, some do. */
#include "sched_test.h"

static int count_scopes(void) { return SCHED_TSAN ? 3000 : 10000; }

typedef struct tally {
    atomic_int timed_out;
    atomic_int finished;
    atomic_int opened;
    coir_event go;
} tally;

static int run_many(coir_fn *fn, tally *t, coir_group *g)
{
    int n = count_scopes();
    coir_group_begin(g, 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_spawn(g, fn, t), 0);
    return n;
}

/* -- none --------------------------------------------------------------------------------------------------- */

static int wait_under_long_deadline(void *arg)
{
    tally *t = arg;
    coir_scope s;
    coir_scope_begin(&s, COIR_S(10000));
    atomic_fetch_add(&t->opened, 1);
    int rc = coir_scope_end(&s, coir_event_wait(&t->go));
    CHECK_EQ(rc, 0);
    atomic_fetch_add(&t->finished, 1);
    return 0;
}

TASK_TEST(none_of_10000_deadlines_fires_when_all_finish)
{
    tally t = {.go = COIR_EVENT_INIT};
    coir_group g;
    int n = run_many(wait_under_long_deadline, &t, &g);
    while (atomic_load(&t.opened) < n)
        coir_yield();
    coir_event_set(&t.go);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(atomic_load(&t.finished), n);
    CHECK_EQ(coir_check(), 0);
}

TASK_TEST(a_deadline_that_was_not_reached_leaves_nothing_behind)
{
    int rounds = 20000 / harness_scale();
    for (int i = 0; i < rounds; i++) {
        coir_scope s;
        coir_scope_begin(&s, COIR_MS(1) + i);
        CHECK_EQ(coir_scope_end(&s, 0), 0);
        CHECK_EQ(coir_check(), 0);
    }
    CHECK_EQ(coir_sleep(COIR_MS(3)), 0); /* past all of them */
}

/* -- all ---------------------------------------------------------------------------------------------------- */

static int wait_until_deadline(void *arg)
{
    tally *t = arg;
    coir_scope s;
    int64_t span = COIR_MS(1) + atomic_fetch_add(&t->opened, 1) % 64 * COIR_US(100);
    int64_t begin = coir_now();
    coir_scope_begin(&s, span);
    int rc = coir_event_wait(&t->go);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, rc), -ETIMEDOUT);
    CHECK_GE(coir_now(), begin + span); /* never early */
    CHECK_EQ(coir_check(), 0);
    atomic_fetch_add(&t->timed_out, 1);
    return 0;
}

TASK_TEST_TIMEOUT(all_of_10000_deadlines_fire, 60)
{
    tally t = {.go = COIR_EVENT_INIT};
    coir_group g;
    int n = run_many(wait_until_deadline, &t, &g);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(atomic_load(&t.timed_out), n);
}

static int wait_inside(void *arg)
{
    tally *t = arg;
    int rc = coir_event_wait(&t->go);
    CHECK_EQ(rc, -ECANCELED);
    const coir_cancel_reason *reason = coir_cancel_reason_get();
    CHECK(reason != NULL);
    CHECK_EQ(reason->code, -ETIMEDOUT);
    atomic_fetch_add(&t->timed_out, 1);
    return rc;
}

TASK_TEST_TIMEOUT(one_deadline_ends_10000_tasks, 60)
{
    tally t = {.go = COIR_EVENT_INIT};
    coir_scope s;
    coir_group g;
    coir_scope_begin(&s, COIR_S(1) / 10);
    coir_group_begin(&g, 0);
    int n = 0, rc = 0;
    while (n < count_scopes() && (rc = coir_spawn(&g, wait_inside, &t)) == 0)
        n++;
    CHECK(rc == 0 || rc == -ECANCELED); /* the machine may be slow */
    rc = coir_group_end(&g);
    CHECK_EQ(coir_scope_end(&s, rc), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&t.timed_out), n);
}

/* The timer of a scope may lie on any worker's wheel, and be disarmed from another. */
static int wait_a_little(void *arg)
{
    tally *t = arg;
    for (int i = 0; i < 20; i++) {
        coir_scope outer, inner;
        coir_scope_begin(&outer, COIR_S(1000));
        coir_scope_begin(&inner, COIR_US(30));
        int rc = coir_sleep(i % 2 ? COIR_US(10) : COIR_US(60));
        CHECK(rc == 0 || rc == -ECANCELED);
        int ended = coir_scope_end(&inner, rc);
        CHECK_EQ(ended, rc == 0 ? 0 : -ETIMEDOUT);
        CHECK_EQ(coir_scope_end(&outer, 0), 0);
        atomic_fetch_add(rc == 0 ? &t->finished : &t->timed_out, 1);
    }
    return 0;
}

TASK_TEST(every_wait_under_a_short_deadline_ends_one_way)
{
    tally t = {.go = COIR_EVENT_INIT};
    int n = 500 / harness_scale();
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_spawn(&g, wait_a_little, &t), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(t.finished + t.timed_out, 20 * n);
}

/* Deep, so that each wait has many deadlines around it; only the innermost is near. */
static int nest(int depth)
{
    coir_scope s;
    coir_scope_begin(&s, depth ? COIR_S(1000) + depth : COIR_US(200));
    int rc = depth ? nest(depth - 1) : coir_sleep(COIR_FOREVER);
    rc = coir_scope_end(&s, rc);
    CHECK_EQ(rc, -ETIMEDOUT); /* passed through as it is */
    return rc;
}

TASK_TEST(the_innermost_of_a_hundred_deadlines_is_told_apart)
{
    CHECK_EQ(nest(100), -ETIMEDOUT);
    CHECK_EQ(coir_check(), 0);
    CHECK_EQ(coir_sleep(1), 0);
}

TEST_MAIN("sched_deadline_many")
