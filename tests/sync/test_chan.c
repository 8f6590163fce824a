/* SPDX-License-Identifier: MIT */
/* test_chan.c - channels, one rule at a time. Batches, element sizes and threads: test_chan_more.c. */
#include "sync/wait_tools.h"

#include <string.h>

/* -- helpers ------------------------------------------------------------------------------------------------ */

static coir_chan *new_chan(size_t capacity)
{
    coir_chan *c = coir_chan_new(sizeof(int), capacity);
    CHECK(c != NULL);
    return c;
}

typedef struct party {
    coir_chan *c;
    int value;
    int rc;
    _Atomic int ended;
    coir_task task;
} party;

static int send_one(void *arg)
{
    party *p = arg;
    p->rc = coir_chan_send(p->c, &p->value);
    atomic_store(&p->ended, 1);
    return 0;
}

static int recv_one(void *arg)
{
    party *p = arg;
    p->rc = coir_chan_recv(p->c, &p->value);
    atomic_store(&p->ended, 1);
    return 0;
}

/* A party that waits on `c`. */
static void start_waiting(party *p, coir_group *g, coir_fn *fn, coir_chan *c, int value)
{
    *p = (party){.c = c, .value = value, .rc = 1};
    p->task = start_task(g, fn, p);
    await_parked(p->task);
}

/* -- rendezvous --------------------------------------------------------------------------------------------- */

TASK_TEST(rendezvous_send_waits_until_a_receiver_takes_the_element)
{
    coir_group g;
    party p;
    int got = 0;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    start_waiting(&p, &g, send_one, c, 42);
    CHECK_EQ(atomic_load(&p.ended), 0);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(got, 42);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(p.rc, 0);
    coir_chan_free(c);
}

TASK_TEST(rendezvous_receive_waits_until_a_sender_comes)
{
    coir_group g;
    party p;
    int value = 7;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    start_waiting(&p, &g, recv_one, c, -1);
    CHECK_EQ(p.value, -1);
    CHECK_EQ(coir_chan_send(c, &value), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(p.rc, 0);
    CHECK_EQ(p.value, 7);
    coir_chan_free(c);
}

TASK_TEST(an_element_is_a_copy)
{
    coir_chan *c = new_chan(1);
    int value = 1, got = 0;
    CHECK_EQ(coir_chan_send(c, &value), 0);
    value = 2;
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(got, 1);
    coir_chan_free(c);
}

/* -- try ---------------------------------------------------------------------------------------------------- */

TASK_TEST(try_on_a_rendezvous_nobody_waits_at_would_wait)
{
    coir_chan *c = new_chan(0);
    int value = 5;
    CHECK_EQ(coir_chan_try_send(c, &value), -EAGAIN);
    CHECK_EQ(coir_chan_try_recv(c, &value), -EAGAIN);
    CHECK_EQ(value, 5);
    coir_chan_free(c);
}

TASK_TEST(try_send_meets_a_waiting_receiver)
{
    coir_group g;
    party p;
    int value = 9;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    start_waiting(&p, &g, recv_one, c, 0);
    CHECK_EQ(coir_chan_try_send(c, &value), 0);
    CHECK_EQ(coir_chan_try_send(c, &value), -EAGAIN);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(p.value, 9);
    coir_chan_free(c);
}

TASK_TEST(try_recv_meets_a_waiting_sender)
{
    coir_group g;
    party p;
    int got = 0;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    start_waiting(&p, &g, send_one, c, 11);
    CHECK_EQ(coir_chan_try_recv(c, &got), 0);
    CHECK_EQ(got, 11);
    CHECK_EQ(coir_chan_try_recv(c, &got), -EAGAIN);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(c);
}

/* -- buffers ------------------------------------------------------------------------------------------------ */

TASK_TEST(a_buffer_takes_its_capacity_without_a_receiver)
{
    coir_chan *c = new_chan(3);
    CHECK_EQ(coir_chan_cap(c), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_chan_len(c), i);
        CHECK_EQ(coir_chan_send(c, &i), 0);
    }
    int more = 3;
    CHECK_EQ(coir_chan_try_send(c, &more), -EAGAIN);
    CHECK_EQ(coir_chan_len(c), 3);
    for (int i = 0, got; i < 3; i++) {
        CHECK_EQ(coir_chan_recv(c, &got), 0);
        CHECK_EQ(got, i);
    }
    CHECK_EQ(coir_chan_try_recv(c, &more), -EAGAIN);
    CHECK_EQ(coir_chan_len(c), 0);
    coir_chan_free(c);
}

