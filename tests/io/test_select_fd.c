/* SPDX-License-Identifier: MIT */
/* Descriptors as cases of a select. */
#include "io/pairs.h"

#include <unistd.h>
#include <sys/socket.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

static int write_byte(void *arg) { return (int)coir_write(*(int *)arg, "x", 1) - 1; }

static void empty(int fd)
{
    char byte;
    CHECK_EQ(coir_read(fd, &byte, 1), 1);
}

TASK_TEST(a_descriptor_that_is_ready_is_chosen_at_once)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        make_pair(kind, fds);
        coir_case cases[] = {COIR_READABLE(fds[0]), COIR_WRITABLE(fds[1])};
        CHECK_EQ(coir_select(cases, 2), 1);
        CHECK_EQ(cases[1].result, POLLOUT);
        CHECK_EQ(coir_select_try(cases, 1), -EAGAIN);
        CHECK_EQ(coir_write(fds[1], "x", 1), 1);
        CHECK_EQ(coir_select_ordered(cases, 2), 0);
        CHECK_EQ(cases[0].result, POLLIN);
        CHECK_EQ(coir_select_try(cases, 1), 0);
        close_pair(fds);
    }
}

TASK_TEST(a_descriptor_that_becomes_ready_wakes_the_select)
{
    for (int kind = 0; kind < PAIRS; kind++)
        for (int round = 0; round < 20; round++) {
            int fds[2];
            make_pair(kind, fds);
            coir_case cases[] = {COIR_READABLE(fds[0]), COIR_AFTER(COIR_S(100))};
            coir_group g;
            coir_group_begin(&g, 0);
            CHECK_EQ(coir_spawn(&g, write_byte, &fds[1]), 0);
            CHECK_EQ(coir_select(cases, 2), 0);
            CHECK_EQ(cases[0].result, POLLIN);
            CHECK_EQ(coir_group_end(&g), 0);
            empty(fds[0]);
            close_pair(fds);
        }
}

TASK_TEST(another_case_leaves_the_descriptor_alone)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        make_pair(kind, fds);
        for (int round = 0; round < 20; round++) {
            coir_case cases[] = {COIR_READABLE(fds[0]), COIR_AFTER(COIR_US(50))};
            CHECK_EQ(coir_select(cases, 2), 1);
        }
        CHECK_EQ(coir_write(fds[1], "x", 1), 1);
        empty(fds[0]);
        close_pair(fds);
    }
}

TASK_TEST(bad_descriptors_are_outcomes)
{
    const int bad[] = {-1, 999999};
    for (int i = 0; i < 2; i++) {
        coir_case c = COIR_READABLE(bad[i]);
        CHECK_EQ(coir_select(&c, 1), 0);
        CHECK_EQ(c.result, -EBADF);
        CHECK_EQ(coir_select_try(&c, 1), 0);
        CHECK_EQ(c.result, -EBADF);
    }
}

TASK_TEST(a_select_ends_at_its_deadline)
{
    int fds[2];
    make_pair(PAIR_TCP, fds);
    coir_case cases[] = {COIR_READABLE(fds[0]), COIR_READABLE(fds[1])};
    coir_scope s;
    coir_scope_begin(&s, COIR_MS(2));
    int rc = coir_select(cases, 2);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, rc), -ETIMEDOUT);
    close_pair(fds);
}

static int select_in_a_thread(void *arg)
{
    coir_case c = COIR_READABLE(*(int *)arg);
    return coir_select(&c, 1);
}

TEST(descriptor_cases_in_plain_threads_are_misuse)
{
    int fd = 0;
    CHECK_ABORTS(select_in_a_thread, &fd, "coir_select");
}

/* -- storms: what is written is read once, whoever selects ---------------------------------------- */

enum { PORTS = 3, SELECTORS = 4 };

typedef struct storm {
    int fds[PORTS][2];
    coir_chan *c;
    int expected;
    _Atomic int taken;
    coir_event done;
} storm;

/* Takes bytes without waiting, because somebody else may have been faster. */
static void take_bytes(storm *s, int fd)
{
    char byte;
    if (recv(fd, &byte, 1, MSG_DONTWAIT) == 1 && atomic_fetch_add(&s->taken, 1) + 1 == s->expected)
        coir_event_set(&s->done);
}

static int selector(void *arg)
{
    storm *s = arg;
    for (;;) {
        int n;
        coir_case cases[PORTS + 2] = {COIR_SET(&s->done), COIR_RECV(s->c, &n)};
        for (int i = 0; i < PORTS; i++)
            cases[2 + i] = COIR_READABLE(s->fds[i][0]);
        int i = coir_select(cases, PORTS + 2);
        CHECK_GE(i, 0);
        if (i == 0)
            return 0;
        if (i == 1) {
            CHECK_EQ(cases[1].result, 0);
            if (atomic_fetch_add(&s->taken, 1) + 1 == s->expected)
                coir_event_set(&s->done);
        } else {
            CHECK_EQ(cases[i].result, POLLIN);
            take_bytes(s, s->fds[i - 2][0]);
        }
    }
}

