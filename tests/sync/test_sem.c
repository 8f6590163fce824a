/* SPDX-License-Identifier: MIT */
/* test_sem.c - permits: how many, in which order, and that none is lost or made. */
#include "sync/claimed.h"
#include "sync/race.h"

/* Takes all that are there. How many. */
static int drain(coir_sem *s)
{
    int n = 0;
    while (coir_sem_try_acquire(s) == 0)
        n++;
    return n;
}

typedef struct asker {
    coir_sem *s;
    size_t n;
    int rc;
    coir_task task;
} asker;

static int ask(void *arg)
{
    asker *a = arg;
    a->rc = a->n == 1 ? coir_sem_acquire(a->s) : coir_sem_acquire_n(a->s, a->n);
    return 0;
}

/* Begins to wait for `n`. */
static void start_asking(asker *a, coir_group *g, coir_sem *s, size_t n)
{
    *a = (asker){.s = s, .n = n, .rc = 1};
    a->task = start_task(g, ask, a);
    await_parked(a->task);
}

static void check_served(asker *a)
{
    CHECK_EQ(join_result(a->task), 0);
    CHECK_EQ(a->rc, 0);
}

/* -- counting ----------------------------------------------------------------------------------------------- */

TASK_TEST(there_are_as_many_permits_as_it_began_with)
{
    coir_sem s = COIR_SEM_INIT(3), none = COIR_SEM_INIT(0);
    CHECK_EQ(coir_sem_acquire(&s), 0);
    CHECK_EQ(coir_sem_acquire_n(&s, 2), 0);
    CHECK_EQ(coir_sem_try_acquire(&s), -EAGAIN);
    CHECK_EQ(coir_sem_try_acquire(&none), -EAGAIN);
    coir_sem_release_n(&s, 2);
    CHECK_EQ(coir_sem_try_acquire_n(&s, 3), -EAGAIN);
    CHECK_EQ(coir_sem_try_acquire_n(&s, 2), 0);
    CHECK_EQ(drain(&s), 0);
}

TASK_TEST(permits_may_be_added)
{
    coir_sem s = COIR_SEM_INIT(0);
    coir_sem_release(&s);
    coir_sem_release_n(&s, 4);
    coir_sem_release_n(&s, 0);
    CHECK_EQ(drain(&s), 5);
}

TASK_TEST(none_and_too_many_at_once_are_invalid)
{
    coir_sem s = COIR_SEM_INIT(COIR_SEM_MAX);
    CHECK_EQ(coir_sem_acquire_n(&s, 0), -EINVAL);
    CHECK_EQ(coir_sem_try_acquire_n(&s, 0), -EINVAL);
    CHECK_EQ(coir_sem_acquire_n(&s, (size_t)COIR_SEM_MAX + 1), -EINVAL);
    CHECK_EQ(coir_sem_try_acquire_n(&s, SIZE_MAX), -EINVAL);
    CHECK_EQ(coir_sem_acquire_n(&s, COIR_SEM_MAX), 0);
    CHECK_EQ(drain(&s), 0);
    coir_sem_release_n(&s, COIR_SEM_MAX);
    CHECK_EQ(coir_sem_try_acquire_n(&s, COIR_SEM_MAX), 0);
}

static int release_too_many(void *arg)
{
    coir_sem s = COIR_SEM_INIT(COIR_SEM_MAX);
    (void)arg;
    coir_set_name("generous");
    coir_sem_release(&s);
    return 0;
}

static int release_too_many_at_once(void *arg)
{
    coir_sem s = COIR_SEM_INIT(0);
    (void)arg;
    coir_sem_release_n(&s, SIZE_MAX);
    return 0;
}

static int release_too_many_to_a_waiter(void *arg)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    asker a;
    (void)arg;
    coir_group_begin(&g, 0);
    start_asking(&a, &g, &s, 1);
    coir_sem_release_n(&s, COIR_SEM_MAX); /* one is taken at once */
    check_served(&a);
    start_asking(&a, &g, &s, COIR_SEM_MAX);
    CHECK_EQ(coir_sem_try_acquire(&s), -EAGAIN); /* not its turn */
    coir_sem_release_n(&s, COIR_SEM_MAX);
    check_served(&a);
    coir_sem_release_n(&s, 2);
    return coir_group_end(&g);
}

