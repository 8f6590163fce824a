/* SPDX-License-Identifier: MIT */
/* test_broadcast.c - every subscriber sees every item, or learns how many it has lost. */
#include "sync/claimed.h"
#include "sync/race.h"

#include <string.h>

static coir_broadcast *new_broadcast(size_t capacity)
{
    coir_broadcast *b = coir_broadcast_new(sizeof(int), capacity);
    CHECK(b != NULL);
    return b;
}

static coir_subscriber *subscribe(coir_broadcast *b)
{
    coir_subscriber *s = coir_broadcast_subscribe(b);
    CHECK(s != NULL);
    return s;
}

static void send_int(coir_broadcast *b, int i) { CHECK_EQ(coir_broadcast_send(b, &i), 0); }

static void check_next(coir_subscriber *s, int expected)
{
    int got = -1;
    uint64_t lost = 77;
    CHECK_EQ(coir_broadcast_recv(s, &got, &lost), 0);
    CHECK_EQ(got, expected);
    CHECK_EQ(lost, 77);
}

static void check_lost(coir_subscriber *s, uint64_t expected)
{
    int got = -1;
    uint64_t lost = 77;
    CHECK_EQ(coir_broadcast_recv(s, &got, &lost), -EOVERFLOW);
    CHECK_EQ(got, -1);
    CHECK_EQ(lost, expected);
}

static void check_none(coir_subscriber *s, int rc)
{
    int got = -1;
    uint64_t lost = 77;
    CHECK_EQ(coir_broadcast_try_recv(s, &got, &lost), rc);
    CHECK_EQ(got, -1);
    CHECK_EQ(lost, 77);
}

/* -- who sees what ------------------------------------------------------------------------------------------ */

TASK_TEST(every_subscriber_sees_every_item_in_order)
{
    coir_broadcast *b = new_broadcast(4);
    coir_subscriber *s[3];
    for (int i = 0; i < 3; i++)
        s[i] = subscribe(b);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            send_int(b, 10 * round + i);
        for (int k = 0; k < 3; k++) {
            for (int i = 0; i < 4; i++)
                check_next(s[k], 10 * round + i);
            check_none(s[k], -EAGAIN);
        }
    }
    for (int i = 0; i < 3; i++)
        coir_broadcast_unsubscribe(s[i]);
    coir_broadcast_free(b);
}

TASK_TEST(a_subscriber_begins_with_the_next_item)
{
    coir_broadcast *b = new_broadcast(4);
    send_int(b, 1); /* nobody hears it */
    coir_subscriber *early = subscribe(b);
    send_int(b, 2);
    coir_subscriber *late = subscribe(b);
    check_none(late, -EAGAIN);
    send_int(b, 3);
    check_next(early, 2);
    check_next(early, 3);
    check_next(late, 3);
    CHECK_EQ(coir_broadcast_lost(late), 0);
    coir_broadcast_unsubscribe(early);
    coir_broadcast_unsubscribe(late);
    send_int(b, 4);
    coir_broadcast_free(b);
}

TASK_TEST(who_is_too_far_behind_learns_how_many_it_lost_and_goes_on_with_the_oldest_kept)
{
    for (size_t capacity = 1; capacity < 6; capacity++) {
        coir_broadcast *b = new_broadcast(capacity);
        coir_subscriber *s = subscribe(b), *other = subscribe(b);
        int n = (int)capacity;
        for (int i = 0; i < n; i++)
            send_int(b, i);
        CHECK_EQ(coir_broadcast_lost(s), 0);
        for (int i = n; i < n + 3; i++) {
            send_int(b, i);
            check_lost(other, 1);
        }
        CHECK_EQ(coir_broadcast_lost(s), 3);
        check_lost(s, 3);
        CHECK_EQ(coir_broadcast_lost(s), 3);
        for (int i = 3; i < n + 3; i++)
            check_next(s, i);
        check_none(s, -EAGAIN);
        send_int(b, 99);
        check_next(s, 99);
        CHECK_EQ(coir_broadcast_lost(s), 3);
        coir_broadcast_unsubscribe(s);
        coir_broadcast_unsubscribe(other);
        coir_broadcast_free(b);
    }
}

