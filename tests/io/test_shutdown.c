/* SPDX-License-Identifier: MIT */
/*
 * test_shutdown.c - the end of a runtime in two phases.
 *
 * Most of it runs on a clock that stands still until it is told to move: what is to happen at once can't have waited.
 */
#include "io/pairs.h"

#include <coir/debug.h>
#include <coir/signal.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>

#include "sync/wait_tools.h"

#define GRACE (10 * TEST_TICK)

/* Lets others run until `t` waits for the kernel, or in a select. */
static void await_waiting(coir_task t)
{
    coir__task *d = t.opaque;
    uint32_t park;
    do {
        coir_yield();
        park = atomic_load(&d->park);
    } while (park != COIR__PARK_IO && park != COIR__PARK_SELECTED && park != COIR__PARK_WAITING);
}

static int foreign_listener(int flags)
{
    coir_addr a;
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
    CHECK_GE(fd, 0);
    CHECK_EQ(coir_addr_parse(&a, "127.0.0.1"), 0);
    CHECK_EQ(bind(fd, &a.u.sa, a.len), 0);
    CHECK_EQ(listen(fd, 5), 0);
    return fd;
}

static int listener_of(int kind)
{
    return kind == 0 ? loopback_listener() : foreign_listener(kind == 1 ? SOCK_NONBLOCK : 0);
}

static int connect_to(int listener)
{
    char address[COIR_ADDR_TEXT];
    address_of(listener, address);
    int fd = coir_tcp_connect(address);
    CHECK_GE(fd, 0);
    return fd;
}

static int accept_it(void *arg)
{
    int fd = coir_accept(*(int *)arg, NULL);
    return fd < 0 ? fd : coir_close(fd);
}

static int poll_it(void *arg) { return coir_poll(*(int *)arg, POLLIN); }

static int select_it(void *arg)
{
    coir_event never = COIR_EVENT_INIT;
    coir_case cases[] = {COIR_SET(&never), COIR_READABLE(*(int *)arg), COIR_AFTER(COIR_S(1000))};
    CHECK_EQ(coir_select(cases, 3), 1);
    return cases[1].result;
}

/* -- draining --------------------------------------------------------------------------------------------------- */

static int drains(void *arg)
{
    coir_fn *const waits[] = {accept_it, poll_it, select_it};
    enum { KINDS = 3, EACH = 3, N = KINDS * 3 * EACH };
    int listeners[KINDS];
    coir_task tasks[N];
    coir_group g;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    for (int i = 0; i < KINDS; i++)
        listeners[i] = listener_of(i);
    for (int i = 0; i < N; i++)
        tasks[i] = start_task(&g, waits[i % 3], &listeners[i / 3 % KINDS]);
    for (int i = 0; i < N; i++)
        await_waiting(tasks[i]);
    coir_shutdown_begin(COIR_FOREVER);
    for (int i = 0; i < N; i++)
        CHECK_EQ(join_result(tasks[i]), -ESHUTDOWN);
    for (int i = 0; i < KINDS; i++) {
        int client = connect_to(listeners[i]); /* there is a connection, but nobody takes it */
        CHECK_EQ(accept_it(&listeners[i]), -ESHUTDOWN);
        CHECK_EQ(poll_it(&listeners[i]), -ESHUTDOWN);
        CHECK_EQ(select_it(&listeners[i]), -ESHUTDOWN);
        coir_case c = COIR_READABLE(listeners[i]);
        CHECK_EQ(coir_select_try(&c, 1), 0);
        CHECK_EQ(c.result, -ESHUTDOWN);
        CHECK_EQ(coir_close(client), 0);
        CHECK_EQ(coir_close(listeners[i]), 0);
    }
    CHECK_EQ(coir_group_end(&g), -ESHUTDOWN);
    CHECK_EQ(coir_check(), 0);
    return 0;
}

TEST(who_waits_for_a_listener_is_told_and_who_comes_later)
{
    CHECK_EQ(run_on_test_clock(drains, NULL), 0);
}

static int echo_once(void *arg)
{
    char byte;
    CHECK_EQ(coir_read(*(int *)arg, &byte, 1), 1);
    CHECK_EQ(coir_write(*(int *)arg, &byte, 1), 1);
    return 7;
}

