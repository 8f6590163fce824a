/* SPDX-License-Identifier: MIT */
/* test_event.c - events, and sleep. */
#include "sync/wait_tools.h"

static int wait_for(void *arg) { return coir_event_wait(arg); }

TASK_TEST(a_set_event_is_not_waited_for)
{
    coir_event e = COIR_EVENT_INIT;
    CHECK(!coir_event_is_set(&e));
    coir_event_set(&e);
    CHECK(coir_event_is_set(&e));
    CHECK_EQ(coir_event_wait(&e), 0);
    CHECK_EQ(coir_event_wait(&e), 0);
    coir_event_set(&e);
    CHECK(coir_event_is_set(&e));
}

TASK_TEST(set_wakes_all_who_wait)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_task t[5];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 5; i++)
        await_parked(t[i] = start_task(&g, wait_for, &e));
    coir_event_set(&e);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(join_result(t[i]), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(who_was_woken_returns_even_if_it_is_reset_at_once)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_for, &e);
    await_parked(t);
    coir_event_set(&e);
    coir_event_reset(&e);
    CHECK_EQ(join_result(t), 0);
    CHECK(!coir_event_is_set(&e));
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_reset_event_is_waited_for_again)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    for (int round = 0; round < 3; round++) {
        coir_task t = start_task(&g, wait_for, &e);
        await_parked(t);
        coir_event_set(&e);
        CHECK_EQ(join_result(t), 0);
        coir_event_reset(&e);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_cancelled_waiter_is_out_of_the_event)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_task t[3];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        await_parked(t[i] = start_task(&g, wait_for, &e));
    CHECK_EQ(coir_cancel(t[1], "test"), 0);
    CHECK_EQ(join_result(t[1]), -ECANCELED);
    CHECK(is_parked(t[0]) && is_parked(t[2]));
    coir_event_set(&e);
    CHECK_EQ(join_result(t[0]), 0);
    CHECK_EQ(join_result(t[2]), 0);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

TASK_TEST(a_cancelled_wait_on_a_set_event_is_refused)
{
    coir_scope s;
    coir_event e = COIR_EVENT_INIT;
    coir_event_set(&e);
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_event_wait(&e), -ECANCELED);
    coir_event_reset(&e); /* no cancel points */
    CHECK(!coir_event_is_set(&e));
    coir_event_set(&e);
    CHECK(coir_event_is_set(&e));
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK_EQ(coir_event_wait(&e), 0);
}

/* -- threads ------------------------------------------------------------------------------------------------ */

TASK_TEST(a_task_wakes_a_thread)
{
    coir_event e = COIR_EVENT_INIT;
    test_thread t;
    thread_start(&t, wait_for, &e);
    thread_await_parked(&t);
    coir_event_set(&e);
    CHECK_EQ(thread_finish(&t), 0);
}

static int set_it(void *arg)
{
    coir_event_set(arg);
    return 0;
}

TASK_TEST(a_thread_wakes_a_task)
{
    for (int round = rounds_of(200); round > 0; round--) {
        coir_event e = COIR_EVENT_INIT;
        test_thread t;
        thread_start(&t, set_it, &e);
        CHECK_EQ(coir_event_wait(&e), 0);
        CHECK_EQ(thread_finish(&t), 0);
    }
}

static int set_it_elsewhere(void *arg)
{
    for (int i = 0; i < 100; i++)
        coir_yield();
    coir_event_set(arg);
    return 0;
}

static int be_woken_and_end(void *arg)
{
    coir_event e = COIR_EVENT_INIT;
    test_thread *t = arg;
    thread_start(t, set_it_elsewhere, &e);
    return coir_event_wait(&e);
}

/* The thread that wakes the last task may still be about to rouse a worker when the runtime is through. */
TEST(a_runtime_may_end_as_soon_as_a_thread_has_woken_its_last_task)
{
    for (int round = rounds_of(300); round > 0; round--) {
        test_thread t;
        CHECK_EQ(coir_run(NULL, be_woken_and_end, &t), 0);
        CHECK_EQ(pthread_join(t.thread, NULL), 0);
    }
}

/* -- life --------------------------------------------------------------------------------------------------- */

typedef struct handshake {
    coir_event e;
} handshake;

