/* SPDX-License-Identifier: MIT */
/*
 * group.c - groups: how tasks are born, end, and are waited for.
 *
 * A task is in its group's list from spawn to end. What happens at its end, in this order:
 *
 *   1. its result is decided upon: a joiner gets it; or it is kept, because somebody has a handle; or nobody wants it;
 *   2. the first failure cancels the siblings (the task still counts, so the group can't end meanwhile);
 *   3. it leaves the list, and if it was the last, the waiters are woken. After the group's lock is free the group is
 *      not touched any more: its opener may be gone.
 *
 * The root group of a runtime is a group like any other, opened by the base of worker 0.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/time.h"
#include "scope/scope.h"
#include "sync/select.h"

#define COPY_MAX 1024

static coir__group *group_of(coir_group *g) { return (coir__group *)(void *)g; }

static coir__group *root_of(coir__runtime *rt) { return group_of(&rt->root); }

static coir__group *group_of_task(const coir__task *t)
{
    return coir__group_of_scope(t->root.parent);
}

/* -- birth ------------------------------------------------------------------------------------------------------ */

/* What a spawn asks for. */
struct order {
    const char *file;
    int line;
    const coir_task_options *options; /* NULL: none */
    coir_fn *fn;
    void *arg;
    unsigned flags; /* coir__task_flags */
};

static coir__stack_cache *cache_for(coir__worker *w, coir__runtime *rt, unsigned class_)
{
    return w->rt == rt->index ? &w->caches[class_ - COIR__STACK_CLASS_MIN] : NULL;
}

static int task_set_options(coir__task *t, const struct order *o)
{
    const coir_task_options *options = o->options;
    if (!options || !options->name)
        return 0;
    t->name = coir__alloc_text(options->name);
    return t->name ? 0 : -ENOMEM;
}

static unsigned flags_of(const struct order *o, const coir__group *g, const coir__runtime *rt)
{
    unsigned flags = o->flags;
    unsigned wanted = o->options ? o->options->flags : 0;
    if (wanted & COIR_PINNED || g->flags & COIR_GROUP_PINNED)
        flags |= COIR__TASK_PINNED | COIR__TASK_BOUND;
    if (wanted & COIR_FP_ENV)
        flags |= COIR__TASK_FP_ENV;
    if (rt->options.pinned && !(flags & COIR__TASK_PINNED))
        flags |= COIR__TASK_PIN_AT_START;
    if (coir__unlikely(rt->census))
        flags |= COIR__TASK_CENSUS;
    return flags;
}

