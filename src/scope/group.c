/* SPDX-License-Identifier: MIT */
/*
 * group.c - groups: opened, waited for, closed. How tasks come into them and leave them: spawn.c, done.c.
 *
 * The root group of a runtime is a group like any other, opened by the base of worker 0.
 */
#include "scope/scope.h"
#include "sync/select.h"

/* -- waiting ---------------------------------------------------------------------------------------------------- */

int coir__group_take_result(coir__group *g)
{
    int rc = g->failure ? g->failure : g->cancelled_result ? -ECANCELED : 0;
    g->failure = 0;
    g->cancelled_result = false;
    return rc;
}

/* *ret_kept: somebody has a handle of a task that has ended in it. */
static int group_wait_empty(coir__group *g, bool *ret_kept)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__must_attend(self))
        coir__scope_look(w, self);
    bool private = coir__short_enter(w, &g->lock);
    if (g->count > 0 && w->rt != 0)
        coir__ring_deepen(w, g->count);
    while (g->count > 0) {
        coir__wait_queue(self, &g->waiters, NULL);
        if (private)
            coir__park_shielded_private(w, self, &g->lock, COIR__WAIT_GROUP);
        else
            coir__park_shielded(w, self, &g->lock, COIR__WAIT_GROUP);
        w = coir__worker_or_null();
        private = coir__short_enter(w, &g->lock);
    }
    int rc = coir__group_take_result(g);
    *ret_kept = !coir__list_is_empty(&g->kept);
    coir__short_leave(w, &g->lock, private);
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
            coir__task_bury(w, t);
    }
}

static coir__group *check_opener(coir_group *group, const char *what)
{
    coir__group *g = coir__group_of(group);
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
    coir__group *g = coir__group_of(group);
    if (coir__unlikely(w->rt == 0))
        coir__misuse("coir_group_begin: only from a task");
    if (coir__unlikely(flags & ~(COIR_GROUP_ISOLATE | COIR_GROUP_PINNED)))
        coir__misuse("coir_group_begin: unknown flags 0x%x", flags);
    group_init(w, g, flags);
    coir__scope_open(w, &g->scope, COIR__SCOPE_GROUP, COIR_FOREVER, file, line);
}

int coir_group_wait(coir_group *group)
{
    bool kept;
    return group_wait_empty(check_opener(group, "coir_group_wait"), &kept);
}

int coir_group_end(coir_group *group)
{
    coir__group *g = check_opener(group, "coir_group_end");
    bool kept;
    int rc = group_wait_empty(g, &kept);
    coir__worker *w = coir__worker_or_null();
    if (coir__unlikely(kept))
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
    coir__group_cancel(coir__worker_here(), coir__group_of(group), reason);
}

/* -- the root group --------------------------------------------------------------------------------------------- */

void coir__root_begin(coir__runtime *rt)
{
    coir__worker *w = rt->workers[0];
    coir__group *g = coir__root_of(rt);
    group_init(w, g, COIR_GROUP_ISOLATE);
    g->root = true;
    coir__scope_open(w, &g->scope, COIR__SCOPE_GROUP, COIR_FOREVER, "coir_run", 0);
}

void coir__root_end(coir__runtime *rt) { group_drop_kept(rt->workers[0], coir__root_of(rt)); }

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
