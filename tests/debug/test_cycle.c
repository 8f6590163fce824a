/* SPDX-License-Identifier: MIT */
/* test_cycle.c - dumps name who holds what a task waits for, and the ring when tasks wait for one another. */
#include "debug/dump_text.h"

#include "debug/cycle.h"
#include "debug/deadlock.h"
#include "sync/wait_tools.h"

#include <fcntl.h>

/* Every quiet moment is looked at. */
__attribute__((constructor)) static void be_impatient(void) { coir__deadlock_patience = 0; }

/* Whether a dump has all of `parts` one after another in one line. */
static bool line_has(const char *text, const char *const *parts)
{
    char *copy = strdup(text), *rest = copy, *line;
    bool found = false;
    while (!found && (line = strsep(&rest, "\n")) != NULL) {
        const char *at = line;
        int i = 0;
        while (parts[i] && (at = strstr(at, parts[i])) != NULL)
            at += strlen(parts[i++]);
        found = !parts[i];
    }
    free(copy);
    return found;
}

/* -- holders ------------------------------------------------------------------------------------------------ */

typedef struct things {
    coir_mutex m;
    coir_rwlock l;
    coir_event stop;
} things;

static int hold_mutex(void *arg)
{
    things *a = arg;
    CHECK_EQ(coir_mutex_lock(&a->m), 0);
    CHECK_EQ(coir_event_wait(&a->stop), 0);
    coir_mutex_unlock(&a->m);
    return 0;
}

static int take_mutex(void *arg)
{
    things *a = arg;
    int rc = coir_mutex_lock(&a->m);
    if (rc == 0)
        coir_mutex_unlock(&a->m);
    return rc;
}

static int hold_for_writing(void *arg)
{
    things *a = arg;
    CHECK_EQ(coir_rwlock_write_lock(&a->l), 0);
    CHECK_EQ(coir_event_wait(&a->stop), 0);
    coir_rwlock_write_unlock(&a->l);
    return 0;
}

static int hold_for_reading(void *arg)
{
    things *a = arg;
    CHECK_EQ(coir_rwlock_read_lock(&a->l), 0);
    CHECK_EQ(coir_event_wait(&a->stop), 0);
    coir_rwlock_read_unlock(&a->l);
    return 0;
}

/* A task that has the lock; then those who wait. */
static uint64_t start_holder(coir_group *g, const char *name, coir_fn *fn, things *a)
{
    coir_task_options o = {.name = name};
    coir_task t;
    CHECK_EQ(coir_spawn_with(g, &o, fn, a, &t), 0);
    await_state(name, " for event ");
    return t.id;
}

