/* SPDX-License-Identifier: MIT */
/* test_join.c - waiting for one task; handles. */
#include "sync/wait_tools.h"

static int return_it(void *arg) { return *(int *)arg; }

static int wait_for(void *arg) { return coir_event_wait(arg); }

typedef struct joining {
    coir_task target;
    int rc, result;
    coir_task task;
} joining;

static int join_it(void *arg)
{
    joining *j = arg;
    j->result = -1;
    j->rc = coir_join(j->target, &j->result);
    return 0;
}

static void start_joining(joining *j, coir_group *g, coir_task target)
{
    *j = (joining){.target = target, .rc = 1};
    j->task = start_task(g, join_it, j);
    await_parked(j->task);
}

/* -- results ------------------------------------------------------------------------------------------------ */

TASK_TEST(join_gives_the_result_whatever_it_is)
{
    static int results[] = {0, 1, INT32_MAX, -EIO, -ECANCELED, INT32_MIN};
    for (int i = 0; i < 6; i++) {
        coir_group g;
        coir_group_begin(&g, COIR_GROUP_ISOLATE);
        CHECK_EQ(join_result(start_task(&g, return_it, &results[i])), results[i]);
        CHECK_EQ(coir_group_end(&g), results[i] < 0 ? results[i] : 0);
    }
}

TASK_TEST(join_waits_for_the_end)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    joining j;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_for, &e);
    start_joining(&j, &g, t);
    CHECK_EQ(j.rc, 1);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(j.rc, 0);
    CHECK_EQ(j.result, 0);
}

TASK_TEST(a_cancelled_task_joins_as_success_with_what_it_returned)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    int result = 0;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_for, &e);
    CHECK_EQ(coir_cancel(t, "test"), 0);
    CHECK_EQ(coir_join(t, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

TASK_TEST(nobody_need_take_the_result)
{
    coir_group g;
    int five = 5;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_join(start_task(&g, return_it, &five), NULL), 0);
    start_task(&g, return_it, &five);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- handles that lead nowhere ------------------------------------------------------------------------------ */

TASK_TEST(a_second_join_finds_nothing)
{
    coir_group g;
    int five = 5, result = 77;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, return_it, &five);
    CHECK_EQ(coir_join(t, NULL), 0);
    CHECK_EQ(coir_join(t, &result), -ESRCH);
    CHECK_EQ(result, 77);
    CHECK_EQ(coir_cancel(t, "test"), -ESRCH);
    coir_detach(t);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(the_end_of_the_group_drops_results)
{
    coir_group g;
    int five = 5;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, return_it, &five);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_join(t, NULL), -ESRCH);
    CHECK_EQ(coir_cancel(t, "test"), -ESRCH);
}

TASK_TEST(results_outlive_a_wait_for_the_group)
{
    coir_group g;
    int n[20];
    coir_task t[20];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 20; i++) {
        n[i] = i;
        t[i] = start_task(&g, return_it, &n[i]);
    }
    CHECK_EQ(coir_group_wait(&g), 0);
    for (int i = 19; i >= 0; i -= 2)
        CHECK_EQ(join_result(t[i]), i);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(coir_join(t[i], NULL), -ESRCH);
}

TASK_TEST(no_task_can_not_be_joined)
{
    coir_task none = {0}, odd = {NULL, 5};
    CHECK_EQ(coir_join(none, NULL), -ESRCH);
    CHECK_EQ(coir_join(odd, NULL), -ESRCH);
    CHECK_EQ(coir_cancel(none, "test"), -ESRCH);
    coir_detach(none);
    CHECK_EQ(coir_task_id(none), 0);
}

