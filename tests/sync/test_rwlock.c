/* SPDX-License-Identifier: MIT */
/* test_rwlock.c - who may be inside together, in what order they come in, cancellation, life, misuse. */
#include "sync/ledger.h"

#include "sync/rwlock.h"

/* -- a task that locks once --------------------------------------------------------------------------------- */

typedef struct visitor {
    coir_rwlock *l;
    bool write;
    int rc;
    _Atomic int *order;
    _Atomic int place; /* in the order of entry */
    coir_event leave;
    coir_task task;
} visitor;

static int visit(void *arg)
{
    visitor *v = arg;
    v->rc = v->write ? coir_rwlock_write_lock(v->l) : coir_rwlock_read_lock(v->l);
    if (v->rc < 0)
        return 0;
    v->place = v->order ? atomic_fetch_add(v->order, 1) : 0;
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    CHECK_EQ(coir_event_wait(&v->leave), 0);
    coir_shield_end(&shield);
    if (v->write)
        coir_rwlock_write_unlock(v->l);
    else
        coir_rwlock_read_unlock(v->l);
    return 0;
}

/* Returns when it waits: for the lock, or inside for its event. */
static void start_visit(visitor *v, coir_group *g, coir_rwlock *l, bool write, _Atomic int *order)
{
    *v = (visitor){.l = l, .write = write, .rc = 1, .order = order, .place = -1};
    v->task = start_task(g, visit, v);
    await_parked(v->task);
}

static void let_leave(visitor *v)
{
    coir_event_set(&v->leave);
    CHECK_EQ(join_result(v->task), 0);
}

static bool is_inside(visitor *v) { return v->place >= 0; }

static void await_inside(visitor *v)
{
    while (!is_inside(v))
        coir_yield();
}

static uint32_t word_of(coir_rwlock *l) { return ((struct coir__rwlock *)(void *)l)->word; }

/* Nothing is left behind: the next ones go the short way. */
static void check_unused(coir_rwlock *l)
{
    CHECK_EQ(word_of(l), 0);
    CHECK(((struct coir__rwlock *)(void *)l)->owner == NULL);
}

/* -- who goes together -------------------------------------------------------------------------------------- */

TASK_TEST(readers_share_and_a_writer_is_alone)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    visitor r, w;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    start_visit(&r, &g, &l, false, NULL);
    CHECK(is_inside(&r));
    CHECK_EQ(coir_rwlock_try_read_lock(&l), 0);
    CHECK_EQ(coir_rwlock_try_write_lock(&l), -EAGAIN);
    start_visit(&w, &g, &l, true, NULL);
    CHECK(!is_inside(&w));
    coir_rwlock_read_unlock(&l);
    coir_rwlock_read_unlock(&l);
    CHECK(!is_inside(&w));
    let_leave(&r);
    await_inside(&w);
    CHECK_EQ(coir_rwlock_try_read_lock(&l), -EAGAIN);
    CHECK_EQ(coir_rwlock_try_write_lock(&l), -EAGAIN);
    let_leave(&w);
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&l);
}

TASK_TEST(a_writer_that_locks_again_is_a_deadlock)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    visitor r;
    coir_group_begin(&g, 0);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(coir_rwlock_write_lock(&l), 0);
        if (round == 1) /* while somebody waits too */
            start_visit(&r, &g, &l, false, NULL);
        CHECK_EQ(coir_rwlock_write_lock(&l), -EDEADLK);
        CHECK_EQ(coir_rwlock_read_lock(&l), -EDEADLK);
        CHECK_EQ(coir_rwlock_try_write_lock(&l), -EDEADLK);
        CHECK_EQ(coir_rwlock_try_read_lock(&l), -EDEADLK);
        coir_rwlock_write_unlock(&l);
    }
    let_leave(&r);
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&l);
}

/* -- order -------------------------------------------------------------------------------------------------- */

TASK_TEST(a_waiting_writer_keeps_new_readers_out)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    visitor w, r;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    start_visit(&w, &g, &l, true, NULL);
    CHECK_EQ(coir_rwlock_try_read_lock(&l), -EAGAIN);
    start_visit(&r, &g, &l, false, NULL);
    CHECK(!is_inside(&r));
    coir_rwlock_read_unlock(&l);
    await_inside(&w);
    CHECK(!is_inside(&r));
    let_leave(&w);
    await_inside(&r);
    let_leave(&r);
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&l);
}

