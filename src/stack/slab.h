/* SPDX-License-Identifier: MIT */
#ifndef COIR_STACK_SLAB_H
#define COIR_STACK_SLAB_H

/*
 * slab.h - between the files of src/stack: slabs (slab.c), guards (guard.c), addresses (where.c).
 *
 * A slab is one mapping of 1 to 64 slots of one class. Guards that could fail for lack of mappings are installed when it
 * is mapped; the others by groups of eight, before the first slot of a group is touched. Its header is ordinary
 * memory; a slot costs three bits there.
 */

#include "base/list.h"
#include "stack/stack.h"

typedef struct coir__slab {
    coir__link link;  /* in a list of its class; pool lock */
    char *base;       /* fixed */
    uint64_t free;    /* slots that no task, cache or depot has; pool lock */
    uint64_t guarded; /* slots whose guard is in place; pool lock */
    uint64_t dirty;   /* slots on the way from the depot to `free`; whoever trims */
    struct coir__slab *next_dirty;
    _Atomic uintptr_t *place; /* where.c's */
    uint8_t class_;
    uint8_t slots;
    bool fixed; /* strategy: populated, never released piecemeal */
} coir__slab;

COIR__INLINE size_t coir__slot_size(unsigned class_) { return (size_t)1 << class_; }

COIR__INLINE uint64_t coir__slab_all(const coir__slab *s) { return UINT64_MAX >> (64 - s->slots); }

/* Maps a slab, all slots free. NULL if memory, address space or mappings are out. */
coir__slab *coir__slab_map(unsigned class_, bool fixed);
void coir__slab_unmap(coir__slab *s);

/* Installs the guards of this slot's group; needs no lock, and may be repeated. Returns the slots that are guarded now;
 * aborts if the kernel refuses. */
uint64_t coir__slab_guard(const coir__slab *s, unsigned index);

/* Gives the memory of these slots back to the system; their guards stay. */
void coir__slab_release(const coir__slab *s, uint64_t slots);

/* -- guards ----------------------------------------------------------------------------------------------------- */

/* Makes the lowest COIR__STACK_GUARD bytes of n slots inaccessible, by marks in the page tables. False if the kernel
 * can't. */
bool coir__guard_mark(char *base, size_t slot_size, unsigned n);

/* Whether a mark has an effect. */
bool coir__guard_works(const char *base);

/* The same by protection, which splits the mapping. Returns of how many slots, from the first on. */
unsigned coir__guard_protect(char *base, size_t slot_size, unsigned n);

/* For tests: as if the kernel had no MADV_GUARD_INSTALL. */
void coir__guard_force_mprotect(bool force);

/* -- addresses -------------------------------------------------------------------------------------------------- */

/* Where the record of a slot is: at its highest addresses, less the colour. */
coir__stack *coir__slot_record(char *slot, unsigned class_);

/* Makes a slab known to coir__stack_by_guard(). 0 or -ENOMEM. */
int coir__where_add(coir__slab *s);
void coir__where_remove(coir__slab *s);

#endif
