/* SPDX-License-Identifier: MIT */
/* test_barrier.c - rounds, cancellation, deadlines, life. */
#include "sync/lock_tools.h"

typedef struct comer {
    coir_barrier *b;
    _Atomic int rc;
    coir_task task;
} comer;

static int come(void *arg)
{
    comer *c = arg;
    c->rc = coir_barrier_wait(c->b);
    return 0;
}

static void start_coming(comer *c, coir_group *g, coir_barrier *b)
{
    *c = (comer){.b = b, .rc = 7};
    c->task = start_task(g, come, c);
    await_parked(c->task);
}

/* -- rounds ------------------------------------------------------------------------------------------------- */

TASK_TEST(a_barrier_for_nobody_is_an_error_and_one_for_one_never_waits)
{
    coir_barrier none = COIR_BARRIER_INIT(0), one = COIR_BARRIER_INIT(1);
    CHECK_EQ(coir_barrier_wait(&none), -EINVAL);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(coir_barrier_wait(&one), 1);
}

TASK_TEST(the_last_one_lets_all_go)
{
    coir_barrier b = COIR_BARRIER_INIT(4);
    comer c[3];
    for (int round = 0; round < 3; round++) {
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < 3; i++)
            start_coming(&c[i], &g, &b);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(c[i].rc, 7);
        CHECK_EQ(coir_barrier_wait(&b), 1);
        CHECK_EQ(coir_group_end(&g), 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(c[i].rc, 0);
    }
}

typedef struct march {
    coir_barrier b;
    int n, rounds;
    _Atomic int came[2]; /* in even and odd rounds */
    _Atomic int firsts;
} march;

/* Nobody is in a round before all have come to the one before. */
static int keep_step(void *arg)
{
    march *m = arg;
    for (int round = 0; round < m->rounds; round++) {
        m->came[round % 2]++;
        int rc = coir_barrier_wait(&m->b);
        CHECK(rc == 0 || rc == 1);
        CHECK_GE(m->came[round % 2], m->n);
        if (rc == 1) {
            m->firsts++;
            m->came[(round + 1) % 2] -= m->n; /* nobody adds there before the next barrier ... */
        }
        CHECK_GE(coir_barrier_wait(&m->b), 0); /* ... which is this one */
    }
    return 0;
}

static int keep_step_in_group(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, keep_step, arg), 0);
    CHECK_EQ(keep_step(arg), 0);
    return coir_group_end(&g);
}

static void start_march(march *m, int n, int rounds)
{
    *m = (march){.b = COIR_BARRIER_INIT(n), .n = n, .rounds = rounds_of(rounds)};
    m->came[1] = n; /* as if after a round */
}

TASK_TEST(tasks_keep_step)
{
    march m;
    coir_group g;
    start_march(&m, 8, 2000);
    coir_group_begin(&g, 0);
    for (int i = 0; i < m.n; i++)
        CHECK_EQ(coir_spawn(&g, keep_step, &m), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(m.firsts, m.rounds);
}

TASK_TEST(tasks_threads_and_runtimes_keep_step)
{
    march m;
    coir_group g;
    test_thread t[2];
    other_runtime other;
    start_march(&m, 6, 300);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2; i++)
        thread_start(&t[i], keep_step, &m);
    other_start(&other, keep_step_in_group, &m);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_spawn(&g, keep_step, &m), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(thread_finish(&t[i]), 0);
    CHECK_EQ(other_finish(&other), 0);
    CHECK_EQ(m.firsts, m.rounds);
}

/* Twice as many tasks as the barrier asks for: fast ones come round again before slow ones have woken. */
typedef struct crowd {
    coir_barrier b;
    int rounds;
    _Atomic long firsts, others;
} crowd;

static int come_often(void *arg)
{
    crowd *c = arg;
    for (int i = 0; i < c->rounds; i++) {
        int rc = coir_barrier_wait(&c->b);
        CHECK(rc == 0 || rc == 1);
        if (rc == 1)
            c->firsts++;
        else
            c->others++;
        if (i % 3 == 0)
            coir_yield();
    }
    return 0;
}

