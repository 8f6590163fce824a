/* SPDX-License-Identifier: MIT */
/* test_ticker.c - a fixed rate, on a clock that moves when told to. */
#include "sync/wait_tools.h"

enum { NO = 77 };

#define WHEEL_TICK COIR_US(17) /* a timer fires so much too late, at most */

/* What a wait returns and how many ticks it missed; -1 where it failed. */
static long missed_by(coir_ticker *t)
{
    uint64_t missed = NO;
    int rc = coir_ticker_wait(t, &missed);
    CHECK(rc == 0 || missed == NO);
    return rc == 0 ? (long)missed : rc;
}

/* -- time passes while the task works ----------------------------------------------------------------------- */

static int tick_regularly(void *arg)
{
    coir_ticker t;
    (void)arg;
    CHECK_EQ(coir_ticker_start(&t, 100), 0);
    CHECK_EQ(t.next, TEST_TIME_START + 100);
    for (int i = 1; i <= 10; i++) {
        time_pass(100);
        CHECK_EQ(missed_by(&t), 0);
        CHECK_EQ(t.next, TEST_TIME_START + (i + 1) * 100);
    }
    return 0;
}

TEST(a_tick_that_is_due_does_not_wait) { CHECK_EQ(run_on_test_clock(tick_regularly, NULL), 0); }

static int tick_late(void *arg)
{
    coir_ticker t;
    (void)arg;
    CHECK_EQ(coir_ticker_start(&t, 100), 0);
    time_pass(150); /* the first is due since 50 */
    CHECK_EQ(missed_by(&t), 0);
    CHECK_EQ(t.next, TEST_TIME_START + 200);
    time_pass(99); /* 249 */
    CHECK_EQ(missed_by(&t), 0);
    CHECK_EQ(t.next, TEST_TIME_START + 300);
    time_pass(51); /* 300: exactly */
    CHECK_EQ(missed_by(&t), 0);
    CHECK_EQ(t.next, TEST_TIME_START + 400);
    return 0;
}

TEST(being_late_does_not_move_the_ticks) { CHECK_EQ(run_on_test_clock(tick_late, NULL), 0); }

static int miss_some(void *arg)
{
    coir_ticker t;
    (void)arg;
    CHECK_EQ(coir_ticker_start(&t, 100), 0);
    time_pass(350); /* 100, 200 and 300 are due */
    CHECK_EQ(missed_by(&t), 2);
    CHECK_EQ(t.next, TEST_TIME_START + 400);
    time_pass(50); /* 400 */
    CHECK_EQ(missed_by(&t), 0);
    time_pass(100000);
    CHECK_EQ(missed_by(&t), 999);
    time_pass(300);
    CHECK_EQ(coir_ticker_wait(&t, NULL), 0);
    CHECK_EQ(t.next, TEST_TIME_START + 100800);
    return 0;
}

TEST(missed_ticks_are_skipped_and_counted) { CHECK_EQ(run_on_test_clock(miss_some, NULL), 0); }

/* -- waiting ------------------------------------------------------------------------------------------------ */

typedef struct clockwork {
    coir_ticker t;
    int64_t period, first;
    _Atomic int ready, ticks;
    _Atomic long missed;
    int most, rc;
} clockwork;

static int follow(void *arg)
{
    clockwork *c = arg;
    CHECK_EQ(coir_ticker_start(&c->t, c->period), 0);
    c->first = c->t.next;
    atomic_store(&c->ready, 1);
    for (int i = 0; i < c->most && c->rc == 0; i++) {
        uint64_t missed = 0;
        int64_t due = c->t.next;
        c->rc = coir_ticker_wait(&c->t, &missed);
        if (c->rc < 0)
            break;
        CHECK_GE(coir_now(), due);
        atomic_fetch_add(&c->missed, (long)missed);
        atomic_fetch_add(&c->ticks, 1);
    }
    return 0;
}

static int wait_for_ticks(void *arg)
{
    coir_group g;
    clockwork c = {.period = TEST_TICK, .most = 20};
    (void)arg;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, follow, &c);
    await_value(&c.ready, 1);
    for (int i = 0; i < 20; i++) {
        await_parked(t);
        CHECK_EQ(c.ticks, i);
        atomic_store(&test_time, c.t.next - 1);
        for (int k = 0; k < 5; k++)
            coir_yield();
        CHECK_EQ(c.ticks, i); /* never early */
        time_pass(WHEEL_TICK);
        await_value(&c.ticks, i + 1);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.missed, 0);
    CHECK_EQ(c.t.next, TEST_TIME_START + 21 * TEST_TICK);
    return 0;
}

TEST(a_wait_ends_when_the_tick_is_due) { CHECK_EQ(run_on_test_clock(wait_for_ticks, NULL), 0); }

static int oversleep(void *arg)
{
    coir_group g;
    clockwork c = {.period = TEST_TICK, .most = 1};
    (void)arg;
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, follow, &c));
    time_pass(TEST_TICK * 5 / 2);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.missed, 1);
    CHECK_EQ(c.t.next, TEST_TIME_START + 3 * TEST_TICK);
    return 0;
}

TEST(ticks_that_pass_while_it_wakes_up_are_counted_too)
{
    CHECK_EQ(run_on_test_clock(oversleep, NULL), 0);
}

/* -- cancelled ---------------------------------------------------------------------------------------------- */

