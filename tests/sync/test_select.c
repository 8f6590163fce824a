/* SPDX-License-Identifier: MIT */
/* test_select.c - select over channels and events: what is chosen, and what happens to the rest. */
#include "sync/wait_tools.h"

#define UNTOUCHED 12345

static coir_chan *new_chan(size_t capacity)
{
    coir_chan *c = coir_chan_new(sizeof(int), capacity);
    CHECK(c != NULL);
    return c;
}

static coir_chan *new_chan_with(int value)
{
    coir_chan *c = new_chan(1);
    CHECK_EQ(coir_chan_send(c, &value), 0);
    return c;
}

/* A select in a task of its own. */
typedef struct chooser {
    coir_case cases[4];
    size_t n;
    int rc;
    coir_task task;
} chooser;

static int choose(void *arg)
{
    chooser *k = arg;
    for (size_t i = 0; i < k->n; i++)
        k->cases[i].result = UNTOUCHED;
    k->rc = coir_select(k->cases, k->n);
    return 0;
}

static void start_choosing(chooser *k, coir_group *g)
{
    k->task = start_task(g, choose, k);
    await_parked(k->task);
}

/* -- bad input ---------------------------------------------------------------------------------------------- */

TASK_TEST(no_cases_are_invalid)
{
    coir_case one = COIR_AFTER(0);
    CHECK_EQ(coir_select(&one, 0), -EINVAL);
    CHECK_EQ(coir_select_ordered(&one, 0), -EINVAL);
    CHECK_EQ(coir_select_try(&one, 0), -EINVAL);
    CHECK_EQ(coir_select(NULL, 0), -EINVAL);
    CHECK_EQ(coir_select(NULL, 1), -EINVAL);
    CHECK_EQ(coir_select(&one, SIZE_MAX), -EINVAL);
}

TASK_TEST(an_unknown_kind_is_invalid_even_if_another_case_is_ready)
{
    coir_case cases[2] = {COIR_AFTER(0), COIR_AFTER(0)};
    cases[0].result = cases[1].result = UNTOUCHED;
    cases[1].kind = (coir_case_kind)99;
    CHECK_EQ(coir_select_ordered(cases, 2), -EINVAL);
    CHECK_EQ(coir_select(cases, 2), -EINVAL);
    CHECK_EQ(coir_select_try(cases, 2), -EINVAL);
    CHECK_EQ(cases[0].result, UNTOUCHED);
    CHECK_EQ(cases[1].result, UNTOUCHED);
}

/* -- which -------------------------------------------------------------------------------------------------- */

TASK_TEST(of_several_ready_cases_each_is_chosen_some_time)
{
    enum { N = 5 };
    coir_chan *c[N];
    int got = 0, chosen[N] = {0};
    coir_case cases[N];
    for (int i = 0; i < N; i++) {
        c[i] = new_chan_with(i);
        cases[i] = COIR_RECV(c[i], &got);
    }
    for (int round = 0; round < 1000; round++) {
        int i = coir_select(cases, N);
        CHECK(i >= 0 && i < N);
        CHECK_EQ(cases[i].result, 0);
        CHECK_EQ(got, i);
        CHECK_EQ(coir_chan_send(c[i], &i), 0);
        chosen[i]++;
    }
    for (int i = 0; i < N; i++) {
        CHECK_GT(chosen[i], 0);
        coir_chan_free(c[i]);
    }
}

TASK_TEST(try_is_fair_too)
{
    coir_event a = COIR_EVENT_INIT, b = COIR_EVENT_INIT;
    coir_case cases[2] = {COIR_SET(&a), COIR_SET(&b)};
    int chosen[2] = {0};
    coir_event_set(&a);
    coir_event_set(&b);
    for (int round = 0; round < 200; round++)
        chosen[coir_select_try(cases, 2)]++;
    CHECK_GT(chosen[0], 0);
    CHECK_GT(chosen[1], 0);
}

TASK_TEST(ordered_takes_the_first_listed_that_is_ready)
{
    coir_event a = COIR_EVENT_INIT, b = COIR_EVENT_INIT, c = COIR_EVENT_INIT;
    coir_case cases[3] = {COIR_SET(&a), COIR_SET(&b), COIR_SET(&c)};
    coir_event_set(&b);
    coir_event_set(&c);
    for (int round = 0; round < 50; round++)
        CHECK_EQ(coir_select_ordered(cases, 3), 1);
    coir_event_set(&a);
    for (int round = 0; round < 50; round++)
        CHECK_EQ(coir_select_ordered(cases, 3), 0);
}

