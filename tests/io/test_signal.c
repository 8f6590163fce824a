/* SPDX-License-Identifier: MIT */
/* test_signal.c - signals waited for by tasks. */
#include "io/pairs.h"

#include <coir/signal.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

#include "sync/wait_tools.h"

/* A set of up to three. */
static sigset_t set_of(int a, int b, int c)
{
    const int signos[] = {a, b, c};
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < 3; i++)
        if (signos[i])
            CHECK_EQ(sigaddset(&set, signos[i]), 0);
    return set;
}

static int wait_for(int signo)
{
    sigset_t set = set_of(signo, 0, 0);
    int got = 0;
    int rc = coir_signal_wait(&set, &got);
    if (rc == 0)
        CHECK_EQ(got, signo);
    return rc;
}

static int wait_usr1(void *arg)
{
    (void)arg;
    return wait_for(SIGUSR1);
}

static void await_selected(coir_task t)
{
    while (atomic_load(&((coir__task *)t.opaque)->park) != COIR__PARK_SELECTED)
        coir_yield();
}

/* A task that waits for SIGUSR1 by now. */
static coir_task waiter(coir_group *g)
{
    coir_task t = start_task(g, wait_usr1, NULL);
    await_selected(t);
    return t;
}

static void send_signal(int signo) { CHECK_EQ(kill(getpid(), signo), 0); }

/* -- waiting ---------------------------------------------------------------------------------------------------- */

TASK_TEST(a_signal_to_the_process_wakes_its_waiter)
{
    for (int i = 0; i < 5; i++) {
        coir_task t = waiter(NULL);
        send_signal(SIGUSR1);
        CHECK_EQ(join_result(t), 0);
    }
}

TASK_TEST(one_of_a_set_is_told)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2, SIGRTMIN);
    const int signos[] = {SIGUSR2, SIGRTMIN, SIGUSR1};
    int got;
    CHECK_EQ(coir_select_try((coir_case[]){COIR_SIGNALLED(SIGUSR1), COIR_SIGNALLED(SIGUSR2),
                                           COIR_SIGNALLED(SIGRTMIN)},
                             3),
             -EAGAIN);
    for (int i = 0; i < 3; i++) {
        send_signal(signos[i]);
        CHECK_EQ(coir_signal_wait(&set, &got), 0);
        CHECK_EQ(got, signos[i]);
        send_signal(signos[i]);
        CHECK_EQ(coir_signal_wait(&set, NULL), 0);
    }
}

static int raise_usr1(void *arg)
{
    (void)arg;
    return raise(SIGUSR1);
}

/* raise() is for the thread; so both are to be on one. */
TASK_TEST(raised_in_a_task_on_the_same_worker_it_counts)
{
    coir_group g;
    coir_group_begin(&g, COIR_GROUP_PINNED);
    CHECK_EQ(coir_pin(), 0);
    coir_task t = waiter(&g);
    CHECK_EQ(join_result(start_task(&g, raise_usr1, NULL)), 0);
    CHECK_EQ(join_result(t), 0);
    CHECK_EQ(coir_unpin(), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

static int send_to_itself(void *arg)
{
    (void)arg;
    coir_task t = waiter(NULL);
    send_signal(SIGUSR1);
    return join_result(t);
}

static bool is_blocked_here(int signo)
{
    sigset_t now;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
    return sigismember(&now, signo) == 1;
}

TEST(blocked_everywhere_beforehand_it_arrives_and_is_blocked_afterwards)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2, 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_run(NULL, send_to_itself, NULL), 0);
        CHECK(is_blocked_here(SIGUSR1));
        CHECK(is_blocked_here(SIGUSR2));
    }
}

TEST(a_pending_signal_that_was_blocked_is_found_by_the_first_wait)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    send_signal(SIGUSR1);
    CHECK_EQ(coir_run(NULL, wait_usr1, NULL), 0);
    CHECK(is_blocked_here(SIGUSR1));
}

