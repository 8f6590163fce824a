/* SPDX-License-Identifier: MIT */
/* test_cond.c - conditions: signals, the mutex on return, cancellation, deadlines, life. */
#include "sync/lock_tools.h"

/* -- a task that waits once --------------------------------------------------------------------------------- */

typedef struct box {
    coir_mutex m;
    coir_cond c;
    _Atomic int back; /* how many have returned */
} box;

typedef struct waiter {
    box *b;
    int rc;
    int place; /* in the order of return; under the mutex */
    coir_task task;
} waiter;

static int wait_once(void *arg)
{
    waiter *v = arg;
    CHECK_EQ(coir_mutex_lock(&v->b->m), 0);
    v->rc = coir_cond_wait(&v->b->c, &v->b->m);
    CHECK_EQ(coir_mutex_try_lock(&v->b->m), -EDEADLK); /* held, always */
    v->place = v->b->back++;
    coir_mutex_unlock(&v->b->m);
    return 0;
}

static void start_waiting(waiter *v, coir_group *g, box *b)
{
    *v = (waiter){.b = b, .rc = 1, .place = -1};
    v->task = start_task(g, wait_once, v);
    await_parked(v->task);
}

static void start_all(waiter *v, int n, coir_group *g, box *b)
{
    for (int i = 0; i < n; i++)
        start_waiting(&v[i], g, b);
}

static int count_of(const waiter *v, int n, int rc)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += v[i].rc == rc;
    return count;
}

/* -- signals ------------------------------------------------------------------------------------------------ */

TASK_TEST(each_signal_wakes_the_one_that_has_waited_longest)
{
    enum { N = 4 };
    box b = {0};
    waiter v[N];
    coir_group g;
    coir_group_begin(&g, 0);
    start_all(v, N, &g, &b);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(b.back, i);
        coir_cond_signal(&b.c);
        CHECK_EQ(join_result(v[i].task), 0);
        CHECK_EQ(v[i].rc, 0);
        CHECK_EQ(v[i].place, i);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_broadcast_wakes_all)
{
    enum { N = 20 };
    box b = {0};
    waiter v[N];
    coir_group g;
    coir_group_begin(&g, 0);
    start_all(v, N, &g, &b);
    coir_cond_broadcast(&b.c);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(count_of(v, N, 0), N);
}

TASK_TEST(a_signal_that_nobody_waits_for_is_not_kept)
{
    box b = {0};
    waiter v;
    coir_group g;
    coir_group_begin(&g, 0);
    coir_cond_signal(&b.c);
    coir_cond_broadcast(&b.c);
    start_waiting(&v, &g, &b);
    CHECK_EQ(b.back, 0);
    CHECK_EQ(coir_mutex_try_lock(&b.m), 0); /* released by the waiter */
    coir_cond_signal(&b.c);
    coir_mutex_unlock(&b.m);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(v.rc, 0);
}

TASK_TEST(who_was_signalled_waits_for_the_mutex)
{
    box b = {0};
    waiter v[2];
    coir_group g;
    coir_group_begin(&g, 0);
    start_all(v, 2, &g, &b);
    CHECK_EQ(coir_mutex_lock(&b.m), 0);
    coir_cond_broadcast(&b.c);
    for (int i = 0; i < 2; i++)
        await_parked(v[i].task);
    CHECK_EQ(b.back, 0);
    coir_mutex_unlock(&b.m);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(b.back, 2);
}

static int wait_in_thread(void *arg)
{
    box *b = arg;
    CHECK_EQ(coir_mutex_lock(&b->m), 0);
    CHECK_EQ(coir_cond_wait(&b->c, &b->m), 0);
    coir_mutex_unlock(&b->m);
    return 0;
}

