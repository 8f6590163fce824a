/* SPDX-License-Identifier: MIT */
/* test_select_kinds.c - select over times, events, joins and groups; in threads; under deadlines. */
#include "sync/wait_tools.h"

#define UNTOUCHED 12345

typedef struct chooser {
    coir_case cases[4];
    size_t n;
    int rc;
    coir_task task;
} chooser;

static int choose(void *arg)
{
    chooser *k = arg;
    for (size_t i = 0; i < k->n; i++)
        k->cases[i].result = UNTOUCHED;
    k->rc = coir_select(k->cases, k->n);
    return 0;
}

static void start_choosing(chooser *k, coir_group *g)
{
    k->task = start_task(g, choose, k);
    await_parked(k->task);
}

/* -- times -------------------------------------------------------------------------------------------------- */

TASK_TEST(times_that_have_passed_are_ready)
{
    coir_case cases[1] = {COIR_AFTER(0)};
    CHECK_EQ(coir_select_try(cases, 1), 0);
    CHECK_EQ(cases[0].result, 0);
    cases[0] = COIR_AFTER(-COIR_S(5));
    CHECK_EQ(coir_select_try(cases, 1), 0);
    cases[0] = COIR_UNTIL(coir_now() - 1);
    CHECK_EQ(coir_select_try(cases, 1), 0);
    cases[0] = COIR_UNTIL(INT64_MIN);
    CHECK_EQ(coir_select(cases, 1), 0);
}

TASK_TEST(a_select_of_a_time_is_never_early)
{
    int64_t begin = coir_now();
    coir_case cases[2] = {COIR_AFTER(COIR_S(1000)), COIR_AFTER(COIR_MS(2))};
    CHECK_EQ(coir_select(cases, 2), 1);
    CHECK_GE(coir_now() - begin, COIR_MS(2));
    cases[0] = COIR_UNTIL(begin + COIR_MS(4));
    CHECK_EQ(coir_select(cases, 1), 0);
    CHECK_GE(coir_now() - begin, COIR_MS(4));
}

static int after_counts_from_the_call(void *arg)
{
    coir_group g;
    chooser k = {.cases = {COIR_AFTER(TEST_TICK)}, .n = 1};
    (void)arg;
    coir_group_begin(&g, 0);
    for (int round = 0; round < 3; round++) {
        time_pass(10 * TEST_TICK); /* what passed before the call does not count */
        CHECK_EQ(coir_select_try(k.cases, 1), -EAGAIN);
        start_choosing(&k, &g);
        time_pass(TEST_TICK / 2);
        for (int i = 0; i < 300; i++)
            coir_yield();
        CHECK(is_parked(k.task));
        time_pass(TEST_TICK);
        CHECK_EQ(join_result(k.task), 0);
        CHECK_EQ(k.rc, 0);
        CHECK_EQ(k.cases[0].result, 0);
    }
    return coir_group_end(&g);
}

TEST(a_duration_counts_from_the_call_each_time)
{
    CHECK_EQ(run_on_test_clock(after_counts_from_the_call, NULL), 0);
}

static int earliest_of_times(void *arg)
{
    coir_group g;
    int64_t now = coir_now();
    chooser k = {.cases = {COIR_UNTIL(now + 3 * TEST_TICK), COIR_AFTER(TEST_TICK),
                           COIR_UNTIL(now + 2 * TEST_TICK), COIR_AFTER(COIR_FOREVER)},
                 .n = 4};
    (void)arg;
    coir_group_begin(&g, 0);
    start_choosing(&k, &g);
    time_pass(TEST_TICK + TEST_TICK / 2);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.rc, 1);
    return coir_group_end(&g);
}

TEST(the_earliest_time_wins) { CHECK_EQ(run_on_test_clock(earliest_of_times, NULL), 0); }

/* -- events ------------------------------------------------------------------------------------------------- */

TASK_TEST(an_event_case_waits_until_it_is_set_and_leaves_it_set)
{
    coir_group g;
    coir_event a = COIR_EVENT_INIT, b = COIR_EVENT_INIT;
    chooser k[3];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++) {
        k[i] = (chooser){.cases = {COIR_SET(&a), COIR_SET(&b)}, .n = 2};
        start_choosing(&k[i], &g);
    }
    coir_event_set(&b);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(k[i].rc, 1);
        CHECK_EQ(k[i].cases[1].result, 0);
    }
    CHECK(coir_event_is_set(&b));
    CHECK(!coir_event_is_set(&a));
}

/* -- joins -------------------------------------------------------------------------------------------------- */

static int wait_then_nine(void *arg)
{
    int rc = coir_event_wait(arg);
    return rc < 0 ? rc : 9;
}