TASK_TEST(a_rendezvous_has_no_length_even_while_a_sender_waits)
{
    coir_group g;
    party p;
    int got;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    start_waiting(&p, &g, send_one, c, 1);
    CHECK_EQ(coir_chan_len(c), 0);
    CHECK_EQ(coir_chan_cap(c), 0);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(c);
}

TASK_TEST(a_receive_from_a_full_buffer_lets_the_first_waiting_sender_in)
{
    coir_group g;
    party p[2];
    int got = 0;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(1);
    CHECK_EQ(coir_chan_send(c, &got), 0);
    start_waiting(&p[0], &g, send_one, c, 1);
    start_waiting(&p[1], &g, send_one, c, 2);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(got, 0);
    await_value(&p[0].ended, 1);
    CHECK_EQ(coir_chan_len(c), 1);
    CHECK(is_parked(p[1].task));
    for (int i = 1; i <= 2; i++) {
        CHECK_EQ(coir_chan_recv(c, &got), 0);
        CHECK_EQ(got, i);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(c);
}

static int send_hundred(void *arg)
{
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_chan_send(arg, &i), 0);
    return 0;
}

TASK_TEST(elements_arrive_in_the_order_sent_whatever_the_capacity)
{
    for (size_t capacity = 0; capacity < 8; capacity++) {
        coir_group g;
        coir_group_begin(&g, 0);
        coir_chan *c = new_chan(capacity);
        CHECK_EQ(coir_spawn(&g, send_hundred, c), 0);
        for (int i = 0, got; i < 100; i++) {
            CHECK_EQ(coir_chan_recv(c, &got), 0);
            CHECK_EQ(got, i);
        }
        CHECK_EQ(coir_group_end(&g), 0);
        coir_chan_free(c);
    }
}

TASK_TEST(waiting_senders_are_served_in_the_order_they_came)
{
    coir_group g;
    party p[5];
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    for (int i = 0; i < 5; i++)
        start_waiting(&p[i], &g, send_one, c, i);
    for (int i = 0, got; i < 5; i++) {
        CHECK_EQ(coir_chan_recv(c, &got), 0);
        CHECK_EQ(got, i);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(c);
}

TASK_TEST(waiting_receivers_are_served_in_the_order_they_came)
{
    coir_group g;
    party p[5];
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(2);
    for (int i = 0; i < 5; i++)
        start_waiting(&p[i], &g, recv_one, c, -1);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(coir_chan_send(c, &i), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(p[i].value, i);
    coir_chan_free(c);
}

/* -- close -------------------------------------------------------------------------------------------------- */

TASK_TEST(close_wakes_pending_senders_and_their_elements_stay_theirs)
{
    coir_group g;
    party p[3];
    int got = 99;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    for (int i = 0; i < 3; i++)
        start_waiting(&p[i], &g, send_one, c, i);
    coir_chan_close(c);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(p[i].rc, -EPIPE);
    CHECK_EQ(coir_chan_recv(c, &got), -EPIPE);
    CHECK_EQ(got, 99);
    coir_chan_free(c);
}

TASK_TEST(close_wakes_pending_receivers)
{
    coir_group g;
    party p[3];
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(2);
    for (int i = 0; i < 3; i++)
        start_waiting(&p[i], &g, recv_one, c, 77);
    coir_chan_close(c);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(p[i].rc, -EPIPE);
        CHECK_EQ(p[i].value, 77);
    }
    coir_chan_free(c);
}

TASK_TEST(receivers_drain_a_closed_channel_before_they_see_its_end)
{
    coir_chan *c = new_chan(3);
    int got;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_chan_send(c, &i), 0);
    coir_chan_close(c);
    CHECK_EQ(coir_chan_len(c), 3);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(got, 0);
    CHECK_EQ(coir_chan_try_recv(c, &got), 0);
    CHECK_EQ(got, 1);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(got, 2);
    CHECK_EQ(coir_chan_recv(c, &got), -EPIPE);
    CHECK_EQ(coir_chan_try_recv(c, &got), -EPIPE);
    CHECK_EQ(got, 2);
    coir_chan_free(c);
}