TASK_TEST(what_is_lost_after_the_report_is_reported_too)
{
    coir_broadcast *b = new_broadcast(2);
    coir_subscriber *s = subscribe(b);
    for (int i = 0; i < 5; i++)
        send_int(b, i);
    CHECK_EQ(coir_broadcast_recv(s, NULL, NULL), -EOVERFLOW);
    send_int(b, 5);
    check_lost(s, 1);
    CHECK_EQ(coir_broadcast_lost(s), 4);
    check_next(s, 4);
    check_next(s, 5);
    coir_broadcast_unsubscribe(s);
    coir_broadcast_free(b);
}

/* -- waiting ------------------------------------------------------------------------------------------------ */

typedef struct hearer {
    coir_subscriber *s;
    int got, rc;
    coir_task task;
} hearer;

static int hear(void *arg)
{
    hearer *h = arg;
    h->rc = coir_broadcast_recv(h->s, &h->got, NULL);
    return 0;
}

static void start_hearing(hearer *h, coir_group *g, coir_subscriber *s)
{
    *h = (hearer){.s = s, .got = -1, .rc = 1};
    h->task = start_task(g, hear, h);
    await_parked(h->task);
}

/* With more sends than it keeps, before anybody who was woken can have run. */
static int wake_and_go_on(void *arg)
{
    coir_group g;
    hearer h[4];
    coir_broadcast *b = new_broadcast(1);
    (void)arg;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        start_hearing(&h[i], &g, subscribe(b));
    send_int(b, 1);
    send_int(b, 2);
    send_int(b, 3);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(h[i].rc, 0);
        CHECK_EQ(h[i].got, 1);
        check_lost(h[i].s, 1);
        check_next(h[i].s, 3);
        coir_broadcast_unsubscribe(h[i].s);
    }
    coir_broadcast_free(b);
    return 0;
}

TEST(a_waiter_gets_the_item_that_woke_it_whatever_comes_after)
{
    use_one_worker();
    CHECK_EQ(coir_run(NULL, wake_and_go_on, NULL), 0);
}

TASK_TEST(a_sender_does_not_wait_for_slow_subscribers)
{
    coir_broadcast *b = new_broadcast(3);
    coir_subscriber *s = subscribe(b);
    for (int i = 0; i < 1000; i++)
        send_int(b, i);
    check_lost(s, 997);
    check_next(s, 997);
    coir_broadcast_unsubscribe(s);
    coir_broadcast_free(b);
}

/* -- close -------------------------------------------------------------------------------------------------- */

TASK_TEST(a_closed_broadcast_is_drained_then_ends)
{
    coir_broadcast *b = new_broadcast(2);
    coir_subscriber *s = subscribe(b);
    for (int i = 0; i < 3; i++)
        send_int(b, i);
    coir_broadcast_close(b);
    coir_broadcast_close(b);
    CHECK_EQ(coir_broadcast_send(b, &(int){9}), -EPIPE);
    check_lost(s, 1);
    check_next(s, 1);
    check_next(s, 2);
    check_none(s, -EPIPE);
    CHECK_EQ(coir_broadcast_recv(s, NULL, NULL), -EPIPE);
    coir_subscriber *late = subscribe(b);
    check_none(late, -EPIPE);
    coir_broadcast_unsubscribe(late);
    coir_broadcast_unsubscribe(s);
    coir_broadcast_free(b);
}

TASK_TEST(close_wakes_those_who_wait)
{
    coir_group g;
    hearer h[3];
    coir_broadcast *b = new_broadcast(2);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        start_hearing(&h[i], &g, subscribe(b));
    coir_broadcast_close(b);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(h[i].rc, -EPIPE);
        CHECK_EQ(h[i].got, -1);
        coir_broadcast_unsubscribe(h[i].s);
    }
    coir_broadcast_free(b);
}

/* -- sizes and memory --------------------------------------------------------------------------------------- */

TASK_TEST(items_of_any_size_arrive_whole_and_overwrite_nothing)
{
    for (size_t size = 0; size < 40; size++) {
        coir_broadcast *b = coir_broadcast_new(size, 3);
        unsigned char out[48], in[48];
        coir_subscriber *s = subscribe(b);
        for (int round = 0; round < 7; round++) {
            memset(out, 100 + round, sizeof out);
            memset(in, 7, sizeof in);
            CHECK_EQ(coir_broadcast_send(b, out), 0);
            CHECK_EQ(coir_broadcast_recv(s, in, NULL), 0);
            for (size_t i = 0; i < sizeof in; i++)
                CHECK_EQ(in[i], i < size ? 100 + round : 7);
        }
        coir_broadcast_unsubscribe(s);
        coir_broadcast_free(b);
    }
}

