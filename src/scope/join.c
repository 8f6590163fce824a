/* SPDX-License-Identifier: MIT */
/*
 * join.c - waiting for the end of one task.
 *
 * A task has at most one joiner; so those who wait for a task, and for those who wait for it, form a line, and a cycle is
 * found by walking it. The line changes only under coir__join_lock, one for the process: a join that must wait is rare
 * beside everything else.
 */
#include "scope/join.h"

#include "sync/select.h"

coir__lock coir__join_lock;

static unsigned task_flags(const coir__task *t)
{
    return atomic_load_explicit(&t->flags, memory_order_relaxed);
}

static bool is_handle_of(const coir__task *t, uint64_t id)
{
    return atomic_load_explicit(&t->id, memory_order_acquire) == id;
}

/* Takes the scope lock (or enters a private operation: true) at a moment when the task is not just ending. */
static bool lock_settled(coir__worker *w, coir__task *t)
{
    for (unsigned round = 0;; coir__spin(round++)) {
        bool private = coir__short_enter(w, &t->scope_lock);
        if ((task_flags(t) & (COIR__TASK_ENDING | COIR__TASK_DONE)) != COIR__TASK_ENDING)
            return private;
        /* Its worker is between coir__group_task_done() and the group's list. */
        coir__short_leave(w, &t->scope_lock, private);
    }
}

static coir__node *joiner_of(const coir__task *t)
{
    return atomic_load_explicit(&t->joiner, memory_order_relaxed);
}

static void joiner_set(coir__task *t, coir__node *n)
{
    atomic_store_explicit(&t->joiner, n, memory_order_relaxed);
}

/* Whether the joiner is another task than `self`. One's own is another case of the same select. The scope lock is held. */
static bool is_joined_by_other(const coir__task *t, const coir__task *self)
{
    const coir__node *n = joiner_of(t);
    return n && n->task != self;
}

/* Takes a result that is there. -EAGAIN: it is not. The scope lock is held, and released. */
static int take_locked(coir__worker *w, coir__task *t, uint64_t id, int *ret_result, bool private)
{
    int rc = -EAGAIN;
    unsigned flags = task_flags(t);
    if (!is_handle_of(t, id) || flags & COIR__TASK_DETACHED)
        rc = -ESRCH;
    else if (flags & COIR__TASK_JOINING || is_joined_by_other(t, w->current))
        rc = -EBUSY;
    else if (flags & COIR__TASK_DONE) {
        int result = (int)t->ctx.result;
        atomic_store_explicit(&t->flags, (uint16_t)(flags | COIR__TASK_JOINING),
                              memory_order_relaxed);
        coir__short_leave(w, &t->scope_lock, private);
        coir__group_forget(w, t);
        if (ret_result)
            *ret_result = result;
        return 0;
    }
    coir__short_leave(w, &t->scope_lock, private);
    return rc;
}

int coir__join_try(coir__worker *w, coir_task handle, int *ret_result)
{
    coir__task *t = handle.opaque;
    if (!t || handle.id == 0)
        return -ESRCH;
    if (t == w->current && is_handle_of(t, handle.id))
        return -EDEADLK;
    bool private = lock_settled(w, t);
    return take_locked(w, t, handle.id, ret_result, private);
}

/* Still running, and nobody has joined it. The scope lock is held. */
static bool is_joinable(const coir__task *t, uint64_t id)
{
    return is_handle_of(t, id) && !(task_flags(t) & (COIR__TASK_ENDING | COIR__TASK_DETACHED)) &&
           !joiner_of(t);
}

/* Whether `t` waits, directly or through others, for `self`. Selects break the line: they have another way out. */
static bool waits_for(const coir__task *t, const coir__task *self)
{
    for (const coir__node *n = joiner_of(self); n; n = joiner_of(n->task)) {
        if (n != &n->task->wait.node)
            return false;
        if (n->task == t)
            return true;
    }
    return false;
}

/* To change who waits for whom: both locks, or a private operation (true). */
static bool line_enter(coir__worker *w, coir__task *t)
{
    if (coir__likely(coir__private_enter(w)))
        return true;
    coir__lock_take(&coir__join_lock);
    coir__lock_take(&t->scope_lock);
    return false;
}

static void line_leave(coir__worker *w, coir__task *t, bool private)
{
    coir__short_leave(w, &t->scope_lock, private);
    if (!private)
        coir__lock_drop(&coir__join_lock);
}

/* Makes `n` the joiner: -EAGAIN, with the task's scope lock held, or inside a private operation, as *ret_private says. Anything
 * else: as coir__join_try(), nothing held, no joiner. */
static int join_queue(coir__worker *w, coir_task handle, coir__node *n, int *ret_result,
                      bool *ret_private)
{
    coir__task *t = handle.opaque;
    for (;;) {
        *ret_private = line_enter(w, t);
        if (is_joinable(t, handle.id))
            break;
        line_leave(w, t, *ret_private);
        bool private = lock_settled(w, t);
        int rc = take_locked(w, t, handle.id, ret_result, private);
        if (rc != -EAGAIN)
            return rc; /* else the joiner that was in the way has just given up */
    }
    if (waits_for(t, n->task)) {
        line_leave(w, t, *ret_private);
        return -EDEADLK;
    }
    joiner_set(t, n);
    if (!*ret_private)
        coir__lock_drop(&coir__join_lock);
    return -EAGAIN;
}

