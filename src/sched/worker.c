/* SPDX-License-Identifier: MIT */
/*
 * worker.c - what a worker does between tasks.
 *
 * Its own stack (`base`) runs the loop: a tick (timers, kernel, shared queue), then a task; the task switches to other
 * tasks directly and comes back here when there is nothing to pick or the budget is spent.
 *
 * Going to sleep: declare it, fence, look once more at everything that others fill, then poll the kernel without end. One
 * worker at a time searches (steals); the one that finds work wakes the next searcher if there is more. One whose last
 * booty was crumbs, tasks that took less time than fetching them, takes a nap before the next search. One of the
 * sleepers keeps a patrol: it wakes now and then, rarer and rarer, takes over what sits in the slot of a worker that has
 * not moved, and lets its due timers fire.
 *
 * In a foreign loop the same is done in pieces (coir__worker_pump()). Between two of them the worker counts as asleep, so that
 * whoever has something for it writes to its engine's descriptor, which that loop polls.
 */
#include "sched/worker.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/fpenv.h"
#include "base/alloc.h"
#include "base/time.h"
#include "sched/upcall.h"

#define RING_MASK (COIR__RING - 1)
#define SEARCH_ROUNDS 32
#define CRUMB 500 /* ns; shorter tasks cost more to fetch than they take */
#define NAP_FIRST COIR_US(25)
#define NAP_LAST COIR_US(100)
#define YIELD_POLL COIR_US(10) /* between polls for a task that yields alone */
#define YIELD_ALONE 8          /* what such a yield takes of the budget */
#define PATROL_FIRST COIR_US(100)
#define PATROL_LAST COIR_MS(10)
#define DEEP_TURNS 64 /* of the newest in the ring, at ticks, before one of the oldest */
#define TRIM_INTERVAL COIR_MS(100) /* of a worker that is idle */
#define TRIM_BUSY COIR_S(1)        /* of one that is not */
#define TRIM_MOST 4096u            /* stacks at once: some milliseconds */
#define TRIM_MOST_BUSY 64u

/* The C++ runtime's, where there is one. */
extern coir__eh *__cxa_get_globals(void) __attribute__((weak));

/* -- leaving and picking ---------------------------------------------------------------------------------------- */

/* Puts back what was picked in vain. */
static void unpick(coir__worker *w, coir__task *t)
{
    if (t != &w->base)
        coir__ring_push(w, t);
    else if (w->handoff) {
        coir__ring_push(w, w->handoff);
        w->handoff = NULL;
    }
}

int coir__leave_publish(coir__worker *w, coir__task *self, _Atomic uint32_t *word,
                        uint32_t expected, uint32_t desired)
{
    bool keeps_fp = (atomic_load_explicit(&self->flags, memory_order_relaxed) &
                     COIR__TASK_FP_ENV) != 0;
    coir__fpenv fp = coir__fpenv_save();
    coir__eh eh = *w->eh;
    bool keeps_eh = eh.caught ||
                    eh.uncaught; /* else not written: without C++ all workers share the zeros */
    coir__task *next = coir__pick(w);
    if (keeps_eh)
        *w->eh = (coir__eh){0};
    if (keeps_fp)
        coir__fpenv_reset();
    w->current = next;
    int result = coir__switch_publish(&self->ctx, &next->ctx, word, expected, desired);
    if (result == COIR__SWITCH_LOST) {
        w->current = self;
        unpick(w, next);
    }
    if (keeps_eh)
        *coir__worker_or_null()->eh = eh;
    if (keeps_fp)
        coir__fpenv_load(fp);
    return result;
}

/* A task that is inside a C++ handler, or has its own control words, takes them along. The thread's are left as a
 * task without either expects them. */
