/* SPDX-License-Identifier: MIT */
/*
 * task.c - descriptors, and what runs on a stack.
 *
 * Descriptors lie in chunks that are mapped once and never unmapped. The chunks are also the registry of tasks: whoever
 * wants to see all of them walks the chunks, so that being seen costs a task nothing.
 *
 * Free ones travel in batches of 64, chained through wait.node.data: a worker keeps the batch at hand and a full one, the
 * depot has the rest, chained by their first members. So a batch changes hands without being touched.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/fpenv.h"
#include "base/fence.h"
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
    coir__task *batches; /* chained by wait.node.link.next */
    coir__task *loose;   /* not in batches: given back one by one */
    uint32_t carving;    /* the chunk that never used ones are taken from */
    size_t fresh;        /* descriptors of it handed out so far */
    size_t out;          /* handed out and not given back */
} depot;

static _Atomic uint64_t next_id = 1;

static coir__task *chain_next(const coir__task *t) { return t->wait.node.data; }

static coir__task *batch_next(const coir__task *first)
{
    return (coir__task *)(void *)first->wait.node.link.next;
}

/* Maps one more chunk. The depot's lock is held. */
static bool depot_grow(void)
{
    uint32_t n = atomic_load_explicit(&chunk_count, memory_order_relaxed);
    if (n == CHUNKS_MAX)
        return false;
    void *memory = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    madvise(memory, CHUNK_BYTES, MADV_NOHUGEPAGE);
    atomic_store_explicit(&chunks[n], memory, memory_order_relaxed);
    atomic_store_explicit(&chunk_count, n + 1,
                          memory_order_release); /* pairs with coir__task_visit() */
    return true;
}

/* A descriptor that has never been used. The depot's lock is held. */
static coir__task *depot_carve(void)
{
    if (depot.fresh == CHUNK_TASKS) {
        depot.carving++;
        depot.fresh = 0;
    }
    if (depot.carving == atomic_load_explicit(&chunk_count, memory_order_relaxed) && !depot_grow())
        return NULL;
    return atomic_load_explicit(&chunks[depot.carving], memory_order_relaxed) + depot.fresh++;
}

static coir__task *depot_take_one(void)
{
    coir__lock_take(&depot.lock);
    coir__task *t = depot.loose;
    if (t)
        depot.loose = chain_next(t);
    else
        t = depot_carve();
    if (t)
        depot.out++;
    coir__lock_drop(&depot.lock);
    return t;
}

static void depot_put_one(coir__task *t)
{
    coir__lock_take(&depot.lock);
    t->wait.node.data = depot.loose;
    depot.loose = t;
    depot.out--;
    coir__lock_drop(&depot.lock);
}

/* A batch, or as many as there are; *ret_count says how many. */
static coir__task *depot_take_batch(uint32_t *ret_count)
{
    coir__lock_take(&depot.lock);
    coir__task *first = depot.batches;
    uint32_t n = BATCH;
    if (first) {
        depot.batches = batch_next(first);
    } else {
        coir__task *end = NULL;
        for (n = 0; n < BATCH; n++) {
            coir__task *t = depot_carve();
            if (!t)
                break;
            t->wait.node.data = NULL;
            if (end)
                end->wait.node.data = t;
            else
                first = t;
            end = t;
        }
    }
    depot.out += n;
    coir__lock_drop(&depot.lock);
    *ret_count = n;
    return first;
}

static void depot_put_batch(coir__task *first)
{
    coir__lock_take(&depot.lock);
    first->wait.node.link.next = (coir__link *)(void *)depot.batches;
    depot.batches = first;
    depot.out -= BATCH;
    coir__lock_drop(&depot.lock);
}

/* The worker's batch is empty: the full one, else one from the depot. */
static COIR__NOINLINE bool worker_refill(coir__worker *w)
{
    w->free_tasks = w->full_batch;
    w->free_count = w->full_batch ? BATCH : 0;
    w->full_batch = NULL;
    if (!w->free_tasks)
        w->free_tasks = depot_take_batch(&w->free_count);
    return w->free_tasks != NULL;
}

static COIR__NOINLINE void worker_batch_full(coir__worker *w)
{
    if (w->full_batch)
        depot_put_batch(w->full_batch);
    w->full_batch = w->free_tasks;
    w->free_tasks = NULL;
    w->free_count = 0;
}

/* The next one will be written all over soon. */
static void prefetch(const coir__task *t)
{
    __builtin_prefetch(t, 1);
    __builtin_prefetch((const char *)t + 64, 1);
    __builtin_prefetch((const char *)t + 128, 1);
}

coir__task *coir__task_alloc(coir__worker *w)
{
    coir__task *t;
    if (!w || w->rt == 0) {
        t = depot_take_one();
    } else if (w->free_tasks || worker_refill(w)) {
        t = w->free_tasks;
        w->free_tasks = chain_next(t);
        w->free_count--;
        prefetch(w->free_tasks);
    } else {
        t = NULL;
    }
    if (!t)
        return NULL;
    t->ctx.sp = NULL;
    t->ctx.result = 0;
    atomic_store_explicit(&t->park, COIR__PARK_ACTIVE, memory_order_relaxed);
    atomic_store_explicit(&t->attention, coir__fence_needed ? COIR__ATTENTION_FENCE : 0,
                          memory_order_relaxed);
    t->storm = 0;
    t->scope = &t->root;
    t->wait.node.link.next = NULL;
    t->stack = NULL;
    atomic_store_explicit(&t->joiner, NULL, memory_order_relaxed);
    atomic_store_explicit(&t->flags, 0, memory_order_relaxed);
    t->rt = 0;
    t->root.pins = 0;
    atomic_store_explicit(&t->wait_note, COIR__WAIT_NONE, memory_order_relaxed);
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
    if (!w || w->rt == 0) {
        depot_put_one(t);
        return;
    }
    t->wait.node.data = w->free_tasks;
    w->free_tasks = t;
    if (++w->free_count == BATCH)
        worker_batch_full(w);
}

