/* SPDX-License-Identifier: MIT */
/*
 * done.c - how tasks end. A task is in its group's list from spawn to end. What happens then, in this order:
 *
 *   1. its result is decided upon: a joiner gets it; or it is kept, because somebody has a handle; or nobody wants it;
 *   2. the first failure cancels the siblings (the task still counts, so the group can't end meanwhile);
 *   3. it leaves the list, and if it was the last, the waiters are woken. After the group's lock is free the group is
 *      not touched any more: its opener may be gone.
 */
#include "base/alloc.h"
#include "scope/scope.h"
#include "sync/wait.h"

/* What becomes of the result of a task that has ended. */
struct fate {
    coir__node *joiner; /* claimed; gets it */
    uint32_t was;
    bool kept;
    char *name;
};

/* Nobody else changes them now: the scope lock is held, or the runtime is private. */
static void flags_add(coir__task *t, unsigned flags)
{
    flags |= atomic_load_explicit(&t->flags, memory_order_relaxed);
    atomic_store_explicit(&t->flags, (uint16_t)flags, memory_order_relaxed);
}

/* The scope lock is held, and join.c's if there is a joiner; or the runtime is private. */
static void decide_locked(coir__task *t, int rc, struct fate *f)
{
    coir__node *n = atomic_load_explicit(&t->joiner, memory_order_relaxed);
    if (n) {
        atomic_store_explicit(&t->joiner, NULL, memory_order_relaxed);
        f->was = coir__claim(n->task);
        f->joiner = f->was != COIR__PARK_ACTIVE ? n : NULL;
    }
    f->kept = !f->joiner &&
              (atomic_load_explicit(&t->flags, memory_order_relaxed) & COIR__TASK_HANDLE);
    t->ctx.result = rc;
    f->name = t->name;
    t->name = NULL;
    if (f->kept)
        flags_add(t, COIR__TASK_ENDING);
    else
        atomic_store_explicit(&t->id, 0, memory_order_release);
}

static struct fate decide(coir__worker *w, coir__task *t, int rc)
{
    struct fate f = {0};
    if (coir__likely(coir__private_enter(w))) { /* nobody joins, dumps or cancels meanwhile */
        decide_locked(t, rc, &f);
        coir__private_leave(w);
        return f;
    }
    bool line = atomic_load_explicit(&t->joiner, memory_order_relaxed) != NULL;
    for (;; line = true) {
        if (line)
            coir__lock_take(&coir__join_lock);
        coir__lock_take(&t->scope_lock);
        bool decided = line || !atomic_load_explicit(&t->joiner, memory_order_relaxed);
        if (decided)
            decide_locked(t, rc, &f);
        coir__lock_drop(&t->scope_lock);
        if (line)
            coir__lock_drop(&coir__join_lock);
        if (decided)
            return f;
    }
}

static void joiner_wake(coir__worker *w, const struct fate *f, int rc)
{
    if (!f->joiner)
        return;
    if (f->joiner == &f->joiner->task->wait.node) {
        if (f->joiner->data)
            *(int *)f->joiner->data = rc;
        coir__wake(w, f->joiner, f->was, 0);
    } else {
        coir__wake(w, f->joiner, f->was, rc); /* a select's case has the task's result */
    }
}

/* Notes a result below 0. True if the siblings must be cancelled. */
static bool group_note(coir__group *g, const coir__task *t, int rc)
{
    bool cancelled = atomic_load_explicit(&t->root.state, memory_order_relaxed) &
                     COIR__SCOPE_CANCELLED;
    bool first = false;
    coir__lock_take(&g->lock);
    if (rc == -ECANCELED && cancelled) {
        g->cancelled_result = true;
    } else if (g->failure == 0) {
        g->failure = rc;
        first = true;
    }
    coir__lock_drop(&g->lock);
    return first && !(g->flags & COIR_GROUP_ISOLATE);
}

static bool is_failure(const coir__task *t, int rc)
{
    return rc < 0 &&
           !(rc == -ECANCELED &&
             (atomic_load_explicit(&t->root.state, memory_order_relaxed) & COIR__SCOPE_CANCELLED));
}

