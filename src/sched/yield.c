/* SPDX-License-Identifier: MIT */
/*
 * yield.c - how a task leaves its worker: what it takes along, who runs next, and the calls that do nothing else.
 *
 * A task switches to the next one directly; the worker's base is entered when there is none, when the next has no hot stack, or
 * when the budget is spent.
 */
#include <sched.h>

#include "arch/fpenv.h"
#include "sched/upcall.h"
#include "sched/worker.h"

#define RING_MASK (COIR__RING - 1)
#define YIELD_ALONE 8 /* what a yield takes of the budget that finds nobody else */

/* -- leaving ---------------------------------------------------------------------------------------------------- */

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

/* -- picking ---------------------------------------------------------------------------------------------------- */

coir__task *coir__pick_ring(coir__worker *w)
{
    coir__task *t = coir__likely(w->deep == 0) ? coir__ring_pop(w) : coir__ring_pop_deep(w);
    w->lifo_left = COIR__LIFO_MAX;
    if (!t)
        t = coir__lifo_take(w);
    return t ? t : &w->base;
}

static coir__stack_cache *cache_for(coir__worker *w, const coir__task *t)
{
    return &w->caches[t->stack_class - COIR__STACK_CLASS_MIN];
}

static void attach(coir__task *t, coir__stack *s)
{
    coir__task_settle(t, s);
    coir__context_make(&t->ctx, s->top, coir__task_main, NULL);
}

coir__task *coir__pick_fresh(coir__worker *w, coir__task *t)
{
    coir__stack *s = coir__stack_take_hot(cache_for(w, t));
    if (!s) {
        w->handoff = t;
        return &w->base;
    }
    attach(t, s);
    return t;
}

void coir__pick_equip(coir__worker *w, coir__task *t)
{
    attach(t, coir__stack_take(w->runtime->stacks, cache_for(w, t), t->stack_class));
}

/* -- yielding --------------------------------------------------------------------------------------------------- */

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

bool coir__worker_is_alone(coir__worker *w)
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
    if (w->budget >= 0 && coir__worker_is_alone(w) &&
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
