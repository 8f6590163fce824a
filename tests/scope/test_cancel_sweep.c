/* SPDX-License-Identifier: MIT */
/* test_cancel_sweep.c - every call that waits, in a race of its completion with a cancellation: race.h says how. */
#include "sync/race.h"

/* -- channels ----------------------------------------------------------------------------------------------- */

static void forget(race *r)
{
    r->got = -1;
    atomic_store(&r->moved, 0);
}

static int call_recv(race *r) { return coir_chan_recv(r->c, &r->got); }

/* Offers an item until it is taken or nobody is there to take it. */
static void offer(race *r)
{
    int rc;
    while ((rc = coir_chan_try_send(r->c, &(int){7})) == -EAGAIN && !call_has_returned(r))
        coir_yield();
    atomic_store(&r->moved, rc == 0);
}

static void settle_recv(race *r)
{
    int left = -1, rc = coir_chan_try_recv(r->c, &left);
    CHECK_EQ(r->got, r->rc == 0 ? 7 : -1);
    CHECK_EQ((r->rc == 0) + (rc == 0),
             r->moved); /* it is with the victim, or still in the buffer, or never left */
}

TASK_TEST(a_cancelled_receive_took_nothing)
{
    static const contest k = {forget, call_recv, offer, settle_recv};
    sweep(&k, 0);
}

TASK_TEST(a_cancelled_receive_from_a_buffer_took_nothing)
{
    static const contest k = {forget, call_recv, offer, settle_recv};
    sweep(&k, 1);
}

static int call_send(race *r) { return coir_chan_send(r->c, &(int){9}); }

static void take(race *r)
{
    int rc;
    while ((rc = coir_chan_try_recv(r->c, &r->got)) == -EAGAIN && !call_has_returned(r))
        coir_yield();
    atomic_store(&r->moved, rc == 0);
}

static void settle_send(race *r)
{
    int left = -1, rc = coir_chan_try_recv(r->c, &left);
    CHECK_EQ(r->got, r->moved ? 9 : -1);
    CHECK_EQ(r->rc == 0, r->moved + (rc == 0));
}

TASK_TEST(a_cancelled_send_gave_nothing)
{
    static const contest k = {forget, call_send, take, settle_send};
    sweep(&k, 0);
}

/* The buffer is full, with a 5, before the victim comes. */
static void fill(race *r)
{
    forget(r);
    CHECK_EQ(coir_chan_try_send(r->c, &(int){5}), 0);
}

static void settle_full(race *r)
{
    int left = -1, rc = coir_chan_try_recv(r->c, &left);
    CHECK_EQ(r->got, r->moved ? 5 : -1);
    CHECK_EQ(1 + (r->rc == 0), r->moved + (rc == 0)); /* what went in came out or is there */
    if (rc == 0)
        CHECK_EQ(left, r->moved ? 9 : 5);
}

TASK_TEST(a_cancelled_send_to_a_full_buffer_gave_nothing)
{
    static const contest k = {fill, call_send, take, settle_full};
    sweep(&k, 1);
}

static int call_recv_n(race *r)
{
    ssize_t n = coir_chan_recv_n(r->c, r->elems, 4);
    r->got = n > 0 ? (int)n : 0;
    return n > 0 ? 0 : (int)n;
}

static void offer_three(race *r)
{
    for (int i = 0; i < 3; i++)
        atomic_fetch_add(&r->moved, coir_chan_try_send(r->c, &i) == 0);
}

static void settle_recv_n(race *r)
{
    int left, sum = r->got;
    while (coir_chan_try_recv(r->c, &left) == 0)
        sum++;
    CHECK_EQ(sum, r->moved);
    for (int i = 1; i < r->got; i++)
        CHECK_GT(r->elems[i], r->elems[i - 1]);
}

TASK_TEST(a_cancelled_batch_receive_took_nothing)
{
    static const contest k = {forget, call_recv_n, offer_three, settle_recv_n};
    sweep(&k, 3);
}

static int call_send_n(race *r)
{
    int elems[4] = {1, 2, 3, 4};
    ssize_t n = coir_chan_send_n(r->c, elems, 4);
    r->result = n > 0 ? (int)n : 0;
    return n > 0 ? 0 : (int)n;
}

static void take_three(race *r)
{
    int got;
    for (int i = 0; i < 3; i++)
        atomic_fetch_add(&r->moved, coir_chan_try_recv(r->c, &got) == 0);
}

static void settle_send_n(race *r)
{
    int left, sum = r->moved;
    while (coir_chan_try_recv(r->c, &left) == 0)
        sum++;
    CHECK_EQ(sum, r->result + 1);
}

TASK_TEST(a_cancelled_batch_send_gave_nothing)
{
    static const contest k = {fill, call_send_n, take_three, settle_send_n};
    sweep(&k, 1);
}

