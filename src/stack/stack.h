/* SPDX-License-Identifier: MIT */
#ifndef COIR_STACK_STACK_H
#define COIR_STACK_STACK_H

/*
 * stack.h - memory for frames.
 *
 * A stack is a slot of a slab: one mapping of many slots, each with a guard at its lowest addresses: 68 KiB, in slots below 128 KiB
 * a quarter of the slot and a page. Below 1 MiB a slot is a power of two and a page in size; from there on what is usable is a power of
 * two, and the guard comes on top. A slot that has been used is kept hot for the next task.
 *
 *   slab   [guard|........usable........|record] [guard|......usable......|record] ...
 *                          <- grows             ^ top, minus the colour
 *
 * How usable memory becomes memory is the strategy: `lazy`, the kernel pages in what is touched; `grow`, it is
 * inaccessible below `floor`, which a fault moves down (grow.c); `fixed`, all of it at once.
 *
 * The record of a stack (struct coir__stack) is at the highest addresses of its own slot, on the page that the first
 * frames touch anyway: a stack that was never used costs nothing.
 *
 * Reservation and possession are two things: a task reserves at spawn (by count; that is where -ENOMEM shows), and takes
 * a stack when it first runs. As many slots are mapped as are reserved; taking never fails for lack of one.
 *
 * I1  mapped slots >= reservations of tasks + credits of caches. A credit is a reservation that a worker has in stock.
 * I2  of every cache: idle stacks <= credits. So stacks in tasks and in caches together never exceed the reservations.
 *     A task that ends puts its stack and unreserves *into the same cache*, in either order, with no reservation from it
 *     in between; then both counts grow by one.
 *
 * Threads: a cache belongs to one worker; the pool is shared, under its lock.
 */

#include <coir.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

#define COIR__STACK_GUARD ((size_t)64 << 10) /* of slots of 128 KiB and more, but for: */
#define COIR__STACK_SKEW ((size_t)4 << 10)   /* what small slots exceed a power of two by */
#define COIR__STACK_SLACK ((size_t)1 << 10)  /* at the top: the record and the colour */
#define COIR__STACK_CLASS_MIN 14u            /* log2 of the smallest slot */
#define COIR__STACK_CLASS_MAX 36u
#define COIR__STACK_CLASSES (COIR__STACK_CLASS_MAX - COIR__STACK_CLASS_MIN + 1)
#define COIR__STACK_CLASS_LARGE 20u /* the guard on top, and nothing kept in stock */
#define COIR__STACK_DEFAULT_RESERVE ((size_t)192 << 10)

typedef struct coir__stack {
    struct coir__stack *next; /* in a free list */
    void *top;                /* where frames begin: aligned to 16, coloured */
    void *owner;         /* the task on it, for the overflow report; else NULL, but in the depot */
    void *fiber;         /* ThreadSanitizer's, else NULL */
    char *bottom;        /* lowest usable address */
    char *_Atomic floor; /* lowest accessible address: `bottom`, but where stacks grow */
    struct coir__slab *slab;  /* it belongs to */
    uint32_t uses;            /* since it got its fiber; ThreadSanitizer builds only */
    uint8_t class_;           /* log2 of the size: see coir__stack_usable() */
    bool untouched;           /* no record was here before: memory is cold */
    bool shrunk;              /* idle, and its deep part has been given back */
    _Atomic uint8_t spurious; /* faults above the floor since it last moved; see grow.c */
} coir__stack;

typedef struct coir__stack_pool coir__stack_pool;

/* Stacks in one worker's cache of one class, at most; of 1 MiB and more: 1. */
#define COIR__STACK_HOT_MAX 64u

/* What a worker keeps of one class. Empty: {0}. */
typedef struct coir__stack_cache {
    coir__stack *hot; /* last in, first out */
    uint32_t count;
    uint32_t credit; /* reservations taken from the pool and not given to a task; >= count */
} coir__stack_cache;

/* What is to be used where `wanted` was asked for; never AUTO. That becomes lazy, unless the system promises no more memory
 * than it has: then grow, or fixed if faults are not handled, with one line in the log. */
coir_stack_strategy coir__stack_strategy(coir_stack_strategy wanted, bool handles_faults);

/* A pool for `caches` workers. NULL when out of memory. Strategy AUTO means lazy. Options: see coir_options. Without
 * caches the pool trims itself now and then, when stacks are put back. */
coir__stack_pool *coir__stack_pool_new(coir_stack_strategy strategy, unsigned caches);

/* Unmaps everything; no stack is in use. The caches are void. */
void coir__stack_pool_free(coir__stack_pool *p);

/* The class for `reserve` bytes (0: the default) of usable stack; 0 if that is too large. What is usable may be less by
 * COIR__STACK_SLACK, so that 192 KiB and a guard of 64 fit a slot of 256. */
unsigned coir__stack_class(size_t reserve);

/* The guard of a slot of this class. A larger frame that is not probed may get past it. */
COIR__INLINE size_t coir__stack_guard(unsigned class_)
{
    return (class_ < 17 ? (size_t)1 << (class_ - 2) : COIR__STACK_GUARD) + COIR__STACK_SKEW;
}

/* What a program may use of a stack of this class, give or take the slack. */
COIR__INLINE size_t coir__stack_usable(unsigned class_)
{
    size_t size = (size_t)1 << class_;
    return class_ < COIR__STACK_CLASS_LARGE ? size + COIR__STACK_SKEW - coir__stack_guard(class_)
                                            : size;
}

