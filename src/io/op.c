/* SPDX-License-Identifier: MIT */
/*
 * op.c - records of operations: op.h says how they live.
 *
 * Records lie in chunks that double in size, so that an index finds its record by one bit scan. A worker takes and gives back
 * from a list of its own; a shared one evens them out. Cost: taking and giving back are a few loads and stores and one
 * compare-and-swap.
 */
#include "io/op.h"

#include "base/alloc.h"
#include "loop/fd.h"

#define CHUNK_SHIFT 8 /* records in the first chunk: 256 */
#define CHUNKS 20
#define RECORDS_MAX (((1u << CHUNKS) - 1) << CHUNK_SHIFT)
#define CACHE_MAX 128
#define CACHE_BATCH 64

typedef struct cache {
    _Alignas(64) coir__op *free; /* its worker's */
    unsigned count;
} cache;

typedef struct ops {
    coir__op *_Atomic chunks[CHUNKS];
    void *chunks_raw[CHUNKS]; /* what was allocated for them */
    uint32_t used;            /* records that were ever taken; under op_lock, as is all below */
    coir__op *free;
    cache *caches;    /* by index of worker; set before the first use */
    void *caches_raw; /* what was allocated for them */
} ops;

#define MARK ((uint64_t)1 << 63) /* in every generation, so that no address is an id */
#define NEXT ((uint64_t)1 << 32)
#define SPARE ((uint64_t)1 << 62) /* in none: an engine may mark an id with it */

#define LINE 64

static void *aligned(void *raw)
{
    return (void *)(((uintptr_t)raw + LINE - 1) & ~(uintptr_t)(LINE - 1));
}

static uint64_t generation_of(uint64_t word) { return word & ~(uint64_t)UINT32_MAX; }

/* -- the table ------------------------------------------------------------------------------------ */

/* Chunk k holds the records from (2^k - 1) * 256 on. */
static unsigned chunk_of(uint32_t index, uint32_t *ret_offset)
{
    uint32_t n = (index >> CHUNK_SHIFT) + 1;
    unsigned k = 31 - (unsigned)__builtin_clz(n);
    *ret_offset = index - (((1u << k) - 1) << CHUNK_SHIFT);
    return k;
}

static ops *ops_of(coir__runtime *rt)
{
    return atomic_load_explicit(&rt->ops, memory_order_acquire); /* pairs with ops_new_locked */
}

coir__op *coir__op_record(coir__runtime *rt, uint64_t id)
{
    uint32_t index = (uint32_t)id - 1, offset;
    ops *s = ops_of(rt);
    if (coir__unlikely(!s || (uint32_t)id == 0 || index >= RECORDS_MAX))
        return NULL;
    unsigned k = chunk_of(index, &offset);
    coir__op *chunk = atomic_load_explicit(&s->chunks[k], memory_order_acquire);
    return chunk ? &chunk[offset] : NULL;
}

static ops *ops_new_locked(coir__runtime *rt)
{
    ops *s = coir__alloc_zero(sizeof *s);
    void *raw = s ? coir__alloc_zero((rt->worker_count + 1) * sizeof(cache)) : NULL;
    if (!raw) {
        coir__release(s);
        return NULL;
    }
    s->caches_raw = raw;
    s->caches = aligned(raw);
    atomic_store_explicit(&rt->ops, s, memory_order_release);
    return s;
}

/* A record that was never used before. */
static coir__op *fresh_locked(ops *s)
{
    uint32_t offset;
    if (s->used == RECORDS_MAX)
        return NULL;
    unsigned k = chunk_of(s->used, &offset);
    coir__op *chunk = atomic_load_explicit(&s->chunks[k], memory_order_relaxed);
    if (!chunk) {
        s->chunks_raw[k] =
            coir__alloc_zero(((size_t)1 << (k + CHUNK_SHIFT)) * sizeof *chunk + LINE - 1);
        if (!s->chunks_raw[k])
            return NULL;
        chunk = aligned(s->chunks_raw[k]);
        atomic_store_explicit(&s->chunks[k], chunk, memory_order_release);
    }
    coir__op *o = &chunk[offset];
    o->op.id = ++s->used; /* index + 1; the generation comes when it is taken */
    atomic_store_explicit(&o->word, MARK, memory_order_relaxed);
    return o;
}

