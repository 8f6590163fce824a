/* SPDX-License-Identifier: MIT */
/*
 * stack.c - who has which stack.
 *
 *   slabs: free slots, cold ---> taken by a task ---> worker's cache, hot ---> depot, warm ---> slabs
 *            coir__slab_map()                   put                    full            trim
 *
 * Per class: slots mapped and reservations given out (I1 in stack.h: mapped >= committed). A worker draws reservations in
 * batches, so that a spawn is a decrement. A task that ends leaves its stack and its reservation in the worker's cache
 * (I2); what is too many of either goes to the pool.
 *
 * The depot keeps stacks with their memory. Trimming gives back half of what has lain there unused since the last trim:
 * slots become cold, slabs without a taken slot are unmapped. Slots under way (their memory is being released outside the
 * lock) count as committed.
 *
 * What is reserved and not touched yet is promised (base/room.h): who reserves more of it asks whether there is room, so that
 * a full memory cgroup is an error of the spawn.
 *
 * No system call is made with the lock held. Cost: reserve and unreserve 1 ns, a hot take and put 2 ns, through the pool
 * 20 ns, a cold take one page fault and an eighth of the call that installs eight guards; a slab is mapped in 15 us.
 */
#include <assert.h>
#include <stdlib.h>

#include "arch/switch.h"
#include "base/alloc.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/room.h"
#include "stack/slab.h"

#define CREDIT_BATCH_MIN 4u
#define CREDIT_BATCH_MAX 64u
#define CREDIT_MAX 128u               /* in stock beyond the idle stacks */
#define AHEAD 8u                      /* stacks that are fetched before they are needed */
#define TRIM_CHUNK 256u               /* stacks released between two looks at the lock */
#define TRIM_EVERY ((size_t)64 << 20) /* of slots put back, in a pool without caches */
#define PAGE ((int64_t)4096)
#define DESCRIPTOR 256 /* of a task */

/* What sanitizers put into frames does not fit small stacks. */
#define SMALLEST (COIR__ASAN || COIR__TSAN ? 17u : COIR__STACK_CLASS_MIN)

/* All under the pool's lock. */
struct stack_class {
    size_t mapped;    /* slots */
    size_t committed; /* reservations, credits, slots being released */
    size_t made;      /* slots that have been touched and not released: in tasks, caches, depot */
    size_t promised;  /* more stacks will be touched, at most */
    coir__link empty; /* slabs with all slots free */
    coir__link open;  /* with some */
    coir__link full;  /* with none */
    coir__stack *depot;
    size_t idle;     /* stacks in the depot */
    size_t idle_low; /* least since the last trim */
};

struct coir__stack_pool {
    coir__lock lock;
    atomic_bool trimming;         /* one at a time */
    coir_stack_strategy strategy; /* not AUTO */
    bool trims_itself;
    size_t put; /* bytes of slots since it last trimmed; under the lock */
    struct stack_class classes[COIR__STACK_CLASSES];
};

static struct stack_class *class_of(coir__stack_pool *p, unsigned class_)
{
    return &p->classes[class_ - COIR__STACK_CLASS_MIN];
}

unsigned coir__stack_class(size_t reserve)
{
    if (reserve == 0)
        reserve = COIR__STACK_DEFAULT_RESERVE;
    if (reserve > coir__stack_usable(COIR__STACK_CLASS_MAX))
        return 0;
    unsigned class_ = SMALLEST;
    while (coir__stack_usable(class_) < reserve)
        class_++;
    return class_;
}

/* -- what sanitizers know --------------------------------------------------------------------------------------- */

#if COIR__ASAN
void __asan_unpoison_memory_region(const volatile void *memory, size_t size);

void coir__stack_unpoison(const void *memory, size_t size)
{
    __asan_unpoison_memory_region(memory, size);
}

void coir__stack_clean(coir__stack *s)
{
    coir__stack_unpoison(s->bottom, (size_t)((char *)s - s->bottom));
}
#elif COIR__TSAN
#define FIBER_USES 1000u