bool coir__join_show(coir_task handle, coir__node *n)
{
    coir__task *t = handle.opaque;
    coir__lock_take(&coir__join_lock);
    coir__lock_take(&t->scope_lock);
    if (is_joinable(t, handle.id))
        joiner_set(t, n);
    const coir__node *is = joiner_of(t);
    bool shown = is_handle_of(t, handle.id) && is && is->task == n->task;
    coir__lock_drop(&t->scope_lock);
    coir__lock_drop(&coir__join_lock);
    return shown;
}

void coir__join_withdraw(coir_task handle, coir__node *n)
{
    coir__task *t = handle.opaque;
    coir__lock_take(&coir__join_lock);
    coir__lock_take(&t->scope_lock);
    if (joiner_of(t) == n)
        joiner_set(t, NULL);
    coir__lock_drop(&t->scope_lock);
    coir__lock_drop(&coir__join_lock);
}

void coir__join_abandon(coir__task *joiner)
{
    coir__lock *lock = atomic_load_explicit(&joiner->wait_lock, memory_order_relaxed);
    coir_task handle = {.opaque = coir__container(lock, coir__task, scope_lock)};
    coir__join_withdraw(handle, &joiner->wait.node);
}

int coir_join(coir_task handle, int *ret_result)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    int result = 0;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    if (!handle.opaque || handle.id == 0)
        return -ESRCH;
    if (handle.opaque == self && is_handle_of(self, handle.id))
        return -EDEADLK;
    int rc = coir__must_attend(self) ? coir__join_try(w, handle, &result) : -EAGAIN;
    if (rc == -EAGAIN && (rc = coir__must_attend(self) ? coir__scope_attend(w, self) : 0) == 0) {
        self->wait.node.task = self;
        self->wait.node.data = &result;
        bool private;
        coir__lock *lock = &((coir__task *)handle.opaque)->scope_lock;
        rc = join_queue(w, handle, &self->wait.node, &result, &private);
        if (rc == -EAGAIN)
            rc = private ? coir__park_private(w, self, lock, COIR__WAIT_JOIN)
                         : coir__park(w, self, lock, COIR__WAIT_JOIN);
    }
    if (rc == 0 && ret_result)
        *ret_result = result;
    return rc;
}

void coir_detach(coir_task handle)
{
    coir__worker *w = coir__worker_here();
    coir__task *t = handle.opaque;
    if (!t || handle.id == 0)
        return;
    bool private = lock_settled(w, t);
    unsigned flags = task_flags(t);
    bool bury = false;
    if (is_handle_of(t, handle.id) && !(flags & COIR__TASK_JOINING)) {
        bury = (flags & COIR__TASK_DONE) != 0;
        atomic_fetch_and_explicit(&t->flags, (uint16_t)~COIR__TASK_HANDLE, memory_order_relaxed);
        atomic_fetch_or_explicit(&t->flags, bury ? COIR__TASK_JOINING : COIR__TASK_DETACHED,
                                 memory_order_relaxed);
    }
    coir__short_leave(w, &t->scope_lock, private);
    if (bury)
        coir__group_give_up(w, t);
}

int coir_cancel_at(const char *file, int line, coir_task handle, const char *why)
{
    coir__worker *w = coir__worker_here();
    coir__task *t = handle.opaque;
    if (!t || handle.id == 0)
        return -ESRCH;
    coir_cancel_reason reason = {.code = -ECANCELED,
                                 .why = why,
                                 .file = file,
                                 .line = line,
                                 .task_id = coir_task_id(coir_self())};
    return coir__scope_cancel(w, t, &t->root, handle.id, reason) ? 0 : -ESRCH;
}

/* -- select ----------------------------------------------------------------------------------------------------- */

static coir_task task_of(const coir_case *k)
{
    return (coir_task){.opaque = k->object, .id = (uint64_t)k->value};
}

/* Errors of a join are outcomes: such a case would never become ready otherwise. */
static bool joined_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    int result = 0;
    int rc = coir__join_try(w, task_of(k), &result);
    *ret_outcome = rc < 0 ? rc : result;
    return rc != -EAGAIN;
}

/* Becomes the joiner, or still is it, or another case of this select is: if not, an attempt will say why. */
static bool joined_show(coir__worker *w, coir_case *k)
{
    (void)w;
    return !coir__join_show(task_of(k), &coir__case_slot(k)->u.wait.node);
}

static void joined_hide(coir__worker *w, coir_case *k)
{
    (void)w;
    coir__join_withdraw(task_of(k), &coir__case_slot(k)->u.wait.node);
}

const coir__case_ops coir__case_joined = {joined_attempt, joined_show, joined_show, joined_hide};