static int feeder(void *arg)
{
    storm *s = arg;
    int share = s->expected / (PORTS + 1);
    for (int n = 0; n < share; n++) {
        for (int i = 0; i < PORTS; i++)
            CHECK_EQ(coir_write(s->fds[i][1], "x", 1), 1);
        CHECK_EQ(coir_chan_send(s->c, &n), 0);
    }
    return 0;
}

TASK_TEST_TIMEOUT(select_storms_lose_and_double_nothing, 60)
{
    for (int kind = 0; kind < PAIRS_DUPLEX; kind++) {
        storm s = {.expected = (PORTS + 1) * (400 / harness_scale()), .done = COIR_EVENT_INIT};
        s.c = coir_chan_new(sizeof(int), 0);
        for (int i = 0; i < PORTS; i++)
            make_pair(kind, s.fds[i]);
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < SELECTORS; i++)
            CHECK_EQ(coir_spawn(&g, selector, &s), 0);
        CHECK_EQ(coir_spawn(&g, feeder, &s), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(atomic_load(&s.taken), s.expected);
        for (int i = 0; i < PORTS; i++)
            close_pair(s.fds[i]);
        coir_chan_free(s.c);
    }
}

/* The select's frame is gone right after it, and somebody else's data lies there. */
static int select_and_scribble(void *arg)
{
    storm *s = arg;
    for (int round = 0; round < 300 / harness_scale(); round++) {
        coir_case cases[] = {COIR_READABLE(s->fds[0][0]), COIR_READABLE(s->fds[1][0]),
                             COIR_AFTER(COIR_US(20))};
        int i = coir_select(cases, 3);
        memset(cases, 0xA5, sizeof cases);
        CHECK_GE(i, 0);
        if (i < 2)
            take_bytes(s, s->fds[i][0]);
        coir_maybe_yield();
    }
    return 0;
}

static int write_slowly(void *arg)
{
    storm *s = arg;
    for (int i = 0; i < 200 / harness_scale(); i++) {
        CHECK_EQ(coir_write(s->fds[i % 2][1], "x", 1), 1);
        coir_sleep(COIR_US(15));
    }
    return 0;
}

TASK_TEST_TIMEOUT(nothing_touches_a_select_that_has_ended, 60)
{
    for (int kind = 0; kind < PAIRS_DUPLEX; kind++) {
        storm s = {.expected = -1};
        make_pair(kind, s.fds[0]);
        make_pair(kind, s.fds[1]);
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < SELECTORS; i++)
            CHECK_EQ(coir_spawn(&g, select_and_scribble, &s), 0);
        CHECK_EQ(coir_spawn(&g, write_slowly, &s), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        close_pair(s.fds[0]);
        close_pair(s.fds[1]);
    }
}

static int select_until_closed(void *arg)
{
    storm *s = arg;
    coir_case cases[] = {COIR_READABLE(s->fds[0][0]), COIR_WRITABLE(-1)};
    cases[1].kind = COIR_CASE_NEVER;
    CHECK_EQ(coir_select(cases, 2), 0);
    CHECK_EQ(cases[0].result, -EBADF);
    return 0;
}

TASK_TEST(close_is_an_outcome)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        storm s;
        make_pair(kind, s.fds[0]);
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < SELECTORS; i++)
            CHECK_EQ(coir_spawn(&g, select_until_closed, &s), 0);
        coir_yield();
        CHECK_EQ(coir_close(s.fds[0][0]), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(coir_close(s.fds[0][1]), 0);
    }
}

/* -- the end of a run ------------------------------------------------------------------------------ */

static int give_up_at_once(void *arg)
{
    const int *fds = arg;
    coir_case cases[] = {COIR_READABLE(fds[0]), COIR_AFTER(COIR_US(1))};
    int i = coir_select(cases, 2);
    return i < 0 ? i : 0;
}

static int read_a_byte(void *arg)
{
    const int *fds = arg;
    char byte = 1;
    CHECK_EQ(write(fds[1], &byte, 1), 1);
    return coir_read(fds[0], &byte, 1) == 1 ? 0 : -EIO;
}

TEST(a_watch_that_nobody_waits_for_ends_before_its_run)
{
    for (int i = 0; i < 100; i++) {
        int fds[2];
        CHECK_EQ(i % 2 ? pipe(fds) : socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        CHECK_EQ(coir_run(NULL, give_up_at_once, fds), 0);
        CHECK_EQ(coir_run(NULL, read_a_byte, fds), 0);
        CHECK_EQ(close(fds[0]), 0);
        CHECK_EQ(close(fds[1]), 0);
    }
}

TEST_MAIN("select_fd")