/* Who gets the mutex next, and signals, must find the waiter. */
TASK_TEST(the_mutex_is_not_free_before_the_waiter_can_be_signalled)
{
    box b = {0};
    test_thread t;
    coir__lock *lock = (coir__lock *)(void *)&b.c;
    coir__lock_take(lock);
    thread_start(&t, wait_in_thread, &b);
    while (coir_mutex_try_lock(&b.m) == 0)
        coir_mutex_unlock(&b.m);
    for (int i = 0; i < 2000; i++) { /* it has every chance to run */
        sched_yield();
        CHECK_EQ(coir_mutex_try_lock(&b.m), -EAGAIN);
    }
    coir__lock_drop(lock);
    thread_await_parked(&t);
    coir_cond_signal(&b.c);
    CHECK_EQ(thread_finish(&t), 0);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_caller_is_refused_and_keeps_the_mutex_all_the_while)
{
    box b = {0};
    waiter v;
    coir_group g;
    coir_scope s;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&b.m), 0);
    v = (waiter){.b = &b, .rc = 1};
    v.task = start_task(&g, wait_once, &v);
    await_parked(
        v.task); /* for the mutex; were it released, it would come to wait for the condition */
    coir__task *waits = v.task.opaque;
    for (int i = 0; i < 2; i++) {
        coir_scope_begin(&s, i ? 0 : COIR_FOREVER);
        coir_scope_cancel(&s, "test");
        CHECK_EQ(coir_cond_wait(&b.c, &b.m), -ECANCELED);
        CHECK(is_parked(v.task));
        CHECK_EQ(coir_scope_end(&s, 0), 0);
    }
    for (int i = 0; i < 100; i++)
        coir_yield();
    CHECK_EQ(coir__wait_kind_of(waits), COIR__WAIT_MUTEX);
    CHECK_EQ(coir_mutex_try_lock(&b.m), -EDEADLK);
    coir_mutex_unlock(&b.m);
    await_parked(v.task);
    while (coir__wait_kind_of(waits) != COIR__WAIT_COND || !is_parked(v.task))
        coir_yield();
    coir_cond_signal(&b.c);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(v.rc, 0);
}

TASK_TEST(a_cancelled_waiter_takes_the_mutex_first)
{
    box b = {0};
    waiter v;
    coir_group g;
    coir_group_begin(&g, 0);
    start_waiting(&v, &g, &b);
    CHECK_EQ(coir_mutex_lock(&b.m), 0);
    CHECK_EQ(coir_cancel(v.task, "test"), 0);
    coir__task *waits = v.task.opaque;
    while (coir__wait_kind_of(waits) != COIR__WAIT_MUTEX || !is_parked(v.task))
        coir_yield();
    CHECK_EQ(coir_cancel(v.task, "once more"), 0); /* that wait can't be cancelled */
    CHECK_EQ(b.back, 0);
    coir_mutex_unlock(&b.m);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(v.rc, -ECANCELED);
    CHECK_EQ(coir_mutex_try_lock(&b.m), 0);
    coir_mutex_unlock(&b.m);
}

