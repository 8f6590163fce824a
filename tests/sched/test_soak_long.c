/* SPDX-License-Identifier: MIT */
/* test_soak_long.c - a million spawns and waits, mixed, with migration. */
#include "sched_test.h"

#include "base/rng.h"

COIR_CHAN_TYPE(longs, long)

typedef struct soak {
    longs *c;
    coir_mutex lock;
    coir_event pulse;
    long guarded; /* under lock */
    atomic_long sent, received;
    atomic_long progress;
    long steps; /* of each task */
} soak;

typedef struct walker {
    soak *s;
    uint64_t seed;
    int depth;
} walker;

static int walk(void *arg);

static void spawn_below(walker *w, coir__rng *rng)
{
    coir_group g;
    coir_task t;
    coir_group_begin(&g, coir__rng_below(rng, 2) ? COIR_GROUP_ISOLATE : 0);
    for (uint32_t n = coir__rng_below(rng, 4); n > 0; n--) {
        walker child = {w->s, w->seed * 31 + coir__rng_next(rng), w->depth - 1};
        CHECK_EQ(coir_spawn_copy(&g, walk, &child, sizeof child), 0);
    }
    walker joined = {w->s, coir__rng_next(rng), 0};
    CHECK_EQ(coir_spawn_with(&g, NULL, walk, &joined, &t), 0);
    if (coir__rng_below(rng, 4) == 0)
        coir_cancel(t, "at random");
    if (coir__rng_below(rng, 2))
        CHECK_EQ(coir_join(t, NULL), 0);
    int rc = coir_group_end(&g);
    CHECK(rc == 0 || rc == -ECANCELED);
}

static void select_either(soak *s)
{
    long in = 1, out = 0;
    coir_case cases[] = {COIR_SEND(longs_chan(s->c), &in), COIR_RECV(longs_chan(s->c), &out),
                         COIR_AFTER(COIR_US(50))};
    int i = coir_select(cases, 3);
    if (i == 0 && cases[0].result == 0)
        atomic_fetch_add(&s->sent, 1);
    if (i == 1 && cases[1].result == 0)
        atomic_fetch_add(&s->received, out);
}

static void one_step(walker *w, coir__rng *rng)
{
    soak *s = w->s;
    long value = 1;
    coir_scope scope;
    switch (coir__rng_below(rng, 10)) {
    case 0:
        if (w->depth > 0)
            spawn_below(w, rng);
        break;
    case 1:
        if (coir_mutex_lock(&s->lock) == 0) {
            long n = s->guarded;
            coir_yield();
            s->guarded = n + 1;
            coir_mutex_unlock(&s->lock);
        }
        break;
    case 2:
        coir_sleep(coir__rng_below(rng, 2000));
        break;
    case 3:
        select_either(s);
        break;
    case 4:
        if (longs_try_send(s->c, 1) == 0)
            atomic_fetch_add(&s->sent, 1);
        break;
    case 5:
        if (longs_try_recv(s->c, &value) == 0)
            atomic_fetch_add(&s->received, value);
        break;
    case 6:
        coir_scope_begin(&scope, coir__rng_below(rng, 3000));
        value = coir_scope_end(&scope, coir_event_wait(&s->pulse));
        CHECK(value == 0 || value == -ETIMEDOUT || value == -ECANCELED);
        break;
    case 7:
        if (coir__rng_below(rng, 2))
            coir_event_set(&s->pulse);
        else
            coir_event_reset(&s->pulse);
        break;
    default:
        coir_yield();
        break;
    }
}

static int walk(void *arg)
{
    walker w = *(walker *)arg;
    coir__rng rng;
    coir__rng_init(&rng, w.seed);
    for (long i = 0; i < (w.depth ? w.s->steps : 5) && coir_check() == 0; i++) {
        one_step(&w, &rng);
        atomic_fetch_add_explicit(&w.s->progress, 1, memory_order_relaxed);
    }
    return coir_check();
}

static int soak_run(void *arg)
{
    long wanted = *(long *)arg;
    soak s = {.lock = COIR_MUTEX_INIT, .pulse = COIR_EVENT_INIT, .steps = 200};
    watchdog dog;
    CHECK((s.c = longs_new(8)) != NULL);
    watchdog_begin(&dog, &s.progress);
    for (uint64_t seed = 1; atomic_load(&s.progress) < wanted; seed++) {
        coir_group g;
        coir_group_begin(&g, 0);
        for (uint64_t i = 0; i < 32; i++) {
            walker w = {&s, seed * 1000 + i, 2};
            CHECK_EQ(coir_spawn_copy(&g, walk, &w, sizeof w), 0);
        }
        CHECK_EQ(coir_group_end(&g), 0);
    }
    watchdog_end(&dog);
    long left = (long)longs_len(s.c);
    CHECK_EQ(atomic_load(&s.sent),
             atomic_load(&s.received) + left); /* nothing lost, nothing twice */
    longs_free(s.c);
    return 0;
}

static long steps(void) { return 1000000 / (harness_scale() * harness_scale()); }

TEST_TIMEOUT(a_million_steps_on_the_workers_of_the_environment, 300)
{
    long n = steps();
    CHECK_EQ(coir_run(NULL, soak_run, &n), 0);
}

TEST_TIMEOUT(a_million_steps_while_every_task_migrates, 300)
{
    long n = steps();
    CHECK_EQ(run_migrating(4, soak_run, &n), 0);
}

TEST_MAIN("sched_soak_long")
