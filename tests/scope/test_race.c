/* SPDX-License-Identifier: MIT */
/* test_race.c - the first of several that succeeds. */
#include "sync/wait_tools.h"

#include <stdio.h>
#include <sys/resource.h>

static int return_it(void *arg) { return *(int *)arg; }

static int wait_for(void *arg) { return coir_event_wait(arg); }

/* -- who wins ----------------------------------------------------------------------------------------------- */

TASK_TEST(the_first_success_is_the_result)
{
    coir_event never = COIR_EVENT_INIT;
    int seven = 7, winner = -1;
    coir_branch b[] = {{wait_for, &never}, {return_it, &seven}, {wait_for, &never}};
    CHECK_EQ(coir_race(b, 3, &winner), 7);
    CHECK_EQ(winner, 1);
    CHECK_EQ(coir_race(b, 3, NULL), 7);
    CHECK_EQ(coir_check(), 0);
}

TASK_TEST(a_race_of_one_is_a_call)
{
    int zero = 0, failure = -EIO, winner = -1;
    coir_branch b = {return_it, &zero};
    CHECK_EQ(coir_race(&b, 1, &winner), 0);
    CHECK_EQ(winner, 0);
    winner = 77;
    b.arg = &failure;
    CHECK_EQ(coir_race(&b, 1, &winner), -EIO);
    CHECK_EQ(winner, 77);
}

typedef struct step {
    coir_event *wait, *set;
    int result;
    _Atomic int *ended;
} step;

/* Waits, whoever cancels; says that it has ended. */
static int do_step(void *arg)
{
    step *s = arg;
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    if (s->wait)
        CHECK_EQ(coir_event_wait(s->wait), 0);
    coir_shield_end(&shield);
    if (s->set)
        coir_event_set(s->set);
    if (s->ended)
        atomic_fetch_add(s->ended, 1);
    return s->result;
}

TASK_TEST(failures_cancel_nobody_and_a_later_success_wins)
{
    coir_event failed = COIR_EVENT_INIT;
    int winner = -1;
    step bad = {.set = &failed, .result = -EIO}, good = {.wait = &failed, .result = 3};
    coir_branch b[] = {{do_step, &bad}, {wait_for, &failed}};
    CHECK_EQ(coir_race(b, 2, &winner), 0);
    CHECK_EQ(winner, 1);
    coir_event_reset(&failed);
    coir_branch c[] = {{do_step, &good}, {do_step, &bad}};
    CHECK_EQ(coir_race(c, 2, &winner), 3);
    CHECK_EQ(winner, 0);
}

TASK_TEST(if_all_fail_it_is_the_first_failure_in_time)
{
    coir_event first = COIR_EVENT_INIT, second = COIR_EVENT_INIT;
    int winner = 77;
    step a = {.wait = &second, .result = -EPIPE},
         b = {.wait = &first, .set = &second, .result = -EIO},
         c = {.set = &first, .result = -ENOENT};
    coir_branch branches[] = {{do_step, &a}, {do_step, &b}, {do_step, &c}};
    use_one_worker();
    CHECK_EQ(coir_race(branches, 3, &winner), -ENOENT);
    CHECK_EQ(winner, 77);
}

TASK_TEST(a_second_success_is_too_late)
{
    coir_event over = COIR_EVENT_INIT;
    _Atomic int ended = 0;
    int winner = -1;
    step fast = {.set = &over, .result = 1, .ended = &ended},
         slow = {.wait = &over, .result = 2, .ended = &ended};
    coir_branch b[] = {{do_step, &slow}, {do_step, &fast}, {do_step, &slow}};
    for (int round = 0; round < 100; round++) {
        coir_event_reset(&over);
        atomic_store(&ended, 0);
        int rc = coir_race(b, 3, &winner);
        CHECK_GE(winner, 0);
        CHECK_EQ(rc, winner == 1
                         ? 1
                         : 2); /* the last step is not atomic: any may be the first to return */
        CHECK_EQ(ended, 3);
    }
}

