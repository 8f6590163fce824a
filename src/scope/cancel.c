/* SPDX-License-Identifier: MIT */
/*
 * cancel.c - how a cancellation reaches everything inside a scope.
 *
 * The sweep goes through the chain of the owner, from the innermost scope that no shield protects out to the cancelled
 * one; at each group it goes down into the tasks, whose chains it treats the same way. It is a loop, not a recursion, because
 * groups nest as deep as programs do. The locks on the way down are held: scope lock of the owner, lock of the group, scope
 * lock of the task, ...
 *
 * Marking and waking: a task about to wait stores its park word and then loads its attention word; the sweep stores
 * attention words of a batch, executes one heavy fence, and then loads park words. So either the task sees the mark or the
 * sweep sees the wait, and claims it. What was claimed can't run, so the rest (taking it out of the object's list, running
 * it) is done after all locks of the sweep are released. So are the tasks started that wait for their turn in a group with a
 * limit (limit.c): nobody claims those, the sweep takes them out of the group's queue.
 */
#include "base/alloc.h"
#include "base/fence.h"
#include "scope/scope.h"
#include "sync/wait.h"

#define BATCH 64

struct sweep {
    coir__worker *w;
    bool fence;          /* tasks may be parking on other threads */
    coir__task *waiting; /* claimed out of WAITING; chained by ctx.result */
    coir__task *selected;
    coir__link unstarted; /* taken out of their groups' queues; by their wait nodes */
    unsigned count;
    coir__task *batch[BATCH]; /* marked */
};

static void chain_push(coir__task **chain, coir__task *t)
{
    t->ctx.result = (int64_t)(intptr_t)*chain;
    *chain = t;
}

static coir__task *chain_pop(coir__task **chain)
{
    coir__task *t = *chain;
    if (t)
        *chain = (coir__task *)(intptr_t)t->ctx.result;
    return t;
}

/* A canceller's claim: HELD is not for it. Returns the state before, ACTIVE if there was nothing to claim. */
static uint32_t claim_cancellable(coir__task *t)
{
    uint32_t state = atomic_load_explicit(
        &t->park, memory_order_acquire); /* of IO: its wait_lock is to be seen */
    for (;;) {
        uint32_t to = state == COIR__PARK_SELECTING ? COIR__PARK_CLAIMED : COIR__PARK_ACTIVE;
        if (state != COIR__PARK_WAITING && state != COIR__PARK_SELECTED &&
            state != COIR__PARK_SELECTING)
            return state == COIR__PARK_IO ? COIR__PARK_IO : COIR__PARK_ACTIVE;
        if (atomic_compare_exchange_weak_explicit(&t->park, &state, to, memory_order_acq_rel,
                                                  memory_order_relaxed))
            return state;
    }
}

static void sweep_claim(struct sweep *sw, coir__task *t)
{
    switch (claim_cancellable(t)) {
    case COIR__PARK_WAITING:
        chain_push(&sw->waiting, t);
        break;
    case COIR__PARK_SELECTED:
        chain_push(&sw->selected, t);
        break;
    case COIR__PARK_SELECTING: /* it has not left yet, and will find this */
        t->ctx.result = -ECANCELED;
        atomic_store_explicit(&t->park, COIR__PARK_ACTIVE, memory_order_release);
        break;
    case COIR__PARK_IO:
        /* If it is in another wait by now, this is no operation's id, or that of one inside the scope too. */
        coir__op_cancel_post(coir__runtime_of(t),
                             (uintptr_t)atomic_load_explicit(&t->wait_lock, memory_order_relaxed));
        break;
    default: /* it runs, and will see the mark */
        break;
    }
}

static void sweep_flush(struct sweep *sw)
{
    if (sw->fence)
        coir__fence_heavy(); /* pairs with coir__park() and its kin */
    for (unsigned i = 0; i < sw->count; i++)
        sweep_claim(sw, sw->batch[i]);
    sw->count = 0;
}

static void sweep_mark(struct sweep *sw, coir__task *t)
{
    atomic_fetch_or_explicit(&t->attention, COIR__ATTENTION_CANCELLED, memory_order_relaxed);
    if (sw->count == BATCH)
        sweep_flush(sw);
    sw->batch[sw->count++] = t;
}

/* The innermost scope of the chain, from t->scope out to `outermost`, that no shield inside `outermost` protects. */
static coir__scope *first_affected(coir__task *t, coir__scope *outermost)
{
    coir__scope *first = t->scope;
    for (coir__scope *s = t->scope; s != outermost; s = s->parent)
        if (s->kind == COIR__SCOPE_SHIELD)
            first = s->parent;
    return first;
}

/* A cancelled group has no limit any more. The group's lock is held. */
static void group_queue_take(struct sweep *sw, coir__group *g)
{
    coir__task *t;
    while (coir__unlikely(g->queued != 0) && (t = coir__limit_next(g)) != NULL)
        coir__list_append(&sw->unstarted, &t->wait.node.link);
}