TASK_TEST(signals_need_no_item)
{
    coir_broadcast *b = coir_broadcast_new(0, 2);
    coir_subscriber *s = subscribe(b);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_broadcast_send(b, NULL), 0);
    CHECK_EQ(coir_broadcast_recv(s, NULL, NULL), -EOVERFLOW);
    CHECK_EQ(coir_broadcast_recv(s, NULL, NULL), 0);
    CHECK_EQ(coir_broadcast_recv(s, NULL, NULL), 0);
    check_none(s, -EAGAIN);
    coir_broadcast_unsubscribe(s);
    coir_broadcast_free(b);
}

TEST(impossible_sizes_are_refused)
{
    CHECK(!coir_broadcast_new(sizeof(int), 0));
    CHECK(!coir_broadcast_new(SIZE_MAX / 2, 3));
    CHECK(!coir_broadcast_new(SIZE_MAX / 4, 2));
    coir_broadcast_free(NULL);
    coir_broadcast_unsubscribe(NULL);
}

static int memory_left; /* allocations until one fails; -1: never */
static int memory_live;

static void *scarce_allocate(void *arg, size_t size)
{
    (void)arg;
    if (memory_left == 0)
        return NULL;
    memory_left -= memory_left > 0;
    memory_live++;
    return malloc(size);
}

static void scarce_release(void *arg, void *memory)
{
    (void)arg;
    memory_live -= memory != NULL;
    free(memory);
}

static int make_without_memory(void *arg)
{
    int live = memory_live;
    (void)arg;
    for (int n = 0;; n++) {
        memory_left = n;
        coir_broadcast *b = coir_broadcast_new(16, 10);
        coir_subscriber *s = b ? coir_broadcast_subscribe(b) : NULL;
        memory_left = -1;
        CHECK_EQ(b != NULL, n >= 2);
        CHECK_EQ(s != NULL, n >= 3);
        coir_broadcast_unsubscribe(s);
        coir_broadcast_free(b);
        CHECK_EQ(memory_live, live);
        if (s)
            return 0;
    }
}

TEST(what_gets_no_memory_is_null_and_leaves_none)
{
    coir_allocator scarce = {scarce_allocate, scarce_release, NULL};
    coir_options o = {.workers = 1, .allocator = &scarce};
    use_one_worker(); /* nobody else allocates meanwhile */
    memory_left = -1;
    CHECK_EQ(coir_run(&o, make_without_memory, NULL), 0);
    CHECK_EQ(memory_live, 0);
}

static int free_with_subscribers(void *arg)
{
    coir_broadcast *b = new_broadcast(1);
    (void)arg;
    coir_set_name("hasty");
    subscribe(b);
    coir_broadcast_free(b);
    return 0;
}

static int unsubscribe_waited_on(void *arg)
{
    coir_group g;
    hearer h;
    (void)arg;
    coir_set_name("hasty");
    coir_group_begin(&g, 0);
    start_hearing(&h, &g, subscribe(new_broadcast(1)));
    coir_broadcast_unsubscribe(h.s);
    return coir_group_end(&g);
}

TEST(freeing_what_has_subscribers_aborts_and_names_the_task)
{
    CHECK_TASK_ABORTS(free_with_subscribers, NULL, "in task 'hasty'");
    CHECK_TASK_ABORTS(free_with_subscribers, NULL, "coir_broadcast_free");
}

TEST(unsubscribing_what_somebody_waits_on_aborts_and_names_the_task)
{
    CHECK_TASK_ABORTS(unsubscribe_waited_on, NULL, "in task 'hasty'");
    CHECK_TASK_ABORTS(unsubscribe_waited_on, NULL, "coir_broadcast_unsubscribe");
}

/* -- select ------------------------------------------------------------------------------------------------- */

typedef struct chooser {
    coir_subscriber *s, *other;
    int got[3], rc, result;
    coir_task task;
} chooser;

static int choose(void *arg)
{
    chooser *k = arg;
    coir_case cases[] = {COIR_RECV_FROM(k->s, &k->got[0]), COIR_RECV_FROM(k->other, &k->got[1]),
                         COIR_RECV_FROM(k->s, &k->got[2])};
    k->rc = coir_select(cases, 3);
    k->result = cases[k->rc].result;
    return 0;
}

