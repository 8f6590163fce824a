/* SPDX-License-Identifier: MIT */
/* test_cancel_points.c - which calls refuse in a cancelled scope, which never do; shields; who ignores it. */
#include "sync/wait_tools.h"

#include <string.h>

/* What the calls work on; ready, so that each would succeed at once. */
typedef struct kit {
    coir_chan *c; /* half full */
    coir_event set;
    coir_mutex m;
    coir_once once;
    coir_task done; /* ended, not joined */
    coir_group *g;
} kit;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void kit_begin(kit *k, coir_group *g)
{
    *k = (kit){.g = g};
    CHECK((k->c = coir_chan_new(sizeof(int), 64)) != NULL);
    for (int i = 0; i < 32; i++)
        CHECK_EQ(coir_chan_send(k->c, &i), 0);
    coir_event_set(&k->set);
    coir_group_begin(g, 0);
    k->done = start_task(g, nothing, NULL);
    CHECK_EQ(coir_group_wait(g), 0);
}

static void kit_end(kit *k)
{
    CHECK_EQ(coir_group_end(k->g), 0);
    coir_chan_free(k->c);
}

/* -- cancel points ------------------------------------------------------------------------------------------ */

static ssize_t call_send(kit *k) { return coir_chan_send(k->c, &(int){1}); }
static ssize_t call_recv(kit *k) { return coir_chan_recv(k->c, &(int){0}); }
static ssize_t zero_if_two(ssize_t n) { return n == 2 ? 0 : n; }
static ssize_t call_send_n(kit *k) { return zero_if_two(coir_chan_send_n(k->c, (int[]){1, 2}, 2)); }
static ssize_t call_recv_n(kit *k) { return zero_if_two(coir_chan_recv_n(k->c, (int[]){0, 0}, 2)); }
static ssize_t call_event_wait(kit *k) { return coir_event_wait(&k->set); }
static ssize_t call_once(kit *k) { return coir_once_run(&k->once, nothing, NULL); }
static ssize_t call_sleep(kit *k) { return (void)k, coir_sleep(COIR_US(1)); }
static ssize_t call_sleep_zero(kit *k) { return (void)k, coir_sleep(0); }
static ssize_t call_sleep_until(kit *k) { return (void)k, coir_sleep_until(0); }
static ssize_t call_check(kit *k) { return (void)k, coir_check(); }
static ssize_t call_join(kit *k) { return coir_join(k->done, NULL); }

static ssize_t call_maybe_yield(kit *k)
{
    (void)k;
    int rc = coir_maybe_yield();
    return rc > 0 ? 0 : rc;
}

static ssize_t call_lock(kit *k)
{
    int rc = coir_mutex_lock(&k->m);
    if (rc == 0)
        coir_mutex_unlock(&k->m);
    return rc;
}

static ssize_t call_select(kit *k)
{
    coir_case one[] = {COIR_SET(&k->set)};
    return coir_select(one, 1);
}

static ssize_t call_select_ordered(kit *k)
{
    coir_case one[] = {COIR_AFTER(0)};
    (void)k;
    return coir_select_ordered(one, 1);
}

typedef struct point {
    const char *name;
    ssize_t (*call)(kit *k);
} point;

static const point points[] = {
    {"send", call_send},
    {"recv", call_recv},
    {"send_n", call_send_n},
    {"recv_n", call_recv_n},
    {"event_wait", call_event_wait},
    {"once_run", call_once},
    {"sleep", call_sleep},
    {"sleep 0", call_sleep_zero},
    {"sleep_until", call_sleep_until},
    {"check", call_check},
    {"maybe_yield", call_maybe_yield},
    {"mutex_lock", call_lock},
    {"select", call_select},
    {"select_ordered", call_select_ordered},
    {"join", call_join}, /* last: it works once */
};

#define POINTS (sizeof points / sizeof *points)

static void check_point(const point *p, kit *k, ssize_t expected)
{
    ssize_t rc = p->call(k);
    if (rc != expected)
        harness_fail(__FILE__, __LINE__, "%s returned %zd, not %zd", p->name, rc, expected);
}

