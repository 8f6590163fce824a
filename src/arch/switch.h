/* SPDX-License-Identifier: MIT */
#ifndef COIR_ARCH_SWITCH_H
#define COIR_ARCH_SWITCH_H

/*
 * switch.h - how one stack becomes another.
 *
 * A suspended context is a stack pointer: the callee-saved registers and the resume address lie on its stack. A switch
 *
 *   1. saves the registers of `from` and stores its stack pointer,
 *   2. publishes: stores `value` to `*word` with release order (a lock becomes free, a queue's tail moves), after
 *      which `from` may be resumed by another thread and nothing of it is touched any more,
 *   3. loads the stack pointer of `to` and returns to->result there. It is an int, because compilers make no sibling call
 *      from a function to one that returns another type.
 *
 * It ends in a jump if `to` resumes at another address than `from` would, because the return predictor belongs to the
 * task that leaves; in a return if both are the same, because then it is right all the way up.
 *
 * Callers tail-call these functions where they can, so that the landing is in the user's own code.
 *
 * Floating-point control words and signal masks are not switched. In sanitizer builds the functions are wrappers
 * (sanitize.c) that announce the switch; in portable builds they are made of swapcontext(3).
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

typedef struct coir__context {
    void *sp;       /* of a suspended context; NULL: never started */
    int64_t result; /* what its switch will return (the low 32 bits) */
#if COIR__ASAN || COIR__TSAN
    void *fake_stack;         /* ASan's, while suspended */
    const void *stack_bottom; /* lowest address */
    size_t stack_size;
    void *fiber; /* TSan's */
#endif
} coir__context;

/* coir__switch_publish() lost: the word was not as expected, and the caller goes on. */
#define COIR__SWITCH_LOST INT32_MIN

/* Suspends `from`, publishes, resumes `to`. Returns from->result when `from` is resumed. */
int coir__switch(coir__context *from, coir__context *to, _Atomic uint32_t *word, uint32_t value);

/* The same, but publishes by compare-and-swap of `*word` from `expected` to `desired`. If that fails nothing has
 * happened and COIR__SWITCH_LOST is returned. */
int coir__switch_publish(coir__context *from, coir__context *to, _Atomic uint32_t *word,
                         uint32_t expected, uint32_t desired);

/* Leaves the current stack for good: publishes, resumes `to`. */
COIR__NORETURN void coir__switch_exit(coir__context *to, _Atomic uint32_t *word, uint32_t value);

/* Makes `c` start with entry(arg) on the stack that ends at `top` (aligned to 16) when resumed. `entry` must not
 * return. It calls coir__switch_entered() first. Only `sp` is written, and the stack's last bytes. */
void coir__context_make(coir__context *c, void *top, void (*entry)(void *arg), void *arg);

/* Bytes that coir__context_make() writes below `top`, at most. */
#if defined(COIR_ARCH_PORTABLE)
#define COIR__CONTEXT_SIZE 2048
#else
#define COIR__CONTEXT_SIZE 256
#endif

#if COIR__ASAN || COIR__TSAN || defined(COIR_ARCH_PORTABLE)
/* To be called by whatever a context starts with. */
void coir__switch_entered(void);
#else
COIR__INLINE void coir__switch_entered(void) {}
#endif

#if COIR__ASAN || COIR__TSAN
/* Tells the sanitizers about the stack `c` will run on, before coir__context_make(); and about the stack of the thread
 * that calls it (for the context a thread itself is suspended in). */
void coir__context_stack(coir__context *c, const void *bottom, size_t size, void *fiber);
void coir__context_thread(coir__context *c);
void *coir__fiber_new(void);
void coir__fiber_free(void *fiber);
/* The next context runs on the stack of the last one, without a switch. */
void coir__context_inherit(coir__context *next, const coir__context *last);
#else
COIR__INLINE void coir__context_stack(coir__context *c, const void *bottom, size_t size,
                                      void *fiber)
{
    (void)c, (void)bottom, (void)size, (void)fiber;
}
COIR__INLINE void coir__context_thread(coir__context *c) { (void)c; }
COIR__INLINE void *coir__fiber_new(void) { return NULL; }
COIR__INLINE void coir__fiber_free(void *fiber) { (void)fiber; }
COIR__INLINE void coir__context_inherit(coir__context *next, const coir__context *last)
{
    (void)next, (void)last;
}
#endif

#endif
