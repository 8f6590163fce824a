/* SPDX-License-Identifier: MIT */
/*
 * test_timeout_table.c - who timed out? The table
 *
 *   {inner deadline, outer deadline, both, inner cancelled, outer cancelled}
 *     x {before, at, after the completion of the call} x {shield between the two, none}
 *
 * for each call that waits. What every cell must give is computed from the rules (`expect`), not listed.
 *
 *   body:    outer scope > [shield] > inner scope > call
 *   driver:  fires the cause and completes the call, in the order of the cell, on a clock that stands still
 */
#include "sync/wait_tools.h"

enum cause { INNER, OUTER, BOTH, CANCEL_INNER, CANCEL_OUTER, CAUSES };
enum moment { BEFORE, AT, AFTER, MOMENTS };

typedef struct cell cell;

/* A call that waits, and what ends its wait. */
typedef struct operation {
    const char *name;
    int (*call)(cell *c); /* the body: waits */
    bool (*complete)(
        cell *
            c); /* the driver: ends the wait; whether it met it (always, where that can't be told) */
    bool tells; /* `complete` can tell */
} operation;

struct cell {
    const operation *op;
    enum cause cause;
    enum moment moment;
    bool shielded;
    bool
        pass_check; /* the body ends its scopes with what coir_check() says, not with the call's result */
    /* what is waited for */
    coir_chan *chan;
    coir_event event;
    coir_mutex lock;
    /* body */
    coir_scope outer, shield, inner;
    _Atomic int called, caused;
    int rc, inside, inner_end, outside, outer_end;
    coir_task task;
};

/* -- operations --------------------------------------------------------------------------------------------- */

static int call_recv(cell *c)
{
    int got = 0, rc = coir_chan_recv(c->chan, &got);
    CHECK_EQ(got, rc == 0 ? 8 : 0);
    return rc;
}

static bool complete_recv(cell *c) { return coir_chan_try_send(c->chan, &(int){8}) == 0; }

static int call_recv_n(cell *c)
{
    int got[2];
    ssize_t rc = coir_chan_recv_n(c->chan, got, 2);
    return rc == 1 ? 0 : (int)rc;
}

static int call_send(cell *c) { return coir_chan_send(c->chan, &(int){8}); }

static bool complete_send(cell *c)
{
    int got = 0, rc = coir_chan_try_recv(c->chan, &got);
    CHECK_EQ(got, rc == 0 ? 8 : 0);
    return rc == 0;
}

static int call_event(cell *c) { return coir_event_wait(&c->event); }

static bool complete_event(cell *c)
{
    coir_event_set(&c->event);
    return true;
}

static int call_lock(cell *c)
{
    int rc = coir_mutex_lock(&c->lock);
    if (rc == 0)
        coir_mutex_unlock(&c->lock);
    return rc;
}

static bool complete_lock(cell *c)
{
    coir_mutex_unlock(&c->lock);
    return true;
}

static int call_select(cell *c)
{
    int got = 0;
    coir_case cases[] = {COIR_SET(&c->event), COIR_RECV(c->chan, &got), COIR_AFTER(COIR_S(1000))};
    int rc = coir_select(cases, 3);
    CHECK_EQ(got, rc == 1 ? 8 : 0);
    return rc == 1 ? cases[1].result : rc;
}

static const operation operations[] = {
    {"recv", call_recv, complete_recv, true},   {"recv_n", call_recv_n, complete_recv, true},
    {"send", call_send, complete_send, true},   {"event", call_event, complete_event, false},
    {"mutex", call_lock, complete_lock, false}, {"select", call_select, complete_recv, true},
};

#define OPERATIONS (sizeof operations / sizeof *operations)

/* -- what must come out ------------------------------------------------------------------------------------- */

static bool hits_outer(const cell *c)
{
    return c->cause == OUTER || c->cause == BOTH || c->cause == CANCEL_OUTER;
}

/* Whether calls in the inner scope see it. */
static bool is_seen(const cell *c)
{
    bool hits_inner = c->cause == INNER || c->cause == BOTH || c->cause == CANCEL_INNER;
    return hits_inner || !c->shielded;
}

static bool is_deadline(const cell *c)
{
    return c->cause != CANCEL_INNER && c->cause != CANCEL_OUTER;
}

typedef struct outcome {
    int rc, inside, inner_end, outside, outer_end;
} outcome;

static outcome expect(const cell *c, bool completed)
{
    outcome o;
    o.rc = completed ? 0 : -ECANCELED;
    o.inside = is_seen(c) ? -ECANCELED : 0;
    int rc = c->pass_check ? o.inside : o.rc;
    bool own = c->cause == INNER || c->cause == BOTH;
    bool enclosing = !c->shielded && hits_outer(c);
    o.inner_end = rc == -ECANCELED && own && !enclosing ? -ETIMEDOUT : rc;
    o.outside = hits_outer(c) ? -ECANCELED : 0;
    bool own_outer = c->cause == OUTER || c->cause == BOTH;
    o.outer_end = o.inner_end == -ECANCELED && own_outer ? -ETIMEDOUT : o.inner_end;
    return o;
}