TEST(more_permits_than_the_most_abort_and_name_the_task)
{
    CHECK_TASK_ABORTS(release_too_many, NULL, "in task 'generous'");
    CHECK_TASK_ABORTS(release_too_many, NULL, "more than COIR_SEM_MAX permits");
    CHECK_TASK_ABORTS(release_too_many_at_once, NULL, "more than COIR_SEM_MAX permits");
    CHECK_TASK_ABORTS(release_too_many_to_a_waiter, NULL, "more than COIR_SEM_MAX permits");
}

/* -- order -------------------------------------------------------------------------------------------------- */

TASK_TEST(waiters_are_served_in_the_order_they_came)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    asker a[5];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 5; i++)
        start_asking(&a[i], &g, &s, 1);
    for (int i = 0; i < 5; i++) {
        coir_sem_release(&s);
        check_served(&a[i]);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(drain(&s), 0);
}

TASK_TEST(who_asks_for_many_is_not_passed_over_by_those_who_ask_for_few)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    asker many, few, newcomer;
    coir_group_begin(&g, 0);
    start_asking(&many, &g, &s, 3);
    start_asking(&few, &g, &s, 1);
    coir_sem_release_n(&s, 2);
    CHECK_EQ(coir_sem_try_acquire(&s), -EAGAIN);
    start_asking(&newcomer, &g, &s, 1);
    CHECK(is_parked(few.task));
    coir_sem_release(&s);
    check_served(&many);
    CHECK(is_parked(few.task));
    coir_sem_release(&s);
    check_served(&few);
    CHECK(is_parked(newcomer.task));
    coir_sem_release(&s);
    check_served(&newcomer);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(drain(&s), 0);
}

TASK_TEST(one_release_serves_as_many_as_it_can)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    static const size_t wishes[] = {2, 1, 3, 1};
    asker a[4];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        start_asking(&a[i], &g, &s, wishes[i]);
    coir_sem_release_n(&s, 5);
    check_served(&a[0]);
    check_served(&a[1]);
    CHECK(is_parked(a[2].task));
    CHECK(is_parked(a[3].task));
    coir_sem_release_n(&s, 10);
    check_served(&a[2]);
    check_served(&a[3]);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(drain(&s), 8);
}

/* -- selects in line ---------------------------------------------------------------------------------------- */

typedef struct chooser {
    coir_sem *s;
    coir_event out; /* the other case */
    int rc;
    coir_task task;
} chooser;

static int choose(void *arg)
{
    chooser *k = arg;
    coir_case cases[] = {COIR_ACQUIRE(k->s), COIR_SET(&k->out)};
    k->rc = coir_select(cases, 2);
    CHECK_EQ(cases[k->rc].result, 0);
    return 0;
}

static void start_choosing(chooser *k, coir_group *g, coir_sem *s)
{
    *k = (chooser){.s = s, .rc = -1};
    k->task = start_task(g, choose, k);
    await_parked(k->task);
}

TASK_TEST(a_select_takes_one_permit_in_its_turn)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    asker before, after;
    chooser k;
    coir_group_begin(&g, 0);
    start_asking(&before, &g, &s, 2);
    start_choosing(&k, &g, &s);
    start_asking(&after, &g, &s, 1);
    coir_sem_release(&s);
    CHECK(is_parked(k.task));
    coir_sem_release_n(&s, 2);
    check_served(&before);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.rc, 0);
    CHECK(is_parked(after.task));
    coir_sem_release(&s);
    check_served(&after);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(drain(&s), 0);
}

TASK_TEST(a_select_that_comes_later_does_not_overtake)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(1);
    coir_case one[] = {COIR_ACQUIRE(&s)};
    asker many;
    chooser k;
    coir_group_begin(&g, 0);
    start_asking(&many, &g, &s, 2);
    CHECK_EQ(coir_select_try(one, 1), -EAGAIN);
    start_choosing(&k, &g, &s);
    coir_sem_release(&s);
    check_served(&many);
    CHECK(is_parked(k.task));
    coir_sem_release(&s);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.rc, 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_select_that_ended_otherwise_took_nothing_and_holds_up_nobody)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    asker after;
    chooser k;
    coir_group_begin(&g, 0);
    start_choosing(&k, &g, &s);
    start_asking(&after, &g, &s, 1);
    coir_event_set(&k.out);
    coir_sem_release(&s); /* the select is still in line, or just gone */
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.rc, 1);
    check_served(&after);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(drain(&s), 0);
}

/* -- cancellation ------------------------------------------------------------------------------------------- */