TASK_TEST(an_ended_task_can_not_be_cancelled)
{
    coir_group g;
    int five = 5;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, return_it, &five);
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(coir_cancel(t, "test"), -ESRCH);
    CHECK_EQ(join_result(t), 5);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_detached_task_can_not_be_joined)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    int five = 5;
    coir_group_begin(&g, 0);
    coir_task ended = start_task(&g, return_it, &five);
    CHECK_EQ(coir_group_wait(&g), 0);
    coir_detach(ended);
    CHECK_EQ(coir_join(ended, NULL), -ESRCH);
    coir_task running = start_task(&g, wait_for, &e);
    coir_detach(running);
    coir_event_set(&e);
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(coir_join(running, NULL), -ESRCH);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* A detached task goes on; its handle is as good as none at once. */
TASK_TEST(a_running_task_that_was_detached_is_not_found_by_join)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_for, &e);
    await_parked(t);
    coir_detach(t);
    CHECK_EQ(coir_join(t, NULL), -ESRCH);
    CHECK(is_parked(t));
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_stale_handle_never_means_another_task)
{
    enum { N = 200 };
    coir_task old[N], fresh;
    int five = 5;
    coir_event e = COIR_EVENT_INIT;
    for (int i = 0; i < N; i++) {
        coir_group g;
        coir_group_begin(&g, 0);
        old[i] = start_task(&g, return_it, &five);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    coir_group g;
    int reused = 0;
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++) {
        fresh = start_task(&g, wait_for, &e);
        for (int j = 0; j < N; j++) {
            reused += fresh.opaque == old[j].opaque;
            CHECK_NE(fresh.id, old[j].id);
            CHECK_EQ(coir_cancel(old[j], "test"), -ESRCH);
            CHECK_EQ(coir_join(old[j], NULL), -ESRCH);
            coir_detach(old[j]);
        }
    }
    CHECK_GT(reused, 0);
    coir_event_set(&e);
    CHECK_EQ(join_result(fresh), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- deadlock and company ----------------------------------------------------------------------------------- */

typedef struct teller {
    coir_task self;
    _Atomic int told;
    coir_event go;
} teller;

static int tell_of_itself(void *arg)
{
    teller *t = arg;
    t->self = coir_self();
    atomic_store(&t->told, 1);
    CHECK_EQ(coir_event_wait(&t->go), 0);
    return 7;
}

/* Nobody took a handle when it was spawned. */
TASK_TEST(a_task_can_be_joined_by_what_it_has_told_of_itself)
{
    for (int i = 0; i < 20; i++) {
        teller t = {.go = COIR_EVENT_INIT};
        joining j;
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, tell_of_itself, &t), 0);
        await_value(&t.told, 1);
        start_joining(&j, &g, t.self);
        coir_event_set(&t.go);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(j.rc, 0);
        CHECK_EQ(j.result, 7);
    }
}

TASK_TEST(joining_oneself_is_a_deadlock) { CHECK_EQ(coir_join(coir_self(), NULL), -EDEADLK); }

/* Tasks in a ring, each joins the next; the last one closes it. */
typedef struct ring_member {
    coir_task next;
    coir_event go;
    int rc;
} ring_member;

static int join_next(void *arg)
{
    ring_member *m = arg;
    CHECK_EQ(coir_event_wait(&m->go), 0);
    m->rc = coir_join(m->next, NULL);
    return 0;
}

static void check_ring(int n)
{
    coir_group g;
    ring_member m[8] = {0};
    coir_task t[8];
    coir_group_begin(&g, 0);
    for (int i = 0; i < n; i++)
        await_parked(t[i] = start_task(&g, join_next, &m[i]));
    for (int i = 0; i < n; i++)
        m[i].next = t[(i + 1) % n];
    for (int i = 0; i + 1 < n; i++) {
        coir__task *member = t[i].opaque;
        coir_event_set(&m[i].go);
        while (!atomic_load((coir__node * _Atomic *)&((coir__task *)m[i].next.opaque)->joiner) ||
               !descriptor_is_parked(member))
            coir_yield();
    }
    coir_event_set(&m[n - 1].go);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(m[i].rc, i == n - 1 ? -EDEADLK : 0);
}

TASK_TEST(a_ring_of_two_joins_is_a_deadlock) { check_ring(2); }

TASK_TEST(a_ring_of_three_joins_is_a_deadlock) { check_ring(3); }

TASK_TEST(a_ring_of_eight_joins_is_a_deadlock) { check_ring(8); }

/* -- lines that are no rings -------------------------------------------------------------------------------- */

typedef struct selecting {
    coir_task target;
    coir_event go, way_out;
    int chosen, outcome;
} selecting;

static int select_join(void *arg)
{
    selecting *s = arg;
    CHECK_EQ(coir_event_wait(&s->go), 0);
    coir_case cases[] = {COIR_JOINED(s->target), COIR_SET(&s->way_out)};
    s->chosen = coir_select(cases, 2);
    s->outcome = s->chosen >= 0 ? cases[s->chosen].result : 0;
    return 7;
}

