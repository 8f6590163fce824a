/* SPDX-License-Identifier: MIT */
/* Closing: who waits is told, what has arrived is not lost, and numbers that come back are new. */
#include "io/pairs.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>

typedef struct waiter {
    int fd;
    int kind;
    int rc;
    _Atomic bool started;
} waiter;

enum { WAIT_READ, WAIT_WRITE, WAIT_POLL, WAIT_ACCEPT, WAIT_SELECT, WAITS };

static int wait_for(waiter *w)
{
    static char big[1 << 16];
    char byte;
    coir_case c;
    int rc;
    switch (w->kind) {
    case WAIT_READ:
        return (int)coir_read(w->fd, &byte, 1);
    case WAIT_WRITE:
        while ((rc = (int)coir_write(w->fd, big, sizeof big)) > 0)
            ;
        return rc;
    case WAIT_POLL:
        return coir_poll(w->fd, POLLIN);
    case WAIT_ACCEPT:
        return coir_accept(w->fd, NULL);
    default:
        c = COIR_READABLE(w->fd);
        rc = coir_select(&c, 1);
        return rc < 0 ? rc : c.result;
    }
}

static int waiter_main(void *arg)
{
    waiter *w = arg;
    atomic_store(&w->started, true);
    w->rc = wait_for(w);
    return 0;
}

static void close_under(int wait, int fd)
{
    enum { N = 3 };
    waiter ws[N];
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++) {
        ws[i] = (waiter){.fd = fd, .kind = wait};
        CHECK_EQ(coir_spawn(&g, waiter_main, &ws[i]), 0);
    }
    for (int i = 0; i < N; i++)
        while (!atomic_load(&ws[i].started))
            coir_yield();
    coir_yield();
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(ws[i].rc, -EBADF);
}

TASK_TEST(close_wakes_all_who_wait_for_a_stream)
{
    for (int kind = 0; kind < PAIRS; kind++)
        for (int wait = 0; wait < WAITS; wait++) {
            int fds[2];
            if (wait == WAIT_ACCEPT)
                continue;
            make_pair(kind, fds);
            int which = wait == WAIT_WRITE;
            close_under(wait, fds[which]);
            CHECK_EQ(coir_close(fds[!which]), 0);
        }
}

TASK_TEST(close_wakes_all_who_accept)
{
    close_under(WAIT_ACCEPT, loopback_listener());
    int fd = socket(AF_INET, SOCK_STREAM, 0); // a blocking listener that is not ours
    CHECK_GE(fd, 0);
    CHECK_EQ(listen(fd, 5), 0);
    close_under(WAIT_ACCEPT, fd);
}

TASK_TEST(close_of_what_coir_never_saw_works)
{
    int fd = eventfd(0, 0);
    CHECK_GE(fd, 0);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK_EQ(coir_close(fd), -EBADF);
}

TEST(close_works_in_a_plain_thread)
{
    int fds[2];
    CHECK_EQ(coir_socketpair(fds), 0);
    CHECK_EQ(coir_close(fds[0]), 0);
    CHECK_EQ(coir_close(fds[0]), -EBADF);
    CHECK_EQ(coir_close(fds[1]), 0);
}

static void *close_in_thread(void *arg)
{
    int *fd = arg;
    *fd = coir_close(*fd);
    return NULL;
}

static void run_close_thread(int fd)
{
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, close_in_thread, &fd), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(fd, 0);
}

static int thread_closes(void *arg)
{
    waiter *w = arg;
    while (!atomic_load(&w->started))
        coir_yield();
    pthread_t t;
    int fd = w->fd;
    CHECK_EQ(pthread_create(&t, NULL, close_in_thread, &fd), 0);
    while (w->rc == 1) // its thread waits until we have let go: this worker must not wait for it
        coir_sleep(COIR_US(100));
    CHECK_EQ(pthread_join(t, NULL), 0);
    return fd;
}

TASK_TEST(close_in_a_plain_thread_wakes_a_reader)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        make_pair(kind, fds);
        waiter w = {.fd = fds[0], .kind = WAIT_READ, .rc = 1};
        coir_group g;
        coir_group_begin(&g, COIR_GROUP_PINNED);
        CHECK_EQ(coir_spawn(&g, waiter_main, &w), 0);
        CHECK_EQ(coir_spawn(&g, thread_closes, &w), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(w.rc, -EBADF);
        run_close_thread(fds[1]);
    }
}

static coir_event closing = COIR_EVENT_INIT;

/* Not before all are there: a spawn may open files for a moment (base/room.h), and get the number that was just closed. */
static int closer_main(void *arg)
{
    waiter *w = arg;
    CHECK_EQ(coir_event_wait(&closing), 0);
    w->rc = coir_close(w->fd);
    return 0;
}