TASK_TEST(a_writers_unlock_lets_all_waiting_readers_in_before_the_next_writer)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    visitor w[2], r[3], late;
    _Atomic int order = 0;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_rwlock_write_lock(&l), 0);
    start_visit(&w[0], &g, &l, true, &order);
    for (int i = 0; i < 3; i++)
        start_visit(&r[i], &g, &l, false, &order);
    start_visit(&w[1], &g, &l, true, &order);
    coir_rwlock_write_unlock(&l);
    for (int i = 0; i < 3; i++)
        await_inside(&r[i]);
    CHECK(!is_inside(&w[0]));
    start_visit(&late, &g, &l, false, &order); /* the next phase's */
    for (int i = 0; i < 3; i++) {
        CHECK(!is_inside(&w[0]));
        let_leave(&r[i]);
    }
    await_inside(&w[0]);
    CHECK_EQ(w[0].place, 3);
    let_leave(&w[0]);
    await_inside(&late);
    CHECK(!is_inside(&w[1]));
    let_leave(&late);
    await_inside(&w[1]);
    let_leave(&w[1]);
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&l);
}

static int last_reader_hands_over(void *arg)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    visitor w, r;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    start_visit(&w, &g, &l, true, NULL);
    coir_rwlock_read_unlock(&l);
    CHECK(!is_inside(&w)); /* it has not run since, and has it */
    CHECK_EQ(coir_rwlock_try_read_lock(&l), -EAGAIN);
    CHECK_EQ(coir_rwlock_try_write_lock(&l), -EAGAIN);
    CHECK_EQ(coir_cancel(w.task, "too late"), 0);
    await_inside(&w);
    CHECK_EQ(w.rc, 0);
    start_visit(&r, &g, &l, false, NULL);
    coir_event_set(&w.leave);
    await_inside(&r);
    let_leave(&r);
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&l);
    return 0;
}

TEST(the_lock_is_handed_over_and_can_t_be_refused_any_more)
{
    use_one_worker();
    CHECK_EQ(coir_run(NULL, last_reader_hands_over, NULL), 0);
}

typedef struct relay {
    coir_rwlock l;
    _Atomic int inside, entries;
    _Atomic bool done;
} relay;

/* Readers that overlap: somebody is always inside. */
static int read_in_relay(void *arg)
{
    relay *r = arg;
    while (!r->done) {
        CHECK_EQ(coir_rwlock_read_lock(&r->l), 0);
        r->inside++;
        for (int i = 0; i < 3 || (r->inside < 2 && i < 1000 && !r->done); i++)
            coir_yield();
        r->inside--;
        coir_rwlock_read_unlock(&r->l);
    }
    return 0;
}

TASK_TEST(readers_that_overlap_do_not_starve_a_writer)
{
    relay r = {0};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_spawn(&g, read_in_relay, &r), 0);
    for (int i = 0; i < rounds_of(300); i++) {
        CHECK_EQ(coir_rwlock_write_lock(&r.l), 0);
        CHECK_EQ(r.inside, 0);
        coir_rwlock_write_unlock(&r.l);
    }
    r.done = true;
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&r.l);
}

static int write_in_relay(void *arg)
{
    relay *r = arg;
    while (!r->done) {
        CHECK_EQ(coir_rwlock_write_lock(&r->l), 0);
        CHECK_EQ(r->inside++, 0);
        coir_yield();
        r->inside--;
        coir_rwlock_write_unlock(&r->l);
    }
    return 0;
}

TASK_TEST(writers_do_not_starve_a_reader)
{
    relay r = {0};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_spawn(&g, write_in_relay, &r), 0);
    for (int i = 0; i < rounds_of(300); i++) {
        CHECK_EQ(coir_rwlock_read_lock(&r.l), 0);
        CHECK_EQ(r.inside, 0);
        coir_rwlock_read_unlock(&r.l);
    }
    r.done = true;
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&r.l);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_task_is_refused_even_if_the_lock_is_free)
{
    coir_scope s;
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_rwlock_read_lock(&l), -ECANCELED);
    CHECK_EQ(coir_rwlock_write_lock(&l), -ECANCELED);
    CHECK_EQ(coir_rwlock_try_read_lock(&l), 0); /* no cancel point */
    coir_rwlock_read_unlock(&l);
    CHECK_EQ(coir_rwlock_try_write_lock(&l), 0);
    coir_rwlock_write_unlock(&l);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    check_unused(&l);
}

