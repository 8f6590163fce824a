/* SPDX-License-Identifier: MIT */
/*
 * test_select_between.c - what happens to an object while a select that waits for it tries another case: it must not be missed, not
 * come in the wrong order, and not come twice. between.h says how.
 */
#include "sync/between.h"

/* -- channels ----------------------------------------------------------------------------------------------- */

static void send_one(void *c) { CHECK_EQ(coir_chan_try_send(c, &(int){1}), 0); }
static void send_two(void *c) { CHECK_EQ(coir_chan_try_send(c, &(int){2}), 0); }
static void close_chan(void *c) { coir_chan_close(c); }

TASK_TEST(an_element_sent_meanwhile_is_received)
{
    int got = 0;
    coir_chan *c = coir_chan_new(sizeof(int), 2);
    CHECK_EQ(select_meddled(COIR_RECV(c, &got), send_one, NULL, c), 0);
    CHECK_EQ(got, 1);
    coir_chan_free(c);
}

TASK_TEST(elements_sent_meanwhile_come_in_order)
{
    int got = 0;
    coir_chan *c = coir_chan_new(sizeof(int), 2);
    CHECK_EQ(select_meddled(COIR_RECV(c, &got), send_one, send_two, c), 0);
    CHECK_EQ(got, 1);
    CHECK_EQ(coir_chan_try_recv(c, &got), 0);
    CHECK_EQ(got, 2);
    coir_chan_free(c);
}

TASK_TEST(a_channel_closed_meanwhile_is_drained_first)
{
    int got = 0;
    coir_chan *c = coir_chan_new(sizeof(int), 2);
    CHECK_EQ(select_meddled(COIR_RECV(c, &got), send_one, close_chan, c), 0);
    CHECK_EQ(got, 1);
    CHECK_EQ(coir_chan_recv(c, &got), -EPIPE);
    coir_chan_free(c);
}

static void take_one(void *c)
{
    int got = 0;
    CHECK_EQ(coir_chan_try_recv(c, &got), 0);
    CHECK_EQ(got, 7);
}

TASK_TEST(room_made_meanwhile_is_used_once)
{
    int got = 0;
    coir_chan *c = coir_chan_new(sizeof(int), 1);
    CHECK_EQ(coir_chan_try_send(c, &(int){7}), 0);
    CHECK_EQ(select_meddled(COIR_SEND(c, &(int){8}), take_one, NULL, c), 0);
    CHECK_EQ(coir_chan_try_recv(c, &got), 0);
    CHECK_EQ(got, 8);
    CHECK_EQ(coir_chan_len(c), 0);
    coir_chan_free(c);
}

/* -- events and futures ------------------------------------------------------------------------------------- */

static void set_event(void *e) { coir_event_set(e); }

TASK_TEST(an_event_set_meanwhile_is_seen)
{
    coir_event e = COIR_EVENT_INIT;
    CHECK_EQ(select_meddled(COIR_SET(&e), set_event, NULL, &e), 0);
    coir_event_reset(&e);
    CHECK_EQ(select_meddled(COIR_SET(&e), NULL, set_event, &e), 0);
}

static void set_future(void *f) { CHECK_EQ(coir_future_set(f, f), 0); }

TASK_TEST(a_future_set_meanwhile_is_seen)
{
    coir_future a = COIR_FUTURE_INIT, b = COIR_FUTURE_INIT;
    void *value = NULL;
    CHECK_EQ(select_meddled(COIR_READY(&a), set_future, NULL, &a), 0);
    CHECK_EQ(select_meddled(COIR_READY(&b), NULL, set_future, &b), 0);
    CHECK_EQ(coir_future_get(&b, &value), 0);
    CHECK_EQ(value, &b);
}

/* -- notify ------------------------------------------------------------------------------------------------- */

static void notify_one(void *n) { coir_notify_one(n); }
static void notify_all(void *n) { coir_notify_all(n); }

static bool has_permit(coir_notify *n)
{
    coir_case one[] = {COIR_NOTIFIED(n)};
    return coir_select_try(one, 1) == 0;
}

TASK_TEST(a_notification_meanwhile_is_used_once)
{
    coir_notify n = COIR_NOTIFY_INIT;
    CHECK_EQ(select_meddled(COIR_NOTIFIED(&n), notify_one, NULL, &n), 0);
    CHECK(!has_permit(&n));
    CHECK_EQ(select_meddled(COIR_NOTIFIED(&n), NULL, notify_one, &n), 0);
    CHECK(!has_permit(&n));
    CHECK_EQ(select_meddled(COIR_NOTIFIED(&n), notify_one, notify_one, &n), 0);
    CHECK(has_permit(&n)); /* two notifications, one of them used */
    CHECK(!has_permit(&n));
}

