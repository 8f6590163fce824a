/* SPDX-License-Identifier: MIT */
/* test_scope.c - scopes: deadlines, nesting, reasons, shields, the clock. */
#include "sync/wait_tools.h"

/* -- own and outer ------------------------------------------------------------------------------------------ */

static int check_only(void *arg)
{
    (void)arg;
    return coir_check();
}

TASK_TEST(a_scope_without_timeout_does_nothing)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    CHECK_EQ(coir_check(), 0);
    CHECK_EQ(coir_scope_end(&s, 17), 17);
    coir_scope_begin(&s, COIR_S(1000));
    CHECK_EQ(coir_check(), 0);
    CHECK_EQ(coir_scope_end(&s, -EIO), -EIO);
}

TASK_TEST(a_timeout_of_nothing_is_cancelled_from_birth)
{
    static const int64_t timeouts[] = {0, -1, -COIR_S(1), INT64_MIN};
    for (int i = 0; i < 4; i++) {
        coir_scope s;
        coir_scope_begin(&s, timeouts[i]);
        CHECK_EQ(coir_check(), -ECANCELED);
        CHECK_EQ(coir_cancel_reason_get()->code, -ETIMEDOUT);
        CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
        CHECK_EQ(coir_with_timeout(timeouts[i], check_only, NULL), -ETIMEDOUT);
        CHECK_EQ(coir_check(), 0);
    }
}

static int count_call(void *arg)
{
    ++*(int *)arg;
    return 4;
}

TASK_TEST(with_timeout_calls_its_function_in_any_case)
{
    int calls = 0;
    CHECK_EQ(coir_with_timeout(0, count_call, &calls), 4);
    CHECK_EQ(coir_with_timeout(-5, count_call, &calls), 4);
    CHECK_EQ(coir_with_timeout(COIR_FOREVER, count_call, &calls), 4);
    CHECK_EQ(calls, 3);
    CHECK_EQ(coir_with_timeout(COIR_S(1), NULL, NULL), -EINVAL);
}

TASK_TEST(only_the_code_of_cancellation_becomes_a_timeout)
{
    coir_scope s;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_scope_end(&s, -EIO), -EIO);
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_scope_end(&s, 3), 3);
}

TASK_TEST(a_scope_that_was_cancelled_by_hand_is_no_timeout)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_S(1000));
    coir_scope_cancel(&s, "test");
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ECANCELED);
    CHECK_EQ(coir_check(), 0);
}

TASK_TEST(a_code_of_cancellation_from_elsewhere_stays_what_it_is)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_S(1000));
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ECANCELED);
}

TASK_TEST(an_inner_timeout_is_over_with_its_scope)
{
    coir_scope outer, inner;
    coir_scope_begin(&outer, COIR_FOREVER);
    coir_scope_begin(&inner, 0);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&inner, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(coir_check(), 0);
    CHECK_EQ(coir_scope_end(&outer, 0), 0);
}

TASK_TEST(an_outer_timeout_is_the_outer_scopes)
{
    coir_scope outer, inner;
    coir_scope_begin(&outer, 0);
    coir_scope_begin(&inner, COIR_S(1000));
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&inner, -ECANCELED), -ECANCELED);
    CHECK_EQ(coir_scope_end(&outer, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(coir_check(), 0);
}

TASK_TEST(cancelling_an_outer_scope_reaches_all_inside)
{
    coir_scope s[10];
    for (int i = 0; i < 10; i++)
        coir_scope_begin(&s[i], COIR_FOREVER);
    coir_scope_cancel(&s[4], "test");
    for (int i = 9; i >= 4; i--) {
        CHECK_EQ(coir_check(), -ECANCELED);
        CHECK_EQ(coir_scope_end(&s[i], 0), 0);
    }
    for (int i = 3; i >= 0; i--) {
        CHECK_EQ(coir_check(), 0);
        CHECK_EQ(coir_scope_end(&s[i], 0), 0);
    }
}

TASK_TEST(a_scope_opened_inside_a_cancelled_one_is_cancelled)
{
    coir_scope outer, inner;
    coir_group g;
    coir_scope_begin(&outer, COIR_FOREVER);
    coir_scope_cancel(&outer, "test");
    coir_scope_begin(&inner, COIR_FOREVER);
    CHECK_EQ(coir_check(), -ECANCELED);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_scope_end(&inner, 0), 0);
    CHECK_EQ(coir_scope_end(&outer, 0), 0);
}