void *__tsan_get_current_fiber(void);

void coir__stack_unpoison(const void *memory, size_t size) { (void)memory, (void)size; }

/* A context that was left for good leaves calls behind on the fiber's shadow stack, which has room for 65,536. */
void coir__stack_clean(coir__stack *s)
{
    if (++s->uses < FIBER_USES || s->fiber == __tsan_get_current_fiber())
        return;
    coir__fiber_free(s->fiber);
    s->fiber = coir__fiber_new();
    s->uses = 0;
}
#endif

/* -- slabs ------------------------------------------------------------------------------------------------------ */

/* Puts a slab into the list it belongs to. */
static void slab_file_locked(struct stack_class *c, coir__slab *s)
{
    if (s->free == 0)
        coir__list_append(&c->full, &s->link);
    else if (s->free == coir__slab_all(s))
        coir__list_append(&c->empty, &s->link);
    else
        coir__list_prepend(&c->open, &s->link);
}

static void slab_refile_locked(struct stack_class *c, coir__slab *s)
{
    coir__list_remove(&s->link);
    slab_file_locked(c, s);
}

static coir__slab *slab_of(coir__link *link) { return coir__container(link, coir__slab, link); }

/* Memory that a stack of this class takes for certain: a page, its share of the page tables, and the task's descriptor. */
static int64_t least_size(unsigned class_)
{
    int64_t tables = (int64_t)(coir__slot_size(class_) / 512);
    return PAGE + (tables < 2 * PAGE ? tables : 2 * PAGE) + DESCRIPTOR;
}

/* To be called after `committed` or `made` has changed. Returns how many bytes more are promised than before. */
static size_t promise_locked(const coir__stack_pool *p, struct stack_class *c)
{
    size_t before = c->promised, now = c->committed > c->made ? c->committed - c->made : 0;
    unsigned class_ = (unsigned)(c - p->classes) + COIR__STACK_CLASS_MIN;
    if (now == before || p->strategy == COIR_STACK_FIXED)
        return 0;
    c->promised = now;
    coir__room_promise(((int64_t)now - (int64_t)before) * least_size(class_));
    return now > before ? (now - before) * (size_t)least_size(class_) : 0;
}

/* A fixed stack is touched when it is mapped. */
static coir__slab *map_populated(unsigned class_)
{
    coir__slab *s = NULL;
    size_t size = coir__slot_size(class_);
    coir__room_promise((int64_t)size);
    if (coir__room_for(size))
        s = coir__slab_map(class_, COIR_STACK_FIXED);
    coir__room_promise(-(int64_t)size);
    return s;
}

/* Maps one more slab. False when the system refuses. The lock is not held. */
static bool class_grow(coir__stack_pool *p, unsigned class_)
{
    struct stack_class *c = class_of(p, class_);
    coir__slab *s = p->strategy == COIR_STACK_FIXED ? map_populated(class_)
                                                    : coir__slab_map(class_, p->strategy);
    if (!s)
        return false;
    coir__lock_take(&p->lock);
    slab_file_locked(c, s);
    c->mapped += s->slots;
    coir__lock_drop(&p->lock);
    return true;
}

/* A slot, not touched yet. */
struct slot {
    coir__slab *slab; /* NULL: none */
    unsigned index;
    bool guarded;
};

static struct slot slot_take_locked(const coir__stack_pool *p, struct stack_class *c)
{
    struct slot none = {.slab = NULL};
    coir__link *link = coir__list_first(&c->open);
    if (!link)
        link = coir__list_first(&c->empty);
    if (!link)
        return none;
    coir__slab *s = slab_of(link);
    uint64_t before = s->free;
    unsigned index = (unsigned)__builtin_ctzll(before);
    s->free &= before - 1;
    c->made++;
    promise_locked(p, c);
    if (s->free == 0 || before == coir__slab_all(s))
        slab_refile_locked(c, s);
    return (struct slot){s, index, s->guarded >> index & 1};
}

