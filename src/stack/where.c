/* SPDX-License-Identifier: MIT */
/*
 * where.c - which stack is at an address.
 *
 * All slabs of the process, one word each (base, class and number of slots packed together), in chunks that are never
 * freed. Asked by the signal handler, so readers take no lock and see a slab whole or not at all; the faulting stack's
 * own slab can't go away meanwhile. Linear: 16,000 words for a million stacks, read once before an abort.
 */
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/lock.h"
#include "stack/slab.h"

#define CHUNK_WORDS 4095u
#define VACANT ((uintptr_t)1) /* the rest of the word is the next vacant word's address */
#define SLOTS_SHIFT 1
#define CLASS_SHIFT 7
#define BASE_MASK (~(uintptr_t)4095)

_Static_assert(COIR__STACK_CLASSES <= 32, "a class fits the five bits below a page's address");

struct chunk {
    struct chunk *_Atomic next;
    _Atomic uintptr_t words[CHUNK_WORDS]; /* 0: never used */
};

static coir__lock lock; /* guards writers, and: */
static struct chunk first_chunk;
static struct chunk *last_chunk = &first_chunk;
static unsigned last_used;
static _Atomic uintptr_t *vacant;
static _Atomic size_t words_used; /* in all chunks: readers need not look further */

static uintptr_t word_make(const coir__slab *s)
{
    return (uintptr_t)s->base | (uintptr_t)(s->class_ - COIR__STACK_CLASS_MIN) << CLASS_SHIFT |
           (uintptr_t)(s->slots - 1) << SLOTS_SHIFT;
}

/* A place for a slab, NULL when out of memory. */
static _Atomic uintptr_t *place_take_locked(void)
{
    _Atomic uintptr_t *place = vacant;
    if (place) {
        vacant = (_Atomic uintptr_t *)(*place & ~VACANT);
        return place;
    }
    if (last_used == CHUNK_WORDS) {
        struct chunk *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                               -1, 0);
        if (c == MAP_FAILED)
            return NULL;
        atomic_store_explicit(&last_chunk->next, c, memory_order_release); /* pairs with find() */
        last_chunk = c;
        last_used = 0;
    }
    atomic_fetch_add_explicit(&words_used, 1, memory_order_release); /* pairs with find() */
    return &last_chunk->words[last_used++];
}

int coir__where_add(coir__slab *s)
{
    coir__lock_take(&lock);
    s->place = place_take_locked();
    if (s->place)
        atomic_store_explicit(s->place, word_make(s), memory_order_release);
    coir__lock_drop(&lock);
    return s->place ? 0 : -ENOMEM;
}

void coir__where_remove(coir__slab *s)
{
    coir__lock_take(&lock);
    atomic_store_explicit(s->place, (uintptr_t)vacant | VACANT, memory_order_relaxed);
    vacant = s->place;
    coir__lock_drop(&lock);
}

/* The slot of this slab that holds `address`, or NULL. */
static char *slot_in(uintptr_t word, const char *address, unsigned *ret_class)
{
    if (word == 0 || word & VACANT)
        return NULL;
    unsigned class_ = (unsigned)(word >> CLASS_SHIFT & 31) + COIR__STACK_CLASS_MIN;
    uintptr_t index = ((uintptr_t)address - (word & BASE_MASK)) / coir__slot_size(class_);
    if (index > (word >> SLOTS_SHIFT & 63)) /* below the base: a huge number */
        return NULL;
    *ret_class = class_;
    return (char *)(word & BASE_MASK) + index * coir__slot_size(class_);
}

/* The slot of any slab that holds `address`, or NULL. */
static char *find(const char *address, unsigned *ret_class)
{
    size_t left = atomic_load_explicit(&words_used, memory_order_acquire);
    for (struct chunk *c = &first_chunk; c && left;
         c = atomic_load_explicit(&c->next, memory_order_acquire)) {
        for (unsigned i = 0; i < CHUNK_WORDS && left; i++, left--) {
            uintptr_t word = atomic_load_explicit(&c->words[i], memory_order_acquire);
            char *slot = slot_in(word, address, ret_class);
            if (slot)
                return slot;
        }
    }
    return NULL;
}

coir__stack *coir__stack_at(const void *address)
{
    unsigned class_;
    char *slot = find(address, &class_);
    if (!slot)
        return NULL;
    coir__stack *s = coir__slot_record(slot, class_);
    /* A slot that was never used has no record, and where stacks grow perhaps no memory for one. */
    return coir__memory_is_readable(s) && s->bottom == slot + coir__stack_guard(class_) ? s : NULL;
}

coir__stack *coir__stack_by_guard(const void *address)
{
    coir__stack *s = coir__stack_at(address);
    return s && (const char *)address < s->bottom ? s : NULL;
}

coir__stack *coir__stack_holding(const void *address)
{
    unsigned class_;
    char *slot = find(address, &class_);
    if (!slot || (size_t)((const char *)address - slot) < coir__stack_guard(class_))
        return NULL;
    return coir__slot_record(slot, class_);
}