/* The waiter destroys the event as soon as it knows that it is set. */
TASK_TEST(a_waiter_may_destroy_the_event_when_it_returns)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int round = rounds_of(3000); round > 0; round--) {
        handshake *h = calloc(1, sizeof *h);
        CHECK_EQ(coir_spawn(&g, set_it, &h->e), 0);
        if (round % 2)
            coir_yield();
        CHECK_EQ(coir_event_wait(&h->e), 0);
        free(h);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_waiter_may_destroy_the_event_that_a_thread_has_set)
{
    for (int round = rounds_of(200); round > 0; round--) {
        handshake *h = calloc(1, sizeof *h);
        test_thread t;
        thread_start(&t, set_it, &h->e);
        CHECK_EQ(coir_event_wait(&h->e), 0);
        free(h);
        CHECK_EQ(thread_finish(&t), 0);
    }
}

/* -- sleep -------------------------------------------------------------------------------------------------- */

TASK_TEST(sleep_is_never_early)
{
    static const int64_t times[] = {1,          COIR_US(1), COIR_US(16), COIR_US(100),
                                    COIR_MS(1), COIR_MS(3)};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t begin = coir_now();
        CHECK_EQ(coir_sleep(times[i]), 0);
        CHECK_GE(coir_now() - begin, times[i]);
        begin = coir_now();
        CHECK_EQ(coir_sleep_until(begin + times[i]), 0);
        CHECK_GE(coir_now() - begin, times[i]);
    }
}

TEST(a_thread_sleeps_too)
{
    int64_t begin = coir_now();
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    CHECK_GE(coir_now() - begin, COIR_MS(2));
    CHECK_EQ(coir_sleep_until(begin), 0);
    CHECK_EQ(coir_sleep(0), 0);
}

static int note_turn(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
    return 0;
}

static int sleep_nothing(void *arg)
{
    static const int64_t times[] = {0, -1, INT64_MIN};
    coir_group g;
    _Atomic int turns = 0;
    (void)arg;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_spawn(&g, note_turn, (void *)&turns), 0);
        CHECK_EQ(coir_sleep(times[i]), 0);
        CHECK_EQ(turns, 2 * i + 1);
        CHECK_EQ(coir_spawn(&g, note_turn, (void *)&turns), 0);
        CHECK_EQ(coir_sleep_until(coir_now() - 1), 0);
        CHECK_EQ(turns, 2 * i + 2);
    }
    return coir_group_end(&g);
}

TEST(sleep_of_nothing_yields)
{
    use_one_worker();
    CHECK_EQ(coir_run(NULL, sleep_nothing, NULL), 0);
}

TASK_TEST(sleep_of_nothing_is_a_cancel_point)
{
    coir_scope s;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_sleep(0), -ECANCELED);
    CHECK_EQ(coir_sleep(-1), -ECANCELED);
    CHECK_EQ(coir_sleep_until(0), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

static int sleep_forever(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_FOREVER);
}

static int sleep_nearly_forever(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_FOREVER - 1);
}

TASK_TEST(a_sleep_without_end_ends_by_cancellation)
{
    coir_group g;
    coir_group_begin(&g, 0);
    coir_task a = start_task(&g, sleep_forever, NULL),
              b = start_task(&g, sleep_nearly_forever, NULL);
    await_parked(a);
    await_parked(b);
    coir_group_cancel(&g, "test");
    CHECK_EQ(coir_group_wait(&g), -ECANCELED);
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    CHECK_EQ(join_result(a), -ECANCELED);
    CHECK_EQ(join_result(b), -ECANCELED);
    coir_shield_end(&shield);
    CHECK_EQ(coir_group_end(&g), 0);
}

typedef struct sleeper {
    int64_t until;
    _Atomic int *order;
    int place;
} sleeper;

static int sleep_and_note(void *arg)
{
    sleeper *s = arg;
    int rc = coir_sleep_until(s->until);
    s->place = atomic_fetch_add(s->order, 1);
    return rc;
}

static int sleepers_in_order(void *arg)
{
    coir_group g;
    _Atomic int order = 0;
    sleeper s[20];
    (void)arg;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 20; i++) {
        s[i] = (sleeper){.until = coir_now() + (1 + (i * 7) % 20) * COIR_US(100), .order = &order};
        await_parked(start_task(&g, sleep_and_note, &s[i]));
    }
    for (int i = 0; i < 200; i++) {
        CHECK_LE(order, i / 10 + 1);
        time_pass(COIR_US(10));
        coir_yield();
    }
    time_pass(COIR_S(1));
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(s[i].place, (i * 7) % 20);
    return 0;
}

TEST(sleepers_wake_in_the_order_of_their_times)
{
    use_one_worker();
    CHECK_EQ(run_on_test_clock(sleepers_in_order, NULL), 0);
}

TEST_MAIN("event")