static int be_cancelled(void *arg)
{
    coir_group g;
    coir_ticker t, before;
    coir_scope s;
    clockwork c = {.period = TEST_TICK, .most = 1};
    (void)arg;
    CHECK_EQ(coir_ticker_start(&t, 100), 0);
    before = t;
    coir_scope_begin(&s, 0);
    CHECK_EQ(missed_by(&t), -ECANCELED);
    time_pass(250);
    CHECK_EQ(missed_by(&t), -ECANCELED); /* due, but a cancel point */
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(t.next, before.next);
    CHECK_EQ(missed_by(&t), 1);
    coir_group_begin(&g, 0);
    coir_task waiting = start_task(&g, follow, &c);
    await_parked(waiting);
    int64_t next = c.t.next;
    CHECK_EQ(coir_cancel(waiting, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.rc, -ECANCELED);
    CHECK_EQ(c.t.next, next);
    return 0;
}

TEST(a_cancelled_wait_takes_no_tick) { CHECK_EQ(run_on_test_clock(be_cancelled, NULL), 0); }

/* -- the far ends ------------------------------------------------------------------------------------------- */

static int tick_seldom(void *arg)
{
    static const int64_t long_ones[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX - TEST_TIME_START};
    coir_ticker t;
    coir_scope s;
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_ticker_start(&t, long_ones[i]), 0);
        CHECK_EQ(t.next, COIR_FOREVER);
        coir_scope_begin(&s, TEST_TICK);
        time_pass(TEST_TICK);
        CHECK_EQ(coir_scope_end(&s, coir_ticker_wait(&t, NULL)), -ETIMEDOUT);
        CHECK_EQ(t.next, COIR_FOREVER);
    }
    CHECK_EQ(coir_ticker_start(&t, INT64_MAX / 2), 0);
    atomic_store(&test_time, t.next + 5);
    CHECK_EQ(missed_by(&t), 0);
    CHECK_EQ(t.next, COIR_FOREVER); /* the sum is beyond */
    return 0;
}

TEST(a_tick_beyond_the_end_of_time_never_comes)
{
    CHECK_EQ(run_on_test_clock(tick_seldom, NULL), 0);
}

static int miss_all(void *arg)
{
    coir_ticker t;
    (void)arg;
    CHECK_EQ(coir_ticker_start(&t, 1), 0);
    atomic_store(&test_time, INT64_MAX - 1);
    CHECK_EQ(missed_by(&t), INT64_MAX - 1 - TEST_TIME_START - 1);
    CHECK_EQ(t.next, COIR_FOREVER);
    return 0;
}

TEST(as_many_ticks_can_be_missed_as_there_are) { CHECK_EQ(run_on_test_clock(miss_all, NULL), 0); }

TEST(a_period_must_be_above_zero_and_the_ticker_started)
{
    coir_ticker t = {0};
    uint64_t missed = NO;
    CHECK_EQ(coir_ticker_start(&t, 0), -EINVAL);
    CHECK_EQ(coir_ticker_start(&t, -1), -EINVAL);
    CHECK_EQ(coir_ticker_start(&t, INT64_MIN), -EINVAL);
    CHECK_EQ(coir_ticker_wait(&t, &missed), -EINVAL);
    CHECK_EQ(missed, NO);
}

/* -- elsewhere ---------------------------------------------------------------------------------------------- */

static int select_tick(void *arg)
{
    coir_ticker t;
    coir_event never = COIR_EVENT_INIT;
    (void)arg;
    CHECK_EQ(coir_ticker_start(&t, TEST_TICK), 0);
    for (int i = 1; i <= 5; i++) {
        coir_case cases[] = {COIR_SET(&never), COIR_UNTIL(t.next)};
        time_pass(TEST_TICK);
        CHECK_EQ(coir_select(cases, 2), 1);
        CHECK_EQ(missed_by(&t), 0);
        CHECK_EQ(t.next, TEST_TIME_START + (i + 1) * TEST_TICK);
    }
    return 0;
}

TEST(a_select_waits_for_the_next_tick) { CHECK_EQ(run_on_test_clock(select_tick, NULL), 0); }

TEST(a_thread_ticks_too)
{
    coir_ticker t;
    uint64_t missed, all = 0;
    int64_t start = coir_now();
    CHECK_EQ(coir_ticker_start(&t, COIR_US(200)), 0);
    int64_t first = t.next;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(coir_ticker_wait(&t, &missed), 0);
        all += missed + 1;
        CHECK_GE(coir_now(), first + (int64_t)(all - 1) * COIR_US(200));
    }
    CHECK_GE(first, start + COIR_US(200));
    CHECK_EQ(t.next, first + (int64_t)all * COIR_US(200));
}

/* Every tick that was due has been waited for or missed, whatever the others do. */
TASK_TEST_TIMEOUT(no_tick_is_lost, 60)
{
    enum { TICKERS = 20 };
    coir_group g;
    clockwork *c = calloc(TICKERS, sizeof *c);
    coir_group_begin(&g, 0);
    for (int i = 0; i < TICKERS; i++) {
        c[i].period = COIR_US(20) * (i + 1);
        c[i].most = rounds_of(200);
        CHECK_EQ(coir_spawn(&g, follow, &c[i]), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < TICKERS; i++) {
        CHECK_EQ(c[i].ticks, c[i].most);
        CHECK_EQ(c[i].t.next, c[i].first + (c[i].ticks + c[i].missed) * c[i].period);
    }
    free(c);
}

TEST_MAIN("ticker")
