/* SPDX-License-Identifier: MIT */
/* test_group.c - groups: waiting, failures, cancellation, what spawn refuses. The root group and limits: test_group_more.c. */
#include "sync/wait_tools.h"

#include <string.h>

typedef struct worker_arg {
    coir_event e;
    int result; /* returned when not cancelled */
    _Atomic int started, cancelled;
} worker_arg;

static int wait_then_result(void *arg)
{
    worker_arg *a = arg;
    atomic_fetch_add(&a->started, 1);
    int rc = coir_event_wait(&a->e);
    if (rc < 0)
        atomic_fetch_add(&a->cancelled, 1);
    return rc < 0 ? rc : a->result;
}

/* Sees its cancellation, but has finished anyway. */
static int wait_then_zero(void *arg)
{
    worker_arg *a = arg;
    atomic_fetch_add(&a->started, 1);
    if (coir_event_wait(&a->e) < 0)
        atomic_fetch_add(&a->cancelled, 1);
    return 0;
}

static int wait_then_own_failure(void *arg)
{
    coir_event_wait(arg);
    return -EIO;
}

static int return_it(void *arg) { return *(int *)arg; }

static int count_run(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
    return 0;
}

static int minus_five = -5, minus_six = -6, canceled = -ECANCELED, seven = 7;

/* -- waiting ------------------------------------------------------------------------------------------------ */

TASK_TEST(end_waits_for_every_task)
{
    for (int n = 0; n < 300; n += 37) {
        coir_group g;
        _Atomic int runs = 0;
        coir_group_begin(&g, 0);
        for (int i = 0; i < n; i++)
            CHECK_EQ(coir_spawn(&g, count_run, (void *)&runs), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(runs, n);
    }
}

typedef struct spawner {
    coir_group *g;
    _Atomic int *runs;
    int depth;
} spawner;

static int spawn_more(void *arg)
{
    spawner *s = arg;
    atomic_fetch_add(s->runs, 1);
    if (s->depth == 0)
        return 0;
    spawner next = {s->g, s->runs, s->depth - 1};
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_spawn_copy(s->g, spawn_more, &next, sizeof next), 0);
    return 0;
}

TASK_TEST(tasks_may_spawn_into_the_group_they_are_in)
{
    coir_group g;
    _Atomic int runs = 0;
    spawner s = {&g, &runs, 7};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, spawn_more, &s), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(runs, 255);
}

static int spawn_from_thread(void *arg)
{
    spawner *s = arg;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_spawn(s->g, count_run, (void *)s->runs), 0);
    return 0;
}

TASK_TEST(a_thread_spawns_into_an_open_group)
{
    coir_group g;
    _Atomic int runs = 0;
    spawner s = {&g, &runs, 0};
    test_thread t;
    coir_group_begin(&g, 0);
    thread_start(&t, spawn_from_thread, &s);
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(runs, 100);
}

TASK_TEST(wait_leaves_the_group_open)
{
    coir_group g;
    _Atomic int runs = 0;
    coir_group_begin(&g, 0);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 10; i++)
            CHECK_EQ(coir_spawn(&g, count_run, (void *)&runs), 0);
        CHECK_EQ(coir_group_wait(&g), 0);
        CHECK_EQ(runs, 10 * round);
    }
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- failures ----------------------------------------------------------------------------------------------- */

TASK_TEST(the_first_failure_cancels_the_siblings_and_is_the_result)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        await_parked(start_task(&g, wait_then_result, &a));
    CHECK_EQ(coir_spawn(&g, return_it, &minus_five), 0);
    CHECK_EQ(coir_group_end(&g), -5);
    CHECK_EQ(a.cancelled, 3);
}

TASK_TEST(a_later_failure_does_not_replace_the_first)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, wait_then_own_failure, &e));
    CHECK_EQ(coir_spawn(&g, return_it, &minus_five), 0);
    CHECK_EQ(coir_group_end(&g), -5);
}

TASK_TEST(the_reason_of_a_failure_names_the_task)
{
    coir_group g;
    coir_task t;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_with(&g, NULL, return_it, &minus_five, &t), 0);
    while (coir_check() == 0) /* the opener is inside */
        coir_yield();
    const coir_cancel_reason *reason = coir_cancel_reason_get();
    CHECK_EQ(reason->code, -ECANCELED);
    CHECK_EQ(reason->task_id, t.id);
    CHECK_STR(reason->file, __FILE__);
    CHECK_EQ(coir_group_end(&g), -5);
    CHECK_EQ(coir_check(), 0);
}

