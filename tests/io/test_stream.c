/* SPDX-License-Identifier: MIT */
/* Reading and writing: what is moved, and what is said about it. */
#include "io/pairs.h"

#include <sys/ioctl.h>
#include <stdlib.h>

static int echo_once(void *arg)
{
    const int *fd = arg;
    char buf[64];
    ssize_t n = coir_read(*fd, buf, sizeof buf);
    return n < 0 ? (int)n : coir_write_all(*fd, buf, (size_t)n, NULL);
}

TASK_TEST(echo_comes_back_on_every_kind_of_pair)
{
    for (int kind = 0; kind < PAIRS_DUPLEX; kind++) {
        int fds[2];
        char reply[5];
        make_pair(kind, fds);
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, echo_once, &fds[1]), 0);
        CHECK_EQ(coir_write(fds[0], "hello", 5), 5);
        CHECK_EQ(coir_read_full(fds[0], reply, 5, NULL), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(memcmp(reply, "hello", 5), 0);
        close_pair(fds);
    }
}

TASK_TEST(read_returns_what_is_there_and_not_more)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        char buf[16];
        make_pair(kind, fds);
        CHECK_EQ(coir_write(fds[1], "abc", 3), 3);
        CHECK_EQ(coir_read(fds[0], buf, sizeof buf), 3);
        CHECK_EQ(coir_write(fds[1], "defg", 4), 4);
        CHECK_EQ(coir_read(fds[0], buf, 2), 2);
        CHECK_EQ(coir_read(fds[0], buf, sizeof buf), 2);
        CHECK_EQ(memcmp(buf, "fg", 2), 0);
        close_pair(fds);
    }
}

TASK_TEST(read_returns_zero_at_the_end_of_the_stream)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        char buf[16];
        make_pair(kind, fds);
        CHECK_EQ(coir_write(fds[1], "x", 1), 1);
        CHECK_EQ(coir_close(fds[1]), 0);
        CHECK_EQ(coir_read(fds[0], buf, sizeof buf), 1);
        CHECK_EQ(coir_read(fds[0], buf, sizeof buf), 0);
        CHECK_EQ(coir_read(fds[0], buf, sizeof buf), 0);
        CHECK_EQ(coir_close(fds[0]), 0);
    }
}

static int close_it(void *arg) { return coir_close(*(int *)arg); }

TASK_TEST(waiting_read_sees_the_end_of_the_stream)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        char buf[16];
        make_pair(kind, fds);
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, close_it, &fds[1]), 0);
        CHECK_EQ(coir_read(fds[0], buf, sizeof buf), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(coir_close(fds[0]), 0);
    }
}

/* -- all of it ------------------------------------------------------------------------------------ */

enum { BULK = 3 << 20 };

typedef struct bulk {
    int fd;
    size_t n;
} bulk;

static int write_bulk(void *arg)
{
    bulk *b = arg;
    unsigned char *buf = malloc(b->n);
    size_t done = 0;
    CHECK(buf);
    fill_pattern(buf, 0, b->n);
    int rc = coir_write_all(b->fd, buf, b->n, &done);
    CHECK_EQ(done, b->n);
    free(buf);
    return rc;
}

TASK_TEST(three_megabytes_arrive_whole_on_every_kind_of_pair)
{
    unsigned char *buf = malloc(BULK);
    CHECK(buf);
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        size_t done = 0;
        make_pair(kind, fds);
        bulk b = {fds[1], BULK};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, write_bulk, &b), 0);
        CHECK_EQ(coir_read_full(fds[0], buf, BULK, &done), 0);
        CHECK_EQ(done, BULK);
        CHECK_EQ(coir_group_end(&g), 0);
        check_pattern(buf, 0, BULK);
        close_pair(fds);
    }
    free(buf);
}

static int pump(void *arg)
{
    bulk *b = arg;
    unsigned char buf[1000];
    size_t done = 0;
    while (done < b->n) {
        size_t part = b->n - done < sizeof buf ? b->n - done : sizeof buf;
        fill_pattern(buf, done, part);
        int rc = coir_write_all(b->fd, buf, part, NULL);
        if (rc < 0)
            return rc;
        done += part;
    }
    return 0;
}

static int drain(void *arg)
{
    bulk *b = arg;
    unsigned char buf[777];
    size_t done = 0;
    while (done < b->n) {
        ssize_t n = coir_read(b->fd, buf, sizeof buf);
        CHECK_GT(n, 0);
        check_pattern(buf, done, (size_t)n);
        done += (size_t)n;
    }
    return 0;
}

