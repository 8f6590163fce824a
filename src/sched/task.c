/* SPDX-License-Identifier: MIT */
/*
 * task.c - descriptors, and what runs on a stack.
 *
 * Descriptors lie in chunks that are mapped once and never unmapped. The chunks are also the registry of tasks: whoever
 * wants to see all of them walks the chunks, so that being seen costs a task nothing. Free ones are chained through
 * wait.node.data; a worker keeps some, the depot has the rest.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/fpenv.h"
#include "sched/upcall.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define CHUNK_TASKS (CHUNK_BYTES / sizeof(coir__task))
#define CHUNKS_MAX 65536u
#define BATCH 64u
#define ID_BATCH 1024u

static coir__task *_Atomic chunks[CHUNKS_MAX];
static _Atomic uint32_t chunk_count;

static struct {
    coir__lock lock;
    coir__task *free;
    size_t fresh; /* descriptors of the last chunk handed out so far */
    size_t in_use;
} depot;

static _Atomic uint64_t next_id = 1;

static coir__task *chain_next(const coir__task *t)
{
    return t->wait.node.data;
}

/* Maps one more chunk. The depot's lock is held. */
static bool depot_grow(void)
{
    uint32_t n = atomic_load_explicit(&chunk_count, memory_order_relaxed);
    if (n == CHUNKS_MAX)
        return false;
    void *memory =
        mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    madvise(memory, CHUNK_BYTES, MADV_NOHUGEPAGE);
    atomic_store_explicit(&chunks[n], memory, memory_order_relaxed);
    atomic_store_explicit(&chunk_count, n + 1, memory_order_release); /* pairs with coir__task_visit() */
    depot.fresh = 0;
    return true;
}

/* One descriptor, never used or used; NULL when out of memory. The depot's lock is held. */
static coir__task *depot_take_locked(void)
{
    coir__task *t = depot.free;
    if (t) {
        depot.free = chain_next(t);
    } else {
        uint32_t n = atomic_load_explicit(&chunk_count, memory_order_relaxed);
        if ((n == 0 || depot.fresh == CHUNK_TASKS) && !depot_grow())
            return NULL;
        n = atomic_load_explicit(&chunk_count, memory_order_relaxed);
        t = atomic_load_explicit(&chunks[n - 1], memory_order_relaxed) + depot.fresh++;
    }
    depot.in_use++;
    return t;
}

static coir__task *depot_take(coir__worker *w)
{
    coir__lock_take(&depot.lock);
    coir__task *t = depot_take_locked();
    for (unsigned i = 1; t && w && i < BATCH; i++) {
        coir__task *more = depot_take_locked();
        if (!more)
            break;
        more->wait.node.data = w->free_tasks;
        w->free_tasks = more;
        w->free_count++;
    }
    coir__lock_drop(&depot.lock);
    return t;
}

static void depot_put(coir__task *first)
{
    coir__lock_take(&depot.lock);
    while (first) {
        coir__task *next = chain_next(first);
        first->wait.node.data = depot.free;
        depot.free = first;
        depot.in_use--;
        first = next;
    }
    coir__lock_drop(&depot.lock);
}

coir__task *coir__task_alloc(coir__worker *w)
{
    coir__task *t;
    if (w && w->rt == 0)
        w = NULL;
    if (w && w->free_tasks) {
        t = w->free_tasks;
        w->free_tasks = chain_next(t);
        w->free_count--;
    } else {
        t = depot_take(w);
        if (!t)
            return NULL;
    }
    t->ctx.sp = NULL;
    t->ctx.result = 0;
    atomic_store_explicit(&t->park, COIR__PARK_ACTIVE, memory_order_relaxed);
    atomic_store_explicit(&t->attention, 0, memory_order_relaxed);
    t->storm = 0;
    t->scope = &t->root;
    t->wait.node.link.next = NULL;
    t->stack = NULL;
    t->joiner = NULL;
    atomic_store_explicit(&t->flags, 0, memory_order_relaxed);
    t->rt = 0;
    t->pins = 0;
    atomic_store_explicit(&t->wait_kind, COIR__WAIT_NONE, memory_order_relaxed);
    t->root.parent = NULL;
    t->root.deadline = COIR_FOREVER;
    atomic_store_explicit(&t->root.reason, NULL, memory_order_relaxed);
    t->root.kind = COIR__SCOPE_ROOT;
    atomic_store_explicit(&t->root.state, 0, memory_order_relaxed);
    t->root.worker = 0;
    t->name = NULL;
    t->file = NULL;
    return t;
}