COIR__NOINLINE int coir__leave_keeping(coir__worker *w, coir__task *self, coir__task *next,
                                       _Atomic uint32_t *word, uint32_t value)
{
    bool keeps_fp = (atomic_load_explicit(&self->flags, memory_order_relaxed) &
                     COIR__TASK_FP_ENV) != 0;
    coir__fpenv fp = coir__fpenv_save();
    coir__eh eh = *w->eh;
    bool keeps_eh = eh.caught || eh.uncaught; /* else not written: see coir__leave_publish() */
    if (keeps_eh)
        *w->eh = (coir__eh){0};
    if (keeps_fp)
        coir__fpenv_reset();
    int result = coir__switch(&self->ctx, &next->ctx, word, value);
    if (keeps_eh)
        *coir__worker_or_null()->eh = eh;
    if (keeps_fp)
        coir__fpenv_load(fp);
    return result;
}

coir__task *coir__pick_ring(coir__worker *w)
{
    coir__task *t = coir__likely(w->deep == 0) ? coir__ring_pop(w) : coir__ring_pop_deep(w);
    w->lifo_left = COIR__LIFO_MAX;
    if (!t)
        t = coir__lifo_take(w);
    return t ? t : &w->base;
}

static coir__stack_cache *worker_cache(coir__worker *w, const coir__task *t)
{
    return &w->caches[t->stack_class - COIR__STACK_CLASS_MIN];
}

static void task_attach(coir__task *t, coir__stack *s)
{
    t->stack = s;
    s->owner = t;
    coir__context_stack(&t->ctx, s->bottom, (size_t)((char *)s->top - s->bottom), s->fiber);
    coir__context_make(&t->ctx, s->top, coir__task_main, NULL);
}

coir__task *coir__pick_fresh(coir__worker *w, coir__task *t)
{
    coir__stack *s = coir__stack_take_hot(worker_cache(w, t));
    if (!s) {
        w->handoff = t;
        return &w->base;
    }
    task_attach(t, s);
    return t;
}

/* Leaves for the base, which queues the task behind everything else. Tail-called. */
static int yield_through_base(coir__worker *w, coir__task *self, int result)
{
    self->ctx.result = result;
    w->yielded = self;
    return coir__leave(w, self, &w->base, &w->nowhere, 0);
}

int coir__charge_slow(coir__worker *w, int result)
{
    if (w->rt == 0) {
        w->budget = INT32_MAX;
        return result;
    }
    coir__runtime *rt = w->runtime;
    if (w->private_count == 0 &&
        atomic_load_explicit(&rt->inject_count, memory_order_relaxed) == 0 &&
        coir__runtime_now(rt) - w->slice_start < COIR__SLICE) {
        w->budget = COIR__BUDGET;
        return result;
    }
    return yield_through_base(w, w->current, result);
}

static void thread_yield(void) { sched_yield(); }

/* There is nobody to give way to, as far as this worker knows. */
static bool is_alone(coir__worker *w)
{
    return coir__ring_is_empty(w) && !atomic_load_explicit(&w->lifo, memory_order_relaxed) &&
           !atomic_load_explicit(&w->odd, memory_order_relaxed) && w->private_count == 0 &&
           atomic_load_explicit(&w->inbox_count, memory_order_relaxed) == 0;
}

/* No timer can become due here, and the kernel has nothing to tell: a look at either would be in vain. */
static bool is_undisturbed(coir__worker *w)
{
    return atomic_load_explicit(&w->wheel.next, memory_order_relaxed) == COIR_FOREVER &&
           atomic_load_explicit(&w->io_started, memory_order_relaxed) ==
               atomic_load_explicit(&w->io_ended, memory_order_relaxed);
}

static void yield_slow(coir__worker *w)
{
    if (w->rt == 0) {
        thread_yield();
        return;
    }
    if (w->budget >= 0 && is_alone(w) &&
        is_undisturbed(w)) { /* goes on at once, but for every 14th time or so */
        w->budget -= YIELD_ALONE;
        return;
    }
    yield_through_base(w, w->current, 0);
}

/* To a task that has no stack yet. */
static COIR__NOINLINE int yield_to_fresh(coir__worker *w, coir__task *self, coir__task *next,
                                         uint32_t tail)
{
    next = coir__pick_fresh(w, next);
    return coir__leave(w, self, next, &w->tail, tail + 1);
}