static int signalled_then_cancelled(void *arg)
{
    box b = {0};
    waiter v[2];
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    start_all(v, 2, &g, &b);
    coir_cond_signal(&b.c);
    CHECK_EQ(coir_cancel(v[0].task, "too late"), 0);
    CHECK_EQ(coir_cancel(v[1].task, "in time"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(v[0].rc, 0);
    CHECK_EQ(v[1].rc, -ECANCELED);
    return 0;
}

TEST(who_was_signalled_before_it_was_cancelled_succeeds)
{
    use_one_worker();
    CHECK_EQ(coir_run(NULL, signalled_then_cancelled, NULL), 0);
}

TASK_TEST(a_signal_passes_over_who_is_being_cancelled)
{
    box b = {0};
    waiter v[2];
    coir_group g;
    coir_group_begin(&g, 0);
    start_all(v, 2, &g, &b);
    cancel_claim(v[0].task);
    coir_cond_signal(&b.c);
    CHECK_EQ(join_result(v[1].task), 0);
    cancel_finish(v[0].task);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(v[0].rc, -ECANCELED);
    CHECK_EQ(v[1].rc, 0);
}

/* 8 wait, 4 signals and 4 cancellations at the same time: 4 are signalled, whatever the order. */
enum { CROWD = 8 };

typedef struct storm {
    box b;
    waiter v[CROWD];
    _Atomic int go, through; /* the round */
    int rounds;
    dice dice;
} storm;

static int cancel_half(void *arg)
{
    storm *s = arg;
    for (int round = 1; round <= s->rounds; round++) {
        await_value(&s->go, round);
        for (int i = 0; i < CROWD / 2; i++) {
            dice_spin(&s->dice, 3);
            coir_cancel(s->v[i * 2 + (int)dice_below(&s->dice, 2)].task, "sweep");
        }
        atomic_store(&s->through, round);
    }
    return 0;
}

static void run_storm(bool from_thread)
{
    storm *s = calloc(1, sizeof *s);
    dice d = {.state = 5};
    coir_group g, crowd;
    test_thread thread;
    s->rounds = rounds_of(from_thread ? 100 : 500);
    s->dice.state = 3;
    coir_group_begin(&g, 0);
    if (from_thread)
        thread_start(&thread, cancel_half, s);
    else
        CHECK_EQ(coir_spawn(&g, cancel_half, s), 0);
    for (int round = 1; round <= s->rounds; round++) {
        coir_group_begin(&crowd, 0);
        start_all(s->v, CROWD, &crowd, &s->b);
        atomic_store(&s->go, round);
        for (int i = 0; i < CROWD / 2; i++) {
            dice_spin(&d, 3);
            if (dice_below(&d, 4) == 0)
                coir_yield();
            coir_cond_signal(&s->b.c);
        }
        await_value(&s->through, round);
        coir_group_cancel(&crowd, "rest");
        coir_group_end(&crowd);
        CHECK_EQ(count_of(s->v, CROWD, 0), CROWD / 2);
        CHECK_EQ(count_of(s->v, CROWD, -ECANCELED), CROWD / 2);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    if (from_thread)
        CHECK_EQ(thread_finish(&thread), 0);
    free(s);
}

TASK_TEST(no_cancelled_waiter_uses_up_a_signal) { run_storm(false); }

TASK_TEST(no_waiter_cancelled_by_a_thread_uses_up_a_signal) { run_storm(true); }

/* -- deadlines ---------------------------------------------------------------------------------------------- */

static int wait_in_time(void *arg)
{
    box *b = arg;
    coir_scope s;
    CHECK_EQ(coir_mutex_lock(&b->m), 0);
    coir_scope_begin(&s, TEST_TICK);
    int rc = coir_scope_end(&s, coir_cond_wait(&b->c, &b->m));
    CHECK_EQ(coir_mutex_try_lock(&b->m), -EDEADLK);
    coir_mutex_unlock(&b->m);
    return rc;
}

static int wait_times_out(void *arg)
{
    box b = {0};
    coir_group g;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, wait_in_time, &b);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    t = start_task(&g, wait_in_time, &b);
    await_parked(t);
    coir_cond_signal(&b.c);
    CHECK_EQ(join_result(t), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_wait_for_a_condition_obeys_deadlines)
{
    CHECK_EQ(run_on_test_clock(wait_times_out, NULL), 0);
}

static int a_thread_waits(void *arg)
{
    box *b = arg;
    coir_scope s;
    CHECK_EQ(coir_mutex_lock(&b->m), 0);
    coir_scope_begin(&s, COIR_US(100));
    int rc = coir_scope_end(&s, coir_cond_wait(&b->c, &b->m));
    CHECK_EQ(coir_mutex_try_lock(&b->m), -EDEADLK);
    coir_mutex_unlock(&b->m);
    return rc;
}

TEST(a_thread_waits_for_a_condition_until_its_deadline)
{
    box b = {0};
    CHECK_EQ(a_thread_waits(&b), -ETIMEDOUT);
}

/* The mutex taken again is handed over to who has waited for it long, though that wait can't be cancelled. */
static int hand_off_to_shielded(void *arg)
{
    box b = {0};
    waiter v;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    start_waiting(&v, &g, &b);
    CHECK_EQ(coir_mutex_lock(&b.m), 0);
    coir_cond_signal(&b.c);
    await_parked(v.task);
    CHECK_EQ(coir_cancel(v.task, "changes nothing"), 0);
    time_pass(COIR_MS(2));
    coir_mutex_unlock(&b.m);
    CHECK_EQ(coir_mutex_lock(&b.m), 0); /* overtaken, for the last time */
    await_parked(v.task);
    coir_mutex_unlock(&b.m);
    CHECK_EQ(coir_mutex_try_lock(&b.m), -EAGAIN);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(v.rc, 0);
    return 0;
}

TEST(who_takes_the_mutex_again_is_handed_it_after_a_while)
{
    use_one_worker();
    CHECK_EQ(run_on_test_clock(hand_off_to_shielded, NULL), 0);
}

/* -- between tasks, threads and runtimes -------------------------------------------------------------------- */

/* A buffer of one; 0 ends a consumer. */
typedef struct buffer {
    coir_mutex m;
    coir_cond filled, emptied;
    int value; /* 0: empty */
    bool end;
    int rounds;
    _Atomic long taken;
} buffer;

static int produce(void *arg)
{
    buffer *b = arg;
    for (int i = 1; i <= b->rounds; i++) {
        CHECK_EQ(coir_mutex_lock(&b->m), 0);
        while (b->value != 0)
            CHECK_EQ(coir_cond_wait(&b->emptied, &b->m), 0);
        b->value = i;
        if (i % 2)
            coir_cond_signal(&b->filled);
        coir_mutex_unlock(&b->m);
        if (i % 2 == 0)
            coir_cond_signal(&b->filled);
    }
    return 0;
}

static int consume(void *arg)
{
    buffer *b = arg;
    for (;;) {
        CHECK_EQ(coir_mutex_lock(&b->m), 0);
        while (b->value == 0 && !b->end)
            CHECK_EQ(coir_cond_wait(&b->filled, &b->m), 0);
        int value = b->value;
        b->value = 0;
        coir_cond_signal(&b->emptied);
        coir_mutex_unlock(&b->m);
        if (value == 0)
            return 0;
        b->taken += value;
    }
}

static void end_consumers(buffer *b)
{
    CHECK_EQ(coir_mutex_lock(&b->m), 0);
    while (b->value != 0)
        CHECK_EQ(coir_cond_wait(&b->emptied, &b->m), 0);
    b->end = true;
    coir_cond_broadcast(&b->filled);
    coir_mutex_unlock(&b->m);
}

static long sum_to(long n) { return n * (n + 1) / 2; }

TASK_TEST(nothing_is_lost_between_producers_and_consumers)
{
    buffer b = {.rounds = rounds_of(5000)};
    coir_group producers, consumers;
    coir_group_begin(&consumers, 0);
    coir_group_begin(&producers, 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(coir_spawn(&consumers, consume, &b), 0);
        CHECK_EQ(coir_spawn(&producers, produce, &b), 0);
    }
    CHECK_EQ(coir_group_end(&producers), 0);
    end_consumers(&b);
    CHECK_EQ(coir_group_end(&consumers), 0);
    CHECK_EQ(b.taken, 4 * sum_to(b.rounds));
}

/* Two take turns: one signal lost, and both wait for ever. */
typedef struct rally {
    coir_mutex m;
    coir_cond c;
    int turn, rounds;
} rally;

static int play(rally *r, int side)
{
    for (int i = 0; i < r->rounds; i++) {
        CHECK_EQ(coir_mutex_lock(&r->m), 0);
        while (r->turn != side)
            CHECK_EQ(coir_cond_wait(&r->c, &r->m), 0);
        r->turn = !side;
        coir_cond_signal(&r->c);
        coir_mutex_unlock(&r->m);
    }
    return 0;
}

static int play_first(void *arg) { return play(arg, 0); }
static int play_second(void *arg) { return play(arg, 1); }

TASK_TEST(two_tasks_that_take_turns_never_miss_a_signal)
{
    rally r = {.rounds = rounds_of(20000)};
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, play_second, &r), 0);
    CHECK_EQ(play_first(&r), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_task_and_a_thread_that_take_turns_never_miss_a_signal)
{
    rally r = {.rounds = rounds_of(5000)};
    test_thread t;
    thread_start(&t, play_second, &r);
    CHECK_EQ(play_first(&r), 0);
    CHECK_EQ(thread_finish(&t), 0);
}

static int produce_from_group(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, produce, arg), 0);
    CHECK_EQ(coir_spawn(&g, consume, arg), 0);
    CHECK_EQ(coir_spawn(&g, produce, arg), 0);
    return coir_group_end(&g);
}