static void start_choosing(chooser *k, coir_group *g)
{
    for (int i = 0; i < 3; i++)
        k->got[i] = -1;
    k->task = start_task(g, choose, k);
    await_parked(k->task);
}

TASK_TEST(a_select_receives_one_item_even_if_a_subscriber_is_listed_twice)
{
    coir_group g;
    coir_broadcast *b = new_broadcast(3);
    coir_subscriber *third = subscribe(b);
    chooser k = {.s = subscribe(b), .other = NULL};
    coir_group_begin(&g, 0);
    start_choosing(&k, &g);
    send_int(b, 1);
    send_int(b, 2);
    CHECK_EQ(join_result(k.task), 0);
    CHECK(k.rc == 0 || k.rc == 2);
    CHECK_EQ(k.result, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(k.got[i], i == k.rc ? 1 : -1);
    check_next(k.s, 2);
    check_none(k.s, -EAGAIN);
    check_next(third, 1);
    coir_broadcast_close(b);
    choose(&k);
    CHECK_EQ(k.result, -EPIPE);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_broadcast_unsubscribe(third);
    coir_broadcast_unsubscribe(k.s);
    coir_broadcast_free(b);
}

TASK_TEST(a_subscriber_that_lost_in_a_select_loses_no_item)
{
    coir_group g;
    coir_broadcast *b = new_broadcast(3);
    chooser k = {.s = subscribe(b), .other = subscribe(b)};
    coir_group_begin(&g, 0);
    start_choosing(&k, &g);
    send_int(b, 1); /* both could have it */
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.result, 0);
    CHECK_EQ(k.got[k.rc], 1);
    check_none(k.rc == 1 ? k.other : k.s, -EAGAIN);
    check_next(k.rc == 1 ? k.s : k.other, 1);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_broadcast_unsubscribe(k.s);
    coir_broadcast_unsubscribe(k.other);
    coir_broadcast_free(b);
}

TASK_TEST(a_select_reports_what_was_lost_and_close_ends_it)
{
    coir_group g;
    int got = -1;
    coir_broadcast *b = new_broadcast(1);
    coir_subscriber *s = subscribe(b);
    coir_case one[] = {COIR_RECV_FROM(s, &got)};
    CHECK_EQ(coir_select_try(one, 1), -EAGAIN);
    send_int(b, 1);
    send_int(b, 2);
    CHECK_EQ(coir_select(one, 1), 0);
    CHECK_EQ(one[0].result, -EOVERFLOW);
    CHECK_EQ(got, -1);
    CHECK_EQ(coir_broadcast_lost(s), 1);
    CHECK_EQ(coir_select(one, 1), 0);
    CHECK_EQ(one[0].result, 0);
    CHECK_EQ(got, 2);
    coir_group_begin(&g, 0);
    chooser k = {.s = s};
    start_choosing(&k, &g);
    coir_broadcast_close(b);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(k.result, -EPIPE);
    coir_broadcast_unsubscribe(s);
    coir_broadcast_free(b);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_task_is_refused_and_the_item_stays)
{
    coir_scope scope;
    coir_broadcast *b = new_broadcast(2);
    coir_subscriber *s = subscribe(b);
    send_int(b, 4);
    coir_scope_begin(&scope, 0);
    CHECK_EQ(coir_broadcast_recv(s, NULL, NULL), -ECANCELED);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    check_next(s, 4);
    coir_broadcast_unsubscribe(s);
    coir_broadcast_free(b);
}

TASK_TEST(a_cancelled_waiter_leaves_nothing_behind)
{
    coir_group g;
    hearer h;
    coir_broadcast *b = new_broadcast(2);
    coir_group_begin(&g, 0);
    start_hearing(&h, &g, subscribe(b));
    CHECK_EQ(coir_cancel(h.task, "test"), 0);
    CHECK_EQ(join_result(h.task), 0);
    CHECK_EQ(h.rc, -ECANCELED);
    send_int(b, 3);
    CHECK_EQ(h.got, -1);
    check_next(h.s, 3);
    start_hearing(&h, &g, h.s);
    send_int(b, 4);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(h.got, 4);
    coir_broadcast_unsubscribe(h.s);
    send_int(b, 5);
    coir_broadcast_free(b);
}