/* -- the losers --------------------------------------------------------------------------------------------- */

typedef struct loser {
    coir_event never;
    char why[64];
    int rc, line;
    _Atomic int cleaned;
} loser;

static int lose(void *arg)
{
    loser *l = arg;
    coir_scope shield;
    l->rc = coir_event_wait(&l->never);
    const coir_cancel_reason *reason = coir_cancel_reason_get();
    snprintf(l->why, sizeof l->why, "%s", reason ? reason->why : "none");
    l->line = reason ? reason->line : -1;
    coir_shield_begin(&shield, COIR_FOREVER);
    for (int i = 0; i < 10; i++)
        coir_yield();
    coir_shield_end(&shield);
    atomic_store(&l->cleaned, 1);
    return l->rc;
}

TASK_TEST(the_others_are_cancelled_with_a_reason_and_awaited)
{
    loser l = {.never = COIR_EVENT_INIT};
    int one = 1, winner = -1;
    coir_branch b[] = {{lose, &l}, {return_it, &one}};
    int line = __LINE__ + 1;
    CHECK_EQ(coir_race(b, 2, &winner), 1);
    CHECK_EQ(l.cleaned, 1);
    CHECK_EQ(l.rc, -ECANCELED);
    CHECK_STR(l.why, "the race is over");
    CHECK_EQ(l.line, line);
}

static int cancel_self_and_wait(void *arg)
{
    CHECK_EQ(coir_cancel(coir_self(), "own will"), 0);
    return coir_event_wait(arg);
}

TASK_TEST(a_cancelled_branch_is_a_failure_only_if_there_is_no_other)
{
    coir_event never = COIR_EVENT_INIT;
    int failure = -EIO;
    coir_branch b[] = {{cancel_self_and_wait, &never}, {return_it, &failure}};
    CHECK_EQ(coir_race(b, 2, NULL), -EIO);
    CHECK_EQ(coir_race(b, 1, NULL), -ECANCELED);
    CHECK_EQ(coir_check(), 0);
}

static int see_spawn_site(void *arg)
{
    const coir__task *self = coir__worker_here()->current;
    CHECK_STR(self->file, __FILE__);
    return self->line == *(int *)arg ? 1 : -ENOENT;
}

TASK_TEST(branches_are_spawned_where_the_race_is_called)
{
    int line = __LINE__ + 2;
    coir_branch b = {see_spawn_site, &line};
    CHECK_EQ(coir_race(&b, 1, NULL), 1);
}

/* -- cancelled ---------------------------------------------------------------------------------------------- */

static int must_not_run(void *arg)
{
    (void)arg;
    harness_fail(__FILE__, __LINE__, "it has run");
}

TASK_TEST(a_cancelled_caller_starts_nothing)
{
    coir_branch b = {must_not_run, NULL};
    coir_scope s;
    int winner = 77;
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_race(&b, 1, &winner), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(winner, 77);
}

static int start_under_passed_deadline(void *arg)
{
    coir_branch b = {must_not_run, NULL};
    coir_scope s;
    (void)arg;
    coir_scope_begin(&s, TEST_TICK);
    time_pass(TEST_TICK);
    CHECK_EQ(coir_race(&b, 1, NULL), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, -ECANCELED), -ETIMEDOUT);
    return 0;
}

TEST(a_deadline_that_has_passed_starts_nothing)
{
    CHECK_EQ(run_on_test_clock(start_under_passed_deadline, NULL), 0);
}

typedef struct racer {
    coir_branch b[2];
    int rc, winner;
} racer;

static int run_race(void *arg)
{
    racer *r = arg;
    r->winner = 77;
    r->rc = coir_race(r->b, 2, &r->winner);
    CHECK_EQ(coir_check(), -ECANCELED);
    return 0;
}

