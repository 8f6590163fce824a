/* SPDX-License-Identifier: MIT */
/*
 * connect.c - connecting to a name with several addresses (RFC 8305, "Happy Eyeballs").
 *
 * Each address is tried by a task of its own. The next one starts when the one before has failed, or has not answered
 * for 250 ms. The first connection that stands is the result; the others are cancelled, awaited and closed. The families
 * take turns, beginning with that of the first address, in the order the resolver gave.
 */
#include <coir/net.h>
#include <stdatomic.h>

#include "io/resolve.h"
#include "io/socket.h"

#define STAGGER COIR_MS(250)

typedef struct race {
    coir_group group;
    coir_chan *failures; /* an int from each attempt that failed; has room for all */
    _Atomic int winner;  /* the first that stands, or -1 */
} race;

typedef struct attempt {
    race *r;
    coir_addr addr;
} attempt;

static int attempt_main(void *arg)
{
    attempt *a = arg;
    race *r = a->r;
    int nobody = -1;
    int fd = coir__tcp_connect_to(&a->addr);
    if (fd < 0) {
        coir_chan_try_send(r->failures, &fd);
        return 0;
    }
    if (atomic_compare_exchange_strong(&r->winner, &nobody, fd))
        coir_group_cancel(&r->group, "another address has answered");
    else
        coir_close(fd);
    return 0;
}

/* Waits for a failure, at most `patience`. 0, or -ECANCELED: somebody has won, or the caller is cancelled. */
static int await_failure(race *r, int64_t patience, int *ret_error, int *under_way)
{
    coir_case cases[] = {COIR_RECV(r->failures, ret_error), COIR_AFTER(patience)};
    int i = coir_select(cases, 2);
    if (i == 0)
        --*under_way;
    return i < 0 ? i : 0;
}

static int race_run(race *r, attempt *attempts, int n)
{
    int error = -ENOENT, under_way = 0, rc = 0;
    for (int i = 0; i < n && rc == 0; i++) {
        rc = coir_spawn(&r->group, attempt_main, &attempts[i]);
        if (rc == 0) {
            under_way++;
            rc = await_failure(r, STAGGER, &error, &under_way);
        }
    }
    while (rc == 0 && under_way > 0)
        rc = await_failure(r, COIR_FOREVER, &error, &under_way);
    return rc == 0 ? error : rc;
}

static int race_all(const coir_addr *addrs, int n)
{
    race r;
    attempt attempts[COIR__ADDRS_MAX];
    for (int i = 0; i < n; i++)
        attempts[i] = (attempt){&r, addrs[i]};
    atomic_init(&r.winner, -1);
    r.failures = coir_chan_new(sizeof(int), (size_t)n);
    if (!r.failures)
        return -ENOMEM;
    coir_group_begin(&r.group, COIR_GROUP_ISOLATE);
    int rc = race_run(&r, attempts, n);
    if (rc < 0)
        coir_group_cancel(&r.group, "connecting has ended");
    coir_group_end(&r.group);
    coir_chan_free(r.failures);
    int winner = atomic_load(&r.winner);
    return winner >= 0 ? winner : rc;
}

static const coir_addr *next_of(const coir_addr *addrs, int n, bool *used, bool same, int family)
{
    for (int i = 0; i < n; i++)
        if (!used[i] && (addrs[i].u.sa.sa_family == family) == same) {
            used[i] = true;
            return &addrs[i];
        }
    return NULL;
}

static void interleave(coir_addr *addrs, int n)
{
    coir_addr sorted[COIR__ADDRS_MAX];
    bool used[COIR__ADDRS_MAX] = {false}, same = true;
    int family = addrs[0].u.sa.sa_family;
    for (int i = 0; i < n; i++, same = !same) {
        const coir_addr *a = next_of(addrs, n, used, same, family);
        sorted[i] = a ? *a : *next_of(addrs, n, used, !same, family);
    }
    for (int i = 0; i < n; i++)
        addrs[i] = sorted[i];
}

int coir_tcp_connect(const char *host_port)
{
    coir_addr addrs[COIR__ADDRS_MAX];
    int rc = coir__enter_call("coir_tcp_connect");
    if (rc < 0)
        return rc;
    int n = coir__resolve_pair(host_port, false, addrs, COIR__ADDRS_MAX);
    if (n < 0)
        return n;
    if (n == 1)
        return coir__tcp_connect_to(&addrs[0]);
    interleave(addrs, n);
    return race_all(addrs, n);
}