TASK_TEST(positive_results_are_no_failures)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    coir_task waiting = start_task(&g, wait_then_result, &a);
    await_parked(waiting);
    CHECK_EQ(join_result(start_task(&g, return_it, &seven)), 7);
    CHECK(is_parked(waiting));
    coir_event_set(&a.e);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(isolate_keeps_the_siblings_running_and_returns_the_first_failure)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task waiting = start_task(&g, wait_then_result, &a);
    await_parked(waiting);
    CHECK_EQ(join_result(start_task(&g, return_it, &minus_five)), -5);
    CHECK_EQ(join_result(start_task(&g, return_it, &minus_six)), -6);
    CHECK(is_parked(waiting));
    CHECK_EQ(coir_check(), 0);
    coir_event_set(&a.e);
    CHECK_EQ(coir_group_end(&g), -5); /* joining did not excuse it */
    CHECK_EQ(a.cancelled, 0);
}

TASK_TEST(joining_a_task_does_not_excuse_its_failure)
{
    coir_group g;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, return_it, &minus_five);
    coir_scope shield; /* the failure cancels the opener too */
    coir_shield_begin(&shield, COIR_FOREVER);
    CHECK_EQ(join_result(t), -5);
    coir_shield_end(&shield);
    CHECK_EQ(coir_group_end(&g), -5);
}

TASK_TEST(wait_forgets_the_failure_but_the_group_stays_cancelled)
{
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, return_it, &minus_five), 0);
    CHECK_EQ(coir_group_wait(&g), -5);
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_spawn(&g, return_it, &seven), -ECANCELED);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_check(), 0);
}

TASK_TEST(an_isolating_group_is_as_new_after_a_wait)
{
    coir_group g;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    CHECK_EQ(coir_spawn(&g, return_it, &minus_five), 0);
    CHECK_EQ(coir_group_wait(&g), -5);
    CHECK_EQ(coir_spawn(&g, return_it, &seven), 0);
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(coir_spawn(&g, return_it, &minus_six), 0);
    CHECK_EQ(coir_group_end(&g), -6);
}

/* -- -ECANCELED --------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_task_that_says_so_makes_the_group_cancelled_but_harms_nobody)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    coir_task one = start_task(&g, wait_then_result, &a),
              other = start_task(&g, wait_then_result, &a);
    await_parked(one);
    await_parked(other);
    CHECK_EQ(coir_cancel(one, "test"), 0);
    CHECK_EQ(join_result(one), -ECANCELED);
    CHECK(is_parked(other));
    CHECK_EQ(coir_check(), 0);
    coir_event_set(&a.e);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(a.cancelled, 1);
}

TASK_TEST(the_code_of_cancellation_from_a_task_that_was_not_cancelled_is_a_failure)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, wait_then_zero, &a));
    CHECK_EQ(coir_spawn(&g, return_it, &canceled), 0);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(a.cancelled, 1);
}

TASK_TEST(a_failure_counts_more_than_a_cancelled_task)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, wait_then_result, &a));
    await_parked(start_task(&g, wait_then_own_failure, &e));
    coir_group_cancel(&g, "test");
    CHECK_EQ(coir_group_end(&g), -EIO);
}

TASK_TEST(a_cancellation_that_came_too_late_takes_nothing_away)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        await_parked(start_task(&g, wait_then_zero, &a));
    coir_group_cancel(&g, "test");
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(a.cancelled, 3);
}

TASK_TEST(isolate_returns_the_same)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    await_parked(start_task(&g, wait_then_result, &a));
    coir_group_cancel(&g, "test");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    CHECK_EQ(coir_spawn(&g, return_it, &canceled), 0); /* not cancelled: a failure */
    CHECK_EQ(coir_spawn(&g, return_it, &seven), 0);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(cancelling_a_group_reaches_its_tasks_and_its_opener)
{
    coir_group g;
    worker_arg a = {.e = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_spawn(&g, wait_then_result, &a), 0);
    await_value(&a.started, 100);
    coir_group_cancel(&g, "enough");
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_STR(coir_cancel_reason_get()->why, "enough");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(a.cancelled, 100);
    CHECK_EQ(coir_check(), 0);
}