static int the_rest_works(void *arg)
{
    int fds[2], others[2];
    char byte;
    (void)arg;
    tcp_pair(fds);
    CHECK_EQ(coir_socketpair(others), 0);
    coir_group g;
    coir_group_begin(&g, 0);
    coir_task reader = start_task(&g, echo_once, &fds[0]);
    coir_task poller = start_task(&g, poll_it, &others[0]);
    coir_task selector = start_task(&g, select_it, &others[0]);
    await_waiting(reader);
    await_waiting(poller);
    await_waiting(selector);
    coir_shutdown_begin(GRACE);
    for (int i = 0; i < 100; i++)
        coir_yield();
    CHECK(atomic_load(&((coir__task *)reader.opaque)->park) == COIR__PARK_IO);
    CHECK_EQ(coir_write(fds[1], "x", 1), 1);
    CHECK_EQ(coir_read(fds[1], &byte, 1), 1);
    CHECK_EQ(join_result(reader), 7);
    CHECK_EQ(coir_write(others[1], "x", 1), 1);
    CHECK_EQ(join_result(poller), POLLIN);
    CHECK_EQ(join_result(selector), POLLIN);
    CHECK_EQ(join_result(start_task(NULL, poll_it, &others[0])), POLLIN); /* spawn too */
    CHECK_EQ(coir_group_end(&g), 0);
    int listener = loopback_listener(), client = connect_to(listener);
    CHECK_EQ(coir_close(client), 0);
    CHECK_EQ(coir_close(listener), 0);
    close_pair(fds);
    close_pair(others);
    return 0;
}

TEST(all_else_works_on) { CHECK_EQ(run_on_test_clock(the_rest_works, NULL), 0); }

static int stays_a_bad_descriptor(void *arg)
{
    int listener = loopback_listener(), bad = -1;
    (void)arg;
    coir_task t = start_task(NULL, accept_it, &listener);
    await_waiting(t);
    CHECK_EQ(coir_close(listener), 0);
    coir_shutdown_begin(COIR_FOREVER);
    CHECK_EQ(join_result(t), -EBADF);
    CHECK_EQ(accept_it(&bad), -EBADF);
    CHECK_EQ(poll_it(&bad), -EBADF);
    return 0;
}

TEST(closing_comes_before_draining)
{
    CHECK_EQ(run_on_test_clock(stays_a_bad_descriptor, NULL), 0);
}

/* -- out of descriptors ----------------------------------------------------------------------------------------- */

static void no_line(void *arg, const char *line)
{
    (void)line;
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static int accept_in_shortage(void *arg)
{
    char address[COIR_ADDR_TEXT];
    int listener = loopback_listener(), client, spare[64], n = 0;
    struct rlimit limit, low;
    address_of(listener, address);
    client = coir_tcp_connect(address);
    CHECK_GE(client, 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)harness_count_fds() + 20;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (spare[n] = dup(client)) >= 0)
        n++;
    coir_task t = start_task(NULL, accept_it, &listener);
    await_value(arg, 1); /* the line is written before the wait */
    await_parked(t);
    coir_shutdown_begin(COIR_FOREVER);
    CHECK_EQ(join_result(t), -ESHUTDOWN);
    while (n > 0)
        close(spare[--n]);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(coir_close(client), 0);
    CHECK_EQ(coir_close(listener), 0);
    return 0;
}

TEST(an_accept_that_waits_for_descriptors_is_told)
{
    static const coir_clock clock = {.now = test_clock_now};
    _Atomic int lines = 0;
    coir_options o = {.clock = &clock, .log = no_line, .hook_arg = &lines};
    atomic_store(&test_time, TEST_TIME_START);
    CHECK_EQ(coir_run(&o, accept_in_shortage, &lines), 0);
}

/* -- the grace -------------------------------------------------------------------------------------------------- */

typedef struct ending {
    int rc, shielded;
    coir_cancel_reason reason;
} ending;