/* -- reasons ------------------------------------------------------------------------------------------------ */

TASK_TEST(there_is_no_reason_when_nobody_is_cancelled)
{
    coir_scope s;
    CHECK(coir_cancel_reason_get() == NULL);
    coir_scope_begin(&s, COIR_S(1000));
    CHECK(coir_cancel_reason_get() == NULL);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

TASK_TEST(a_reason_says_what_where_and_who)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    int line = __LINE__ + 1;
    coir_scope_cancel(&s, "because");
    const coir_cancel_reason *reason = coir_cancel_reason_get();
    CHECK(reason != NULL);
    CHECK_EQ(reason->code, -ECANCELED);
    CHECK_STR(reason->why, "because");
    CHECK_STR(reason->file, __FILE__);
    CHECK_EQ(reason->line, line);
    CHECK_EQ(reason->task_id, coir_task_id(coir_self()));
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK(coir_cancel_reason_get() == NULL);
}

TASK_TEST(the_reason_of_a_deadline_says_where_the_scope_began)
{
    coir_scope s;
    int line = __LINE__ + 1;
    coir_scope_begin(&s, 0);
    const coir_cancel_reason *reason = coir_cancel_reason_get();
    CHECK_EQ(reason->code, -ETIMEDOUT);
    CHECK_STR(reason->file, __FILE__);
    CHECK_EQ(reason->line, line);
    CHECK_EQ(reason->task_id, 0);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

TASK_TEST(the_first_reason_stays)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    coir_scope_cancel(&s, "first");
    coir_scope_cancel(&s, "second");
    CHECK_STR(coir_cancel_reason_get()->why, "first");
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    coir_scope_begin(&s, 0);
    coir_scope_cancel(&s, "late");
    CHECK_EQ(coir_cancel_reason_get()->code, -ETIMEDOUT);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
}

TASK_TEST(an_outer_reason_is_seen_inside)
{
    coir_scope outer, inner;
    coir_scope_begin(&outer, COIR_FOREVER);
    coir_scope_begin(&inner, COIR_FOREVER);
    coir_scope_cancel(&outer, "outer");
    CHECK_STR(coir_cancel_reason_get()->why, "outer");
    CHECK_EQ(coir_scope_end(&inner, 0), 0);
    CHECK_EQ(coir_scope_end(&outer, 0), 0);
}

typedef struct told {
    coir_event e;
    coir_cancel_reason reason;
} told;

static int note_reason(void *arg)
{
    told *t = arg;
    CHECK_EQ(coir_event_wait(&t->e), -ECANCELED);
    t->reason = *coir_cancel_reason_get();
    return -ECANCELED;
}

TASK_TEST(a_cancelled_task_knows_who_did_it)
{
    coir_group g;
    told t = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    coir_task task = start_task(&g, note_reason, &t);
    await_parked(task);
    CHECK_EQ(coir_cancel(task, "enough"), 0);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_STR(t.reason.why, "enough");
    CHECK_STR(t.reason.file, __FILE__);
    CHECK_EQ(t.reason.task_id, coir_task_id(coir_self()));
}

/* -- from elsewhere ----------------------------------------------------------------------------------------- */

typedef struct target {
    coir_scope scope;
    coir_event e;
    int rc, end;
    _Atomic int open;
    coir_cancel_reason reason;
} target;