TASK_TEST(of_many_who_close_one_does)
{
    for (int round = 0; round < 200; round++) {
        enum { N = 4 };
        int fds[2], closed = 0;
        make_pair(PAIR_SOCKETPAIR, fds);
        waiter reader = {.fd = fds[0], .kind = WAIT_READ}, closers[N];
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, waiter_main, &reader), 0);
        for (int i = 0; i < N; i++) {
            closers[i] = (waiter){.fd = fds[0]};
            CHECK_EQ(coir_spawn(&g, closer_main, &closers[i]), 0);
        }
        coir_event_set(&closing);
        CHECK_EQ(coir_group_end(&g), 0);
        coir_event_reset(&closing);
        for (int i = 0; i < N; i++) {
            closed += closers[i].rc == 0;
            CHECK(closers[i].rc == 0 || closers[i].rc == -EBADF);
        }
        CHECK_EQ(closed, 1);
        CHECK_EQ(reader.rc, -EBADF);
        CHECK_EQ(coir_close(fds[1]), 0);
    }
}

TASK_TEST(close_does_not_obey_a_cancelled_scope)
{
    int fds[2];
    make_pair(PAIR_TCP, fds);
    waiter w = {.fd = fds[0], .kind = WAIT_READ};
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, waiter_main, &w), 0);
    coir_yield();
    coir_scope s;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_close(fds[0]), 0);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(w.rc, -EBADF);
    CHECK_EQ(coir_close(fds[1]), 0);
}

/* -- bytes that arrive while the reader's end is being closed ------------------------------------- */

static int read_all(void *arg)
{
    waiter *w = arg;
    char buf[3];
    int got = 0;
    ssize_t n;
    while ((n = coir_read(w->fd, buf, sizeof buf)) > 0)
        got += (int)n;
    w->rc = got;
    return n == -EBADF || n == 0 ? 0 : (int)n;
}

static int write_some(void *arg)
{
    waiter *w = arg;
    int sent = 0;
    ssize_t n = 1;
    for (int i = 0; i < 8 && n == 1; i++) {
        n = coir_write(w->fd, "x", 1);
        sent += n == 1;
        if (i % 3 == 0)
            coir_yield();
    }
    w->rc = sent;
    return 0;
}

/* A duplicate of the reader's end, not known to coir, shows what was left. */
static int left_behind(int fd)
{
    char buf[64];
    ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
    return n > 0 ? (int)n : 0;
}

TASK_TEST(bytes_that_arrive_during_a_close_are_read_or_left)
{
    int rounds = 2000 / harness_scale();
    for (int round = 0; round < rounds; round++) {
        int fds[2];
        make_pair(round % PAIRS_DUPLEX, fds);
        int twin = dup(fds[0]);
        CHECK_GE(twin, 0);
        waiter reader = {.fd = fds[0]}, writer = {.fd = fds[1]};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, read_all, &reader), 0);
        CHECK_EQ(coir_spawn(&g, write_some, &writer), 0);
        for (int i = 0; i < round % 5; i++)
            coir_yield();
        CHECK_EQ(coir_close(fds[0]), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(reader.rc + left_behind(twin), writer.rc);
        CHECK_EQ(close(twin), 0);
        CHECK_EQ(coir_close(fds[1]), 0);
    }
}

/* -- numbers that come back ----------------------------------------------------------------------- */

TASK_TEST(a_number_that_comes_back_is_a_new_descriptor)
{
    for (int round = 0; round < 50; round++) {
        int kind = round % PAIRS, fds[2];
        char byte;
        make_pair(kind, fds);
        CHECK_EQ(coir_write(fds[1], "a", 1), 1);
        CHECK_EQ(coir_read(fds[0], &byte, 1), 1);
        CHECK_EQ(coir_with_timeout(COIR_US(200), read_all, &(waiter){.fd = fds[0]}), -ETIMEDOUT);
        close_pair(fds);
    }
}

TASK_TEST(numbers_closed_and_opened_by_others_are_waited_for_anew)
{
    for (int round = 0; round < 30; round++) {
        int fds[2];
        char byte;
        if (round % 2)
            CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        else
            CHECK_EQ(pipe(fds), 0);
        waiter w = {.fd = fds[0], .kind = WAIT_READ};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, waiter_main, &w), 0);
        coir_yield();
        CHECK_EQ(coir_write(fds[1], "a", 1), 1);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(w.rc, 1);
        CHECK_EQ(coir_write(fds[1], "bc", 2), 2);
        CHECK_EQ(coir_read(fds[0], &byte, 1), 1);
        CHECK_EQ(close(fds[0]), 0); // not coir_close()
        CHECK_EQ(close(fds[1]), 0);
    }
}

/* A task that writes on in the hope that its descriptor is still the same must not write to another one. */
static int write_long(void *arg)
{
    waiter *w = arg;
    static char big[24 << 20];
    w->rc = coir_write_all(w->fd, big, sizeof big, NULL);
    return 0;
}

TASK_TEST(write_all_does_not_go_on_into_the_next_file_of_that_number)
{
    for (int round = 0; round < 50; round++) {
        int fds[2], next[2];
        char byte;
        make_pair(PAIR_TCP, fds);
        waiter w = {.fd = fds[1]};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, write_long, &w), 0);
        CHECK_EQ(coir_read(fds[0], &byte, 1), 1); // it has begun
        for (int i = 0; i < round % 4; i++)
            coir_yield();
        CHECK_EQ(coir_close(fds[1]), 0);
        make_pair(PAIR_SOCKETPAIR, next);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(w.rc, -EBADF);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(recv(next[i], &byte, 1, MSG_DONTWAIT), -1);
        close_pair(next);
        CHECK_EQ(coir_close(fds[0]), 0);
    }
}

TEST_MAIN("close")
