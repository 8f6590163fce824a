/* SPDX-License-Identifier: MIT */
#ifndef EMBED_TOOLS_H
#define EMBED_TOOLS_H

/* embed_tools.h - a foreign loop around a runtime. */
#include "sched_test.h"

#include <poll.h>

/* An embedded runtime has one worker, whatever the variant. */
UNUSED static coir_runtime *embed(const coir_options *o)
{
    CHECK_EQ(unsetenv("COIR_WORKERS"), 0);
    coir_runtime *rt = coir_runtime_new(o);
    CHECK(rt != NULL);
    return rt;
}

/* Whether the descriptor is readable; waits for that up to `ms` (-1: for ever). */
UNUSED static bool is_readable(coir_runtime *rt, int ms)
{
    struct pollfd p = {.fd = coir_runtime_fd(rt), .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    CHECK(n == 0 || p.revents == POLLIN);
    return n == 1;
}

/* The foreign loop: until no task is left. How often it came round. */
UNUSED static int loop_until_empty(coir_runtime *rt)
{
    int rounds = 0;
    do {
        CHECK(is_readable(rt, -1));
        rounds++;
    } while (coir_runtime_run_once(rt) > 0);
    return rounds;
}

/* Runs what there is; then nothing is left to do, and the descriptor says so. */
UNUSED static int run_all_ready(coir_runtime *rt)
{
    int n;
    do
        n = coir_runtime_run_once(rt);
    while (is_readable(rt, 0));
    return n;
}

#endif