static int wait_in_scope(void *arg)
{
    target *t = arg;
    coir_scope_begin(&t->scope, COIR_FOREVER);
    atomic_store(&t->open, 1);
    t->rc = coir_event_wait(&t->e);
    t->reason = *coir_cancel_reason_get();
    t->end = coir_scope_end(&t->scope, t->rc);
    return coir_check();
}

TASK_TEST(another_task_cancels_a_scope)
{
    coir_group g;
    target t = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    coir_task task = start_task(&g, wait_in_scope, &t);
    await_parked(task);
    coir_scope_cancel(&t.scope, "by a task");
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(t.rc, -ECANCELED);
    CHECK_EQ(t.end, -ECANCELED);
    CHECK_STR(t.reason.why, "by a task");
}

static int cancel_scope(void *arg)
{
    target *t = arg;
    coir_scope_cancel(&t->scope, "by a thread");
    return 0;
}

TASK_TEST(a_thread_cancels_a_scope)
{
    coir_group g;
    target t = {.e = COIR_EVENT_INIT};
    test_thread thread;
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, wait_in_scope, &t));
    thread_start(&thread, cancel_scope, &t);
    CHECK_EQ(thread_finish(&thread), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(t.rc, -ECANCELED);
    CHECK_STR(t.reason.why, "by a thread");
    CHECK_EQ(t.reason.task_id, 0);
}

TASK_TEST(a_task_cancels_the_scope_of_a_thread)
{
    target t = {.e = COIR_EVENT_INIT};
    test_thread thread;
    thread_start(&thread, wait_in_scope, &t);
    thread_await_parked(&thread);
    coir_scope_cancel(&t.scope, "by a task");
    CHECK_EQ(thread_finish(&thread), 0);
    CHECK_EQ(t.rc, -ECANCELED);
    CHECK_EQ(t.end, -ECANCELED);
}

/* -- the clock ---------------------------------------------------------------------------------------------- */

static int completes_late(void *arg)
{
    coir_scope s;
    coir_event e = COIR_EVENT_INIT;
    coir_mutex m = COIR_MUTEX_INIT;
    coir_chan *c = coir_chan_new(sizeof(int), 2);
    int value = 1;
    (void)arg;
    coir_event_set(&e);
    coir_scope_begin(&s, TEST_TICK);
    time_pass(2 * TEST_TICK); /* passed, but nobody has looked */
    CHECK_EQ(coir_event_wait(&e), 0);
    CHECK_EQ(coir_chan_send(c, &value), 0);
    CHECK_EQ(coir_chan_recv(c, &value), 0);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_check(), -ECANCELED); /* looks */
    CHECK_EQ(coir_chan_send(c, &value), -ECANCELED);
    CHECK_EQ(coir_chan_len(c), 0);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    coir_chan_free(c);
    return 0;
}

TEST(a_call_that_completes_at_once_succeeds_though_the_deadline_has_passed)
{
    CHECK_EQ(run_on_test_clock(completes_late, NULL), 0);
}