/* HOT: 4 to 5 ns between two tasks (benches/yield). The caller becomes visible in the ring by the store in the switch. */
void coir_yield(void)
{
    coir__worker *w = coir__worker_or_null();
    if (coir__unlikely(!w)) {
        thread_yield();
        return;
    }
    coir__task *self = w->current;
    uint64_t head = atomic_load_explicit(&w->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
    unsigned flags = atomic_load_explicit(&self->flags, memory_order_relaxed);
    if (coir__unlikely(--w->budget < 0 || atomic_load_explicit(&w->odd, memory_order_relaxed) ||
                       (uint32_t)head == tail ||
                       atomic_load_explicit(&w->lifo, memory_order_relaxed) ||
                       (flags & (COIR__TASK_PINNED | COIR__TASK_FP_ENV)) || coir__eh_in_use(w))) {
        yield_slow(w);
        return;
    }
    coir__task *next = atomic_load_explicit(&w->ring[head & RING_MASK], memory_order_relaxed);
    if (coir__likely(w->solo)) {
        atomic_store_explicit(&w->head, head + 1, memory_order_relaxed);
    } else if (coir__unlikely(!atomic_compare_exchange_strong_explicit(
                   &w->head, &head, coir__ring_after(head, 1), memory_order_acq_rel,
                   memory_order_relaxed))) {
        yield_slow(w);
        return;
    }
    atomic_store_explicit(&w->ring[tail & RING_MASK], self, memory_order_relaxed);
    if (coir__unlikely(next->ctx.sp == NULL)) {
        yield_to_fresh(w, self, next, tail);
        return;
    }
    w->current = next;
    coir__switch(&self->ctx, &next->ctx, &w->tail, tail + 1);
}

int coir_maybe_yield(void)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    int rc = coir_check();
    if (rc < 0)
        return coir__scope_refuse(w,
                                  self); /* else a loop that ignores it would never let others in */
    if (w->rt == 0)
        return 0;
    int64_t now = coir__runtime_now(w->runtime);
    if (now - w->slice_start < COIR__SLICE &&
        now < atomic_load_explicit(&w->wheel.next, memory_order_relaxed) &&
        !w->engine->has_events(w->loop))
        return 0;
    return yield_through_base(w, self, 1);
}

/* -- finding work ----------------------------------------------------------------------------------------------- */

static void inbox_take(coir__worker *w)
{
    coir__lock_take(&w->inbox_lock);
    coir__link *link;
    while ((link = coir__list_first(&w->inbox)) != NULL) {
        coir__list_remove(link);
        coir__list_append(&w->private_, link);
        w->private_count++;
    }
    atomic_store_explicit(&w->inbox_count, 0, memory_order_relaxed);
    coir__lock_drop(&w->inbox_lock);
}

static coir__task *private_take(coir__worker *w)
{
    if (w->private_count == 0)
        return NULL;
    coir__link *link = coir__list_first(&w->private_);
    coir__list_remove(link);
    link->next = NULL;
    w->private_count--;
    return coir__container(link, coir__task, wait.node.link);
}

static coir__task *take_shared(coir__worker *w)
{
    if (atomic_load_explicit(&w->runtime->inject_count, memory_order_relaxed) == 0)
        return NULL;
    coir__inject_take(w, COIR__RING / 2);
    return coir__ring_pop(w);
}

/* I8. A program's own clock may stand still, therefore the count. */
static coir__task *take_ring(coir__worker *w)
{
    if (w->deep != 0 && w->slice_start - w->deep_since < COIR__SLICE &&
        w->deep_turns++ < DEEP_TURNS)
        return coir__ring_pop_deep(w);
    w->deep_since = w->slice_start;
    w->deep_turns = 0;
    return coir__ring_pop(w);
}

/* Pinned tasks and the others take turns. */
static coir__task *take_own(coir__worker *w)
{
    coir__task *t = w->handoff;
    if (t) {
        w->handoff = NULL;
        return t;
    }
    w->private_turn = !w->private_turn;
    if (w->private_turn && (t = private_take(w)) != NULL)
        return t;
    if (w->lifo_left > 0 && (t = coir__lifo_take(w)) != NULL) {
        w->lifo_left--;
        return t;
    }
    w->lifo_left = COIR__LIFO_MAX;
    if ((t = take_ring(w)) != NULL || (t = coir__lifo_take(w)) != NULL ||
        (t = private_take(w)) != NULL)
        return t;
    return take_shared(w);
}

