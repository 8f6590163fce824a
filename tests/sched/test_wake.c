/* SPDX-License-Identifier: MIT */
/* test_wake.c - threads wake tasks while the workers sleep: no wake-up is lost. A watchdog looks at the progress. */
#include "sched_test.h"

COIR_CHAN_TYPE(longs, long)

enum { THREADS = 4 };

typedef struct line {
    longs *to_task, *to_thread;
    coir_event ping, pong;
    atomic_long *passes;
    int rounds;
} line;

static void line_init(line *l, size_t capacity, atomic_long *passes)
{
    memset(l, 0, sizeof *l);
    l->to_task = longs_new(capacity);
    l->to_thread = longs_new(capacity);
    CHECK(l->to_task && l->to_thread);
    l->passes = passes;
    l->rounds = 3000 / harness_scale();
}

static void line_free(line *l)
{
    longs_free(l->to_task);
    longs_free(l->to_thread);
}

/* -- one word at a time, so that everybody sleeps in between ------------------------------------------------------ */

static void *talk(void *arg)
{
    line *l = arg;
    for (long i = 0; i < l->rounds; i++) {
        long got = -1;
        CHECK_EQ(longs_send(l->to_task, i), 0);
        CHECK_EQ(longs_recv(l->to_thread, &got), 0);
        CHECK_EQ(got, i + 1);
        atomic_fetch_add_explicit(l->passes, 1, memory_order_relaxed);
    }
    longs_close(l->to_task);
    return NULL;
}

static int answer(void *arg)
{
    line *l = arg;
    long n;
    int rc;
    while ((rc = longs_recv(l->to_task, &n)) == 0)
        CHECK_EQ(longs_send(l->to_thread, n + 1), 0);
    CHECK_EQ(rc, -EPIPE);
    return 0;
}

static void talk_and_answer(size_t capacity)
{
    line lines[THREADS];
    pthread_t threads[THREADS];
    atomic_long passes = 0;
    watchdog dog;
    coir_group g;
    watchdog_begin(&dog, &passes);
    coir_group_begin(&g, 0);
    for (int i = 0; i < THREADS; i++) {
        line_init(&lines[i], capacity, &passes);
        CHECK_EQ(coir_spawn(&g, answer, &lines[i]), 0);
        threads[i] = thread_start(talk, &lines[i]);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < THREADS; i++) {
        thread_finish(threads[i]);
        line_free(&lines[i]);
    }
    watchdog_end(&dog);
}

TASK_TEST_TIMEOUT(threads_and_tasks_talk_over_rendezvous_channels, 60) { talk_and_answer(0); }

TASK_TEST_TIMEOUT(threads_and_tasks_talk_over_buffered_channels, 60) { talk_and_answer(4); }

/* -- events --------------------------------------------------------------------------------------------------- */

static void *ping(void *arg)
{
    line *l = arg;
    for (int i = 0; i < l->rounds; i++) {
        coir_event_set(&l->ping);
        CHECK_EQ(coir_event_wait(&l->pong), 0);
        coir_event_reset(&l->pong);
        atomic_fetch_add_explicit(l->passes, 1, memory_order_relaxed);
    }
    return NULL;
}

static int pong(void *arg)
{
    line *l = arg;
    for (int i = 0; i < l->rounds; i++) {
        CHECK_EQ(coir_event_wait(&l->ping), 0);
        coir_event_reset(&l->ping);
        coir_event_set(&l->pong);
    }
    return 0;
}

TASK_TEST_TIMEOUT(threads_and_tasks_wake_each_other_by_events, 60)
{
    line lines[THREADS];
    pthread_t threads[THREADS];
    atomic_long passes = 0;
    watchdog dog;
    coir_group g;
    watchdog_begin(&dog, &passes);
    coir_group_begin(&g, 0);
    for (int i = 0; i < THREADS; i++) {
        line_init(&lines[i], 0, &passes);
        CHECK_EQ(coir_spawn(&g, pong, &lines[i]), 0);
        threads[i] = thread_start(ping, &lines[i]);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < THREADS; i++) {
        thread_finish(threads[i]);
        line_free(&lines[i]);
    }
    watchdog_end(&dog);
}

