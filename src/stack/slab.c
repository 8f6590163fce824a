/* SPDX-License-Identifier: MIT */
/*
 * slab.c - mappings that hold stacks.
 *
 *   base
 *   [guard|....usable....|record|colour] [guard|....usable....|record|colour] ...   at most 64 slots, or 16 MiB
 *
 * `lazy`: address space without a promise of memory (MAP_NORESERVE), no huge pages (one touch would cost 2 MiB).
 * `grow`: inaccessible but for the highest 64 KiB of each slot, up to 16 slots, because the system promises memory for these.
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
#define TABLE_SPAN ((size_t)2 << 20) /* what one page of page-table entries maps */
#define SLOTS_MAX 64u
#define SLOTS_GROWING 16u
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

static unsigned slots_wanted(unsigned class_, coir_stack_strategy strategy)
{
    size_t n = SLAB_SIZE / coir__slot_size(class_), most = SLOTS_MAX;
    if (strategy == COIR_STACK_GROW)
        most = SLOTS_GROWING;
    if (strategy == COIR_STACK_FIXED || n == 0)
        return 1;
    return (unsigned)(n < most ? n : most);
}

static char *map_reserved(size_t size, int protection)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    char *base = mmap(NULL, size, protection, flags, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
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

static char *map_fixed(size_t size, size_t guard)
{
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
                      -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    madvise(base, size, MADV_NOHUGEPAGE);
    if (populate(base + guard, size - guard))
        return base;
    munmap(base, size);
    return NULL;
}

/* The slots that one page of page-table entries maps are guarded at once: these page tables are needed anyway. */
static unsigned group_of_class(unsigned class_)
{
    size_t n = TABLE_SPAN >> class_;
    if (n == 0)
        return 1;
    return n < SLOTS_MAX ? (unsigned)n : SLOTS_MAX;
}

static unsigned group_size(const coir__slab *s, unsigned first)
{
    unsigned group = group_of_class(s->class_);
    return s->slots - first < group ? s->slots - first : group;
}

static uint64_t bits(unsigned first, unsigned n) { return (UINT64_MAX >> (64 - n)) << first; }

/* The guards that must be there before the slab is used. Their number is that of the slots that can be used. */
static unsigned guard_first(coir__slab *s)
{
    unsigned n = group_size(s, 0);
    if (s->strategy == COIR_STACK_GROW) {
        n = coir__grow_begin(s->base, s->class_, s->slots);
    } else if (coir__guard_mark(s->base, s->class_, n) && !coir__memory_is_readable(s->base)) {
        s->guarded = bits(0, n);
        return s->slots;
    } else {
        n = coir__guard_protect(s->base, s->class_, s->slots);
    }
    s->guarded = n ? bits(0, n) : 0;
    return n;
}

uint64_t coir__slab_guard(const coir__slab *s, unsigned index)
{
    size_t slot = coir__slot_size(s->class_);
    unsigned first = index - index % group_of_class(s->class_), n = group_size(s, first);
    if (coir__guard_mark(s->base + first * slot, s->class_, n))
        return bits(first, n);
    if (coir__guard_protect(s->base + index * slot, s->class_, 1) ==
        1) /* the process has locked its memory since */
        return bits(index, 1);
    coir__log("the kernel refuses the guard of a stack");
    abort();
}

/* Maps n slots, or as many as can be guarded. Their number, 0 if none. */
static unsigned map_slots(coir__slab *s, unsigned n)
{
    size_t slot = coir__slot_size(s->class_);
    if (s->strategy == COIR_STACK_FIXED)
        s->base = map_fixed(slot, coir__stack_guard(s->class_));
    else
        s->base = map_reserved(n * slot,
                               s->strategy == COIR_STACK_GROW ? PROT_NONE : PROT_READ | PROT_WRITE);
    if (!s->base)
        return 0;
    s->slots = (uint8_t)n;
    unsigned guarded = guard_first(s);
    if (guarded < n)
        munmap(s->base + guarded * slot, (n - guarded) * slot);
    s->slots = (uint8_t)guarded;
    return guarded;
}

coir__slab *coir__slab_map(unsigned class_, coir_stack_strategy strategy)
{
    coir__slab *s = coir__alloc_zero(sizeof *s);
    unsigned got = 0;
    if (!s)
        return NULL;
    s->class_ = (uint8_t)class_;
    s->strategy = (uint8_t)strategy;
    for (unsigned n = slots_wanted(class_, strategy); n > 0 && got == 0; n /= 8)
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

/* Each by itself: what is below the first floor goes too. */
static void release_growing(const coir__slab *s, uint64_t slots)
{
    for (; slots; slots &= slots - 1) {
        char *slot = coir__slot_at(s, (unsigned)__builtin_ctzll(slots));
        char *floor = coir__slot_first_floor(slot, s->class_);
        coir__grow_undo(coir__slot_record(slot, s->class_));
        madvise(floor, (size_t)(slot + coir__slot_size(s->class_) - floor), MADV_DONTNEED);
    }
}

/* Runs of neighbours by one call, guards between them included: they survive it. */
static void release_lazy(const coir__slab *s, uint64_t slots)
{
    size_t slot = coir__slot_size(s->class_), guard = coir__stack_guard(s->class_);
    while (slots) {
        unsigned first = (unsigned)__builtin_ctzll(slots);
        uint64_t rest = ~(slots >> first);
        unsigned n = rest ? (unsigned)__builtin_ctzll(rest) : 64;
        madvise(s->base + first * slot + guard, n * slot - guard, MADV_DONTNEED);
        if (first + n >= 64)
            break;
        slots &= UINT64_MAX << (first + n);
    }
}

void coir__slab_release(const coir__slab *s, uint64_t slots)
{
    if (s->strategy == COIR_STACK_LAZY)
        release_lazy(s, slots);
    else if (s->strategy == COIR_STACK_GROW)
        release_growing(s, slots);
}

void coir__stack_shrink(coir__stack *s)
{
    char *end = (char *)((uintptr_t)s & ~(uintptr_t)4095) + 4096; /* of the slot */
    size_t usable = (size_t)(end - s->bottom);
    s->shrunk = true;
    if (s->slab->strategy == COIR_STACK_FIXED || usable <= COIR__STACK_KEEP)
        return;
    coir__grow_undo(s);
    char *floor = atomic_load_explicit(&s->floor, memory_order_relaxed);
    madvise(floor, (size_t)(end - COIR__STACK_KEEP - floor), MADV_DONTNEED);
}
