/* SPDX-License-Identifier: MIT */
#ifndef ON_STACK_H
#define ON_STACK_H

/* on_stack.h - runs a function on a stack of a pool, without a scheduler. */

#include "support/harness.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/switch.h"
#include "stack/stack.h"

#define PAGE ((size_t)4096)
#define DEFAULT_CLASS (coir__stack_class(0))

static coir__context on_stack_home, on_stack_ctx;
static void (*on_stack_fn)(void *);
static _Atomic uint32_t on_stack_word;

static void on_stack_main(void *arg)
{
    coir__switch_entered();
    on_stack_fn(arg);
    coir__switch_exit(&on_stack_home, &on_stack_word, 0);
}

static inline void on_stack(coir__stack *s, void (*fn)(void *), void *arg)
{
    on_stack_fn = fn;
    coir__context_thread(&on_stack_home);
    coir__context_stack(&on_stack_ctx, s->bottom, (size_t)((char *)s->top - s->bottom), s->fiber);
    coir__context_make(&on_stack_ctx, s->top, on_stack_main, arg);
    coir__switch(&on_stack_home, &on_stack_ctx, &on_stack_word, 0);
}

/* Asks the kernel. What is readable must be zeros there. */
static inline bool is_readable(const char *address)
{
    return syscall(SYS_rt_sigprocmask, SIG_BLOCK, address, NULL, (size_t)8) == 0;
}

/* A reservation and a stack, and back. */
static inline coir__stack *obtain(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_)
{
    CHECK_EQ(coir__stack_reserve(p, cache, class_), 0);
    return coir__stack_take(p, cache, class_);
}

static inline void give_up(coir__stack_pool *p, coir__stack_cache *cache, coir__stack *s)
{
    unsigned class_ = s->class_;
    coir__stack_put(p, cache, s);
    coir__stack_unreserve(p, cache, class_);
}

#endif