static int sleep_and_tell(void *arg)
{
    ending *e = arg;
    coir_scope s;
    e->rc = coir_sleep(COIR_FOREVER);
    CHECK(coir_cancel_reason_get() != NULL);
    e->reason = *coir_cancel_reason_get();
    coir_shield_begin(&s, COIR_FOREVER);
    e->shielded = coir_check();
    coir_shield_end(&s);
    return e->rc;
}

static void check_ending(const ending *e, int line, uint64_t task_id)
{
    CHECK_EQ(e->rc, -ECANCELED);
    CHECK_EQ(e->shielded, 0);
    CHECK_EQ(e->reason.code, -ECANCELED);
    CHECK_STR(e->reason.why, "shutdown");
    CHECK(strstr(e->reason.file, "test_shutdown.c") != NULL);
    CHECK_EQ(e->reason.line, line);
    CHECK(e->reason.task_id == task_id);
}

static int ends_after_grace(void *arg)
{
    ending detached = {0}, first = {0};
    (void)arg;
    coir_task t = start_task(NULL, sleep_and_tell, &detached);
    await_parked(t);
    coir_shutdown_begin(GRACE);
    int line = __LINE__ - 1;
    uint64_t id = coir_task_id(coir_self());
    CHECK_EQ(coir_sleep(0), 0);
    time_pass(GRACE - TEST_TICK);
    CHECK_EQ(coir_sleep(0), 0);
    coir_task ticker = start_task(NULL, sleep_and_tell, &first);
    await_parked(ticker);
    CHECK_EQ(coir_check(), 0);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(coir_sleep(COIR_FOREVER), -ECANCELED); /* the first task too */
    CHECK_EQ(coir_spawn(NULL, sleep_and_tell, &first), -ECANCELED);
    coir_scope s;
    coir_shield_begin(&s, COIR_FOREVER);
    CHECK_EQ(join_result(t), -ECANCELED);
    CHECK_EQ(join_result(ticker), -ECANCELED);
    coir_shield_end(&s);
    check_ending(&detached, line, id);
    check_ending(&first, line, id);
    return 0;
}

TEST(after_the_grace_everything_is_cancelled)
{
    CHECK_EQ(run_on_test_clock(ends_after_grace, NULL), 0);
}

static int ends_at_once(void *arg)
{
    ending e = {0};
    coir_task t = start_task(NULL, sleep_and_tell, &e);
    await_parked(t);
    CHECK_EQ(coir_check(), 0);
    coir_shutdown_begin(*(int64_t *)arg);
    int line = __LINE__ - 1;
    CHECK_EQ(coir_check(), -ECANCELED);
    coir_scope s;
    coir_shield_begin(&s, COIR_FOREVER);
    CHECK_EQ(join_result(t), -ECANCELED);
    coir_shield_end(&s);
    check_ending(&e, line, coir_task_id(coir_self()));
    return 0;
}

TEST(without_grace_everything_is_cancelled_at_once)
{
    const int64_t graces[] = {0, -1, INT64_MIN};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(run_on_test_clock(ends_at_once, (void *)(uintptr_t)&graces[i]), 0);
}

static int begin_shutdown(void *arg)
{
    coir_shutdown_begin(*(int64_t *)arg);
    return 0;
}

static int second_call(void *arg)
{
    int64_t graces[] = {GRACE, 100 * GRACE, COIR_FOREVER, GRACE / 2};
    bool shorter = *(bool *)arg;
    for (int i = 0; i < (shorter ? 4 : 3); i++) /* on other workers too */
        CHECK_EQ(join_result(start_task(NULL, begin_shutdown, &graces[i])), 0);
    time_pass(GRACE / 2 + TEST_TICK);
    if (!shorter) {
        for (int i = 0; i < 100; i++)
            CHECK_EQ(coir_sleep(0), 0);
        time_pass(GRACE / 2);
    }
    CHECK_EQ(coir_sleep(COIR_FOREVER), -ECANCELED);
    return 0;
}

TEST(a_second_call_only_shortens)
{
    bool shorter = false;
    CHECK_EQ(run_on_test_clock(second_call, &shorter), 0);
    shorter = true;
    CHECK_EQ(run_on_test_clock(second_call, &shorter), 0);
}

static int nothing_but_forever(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        coir_shutdown_begin(COIR_FOREVER);
    time_pass(COIR_S(1000000));
    CHECK_EQ(coir_sleep(0), 0);
    CHECK_EQ(coir_check(), 0);
    return 3;
}