/* In a cancelled scope every point refuses, twice, and nothing happens; after it every point works. */
static void refuse_all(void (*enter)(coir_scope *), int (*leave)(coir_scope *), int expected)
{
    kit k;
    coir_group g;
    coir_scope s;
    kit_begin(&k, &g);
    enter(&s);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < POINTS; i++)
            check_point(&points[i], &k, -ECANCELED);
    CHECK_EQ(coir_chan_len(k.c), 32);
    CHECK_EQ(leave(&s), expected);
    for (size_t i = 0; i < POINTS; i++)
        check_point(&points[i], &k, 0);
    kit_end(&k);
}

static void enter_cancelled(coir_scope *s)
{
    coir_scope_begin(s, COIR_FOREVER);
    coir_scope_cancel(s, "test");
}

static void enter_late(coir_scope *s) { coir_scope_begin(s, 0); }

static void enter_late_shield(coir_scope *s) { coir_shield_begin(s, 0); }

static int leave_scope(coir_scope *s) { return coir_scope_end(s, -ECANCELED); }

static int leave_shield(coir_scope *s)
{
    coir_shield_end(s);
    return 0;
}

TASK_TEST(every_cancel_point_refuses_until_the_cancelled_scope_ends)
{
    refuse_all(enter_cancelled, leave_scope, -ECANCELED);
}

TASK_TEST(every_cancel_point_refuses_until_the_scope_whose_deadline_passed_ends)
{
    refuse_all(enter_late, leave_scope, -ETIMEDOUT);
}

TASK_TEST(every_cancel_point_refuses_once_the_limit_of_a_shield_has_passed)
{
    refuse_all(enter_late_shield, leave_shield, 0);
}

static int refuse_all_in_thread(void *arg)
{
    kit *k = arg;
    coir_scope s;
    enter_cancelled(&s);
    for (size_t i = 0; i < POINTS; i++)
        check_point(&points[i], k, -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ECANCELED);
    for (size_t i = 0; i < POINTS; i++)
        check_point(&points[i], k, 0);
    return 0;
}

TASK_TEST(cancel_points_refuse_in_threads_too)
{
    kit k;
    coir_group g;
    test_thread t;
    kit_begin(&k, &g);
    thread_start(&t, refuse_all_in_thread, &k);
    CHECK_EQ(thread_finish(&t), 0);
    kit_end(&k);
}

/* -- what is no cancel point -------------------------------------------------------------------------------- */

static int count_run(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
    return 0;
}

TASK_TEST(what_is_no_cancel_point_works_in_a_cancelled_scope)
{
    kit k;
    coir_group g, inner_group, outside;
    coir_scope s, inner;
    coir_task t;
    _Atomic int runs = 0;
    int value = 1;
    kit_begin(&k, &g);
    coir_group_begin(&outside, 0);
    enter_cancelled(&s);
    CHECK_EQ(coir_chan_try_recv(k.c, &value), 0);
    CHECK_EQ(coir_chan_try_send(k.c, &value), 0);
    coir_case one[] = {COIR_SET(&k.set)};
    CHECK_EQ(coir_select_try(one, 1), 0);
    CHECK_EQ(coir_mutex_try_lock(&k.m), 0);
    coir_mutex_unlock(&k.m);
    coir_event_reset(&k.set);
    coir_event_set(&k.set);
    coir_yield();
    CHECK_EQ(coir_spawn(&outside, count_run, (void *)&runs), 0);
    CHECK_EQ(coir_spawn(NULL, count_run, (void *)&runs), 0);
    CHECK_EQ(coir_spawn_with(&outside, NULL, count_run, (void *)&runs, &t), 0);
    int rc = coir_cancel(t, "test"); /* it may have ended */
    CHECK(rc == 0 || rc == -ESRCH);
    coir_detach(t);
    coir_scope_begin(&inner, COIR_FOREVER);
    coir_scope_cancel(&inner, "test");
    CHECK_EQ(coir_scope_end(&inner, 0), 0);
    coir_shield_begin(&inner, COIR_FOREVER);
    CHECK_EQ(coir_check(), 0);
    coir_shield_end(&inner);
    coir_group_begin(&inner_group, 0);
    CHECK_EQ(coir_spawn(&inner_group, count_run, (void *)&runs), -ECANCELED);
    CHECK_EQ(coir_group_end(&inner_group), 0);
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(coir_unpin(), 0);
    coir_chan_close(k.c);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK_EQ(coir_group_end(&outside), 0);
    await_value(&runs, 3);
    kit_end(&k);
}

/* -- shields ------------------------------------------------------------------------------------------------ */