static int fail_at_once(void *arg)
{
    (void)arg;
    return -EIO;
}

TASK_TEST(a_joined_case_has_the_result_of_the_task)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_then_nine, &e);
    chooser k = {.cases = {COIR_AFTER(COIR_S(1000)), COIR_JOINED(t)}, .n = 2};
    start_choosing(&k, &g);
    coir_event_set(&e);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.rc, 1);
    CHECK_EQ(k.cases[1].result, 9);
    CHECK_EQ(coir_join(t, NULL), -ESRCH);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_joined_case_of_an_ended_task_is_ready)
{
    coir_group g;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, fail_at_once, NULL);
    CHECK_EQ(coir_group_wait(&g), -EIO);
    coir_case cases[1] = {COIR_JOINED(t)};
    CHECK_EQ(coir_select_try(cases, 1), 0);
    CHECK_EQ(cases[0].result, -EIO);
    CHECK_EQ(coir_select_try(cases, 1), 0); /* its result is gone: that is an outcome */
    CHECK_EQ(cases[0].result, -ESRCH);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_joined_case_that_loses_leaves_the_task_joinable)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_then_nine, &e);
    coir_case cases[2] = {COIR_JOINED(t), COIR_AFTER(COIR_US(50))};
    for (int round = 0; round < 3; round++)
        CHECK_EQ(coir_select(cases, 2), 1);
    CHECK_EQ(coir_select_try(cases, 1), -EAGAIN);
    coir_event_set(&e);
    CHECK_EQ(join_result(t), 9);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(errors_of_a_join_are_the_outcome_of_its_case)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_case self[1] = {COIR_JOINED(coir_self())};
    CHECK_EQ(coir_select(self, 1), 0);
    CHECK_EQ(self[0].result, -EDEADLK);
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_then_nine, &e);
    chooser first = {.cases = {COIR_JOINED(t)}, .n = 1};
    start_choosing(&first, &g);
    coir_case second[1] = {COIR_JOINED(t)};
    CHECK_EQ(coir_select(second, 1), 0);
    CHECK_EQ(second[0].result, -EBUSY);
    CHECK_EQ(coir_join(t, NULL), -EBUSY);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(first.cases[0].result, 9);
}

TASK_TEST(a_task_may_stand_in_several_cases_of_one_select)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_then_nine, &e);
    chooser cancelled = {.cases = {COIR_JOINED(t), COIR_JOINED(t)}, .n = 2};
    start_choosing(&cancelled, &g);
    CHECK_EQ(coir_join(t, NULL), -EBUSY);
    CHECK_EQ(coir_cancel(cancelled.task, "test"), 0);
    CHECK_EQ(join_result(cancelled.task), 0);
    CHECK_EQ(cancelled.rc, -ECANCELED);
    coir_case timed[3] = {COIR_JOINED(t), COIR_AFTER(COIR_US(50)), COIR_JOINED(t)};
    for (int round = 0; round < 10; round++)
        CHECK_EQ(coir_select(timed, 3), 1);
    chooser k = {.cases = {COIR_JOINED(t), COIR_JOINED(t), COIR_JOINED(t)}, .n = 3};
    start_choosing(&k, &g);
    coir_event_set(&e);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_GE(k.rc, 0);
    CHECK_EQ(k.cases[k.rc].result, 9);
    CHECK_EQ(coir_join(t, NULL), -ESRCH);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- groups ------------------------------------------------------------------------------------------------- */

static int wait_for(void *arg) { return coir_event_wait(arg); }

