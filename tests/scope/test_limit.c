/* SPDX-License-Identifier: MIT */
/* test_limit.c - groups that run no more than so many of their tasks at once. */
#include "sync/wait_tools.h"

#include "scope/scope.h"

#include <sys/syscall.h>
#include <unistd.h>

static int wait_for(void *arg) { return coir_event_wait(arg); }

/* Whether the task has begun to run. */
static bool has_started(coir_task t)
{
    const coir__task *d = t.opaque;
    return coir__wait_kind_of(d) != COIR__WAIT_LIMIT;
}

static int count_started(const coir_task *t, int n)
{
    int started = 0;
    for (int i = 0; i < n; i++)
        started += has_started(t[i]);
    return started;
}

/* -- how many, and in which order --------------------------------------------------------------------------- */

typedef struct crowd {
    _Atomic int running, most, ran;
} crowd;

static int work_in_crowd(void *arg)
{
    crowd *c = arg;
    int running = atomic_fetch_add(&c->running, 1) + 1;
    int most = atomic_load(&c->most);
    while (most < running && !atomic_compare_exchange_weak(&c->most, &most, running))
        continue;
    for (int i = 0; i < 3; i++)
        coir_yield();
    atomic_fetch_sub(&c->running, 1);
    atomic_fetch_add(&c->ran, 1);
    return 0;
}

TASK_TEST(no_more_than_the_limit_run_at_once)
{
    for (int limit = 1; limit <= 5; limit += 2) {
        coir_group g;
        crowd c = {0};
        coir_group_begin(&g, 0);
        coir_group_limit(&g, (size_t)limit);
        for (int i = 0; i < 200; i++)
            CHECK_EQ(coir_spawn(&g, work_in_crowd, &c), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(c.ran, 200);
        CHECK_LE(c.most, limit);
    }
}

TASK_TEST(the_limit_is_made_use_of)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_task t[5];
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 3);
    for (int i = 0; i < 5; i++)
        t[i] = start_task(&g, wait_for, &e);
    for (int i = 0; i < 3; i++)
        await_parked(t[i]);
    CHECK_EQ(count_started(t, 5), 3);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
}

typedef struct row {
    int order[100];
    _Atomic int n;
} row;

typedef struct place {
    row *r;
    int number;
} place;

static int take_place(void *arg)
{
    place *p = arg;
    coir_yield();
    p->r->order[atomic_fetch_add(&p->r->n, 1)] = p->number;
    coir_yield();
    return 0;
}

TASK_TEST(the_others_start_in_the_order_of_their_spawns)
{
    coir_group g;
    row r = {.n = 0};
    place p[100];
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 1);
    for (int i = 0; i < 100; i++) {
        p[i] = (place){&r, i};
        CHECK_EQ(coir_spawn(&g, take_place, &p[i]), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(r.order[i], i);
}

TASK_TEST(a_spawn_over_the_limit_does_not_wait)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    crowd c = {0};
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 1);
    CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(coir_spawn(&g, work_in_crowd, &c), 0);
    CHECK_EQ(c.ran, 0);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.ran, 1000);
    CHECK_EQ(c.most, 1);
}

typedef struct breeder {
    coir_group *g;
    crowd *c;
    int left;
} breeder;

static int spawn_next(void *arg)
{
    breeder *b = arg;
    if (b->left-- > 0)
        CHECK_EQ(coir_spawn(b->g, spawn_next, b), 0);
    return work_in_crowd(b->c);
}

TASK_TEST(a_task_spawns_its_successor_into_a_full_group)
{
    coir_group g;
    crowd c = {0};
    breeder b = {&g, &c, 50};
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 1);
    CHECK_EQ(coir_spawn(&g, spawn_next, &b), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(c.ran, 51);
    CHECK_EQ(c.most, 1);
}