TASK_TEST(try_never_waits)
{
    coir_chan *empty = new_chan(1), *full = new_chan_with(1);
    coir_event e = COIR_EVENT_INIT;
    int value = 3;
    coir_case cases[] = {COIR_RECV(empty, &value), COIR_SEND(full, &value), COIR_SET(&e),
                         COIR_AFTER(COIR_S(1000))};
    for (int i = 0; i < 4; i++)
        cases[i].result = UNTOUCHED;
    CHECK_EQ(coir_select_try(cases, 4), -EAGAIN);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(cases[i].result, UNTOUCHED);
    CHECK_EQ(value, 3);
    coir_event_set(&e);
    CHECK_EQ(coir_select_try(cases, 4), 2);
    CHECK_EQ(cases[2].result, 0);
    coir_chan_free(empty);
    coir_chan_free(full);
}

TASK_TEST(null_and_forever_are_never_ready)
{
    coir_case cases[] = {COIR_SEND(NULL, NULL),
                         COIR_RECV(NULL, NULL),
                         COIR_SET(NULL),
                         COIR_EMPTY(NULL),
                         COIR_JOINED((coir_task){0}),
                         COIR_AFTER(COIR_FOREVER),
                         COIR_UNTIL(COIR_FOREVER),
                         coir_case_make(COIR_CASE_NEVER, NULL, NULL, 0),
                         COIR_AFTER(COIR_US(10))};
    CHECK_EQ(coir_select_try(cases, 8), -EAGAIN);
    for (int round = 0; round < 10; round++)
        CHECK_EQ(coir_select(cases, 9), 8);
}

static int choose_never(void *arg)
{
    coir_case never = COIR_RECV(NULL, NULL);
    (void)arg;
    return coir_select(&never, 1);
}

TASK_TEST(only_cancellation_ends_a_wait_for_what_never_comes)
{
    coir_group g;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, choose_never, NULL);
    await_parked(t);
    CHECK_EQ(coir_cancel(t, "test"), 0);
    CHECK_EQ(join_result(t), -ECANCELED);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

/* -- closed channels ---------------------------------------------------------------------------------------- */

TASK_TEST(a_closed_channel_is_ready)
{
    coir_chan *c = new_chan(1);
    int value = 1;
    coir_chan_close(c);
    coir_case send[1] = {COIR_SEND(c, &value)}, recv[1] = {COIR_RECV(c, &value)};
    CHECK_EQ(coir_select(send, 1), 0);
    CHECK_EQ(send[0].result, -EPIPE);
    CHECK_EQ(coir_select_try(recv, 1), 0);
    CHECK_EQ(recv[0].result, -EPIPE);
    CHECK_EQ(value, 1);
    coir_chan_free(c);
}

TASK_TEST(a_closed_channel_is_drained_first)
{
    coir_chan *c = new_chan_with(8);
    int got = 0;
    coir_case recv[1] = {COIR_RECV(c, &got)};
    coir_chan_close(c);
    CHECK_EQ(coir_select(recv, 1), 0);
    CHECK_EQ(recv[0].result, 0);
    CHECK_EQ(got, 8);
    CHECK_EQ(coir_select(recv, 1), 0);
    CHECK_EQ(recv[0].result, -EPIPE);
    coir_chan_free(c);
}

TASK_TEST(close_wakes_a_waiting_select)
{
    for (int side = 0; side < 2; side++) {
        coir_group g;
        coir_chan *c = new_chan(0), *other = new_chan(0);
        int value = 4, got = 5;
        chooser k = {.cases = {COIR_RECV(other, &got), COIR_RECV(c, &got)}, .n = 2};
        if (side)
            k.cases[1] = COIR_SEND(c, &value);
        coir_group_begin(&g, 0);
        start_choosing(&k, &g);
        coir_chan_close(c);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(k.rc, 1);
        CHECK_EQ(k.cases[1].result, -EPIPE);
        CHECK_EQ(got, 5);
        coir_chan_free(c);
        coir_chan_free(other);
    }
}

/* -- losers ------------------------------------------------------------------------------------------------- */