static void close_it(race *r) { coir_chan_close(r->c); }

static void renew(race *r)
{
    coir_chan_free(r->c);
    CHECK((r->c = coir_chan_new(sizeof(int), 0)) != NULL);
    forget(r);
}

static int call_recv_closed(race *r)
{
    int rc = coir_chan_recv(r->c, &r->got);
    return rc == -EPIPE ? 0 : rc;
}

static void settle_close(race *r)
{
    CHECK_EQ(r->got, -1);
    CHECK_EQ(coir_chan_recv(r->c, &r->got), -EPIPE);
}

TASK_TEST(close_or_cancellation_ends_a_receive)
{
    static const contest k = {renew, call_recv_closed, close_it, settle_close};
    sweep(&k, 0);
}

/* -- events, mutexes, once, sleep --------------------------------------------------------------------------- */

static void reset(race *r) { coir_event_reset(&r->e); }
static int call_event(race *r) { return coir_event_wait(&r->e); }
static void set(race *r) { coir_event_set(&r->e); }
static void settle_event(race *r) { CHECK_EQ(coir_event_wait(&r->e), 0); }

TASK_TEST(an_event_or_cancellation_ends_a_wait)
{
    static const contest k = {reset, call_event, set, settle_event};
    sweep(&k, 0);
}

static int lock_and_unlock(void *arg)
{
    race *r = arg;
    CHECK_EQ(coir_mutex_lock(&r->m), 0);
    atomic_fetch_add(&r->runs, 1);
    coir_mutex_unlock(&r->m);
    return 0;
}

/* Somebody else waits behind the victim and is not cancelled: it must get the mutex in any case. */
static void begin_mutex(race *r)
{
    atomic_store(&r->ready, 0);
    atomic_store(&r->runs, 0);
}

static int call_lock(race *r)
{
    await_value(&r->ready, 1);
    int rc = coir_mutex_lock(&r->m);
    if (rc == 0)
        coir_mutex_unlock(&r->m);
    return rc;
}

static void hold_and_release(race *r)
{
    CHECK_EQ(coir_mutex_lock(&r->m), 0);
    atomic_store(&r->ready, 1);
    dawdle(&r->completer);
    CHECK_EQ(coir_spawn(r->g, lock_and_unlock, r), 0);
    dawdle(&r->completer);
    coir_mutex_unlock(&r->m);
}

static void settle_mutex(race *r)
{
    CHECK_EQ(coir_group_wait(r->g), 0);
    CHECK_EQ(r->runs, 1);
    CHECK_EQ(coir_mutex_try_lock(&r->m), 0);
    coir_mutex_unlock(&r->m);
}

TASK_TEST(a_cancelled_lock_holds_nothing_and_passes_its_wake_on)
{
    static const contest k = {begin_mutex, call_lock, hold_and_release, settle_mutex};
    sweep(&k, 0);
}

static void begin_once(race *r)
{
    r->once = (coir_once)COIR_ONCE_INIT;
    begin_mutex(r);
}

static int run_slowly(void *arg)
{
    race *r = arg;
    atomic_fetch_add(&r->runs, 1);
    atomic_store(&r->ready, 1);
    dawdle(&r->completer);
    return 0;
}

static int call_once(race *r)
{
    await_value(&r->ready, 1);
    return coir_once_run(&r->once, run_slowly, r);
}

static void run_once(race *r) { CHECK_EQ(coir_once_run(&r->once, run_slowly, r), 0); }

static void settle_once(race *r)
{
    CHECK_EQ(coir_once_run(&r->once, run_slowly, r), 0);
    CHECK_EQ(r->runs, 1);
}

TASK_TEST(a_cancelled_once_leaves_the_first_to_its_work)
{
    static const contest k = {begin_once, call_once, run_once, settle_once};
    sweep(&k, 0);
}

static int call_sleep(race *r)
{
    int64_t begin = coir_now(), time = COIR_US(dice_below(&r->victim, 40));
    int rc = coir_sleep(time);
    if (rc == 0)
        CHECK_GE(coir_now() - begin, time);
    return rc;
}

static void nothing(race *r) { (void)r; }

TASK_TEST(a_timer_or_cancellation_ends_a_sleep)
{
    static const contest k = {NULL, call_sleep, nothing, NULL};
    sweep(&k, 0);
}

/* -- joins -------------------------------------------------------------------------------------------------- */

static int wait_then_four(void *arg) { return coir_event_wait(arg) == 0 ? 4 : -EIO; }

static void begin_target(race *r)
{
    coir_event_reset(&r->e);
    r->result = -1;
    r->target = start_task(r->g, wait_then_four, &r->e);
}