TASK_TEST(the_limit_outlasts_a_wait_and_counts_anew)
{
    coir_group g;
    crowd c = {0};
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 2);
    for (int round = 1; round <= 10; round++) {
        for (int i = 0; i < 10; i++)
            CHECK_EQ(coir_spawn(&g, work_in_crowd, &c), 0);
        CHECK_EQ(coir_group_wait(&g), 0);
        CHECK_EQ(c.ran, round * 10);
    }
    CHECK_LE(c.most, 2);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(an_inner_group_has_no_part_in_the_limit)
{
    coir_group outer, inner;
    coir_event e = COIR_EVENT_INIT;
    coir_task t[4];
    coir_group_begin(&outer, 0);
    coir_group_limit(&outer, 1);
    coir_group_begin(&inner, 0);
    for (int i = 0; i < 4; i++)
        t[i] = start_task(&inner, wait_for, &e);
    for (int i = 0; i < 4; i++)
        await_parked(t[i]);
    CHECK_EQ(count_started(t, 4), 4);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&inner), 0);
    CHECK_EQ(coir_group_end(&outer), 0);
}

/* -- changing it -------------------------------------------------------------------------------------------- */

enum { MANY = 10 };

typedef struct waiting {
    coir_group g;
    coir_event e[MANY];
    coir_task t[MANY];
} waiting;

static void start_waiting(waiting *s, size_t limit)
{
    coir_group_begin(&s->g, 0);
    coir_group_limit(&s->g, limit);
    for (int i = 0; i < MANY; i++) {
        s->e[i] = (coir_event)COIR_EVENT_INIT;
        s->t[i] = start_task(&s->g, wait_for, &s->e[i]);
    }
}

static void end_waiting(waiting *s)
{
    for (int i = 0; i < MANY; i++)
        coir_event_set(&s->e[i]);
    CHECK_EQ(coir_group_end(&s->g), 0);
}

TASK_TEST(raising_the_limit_starts_more_at_once)
{
    waiting s;
    start_waiting(&s, 2);
    CHECK_EQ(count_started(s.t, MANY), 2);
    coir_group_limit(&s.g, 5);
    CHECK_EQ(count_started(s.t, MANY), 5);
    for (int i = 0; i < 5; i++)
        await_parked(s.t[i]);
    end_waiting(&s);
}

TASK_TEST(no_limit_starts_all)
{
    waiting s;
    start_waiting(&s, 1);
    coir_group_limit(&s.g, 0);
    CHECK_EQ(count_started(s.t, MANY), MANY);
    end_waiting(&s);
    start_waiting(&s, 1);
    coir_group_limit(&s.g, SIZE_MAX);
    CHECK_EQ(count_started(s.t, MANY), MANY);
    end_waiting(&s);
}

TASK_TEST(lowering_the_limit_lets_the_running_ones_finish_first)
{
    waiting s;
    start_waiting(&s, 4);
    coir_group_limit(&s.g, 1);
    for (int i = 0; i < 3; i++) {
        coir_event_set(&s.e[i]);
        CHECK_EQ(join_result(s.t[i]), 0);
        CHECK_EQ(count_started(&s.t[4], MANY - 4), 0);
    }
    coir_event_set(&s.e[3]);
    CHECK_EQ(join_result(s.t[3]), 0);
    while (!has_started(s.t[4])) /* joined a moment before its place was given on */
        coir_yield();
    CHECK_EQ(count_started(&s.t[5], MANY - 5), 0);
    end_waiting(&s);
}

TASK_TEST(a_limit_set_late_counts_those_that_run)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    coir_group_limit(&g, 2);
    coir_task third = start_task(&g, wait_for, &e);
    CHECK(!has_started(third));
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

typedef struct doomed {
    coir_event never;
    _Atomic int ready, cleaned,
        seen; /* tasks that have run after the first; that were cancelled then */
} doomed;

/* Keeps its place until all others have had their turn: they get it only by the cancellation. */
static int keep_place(void *arg)
{
    doomed *d = arg;
    coir_scope shield;
    atomic_store(&d->ready, 1);
    CHECK_EQ(coir_event_wait(&d->never), -ECANCELED);
    coir_shield_begin(&shield, COIR_FOREVER);
    await_value(&d->cleaned, MANY);
    coir_shield_end(&shield);
    return -ECANCELED;
}

static int clean_up(void *arg)
{
    doomed *d = arg;
    atomic_fetch_add(&d->seen, coir_check() == -ECANCELED);
    atomic_fetch_add(&d->cleaned, 1);
    return 0;
}

static void fill_with_doomed(doomed *d, coir_group *g)
{
    coir_group_limit(g, 1);
    CHECK_EQ(coir_spawn(g, keep_place, d), 0);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(coir_spawn(g, clean_up, d), 0);
    await_value(&d->ready, 1);
    CHECK_EQ(d->cleaned, 0);
}