static int about_to_wait(void *arg)
{
    coir_scope s;
    coir_event e = COIR_EVENT_INIT;
    (void)arg;
    coir_scope_begin(&s, TEST_TICK);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(coir_event_wait(&e), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    return 0;
}

TEST(a_call_about_to_wait_looks_at_the_clock)
{
    CHECK_EQ(run_on_test_clock(about_to_wait, NULL), 0);
}

static int end_looks(void *arg)
{
    coir_scope outer, inner;
    (void)arg;
    coir_scope_begin(&outer, COIR_FOREVER);
    coir_scope_begin(&inner, TEST_TICK);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(coir_scope_end(&inner, -ECANCELED), -ETIMEDOUT); /* nobody else had looked */
    CHECK_EQ(coir_scope_end(&outer, 0), 0);
    coir_scope_begin(&outer, TEST_TICK);
    coir_scope_begin(&inner, TEST_TICK / 2);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(coir_scope_end(&inner, -ECANCELED), -ECANCELED); /* enclosing scopes included */
    CHECK_EQ(coir_scope_end(&outer, -ECANCELED), -ETIMEDOUT);
    return 0;
}

TEST(the_end_of_a_scope_looks_at_the_clock) { CHECK_EQ(run_on_test_clock(end_looks, NULL), 0); }

static int checks_look(void *arg)
{
    coir_scope s;
    (void)arg;
    coir_scope_begin(&s, TEST_TICK);
    CHECK_EQ(coir_check(), 0);
    CHECK_EQ(coir_maybe_yield(), 0);
    time_pass(TEST_TICK - 1);
    CHECK_EQ(coir_check(), 0);
    time_pass(1);
    CHECK_EQ(coir_maybe_yield(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    coir_scope_begin(&s, TEST_TICK);
    time_pass(TEST_TICK);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    return 0;
}

TEST(check_and_maybe_yield_look_at_the_clock) { CHECK_EQ(run_on_test_clock(checks_look, NULL), 0); }

static int wait_for(void *arg) { return coir_event_wait(arg); }

static int deadline_of_children(void *arg)
{
    coir_scope s;
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    (void)arg;
    coir_scope_begin(&s, TEST_TICK);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        await_parked(start_task(&g, wait_for, &e));
    time_pass(2 * TEST_TICK);
    int rc = coir_group_end(&g);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, rc), -ETIMEDOUT);
    return 0;
}

TEST(a_deadline_reaches_the_tasks_of_a_group_inside)
{
    CHECK_EQ(run_on_test_clock(deadline_of_children, NULL), 0);
}

static int expired_leaves_nothing(void *arg)
{
    coir_scope s;
    coir_event e = COIR_EVENT_INIT;
    (void)arg;
    for (int i = 0; i < 20; i++) {
        coir_scope_begin(&s, TEST_TICK);
        time_pass(2 * TEST_TICK);
        CHECK_EQ(coir_event_wait(&e), -ECANCELED);
        CHECK_EQ(coir_scope_end(&s, 0), 0); /* the body finished anyway */
        CHECK_EQ(coir_check(), 0);
        coir_event_set(&e);
        CHECK_EQ(coir_event_wait(&e), 0);
        coir_event_reset(&e);
    }
    return 0;
}

TEST(an_expired_deadline_leaves_nothing_behind)
{
    CHECK_EQ(run_on_test_clock(expired_leaves_nothing, NULL), 0);
}

/* -- misuse ------------------------------------------------------------------------------------------------- */

static int end_outer_first(void *arg)
{
    coir_scope outer, inner;
    (void)arg;
    coir_set_name("muddler");
    coir_scope_begin(&outer, COIR_FOREVER);
    coir_scope_begin(&inner, COIR_FOREVER);
    return coir_scope_end(&outer, 0);
}

static int end_with_scope_open(void *arg)
{
    static coir_scope s;
    (void)arg;
    coir_set_name("leaver");
    coir_scope_begin(&s, COIR_FOREVER);
    return 0;
}

static int end_a_shield_outside(void *arg)
{
    coir_scope shield, s;
    (void)arg;
    coir_shield_begin(&shield, COIR_FOREVER);
    coir_scope_begin(&s, COIR_FOREVER);
    coir_shield_end(&shield);
    return 0;
}

TEST(ending_a_scope_that_is_not_the_innermost_aborts_and_names_the_task)
{
    CHECK_TASK_ABORTS(end_outer_first, NULL, "in task 'muddler'");
    CHECK_TASK_ABORTS(end_outer_first, NULL, "coir_scope_end: not the innermost scope");
    CHECK_TASK_ABORTS(end_a_shield_outside, NULL, "coir_shield_end: not the innermost scope");
    CHECK_ABORTS(end_outer_first, NULL, "in a plain thread");
}

TEST(a_task_that_ends_with_a_scope_open_aborts_and_is_named)
{
    CHECK_TASK_ABORTS(end_with_scope_open, NULL, "in task 'leaver'");
    CHECK_TASK_ABORTS(end_with_scope_open, NULL, "ended with a scope open");
}

TEST_MAIN("scope")