TASK_TEST(inside_a_shield_a_cancelled_task_works)
{
    kit k;
    coir_group g;
    coir_scope s, shield;
    kit_begin(&k, &g);
    enter_cancelled(&s);
    coir_shield_begin(&shield, COIR_FOREVER);
    CHECK(coir_cancel_reason_get() == NULL);
    for (size_t i = 0; i < POINTS; i++)
        check_point(&points[i], &k, 0);
    coir_shield_end(&shield);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_STR(coir_cancel_reason_get()->why, "test");
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    kit_end(&k);
}

TASK_TEST(a_cancellation_that_comes_during_a_shield_waits_for_its_end)
{
    coir_scope s, shield, inner;
    coir_scope_begin(&s, COIR_FOREVER);
    coir_shield_begin(&shield, COIR_FOREVER);
    coir_scope_begin(&inner, COIR_FOREVER);
    coir_scope_cancel(&s, "test");
    CHECK_EQ(coir_check(), 0);
    CHECK_EQ(coir_scope_end(&inner, 0), 0);
    CHECK_EQ(coir_check(), 0);
    coir_shield_end(&shield);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

TASK_TEST(inside_a_shield_a_scopes_own_timeout_is_its_own)
{
    coir_scope s, shield, inner;
    enter_cancelled(&s);
    coir_shield_begin(&shield, COIR_FOREVER);
    coir_scope_begin(&inner, 0);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&inner, -ECANCELED), -ETIMEDOUT); /* looks no further than the shield */
    coir_shield_end(&shield);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ECANCELED);
}

TASK_TEST(a_shield_that_is_over_its_limit_encloses_as_cancelled)
{
    coir_scope shield, inner;
    coir_shield_begin(&shield, 0);
    coir_scope_begin(&inner, 0);
    CHECK_EQ(coir_scope_end(&inner, -ECANCELED), -ECANCELED);
    coir_shield_end(&shield);
    CHECK_EQ(coir_check(), 0);
}

TASK_TEST(a_group_inside_a_shield_can_be_spawned_into_and_awaited)
{
    coir_scope s, shield;
    coir_group g;
    _Atomic int runs = 0;
    enter_cancelled(&s);
    coir_shield_begin(&shield, COIR_FOREVER);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, count_run, (void *)&runs), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(runs, 1);
    coir_shield_end(&shield);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

typedef struct guarded {
    coir_event e;
    int64_t limit;
    int inside, after;
} guarded;

static int wait_in_shield(void *arg)
{
    guarded *w = arg;
    coir_scope shield;
    coir_shield_begin(&shield, w->limit);
    w->inside = coir_event_wait(&w->e);
    coir_shield_end(&shield);
    w->after = coir_check();
    return 0;
}

TASK_TEST(cancelling_a_task_leaves_its_shielded_wait_alone)
{
    coir_group g;
    guarded w = {.e = COIR_EVENT_INIT, .limit = COIR_FOREVER};
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_in_shield, &w);
    await_parked(t);
    coir_group_cancel(&g, "test");
    CHECK_EQ(coir_cancel(t, "test"), 0);
    CHECK(is_parked(t));
    coir_event_set(&w.e);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(w.inside, 0);
    CHECK_EQ(w.after, -ECANCELED);
}

static int shield_limit(void *arg)
{
    coir_group g;
    guarded w = {.e = COIR_EVENT_INIT, .limit = TEST_TICK};
    (void)arg;
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, wait_in_shield, &w));
    coir_group_cancel(&g, "test");
    time_pass(2 * TEST_TICK);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(w.inside, -ECANCELED);
    CHECK_EQ(w.after, -ECANCELED);
    return 0;
}

TEST(a_shield_protects_for_its_limit_only) { CHECK_EQ(run_on_test_clock(shield_limit, NULL), 0); }

static int outer_deadline_in_shield(void *arg)
{
    coir_scope s, shield;
    (void)arg;
    coir_scope_begin(&s, TEST_TICK);
    coir_shield_begin(&shield, 10 * TEST_TICK);
    time_pass(5 * TEST_TICK);
    CHECK_EQ(coir_check(), 0);
    time_pass(6 * TEST_TICK);
    CHECK_EQ(coir_check(), -ECANCELED);
    coir_shield_end(&shield);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    return 0;
}

TEST(deadlines_outside_are_not_seen_in_a_shield_and_its_limit_is)
{
    CHECK_EQ(run_on_test_clock(outer_deadline_in_shield, NULL), 0);
}

TEST_MAIN("cancel_points")