/* A task of the root group has failed, and nobody will read its result. */
static void report_unhandled(coir__runtime *rt, const coir__task *t, coir_task handle, int rc)
{
    if (rt->options.on_unhandled)
        rt->options.on_unhandled(rt->options.hook_arg, handle, rc);
    else
        coir__runtime_log(rt, "detached task %llu (spawned at %s:%d) failed: %s",
                          (unsigned long long)handle.id, t->file ? t->file : "?", t->line,
                          coir_strerror(rc));
}

static void root_note(coir__worker *w, coir__group *g, coir__task *t, coir_task handle, int rc,
                      bool wanted)
{
    coir__runtime *rt = w->runtime;
    if (atomic_load_explicit(&t->flags, memory_order_relaxed) & COIR__TASK_FIRST) {
        atomic_store(&rt->first_result, rc);
        coir__group_cancel(
            w, g, (coir_cancel_reason){.code = -ECANCELED, .why = "run ended", .file = "coir_run"});
    } else if (!wanted && is_failure(t, rc)) {
        report_unhandled(rt, t, handle, rc);
    }
}

static void runtime_finish(coir__runtime *rt)
{
    if (atomic_load(&rt->embedded)) /* it goes on without tasks */
        return;
    atomic_store_explicit(&rt->stopping, true, memory_order_seq_cst);
    for (unsigned i = 0; i < rt->worker_count; i++)
        coir__worker_rouse(rt->workers[i]);
}

/* A task has left, and others may be concerned. Ends what `private` says; the group may be gone afterwards. */
static COIR__NOINLINE void group_left(coir__worker *w, coir__group *g, bool private)
{
    coir__runtime *rt = w->runtime;
    bool root = g->root, last = g->count == 0;
    coir__node *waiter = NULL;
    uint32_t was = 0;
    if (last)
        waiter = coir__claim_first_way(&g->waiters, NULL, &was, private);
    coir__task *next = g->queued != 0 ? coir__limit_next(g) : NULL;
    coir__short_leave(w, &g->lock, private);
    if (next)
        coir__limit_start(w, next);
    if (waiter)
        coir__wake(w, waiter, was, 0);
    if (root) {
        atomic_fetch_sub_explicit(&rt->live, 1, memory_order_relaxed);
        if (last)
            runtime_finish(rt);
    }
}

/* One less. Ends what `private` says; the group may be gone afterwards. */
COIR__INLINE void group_uncount(coir__worker *w, coir__group *g, bool private)
{
    if (coir__unlikely(--g->count == 0 || g->queued != 0 || g->root))
        group_left(w, g, private);
    else
        coir__short_leave(w, &g->lock, private);
}

/* Takes the task out of the list, into that of those that are kept. */
static void group_leave(coir__worker *w, coir__group *g, coir__task *t, bool kept)
{
    bool private = coir__short_enter(w, &g->lock);
    coir__list_remove(&t->group_link);
    if (kept) {
        coir__list_append(&g->kept, &t->group_link);
        if (!private)
            coir__lock_take(&t->scope_lock);
        flags_add(t, COIR__TASK_DONE);
        if (!private)
            coir__lock_drop(
                &t->scope_lock); /* from here on it may be buried by a joiner, once the group's lock is free */
    }
    group_uncount(w, g, private);
}

void coir__task_bury(coir__worker *w, coir__task *t)
{
    const coir_cancel_reason *r = atomic_load_explicit(&t->root.reason, memory_order_relaxed);
    if (coir__unlikely(r != NULL))
        coir__cancel_reason_free(r);
    coir__task_free(w, t);
}

