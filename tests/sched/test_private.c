/* SPDX-License-Identifier: MIT */
/* test_private.c - a runtime that nobody else can reach goes without locks, and stops doing so in time. */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/fence.h"
#include "sched_test.h"
#include "sched/runtime.h"

static bool is_shared(void)
{
    return atomic_load_explicit(&coir__worker_here()->shared, memory_order_relaxed);
}

static int run_alone(coir_fn *fn, void *arg)
{
    coir_options o = {.workers = 1};
    unsetenv("COIR_WORKERS");
    return coir_run(&o, fn, arg);
}

static void *call(void *arg)
{
    coir_event_set(arg);
    return NULL;
}

static void join_thread(pthread_t thread) { CHECK_EQ(pthread_join(thread, NULL), 0); }

/* -- when it is private ----------------------------------------------------------------------------------------- */

static bool can_be_private(void)
{
    coir__fence_init();
    return !COIR__TSAN && !coir__fence_needed;
}

static int expect_private(void *arg)
{
    (void)arg;
    CHECK_EQ(is_shared(), !can_be_private());
    return 0;
}

TEST(one_worker_begins_private) { CHECK_EQ(run_alone(expect_private, NULL), 0); }

TEST(a_thread_that_has_called_before_may_run_a_private_runtime)
{
    coir_event e = COIR_EVENT_INIT;
    coir_event_set(&e);
    CHECK_EQ(run_alone(expect_private, NULL), 0);
}

static int expect_shared(void *arg)
{
    (void)arg;
    CHECK(is_shared());
    return 0;
}

TEST(two_workers_are_never_private)
{
    coir_options o = {.workers = 2};
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, expect_shared, NULL), 0);
}

static int call_from_a_thread(void *arg)
{
    coir_event e = COIR_EVENT_INIT;
    pthread_t thread;
    (void)arg;
    CHECK_EQ(pthread_create(&thread, NULL, call, &e), 0);
    CHECK_EQ(coir_event_wait(&e), 0);
    CHECK(is_shared());
    join_thread(thread);
    CHECK(is_shared());
    return 0;
}

TEST(the_first_call_of_another_thread_makes_it_shared_for_good)
{
    CHECK_EQ(run_alone(call_from_a_thread, NULL), 0);
    CHECK_EQ(run_alone(expect_private, NULL), 0); /* that thread has ended */
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void *run_another(void *arg)
{
    CHECK_EQ(run_alone(expect_shared, arg), 0);
    return NULL;
}

static int run_beside(void *arg)
{
    pthread_t thread;
    (void)arg;
    CHECK_EQ(pthread_create(&thread, NULL, run_another, NULL), 0);
    join_thread(thread);
    CHECK(is_shared());
    return 0;
}

TEST(a_second_runtime_makes_both_shared)
{
    CHECK_EQ(run_alone(run_beside, NULL), 0);
    CHECK_EQ(run_alone(nothing, NULL), 0);
}

static void *dump(void *arg)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)arg;
    coir_dump(fd);
    close(fd);
    return NULL;
}

static int dump_from_a_thread(void *arg)
{
    pthread_t thread;
    (void)arg;
    CHECK_EQ(pthread_create(&thread, NULL, dump, NULL), 0);
    join_thread(thread);
    CHECK(is_shared());
    return 0;
}

TEST(a_dump_by_another_thread_makes_it_shared) { CHECK_EQ(run_alone(dump_from_a_thread, NULL), 0); }

/* -- the moment when it changes --------------------------------------------------------------------------------- */

enum { ITEMS = 3000, OURS = 100, RUNS = 150 };

/* Two tasks pass items over a channel as fast as they can, when a thread comes and does the same on that channel. */
struct intrusion {
    coir_chan *c;
    coir_chan
        *never;    /* the other case of a select, instead of plain sends and receives; NULL: none */
    size_t begin;  /* items received when the thread is started */
    uint64_t sent; /* of the task and of the thread: the sums */
    uint64_t taken;
    uint64_t thread_sent, thread_taken;
    pthread_t thread;
};

static void *intrude(void *arg)
{
    struct intrusion *x = arg;
    for (uint64_t i = 1; i <= OURS; i++) {
        uint64_t out = i << 32, in;
        if (coir_chan_try_send(x->c, &out) == 0)
            x->thread_sent += out;
        if (coir_chan_try_recv(x->c, &in) == 0)
            x->thread_taken += in;
    }
    return NULL;
}

static int send_item(struct intrusion *x, uint64_t *item)
{
    coir_case cases[] = {COIR_RECV(x->never, NULL), COIR_SEND(x->c, item)};
    if (!x->never)
        return coir_chan_send(x->c, item);
    CHECK_EQ(coir_select(cases, 2), 1);
    return cases[1].result;
}

static int receive_item(struct intrusion *x, uint64_t *item)
{
    coir_case cases[] = {COIR_RECV(x->never, NULL), COIR_RECV(x->c, item)};
    if (!x->never)
        return coir_chan_recv(x->c, item);
    CHECK_EQ(coir_select(cases, 2), 1);
    return cases[1].result;
}

static int sender(void *arg)
{
    struct intrusion *x = arg;
    for (uint64_t i = 1; i <= ITEMS; i++) {
        CHECK_EQ(send_item(x, &i), 0);
        x->sent += i;
    }
    return 0;
}

static int receiver(void *arg)
{
    struct intrusion *x = arg;
    uint64_t item;
    for (size_t n = 0; receive_item(x, &item) == 0; n++) {
        x->taken += item;
        if (n == x->begin)
            CHECK_EQ(pthread_create(&x->thread, NULL, intrude, x), 0);
    }
    return 0;
}

static int pass_items(void *arg)
{
    struct intrusion *x = arg;
    coir_group receivers, senders;
    coir_group_begin(&receivers, 0);
    coir_spawn(&receivers, receiver, x);
    coir_group_begin(&senders, 0);
    coir_spawn(&senders, sender, x);
    CHECK_EQ(coir_group_end(&senders), 0);
    join_thread(x->thread);
    coir_chan_close(x->c);
    return coir_group_end(&receivers);
}

static void intrude_often(size_t capacity, bool by_select)
{
    for (size_t i = 0; i < RUNS; i++) {
        struct intrusion x = {.c = coir_chan_new(sizeof(uint64_t), capacity),
                              .never = by_select ? coir_chan_new(0, 0) : NULL,
                              .begin = 10 + i};
        CHECK(x.c != NULL);
        CHECK_EQ(run_alone(pass_items, &x), 0);
        CHECK_EQ(x.sent + x.thread_sent, x.taken + x.thread_taken);
        coir_chan_free(x.c);
        coir_chan_free(x.never);
    }
}

TEST(a_thread_that_comes_in_the_middle_loses_nothing_by_rendezvous) { intrude_often(0, false); }

TEST(a_thread_that_comes_in_the_middle_loses_nothing_in_a_buffer) { intrude_often(4, false); }

TEST(a_thread_that_comes_in_the_middle_of_selects_loses_nothing_by_rendezvous)
{
    intrude_often(0, true);
}

TEST(a_thread_that_comes_in_the_middle_of_selects_loses_nothing_in_a_buffer)
{
    intrude_often(4, true);
}

TEST_MAIN("private")
