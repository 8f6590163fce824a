/* SPDX-License-Identifier: MIT */
/* test_errno.c - errno is the thread's that runs the task now, also in a function that began on another. */
#include "sched_test.h"

#include <fcntl.h>

/* The accessor once more, where no compiler can know that it is called for the same object. */
static int read_errno_anew(void)
{
    int *(*volatile accessor)(void) = coir_errno_location;
    return *accessor();
}

/* Fails with ENOENT or EBADF, by turns; in between the task moves. */
static int fail_and_move(void *arg)
{
    int moves = 0, wanted = *(int *)arg;
    pid_t last = thread_id();
    for (int i = 0; moves < wanted; i++) {
        errno = 0;
        CHECK_EQ(errno, 0);
        if (i % 2)
            CHECK_EQ(open("/nonexistent/file", O_RDONLY), -1);
        else
            CHECK_EQ(close(-1), -1);
        int expected = i % 2 ? ENOENT : EBADF;
        CHECK_EQ(errno, expected);
        coir_yield();
        errno = 1000 + i;                      /* written on this thread, */
        CHECK_EQ(read_errno_anew(), 1000 + i); /* read from it */
        moves += thread_id() != last;
        last = thread_id();
    }
    return 0;
}

static int spawn_movers(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(coir_spawn(&g, fail_and_move, arg), 0);
    return coir_group_end(&g);
}

TEST(errno_is_that_of_the_thread_the_task_has_moved_to)
{
    int moves = 60 / harness_scale();
    CHECK_EQ(run_migrating(4, spawn_movers, &moves), 0);
}

/* The system's own accessor may be kept by the compiler; here the two threads' places are compared by hand. */
static int compare_places(void *arg)
{
    int moves = 0, wanted = *(int *)arg;
    while (moves < wanted) {
        int *before = coir_errno_location();
        pid_t thread = thread_id();
        coir_yield();
        int *after = coir_errno_location();
        CHECK_EQ(before == after, thread == thread_id());
        moves += before != after;
    }
    return 0;
}

TEST(each_thread_has_a_place_of_its_own)
{
    int moves = 100 / harness_scale();
    CHECK_EQ(run_migrating(3, compare_places, &moves), 0);
}

TEST(in_a_plain_thread_errno_is_the_systems)
{
    errno = 0;
    CHECK_EQ(close(-1), -1);
    CHECK_EQ(errno, EBADF);
    CHECK(coir_errno_location() == &errno);
}

static int no_errors_in_errno(void *arg)
{
    (void)arg;
    coir_chan *c = coir_chan_new(4, 1);
    int value = 0;
    errno = 12345;
    CHECK_EQ(coir_chan_try_recv(c, &value), -EAGAIN);
    CHECK_EQ(coir_join((coir_task){0}, NULL), -ESRCH);
    CHECK_EQ(coir_unpin(), -EINVAL);
    CHECK_EQ(errno, 12345);
    coir_chan_free(c);
    return 0;
}

TEST(errors_of_coir_are_not_reported_through_errno)
{
    CHECK_EQ(run_on(1, no_errors_in_errno, NULL), 0);
}

TEST_MAIN("sched_errno")