/* Marks one scope. If it is a group with tasks, its lock and the first task's are taken, and that task is returned. */
static coir__task *visit_scope(struct sweep *sw, coir__task *t, coir__scope *s)
{
    if (atomic_fetch_or_explicit(&s->state, COIR__SCOPE_CANCELLED, memory_order_relaxed) &
        COIR__SCOPE_CANCELLED)
        return NULL; /* everything inside is marked already */
    if (s == t->scope)
        sweep_mark(sw, t);
    if (s->kind != COIR__SCOPE_GROUP)
        return NULL;
    coir__group *g = coir__group_of_scope(s);
    coir__lock_take(&g->lock);
    coir__link *link = coir__list_first(&g->tasks);
    if (!link) {
        coir__lock_drop(&g->lock);
        return NULL;
    }
    group_queue_take(sw, g);
    coir__task *child = coir__container(link, coir__task, group_link);
    coir__lock_take(&child->scope_lock);
    return child;
}

/* Where the sweep is: scope `s` in the chain of `t`, whose scope lock is held. */
struct place {
    coir__task *t;
    coir__scope *s;
};

/* The chain of a group's task is done: true and on to its next sibling, or false and back at the group. */
static bool leave_task(struct sweep *sw, struct place *at)
{
    coir__group *g = coir__group_of_scope(at->t->root.parent);
    coir__link *link = coir__list_next(&g->tasks, &at->t->group_link);
    coir__lock_drop(&at->t->scope_lock);
    if (!link) {
        sweep_flush(sw); /* without the group's lock its tasks may end */
        coir__lock_drop(&g->lock);
        *at = (struct place){.t = g->scope.owner, .s = &g->scope.head};
        return false;
    }
    coir__task *sibling = coir__container(link, coir__task, group_link);
    coir__lock_take(&sibling->scope_lock);
    *at = (struct place){.t = sibling, .s = first_affected(sibling, &sibling->root)};
    return true;
}

/* From a scope that has been treated to the next one; false at the end. */
static bool advance(struct sweep *sw, struct place *at, coir__task *owner, coir__scope *outermost)
{
    for (;;) {
        if (at->s != (at->t == owner ? outermost : &at->t->root)) {
            at->s = at->s->parent;
            return true;
        }
        if (at->t == owner)
            return false;
        if (leave_task(sw, at))
            return true;
    }
}

/* The scope lock of `owner` is held. */
static void sweep_from(struct sweep *sw, coir__task *owner, coir__scope *outermost)
{
    struct place at = {.t = owner, .s = first_affected(owner, outermost)};
    do {
        coir__task *child;
        while ((child = visit_scope(sw, at.t, at.s)) != NULL)
            at = (struct place){.t = child, .s = first_affected(child, &child->root)};
    } while (advance(sw, &at, owner, outermost));
    sweep_flush(sw);
}

/* No lock is held: lets the claimed go. */
static void sweep_end(struct sweep *sw)
{
    coir__task *t;
    while ((t = chain_pop(&sw->waiting)) != NULL) {
        coir__wait_abandon(t);
        t->ctx.result = -ECANCELED;
        coir__runnable(sw->w, t);
    }
    while ((t = chain_pop(&sw->selected)) != NULL) {
        t->ctx.result = -ECANCELED;
        coir__runnable(sw->w, t);
    }
    coir__limit_start_all(sw->w, &sw->unstarted);
}

/* A task's own scope has no room for a reason. When there is no memory either, a poorer one will do. */
static const coir_cancel_reason *root_reason(coir_cancel_reason reason)
{
    static const coir_cancel_reason unknown = {.code = -ECANCELED, .why = "cancelled"};
    coir_cancel_reason *kept = coir__alloc(sizeof *kept);
    if (!kept)
        return &unknown;
    *kept = reason;
    return kept;
}

void coir__cancel_reason_free(const coir_cancel_reason *reason)
{
    if (reason && reason->file)
        coir__release((void *)(uintptr_t)reason);
}

static bool chain_holds(coir__task *owner, const coir__scope *s)
{
    for (coir__scope *x = owner->scope; x; x = x->parent) {
        if (x == s)
            return true;
        if (x == &owner->root)
            break;
    }
    return false;
}

bool coir__scope_cancel(coir__worker *w, coir__task *owner, coir__scope *s, uint64_t id,
                        coir_cancel_reason reason)
{
    struct sweep sw;
    sw.w = w;
    sw.fence = !(w->rt && w->solo && w->rt == owner->rt);
    sw.waiting = sw.selected = NULL;
    coir__list_init(&sw.unstarted);
    sw.count = 0;
    coir__lock_take(&owner->scope_lock);
    bool open = id ? atomic_load_explicit(&owner->id, memory_order_relaxed) == id
                   : chain_holds(owner, s);
    if (open && id &&
        (atomic_load_explicit(&owner->flags, memory_order_relaxed) & COIR__TASK_ENDING))
        open = false; /* its function has returned */
    if (open && !atomic_load_explicit(&s->reason, memory_order_relaxed)) {
        const coir_cancel_reason *kept;
        if (s->kind == COIR__SCOPE_ROOT) {
            kept = root_reason(reason);
        } else {
            coir__user_scope *u = coir__container(s, coir__user_scope, head);
            u->reason = reason;
            kept = &u->reason;
        }
        atomic_store_explicit(&s->reason, kept, memory_order_release);
        sweep_from(&sw, owner, s);
    }
    coir__lock_drop(&owner->scope_lock);
    sweep_end(&sw);
    return open;
}
