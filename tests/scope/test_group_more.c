/* SPDX-License-Identifier: MIT */
/* test_group_more.c - groups: nesting, the root group, no memory, misuse. */
#include "sync/wait_tools.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static int wait_for(void *arg) { return coir_event_wait(arg); }

static int count_run(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
    return 0;
}

/* -- nesting ------------------------------------------------------------------------------------------------ */

/* A sanitizer's bookkeeping for so many live stacks takes too long. */
enum { DEPTH = COIR__TSAN ? 1000 : 10000 };

typedef struct level {
    int left;
    coir_event *e;
    _Atomic int *deepest;
    _Atomic int *cancelled;
} level;

/* Each level is a task with a group of its own, in which the next level lives. */
static int descend(void *arg)
{
    level *l = arg;
    if (l->left == 0) {
        atomic_store(l->deepest, 1);
        int rc = coir_event_wait(l->e);
        atomic_fetch_add(l->cancelled, rc == -ECANCELED);
        return rc;
    }
    coir_group g;
    level next = *l;
    next.left--;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, descend, &next), 0);
    int rc = coir_group_end(&g);
    atomic_fetch_add(l->cancelled, coir_check() == -ECANCELED);
    return rc;
}

TASK_TEST_TIMEOUT(groups_ten_thousand_deep_are_cancelled_from_the_top, 60)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    _Atomic int deepest = 0, cancelled = 0;
    level top = {DEPTH, &e, &deepest, &cancelled};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, descend, &top), 0);
    await_value(&deepest, 1);
    coir_group_cancel(&g, "from the top");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(cancelled, top.left + 1);
}

static int fail_below(void *arg)
{
    level *l = arg;
    if (l->left == 0)
        return -EIO;
    coir_group g;
    coir_group_begin(&g, 0);
    level next = *l;
    next.left--;
    CHECK_EQ(coir_spawn(&g, wait_for, l->e), 0);
    CHECK_EQ(coir_spawn(&g, fail_below, &next), 0);
    return coir_group_end(&g);
}

TASK_TEST(a_failure_climbs_through_nested_groups)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    level top = {.left = 200, .e = &e};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    CHECK_EQ(coir_spawn(&g, fail_below, &top), 0);
    CHECK_EQ(coir_group_end(&g), -EIO);
}

static int keep_shielded_child(void *arg)
{
    level *l = arg;
    coir_group g;
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, wait_for, l->e);
    await_parked(t);
    atomic_store(l->deepest, 1);
    int rc = coir_group_end(&g);
    coir_shield_end(&shield);
    atomic_fetch_add(l->cancelled, coir_check() == -ECANCELED);
    return rc;
}

TASK_TEST(a_shield_protects_the_groups_inside)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    _Atomic int there = 0, cancelled = 0;
    level l = {.e = &e, .deepest = &there, .cancelled = &cancelled};
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, keep_shielded_child, &l);
    await_value(&there, 1);
    await_parked(t);
    coir_group_cancel(&g, "test");
    for (int i = 0; i < 50; i++)
        coir_yield();
    CHECK_EQ(cancelled, 0);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(cancelled, 1);
}

TASK_TEST(groups_of_one_task_nest_too)
{
    coir_group g[20];
    coir_event e = COIR_EVENT_INIT;
    coir_task t[20];
    for (int i = 0; i < 20; i++) {
        coir_group_begin(&g[i], 0);
        t[i] = start_task(&g[i], wait_for, &e);
        await_parked(t[i]);
    }
    coir_group_cancel(&g[10], "from here in");
    for (int i = 19; i >= 10; i--)
        CHECK_EQ(coir_group_end(&g[i]), -ECANCELED);
    for (int i = 0; i < 10; i++)
        CHECK(is_parked(t[i]));
    coir_event_set(&e);
    for (int i = 9; i >= 0; i--)
        CHECK_EQ(coir_group_end(&g[i]), 0);
}

/* -- storms ------------------------------------------------------------------------------------------------- */