static void check_cell(const cell *c, bool completed)
{
    static const char *const causes[] = {"inner", "outer", "both", "cancel inner", "cancel outer"};
    static const char *const moments[] = {"before", "at", "after"};
    outcome o = expect(c, completed);
    if (c->rc == o.rc && c->inside == o.inside && c->inner_end == o.inner_end &&
        c->outside == o.outside && c->outer_end == o.outer_end)
        return;
    harness_fail(__FILE__, __LINE__,
                 "%s, %s, %s%s%s: call %d, inside %d, inner end %d, outside %d, outer end %d; "
                 "expected %d, %d, %d, %d, %d",
                 c->op->name, causes[c->cause], moments[c->moment], c->shielded ? ", shielded" : "",
                 c->pass_check ? ", check" : "", c->rc, c->inside, c->inner_end, c->outside,
                 c->outer_end, o.rc, o.inside, o.inner_end, o.outside, o.outer_end);
}

/* -- body and driver ---------------------------------------------------------------------------------------- */

static int body(void *arg)
{
    cell *c = arg;
    bool outer_timeout = c->cause == OUTER || c->cause == BOTH;
    bool inner_timeout = c->cause == INNER || c->cause == BOTH;
    coir_scope_begin(&c->outer, outer_timeout ? TEST_TICK : COIR_FOREVER);
    if (c->shielded)
        coir_shield_begin(&c->shield, COIR_FOREVER);
    coir_scope_begin(&c->inner, inner_timeout ? TEST_TICK : COIR_FOREVER);
    c->rc = c->op->call(c);
    atomic_store(&c->called, 1);
    await_value(&c->caused, 1);
    c->inside = coir_check();
    c->inner_end = coir_scope_end(&c->inner, c->pass_check ? c->inside : c->rc);
    if (c->shielded)
        coir_shield_end(&c->shield);
    c->outside = coir_check();
    c->outer_end = coir_scope_end(&c->outer, c->inner_end);
    CHECK_EQ(coir_check(), 0);
    return 0;
}

static void fire(cell *c)
{
    if (is_deadline(c))
        time_pass(2 * TEST_TICK);
    else
        coir_scope_cancel(c->cause == CANCEL_INNER ? &c->inner : &c->outer, "table");
}

/* The cause did not reach the call: it goes on waiting, however often everybody else gets a turn. */
static void check_still_waiting(cell *c)
{
    for (int i = 0; i < 20; i++)
        coir_yield();
    CHECK(is_parked(c->task));
    CHECK_EQ(c->called, 0);
}

/* Returns whether the call must have been completed; -1: either. */
static int drive(cell *c, bool alone)
{
    bool met;
    switch (c->moment) {
    case BEFORE:
        fire(c);
        if (is_seen(c))
            await_value(&c->called, 1);
        else
            check_still_waiting(c);
        met = c->op->complete(c);
        if (c->op->tells)
            CHECK_EQ(met, !is_seen(c));
        return !is_seen(c);
    case AT: /* the deadline has passed but has not been noticed; a cancellation is noticed at once */
        fire(c);
        met = c->op->complete(c);
        if (is_deadline(c) && is_seen(c) && !alone)
            return -1;
        return is_deadline(c) || !is_seen(c);
    default:
        met = c->op->complete(c);
        CHECK(met);
        fire(c);
        return 1;
    }
}

static void run_cell(cell *c, bool alone)
{
    coir_group g;
    CHECK((c->chan = coir_chan_new(sizeof(int), 0)) != NULL);
    CHECK_EQ(coir_mutex_lock(&c->lock), 0);
    coir_group_begin(&g, 0);
    c->task = start_task(&g, body, c);
    await_parked(c->task);
    int completed = drive(c, alone);
    atomic_store(&c->caused, 1);
    CHECK_EQ(coir_group_end(&g), 0);
    check_cell(c, completed < 0 ? c->rc == 0 : completed);
    CHECK_EQ(coir_mutex_try_lock(&c->lock), c->op->complete == complete_lock ? 0 : -EDEADLK);
    coir_mutex_unlock(&c->lock);
    CHECK_EQ(coir_chan_try_recv(c->chan, NULL), -EAGAIN);
    coir_chan_free(c->chan);
}

static int run_table(void *arg)
{
    bool alone = *(bool *)arg;
    for (unsigned i = 0; i < OPERATIONS * CAUSES * MOMENTS * 4; i++) {
        cell c = {.op = &operations[i % OPERATIONS],
                  .cause = i / OPERATIONS % CAUSES,
                  .moment = i / OPERATIONS / CAUSES % MOMENTS,
                  .shielded = i / OPERATIONS / CAUSES / MOMENTS & 1,
                  .pass_check = i / OPERATIONS / CAUSES / MOMENTS & 2};
        run_cell(&c, alone);
    }
    return 0;
}

TEST(every_cell_of_the_table_holds)
{
    bool alone = false;
    CHECK_EQ(run_on_test_clock(run_table, &alone), 0);
}

TEST(every_cell_of_the_table_holds_on_one_worker_where_nothing_is_left_open)
{
    bool alone = true;
    use_one_worker();
    CHECK_EQ(run_on_test_clock(run_table, &alone), 0);
}

TEST_MAIN("timeout_table")
