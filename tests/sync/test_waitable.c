/* SPDX-License-Identifier: MIT */
/* test_waitable.c - an object of one's own in a select: bell.h. */
#include "sync/bell.h"
#include "sync/between.h"
#include "sync/race.h"

typedef struct listener {
    bell *b;
    coir_event out; /* the other case */
    int rc, result, number;
    coir_task task;
} listener;

static int listen_or_leave(void *arg)
{
    listener *l = arg;
    coir_case cases[] = {COIR_SET(&l->out), COIR_WAITABLE(&l->b->waitable, &l->number)};
    cases[1].result = 12345;
    l->rc = coir_select(cases, 2);
    l->result = cases[1].result;
    return 0;
}

static void start_listening(listener *l, coir_group *g, bell *b)
{
    *l = (listener){.b = b};
    l->task = start_task(g, listen_or_leave, l);
    await_parked(l->task);
}

/* -- how it is used ----------------------------------------------------------------------------------------- */

TASK_TEST(a_ready_object_is_only_attempted)
{
    bell b = BELL_INIT;
    int number = 0;
    coir_case one[] = {COIR_WAITABLE(&b.waitable, &number)};
    bell_ring(&b, 0);
    bell_ring(&b, 0);
    CHECK_EQ(coir_select(one, 1), 0);
    CHECK_EQ(one[0].result, 0);
    CHECK_EQ(number, 1);
    CHECK_EQ(coir_select_try(one, 1), 0);
    CHECK_EQ(number, 2);
    CHECK_EQ(b.attempts, 2);
    CHECK_EQ(coir_select_try(one, 1), -EAGAIN);
    CHECK_EQ(b.enters, 0);
}

