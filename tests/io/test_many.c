/* SPDX-License-Identifier: MIT */
/* Many connections at once: every byte comes back to whom it belongs, and nothing is left. */
#include "io/pairs.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { ROUNDS = 5, MESSAGE = 64 };

typedef struct fleet {
    int listener;
    char address[COIR_ADDR_TEXT];
    int connections;
    coir_group servers;
    _Atomic int served;
} fleet;

typedef struct ship {
    fleet *f;
    int number;
} ship;

static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[256];
    ssize_t n;
    while ((n = coir_read(fd, buf, sizeof buf)) > 0)
        CHECK_EQ(coir_write_all(fd, buf, (size_t)n, NULL), 0);
    CHECK_EQ(n, 0);
    return coir_close(fd);
}

static int accept_all(void *arg)
{
    fleet *f = arg;
    for (int i = 0; i < f->connections; i++) {
        int fd = coir_accept(f->listener, NULL);
        CHECK_GE(fd, 0);
        CHECK_EQ(coir_spawn(&f->servers, serve, (void *)(intptr_t)fd), 0);
        atomic_fetch_add(&f->served, 1);
    }
    return 0;
}

static int sail(void *arg)
{
    ship *s = arg;
    unsigned char out[MESSAGE], in[MESSAGE];
    int fd = coir_tcp_connect(s->f->address);
    CHECK_GE(fd, 0);
    for (int round = 0; round < ROUNDS; round++) {
        fill_pattern(out, (size_t)(s->number * ROUNDS + round), MESSAGE);
        CHECK_EQ(coir_write_all(fd, out, MESSAGE, NULL), 0);
        CHECK_EQ(coir_read_full(fd, in, MESSAGE, NULL), 0);
        CHECK_EQ(memcmp(in, out, MESSAGE), 0);
    }
    return coir_close(fd);
}

static void allow_descriptors(rlim_t n)
{
    struct rlimit l;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &l), 0);
    if (l.rlim_cur >= n)
        return;
    l.rlim_cur = n;
    if (l.rlim_max < n)
        l.rlim_max = n;
    if (setrlimit(RLIMIT_NOFILE, &l) < 0)
        skip("too few descriptors are allowed");
}

TASK_TEST_TIMEOUT(a_thousand_connections_echo, 60)
{
    fleet f = {.listener = loopback_listener(), .connections = 1000 / harness_scale()};
    allow_descriptors(2200);
    address_of(f.listener, f.address);
    ship *ships = calloc((size_t)f.connections, sizeof *ships);
    CHECK(ships);
    coir_group clients;
    coir_group_begin(&f.servers, 0);
    coir_group_begin(&clients, 0);
    CHECK_EQ(coir_spawn(&clients, accept_all, &f), 0);
    for (int i = 0; i < f.connections; i++) {
        ships[i] = (ship){&f, i};
        CHECK_EQ(coir_spawn(&clients, sail, &ships[i]), 0);
    }
    CHECK_EQ(coir_group_end(&clients), 0);
    CHECK_EQ(coir_group_end(&f.servers), 0);
    CHECK_EQ(atomic_load(&f.served), f.connections);
    CHECK_EQ(coir_close(f.listener), 0);
    free(ships);
}

/* Connections that come and go reuse numbers all the time. */
static int churn(void *arg)
{
    ship *s = arg;
    for (int i = 0; i < 60 / harness_scale(); i++) {
        int rc = sail(s);
        if (rc < 0)
            return rc;
    }
    return 0;
}

TASK_TEST_TIMEOUT(connections_that_come_and_go_do_not_mix, 60)
{
    enum { CHURNERS = 16 };
    ship ships[CHURNERS];
    fleet f = {.listener = loopback_listener(), .connections = CHURNERS * (60 / harness_scale())};
    address_of(f.listener, f.address);
    coir_group clients;
    coir_group_begin(&f.servers, 0);
    coir_group_begin(&clients, 0);
    CHECK_EQ(coir_spawn(&clients, accept_all, &f), 0);
    for (int i = 0; i < CHURNERS; i++) {
        ships[i] = (ship){&f, i};
        CHECK_EQ(coir_spawn(&clients, churn, &ships[i]), 0);
    }
    CHECK_EQ(coir_group_end(&clients), 0);
    CHECK_EQ(coir_group_end(&f.servers), 0);
    CHECK_EQ(coir_close(f.listener), 0);
}

static int read_forever(void *arg)
{
    char byte;
    ssize_t n = coir_read((int)(intptr_t)arg, &byte, 1);
    CHECK_EQ(n, -ECANCELED);
    return coir_close((int)(intptr_t)arg);
}

TASK_TEST_TIMEOUT(a_cancelled_group_of_readers_ends_and_closes, 60)
{
    int n = 1000 / harness_scale(), before = harness_count_fds();
    int(*pairs)[2] = calloc((size_t)n, sizeof *pairs);
    CHECK(pairs);
    allow_descriptors(2200);
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < n; i++) {
        make_pair(i % PAIRS, pairs[i]);
        CHECK_EQ(coir_spawn(&g, read_forever, (void *)(intptr_t)pairs[i][0]), 0);
    }
    coir_yield();
    coir_group_cancel(&g, "that's all");
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_close(pairs[i][1]), 0);
    CHECK_EQ(harness_count_fds(), before);
    free(pairs);
}

/* -- more completions at once than any queue holds ------------------------------------------------ */

static int poll_readable(void *arg)
{
    return coir_poll((int)(intptr_t)arg, POLLIN) == POLLIN ? 0 : -EIO;
}

TASK_TEST_TIMEOUT(all_who_poll_one_descriptor_are_woken, 60)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2], n = 6000 / harness_scale();
        make_pair(kind, fds);
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < n; i++)
            CHECK_EQ(coir_spawn(&g, poll_readable, (void *)(intptr_t)fds[0]), 0);
        coir_yield();
        CHECK_EQ(coir_write(fds[1], "x", 1), 1);
        CHECK_EQ(coir_group_end(&g), 0);
        close_pair(fds);
    }
}

TEST_MAIN("many")
