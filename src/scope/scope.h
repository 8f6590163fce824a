/* SPDX-License-Identifier: MIT */
#ifndef COIR_SCOPE_SCOPE_H
#define COIR_SCOPE_SCOPE_H

/*
 * scope.h - what lies in a coir_scope and a coir_group.
 *
 *   task B: [inner scope] -> [root of B] -> group G --.
 *   task A:                                [group G] -> [scope S, deadline] -> [root of A] -> group of A -> ... root group
 *
 * Every scope points outwards. Inwards one comes by the chain of the owner (from its innermost scope out to the one in
 * question) and, for groups, by the list of tasks. A cancellation marks all that is inside, stopping at shields; so asking
 * "am I cancelled" is one load.
 *
 * I1  The chain of a task and the marks on it change under its scope lock. A task in a group's list, and a mark passed to it,
 *     under the group's lock as well; locks are taken from the outside inwards.
 * I2  A scope's mark says: it, or one around it up to the nearest shield, is cancelled. The attention bit of a task is
 *     the mark of its innermost scope.
 * I3  A scope's timer is armed at most once, by the first wait inside, and is out of its wheel and not firing when the
 *     scope has ended.
 */

#include "base/lock.h"
#include "sched/upcall.h"
#include "sched/worker.h"

enum coir__arm_state { COIR__UNARMED, COIR__ARMING, COIR__ARMED };

/* In a coir_scope. */
typedef struct coir__user_scope {
    coir__scope head;
    coir__task *owner;
    int64_t deadline;          /* its own; COIR_FOREVER: none */
    coir_cancel_reason reason; /* of its own cancellation, valid once head.reason points here */
    coir__timer timer;
    coir__wheel *wheel; /* where the timer is armed */
    const char *file;   /* of the begin */
    int32_t line;
    _Atomic uint8_t arm; /* coir__arm_state */
} coir__user_scope;

/* In a coir_group. */
typedef struct coir__group {
    coir__user_scope scope;
    coir__lock lock;       /* guards all below */
    uint32_t flags;        /* COIR_GROUP_...; fixed */
    uint32_t count;        /* tasks spawned and not ended */
    int32_t failure;       /* the first, or 0 */
    bool cancelled_result; /* a cancelled task returned -ECANCELED */
    bool root;             /* of a runtime; fixed */
    uint16_t rt;           /* index of its runtime; fixed */
    int16_t worker;        /* of its opener, for COIR_GROUP_PINNED */
    uint32_t limit;        /* of tasks started and not ended; 0: none */
    uint32_t queued;       /* tasks not started, because of the limit */
    coir__link queue;      /* those, in order; by their wait nodes */
    coir__link tasks;      /* not ended */
    coir__link kept;       /* ended, result not yet taken */
    coir__link waiters;    /* for `count` to be 0 */
    coir__value *values;   /* the opener's when it opened the group; fixed */
} coir__group;

_Static_assert(sizeof(coir__user_scope) <= sizeof(coir_scope), "the public struct has room");
_Static_assert(sizeof(coir__group) <= sizeof(coir_group), "the public struct has room");

COIR__INLINE coir__group *coir__group_of_scope(coir__scope *s)
{
    return coir__container(s, coir__group, scope.head);
}

COIR__INLINE coir__group *coir__group_of(coir_group *g) { return (coir__group *)(void *)g; }

COIR__INLINE coir__group *coir__root_of(coir__runtime *rt) { return coir__group_of(&rt->root); }

COIR__INLINE coir__group *coir__group_of_task(const coir__task *t)
{
    return coir__group_of_scope(t->root.parent);
}

/* Opens `s` as the innermost of the caller. */
void coir__scope_open(coir__worker *w, coir__user_scope *s, uint8_t kind, int64_t timeout,
                      const char *file, int line);

/* Closes it; misuse if it is not the innermost. */
void coir__scope_close(coir__worker *w, coir__user_scope *s, const char *what);

/* Cancels `s`, a scope in the chain of `owner` (a task's root included, if its id is still `id`; 0: any), unless it is
 * already. False if it is not there any more. */
bool coir__scope_cancel(coir__worker *w, coir__task *owner, coir__scope *s, uint64_t id,
                        coir_cancel_reason reason);

/* Frees what a task's own cancellation left. */
void coir__cancel_reason_free(const coir_cancel_reason *reason);

/* Cancels every scope around the caller whose deadline has passed by now. */
void coir__scope_overdue(coir__worker *w, coir__task *self);

/* join.c: guards who waits for whom. Taken before scope locks; never while one is held. */
extern coir__lock coir__join_lock;

/* What the caller has in stock of stacks for tasks of `rt`; NULL if it is not of that runtime. */
COIR__INLINE coir__stack_cache *coir__stack_cache_for(coir__worker *w, coir__runtime *rt,
                                                      unsigned class_)
{
    return w->rt == rt->index ? &w->caches[class_ - COIR__STACK_CLASS_MIN] : NULL;
}

/* Cancels a group's scope: its tasks and its opener. */
COIR__INLINE void coir__group_cancel(coir__worker *w, coir__group *g, coir_cancel_reason reason)
{
    coir__scope_cancel(w, g->scope.owner, &g->scope.head, 0, reason);
}

/* done.c: frees a task that has ended and that nobody can reach any more. */
void coir__task_bury(coir__worker *w, coir__task *t);

/* Takes a kept task out of its group and frees it. JOINING is set, which keeps the group from ending. */
void coir__group_forget(coir__worker *w, coir__task *t);

/* The same for one whose result nobody has read. */
void coir__group_give_up(coir__worker *w, coir__task *t);

/* The result of a group so far, which it forgets. The lock is held. */
int coir__group_take_result(coir__group *g);

/* Makes a task that has never run runnable. From then on it may end at any moment. */
COIR__INLINE void coir__task_launch(coir__worker *w, coir__runtime *rt, coir__task *t)
{
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
    if (coir__unlikely(w->rt != rt->index))
        coir__runnable_slow(w, t);
    else if (coir__unlikely(((flags & COIR__TASK_PINNED) && !w->solo) || w->chaos))
        coir__runnable_slow(w, t);
    else
        coir__ring_push(w, t);
}

/* -- limit.c; the group's lock is held, but for the starts ------------------------------------------------------ */

/* As many tasks as the limit allows, or more, have been started. */
COIR__INLINE bool coir__limit_is_reached(const coir__group *g)
{
    return coir__unlikely(g->limit != 0) && g->count - g->queued >= g->limit;
}

/* A new task, in the group's list but not counted yet, waits for its turn. */
void coir__limit_queue(coir__worker *w, coir__group *g, coir__task *t);

/* Takes the next one that may start now out of the queue; NULL if there is none. The caller starts it without the lock. */
coir__task *coir__limit_next(coir__group *g);
void coir__limit_start(coir__worker *w, coir__task *t);
void coir__limit_start_all(coir__worker *w, coir__link *list);

/* -- values.c --------------------------------------------------------------------------------------------------- */

/* What a task has inherited: as the opener of its group had it. */
COIR__INLINE coir__value *coir__values_inherited(const coir__task *t)
{
    return t->root.parent ? coir__group_of_scope(t->root.parent)->values : NULL;
}

/* What it sees: its own values, and behind them the inherited. */
COIR__INLINE coir__value *coir__values_of(const coir__task *t)
{
    return t->values ? t->values : coir__values_inherited(t);
}

/* A group of the caller's, which had `shared`, has ended: what nobody can see any more goes. */
void coir__values_settle(coir__task *self, const coir__value *shared);

#endif
