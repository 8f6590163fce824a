/* SPDX-License-Identifier: MIT */
/*
 * test_select_storm_objects.c - crowds that select over everything at once: elements, permits, notifications, items of a broadcast,
 * rings of an object of our own. What was put in has come out once, or is still there, whatever timed out or was
 * cancelled meanwhile.
 */
#include "sync/bell.h"

enum kind { ELEMENT, PERMIT, NOTIFICATION, ITEM, RING, KINDS };

typedef struct storm {
    coir_chan *c;
    coir_sem s;
    coir_notify n;
    coir_broadcast *b;
    bell bell;
    coir_future done; /* nothing will come any more */
    coir_event never;
    int rounds;
    bool disturbed;
    _Atomic int ready, users, left; /* who take; all; who put and are not through */
    _Atomic int in[KINDS], out[KINDS];
    _Atomic unsigned char *seen; /* elements, by number */
} storm;

static void count(_Atomic int *counter) { atomic_fetch_add(counter, 1); }

/* -- who puts ----------------------------------------------------------------------------------------------- */

static void put_element(storm *s)
{
    int number = atomic_fetch_add(&s->in[ELEMENT], 1);
    coir_case cases[] = {COIR_SEND(s->c, &number), COIR_SET(&s->never)};
    CHECK_EQ(coir_select(cases, 2), 0);
    CHECK_EQ(cases[0].result, 0);
}

static void put(storm *s, dice *d)
{
    int item;
    switch (dice_below(d, KINDS)) {
    case ELEMENT:
        put_element(s);
        break;
    case PERMIT:
        count(&s->in[PERMIT]);
        coir_sem_release(&s->s);
        break;
    case NOTIFICATION:
        count(&s->in[NOTIFICATION]);
        coir_notify_one(&s->n);
        break;
    case ITEM:
        item = (int)dice_below(d, 100);
        CHECK_EQ(coir_broadcast_send(s->b, &item), 0);
        count(&s->in[ITEM]);
        break;
    default:
        count(&s->in[RING]);
        bell_ring(&s->bell, 0);
    }
}

static int put_all(void *arg)
{
    storm *s = arg;
    dice d = {(uint64_t)atomic_fetch_add(&s->users, 1)};
    for (int i = 0; i < s->rounds; i++) {
        put(s, &d);
        if (dice_below(&d, 4) == 0)
            coir_yield();
    }
    if (atomic_fetch_sub(&s->left, 1) == 1)
        CHECK_EQ(coir_future_set(&s->done, s), 0);
    return 0;
}

/* -- who takes ---------------------------------------------------------------------------------------------- */

typedef struct taker {
    storm *s;
    coir_subscriber *subscriber;
    int heard;
    dice d;
} taker;

static int disturbed_select(taker *t, coir_case *cases, size_t n)
{
    coir_scope scope;
    if (!t->s->disturbed || dice_below(&t->d, 2))
        return coir_select(cases, n);
    coir_scope_begin(&scope, COIR_US(dice_below(&t->d, 50)));
    int rc = dice_below(&t->d, 2) ? coir_select_ordered(cases, n) : coir_select(cases, n);
    int end = coir_scope_end(&scope, rc);
    CHECK(end == rc || (rc == -ECANCELED && end == -ETIMEDOUT));
    return rc;
}

static void note_taken(taker *t, const coir_case *k, int number)
{
    storm *s = t->s;
    if (k->kind == COIR_CASE_RECV_FROM) {
        CHECK(k->result == 0 || k->result == -EOVERFLOW);
        t->heard += k->result == 0;
        return;
    }
    CHECK_EQ(k->result, 0);
    if (k->kind == COIR_CASE_RECV) {
        count(&s->out[ELEMENT]);
        CHECK_EQ(atomic_fetch_add(&s->seen[number], 1), 0);
    } else {
        count(&s->out[k->kind == COIR_CASE_ACQUIRE    ? PERMIT
                      : k->kind == COIR_CASE_NOTIFIED ? NOTIFICATION
                                                      : RING]);
    }
}

/* In an order of chance, one of them twice. */
static void shuffle(taker *t, coir_case *cases, size_t n)
{
    cases[n - 1] = cases[dice_below(&t->d, (uint32_t)n - 1)];
    for (size_t i = n - 1; i > 0; i--) {
        size_t k = dice_below(&t->d, (uint32_t)i + 1);
        coir_case kept = cases[i];
        cases[i] = cases[k];
        cases[k] = kept;
    }
}

static int take_all(void *arg)
{
    taker t = {.s = arg};
    storm *s = t.s;
    int number = -1, item, ring;
    CHECK((t.subscriber = coir_broadcast_subscribe(s->b)) != NULL);
    t.d.state = (uint64_t)atomic_fetch_add(&s->users, 1);
    count(&s->ready);
    for (;;) {
        coir_case cases[8] = {COIR_RECV(s->c, &number), COIR_ACQUIRE(&s->s),
                              COIR_NOTIFIED(&s->n),     COIR_RECV_FROM(t.subscriber, &item),
                              COIR_READY(&s->done),     COIR_WAITABLE(&s->bell.waitable, &ring),
                              COIR_SET(&s->never)};
        shuffle(&t, cases, 8);
        int rc = disturbed_select(&t, cases, 8);
        if (rc == -ECANCELED)
            continue;
        CHECK_GE(rc, 0);
        if (cases[rc].kind == COIR_CASE_READY)
            break;
        note_taken(&t, &cases[rc], number);
    }
    for (int rc = 0; rc != -EAGAIN; t.heard += rc == 0)
        rc = coir_broadcast_try_recv(t.subscriber, &item, NULL);
    CHECK_EQ((uint64_t)t.heard + coir_broadcast_lost(t.subscriber), s->in[ITEM]);
    coir_broadcast_unsubscribe(t.subscriber);
    return 0;
}

