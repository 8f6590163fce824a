/* SPDX-License-Identifier: MIT */
/* test_sleep.c - never early, in the order of deadlines, in any number. */
#include "sched_test.h"

/* -- never early -------------------------------------------------------------------------------------------- */

static int sleep_and_look(void *arg)
{
    int64_t ns = *(int64_t *)arg;
    for (int i = 0; i < 5; i++) {
        int64_t begin = coir_now();
        CHECK_EQ(coir_sleep(ns), 0);
        CHECK_GE(coir_now() - begin, ns);
        int64_t when = coir_now() + ns;
        CHECK_EQ(coir_sleep_until(when), 0);
        CHECK_GE(coir_now(), when);
    }
    return 0;
}

TASK_TEST(sleep_is_never_early)
{
    static int64_t spans[] = {1,           100,          16383,      16384,     16385,
                              COIR_US(50), COIR_US(999), COIR_MS(1), COIR_MS(3)};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
            CHECK_EQ(coir_spawn(&g, sleep_and_look, &spans[i]), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* Beside tasks that compute, whose worker's clock is looked at rarely. */
static int compute(void *arg)
{
    while (!atomic_load((_Atomic bool *)arg))
        coir_maybe_yield();
    return 0;
}

TASK_TEST(sleep_is_not_early_beside_tasks_that_compute)
{
    static int64_t span = COIR_US(300);
    _Atomic bool stop = false;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_spawn(&g, compute, &stop), 0);
    for (int i = 0; i < 5; i++)
        sleep_and_look(&span);
    atomic_store(&stop, true);
    CHECK_EQ(coir_group_end(&g), 0);
}

TEST(a_threads_sleep_is_never_early)
{
    static int64_t spans[] = {1, COIR_US(50), COIR_MS(1)};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        sleep_and_look(&spans[i]);
}

/* -- not at all --------------------------------------------------------------------------------------------- */

static int set_flag(void *arg)
{
    *(bool *)arg = true;
    return 0;
}

static int sleep_for_nothing(void *arg)
{
    (void)arg;
    static const int64_t spans[] = {0, -1, INT64_MIN};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++) {
        bool ran = false;
        CHECK_EQ(coir_spawn(&g, set_flag, &ran), 0);
        CHECK_EQ(coir_sleep(spans[i]), 0);
        CHECK(ran); /* it has yielded */
        ran = false;
        CHECK_EQ(coir_spawn(&g, set_flag, &ran), 0);
        CHECK_EQ(coir_sleep_until(i == 0 ? coir_now() : i == 1 ? 0 : INT64_MIN), 0);
        CHECK(ran);
    }
    return coir_group_end(&g);
}

TEST(a_sleep_of_zero_or_less_or_into_the_past_yields)
{
    CHECK_EQ(run_on(1, sleep_for_nothing, NULL), 0);
}

TASK_TEST(a_cancelled_task_does_not_sleep)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    coir_scope_cancel(&s, "now");
    CHECK_EQ(coir_sleep(COIR_S(1000)), -ECANCELED);
    CHECK_EQ(coir_sleep(0), -ECANCELED);
    CHECK_EQ(coir_sleep(-5), -ECANCELED);
    CHECK_EQ(coir_sleep(COIR_FOREVER), -ECANCELED);
    CHECK_EQ(coir_sleep_until(0), -ECANCELED);
    CHECK_EQ(coir_sleep_until(COIR_FOREVER), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK_EQ(coir_sleep(1), 0);
}

static int sleep_for(void *arg) { return coir_sleep(*(int64_t *)arg); }

TASK_TEST(sleepers_are_cancelled_out_of_any_sleep)
{
    static int64_t spans[] = {COIR_FOREVER, COIR_FOREVER - 1, COIR_S(1000), INT64_MAX / 2,
                              COIR_S(60)};
    for (int round = 0; round < 20; round++) {
        coir_group g;
        coir_task tasks[5];
        coir_group_begin(&g, 0);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(coir_spawn_with(&g, NULL, sleep_for, &spans[i], &tasks[i]), 0);
        for (int i = 0; i < round % 3; i++)
            coir_yield();
        for (int i = 0; i < 5; i++) {
            int result = 0;
            CHECK_EQ(coir_cancel(tasks[i], "enough"), 0);
            CHECK_EQ(coir_join(tasks[i], &result), 0);
            CHECK_EQ(result, -ECANCELED);
        }
        CHECK_EQ(coir_group_end(&g), -ECANCELED);
    }
}

