/* SPDX-License-Identifier: MIT */
/* Cancellation and deadlines of calls that wait for a descriptor: in time, and nothing is lost. */
#include "io/pairs.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

/* -- timeouts ------------------------------------------------------------------------------------- */

enum { CALL_READ, CALL_WRITE, CALL_POLL, CALL_ACCEPT, CALLS };

typedef struct call {
    int kind, fd;
} call;

static int do_call(void *arg)
{
    static char big[1 << 16];
    const call *c = arg;
    char byte;
    int rc;
    switch (c->kind) {
    case CALL_READ:
        return (int)coir_read(c->fd, &byte, 1);
    case CALL_WRITE:
        while ((rc = (int)coir_write(c->fd, big, sizeof big)) > 0)
            ;
        return rc;
    case CALL_POLL:
        return coir_poll(c->fd, POLLIN);
    default:
        return coir_accept(c->fd, NULL);
    }
}

static void each_call(void (*check)(call *c))
{
    for (int kind = 0; kind < PAIRS; kind++)
        for (int what = CALL_READ; what <= CALL_POLL; what++) {
            int fds[2];
            make_pair(kind, fds);
            check(&(call){what, fds[what == CALL_WRITE]});
            close_pair(fds);
        }
    int listener = loopback_listener();
    check(&(call){CALL_ACCEPT, listener});
    CHECK_EQ(coir_close(listener), 0);
    listener = socket(AF_INET6, SOCK_STREAM, 0);
    if (listener >= 0 && listen(listener, 1) == 0)
        check(&(call){CALL_ACCEPT, listener});
    if (listener >= 0)
        CHECK_EQ(coir_close(listener), 0);
}

static void check_timeout(call *c)
{
    int64_t begin = coir_now();
    CHECK_EQ(coir_with_timeout(COIR_MS(2), do_call, c), -ETIMEDOUT);
    CHECK_GE(coir_now() - begin, COIR_MS(2));
}

TASK_TEST(every_call_ends_at_its_deadline) { each_call(check_timeout); }

static void check_passed(call *c)
{
    CHECK_EQ(coir_with_timeout(0, do_call, c), -ETIMEDOUT);
    CHECK_EQ(coir_with_timeout(1, do_call, c), -ETIMEDOUT);
}

TASK_TEST(every_call_notices_a_deadline_that_has_passed) { each_call(check_passed); }

static void check_outer(call *c)
{
    coir_scope outer;
    coir_scope_begin(&outer, COIR_MS(1));
    int rc = coir_with_timeout(COIR_S(100), do_call, c);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_scope_end(&outer, rc), -ETIMEDOUT);
}

TASK_TEST(an_outer_deadline_is_told_apart) { each_call(check_outer); }

static void check_shield(call *c)
{
    coir_scope outer, shield;
    coir_scope_begin(&outer, 0);
    coir_shield_begin(&shield, COIR_MS(1));
    CHECK_EQ(do_call(c), -ECANCELED);
    coir_shield_end(&shield);
    CHECK_EQ(coir_scope_end(&outer, -ECANCELED), -ETIMEDOUT);
}

TASK_TEST(a_shield_has_its_own_limit) { each_call(check_shield); }

TASK_TEST(bytes_that_are_there_win_over_a_deadline_nobody_has_noticed)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        char byte;
        coir_scope s;
        make_pair(kind, fds);
        CHECK_EQ(coir_write(fds[1], "a", 1), 1);
        coir_scope_begin(&s, COIR_S(100));
        CHECK_EQ(coir_read(fds[0], &byte, 1), 1);
        CHECK_EQ(coir_scope_end(&s, 0), 0);
        close_pair(fds);
    }
}

/* -- a cancel swept across the completion of a read ----------------------------------------------- */

typedef struct reader {
    int fd;
    int got; // bytes read
    coir_scope *scope;
    coir_event opened;
    _Atomic bool ended;
} reader;

/* Reads until it is cancelled, or has what was sent. */
static int read_until_cancelled(void *arg)
{
    reader *r = arg;
    char buf[2];
    coir_scope s;
    ssize_t n;
    coir_scope_begin(&s, COIR_FOREVER);
    r->scope = &s;
    coir_event_set(&r->opened);
    while ((n = coir_read(r->fd, buf, sizeof buf)) > 0)
        r->got += (int)n;
    CHECK_EQ(n, -ECANCELED);
    return coir_scope_end(&s, 0);
}

