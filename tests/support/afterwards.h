/* SPDX-License-Identifier: MIT */
#ifndef AFTERWARDS_H
#define AFTERWARDS_H

/*
 * afterwards.h - for tests that change something outside: it is put back whatever becomes of the test.
 *
 * A process of its own, in a session of its own, waits until it is told, or the test's process is gone, or the time is over.
 * Begin before the change, in a process with one thread. Children that may outlive the test's process should call
 * die_with_parent().
 */

#include "support/harness.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct afterwards {
    int fd;
    pid_t pid;
} afterwards;

static inline void afterwards_main(int fd, void (*fn)(void *), void *arg, int seconds)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGALRM};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], SIG_IGN);
    setsid();
    poll(&p, 1, seconds * 1000);
    fn(arg);
    _exit(0);
}

static inline afterwards afterwards_begin(void (*fn)(void *), void *arg, int seconds)
{
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0) {
        close(fds[1]);
        afterwards_main(fds[0], fn, arg, seconds);
    }
    close(fds[0]);
    return (afterwards){fds[1], pid};
}

/* Has it done, and waits for that. */
static inline void afterwards_now(afterwards *a)
{
    close(a->fd);
    waitpid(a->pid, NULL, 0);
}

/* In a child forked since: it does not keep the other process waiting. */
static inline void die_with_parent(const afterwards *a)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(a->fd);
}

#endif