static coir__task *steal(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    unsigned n = rt->worker_count;
    unsigned start = coir__rng_below(&w->rng, n);
    for (unsigned i = 0; i < n; i++) {
        coir__worker *victim = rt->workers[(start + i) % n];
        if (victim == w || coir__ring_is_empty(victim))
            continue;
        coir__task *t = coir__ring_steal(victim, w);
        if (t) {
            atomic_fetch_add_explicit(&w->metric_steals, 1, memory_order_relaxed);
            return t;
        }
    }
    return NULL;
}

static bool more_work_seen(const coir__worker *w) { return coir__work_is_seen(w->runtime); }

/* Gives the searching word back; what others left to it goes to the next. */
static void search_end(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    atomic_store(&rt->searching, 0);
    if (more_work_seen(w) && atomic_load_explicit(&rt->sleepers, memory_order_relaxed) != 0)
        coir__runtime_notify(rt);
}

/* Looks for work elsewhere; the searching word is ours. */
static coir__task *search(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    coir__task *t = NULL;
    for (int round = 0; round < SEARCH_ROUNDS && !t; round++) {
        t = take_shared(w);
        if (!t)
            t = steal(w);
        if (!t && (atomic_load_explicit(&rt->stopping, memory_order_relaxed) ||
                   w->engine->has_events(w->loop)))
            break;
        if (!t)
            coir__cpu_relax();
    }
    if (t) {
        w->stolen = coir__ring_size(w) + 1;
        w->stolen_at = coir__runtime_now(rt);
    }
    if (t)
        search_end(w);
    else
        atomic_store(&rt->searching, 0);
    return t;
}

/* Takes the searching word. */
static bool try_search(coir__worker *w)
{
    uint32_t nobody = 0;
    return !w->solo && atomic_compare_exchange_strong(&w->runtime->searching, &nobody, 1);
}

/* -- the patrol ------------------------------------------------------------------------------------------------- */

/* A worker that has not moved since the last look keeps what is in its slot from running. */
static coir__task *patrol_look(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    int64_t now = coir__runtime_now(rt);
    coir__task *rescued = NULL;
    for (unsigned i = 0; i < rt->worker_count; i++) {
        coir__worker *other = rt->workers[i];
        if (other == w ||
            atomic_load_explicit(&other->sleeping, memory_order_relaxed) != COIR__AWAKE)
            continue;
        uint32_t tick = atomic_load_explicit(&other->tick, memory_order_relaxed);
        coir__task *slot = atomic_load_explicit(&other->lifo, memory_order_relaxed);
        bool stuck = tick == other->patrol_tick;
        if (stuck && slot && slot == other->patrol_lifo && !rescued)
            rescued = atomic_exchange_explicit(&other->lifo, NULL, memory_order_acquire);
        if (stuck && atomic_load_explicit(&other->wheel.next, memory_order_relaxed) <= now)
            coir__wheel_expire(&other->wheel, w, now);
        other->patrol_tick = tick;
        other->patrol_lifo = slot;
    }
    return rescued;
}

/* A worker that goes to sleep while another is awake, and nobody looks after that one. Returns the time it may sleep. */
static int64_t patrol_take(coir__worker *w, int64_t timeout)
{
    coir__runtime *rt = w->runtime;
    if (atomic_load(&rt->patrol) != 0 || atomic_load(&rt->sleepers) >= rt->worker_count ||
        !coir__patrol_begin(rt))
        return timeout;
    w->on_patrol = true;
    w->patrol_interval = 2 * PATROL_FIRST;
    return timeout < PATROL_FIRST ? timeout : PATROL_FIRST;
}

/* Back to work: whoever fills a slot, or goes to sleep, starts it again. */
static void patrol_leave(coir__worker *w)
{
    w->on_patrol = false;
    coir__patrol_end(w->runtime);
}

/* -- sleeping --------------------------------------------------------------------------------------------------- */

