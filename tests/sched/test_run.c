/* SPDX-License-Identifier: MIT */
/* test_run.c - coir_run: its result, its end, several of it, and what is the same afterwards. */
#include "sched_test.h"

#include <signal.h>

static int return_arg(void *arg) { return *(int *)arg; }

static int return_0(void *arg)
{
    (void)arg;
    return 0;
}

/* -- result ------------------------------------------------------------------------------------------------- */

TEST(run_returns_the_result_of_the_first_task)
{
    static const int results[] = {0, 1, 42, INT32_MAX, -1, -ECANCELED, -ETIMEDOUT, INT32_MIN};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        int result = results[i];
        CHECK_EQ(coir_run(NULL, return_arg, &result), results[i]);
    }
}

TEST(run_can_be_called_again)
{
    int rounds = 60 / harness_scale();
    for (int i = 0; i < rounds; i++)
        CHECK_EQ(coir_run(NULL, return_arg, &i), i);
}

static int run_inside(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_run(NULL, return_0, NULL), -EDEADLK);
    coir_options o = {.workers = 1};
    CHECK_EQ(coir_run(&o, return_0, NULL), -EDEADLK);
    return 7;
}

TEST(run_inside_a_task_is_a_deadlock) { CHECK_EQ(coir_run(NULL, run_inside, NULL), 7); }

TEST(run_without_a_function_is_invalid)
{
    coir_options o = {.workers = 2};
    CHECK_EQ(coir_run(NULL, NULL, NULL), -EINVAL);
    CHECK_EQ(coir_run(&o, NULL, NULL), -EINVAL);
}

/* -- the end ------------------------------------------------------------------------------------------------ */

typedef struct leftover {
    atomic_int ended;
    int reason_seen; /* by the last, under `ended` */
} leftover;

static int wait_for_the_end(void *arg)
{
    leftover *l = arg;
    int rc = coir_sleep(COIR_FOREVER);
    CHECK_EQ(rc, -ECANCELED);
    const coir_cancel_reason *reason = coir_cancel_reason_get();
    CHECK(reason != NULL);
    CHECK_STR(reason->why, "run ended");
    coir_scope shield;
    coir_shield_begin(&shield, COIR_S(10));
    for (int i = 0; i < 10; i++)
        coir_yield(); /* takes its time */
    coir_shield_end(&shield);
    atomic_fetch_add(&l->ended, 1);
    return rc;
}

static int leave_detached(void *arg)
{
    for (int i = 0; i < 50; i++)
        CHECK_EQ(coir_spawn(NULL, wait_for_the_end, arg), 0);
    return 3;
}

TEST(detached_tasks_are_cancelled_and_awaited_at_the_end)
{
    leftover l = {.ended = 0};
    CHECK_EQ(coir_run(NULL, leave_detached, &l), 3);
    CHECK_EQ(atomic_load(&l.ended), 50);
}

static int spawn_at_the_end(void *arg)
{
    while (coir_check() == 0)
        coir_yield();
    CHECK_EQ(coir_spawn(NULL, return_0, NULL), -ECANCELED);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int leave_spawners(void *arg)
{
    for (int i = 0; i < 10; i++)
        CHECK_EQ(coir_spawn(NULL, spawn_at_the_end, arg), 0);
    return 0;
}

TEST(nothing_can_be_spawned_once_the_run_has_ended)
{
    atomic_int refused = 0;
    CHECK_EQ(coir_run(NULL, leave_spawners, &refused), 0);
    CHECK_EQ(atomic_load(&refused), 10);
}

/* -- several ------------------------------------------------------------------------------------------------ */

COIR_CHAN_TYPE(ints, int)

typedef struct relay {
    ints *in, *out;
    unsigned workers;
    int rounds;
} relay;

static int relay_task(void *arg)
{
    relay *r = arg;
    for (int i = 0; i < r->rounds; i++) {
        int value;
        CHECK_EQ(ints_recv(r->in, &value), 0);
        CHECK_EQ(ints_send(r->out, value + 1), 0);
    }
    return 0;
}

static void *run_relay(void *arg)
{
    relay *r = arg;
    coir_options o = {.workers = r->workers};
    CHECK_EQ(coir_run(&o, relay_task, r), 0);
    return NULL;
}

enum { RELAYS = 4 };

TEST(several_runtimes_run_at_once_and_share_channels)
{
    relay relays[RELAYS];
    pthread_t threads[RELAYS];
    ints *chans[RELAYS + 1];
    int rounds = 2000 / harness_scale();
    for (int i = 0; i <= RELAYS; i++)
        CHECK((chans[i] = ints_new(i % 3 == 0 ? 0 : 2)) != NULL);
    for (int i = 0; i < RELAYS; i++) {
        relays[i] = (relay){chans[i], chans[i + 1], (unsigned)i % 2 + 1, rounds};
        threads[i] = thread_start(run_relay, &relays[i]);
    }
    for (int i = 0; i < rounds; i++) {
        int value = 0;
        CHECK_EQ(ints_send(chans[0], i), 0);
        CHECK_EQ(ints_recv(chans[RELAYS], &value), 0);
        CHECK_EQ(value, i + RELAYS);
    }
    for (int i = 0; i < RELAYS; i++)
        thread_finish(threads[i]);
    for (int i = 0; i <= RELAYS; i++)
        ints_free(chans[i]);
}

static void *run_over_and_over(void *arg)
{
    int rounds = *(int *)arg;
    for (int i = 0; i < rounds; i++)
        CHECK_EQ(coir_run(NULL, return_arg, &i), i);
    return NULL;
}

TEST(runtimes_begin_and_end_beside_each_other)
{
    pthread_t threads[4];
    int rounds = 24 / harness_scale();
    for (int i = 0; i < 4; i++)
        threads[i] = thread_start(run_over_and_over, &rounds);
    for (int i = 0; i < 4; i++)
        thread_finish(threads[i]);
}

/* -- a thread before and after ------------------------------------------------------------------------------ */

static void use_as_thread(void)
{
    coir_scope s;
    ints *c = ints_new(1);
    int value = 0;
    CHECK_EQ(ints_send(c, 5), 0);
    CHECK_EQ(ints_recv(c, &value), 0);
    CHECK_EQ(value, 5);
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(coir_sleep(1), 0);
    CHECK_EQ(coir_task_id(coir_self()), 0);
    ints_free(c);
}

static int be_a_task(void *arg)
{
    (void)arg;
    CHECK_NE(coir_task_id(coir_self()), 0);
    coir_yield();
    return 0;
}

TEST(a_thread_that_used_coir_can_run_and_use_it_again)
{
    for (int i = 0; i < 3; i++) {
        use_as_thread();
        CHECK_EQ(coir_run(NULL, be_a_task, NULL), 0);
    }
    use_as_thread();
}

TEST(a_scope_of_the_thread_does_not_reach_into_its_runtime)
{
    coir_scope s;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_run(NULL, be_a_task, NULL), 0);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, coir_check()), -ETIMEDOUT);
}