TASK_TEST(each_round_has_one_first_whoever_comes)
{
    enum { N = 2, TASKS = 2 };
    crowd c = {.b = COIR_BARRIER_INIT(N), .rounds = rounds_of(5000)};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(coir_spawn(&g, come_often, &c), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.firsts, c.rounds);
    CHECK_EQ(c.others, c.rounds);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_task_does_not_come)
{
    coir_barrier b = COIR_BARRIER_INIT(1), two = COIR_BARRIER_INIT(2);
    coir_scope s;
    comer c;
    coir_group g;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_barrier_wait(&b), -ECANCELED);
    CHECK_EQ(coir_barrier_wait(&two), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    coir_group_begin(&g, 0);
    start_coming(&c, &g, &two);
    CHECK_EQ(coir_barrier_wait(&two), 1);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.rc, 0);
}

TASK_TEST(a_cancelled_waiter_takes_its_arrival_back)
{
    coir_barrier b = COIR_BARRIER_INIT(3);
    comer c[6];
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2; i++) {
        start_coming(&c[i], &g, &b);
        CHECK_EQ(coir_cancel(c[i].task, "test"), 0);
        CHECK_EQ(join_result(c[i].task), 0);
        CHECK_EQ(c[i].rc, -ECANCELED);
    }
    for (int i = 2; i < 4; i++)
        start_coming(&c[i], &g, &b);
    CHECK_EQ(coir_cancel(c[2].task, "test"), 0);
    CHECK_EQ(join_result(c[2].task), 0);
    start_coming(&c[4], &g, &b);
    CHECK_EQ(c[3].rc, 7);
    CHECK_EQ(coir_barrier_wait(&b), 1);
    CHECK_EQ(join_result(c[3].task), 0);
    CHECK_EQ(join_result(c[4].task), 0);
    CHECK_EQ(c[2].rc, -ECANCELED);
    CHECK_EQ(c[3].rc, 0);
    CHECK_EQ(c[4].rc, 0);
    start_coming(&c[5], &g, &b); /* the next round begins at nothing */
    CHECK_EQ(coir_cancel(c[5].task, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c[5].rc, -ECANCELED);
}

static int let_go_then_cancel(void *arg)
{
    coir_barrier b = COIR_BARRIER_INIT(2);
    comer c;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    start_coming(&c, &g, &b);
    CHECK_EQ(coir_barrier_wait(&b), 1);
    CHECK_EQ(coir_cancel(c.task, "too late"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.rc, 0);
    return 0;
}

TEST(who_was_let_go_before_it_was_cancelled_succeeds)
{
    use_one_worker();
    CHECK_EQ(coir_run(NULL, let_go_then_cancel, NULL), 0);
}

static int come_and_destroy(void *arg)
{
    coir_barrier *b = arg;
    int rc = coir_barrier_wait(b);
    free(b);
    return rc;
}

/* Whether nobody waits: the last one has come. */
static bool has_tripped(coir_barrier *b)
{
    coir__lock *lock = (coir__lock *)(void *)&b->opaque[1];
    coir__lock_take(lock);
    bool tripped = b->opaque[2] == 0;
    coir__lock_drop(lock);
    return tripped;
}

/* The canceller has claimed it, and not taken it out of the list when the last one comes. */
TASK_TEST(who_is_being_cancelled_when_the_last_one_comes_has_come)
{
    coir_barrier *b = malloc(sizeof *b);
    *b = (coir_barrier)COIR_BARRIER_INIT(3);
    comer c[2];
    test_thread last;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2; i++)
        start_coming(&c[i], &g, b);
    cancel_claim(c[0].task);
    thread_start(&last, come_and_destroy, b);
    while (!has_tripped(b))
        coir_yield();
    CHECK_EQ(last.ended, 0); /* somebody will still take a node out of the list */
    cancel_finish(c[0].task);
    CHECK_EQ(thread_finish(&last), 1);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c[0].rc, 0);
    CHECK_EQ(c[1].rc, 0);
}

/* A wait for two, the other one, and a cancellation. Whoever got 1 frees the barrier at once. */
typedef struct sweep {
    coir_barrier *b;
    coir_scope scope;
    _Atomic int open, came, cancelled, settled;
    int rc, other;
    int rounds;
    dice comer, canceller;
} sweep;

