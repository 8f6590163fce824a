/* SPDX-License-Identifier: MIT */
/* Descriptors that are no sockets of ours: pipes, eventfds, files, terminals; and what must not be changed about them. */
#include "io/pairs.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

static int read_byte(void *arg)
{
    char byte;
    return (int)coir_read(*(int *)arg, &byte, 1) - 1;
}

TASK_TEST(descriptors_of_others_keep_their_flags)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        make_pair(kind, fds);
        int flags[2] = {fcntl(fds[0], F_GETFL), fcntl(fds[1], F_GETFL)};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, read_byte, &fds[0]), 0);
        coir_yield();
        CHECK_EQ(coir_poll(fds[1], POLLOUT) & POLLOUT, POLLOUT);
        CHECK_EQ(coir_write(fds[1], "x", 1), 1);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(fcntl(fds[0], F_GETFL), flags[0]);
        CHECK_EQ(fcntl(fds[1], F_GETFL), flags[1]);
        close_pair(fds);
    }
}

static int read_event(void *arg)
{
    uint64_t count;
    CHECK_EQ(coir_read(*(int *)arg, &count, sizeof count), sizeof count);
    CHECK_EQ(count, 3);
    return 0;
}

TASK_TEST(eventfds_are_waited_for)
{
    for (int flags = 0; flags < 2; flags++) {
        uint64_t three = 3;
        int fd = eventfd(0, flags ? EFD_NONBLOCK : 0);
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, read_event, &fd), 0);
        coir_yield();
        CHECK_EQ(coir_write(fd, &three, sizeof three), sizeof three);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(coir_close(fd), 0);
    }
}

TASK_TEST(timerfds_are_waited_for)
{
    uint64_t count;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec soon = {.it_value = {.tv_nsec = 1000000}};
    CHECK_EQ(timerfd_settime(fd, 0, &soon, NULL), 0);
    CHECK_EQ(coir_poll(fd, POLLIN), POLLIN);
    CHECK_EQ(coir_read(fd, &count, sizeof count), sizeof count);
    CHECK_EQ(count, 1);
    CHECK_EQ(coir_close(fd), 0);
}

TASK_TEST(regular_files_are_read_and_written)
{
    for (int flags = 0; flags < 2; flags++) {
        enum { N = 200000 };
        char name[] = "/tmp/coir-test-XXXXXX";
        unsigned char *buf = malloc(N);
        size_t done;
        int fd = mkostemp(name, flags ? O_NONBLOCK : 0);
        CHECK(buf);
        CHECK_GE(fd, 0);
        CHECK_EQ(unlink(name), 0);
        fill_pattern(buf, 0, N);
        CHECK_EQ(coir_poll(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
        CHECK_EQ(coir_write_all(fd, buf, N, &done), 0);
        CHECK_EQ(lseek(fd, 0, SEEK_CUR), N);
        CHECK_EQ(coir_read(fd, buf, 10), 0);
        CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
        memset(buf, 0, N);
        CHECK_EQ(coir_read_full(fd, buf, N, NULL), 0);
        check_pattern(buf, 0, N);
        CHECK_EQ(coir_read_full(fd, buf, 1, &done), -EPIPE);
        CHECK_EQ(done, 0);
        CHECK_EQ(coir_close(fd), 0);
        free(buf);
    }
}

TASK_TEST(devices_that_never_wait_are_read_and_written)
{
    char buf[100] = {1};
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_RDWR);
    CHECK_EQ(coir_read_full(zero, buf, sizeof buf, NULL), 0);
    CHECK_EQ(buf[0], 0);
    CHECK_EQ(coir_write(null, buf, sizeof buf), sizeof buf);
    CHECK_EQ(coir_read(null, buf, sizeof buf), 0);
    CHECK_EQ(coir_poll(null, POLLIN), POLLIN);
    CHECK_EQ(coir_close(zero), 0);
    CHECK_EQ(coir_close(null), 0);
}

TASK_TEST(a_directory_is_an_error)
{
    char byte;
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(coir_read(fd, &byte, 1), -EISDIR);
    CHECK_EQ(coir_close(fd), 0);
}

static int read_line(void *arg)
{
    char buf[100];
    CHECK_EQ(coir_read(*(int *)arg, buf, sizeof buf), 6);
    CHECK_EQ(memcmp(buf, "hello\n", 6), 0);
    return 0;
}

TASK_TEST(terminals_are_read_and_written)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        skip("no pseudo terminals");
    char name[64], echo[100];
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    int slave = open(name, O_RDWR | O_NOCTTY);
    CHECK_GE(slave, 0);
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, read_line, &slave), 0);
    coir_yield();
    CHECK_EQ(coir_write(master, "hello\n", 6), 6);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_GT(coir_read(master, echo, sizeof echo), 0);
    CHECK_EQ(coir_write_all(slave, "back", 4, NULL), 0);
    CHECK_GT(coir_read(master, echo, sizeof echo), 0);
    CHECK(!(fcntl(master, F_GETFL) & O_NONBLOCK));
    CHECK_EQ(coir_close(slave), 0);
    CHECK_EQ(coir_close(master), 0);
}

/* -- signals -------------------------------------------------------------------------------------- */

static _Atomic int pipe_signals;

static void on_pipe(int signal)
{
    (void)signal;
    atomic_fetch_add(&pipe_signals, 1);
}

static void write_to_nobody(int kind)
{
    int fds[2];
    make_pair(kind, fds);
    CHECK_EQ(coir_close(fds[0]), 0);
    for (int i = 0; i < 3; i++) {
        int rc = (int)coir_write(fds[1], "x", 1);
        CHECK(rc == -EPIPE || rc == -ECONNRESET || (kind == PAIR_TCP && i == 0));
    }
    CHECK_EQ(coir_close(fds[1]), 0);
}

