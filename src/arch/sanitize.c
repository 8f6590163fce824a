/* SPDX-License-Identifier: MIT */
/*
 * sanitize.c - the switch as the sanitizers must see it. Empty in other builds.
 *
 * Each wrapper announces the stack it goes to, calls the assembly, and reports the landing. ThreadSanitizer can't see
 * the store in the assembly that publishes, so it is told of the release beforehand; a fiber stands for a stack, not for
 * a task, so that the number of fibers stays small. The file itself is not instrumented, and its helpers are inlined: clang
 * reports entries and exits of functions even so, and theirs would be on different fibers.
 */
#include "arch/switch.h"

#if COIR__ASAN || COIR__TSAN

#include <pthread.h>

int coir__switch_raw(coir__context *from, coir__context *to, _Atomic uint32_t *word,
                     uint32_t value);
int coir__switch_publish_raw(coir__context *from, coir__context *to, _Atomic uint32_t *word,
                             uint32_t expected, uint32_t desired);
COIR__NORETURN void coir__switch_exit_raw(coir__context *to, _Atomic uint32_t *word,
                                          uint32_t value);

#if COIR__ASAN
#define UNINSTRUMENTED __attribute__((no_sanitize("address")))
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old,
                                     size_t *size_old);
#else
#define UNINSTRUMENTED __attribute__((no_sanitize("thread")))
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_release(void *address);
#endif

UNINSTRUMENTED COIR__INLINE void leave(void **fake_stack, coir__context *to, _Atomic uint32_t *word)
{
#if COIR__ASAN
    (void)word;
    __sanitizer_start_switch_fiber(fake_stack, to->stack_bottom, to->stack_size);
#else
    (void)fake_stack;
    __tsan_release((void *)word);
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
}

UNINSTRUMENTED COIR__INLINE void land(void *fake_stack)
{
#if COIR__ASAN
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
#else
    (void)fake_stack;
#endif
}

UNINSTRUMENTED int coir__switch(coir__context *from, coir__context *to, _Atomic uint32_t *word,
                                uint32_t value)
{
    leave(&from->fake_stack, to, word);
    int result = coir__switch_raw(from, to, word, value);
    land(from->fake_stack);
    return result;
}

UNINSTRUMENTED int coir__switch_publish(coir__context *from, coir__context *to,
                                        _Atomic uint32_t *word, uint32_t expected, uint32_t desired)
{
    leave(&from->fake_stack, to, word);
    int result = coir__switch_publish_raw(from, to, word, expected, desired);
#if COIR__TSAN
    if (result == COIR__SWITCH_LOST)
        __tsan_switch_to_fiber(from->fiber, 0); /* we never left */
    land(from->fake_stack);
#else
    land(from->fake_stack);
    if (result ==
        COIR__SWITCH_LOST) { /* we never left: put the bounds back by a switch to ourselves */
        __sanitizer_start_switch_fiber(&from->fake_stack, from->stack_bottom, from->stack_size);
        land(from->fake_stack);
    }
#endif
    return result;
}

UNINSTRUMENTED void coir__switch_exit(coir__context *to, _Atomic uint32_t *word, uint32_t value)
{
    leave(NULL, to, word);
    coir__switch_exit_raw(to, word, value);
}

UNINSTRUMENTED void coir__switch_entered(void) { land(NULL); }

void coir__context_stack(coir__context *c, const void *bottom, size_t size, void *fiber)
{
    c->stack_bottom = bottom;
    c->stack_size = size;
    c->fake_stack = NULL;
    c->fiber = fiber;
}

void coir__context_thread(coir__context *c)
{
    pthread_attr_t attr;
    void *bottom = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &bottom, &size);
        pthread_attr_destroy(&attr);
    }
#if COIR__TSAN
    coir__context_stack(c, bottom, size, __tsan_get_current_fiber());
#else
    coir__context_stack(c, bottom, size, NULL);
#endif
}

void coir__context_inherit(coir__context *next, const coir__context *last)
{
    next->stack_bottom = last->stack_bottom;
    next->stack_size = last->stack_size;
    next->fiber = last->fiber;
    next->fake_stack = NULL;
}

void *coir__fiber_new(void)
{
#if COIR__TSAN
    return __tsan_create_fiber(0);
#else
    return NULL;
#endif
}

void coir__fiber_free(void *fiber)
{
#if COIR__TSAN
    if (fiber)
        __tsan_destroy_fiber(fiber);
#else
    (void)fiber;
#endif
}

#else
typedef int coir__no_sanitizer; /* a file may not be empty */
#endif
