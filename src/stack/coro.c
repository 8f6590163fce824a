/* SPDX-License-Identifier: MIT */
/*
 * coro.c - coroutines without the scheduler: <coir/coro.h>.
 *
 * A coroutine runs between a resume and the next yield, on the resumer's thread; `resumer` is the context that its resume
 * is suspended in. The resumer alone changes the state, before it leaves and after it has landed, so whoever finds SUSPENDED
 * (on another thread, too) finds saved registers. The stack is reserved at the beginning, taken at the first resume, and
 * given back at the end.
 *
 * What belongs to the thread and is not swapped by the switch: which coroutine runs (`running`, restored by the resumer), and
 * the exceptions that C++ code is handling.
 */
#include <coir/coro.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "arch/switch.h"
#include "base/alloc.h"
#include "base/log.h"
#include "stack/stack.h"

enum coro_state { SUSPENDED, RUNNING, ENDED };

/* The beginning of what __cxa_get_globals() returns (Itanium C++ ABI, 2.2.2). */
struct exceptions {
    void *caught;
    unsigned uncaught;
};

struct coir_coro {
    coir__context self;
    coir__context resumer;
    _Atomic uint32_t state;
    _Atomic uint32_t nowhere; /* what switches publish: nothing */
    unsigned class_;
    bool returned;
    coir__stack *stack; /* NULL before the first resume and after the end */
    coir_coro_fn *fn;
    void *arg;
    void *value;                  /* on its way in or out */
    coir_coro *outer;             /* what ran on this thread before */
    struct exceptions exceptions; /* its own while suspended, the resumer's while it runs */
};

/* -- thread-local ----------------------------------------------------------------------------------------------- */

/* A coroutine may go on on another thread: nothing here may be inlined into code that switches. */
static _Thread_local coir_coro *running;

static COIR__NOINLINE coir_coro *running_get(void)
{
    coir__compiler_fence();
    return running;
}

static COIR__NOINLINE void running_set(coir_coro *c)
{
    running = c;
    coir__compiler_fence();
}

extern struct exceptions *__cxa_get_globals(void) __attribute__((weak));

/* Without it, two that switch inside `catch` would free each other's exception. */
static COIR__NOINLINE void exceptions_swap(struct exceptions *other)
{
    if (!__cxa_get_globals)
        return;
    struct exceptions *mine = __cxa_get_globals();
    struct exceptions kept = *mine;
    *mine = *other;
    *other = kept;
}

/* -- life ------------------------------------------------------------------------------------------------------- */

coir_coro *coir_coro_new(coir_coro_fn *fn, void *arg, size_t stack_reserve)
{
    coir__stack_pool *pool = coir__stack_pool_shared();
    unsigned class_ = coir__stack_class(stack_reserve);
    coir_coro *c = fn && class_ ? coir__alloc_zero(sizeof *c) : NULL;
    if (!c)
        return NULL;
    if (coir__stack_reserve(pool, NULL, class_) != 0) {
        coir__release(c);
        return NULL;
    }
    c->class_ = class_;
    c->fn = fn;
    c->arg = arg;
    return c;
}

static void coro_main(void *arg)
{
    coir__switch_entered();
    coir_coro *c = arg;
    c->value = c->fn(c->arg);
    c->returned = true;
    coir__switch_exit(&c->resumer, &c->nowhere, 0);
}

static void stack_attach(coir_coro *c)
{
    coir__stack *s = coir__stack_take(coir__stack_pool_shared(), NULL, c->class_);
    c->stack = s;
    coir__context_stack(&c->self, s->bottom, (size_t)((char *)s->top - s->bottom), s->fiber);
    coir__context_make(&c->self, s->top, coro_main, c);
}

static void stack_detach(coir_coro *c)
{
    coir__stack_pool *pool = coir__stack_pool_shared();
    if (c->stack)
        coir__stack_put(pool, NULL, c->stack);
    c->stack = NULL;
    coir__stack_unreserve(pool, NULL, c->class_);
}

void coir_coro_free(coir_coro *c)
{
    if (!c)
        return;
    uint32_t state = atomic_load_explicit(&c->state, memory_order_acquire);
    if (state == RUNNING) {
        coir__log("coir_coro_free: the coroutine is running");
        abort();
    }
    if (state == SUSPENDED)
        stack_detach(c);
    coir__release(c);
}

bool coir_coro_done(const coir_coro *c)
{
    return atomic_load_explicit(&c->state, memory_order_acquire) == ENDED;
}

/* -- resume and yield ------------------------------------------------------------------------------------------- */

#if COIR__ASAN || COIR__TSAN
static _Thread_local coir__context thread_context;

/* The stack that resumes: another coroutine's, a task's, or this thread's. */
static COIR__NOINLINE void resumer_describe(coir__context *resumer)
{
    const coir__stack *s = coir__stack_holding(__builtin_frame_address(0));
    if (s) {
        coir__context_stack(resumer, s->bottom, (size_t)((char *)s->top - s->bottom), s->fiber);
        return;
    }
    if (!thread_context.stack_bottom)
        coir__context_thread(&thread_context);
    coir__context_inherit(resumer, &thread_context);
}
#else
static void resumer_describe(coir__context *resumer) { (void)resumer; }
#endif

/* From here to the next yield, or the end, of `c`. */
static void run(coir_coro *c)
{
    c->outer = running_get();
    resumer_describe(&c->resumer);
    running_set(c);
    exceptions_swap(&c->exceptions);
    coir__switch(&c->resumer, &c->self, &c->nowhere, 0);
    exceptions_swap(&c->exceptions);
    running_set(c->outer);
}

int coir_coro_resume(coir_coro *c, void *value, void **ret)
{
    uint32_t state = SUSPENDED;
    if (!atomic_compare_exchange_strong_explicit(&c->state, &state, RUNNING, memory_order_acquire,
                                                 memory_order_acquire))
        return state == ENDED ? -ESRCH : -EBUSY;
    if (!c->stack)
        stack_attach(c);
    c->value = value;
    run(c);
    bool ended = c->returned;
    void *got = c->value;
    if (ended)
        stack_detach(c);
    atomic_store_explicit(&c->state, ended ? ENDED : SUSPENDED, memory_order_release);
    if (ret)
        *ret = got;
    return 0;
}

/* Whether the caller is on the coroutine's own stack, not on a task's that it started. */
static bool is_on(const coir_coro *c)
{
    const char *frame = __builtin_frame_address(0);
    return frame >= c->stack->bottom && frame < (char *)c->stack->top;
}

int coir_coro_yield(void *value, void **ret)
{
    coir_coro *c = running_get();
    if (!c || !is_on(c))
        return -EPERM;
    c->value = value;
    coir__switch(&c->self, &c->resumer, &c->nowhere, 0);
    if (ret)
        *ret = c->value;
    return 0;
}