TASK_TEST(no_write_raises_sigpipe)
{
    struct sigaction sa = {.sa_handler = on_pipe};
    sigset_t pending;
    CHECK_EQ(sigaction(SIGPIPE, &sa, NULL), 0);
    for (int kind = 0; kind < PAIRS; kind++)
        write_to_nobody(kind);
    CHECK_EQ(atomic_load(&pipe_signals), 0);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK(!sigismember(&pending, SIGPIPE));
}

TASK_TEST(a_blocked_sigpipe_stays_as_it_was)
{
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    write_to_nobody(PAIR_PIPE);
    write_to_nobody(PAIR_FOREIGN_PIPE);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK(!sigismember(&pending, SIGPIPE));
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    CHECK_EQ(coir_unpin(), 0);
}

/* -- polling -------------------------------------------------------------------------------------- */

typedef struct polled {
    int fd;
    short events;
} polled;

static int poll_it(void *arg)
{
    const polled *p = arg;
    return coir_poll(p->fd, p->events);
}

TASK_TEST(poll_waits_for_what_was_asked)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        char byte;
        make_pair(kind, fds);
        polled p = {fds[0], POLLIN};
        CHECK_EQ(coir_with_timeout(COIR_MS(1), poll_it, &p), -ETIMEDOUT);
        CHECK_EQ(coir_poll(fds[1], POLLOUT), POLLOUT);
        coir_task t;
        CHECK_EQ(coir_spawn_with(NULL, NULL, poll_it, &p, &t), 0);
        coir_yield();
        CHECK_EQ(coir_write(fds[1], "x", 1), 1);
        int ready;
        CHECK_EQ(coir_join(t, &ready), 0);
        CHECK_EQ(ready, POLLIN);
        CHECK_EQ(coir_read(fds[0], &byte, 1), 1);
        CHECK_EQ(coir_with_timeout(COIR_MS(1), poll_it, &p), -ETIMEDOUT);
        CHECK_EQ(coir_close(fds[1]), 0);
        CHECK(coir_poll(fds[0], POLLIN) & (POLLIN | POLLHUP));
        CHECK_EQ(coir_close(fds[0]), 0);
    }
}

TASK_TEST(poll_always_reports_a_hang_up)
{
    for (int kind = PAIR_PIPE; kind < PAIRS; kind++) {
        int fds[2];
        make_pair(kind, fds);
        CHECK_EQ(coir_close(fds[1]), 0);
        CHECK_EQ(coir_poll(fds[0], 0), POLLHUP);
        CHECK_EQ(coir_close(fds[0]), 0);
    }
}

/* -- several runtimes ----------------------------------------------------------------------------- */

static int shared[2];

static int ping(void *arg)
{
    int rounds = *(int *)arg;
    char byte;
    for (int i = 0; i < rounds; i++) {
        CHECK_EQ(coir_write(shared[0], "x", 1), 1);
        CHECK_EQ(coir_read(shared[0], &byte, 1), 1);
    }
    return 0;
}

static int pong(void *arg)
{
    int rounds = *(int *)arg;
    char byte;
    for (int i = 0; i < rounds; i++) {
        CHECK_EQ(coir_read(shared[1], &byte, 1), 1);
        CHECK_EQ(coir_write(shared[1], "y", 1), 1);
    }
    return 0;
}

static void *run_ping(void *arg)
{
    CHECK_EQ(coir_run(NULL, ping, arg), 0);
    return NULL;
}

TEST(runtimes_talk_over_descriptors_and_leave_them_behind)
{
    int rounds = 300;
    for (int round = 0; round < 3; round++) {
        pthread_t t;
        CHECK_EQ(coir_socketpair(shared), 0);
        for (int again = 0; again < 2;
             again++) { // the second time the first runtimes' loops are gone
            CHECK_EQ(pthread_create(&t, NULL, run_ping, &rounds), 0);
            CHECK_EQ(coir_run(NULL, pong, &rounds), 0);
            CHECK_EQ(pthread_join(t, NULL), 0);
        }
        CHECK_EQ(coir_close(shared[0]), 0);
        CHECK_EQ(coir_close(shared[1]), 0);
    }
}

static int half_duplex_reader(void *arg)
{
    int n = *(int *)arg;
    char byte;
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_read(shared[0], &byte, 1), 1);
    return 0;
}

static int half_duplex_writer(void *arg)
{
    int n = *(int *)arg;
    for (int i = 0; i < n; i++) {
        CHECK_EQ(coir_write(shared[1], "x", 1), 1);
        if (i % 16 == 0)
            coir_yield();
    }
    return 0;
}

static void *run_reader(void *arg)
{
    CHECK_EQ(coir_run(NULL, half_duplex_reader, arg), 0);
    return NULL;
}

/* Both runtimes read one end; the first that waits registers it, and may end first. */
TEST(a_descriptor_shared_by_runtimes_survives_the_end_of_one)
{
    for (int round = 0; round < 20; round++) {
        pthread_t t[2];
        int few = 10, many = 40, all = 50;
        CHECK_EQ(coir_socketpair(shared), 0);
        CHECK_EQ(pthread_create(&t[0], NULL, run_reader, &few), 0);
        CHECK_EQ(pthread_create(&t[1], NULL, run_reader, &many), 0);
        CHECK_EQ(coir_run(NULL, half_duplex_writer, &all), 0);
        CHECK_EQ(pthread_join(t[0], NULL), 0);
        CHECK_EQ(pthread_join(t[1], NULL), 0);
        CHECK_EQ(coir_close(shared[0]), 0);
        CHECK_EQ(coir_close(shared[1]), 0);
    }
}

TEST_MAIN("files")
