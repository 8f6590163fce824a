/* SPDX-License-Identifier: MIT */
/* test_futex.c - waiting for a word; and a lock built upon it. */
#include "sync/claimed.h"
#include "sync/race.h"

typedef _Atomic uint32_t word;

static const uint32_t *plain(word *w) { return (const uint32_t *)(void *)w; }

static int wait_zero(void *arg) { return coir_futex_wait(arg, 0); }

static coir_task start_waiting(coir_group *g, word *w)
{
    coir_task t = start_task(g, wait_zero, (void *)w);
    await_parked(t);
    return t;
}

/* -- results ------------------------------------------------------------------------------------------------ */

TASK_TEST(another_value_is_not_waited_on)
{
    word w = 5;
    CHECK_EQ(coir_futex_wait(plain(&w), 4), -EAGAIN);
    CHECK_EQ(coir_futex_wake(plain(&w), 1), 0);
}

TASK_TEST(addresses_that_hold_no_word_are_invalid)
{
    uint32_t words[2] = {0, 0};
    const uint32_t *odd = (const uint32_t *)(const void *)((const char *)words + 2);
    CHECK_EQ(coir_futex_wait(NULL, 0), -EINVAL);
    CHECK_EQ(coir_futex_wake(NULL, 1), -EINVAL);
    CHECK_EQ(coir_futex_wait(odd, 0), -EINVAL);
    CHECK_EQ(coir_futex_wake(odd, 1), -EINVAL);
    CHECK_EQ(coir_futex_wake(words, 0), -EINVAL);
    CHECK_EQ(coir_futex_wake(words, -1), -EINVAL);
}

