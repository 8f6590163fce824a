/* SPDX-License-Identifier: MIT */
/* test_once.c - something done by the first who comes. */
#include "sync/wait_tools.h"

typedef struct job {
    coir_once once;
    coir_event go; /* lets the function return */
    _Atomic int runs;
    int fail_first; /* so many runs fail with -EIO */
    int result;     /* of the others */
} job;

static int do_job(void *arg)
{
    job *j = arg;
    int run = atomic_fetch_add(&j->runs, 1) + 1;
    int rc = coir_event_wait(&j->go);
    if (rc < 0)
        return rc;
    return run <= j->fail_first ? -EIO : j->result;
}

static int run_job(void *arg)
{
    job *j = arg;
    return coir_once_run(&j->once, do_job, j);
}

TASK_TEST(it_is_done_once)
{
    job j = {.once = COIR_ONCE_INIT, .result = 5};
    coir_event_set(&j.go);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(run_job(&j), 0);
    CHECK_EQ(j.runs, 1);
}

TASK_TEST(everyone_else_waits_for_the_first)
{
    coir_group g;
    job j = {.once = COIR_ONCE_INIT};
    coir_task t[5];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 5; i++)
        await_parked(t[i] = start_task(&g, run_job, &j));
    CHECK_EQ(j.runs, 1);
    coir_event_set(&j.go);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(join_result(t[i]), 0);
    CHECK_EQ(j.runs, 1);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_failure_goes_to_who_ran_it_and_the_next_caller_tries_again)
{
    job j = {.once = COIR_ONCE_INIT, .fail_first = 2};
    coir_event_set(&j.go);
    CHECK_EQ(run_job(&j), -EIO);
    CHECK_EQ(run_job(&j), -EIO);
    CHECK_EQ(run_job(&j), 0);
    CHECK_EQ(run_job(&j), 0);
    CHECK_EQ(j.runs, 3);
}

TASK_TEST(after_a_failure_a_waiter_tries_again)
{
    coir_group g;
    job j = {.once = COIR_ONCE_INIT, .fail_first = 1};
    coir_task t[4];
    int failed = 0;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    for (int i = 0; i < 4; i++)
        await_parked(t[i] = start_task(&g, run_job, &j));
    coir_event_set(&j.go);
    for (int i = 0; i < 4; i++) {
        int rc = join_result(t[i]);
        CHECK(rc == 0 || rc == -EIO);
        failed += rc == -EIO;
    }
    CHECK_EQ(failed, 1);
    CHECK_EQ(j.runs, 2);
    CHECK_EQ(coir_group_end(&g), -EIO);
}

static coir_once nested = COIR_ONCE_INIT;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int run_itself(void *arg)
{
    *(int *)arg = coir_once_run(&nested, nothing, NULL);
    return 0;
}

TASK_TEST(from_inside_it_is_a_deadlock)
{
    int inside = 0;
    CHECK_EQ(coir_once_run(&nested, run_itself, &inside), 0);
    CHECK_EQ(inside, -EDEADLK);
    CHECK_EQ(coir_once_run(&nested, run_itself, NULL), 0);
}

TEST(a_null_function_is_invalid)
{
    coir_once o = COIR_ONCE_INIT;
    CHECK_EQ(coir_once_run(&o, NULL, NULL), -EINVAL);
    CHECK_EQ(coir_once_run(&o, nothing, NULL), 0);
    CHECK_EQ(coir_once_run(&o, NULL, NULL), -EINVAL);
}

TASK_TEST(a_cancelled_waiter_goes_and_the_first_goes_on)
{
    coir_group g;
    job j = {.once = COIR_ONCE_INIT};
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task first = start_task(&g, run_job, &j);
    await_parked(first);
    coir_task second = start_task(&g, run_job, &j);
    await_parked(second);
    CHECK_EQ(coir_cancel(second, "test"), 0);
    CHECK_EQ(join_result(second), -ECANCELED);
    coir_event_set(&j.go);
    CHECK_EQ(join_result(first), 0);
    CHECK_EQ(j.runs, 1);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

TASK_TEST(if_the_first_is_cancelled_a_waiter_tries_again)
{
    coir_group g;
    job j = {.once = COIR_ONCE_INIT};
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task first = start_task(&g, run_job, &j);
    await_parked(first);
    coir_task second = start_task(&g, run_job, &j);
    await_parked(second);
    CHECK_EQ(coir_cancel(first, "test"), 0);
    CHECK_EQ(join_result(first), -ECANCELED);
    coir_event_set(&j.go);
    CHECK_EQ(join_result(second), 0);
    CHECK_EQ(j.runs, 2);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

TASK_TEST(a_cancelled_caller_is_refused_even_if_it_has_been_done)
{
    coir_scope s;
    coir_once o = COIR_ONCE_INIT;
    CHECK_EQ(coir_once_run(&o, nothing, NULL), 0);
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_once_run(&o, nothing, NULL), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

TASK_TEST(a_thread_waits_for_a_task)
{
    coir_group g;
    job j = {.once = COIR_ONCE_INIT};
    test_thread t;
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, run_job, &j));
    thread_start(&t, run_job, &j);
    thread_await_parked(&t);
    coir_event_set(&j.go);
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(j.runs, 1);
    CHECK_EQ(coir_group_end(&g), 0);
}

typedef struct rush {
    coir_once once;
    int done; /* written inside the function, read after it: ordered by it alone */
} rush;

static int rush_do(void *arg)
{
    rush *r = arg;
    coir_yield();
    r->done++;
    return 0;
}

static int rush_run(void *arg)
{
    rush *r = arg;
    CHECK_EQ(coir_once_run(&r->once, rush_do, r), 0);
    CHECK_EQ(r->done, 1);
    return 0;
}

TASK_TEST(what_was_done_is_seen_by_everyone)
{
    for (int round = rounds_of(500); round > 0; round--) {
        coir_group g;
        rush r = {.once = COIR_ONCE_INIT};
        coir_group_begin(&g, 0);
        for (int i = 0; i < 6; i++)
            CHECK_EQ(coir_spawn(&g, rush_run, &r), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
}

TEST_MAIN("once")