static void count_end(coir__worker *w) /* before anybody can know */
{
    atomic_store_explicit(&w->metric_ended,
                          atomic_load_explicit(&w->metric_ended, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void task_gone(coir__worker *w, unsigned class_)
{
    coir__stack_unreserve(w->runtime->stacks, coir__stack_cache_for(w, w->runtime, class_), class_);
}

static COIR__NOINLINE coir__stack *done_any(coir__worker *w, coir__task *t, int rc)
{
    coir__group *g = coir__group_of_task(t);
    coir__stack *stack = t->stack;
    coir_task handle = coir__task_handle(t);
    unsigned class_ = t->stack_class;
    if (atomic_load_explicit(&t->flags, memory_order_relaxed) & COIR__TASK_ARG_COPY)
        coir__release(t->arg);
    struct fate f = decide(w, t, rc);
    if (coir__unlikely(f.name != NULL))
        coir__release(f.name);
    bool kept = f.kept;
    if (coir__unlikely(g->root))
        root_note(w, g, t, handle, rc, kept || f.joiner);
    else if (coir__unlikely(rc < 0) && group_note(g, t, rc))
        coir__group_cancel(w, g,
                           (coir_cancel_reason){.code = -ECANCELED,
                                                .why = "a task of the group failed",
                                                .file = t->file,
                                                .line = t->line,
                                                .task_id = handle.id});
    count_end(w);
    joiner_wake(w, &f, rc);
    group_leave(w, g, t, kept);
    if (!kept)
        coir__task_bury(w, t);
    task_gone(w, class_);
    return stack;
}

/* Without a name, a handle, a copy of its argument, a failure; in a group of the program's. */
static bool is_plain(const coir__task *t, const coir__group *g, int rc)
{
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
    return rc >= 0 && !(flags & (COIR__TASK_HANDLE | COIR__TASK_ARG_COPY)) && !t->name && !g->root;
}

/* A plain task leaves for good: nobody can join or see it any more. Ends what `private` says, which is of the group. */
COIR__INLINE void plain_leave(coir__worker *w, coir__group *g, coir__task *t, bool private)
{
    coir__list_remove(&t->group_link);
    group_uncount(w, g, private);
}

/* False: somebody has joined it, by what coir_self() has told. */
static COIR__NOINLINE bool plain_leave_shared(coir__worker *w, coir__group *g, coir__task *t)
{
    coir__lock_take(&t->scope_lock);
    bool joined = atomic_load_explicit(&t->joiner, memory_order_relaxed) != NULL;
    if (!joined)
        atomic_store_explicit(&t->id, 0, memory_order_release);
    coir__lock_drop(&t->scope_lock);
    if (joined)
        return false;
    count_end(w);
    coir__lock_take(&g->lock);
    plain_leave(w, g, t, false);
    return true;
}

/* The same in one private operation. */
COIR__INLINE bool plain_leave_private(coir__worker *w, coir__group *g, coir__task *t)
{
    if (coir__unlikely(atomic_load_explicit(&t->joiner, memory_order_relaxed) != NULL)) {
        coir__private_leave(w);
        return false;
    }
    atomic_store_explicit(&t->id, 0, memory_order_release);
    count_end(w);
    plain_leave(w, g, t, true);
    return true;
}

/* HOT. Small frames: each line that they touch of a stack that was cold is a miss (sched/task.c). */
coir__stack *coir__group_task_done(coir__worker *w, coir__task *t, int rc)
{
    coir__group *g = coir__group_of_task(t);
    if (coir__unlikely(!is_plain(t, g, rc)))
        return done_any(w, t, rc);
    bool left = coir__likely(coir__private_enter(w)) ? plain_leave_private(w, g, t)
                                                     : plain_leave_shared(w, g, t);
    if (coir__unlikely(!left))
        return done_any(w, t, rc);
    coir__stack *stack = t->stack;
    unsigned class_ = t->stack_class;
    coir__task_bury(w, t);
    task_gone(w, class_);
    return stack;
}

void coir__group_forget(coir__worker *w, coir__task *t)
{
    coir__group *g = coir__group_of_task(t);
    bool private = coir__short_enter(w, &g->lock);
    coir__list_remove(&t->group_link);
    coir__short_leave(w, &g->lock, private);
    atomic_store_explicit(&t->id, 0, memory_order_release);
    coir__task_bury(w, t);
}

void coir__group_give_up(coir__worker *w, coir__task *t)
{
    int rc = (int)t->ctx.result;
    if (coir__group_of_task(t)->root && is_failure(t, rc))
        report_unhandled(coir__runtime_of(t), t, coir__task_handle(t), rc);
    coir__group_forget(w, t);
}