TASK_TEST(losers_that_were_ready_have_no_side_effect)
{
    for (int round = 0; round < 50; round++) {
        coir_chan *a = new_chan_with(1), *b = new_chan_with(2), *room = new_chan(1);
        int got_a = 0, got_b = 0, value = 3;
        coir_case cases[] = {COIR_RECV(a, &got_a), COIR_RECV(b, &got_b), COIR_SEND(room, &value)};
        int i = coir_select(cases, 3);
        CHECK_EQ(got_a, i == 0 ? 1 : 0);
        CHECK_EQ(got_b, i == 1 ? 2 : 0);
        CHECK_EQ(coir_chan_len(a), i == 0 ? 0 : 1);
        CHECK_EQ(coir_chan_len(b), i == 1 ? 0 : 1);
        CHECK_EQ(coir_chan_len(room), i == 2 ? 1 : 0);
        coir_chan_free(a);
        coir_chan_free(b);
        coir_chan_free(room);
    }
}

TASK_TEST(losers_that_were_waited_for_are_left_without_a_waiter)
{
    coir_group g;
    coir_chan *a = new_chan(0), *b = new_chan(0), *out = new_chan(0);
    coir_event e = COIR_EVENT_INIT;
    int got_a = -1, got_b = -1, sent = 6, value = 7;
    chooser k = {
        .cases = {COIR_RECV(a, &got_a), COIR_RECV(b, &got_b), COIR_SEND(out, &sent), COIR_SET(&e)},
        .n = 4};
    coir_group_begin(&g, 0);
    start_choosing(&k, &g);
    CHECK_EQ(coir_chan_try_send(b, &value), 0);
    CHECK_EQ(coir_chan_try_send(a, &value), -EAGAIN);
    CHECK_EQ(coir_chan_try_send(b, &value), -EAGAIN);
    CHECK_EQ(coir_chan_try_recv(out, &value), -EAGAIN);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(k.rc, 1);
    CHECK_EQ(k.cases[1].result, 0);
    CHECK_EQ(got_a, -1);
    CHECK_EQ(got_b, 7);
    coir_chan_free(a);
    coir_chan_free(b);
    coir_chan_free(out);
}

TASK_TEST(a_select_that_waited_to_send_delivers_its_element)
{
    coir_group g;
    coir_chan *a = new_chan(0), *b = new_chan(0);
    int x = 1, y = 2, got = 0;
    chooser k = {.cases = {COIR_SEND(a, &x), COIR_SEND(b, &y)}, .n = 2};
    coir_group_begin(&g, 0);
    start_choosing(&k, &g);
    CHECK_EQ(coir_chan_recv(b, &got), 0);
    CHECK_EQ(got, 2);
    CHECK_EQ(coir_chan_try_recv(a, &got), -EAGAIN);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(k.rc, 1);
    CHECK_EQ(k.cases[1].result, 0);
    coir_chan_free(a);
    coir_chan_free(b);
}

TASK_TEST(a_channel_listed_twice_gives_one_element)
{
    coir_group g;
    coir_chan *c = new_chan(0);
    int a = 0, b = 0, value = 3;
    chooser k = {.cases = {COIR_RECV(c, &a), COIR_RECV(c, &b)}, .n = 2};
    coir_group_begin(&g, 0);
    start_choosing(&k, &g);
    CHECK_EQ(coir_chan_try_send(c, &value), 0);
    CHECK_EQ(coir_chan_try_send(c, &value), -EAGAIN);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(a + b, 3);
    CHECK_EQ(k.rc == 0 ? a : b, 3);
    coir_chan_free(c);
}

/* -- meeting ------------------------------------------------------------------------------------------------ */

TASK_TEST(a_select_never_meets_itself)
{
    coir_group g;
    coir_chan *c = new_chan(0);
    int out = 1, in = 0, value = 9;
    chooser k = {.cases = {COIR_SEND(c, &out), COIR_RECV(c, &in)}, .n = 2};
    CHECK_EQ(coir_select_try(k.cases, 2), -EAGAIN);
    coir_group_begin(&g, 0);
    start_choosing(&k, &g);
    CHECK_EQ(coir_chan_send(c, &value), 0);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.rc, 1);
    CHECK_EQ(in, 9);
    start_choosing(&k, &g);
    CHECK_EQ(coir_chan_recv(c, &value), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(k.rc, 0);
    coir_chan_free(c);
}