TASK_TEST(both_directions_at_once_do_not_disturb_each_other)
{
    for (int kind = 0; kind < PAIRS_DUPLEX; kind++) {
        int fds[2];
        make_pair(kind, fds);
        bulk ends[2] = {{fds[0], 1 << 20}, {fds[1], 1 << 20}};
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(coir_spawn(&g, pump, &ends[i]), 0);
            CHECK_EQ(coir_spawn(&g, drain, &ends[i]), 0);
        }
        CHECK_EQ(coir_group_end(&g), 0);
        close_pair(fds);
    }
}

TASK_TEST(read_full_says_how_far_it_came_when_the_stream_ends)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        char buf[16];
        size_t done = 99;
        make_pair(kind, fds);
        CHECK_EQ(coir_write_all(fds[1], "abc", 3, NULL), 0);
        CHECK_EQ(coir_close(fds[1]), 0);
        CHECK_EQ(coir_read_full(fds[0], buf, 10, &done), -EPIPE);
        CHECK_EQ(done, 3);
        CHECK_EQ(coir_close(fds[0]), 0);
    }
}

typedef struct cancelled_read {
    int fd;
    int rc;
    size_t done;
    coir_scope *scope;
    coir_event opened;
} cancelled_read;

static int read_ten(void *arg)
{
    cancelled_read *r = arg;
    char buf[10];
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    r->scope = &s;
    coir_event_set(&r->opened);
    r->rc = coir_read_full(r->fd, buf, sizeof buf, &r->done);
    return coir_scope_end(&s, 0);
}

TASK_TEST(read_full_says_how_far_it_came_when_it_is_cancelled)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        char rest[10];
        make_pair(kind, fds);
        cancelled_read r = {.fd = fds[0], .opened = COIR_EVENT_INIT};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, read_ten, &r), 0);
        CHECK_EQ(coir_event_wait(&r.opened), 0);
        CHECK_EQ(coir_write_all(fds[1], "abc", 3, NULL), 0);
        coir_yield();
        coir_scope_cancel(r.scope, "enough");
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(r.rc, -ECANCELED);
        CHECK(r.done == 0 ||
              r.done ==
                  3); // whether it ran before the cancellation is open, what it read is not lost
        if (r.done == 0)
            CHECK_EQ(coir_read_full(fds[0], rest, 3, NULL), 0);
        close_pair(fds);
    }
}

struct stopper {
    coir_scope *scope;
    int fd; // the other end
};

static int cancel_when_something_has_come(void *arg)
{
    struct stopper *x = arg;
    int there = 0;
    while (ioctl(x->fd, FIONREAD, &there) == 0 && there == 0)
        coir_yield();
    coir_scope_cancel(x->scope, "enough");
    return 0;
}

TASK_TEST(write_all_says_how_far_it_came_when_it_is_cancelled)
{
    enum { TOO_MUCH = 24 << 20 }; // for the kernel's buffers
    unsigned char *buf = malloc(TOO_MUCH), *got = malloc(TOO_MUCH);
    CHECK(buf && got);
    fill_pattern(buf, 0, TOO_MUCH);
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        size_t done = 0;
        coir_group g;
        coir_scope s;
        make_pair(kind, fds);
        coir_group_begin(&g, 0);
        coir_scope_begin(&s, COIR_FOREVER);
        struct stopper stopper = {&s, fds[0]};
        CHECK_EQ(coir_spawn(&g, cancel_when_something_has_come, &stopper), 0);
        int rc = coir_write_all(fds[1], buf, TOO_MUCH,
                                &done); // nobody reads: it must stop somewhere
        CHECK_EQ(rc, -ECANCELED);
        CHECK_EQ(coir_scope_end(&s, rc), -ECANCELED);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_GT(done, 0);
        CHECK_LT(done, TOO_MUCH);
        CHECK_EQ(coir_close(fds[1]), 0);
        size_t read = 0;
        CHECK_EQ(coir_read_full(fds[0], got, TOO_MUCH, &read), -EPIPE);
        CHECK_EQ(read, done);
        check_pattern(got, 0, read);
        CHECK_EQ(coir_close(fds[0]), 0);
    }
    free(buf);
    free(got);
}