static void spin(int n)
{
    for (volatile int i = 0; i < n; i++)
        ;
}

static int send_four(void *arg)
{
    const call *c = arg;
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(coir_write(c->fd, "x", 1), 1);
        spin(c->kind);
    }
    return 0;
}

static void sweep_read_once(int kind, int round)
{
    int fds[2], rest = 0;
    char buf[8];
    make_pair(kind, fds);
    reader r = {.fd = fds[0], .opened = COIR_EVENT_INIT};
    call sender = {(round * 131) % 3000, fds[1]};
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, read_until_cancelled, &r), 0);
    CHECK_EQ(coir_event_wait(&r.opened), 0);
    CHECK_EQ(coir_spawn(&g, send_four, &sender), 0);
    for (int i = 0; i < round % 3; i++)
        coir_yield();
    spin((round * 37) % 4000);
    coir_scope_cancel(r.scope, "sweep");
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_close(fds[1]), 0);
    ssize_t n;
    while ((n = coir_read(fds[0], buf, sizeof buf)) > 0)
        rest += (int)n;
    CHECK_EQ(n, 0);
    CHECK_EQ(r.got + rest, 4);
    CHECK_EQ(coir_close(fds[0]), 0);
}

TASK_TEST_TIMEOUT(cancelled_reads_lose_no_bytes, 60)
{
    int rounds = 4000 / harness_scale();
    for (int round = 0; round < rounds; round++)
        sweep_read_once(round % PAIRS, round);
}

/* -- across the completion of a write ------------------------------------------------------------- */

typedef struct writer {
    int fd;
    size_t sent;
    coir_scope *scope;
    coir_event opened;
} writer;

enum { CHUNK = 50000 };

static int write_until_cancelled(void *arg)
{
    writer *w = arg;
    unsigned char *buf = malloc(CHUNK);
    coir_scope s;
    int rc;
    CHECK(buf);
    coir_scope_begin(&s, COIR_FOREVER);
    w->scope = &s;
    coir_event_set(&w->opened);
    do {
        size_t done;
        fill_pattern(buf, w->sent, CHUNK);
        rc = coir_write_all(w->fd, buf, CHUNK, &done);
        w->sent += done;
    } while (rc == 0);
    CHECK_EQ(rc, -ECANCELED);
    free(buf);
    coir_scope_end(&s, 0);
    return coir_close(w->fd);
}

static size_t read_to_the_end(int fd)
{
    static unsigned char buf[1 << 16];
    size_t got = 0;
    ssize_t n;
    while ((n = coir_read(fd, buf, sizeof buf)) > 0) {
        check_pattern(buf, got, (size_t)n);
        got += (size_t)n;
    }
    CHECK_EQ(n, 0);
    return got;
}

static void sweep_write_once(int kind, int round)
{
    int fds[2];
    unsigned char first[1000];
    make_pair(kind, fds);
    writer w = {.fd = fds[1], .opened = COIR_EVENT_INIT};
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, write_until_cancelled, &w), 0);
    CHECK_EQ(coir_event_wait(&w.opened), 0);
    CHECK_EQ(coir_read_full(fds[0], first, sizeof first, NULL), 0);
    for (int i = 0; i < round % 3; i++)
        coir_yield();
    spin((round * 71) % 9000);
    coir_scope_cancel(w.scope, "sweep");
    coir_yield();
    size_t got = sizeof first;
    unsigned char rest[1000];
    ssize_t n;
    while ((n = coir_read(fds[0], rest, sizeof rest)) > 0) {
        check_pattern(rest, got, (size_t)n);
        got += (size_t)n;
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(got, w.sent);
    CHECK_EQ(coir_close(fds[0]), 0);
}

TASK_TEST_TIMEOUT(cancelled_writes_have_sent_what_they_say, 60)
{
    int rounds = 300 / harness_scale();
    for (int round = 0; round < rounds; round++)
        sweep_write_once(round % PAIRS, round);
}