static void check_doomed(const doomed *d)
{
    CHECK_EQ(d->cleaned, MANY);
    CHECK_EQ(d->seen, MANY);
}

TASK_TEST(a_cancelled_group_starts_them_all)
{
    coir_group g;
    doomed d = {.never = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    fill_with_doomed(&d, &g);
    coir_group_cancel(&g, "test");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    check_doomed(&d);
}

static int fail_when_told(void *arg)
{
    int rc = coir_event_wait(arg);
    return rc < 0 ? rc : -EIO;
}

TASK_TEST(a_failing_sibling_starts_them_all)
{
    coir_group g;
    coir_event go = COIR_EVENT_INIT;
    doomed d = {.never = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, fail_when_told, &go), 0);
    coir_group_limit(&g, 2);
    CHECK_EQ(coir_spawn(&g, keep_place, &d), 0);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(coir_spawn(&g, clean_up, &d), 0);
    await_value(&d.ready, 1);
    coir_event_set(&go);
    CHECK_EQ(coir_group_end(&g), -EIO);
    check_doomed(&d);
}

TASK_TEST(an_outer_scope_that_is_cancelled_starts_them_all)
{
    coir_scope s;
    coir_group g;
    doomed d = {.never = COIR_EVENT_INIT};
    coir_scope_begin(&s, COIR_FOREVER);
    coir_group_begin(&g, 0);
    fill_with_doomed(&d, &g);
    coir_scope_cancel(&s, "test");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ECANCELED);
    check_doomed(&d);
}

static int let_deadline_pass(void *arg)
{
    coir_scope s;
    coir_group g;
    doomed d = {.never = COIR_EVENT_INIT};
    (void)arg;
    coir_scope_begin(&s, TEST_TICK);
    coir_group_begin(&g, 0);
    fill_with_doomed(&d, &g);
    time_pass(TEST_TICK);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    check_doomed(&d);
    return 0;
}

TEST(a_deadline_around_the_group_starts_them_all)
{
    CHECK_EQ(run_on_test_clock(let_deadline_pass, NULL), 0);
}

static int open_doomed_group(void *arg)
{
    doomed *d = arg;
    coir_group g;
    coir_group_begin(&g, 0);
    fill_with_doomed(d, &g);
    atomic_store(&d->ready, 2);
    return coir_group_end(&g);
}

TASK_TEST(an_outer_group_that_is_cancelled_starts_them_all)
{
    coir_group g;
    doomed d = {.never = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, open_doomed_group, &d), 0);
    await_value(&d.ready, 2);
    coir_group_cancel(&g, "test");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    check_doomed(&d);
}

TASK_TEST(the_openers_cancellation_starts_them_all)
{
    coir_group g;
    doomed d = {.never = COIR_EVENT_INIT};
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task opener = start_task(&g, open_doomed_group, &d);
    await_value(&d.ready, 2);
    CHECK_EQ(coir_cancel(opener, "test"), 0);
    CHECK_EQ(join_result(opener), -ECANCELED);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    check_doomed(&d);
}

static int leave_a_doomed_group_behind(void *arg)
{
    doomed *d = arg;
    CHECK_EQ(coir_spawn(NULL, open_doomed_group, d), 0);
    await_value(&d->ready, 2);
    return 0;
}

TEST(the_end_of_the_run_starts_them_all)
{
    doomed d = {.never = COIR_EVENT_INIT};
    CHECK_EQ(coir_run(NULL, leave_a_doomed_group_behind, &d), 0);
    check_doomed(&d);
}

static int cancel_group(void *arg)
{
    coir_group_cancel(arg, "from a thread");
    return 0;
}

TASK_TEST(a_thread_that_cancels_the_group_starts_them_all)
{
    coir_group g;
    test_thread thread;
    doomed d = {.never = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    fill_with_doomed(&d, &g);
    thread_start(&thread, cancel_group, &g);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(thread_finish(&thread), 0);
    check_doomed(&d);
}

static int note_cancelled(void *arg)
{
    *(int *)arg = coir_check();
    return 0;
}

TASK_TEST(a_task_cancelled_alone_runs_in_its_turn)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    crowd c = {0};
    int seen = 1;
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 1);
    CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    CHECK_EQ(coir_spawn(&g, work_in_crowd, &c), 0);
    coir_task t = start_task(&g, note_cancelled, &seen);
    CHECK_EQ(coir_cancel(t, "alone"), 0);
    for (int i = 0; i < 20; i++)
        coir_yield();
    CHECK_EQ(seen, 1);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(seen, -ECANCELED);
    CHECK_EQ(c.ran, 1);
}