void coir__task_free(coir__worker *w, coir__task *t)
{
    atomic_store_explicit(&t->id, 0, memory_order_release);
    t->wait.node.data = NULL;
    if (!w || w->rt == 0) {
        depot_put(t);
        return;
    }
    t->wait.node.data = w->free_tasks;
    w->free_tasks = t;
    if (++w->free_count < 2 * BATCH)
        return;
    coir__task *last = w->free_tasks; /* keep the youngest half */
    for (unsigned i = 1; i < BATCH; i++)
        last = chain_next(last);
    coir__task *rest = chain_next(last);
    last->wait.node.data = NULL;
    w->free_count = BATCH;
    depot_put(rest);
}

uint64_t coir__task_new_id(coir__worker *w)
{
    if (!w || w->rt == 0)
        return atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
    if (w->next_id == w->last_id) {
        w->next_id = atomic_fetch_add_explicit(&next_id, ID_BATCH, memory_order_relaxed);
        w->last_id = w->next_id + ID_BATCH;
    }
    return w->next_id++;
}

void coir__task_visit(void (*visit)(coir__task *t, void *arg), void *arg)
{
    uint32_t n = atomic_load_explicit(&chunk_count, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        coir__task *chunk = atomic_load_explicit(&chunks[i], memory_order_relaxed);
        for (size_t k = 0; k < CHUNK_TASKS; k++)
            if (atomic_load_explicit(&chunk[k].id, memory_order_acquire) != 0)
                visit(&chunk[k], arg);
    }
}

void coir__task_trim(void)
{
    coir__lock_take(&depot.lock);
    uint32_t n = atomic_load_explicit(&chunk_count, memory_order_relaxed);
    if (depot.in_use == 0 && n > 0) {
        /* Chunks stay, their pages go. All but the last one are filled anew from there by `free`. */
        depot.free = NULL;
        for (uint32_t i = 0; i < n; i++)
            madvise(atomic_load_explicit(&chunks[i], memory_order_relaxed), CHUNK_BYTES, MADV_DONTNEED);
        for (uint32_t i = 0; i + 1 < n; i++) {
            coir__task *chunk = atomic_load_explicit(&chunks[i], memory_order_relaxed);
            for (size_t k = 0; n > 1 && k < CHUNK_TASKS; k++) {
                chunk[k].wait.node.data = depot.free;
                depot.free = &chunk[k];
            }
        }
        depot.fresh = 0;
    }
    coir__lock_drop(&depot.lock);
}

/* -- what runs on a stack --------------------------------------------------------------------------------------- */

static void task_start_odd(coir__worker *w, coir__task *t, unsigned flags)
{
    if (flags & COIR__TASK_FP_ENV)
        coir__fpenv_reset();
    if (!(flags & COIR__TASK_PIN_AT_START))
        return;
    t->root.worker = w->index;
    atomic_fetch_or_explicit(&t->flags, COIR__TASK_PINNED | COIR__TASK_BOUND, memory_order_relaxed);
}

/* The task's function has returned: everything it opened must be closed. */
static void task_check_end(coir__task *t)
{
    if (coir__unlikely(t->scope != &t->root))
        coir__misuse("the task ended with a %s open", t->scope->kind == COIR__SCOPE_GROUP ? "group" : "scope");
    if (coir__unlikely(atomic_load_explicit(&t->flags, memory_order_relaxed) & COIR__TASK_FP_ENV))
        coir__fpenv_reset();
}

/* The next task, if it is a new one that can have this stack; else switches away. */
static coir__task *task_follow(coir__worker *w, coir__stack *stack)
{
    coir__task *next = coir__pick_raw(w);
    if (next->ctx.sp == NULL && next->stack_class == stack->class_) {
        next->stack = stack;
        stack->owner = next;
        return next;
    }
    if (next->ctx.sp == NULL)
        next = coir__pick_fresh(w, next);
    stack->owner = NULL;
    coir__stack_put(w->runtime->stacks, &w->caches[stack->class_ - COIR__STACK_CLASS_MIN], stack);
    w->current = next;
    coir__switch_exit(&next->ctx, &w->nowhere, 0);
}

void coir__task_main(void *arg)
{
    (void)arg;
    coir__switch_entered();
    for (;;) {
        coir__worker *w = coir__worker_or_null();
        coir__task *t = w->current;
        unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
        if (coir__unlikely(flags & (COIR__TASK_FP_ENV | COIR__TASK_PIN_AT_START)))
            task_start_odd(w, t, flags);
        int rc = t->fn(t->arg);
        w = coir__worker_or_null();
        coir__stack *stack = t->stack;
        task_check_end(t);
#if COIR__ASAN || COIR__TSAN
        coir__context last = t->ctx;
#endif
        coir__group_task_done(w, t, rc); /* the descriptor is gone */
        coir__task *next = task_follow(w, stack);
#if COIR__ASAN || COIR__TSAN
        coir__context_inherit(&next->ctx, &last);
#endif
        w->current = next;
    }
}