TASK_TEST(a_cancelled_task_is_refused_even_if_there_are_permits)
{
    coir_scope scope;
    coir_sem s = COIR_SEM_INIT(2);
    coir_scope_begin(&scope, 0);
    CHECK_EQ(coir_sem_acquire(&s), -ECANCELED);
    CHECK_EQ(coir_sem_acquire_n(&s, 2), -ECANCELED);
    CHECK_EQ(coir_sem_try_acquire(&s), 0); /* no cancel point */
    coir_sem_release(&s);
    CHECK_EQ(coir_scope_end(&scope, 0), 0);
    CHECK_EQ(drain(&s), 2);
}

TASK_TEST(a_cancelled_waiter_leaves_nothing_behind)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    asker a[3];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        start_asking(&a[i], &g, &s, 1);
    CHECK_EQ(coir_cancel(a[0].task, "test"), 0);
    CHECK_EQ(coir_cancel(a[2].task, "test"), 0);
    CHECK_EQ(join_result(a[0].task), 0);
    CHECK_EQ(join_result(a[2].task), 0);
    CHECK_EQ(a[0].rc, -ECANCELED);
    CHECK_EQ(a[2].rc, -ECANCELED);
    coir_sem_release_n(&s, 2);
    check_served(&a[1]);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(drain(&s), 1);
}

TASK_TEST(those_behind_a_cancelled_one_that_asked_for_many_are_let_in)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    asker many, few, more;
    chooser k;
    coir_group_begin(&g, 0);
    start_asking(&many, &g, &s, 10);
    start_asking(&few, &g, &s, 1);
    start_choosing(&k, &g, &s);
    start_asking(&more, &g, &s, 2);
    coir_sem_release_n(&s, 3);
    CHECK_EQ(coir_cancel(many.task, "test"), 0);
    CHECK_EQ(join_result(many.task), 0);
    CHECK_EQ(many.rc, -ECANCELED);
    check_served(&few);
    CHECK_EQ(join_result(k.task), 0);
    CHECK_EQ(k.rc, 0);
    CHECK(is_parked(more.task)); /* one is left */
    coir_sem_release(&s);
    check_served(&more);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(drain(&s), 0);
}

TASK_TEST(a_waiter_that_is_being_cancelled_is_passed_by)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(0);
    asker one, other, many;
    coir_group_begin(&g, 0);
    start_asking(&one, &g, &s, 1);
    start_asking(&other, &g, &s, 1);
    start_asking(&many, &g, &s, 3);
    cancel_begin(one.task);
    coir_sem_release(&s);
    check_served(&other);
    cancel_begin(many.task); /* holds up others until it is back */
    coir_sem_release_n(&s, 2);
    CHECK_EQ(coir_sem_try_acquire(&s), -EAGAIN);
    start_asking(&other, &g, &s, 1);
    coir_sem_release(&s); /* as many as it wanted: passed by now */
    check_served(&other);
    cancel_end(one.task);
    cancel_end(many.task);
    CHECK_EQ(join_result(one.task), 0);
    CHECK_EQ(join_result(many.task), 0);
    CHECK_EQ(one.rc, -ECANCELED);
    CHECK_EQ(many.rc, -ECANCELED);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(drain(&s), 2);
}

static int acquire_in_time(void *arg)
{
    coir_scope scope;
    coir_scope_begin(&scope, TEST_TICK);
    return coir_scope_end(&scope, coir_sem_acquire_n(arg, 2));
}

static int acquire_times_out(void *arg)
{
    coir_group g;
    coir_sem s = COIR_SEM_INIT(1);
    (void)arg;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    coir_task t = start_task(&g, acquire_in_time, &s);
    await_parked(t);
    time_pass(2 * TEST_TICK);
    CHECK_EQ(join_result(t), -ETIMEDOUT);
    CHECK_EQ(drain(&s), 1);
    coir_sem_release_n(&s, 2);
    CHECK_EQ(acquire_in_time(&s), 0);
    CHECK_EQ(coir_group_end(&g), -ETIMEDOUT);
    return 0;
}

TEST(a_wait_for_permits_obeys_deadlines)
{
    CHECK_EQ(run_on_test_clock(acquire_times_out, NULL), 0);
}

/* -- cancellation against completion ------------------------------------------------------------------------ */

static coir_sem swept = COIR_SEM_INIT(0);

static int call_acquire(race *r) { return (void)r, coir_sem_acquire(&swept); }
static void release_one(race *r) { (void)r, coir_sem_release(&swept); }
static void settle_one(race *r) { CHECK_EQ((r->rc == 0) + drain(&swept), 1); }

