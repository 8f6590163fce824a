/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_ALLOC_H
#define COIR_BASE_ALLOC_H

/* alloc.h - the only way to memory other than stacks and slabs. Aligned to 16. */

#include <coir.h>
#include <stddef.h>

/* Takes the allocator over if none has been set and nothing allocated; NULL keeps malloc. 0 or -EBUSY. */
int coir__alloc_init(const coir_allocator *a);

void *coir__alloc(size_t size);
void *coir__alloc_zero(size_t size);
void coir__release(void *memory);

/* A copy of a string. NULL when out of memory. */
char *coir__alloc_text(const char *text);

#endif