/* -- joins -------------------------------------------------------------------------------- */

TASK_TEST(a_task_that_has_not_started_can_be_joined_and_given_up)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    crowd c = {0};
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 1);
    CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    coir_task second = start_task(&g, work_in_crowd, &c), third = start_task(&g, wait_for, &e);
    coir_detach(second);
    CHECK_EQ(coir_join(second, NULL), -ESRCH);
    coir_scope s;
    coir_scope_begin(&s, COIR_MS(1));
    CHECK_EQ(coir_scope_end(&s, coir_join(third, NULL)), -ETIMEDOUT);
    coir_event_set(&e);
    CHECK_EQ(join_result(third), 0);
    CHECK_EQ(c.ran, 1);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- where they run ----------------------------------------------------------------------------------------- */

typedef struct spot {
    pid_t tid;
    _Atomic int ran, elsewhere;
} spot;

static pid_t thread_id(void) { return (pid_t)syscall(SYS_gettid); }

static int check_spot(void *arg)
{
    spot *s = arg;
    for (int i = 0; i < 3; i++) {
        atomic_fetch_add(&s->elsewhere, thread_id() != s->tid);
        coir_yield();
    }
    atomic_fetch_add(&s->ran, 1);
    return 0;
}

TASK_TEST(tasks_of_a_pinned_group_start_on_the_openers_worker)
{
    coir_group g;
    CHECK_EQ(coir_pin(), 0);
    spot s = {.tid = thread_id()};
    coir_group_begin(&g, COIR_GROUP_PINNED);
    coir_group_limit(&g, 2);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(coir_spawn(&g, check_spot, &s), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(s.ran, 50);
    CHECK_EQ(s.elsewhere, 0);
    CHECK_EQ(coir_unpin(), 0);
}

TASK_TEST(a_pinned_task_starts_on_its_spawners_worker)
{
    coir_group g;
    coir_task_options o = {.flags = COIR_PINNED};
    crowd c = {0};
    CHECK_EQ(coir_pin(), 0);
    spot s = {.tid = thread_id()};
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 2);
    for (int i = 0; i < 25; i++) {
        CHECK_EQ(coir_spawn(&g, work_in_crowd, &c), 0); /* ends wherever it was stolen to */
        CHECK_EQ(coir_spawn_with(&g, &o, check_spot, &s, NULL), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(s.ran, 25);
    CHECK_EQ(s.elsewhere, 0);
    CHECK_EQ(coir_unpin(), 0);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Spawning and limiting from outside. */
typedef struct outside {
    coir_group *g;
    crowd *c;
    _Atomic int spawned;
} outside;

static int spawn_and_limit(void *arg)
{
    outside *o = arg;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(coir_spawn(o->g, work_in_crowd, o->c), 0);
        coir_group_limit(o->g, (size_t)(1 + i % 3));
    }
    atomic_fetch_add(&o->spawned, 1);
    return 0;
}

static int run_runtime_outside(void *arg) { return coir_run(NULL, spawn_and_limit, arg); }

TASK_TEST(threads_and_other_runtimes_spawn_and_change_the_limit)
{
    coir_group g;
    crowd c = {0};
    test_thread thread, runtime;
    outside o = {.g = &g, .c = &c};
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 3);
    thread_start(&thread, spawn_and_limit, &o);
    thread_start(&runtime, run_runtime_outside, &o);
    CHECK_EQ(spawn_and_limit(&o), 0);
    await_value(&o.spawned, 3);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(thread_finish(&thread), 0);
    CHECK_EQ(thread_finish(&runtime), 0);
    CHECK_EQ(c.ran, 300);
    CHECK_LE(c.most, 3);
}

/* -- under stress ------------------------------------------------------------------------------------------- */

typedef struct stress {
    coir_group g;
    _Atomic int admitted, ran, spawners, cancelled;
    dice d;
} stress;

typedef struct spawner {
    stress *s;
    dice d;
    int times;
} spawner;

static int run_once(void *arg)
{
    stress *s = arg;
    atomic_fetch_add(&s->ran, 1);
    if (atomic_load(&s->ran) % 3 == 0)
        coir_yield();
    return 0;
}

static int spawn_at_random(void *arg)
{
    spawner *p = arg;
    for (int i = 0; i < p->times; i++) {
        int rc = coir_spawn(&p->s->g, run_once, p->s);
        CHECK(rc == 0 || rc == -ECANCELED);
        atomic_fetch_add(&p->s->admitted, rc == 0);
        if (dice_below(&p->d, 4) == 0)
            coir_group_limit(&p->s->g, dice_below(&p->d, 4));
        dice_spin(&p->d, 2);
    }
    atomic_fetch_add(&p->s->spawners, 1);
    return 0;
}

static void stress_round(stress *s, int round, bool cancel, bool foreign)
{
    coir_group spawners;
    spawner p[3];
    test_thread thread;
    atomic_store(&s->admitted, 0);
    atomic_store(&s->ran, 0);
    atomic_store(&s->spawners, 0);
    coir_group_begin(&spawners, 0);
    coir_group_begin(&s->g, 0);
    for (int i = 0; i < 3; i++)
        p[i] = (spawner){s, {(uint64_t)(round * 3 + i)}, 20};
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_spawn(&spawners, spawn_at_random, &p[i]), 0);
    if (foreign)
        thread_start(&thread, spawn_at_random, &p[2]);
    else
        CHECK_EQ(coir_spawn(&spawners, spawn_at_random, &p[2]), 0);
    for (uint32_t i = dice_below(&s->d, 6); i > 0; i--)
        coir_yield();
    if (cancel)
        coir_group_cancel(&s->g, "stress");
    if (foreign)
        CHECK_EQ(thread_finish(&thread), 0);
    await_value(&s->spawners, 3);
    CHECK_EQ(coir_group_end(&s->g), 0);
    CHECK_EQ(s->ran, s->admitted);
    CHECK(cancel || s->ran == 60);
    CHECK_EQ(coir_group_end(&spawners), 0);
}

