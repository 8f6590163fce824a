/* SPDX-License-Identifier: MIT */
/*
 * scope.c - scopes, deadlines, shields.
 *
 * A deadline is looked at by whoever is about to wait, and while it waits by a timer: one per scope, armed by the first wait
 * inside, the opener's or a child's, on the wheel of the worker where that happens. So a scope whose body never waits costs
 * one clock read, and a wait under a deadline has nothing to disarm. Once every scope from a task's innermost outwards has
 * its timer armed, the innermost is marked so (COIR__SCOPE_ARMED), and the walk is not repeated.
 */
#include "scope/scope.h"

#include <stdio.h>

#include "base/log.h"
#include "base/time.h"
#include "sync/wait.h"

#define STORM_LIMIT 1000 /* refusals in a row before somebody is told */
#define STORM_PAUSE COIR_MS(1)

/* What the innermost scope of `t` says. The scope lock is held, or the runtime is private. */
static void attention_follow(coir__task *t)
{
    unsigned bits = atomic_load_explicit(&t->attention, memory_order_relaxed) &
                    COIR__ATTENTION_FIXED;
    if (atomic_load_explicit(&t->scope->state, memory_order_relaxed) & COIR__SCOPE_CANCELLED)
        bits |= COIR__ATTENTION_CANCELLED;
    if (t->scope->deadline != COIR_FOREVER)
        bits |= COIR__ATTENTION_DEADLINE;
    atomic_store_explicit(&t->attention, (uint8_t)bits, memory_order_relaxed);
    if (!(bits & COIR__ATTENTION_CANCELLED)) /* a scope inside a cancelled one is no new story */
        t->storm = 0;
}

void coir__scope_open(coir__worker *w, coir__user_scope *s, uint8_t kind, int64_t timeout,
                      const char *file, int line)
{
    coir__task *self = w->current;
    coir__scope *parent = self->scope;
    bool shield = kind == COIR__SCOPE_SHIELD;
    int64_t outer = shield ? COIR_FOREVER : parent->deadline;
    s->deadline = timeout == COIR_FOREVER ? COIR_FOREVER : coir__time_add(coir__now(w), timeout);
    s->head.parent = parent;
    s->head.deadline = s->deadline < outer ? s->deadline : outer;
    s->head.kind = kind;
    s->owner = self;
    s->file = file;
    s->line = line;
    s->wheel = NULL;
    atomic_store_explicit(&s->timer.state, COIR__TIMER_IDLE, memory_order_relaxed);
    atomic_store_explicit(&s->arm, COIR__UNARMED, memory_order_relaxed);
    atomic_store_explicit(&s->head.reason, NULL, memory_order_relaxed);
    bool private = coir__short_enter(w, &self->scope_lock);
    unsigned state = shield ? 0
                            : atomic_load_explicit(&parent->state, memory_order_relaxed) &
                                  COIR__SCOPE_CANCELLED;
    if (timeout <= 0) {
        s->reason = (coir_cancel_reason){
            .code = -ETIMEDOUT, .why = "deadline passed", .file = file, .line = line};
        atomic_store_explicit(&s->head.reason, &s->reason, memory_order_relaxed);
        state |= COIR__SCOPE_CANCELLED;
    }
    atomic_store_explicit(&s->head.state, (uint8_t)state, memory_order_relaxed);
    coir__compiler_fence(); /* a dump in a signal handler of this thread sees it whole, or not at all */
    self->scope = &s->head;
    attention_follow(self);
    coir__short_leave(w, &self->scope_lock, private);
}

static const char *kind_name(uint8_t kind)
{
    static const char *const names[] = {"the task's own scope", "a scope", "a shield", "a group"};
    return names[kind];
}

/* Takes the timer out of its wheel, or waits until it has fired. */
static void scope_disarm(coir__user_scope *s)
{
    if (atomic_load_explicit(&s->arm, memory_order_acquire) == COIR__UNARMED)
        return;
    coir__lock_take(&s->wheel->lock);
    bool out = coir__wheel_disarm_locked(s->wheel, &s->timer);
    coir__lock_drop(&s->wheel->lock);
    for (unsigned round = 0;
         !out && atomic_load_explicit(&s->timer.state, memory_order_acquire) != COIR__TIMER_IDLE;
         round++)
        coir__spin(round); /* another worker is at it; it takes no lock of ours */
}