TASK_TEST(a_cancelled_acquire_took_nothing)
{
    static const contest k = {NULL, call_acquire, release_one, settle_one};
    sweep(&k, 0);
}

static int call_select(race *r)
{
    coir_case cases[] = {COIR_RECV(r->c, &r->got), COIR_ACQUIRE(&swept)};
    int rc = coir_select(cases, 2);
    CHECK(rc == 1 || rc == -ECANCELED);
    return rc == 1 ? 0 : rc;
}

TASK_TEST(a_cancelled_select_took_no_permit)
{
    static const contest k = {NULL, call_select, release_one, settle_one};
    sweep(&k, 0);
}

static int call_acquire_three(race *r) { return (void)r, coir_sem_acquire_n(&swept, 3); }

static void release_three(race *r)
{
    coir_sem_release(&swept);
    dawdle(&r->completer);
    coir_sem_release_n(&swept, 2);
}

static void settle_three(race *r) { CHECK_EQ(3 * (r->rc == 0) + drain(&swept), 3); }

TASK_TEST(a_cancelled_acquire_of_several_took_nothing)
{
    static const contest k = {NULL, call_acquire_three, release_three, settle_three};
    sweep(&k, 0);
}

static int acquire_one(void *arg) { return coir_sem_acquire(arg); }

/* There will never be enough for the victim; but for the one that may be behind it. */
static void release_to_another(race *r)
{
    CHECK_EQ(coir_spawn(r->g, acquire_one, &swept), 0);
    dawdle(&r->completer);
    coir_sem_release(&swept);
}

static void settle_another(race *r)
{
    CHECK_EQ(r->rc, -ECANCELED);
    CHECK_EQ(coir_group_wait(r->g), 0);
    CHECK_EQ(drain(&swept), 0);
}

TASK_TEST(a_cancelled_acquire_of_several_holds_up_nobody)
{
    static const contest k = {NULL, call_acquire_three, release_to_another, settle_another};
    sweep(&k, 0);
}

/* -- life --------------------------------------------------------------------------------------------------- */

static int release_it(void *arg)
{
    coir_sem_release(arg);
    return 0;
}

static int release_two(void *arg)
{
    coir_sem_release_n(arg, 2);
    return 0;
}

