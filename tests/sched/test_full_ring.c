/* SPDX-License-Identifier: MIT */
/* test_full_ring.c - more tasks than a worker's ring has places: those behind it have their turn, and in their order. */
#include "sched_test.h"

#include <coir/loop.h>

enum { BEHIND = 600 }; /* runnable at once: two rings and more */

/* -- turns ---------------------------------------------------------------------------------------------------- */

typedef struct crowd {
    coir_chan *there, *back;
    int done;
} crowd;

static int count(void *arg)
{
    ((crowd *)arg)->done++;
    return 0;
}

/* Two that wake each other, by the slot for what was woken last, until all the others have run. */
static int ping(void *arg)
{
    crowd *c = arg;
    int rc = 0;
    while (rc == 0 && c->done < BEHIND) {
        rc = coir_chan_send(c->there, NULL);
        if (rc == 0)
            rc = coir_chan_recv(c->back, NULL);
    }
    coir_chan_close(c->there);
    return rc;
}

static int pong(void *arg)
{
    crowd *c = arg;
    while (coir_chan_recv(c->there, NULL) == 0)
        CHECK_EQ(coir_chan_send(c->back, NULL), 0);
    return 0;
}

static void spawn_crowd(coir_group *g, crowd *c, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_spawn(g, count, c), 0);
}

static int pair_in_crowd(void *arg)
{
    int before = *(int *)arg;
    crowd c = {coir_chan_new(0, 0), coir_chan_new(0, 0), 0};
    coir_group g;
    coir_group_begin(&g, 0);
    spawn_crowd(&g, &c, before);
    CHECK_EQ(coir_spawn(&g, ping, &c), 0);
    CHECK_EQ(coir_spawn(&g, pong, &c), 0);
    spawn_crowd(&g, &c, BEHIND - before);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.done, BEHIND);
    coir_chan_free(c.there);
    coir_chan_free(c.back);
    return 0;
}

TEST(on_one_worker_two_that_wake_each_other_keep_nobody_behind_the_ring_waiting)
{
    for (int before = 0; before < 256; before++) /* at some of them the ring ends with the pair */
        CHECK_EQ(run_on(1, pair_in_crowd, &before), 0);
}

/* -- order ---------------------------------------------------------------------------------------------------- */

enum { SLEEPERS = 20, LEADS = 130 };

static int64_t clock_time;

static int64_t clock_now(void *arg)
{
    (void)arg;
    return clock_time;
}

typedef struct row {
    int64_t begin;
    int awake;
    int passed; /* of the crowd */
} row;

typedef struct place {
    row *r;
    int n;
} place;

static int sleep_in_row(void *arg)
{
    place *p = arg;
    CHECK_EQ(coir_sleep_until(p->r->begin + (p->n + 1) * COIR_MS(1)), 0);
    CHECK_EQ(p->r->awake++, p->n);
    return 0;
}

/* One of them lets the time of all sleepers pass. */
static int pass(void *arg)
{
    row *r = arg;
    if (++r->passed == 200)
        clock_time += COIR_S(1);
    return 0;
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* The worker looks at its timers every so many turns: `lead` moves that to any place in the ring. */
static int wake_behind_crowd(void *arg)
{
    int lead = *(int *)arg;
    row r = {.begin = coir_now()};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < SLEEPERS; i++) {
        place p = {&r, i};
        CHECK_EQ(coir_spawn_copy(&g, sleep_in_row, &p, sizeof p), 0);
    }
    for (int i = 0; i < lead; i++) {
        CHECK_EQ(coir_spawn(&g, do_nothing, NULL), 0);
        coir_yield();
    }
    for (int i = 0; i < BEHIND; i++)
        CHECK_EQ(coir_spawn(&g, pass, &r), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(r.awake, SLEEPERS);
    return 0;
}

TEST(on_one_worker_sleepers_wake_in_their_order_into_whatever_is_left_of_a_crowd)
{
    coir_clock clock = {.now = clock_now};
    coir_options o = {.workers = 1, .clock = &clock};
    unsetenv("COIR_WORKERS");
    clock_time = COIR_S(1000);
    for (int lead = 0; lead < LEADS; lead++)
        CHECK_EQ(coir_run(&o, wake_behind_crowd, &lead), 0);
}

TEST_MAIN("sched_full_ring")