void coir__scope_close(coir__worker *w, coir__user_scope *s, const char *what)
{
    coir__task *self = w->current;
    if (coir__unlikely(self->scope != &s->head))
        coir__misuse("%s: not the innermost scope; %s is", what, kind_name(self->scope->kind));
    scope_disarm(s);
    bool private = coir__short_enter(w, &self->scope_lock);
    self->scope = s->head.parent;
    attention_follow(self);
    coir__short_leave(w, &self->scope_lock, private);
}

/* -- deadlines -------------------------------------------------------------------------------------------------- */

static coir_cancel_reason deadline_reason(const coir__user_scope *s)
{
    return (coir_cancel_reason){
        .code = -ETIMEDOUT, .why = "deadline passed", .file = s->file, .line = s->line};
}

static coir__user_scope *user_scope(coir__scope *s)
{
    return s->kind == COIR__SCOPE_ROOT ? NULL : coir__container(s, coir__user_scope, head);
}

void coir__scope_overdue(coir__worker *w, coir__task *self)
{
    int64_t now = coir__now(w);
    coir__scope *s = self->scope;
    while (s && s->deadline <= now) { /* the earliest from here out to the shield */
        coir__user_scope *u = user_scope(s);
        /* A reason without our mark: another worker is at it, and has the owner's lock until we are marked. */
        if (u && u->deadline <= now &&
            (!atomic_load_explicit(&s->reason, memory_order_acquire) || !coir__is_cancelled(self)))
            coir__scope_cancel(w, u->owner, s, 0, deadline_reason(u));
        if (s->kind == COIR__SCOPE_SHIELD)
            break;
        s = s->parent;
    }
}

static void scope_arm(coir__worker *w, coir__user_scope *s)
{
    uint8_t unarmed = COIR__UNARMED;
    if (s->deadline == COIR_FOREVER ||
        atomic_load_explicit(&s->head.reason, memory_order_relaxed) ||
        !atomic_compare_exchange_strong(&s->arm, &unarmed, COIR__ARMING))
        return;
    s->wheel = &w->wheel;
    s->timer.when = s->deadline;
    s->timer.kind = COIR__TIMER_SCOPE;
    coir__lock_take(&w->wheel.lock);
    coir__wheel_arm_locked(&w->wheel, &s->timer);
    coir__lock_drop(&w->wheel.lock);
    atomic_store_explicit(&s->arm, COIR__ARMED, memory_order_release);
}

/* Arms what is not armed from the caller's innermost scope outwards. */
static void chain_arm(coir__worker *w, coir__task *self)
{
    for (coir__scope *s = self->scope; s && s->deadline != COIR_FOREVER; s = s->parent) {
        if (atomic_load_explicit(&s->state, memory_order_relaxed) & COIR__SCOPE_ARMED)
            break;
        coir__user_scope *u = user_scope(s);
        if (u)
            scope_arm(w, u);
        if (s->kind == COIR__SCOPE_SHIELD)
            break;
    }
    atomic_fetch_or_explicit(&self->scope->state, COIR__SCOPE_ARMED, memory_order_relaxed);
}

void coir__scope_look(coir__worker *w, coir__task *self)
{
    if (self->scope->deadline <= coir__now(w))
        coir__scope_overdue(w, self);
    if (w->rt &&
        !(atomic_load_explicit(&self->scope->state, memory_order_relaxed) & COIR__SCOPE_ARMED))
        chain_arm(w, self);
}

int coir__scope_attend(coir__worker *w, coir__task *self)
{
    coir__scope_look(w, self);
    return coir__is_cancelled(self) ? coir__scope_refuse(w, self) : 0;
}

void coir__scope_timer_fired(coir__worker *w, coir__timer *t)
{
    coir__user_scope *s = coir__container(t, coir__user_scope, timer);
    coir__scope_cancel(w, s->owner, &s->head, 0, deadline_reason(s));
    atomic_store_explicit(&t->state, COIR__TIMER_IDLE,
                          memory_order_release); /* pairs with scope_disarm() */
}

/* -- refusing --------------------------------------------------------------------------------------------------- */