static coir__op *free_locked(ops *s)
{
    coir__op *o = s->free;
    if (!o)
        return fresh_locked(s);
    s->free = o->next;
    return o;
}

/* Fills the worker's list from the shared one, and takes one record. */
static COIR__COLD coir__op *refill(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    coir__lock_take(&rt->op_lock);
    ops *s = ops_of(rt);
    if (!s)
        s = ops_new_locked(rt);
    coir__op *first = s ? free_locked(s) : NULL;
    cache *c = s ? &s->caches[w->index] : NULL;
    for (coir__op *o; first && c->count < CACHE_BATCH && (o = free_locked(s)) != NULL; c->count++) {
        o->next = c->free;
        c->free = o;
    }
    coir__lock_drop(&rt->op_lock);
    return first;
}

static COIR__COLD void spill(coir__worker *w, cache *c)
{
    ops *s = ops_of(w->runtime);
    coir__lock_take(&w->runtime->op_lock);
    while (c->count > CACHE_BATCH) {
        coir__op *o = c->free;
        c->free = o->next;
        c->count--;
        o->next = s->free;
        s->free = o;
    }
    coir__lock_drop(&w->runtime->op_lock);
}

/* -- taking and giving back ----------------------------------------------------------------------- */

static coir__op *cached(coir__worker *w)
{
    ops *s = ops_of(w->runtime);
    cache *c = s ? &s->caches[w->index] : NULL;
    if (coir__unlikely(!c || !c->free))
        return refill(w);
    coir__op *o = c->free;
    c->free = o->next;
    c->count--;
    return o;
}

coir__op *coir__op_take(coir__worker *w, uint8_t kind, int fd)
{
    coir__op *o = cached(w);
    if (coir__unlikely(!o))
        return NULL;
    uint64_t word = atomic_load_explicit(&o->word, memory_order_relaxed);
    o->worker = w;
    o->watch = false;
    o->drains = false;
    o->drained = false;
    o->op.id = generation_of(word) | (uint32_t)o->op.id;
    o->op.kind = kind;
    o->op.state = 0;
    __atomic_store_n(&o->op.fd, fd, __ATOMIC_RELAXED); /* dumps look at it */
    o->op.events = 0;
    o->op.buf = NULL;
    o->op.len = 0;
    o->op.addr = NULL;
    o->op.loop = w->loop;
    /* Pairs with post. */
    atomic_store_explicit(&o->word, word | COIR__OP_LIVE, memory_order_release);
    return o;
}

/* A watch may be completed by a worker of another runtime. */
static COIR__COLD void put_elsewhere(coir__op *o)
{
    coir__runtime *rt = o->worker->runtime;
    ops *s = ops_of(rt);
    coir__lock_take(&rt->op_lock);
    o->next = s->free;
    s->free = o;
    coir__lock_drop(&rt->op_lock);
}

/* Into the worker's list, for the next generation. */
static void put(coir__worker *w, coir__op *o, uint64_t generation)
{
    atomic_store_explicit(&o->word, ((generation + NEXT) & ~SPARE) | MARK, memory_order_relaxed);
    if (coir__unlikely(w->runtime != o->worker->runtime)) {
        put_elsewhere(o);
        return;
    }
    cache *c = &ops_of(w->runtime)->caches[w->index];
    o->next = c->free;
    c->free = o;
    if (coir__unlikely(++c->count > CACHE_MAX))
        spill(w, c);
}

void coir__op_give_back(coir__worker *w, coir__op *o)
{
    uint64_t word = atomic_load_explicit(&o->word, memory_order_relaxed);
    for (;;) {
        bool posted = (word & COIR__OP_POSTED) != 0;
        uint64_t to = posted ? word | COIR__OP_LEFT : generation_of(word);
        if (!atomic_compare_exchange_weak_explicit(&o->word, &word, to, memory_order_acq_rel,
                                                   memory_order_relaxed))
            continue;
        if (!posted)
            put(w, o, generation_of(word));
        return;
    }
}

