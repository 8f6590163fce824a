/* SPDX-License-Identifier: MIT */
/* test_future.c - a value that is set once and seen by all. */
#include "sync/race.h"

static int value; /* its address is the value */

typedef struct reader {
    coir_future *f;
    void *got;
    int rc;
    coir_task task;
} reader;

static int read_it(void *arg)
{
    reader *r = arg;
    r->rc = coir_future_get(r->f, &r->got);
    return 0;
}

static void start_reading(reader *r, coir_group *g, coir_future *f)
{
    *r = (reader){.f = f, .got = r, .rc = 1};
    r->task = start_task(g, read_it, r);
    await_parked(r->task);
}

TASK_TEST(it_is_set_once)
{
    coir_future f = COIR_FUTURE_INIT;
    void *got = NULL;
    CHECK_EQ(coir_future_set(&f, &value), 0);
    CHECK_EQ(coir_future_set(&f, NULL), -EALREADY);
    CHECK_EQ(coir_future_get(&f, &got), 0);
    CHECK_EQ(got, &value);
    CHECK_EQ(coir_future_get(&f, NULL), 0);
}

TASK_TEST(null_is_a_value)
{
    coir_future f = COIR_FUTURE_INIT;
    void *got = &value;
    CHECK_EQ(coir_future_set(&f, NULL), 0);
    CHECK_EQ(coir_future_set(&f, &value), -EALREADY);
    CHECK_EQ(coir_future_get(&f, &got), 0);
    CHECK_EQ(got, NULL);
}

static int read_nothing(void *arg) { return coir_future_get(arg, NULL); }

TASK_TEST(all_who_wait_and_all_who_come_later_see_it)
{
    coir_group g;
    coir_future f = COIR_FUTURE_INIT;
    reader r[4];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        start_reading(&r[i], &g, &f);
    await_parked(start_task(&g, read_nothing, &f));
    CHECK_EQ(coir_future_set(&f, &value), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(r[i].rc, 0);
        CHECK_EQ(r[i].got, &value);
        r[i].got = NULL;
        CHECK_EQ(coir_future_get(&f, &r[i].got), 0);
        CHECK_EQ(r[i].got, &value);
    }
}

static int choose(void *arg)
{
    coir_case cases[] = {COIR_READY(NULL), COIR_READY(arg), COIR_READY(arg)};
    int rc = coir_select(cases, 3);
    CHECK(rc == 1 || rc == 2);
    CHECK_EQ(cases[rc].result, 0);
    return 0;
}

TASK_TEST(a_select_waits_for_it_then_get_does_not_wait)
{
    coir_group g;
    coir_future f = COIR_FUTURE_INIT;
    coir_case one[] = {COIR_READY(&f)};
    void *got = NULL;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_select_try(one, 1), -EAGAIN);
    coir_task t = start_task(&g, choose, &f);
    await_parked(t);
    CHECK_EQ(coir_future_set(&f, &value), 0);
    CHECK_EQ(join_result(t), 0);
    CHECK_EQ(coir_select_try(one, 1), 0);
    CHECK_EQ(coir_select(one, 1), 0);
    CHECK_EQ(one[0].result, 0);
    CHECK_EQ(coir_future_get(&f, &got), 0);
    CHECK_EQ(got, &value);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_get_stores_nothing)
{
    coir_group g;
    coir_scope s;
    coir_future f = COIR_FUTURE_INIT;
    reader r;
    void *got = NULL;
    coir_group_begin(&g, 0);
    start_reading(&r, &g, &f);
    CHECK_EQ(coir_cancel(r.task, "test"), 0);
    CHECK_EQ(join_result(r.task), 0);
    CHECK_EQ(r.rc, -ECANCELED);
    CHECK_EQ(coir_future_set(&f, &value), 0);
    CHECK_EQ(r.got, &r);
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_future_get(&f, &got), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK_EQ(got, NULL);
    CHECK_EQ(coir_group_end(&g), 0);
}

static int get_in_time(void *arg)
{
    coir_scope s;
    coir_scope_begin(&s, TEST_TICK);
    return coir_scope_end(&s, coir_future_get(arg, NULL));
}

static int get_times_out(void *arg)
{
    coir_group g;
    coir_future f = COIR_FUTURE_INIT;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, get_in_time, &f);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    CHECK_EQ(coir_future_set(&f, NULL), 0);
    CHECK_EQ(get_in_time(&f), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_wait_for_a_value_obeys_deadlines) { CHECK_EQ(run_on_test_clock(get_times_out, NULL), 0); }

