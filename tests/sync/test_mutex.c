/* SPDX-License-Identifier: MIT */
/* test_mutex.c - mutual exclusion, order, hand-off, misuse. */
#include "sync/wait_tools.h"

#include <string.h>

/* -- exclusion ---------------------------------------------------------------------------------------------- */

typedef struct counter {
    coir_mutex lock;
    long value; /* guarded by lock, nothing else */
    int rounds;
} counter;

static int count_up(void *arg)
{
    counter *c = arg;
    for (int i = 0; i < c->rounds; i++) {
        CHECK_EQ(coir_mutex_lock(&c->lock), 0);
        long value = c->value;
        if (i % 16 == 0)
            coir_yield();
        c->value = value + 1;
        coir_mutex_unlock(&c->lock);
    }
    return 0;
}

TASK_TEST(one_at_a_time_is_inside)
{
    coir_group g;
    counter c = {.lock = COIR_MUTEX_INIT, .rounds = rounds_of(5000)};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(coir_spawn(&g, count_up, &c), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.value, 8L * c.rounds);
}

TASK_TEST(tasks_and_threads_exclude_each_other)
{
    coir_group g;
    counter c = {.lock = COIR_MUTEX_INIT, .rounds = rounds_of(3000)};
    test_thread t[2];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2; i++)
        thread_start(&t[i], count_up, &c);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_spawn(&g, count_up, &c), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(thread_finish(&t[i]), 0);
    CHECK_EQ(c.value, 5L * c.rounds);
}

TEST(threads_need_no_runtime)
{
    counter c = {.lock = COIR_MUTEX_INIT, .rounds = rounds_of(3000)};
    test_thread t;
    thread_start(&t, count_up, &c);
    count_up(&c);
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(c.value, 2L * c.rounds);
}

/* -- results ------------------------------------------------------------------------------------------------ */

typedef struct locker {
    coir_mutex *m;
    int rc;
    _Atomic int *order;
    int place;
    coir_task task;
} locker;

static int lock_once(void *arg)
{
    locker *l = arg;
    l->rc = coir_mutex_lock(l->m);
    if (l->rc < 0)
        return 0;
    l->place = l->order ? atomic_fetch_add(l->order, 1) : 0;
    coir_mutex_unlock(l->m);
    return 0;
}

static void start_locking(locker *l, coir_group *g, coir_mutex *m, _Atomic int *order)
{
    *l = (locker){.m = m, .rc = 1, .order = order, .place = -1};
    l->task = start_task(g, lock_once, l);
    await_parked(l->task);
}

TASK_TEST(locking_ones_own_mutex_is_a_deadlock)
{
    coir_mutex m = COIR_MUTEX_INIT;
    CHECK_EQ(coir_mutex_lock(&m), 0);
    CHECK_EQ(coir_mutex_lock(&m), -EDEADLK);
    CHECK_EQ(coir_mutex_try_lock(&m), -EDEADLK);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_mutex_try_lock(&m), 0);
    CHECK_EQ(coir_mutex_try_lock(&m), -EDEADLK);
    coir_mutex_unlock(&m);
}

TASK_TEST(locking_ones_own_mutex_is_a_deadlock_while_others_wait_too)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    locker l;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    start_locking(&l, &g, &m, NULL);
    CHECK_EQ(coir_mutex_lock(&m), -EDEADLK);
    CHECK_EQ(coir_mutex_try_lock(&m), -EDEADLK);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(l.rc, 0);
}

static int try_others(void *arg) { return coir_mutex_try_lock(arg); }

TASK_TEST(try_does_not_wait_for_another_holder)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    CHECK_EQ(join_result(start_task(&g, try_others, &m)), -EAGAIN);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_group_end(&g), -EAGAIN);
}

/* -- waiting ------------------------------------------------------------------------------------------------ */

static int waiters_in_order(void *arg)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    _Atomic int order = 0;
    locker l[5];
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    for (int i = 0; i < 5; i++)
        start_locking(&l[i], &g, &m, &order);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(l[i].place, i);
    return 0;
}

TEST(waiters_get_it_in_the_order_they_came)
{
    CHECK_EQ(run_on_test_clock(waiters_in_order, NULL), 0);
}