TASK_TEST(a_cancelled_writer_lets_the_readers_behind_it_go)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    visitor w[2], r[2];
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    for (int i = 0; i < 2; i++) {
        start_visit(&w[i], &g, &l, true, NULL);
        start_visit(&r[i], &g, &l, false, NULL);
    }
    CHECK_EQ(coir_cancel(w[0].task, "test"), 0);
    CHECK_EQ(join_result(w[0].task), 0);
    CHECK_EQ(w[0].rc, -ECANCELED);
    CHECK(!is_inside(&r[0])); /* the other one still waits */
    CHECK_EQ(coir_rwlock_try_read_lock(&l), -EAGAIN);
    CHECK_EQ(coir_cancel(w[1].task, "test"), 0);
    CHECK_EQ(join_result(w[1].task), 0);
    for (int i = 0; i < 2; i++)
        await_inside(&r[i]);
    CHECK_EQ(word_of(&l), 3 * COIR__RWLOCK_READER);
    coir_rwlock_read_unlock(&l);
    for (int i = 0; i < 2; i++)
        let_leave(&r[i]);
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&l);
}

TASK_TEST(a_cancelled_waiter_leaves_nothing_behind)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    visitor v[3];
    coir_group_begin(&g, 0);
    for (int write = 0; write < 2; write++) {
        CHECK_EQ(coir_rwlock_write_lock(&l), 0);
        for (int i = 0; i < 3; i++)
            start_visit(&v[i], &g, &l, write, NULL);
        CHECK_EQ(coir_cancel(v[0].task, "test"), 0);
        CHECK_EQ(coir_cancel(v[2].task, "test"), 0);
        CHECK_EQ(join_result(v[0].task), 0);
        CHECK_EQ(join_result(v[2].task), 0);
        CHECK_EQ(v[0].rc, -ECANCELED);
        CHECK_EQ(v[2].rc, -ECANCELED);
        coir_rwlock_write_unlock(&l);
        await_inside(&v[1]);
        let_leave(&v[1]);
        check_unused(&l);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

/* The lock becomes free while all who wait are just being cancelled. */
static void free_while_cancelled(bool held_for_writing, bool waits_for_writing)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    visitor v, late;
    coir_group_begin(&g, 0);
    CHECK_EQ(held_for_writing ? coir_rwlock_write_lock(&l) : coir_rwlock_read_lock(&l), 0);
    start_visit(&v, &g, &l, waits_for_writing, NULL);
    cancel_claim(v.task);
    if (held_for_writing)
        coir_rwlock_write_unlock(&l);
    else
        coir_rwlock_read_unlock(&l);
    CHECK_EQ(word_of(&l), COIR__RWLOCK_PENDING);
    CHECK_EQ(coir_rwlock_try_write_lock(&l), 0); /* free all the same */
    coir_rwlock_write_unlock(&l);
    start_visit(&late, &g, &l, false, NULL); /* behind the one that still seems to wait */
    CHECK_EQ(is_inside(&late), !waits_for_writing);
    cancel_finish(v.task);
    CHECK_EQ(join_result(v.task), 0);
    CHECK_EQ(v.rc, -ECANCELED);
    await_inside(&late);
    let_leave(&late);
    CHECK_EQ(coir_group_end(&g), 0);
    check_unused(&l);
}

TASK_TEST(an_unlock_passes_over_those_who_are_being_cancelled)
{
    free_while_cancelled(false, true);
    free_while_cancelled(true, true);
    free_while_cancelled(true, false);
}

/* Two hold it and let it go, two wait and are cancelled, all at the same time. */
typedef struct sweep {
    coir_rwlock l;
    coir_scope scopes[2];
    coir_event ready[2], closed[2];
    bool write[2];
    _Atomic int go, through, inside;
    int rounds;
    dice dice;
} sweep;

