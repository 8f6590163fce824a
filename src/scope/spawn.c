/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - how tasks are born: the descriptor and a reservation for the stack are taken, the group admits the task, and it is made
 * runnable, or queued if the group is at its limit.
 */
#include <string.h>

#include "base/alloc.h"
#include "scope/scope.h"
#include "sync/wait.h"

#define COPY_MAX 1024

/* What a spawn asks for. */
struct order {
    const char *file;
    int line;
    const coir_task_options *options; /* NULL: none */
    coir_fn *fn;
    void *arg;
    unsigned flags; /* coir__task_flags */
};

static int task_set_options(coir__task *t, const struct order *o)
{
    const coir_task_options *options = o->options;
    if (!options || !options->name)
        return 0;
    t->name = coir__alloc_text(options->name);
    return t->name ? 0 : -ENOMEM;
}

COIR__INLINE unsigned flags_of(const struct order *o, const coir__group *g, const coir__runtime *rt)
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
COIR__INLINE int group_admit(coir__worker *w, coir__runtime *rt, coir__group *g, coir__task *t)
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

/* The whole of a spawn. `w` is the caller's. Inline, so that the plain form knows what is not asked for. */
COIR__INLINE int task_spawn(coir__worker *w, coir__runtime *rt, coir__group *g,
                            const struct order *o, coir_task *ret)
{
    unsigned class_ = o->options && o->options->stack_reserve
                          ? coir__stack_class(o->options->stack_reserve)
                          : rt->stack_class;
    if (!o->fn || class_ == 0)
        return class_ == 0 && o->fn ? -ENOMEM : -EINVAL;
    coir__stack_cache *cache = coir__stack_cache_for(w, rt, class_);
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
        return coir__group_of(g);
    if (coir__unlikely(w->rt == 0))
        coir__misuse("coir_spawn without a group: only from a task");
    return coir__root_of(w->runtime);
}

COIR__INLINE int spawn_into(coir_group *group, const struct order *o, coir_task *ret)
{
    coir__worker *w = coir__worker_here();
    coir__group *g = group_or_root(w, group);
    return task_spawn(w, atomic_load_explicit(&coir__runtimes[g->rt], memory_order_relaxed), g, o,
                      ret);
}

static COIR__NOINLINE int spawn_any(coir_group *group, const struct order *o, coir_task *ret)
{
    return spawn_into(group, o, ret);
}

/* HOT. */
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
    int rc = spawn_any(g, &o, NULL);
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
    return task_spawn(rt->workers[0], rt, coir__root_of(rt), &o, NULL);
}