static void count_spawn(coir__worker *w, coir__runtime *rt, const coir__group *g)
{
    if (g->root)
        atomic_fetch_add_explicit(&rt->live, 1, memory_order_relaxed);
    if (w->rt == rt->index)
        atomic_store_explicit(&w->metric_spawned,
                              atomic_load_explicit(&w->metric_spawned, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&rt->foreign_spawned, 1, memory_order_relaxed);
}

enum { QUEUED = 1 };

/* Puts a new task into the list, unless the group is cancelled. QUEUED: it waits for its turn, has been counted, and may run and
 * end, and the group with it, as soon as the lock is free. */
static int group_admit(coir__worker *w, coir__runtime *rt, coir__group *g, coir__task *t)
{
    int rc = 0;
    bool private = coir__short_enter(w, &g->lock);
    if (atomic_load_explicit(&g->scope.head.state, memory_order_relaxed) & COIR__SCOPE_CANCELLED) {
        coir__short_leave(w, &g->lock, private);
        return -ECANCELED;
    }
    coir__list_append(&g->tasks, &t->group_link);
    if (coir__limit_is_reached(g)) {
        coir__limit_queue(w, g, t);
        count_spawn(w, rt, g);
        rc = QUEUED;
    }
    g->count++;
    coir__short_leave(w, &g->lock, private);
    return rc;
}

/* A descriptor that nobody but a dump has seen. */
static void task_discard(coir__worker *w, coir__task *t)
{
    coir__lock_take(&t->scope_lock);
    char *name = t->name;
    t->name = NULL;
    atomic_store_explicit(&t->id, 0, memory_order_release);
    coir__lock_drop(&t->scope_lock);
    coir__release(name);
    coir__task_free(w, t);
}

/* The whole of a spawn. `w` is the caller's. */
static int task_spawn(coir__worker *w, coir__runtime *rt, coir__group *g, const struct order *o,
                      coir_task *ret)
{
    unsigned class_ = o->options && o->options->stack_reserve
                          ? coir__stack_class(o->options->stack_reserve)
                          : rt->stack_class;
    if (!o->fn || class_ == 0)
        return class_ == 0 && o->fn ? -ENOMEM : -EINVAL;
    coir__stack_cache *cache = cache_for(w, rt, class_);
    int rc = coir__stack_reserve(rt->stacks, cache, class_);
    if (rc < 0)
        return rc;
    coir__task *t = coir__task_alloc(w);
    rc = t ? task_set_options(t, o) : -ENOMEM;
    if (rc < 0)
        goto unreserve;
    t->fn = o->fn;
    t->arg = o->arg;
    t->file = o->file;
    t->line = o->line;
    t->rt = rt->index;
    t->stack_class = (uint8_t)class_;
    atomic_store_explicit(&t->flags, (uint16_t)flags_of(o, g, rt), memory_order_relaxed);
    t->root.worker = g->flags & COIR_GROUP_PINNED ? g->worker
                                                  : (int16_t)(w->rt == rt->index ? w->index : 0);
    t->root.parent = &g->scope.head;
    t->root.deadline = g->scope.head.deadline;
    unsigned attention = t->root.deadline != COIR_FOREVER ? COIR__ATTENTION_DEADLINE : 0;
    if (atomic_load_explicit(&t->flags, memory_order_relaxed) & COIR__TASK_FP_ENV)
        attention |= COIR__ATTENTION_KEEP;
    if (coir__unlikely(attention != 0))
        atomic_fetch_or_explicit(&t->attention, (uint8_t)attention, memory_order_relaxed);
    uint64_t id = coir__task_new_id(w);
    atomic_store_explicit(&t->id, id, memory_order_release);
    rc = group_admit(w, rt, g, t);
    if (rc < 0)
        goto unreserve;
    if (ret)
        *ret = (coir_task){t, id};
    if (coir__unlikely(rc == QUEUED))
        return 0;
    count_spawn(w, rt, g);
    coir__task_launch(w, rt, t);
    return 0;
unreserve:
    coir__stack_unreserve(rt->stacks, cache, class_);
    if (t)
        task_discard(w, t);
    return rc;
}

/* Where a spawn goes: the group, or the root group of the caller's runtime. */
static coir__group *group_or_root(coir__worker *w, coir_group *g)
{
    if (g)
        return group_of(g);
    if (coir__unlikely(w->rt == 0))
        coir__misuse("coir_spawn without a group: only from a task");
    return root_of(w->runtime);
}

static int spawn_into(coir_group *group, const struct order *o, coir_task *ret)
{
    coir__worker *w = coir__worker_here();
    coir__group *g = group_or_root(w, group);
    return task_spawn(w, atomic_load_explicit(&coir__runtimes[g->rt], memory_order_relaxed), g, o,
                      ret);
}

int coir_spawn_at(const char *file, int line, coir_group *g, coir_fn *fn, void *arg)
{
    struct order o = {.file = file, .line = line, .fn = fn, .arg = arg};
    return spawn_into(g, &o, NULL);
}

int coir_spawn_copy_at(const char *file, int line, coir_group *g, coir_fn *fn, const void *arg,
                       size_t size)
{
    if (size > COPY_MAX)
        return -E2BIG;
    if (!fn || (!arg && size > 0))
        return -EINVAL;
    void *copy = coir__alloc(size ? size : 1);
    if (!copy)
        return -ENOMEM;
    if (size > 0)
        memcpy(copy, arg, size);
    struct order o = {
        .file = file, .line = line, .fn = fn, .arg = copy, .flags = COIR__TASK_ARG_COPY};
    int rc = spawn_into(g, &o, NULL);
    if (rc < 0)
        coir__release(copy);
    return rc;
}

int coir_spawn_with_at(const char *file, int line, coir_group *g, const coir_task_options *options,
                       coir_fn *fn, void *arg, coir_task *ret_task)
{
    if (options && options->flags & ~(COIR_PINNED | COIR_FP_ENV))
        return -EINVAL;
    struct order o = {.file = file,
                      .line = line,
                      .options = options,
                      .fn = fn,
                      .arg = arg,
                      .flags = ret_task ? COIR__TASK_HANDLE : 0};
    return spawn_into(g, &o, ret_task);
}

int coir__spawn_first(coir__runtime *rt, const coir_task_options *options, coir_fn *fn, void *arg)
{
    struct order o = {
        .file = "coir_run", .options = options, .fn = fn, .arg = arg, .flags = COIR__TASK_FIRST};
    return task_spawn(rt->workers[0], rt, root_of(rt), &o, NULL);
}

/* -- end -------------------------------------------------------------------------------------------------------- */

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
    if (t->joiner) {
        coir__node *n = t->joiner;
        t->joiner = NULL;
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

static void group_cancel(coir__worker *w, coir__group *g, coir_cancel_reason reason)
{
    coir__scope_cancel(w, g->scope.owner, &g->scope.head, 0, reason);
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
        group_cancel(
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
    g->count--;
    group_left(w, g, private);
}

/* The same for what nobody keeps, in a group that is no root: HOT. */
COIR__INLINE void group_leave_short(coir__worker *w, coir__group *g, coir__task *t)
{
    bool private = coir__short_enter(w, &g->lock);
    coir__list_remove(&t->group_link);
    if (coir__unlikely(--g->count == 0) || coir__unlikely(g->queued != 0))
        group_left(w, g, private);
    else
        coir__short_leave(w, &g->lock, private);
}

/* A task that nobody can reach any more. */
static void task_bury(coir__worker *w, coir__task *t)
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
    coir__stack_unreserve(w->runtime->stacks, cache_for(w, w->runtime, class_), class_);
}

static COIR__NOINLINE coir__stack *done_any(coir__worker *w, coir__task *t, int rc)
{
    coir__group *g = group_of_task(t);
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
        group_cancel(w, g,
                     (coir_cancel_reason){.code = -ECANCELED,
                                          .why = "a task of the group failed",
                                          .file = t->file,
                                          .line = t->line,
                                          .task_id = handle.id});
    count_end(w);
    joiner_wake(w, &f, rc);
    group_leave(w, g, t, kept);
    if (!kept)
        task_bury(w, t);
    task_gone(w, class_);
    return stack;
}

/* Without a name, a handle, a copy of its argument, a failure; in a group of the program's. */
static bool is_plain(const coir__task *t, const coir__group *g, int rc)
{
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
    return rc >= 0 && !(flags & (COIR__TASK_HANDLE | COIR__TASK_ARG_COPY)) && !t->name && !g->root;
}

/* HOT. Small frames: each line that they touch of a stack that was cold is a miss (sched/task.c). */
coir__stack *coir__group_task_done(coir__worker *w, coir__task *t, int rc)
{
    coir__group *g = group_of_task(t);
    if (coir__unlikely(!is_plain(t, g, rc)))
        return done_any(w, t, rc);
    coir__stack *stack = t->stack;
    bool private = coir__short_enter(w, &t->scope_lock); /* for those who look at it now */
    atomic_store_explicit(&t->id, 0, memory_order_release);
    coir__short_leave(w, &t->scope_lock, private);
    count_end(w);
    group_leave_short(w, g, t);
    unsigned class_ = t->stack_class;
    task_bury(w, t);
    task_gone(w, class_);
    return stack;
}

void coir__group_forget(coir__worker *w, coir__task *t)
{
    coir__group *g = group_of_task(t);
    bool private = coir__short_enter(w, &g->lock);
    coir__list_remove(&t->group_link);
    coir__short_leave(w, &g->lock, private);
    atomic_store_explicit(&t->id, 0, memory_order_release);
    task_bury(w, t);
}

void coir__group_give_up(coir__worker *w, coir__task *t)
{
    int rc = (int)t->ctx.result;
    if (group_of_task(t)->root && is_failure(t, rc))
        report_unhandled(coir__runtime_of(t), t, coir__task_handle(t), rc);
    coir__group_forget(w, t);
}

/* -- waiting ---------------------------------------------------------------------------------------------------- */

int coir__group_take_result(coir__group *g)
{
    int rc = g->failure ? g->failure : g->cancelled_result ? -ECANCELED : 0;
    g->failure = 0;
    g->cancelled_result = false;
    return rc;
}

static int group_wait_empty(coir__group *g)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__must_attend(self))
        coir__scope_look(w, self);
    coir__lock_take(&g->lock);
    if (g->count > 0 && w->rt != 0)
        coir__ring_deepen(w, g->count);
    while (g->count > 0) {
        coir__wait_queue(self, &g->waiters, NULL);
        coir__park_shielded(w, self, &g->lock, COIR__WAIT_GROUP);
        w = coir__worker_or_null();
        coir__lock_take(&g->lock);
    }
    int rc = coir__group_take_result(g);
    coir__lock_drop(&g->lock);
    return rc;
}