static bool work_waits(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    return atomic_load_explicit(&w->inbox_count, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&w->cancels, memory_order_relaxed) != NULL ||
           atomic_load_explicit(&rt->stopping, memory_order_relaxed) ||
           (atomic_load_explicit(&rt->searching, memory_order_relaxed) == 0 && more_work_seen(w));
}

/* Nothing of this runtime can happen by itself any more. All workers have declared that they sleep. */
bool coir__runtime_is_quiet(coir__runtime *rt)
{
    uint64_t started = 0, ended = 0;
    if (atomic_load(&rt->embedded))
        return true; /* what it does is done by a thread that is foreign to whoever asks */
    if (atomic_load(&rt->sleepers) != rt->worker_count || atomic_load(&rt->external) != 0 ||
        atomic_load(&rt->inject_count) != 0 || atomic_load(&rt->live) == 0)
        return false;
    for (unsigned i = 0; i < rt->worker_count; i++) {
        coir__worker *w = rt->workers[i];
        if (atomic_load_explicit(&w->wheel.next, memory_order_relaxed) != COIR_FOREVER ||
            atomic_load_explicit(&w->inbox_count, memory_order_relaxed) != 0 ||
            !coir__ring_is_empty(w))
            return false;
        ended += atomic_load(&w->io_ended);
        started += atomic_load(&w->io_started);
    }
    return started == ended;
}

/* -- giving memory back ----------------------------------------------------------------------------------------- */

/* What other workers do with their stacks does not matter: everything is somebody's own, or under the pool's lock. */
static COIR__COLD void worker_trim(coir__worker *w, int64_t now, size_t most)
{
    w->last_trim = now;
    for (unsigned i = 0; i < COIR__STACK_CLASSES; i++)
        coir__stack_cache_shrink(&w->caches[i]);
    w->trims = coir__stack_pool_trim(w->runtime->stacks, most);
}

/* Sleeps in the kernel until woken or `timeout`. Returns the state it was woken in. */
static uint32_t worker_sleep(coir__worker *w, int64_t timeout)
{
    coir__runtime *rt = w->runtime;
    atomic_store(&w->sleeping, COIR__ASLEEP);
    atomic_fetch_add(&rt->sleepers, 1);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with whoever makes work visible */
    if (!work_waits(w)) {
        timeout = patrol_take(w, timeout);
        bool quiet = timeout == COIR_FOREVER && coir__runtime_is_quiet(rt);
        if (quiet)
            timeout = coir__deadlock_check(rt);
        if (w->trims && timeout > TRIM_INTERVAL && (!quiet || timeout == COIR_FOREVER))
            timeout = TRIM_INTERVAL;
        atomic_fetch_add_explicit(&w->metric_polls, 1, memory_order_relaxed);
        w->engine->poll(w->loop, timeout);
    }
    atomic_fetch_sub(&rt->sleepers, 1);
    uint32_t state = atomic_exchange(&w->sleeping, COIR__AWAKE);
    if (!w->solo && !w->on_patrol &&
        atomic_load(&rt->patrol) == 0) /* what coir__runtime_patrol() may have cleared */
        atomic_fetch_or_explicit(&w->careful, COIR__CAREFUL_UNWATCHED, memory_order_relaxed);
    return state;
}

static int64_t time_to_timer(coir__worker *w)
{
    int64_t next = atomic_load_explicit(&w->wheel.next, memory_order_relaxed);
    if (next == COIR_FOREVER)
        return COIR_FOREVER;
    int64_t now = coir__runtime_now(w->runtime);
    return next > now ? next - now : 0;
}

static bool others_awake(coir__runtime *rt)
{
    return atomic_load_explicit(&rt->sleepers, memory_order_relaxed) + 1 < rt->worker_count;
}

/* Sleeps, at most until the next look if this worker keeps the patrol. Returns the state it was woken in. */
static uint32_t sleep_watching(coir__worker *w, int64_t timeout)
{
    coir__runtime *rt = w->runtime;
    if (w->on_patrol && !others_awake(rt) && w->patrol_interval >= PATROL_LAST)
        patrol_leave(w); /* nobody to watch */
    if (!w->on_patrol)
        return worker_sleep(w, timeout);
    int64_t interval = w->patrol_interval;
    w->patrol_interval = interval * 2 < PATROL_LAST ? interval * 2 : PATROL_LAST;
    return worker_sleep(w, timeout < interval ? timeout : interval);
}