TASK_TEST(two_selects_that_offer_both_meet_once)
{
    for (int round = 0; round < 100; round++) {
        coir_group g;
        coir_chan *c = new_chan(0);
        int out[2] = {10, 20}, in[2] = {0};
        chooser k[2];
        coir_group_begin(&g, 0);
        for (int i = 0; i < 2; i++) {
            k[i] = (chooser){.cases = {COIR_SEND(c, &out[i]), COIR_RECV(c, &in[i])}, .n = 2};
            CHECK_EQ(coir_spawn(&g, choose, &k[i]), 0);
        }
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(k[0].rc + k[1].rc, 1);
        int receiver = k[0].rc == 1 ? 0 : 1;
        CHECK_EQ(in[receiver], out[1 - receiver]);
        CHECK_EQ(in[1 - receiver], 0);
        coir_chan_free(c);
    }
}

TASK_TEST(a_select_meets_plain_senders_and_receivers)
{
    coir_group g;
    coir_chan *c = new_chan(0);
    int got = 0;
    coir_group_begin(&g, 0);
    chooser k = {.cases = {COIR_RECV(c, &got)}, .n = 1};
    start_choosing(&k, &g);
    int value = 5;
    CHECK_EQ(coir_chan_send(c, &value), 0);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(got, 5);
    k = (chooser){.cases = {COIR_SEND(c, &value)}, .n = 1};
    start_choosing(&k, &g);
    got = 0;
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(got, 5);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(c);
}

TASK_TEST(a_select_waiting_at_a_full_buffer_is_let_in)
{
    coir_group g;
    coir_chan *c = new_chan_with(1);
    int value = 2, got = 0;
    coir_group_begin(&g, 0);
    chooser k = {.cases = {COIR_SEND(c, &value)}, .n = 1};
    start_choosing(&k, &g);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(got, 1);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.rc, 0);
    CHECK_EQ(coir_chan_recv(c, &got), 0);
    CHECK_EQ(got, 2);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(c);
}

/* -- many --------------------------------------------------------------------------------------------------- */

typedef struct hundred {
    coir_chan *c[100];
    int got[100];
    int rc;
} hundred;

static int choose_of_hundred(void *arg)
{
    hundred *h = arg;
    coir_case cases[100];
    for (int i = 0; i < 100; i++)
        cases[i] = COIR_RECV(h->c[i], &h->got[i]);
    h->rc = coir_select(cases, 100);
    return 0;
}

TASK_TEST(a_hundred_cases_work_like_two)
{
    hundred h = {.rc = -1};
    for (int i = 0; i < 100; i++)
        h.c[i] = new_chan(0);
    for (int i = 0; i < 100; i += 33) {
        coir_group g;
        int value = i + 1;
        coir_group_begin(&g, 0);
        await_parked(start_task(&g, choose_of_hundred, &h));
        CHECK_EQ(coir_chan_try_send(h.c[i], &value), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(h.rc, i);
        CHECK_EQ(h.got[i], i + 1);
        for (int j = 0; j < 100; j++)
            CHECK_EQ(coir_chan_try_send(h.c[j], &value), -EAGAIN);
    }
    for (int i = 0; i < 100; i++)
        coir_chan_free(h.c[i]);
}

/* -- cancel ------------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_select_leaves_nothing_behind_and_writes_no_result)
{
    coir_group g;
    coir_chan *a = new_chan(0), *b = new_chan(0);
    int got = 1, sent = 2, value = 3;
    chooser k = {.cases = {COIR_RECV(a, &got), COIR_SEND(b, &sent), COIR_AFTER(COIR_S(1000))},
                 .n = 3};
    coir_group_begin(&g, 0);
    start_choosing(&k, &g);
    CHECK_EQ(coir_cancel(k.task, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(k.rc, -ECANCELED);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(k.cases[i].result, UNTOUCHED);
    CHECK_EQ(coir_chan_try_send(a, &value), -EAGAIN);
    CHECK_EQ(coir_chan_try_recv(b, &value), -EAGAIN);
    CHECK_EQ(got, 1);
    coir_chan_free(a);
    coir_chan_free(b);
}

TASK_TEST(a_cancelled_select_does_nothing_even_if_a_case_is_ready)
{
    coir_scope s;
    coir_chan *c = new_chan_with(1);
    int got = 0;
    coir_case cases[] = {COIR_RECV(c, &got)};
    cases[0].result = UNTOUCHED;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_select(cases, 1), -ECANCELED);
    CHECK_EQ(coir_select_ordered(cases, 1), -ECANCELED);
    CHECK_EQ(cases[0].result, UNTOUCHED);
    CHECK_EQ(coir_chan_len(c), 1);
    CHECK_EQ(coir_select_try(cases, 1), 0); /* no cancel point */
    CHECK_EQ(got, 1);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    coir_chan_free(c);
}

TEST_MAIN("select")
