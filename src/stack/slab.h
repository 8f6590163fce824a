/* SPDX-License-Identifier: MIT */
#ifndef COIR_STACK_SLAB_H
#define COIR_STACK_SLAB_H

/*
 * slab.h - between the files of src/stack: slabs (slab.c), guards (guard.c), addresses (where.c).
 *
 * A slab is one mapping of 1 to 64 slots of one class. Guards that could fail for lack of mappings are installed when it
 * is mapped; the others by groups of as many as one page of page-table entries maps, before the first slot of a group is
 * touched. Its header is ordinary
 * memory; a slot costs three bits there.
 */

#include <signal.h>

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
    uint8_t strategy; /* coir_stack_strategy; not AUTO */
} coir__slab;

/*
 * The skew is for the translation buffer (TLB): it finds a page by the low bits of its number. Were slots powers of two, the tops of
 * all stacks would have the same, and compete for a few of its places; like this each has another.
 */
COIR__INLINE size_t coir__slot_size(unsigned class_)
{
    return coir__stack_usable(class_) + coir__stack_guard(class_);
}

COIR__INLINE char *coir__slot_at(const coir__slab *s, unsigned index)
{
    return s->base + index * coir__slot_size(s->class_);
}

COIR__INLINE uint64_t coir__slab_all(const coir__slab *s) { return UINT64_MAX >> (64 - s->slots); }

/* Maps a slab, all slots free. NULL if memory, address space or mappings are out. */
coir__slab *coir__slab_map(unsigned class_, coir_stack_strategy strategy);
void coir__slab_unmap(coir__slab *s);

/* Installs the guards of this slot's group; needs no lock, and may be repeated. Returns the slots that are guarded now;
 * aborts if the kernel refuses. */
uint64_t coir__slab_guard(const coir__slab *s, unsigned index);

/* Gives the memory of these slots back to the system; their guards stay. */
void coir__slab_release(const coir__slab *s, uint64_t slots);

/* Gives the memory of an idle stack back, but for the highest COIR__STACK_KEEP bytes. */
#define COIR__STACK_KEEP ((size_t)16 << 10)
void coir__stack_shrink(coir__stack *s);

/* -- guards ----------------------------------------------------------------------------------------------------- */

/* Makes the guards of n slots inaccessible, by marks in the page tables. False if the kernel can't. */
bool coir__guard_mark(char *base, unsigned class_, unsigned n);

/* The same by protection, which splits the mapping. Returns of how many slots, from the first on. */
unsigned coir__guard_protect(char *base, unsigned class_, unsigned n);

/* Asks the kernel. Async-signal-safe. */
bool coir__memory_is_readable(const void *address);

/* -- growing (grow.c) ------------------------------------------------------------------------------------------- */

/* What is accessible of a growing slot at first: its highest bytes, or all that is usable. */
#define COIR__STACK_COMMIT ((size_t)64 << 10)

COIR__INLINE char *coir__slot_first_floor(char *slot, unsigned class_)
{
    size_t size = coir__slot_size(class_), usable = size - coir__stack_guard(class_);
    return slot + size - (usable < COIR__STACK_COMMIT ? usable : COIR__STACK_COMMIT);
}

/* The highest bytes of n growing slots become accessible. Returns of how many, from the first on. */
unsigned coir__grow_begin(char *base, unsigned class_, unsigned n);

/* What has been made accessible since is given back, with the system's promise of memory for it. An idle stack. */
void coir__grow_undo(coir__stack *s);

/* Whose fault was it? */
typedef enum coir__fault {
    COIR__FAULT_FOREIGN,   /* not of a growing stack */
    COIR__FAULT_GROWN,     /* the access can be repeated */
    COIR__FAULT_NO_MEMORY, /* for the stack in *ret */
    COIR__FAULT_NO_ROOM    /* the kernel had no room for a signal's frame on *ret */
} coir__fault;

/* In a handler of SIGSEGV. */
coir__fault coir__grow_on_fault(const siginfo_t *info, uintptr_t pc, uintptr_t sp,
                                coir__stack **ret);

/* For tests: as if vm.overcommit_memory were this; -1: as it is. As if the next n commits failed. */
void coir__overcommit_force(int mode);
void coir__grow_fail_next(int n);

/* For tests: as if the kernel had no MADV_GUARD_INSTALL. */
void coir__guard_force_mprotect(bool force);

/* -- addresses -------------------------------------------------------------------------------------------------- */

/* Where the record of a slot is: at its highest addresses, less the colour. */
coir__stack *coir__slot_record(char *slot, unsigned class_);

/* Makes a slab known to coir__stack_at(). 0 or -ENOMEM. */
int coir__where_add(coir__slab *s);
void coir__where_remove(coir__slab *s);

#endif
