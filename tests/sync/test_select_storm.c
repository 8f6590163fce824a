/* SPDX-License-Identifier: MIT */
/*
 * test_select_storm.c - crowds that meet through select only. Every item must arrive exactly once, whatever is cancelled
 * or timed out meanwhile.
 */
#include "sync/wait_tools.h"

#define CHANNELS 4

typedef struct storm {
    coir_chan *c[CHANNELS];
    int total;
    _Atomic int next; /* item to send */
    _Atomic int received;
    _Atomic int stop; /* for whoever disturbs */
    _Atomic unsigned char *seen;
    bool disturbed;
} storm;

static void storm_begin(storm *s, size_t capacity, int total, bool disturbed)
{
    *s = (storm){.total = total, .disturbed = disturbed};
    for (int i = 0; i < CHANNELS; i++)
        CHECK((s->c[i] = coir_chan_new(sizeof(int), capacity ? capacity + (size_t)i : 0)) != NULL);
    CHECK((s->seen = calloc((size_t)total, sizeof *s->seen)) != NULL);
}

static void storm_end(storm *s)
{
    CHECK_EQ(s->received, s->total);
    for (int i = 0; i < s->total; i++)
        CHECK_EQ(s->seen[i], 1);
    for (int i = 0; i < CHANNELS; i++)
        coir_chan_free(s->c[i]);
    free((void *)s->seen);
}

static void note_item(storm *s, int item)
{
    CHECK(item >= 0 && item < s->total);
    CHECK_EQ(atomic_fetch_add(&s->seen[item], 1), 0);
    if (atomic_fetch_add(&s->received, 1) + 1 < s->total)
        return;
    atomic_store(&s->stop, 1);
    for (int i = 0; i < CHANNELS; i++)
        coir_chan_close(s->c[i]);
}

static int next_item(storm *s)
{
    int item = atomic_fetch_add(&s->next, 1);
    return item < s->total ? item : -1;
}

static dice dice_for(storm *s)
{
    return (dice){(uint64_t)atomic_fetch_add(&s->next, 0) + coir_task_id(coir_self())};
}

/* One select, now and then in a scope that ends it early. */
static int disturbed_select(storm *s, dice *d, coir_case *cases, size_t n)
{
    coir_scope scope;
    if (!s->disturbed || dice_below(d, 2))
        return coir_select(cases, n);
    coir_scope_begin(&scope, dice_below(d, 8) ? COIR_US(dice_below(d, 60)) : COIR_MS(20));
    int rc = coir_select(cases, n);
    int end = coir_scope_end(&scope, rc);
    CHECK(end == rc || (rc == -ECANCELED && end == -ETIMEDOUT));
    return rc;
}

/* -- parts -------------------------------------------------------------------------------------------------- */

static int produce(void *arg)
{
    storm *s = arg;
    dice d = dice_for(s);
    coir_case cases[CHANNELS];
    int item = next_item(s);
    while (item >= 0) {
        for (int i = 0; i < CHANNELS; i++)
            cases[i] = COIR_SEND(s->c[i], &item);
        int rc = disturbed_select(s, &d, cases, CHANNELS);
        if (rc >= 0) {
            CHECK_EQ(cases[rc].result, 0);
            item = next_item(s);
        } else {
            CHECK_EQ(rc, -ECANCELED);
        }
    }
    return 0;
}

static int consume(void *arg)
{
    storm *s = arg;
    dice d = dice_for(s);
    coir_case cases[CHANNELS];
    int got[CHANNELS];
    for (;;) {
        for (int i = 0; i < CHANNELS; i++) {
            got[i] = -1;
            cases[i] = COIR_RECV(s->c[i], &got[i]);
        }
        int rc = disturbed_select(s, &d, cases, CHANNELS);
        for (int i = 0; i < CHANNELS; i++)
            CHECK(i == rc || got[i] == -1);
        if (rc == -ECANCELED)
            continue;
        CHECK_GE(rc, 0);
        if (cases[rc].result == -EPIPE)
            return 0;
        CHECK_EQ(cases[rc].result, 0);
        note_item(s, got[rc]);
    }
}

