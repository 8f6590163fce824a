/* SPDX-License-Identifier: MIT */
/* test_lock.c - the lock inside every object, the fence beside it, and the futex. */
#include "support/harness.h"

#include <pthread.h>

#include "base/fence.h"
#include "base/futex.h"
#include "base/lock.h"
#include "base/time.h"

#define THREADS 4

static void start(pthread_t *threads, int n, void *(*fn)(void *), void *arg)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, fn, arg), 0);
}

static void finish(pthread_t *threads, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

TEST(a_zeroed_lock_is_free)
{
    coir__lock lock = {0};
    CHECK(coir__lock_try(&lock));
}

TEST(a_taken_lock_is_refused_until_dropped)
{
    coir__lock lock = {0};
    coir__lock_take(&lock);
    CHECK(!coir__lock_try(&lock));
    CHECK(!coir__lock_try(&lock));
    coir__lock_drop(&lock);
    CHECK(coir__lock_try(&lock));
}

/* Plain numbers: a sanitizer sees it if the lock orders nothing. */
typedef struct counted {
    coir__lock lock;
    int rounds;
    long sum;
    long twin;
} counted;

static void *count_up(void *arg)
{
    counted *c = arg;
    for (int i = 0; i < c->rounds; i++) {
        coir__lock_take(&c->lock);
        CHECK_EQ(c->sum, c->twin);
        c->sum++;
        c->twin++;
        coir__lock_drop(&c->lock);
    }
    return NULL;
}

TEST(threads_exclude_each_other)
{
    counted c = {.rounds = 100000 / harness_scale()};
    pthread_t threads[THREADS];
    start(threads, THREADS, count_up, &c);
    finish(threads, THREADS);
    CHECK_EQ(c.sum, (long)THREADS * c.rounds);
}

static void *try_count_up(void *arg)
{
    counted *c = arg;
    for (int done = 0; done < c->rounds;) {
        if (!coir__lock_try(&c->lock)) {
            coir__spin(70); /* gives the processor up */
            continue;
        }
        c->sum++;
        c->twin++;
        coir__lock_drop(&c->lock);
        done++;
    }
    return NULL;
}

TEST(threads_that_only_try_exclude_each_other)
{
    counted c = {.rounds = 30000 / harness_scale()};
    pthread_t threads[THREADS];
    start(threads, THREADS, try_count_up, &c);
    finish(threads, THREADS);
    CHECK_EQ(c.sum, (long)THREADS * c.rounds);
}

static void *take_once(void *arg)
{
    counted *c = arg;
    coir__lock_take(&c->lock);
    c->sum++;
    coir__lock_drop(&c->lock);
    return NULL;
}

/* Long enough for every step of the waiting: pause, yield, nap. */
TEST(a_lock_held_for_long_is_waited_for)
{
    counted c = {.rounds = 0};
    pthread_t threads[THREADS];
    coir__lock_take(&c.lock);
    start(threads, THREADS, take_once, &c);
    for (unsigned round = 0; round < 100; round++)
        coir__spin(round);
    CHECK_EQ(c.sum, 0);
    coir__lock_drop(&c.lock);
    finish(threads, THREADS);
    CHECK_EQ(c.sum, THREADS);
}

/* -- the asymmetric fence ----------------------------------------------------------------------------------- */

typedef struct duel {
    int rounds;
    _Atomic uint32_t turn;
    _Atomic uint32_t light, heavy; /* the two words */
    _Atomic uint32_t light_saw, heavy_saw;
    _Atomic uint32_t done;
} duel;

static void await_turn(duel *d, uint32_t turn)
{
    for (unsigned round = 0; atomic_load_explicit(&d->turn, memory_order_acquire) < turn;)
        coir__spin(round < 79 ? round++ : 79);
}

static void *light_side(void *arg)
{
    duel *d = arg;
    for (int i = 0; i < d->rounds; i++) {
        await_turn(d, (uint32_t)i + 1);
        atomic_store_explicit(&d->light, 1, memory_order_relaxed);
        coir__fence_light();
        uint32_t saw = atomic_load_explicit(&d->heavy, memory_order_relaxed);
        atomic_store_explicit(&d->light_saw, saw, memory_order_relaxed);
        atomic_store_explicit(&d->done, (uint32_t)i + 1, memory_order_release);
    }
    return NULL;
}

static void duel_fight(duel *d)
{
    pthread_t thread;
    coir__fence_init();
    start(&thread, 1, light_side, d);
    for (int i = 0; i < d->rounds; i++) {
        atomic_store(&d->light, 0);
        atomic_store(&d->heavy, 0);
        atomic_store_explicit(&d->turn, (uint32_t)i + 1, memory_order_release);
        atomic_store_explicit(&d->heavy, 1, memory_order_relaxed);
        coir__fence_heavy();
        uint32_t saw = atomic_load_explicit(&d->light, memory_order_relaxed);
        while (atomic_load_explicit(&d->done, memory_order_acquire) < (uint32_t)i + 1)
            coir__spin(70);
        CHECK(saw || atomic_load_explicit(&d->light_saw, memory_order_relaxed));
    }
    finish(&thread, 1);
}

TEST(of_two_sides_of_a_fence_one_sees_the_other)
{
    duel d = {.rounds = 20000 / harness_scale()};
    duel_fight(&d);
}

TEST(without_membarrier_the_fence_works_too)
{
    duel d = {.rounds = 20000 / harness_scale()};
    coir__fence_init();
    coir__fence_needed = true;
    duel_fight(&d);
}

/* -- futex -------------------------------------------------------------------------------------------------- */

TEST(a_futex_sleep_on_another_value_returns)
{
    _Atomic uint32_t word = 1;
    coir__futex_sleep(&word, 0, COIR_FOREVER);
    CHECK_EQ(atomic_load(&word), 1);
}

TEST(a_futex_sleep_ends_at_its_deadline)
{
    _Atomic uint32_t word = 0;
    int64_t deadline = coir__time_now() + COIR_MS(5);
    while (coir__time_now() < deadline)
        coir__futex_sleep(&word, 0, deadline);
    coir__futex_sleep(&word, 0, 0);
    coir__futex_sleep(&word, 0, -1);
}

typedef struct sleeper {
    _Atomic uint32_t word;
    int value; /* published by the word */
} sleeper;

static void *sleep_on_word(void *arg)
{
    sleeper *s = arg;
    while (atomic_load_explicit(&s->word, memory_order_acquire) == 0)
        coir__futex_sleep(&s->word, 0, COIR_FOREVER);
    CHECK_EQ(s->value, 42);
    return NULL;
}

TEST(rousing_wakes_all_sleepers)
{
    sleeper s = {.word = 0};
    pthread_t threads[THREADS];
    start(threads, THREADS, sleep_on_word, &s);
    s.value = 42;
    atomic_store_explicit(&s.word, 1, memory_order_release);
    coir__futex_rouse(&s.word, INT32_MAX);
    finish(threads, THREADS);
}

TEST_MAIN("base_lock")