TASK_TEST_TIMEOUT(whatever_spawns_limits_and_cancels_every_task_runs_once, 60)
{
    stress *s = calloc(1, sizeof *s);
    for (int round = 0; round < rounds_of(2000); round++)
        stress_round(s, round, round % 2, round % 100 == 0);
    free(s);
}

typedef struct brief {
    coir_group *g;
    _Atomic int through;
} brief;

static uint32_t tasks_in(coir_group *group)
{
    coir__group *g = (coir__group *)(void *)group;
    coir__lock_take(&g->lock);
    uint32_t n = g->count;
    coir__lock_drop(&g->lock);
    return n;
}

/* Gives its place on as soon as somebody waits for it. */
static int await_second(void *arg)
{
    while (tasks_in(arg) < 2)
        coir_yield();
    return 0;
}

static int spawn_second(void *arg)
{
    brief *b = arg;
    CHECK_EQ(coir_spawn(b->g, do_nothing, NULL), 0);
    atomic_store(&b->through, 1);
    return 0;
}

static void brief_round(bool foreign)
{
    coir_group spawners, *g = malloc(sizeof *g);
    test_thread thread;
    brief b = {.g = g};
    coir_group_begin(&spawners, 0);
    coir_group_begin(g, 0);
    coir_group_limit(g, 1);
    CHECK_EQ(coir_spawn(g, await_second, g), 0);
    if (foreign)
        thread_start(&thread, spawn_second, &b);
    else
        CHECK_EQ(coir_spawn(&spawners, spawn_second, &b), 0);
    CHECK_EQ(coir_group_end(g), 0);
    free(g);
    CHECK_EQ(coir_group_end(&spawners), 0);
    await_value(&b.through, 1);
    if (foreign)
        CHECK_EQ(thread_finish(&thread), 0);
}

TASK_TEST_TIMEOUT(the_group_may_be_gone_before_the_spawn_returns, 60)
{
    for (int round = 0; round < rounds_of(2000); round++)
        brief_round(round % 40 == 0);
}

TEST_MAIN("limit")