TASK_TEST(what_a_timed_out_writer_sent_arrives)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        int fds[2];
        coir_scope s;
        make_pair(kind, fds);
        writer w = {.fd = fds[1], .opened = COIR_EVENT_INIT};
        coir_scope_begin(&s, COIR_MS(2));
        write_until_cancelled(&w);
        CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
        CHECK_EQ(read_to_the_end(fds[0]), w.sent);
        CHECK_EQ(coir_close(fds[0]), 0);
    }
}

/* -- across the completion of an accept ----------------------------------------------------------- */

typedef struct acceptor {
    int listener;
    int accepted;
    coir_scope *scope;
    coir_event opened;
} acceptor;

static int accept_until_cancelled(void *arg)
{
    acceptor *a = arg;
    coir_scope s;
    int fd;
    coir_scope_begin(&s, COIR_FOREVER);
    a->scope = &s;
    coir_event_set(&a->opened);
    while ((fd = coir_accept(a->listener, NULL)) >= 0) {
        a->accepted++;
        CHECK_EQ(coir_close(fd), 0);
    }
    CHECK_EQ(fd, -ECANCELED);
    return coir_scope_end(&s, 0);
}

static int connect_twice(void *arg)
{
    const char *address = arg;
    for (int i = 0; i < 2; i++) {
        int fd = coir_tcp_connect(address);
        CHECK_GE(fd, 0);
        CHECK_EQ(coir_close(fd), 0);
    }
    return 0;
}

static void sweep_accept_once(int listener, char *address, int round)
{
    acceptor a = {.listener = listener, .opened = COIR_EVENT_INIT};
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, accept_until_cancelled, &a), 0);
    CHECK_EQ(coir_event_wait(&a.opened), 0);
    CHECK_EQ(coir_spawn(&g, connect_twice, address), 0);
    for (int i = 0; i < round % 4; i++)
        coir_yield();
    spin((round * 91) % 20000);
    coir_scope_cancel(a.scope, "sweep");
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = a.accepted; i < 2; i++) {
        int fd = coir_accept(listener, NULL);
        CHECK_GE(fd, 0);
        CHECK_EQ(coir_close(fd), 0);
    }
}

TASK_TEST_TIMEOUT(cancelled_accepts_lose_no_connection, 60)
{
    char address[COIR_ADDR_TEXT];
    int listener = loopback_listener();
    address_of(listener, address);
    int rounds = 600 / harness_scale(), before = harness_count_fds();
    for (int round = 0; round < rounds; round++)
        sweep_accept_once(listener, address, round);
    CHECK_EQ(harness_count_fds(), before);
    CHECK_EQ(coir_close(listener), 0);
}

/* -- storms --------------------------------------------------------------------------------------- */

static int short_reads(void *arg)
{
    reader *r = arg;
    char byte;
    while (!atomic_load(&r->ended)) {
        coir_scope s;
        coir_scope_begin(&s, COIR_US(30));
        ssize_t n = coir_read(r->fd, &byte, 1);
        int rc = coir_scope_end(&s, (int)n);
        if (rc == 1)
            r->got++;
        else
            CHECK_EQ(rc, -ETIMEDOUT);
    }
    return 0;
}

TASK_TEST_TIMEOUT(reads_under_short_deadlines_get_every_byte_once, 60)
{
    for (int kind = 0; kind < PAIRS; kind++) {
        enum { READERS = 3 };
        int fds[2], total = 0, sent = 500 / harness_scale();
        reader rs[READERS];
        make_pair(kind, fds);
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < READERS; i++) {
            rs[i] = (reader){.fd = fds[0]};
            CHECK_EQ(coir_spawn(&g, short_reads, &rs[i]), 0);
        }
        for (int i = 0; i < sent; i++) {
            CHECK_EQ(coir_write(fds[1], "x", 1), 1);
            if (i % 8 == 0)
                coir_sleep(COIR_US(50));
        }
        for (int i = 0; i < READERS; i++)
            atomic_store(&rs[i].ended, true);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(coir_close(fds[1]), 0);
        for (int i = 0; i < READERS; i++)
            total += rs[i].got;
        char buf[1000];
        ssize_t n;
        while ((n = coir_read(fds[0], buf, sizeof buf)) > 0)
            total += (int)n;
        CHECK_EQ(total, sent);
        CHECK_EQ(coir_close(fds[0]), 0);
    }
}

TEST_MAIN("cancel")