TASK_TEST(a_cancelled_waiter_leaves_nothing_behind)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    locker l[3];
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    for (int i = 0; i < 3; i++)
        start_locking(&l[i], &g, &m, NULL);
    CHECK_EQ(coir_cancel(l[0].task, "test"), 0);
    CHECK_EQ(coir_cancel(l[2].task, "test"), 0);
    CHECK_EQ(join_result(l[0].task), 0);
    CHECK_EQ(join_result(l[2].task), 0);
    CHECK_EQ(l[0].rc, -ECANCELED);
    CHECK_EQ(l[2].rc, -ECANCELED);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(l[1].rc, 0);
    CHECK_EQ(coir_mutex_try_lock(&m), 0);
    coir_mutex_unlock(&m);
}

TASK_TEST(a_cancelled_task_is_refused_even_if_the_mutex_is_free)
{
    coir_scope s;
    coir_mutex m = COIR_MUTEX_INIT;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_mutex_lock(&m), -ECANCELED);
    CHECK_EQ(coir_mutex_try_lock(&m), 0); /* no cancel point */
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

static int barging(void *arg)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    locker l;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    start_locking(&l, &g, &m, NULL);
    coir_mutex_unlock(&m); /* wakes it; but it does not hold the mutex yet */
    CHECK_EQ(coir_mutex_lock(&m), 0);
    await_parked(l.task);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(l.rc, 0);
    return 0;
}

TEST(a_newcomer_may_overtake_a_waiter)
{
    use_one_worker();
    CHECK_EQ(run_on_test_clock(barging, NULL), 0);
}

static int hand_off(void *arg)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    locker l;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    start_locking(&l, &g, &m, NULL);
    time_pass(COIR_MS(2));
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_mutex_lock(&m), 0); /* overtaken once more, and then it has waited too long */
    await_parked(l.task);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_mutex_try_lock(&m), -EAGAIN); /* handed over */
    CHECK_EQ(coir_mutex_lock(&m), 0);
    CHECK_EQ(l.place, 0);
    coir_mutex_unlock(&m);
    CHECK_EQ(coir_group_end(&g), 0);
    return 0;
}

TEST(a_waiter_that_has_waited_long_is_given_the_mutex)
{
    use_one_worker();
    CHECK_EQ(run_on_test_clock(hand_off, NULL), 0);
}

static int lock_in_time(void *arg)
{
    coir_scope s;
    coir_scope_begin(&s, TEST_TICK);
    int rc = coir_mutex_lock(arg);
    if (rc == 0)
        coir_mutex_unlock(arg);
    return coir_scope_end(&s, rc);
}

static int lock_times_out(void *arg)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    coir_task t = start_task(&g, lock_in_time, &m);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    coir_mutex_unlock(&m);
    CHECK_EQ(lock_in_time(&m), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_wait_for_a_mutex_obeys_deadlines) { CHECK_EQ(run_on_test_clock(lock_times_out, NULL), 0); }

static int second_unlock(void *arg)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    locker l[2];
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    for (int i = 0; i < 2; i++)
        start_locking(&l[i], &g, &m, NULL);
    coir_mutex_unlock(&m);
    CHECK(!is_parked(l[0].task));
    CHECK_EQ(coir_mutex_lock(&m), 0);
    coir_mutex_unlock(&m);
    CHECK(is_parked(l[1].task));
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_mutex_try_lock(&m), 0);
    coir_mutex_unlock(&m);
    return 0;
}

TEST(an_unlock_wakes_nobody_while_one_is_on_the_way)
{
    use_one_worker();
    CHECK_EQ(run_on_test_clock(second_unlock, NULL), 0);
}

static int woken_times_out(void *arg)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    locker l;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    coir_task t = start_task(&g, lock_in_time, &m);
    await_parked(t);
    start_locking(&l, &g, &m, NULL);
    coir_mutex_unlock(&m); /* wakes the first ... */
    CHECK_EQ(coir_mutex_lock(&m), 0);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT); /* ... which gives up */
    CHECK(is_parked(l.task));
    coir_mutex_unlock(&m);
    CHECK_EQ(join_result(l.task), 0);
    CHECK_EQ(l.rc, 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_woken_waiter_that_gives_up_does_not_keep_others_from_being_woken)
{
    use_one_worker();
    CHECK_EQ(run_on_test_clock(woken_times_out, NULL), 0);
}

