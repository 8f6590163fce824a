/* SPDX-License-Identifier: MIT */
/* test_storm.c - who ignores -ECANCELED in a loop is named once, and no longer starves the rest. */
#include "sync/wait_tools.h"

#include <stdio.h>
#include <string.h>

typedef struct lines {
    _Atomic int count;
    char last[512];
} lines;

static void note_line(void *arg, const char *line)
{
    lines *l = arg;
    snprintf(l->last, sizeof l->last, "%s", line);
    atomic_fetch_add(&l->count, 1);
}

static int run_logged(lines *l, coir_fn *fn, void *arg)
{
    coir_options o = {.log = note_line, .hook_arg = l};
    return coir_run(&o, fn, arg);
}

static void ignore_cancellation(int times)
{
    coir_event never = COIR_EVENT_INIT;
    coir_chan *c = coir_chan_new(0, 0);
    for (int i = 0; i < times; i++)
        CHECK_EQ(i % 2 ? coir_event_wait(&never) : coir_chan_recv(c, NULL), -ECANCELED);
    coir_chan_free(c);
}

static int be_deaf(void *arg)
{
    lines *l = arg;
    coir_scope s;
    CHECK_EQ(coir_set_name("deaf"), 0);
    coir_scope_begin(&s, 0);
    ignore_cancellation(1000);
    CHECK_EQ(l->count, 0);
    ignore_cancellation(100);
    CHECK_EQ(l->count, 1);
    return coir_scope_end(&s, 0);
}

TEST(a_loop_that_ignores_cancellation_is_warned_about_once_by_name)
{
    lines l = {0};
    CHECK_EQ(run_logged(&l, be_deaf, &l), 0);
    CHECK_EQ(l.count, 1);
    CHECK(strstr(l.last, "'deaf'") != NULL);
    CHECK(strstr(l.last, "-ECANCELED") != NULL);
}

static int be_deaf_twice(void *arg)
{
    lines *l = arg;
    coir_scope s;
    for (int i = 1; i <= 2; i++) {
        coir_scope_begin(&s, 0);
        ignore_cancellation(1010);
        CHECK_EQ(coir_scope_end(&s, 0), 0);
        CHECK_EQ(l->count, i);
    }
    return 0;
}

TEST(the_next_scope_is_a_new_story)
{
    lines l = {0};
    CHECK_EQ(run_logged(&l, be_deaf_twice, &l), 0);
}

static int heed_it(void *arg)
{
    lines *l = arg;
    coir_scope s;
    for (int i = 0; i < 100; i++) {
        coir_scope_begin(&s, 0);
        ignore_cancellation(50);
        CHECK_EQ(coir_scope_end(&s, 0), 0);
    }
    CHECK_EQ(l->count, 0);
    return 0;
}

TEST(refusals_in_different_scopes_are_not_added_up)
{
    lines l = {0};
    CHECK_EQ(run_logged(&l, heed_it, &l), 0);
}

typedef struct pair {
    _Atomic int done;
    coir_event never;
} pair;

static int loop_until_done(void *arg)
{
    pair *p = arg;
    coir_scope s;
    coir_scope_begin(&s, 0);
    while (!atomic_load(&p->done)) /* without a yield: only the runtime lets the other in */
        CHECK_EQ(coir_event_wait(&p->never), -ECANCELED);
    return coir_scope_end(&s, 0);
}

static int set_done(void *arg)
{
    pair *p = arg;
    atomic_store(&p->done, 1);
    return 0;
}

static int deaf_and_other(void *arg)
{
    coir_group g;
    pair p = {.never = COIR_EVENT_INIT};
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, loop_until_done, &p), 0);
    CHECK_EQ(coir_spawn(&g, set_done, &p), 0);
    return coir_group_end(&g);
}

TEST(others_run_while_somebody_ignores_cancellation)
{
    lines l = {0};
    use_one_worker();
    CHECK_EQ(run_logged(&l, deaf_and_other, NULL), 0);
}

/* -- slowed ------------------------------------------------------------------------------------------------- */

static int refuse_event(void *arg) { return coir_event_wait(arg); }

static int refuse_within(void *arg) { return coir_with_timeout(COIR_S(1), refuse_event, arg); }

static int refuse_in_group(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    int rc = coir_event_wait(arg);
    CHECK_EQ(coir_group_end(&g), 0);
    return rc;
}

static int refuse_sleep(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_S(1));
}

static int refuse_no_sleep(void *arg)
{
    (void)arg;
    return coir_sleep(0);
}

static int refuse_yield(void *arg)
{
    (void)arg;
    return coir_maybe_yield();
}

static int refuse_select(void *arg)
{
    coir_case cases[] = {COIR_SET((coir_event *)arg)};
    return coir_select(cases, 1);
}

static int refuse_join(void *arg)
{
    (void)arg;
    return coir_join(coir_self(), NULL);
}

static int refuse_race(void *arg)
{
    coir_branch b = {refuse_event, arg};
    return coir_race(&b, 1, NULL);
}

static int refuse_tick(void *arg)
{
    coir_ticker t;
    (void)arg;
    CHECK_EQ(coir_ticker_start(&t, COIR_S(1)), 0);
    return coir_ticker_wait(&t, NULL);
}

static int refuse_lock(void *arg)
{
    coir_mutex m = COIR_MUTEX_INIT;
    (void)arg;
    return coir_mutex_lock(&m);
}