/* Counts one more stack of this class as needed. 0 or -ENOMEM; may read files (base/room.h). `cache` is the caller's worker's for that class, or NULL from
 * a thread without. */
int coir__stack_reserve(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_);

/* The reverse, for a task that will not need it (any more). */
void coir__stack_unreserve(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_);

/* Forgets what sanitizers know of the frames that were on a stack. Take does it; to be called by who goes on using a stack
 * for another task without putting and taking it. */
#if COIR__ASAN || COIR__TSAN
void coir__stack_clean(coir__stack *s);
void coir__stack_unpoison(const void *memory, size_t size);
#else
COIR__INLINE void coir__stack_clean(coir__stack *s) { (void)s; }
COIR__INLINE void coir__stack_unpoison(const void *memory, size_t size)
{
    (void)memory, (void)size;
}
#endif

/* A stack of the class, for one reservation: hot from the cache if there is one, else from the pool (a page fault, and
 * perhaps the call that guards it and its neighbours). Never NULL. */
coir__stack *coir__stack_take(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_);

/* Only a hot one, or NULL. A few ns, touches one line. */
COIR__INLINE coir__stack *coir__stack_take_hot(coir__stack_cache *cache)
{
    coir__stack *s = cache->hot;
    if (s) {
        cache->hot = s->next;
        coir__prefetch(cache->hot); /* where the one after that is told */
        cache->count--;
        coir__stack_clean(s);
    }
    return s;
}

/* Gives a stack back; its owner becomes NULL. The caller may still be running on it if it has a cache: it stays untouched
 * until the same worker's next take, or until a later put of another stack. No system call with a cache. */
void coir__stack_put(coir__stack_pool *p, coir__stack_cache *cache, coir__stack *s);

/* Lets go of half of what has lain idle in the pool since the last time, `most` stacks of a class at most: to be called
 * now and then (every 100 ms or so), best by a worker that has nothing to do. Whether anything idle is left. */
bool coir__stack_pool_trim(coir__stack_pool *p, size_t most);

/* Gives back what deep calls have left below the tops of the stacks in a cache; by its owner. Does it once for each stay
 * of a stack there. */
void coir__stack_cache_shrink(coir__stack_cache *cache);

/* -- stacks that grow (grow.c) ---------------------------------------------------------------------------------- */

/* Makes `address` and all between it and the top accessible. 0, or -ENOMEM; nothing below s->bottom. Any thread,
 * async-signal-safe. */
int coir__stack_commit(coir__stack *s, const char *address);

/*
 * The kernel does not fault like a program: it returns EFAULT. So memory of the caller's stack that it will read or write
 * is made accessible first. Frames are, as soon as they have called anything: what lies between a fault and the top is
 * made accessible at once. This is for what lies below.
 */
COIR__INLINE int coir__stack_touch(coir__stack *s, const void *memory)
{
    const char *m = (const char *)memory;
    if (coir__likely(m >= atomic_load_explicit(&s->floor, memory_order_relaxed) || m < s->bottom))
        return 0;
    return coir__stack_commit(s, m);
}

/* Handlers that the program has installed run on the alternate stack from now on: where the stack ends for now the
 * kernel would find no room for their frames, and kill the process. */
void coir__stack_adapt_handlers(void);

/* Of the caller's own stack, on which `frame` is: the most that was used, to the page. What tasks have used that had the same
 * stack before is counted in, unless coir__stack_measure_begin() has been called since. */
size_t coir__stack_depth(const coir__stack *s);

/* Cleans the stack below its caller, so that coir__stack_depth() is exact to the word. Slow. */
void coir__stack_measure_begin(coir__stack *s);

/* Slots mapped, and stacks that lie idle in the pool (not in caches). */
size_t coir__stack_pool_mapped(coir__stack_pool *p);
size_t coir__stack_pool_idle(coir__stack_pool *p);

/* -- coir/coro.h and others that live outside a runtime use a process-wide pool without caches ------------------ */
coir__stack_pool *coir__stack_pool_shared(void); /* never NULL, never freed */

/* -- overflow (overflow.c) -------------------------------------------------------------------------------------- */

/* Who is on a stack, for the report; called in the signal handler. `owner` is stack->owner. */
typedef struct coir__overflow_hooks {
    /* Fills in the name (may be NULL) and the spawn site. */
    void (*describe)(void *owner, const char **ret_name, const char **ret_file, int *ret_line);
    /* After the report has been written, before abort(). */
    void (*reported)(void *owner, const char *name);
} coir__overflow_hooks;

/* Installs the handler for SIGSEGV and SIGBUS, or counts one more user of it. 0 or -errno. The hooks of the first user
 * stay. */
int coir__overflow_install(const coir__overflow_hooks *hooks);

/* The last user restores what was there before. */
void coir__overflow_remove(void);

/* Gives the calling thread an alternate signal stack (unless it has one that is large enough for a report), and what it had
 * before back. The memory is in `*keep`. */
int coir__overflow_thread_begin(void **keep);
void coir__overflow_thread_end(void *keep);

/* The stack whose slot holds `address`, or NULL: there is none, or it was never used. Async-signal-safe. */
coir__stack *coir__stack_at(const void *address);

/* The same for an address in its guard, and for one in accessible memory. */
coir__stack *coir__stack_by_guard(const void *address);
coir__stack *coir__stack_holding(const void *address);

#endif
