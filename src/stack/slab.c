/* SPDX-License-Identifier: MIT */
/*
 * slab.c - mappings that hold stacks.
 *
 *   base                                                        aligned to 2 MiB, so that page tables are dense
 *   [guard|....usable....|record|colour] [guard|....usable....|record|colour] ...    64 slots or 16 MiB
 *
 * `lazy`: address space without a promise of memory (MAP_NORESERVE), no huge pages (one touch would cost 2 MiB).
 * `fixed`: one slot, memory given at once, as on systems without overcommit.
 *
 * The record is not at the very top but up to 15 lines below: stacks whose frames had equal offsets would compete for
 * the same sets of the first-level cache. The colour follows from the address.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/log.h"
#include "stack/slab.h"

#define SLAB_SIZE ((size_t)16 << 20)
#define ALIGNMENT ((size_t)2 << 20)
#define SLOTS_MAX 64u
#define GROUP 8u /* slots guarded at once */
#define COLOURS 16u
#define LINE 64u

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

_Static_assert(sizeof(coir__stack) <= LINE, "a record is one cache line");
_Static_assert(COLOURS *LINE == COIR__STACK_SLACK, "what stack.h says is lost");

coir__stack *coir__slot_record(char *slot, unsigned class_)
{
    size_t colour = ((uintptr_t)slot >> class_) % COLOURS;
    return (coir__stack *)(void *)(slot + coir__slot_size(class_) - (colour + 1) * LINE);
}

static unsigned slots_wanted(unsigned class_, bool fixed)
{
    size_t n = SLAB_SIZE >> class_;
    if (fixed || n == 0)
        return 1;
    return n < SLOTS_MAX ? (unsigned)n : SLOTS_MAX;
}

/* Cuts the middle out of a mapping that is larger by the alignment. */
static char *cut_aligned(char *memory, size_t size)
{
    char *base = (char *)(((uintptr_t)memory + ALIGNMENT - 1) & ~(ALIGNMENT - 1));
    if (base > memory)
        munmap(memory, (size_t)(base - memory));
    if (base < memory + ALIGNMENT)
        munmap(base + size, (size_t)(memory + ALIGNMENT - base));
    return base;
}

static char *map_lazy(size_t size)
{
    const int protection = PROT_READ | PROT_WRITE;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    char *base = mmap(NULL, size, protection, flags, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if ((uintptr_t)base % ALIGNMENT != 0 &&
        size >= ALIGNMENT) { /* seldom: recent kernels align it themselves */
        char *larger = mmap(NULL, size + ALIGNMENT, protection, flags, -1, 0);
        if (larger != MAP_FAILED) {
            munmap(base, size);
            base = cut_aligned(larger, size);
        }
    }
    madvise(base, size, MADV_NOHUGEPAGE);
    return base;
}

/* Makes the kernel back all of it now. False when there is no memory. */
static bool populate(char *memory, size_t size)
{
    if (madvise(memory, size, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno != EINVAL)
        return false;
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)memory)[i] = 0;
    return true;
}

static char *map_fixed(size_t size)
{
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
                      -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    madvise(base, size, MADV_NOHUGEPAGE);
    if (populate(base + COIR__STACK_GUARD, size - COIR__STACK_GUARD))
        return base;
    munmap(base, size);
    return NULL;
}

/* The slots of a group: for 256 KiB, what one page of page-table entries maps. */
static unsigned group_size(const coir__slab *s, unsigned first)
{
    return s->slots - first < GROUP ? s->slots - first : GROUP;
}

static uint64_t bits(unsigned first, unsigned n) { return (UINT64_MAX >> (64 - n)) << first; }

/* The guards that must be there before the slab is used. Their number is that of the slots that can be used. */
static unsigned guard_first(coir__slab *s)
{
    size_t slot = coir__slot_size(s->class_);
    unsigned n = group_size(s, 0);
    if (coir__guard_mark(s->base, slot, n) && coir__guard_works(s->base)) {
        s->guarded = bits(0, n);
        return s->slots;
    }
    n = coir__guard_protect(s->base, slot, s->slots);
    s->guarded = n ? bits(0, n) : 0;
    return n;
}

uint64_t coir__slab_guard(const coir__slab *s, unsigned index)
{
    size_t slot = coir__slot_size(s->class_);
    unsigned first = index - index % GROUP, n = group_size(s, first);
    if (coir__guard_mark(s->base + first * slot, slot, n))
        return bits(first, n);
    if (coir__guard_protect(s->base + index * slot, slot, 1) ==
        1) /* the process has locked its memory since */
        return bits(index, 1);
    coir__log("the kernel refuses the guard of a stack");
    abort();
}

/* Maps n slots, or as many as can be guarded. Their number, 0 if none. */
static unsigned map_slots(coir__slab *s, unsigned n)
{
    size_t slot = coir__slot_size(s->class_);
    s->base = s->fixed ? map_fixed(slot) : map_lazy(n * slot);
    if (!s->base)
        return 0;
    s->slots = (uint8_t)n;
    unsigned guarded = guard_first(s);
    if (guarded < n)
        munmap(s->base + guarded * slot, (n - guarded) * slot);
    s->slots = (uint8_t)guarded;
    return guarded;
}

coir__slab *coir__slab_map(unsigned class_, bool fixed)
{
    coir__slab *s = coir__alloc_zero(sizeof *s);
    unsigned got = 0;
    if (!s)
        return NULL;
    s->class_ = (uint8_t)class_;
    s->fixed = fixed;
    for (unsigned n = slots_wanted(class_, fixed); n > 0 && got == 0; n /= 8)
        got = map_slots(s, n);
    if (got > 0 && coir__where_add(s) == 0) {
        s->free = coir__slab_all(s);
        return s;
    }
    if (got > 0)
        munmap(s->base, got * coir__slot_size(class_));
    coir__release(s);
    return NULL;
}

void coir__slab_unmap(coir__slab *s)
{
    size_t size = s->slots * coir__slot_size(s->class_);
    coir__where_remove(s);
    coir__stack_unpoison(s->base, size);
    munmap(s->base, size);
    coir__release(s);
}

void coir__slab_release(const coir__slab *s, uint64_t slots)
{
    size_t slot = coir__slot_size(s->class_);
    if (s->fixed)
        return;
    while (
        slots) { /* runs of neighbours by one call, guards between them included: they survive it */
        unsigned first = (unsigned)__builtin_ctzll(slots);
        uint64_t rest = ~(slots >> first);
        unsigned n = rest ? (unsigned)__builtin_ctzll(rest) : 64;
        madvise(s->base + first * slot + COIR__STACK_GUARD, n * slot - COIR__STACK_GUARD,
                MADV_DONTNEED);
        if (first + n >= 64)
            break;
        slots &= UINT64_MAX << (first + n);
    }
}