/* -- cancelling ----------------------------------------------------------------------------------- */

static void cancels_push(coir__worker *w, coir__op *o)
{
    coir_op *first = atomic_load_explicit(&w->cancels, memory_order_relaxed);
    do /* pairs with drain; before the rouse, in the one order of both */
        o->next = (coir__op *)(void *)first;
    while (!atomic_compare_exchange_weak(&w->cancels, &first, &o->op));
    if (coir__worker_or_null() != w)
        coir__worker_rouse(w);
}

/* From exactly LIVE of this generation to POSTED: then it is ours to push. */
static void post(coir__op *o, uint64_t generation)
{
    uint64_t word = generation | COIR__OP_LIVE;
    if (atomic_compare_exchange_strong_explicit(&o->word, &word, word | COIR__OP_POSTED,
                                                memory_order_acq_rel, memory_order_relaxed))
        cancels_push(o->worker, o);
}

void coir__op_post(coir__op *o) { post(o, generation_of(o->op.id)); }

void coir__op_cancel_post(coir__runtime *rt, uint64_t id)
{
    coir__op *o = coir__op_record(rt, id);
    if (o)
        post(o, generation_of(id));
}

void coir__op_drain_cancels(coir__worker *w)
{
    coir__op *o = (coir__op *)(void *)atomic_exchange(&w->cancels, NULL);
    while (o) {
        coir__op *next = o->next;
        uint64_t word = atomic_load_explicit(&o->word, memory_order_acquire);
        if (!(word & COIR__OP_LEFT))
            w->engine->cancel(w->loop, &o->op);
        word = atomic_fetch_and_explicit(&o->word, ~(uint64_t)COIR__OP_POSTED,
                                         memory_order_acq_rel);
        if (word & COIR__OP_LEFT)
            put(w, o, generation_of(word));
        o = next;
    }
}

/* -- looking -------------------------------------------------------------------------------------- */

coir_op *coir_op_find(uint64_t id)
{
    coir__op *o = coir__op_record(coir__worker_or_null()->runtime, id);
    if (coir__unlikely(!o))
        return NULL;
    uint64_t word = atomic_load_explicit(&o->word, memory_order_relaxed);
    return generation_of(word) == generation_of(id) && (word & COIR__OP_LIVE) ? &o->op : NULL;
}

void coir_op_expect(uint64_t id, bool near)
{
    coir__op *o = coir__op_record(coir__worker_or_null()->runtime, id);
    if (!o)
        return;
    coir__prefetch(near ? (void *)o->op.slot : o);
    coir__prefetch(near ? (o->watch ? o : o->op.owner) : &o->word);
}

int coir__op_fd(coir__runtime *rt, uint64_t id)
{
    coir__op *o = coir__op_record(rt, id);
    if (!o)
        return -1;
    int fd = __atomic_load_n(&o->op.fd, __ATOMIC_ACQUIRE); /* before the word */
    uint64_t word = atomic_load_explicit(&o->word, memory_order_relaxed);
    return generation_of(word) == generation_of(id) && (word & COIR__OP_LIVE) ? fd : -1;
}

void coir__ops_visit(coir__runtime *rt, void (*visit)(coir__runtime *rt, int fd))
{
    ops *s = ops_of(rt);
    if (!s)
        return;
    coir__lock_take(&rt->op_lock);
    uint32_t used = s->used;
    coir__lock_drop(&rt->op_lock);
    for (uint32_t i = 0; i < used; i++) {
        coir__op *o = coir__op_record(rt, i + 1);
        uint64_t word = atomic_load_explicit(&o->word, memory_order_acquire);
        if (word & COIR__OP_LIVE)
            visit(rt, __atomic_load_n(&o->op.fd, __ATOMIC_RELAXED));
    }
}

void coir__ops_free(coir__runtime *rt)
{
    ops *s = ops_of(rt);
    if (!s)
        return;
    for (unsigned k = 0; k < CHUNKS; k++)
        coir__release(s->chunks_raw[k]);
    coir__release(s->caches_raw);
    coir__release(s);
    atomic_store_explicit(&rt->ops, NULL, memory_order_relaxed);
}