TASK_TEST(a_waiter_that_is_being_cancelled_is_passed_by)
{
    coir_group g;
    hearer a, b;
    coir_broadcast *c = new_broadcast(2);
    coir_group_begin(&g, 0);
    start_hearing(&a, &g, subscribe(c));
    start_hearing(&b, &g, subscribe(c));
    cancel_begin(a.task);
    send_int(c, 6);
    CHECK_EQ(join_result(b.task), 0);
    CHECK_EQ(b.got, 6);
    coir_broadcast_close(c);
    cancel_end(a.task);
    CHECK_EQ(join_result(a.task), 0);
    CHECK_EQ(a.rc, -ECANCELED);
    CHECK_EQ(a.got, -1);
    check_next(a.s, 6);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_broadcast_unsubscribe(a.s);
    coir_broadcast_unsubscribe(b.s);
    coir_broadcast_free(c);
}

/* Nothing of it is left in the broadcast, also if its memory is used again at once. */
TASK_TEST(a_subscriber_whose_wait_was_cancelled_may_unsubscribe_at_once)
{
    coir_group g;
    hearer h;
    coir_broadcast *b = new_broadcast(2);
    coir_group_begin(&g, 0);
    for (int round = 0; round < 5; round++) {
        start_hearing(&h, &g, subscribe(b));
        CHECK_EQ(coir_cancel(h.task, "test"), 0);
        CHECK_EQ(join_result(h.task), 0);
        coir_broadcast_unsubscribe(h.s);
        start_hearing(&h, &g, subscribe(b));
        send_int(b, round);
        CHECK_EQ(join_result(h.task), 0);
        CHECK_EQ(h.got, round);
        coir_broadcast_unsubscribe(h.s);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    coir_broadcast_free(b);
}

static int recv_in_time(void *arg)
{
    coir_scope scope;
    coir_scope_begin(&scope, TEST_TICK);
    return coir_scope_end(&scope, coir_broadcast_recv(arg, &(int){0}, NULL));
}

static int recv_times_out(void *arg)
{
    coir_group g;
    coir_broadcast *b = new_broadcast(2);
    coir_subscriber *s = subscribe(b);
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, recv_in_time, s);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    send_int(b, 1);
    CHECK_EQ(recv_in_time(s), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    coir_broadcast_unsubscribe(s);
    coir_broadcast_free(b);
    return 0;
}

TEST(a_wait_for_an_item_obeys_deadlines) { CHECK_EQ(run_on_test_clock(recv_times_out, NULL), 0); }

static coir_broadcast *swept;
static coir_subscriber *swept_by;

static void forget(race *r) { r->got = -1; }
static int call_recv(race *r) { return coir_broadcast_recv(swept_by, &r->got, NULL); }

static void send_seven(race *r)
{
    (void)r;
    send_int(swept, 7);
}

static void settle(race *r)
{
    CHECK_EQ(r->got, r->rc == 0 ? 7 : -1);
    if (r->rc < 0)
        check_next(swept_by, 7);
    check_none(swept_by, -EAGAIN);
}

static int call_select(race *r)
{
    coir_case cases[] = {COIR_RECV_FROM(swept_by, &r->got), COIR_RECV(r->c, &r->got)};
    int rc = coir_select(cases, 2);
    CHECK(rc == 0 || rc == -ECANCELED);
    return rc;
}

static void run_sweep(const contest *k)
{
    swept = new_broadcast(2);
    swept_by = subscribe(swept);
    sweep(k, 0);
    coir_broadcast_unsubscribe(swept_by);
    coir_broadcast_free(swept);
}

TASK_TEST(a_cancelled_receive_took_nothing)
{
    static const contest k = {forget, call_recv, send_seven, settle};
    run_sweep(&k);
}

TASK_TEST(a_cancelled_select_took_nothing)
{
    static const contest k = {forget, call_select, send_seven, settle};
    run_sweep(&k);
}

/* -- crowds ------------------------------------------------------------------------------------------------- */

/* Items are numbered. Each subscriber checks that the numbers grow, without a gap that was not reported, and that those it saw
 * and those it lost are all. */
typedef struct crowd {
    coir_broadcast *b;
    int items;
    _Atomic int ready; /* subscribers */
    bool disturbed;
} crowd;

static int listen_once(crowd *c, coir_subscriber *s, dice *d, int *got)
{
    coir_scope scope;
    bool hurried = c->disturbed && dice_below(d, 2), by_select = dice_below(d, 2);
    coir_case cases[] = {COIR_RECV_FROM(s, got), COIR_RECV_FROM(s, got)};
    coir_scope_begin(&scope, hurried ? COIR_US(dice_below(d, 30)) : COIR_FOREVER);
    int rc = by_select ? coir_select(cases, 2) : coir_broadcast_recv(s, got, NULL);
    if (by_select && rc >= 0)
        rc = cases[rc].result;
    int end = coir_scope_end(&scope, rc);
    CHECK(end == rc || (hurried && rc == -ECANCELED && end == -ETIMEDOUT));
    return rc;
}

static int listen_to_all(void *arg)
{
    crowd *c = arg;
    coir_subscriber *s = subscribe(c->b);
    dice d = {(uint64_t)atomic_fetch_add(&c->ready, 1)};
    int next = 0, seen = 0, rc = 0;
    bool gap = false;
    while (rc != -EPIPE) {
        int got = -1;
        rc = listen_once(c, s, &d, &got);
        if (rc == 0) {
            CHECK(gap ? got > next : got == next);
            next = got + 1;
            seen++;
            gap = false;
        } else if (rc == -EOVERFLOW) {
            gap = true;
        } else {
            CHECK(rc == -EPIPE || rc == -ECANCELED);
        }
        if (c->disturbed && dice_below(&d, 16) == 0)
            coir_yield();
    }
    CHECK_EQ(next, c->items); /* the last one is always kept */
    CHECK_EQ((uint64_t)seen + coir_broadcast_lost(s), c->items);
    coir_broadcast_unsubscribe(s);
    return 0;
}

static int run_listen_to_all(void *arg) { return coir_run(NULL, listen_to_all, arg); }

static void speak(crowd *c)
{
    for (int i = 0; i < c->items; i++) {
        send_int(c->b, i);
        if (i % 8 == 0)
            coir_yield();
    }
    coir_broadcast_close(c->b);
}

static void hold_speech(size_t capacity, bool disturbed, coir_fn *elsewhere, int items)
{
    enum { HERE = 6, THERE = 2 };
    coir_group g;
    test_thread t[THERE];
    crowd c = {.b = new_broadcast(capacity), .items = items, .disturbed = disturbed};
    coir_group_begin(&g, 0);
    for (int i = 0; i < THERE && elsewhere; i++)
        thread_start(&t[i], elsewhere, &c);
    for (int i = 0; i < HERE; i++)
        CHECK_EQ(coir_spawn(&g, listen_to_all, &c), 0);
    await_value(&c.ready, HERE + (elsewhere ? THERE : 0));
    speak(&c);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < THERE && elsewhere; i++)
        CHECK_EQ(thread_finish(&t[i]), 0);
    coir_broadcast_free(c.b); /* as soon as the last has left */
}