static COIR__COLD void storm_tell(coir__worker *w, const coir__task *self)
{
    char where[256] = "";
    if (w->rt != 0)
        snprintf(where, sizeof where, " (spawned at %s:%d)", self->file ? self->file : "?",
                 self->line);
    coir__runtime_log(
        w->runtime, "%s '%s'%s has ignored -ECANCELED %d times in a row; slowing it down",
        w->rt != 0 ? "task" : "thread", self->name ? self->name : "?", where, STORM_LIMIT);
}

/* Somebody ignores -ECANCELED in a loop: told once, then slowed down, so that it does not burn a processor. */
static COIR__COLD int storm(coir__worker *w, coir__task *self)
{
    if (self->storm == STORM_LIMIT) {
        self->storm++;
        storm_tell(w, self);
    }
    coir__sleep_held(w, self, coir__time_add(coir__now(w), STORM_PAUSE));
    return -ECANCELED;
}

int coir__scope_refuse(coir__worker *w, coir__task *self)
{
    if (coir__unlikely(self->storm >= STORM_LIMIT))
        return storm(w, self);
    self->storm++;
    return -ECANCELED;
}

/* -- public ----------------------------------------------------------------------------------------------------- */

static coir__user_scope *scope_of(coir_scope *s) { return (coir__user_scope *)(void *)s; }

void coir_scope_begin_at(const char *file, int line, coir_scope *s, int64_t timeout)
{
    coir__scope_open(coir__worker_here(), scope_of(s), COIR__SCOPE_PLAIN, timeout, file, line);
}

int coir_scope_end(coir_scope *scope, int rc)
{
    coir__worker *w = coir__worker_here();
    coir__user_scope *s = scope_of(scope);
    if (rc == -ECANCELED && coir__must_attend(w->current) && w->current->scope == &s->head)
        coir__scope_overdue(w, w->current);
    coir__scope_close(w, s, "coir_scope_end");
    if (rc != -ECANCELED)
        return rc;
    const coir_cancel_reason *reason = atomic_load_explicit(&s->head.reason, memory_order_acquire);
    bool own = reason && reason->code == -ETIMEDOUT;
    bool outer = atomic_load_explicit(&s->head.parent->state, memory_order_relaxed) &
                 COIR__SCOPE_CANCELLED;
    return own && !outer ? -ETIMEDOUT : rc;
}

void coir_scope_cancel_at(const char *file, int line, coir_scope *scope, const char *why)
{
    coir__worker *w = coir__worker_here();
    coir__user_scope *s = scope_of(scope);
    coir_cancel_reason reason = {.code = -ECANCELED,
                                 .why = why,
                                 .file = file,
                                 .line = line,
                                 .task_id = coir_task_id(coir_self())};
    coir__scope_cancel(w, s->owner, &s->head, 0, reason);
}

int coir_with_timeout_at(const char *file, int line, int64_t timeout, coir_fn *fn, void *arg)
{
    coir_scope s;
    if (!fn)
        return -EINVAL;
    coir_scope_begin_at(file, line, &s, timeout);
    return coir_scope_end(&s, fn(arg));
}

void coir_shield_begin_at(const char *file, int line, coir_scope *s, int64_t limit)
{
    coir__scope_open(coir__worker_here(), scope_of(s), COIR__SCOPE_SHIELD, limit, file, line);
}

void coir_shield_end(coir_scope *s)
{
    coir__scope_close(coir__worker_here(), scope_of(s), "coir_shield_end");
}

int coir_check(void)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (!coir__is_cancelled(self) && coir__must_attend(self))
        coir__scope_overdue(w, self);
    return coir__is_cancelled(self) ? -ECANCELED : 0;
}

const coir_cancel_reason *coir_cancel_reason_get(void)
{
    coir__worker *w = coir__worker_or_null();
    if (!w || !coir__is_cancelled(w->current))
        return NULL;
    for (coir__scope *s = w->current->scope; s; s = s->parent) {
        const coir_cancel_reason *reason = atomic_load_explicit(&s->reason, memory_order_acquire);
        if (reason)
            return reason;
        if (s->kind == COIR__SCOPE_SHIELD)
            break;
    }
    return NULL;
}