TEST(for_ever_is_never) { CHECK_EQ(run_on_test_clock(nothing_but_forever, NULL), 3); }

static int ends_in_time(void *arg)
{
    (void)arg;
    coir_shutdown_begin(COIR_S(3600));
    coir_shutdown_begin(COIR_S(1800));
    return 3;
}

TEST(a_runtime_that_ends_does_not_wait_for_the_grace)
{
    for (int i = 0; i < 10; i++)
        CHECK_EQ(run_on_test_clock(ends_in_time, NULL), 3);
}

static int shutdown_in_a_thread(void *arg)
{
    (void)arg;
    coir_shutdown_begin(1);
    return 0;
}

TEST(in_a_plain_thread_it_is_misuse)
{
    CHECK_ABORTS(shutdown_in_a_thread, NULL, "coir_shutdown_begin()");
}

/* -- deadlock --------------------------------------------------------------------------------------------------- */

static void never_called(void *arg)
{
    (void)arg;
    harness_fail(__FILE__, __LINE__, "a deadlock was reported");
}

extern int64_t coir__deadlock_patience; /* debug/deadlock.c */

static int wait_for_the_end(void *arg)
{
    coir_event never = COIR_EVENT_INIT;
    (void)arg;
    coir_shutdown_begin(COIR_MS(60));
    CHECK_EQ(coir_event_wait(&never), -ECANCELED);
    return 0;
}

TEST(a_grace_that_runs_is_no_deadlock)
{
    coir_options o = {.on_deadlock = never_called};
    coir__deadlock_patience = 1;
    CHECK_EQ(coir_run(&o, wait_for_the_end, NULL), 0);
}

/* -- several runtimes ------------------------------------------------------------------------------------------- */

typedef struct other {
    int listener;
    _Atomic int accepting;
} other;

static int accept_and_tell(void *arg)
{
    other *o = arg;
    coir_task t = start_task(NULL, accept_it, &o->listener);
    await_waiting(t);
    atomic_store(&o->accepting, 1);
    return join_result(t);
}

static int run_accepting(void *arg) { return coir_run(NULL, accept_and_tell, arg); }

static int shut_down_beside(void *arg)
{
    other *o = arg;
    test_thread thread;
    o->listener = loopback_listener();
    coir_task own = start_task(NULL, accept_it, &o->listener);
    await_waiting(own);
    thread_start(&thread, run_accepting, o);
    await_value(&o->accepting, 1);
    coir_shutdown_begin(COIR_FOREVER);
    CHECK_EQ(join_result(own), -ESHUTDOWN);
    CHECK(!atomic_load(&thread.ended));
    int client = connect_to(o->listener);
    CHECK_EQ(thread_finish(&thread), 0); /* it has taken the connection */
    CHECK_EQ(coir_close(client), 0);
    CHECK_EQ(coir_close(o->listener), 0);
    return 0;
}

TEST(another_runtime_goes_on)
{
    other o = {0};
    CHECK_EQ(coir_run(NULL, shut_down_beside, &o), 0);
}

static int embedded_first(void *arg)
{
    int listener = loopback_listener();
    coir_task t = start_task(NULL, accept_it, &listener);
    await_waiting(t);
    coir_shutdown_begin(COIR_MS(5));
    *(int *)arg = join_result(t);
    CHECK_EQ(coir_close(listener), 0);
    return coir_sleep(COIR_FOREVER);
}

static void unhandled(void *arg, coir_task t, int rc) { (void)arg, (void)t, (void)rc; }

TEST(in_a_foreign_loop_it_is_the_same)
{
    int rc = 0;
    coir_options o = {.on_unhandled = unhandled};
    CHECK_EQ(setenv("COIR_WORKERS", "1", 1), 0);
    coir_runtime *rt = coir_runtime_new(&o);
    CHECK(rt != NULL);
    CHECK_EQ(coir_runtime_spawn(rt, embedded_first, &rc), 0);
    do {
        struct pollfd p = {coir_runtime_fd(rt), POLLIN, 0};
        poll(&p, 1, -1);
    } while (coir_runtime_run_once(rt) > 0);
    CHECK_EQ(rc, -ESHUTDOWN);
    CHECK_EQ(coir_runtime_spawn(rt, embedded_first, &rc), -ECANCELED);
    coir_runtime_free(rt);
}