TASK_TEST(a_cancelled_group_stays_cancelled)
{
    coir_group g;
    coir_group_begin(&g, 0);
    coir_group_cancel(&g, "test");
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_spawn(&g, return_it, &seven), -ECANCELED);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_spawn_into_a_cancelled_group_is_refused_and_leaves_nothing)
{
    coir_group g;
    coir_scope s;
    coir_task t = {NULL, 77};
    coir_task_options o = {.name = "never"};
    coir_scope_begin(&s, COIR_FOREVER);
    coir_group_begin(&g, 0);
    coir_scope_cancel(&s, "around it");
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(coir_spawn(&g, return_it, &seven), -ECANCELED);
        CHECK_EQ(coir_spawn_copy(&g, return_it, &seven, sizeof seven), -ECANCELED);
        CHECK_EQ(coir_spawn_with(&g, &o, return_it, &seven, &t), -ECANCELED);
    }
    CHECK_EQ(t.id, 77);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

static int note_whether_cancelled(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, coir_check() == -ECANCELED ? 1000 : 1);
    return 0;
}

static int cancel_before_start(void *arg)
{
    coir_group g;
    _Atomic int runs = 0;
    (void)arg;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(coir_spawn(&g, note_whether_cancelled, (void *)&runs), 0);
    coir_group_cancel(&g, "before they start");
    CHECK_EQ(runs, 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(runs, 10000);
    return 0;
}

TEST(what_was_spawned_runs_even_if_cancelled_before_it_started)
{
    use_one_worker();
    CHECK_EQ(coir_run(NULL, cancel_before_start, NULL), 0);
}

typedef struct waiter {
    worker_arg child;
    coir_task self, task;
    int rc, rc_again;
} waiter;

static int open_and_wait(void *arg)
{
    waiter *w = arg;
    coir_group g;
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, wait_then_zero, &w->child));
    w->rc = coir_group_wait(&g);
    w->rc_again = coir_check();
    return coir_group_end(&g);
}

TASK_TEST(cancelling_the_waiter_cancels_the_group_and_still_waits)
{
    coir_group g;
    waiter w = {.child = {.e = COIR_EVENT_INIT}};
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, open_and_wait, &w);
    await_value(&w.child.started, 1);
    await_parked(t);
    CHECK_EQ(coir_cancel(t, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(w.child.cancelled, 1);
    CHECK_EQ(w.rc, 0);
    CHECK_EQ(w.rc_again, -ECANCELED);
}

/* -- bad input ---------------------------------------------------------------------------------------------- */

TASK_TEST(spawn_says_what_is_wrong_with_its_arguments)
{
    coir_group g;
    coir_task t = {NULL, 77};
    coir_task_options flags = {.flags = 0x80}, huge = {.stack_reserve = SIZE_MAX / 2};
    static char large[2048];
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, NULL, NULL), -EINVAL);
    CHECK_EQ(coir_spawn_copy(&g, NULL, large, 1), -EINVAL);
    CHECK_EQ(coir_spawn_copy(&g, return_it, NULL, 1), -EINVAL);
    CHECK_EQ(coir_spawn_copy(&g, return_it, large, 1025), -E2BIG);
    CHECK_EQ(coir_spawn_with(&g, NULL, NULL, NULL, &t), -EINVAL);
    CHECK_EQ(coir_spawn_with(&g, &flags, return_it, &seven, &t), -EINVAL);
    CHECK_EQ(coir_spawn_with(&g, &huge, return_it, &seven, &t), -ENOMEM);
    CHECK_EQ(coir_spawn(NULL, NULL, NULL), -EINVAL);
    CHECK_EQ(t.id, 77);
    CHECK_EQ(coir_group_end(&g), 0);
}

static int check_copy(void *arg)
{
    unsigned char *copy = arg;
    CHECK_EQ((uintptr_t)copy % 16, 0);
    size_t size = (size_t)copy[0] | (size_t)copy[1] << 8;
    for (size_t i = 2; i < size; i++)
        CHECK_EQ(copy[i], (unsigned char)(i * 7));
    memset(copy, 0xAA, size);
    coir_yield();
    for (size_t i = 0; i < size; i++)
        CHECK_EQ(copy[i], 0xAA);
    return 0;
}

TASK_TEST(a_copied_argument_is_aligned_writable_and_the_tasks_own)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (size_t size = 2; size <= 1024; size += 73) {
        unsigned char bytes[1024];
        for (size_t i = 2; i < size; i++)
            bytes[i] = (unsigned char)(i * 7);
        bytes[0] = (unsigned char)size;
        bytes[1] = (unsigned char)(size >> 8);
        CHECK_EQ(coir_spawn_copy(&g, check_copy, bytes, size), 0);
        memset(bytes, 0, sizeof bytes);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

TEST_MAIN("group")
