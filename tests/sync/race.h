/* SPDX-License-Identifier: MIT */
#ifndef RACE_H
#define RACE_H

/*
 * race.h - a cancellation swept across the completion of a call that waits.
 *
 *   victim     opens a scope, calls, waits until the other two are through, closes the scope
 *   completer  lets the call complete, at some moment
 *   canceller  cancels the scope, at some moment; a task or a thread
 *
 * Whatever comes first: the call either succeeded, and its effect is there, or it returned -ECANCELED, and nothing has
 * happened; and the next call, in a fresh scope, knows nothing of it.
 */
#include "sync/wait_tools.h"

typedef struct race race;

typedef struct contest {
    void (*prepare)(race *r);  /* the victim, before its scope */
    int (*call)(race *r);      /* the victim */
    void (*complete)(race *r); /* the completer */
    void (*settle)(race *r);   /* the victim, when all is over: counts what is where */
} contest;

struct race {
    const contest *contest;
    int rounds;
    coir_scope scope;
    coir_chan *starts[2];           /* tell the others that the scope is open */
    _Atomic int open;               /* the round whose scope is open */
    _Atomic int returned;           /* the round whose call has returned */
    _Atomic int cancelled, through; /* the rounds that canceller and completer are through with */
    int rc;
    dice victim, completer, canceller;
    /* what is waited for */
    coir_chan *c, *other;
    coir_event e;
    coir_mutex m;
    coir_once once;
    coir_group *g;
    coir_task target;
    _Atomic int ready, runs, moved;
    int got, result, choice;
    int elems[4];
};

/* -- the three ---------------------------------------------------------------------------------------------- */

static inline void dawdle(dice *d)
{
    for (uint32_t i = dice_below(d, 4); i > 0; i--)
        coir_yield();
    dice_spin(d, dice_below(d, 3));
}

static inline int cancel_rounds(void *arg)
{
    race *r = arg;
    for (int round = 1; round <= r->rounds; round++) {
        CHECK_EQ(coir_chan_recv(r->starts[0], NULL), 0);
        dawdle(&r->canceller);
        coir_scope_cancel(&r->scope, "sweep");
        atomic_store(&r->cancelled, round);
    }
    return 0;
}

static inline int complete_rounds(void *arg)
{
    race *r = arg;
    for (int round = 1; round <= r->rounds; round++) {
        CHECK_EQ(coir_chan_recv(r->starts[1], NULL), 0);
        dawdle(&r->completer);
        r->contest->complete(r);
        atomic_store(&r->through, round);
    }
    return 0;
}

/* A call in a scope of its own, after a cancelled one: nothing of that is left. */
static inline void check_fresh_scope(void)
{
    coir_scope s;
    coir_event set = COIR_EVENT_INIT;
    coir_event_set(&set);
    CHECK_EQ(coir_check(), 0);
    coir_scope_begin(&s, COIR_FOREVER);
    CHECK_EQ(coir_check(), 0);
    CHECK_EQ(coir_event_wait(&set), 0);
    CHECK_EQ(coir_sleep(0), 0);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
}

static inline void run_round(race *r, int round)
{
    if (r->contest->prepare)
        r->contest->prepare(r);
    coir_scope_begin(&r->scope, COIR_FOREVER);
    atomic_store(&r->open, round);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_chan_try_send(r->starts[i], NULL), 0);
    dawdle(&r->victim);
    r->rc = r->contest->call(r);
    atomic_store(&r->returned, round);
    CHECK(r->rc == 0 || r->rc == -ECANCELED);
    await_value(&r->cancelled, round);
    await_value(&r->through, round);
    CHECK_EQ(coir_check(), -ECANCELED); /* the next call reports it, whatever became of this one */
    CHECK_EQ(coir_scope_end(&r->scope, r->rc), r->rc);
    check_fresh_scope();
    if (r->contest->settle)
        r->contest->settle(r);
}

static inline void run_race(const contest *k, size_t capacity, bool from_thread)
{
    race *r = calloc(1, sizeof *r);
    coir_group g, targets;
    test_thread thread;
    r->contest = k;
    r->rounds = rounds_of(from_thread ? 60 : 3000);
    r->canceller.state = 17;
    r->completer.state = 4;
    CHECK((r->c = coir_chan_new(sizeof(int), capacity)) != NULL);
    for (int i = 0; i < 2; i++)
        CHECK((r->starts[i] = coir_chan_new(0, 1)) != NULL);
    CHECK((r->other = coir_chan_new(sizeof(int), 0)) != NULL);
    coir_group_begin(&g, 0);
    coir_group_begin(&targets, 0);
    r->g = &targets;
    CHECK_EQ(coir_spawn(&g, complete_rounds, r), 0);
    if (from_thread)
        thread_start(&thread, cancel_rounds, r);
    else
        CHECK_EQ(coir_spawn(&g, cancel_rounds, r), 0);
    for (int round = 1; round <= r->rounds; round++)
        run_round(r, round);
    CHECK_EQ(coir_group_end(&targets), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    if (from_thread)
        CHECK_EQ(thread_finish(&thread), 0);
    CHECK_EQ(coir_chan_len(r->c), 0);
    coir_chan_free(r->c);
    coir_chan_free(r->other);
    for (int i = 0; i < 2; i++)
        coir_chan_free(r->starts[i]);
    free(r);
}

/* On the given contest: cancelled by a task, and by a thread. */
static inline void sweep(const contest *k, size_t capacity)
{
    run_race(k, capacity, false);
    run_race(k, capacity, true);
}

static inline bool call_has_returned(race *r)
{
    return atomic_load(&r->returned) == atomic_load(&r->open);
}

#endif
