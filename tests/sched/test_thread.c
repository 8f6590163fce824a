/* SPDX-License-Identifier: MIT */
/* test_thread.c - what plain threads can do: scopes, deadlines, sleep, select, mutex; and what they can't. */
#include "sched_test.h"

/* -- scopes and deadlines, no runtime at all -------------------------------------------------------------------- */

TEST(a_thread_without_runtime_can_use_a_channel)
{
    coir_chan *c = coir_chan_new(sizeof(int), 2);
    int in = 4, out = 0;
    CHECK_EQ(coir_chan_send(c, &in), 0);
    CHECK_EQ(coir_chan_try_recv(c, &out), 0);
    CHECK_EQ(out, 4);
    CHECK_EQ(coir_chan_try_recv(c, &out), -EAGAIN);
    coir_chan_close(c);
    CHECK_EQ(coir_chan_recv(c, &out), -EPIPE);
    coir_chan_free(c);
}

TEST(a_thread_has_no_task)
{
    CHECK_EQ(coir_task_id(coir_self()), 0);
    CHECK(coir_cancel_reason_get() == NULL);
    CHECK_EQ(coir_check(), 0);
}

TEST(a_deadline_ends_a_threads_wait)
{
    coir_event never = COIR_EVENT_INIT;
    coir_scope s;
    int64_t begin = coir_now();
    coir_scope_begin(&s, COIR_MS(3));
    int rc = coir_event_wait(&never);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_cancel_reason_get()->code, -ETIMEDOUT);
    CHECK_EQ(coir_scope_end(&s, rc), -ETIMEDOUT);
    CHECK_GE(coir_now(), begin + COIR_MS(3));
    CHECK_EQ(coir_check(), 0);
}

static int wait_for(void *event) { return coir_event_wait(event); }

TEST(with_timeout_works_in_a_thread)
{
    coir_event never = COIR_EVENT_INIT, set = COIR_EVENT_INIT;
    coir_event_set(&set);
    CHECK_EQ(coir_with_timeout(COIR_MS(1), wait_for, &never), -ETIMEDOUT);
    CHECK_EQ(coir_with_timeout(0, wait_for, &set), -ETIMEDOUT); /* cancelled from birth */
    CHECK_EQ(coir_with_timeout(COIR_S(100), wait_for, &set), 0);
    CHECK_EQ(coir_with_timeout(COIR_S(1), NULL, NULL), -EINVAL);
}

TEST(the_inner_and_the_outer_deadline_of_a_thread_are_told_apart)
{
    coir_scope outer, inner;
    coir_scope_begin(&outer, COIR_MS(2));
    coir_scope_begin(&inner, COIR_S(100));
    int rc = coir_scope_end(&inner, coir_sleep(COIR_S(100)));
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_scope_end(&outer, rc), -ETIMEDOUT);

    coir_scope_begin(&outer, COIR_S(100));
    coir_scope_begin(&inner, COIR_MS(2));
    CHECK_EQ(coir_scope_end(&inner, coir_sleep(COIR_S(100))), -ETIMEDOUT);
    CHECK_EQ(coir_sleep(COIR_US(10)), 0);
    CHECK_EQ(coir_scope_end(&outer, 0), 0);
}

TEST(a_shield_lets_a_cancelled_thread_wait)
{
    coir_scope s, shield;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_sleep(1), -ECANCELED);
    coir_shield_begin(&shield, COIR_S(10));
    CHECK_EQ(coir_sleep(COIR_US(100)), 0);
    coir_shield_end(&shield);
    CHECK_EQ(coir_sleep(1), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
}

/* -- between threads ---------------------------------------------------------------------------------------------- */

typedef struct shared {
    coir_scope scope;
    coir_event begun, done;
    coir_mutex lock;
    coir_chan *c;
    long sum;
    int rounds;
    int rc;
} shared;

static void *wait_in_scope(void *arg)
{
    shared *s = arg;
    coir_scope_begin(&s->scope, COIR_FOREVER);
    coir_event_set(&s->begun);
    int rc = coir_event_wait(&s->done);
    CHECK_STR(coir_cancel_reason_get()->why, "by another thread");
    s->rc = coir_scope_end(&s->scope, rc);
    return NULL;
}

TEST(a_scope_of_a_thread_can_be_cancelled_by_another)
{
    shared s = {.begun = COIR_EVENT_INIT};
    for (int i = 0; i < 50; i++) {
        coir_event_reset(&s.begun);
        pthread_t thread = thread_start(wait_in_scope, &s);
        CHECK_EQ(coir_event_wait(&s.begun), 0);
        coir_scope_cancel(&s.scope, "by another thread");
        thread_finish(thread);
        CHECK_EQ(s.rc, -ECANCELED);
    }
}

/* -- select ------------------------------------------------------------------------------------------------------- */

