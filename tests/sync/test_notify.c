/* SPDX-License-Identifier: MIT */
/* test_notify.c - one permit, and who gets it. */
#include "sync/claimed.h"
#include "sync/race.h"

static int wait_for(void *arg) { return coir_notify_wait(arg); }

static coir_task start_waiting(coir_group *g, coir_notify *n)
{
    coir_task t = start_task(g, wait_for, n);
    await_parked(t);
    return t;
}

/* Whether a permit is stored; takes it. */
static bool take_permit(coir_notify *n)
{
    coir_case one[] = {COIR_NOTIFIED(n)};
    int rc = coir_select_try(one, 1);
    CHECK(rc == 0 || rc == -EAGAIN);
    return rc == 0;
}

/* -- what it means ------------------------------------------------------------------------------------------ */

TASK_TEST(one_permit_is_stored_never_more)
{
    coir_notify n = COIR_NOTIFY_INIT;
    CHECK(!take_permit(&n));
    coir_notify_one(&n);
    coir_notify_one(&n);
    CHECK_EQ(coir_notify_wait(&n), 0);
    CHECK(!take_permit(&n));
}

TASK_TEST(one_wakes_the_one_that_has_waited_longest_and_stores_nothing)
{
    coir_group g;
    coir_notify n = COIR_NOTIFY_INIT;
    coir_task t[4];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        t[i] = start_waiting(&g, &n);
    for (int i = 0; i < 4; i++) {
        coir_notify_one(&n);
        CHECK_EQ(join_result(t[i]), 0);
        for (int k = i + 1; k < 4; k++)
            CHECK(is_parked(t[k]));
    }
    CHECK(!take_permit(&n));
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(all_wakes_those_who_wait_now_and_stores_nothing)
{
    coir_group g;
    coir_notify n = COIR_NOTIFY_INIT;
    coir_task t[4];
    coir_group_begin(&g, 0);
    coir_notify_all(&n);
    CHECK(!take_permit(&n));
    for (int i = 0; i < 4; i++)
        t[i] = start_waiting(&g, &n);
    coir_notify_all(&n);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(join_result(t[i]), 0);
    CHECK(!take_permit(&n));
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(all_leaves_a_stored_permit_alone)
{
    coir_notify n = COIR_NOTIFY_INIT;
    coir_notify_one(&n);
    coir_notify_all(&n);
    CHECK(take_permit(&n));
    CHECK(!take_permit(&n));
}

static int choose_twice(void *arg)
{
    coir_case cases[] = {COIR_NOTIFIED(arg), COIR_AFTER(COIR_FOREVER), COIR_NOTIFIED(arg)};
    int rc = coir_select(cases, 3);
    CHECK(rc == 0 || rc == 2);
    CHECK_EQ(cases[rc].result, 0);
    return 0;
}

TASK_TEST(a_select_is_woken_in_its_turn_and_once_even_if_listed_twice)
{
    coir_group g;
    coir_notify n = COIR_NOTIFY_INIT;
    coir_task t[3];
    coir_group_begin(&g, 0);
    t[0] = start_waiting(&g, &n);
    await_parked(t[1] = start_task(&g, choose_twice, &n));
    t[2] = start_waiting(&g, &n);
    for (int i = 0; i < 3; i++) {
        coir_notify_one(&n);
        CHECK_EQ(join_result(t[i]), 0);
        for (int k = i + 1; k < 3; k++)
            CHECK(is_parked(t[k]));
    }
    CHECK(!take_permit(&n));
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_task_is_refused_and_the_permit_stays)
{
    coir_scope s;
    coir_notify n = COIR_NOTIFY_INIT;
    coir_notify_one(&n);
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_notify_wait(&n), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK(take_permit(&n));
}

TASK_TEST(a_cancelled_waiter_eats_no_permit)
{
    coir_group g;
    coir_notify n = COIR_NOTIFY_INIT;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task a = start_waiting(&g, &n), b = start_waiting(&g, &n);
    CHECK_EQ(coir_cancel(a, "test"), 0);
    coir_notify_one(&n); /* whether it has left the line or not */
    CHECK_EQ(join_result(b), 0);
    CHECK_EQ(join_result(a), -ECANCELED);
    CHECK(!take_permit(&n));
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

TASK_TEST(a_waiter_that_is_being_cancelled_is_passed_by)
{
    coir_group g;
    coir_notify n = COIR_NOTIFY_INIT;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task a = start_waiting(&g, &n), b = start_waiting(&g, &n);
    cancel_begin(a);
    coir_notify_one(&n);
    CHECK_EQ(join_result(b), 0);
    CHECK(!take_permit(&n));
    coir_notify_all(&n);
    coir_notify_one(&n);
    cancel_end(a);
    CHECK_EQ(join_result(a), -ECANCELED);
    CHECK(take_permit(&n));
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

static int wait_in_time(void *arg)
{
    coir_scope s;
    coir_scope_begin(&s, TEST_TICK);
    return coir_scope_end(&s, coir_notify_wait(arg));
}

static int wait_times_out(void *arg)
{
    coir_group g;
    coir_notify n = COIR_NOTIFY_INIT;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, wait_in_time, &n);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    coir_notify_one(&n);
    CHECK_EQ(wait_in_time(&n), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_wait_for_a_notification_obeys_deadlines)
{
    CHECK_EQ(run_on_test_clock(wait_times_out, NULL), 0);
}

static coir_notify swept = COIR_NOTIFY_INIT;

static int call_wait(race *r) { return (void)r, coir_notify_wait(&swept); }
static void notify(race *r) { (void)r, coir_notify_one(&swept); }
static void settle(race *r) { CHECK_EQ((r->rc == 0) + take_permit(&swept), 1); }

TASK_TEST(a_notification_ends_a_wait_or_is_stored)
{
    static const contest k = {NULL, call_wait, notify, settle};
    sweep(&k, 0);
}

static int call_select(race *r)
{
    coir_case cases[] = {COIR_RECV(r->c, &r->got), COIR_NOTIFIED(&swept)};
    int rc = coir_select(cases, 2);
    CHECK(rc == 1 || rc == -ECANCELED);
    return rc == 1 ? 0 : rc;
}

TASK_TEST(a_notification_ends_a_select_or_is_stored)
{
    static const contest k = {NULL, call_select, notify, settle};
    sweep(&k, 0);
}

/* Two who wait, one is cancelled: the notification goes to the other. */
static void notify_with_another(race *r)
{
    CHECK_EQ(coir_spawn(r->g, wait_for, &swept), 0);
    dawdle(&r->completer);
    coir_notify_one(&swept);
}

static void settle_with_another(race *r)
{
    if (r->rc == 0)
        coir_notify_one(&swept); /* it was the victim's */
    CHECK_EQ(coir_group_wait(r->g), 0);
    CHECK(!take_permit(&swept));
}

TASK_TEST(a_notification_that_a_cancelled_waiter_did_not_use_goes_to_the_next)
{
    static const contest k = {NULL, call_wait, notify_with_another, settle_with_another};
    sweep(&k, 0);
}

/* -- life, threads, runtimes -------------------------------------------------------------------------------- */

static int notify_it(void *arg)
{
    coir_notify_one(arg);
    return 0;
}

TASK_TEST(a_waiter_may_destroy_it_when_it_returns)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int round = rounds_of(3000); round > 0; round--) {
        coir_notify *n = calloc(1, sizeof *n);
        CHECK_EQ(coir_spawn(&g, notify_it, n), 0);
        if (round % 2)
            coir_yield();
        CHECK_EQ(coir_notify_wait(n), 0);
        free(n);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_waiter_may_destroy_what_a_thread_has_notified)
{
    for (int round = rounds_of(200); round > 0; round--) {
        coir_notify *n = calloc(1, sizeof *n);
        test_thread t;
        thread_start(&t, notify_it, n);
        CHECK_EQ(coir_notify_wait(n), 0);
        free(n);
        CHECK_EQ(thread_finish(&t), 0);
    }
}

/* Ping and pong: each notification is answered before the next, so none is stored twice. */
typedef struct court {
    coir_notify ping, pong;
    int rounds;
} court;

static int answer(void *arg)
{
    court *c = arg;
    for (int i = 0; i < c->rounds; i++) {
        CHECK_EQ(coir_notify_wait(&c->ping), 0);
        coir_notify_one(&c->pong);
    }
    return 0;
}

static int run_answer(void *arg) { return coir_run(NULL, answer, arg); }

static void serve(court *c)
{
    for (int i = 0; i < c->rounds; i++) {
        coir_notify_one(&c->ping);
        if (i % 2) {
            CHECK_EQ(coir_notify_wait(&c->pong), 0);
        } else {
            coir_case one[] = {COIR_NOTIFIED(&c->pong)};
            CHECK_EQ(coir_select(one, 1), 0);
        }
    }
    CHECK(!take_permit(&c->ping));
    CHECK(!take_permit(&c->pong));
}

TASK_TEST(each_notification_reaches_a_task)
{
    coir_group g;
    court c = {.rounds = rounds_of(5000)};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, answer, &c), 0);
    serve(&c);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(each_notification_reaches_a_thread)
{
    test_thread t;
    court c = {.rounds = rounds_of(500)};
    thread_start(&t, answer, &c);
    serve(&c);
    CHECK_EQ(thread_finish(&t), 0);
}

TASK_TEST(each_notification_reaches_another_runtime)
{
    test_thread t;
    court c = {.rounds = rounds_of(500)};
    thread_start(&t, run_answer, &c);
    serve(&c);
    CHECK_EQ(thread_finish(&t), 0);
}

TEST(threads_need_no_runtime)
{
    test_thread t;
    court c = {.rounds = rounds_of(500)};
    thread_start(&t, answer, &c);
    serve(&c);
    CHECK_EQ(thread_finish(&t), 0);
}

/* Nobody waited when all were notified, whatever an earlier select has left in the cases. */
TASK_TEST(cases_that_are_used_again_know_nothing_of_what_was_between)
{
    coir_notify n = COIR_NOTIFY_INIT;
    coir_case cases[] = {COIR_NOTIFIED(&n), COIR_AFTER(COIR_MS(1))};
    CHECK_EQ(coir_select_ordered(cases, 2), 1);
    coir_notify_all(&n);
    CHECK_EQ(coir_select_try(cases, 2), -EAGAIN);
    coir_notify_all(&n);
    CHECK_EQ(coir_select_ordered(cases, 2), 1);
}

TEST_MAIN("notify")
