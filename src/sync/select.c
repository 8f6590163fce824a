/* SPDX-License-Identifier: MIT */
/*
 * select.c - waiting for exactly one of several things.
 *
 *   1. attempt every case, from a random one on: the usual end.
 *   2. show a node to every object. From the first on the task can be claimed (SELECTING), by one of them, once. An object
 *      that may be ready when it gets the node is tried at once.
 *   3. publish by the switch: SELECTING -> SELECTED. If that fails somebody has claimed us meanwhile.
 *   4. hide all nodes.
 *
 * Trying a case while nodes are shown: the task takes itself out of reach first (TRYING), so that it can't be claimed for
 * one case while it does another. Whoever met it in that moment has passed it by, so if the try fails, every case that
 * has been shown is looked at again. Two selects that try each other at the same time both fail, and look again; chance
 * (and whose lock comes first) breaks the tie.
 *
 * I1  At most one case has any effect: either a claimer did it, or we did, in TRYING, or in step 1 with no node shown.
 * I2  We sleep only if, after the last time we were TRYING, every shown case was found not ready.
 */
#include "sync/select.h"

#include "base/time.h"

static const coir__case_ops *const ops_by_kind[] = {
    [COIR_CASE_SEND] = &coir__case_chan,
    [COIR_CASE_RECV] = &coir__case_chan,
    [COIR_CASE_AFTER] = &coir__case_time,
    [COIR_CASE_UNTIL] = &coir__case_time,
    [COIR_CASE_JOINED] = &coir__case_joined,
    [COIR_CASE_EMPTY] = &coir__case_empty,
    [COIR_CASE_SET] = &coir__case_event,
    [COIR_CASE_READABLE] = &coir__case_fd,
    [COIR_CASE_WRITABLE] = &coir__case_fd,
    [COIR_CASE_NOTIFIED] = &coir__case_notify,
    [COIR_CASE_READY] = &coir__case_future,
    [COIR_CASE_ACQUIRE] = &coir__case_sem,
    [COIR_CASE_RECV_FROM] = &coir__case_subscriber,
    [COIR_CASE_WAITABLE] = &coir__case_waitable,
    [COIR_CASE_SIGNALLED] = &coir__case_signal,
};

#define KINDS (sizeof ops_by_kind / sizeof *ops_by_kind)

static bool is_timer(const coir_case *c)
{
    return (c->kind == COIR_CASE_AFTER || c->kind == COIR_CASE_UNTIL) && c->value != COIR_FOREVER;
}

static bool is_named_by_value(const coir_case *c)
{
    return c->kind == COIR_CASE_READABLE || c->kind == COIR_CASE_WRITABLE ||
           c->kind == COIR_CASE_SIGNALLED || is_timer(c);
}

/* The table of a case; NULL for one that is never ready. */
COIR__INLINE const coir__case_ops *ops_of(const coir_case *c)
{
    return coir__likely(c->object) || is_named_by_value(c) ? ops_by_kind[c->kind] : NULL;
}

/* A select under way. */
struct select {
    coir_case *cases;
    size_t n;
    size_t start;
    coir__worker *w;
    coir__task *self;
    int winner; /* index, or an error; valid at the end */
    int outcome;
};

/* Round the cases, from `start` on. */
COIR__INLINE size_t next_of(const struct select *s, size_t i) { return i + 1 < s->n ? i + 1 : 0; }

/* What an earlier select of the same cases has left does not count. */
static int check_cases(coir_case *cases, size_t n)
{
    for (coir_case *c = cases, *end = c + n; c < end; c++) {
        if (coir__unlikely((unsigned)c->kind >= KINDS))
            return -EINVAL;
        coir__case_slot(c)->shown = false;
    }
    return 0;
}

/* Before anything is shown. */
static void prepare(struct select *s)
{
    int64_t now = 0;
    for (size_t i = 0; i < s->n; i++) {
        coir_case *c = &s->cases[i];
        coir__slot *slot = coir__case_slot(c);
        slot->when = c->value;
        if (c->kind == COIR_CASE_AFTER && c->value != COIR_FOREVER) {
            now = now ? now : coir__now(s->w);
            slot->when = coir__time_add(now, c->value);
        }
    }
}