TEST(a_thread_can_select)
{
    coir_chan *a = coir_chan_new(sizeof(int), 1), *b = coir_chan_new(sizeof(int), 0);
    coir_event e = COIR_EVENT_INIT;
    int in = 9, out = 0;
    coir_case cases[] = {COIR_RECV(a, &out), COIR_SEND(b, &in), COIR_SET(&e),
                         COIR_AFTER(COIR_MS(1))};
    CHECK_EQ(coir_select_try(cases, 3), -EAGAIN);
    CHECK_EQ(coir_select(cases, 4), 3);
    CHECK_EQ(coir_chan_send(a, &in), 0);
    CHECK_EQ(coir_select_ordered(cases, 4), 0);
    CHECK_EQ(out, 9);
    coir_event_set(&e);
    CHECK_EQ(coir_select_try(cases, 3), 2);
    coir_scope s;
    coir_scope_begin(&s, COIR_MS(1));
    coir_case never[] = {COIR_RECV(a, &out), COIR_AFTER(COIR_FOREVER)};
    CHECK_EQ(coir_scope_end(&s, coir_select(never, 2)), -ETIMEDOUT);
    coir_chan_free(a);
    coir_chan_free(b);
}

static void *send_numbers(void *arg)
{
    shared *s = arg;
    for (int i = 1; i <= s->rounds; i++)
        CHECK_EQ(coir_chan_send(s->c, &i), 0);
    coir_chan_close(s->c);
    return NULL;
}

TEST(selecting_threads_get_every_item_once)
{
    shared s = {.c = coir_chan_new(sizeof(int), 0), .rounds = 3000 / harness_scale()};
    coir_event never = COIR_EVENT_INIT;
    pthread_t thread = thread_start(send_numbers, &s);
    long sum = 0;
    for (;;) {
        int n = 0;
        coir_case cases[] = {COIR_SET(&never), COIR_RECV(s.c, &n), COIR_AFTER(COIR_S(1000))};
        CHECK_EQ(coir_select(cases, 3), 1);
        if (cases[1].result == -EPIPE)
            break;
        CHECK_EQ(cases[1].result, 0);
        sum += n;
    }
    CHECK_EQ(sum, (long)s.rounds * (s.rounds + 1) / 2);
    thread_finish(thread);
    coir_chan_free(s.c);
}

/* -- a mutex between threads and tasks ---------------------------------------------------------------------------- */

static void add_under_lock(shared *s, bool in_task)
{
    for (int i = 0; i < s->rounds; i++) {
        CHECK_EQ(coir_mutex_lock(&s->lock), 0);
        CHECK_EQ(coir_mutex_lock(&s->lock), -EDEADLK);
        long n = s->sum;
        if (in_task && i % 16 == 0)
            coir_yield();
        s->sum = n + 1;
        coir_mutex_unlock(&s->lock);
    }
}

static void *add_in_thread(void *arg)
{
    add_under_lock(arg, false);
    return NULL;
}

static int add_in_task(void *arg)
{
    add_under_lock(arg, true);
    return 0;
}

TASK_TEST_TIMEOUT(a_mutex_excludes_threads_and_tasks_alike, 60)
{
    shared s = {.lock = COIR_MUTEX_INIT, .rounds = 5000 / harness_scale()};
    pthread_t threads[3];
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++) {
        threads[i] = thread_start(add_in_thread, &s);
        CHECK_EQ(coir_spawn(&g, add_in_task, &s), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 3; i++)
        thread_finish(threads[i]);
    CHECK_EQ(s.sum, 6L * s.rounds);
}

/* -- many threads come and go --------------------------------------------------------------------------------- */

static void *visit(void *arg)
{
    coir_scope s;
    coir_event never = COIR_EVENT_INIT;
    coir_scope_begin(&s, 1000);
    CHECK_EQ(coir_scope_end(&s, coir_event_wait(&never)), -ETIMEDOUT);
    CHECK_EQ(coir_chan_send(arg, NULL), 0);
    return NULL;
}

TASK_TEST(threads_that_come_and_go_leave_nothing_behind)
{
    coir_chan *c = coir_chan_new(0, 0);
    int n = 400 / harness_scale();
    harness_allow_blocks(60);
    for (int i = 0; i < n; i++) {
        pthread_t thread = thread_start(visit, c);
        CHECK_EQ(coir_chan_recv(c, NULL), 0);
        thread_finish(thread);
    }
    coir_chan_free(c);
}

/* -- misuse --------------------------------------------------------------------------------------------------- */

static int begin_group(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    return arg != NULL;
}

static int end_unopened(void *arg)
{
    coir_scope a, b;
    coir_scope_begin(&a, COIR_FOREVER);
    coir_scope_begin(&b, COIR_FOREVER);
    return coir_scope_end(&a, arg != NULL);
}

static int unlock_free(void *arg)
{
    coir_mutex m = COIR_MUTEX_INIT;
    coir_mutex_unlock(&m);
    return arg != NULL;
}

TEST(a_group_in_a_thread_is_misuse) { CHECK_ABORTS(begin_group, NULL, "coir_group_begin"); }

TEST(misuse_says_that_it_was_a_plain_thread) { CHECK_ABORTS(begin_group, NULL, "plain thread"); }

TEST(a_scope_that_is_not_the_innermost_of_a_thread_is_misuse)
{
    CHECK_ABORTS(end_unopened, NULL, "coir_scope_end");
}

TEST(unlocking_what_a_thread_does_not_hold_is_misuse)
{
    CHECK_ABORTS(unlock_free, NULL, "coir_mutex_unlock");
}

TEST_MAIN("sched_thread")