/* -- errors --------------------------------------------------------------------------------------- */

TASK_TEST(descriptors_that_are_not_open_are_bad)
{
    char byte = 0;
    int fds[2];
    make_pair(PAIR_SOCKETPAIR, fds);
    close_pair(fds);
    const int bad[] = {-1, INT32_MIN, fds[0], 999999, INT32_MAX};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(coir_read(bad[i], &byte, 1), -EBADF);
        CHECK_EQ(coir_read(bad[i], &byte, 0), -EBADF);
        CHECK_EQ(coir_write(bad[i], &byte, 1), -EBADF);
        CHECK_EQ(coir_poll(bad[i], 1), -EBADF);
        CHECK_EQ(coir_accept(bad[i], NULL), -EBADF);
        CHECK_EQ(coir_close(bad[i]), -EBADF);
    }
}

TASK_TEST(no_bytes_are_moved_at_once)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        char byte = 0;
        size_t done = 9;
        make_pair(kind, fds);
        CHECK_EQ(coir_read(fds[0], &byte, 0), 0);
        CHECK_EQ(coir_write(fds[1], &byte, 0), 0);
        CHECK_EQ(coir_read_full(fds[0], NULL, 0, &done), 0);
        CHECK_EQ(done, 0);
        CHECK_EQ(coir_write_all(fds[1], NULL, 0, NULL), 0);
        close_pair(fds);
    }
}

TASK_TEST(a_buffer_that_is_not_memory_is_an_error)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        make_pair(kind, fds);
        CHECK_EQ(coir_write(fds[1], "abc", 3), 3);
        CHECK_EQ(coir_read(fds[0], NULL, 3), -EFAULT);
        close_pair(fds);
    }
}

TASK_TEST(a_direction_that_is_not_open_is_an_error)
{
    int fds[2];
    char byte = 0;
    make_pair(PAIR_PIPE, fds);
    CHECK_EQ(coir_read(fds[1], &byte, 1), -EBADF);
    CHECK_EQ(coir_write(fds[0], &byte, 1), -EBADF);
    close_pair(fds);
}

static int write_until_error(void *arg)
{
    const int *fd = arg;
    char buf[4096] = {0};
    int rc;
    while ((rc = coir_write_all(*fd, buf, sizeof buf, NULL)) == 0)
        ;
    return rc;
}

TASK_TEST(writing_to_nobody_is_an_error_and_no_signal)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        make_pair(kind, fds);
        coir_group g;
        coir_group_begin(&g, COIR_GROUP_ISOLATE);
        CHECK_EQ(coir_spawn(&g, write_until_error, &fds[1]), 0);
        coir_yield();
        CHECK_EQ(coir_close(fds[0]), 0);
        int rc = coir_group_end(&g);
        CHECK(rc == -EPIPE || rc == -ECONNRESET);
        CHECK_EQ(coir_write(fds[1], "x", 1), -EPIPE);
        CHECK_EQ(coir_close(fds[1]), 0);
    }
}

static int read_in_a_thread(void *arg)
{
    char byte;
    return (int)coir_read(*(int *)arg, &byte, 1);
}

TEST(calls_from_plain_threads_are_misuse)
{
    int fds[2];
    CHECK_EQ(coir_socketpair(fds), 0);
    CHECK_ABORTS(read_in_a_thread, &fds[0], "coir_read");
    CHECK_EQ(coir_close(fds[0]), 0);
    CHECK_EQ(coir_close(fds[1]), 0);
}

TASK_TEST(a_cancelled_task_does_no_io)
{
    int fds[2];
    char byte;
    coir_scope s;
    make_pair(PAIR_SOCKETPAIR, fds);
    CHECK_EQ(coir_write(fds[1], "a", 1), 1);
    coir_scope_begin(&s, COIR_FOREVER);
    coir_scope_cancel(&s, "test");
    CHECK_EQ(coir_read(fds[0], &byte, 1), -ECANCELED);
    CHECK_EQ(coir_write(fds[1], &byte, 1), -ECANCELED);
    CHECK_EQ(coir_poll(fds[0], 1), -ECANCELED);
    CHECK_EQ(coir_accept(fds[0], NULL), -ECANCELED);
    CHECK_EQ(coir_read(-1, &byte, 1), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK_EQ(coir_read(fds[0], &byte, 1), 1);
    close_pair(fds);
}

TEST_MAIN("stream")