TASK_TEST(each_occurrence_goes_to_one_waiter)
{
    enum { N = 4 };
    coir_task t[N];
    for (int i = 0; i < N; i++)
        t[i] = waiter(NULL);
    for (int sent = 1; sent <= N; sent++) {
        int ended = 0;
        send_signal(SIGUSR1);
        while (ended < sent) {
            coir_yield();
            ended = 0;
            for (int i = 0; i < N; i++)
                ended += (atomic_load(&((coir__task *)t[i].opaque)->flags) & COIR__TASK_DONE) != 0;
        }
        CHECK_EQ(ended, sent);
        for (int i = 0; i < 50; i++) /* those who were told in vain wait on */
            coir_yield();
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ(join_result(t[i]), 0);
    CHECK_EQ(coir_select_try((coir_case[]){COIR_SIGNALLED(SIGUSR1)}, 1), -EAGAIN);
}

TASK_TEST(while_nobody_waits_it_is_remembered)
{
    coir_case c = COIR_SIGNALLED(SIGRTMIN);
    CHECK_EQ(coir_select_try(&c, 1), -EAGAIN);
    int n = COIR__TSAN ? 1 : 3; /* it keeps one of a number */
    for (int i = 0; i < n; i++)
        send_signal(SIGRTMIN); /* queued, so none melts into another */
    for (int i = 0; i < n; i++)
        CHECK_EQ(wait_for(SIGRTMIN), 0);
    CHECK_EQ(coir_select_try(&c, 1), -EAGAIN);
}

/* -- cancelling ------------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_wait_takes_nothing)
{
    coir_task t = waiter(NULL);
    CHECK_EQ(coir_cancel(t, "test"), 0);
    CHECK_EQ(join_result(t), -ECANCELED);
    send_signal(SIGUSR1);
    CHECK_EQ(wait_for(SIGUSR1), 0);
    send_signal(SIGUSR1);
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    coir_scope_cancel(&s, "test");
    CHECK_EQ(wait_for(SIGUSR1), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ECANCELED);
    CHECK_EQ(wait_for(SIGUSR1), 0);
    CHECK_EQ(coir_with_timeout(COIR_MS(2), wait_usr1, NULL), -ETIMEDOUT);
}

TASK_TEST(beside_other_cases_only_one_takes_effect)
{
    coir_chan *c = coir_chan_new(sizeof(int), 1);
    int in = 5, out = 0;
    coir_case cases[] = {COIR_RECV(c, &out), COIR_SIGNALLED(SIGUSR1), COIR_AFTER(COIR_MS(1))};
    CHECK_EQ(coir_select(cases, 3), 2);
    send_signal(SIGUSR1);
    cases[2] = COIR_AFTER(COIR_S(1000));
    CHECK_EQ(coir_select(cases, 3), 1);
    CHECK_EQ(cases[1].result, 0);
    CHECK_EQ(coir_chan_send(c, &in), 0);
    CHECK_EQ(coir_select(cases, 3), 0);
    CHECK_EQ(out, 5);
    /* both are ready: what is not chosen stays */
    send_signal(SIGUSR1);
    CHECK_EQ(wait_for(SIGUSR1), 0);
    send_signal(SIGUSR1);
    CHECK_EQ(coir_chan_send(c, &in), 0);
    int first = coir_select(cases, 3), second = coir_select(cases, 3);
    CHECK_EQ(first + second, 1);
    CHECK_EQ(coir_chan_len(c), 0);
    coir_chan_free(c);
}

/* -- shutdown --------------------------------------------------------------------------------------------------- */

TASK_TEST(a_runtime_that_shuts_down_waits_for_no_signal)
{
    coir_task t = waiter(NULL);
    coir_shutdown_begin(COIR_FOREVER);
    CHECK_EQ(join_result(t), -ESHUTDOWN);
    CHECK_EQ(wait_for(SIGUSR1), -ESHUTDOWN);
    CHECK_EQ(wait_for(SIGUSR2), -ESHUTDOWN);
    coir_case cases[] = {COIR_SIGNALLED(SIGUSR1), COIR_AFTER(COIR_S(1000))};
    CHECK_EQ(coir_select(cases, 2), 0);
    CHECK_EQ(cases[0].result, -ESHUTDOWN);
    CHECK_EQ(coir_select_try(cases, 1), 0);
    CHECK_EQ(cases[0].result, -ESHUTDOWN);
}

static int shut_down_on_signal(void *arg)
{
    int rc = wait_for(SIGTERM);
    (void)arg;
    coir_shutdown_begin(COIR_S(10));
    return rc;
}

static int serve(void *arg)
{
    int listener = loopback_listener(), fd;
    (void)arg;
    while ((fd = coir_accept(listener, NULL)) >= 0)
        CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(fd, -ESHUTDOWN);
    return coir_close(listener);
}

TASK_TEST(a_signal_drains_a_server)
{
    coir_task server = start_task(NULL, serve, NULL);
    coir_task t = start_task(NULL, shut_down_on_signal, NULL);
    await_selected(t);
    send_signal(SIGTERM);
    CHECK_EQ(join_result(t), 0);
    CHECK_EQ(join_result(server), 0);
}