/* Drops the results that nobody came for. Somebody who is just taking one is waited for. */
static void group_drop_kept(coir__worker *w, coir__group *g)
{
    for (unsigned round = 0;;) {
        coir__lock_take(&g->lock);
        coir__link *link = coir__list_first(&g->kept);
        coir__task *t = link ? coir__container(link, coir__task, group_link) : NULL;
        bool taken = false;
        if (t) {
            coir__lock_take(&t->scope_lock);
            taken = atomic_load_explicit(&t->flags, memory_order_relaxed) & COIR__TASK_JOINING;
            if (!taken) {
                atomic_store_explicit(&t->id, 0, memory_order_release);
                coir__list_remove(link);
            }
            coir__lock_drop(&t->scope_lock);
        }
        coir__lock_drop(&g->lock);
        if (!t)
            return;
        if (taken)
            coir__spin(round++);
        else
            task_bury(w, t);
    }
}

static coir__group *check_opener(coir_group *group, const char *what)
{
    coir__group *g = group_of(group);
    coir__task *self = coir__worker_here()->current;
    if (coir__unlikely(self->scope != &g->scope.head))
        coir__misuse("%s: not the innermost scope of the caller", what);
    return g;
}

static void group_init(coir__worker *w, coir__group *g, unsigned flags)
{
    g->lock = (coir__lock){0};
    g->flags = flags;
    g->count = 0;
    g->failure = 0;
    g->cancelled_result = false;
    g->root = false;
    g->rt = w->rt;
    g->worker = w->index;
    g->limit = 0;
    g->queued = 0;
    g->values = coir__values_of(w->current);
    coir__list_init(&g->queue);
    coir__list_init(&g->tasks);
    coir__list_init(&g->kept);
    coir__list_init(&g->waiters);
}