/* Two threads may do this at once for slots of one group; it does no harm. */
static COIR__COLD void slot_guard(coir__stack_pool *p, struct slot slot)
{
    uint64_t guarded = coir__slab_guard(slot.slab, slot.index);
    coir__lock_take(&p->lock);
    slot.slab->guarded |= guarded;
    coir__lock_drop(&p->lock);
}

/* The first touch of a slot. */
static coir__stack *stack_make(coir__stack_pool *p, struct slot slot)
{
    coir__slab *slab = slot.slab;
    size_t size = coir__slot_size(slab->class_);
    char *base = coir__slot_at(slab, slot.index);
    coir__stack *s = coir__slot_record(base, slab->class_);
    char *bottom = base + coir__stack_guard(slab->class_);
    if (!slot.guarded)
        slot_guard(p, slot);
    coir__stack_unpoison(bottom, (size_t)(base + size - bottom));
    *s = (coir__stack){
        .top = s,
        .fiber = coir__fiber_new(),
        .bottom = bottom,
        .floor = slab->strategy == COIR_STACK_GROW ? coir__slot_first_floor(base, slab->class_)
                                                   : bottom,
        .slab = slab,
        .class_ = slab->class_,
        .untouched = true,
    };
    return s;
}

static uint64_t slot_bit(const coir__stack *s)
{
    return (uint64_t)1 << ((size_t)(s->bottom - s->slab->base) / coir__slot_size(s->class_));
}

/* -- pools ------------------------------------------------------------------------------------------------------ */

static void pool_init(coir__stack_pool *p, coir_stack_strategy strategy, unsigned caches)
{
    p->strategy = strategy == COIR_STACK_AUTO ? COIR_STACK_LAZY : strategy;
    p->trims_itself = caches == 0;
    coir__room_renew();
    for (unsigned i = 0; i < COIR__STACK_CLASSES; i++) {
        coir__list_init(&p->classes[i].empty);
        coir__list_init(&p->classes[i].open);
        coir__list_init(&p->classes[i].full);
    }
}

coir__stack_pool *coir__stack_pool_new(coir_stack_strategy strategy, unsigned caches)
{
    coir__stack_pool *p = coir__alloc_zero(sizeof *p);
    if (p)
        pool_init(p, strategy, caches);
    return p;
}

coir__stack_pool *coir__stack_pool_shared(void)
{
    static coir__stack_pool shared;
    static atomic_bool ready;
    static coir__lock making;
    if (coir__likely(atomic_load_explicit(&ready, memory_order_acquire)))
        return &shared;
    coir__lock_take(&making);
    if (!atomic_load_explicit(&ready, memory_order_relaxed))
        pool_init(&shared, COIR_STACK_AUTO, 0);
    atomic_store_explicit(&ready, true, memory_order_release);
    coir__lock_drop(&making);
    return &shared;
}

/* Frees the fibers of all stacks that were made of a slab's slots and not released. */
static void slab_free_fibers(const coir__slab *s)
{
    for (uint64_t made = COIR__TSAN ? coir__slab_all(s) & ~s->free : 0; made; made &= made - 1) {
        char *slot = coir__slot_at(s, (unsigned)__builtin_ctzll(made));
        coir__fiber_free(coir__slot_record(slot, s->class_)->fiber);
    }
}

static void slabs_free(coir__link *list)
{
    coir__link *link;
    while ((link = coir__list_first(list))) {
        coir__slab *s = slab_of(link);
        coir__list_remove(link);
        slab_free_fibers(s);
        coir__slab_unmap(s);
    }
}

void coir__stack_pool_free(coir__stack_pool *p)
{
    for (unsigned i = 0; i < COIR__STACK_CLASSES; i++) {
        slabs_free(&p->classes[i].empty);
        slabs_free(&p->classes[i].open);
        slabs_free(&p->classes[i].full);
        p->classes[i].committed = 0;
        promise_locked(p, &p->classes[i]);
    }
    coir__release(p);
}

size_t coir__stack_pool_mapped(coir__stack_pool *p)
{
    size_t sum = 0;
    coir__lock_take(&p->lock);
    for (unsigned i = 0; i < COIR__STACK_CLASSES; i++)
        sum += p->classes[i].mapped;
    coir__lock_drop(&p->lock);
    return sum;
}