TASK_TEST(who_got_the_last_permit_may_destroy_it)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int round = rounds_of(3000); round > 0; round--) {
        coir_sem *s = calloc(1, sizeof *s);
        CHECK_EQ(coir_spawn(&g, release_it, s), 0);
        if (round % 2)
            coir_yield();
        CHECK_EQ(coir_sem_acquire(s), 0);
        free(s);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

typedef struct shared {
    coir_sem s;
    _Atomic int users;
} shared;

static int take_and_leave(void *arg)
{
    shared *h = arg;
    CHECK_EQ(coir_sem_acquire(&h->s), 0);
    if (atomic_fetch_sub(&h->users, 1) == 1)
        free(h);
    return 0;
}

static int try_and_leave(void *arg)
{
    shared *h = arg;
    while (coir_sem_try_acquire(&h->s) < 0)
        coir_yield();
    if (atomic_fetch_sub(&h->users, 1) == 1)
        free(h);
    return 0;
}

/* One waits, the other one grabs what is over: the releaser must not come back to it. */
TASK_TEST(the_last_of_two_may_destroy_it_while_the_release_of_both_returns)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int round = rounds_of(3000); round > 0; round--) {
        shared *h = calloc(1, sizeof *h);
        h->users = 2;
        CHECK_EQ(coir_spawn(&g, take_and_leave, h), 0);
        CHECK_EQ(coir_spawn(&g, round % 3 ? try_and_leave : take_and_leave, h), 0);
        if (round % 2)
            coir_yield();
        CHECK_EQ(coir_spawn(&g, release_two, h), 0);
        if (round % 8 == 0)
            CHECK_EQ(coir_group_wait(&g), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

static int try_and_free(void *arg)
{
    while (coir_sem_try_acquire(arg) < 0)
        coir_yield();
    free(arg);
    return 0;
}

/* Who waited before it has been served, and does not come back to it either. */
TASK_TEST(who_got_what_is_over_may_destroy_it)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int round = rounds_of(1000); round > 0; round--) {
        coir_sem *s = calloc(1, sizeof *s);
        test_thread t;
        asker a;
        bool thread = round % 8 == 0;
        start_asking(&a, &g, s, 1);
        if (thread)
            thread_start(&t, try_and_free, s);
        else
            CHECK_EQ(coir_spawn(&g, try_and_free, s), 0);
        if (round % 2)
            coir_yield();
        coir_sem_release_n(s, 2);
        check_served(&a);
        if (thread)
            CHECK_EQ(thread_finish(&t), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_waiter_may_destroy_the_semaphore_that_a_thread_has_released)
{
    for (int round = rounds_of(200); round > 0; round--) {
        coir_sem *s = calloc(1, sizeof *s);
        test_thread t;
        thread_start(&t, release_it, s);
        CHECK_EQ(coir_sem_acquire(s), 0);
        free(s);
        CHECK_EQ(thread_finish(&t), 0);
    }
}

/* -- crowds ------------------------------------------------------------------------------------------------- */

#define PERMITS 4

typedef struct crowd {
    coir_sem s;
    _Atomic int inside;
    _Atomic int users; /* who have begun */
    int rounds;
    bool disturbed;
} crowd;

static int take_some(crowd *c, size_t n, bool by_select)
{
    coir_case cases[] = {COIR_ACQUIRE(&c->s), COIR_ACQUIRE(&c->s)};
    if (!by_select)
        return n == 1 ? coir_sem_acquire(&c->s) : coir_sem_acquire_n(&c->s, n);
    int rc = coir_select(cases, 2);
    return rc < 0 ? rc : cases[rc].result;
}

static int use_permits(void *arg)
{
    crowd *c = arg;
    dice d = {(uint64_t)atomic_fetch_add(&c->users, 1)};
    for (int i = 0; i < c->rounds; i++) {
        coir_scope scope;
        bool hurried = c->disturbed && dice_below(&d, 2);
        size_t n = 1 + dice_below(&d, PERMITS);
        bool by_select = n == 1 && dice_below(&d, 2);
        coir_scope_begin(&scope, hurried ? COIR_US(dice_below(&d, 30)) : COIR_FOREVER);
        int rc = take_some(c, n, by_select);
        if (rc == 0) {
            CHECK_LE(atomic_fetch_add(&c->inside, (int)n) + (int)n, PERMITS);
            if (dice_below(&d, 4) == 0)
                coir_yield();
            atomic_fetch_sub(&c->inside, (int)n);
            if (dice_below(&d, 2))
                coir_sem_release_n(&c->s, n);
            else
                for (size_t k = 0; k < n; k++)
                    coir_sem_release(&c->s);
        } else {
            CHECK(hurried);
            CHECK_EQ(rc, -ECANCELED);
        }
        coir_scope_end(&scope, rc);
    }
    return 0;
}

static int run_use_permits(void *arg) { return coir_run(NULL, use_permits, arg); }

static void run_crowd(int tasks, bool disturbed, coir_fn *elsewhere, int rounds)
{
    coir_group g;
    test_thread t[2];
    crowd c = {.s = COIR_SEM_INIT(PERMITS), .rounds = rounds, .disturbed = disturbed};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2 && elsewhere; i++)
        thread_start(&t[i], elsewhere, &c);
    for (int i = 0; i < tasks; i++)
        CHECK_EQ(coir_spawn(&g, use_permits, &c), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 2 && elsewhere; i++)
        CHECK_EQ(thread_finish(&t[i]), 0);
    CHECK_EQ(drain(&c.s), PERMITS);
}

TASK_TEST(no_permit_is_lost_or_made_among_tasks) { run_crowd(12, false, NULL, rounds_of(3000)); }

TASK_TEST(no_permit_is_lost_or_made_while_waits_time_out)
{
    run_crowd(12, true, NULL, rounds_of(1500));
}

TASK_TEST(no_permit_is_lost_or_made_among_tasks_and_threads)
{
    run_crowd(4, true, use_permits, rounds_of(1000));
}

TASK_TEST(no_permit_is_lost_or_made_among_runtimes)
{
    run_crowd(4, true, run_use_permits, rounds_of(1000));
}

TEST(threads_need_no_runtime)
{
    test_thread t;
    crowd c = {.s = COIR_SEM_INIT(PERMITS), .rounds = rounds_of(1000), .disturbed = true};
    thread_start(&t, use_permits, &c);
    use_permits(&c);
    CHECK_EQ(thread_finish(&t), 0);
    CHECK_EQ(drain(&c.s), PERMITS);
}

TEST_MAIN("sem")