TASK_TEST(a_sender_waiting_at_a_full_buffer_fails_at_close_and_the_buffer_stays)
{
    coir_group g;
    party p;
    int got = 0;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(1);
    CHECK_EQ(coir_chan_send(c, &got), 0);
    start_waiting(&p, &g, send_one, c, 1);
    coir_chan_close(c);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(p.rc, -EPIPE);
    CHECK_EQ(coir_chan_len(c), 1);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(coir_chan_recv(c, &got), -EPIPE);
    coir_chan_free(c);
}

TASK_TEST(sends_to_a_closed_channel_fail_even_if_there_is_room)
{
    coir_chan *c = new_chan(4);
    int value = 0;
    coir_chan_close(c);
    coir_chan_close(c);
    CHECK_EQ(coir_chan_send(c, &value), -EPIPE);
    CHECK_EQ(coir_chan_try_send(c, &value), -EPIPE);
    CHECK_EQ(coir_chan_send_n(c, &value, 1), -EPIPE);
    CHECK_EQ(coir_chan_recv_n(c, &value, 1), -EPIPE);
    CHECK_EQ(coir_chan_len(c), 0);
    coir_chan_free(c);
}

/* -- cancel ------------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_sender_leaves_nothing_behind)
{
    coir_group g;
    party p;
    int got = 1;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    start_waiting(&p, &g, send_one, c, 5);
    CHECK_EQ(coir_cancel(p.task, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(p.rc, -ECANCELED);
    CHECK_EQ(coir_chan_try_recv(c, &got), -EAGAIN);
    CHECK_EQ(got, 1);
    coir_chan_free(c);
}

TASK_TEST(a_cancelled_receiver_leaves_nothing_behind)
{
    coir_group g;
    party p;
    int value = 1;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    start_waiting(&p, &g, recv_one, c, 5);
    CHECK_EQ(coir_cancel(p.task, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(p.rc, -ECANCELED);
    CHECK_EQ(p.value, 5);
    CHECK_EQ(coir_chan_try_send(c, &value), -EAGAIN);
    coir_chan_free(c);
}

TASK_TEST(a_cancelled_waiter_in_the_middle_of_the_line_is_skipped)
{
    coir_group g;
    party p[3];
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    for (int i = 0; i < 3; i++)
        start_waiting(&p[i], &g, send_one, c, i);
    CHECK_EQ(coir_cancel(p[1].task, "test"), 0);
    for (int i = 0, got; i < 3; i += 2) {
        CHECK_EQ(coir_chan_recv(c, &got), 0);
        CHECK_EQ(got, i);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(p[1].rc, -ECANCELED);
    coir_chan_free(c);
}

/* -- free --------------------------------------------------------------------------------------------------- */

static int dropped[8];
static int dropped_count;

static void note_drop(void *elem) { dropped[dropped_count++] = *(int *)elem; }

TASK_TEST(what_is_still_buffered_at_free_is_dropped_in_order)
{
    coir_chan *c = new_chan(4);
    int got;
    coir_chan_on_drop(c, note_drop);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_chan_send(c, &i), 0);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    int last = 4;
    CHECK_EQ(coir_chan_send(c, &last), 0); /* wraps */
    CHECK_EQ(dropped_count, 0);
    coir_chan_close(c);
    coir_chan_free(c);
    CHECK_EQ(dropped_count, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(dropped[i], i + 2);
}

TASK_TEST(an_empty_channel_drops_nothing)
{
    coir_chan *c = new_chan(1);
    coir_chan_on_drop(c, note_drop);
    coir_chan_free(c);
    CHECK_EQ(dropped_count, 0);
}

TEST(free_ignores_null) { coir_chan_free(NULL); }

static int free_with_waiter(void *arg)
{
    party p;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    coir_chan *c = new_chan(0);
    coir_set_name("careless");
    start_waiting(&p, &g, recv_one, c, 0);
    coir_chan_free(c);
    return 0;
}

TEST(freeing_a_channel_with_waiters_aborts_and_names_the_task)
{
    CHECK_TASK_ABORTS(free_with_waiter, NULL, "in task 'careless'");
    CHECK_TASK_ABORTS(free_with_waiter, NULL, "coir_chan_free: somebody waits");
}

TEST_MAIN("chan")