size_t coir__stack_pool_idle(coir__stack_pool *p)
{
    size_t sum = 0;
    coir__lock_take(&p->lock);
    for (unsigned i = 0; i < COIR__STACK_CLASSES; i++)
        sum += p->classes[i].idle;
    coir__lock_drop(&p->lock);
    return sum;
}

/* -- reservations ----------------------------------------------------------------------------------------------- */

static bool keeps_stock(const coir__stack_pool *p, unsigned class_)
{
    return class_ < COIR__STACK_CLASS_LARGE && p->strategy != COIR_STACK_FIXED;
}

/* In proportion to what is in use: a small program maps little. */
static size_t credit_batch(const coir__stack_pool *p, unsigned class_, size_t committed)
{
    if (!keeps_stock(p, class_))
        return 1;
    size_t batch = committed / 4;
    if (batch < CREDIT_BATCH_MIN)
        return CREDIT_BATCH_MIN;
    return batch < CREDIT_BATCH_MAX ? batch : CREDIT_BATCH_MAX;
}

/* Reserves `wanted`, mapping more for them; or fewer, at the limit: one, if anyone gave one back, or none. How many. */
static size_t commit(coir__stack_pool *p, unsigned class_, size_t wanted, size_t *ret_fresh)
{
    struct stack_class *c = class_of(p, class_);
    coir__lock_take(&p->lock);
    while (c->mapped - c->committed < wanted) {
        coir__lock_drop(&p->lock);
        bool grown = class_grow(p, class_);
        coir__lock_take(&p->lock);
        if (!grown)
            wanted = wanted > 1 ? 1 : 0;
    }
    c->committed += wanted;
    *ret_fresh = promise_locked(p, c);
    coir__lock_drop(&p->lock);
    return wanted;
}

static COIR__COLD void give_back(coir__stack_pool *p, unsigned class_, size_t n)
{
    struct stack_class *c = class_of(p, class_);
    coir__lock_take(&p->lock);
    c->committed -= n;
    promise_locked(p, c);
    coir__lock_drop(&p->lock);
}

/* The same, as long as there is memory for those stacks that are not there yet. */
static size_t commit_within(coir__stack_pool *p, unsigned class_, size_t wanted)
{
    while (wanted > 0) {
        size_t fresh, got = commit(p, class_, wanted, &fresh);
        if (fresh == 0 || coir__room_for(fresh))
            return got;
        give_back(p, class_, got);
        wanted = got > 1 ? 1 : 0;
    }
    return 0;
}

static COIR__COLD int reserve_slow(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_)
{
    coir__lock_take(&p->lock);
    size_t wanted = cache ? credit_batch(p, class_, class_of(p, class_)->committed) : 1;
    coir__lock_drop(&p->lock);
    size_t got = commit_within(p, class_, wanted);
    if (got == 0)
        return -ENOMEM;
    if (cache)
        cache->credit += (uint32_t)got - 1;
    return 0;
}

int coir__stack_reserve(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_)
{
    if (coir__likely(cache && cache->credit > cache->count)) {
        cache->credit--;
        return 0;
    }
    return reserve_slow(p, cache, class_);
}

void coir__stack_unreserve(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_)
{
    if (!cache) {
        give_back(p, class_, 1);
        return;
    }
    uint32_t most = keeps_stock(p, class_) ? CREDIT_MAX : 1; /* 1: the stack may be put later */
    cache->credit++;
    if (coir__unlikely(cache->credit > cache->count + most)) {
        uint32_t n = cache->credit - cache->count - (most + 1) / 2;
        cache->credit -= n;
        give_back(p, class_, n);
    }
}

/* -- take and put ----------------------------------------------------------------------------------------------- */

/* Of the stacks in the depot `owner` is one that will be popped soon after: each is a miss of cache and TLB otherwise, one
 * after the other. */