/* -- the same before and after ------------------------------------------------------------------------------ */

TEST(descriptors_and_threads_are_as_before)
{
    int fds = harness_count_fds(), threads = harness_count_threads();
    CHECK_EQ(coir_run(NULL, be_a_task, NULL), 0);
    CHECK_EQ(harness_count_fds(), fds);
    threads_settle(threads, 0);
}

static void own_handler(int signal_number) { (void)signal_number; }

static int see_handler(void *arg)
{
    struct sigaction now;
    bool *ret_own = arg;
    sigaction(SIGSEGV, NULL, &now);
    *ret_own = now.sa_handler == own_handler;
    return 0;
}

TEST(the_handler_for_overflow_is_there_during_a_run_only)
{
    struct sigaction own = {.sa_handler = own_handler}, now;
    bool is_own = true;
    CHECK_EQ(sigaction(SIGSEGV, &own, NULL), 0);
    CHECK_EQ(coir_run(NULL, see_handler, &is_own), 0);
    CHECK(!is_own);
    sigaction(SIGSEGV, NULL, &now);
    CHECK(now.sa_handler == own_handler);
}

TEST(the_flag_leaves_signal_handlers_alone)
{
    struct sigaction own = {.sa_handler = own_handler};
    coir_options o = {.flags = COIR_NO_OVERFLOW_HANDLER};
    bool is_own = false;
    unsetenv("COIR_STACK"); /* grow needs the handler */
    CHECK_EQ(sigaction(SIGSEGV, &own, NULL), 0);
    CHECK_EQ(coir_run(&o, see_handler, &is_own), 0);
    CHECK(is_own);
}

/* Every worker but the first, which is the caller's thread, is seen by a task of its own. */
typedef struct roll {
    atomic_int arrived;
    int expected;
    pid_t first;
} roll;

static int answer_roll(void *arg)
{
    roll *r = arg;
    sigset_t mask;
    char name[16];
    atomic_fetch_add(&r->arrived, 1);
    while (atomic_load(&r->arrived) < r->expected) /* holds the worker, so that all are called */
        sched_yield();
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    if (thread_id() == r->first) {
        CHECK_EQ(sigismember(&mask, SIGUSR1), 0);
        return 0;
    }
    CHECK_EQ(sigismember(&mask, SIGUSR1), 1);
    CHECK_EQ(sigismember(&mask, SIGINT), 1);
    CHECK_EQ(sigismember(&mask, SIGSEGV), 0);
    CHECK_EQ(strncmp(name, "coir/", 5), 0);
    return 0;
}

static int call_roll(void *arg)
{
    roll *r = arg;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < r->expected; i++)
        CHECK_EQ(coir_spawn(&g, answer_roll, r), 0);
    return coir_group_end(&g);
}

TEST(worker_threads_are_named_and_block_asynchronous_signals)
{
    roll r = {.expected = 4, .first = thread_id()};
    char before[16], after[16];
    pthread_getname_np(pthread_self(), before, sizeof before);
    CHECK_EQ(run_on(4, call_roll, &r), 0);
    pthread_getname_np(pthread_self(), after, sizeof after);
    CHECK_STR(before, after);
}

TEST_MAIN("sched_run")