typedef struct bustle {
    coir_group *_Atomic g;
    coir_event e;
    _Atomic int spawned, refused, ended;
} bustle;

static int bustle_child(void *arg)
{
    bustle *b = arg;
    int rc = coir_event_wait(&b->e);
    atomic_fetch_add(&b->ended, 1);
    return rc;
}

static int bustle_spawn(void *arg)
{
    bustle *b = arg;
    for (int i = 0; i < 20; i++) {
        int rc = coir_spawn(b->g, bustle_child, b);
        CHECK(rc == 0 || rc == -ECANCELED);
        atomic_fetch_add(rc == 0 ? &b->spawned : &b->refused, 1);
    }
    return 0;
}

static int bustle_cancel(void *arg)
{
    bustle *b = arg;
    coir_yield();
    coir_group_cancel(b->g, "bustle");
    return 0;
}

TASK_TEST(spawns_race_with_cancellation_and_every_task_that_was_admitted_is_reached)
{
    for (int round = rounds_of(300); round > 0; round--) {
        coir_group outer, g;
        bustle b = {.e = COIR_EVENT_INIT};
        coir_group_begin(&outer, 0);
        coir_group_begin(&g, 0);
        b.g = &g;
        for (int i = 0; i < 3; i++)
            CHECK_EQ(coir_spawn(&outer, bustle_spawn, &b), 0);
        CHECK_EQ(coir_spawn(&outer, bustle_cancel, &b), 0);
        coir_group_wait(&g); /* what is in it so far */
        while (b.spawned + b.refused < 60)
            coir_yield();
        while (coir_check() == 0)
            coir_yield();
        coir_group_end(&g);
        CHECK_EQ(coir_group_end(&outer), 0);
        CHECK_EQ(b.ended, b.spawned);
    }
}

/* -- the root group ----------------------------------------------------------------------------------------- */

typedef struct unhandled {
    _Atomic int calls;
    coir_task task;
    int result;
    char line[256];
} unhandled;

static void note_unhandled(void *arg, coir_task task, int result)
{
    unhandled *u = arg;
    u->task = task;
    u->result = result;
    atomic_fetch_add(&u->calls, 1);
}

static void note_line(void *arg, const char *line)
{
    unhandled *u = arg;
    snprintf(u->line, sizeof u->line, "%s", line);
    atomic_fetch_add(&u->calls, 1);
}

static int fail_with_five(void *arg)
{
    *(uint64_t *)arg = coir_task_id(coir_self());
    return -EIO;
}

static int minus(void *arg) { return -*(int *)arg; }

static int detach_a_failure(void *arg)
{
    unhandled *u = arg;
    static uint64_t id;
    CHECK_EQ(coir_spawn(NULL, fail_with_five, &id), 0);
    await_value(&u->calls, 1);
    CHECK_EQ(coir_check(), 0); /* the root group isolates */
    CHECK(u->task.id == 0 || u->task.id == id);
    return 0;
}

TEST(the_failure_of_a_detached_task_goes_to_on_unhandled)
{
    unhandled u = {0};
    coir_options o = {.hook_arg = &u, .on_unhandled = note_unhandled};
    CHECK_EQ(coir_run(&o, detach_a_failure, &u), 0);
    CHECK_EQ(u.calls, 1);
    CHECK_EQ(u.result, -EIO);
    CHECK_NE(u.task.id, 0);
}

static void yield_often(void)
{
    for (int i = 0; i < 100; i++)
        coir_yield();
}

static void await_and_read(coir_task t)
{
    coir_case ended = COIR_JOINED(t);
    CHECK_EQ(coir_select(&ended, 1), 0);
    CHECK_EQ(ended.result, -EIO);
}

static int detach_what_has_failed(void *arg)
{
    static uint64_t ids[2]; /* the detached one may write after this function has returned */
    coir_task t;
    int result;
    (void)arg;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(coir_spawn_with(NULL, NULL, fail_with_five, &ids[i], &t), 0);
        if (i == 0)
            yield_often(); /* with one worker it has failed by then; with more it is detached before or after that */
        else
            await_and_read(t);
        coir_detach(t);
    }
    CHECK_EQ(coir_join(t, &result), -ESRCH);
    return 0;
}