/* -- refusals --------------------------------------------------------------------------------------------------- */

TASK_TEST(what_can_not_be_waited_for_is_refused)
{
    const int bad[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    sigset_t set;
    int got = 77;
    CHECK_EQ(coir_signal_wait(NULL, &got), -EINVAL);
    sigemptyset(&set);
    CHECK_EQ(coir_signal_wait(&set, &got), -EINVAL);
    sigfillset(&set);
    CHECK_EQ(coir_signal_wait(&set, &got), -EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set = set_of(SIGUSR1, bad[i], 0);
        CHECK_EQ(coir_signal_wait(&set, &got), -EINVAL);
        coir_case c = COIR_SIGNALLED(bad[i]);
        CHECK_EQ(coir_select(&c, 1), 0);
        CHECK_EQ(c.result, -EINVAL);
    }
    const int64_t none[] = {0, -1, 65, 32, INT64_MAX, COIR_FOREVER - 1};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        coir_case c = COIR_SIGNALLED(none[i]);
        CHECK_EQ(coir_select(&c, 1), 0);
        CHECK_EQ(c.result, -EINVAL);
    }
    CHECK_EQ(got, 77);
}

static int select_signal(void *arg)
{
    coir_case c = COIR_SIGNALLED(SIGUSR1);
    (void)arg;
    return coir_select(&c, 1);
}

static int wait_signal(void *arg) { return wait_usr1(arg); }

TEST(in_plain_threads_it_is_misuse)
{
    CHECK_ABORTS(select_signal, NULL, "coir_select(): a signal's case");
    CHECK_ABORTS(wait_signal, NULL, "coir_signal_wait()");
}

/* -- what was there before -------------------------------------------------------------------------------------- */

static _Atomic int handled;

static void old_handler(int signo)
{
    (void)signo;
    atomic_fetch_add(&handled, 1);
}

TEST(what_was_there_before_is_restored)
{
    struct sigaction old = {.sa_handler = old_handler, .sa_flags = SA_NODEFER}, now;
    sigemptyset(&old.sa_mask);
    sigaddset(&old.sa_mask, SIGHUP);
    CHECK_EQ(sigaction(SIGUSR1, &old, NULL), 0);
    int fds = harness_count_fds();
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(coir_run(NULL, send_to_itself, NULL), 0);
        CHECK_EQ(harness_count_fds(), fds);
        CHECK_EQ(handled, i);
        CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
        CHECK(now.sa_handler == old_handler);
        CHECK(now.sa_flags & SA_NODEFER);
        CHECK(sigismember(&now.sa_mask, SIGHUP));
        CHECK_EQ(raise(SIGUSR1), 0);
        CHECK_EQ(handled, i + 1);
    }
}

static int replace_handler(void *arg)
{
    struct sigaction theirs = {.sa_handler = old_handler};
    (void)arg;
    CHECK_EQ(send_to_itself(NULL), 0);
    return sigaction(SIGUSR1, &theirs, NULL);
}