TASK_TEST(a_waiter_is_woken_with_a_result_and_gets_its_data)
{
    coir_group g;
    bell b = BELL_INIT;
    listener l;
    coir_group_begin(&g, 0);
    for (int result = -2; result < 3; result++) {
        start_listening(&l, &g, &b);
        bell_ring(&b, result);
        CHECK_EQ(join_result(l.task), 0);
        CHECK_EQ(l.rc, 1);
        CHECK_EQ(l.result, result);
        CHECK_EQ(l.number, result + 3);
        bell_check_left(&b);
    }
    CHECK_EQ(b.rings, 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(waiters_are_served_in_the_order_they_came)
{
    coir_group g;
    bell b = BELL_INIT;
    listener l[4];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        start_listening(&l[i], &g, &b);
    for (int i = 0; i < 4; i++) {
        bell_ring(&b, 0);
        CHECK_EQ(join_result(l[i].task), 0);
        CHECK_EQ(l[i].number, i + 1);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_loser_is_left_and_consumes_nothing)
{
    coir_group g;
    bell b = BELL_INIT;
    listener l;
    coir_group_begin(&g, 0);
    start_listening(&l, &g, &b);
    coir_event_set(&l.out);
    bell_ring(&b, 0); /* whether it has left or not: it has been claimed elsewhere */
    CHECK_EQ(join_result(l.task), 0);
    CHECK_EQ(l.rc, 0);
    CHECK_EQ(l.result, 12345);
    CHECK_EQ(b.rings, 1);
    CHECK_EQ(b.number, 0);
    bell_check_left(&b);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_waiter_is_claimed_once_and_does_not_leave_before_it_is_woken)
{
    coir_group g;
    bell b = BELL_INIT;
    listener l;
    coir_group_begin(&g, 0);
    start_listening(&l, &g, &b);
    coir_waiter *waiter = b.waiters[0];
    CHECK(coir_waiter_claim(waiter));
    CHECK(!coir_waiter_claim(waiter));
    coir_event_set(&l.out);
    CHECK_EQ(coir_cancel(l.task, "test"), 0);
    for (int i = 0; i < 100; i++)
        coir_yield();
    CHECK_EQ(b.leaves, 0);
    CHECK_EQ(coir_waiter_data(waiter), &l.number);
    coir_waiter_wake(waiter, 5);
    CHECK_EQ(join_result(l.task), 0);
    CHECK_EQ(l.rc, 1);
    CHECK_EQ(l.result, 5);
    bell_check_left(&b);
    CHECK_EQ(coir_group_end(&g), 0);
}

static bool fail_at_once(coir_waitable *object, void *data, int *ret_result)
{
    (void)object;
    *ret_result = *(int *)data;
    return true;
}

TASK_TEST(an_attempt_may_have_any_result)
{
    static const coir_waitable_ops ops = {.attempt = fail_at_once};
    coir_waitable w = {&ops};
    for (int result = -2; result < 3; result++) {
        coir_case one[] = {COIR_WAITABLE(&w, &result)};
        CHECK_EQ(coir_select(one, 1), 0);
        CHECK_EQ(one[0].result, result);
    }
}

TASK_TEST(it_may_stand_in_a_select_twice)
{
    coir_group g;
    bell b = BELL_INIT;
    int numbers[2] = {0, 0};
    coir_case cases[] = {COIR_WAITABLE(&b.waitable, &numbers[0]), COIR_WAITABLE(NULL, NULL),
                         COIR_WAITABLE(&b.waitable, &numbers[1]), COIR_AFTER(COIR_US(50))};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_select(cases, 4), 3);
    CHECK_EQ(b.enters, 2);
    bell_check_left(&b);
    bell_ring(&b, 0);
    int rc = coir_select(cases, 4);
    CHECK(rc == 0 || rc == 2);
    CHECK_EQ(numbers[rc / 2], 1);
    CHECK_EQ(numbers[1 - rc / 2], 0);
    CHECK_EQ(b.rings, 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- in the middle of a select ------------------------------------------------------------------------------ */

static void ring(void *b) { bell_ring(b, 0); }

TASK_TEST(what_happens_while_a_select_tries_another_case_is_neither_missed_nor_doubled)
{
    bell b = BELL_INIT;
    int number = 0;
    CHECK_EQ(select_meddled(COIR_WAITABLE(&b.waitable, &number), ring, NULL, &b), 0);
    CHECK_EQ(number, 1);
    CHECK_EQ(select_meddled(COIR_WAITABLE(&b.waitable, &number), NULL, ring, &b), 0);
    CHECK_EQ(number, 2);
    CHECK_EQ(b.rings, 0);
    CHECK_EQ(select_meddled(COIR_WAITABLE(&b.waitable, &number), ring, ring, &b), 0);
    CHECK_EQ(b.rings, 1);
    bell_check_left(&b);
}

/* Claims in the middle of the select; another thread wakes, later. */
typedef struct late {
    bell b;
    coir_waiter *waiter;
    test_thread t;
    _Atomic int woken;
} late;

static int wake_late(void *arg)
{
    late *l = arg;
    sched_yield();
    atomic_store(&l->woken, 1);
    coir_waiter_wake(l->waiter, -7);
    return 0;
}

static void claim_now_wake_later(void *arg)
{
    late *l = arg;
    l->waiter = l->b.waiters[0];
    CHECK(coir_waiter_claim(l->waiter));
    thread_start(&l->t, wake_late, l);
}

TASK_TEST(a_select_that_is_claimed_before_it_sleeps_waits_for_the_wake)
{
    late *l = calloc(1, sizeof *l);
    l->b = (bell)BELL_INIT;
    CHECK_EQ(select_meddled(COIR_WAITABLE(&l->b.waitable, NULL), NULL, claim_now_wake_later, l),
             -7);
    CHECK_EQ(l->woken, 1);
    bell_check_left(&l->b);
    CHECK_EQ(thread_finish(&l->t), 0);
    free(l);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_select_leaves_the_object)
{
    coir_group g;
    bell b = BELL_INIT;
    listener l;
    coir_group_begin(&g, 0);
    start_listening(&l, &g, &b);
    CHECK_EQ(coir_cancel(l.task, "test"), 0);
    CHECK_EQ(join_result(l.task), 0);
    CHECK_EQ(l.rc, -ECANCELED);
    CHECK_EQ(l.result, 12345);
    bell_check_left(&b);
    bell_ring(&b, 0);
    CHECK_EQ(b.rings, 1);
    CHECK_EQ(coir_group_end(&g), 0);
}

static bell swept = BELL_INIT;

static int call_select(race *r)
{
    coir_case cases[] = {COIR_RECV(r->c, NULL), COIR_WAITABLE(&swept.waitable, NULL)};
    int rc = coir_select(cases, 2);
    CHECK(rc == 1 || rc == -ECANCELED);
    return rc == 1 ? 0 : rc;
}

static void ring_it(race *r)
{
    (void)r;
    bell_ring(&swept, 0);
}

static void settle(race *r)
{
    int outcome;
    CHECK_EQ((r->rc == 0) + bell_attempt(&swept.waitable, NULL, &outcome), 1);
    bell_check_left(&swept);
}

TASK_TEST(a_cancelled_select_took_nothing)
{
    static const contest k = {NULL, call_select, ring_it, settle};
    sweep(&k, 0);
}

/* -- crowds ------------------------------------------------------------------------------------------------- */

typedef struct house {
    bell b[2];
    int rings, listeners;
    _Atomic int answered, users;
    _Atomic unsigned char *seen; /* by number, of both bells */
} house;

static int answer_bells(void *arg)
{
    house *h = arg;
    dice d = {(uint64_t)atomic_fetch_add(&h->users, 1)};
    while (atomic_load(&h->answered) < 2 * h->rings) {
        int number[2] = {-1, -1};
        coir_case cases[] = {COIR_WAITABLE(&h->b[0].waitable, &number[0]),
                             COIR_WAITABLE(&h->b[1].waitable, &number[1]),
                             COIR_AFTER(COIR_US(1 + dice_below(&d, 100)))};
        int rc = coir_select(cases, 3);
        CHECK_GE(rc, 0);
        CHECK_EQ(cases[rc].result, 0);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(number[i] > 0, i == rc);
        if (rc == 2)
            continue;
        CHECK_EQ(atomic_fetch_add(&h->seen[2 * (number[rc] - 1) + rc], 1), 0);
        atomic_fetch_add(&h->answered, 1);
    }
    return 0;
}

static int run_answer_bells(void *arg) { return coir_run(NULL, answer_bells, arg); }

static int ring_bells(void *arg)
{
    house *h = arg;
    dice d = {5};
    for (int i = 0; i < h->rings; i++) {
        bell_ring(&h->b[0], 0);
        if (dice_below(&d, 4) == 0)
            coir_yield();
        bell_ring(&h->b[1], 0);
    }
    return 0;
}

static void run_house(int tasks, coir_fn *elsewhere, bool ring_in_thread, int rings)
{
    coir_group g;
    test_thread t[3];
    int threads = 0;
    house h = {.b = {BELL_INIT, BELL_INIT}, .rings = rings};
    CHECK((h.seen = calloc(2 * (size_t)rings, sizeof *h.seen)) != NULL);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2 && elsewhere; i++)
        thread_start(&t[threads++], elsewhere, &h);
    for (int i = 0; i < tasks; i++)
        CHECK_EQ(coir_spawn(&g, answer_bells, &h), 0);
    if (ring_in_thread)
        thread_start(&t[threads++], ring_bells, &h);
    else
        CHECK_EQ(coir_spawn(&g, ring_bells, &h), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    while (threads > 0)
        CHECK_EQ(thread_finish(&t[--threads]), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(h.b[i].rings, 0);
        CHECK_EQ(h.b[i].number, rings);
        bell_check_left(&h.b[i]);
    }
    for (int i = 0; i < 2 * rings; i++)
        CHECK_EQ(h.seen[i], 1);
    free((void *)h.seen);
}

TASK_TEST(every_ring_is_answered_once_by_tasks) { run_house(6, NULL, false, rounds_of(10000)); }

TASK_TEST(every_ring_is_answered_once_by_tasks_and_threads)
{
    run_house(3, answer_bells, true, rounds_of(3000));
}

TASK_TEST(every_ring_is_answered_once_by_runtimes)
{
    run_house(3, run_answer_bells, true, rounds_of(3000));
}

TEST_MAIN("waitable")