void coir_group_begin_at(const char *file, int line, coir_group *group, unsigned flags)
{
    coir__worker *w = coir__worker_here();
    coir__group *g = group_of(group);
    if (coir__unlikely(w->rt == 0))
        coir__misuse("coir_group_begin: only from a task");
    if (coir__unlikely(flags & ~(COIR_GROUP_ISOLATE | COIR_GROUP_PINNED)))
        coir__misuse("coir_group_begin: unknown flags 0x%x", flags);
    group_init(w, g, flags);
    coir__scope_open(w, &g->scope, COIR__SCOPE_GROUP, COIR_FOREVER, file, line);
}

int coir_group_wait(coir_group *group)
{
    return group_wait_empty(check_opener(group, "coir_group_wait"));
}

int coir_group_end(coir_group *group)
{
    coir__group *g = check_opener(group, "coir_group_end");
    int rc = group_wait_empty(g);
    coir__worker *w = coir__worker_or_null();
    group_drop_kept(w, g);
    coir__scope_close(w, &g->scope, "coir_group_end");
    if (coir__unlikely(w->current->values != NULL))
        coir__values_settle(w->current, g->values);
    return rc;
}

void coir_group_cancel_at(const char *file, int line, coir_group *group, const char *why)
{
    coir_cancel_reason reason = {.code = -ECANCELED,
                                 .why = why,
                                 .file = file,
                                 .line = line,
                                 .task_id = coir_task_id(coir_self())};
    group_cancel(coir__worker_here(), group_of(group), reason);
}

/* -- the root group --------------------------------------------------------------------------------------------- */

void coir__root_begin(coir__runtime *rt)
{
    coir__worker *w = rt->workers[0];
    coir__group *g = root_of(rt);
    group_init(w, g, COIR_GROUP_ISOLATE);
    g->root = true;
    coir__scope_open(w, &g->scope, COIR__SCOPE_GROUP, COIR_FOREVER, "coir_run", 0);
}

void coir__root_end(coir__runtime *rt) { group_drop_kept(rt->workers[0], root_of(rt)); }

/* -- select ----------------------------------------------------------------------------------------------------- */

/* Ready when the group has no tasks. */
static bool empty_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    (void)w;
    coir__group *g = k->object;
    coir__lock_take(&g->lock);
    bool empty = g->count == 0;
    coir__lock_drop(&g->lock);
    *ret_outcome = 0;
    return empty;
}

static bool empty_show(coir__worker *w, coir_case *k)
{
    (void)w;
    coir__group *g = k->object;
    coir__lock_take(&g->lock);
    coir__list_append(&g->waiters, &coir__case_slot(k)->u.wait.node.link);
    bool empty = g->count == 0;
    coir__lock_drop(&g->lock);
    return empty;
}

static bool empty_peek(coir__worker *w, coir_case *k)
{
    int outcome;
    return empty_attempt(w, k, &outcome);
}

static void empty_hide(coir__worker *w, coir_case *k)
{
    coir__case_unlink(w, k, &((coir__group *)k->object)->lock);
}

const coir__case_ops coir__case_empty = {empty_attempt, empty_show, empty_peek, empty_hide};
