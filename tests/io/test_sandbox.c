/* SPDX-License-Identifier: MIT */
/* What is left where kernel or sandbox refuse system calls: made so by a seccomp filter. */
#include "io/pairs.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "loop/attempt.h"

/* From now on system call `number` fails with `error` in this process. */
static void forbid(unsigned number, unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        skip("no seccomp");
}

static int read_one(void *arg)
{
    char byte;
    int n = (int)coir_read(*(int *)arg, &byte, 1);
    return n == 1 ? 0 : n;
}

/* Everything that waits for descriptors or time, on every kind of pair. */
static int do_all(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        make_pair(kind, fds);
        CHECK_EQ(coir_with_timeout(COIR_MS(2), read_one, &fds[0]), -ETIMEDOUT);
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, read_one, &fds[0]), 0);
        coir_yield();
        CHECK_EQ(coir_write(fds[1], "x", 1), 1);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(coir_close(fds[0]), 0);
        int rc = (int)coir_write(fds[1], "x", 1);
        CHECK(rc == -EPIPE || kind == PAIR_TCP);
        CHECK_EQ(coir_close(fds[1]), 0);
    }
    return coir_sleep(COIR_US(300));
}

static coir_options auto_engine(void)
{
    coir_options o = COIR_OPTIONS_INIT;
    unsetenv("COIR_ENGINE");
    return o;
}

TEST(without_io_uring_there_is_epoll)
{
    coir_options o = auto_engine();
    forbid(SYS_io_uring_setup, EPERM);
    CHECK_EQ(coir_run(&o, do_all, NULL), 0);
    o.engine = COIR_ENGINE_URING;
    CHECK_LT(coir_run(&o, do_all, NULL), 0);
}

TEST(without_memory_for_a_ring_there_is_epoll)
{
    coir_options o = auto_engine();
    forbid(SYS_io_uring_setup, ENOMEM);
    CHECK_EQ(coir_run(&o, do_all, NULL), 0);
}

TEST(an_old_kernel_waits_in_milliseconds)
{
    coir_options o = auto_engine();
    o.engine = COIR_ENGINE_EPOLL;
    forbid(SYS_epoll_pwait2, ENOSYS);
    int64_t begin = coir_now();
    CHECK_EQ(coir_run(&o, do_all, NULL), 0);
    CHECK_GE(coir_now() - begin, COIR_US(300));
}

TEST(files_without_nowait_are_polled_and_called)
{
    forbid(SYS_preadv2, EOPNOTSUPP);
    CHECK_EQ(coir_run(NULL, do_all, NULL), 0);
    forbid(SYS_pwritev2, EOPNOTSUPP);
    atomic_store(&coir__attempt_nosignal, -1);
    CHECK_EQ(coir_run(NULL, do_all, NULL), 0);
}

static void on_pipe(int signal)
{
    (void)signal;
    harness_fail(__FILE__, __LINE__, "SIGPIPE");
}

TEST(without_rwf_nosignal_sigpipe_is_held_back)
{
    sigset_t pending;
    signal(SIGPIPE, on_pipe);
    atomic_store(&coir__attempt_nosignal, 0);
    CHECK_EQ(coir_run(NULL, do_all, NULL), 0);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK(!sigismember(&pending, SIGPIPE));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(raise(SIGPIPE), 0); // pending before: stays
    CHECK_EQ(coir_run(NULL, do_all, NULL), 0);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK(sigismember(&pending, SIGPIPE));
}

static int close_everything(void *arg)
{
    (void)arg;
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    return coir_sleep(COIR_MS(1));
}

static int run_and_close_everything(void *arg)
{
    coir_options o = {.workers = 1};
    unsetenv("COIR_WORKERS");
    setenv("COIR_ENGINE", "epoll", 1);
    return coir_run(&o, close_everything, arg);
}

TEST(a_loop_whose_descriptor_was_closed_is_reported)
{
    CHECK_ABORTS(run_and_close_everything, NULL, "has somebody closed");
}

TEST(a_ring_that_can_not_be_registered_works)
{
    forbid(SYS_io_uring_register, EPERM);
    CHECK_EQ(coir_run(NULL, do_all, NULL), 0);
}

TEST_MAIN("sandbox")