/* -- a storm: nobody is left behind, and no connection is lost ---------------------------------------------------- */

enum { ACCEPTORS = 6 };

typedef struct storm {
    int listener;
    coir_addr address;
    _Atomic int accepted, ended;
    int connected;
    dice dice;
} storm;

static int storm_accept(void *arg)
{
    storm *s = arg;
    int fd;
    while ((fd = coir_accept(s->listener, NULL)) >= 0) {
        atomic_fetch_add(&s->accepted, 1);
        CHECK_EQ(coir_close(fd), 0);
    }
    CHECK_EQ(fd, -ESHUTDOWN);
    atomic_fetch_add(&s->ended, 1);
    return 0;
}

static int storm_poll(void *arg)
{
    storm *s = arg;
    int rc;
    while ((rc = coir_poll(s->listener, POLLIN)) > 0)
        coir_yield();
    CHECK_EQ(rc, -ESHUTDOWN);
    for (;;) {
        coir_case c = COIR_READABLE(s->listener);
        CHECK_EQ(coir_select(&c, 1), 0);
        if (c.result == -ESHUTDOWN)
            return 0;
        coir_yield();
    }
}

static int storm_select(void *arg)
{
    storm *s = arg;
    for (;;) {
        coir_case cases[] = {COIR_READABLE(s->listener), COIR_AFTER(COIR_US(20))};
        int i = coir_select(cases, 2);
        CHECK_GE(i, 0);
        if (i == 0 && cases[0].result < 0) {
            CHECK_EQ(cases[0].result, -ESHUTDOWN);
            return 0;
        }
        coir_yield();
    }
}

/* Shuts down when acceptors that have just taken something come back for more. */
static int storm_connect(void *arg)
{
    storm *s = arg;
    for (uint32_t i = dice_below(&s->dice, 12); i > 0; i--) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        CHECK_GE(fd, 0);
        CHECK_EQ(coir_connect(fd, &s->address), 0);
        CHECK_EQ(coir_close(fd), 0);
        s->connected++;
    }
    dice_spin(&s->dice, 20);
    coir_shutdown_begin(COIR_FOREVER);
    return 0;
}

static void storm_listen(storm *s)
{
    static _Atomic int serial;
    char text[COIR_ADDR_TEXT];
    snprintf(text, sizeof text, "unix:@coir-shutdown-%d-%d", (int)getpid(),
             atomic_fetch_add(&serial, 1));
    CHECK_EQ(coir_addr_parse(&s->address, text), 0);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_EQ(bind(s->listener, &s->address.u.sa, s->address.len), 0);
    CHECK_EQ(listen(s->listener, 16), 0);
}

static int storm_run(void *arg)
{
    storm *s = arg;
    coir_group g;
    storm_listen(s);
    coir_group_begin(&g, 0);
    for (int i = 0; i < ACCEPTORS; i++)
        CHECK_EQ(coir_spawn(&g, storm_accept, s), 0);
    CHECK_EQ(coir_spawn(&g, storm_poll, s), 0);
    CHECK_EQ(coir_spawn(&g, storm_select, s), 0);
    for (uint32_t i = dice_below(&s->dice, 30); i > 0; i--)
        coir_yield();
    CHECK_EQ(coir_spawn(&g, storm_connect, s), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    int left = 0, fd;
    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        left++;
        close(fd);
    }
    CHECK_EQ(atomic_load(&s->ended), ACCEPTORS);
    CHECK_EQ(atomic_load(&s->accepted) + left, s->connected);
    CHECK_EQ(coir_close(s->listener), 0);
    return 0;
}

TEST(nobody_is_left_behind_and_no_connection_lost)
{
    for (int i = 0, n = rounds_of(500); i < n; i++) {
        storm s = {.dice = {.state = (uint64_t)i}};
        CHECK_EQ(coir_run(NULL, storm_run, &s), 0);
    }
}

TEST_MAIN("shutdown")