static int call_join(race *r) { return coir_join(r->target, &r->result); }

/* The result was taken by the victim, or is there for the next. */
static void settle_join(race *r)
{
    int result = -1;
    CHECK_EQ(coir_join(r->target, &result), r->rc == 0 ? -ESRCH : 0);
    CHECK_EQ(r->result, r->rc == 0 ? 4 : -1);
    CHECK_EQ(result, r->rc == 0 ? -1 : 4);
}

TASK_TEST(a_cancelled_join_leaves_the_result)
{
    static const contest k = {begin_target, call_join, set, settle_join};
    sweep(&k, 0);
}

/* -- select ------------------------------------------------------------------------------------------------- */

static void begin_select(race *r)
{
    forget(r);
    begin_target(r);
    r->choice = -1;
}

static int call_select(race *r)
{
    coir_case cases[] = {COIR_RECV(r->c, &r->got), COIR_SEND(r->other, &(int){9}),
                         COIR_JOINED(r->target), COIR_AFTER(COIR_S(1000)),
                         COIR_SEND(r->c, &(int){6})};
    int i = coir_select(cases, 5);
    if (i < 0)
        return i;
    CHECK_EQ(cases[i].result, i == 2 ? 4 : 0);
    r->choice = i;
    return 0;
}

static void complete_select(race *r)
{
    int got = 0;
    while (!call_has_returned(r) && !r->moved) {
        switch (dice_below(&r->completer, 4)) {
        case 0:
            atomic_store(&r->moved, coir_chan_try_send(r->c, &(int){7}) == 0 ? 1 : 0);
            break;
        case 1:
            atomic_store(&r->moved, coir_chan_try_recv(r->other, &got) == 0 ? 2 : 0);
            CHECK_EQ(got, r->moved ? 9 : 0);
            break;
        case 2:
            atomic_store(&r->moved, coir_chan_try_recv(r->c, &got) == 0 ? 5 : 0);
            CHECK_EQ(got, r->moved ? 6 : 0);
            break;
        default:
            if (dice_below(&r->completer, 8) == 0) {
                coir_event_set(&r->e);
                return;
            }
        }
        coir_yield();
    }
}

/* Exactly what the completer did is what the victim saw. */
static void settle_select(race *r)
{
    int result = -1;
    coir_event_set(&r->e);
    CHECK_EQ(coir_join(r->target, &result), r->choice == 2 ? -ESRCH : 0);
    CHECK_EQ(r->choice >= 0, r->rc == 0);
    CHECK_EQ(r->moved, r->choice == 2 ? 0 : r->choice + 1);
    CHECK_EQ(r->got, r->choice == 0 ? 7 : -1);
    CHECK_EQ(coir_chan_try_send(r->c, &(int){1}), -EAGAIN);
    CHECK_EQ(coir_chan_try_recv(r->c, &r->got), -EAGAIN);
    CHECK_EQ(coir_chan_try_recv(r->other, &r->got), -EAGAIN);
}

TASK_TEST(a_cancelled_select_did_nothing)
{
    static const contest k = {begin_select, call_select, complete_select, settle_select};
    sweep(&k, 0);
}

/* -- whole tasks -------------------------------------------------------------------------------------------- */

typedef struct pair {
    coir_chan *c;
    coir_group *g;
    int sent, received;
} pair;

static int pair_send(void *arg)
{
    pair *p = arg;
    p->sent = coir_chan_send(p->c, &(int){3});
    return 0;
}

static int pair_recv(void *arg)
{
    pair *p = arg;
    int got = 0;
    p->received = coir_chan_recv(p->c, &got);
    CHECK_EQ(got, p->received == 0 ? 3 : 0);
    return 0;
}

/* Both sides of a rendezvous are cancelled, each at its moment: they met or they did not, and agree. */
TASK_TEST(both_sides_of_a_rendezvous_agree)
{
    dice d = {3};
    coir_chan *c = coir_chan_new(sizeof(int), 0);
    for (int round = rounds_of(5000); round > 0; round--) {
        coir_group g;
        pair p = {.c = c};
        coir_task t[2];
        coir_group_begin(&g, 0);
        t[0] = start_task(&g, pair_send, &p);
        dawdle(&d);
        t[1] = start_task(&g, pair_recv, &p);
        for (uint32_t i = dice_below(&d, 3); i > 0; i--)
            dawdle(&d);
        uint32_t first = dice_below(&d, 2);
        coir_cancel(t[first], "sweep");
        dawdle(&d);
        coir_cancel(t[1 - first], "sweep");
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(p.sent, p.received);
        CHECK(p.sent == 0 || p.sent == -ECANCELED);
    }
    coir_chan_free(c);
}

TEST_MAIN("cancel_sweep")
