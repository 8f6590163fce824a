/* SPDX-License-Identifier: MIT */
/* test_embed_storm.c - threads wake a runtime in a foreign loop: nothing is lost between its look and the loop's wait. */
#include "embed_tools.h"

#include <coir/loop.h>

#include "base/fence.h"
#include "sched/runtime.h"

/* -- a waker that comes late -------------------------------------------------------------------------------------- */

extern const coir_engine *const coir__engines[]; /* of this build */

static const coir_engine *real_engine;
static coir__runtime *late_for; /* NULL: no waker is under way */

/* The waker of a task that has run long since comes here: when the worker has said that it sleeps, and before its poll. The
 * poll takes what the waker has written. */
static int poll_after_late_waker(coir_loop *loop, int64_t timeout)
{
    coir__runtime *rt = late_for;
    if (rt && atomic_load(&rt->workers[0]->sleeping) == COIR__ASLEEP) {
        late_for = NULL;
        coir__runtime_notify(rt);
    }
    return real_engine->poll(loop, timeout);
}

static int count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

TEST(a_late_waker_does_not_hide_what_comes_after_it)
{
    for (int i = 0; coir__engines[i]; i++) {
        real_engine = coir__engines[i];
        coir_engine engine = *real_engine;
        engine.poll = poll_after_late_waker;
        atomic_int runs = 0;
        coir_runtime *rt = embed(&(coir_options){.engine_ops = &engine});
        for (int index = 1; index < COIR__RUNTIMES_MAX; index++)
            if (coir__runtimes[index])
                late_for = coir__runtimes[index];
        CHECK(late_for != NULL);
        coir_runtime_run_once(rt);
        CHECK(late_for == NULL);
        CHECK_EQ(coir_runtime_spawn(rt, count_up, &runs), 0);
        CHECK(is_readable(rt, 0));
        CHECK_EQ(run_all_ready(rt), 0);
        CHECK_EQ(runs, 1);
        coir_runtime_free(rt);
    }
}

/* -- many wakers ------------------------------------------------------------------------------------------------- */

enum { SENDERS = 3 };

typedef struct storm {
    coir_chan *items;
    int per_sender;
    atomic_long sum, received, closed;
    coir_event done;
} storm;

static void *storm_sender(void *arg)
{
    storm *s = arg;
    for (int i = 1; i <= s->per_sender; i++) {
        while (coir_chan_try_send(s->items, &i) == -EAGAIN)
            sched_yield();
        if (i % 7 == 0)
            sched_yield();
    }
    if (atomic_fetch_add(&s->closed, 1) + 1 == SENDERS)
        coir_chan_close(s->items);
    return NULL;
}

static int storm_receiver(void *arg)
{
    storm *s = arg;
    int n;
    while (coir_chan_recv(s->items, &n) == 0) {
        atomic_fetch_add(&s->sum, n);
        atomic_fetch_add(&s->received, 1);
        if (n % 64 == 0)
            coir_sleep(COIR_US(10));
    }
    return 0;
}

static void storm_once(void)
{
    storm s = {.per_sender = 20000 / harness_scale()};
    pthread_t threads[SENDERS];
    watchdog dog;
    CHECK((s.items = coir_chan_new(sizeof(int), 2)) != NULL);
    coir_runtime *rt = embed(NULL);
    watchdog_begin(&dog, &s.received);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_runtime_spawn(rt, storm_receiver, &s), 0);
    for (int i = 0; i < SENDERS; i++)
        threads[i] = thread_start(storm_sender, &s);
    loop_until_empty(rt);
    for (int i = 0; i < SENDERS; i++)
        thread_finish(threads[i]);
    watchdog_end(&dog);
    CHECK_EQ(s.received, (long)SENDERS * s.per_sender);
    CHECK_EQ(s.sum, (long)SENDERS * s.per_sender * (s.per_sender + 1) / 2);
    coir_chan_free(s.items);
    coir_runtime_free(rt);
}

TEST(no_wake_of_other_threads_is_lost) { storm_once(); }

/* Where there is no membarrier every call goes the slow way, at other moments. On a busy machine and in an emulator this showed
 * that two threads could each leave the waking to the other (sched/rouse.c, I1); on a quiet one it rarely does. */
TEST_TIMEOUT(no_wake_is_lost_without_membarrier, 60)
{
    coir__fence_init();
    coir__fence_needed = true;
    for (int i = 0; i < 6; i++)
        storm_once();
}

TEST_MAIN("embed_storm")