TASK_TEST(tasks_threads_and_runtimes_share_conditions)
{
    buffer b = {.rounds = rounds_of(1000)};
    test_thread threads[2];
    other_runtime other;
    coir_group g;
    thread_start(&threads[0], produce, &b);
    thread_start(&threads[1], consume, &b);
    other_start(&other, produce_from_group, &b);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, consume, &b), 0);
    CHECK_EQ(produce(&b), 0);
    CHECK_EQ(thread_finish(&threads[0]), 0);
    while (b.taken != 4 * sum_to(b.rounds))
        coir_yield();
    end_consumers(&b);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(thread_finish(&threads[1]), 0);
    CHECK_EQ(other_finish(&other), 0);
}

/* -- life --------------------------------------------------------------------------------------------------- */

typedef struct shared {
    coir_mutex m;
    coir_cond c;
    bool done;
    int users;
} shared;

static void leave(shared *s)
{
    bool last = --s->users == 0;
    coir_mutex_unlock(&s->m);
    if (last)
        free(s);
}

static int wait_and_leave(void *arg)
{
    shared *s = arg;
    CHECK_EQ(coir_mutex_lock(&s->m), 0);
    while (!s->done)
        CHECK_EQ(coir_cond_wait(&s->c, &s->m), 0);
    leave(s);
    return 0;
}

