/* SPDX-License-Identifier: MIT */
/* test_ring.c - tokens going round: 2N tasks over N workers, every wait kind, with a watchdog on the progress. */
#include "sched_test.h"

COIR_CHAN_TYPE(tokens, long)

typedef struct station {
    tokens *in, *out;
    atomic_long *passes;
    long last; /* the token that ends it all */
} station;

static int pass_on(void *arg)
{
    station *s = arg;
    long token;
    int rc;
    while ((rc = tokens_recv(s->in, &token)) == 0) {
        atomic_fetch_add_explicit(s->passes, 1, memory_order_relaxed);
        if (token >= s->last)
            break;
        CHECK_EQ(tokens_send(s->out, token + 1), 0);
    }
    CHECK(rc == 0 || rc == -EPIPE);
    tokens_close(s->out);
    return 0;
}

typedef struct circle {
    int tasks;
    size_t capacity;
    long last;
} circle;

static int run_circle(void *arg)
{
    circle *c = arg;
    station stations[16];
    tokens *chans[16];
    atomic_long passes = 0;
    watchdog dog;
    coir_group g;
    watchdog_begin(&dog, &passes);
    for (int i = 0; i < c->tasks; i++)
        CHECK((chans[i] = tokens_new(c->capacity)) != NULL);
    coir_group_begin(&g, 0);
    for (int i = 0; i < c->tasks; i++) {
        stations[i] = (station){chans[i], chans[(i + 1) % c->tasks], &passes, c->last};
        CHECK_EQ(coir_spawn(&g, pass_on, &stations[i]), 0);
    }
    CHECK_EQ(tokens_send(chans[0], 0), 0);
    /* The last pass closes the next channel, whose receiver closes the next, and so on round. */
    int rc = coir_group_end(&g);
    for (int i = 0; i < c->tasks; i++)
        tokens_free(chans[i]);
    watchdog_end(&dog);
    CHECK_GE(atomic_load(&passes), c->last);
    return rc;
}

static void circle_on(unsigned workers, size_t capacity, bool migrating)
{
    circle c = {.tasks = (int)(2 * workers), .capacity = capacity};
    c.last = (migrating ? 10000 : 60000) / harness_scale();
    if (migrating)
        CHECK_EQ(run_migrating(workers, run_circle, &c), 0);
    else
        CHECK_EQ(run_on(workers, run_circle, &c), 0);
}

TEST_TIMEOUT(one_token_goes_round_over_rendezvous_channels, 60)
{
    for (unsigned workers = 1; workers <= 4; workers++)
        circle_on(workers, 0, false);
}

TEST_TIMEOUT(one_token_goes_round_over_buffered_channels, 60)
{
    for (unsigned workers = 1; workers <= 4; workers++)
        circle_on(workers, 2, false);
}

TEST_TIMEOUT(one_token_goes_round_while_every_task_migrates, 60)
{
    circle_on(2, 0, true);
    circle_on(4, 1, true);
}

/* -- a ring of events --------------------------------------------------------------------------------------- */

typedef struct segment {
    coir_event *in, *out;
    atomic_long *passes;
    int rounds;
} segment;

static int follow(void *arg)
{
    segment *l = arg;
    for (int i = 0; i < l->rounds; i++) {
        CHECK_EQ(coir_event_wait(l->in), 0);
        coir_event_reset(l->in);
        atomic_fetch_add_explicit(l->passes, 1, memory_order_relaxed);
        coir_event_set(l->out);
    }
    return 0;
}

static int run_events(void *arg)
{
    int tasks = *(int *)arg;
    coir_event events[16] = {COIR_EVENT_INIT};
    segment links[16];
    atomic_long passes = 0;
    watchdog dog;
    coir_group g;
    watchdog_begin(&dog, &passes);
    coir_group_begin(&g, 0);
    for (int i = 0; i < tasks; i++) {
        links[i] = (segment){&events[i], &events[(i + 1) % tasks], &passes, 5000 / harness_scale()};
        CHECK_EQ(coir_spawn(&g, follow, &links[i]), 0);
    }
    coir_event_set(&events[0]);
    int rc = coir_group_end(&g);
    watchdog_end(&dog);
    return rc;
}

TEST_TIMEOUT(a_ring_of_events_goes_round, 60)
{
    for (int workers = 1; workers <= 4; workers++) {
        int tasks = 2 * workers;
        CHECK_EQ(run_on((unsigned)workers, run_events, &tasks), 0);
    }
    int tasks = 8;
    CHECK_EQ(run_migrating(4, run_events, &tasks), 0);
}

/* -- pairs in mixed weather --------------------------------------------------------------------------------- */

typedef struct pair {
    tokens *there, *back;
    atomic_long *passes;
    int rounds;
} pair;

static int serve(void *arg)
{
    pair *p = arg;
    long token;
    for (int i = 0; i < p->rounds; i++) {
        CHECK_EQ(tokens_recv(p->there, &token), 0);
        CHECK_EQ(token, i);
        CHECK_EQ(tokens_send(p->back, token), 0);
    }
    return 0;
}

static int ask(void *arg)
{
    pair *p = arg;
    for (int i = 0; i < p->rounds; i++) {
        long token = i, got = -1;
        if (i % 16 == 0)
            coir_yield();
        if (i % 64 == 0)
            CHECK_EQ(coir_sleep(1), 0);
        coir_case cases[] = {COIR_SEND(tokens_chan(p->there), &token), COIR_AFTER(COIR_FOREVER)};
        CHECK_EQ(coir_select(cases, 2), 0);
        CHECK_EQ(tokens_recv(p->back, &got), 0);
        CHECK_EQ(got, i);
        atomic_fetch_add_explicit(p->passes, 1, memory_order_relaxed);
    }
    return 0;
}

static int run_pairs(void *arg)
{
    enum { PAIRS = 8 };
    pair pairs[PAIRS];
    atomic_long passes = 0;
    watchdog dog;
    coir_group g;
    watchdog_begin(&dog, &passes);
    coir_group_begin(&g, 0);
    for (int i = 0; i < PAIRS; i++) {
        pairs[i] = (pair){tokens_new((size_t)i % 3), tokens_new((size_t)i % 2), &passes,
                          *(int *)arg};
        CHECK(pairs[i].there && pairs[i].back);
        CHECK_EQ(coir_spawn(&g, serve, &pairs[i]), 0);
        CHECK_EQ(coir_spawn(&g, ask, &pairs[i]), 0);
    }
    int rc = coir_group_end(&g);
    for (int i = 0; i < PAIRS; i++) {
        tokens_free(pairs[i].there);
        tokens_free(pairs[i].back);
    }
    watchdog_end(&dog);
    return rc;
}

TEST_TIMEOUT(pairs_that_ask_and_answer_make_progress, 60)
{
    int rounds = 3000 / harness_scale();
    for (unsigned workers = 1; workers <= 4; workers++)
        CHECK_EQ(run_on(workers, run_pairs, &rounds), 0);
    rounds /= 4;
    CHECK_EQ(run_migrating(4, run_pairs, &rounds), 0);
}

TEST_MAIN("sched_ring")