/* Step 1. */
static bool attempt_all(struct select *s)
{
    size_t i = s->start;
    for (size_t k = 0; k < s->n; k++, i = next_of(s, i)) {
        const coir__case_ops *ops = ops_of(&s->cases[i]);
        if (ops && ops->attempt(s->w, &s->cases[i], &s->outcome)) {
            s->winner = (int)i;
            return true;
        }
    }
    return false;
}

/* -- with nodes shown ------------------------------------------------------------------------------------------- */

enum tried { TRIED_DONE, TRIED_CLAIMED, TRIED_NOT_READY };

static bool park_swap(struct select *s, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&s->self->park, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static enum tried try_case(struct select *s, size_t i)
{
    if (!park_swap(s, COIR__PARK_SELECTING, COIR__PARK_TRYING))
        return TRIED_CLAIMED;
    if (ops_of(&s->cases[i])->attempt(s->w, &s->cases[i], &s->outcome)) {
        atomic_store_explicit(&s->self->park, COIR__PARK_ACTIVE, memory_order_relaxed);
        s->winner = (int)i;
        return TRIED_DONE;
    }
    atomic_store_explicit(&s->self->park, COIR__PARK_SELECTING, memory_order_seq_cst);
    return TRIED_NOT_READY;
}

/* Looks again at all that is shown, until nothing has become ready since we were last out of reach. */
static enum tried look_again(struct select *s)
{
    for (unsigned round = 0;; coir__spin(round++)) {
        bool tried = false;
        size_t i = s->start;
        for (size_t k = 0; k < s->n; k++, i = next_of(s, i)) {
            const coir__case_ops *ops = ops_of(&s->cases[i]);
            if (!ops || !coir__case_slot(&s->cases[i])->shown || !ops->peek(s->w, &s->cases[i]))
                continue;
            enum tried result = try_case(s, i);
            if (result != TRIED_NOT_READY)
                return result;
            tried = true;
        }
        if (!tried)
            return TRIED_NOT_READY;
    }
}

/* Step 2. */
static enum tried show_all(struct select *s)
{
    bool again = false;
    size_t i = s->start;
    for (size_t k = 0; k < s->n; k++, i = next_of(s, i)) {
        coir_case *c = &s->cases[i];
        const coir__case_ops *ops = ops_of(c);
        if (!ops)
            continue;
        coir__slot *slot = coir__case_slot(c);
        slot->u.wait.node.task = s->self;
        slot->u.wait.node.link.next = NULL;
        slot->u.wait.index = (int32_t)i;
        slot->u.wait.outcome = 0;
        bool maybe = ops->show(s->w, c);
        slot->shown = true;
        if (!maybe)
            continue;
        enum tried result = try_case(s, i);
        if (result != TRIED_NOT_READY)
            return result;
        again = true;
    }
    return again ? look_again(s) : TRIED_NOT_READY;
}

static void hide_all(struct select *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (coir__case_slot(&s->cases[i])->shown)
            ops_of(&s->cases[i])->hide(s->w, &s->cases[i]);
}

/* Somebody has claimed us, and is storing the result if it has not yet. */
static void await_claimer(struct select *s)
{
    for (unsigned round = 0;
         atomic_load_explicit(&s->self->park, memory_order_acquire) != COIR__PARK_ACTIVE; round++)
        coir__spin(round);
}

/* Step 3. */
static void leave(struct select *s)
{
    coir__worker *w = s->w;
    coir__task *self = s->self;
    self->wait.node.data = (void *)s->n; /* of no use here but for dumps */
    coir__wait_note(w, self, COIR__WAIT_SELECT, (coir__lock *)(void *)s->cases);
    if (w->rt == 0) {
        if (park_swap(s, COIR__PARK_SELECTING, COIR__PARK_SELECTED))
            coir__thread_wait(w, self, NULL);
        else
            await_claimer(s);
    } else if (coir__leave_publish(w, self, &self->park, COIR__PARK_SELECTING,
                                   COIR__PARK_SELECTED) == COIR__SWITCH_LOST) {
        await_claimer(s);
    }
    s->w = coir__worker_or_null();
}

/* Takes over what the claimer left: an index, or -ECANCELED. */
static void take_result(struct select *s)
{
    s->winner = (int)s->self->ctx.result;
    if (s->winner < 0)
        return;
    coir_case *c = &s->cases[s->winner];
    s->outcome = is_timer(c) ? 0 : coir__case_slot(c)->u.wait.outcome;
}

/* Steps 2 to 4. */
static void wait_for_one(struct select *s)
{
    atomic_store_explicit(&s->self->park, COIR__PARK_SELECTING, memory_order_release);
    enum tried result = show_all(s);
    if (result == TRIED_NOT_READY) {
        coir__fence_light(); /* pairs with the canceller's heavy fence */
        if (coir__is_cancelled(s->self) && park_swap(s, COIR__PARK_SELECTING, COIR__PARK_ACTIVE)) {
            hide_all(s);
            s->winner = coir__scope_refuse(s->w, s->self);
            return;
        }
        leave(s);
        take_result(s);
    } else if (result == TRIED_CLAIMED) {
        await_claimer(s);
        take_result(s);
    }
    hide_all(s);
}

/* A signal's case is claimed because there was one, and takes it only now. False: somebody was faster. */
static bool is_taken(struct select *s)
{
    if (s->winner < 0 || s->cases[s->winner].kind != COIR_CASE_SIGNALLED || s->outcome <= 0)
        return true;
    return coir__case_signal.attempt(s->w, &s->cases[s->winner], &s->outcome);
}

static void wait_until_taken(struct select *s)
{
    wait_for_one(s);
    while (coir__unlikely(!is_taken(s))) {
        for (size_t i = 0; i < s->n; i++)
            coir__case_slot(&s->cases[i])->shown = false;
        wait_for_one(s);
    }
}

static int select_run(coir_case *cases, size_t n, bool random)
{
    coir__worker *w = coir__worker_here();
    struct select s = {.cases = cases, .n = n, .w = w, .self = w->current};
    int rc = check_cases(cases, n);
    if (rc < 0)
        return rc;
    if (coir__is_cancelled(s.self))
        return coir__scope_refuse(w, s.self);
    if (random)
        s.start = coir__rng_below(&w->rng, (uint32_t)n);
    if (attempt_all(&s)) {
        cases[s.winner].result = s.outcome;
        return coir__charge(w, s.winner);
    }
    if (coir__must_attend(s.self) && (rc = coir__scope_attend(w, s.self)) < 0)
        return rc;
    prepare(&s);
    wait_until_taken(&s);
    if (s.winner >= 0)
        cases[s.winner].result = s.outcome;
    return s.winner;
}

/* -- threads ---------------------------------------------------------------------------------------------------- */

/* A plain thread has no wheel: the earliest of the timers becomes the deadline of a scope around a select of the rest. Timers
 * stay in the array, where they are attempted but never shown. */
static int select_thread(coir_case *cases, size_t n, bool random)
{
    int earliest = -1;
    int64_t least = COIR_FOREVER;
    int64_t now = coir_now();
    for (size_t i = 0; i < n; i++) {
        if (!is_timer(&cases[i]))
            continue;
        int64_t left = cases[i].value;
        if (cases[i].kind == COIR_CASE_UNTIL)
            left = left > now ? left - now : 0;
        if (earliest < 0 || left < least) {
            earliest = (int)i;
            least = left;
        }
    }
    if (earliest < 0 || least <= 0)
        return select_run(cases, n, random);
    coir_scope alarm;
    coir_scope_begin(&alarm, least);
    int rc = coir_scope_end(&alarm, select_run(cases, n, random));
    if (rc != -ETIMEDOUT)
        return rc;
    cases[earliest].result = 0;
    return earliest;
}

/* -- public ----------------------------------------------------------------------------------------------------- */

static bool has_cases(const coir_case *cases, size_t n) { return cases && n > 0 && n <= INT32_MAX; }

static int select_from(coir_case *cases, size_t n, bool random)
{
    if (coir__unlikely(!has_cases(cases, n)))
        return -EINVAL;
    return coir__likely(coir__worker_here()->rt) ? select_run(cases, n, random)
                                                 : select_thread(cases, n, random);
}

int coir_select(coir_case *cases, size_t n) { return select_from(cases, n, true); }

int coir_select_ordered(coir_case *cases, size_t n) { return select_from(cases, n, false); }

int coir_select_try(coir_case *cases, size_t n)
{
    if (!has_cases(cases, n) || check_cases(cases, n) < 0)
        return -EINVAL;
    coir__worker *w = coir__worker_here();
    struct select s = {.cases = cases, .n = n, .w = w, .self = w->current};
    s.start = coir__rng_below(&w->rng, (uint32_t)n);
    if (!attempt_all(&s))
        return -EAGAIN;
    cases[s.winner].result = s.outcome;
    return s.winner;
}