static coir__stack *depot_pop_locked(struct stack_class *c)
{
    coir__stack *s = c->depot;
    if (s) {
        const char *ahead = s->owner;
        if (ahead) {
            coir__prefetch(ahead);
            coir__prefetch(ahead - 64); /* where its frames begin */
            coir__prefetch(ahead - 128);
        }
        s->owner = NULL;
        c->depot = s->next;
        if (--c->idle < c->idle_low)
            c->idle_low = c->idle;
    }
    return s;
}

/* More warm stacks for an empty cache, as many as it has credits for. */
static void cache_refill_locked(struct stack_class *c, coir__stack_cache *cache)
{
    while (cache->count < COIR__STACK_HOT_MAX / 2 && cache->count < cache->credit) {
        coir__stack *s = depot_pop_locked(c);
        if (!s)
            return;
        s->next = cache->hot;
        cache->hot = s;
        cache->count++;
    }
}

/* I1 and I2 say that a slot is free; who breaks them (a put and its unreserve to different caches) comes here. */
static COIR__COLD coir__stack *take_unreserved(coir__stack_pool *p, unsigned class_)
{
    struct stack_class *c = class_of(p, class_);
    struct slot slot = {.slab = NULL};
    assert(false && "a stack was taken that nobody had reserved");
    while (!slot.slab) {
        if (!class_grow(p, class_)) {
            coir__log("no memory for a stack that was reserved");
            abort();
        }
        coir__lock_take(&p->lock);
        slot = slot_take_locked(p, c);
        coir__lock_drop(&p->lock);
    }
    return stack_make(p, slot);
}

coir__stack *coir__stack_take(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_)
{
    struct stack_class *c = class_of(p, class_);
    struct slot slot = {.slab = NULL};
    coir__stack *s = cache ? coir__stack_take_hot(cache) : NULL;
    if (s)
        return s;
    coir__lock_take(&p->lock);
    s = depot_pop_locked(c);
    if (!s)
        slot = slot_take_locked(p, c);
    else if (cache && keeps_stock(p, class_))
        cache_refill_locked(c, cache);
    coir__lock_drop(&p->lock);
    if (s) {
        coir__stack_clean(s);
        return s;
    }
    return coir__likely(slot.slab != NULL) ? stack_make(p, slot) : take_unreserved(p, class_);
}

/* Moves a chain of n stacks, `last` at its end, to the depot. */
static void depot_push(coir__stack_pool *p, coir__stack *chain, coir__stack *last, size_t n)
{
    struct stack_class *c = class_of(p, chain->class_);
    coir__lock_take(&p->lock);
    last->next = c->depot;
    c->depot = chain;
    c->idle += n;
    p->put += p->trims_itself ? n << chain->class_ : 0;
    bool trim = p->put >= TRIM_EVERY;
    if (trim)
        p->put = 0;
    coir__lock_drop(&p->lock);
    if (trim)
        coir__stack_pool_trim(p, SIZE_MAX);
}

/* Moves the older half of a full cache to the depot. */
static COIR__COLD void cache_spill(coir__stack_pool *p, coir__stack_cache *cache)
{
    uint32_t keep = cache->count / 2;
    coir__stack **end = &cache->hot;
    for (uint32_t i = 0; i < keep; i++)
        end = &(*end)->next;
    coir__stack *chain = *end, *last = chain, *behind = chain;
    for (uint32_t i = 0; last->next; i++) {
        last = last->next;
        if (i + 1 >= AHEAD) {
            behind->owner = last;
            behind = behind->next;
        }
    }
    *end = NULL;
    depot_push(p, chain, last, cache->count - keep);
    cache->count = keep;
}

void coir__stack_put(coir__stack_pool *p, coir__stack_cache *cache, coir__stack *s)
{
    s->owner = NULL;
    s->untouched = false;
    s->shrunk = false;
    if (!cache) {
        if (p->trims_itself && s->class_ >= COIR__STACK_CLASS_LARGE)
            coir__stack_shrink(s); /* nobody else will for long */
        depot_push(p, s, s, 1);
        return;
    }
    uint32_t most = keeps_stock(p, s->class_) ? COIR__STACK_HOT_MAX : 1;
    if (coir__unlikely(cache->count >= most))
        cache_spill(p, cache);
    s->next = cache->hot;
    cache->hot = s;
    cache->count++;
}