TASK_TEST(selecting_ones_own_end_is_a_deadlock_that_the_case_tells)
{
    coir_event never = COIR_EVENT_INIT;
    coir_case cases[] = {COIR_SET(&never), COIR_JOINED(coir_self())};
    CHECK_EQ(coir_select(cases, 2), 1);
    CHECK_EQ(cases[1].result, -EDEADLK);
}

/* A ring of three, one of which selects: that one has another way out. */
TASK_TEST(a_ring_with_a_select_in_it_is_no_deadlock)
{
    coir_group g;
    selecting s = {.chosen = -1};
    ring_member a = {0};
    joining b;
    coir_group_begin(&g, 0);
    coir_task selector = start_task(&g, select_join, &s);
    coir_task joiner = start_task(&g, join_next, &a);
    start_joining(&b, &g, joiner);
    a.next = selector;
    s.target = b.task;
    coir_event_set(&s.go);
    while (coir__wait_kind_of(selector.opaque) != COIR__WAIT_SELECT || !is_parked(selector))
        coir_yield();
    coir_event_set(&a.go); /* closes the ring */
    while (coir__wait_kind_of(joiner.opaque) != COIR__WAIT_JOIN || !is_parked(joiner))
        coir_yield();
    CHECK_EQ(b.rc, 1);
    coir_event_set(&s.way_out);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(s.chosen, 1);
    CHECK_EQ(a.rc, 0);
    CHECK_EQ(b.rc, 0);
}

/* The select closes the ring: it is not refused either. */
TASK_TEST(a_select_may_close_a_ring)
{
    coir_group g;
    selecting s = {.chosen = -1};
    joining a, b;
    coir_group_begin(&g, 0);
    coir_task selector = start_task(&g, select_join, &s);
    start_joining(&a, &g, selector);
    start_joining(&b, &g, a.task);
    s.target = b.task;
    coir_event_set(&s.go);
    while (coir__wait_kind_of(selector.opaque) != COIR__WAIT_SELECT || !is_parked(selector))
        coir_yield();
    CHECK_EQ(a.rc, 1);
    coir_event_set(&s.way_out);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(s.chosen, 1);
    CHECK_EQ(a.result, 7);
    CHECK_EQ(b.rc, 0);
}

/* A waits for B and is cancelled; then B may wait for A. */
TASK_TEST(who_has_given_up_a_join_is_in_no_ring)
{
    coir_group g;
    ring_member m[2] = {0};
    coir_task t[2];
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    for (int i = 0; i < 2; i++)
        await_parked(t[i] = start_task(&g, join_next, &m[i]));
    m[0].next = t[1];
    m[1].next = t[0];
    coir_event_set(&m[0].go);
    while (coir__wait_kind_of(t[0].opaque) != COIR__WAIT_JOIN || !is_parked(t[0]))
        coir_yield();
    CHECK_EQ(coir_cancel(t[0], "test"), 0);
    CHECK_EQ(join_result(t[0]), 0);
    CHECK_EQ(m[0].rc, -ECANCELED);
    coir_event_set(&m[1].go);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(m[1].rc, -ESRCH);
}

enum { CROWD = 8 };

typedef struct crowd {
    coir_task t[CROWD];
    _Atomic int known;
    _Atomic int ended, cycles;
} crowd;

typedef struct joiner {
    crowd *c;
    dice d;
} joiner;

static int join_anybody(void *arg)
{
    joiner *j = arg;
    await_value(&j->c->known, 1);
    for (int i = 0; i < 3; i++) {
        dice_spin(&j->d, 1);
        int rc = coir_join(j->c->t[dice_below(&j->d, CROWD)], NULL);
        CHECK(rc == 0 || rc == -EDEADLK || rc == -EBUSY || rc == -ESRCH);
        atomic_fetch_add(&j->c->cycles, rc == -EDEADLK);
    }
    atomic_fetch_add(&j->c->ended, 1);
    return 0;
}

/* Somebody in every ring is refused; so all come to an end. */
TASK_TEST_TIMEOUT(whoever_joins_whom_nobody_waits_forever, 60)
{
    long cycles = 0;
    for (int round = 0; round < rounds_of(2000); round++) {
        coir_group g;
        crowd c = {.known = 0};
        joiner j[CROWD];
        coir_group_begin(&g, 0);
        for (int i = 0; i < CROWD; i++) {
            j[i] = (joiner){&c, {(uint64_t)(round * CROWD + i)}};
            c.t[i] = start_task(&g, join_anybody, &j[i]);
        }
        atomic_store(&c.known, 1);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(c.ended, CROWD);
        cycles += c.cycles;
    }
    CHECK_GT(cycles, 0);
}

