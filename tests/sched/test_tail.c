/* SPDX-License-Identifier: MIT */
/*
 * test_tail.c - a ring by itself: its owner pushes, takes at both ends and turns the order round, while thieves take at
 * the head. Every task is taken once for each time that it was pushed.
 */
#include "sched_test.h"

#include "sched/runtime.h"

enum { TASKS = 48, THIEVES = 2, ROUNDS = SCHED_TSAN ? 30000 : 300000 };

typedef struct bench {
    coir__runtime rt; /* as far as a push looks at it: nobody sleeps */
    coir__worker owner, thieves[THIEVES];
    coir__task tasks[TASKS];
    atomic_int queued[TASKS];
    atomic_int over;
} bench;

static void take(bench *b, coir__task *t)
{
    CHECK_EQ(atomic_exchange(&b->queued[t - b->tasks], 0), 1);
}

typedef struct thief {
    bench *b;
    coir__worker *w;
    long stolen;
} thief;

static void steal_some(thief *th)
{
    coir__task *t = coir__ring_steal(&th->b->owner, th->w);
    if (!t)
        return;
    do {
        take(th->b, t);
        th->stolen++;
    } while ((t = coir__ring_pop(th->w)) != NULL);
}

static void *steal_until_over(void *arg)
{
    thief *th = arg;
    while (!atomic_load(&th->b->over))
        steal_some(th);
    return NULL;
}

static void push_free(bench *b, unsigned n)
{
    static unsigned next;
    for (unsigned i = 0; i < n; i++) {
        unsigned k = next++ % TASKS;
        if (atomic_load(&b->queued[k]))
            continue;
        atomic_store(&b->queued[k], 1);
        coir__ring_push(&b->owner, &b->tasks[k]);
    }
}

/* Families of 1 to 8 on what is left of others; the deep ones are taken, sometimes an old one. */
static void own(bench *b)
{
    coir__rng rng;
    coir__rng_init(&rng, 1);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned n = 1 + coir__rng_below(&rng, 8);
        push_free(b, n);
        coir__ring_deepen(&b->owner, n);
        for (unsigned k = coir__rng_below(&rng, 10); k > 0; k--) {
            coir__task *t = k == 5 ? coir__ring_pop(&b->owner) : coir__ring_pop_deep(&b->owner);
            if (t)
                take(b, t);
        }
        if (i % 4096 == 0)
            sched_yield(); /* where there is one processor only */
    }
}

TEST(a_ring_loses_nothing_and_gives_nothing_twice)
{
    bench *b = aligned_alloc(64, (sizeof *b + 63) / 64 * 64);
    CHECK(b != NULL);
    memset(b, 0, sizeof *b);
    b->owner.runtime = &b->rt;
    pthread_t threads[THIEVES];
    thief thieves[THIEVES];
    for (int i = 0; i < THIEVES; i++) {
        b->thieves[i].runtime = &b->rt;
        thieves[i] = (thief){b, &b->thieves[i], 0};
        threads[i] = thread_start(steal_until_over, &thieves[i]);
    }
    own(b);
    atomic_store(&b->over, 1);
    for (int i = 0; i < THIEVES; i++)
        thread_finish(threads[i]);
    coir__task *t;
    while ((t = coir__ring_pop(&b->owner)) != NULL)
        take(b, t);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(atomic_load(&b->queued[i]), 0);
    free(b);
}

TEST_MAIN("sched_tail")
