/* SPDX-License-Identifier: MIT */
/* Out of memory: calls say so, and go on when there is some again. */
#include "io/pairs.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic bool exhausted;

static void *allocate(void *arg, size_t size)
{
    (void)arg;
    return atomic_load(&exhausted) ? NULL : malloc(size);
}

static void release(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

static int run_out(void *arg)
{
    int fds[2];
    char byte = 0;
    coir_addr a;
    (void)arg;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    atomic_store(&exhausted, true);
    CHECK_EQ(coir_write(fds[0], &byte, 1), -ENOMEM);
    CHECK_EQ(coir_read(fds[1], &byte, 1), -ENOMEM);
    CHECK_EQ(coir_resolve("localhost", "80", &a, 1), -ENOMEM);
    CHECK_EQ(coir_tcp_connect(":1"), -ENOMEM);
    coir_case c = COIR_READABLE(fds[0]), never[] = {c, COIR_AFTER(COIR_US(1))};
    CHECK_EQ(coir_select(never, 2), 0);
    CHECK_EQ(never[0].result, -ENOMEM);
    CHECK_EQ(coir_close(-1), -EBADF);
    atomic_store(&exhausted, false);
    CHECK_EQ(coir_write(fds[0], &byte, 1), 1);
    CHECK_EQ(coir_read(fds[1], &byte, 1), 1);
    close_pair(fds);
    return 0;
}

TEST(without_memory_io_fails_and_recovers)
{
    static const coir_allocator a = {allocate, release, NULL};
    coir_options o = {.allocator = &a};
    CHECK_EQ(coir_run(&o, run_out, NULL), 0);
}

TEST_MAIN("memory")