static void trim_now_and_then(coir__worker *w)
{
    int64_t now = w->slice_start;
    if (now - w->last_trim >= TRIM_INTERVAL)
        worker_trim(w, now, TRIM_MOST);
    else
        w->trims = true; /* later */
}

/* How long to leave the others alone, after a look at what the last search has brought: not at all if that was worth it. */
static int64_t nap_after(coir__worker *w)
{
    if (w->stolen == 0)
        return 0;
    bool crumbs = w->slice_start - w->stolen_at < (int64_t)w->stolen * CRUMB;
    w->stolen = 0;
    int64_t longer = w->nap ? w->nap * 2 : NAP_FIRST;
    w->nap = !crumbs ? 0 : longer < NAP_LAST ? longer : NAP_LAST;
    return w->nap;
}

static bool slot_or_ring(coir__worker *w)
{
    return !coir__ring_is_empty(w) || atomic_load_explicit(&w->lifo, memory_order_relaxed);
}

static void note_state(coir__worker *w, uint32_t state)
{
    if (state != COIR__ROUSED_TO_PATROL)
        return;
    w->on_patrol = true;
    w->patrol_interval = PATROL_FIRST;
}

/* Sleeps with the searching word, so that nobody wakes another searcher meanwhile, and searches then. What the kernel has
 * completed by then is its own, and goes first. */
static coir__task *nap(coir__worker *w, int64_t pause)
{
    int64_t timer = time_to_timer(w);
    note_state(w, worker_sleep(w, pause < timer ? pause : timer));
    if (!slot_or_ring(w))
        return search(w);
    search_end(w);
    return NULL;
}

/* Nothing to run here. Returns a task found elsewhere, or NULL after a sleep. */
static coir__task *worker_idle(coir__worker *w)
{
    coir__task *t = NULL;
    if (try_search(w)) {
        int64_t pause = nap_after(w);
        if (pause > 0)
            return nap(w, pause);
        t = search(w);
    }
    if (t)
        return t;
    trim_now_and_then(w);
    uint32_t state = sleep_watching(w, time_to_timer(w));
    note_state(w, state);
    if (state == COIR__ROUSED_TO_SEARCH)
        t = search(w);
    else if (w->on_patrol && state != COIR__ROUSED_TO_PATROL && (t = patrol_look(w)) != NULL)
        w->patrol_interval = PATROL_FIRST;
    return t;
}

/* -- the loop --------------------------------------------------------------------------------------------------- */