static int other_comes(void *arg)
{
    sweep *s = arg;
    for (int round = 1; round <= s->rounds; round++) {
        await_value(&s->open, round);
        dice_spin(&s->comer, 3);
        for (uint32_t i = dice_below(&s->comer, 3); i > 0; i--)
            coir_yield();
        coir_barrier *b = s->b;
        s->other = coir_barrier_wait(b);
        if (s->other == 1)
            free(b);
        atomic_store(&s->came, round);
    }
    return 0;
}

static int cancel_rounds(void *arg)
{
    sweep *s = arg;
    for (int round = 1; round <= s->rounds; round++) {
        await_value(&s->open, round);
        dice_spin(&s->canceller, 3);
        for (uint32_t i = dice_below(&s->canceller, 3); i > 0; i--)
            coir_yield();
        coir_scope_cancel(&s->scope, "sweep");
        atomic_store(&s->cancelled, round);
    }
    return 0;
}

static void run_sweep(bool from_thread)
{
    sweep *s = calloc(1, sizeof *s);
    coir_group g;
    test_thread thread;
    dice d = {.state = 23};
    s->rounds = rounds_of(from_thread ? 100 : 800);
    s->canceller.state = 2;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, other_comes, s), 0);
    if (from_thread)
        thread_start(&thread, cancel_rounds, s);
    else
        CHECK_EQ(coir_spawn(&g, cancel_rounds, s), 0);
    for (int round = 1; round <= s->rounds; round++) {
        coir_barrier *b = malloc(sizeof *b);
        *b = (coir_barrier)COIR_BARRIER_INIT(2);
        s->b = b;
        coir_scope_begin(&s->scope, COIR_FOREVER);
        atomic_store(&s->open, round);
        for (uint32_t i = dice_below(&d, 3); i > 0; i--)
            coir_yield();
        int rc = coir_barrier_wait(b);
        if (rc == 1)
            free(b);
        await_value(&s->cancelled, round);
        CHECK_EQ(coir_scope_end(&s->scope, rc), rc);
        if (rc == -ECANCELED) { /* as if it had never come: the other one still waits, or will */
            rc = coir_barrier_wait(b);
            if (rc == 1)
                free(b);
        }
        await_value(&s->came, round);
        CHECK(rc == 0 || rc == 1);
        CHECK_EQ(rc + s->other, 1);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    if (from_thread)
        CHECK_EQ(thread_finish(&thread), 0);
    free(s);
}

TASK_TEST(cancelling_against_the_last_one_counts_everybody_once) { run_sweep(false); }

TASK_TEST(cancelling_by_a_thread_against_the_last_one_counts_everybody_once) { run_sweep(true); }

/* -- deadlines ---------------------------------------------------------------------------------------------- */

static int come_in_time(void *arg)
{
    coir_scope s;
    coir_scope_begin(&s, TEST_TICK);
    return coir_scope_end(&s, coir_barrier_wait(arg));
}

static int barrier_times_out(void *arg)
{
    coir_barrier b = COIR_BARRIER_INIT(2);
    coir_group g;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, come_in_time, &b);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    t = start_task(&g, come_in_time, &b);
    await_parked(t);
    CHECK_EQ(come_in_time(&b), 1);
    CHECK_EQ(join_result(t), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_wait_for_a_barrier_obeys_deadlines)
{
    CHECK_EQ(run_on_test_clock(barrier_times_out, NULL), 0);
}

/* -- life --------------------------------------------------------------------------------------------------- */

static int come_and_free_if_first(void *arg)
{
    coir_barrier *b = arg;
    if (coir_barrier_wait(b) == 1)
        free(b);
    return 0;
}

TASK_TEST(the_last_one_may_destroy_it_at_once)
{
    for (int round = rounds_of(2000); round > 0; round--) {
        coir_barrier *b = malloc(sizeof *b);
        coir_group g;
        *b = (coir_barrier)COIR_BARRIER_INIT(4);
        coir_group_begin(&g, 0);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(coir_spawn(&g, come_and_free_if_first, b), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
}

TEST_MAIN("barrier")
