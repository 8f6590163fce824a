/* SPDX-License-Identifier: MIT */
/*
 * test_patrol.c - what it costs that sleepers look after others; test_steal.c has what they do.
 *
 * Counted are the system calls that wake workers, and the times that workers ask the kernel. No clock decides: what is too much is
 * so for every schedule, unless somebody stops the process and lets it go on all the time, which interrupts sleeps.
 */
#include "sched_test.h"

#include <coir/debug.h>
#include <coir/net.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGES = 400 };

/* -- messages from the kernel --------------------------------------------------------------------------------- */

/* With pauses, in which all workers fall asleep. */
static void *play(void *arg)
{
    int fd = *(int *)arg;
    char c = 0;
    for (int i = 0; i < MESSAGES; i++) {
        CHECK_EQ(write(fd, &c, 1), 1);
        CHECK_EQ(read(fd, &c, 1), 1);
        usleep(500);
    }
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    return NULL;
}

static uint64_t wakes(void)
{
    coir_metrics m;
    CHECK_EQ(coir_metrics_read(&m), 0);
    return m.wakes;
}

/* Answers a thread that is no part of the runtime, and only when it has been woken by the kernel. */
static int answer(void *arg)
{
    (void)arg;
    int pair[2];
    char c;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    uint64_t before = wakes();
    pthread_t thread = thread_start(play, &pair[1]);
    for (int i = 0; i < MESSAGES; i++) {
        CHECK_EQ(coir_read(pair[0], &c, 1), 1);
        CHECK_EQ(coir_write(pair[0], &c, 1), 1);
    }
    CHECK_EQ(coir_read(pair[0], &c, 1), 0);
    uint64_t made = wakes() - before;
    thread_finish(thread);
    CHECK_LT(made, MESSAGES / 4);
    CHECK_EQ(coir_close(pair[0]), 0);
    CHECK_EQ(close(pair[1]), 0);
    return 0;
}

/* Who polls runs what it has found at once; nobody need be woken to look after it. */
TEST(a_message_for_one_worker_wakes_no_other) { CHECK_EQ(run_on(2, answer, NULL), 0); }

/* -- rest ------------------------------------------------------------------------------------------------------ */

static uint64_t polls(void)
{
    coir_metrics m;
    CHECK_EQ(coir_metrics_read(&m), 0);
    return m.polls;
}

static int wait_for(void *arg) { return coir_event_wait(arg); }

/* Makes one sleeper keeper: a task wakes another, and goes on. */
static void stir(void)
{
    coir_event e = COIR_EVENT_INIT;
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    coir_yield();
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* A patrol that went on would look every 10 ms at the latest: 50 times. */
static int rest(void *arg)
{
    (void)arg;
    uint64_t fewest = UINT64_MAX;
    for (int i = 0; i < 20 && fewest > 20; i++) {
        stir();
        uint64_t before = polls();
        CHECK_EQ(coir_sleep(COIR_MS(500)), 0);
        uint64_t made = polls() - before;
        fewest = made < fewest ? made : fewest;
    }
    CHECK_LE(fewest, 20);
    return 0;
}

TEST_TIMEOUT(workers_that_have_nothing_to_do_rest, 40)
{
    CHECK_EQ(run_on(2, rest, NULL), 0);
    CHECK_EQ(run_on(4, rest, NULL), 0);
}

TEST_MAIN("sched_patrol")