/* Some waits end by a deadline, at whatever moment; nobody is left behind, and the next ones find the mutex free. */
static int count_in_time(void *arg)
{
    static _Atomic int number;
    counter *c = arg;
    dice d = {.state = (uint64_t)atomic_fetch_add(&number, 1)};
    int counted = 0;
    for (int i = 0; i < c->rounds; i++) {
        coir_scope s;
        coir_scope_begin(&s, dice_below(&d, 2) ? COIR_US(dice_below(&d, 50)) : COIR_FOREVER);
        int rc = coir_mutex_lock(&c->lock);
        if (rc == 0) {
            long value = c->value;
            if (dice_below(&d, 4) == 0)
                coir_yield();
            c->value = value + 1;
            counted++;
            coir_mutex_unlock(&c->lock);
        }
        coir_scope_end(&s, 0);
    }
    return counted;
}

TASK_TEST(waiters_that_give_up_lose_no_wake)
{
    enum { N = 6 };
    counter c = {.lock = COIR_MUTEX_INIT, .rounds = rounds_of(5000)};
    coir_task t[N];
    test_thread thread;
    coir_group g;
    long counted = 0;
    coir_group_begin(&g, 0);
    thread_start(&thread, count_in_time, &c);
    for (int i = 0; i < N; i++)
        t[i] = start_task(&g, count_in_time, &c);
    for (int i = 0; i < N; i++)
        counted += join_result(t[i]);
    CHECK_EQ(coir_group_end(&g), 0);
    counted += thread_finish(&thread);
    CHECK_EQ(c.value, counted);
    CHECK_EQ(coir_mutex_try_lock(&c.lock), 0);
    coir_mutex_unlock(&c.lock);
}

/* -- life --------------------------------------------------------------------------------------------------- */

typedef struct shared {
    coir_mutex lock;
    int users;
    bool yield; /* inside */
} shared;

/* Destroys the mutex right after another's unlock: the other must not touch it any more. */
static int use_and_leave(void *arg)
{
    shared *s = arg;
    CHECK_EQ(coir_mutex_lock(&s->lock), 0);
    if (s->yield)
        coir_yield();
    bool last = --s->users == 0;
    coir_mutex_unlock(&s->lock);
    if (last) {
        memset(s, 0xff, sizeof *s);
        free(s);
    }
    return 0;
}

TASK_TEST(the_last_user_may_destroy_it_right_after_anothers_unlock)
{
    for (int round = rounds_of(2000); round > 0; round--) {
        coir_group g;
        shared *s = calloc(1, sizeof *s);
        s->users = 3;
        s->yield = round % 2;
        coir_group_begin(&g, 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(coir_spawn(&g, use_and_leave, s), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
}

/* -- misuse ------------------------------------------------------------------------------------------------- */

static int unlock_free(void *arg)
{
    coir_mutex m = COIR_MUTEX_INIT;
    (void)arg;
    coir_set_name("clumsy");
    coir_mutex_unlock(&m);
    return 0;
}

static int unlock_others(void *arg)
{
    coir_set_name("thief");
    coir_mutex_unlock(arg);
    return 0;
}

static int let_others_unlock(void *arg)
{
    coir_group g;
    coir_mutex m = COIR_MUTEX_INIT;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_mutex_lock(&m), 0);
    coir_spawn(&g, unlock_others, &m);
    return coir_group_end(&g);
}

TEST(unlocking_what_is_free_aborts_and_names_the_task)
{
    CHECK_TASK_ABORTS(unlock_free, NULL, "in task 'clumsy'");
    CHECK_TASK_ABORTS(unlock_free, NULL, "coir_mutex_unlock: the caller does not hold mutex");
}

TEST(unlocking_what_another_holds_aborts_and_names_the_task)
{
    CHECK_TASK_ABORTS(let_others_unlock, NULL, "in task 'thief'");
}

TEST(unlocking_in_a_thread_what_is_free_aborts)
{
    CHECK_ABORTS(unlock_free, NULL, "in a plain thread");
}

TEST_MAIN("mutex")