/* Takes permits without select, several at a time, and puts them back. */
static int borrow(void *arg)
{
    storm *s = arg;
    dice d = {(uint64_t)atomic_fetch_add(&s->users, 1)};
    while (coir_select_try(&(coir_case){.kind = COIR_CASE_READY, .object = &s->done}, 1) < 0) {
        coir_scope scope;
        size_t n = 1 + dice_below(&d, 3);
        coir_scope_begin(&scope, COIR_US(dice_below(&d, 100)));
        int rc = coir_sem_acquire_n(&s->s, n);
        CHECK(rc == 0 || rc == -ECANCELED);
        if (rc == 0)
            coir_sem_release_n(&s->s, n);
        coir_scope_end(&scope, rc);
        coir_yield();
    }
    return 0;
}

static int run_take_all(void *arg) { return coir_run(NULL, take_all, arg); }
static int run_put_all(void *arg) { return coir_run(NULL, put_all, arg); }

/* -- the sum ------------------------------------------------------------------------------------------------ */

static void check_sums(storm *s)
{
    int number;
    coir_case notified[] = {COIR_NOTIFIED(&s->n)};
    while (coir_chan_try_recv(s->c, &number) == 0) {
        count(&s->out[ELEMENT]);
        CHECK_EQ(atomic_fetch_add(&s->seen[number], 1), 0);
    }
    for (int i = 0; i < s->in[ELEMENT]; i++)
        CHECK_EQ(s->seen[i], 1);
    CHECK_EQ(s->out[ELEMENT], s->in[ELEMENT]);
    while (coir_sem_try_acquire(&s->s) == 0)
        count(&s->out[PERMIT]);
    CHECK_EQ(s->out[PERMIT], s->in[PERMIT]);
    if (coir_select_try(notified, 1) == 0)
        count(&s->out[NOTIFICATION]);
    CHECK_LE(s->out[NOTIFICATION], s->in[NOTIFICATION]); /* what was stored twice came once */
    CHECK_EQ(s->out[RING] + s->bell.rings, s->in[RING]);
    bell_check_left(&s->bell);
}

typedef struct cast {
    int takers, putters, borrowers; /* tasks */
    coir_fn *take, *put;            /* one thread each, if not NULL */
} cast;

static void run_storm(const cast *k, bool disturbed, size_t capacity, int rounds)
{
    coir_group g;
    test_thread t[2];
    storm s = {.bell = BELL_INIT, .rounds = rounds, .disturbed = disturbed};
    int elements = (k->putters + (k->put != NULL)) * rounds;
    CHECK((s.c = coir_chan_new(sizeof(int), capacity)) != NULL);
    CHECK((s.b = coir_broadcast_new(sizeof(int), 4)) != NULL);
    CHECK((s.seen = calloc((size_t)elements, sizeof *s.seen)) != NULL);
    atomic_store(&s.left, k->putters + (k->put != NULL));
    coir_group_begin(&g, 0);
    if (k->take)
        thread_start(&t[0], k->take, &s);
    for (int i = 0; i < k->takers; i++)
        CHECK_EQ(coir_spawn(&g, take_all, &s), 0);
    await_value(&s.ready, k->takers + (k->take != NULL)); /* all hear all items */
    for (int i = 0; i < k->borrowers; i++)
        CHECK_EQ(coir_spawn(&g, borrow, &s), 0);
    for (int i = 0; i < k->putters; i++)
        CHECK_EQ(coir_spawn(&g, put_all, &s), 0);
    if (k->put)
        thread_start(&t[1], k->put, &s);
    CHECK_EQ(coir_group_end(&g), 0);
    if (k->take)
        CHECK_EQ(thread_finish(&t[0]), 0);
    if (k->put)
        CHECK_EQ(thread_finish(&t[1]), 0);
    check_sums(&s);
    coir_chan_free(s.c);
    coir_broadcast_free(s.b);
    free((void *)s.seen);
}

TASK_TEST(what_is_put_in_comes_out_once_among_tasks)
{
    static const cast k = {.takers = 6, .putters = 4};
    run_storm(&k, false, 0, rounds_of(10000));
    run_storm(&k, false, 3, rounds_of(10000));
}

TASK_TEST(what_is_put_in_comes_out_once_while_selects_time_out)
{
    static const cast k = {.takers = 6, .putters = 4, .borrowers = 2};
    run_storm(&k, true, 0, rounds_of(6000));
    run_storm(&k, true, 3, rounds_of(6000));
}

TASK_TEST(what_is_put_in_comes_out_once_among_tasks_and_threads)
{
    static const cast k = {.takers = 3, .putters = 2, .take = take_all, .put = put_all};
    run_storm(&k, true, 0, rounds_of(4000));
}

TASK_TEST(what_is_put_in_comes_out_once_among_runtimes)
{
    static const cast k = {.takers = 3, .putters = 2, .take = run_take_all, .put = run_put_all};
    run_storm(&k, true, 1, rounds_of(4000));
}

TEST_MAIN("select_storm_objects")