static int victim_of(sweep *s, int i)
{
    coir_scope_begin(&s->scopes[i], COIR_FOREVER);
    coir_event_set(&s->ready[i]);
    int rc = s->write[i] ? coir_rwlock_write_lock(&s->l) : coir_rwlock_read_lock(&s->l);
    CHECK(rc == 0 || rc == -ECANCELED);
    if (rc == 0) {
        if (s->write[i])
            CHECK_EQ(s->inside++, 0);
        coir_yield();
        if (s->write[i])
            s->inside--;
    }
    if (rc == 0 && s->write[i])
        coir_rwlock_write_unlock(&s->l);
    else if (rc == 0)
        coir_rwlock_read_unlock(&s->l);
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    CHECK_EQ(coir_event_wait(&s->closed[i]), 0);
    coir_shield_end(&shield);
    CHECK_EQ(coir_check(), -ECANCELED);
    coir_scope_end(&s->scopes[i], 0);
    return 0;
}

static int victim_0(void *arg) { return victim_of(arg, 0); }
static int victim_1(void *arg) { return victim_of(arg, 1); }

static int cancel_rounds(void *arg)
{
    sweep *s = arg;
    for (int round = 1; round <= s->rounds; round++) {
        await_value(&s->go, round);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(coir_event_wait(&s->ready[i]), 0);
            dice_spin(&s->dice, 3);
            if (dice_below(&s->dice, 3) == 0)
                coir_yield();
            coir_scope_cancel(&s->scopes[i], "sweep");
            coir_event_set(&s->closed[i]);
        }
        atomic_store(&s->through, round);
    }
    return 0;
}

static void run_sweep(bool from_thread)
{
    sweep *s = calloc(1, sizeof *s);
    coir_group g, victims;
    test_thread thread;
    dice d = {.state = 11};
    s->rounds = rounds_of(from_thread ? 100 : 1000);
    coir_group_begin(&g, 0);
    if (from_thread)
        thread_start(&thread, cancel_rounds, s);
    else
        CHECK_EQ(coir_spawn(&g, cancel_rounds, s), 0);
    for (int round = 1; round <= s->rounds; round++) {
        bool write = dice_below(&d, 2);
        for (int i = 0; i < 2; i++) {
            s->write[i] = dice_below(&d, 3) > 0;
            coir_event_reset(&s->ready[i]);
            coir_event_reset(&s->closed[i]);
        }
        CHECK_EQ(write ? coir_rwlock_write_lock(&s->l) : coir_rwlock_read_lock(&s->l), 0);
        coir_group_begin(&victims, 0);
        CHECK_EQ(coir_spawn(&victims, victim_0, s), 0);
        CHECK_EQ(coir_spawn(&victims, victim_1, s), 0);
        atomic_store(&s->go, round);
        for (uint32_t i = dice_below(&d, 4); i > 0; i--)
            coir_yield();
        dice_spin(&d, 3);
        if (write)
            coir_rwlock_write_unlock(&s->l);
        else
            coir_rwlock_read_unlock(&s->l);
        CHECK_EQ(coir_group_end(&victims), 0);
        check_unused(&s->l);
        await_value(&s->through, round);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    if (from_thread)
        CHECK_EQ(thread_finish(&thread), 0);
    free(s);
}

TASK_TEST(cancelling_against_unlocking_leaves_the_lock_free) { run_sweep(false); }

TASK_TEST(cancelling_by_a_thread_against_unlocking_leaves_the_lock_free) { run_sweep(true); }

/* -- deadlines ---------------------------------------------------------------------------------------------- */

static int lock_in_time(coir_rwlock *l, bool write)
{
    coir_scope s;
    coir_scope_begin(&s, TEST_TICK);
    int rc = write ? coir_rwlock_write_lock(l) : coir_rwlock_read_lock(l);
    if (rc == 0 && write)
        coir_rwlock_write_unlock(l);
    else if (rc == 0)
        coir_rwlock_read_unlock(l);
    return coir_scope_end(&s, rc);
}

static int write_in_time(void *arg) { return lock_in_time(arg, true); }
static int read_in_time(void *arg) { return lock_in_time(arg, false); }

static int lock_times_out(void *arg)
{
    coir_fn *const fns[] = {write_in_time, read_in_time};
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(coir_rwlock_write_lock(&l), 0);
        coir_task t = start_task(&g, fns[i], &l);
        await_parked(t);
        time_pass(2 * TEST_TICK);
        CHECK_EQ(join_result(t), -ETIMEDOUT);
        coir_rwlock_write_unlock(&l);
        CHECK_EQ(fns[i](&l), 0);
    }
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    check_unused(&l);
    return 0;
}