TASK_TEST(cancelling_the_caller_cancels_the_branches)
{
    coir_group g;
    loser l[2] = {{.never = COIR_EVENT_INIT}, {.never = COIR_EVENT_INIT}};
    racer r = {.b = {{lose, &l[0]}, {lose, &l[1]}}};
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, run_race, &r);
    await_parked(t);
    CHECK_EQ(coir_cancel(t, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(r.rc, -ECANCELED);
    CHECK_EQ(r.winner, 77);
    CHECK(l[0].cleaned && l[1].cleaned);
}

static int fail_at_once(void *arg)
{
    atomic_store((_Atomic int *)arg, 1);
    return -EIO;
}

TASK_TEST(a_cancelled_race_that_nobody_won_is_cancelled_whoever_failed)
{
    coir_group g;
    loser l = {.never = COIR_EVENT_INIT};
    _Atomic int failed = 0;
    racer r = {.b = {{fail_at_once, (void *)&failed}, {lose, &l}}};
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, run_race, &r);
    await_value(&failed, 1);
    CHECK_EQ(coir_cancel(t, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(r.rc, -ECANCELED);
}

static int succeed_when_cancelled(void *arg)
{
    return coir_event_wait(arg) == -ECANCELED ? 5 : -EIO;
}

TASK_TEST(who_wins_although_the_caller_is_cancelled_has_won)
{
    coir_group g;
    coir_event never = COIR_EVENT_INIT;
    racer r = {.b = {{wait_for, &never}, {succeed_when_cancelled, &never}}};
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, run_race, &r);
    await_parked(t);
    CHECK_EQ(coir_cancel(t, "test"), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(r.rc, 5);
    CHECK_EQ(r.winner, 1);
}

/* -- bad input, no memory ----------------------------------------------------------------------------------- */

TASK_TEST(a_race_without_functions_is_refused_before_anything_starts)
{
    coir_branch b[] = {{must_not_run, NULL}, {NULL, NULL}};
    int winner = 77;
    CHECK_EQ(coir_race(b, 2, &winner), -EINVAL);
    CHECK_EQ(coir_race(b, 0, &winner), -EINVAL);
    CHECK_EQ(coir_race(NULL, 0, &winner), -EINVAL);
    CHECK_EQ(winner, 77);
}

static int race_in_thread(void *arg)
{
    coir_branch b = {must_not_run, NULL};
    (void)arg;
    return coir_race(&b, 1, NULL);
}

TEST(a_race_in_a_thread_is_misuse) { CHECK_ABORTS(race_in_thread, NULL, "coir_race"); }

static size_t address_space(void)
{
    char line[128];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) && sscanf(line, "VmSize: %zu", &kib) != 1)
        ;
    fclose(f);
    return kib << 10;
}

enum { TOO_MANY = 100000 };

typedef struct herd {
    _Atomic int started, cancelled;
    coir_event never;
} herd;

static int follow_herd(void *arg)
{
    herd *h = arg;
    atomic_fetch_add(&h->started, 1);
    int rc = coir_event_wait(&h->never);
    atomic_fetch_add(&h->cancelled, rc == -ECANCELED);
    return rc;
}

TASK_TEST_TIMEOUT(without_memory_those_that_started_are_cancelled_and_awaited, 60)
{
    struct rlimit before, scarce;
    herd h = {.never = COIR_EVENT_INIT};
    int winner = 77;
    if (harness_scale() > 1)
        skip("sanitizers and emulators have mappings of their own");
    coir_branch *b = calloc(TOO_MANY, sizeof *b);
    for (int i = 0; i < TOO_MANY; i++)
        b[i] = (coir_branch){follow_herd, &h};
    CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
    scarce = before;
    scarce.rlim_cur = address_space() + ((size_t)1 << 30);
    CHECK_EQ(setrlimit(RLIMIT_AS, &scarce), 0);
    CHECK_EQ(coir_race(b, TOO_MANY, &winner), -ENOMEM);
    CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
    CHECK_EQ(winner, 77);
    CHECK_GT(h.started, 0);
    CHECK_EQ(h.cancelled, h.started);
    CHECK_EQ(coir_check(), 0);
    free(b);
}