TASK_TEST(a_deadline_ends_a_sleep_forever)
{
    coir_scope s;
    int64_t begin = coir_now();
    coir_scope_begin(&s, COIR_MS(2));
    CHECK_EQ(coir_scope_end(&s, coir_sleep(COIR_FOREVER)), -ETIMEDOUT);
    CHECK_GE(coir_now(), begin + COIR_MS(2));
}

TASK_TEST(a_sleep_that_is_over_before_the_deadline_succeeds)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_S(1000));
    CHECK_EQ(coir_scope_end(&s, coir_sleep(COIR_MS(1))), 0);
}

/* -- order -------------------------------------------------------------------------------------------------- */

typedef struct order {
    int64_t base;
    int next;
    int seen[500];
} order;

typedef struct place {
    order *o;
    int n;
} place;

static int sleep_in_order(void *arg)
{
    place *p = arg;
    if (coir_now() >= p->o->base)
        return 0;
    CHECK_EQ(coir_sleep_until(p->o->base + p->n * COIR_US(20)), 0);
    CHECK_GE(coir_now(), p->o->base + p->n * COIR_US(20));
    p->o->seen[p->o->next++] = p->n;
    return 0;
}

/* 20 us apart is more than a slot of the wheel. */
static int wake_in_order(void *arg)
{
    (void)arg;
    enum { N = 500 };
    static order o;
    coir_group g;
    o.base = coir_now() + COIR_MS(200);
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++) {
        place p = {&o, i * 7 % N}; /* every number once */
        CHECK_EQ(coir_spawn_copy(&g, sleep_in_order, &p, sizeof p), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 1; i < o.next; i++)
        CHECK_GT(o.seen[i], o.seen[i - 1]);
    return 0;
}

/* Even if the machine is slow: who comes too late does not take part. */
TEST(on_one_worker_sleepers_wake_in_the_order_of_their_times)
{
    CHECK_EQ(run_on(1, wake_in_order, NULL), 0);
}

/* -- many --------------------------------------------------------------------------------------------------- */

typedef struct crowd {
    atomic_int asleep;
    atomic_int awake;
} crowd;

static int sleep_in_crowd(void *arg)
{
    crowd *c = arg;
    int n = atomic_fetch_add(&c->asleep, 1);
    int64_t begin = coir_now(), span = COIR_MS(1) + (n * 7919LL) % COIR_MS(20);
    CHECK_EQ(coir_sleep(span), 0);
    CHECK_GE(coir_now(), begin + span);
    atomic_fetch_add(&c->awake, 1);
    return 0;
}

TASK_TEST_TIMEOUT(a_hundred_thousand_tasks_sleep_and_all_wake, 60)
{
    int n = crowd_size();
    crowd c = {.asleep = 0};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_spawn(&g, sleep_in_crowd, &c), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(atomic_load(&c.awake), n);
}

static int sleep_long(void *arg)
{
    crowd *c = arg;
    atomic_fetch_add(&c->asleep, 1);
    int rc = coir_sleep(COIR_S(1000));
    CHECK_EQ(rc, -ECANCELED);
    atomic_fetch_add(&c->awake, 1);
    return rc;
}

TASK_TEST_TIMEOUT(a_hundred_thousand_sleepers_are_cancelled_at_once, 60)
{
    int n = crowd_size();
    crowd c = {.asleep = 0};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_spawn(&g, sleep_long, &c), 0);
    while (atomic_load(&c.asleep) < n)
        coir_yield();
    coir_group_cancel(&g, "all of you");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(atomic_load(&c.awake), n);
}

/* -- cancel against the timer: one of the two, never both or none ------------------------------------------- */

static int sleep_briefly(void *arg)
{
    atomic_int *outcomes = arg;
    int rc = coir_sleep(COIR_US(40));
    CHECK(rc == 0 || rc == -ECANCELED);
    atomic_fetch_add(&outcomes[rc == 0], 1);
    return 0;
}

TASK_TEST(a_sleep_cancelled_about_when_it_ends_returns_once)
{
    int rounds = 3000 / harness_scale();
    atomic_int outcomes[2] = {0, 0};
    for (int i = 0; i < rounds; i++) {
        coir_group g;
        coir_task t;
        int64_t until = coir_now() + COIR_US(20) + i % 40 * 1000;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn_with(&g, NULL, sleep_briefly, outcomes, &t), 0);
        while (coir_now() < until)
            coir_yield();
        coir_cancel(t, "in time or not");
        CHECK_EQ(coir_group_end(&g), 0);
    }
    CHECK_EQ(outcomes[0] + outcomes[1], rounds);
}

TEST_MAIN("sched_sleep")