/* -- trimming --------------------------------------------------------------------------------------------------- */

/* Takes up to n stacks out of the depot and marks their slots in their slabs, which are returned as a chain. */
static coir__slab *depot_drain_locked(struct stack_class *c, size_t n)
{
    coir__slab *chain = NULL;
    while (n-- > 0) {
        coir__stack *s = depot_pop_locked(c);
        coir__slab *slab = s->slab;
        if (slab->dirty == 0) {
            slab->next_dirty = chain;
            chain = slab;
        }
        slab->dirty |= slot_bit(s);
        coir__fiber_free(s->fiber);
    }
    return chain;
}

static void slots_free_locked(struct stack_class *c, coir__slab *chain)
{
    for (coir__slab *s = chain; s; s = s->next_dirty) {
        s->free |= s->dirty;
        s->dirty = 0;
        slab_refile_locked(c, s);
    }
}

/* Releases up to n stacks of the depot, as far as nobody needs their slots at once. Returns how many. */
static size_t depot_release(coir__stack_pool *p, struct stack_class *c, size_t n)
{
    coir__lock_take(&p->lock);
    size_t spare = c->mapped - c->committed;
    n = n < spare ? n : spare;
    n = n < c->idle ? n : c->idle;
    coir__slab *chain = depot_drain_locked(c, n);
    c->committed += n;
    coir__lock_drop(&p->lock);

    for (coir__slab *s = chain; s; s = s->next_dirty)
        coir__slab_release(s, s->dirty);

    coir__lock_take(&p->lock);
    slots_free_locked(c, chain);
    c->committed -= n;
    c->made -= n;
    promise_locked(p, c);
    coir__lock_drop(&p->lock);
    return n;
}

/* An empty slab that can go, out of its list; one such is kept. NULL if there is none. */
static coir__slab *slab_spare(coir__stack_pool *p, struct stack_class *c)
{
    coir__slab *s = NULL;
    coir__lock_take(&p->lock);
    coir__link *link = coir__list_first(&c->empty);
    if (link && c->mapped - c->committed >= 2u * slab_of(link)->slots) {
        s = slab_of(link);
        coir__list_remove(link);
        c->mapped -= s->slots;
    }
    coir__lock_drop(&p->lock);
    return s;
}

/* Whether anything idle is left. */
static bool class_trim(coir__stack_pool *p, struct stack_class *c, size_t most)
{
    coir__lock_take(&p->lock);
    size_t excess = (c->idle_low + 1) / 2, mapped = c->mapped;
    coir__lock_drop(&p->lock);
    if (mapped == 0)
        return false;
    excess = excess < most ? excess : most;
    while (excess > 0) {
        size_t chunk = excess < TRIM_CHUNK ? excess : TRIM_CHUNK;
        size_t released = depot_release(p, c, chunk);
        excess = released == chunk ? excess - chunk : 0;
    }
    coir__slab *s;
    while ((s = slab_spare(p, c)))
        coir__slab_unmap(s);
    coir__lock_take(&p->lock);
    c->idle_low = c->idle;
    bool more = c->idle > 0;
    coir__lock_drop(&p->lock);
    return more;
}

bool coir__stack_pool_trim(coir__stack_pool *p, size_t most)
{
    bool more = false;
    if (atomic_exchange_explicit(&p->trimming, true, memory_order_acquire))
        return true;
    for (unsigned i = 0; i < COIR__STACK_CLASSES; i++)
        more |= class_trim(p, &p->classes[i], most);
    atomic_store_explicit(&p->trimming, false, memory_order_release);
    return more;
}

void coir__stack_cache_shrink(coir__stack_cache *cache)
{
    for (coir__stack *s = cache->hot; s; s = s->next)
        if (!s->shrunk)
            coir__stack_shrink(s);
}