/* -- many, and nested --------------------------------------------------------------------------------------- */

TASK_TEST(of_many_branches_the_only_one_that_succeeds_wins)
{
    enum { MANY = 500 };
    coir_branch b[MANY];
    int failure = -EIO, good = 9, winner = -1;
    for (int i = 0; i < MANY; i++)
        b[i] = (coir_branch){return_it, i == 321 ? &good : &failure};
    CHECK_EQ(coir_race(b, MANY, &winner), 9);
    CHECK_EQ(winner, 321);
}

static int race_inside(void *arg)
{
    coir_event never = COIR_EVENT_INIT;
    int winner = -1;
    coir_branch b[] = {{wait_for, &never}, {return_it, arg}};
    int rc = coir_race(b, 2, &winner);
    CHECK(rc == -ECANCELED || winner == 1);
    return rc;
}

TASK_TEST(races_nest)
{
    int one = 1, two = 2, winner = -1;
    coir_branch b[] = {{race_inside, &one}, {race_inside, &two}};
    for (int i = 0; i < 100; i++) {
        int rc = coir_race(b, 2, &winner);
        CHECK(winner == 0 || winner == 1);
        CHECK_EQ(rc, winner + 1);
    }
}

/* -- under stress ------------------------------------------------------------------------------------------- */

typedef struct lap {
    dice d;
    int result;
    _Atomic int *ran;
} lap;

static int run_lap(void *arg)
{
    lap *l = arg;
    int rc = 0;
    for (uint32_t i = dice_below(&l->d, 4); i > 0 && rc == 0; i--)
        rc = coir_sleep(0);
    dice_spin(&l->d, 2);
    atomic_fetch_add(l->ran, 1);
    return rc < 0 ? rc : l->result;
}

typedef struct attempt {
    _Atomic int begun;
    dice d;
    coir_scope scope;
    _Atomic int cancelled;
} attempt;

static int cancel_attempt(void *arg)
{
    attempt *a = arg;
    await_value(&a->begun, 1);
    for (uint32_t i = dice_below(&a->d, 6); i > 0; i--)
        coir_yield();
    coir_scope_cancel(&a->scope, "stress");
    atomic_store(&a->cancelled, 1);
    return 0;
}

static void stress_round(int round, dice *d)
{
    enum { LAPS = 4 };
    lap laps[LAPS];
    coir_branch b[LAPS];
    _Atomic int ran = 0;
    coir_group g;
    attempt a = {.d = {(uint64_t)round}};
    int winner = -1;
    for (int i = 0; i < LAPS; i++) {
        laps[i] = (lap){{(uint64_t)(round * LAPS + i)}, dice_below(d, 2) ? i + 1 : -EIO, &ran};
        b[i] = (coir_branch){run_lap, &laps[i]};
    }
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, cancel_attempt, &a), 0);
    coir_scope_begin(&a.scope, COIR_FOREVER);
    atomic_store(&a.begun, 1);
    int rc = coir_race(b, LAPS, &winner);
    if (rc > 0) {
        CHECK_EQ(rc, winner + 1);
        CHECK_EQ(laps[winner].result, rc);
    } else {
        CHECK(rc == -EIO || (rc == -ECANCELED && coir_check() == -ECANCELED));
        CHECK_EQ(winner, -1);
    }
    CHECK_LE(ran, LAPS);
    CHECK(ran == LAPS || coir_check() == -ECANCELED);
    await_value(&a.cancelled, 1);
    CHECK_EQ(coir_scope_end(&a.scope, 0), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST_TIMEOUT(races_race_with_cancellation, 60)
{
    dice d = {5};
    for (int round = 0; round < rounds_of(3000); round++)
        stress_round(round, &d);
}

TEST_MAIN("race")