TEST(so_does_that_of_a_task_that_is_detached_afterwards_and_not_one_that_was_read)
{
    unhandled u = {0};
    coir_options o = {.hook_arg = &u, .on_unhandled = note_unhandled};
    CHECK_EQ(coir_run(&o, detach_what_has_failed, &u), 0);
    CHECK_EQ(u.calls, 1);
    CHECK_EQ(u.result, -EIO);
}

TEST(without_on_unhandled_it_is_a_line_in_the_log)
{
    unhandled u = {0};
    coir_options o = {.hook_arg = &u, .log = note_line};
    CHECK_EQ(coir_run(&o, detach_a_failure, &u), 0);
    CHECK_EQ(u.calls, 1);
    CHECK(strstr(u.line, "failed") != NULL);
    CHECK(strstr(u.line, coir_strerror(-EIO)) != NULL);
    CHECK(strstr(u.line, "test_group_more.c") != NULL);
}

static int failures_that_somebody_reads(void *arg)
{
    int six = 6;
    (void)arg;
    CHECK_EQ(join_result(start_task(NULL, minus, &six)), -6);
    coir_event never = COIR_EVENT_INIT;
    CHECK_EQ(coir_spawn(NULL, wait_for, &never), 0); /* cancelled at the end: no failure */
    coir_yield();
    static coir_event forever = COIR_EVENT_INIT;
    CHECK_EQ(coir_spawn(NULL, wait_for, &forever), 0);
    coir_event_set(&never);
    return 0;
}

TEST(failures_that_somebody_reads_and_cancellation_are_not_unhandled)
{
    unhandled u = {0};
    coir_options o = {.hook_arg = &u, .on_unhandled = note_unhandled};
    use_one_worker();
    CHECK_EQ(coir_run(&o, failures_that_somebody_reads, NULL), 0);
    CHECK_EQ(u.calls, 0);
}

typedef struct leftover {
    coir_event e;
    coir_cancel_reason reason;
    int rc;
    _Atomic int cleaned;
    _Atomic int late;
} leftover;

static int be_left_over(void *arg)
{
    leftover *l = arg;
    l->rc = coir_event_wait(&l->e);
    l->reason = *coir_cancel_reason_get();
    atomic_store(&l->late, coir_spawn(NULL, wait_for, &l->e));
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    CHECK_EQ(coir_sleep(COIR_US(50)), 0);
    coir_shield_end(&shield);
    atomic_store(&l->cleaned, 1);
    return l->rc;
}

static int leave_one(void *arg)
{
    await_parked(start_task(NULL, be_left_over, arg));
    return 3;
}

TEST(the_end_of_the_first_task_cancels_the_rest_and_waits_for_it)
{
    leftover l = {.e = COIR_EVENT_INIT};
    CHECK_EQ(coir_run(NULL, leave_one, &l), 3);
    CHECK_EQ(l.rc, -ECANCELED);
    CHECK_STR(l.reason.why, "run ended");
    CHECK_EQ(l.cleaned, 1);
    CHECK_EQ(l.late, -ECANCELED);
}

static int return_minus_nine(void *arg) { return (void)arg, -9; }

TEST(run_returns_what_the_first_task_returned)
{
    CHECK_EQ(coir_run(NULL, return_minus_nine, NULL), -9);
    CHECK_EQ(coir_run(NULL, NULL, NULL), -EINVAL);
}

/* -- no memory ---------------------------------------------------------------------------------------------- */

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

static int yield_and_count(void *arg)
{
    coir_yield();
    return count_run(arg);
}