TASK_TEST(every_item_is_seen_or_reported_as_lost)
{
    hold_speech(1, false, NULL, rounds_of(20000));
    hold_speech(5, true, NULL, rounds_of(20000));
}

TASK_TEST(every_item_is_seen_or_reported_as_lost_by_threads_too)
{
    hold_speech(3, true, listen_to_all, rounds_of(10000));
}

TASK_TEST(every_item_is_seen_or_reported_as_lost_by_other_runtimes_too)
{
    hold_speech(3, true, run_listen_to_all, rounds_of(10000));
}

static int hear_one_and_leave(void *arg)
{
    coir_broadcast *b = arg;
    coir_subscriber *s = subscribe(b);
    int rc = coir_broadcast_recv(s, &(int){0}, NULL);
    coir_broadcast_unsubscribe(s);
    coir_broadcast_free(b); /* the sender may still be about to return */
    return rc;
}

static int send_once(void *arg)
{
    send_int(arg, 1);
    return 0;
}

TASK_TEST(the_last_subscriber_may_free_it_when_it_is_woken)
{
    for (int round = rounds_of(500); round > 0; round--) {
        coir_group g;
        coir_broadcast *b = new_broadcast(1);
        coir_group_begin(&g, 0);
        coir_task t = start_task(&g, hear_one_and_leave, b);
        await_parked(t);
        CHECK_EQ(coir_spawn(&g, send_once, b), 0);
        CHECK_EQ(join_result(t), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
}

TEST_MAIN("broadcast")