TASK_TEST(a_group_case_is_ready_when_the_group_is_empty)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    coir_case cases[2] = {COIR_EMPTY(&g), COIR_AFTER(COIR_US(20))};
    CHECK_EQ(coir_select_try(cases, 1), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    CHECK_EQ(coir_select_try(cases, 1), -EAGAIN);
    CHECK_EQ(coir_select(cases, 2), 1);
    coir_event_set(&e);
    CHECK_EQ(coir_select(cases, 1), 0);
    CHECK_EQ(cases[0].result, 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

static int set_when_told(void *arg)
{
    coir_event *e = arg;
    coir_yield();
    coir_event_set(e);
    return 0;
}

TASK_TEST(the_opener_waits_for_its_group_in_a_select)
{
    for (int round = 0; round < 50; round++) {
        coir_group g, other;
        coir_event e = COIR_EVENT_INIT;
        coir_group_begin(&other, 0);
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
        CHECK_EQ(coir_spawn(&other, set_when_told, &e), 0);
        coir_case cases[2] = {COIR_EMPTY(&g), COIR_AFTER(COIR_S(1000))};
        CHECK_EQ(coir_select(cases, 2), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(coir_group_end(&other), 0);
    }
}

/* -- deadlines ---------------------------------------------------------------------------------------------- */

static int choose_under_deadline(void *arg)
{
    coir_scope s;
    chooser *k = arg;
    coir_scope_begin(&s, TEST_TICK);
    choose(k);
    return coir_scope_end(&s, k->rc);
}

static int deadline_ends_select(void *arg)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    chooser k = {.cases = {COIR_SET(&e), COIR_AFTER(5 * TEST_TICK)}, .n = 2};
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, choose_under_deadline, &k);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    CHECK_EQ(k.rc, -ECANCELED);
    CHECK_EQ(k.cases[0].result, UNTOUCHED);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_deadline_ends_a_select) { CHECK_EQ(run_on_test_clock(deadline_ends_select, NULL), 0); }

static int completes_though_late(void *arg)
{
    coir_scope s;
    coir_event e = COIR_EVENT_INIT;
    coir_case cases[1] = {COIR_SET(&e)};
    (void)arg;
    coir_event_set(&e);
    coir_scope_begin(&s, TEST_TICK);
    time_pass(2 * TEST_TICK); /* passed, and nobody has looked */
    CHECK_EQ(coir_select(cases, 1), 0);
    coir_event_reset(&e);
    CHECK_EQ(coir_select(cases, 1), -ECANCELED); /* about to wait: looks */
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    return 0;
}

TEST(a_select_that_need_not_wait_does_not_look_at_the_clock)
{
    CHECK_EQ(run_on_test_clock(completes_though_late, NULL), 0);
}

/* -- threads ------------------------------------------------------------------------------------------------ */

TASK_TEST(a_thread_selects_over_channels)
{
    coir_chan *a = coir_chan_new(sizeof(int), 0), *b = coir_chan_new(sizeof(int), 0);
    int got_a = 0, got_b = 0, value = 6;
    chooser k = {.cases = {COIR_RECV(a, &got_a), COIR_RECV(b, &got_b), COIR_AFTER(COIR_S(1000))},
                 .n = 3};
    test_thread t;
    thread_start(&t, choose, &k);
    thread_await_parked(&t);
    CHECK_EQ(coir_chan_try_send(b, &value), 0);
    CHECK_EQ(coir_chan_try_send(a, &value), -EAGAIN);
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(k.rc, 1);
    CHECK_EQ(k.cases[1].result, 0);
    CHECK_EQ(got_b, 6);
    coir_chan_free(a);
    coir_chan_free(b);
}

TEST(a_thread_selects_over_times_and_is_never_early)
{
    coir_event e = COIR_EVENT_INIT;
    int64_t begin = coir_now();
    coir_case cases[3] = {COIR_SET(&e), COIR_AFTER(COIR_S(1000)), COIR_UNTIL(begin + COIR_MS(2))};
    CHECK_EQ(coir_select(cases, 3), 2);
    CHECK_EQ(cases[2].result, 0);
    CHECK_GE(coir_now() - begin, COIR_MS(2));
    coir_event_set(&e);
    CHECK_EQ(coir_select_ordered(cases, 3), 0);
}

TEST(in_a_thread_any_time_that_has_passed_is_ready)
{
    coir_case cases[2] = {COIR_SET(NULL), COIR_UNTIL(INT64_MIN)};
    CHECK_EQ(coir_select(cases, 2), 1);
    CHECK_EQ(cases[1].result, 0);
    cases[1] = COIR_AFTER(INT64_MIN);
    CHECK_EQ(coir_select(cases, 2), 1);
}

TASK_TEST(a_thread_joins_in_a_select)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    coir_task task = start_task(&g, wait_then_nine, &e);
    chooser k = {.cases = {COIR_JOINED(task)}, .n = 1};
    test_thread t;
    thread_start(&t, choose, &k);
    thread_await_parked(&t);
    coir_event_set(&e);
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(k.rc, 0);
    CHECK_EQ(k.cases[0].result, 9);
    CHECK_EQ(coir_group_end(&g), 0);
}

TEST(a_deadline_ends_the_select_of_a_thread)
{
    coir_scope s;
    coir_event e = COIR_EVENT_INIT;
    coir_case cases[2] = {COIR_SET(&e), COIR_AFTER(COIR_S(1000))};
    cases[0].result = cases[1].result = UNTOUCHED;
    coir_scope_begin(&s, COIR_US(100));
    int rc = coir_select(cases, 2);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, rc), -ETIMEDOUT);
    CHECK_EQ(cases[0].result, UNTOUCHED);
    CHECK_EQ(cases[1].result, UNTOUCHED);
}

TEST_MAIN("select_kinds")