/* Offers its item to all and takes whatever comes, in one select. */
static int trade(void *arg)
{
    storm *s = arg;
    dice d = dice_for(s);
    coir_case cases[2 * CHANNELS];
    int got[CHANNELS];
    int item = next_item(s);
    for (;;) {
        for (int i = 0; i < CHANNELS; i++) {
            cases[i] = COIR_RECV(s->c[i], &got[i]);
            cases[CHANNELS + i] = COIR_SEND(item >= 0 ? s->c[i] : NULL, &item);
        }
        int rc = disturbed_select(s, &d, cases, 2 * CHANNELS);
        if (rc == -ECANCELED)
            continue;
        CHECK_GE(rc, 0);
        if (cases[rc].result == -EPIPE)
            return 0;
        CHECK_EQ(cases[rc].result, 0);
        if (rc < CHANNELS)
            note_item(s, got[rc]);
        else
            item = next_item(s);
    }
}

/* Sends and receives without select, against those who use it. */
static int produce_plainly(void *arg)
{
    storm *s = arg;
    dice d = dice_for(s);
    for (int item; (item = next_item(s)) >= 0;)
        CHECK_EQ(coir_chan_send(s->c[dice_below(&d, CHANNELS)], &item), 0);
    return 0;
}

/* -- undisturbed -------------------------------------------------------------------------------------------- */

static void run_storm(coir_fn *producer, int producers, coir_fn *consumer, int consumers,
                      size_t capacity, int total)
{
    storm s;
    coir_group g;
    storm_begin(&s, capacity, total, false);
    coir_group_begin(&g, 0);
    for (int i = 0; i < producers; i++)
        CHECK_EQ(coir_spawn(&g, producer, &s), 0);
    for (int i = 0; i < consumers; i++)
        CHECK_EQ(coir_spawn(&g, consumer, &s), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    storm_end(&s);
}

TASK_TEST(every_item_arrives_once_between_selects_at_rendezvous)
{
    run_storm(produce, 7, consume, 5, 0, rounds_of(60000));
}

TASK_TEST(every_item_arrives_once_between_selects_through_buffers)
{
    run_storm(produce, 5, consume, 7, 1, rounds_of(60000));
}

TASK_TEST(every_item_arrives_once_among_selects_that_do_both)
{
    run_storm(trade, 8, trade, 1, 0, rounds_of(30000));
    run_storm(trade, 8, trade, 1, 2, rounds_of(30000));
}

TASK_TEST(two_selects_that_do_both_keep_going)
{
    run_storm(trade, 1, trade, 1, 0, rounds_of(30000));
}

TASK_TEST(every_item_arrives_once_from_plain_senders_to_selects)
{
    run_storm(produce_plainly, 7, consume, 5, 0, rounds_of(60000));
}

/* -- disturbed ---------------------------------------------------------------------------------------------- */

/* A part whose work runs in a scope that is cancelled again and again. */
typedef struct victim {
    storm *s;
    coir_fn *fn; /* produces or consumes one item */
    coir_scope *_Atomic scope;
    coir_mutex lock; /* keeps the scope from ending while it is being cancelled */
    int item;
} victim;

static int produce_one(void *arg)
{
    victim *v = arg;
    coir_case cases[CHANNELS];
    for (int i = 0; i < CHANNELS; i++)
        cases[i] = COIR_SEND(v->s->c[i], &v->item);
    int rc = coir_select(cases, CHANNELS);
    return rc < 0 ? rc : cases[rc].result;
}

static int consume_one(void *arg)
{
    victim *v = arg;
    coir_case cases[CHANNELS];
    for (int i = 0; i < CHANNELS; i++)
        cases[i] = COIR_RECV(v->s->c[i], &v->item);
    int rc = coir_select(cases, CHANNELS);
    return rc < 0 ? rc : cases[rc].result;
}

static int run_one(victim *v)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    atomic_store(&v->scope, &s);
    int rc = v->fn(v);
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    CHECK_EQ(coir_mutex_lock(&v->lock), 0);
    atomic_store(&v->scope, NULL);
    coir_mutex_unlock(&v->lock);
    coir_shield_end(&shield);
    return coir_scope_end(&s, rc);
}