/* Without the mutex: those woken may be gone, and the condition with them, before this returns. */
static int broadcast_when_all_wait(void *arg)
{
    shared *s = arg;
    CHECK_EQ(coir_mutex_lock(&s->m), 0);
    s->done = true;
    s->users--;
    coir_mutex_unlock(&s->m);
    coir_cond_broadcast(&s->c);
    return 0;
}

TASK_TEST(the_last_waiter_may_destroy_it_right_after_a_broadcast)
{
    for (int round = rounds_of(2000); round > 0; round--) {
        coir_group g;
        shared *s = calloc(1, sizeof *s);
        coir_task t[3];
        s->users = 4;
        coir_group_begin(&g, 0);
        for (int i = 0; i < 3; i++)
            t[i] = start_task(&g, wait_and_leave, s);
        for (int i = 0; i < 3; i++)
            await_parked(t[i]);
        CHECK_EQ(coir_spawn(&g, broadcast_when_all_wait, s), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
}

/* -- misuse ------------------------------------------------------------------------------------------------- */

static int wait_without_mutex(void *arg)
{
    box b = {0};
    (void)arg;
    coir_set_name("clumsy");
    return coir_cond_wait(&b.c, &b.m);
}

static int wait_with_null(void *arg)
{
    box b = {0};
    (void)arg;
    coir_set_name("clumsy");
    return coir_cond_wait(&b.c, NULL);
}

static int wait_with_others_mutex(void *arg)
{
    box *b = arg;
    coir_set_name("thief");
    return coir_cond_wait(&b->c, &b->m);
}

static int let_others_wait(void *arg)
{
    box b = {0};
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&b.m), 0);
    coir_spawn(&g, wait_with_others_mutex, &b);
    return coir_group_end(&g);
}

TEST(waiting_without_the_mutex_is_misuse)
{
    CHECK_TASK_ABORTS(wait_without_mutex, NULL, "in task 'clumsy'");
    CHECK_TASK_ABORTS(wait_without_mutex, NULL, "coir_cond_wait: the caller does not hold mutex");
    CHECK_TASK_ABORTS(wait_with_null, NULL, "coir_cond_wait: the caller does not hold mutex");
    CHECK_TASK_ABORTS(let_others_wait, NULL, "in task 'thief'");
    CHECK_ABORTS(wait_without_mutex, NULL, "in a plain thread");
}

TEST_MAIN("cond")