TASK_TEST(only_one_may_join_at_a_time)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    joining j;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_for, &e);
    start_joining(&j, &g, t);
    CHECK_EQ(coir_join(t, NULL), -EBUSY);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(j.rc, 0);
}

TASK_TEST(a_cancelled_joiner_leaves_the_task_running_and_joinable)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    joining j;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_for, &e);
    await_parked(t);
    for (int round = 0; round < 3; round++) {
        start_joining(&j, &g, t);
        CHECK_EQ(coir_cancel(j.task, "test"), 0);
        CHECK_EQ(join_result(j.task), 0);
        CHECK_EQ(j.rc, -ECANCELED);
        CHECK_EQ(j.result, -1);
        CHECK(is_parked(t));
    }
    coir_event_set(&e);
    CHECK_EQ(join_result(t), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

static int join_in_time(void *arg)
{
    coir_scope s;
    joining *j = arg;
    coir_scope_begin(&s, TEST_TICK);
    j->rc = coir_join(j->target, NULL);
    return coir_scope_end(&s, j->rc);
}

static int join_times_out(void *arg)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    joining j = {.target = start_task(&g, wait_for, &e)};
    coir_task t = start_task(&g, join_in_time, &j);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    coir_event_set(&e);
    CHECK_EQ(join_result(j.target), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_join_obeys_deadlines) { CHECK_EQ(run_on_test_clock(join_times_out, NULL), 0); }

/* -- threads ------------------------------------------------------------------------------------------------ */

TASK_TEST(a_thread_joins_a_task)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    joining j = {.target = start_task(&g, wait_for, &e)};
    test_thread t;
    thread_start(&t, join_it, &j);
    thread_await_parked(&t);
    CHECK_EQ(coir_join(j.target, NULL), -EBUSY);
    coir_event_set(&e);
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(j.rc, 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(joins_race_with_ends_and_each_result_is_taken_once)
{
    for (int round = rounds_of(2000); round > 0; round--) {
        coir_group g;
        int result = round;
        joining j[2];
        coir_group_begin(&g, 0);
        coir_task t = start_task(&g, return_it, &result);
        for (int i = 0; i < 2; i++) {
            j[i] = (joining){.target = t};
            CHECK_EQ(coir_spawn(&g, join_it, &j[i]), 0);
        }
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ((j[0].rc == 0) + (j[1].rc == 0), 1);
        for (int i = 0; i < 2; i++) {
            CHECK(j[i].rc == 0 || j[i].rc == -EBUSY || j[i].rc == -ESRCH);
            CHECK_EQ(j[i].result, j[i].rc == 0 ? round : -1);
        }
    }
}

typedef struct succession {
    coir_event e;
    coir_task target, first;
    joining second;
    _Atomic int knocking;
    dice dice;
} succession;

static int cancel_first(void *arg)
{
    succession *s = arg;
    await_value(&s->knocking, 1);
    dice_spin(&s->dice, 2);
    coir_cancel(s->first, "test");
    dice_spin(&s->dice, 2);
    coir_event_set(&s->e);
    return 0;
}

static int join_when_free(void *arg)
{
    succession *s = arg;
    joining *j = &s->second;
    while ((j->rc = coir_join(s->target, &j->result)) == -EBUSY) {
        atomic_store(&s->knocking, 1);
        coir_maybe_yield();
    }
    atomic_store(&s->knocking, 1);
    return 0;
}

TASK_TEST(a_joiner_that_gives_up_makes_room_for_the_next)
{
    for (int round = rounds_of(2000); round > 0; round--) {
        coir_group g;
        succession s = {.e = COIR_EVENT_INIT, .dice = {(uint64_t)round}};
        joining first;
        coir_group_begin(&g, 0);
        s.target = start_task(&g, wait_for, &s.e);
        start_joining(&first, &g, s.target);
        s.first = first.task;
        CHECK_EQ(coir_spawn(&g, cancel_first, &s), 0);
        CHECK_EQ(coir_spawn(&g, join_when_free, &s), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ((first.rc == 0) + (s.second.rc == 0), 1);
        CHECK(first.rc == 0 || first.rc == -ECANCELED);
        CHECK(s.second.rc == 0 || s.second.rc == -ESRCH);
    }
}

TEST_MAIN("join")