static coir_future swept;
static void *swept_got;

static void renew(race *r)
{
    (void)r;
    swept = (coir_future)COIR_FUTURE_INIT;
    swept_got = NULL;
}

static int call_get(race *r) { return (void)r, coir_future_get(&swept, &swept_got); }
static void set(race *r)
{
    (void)r;
    CHECK_EQ(coir_future_set(&swept, &value), 0);
}

static void settle(race *r)
{
    void *got = NULL;
    CHECK_EQ(swept_got, r->rc == 0 ? &value : NULL);
    CHECK_EQ(coir_future_get(&swept, &got), 0);
    CHECK_EQ(got, &value);
}

TASK_TEST(a_value_or_cancellation_ends_a_get)
{
    static const contest k = {renew, call_get, set, settle};
    sweep(&k, 0);
}

static int call_select(race *r)
{
    coir_case cases[] = {COIR_RECV(r->c, &r->got), COIR_READY(&swept)};
    int rc = coir_select(cases, 2);
    if (rc < 0)
        return rc;
    CHECK_EQ(rc, 1);
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    CHECK_EQ(coir_future_get(&swept, &swept_got), 0);
    coir_shield_end(&shield);
    return 0;
}

TASK_TEST(a_value_or_cancellation_ends_a_select)
{
    static const contest k = {renew, call_select, set, settle};
    sweep(&k, 0);
}

/* -- life, threads, runtimes -------------------------------------------------------------------------------- */

static int set_it(void *arg) { return coir_future_set(arg, &value); }

TASK_TEST(a_reader_may_destroy_it_when_it_returns)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int round = rounds_of(3000); round > 0; round--) {
        coir_future *f = calloc(1, sizeof *f);
        void *got = NULL;
        CHECK_EQ(coir_spawn(&g, set_it, f), 0);
        if (round % 2)
            coir_yield();
        CHECK_EQ(coir_future_get(f, &got), 0);
        CHECK_EQ(got, &value);
        free(f);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_reader_may_destroy_what_a_thread_has_set)
{
    for (int round = rounds_of(200); round > 0; round--) {
        coir_future *f = calloc(1, sizeof *f);
        test_thread t;
        thread_start(&t, set_it, f);
        CHECK_EQ(coir_future_get(f, NULL), 0);
        free(f);
        CHECK_EQ(thread_finish(&t), 0);
    }
}

/* Several set, several read, by get and by select: one of the former succeeds, all of the latter see what that one set. */
typedef struct crowd {
    coir_future f;
    int values[8];
    _Atomic int next, winners;
    int *_Atomic winner;
    int *seen[8];
} crowd;

static int compete(void *arg)
{
    crowd *c = arg;
    int me = atomic_fetch_add(&c->next, 1);
    void *got = NULL;
    if (me % 2 == 0 && coir_future_set(&c->f, &c->values[me]) == 0) {
        atomic_fetch_add(&c->winners, 1);
        atomic_store(&c->winner, &c->values[me]);
    }
    if (me % 3 == 0) {
        coir_case one[] = {COIR_READY(&c->f)};
        CHECK_EQ(coir_select(one, 1), 0);
    }
    CHECK_EQ(coir_future_get(&c->f, &got), 0);
    c->seen[me] = got;
    return 0;
}

static int run_compete(void *arg) { return coir_run(NULL, compete, arg); }

static void hold_contest(coir_fn *elsewhere)
{
    coir_group g;
    test_thread t[2];
    crowd c = {.next = 0};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2; i++)
        thread_start(&t[i], elsewhere, &c);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(coir_spawn(&g, compete, &c), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(thread_finish(&t[i]), 0);
    CHECK_EQ(c.winners, 1);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(c.seen[i], c.winner);
}

TASK_TEST(tasks_and_threads_agree_on_the_value)
{
    for (int round = rounds_of(200); round > 0; round--)
        hold_contest(compete);
}

TASK_TEST(runtimes_agree_on_the_value)
{
    for (int round = rounds_of(60); round > 0; round--)
        hold_contest(run_compete);
}

TEST(threads_need_no_runtime)
{
    for (int round = rounds_of(200); round > 0; round--) {
        coir_future f = COIR_FUTURE_INIT;
        void *got = NULL;
        test_thread t;
        thread_start(&t, set_it, &f);
        CHECK_EQ(coir_future_get(&f, &got), 0);
        CHECK_EQ(got, &value);
        CHECK_EQ(thread_finish(&t), 0);
    }
}

TEST_MAIN("future")