TEST(a_wait_for_a_lock_obeys_deadlines) { CHECK_EQ(run_on_test_clock(lock_times_out, NULL), 0); }

/* -- exclusion ---------------------------------------------------------------------------------------------- */

TASK_TEST(tasks_threads_and_runtimes_exclude_each_other)
{
    ledger a = {.rounds = rounds_of(4000)};
    ledger_check(&a, ledger_keep_all(&a));
    check_unused(&a.l);
}

TEST(threads_need_no_runtime)
{
    ledger a = {.rounds = rounds_of(3000)};
    test_thread t;
    thread_start(&t, keep_ledger, &a);
    long written = keep_ledger(&a);
    ledger_check(&a, written + thread_finish(&t));
    check_unused(&a.l);
}

/* -- life --------------------------------------------------------------------------------------------------- */

typedef struct shared {
    coir_rwlock l;
    _Atomic int users;
    _Atomic int number;
} shared;

/* Destroys the lock right after another's unlock: the other must not touch it any more. */
static int use_and_leave(void *arg)
{
    shared *s = arg;
    bool write = s->number++ % 2;
    CHECK_EQ(write ? coir_rwlock_write_lock(&s->l) : coir_rwlock_read_lock(&s->l), 0);
    bool last = --s->users == 0;
    if (last && !write) { /* others may still be inside, about to unlock */
        coir_rwlock_read_unlock(&s->l);
        CHECK_EQ(coir_rwlock_write_lock(&s->l), 0);
        write = true;
    }
    if (write)
        coir_rwlock_write_unlock(&s->l);
    else
        coir_rwlock_read_unlock(&s->l);
    if (last)
        free(s);
    return 0;
}

TASK_TEST(the_last_user_may_destroy_it_right_after_anothers_unlock)
{
    for (int round = rounds_of(2000); round > 0; round--) {
        coir_group g;
        shared *s = calloc(1, sizeof *s);
        s->users = 4;
        s->number = round;
        coir_group_begin(&g, 0);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(coir_spawn(&g, use_and_leave, s), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
}

/* -- misuse ------------------------------------------------------------------------------------------------- */

static int unlock_free_read(void *arg)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    (void)arg;
    coir_set_name("clumsy");
    coir_rwlock_read_unlock(&l);
    return 0;
}

static int unlock_free_write(void *arg)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    (void)arg;
    coir_set_name("clumsy");
    coir_rwlock_write_unlock(&l);
    return 0;
}

static int unlock_read_as_write(void *arg)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    (void)arg;
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    coir_rwlock_write_unlock(&l);
    return 0;
}

static int unlock_write_as_read(void *arg)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    (void)arg;
    CHECK_EQ(coir_rwlock_write_lock(&l), 0);
    coir_rwlock_read_unlock(&l);
    return 0;
}

static int unlock_others(void *arg)
{
    coir_set_name("thief");
    coir_rwlock_write_unlock(arg);
    return 0;
}

static int let_others_unlock(void *arg)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_rwlock_write_lock(&l), 0);
    coir_spawn(&g, unlock_others, &l);
    return coir_group_end(&g);
}

TEST(unlocking_what_is_not_held_is_misuse)
{
    CHECK_TASK_ABORTS(unlock_free_read, NULL, "in task 'clumsy'");
    CHECK_TASK_ABORTS(unlock_free_read, NULL, "coir_rwlock_read_unlock: nobody holds lock");
    CHECK_TASK_ABORTS(unlock_free_write, NULL, "in task 'clumsy'");
    CHECK_TASK_ABORTS(unlock_free_write, NULL,
                      "coir_rwlock_write_unlock: the caller does not hold");
    CHECK_TASK_ABORTS(unlock_read_as_write, NULL, "coir_rwlock_write_unlock: ");
    CHECK_TASK_ABORTS(unlock_write_as_read, NULL, "coir_rwlock_read_unlock: ");
    CHECK_TASK_ABORTS(let_others_unlock, NULL, "in task 'thief'");
    CHECK_ABORTS(unlock_free_read, NULL, "in a plain thread");
}

TEST_MAIN("rwlock")