TASK_TEST(wake_wakes_as_many_as_told_the_longest_waiting_first)
{
    coir_group g;
    word w = 0;
    coir_task t[5];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 5; i++)
        t[i] = start_waiting(&g, &w);
    CHECK_EQ(coir_futex_wake(plain(&w), 1), 1);
    CHECK_EQ(join_result(t[0]), 0);
    CHECK_EQ(coir_futex_wake(plain(&w), 2), 2);
    CHECK_EQ(join_result(t[1]), 0);
    CHECK_EQ(join_result(t[2]), 0);
    CHECK(is_parked(t[3]));
    CHECK_EQ(coir_futex_wake(plain(&w), INT32_MAX), 2);
    CHECK_EQ(join_result(t[3]), 0);
    CHECK_EQ(join_result(t[4]), 0);
    CHECK_EQ(coir_futex_wake(plain(&w), 1), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* So many addresses that most share a place in the table. */
TASK_TEST(those_who_wait_at_other_addresses_are_left_alone)
{
    enum { MANY = 1000 };
    coir_group g;
    static word w[MANY];
    static coir_task t[MANY];
    coir_group_begin(&g, 0);
    for (int i = 0; i < MANY; i++)
        t[i] = start_task(&g, wait_zero, (void *)&w[i]);
    for (int i = 0; i < MANY; i++)
        await_parked(t[i]);
    for (int k = 0; k < MANY; k++) {
        int i = (k * 7) % MANY;
        CHECK_EQ(coir_futex_wake(plain(&w[i]), INT32_MAX), 1);
        CHECK_EQ(join_result(t[i]), 0);
        CHECK_EQ(coir_futex_wake(plain(&w[i]), 1), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_task_is_refused_whatever_the_value)
{
    coir_scope s;
    word w = 1;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_futex_wait(plain(&w), 1), -ECANCELED);
    CHECK_EQ(coir_futex_wait(plain(&w), 2), -ECANCELED);
    CHECK_EQ(coir_futex_wake(plain(&w), 2), 0);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

TASK_TEST(a_cancelled_waiter_uses_no_wake)
{
    coir_group g;
    word w = 0;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task a = start_waiting(&g, &w), b = start_waiting(&g, &w);
    CHECK_EQ(coir_cancel(a, "test"), 0);
    CHECK_EQ(coir_futex_wake(plain(&w), 1), 1);
    CHECK_EQ(join_result(b), 0);
    CHECK_EQ(join_result(a), -ECANCELED);
    CHECK_EQ(coir_futex_wake(plain(&w), 1), 0);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

TASK_TEST(a_waiter_that_is_being_cancelled_is_passed_by)
{
    coir_group g;
    word w = 0;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task a = start_waiting(&g, &w), b = start_waiting(&g, &w);
    cancel_begin(a);
    CHECK_EQ(coir_futex_wake(plain(&w), 2), 1);
    CHECK_EQ(join_result(b), 0);
    CHECK_EQ(coir_futex_wake(plain(&w), 1), 0);
    cancel_end(a);
    CHECK_EQ(join_result(a), -ECANCELED);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

static int wait_in_time(void *arg)
{
    coir_scope s;
    coir_scope_begin(&s, TEST_TICK);
    return coir_scope_end(&s, coir_futex_wait(arg, 0));
}

static int wait_times_out(void *arg)
{
    coir_group g;
    word w = 0;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, wait_in_time, (void *)&w);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    CHECK_EQ(coir_futex_wake(plain(&w), 1), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_wait_for_a_word_obeys_deadlines) { CHECK_EQ(run_on_test_clock(wait_times_out, NULL), 0); }

static word swept;
static int swept_woken;

static void renew(race *r)
{
    (void)r;
    atomic_store(&swept, 0);
}

/* -EAGAIN is as good as a wake, but does not use one up. */
static int call_wait(race *r)
{
    r->result = coir_futex_wait(plain(&swept), 0);
    return r->result == -EAGAIN ? 0 : r->result;
}

static void wake(race *r)
{
    (void)r;
    atomic_store(&swept, 1);
    swept_woken = coir_futex_wake(plain(&swept), 1);
}

static void settle(race *r) { CHECK_EQ(swept_woken, r->result == 0); }

TASK_TEST(a_wake_counts_those_whose_wait_it_ended_and_no_others)
{
    static const contest k = {renew, call_wait, wake, settle};
    sweep(&k, 0);
}

/* -- a lock built upon it ----------------------------------------------------------------------------------- */

/* 0 free, 1 held, 2 held and somebody may wait. */
static void lock(word *w)
{
    uint32_t seen = 0;
    if (atomic_compare_exchange_strong(w, &seen, 1))
        return;
    while (atomic_exchange(w, 2) != 0) {
        int rc = coir_futex_wait(plain(w), 2);
        CHECK(rc == 0 || rc == -EAGAIN || rc == -ECANCELED);
    }
}

static void unlock(word *w)
{
    if (atomic_exchange(w, 0) == 2)
        coir_futex_wake(plain(w), 1);
}

typedef struct counter {
    word lock;
    int rounds;
    long value; /* guarded by lock */
    _Atomic int users;
    bool disturbed;
} counter;

static int count_up(void *arg)
{
    counter *c = arg;
    dice d = {(uint64_t)atomic_fetch_add(&c->users, 1)};
    for (int i = 0; i < c->rounds; i++) {
        coir_scope s;
        bool hurried = c->disturbed && dice_below(&d, 8) == 0;
        coir_scope_begin(&s, hurried ? COIR_US(dice_below(&d, 30)) : COIR_FOREVER);
        lock(&c->lock);
        long value = c->value;
        if (i % 16 == 0)
            coir_yield();
        c->value = value + 1;
        unlock(&c->lock);
        coir_scope_end(&s, 0);
    }
    return 0;
}

static int run_count_up(void *arg) { return coir_run(NULL, count_up, arg); }

static void count_together(int tasks, coir_fn *elsewhere, int rounds, bool disturbed)
{
    coir_group g;
    test_thread t[2];
    counter c = {.rounds = rounds, .disturbed = disturbed};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2 && elsewhere; i++)
        thread_start(&t[i], elsewhere, &c);
    for (int i = 0; i < tasks; i++)
        CHECK_EQ(coir_spawn(&g, count_up, &c), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 2 && elsewhere; i++)
        CHECK_EQ(thread_finish(&t[i]), 0);
    CHECK_EQ(c.value, (long)(tasks + (elsewhere ? 2 : 0)) * rounds);
}

TASK_TEST(a_lock_built_upon_it_excludes_tasks) { count_together(8, NULL, rounds_of(3000), false); }

TASK_TEST(a_lock_built_upon_it_excludes_tasks_and_threads)
{
    count_together(4, count_up, rounds_of(2000), false);
}

TASK_TEST(a_lock_built_upon_it_excludes_runtimes)
{
    count_together(4, run_count_up, rounds_of(2000), false);
}

/* A cancelled waiter that finds the lock taken spins: few rounds. */
TASK_TEST(no_wake_is_lost_while_waits_time_out) { count_together(4, NULL, rounds_of(300), true); }

TEST(threads_need_no_runtime)
{
    test_thread t;
    counter c = {.rounds = rounds_of(3000)};
    thread_start(&t, count_up, &c);
    count_up(&c);
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(c.value, 2L * c.rounds);
}

TEST_MAIN("futex")
