/* SPDX-License-Identifier: MIT */
/*
 * harness_heap.c - counts live heap blocks by standing in front of glibc's allocator.
 *
 * mallinfo2() would do without, but counts what lies in a thread's cache as in use. Under sanitizers, which stand there
 * themselves, in static programs and with other C libraries nothing is counted; under ASan LeakSanitizer is asked.
 */
#include "support/harness_private.h"

#include <stdatomic.h>
#include <stdlib.h>

#if HARNESS_ASAN
int __lsan_do_recoverable_leak_check(void);

bool harness_lsan_has_leaks(void) { return __lsan_do_recoverable_leak_check() != 0; }
#else
bool harness_lsan_has_leaks(void) { return false; }
#endif

#if defined(__GLIBC__) && !defined(HARNESS_STATIC) && !HARNESS_ASAN && !HARNESS_TSAN

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *block);

static _Atomic long live;

long harness_heap_blocks(void) { return atomic_load_explicit(&live, memory_order_relaxed); }

static void *counted(void *block)
{
    if (block)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return block;
}

void *malloc(size_t size) { return counted(__libc_malloc(size)); }

void *calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size)); }

void *realloc(void *block, size_t size)
{
    if (!block)
        return malloc(size);
    if (size == 0) {
        free(block);
        return NULL;
    }
    return __libc_realloc(block, size);
}

void *memalign(size_t align, size_t size) { return counted(__libc_memalign(align, size)); }

void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

int posix_memalign(void **ret_block, size_t align, size_t size)
{
    void *block = memalign(align, size);
    if (!block)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

void free(void *block)
{
    if (!block)
        return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    __libc_free(block);
}

#else

long harness_heap_blocks(void) { return 0; }

#endif
