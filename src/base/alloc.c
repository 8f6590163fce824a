/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"

static void *system_allocate(void *arg, size_t size)
{
    (void)arg;
    return malloc(size);
}

static void system_release(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

static coir_allocator current = {system_allocate, system_release, NULL};
static atomic_size_t blocks; /* allocated and not released: the allocator can change only at 0 */
static coir__lock changing;

int coir__alloc_init(const coir_allocator *a)
{
    static const coir_allocator standard = {system_allocate, system_release, NULL};
    const coir_allocator *wanted = a ? a : &standard;
    int rc = 0;
    coir__lock_take(&changing);
    if (current.allocate == wanted->allocate && current.release == wanted->release &&
        current.arg == wanted->arg)
        rc = 0;
    else if (atomic_load(&blocks) == 0)
        current = *wanted;
    else if (a)
        rc = -EBUSY;
    coir__lock_drop(&changing);
    return rc;
}

void *coir__alloc(size_t size)
{
    void *memory = current.allocate(current.arg, size);
    if (memory)
        atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    return memory;
}

void *coir__alloc_zero(size_t size)
{
    void *memory = coir__alloc(size);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

void coir__release(void *memory)
{
    if (!memory)
        return;
    current.release(current.arg, memory);
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
}

char *coir__alloc_text(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = coir__alloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}