static int victim_produce(void *arg)
{
    victim *v = arg;
    v->fn = produce_one;
    v->item = next_item(v->s);
    while (v->item >= 0) {
        int rc = run_one(v);
        CHECK(rc == 0 || rc == -ECANCELED);
        if (rc == 0)
            v->item = next_item(v->s);
    }
    return 0;
}

static int victim_consume(void *arg)
{
    victim *v = arg;
    v->fn = consume_one;
    for (;;) {
        int rc = run_one(v);
        if (rc == -EPIPE)
            return 0;
        CHECK(rc == 0 || rc == -ECANCELED);
        if (rc == 0)
            note_item(v->s, v->item);
    }
}

#define VICTIMS 8

typedef struct tormentor {
    storm *s;
    victim *victims;
} tormentor;

static int torment(void *arg)
{
    tormentor *t = arg;
    dice d = {7};
    while (!atomic_load(&t->s->stop)) {
        victim *v = &t->victims[dice_below(&d, VICTIMS)];
        CHECK_EQ(coir_mutex_lock(&v->lock), 0);
        coir_scope *s = atomic_load(&v->scope);
        if (s)
            coir_scope_cancel(s, "storm");
        coir_mutex_unlock(&v->lock);
        for (uint32_t i = dice_below(&d, 4); i > 0; i--)
            coir_yield();
    }
    return 0;
}

static void run_with_cancels(size_t capacity, bool from_thread)
{
    storm s;
    coir_group g;
    test_thread thread;
    victim *v = calloc(VICTIMS, sizeof *v);
    tormentor t = {&s, v};
    storm_begin(&s, capacity, rounds_of(20000), false);
    coir_group_begin(&g, 0);
    for (int i = 0; i < VICTIMS; i++) {
        v[i].s = &s;
        CHECK_EQ(coir_spawn(&g, i % 2 ? victim_produce : victim_consume, &v[i]), 0);
    }
    if (from_thread)
        thread_start(&thread, torment, &t);
    else
        CHECK_EQ(coir_spawn(&g, torment, &t), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    if (from_thread)
        CHECK_EQ(thread_finish(&thread), 0);
    storm_end(&s);
    free(v);
}

TASK_TEST(every_item_arrives_once_while_selects_are_cancelled)
{
    run_with_cancels(0, false);
    run_with_cancels(2, false);
}

TASK_TEST(every_item_arrives_once_while_a_thread_cancels_selects) { run_with_cancels(0, true); }

static void run_with_timeouts(size_t capacity, int total)
{
    storm s;
    coir_group g;
    storm_begin(&s, capacity, total, true);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(coir_spawn(&g, produce, &s), 0);
        CHECK_EQ(coir_spawn(&g, consume, &s), 0);
        CHECK_EQ(coir_spawn(&g, trade, &s), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    storm_end(&s);
}

TASK_TEST(every_item_arrives_once_while_selects_time_out)
{
    run_with_timeouts(0, rounds_of(20000));
    run_with_timeouts(2, rounds_of(20000));
}

/* -- threads ------------------------------------------------------------------------------------------------ */

TASK_TEST(every_item_arrives_once_between_tasks_and_threads)
{
    storm s;
    coir_group g;
    test_thread threads[2];
    storm_begin(&s, 0, rounds_of(10000), true);
    coir_group_begin(&g, 0);
    thread_start(&threads[0], trade, &s);
    thread_start(&threads[1], consume, &s);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_spawn(&g, trade, &s), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(thread_finish(&threads[i]), 0);
    storm_end(&s);
}

TEST_MAIN("select_storm")