TEST(a_handler_that_came_later_is_left_alone)
{
    struct sigaction now;
    CHECK_EQ(coir_run(NULL, replace_handler, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == old_handler);
}

static int fork_and_signal(void *arg)
{
    (void)arg;
    CHECK_EQ(send_to_itself(NULL), 0);
    pid_t pid = fork();
    CHECK_GE(pid, 0);
    if (pid == 0) {
        sigset_t set = set_of(SIGUSR1, 0, 0);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        raise(SIGUSR1);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGUSR1);
    CHECK_EQ(coir_select_try((coir_case[]){COIR_SIGNALLED(SIGUSR1)}, 1), -EAGAIN);
    return 0;
}

TEST(in_a_child_the_signal_does_what_it_did_before)
{
    if (COIR__TSAN)
        skip("ThreadSanitizer puts handlers off");
    CHECK_EQ(coir_run(NULL, fork_and_signal, NULL), 0);
}

/* -- several runtimes ------------------------------------------------------------------------------------------- */

typedef struct pair {
    _Atomic int waiting, go_on;
} pair;

static int wait_twice(void *arg)
{
    pair *p = arg;
    for (int i = 0; i < 2; i++) {
        coir_task t = waiter(NULL);
        atomic_fetch_add(&p->waiting, 1);
        CHECK_EQ(join_result(t), 0);
    }
    return 0;
}

static int run_waiting(void *arg) { return coir_run(NULL, wait_twice, arg); }

/* Both wait; one gets it. One ends, and the handler stays for the other. */
TEST(two_runtimes_share_a_signal)
{
    pair p = {0};
    test_thread threads[2];
    for (int i = 0; i < 2; i++)
        thread_start(&threads[i], run_waiting, &p);
    await_value(&p.waiting, 2);
    for (int sent = 1; sent <= 4; sent++) {
        send_signal(SIGUSR1);
        /* taken: another wait has begun, or one of the two has ended */
        while (atomic_load(&p.waiting) + atomic_load(&threads[0].ended) +
                   atomic_load(&threads[1].ended) <
               2 + sent)
            sched_yield();
    }
    for (int i = 0; i < 2; i++)
        CHECK_EQ(thread_finish(&threads[i]), 0);
    CHECK_EQ(p.waiting, 4);
}

/* After a run_once's time is over. */
static int embedded_wait(void *arg)
{
    for (int64_t end = coir_now() + COIR_MS(3); coir_now() < end;)
        continue;
    *(int *)arg = wait_for(SIGUSR1);
    return 0;
}

TEST(in_a_foreign_loop_a_signal_makes_the_descriptor_readable)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    int rc = 1;
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(setenv("COIR_WORKERS", "1", 1), 0);
    coir_runtime *rt = coir_runtime_new(NULL);
    CHECK(rt != NULL);
    CHECK_EQ(coir_runtime_spawn(rt, embedded_wait, &rc), 0);
    CHECK_EQ(coir_runtime_run_once(rt), 1);
    send_signal(SIGUSR1);
    do {
        struct pollfd p = {coir_runtime_fd(rt), POLLIN, 0};
        poll(&p, 1, -1);
    } while (coir_runtime_run_once(rt) > 0);
    CHECK_EQ(rc, 0);
    coir_runtime_free(rt);
    CHECK(is_blocked_here(SIGUSR1));
}

/* -- a storm: every occurrence is taken once ---------------------------------------------------------------------- */

enum { TAKERS = 5, SENDERS = 2 };

typedef struct storm {
    int per_sender;
    _Atomic int taken, ticks, sent;
    coir_event done;
} storm;

static int storm_take(void *arg)
{
    storm *s = arg;
    for (;;) {
        coir_case cases[] = {COIR_SIGNALLED(SIGRTMIN), COIR_SET(&s->done), COIR_AFTER(COIR_US(50))};
        int i = coir_select(cases, 3);
        CHECK_GE(i, 0);
        CHECK_EQ(cases[i].result, 0);
        if (i == 1)
            return 0;
        if (i == 2) {
            atomic_fetch_add(&s->ticks, 1);
            coir_yield();
        } else if (atomic_fetch_add(&s->taken, 1) + 1 == SENDERS * s->per_sender) {
            coir_event_set(&s->done);
        }
    }
}

/* With few under way, because the kernel queues only so many. */
#define UNDER_WAY 20

static int storm_send(void *arg)
{
    storm *s = arg;
    for (int i = 0; i < s->per_sender; i++) {
        int sent = atomic_load(&s->sent);
        while (sent - atomic_load(&s->taken) >= UNDER_WAY ||
               !atomic_compare_exchange_weak(&s->sent, &sent, sent + 1)) {
            sched_yield();
            sent = atomic_load(&s->sent);
        }
        while (kill(getpid(), SIGRTMIN) != 0)
            sched_yield();
    }
    return 0;
}

TASK_TEST(every_occurrence_is_taken_once)
{
    storm s = {.per_sender = rounds_of(1500)};
    test_thread threads[SENDERS];
    coir_group g;
    if (COIR__TSAN)
        skip("ThreadSanitizer loses signals that come soon after one another");
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_select_try((coir_case[]){COIR_SIGNALLED(SIGRTMIN)}, 1), -EAGAIN);
    for (int i = 0; i < TAKERS; i++)
        CHECK_EQ(coir_spawn(&g, storm_take, &s), 0);
    for (int i = 0; i < SENDERS; i++)
        thread_start(&threads[i], storm_send, &s);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < SENDERS; i++)
        CHECK_EQ(thread_finish(&threads[i]), 0);
    CHECK_EQ(s.taken, SENDERS * s.per_sender);
    CHECK_EQ(coir_select_try((coir_case[]){COIR_SIGNALLED(SIGRTMIN)}, 1), -EAGAIN);
}

TEST_MAIN("signal")