TASK_TEST(without_memory_for_a_stack_spawn_fails_and_everything_else_goes_on)
{
    enum { MOST = 100000 };
    struct rlimit before, scarce;
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    _Atomic int runs = 0;
    int n = 0, rc = 0;
    if (harness_scale() > 1)
        skip("sanitizers and emulators have mappings of their own");
    CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
    scarce = before;
    coir_group_begin(&g, 0);
    scarce.rlim_cur = address_space() + ((size_t)1 << 30);
    CHECK_EQ(setrlimit(RLIMIT_AS, &scarce), 0);
    while (n < MOST && (rc = coir_spawn(&g, wait_for, &e)) == 0)
        n++;
    CHECK_EQ(rc, -ENOMEM);
    CHECK_GT(n, 0);
    CHECK_EQ(coir_check(), 0);
    coir_event_set(&e);
    CHECK_EQ(coir_group_wait(&g), 0);
    for (int round = 0; round < 20;
         round++) { /* what was there comes back, but for what idle workers keep */
        int again = 0;
        while (again < MOST && (rc = coir_spawn(&g, yield_and_count, (void *)&runs)) == 0)
            again++;
        CHECK_EQ(rc, -ENOMEM);
        CHECK_GT(again, n / 2);
        CHECK_EQ(coir_group_wait(&g), 0);
        CHECK_EQ(atomic_exchange(&runs, 0), again);
    }
    CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
    coir_event_reset(&e);
    for (int i = 0; i < n + 100; i++)
        CHECK_EQ(coir_spawn(&g, wait_for, &e), 0);
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- misuse ------------------------------------------------------------------------------------------------- */

static int begin_group(void *arg)
{
    static coir_group g;
    (void)arg;
    coir_set_name("opener");
    coir_group_begin(&g, 0);
    return 0;
}

static int spawn_detached(void *arg)
{
    (void)arg;
    return coir_spawn(NULL, return_minus_nine, NULL);
}

static int end_outer_group(void *arg)
{
    coir_group outer, inner;
    (void)arg;
    coir_set_name("muddler");
    coir_group_begin(&outer, 0);
    coir_group_begin(&inner, 0);
    return coir_group_end(&outer);
}

static int wait_with_scope_open(void *arg)
{
    coir_group g;
    coir_scope s;
    (void)arg;
    coir_set_name("muddler");
    coir_group_begin(&g, 0);
    coir_scope_begin(&s, COIR_FOREVER);
    return coir_group_wait(&g);
}

static int end_anothers_group(void *arg) { return coir_group_end(arg); }

static int let_another_end_it(void *arg)
{
    coir_group g, helpers;
    (void)arg;
    coir_group_begin(&helpers, 0);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&helpers, end_anothers_group, &g), 0);
    for (;;)
        coir_yield();
}

static int begin_with_unknown_flags(void *arg)
{
    coir_group g;
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE | 0x40u);
    return coir_group_end(&g);
}

TEST(unknown_flags_of_a_group_abort_and_are_named)
{
    CHECK_TASK_ABORTS(begin_with_unknown_flags, NULL, "coir_group_begin: unknown flags 0x41");
}

TEST(functions_for_tasks_abort_in_a_thread)
{
    CHECK_ABORTS(begin_group, NULL, "in a plain thread: coir_group_begin: only from a task");
    CHECK_ABORTS(spawn_detached, NULL,
                 "in a plain thread: coir_spawn without a group: only from a task");
}

TEST(a_task_that_ends_with_a_group_open_aborts_and_is_named)
{
    CHECK_TASK_ABORTS(begin_group, NULL, "in task 'opener'");
    CHECK_TASK_ABORTS(begin_group, NULL, "ended with a group open");
}

TEST(ending_a_group_that_is_not_the_innermost_aborts_and_names_the_task)
{
    CHECK_TASK_ABORTS(end_outer_group, NULL, "in task 'muddler'");
    CHECK_TASK_ABORTS(end_outer_group, NULL, "coir_group_end: not the innermost scope");
    CHECK_TASK_ABORTS(wait_with_scope_open, NULL, "coir_group_wait: not the innermost scope");
    CHECK_TASK_ABORTS(let_another_end_it, NULL, "coir_group_end: not the innermost scope");
}

TEST_MAIN("group_more")