void coir__task_free_kept(coir__worker *w)
{
    for (int i = 0; i < 2; i++) {
        while (w->free_tasks) {
            coir__task *t = w->free_tasks;
            w->free_tasks = chain_next(t);
            depot_put_one(t);
        }
        w->free_tasks = w->full_batch;
        w->full_batch = NULL;
    }
    w->free_count = 0;
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

bool coir__task_is_descriptor(const void *address)
{
    uint32_t n = atomic_load_explicit(&chunk_count, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        uintptr_t offset = (uintptr_t)address -
                           (uintptr_t)atomic_load_explicit(&chunks[i], memory_order_relaxed);
        if (offset < CHUNK_TASKS * sizeof(coir__task))
            return offset % sizeof(coir__task) == 0;
    }
    return false;
}

void coir__task_trim(void)
{
    coir__lock_take(&depot.lock);
    uint32_t n = atomic_load_explicit(&chunk_count, memory_order_relaxed);
    if (depot.out == 0 && n > 0) {
        /* The chunks stay, their pages go. All is carved anew. */
        depot.batches = depot.loose = NULL;
        for (uint32_t i = 0; i < n; i++)
            madvise(atomic_load_explicit(&chunks[i], memory_order_relaxed), CHUNK_BYTES,
                    MADV_DONTNEED);
        depot.fresh = 0;
        depot.carving = 0;
    }
    coir__lock_drop(&depot.lock);
}

/* -- what runs on a stack --------------------------------------------------------------------------------------- */

/* With what few tasks want. */
static COIR__NOINLINE int task_run_odd(coir__worker *w, coir__task *t, unsigned flags, coir_fn *fn)
{
    if (flags & COIR__TASK_FP_ENV)
        coir__fpenv_reset();
    if (flags & COIR__TASK_CENSUS)
        coir__stack_measure_begin(t->stack);
    if (flags & COIR__TASK_PIN_AT_START) {
        t->root.worker = w->index;
        atomic_fetch_or_explicit(&t->flags, COIR__TASK_PINNED | COIR__TASK_BOUND,
                                 memory_order_relaxed);
    }
    return fn(t->arg);
}

/* Runs the task at hand by a tail call: nothing of the library lies above the task's own frames, so that one that waits has touched two
 * lines of its stack, and not four. With a million of them each is a miss. */
static COIR__NOINLINE int task_run(void)
{
    const unsigned odd = COIR__TASK_FP_ENV | COIR__TASK_PIN_AT_START | COIR__TASK_CENSUS;
    coir__worker *w = coir__worker_or_null();
    coir__task *t = w->current;
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
    coir_fn *fn = t->fn;
    t->values = NULL; /* in the same place */
    return coir__unlikely(flags & odd) ? task_run_odd(w, t, flags, fn) : fn(t->arg);
}

/* The task's function has returned: everything it opened must be closed. */
static COIR__NOINLINE void task_check_odd(coir__task *t, unsigned flags)
{
    if (t->scope != &t->root)
        coir__misuse("the task ended with a %s open",
                     t->scope->kind == COIR__SCOPE_GROUP ? "group" : "scope");
    if (flags & COIR__TASK_FP_ENV)
        coir__fpenv_reset();
    if (t->values)
        coir__values_free(t);
    if (flags & COIR__TASK_CENSUS)
        coir__census_note(t->file, t->line, coir__stack_usable(t->stack_class),
                          coir__stack_depth(t->stack));
}

COIR__INLINE void task_check_end(coir__task *t)
{
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
    if (coir__unlikely(t->scope != &t->root || t->values ||
                       (flags & (COIR__TASK_FP_ENV | COIR__TASK_CENSUS))))
        task_check_odd(t, flags);
}

/* The next task, on this stack if it is a new one that can have it; else switches away. */
static COIR__NOINLINE void task_follow(coir__stack *stack)
{
    coir__worker *w = coir__worker_or_null();
    coir__task *next = coir__pick_raw(w);
    if (next->ctx.sp == NULL && next->stack_class == stack->class_) {
        coir__task_settle(next, stack);
        w->current = next;
        return;
    }
    if (next->ctx.sp == NULL)
        next = coir__pick_fresh(w, next);
    stack->owner = NULL;
    coir__stack_put(w->runtime->stacks, &w->caches[stack->class_ - COIR__STACK_CLASS_MIN], stack);
    w->current = next;
    coir__switch_exit(&next->ctx, &w->nowhere, 0);
}

/* Ends the task at hand, whose descriptor is gone then. Returns its stack, on which this runs. */
static COIR__NOINLINE coir__stack *task_end(int rc)
{
    coir__worker *w = coir__worker_or_null();
    coir__task *t = w->current;
    task_check_end(t);
    return coir__group_task_done(w, t, rc);
}

void coir__task_main(void *arg)
{
    (void)arg;
    coir__switch_entered();
    for (;;)
        task_follow(task_end(task_run()));
}