static int refuse_once(void *arg)
{
    coir_once o = COIR_ONCE_INIT;
    return coir_once_run(&o, refuse_event, arg);
}

static coir_fn *const refusals[] = {refuse_event, refuse_within, refuse_in_group, refuse_sleep,
                                    refuse_yield, refuse_select, refuse_join,     refuse_race,
                                    refuse_tick,  refuse_lock,   refuse_once,     refuse_no_sleep};

enum { REFUSALS = sizeof refusals / sizeof *refusals, PAUSES = 5 };

typedef struct deaf {
    coir_fn *call;
    coir_event never;
    _Atomic int refused, over;
} deaf;

static int ignore_until_over(void *arg)
{
    deaf *d = arg;
    coir_scope s;
    coir_scope_begin(&s, 0);
    while (!atomic_load(&d->over)) {
        CHECK_EQ(d->call(&d->never), -ECANCELED);
        atomic_fetch_add(&d->refused, 1);
    }
    return coir_scope_end(&s, 0);
}

/* One refusal a millisecond of the clock's, not more. */
static void count_refusals(coir_fn *call)
{
    coir_group g;
    deaf d = {.call = call, .never = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, ignore_until_over, &d);
    for (int i = 0; i < PAUSES; i++) {
        while (atomic_load(&d.refused) < 1000 + i || !is_parked(t))
            coir_yield();
        for (int k = 0; k < 20; k++)
            coir_yield();
        CHECK_EQ(d.refused, 1000 + i);
        CHECK_EQ(coir__wait_kind_of(t.opaque), COIR__WAIT_SLEEP);
        time_pass(COIR_MS(1) - 1);
        for (int k = 0; k < 20; k++)
            coir_yield();
        CHECK_EQ(d.refused, 1000 + i);
        if (i == PAUSES - 1)
            atomic_store(&d.over, 1);
        time_pass(COIR_US(17)); /* a tick of the wheel */
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

static int count_all(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < REFUSALS; i++)
        count_refusals(refusals[i]);
    return 0;
}

TEST_TIMEOUT(after_a_thousand_refusals_every_next_one_takes_a_millisecond, 60)
{
    static const coir_clock clock = {.now = test_clock_now};
    lines l = {0};
    coir_options o = {.clock = &clock, .log = note_line, .hook_arg = &l};
    atomic_store(&test_time, TEST_TIME_START);
    CHECK_EQ(coir_run(&o, count_all, NULL), 0);
    CHECK_EQ(l.count, REFUSALS); /* each told once */
}

/* -- threads ------------------------------------------------------------------------------------------------ */

static int be_deaf_in_thread(void *arg)
{
    coir_event never = COIR_EVENT_INIT;
    coir_scope s;
    (void)arg;
    CHECK_EQ(coir_set_name("deaf thread"), 0);
    coir_scope_begin(&s, 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(coir_event_wait(&never), -ECANCELED);
    int64_t begin = coir_now();
    for (int i = 0; i < 20; i++)
        CHECK_EQ(coir_event_wait(&never), -ECANCELED);
    CHECK_GE(coir_now() - begin, 20 * COIR_MS(1));
    for (int i = 0; i < 5; i++)
        CHECK_EQ(coir_maybe_yield(), -ECANCELED);
    CHECK_GE(coir_now() - begin, 25 * COIR_MS(1));
    return coir_scope_end(&s, 0);
}

static int be_deaf_and_abort(void *arg)
{
    int rc = be_deaf_in_thread(arg);
    CHECK_EQ(rc, 0);
    abort();
}

TEST(a_thread_is_warned_and_slowed_too)
{
    CHECK_ABORTS(be_deaf_and_abort, NULL, "thread 'deaf thread' has ignored -ECANCELED 1000 times");
}

/* -- what is no storm --------------------------------------------------------------------------------------- */

static int nest_and_heed(void *arg)
{
    lines *l = arg;
    coir_scope outer, inner, shield;
    coir_scope_begin(&outer, 0);
    for (int i = 0; i < 3; i++) {
        ignore_cancellation(400);
        coir_shield_begin(&shield, COIR_FOREVER); /* cleans up, and is not cancelled meanwhile */
        CHECK_EQ(coir_check(), 0);
        coir_shield_end(&shield);
    }
    CHECK_EQ(coir_scope_end(&outer, 0), 0);
    for (int i = 0; i < 3; i++) { /* the same, but for the shields */
        coir_scope_begin(&outer, 0);
        coir_scope_begin(&inner, COIR_FOREVER);
        ignore_cancellation(400);
        CHECK_EQ(coir_scope_end(&inner, 0), 0);
        CHECK_EQ(coir_scope_end(&outer, 0), 0);
    }
    CHECK_EQ(l->count, 0);
    return 0;
}

TEST(scopes_that_are_not_cancelled_begin_a_new_count)
{
    lines l = {0};
    CHECK_EQ(run_logged(&l, nest_and_heed, &l), 0);
}

static int compute_on(void *arg)
{
    lines *l = arg;
    coir_scope s;
    coir_scope_begin(&s, 0);
    for (int i = 0; i < 100000; i++)
        CHECK_EQ(coir_check(), -ECANCELED); /* never waits: what it does is the caller's business */
    CHECK_EQ(l->count, 0);
    return coir_scope_end(&s, 0);
}

TEST(asking_whether_one_is_cancelled_is_no_storm)
{
    lines l = {0};
    CHECK_EQ(run_logged(&l, compute_on, &l), 0);
}

TEST_MAIN("storm")