TASK_TEST(a_notification_of_all_meanwhile_reaches_the_select_and_is_not_stored)
{
    coir_notify n = COIR_NOTIFY_INIT;
    CHECK_EQ(select_meddled(COIR_NOTIFIED(&n), notify_all, NULL, &n), 0);
    CHECK_EQ(select_meddled(COIR_NOTIFIED(&n), NULL, notify_all, &n), 0);
    CHECK(!has_permit(&n));
}

/* -- semaphores --------------------------------------------------------------------------------------------- */

static void release(void *s) { coir_sem_release(s); }
static void fail_to_acquire(void *s) { CHECK_EQ(coir_sem_try_acquire(s), -EAGAIN); }

TASK_TEST(a_permit_released_meanwhile_is_taken_once)
{
    coir_sem s = COIR_SEM_INIT(0);
    CHECK_EQ(select_meddled(COIR_ACQUIRE(&s), release, NULL, &s), 0);
    CHECK_EQ(coir_sem_try_acquire(&s), -EAGAIN);
    CHECK_EQ(select_meddled(COIR_ACQUIRE(&s), NULL, release, &s), 0);
    CHECK_EQ(coir_sem_try_acquire(&s), -EAGAIN);
    CHECK_EQ(select_meddled(COIR_ACQUIRE(&s), release, release, &s), 0);
    CHECK_EQ(coir_sem_try_acquire(&s), 0);
    CHECK_EQ(coir_sem_try_acquire(&s), -EAGAIN);
}

TASK_TEST(a_permit_released_meanwhile_is_not_taken_by_who_comes_later)
{
    coir_sem s = COIR_SEM_INIT(0);
    CHECK_EQ(select_meddled(COIR_ACQUIRE(&s), release, fail_to_acquire, &s), 0);
    CHECK_EQ(coir_sem_try_acquire(&s), -EAGAIN);
}

/* -- broadcast ---------------------------------------------------------------------------------------------- */

static void cast_one(void *b) { CHECK_EQ(coir_broadcast_send(b, &(int){1}), 0); }
static void cast_two(void *b) { CHECK_EQ(coir_broadcast_send(b, &(int){2}), 0); }
static void close_broadcast(void *b) { coir_broadcast_close(b); }

typedef struct listener {
    coir_broadcast *b;
    coir_subscriber *s;
} listener;

static listener listen_to(size_t capacity)
{
    listener l = {.b = coir_broadcast_new(sizeof(int), capacity)};
    CHECK(l.b != NULL);
    CHECK((l.s = coir_broadcast_subscribe(l.b)) != NULL);
    return l;
}

static void listen_end(listener *l)
{
    coir_broadcast_unsubscribe(l->s);
    coir_broadcast_free(l->b);
}

TASK_TEST(items_sent_meanwhile_come_once_and_in_order)
{
    int got = 0;
    listener l = listen_to(2);
    CHECK_EQ(select_meddled(COIR_RECV_FROM(l.s, &got), cast_one, NULL, l.b), 0);
    CHECK_EQ(got, 1);
    CHECK_EQ(coir_broadcast_try_recv(l.s, &got, NULL), -EAGAIN);
    CHECK_EQ(select_meddled(COIR_RECV_FROM(l.s, &got), NULL, cast_two, l.b), 0);
    CHECK_EQ(got, 2);
    CHECK_EQ(coir_broadcast_try_recv(l.s, &got, NULL), -EAGAIN);
    CHECK_EQ(select_meddled(COIR_RECV_FROM(l.s, &got), cast_one, cast_two, l.b), 0);
    CHECK_EQ(got, 1);
    CHECK_EQ(coir_broadcast_try_recv(l.s, &got, NULL), 0);
    CHECK_EQ(got, 2);
    listen_end(&l);
}

TASK_TEST(a_broadcast_closed_meanwhile_is_drained_first)
{
    int got = 0;
    listener l = listen_to(2);
    CHECK_EQ(select_meddled(COIR_RECV_FROM(l.s, &got), cast_one, close_broadcast, l.b), 0);
    CHECK_EQ(got, 1);
    CHECK_EQ(coir_broadcast_recv(l.s, &got, NULL), -EPIPE);
    coir_case ended[] = {COIR_RECV_FROM(l.s, &got)};
    CHECK_EQ(coir_select(ended, 1), 0);
    CHECK_EQ(ended[0].result, -EPIPE);
    listen_end(&l);
}

TASK_TEST(what_is_lost_meanwhile_is_reported)
{
    int got = 0;
    listener l = listen_to(1);
    CHECK_EQ(select_meddled(COIR_RECV_FROM(l.s, &got), cast_one, cast_two, l.b), -EOVERFLOW);
    CHECK_EQ(got, 0);
    CHECK_EQ(coir_broadcast_lost(l.s), 1);
    CHECK_EQ(coir_broadcast_recv(l.s, &got, NULL), 0);
    CHECK_EQ(got, 2);
    listen_end(&l);
}

TEST_MAIN("select_between")