/* Everything that is not running tasks: timers, kernel, other workers. Reads the clock once. */
static void worker_tick(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    atomic_store_explicit(&w->tick, atomic_load_explicit(&w->tick, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    int64_t now = coir__runtime_now(rt);
    w->slice_start = now;
    w->since = coir__since_of(now);
    if (coir__unlikely(w->unblock != 0))
        coir__signal_unblock(w);
    if (coir__unlikely(now - w->last_trim >= TRIM_BUSY))
        worker_trim(w, now, TRIM_MOST_BUSY);
    if (atomic_load_explicit(&w->cancels, memory_order_relaxed))
        coir__op_drain_cancels(w);
    if (atomic_load_explicit(&w->inbox_count, memory_order_relaxed))
        inbox_take(w);
    if (atomic_load_explicit(&w->wheel.next, memory_order_relaxed) <= now)
        coir__wheel_expire(&w->wheel, w, now);
    bool alone = !w->handoff && coir__ring_is_empty(w) &&
                 !atomic_load_explicit(&w->lifo, memory_order_relaxed);
    bool sleeps = alone && !w->yielded && w->private_count == 0; /* then the sleep polls */
    if (!sleeps && (now - w->last_poll >= (alone ? YIELD_POLL : COIR__SLICE) ||
                    w->engine->has_events(w->loop))) {
        w->last_poll = now;
        atomic_fetch_add_explicit(&w->metric_polls, 1, memory_order_relaxed);
        w->engine->poll(w->loop, 0);
    }
    uint32_t shared = atomic_load_explicit(&rt->inject_count, memory_order_relaxed);
    if (shared)
        coir__inject_take(w, shared / rt->worker_count + 1 < COIR__RING / 4
                                 ? shared / rt->worker_count + 1
                                 : COIR__RING / 4);
    if (!coir__ring_is_empty(w)) { /* what was woken here keeps its order */
        coir__task *t = coir__lifo_take(w);
        if (t)
            coir__ring_push(w, t);
    }
    coir__task *yielded = w->yielded;
    if (yielded) {
        w->yielded = NULL;
        if (!w->handoff && !w->chaos && is_alone(w))
            w->handoff =
                yielded; /* not into the ring, from where a worker woken for it would take it */
        else if (atomic_load_explicit(&yielded->flags, memory_order_relaxed) & COIR__TASK_PINNED &&
                 !w->solo)
            coir__runnable_slow(w, yielded);
        else if (w->chaos)
            coir__inject(rt, yielded);
        else
            coir__ring_push(w, yielded);
    }
}

/* A task is about to run that may keep the worker from its timers, and nobody looks after it. */
static bool patrol_is_wanted(coir__worker *w)
{
    return (atomic_load_explicit(&w->careful, memory_order_relaxed) & COIR__CAREFUL_UNWATCHED) &&
           atomic_load_explicit(&w->wheel.next, memory_order_relaxed) != COIR_FOREVER;
}

static void worker_switch(coir__worker *w, coir__task *t)
{
    if (coir__unlikely(patrol_is_wanted(w)))
        coir__runtime_patrol(w->runtime);
    if (t->ctx.sp == NULL)
        task_attach(t, coir__stack_take(w->runtime->stacks, worker_cache(w, t), t->stack_class));
    w->budget = w->private_count ? COIR__BUDGET / 16 : COIR__BUDGET;
    if (w->lifo_left > COIR__LIFO_MAX) /* I5: the ring may have been filled from elsewhere */
        w->lifo_left = COIR__LIFO_MAX;
    w->current = t;
    atomic_store_explicit(&w->runs, atomic_load_explicit(&w->runs, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    coir__switch(&w->base.ctx, &t->ctx, &w->nowhere, 0);
    w->current = &w->base;
}

/* All tasks have ended. What they have left to the kernel ends too, and soon: it has been asked to. */
static bool watches_are_over(coir__worker *w)
{
    if (atomic_load_explicit(&w->runtime->watches, memory_order_acquire) == 0)
        return true;
    w->engine->poll(w->loop, COIR_MS(1));
    return false;
}

static void run_until_stopped(coir__worker *w)
{
    for (;;) {
        worker_tick(w);
        coir__task *t = take_own(w);
        if (!t) {
            if (atomic_load_explicit(&w->runtime->stopping, memory_order_acquire)) {
                if (watches_are_over(w))
                    break;
                continue;
            }
            t = worker_idle(w);
        }
        if (!t)
            continue;
        if (coir__unlikely(w->on_patrol))
            patrol_leave(w);
        worker_switch(w, t);
    }
}

/* The thread may be inside a C++ handler, whose exception is none of the tasks'. */
static coir__eh eh_put_away(coir__worker *w)
{
    coir__eh outer = *w->eh;
    if (coir__unlikely(outer.caught || outer.uncaught))
        *w->eh = (coir__eh){0};
    return outer;
}

static void eh_put_back(coir__worker *w, coir__eh outer)
{
    if (coir__unlikely(outer.caught || outer.uncaught))
        *w->eh = outer;
}

void coir__worker_run(coir__worker *w)
{
    coir__eh outer = eh_put_away(w);
    run_until_stopped(w);
    eh_put_back(w, outer);
}

/* -- in a foreign loop ------------------------------------------------------------------------------------------ */

static bool has_own(coir__worker *w)
{
    return w->handoff || w->yielded || w->private_count != 0 || w->overflow_count != 0 ||
           !coir__ring_is_empty(w) || atomic_load_explicit(&w->lifo, memory_order_relaxed);
}

static void worker_rise(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    atomic_fetch_sub(&rt->sleepers, 1);
    if (atomic_exchange(&w->sleeping, COIR__AWAKE) == COIR__ROUSED_TO_SEARCH)
        atomic_store(&rt->searching, 0); /* every queue is looked at from here on */
}

/* Declares sleep and then looks at everything, the kernel included. False: it is awake again, because something is to be done. What
 * comes after the look finds it asleep, and writes to the descriptor. Who has roused it already may have done so for a task that has
 * run long since, and the poll has taken what it wrote: to sleep on like that would be to sleep for ever. */
static bool worker_rest(coir__worker *w)
{
    atomic_store(&w->sleeping, COIR__ASLEEP);
    atomic_fetch_add(&w->runtime->sleepers, 1);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with whoever makes work visible */
    atomic_fetch_add_explicit(&w->metric_polls, 1, memory_order_relaxed);
    w->engine->poll(w->loop, 0);
    if (!has_own(w) && !work_waits(w) && !more_work_seen(w) && !w->engine->has_events(w->loop) &&
        atomic_load(&w->sleeping) == COIR__ASLEEP)
        return true;
    worker_rise(w);
    return false;
}

static bool pump(coir__worker *w, int64_t end)
{
    for (;;) {
        worker_tick(w);
        coir__task *t = take_own(w);
        if (t) {
            worker_switch(w, t);
            if (coir__time_now() < end)
                continue;
        }
        if (worker_rest(w))
            return true;
        if (coir__time_now() >= end)
            return false;
    }
}

bool coir__worker_pump(coir__worker *w, int64_t budget)
{
    int64_t end = coir__time_add(coir__time_now(),
                                 budget); /* of the system, whatever the tasks' clock */
    coir__eh outer = eh_put_away(w);
    coir__fpenv fp = coir__fpenv_save();
    if (atomic_load(&w->sleeping) != COIR__AWAKE)
        worker_rise(w);
    bool done = pump(w, end);
    if (!done)
        w->engine->wake(w->loop);
    if (coir__unlikely(w->unblock != 0)) /* a tick may not have followed the last task */
        coir__signal_unblock(w);
    trim_now_and_then(w);
    coir__fpenv_load(fp);
    eh_put_back(w, outer);
    return done;
}

/* -- life ------------------------------------------------------------------------------------------------------- */

int coir__worker_init(coir__worker *w, coir__runtime *rt, int16_t index)
{
    static coir__eh no_eh;
    int64_t now = coir__runtime_now(rt);
    w->runtime = rt;
    w->rt = rt->index;
    w->solo = rt->solo;
    atomic_store_explicit(&w->odd, w->chaos ? COIR__ODD_ALWAYS : 0, memory_order_relaxed);
    w->index = index;
    w->engine = rt->engine;
    w->eh = __cxa_get_globals ? __cxa_get_globals() : &no_eh;
    w->current = &w->base;
    w->base.rt = rt->index;
    w->base.scope = &w->base.root;
    w->base.root.deadline = COIR_FOREVER;
    w->thread = pthread_self();
    w->tid = (pid_t)syscall(SYS_gettid);
    w->slice_start = w->last_poll = w->last_trim = now;
    w->since = coir__since_of(now);
    atomic_store_explicit(&w->careful,
                          (uint32_t)rt->index << 16 | (rt->solo ? 0 : COIR__CAREFUL_UNWATCHED) |
                              (w->chaos ? COIR__CAREFUL_CHAOS : 0),
                          memory_order_relaxed);
    coir__rng_init(&w->rng, rt->seed + (uint64_t)index);
    coir__wheel_init(&w->wheel, now);
    coir__context_thread(&w->base.ctx);
    int rc = w->engine->init(&w->loop);
    if (rc < 0)
        return rc;
    if (rt->overflow_handler)
        rc = coir__overflow_thread_begin(&w->signal_stack);
    if (rc < 0)
        w->engine->destroy(w->loop);
    return rc;
}

void coir__worker_destroy(coir__worker *w)
{
    if (w->runtime->overflow_handler)
        coir__overflow_thread_end(w->signal_stack);
    w->engine->destroy(w->loop);
    coir__values_free(&w->base); /* a hook may have set some */
    coir__bias_release(w);
    coir__task_free_kept(w);
}