/* -- many to one ---------------------------------------------------------------------------------------------- */

typedef struct flood {
    longs *c;
    atomic_long *passes;
    int each;
} flood;

static void *pour(void *arg)
{
    flood *f = arg;
    for (int i = 0; i < f->each; i++)
        CHECK_EQ(longs_send(f->c, 1), 0);
    return NULL;
}

static int drink(void *arg)
{
    flood *f = arg;
    long n, sum = 0;
    while (longs_recv(f->c, &n) == 0) {
        sum += n;
        atomic_fetch_add_explicit(f->passes, 1, memory_order_relaxed);
        if (sum % 64 == 0)
            CHECK_EQ(coir_sleep(1), 0); /* with a timer armed at times */
    }
    return 0;
}

TASK_TEST_TIMEOUT(what_threads_send_into_one_channel_all_arrives, 60)
{
    pthread_t threads[THREADS];
    atomic_long passes = 0;
    flood f = {longs_new(2), &passes, 5000 / harness_scale()};
    watchdog dog;
    coir_group g;
    watchdog_begin(&dog, &passes);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_spawn(&g, drink, &f), 0);
    for (int i = 0; i < THREADS; i++)
        threads[i] = thread_start(pour, &f);
    while (atomic_load(&passes) < (long)THREADS * f.each)
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    longs_close(f.c);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < THREADS; i++)
        thread_finish(threads[i]);
    CHECK_EQ(atomic_load(&passes), (long)THREADS * f.each);
    longs_free(f.c);
    watchdog_end(&dog);
}

/* -- pinned, and cancelled from outside ----------------------------------------------------------------------- */

TASK_TEST_TIMEOUT(threads_wake_pinned_tasks, 60)
{
    line lines[THREADS];
    pthread_t threads[THREADS];
    atomic_long passes = 0;
    coir_task_options pinned = {.flags = COIR_PINNED};
    watchdog dog;
    coir_group g;
    watchdog_begin(&dog, &passes);
    coir_group_begin(&g, 0);
    for (int i = 0; i < THREADS; i++) {
        line_init(&lines[i], 0, &passes);
        CHECK_EQ(coir_spawn_with(&g, &pinned, answer, &lines[i], NULL), 0);
        threads[i] = thread_start(talk, &lines[i]);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < THREADS; i++) {
        thread_finish(threads[i]);
        line_free(&lines[i]);
    }
    watchdog_end(&dog);
}

static int wait_for_cancel(void *arg)
{
    CHECK_EQ(coir_event_wait(arg), -ECANCELED);
    return -ECANCELED;
}

typedef struct axe {
    coir_task tasks[16];
    coir_event never;
} axe;

static void *cancel_all(void *arg)
{
    axe *a = arg;
    for (int i = 0; i < 16; i++)
        CHECK_EQ(coir_cancel(a->tasks[i], "from a thread"), 0);
    return NULL;
}

TASK_TEST_TIMEOUT(threads_cancel_tasks_that_wait, 60)
{
    int rounds = 100 / harness_scale();
    atomic_long passes = 0;
    watchdog dog;
    watchdog_begin(&dog, &passes);
    for (int round = 0; round < rounds; round++) {
        axe a = {.never = COIR_EVENT_INIT};
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < 16; i++)
            CHECK_EQ(coir_spawn_with(&g, NULL, wait_for_cancel, &a.never, &a.tasks[i]), 0);
        pthread_t thread = thread_start(cancel_all, &a);
        for (int i = 0; i < 16; i++) /* keeps the handles good until they are cancelled */
            CHECK_EQ(coir_join(a.tasks[i], NULL), 0);
        CHECK_EQ(coir_group_end(&g), -ECANCELED);
        thread_finish(thread);
        atomic_fetch_add(&passes, 1);
    }
    watchdog_end(&dog);
}

TEST_MAIN("sched_wake")