TASK_TEST(the_line_of_a_waiting_task_names_the_owner_of_the_mutex)
{
    things a = {0};
    char what[128];
    coir_group g;
    coir_group_begin(&g, 0);
    uint64_t id = start_holder(&g, "holder", hold_mutex, &a);
    SPAWN_NAMED(&g, "waiter", take_mutex, &a);
    snprintf(what, sizeof what, " for mutex %p, held by task %llu 'holder'", (void *)&a.m,
             (unsigned long long)id);
    await_state("waiter", what);
    coir_event_set(&a.stop);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(the_line_of_a_waiting_task_names_the_writer_or_counts_the_readers)
{
    coir_group g;
    char what[128];
    things a = {0}, b = {0};
    coir_group_begin(&g, 0);
    uint64_t id = start_holder(&g, "writer", hold_for_writing, &a);
    SPAWN_NAMED(&g, "reads", hold_for_reading, &a);
    SPAWN_NAMED(&g, "writes", hold_for_writing, &a);
    snprintf(what, sizeof what, " to read under lock %p, held by task %llu 'writer'", (void *)&a.l,
             (unsigned long long)id);
    await_state("reads", what);
    snprintf(what, sizeof what, " to write under lock %p, held by task %llu 'writer'", (void *)&a.l,
             (unsigned long long)id);
    await_state("writes", what);
    start_holder(&g, "reader", hold_for_reading, &b);
    SPAWN_NAMED(&g, "writes too", hold_for_writing, &b);
    snprintf(what, sizeof what, " to write under lock %p, held by 1 reader", (void *)&b.l);
    await_state("writes too", what);
    coir_event_set(&a.stop);
    coir_event_set(&b.stop);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* One runs the once and wants the mutex, which the other holds, who wants the once. */
typedef struct opening {
    coir_once once;
    coir_mutex m;
    _Atomic int have;
} opening;

static int open_with_mutex(void *arg)
{
    opening *a = arg;
    a->have++;
    while (a->have < 2)
        coir_yield();
    int rc = coir_mutex_lock(&a->m);
    if (rc == 0)
        coir_mutex_unlock(&a->m);
    return rc;
}

static int open_it(void *arg)
{
    opening *a = arg;
    return coir_once_run(&a->once, open_with_mutex, a);
}

static int open_it_locked(void *arg)
{
    opening *a = arg;
    CHECK_EQ(coir_mutex_lock(&a->m), 0);
    while (a->have < 1)
        coir_yield();
    a->have++;
    int rc = coir_once_run(&a->once, open_with_mutex, a);
    coir_mutex_unlock(&a->m);
    return rc;
}

TASK_TEST(who_runs_a_once_is_named_in_lines_and_cycles)
{
    opening a = {.have = 0};
    char what[128];
    coir_group g;
    coir_group_begin(&g, 0);
    coir_task_options o = {.name = "opens"};
    coir_task t;
    CHECK_EQ(coir_spawn_with(&g, &o, open_it, &a, &t), 0);
    SPAWN_NAMED(&g, "has mutex", open_it_locked, &a);
    snprintf(what, sizeof what, " for once %p, run by task %llu 'opens'", (void *)&a.once,
             (unsigned long long)t.id);
    await_state("has mutex", what);
    await_dump("mutex cycle: task ");
    snprintf(what, sizeof what, " for once %p run by task %llu 'opens'", (void *)&a.once,
             (unsigned long long)t.id);
    await_dump(what);
    coir_group_cancel(&g, "end of test");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

typedef struct meeting {
    coir_mutex m;
    coir_cond c;
    coir_barrier b;
} meeting;

static int wait_for_condition(void *arg)
{
    meeting *a = arg;
    CHECK_EQ(coir_mutex_lock(&a->m), 0);
    CHECK_EQ(coir_cond_wait(&a->c, &a->m), 0);
    coir_mutex_unlock(&a->m);
    return 0;
}

static int wait_at_barrier(void *arg)
{
    meeting *a = arg;
    return coir_barrier_wait(&a->b);
}

TASK_TEST(waits_for_conditions_and_barriers_show_their_addresses)
{
    meeting a = {.b = COIR_BARRIER_INIT(2)};
    char what[64];
    coir_group g;
    coir_group_begin(&g, 0);
    SPAWN_NAMED(&g, "condition", wait_for_condition, &a);
    SPAWN_NAMED(&g, "barrier", wait_at_barrier, &a);
    snprintf(what, sizeof what, " for condition %p", (void *)&a.c);
    await_state("condition", what);
    snprintf(what, sizeof what, " for barrier %p", (void *)&a.b);
    await_state("barrier", what);
    coir_cond_signal(&a.c);
    CHECK_EQ(coir_barrier_wait(&a.b), 1);
    CHECK_EQ(coir_group_end(&g), 0);
}

static _Atomic bool thread_may_go;

static int hold_in_thread(void *arg)
{
    things *a = arg;
    CHECK_EQ(coir_mutex_lock(&a->m), 0);
    while (!thread_may_go)
        coir_yield();
    coir_mutex_unlock(&a->m);
    return 0;
}

TASK_TEST(a_thread_that_holds_a_mutex_is_named)
{
    things a = {0};
    test_thread t;
    coir_group g;
    coir_group_begin(&g, 0);
    thread_start(&t, hold_in_thread, &a);
    while (coir_mutex_try_lock(&a.m) == 0) {
        coir_mutex_unlock(&a.m);
        coir_yield();
    }
    SPAWN_NAMED(&g, "waiter", take_mutex, &a);
    await_state("waiter", ", held by thread ");
    thread_may_go = true;
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

static int lock_and_end(void *arg)
{
    things *a = arg;
    CHECK_EQ(coir_mutex_lock(&a->m), 0);
    return 0;
}

TASK_TEST(an_owner_that_has_ended_is_not_named)
{
    things a = {0};
    coir_group g;
    coir_task t;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_with(&g, NULL, lock_and_end, &a, &t),
             0); /* not joined: it stays in its descriptor */
    await_dump("ended task ");
    SPAWN_NAMED(&g, "waiter", take_mutex, &a);
    await_state("waiter", ", held by a task that has ended");
    coir_group_cancel(&g, "end of test"); /* nobody can unlock it */
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

/* -- rings -------------------------------------------------------------------------------------------------- */

/* n tasks; task i holds lock i, then wants lock i + 1. */
enum { MOST = 40 };

typedef struct ring ring;

typedef struct member {
    ring *r;
    int i;
} member;

struct ring {
    coir_mutex m[MOST];
    coir_rwlock l[MOST];
    member members[MOST];
    int n;
    bool open; /* the last one wants nothing that others have */
    bool rw;   /* every second one is a lock for writing */
    _Atomic int have;
    coir_task tasks[MOST];
};

static int ring_lock(ring *r, int i)
{
    return r->rw && i % 2 ? coir_rwlock_write_lock(&r->l[i]) : coir_mutex_lock(&r->m[i]);
}

static void ring_unlock(ring *r, int i)
{
    if (r->rw && i % 2)
        coir_rwlock_write_unlock(&r->l[i]);
    else
        coir_mutex_unlock(&r->m[i]);
}

static int be_member(void *arg)
{
    member *me = arg;
    ring *r = me->r;
    int next = r->open ? me->i + 1 : (me->i + 1) % r->n;
    CHECK_EQ(ring_lock(r, me->i), 0);
    r->have++;
    while (r->have < r->n)
        coir_yield();
    int rc = ring_lock(r, next);
    if (rc == 0)
        ring_unlock(r, next);
    ring_unlock(r, me->i);
    return rc;
}

static void start_ring(ring *r, coir_group *g)
{
    for (int i = 0; i < r->n; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        coir_task_options o = {.name = name};
        r->members[i] = (member){r, i};
        CHECK_EQ(coir_spawn_with(g, &o, be_member, &r->members[i], &r->tasks[i]), 0);
    }
}

static int deadlock_in_ring(void *arg)
{
    static ring r;
    coir_group g;
    r.n = (int)(intptr_t)arg;
    coir_group_begin(&g, 0);
    start_ring(&r, &g);
    return coir_group_end(&g);
}

TEST(a_deadlock_of_mutexes_is_reported_with_its_cycle)
{
    CHECK_TASK_ABORTS(deadlock_in_ring, (void *)2, "deadlock: all tasks (3) ");
    CHECK_TASK_ABORTS(deadlock_in_ring, (void *)2, "\nmutex cycle: task ");
    CHECK_TASK_ABORTS(deadlock_in_ring, (void *)2, " held by task ");
    CHECK_TASK_ABORTS(deadlock_in_ring, (void *)3, "\nmutex cycle: task ");
}

/* Starts the ring, and waits until all of its tasks wait. To be cancelled. */
static char *text_of_ring(ring *r, coir_group *g)
{
    coir_group_begin(g, 0);
    start_ring(r, g);
    for (int i = 0; i < r->n; i++)
        while (!is_parked(r->tasks[i]) || r->have < r->n)
            coir_yield();
    return dump_text();
}

static void add_part(char parts[][80], const char **list, int *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(parts[*n], 80, format, args);
    va_end(args);
    list[*n] = parts[*n];
    list[++*n] = NULL;
}

static void check_ring(int n, bool rw)
{
    ring *r = calloc(1, sizeof *r);
    coir_group g;
    char parts[3 * MOST + 2][80];
    const char *list[3 * MOST + 3];
    int count = 0;
    r->n = n;
    r->rw = rw;
    char *text = text_of_ring(r, &g);
    add_part(parts, list, &count, "mutex cycle: task %llu 'm0'",
             (unsigned long long)r->tasks[0].id);
    for (int i = 0; i < n; i++) {
        int next = (i + 1) % n;
        bool lock = rw && next % 2;
        add_part(parts, list, &count, " waits %s %p held by task %llu 'm%d'",
                 lock ? "to write under lock" : "for mutex",
                 lock ? (void *)&r->l[next] : (void *)&r->m[next],
                 (unsigned long long)r->tasks[next].id, next);
    }
    CHECK(line_has(text, list));
    CHECK(strstr(strstr(text, "mutex cycle:") + 1, "mutex cycle:") == NULL); /* once */
    free(text);
    coir_group_cancel(&g, "end of test");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    free(r);
}

TASK_TEST(a_ring_of_two_is_named) { check_ring(2, false); }

TASK_TEST(a_ring_of_three_is_named) { check_ring(3, false); }

TASK_TEST(a_long_ring_is_named_in_one_line) { check_ring(30, false); }

TASK_TEST(a_ring_of_mutexes_and_writers_is_named) { check_ring(4, true); }

TASK_TEST(a_chain_is_no_cycle)
{
    ring *r = calloc(1, sizeof *r);
    coir_group g;
    r->n = 5;
    r->open = true;
    CHECK_EQ(coir_mutex_lock(&r->m[5]), 0);
    char *text = text_of_ring(r, &g);
    CHECK(strstr(text, "held by task ") != NULL);
    CHECK(strstr(text, "mutex cycle") == NULL);
    free(text);
    coir_mutex_unlock(&r->m[5]);
    CHECK_EQ(coir_group_end(&g), 0);
    free(r);
}

/* -- through a join ----------------------------------------------------------------------------------------- */

typedef struct knot {
    coir_mutex m;
    _Atomic bool locked;
    coir_task child;
    coir_task joiner;
} knot;

static int take_late(void *arg)
{
    knot *k = arg;
    while (!k->locked)
        coir_yield();
    int rc = coir_mutex_lock(&k->m);
    if (rc == 0)
        coir_mutex_unlock(&k->m);
    return rc;
}

static int join_with_mutex(void *arg)
{
    knot *k = arg;
    CHECK_EQ(coir_mutex_lock(&k->m), 0);
    k->locked = true;
    int rc = coir_join(k->child, NULL);
    coir_mutex_unlock(&k->m);
    return rc;
}

TASK_TEST(a_ring_through_a_join_is_named)
{
    knot k = {0};
    coir_group g;
    coir_task_options child = {.name = "child"}, joiner = {.name = "joiner"};
    char first[80], second[80];
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_with(&g, &child, take_late, &k, &k.child), 0);
    CHECK_EQ(coir_spawn_with(&g, &joiner, join_with_mutex, &k, &k.joiner), 0);
    await_state("child", ": waiting ");
    await_state("joiner", ": waiting ");
    char *text = dump_text();
    snprintf(first, sizeof first, " waits for mutex %p held by task %llu 'joiner'", (void *)&k.m,
             (unsigned long long)k.joiner.id);
    snprintf(second, sizeof second, " waits for the end of task %llu 'child'",
             (unsigned long long)k.child.id);
    const char *parts[] = {"mutex cycle: task ", NULL, NULL};
    parts[1] = first;
    CHECK(line_has(text, parts));
    parts[1] = second;
    CHECK(line_has(text, parts));
    free(text);
    coir_group_cancel(&g, "end of test");
    coir_group_end(&g);
}

/* -- looks ------------------------------------------------------------------------------------------------- */

static _Atomic bool got_it;

static int lock_then_tell(void *arg)
{
    things *a = arg;
    int rc = coir_mutex_lock(&a->m);
    got_it = true;
    if (rc == 0)
        coir_mutex_unlock(&a->m);
    rc = coir_rwlock_read_lock(&a->l);
    got_it = true;
    if (rc == 0)
        coir_rwlock_read_unlock(&a->l);
    return rc;
}

/* The one that a look has found waiting, and that has been woken since, is still inside its call. */
static void check_stays(test_thread *t, void (*unlock)(things *), things *a)
{
    coir__holder h;
    got_it = false;
    thread_await_parked(t);
    coir__holder_look_begin();
    CHECK(coir__holder_find(t->self, &h));
    CHECK(h.task == coir__worker_here()->current);
    unlock(a);
    for (int i = 0; i < 2000; i++) { /* it has every chance to run */
        sched_yield();
        coir_yield();
        CHECK(!got_it);
    }
    coir__holder_look_end();
    while (!got_it)
        coir_yield();
}

static void unlock_mutex(things *a) { coir_mutex_unlock(&a->m); }
static void unlock_written(things *a) { coir_rwlock_write_unlock(&a->l); }

TASK_TEST(who_waits_for_a_lock_stays_inside_its_call_while_somebody_looks)
{
    things a = {0};
    test_thread t;
    CHECK_EQ(coir_mutex_lock(&a.m), 0);
    CHECK_EQ(coir_rwlock_write_lock(&a.l), 0);
    thread_start(&t, lock_then_tell, &a);
    check_stays(&t, unlock_mutex, &a);
    check_stays(&t, unlock_written, &a);
    CHECK_EQ(thread_finish(&t), 0);
}

/* -- while all of it moves ---------------------------------------------------------------------------------- */

/* In the order of their addresses, so that there is never a ring; and on the heap, for a short time. */
typedef struct pair {
    coir_mutex m[2];
    coir_rwlock l;
    coir_cond c;
    int users;
} pair;

static int use_pair(void *arg)
{
    pair *p = arg;
    for (int i = 0; i < 6; i++) {
        coir_scope s;
        coir_scope_begin(&s, i % 3 == 2 ? COIR_US(10) : COIR_FOREVER);
        int rc = coir_mutex_lock(&p->m[1]); /* then the other one, held by who waits for this one */
        if (rc == 0) {
            coir_yield();
            coir_mutex_unlock(&p->m[1]);
        }
        rc = coir_mutex_lock(&p->m[0]);
        if (rc == 0) {
            rc = coir_mutex_lock(&p->m[1]);
            coir_yield();
            if (rc == 0)
                coir_mutex_unlock(&p->m[1]);
            coir_mutex_unlock(&p->m[0]);
        }
        rc = i % 2 ? coir_rwlock_read_lock(&p->l) : coir_rwlock_write_lock(&p->l);
        if (rc == 0) {
            coir_yield();
            if (i % 2)
                coir_rwlock_read_unlock(&p->l);
            else
                coir_rwlock_write_unlock(&p->l);
        }
        coir_scope_end(&s, 0);
    }
    CHECK_EQ(coir_mutex_lock(&p->m[0]), 0);
    bool last = --p->users == 0;
    coir_mutex_unlock(&p->m[0]);
    if (last) {
        memset(p, 0xff, sizeof *p); /* a look that comes too late finds nonsense */
        free(p);
    }
    return 0;
}

static int use_pairs(void *arg)
{
    int rounds = *(int *)arg;
    for (int i = 0; i < rounds; i++) {
        enum { USERS = 5 };
        coir_group g;
        pair *p = calloc(1, sizeof *p);
        p->users = USERS;
        coir_group_begin(&g, 0);
        for (int k = 0; k < USERS; k++)
            CHECK_EQ(coir_spawn(&g, use_pair, p), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

static _Atomic bool used;
static _Atomic int dumps;

static int dump_until_used(void *arg)
{
    (void)arg;
    while (!used) {
        char *text = dump_text();
        if (strstr(text, "mutex cycle"))
            harness_fail(__FILE__, __LINE__, "a cycle that is none:\n%s", text);
        free(text);
        dumps++;
        coir_yield();
    }
    return 0;
}

static void check_moving(int dumpers)
{
    int rounds = rounds_of(400);
    coir_group g;
    test_thread t[2];
    used = false;
    for (int i = 0; i < dumpers; i++)
        thread_start(&t[i], dump_until_used, NULL);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_spawn(&g, use_pairs, &rounds), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    while (dumps == 0) /* on a machine that has just now no time for threads */
        coir_yield();
    used = true;
    for (int i = 0; i < dumpers; i++)
        CHECK_EQ(thread_finish(&t[i]), 0);
}

TASK_TEST_TIMEOUT(dumps_do_not_disturb_those_who_lock_and_see_no_cycle_where_none_is, 60)
{
    check_moving(2);
}

TASK_TEST_TIMEOUT(dumps_by_tasks_do_not_disturb_those_who_lock, 60)
{
    int rounds = rounds_of(100);
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, dump_until_used, NULL), 0);
    CHECK_EQ(use_pairs(&rounds), 0);
    used = true;
    CHECK_EQ(coir_group_end(&g), 0);
}

TEST_MAIN("cycle")
