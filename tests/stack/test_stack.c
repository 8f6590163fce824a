/* SPDX-License-Identifier: MIT */
/* test_stack.c - reservations, hot reuse, the depot, trimming. */
#include "stack/on_stack.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "stack/slab.h"

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

static coir__stack_pool *new_pool(unsigned caches)
{
    coir__stack_pool *p = coir__stack_pool_new(COIR_STACK_AUTO, caches);
    CHECK(p != NULL);
    return p;
}

/* -- sizes -------------------------------------------------------------------------------------------------- */

TEST(a_class_has_room_for_the_reserve_and_the_guard)
{
    static const size_t reserves[] = {1,        KIB(4),   KIB(64), KIB(65), KIB(192), KIB(193),
                                      KIB(256), KIB(960), MIB(1),  MIB(8),  MIB(64),  MIB(1024)};
    for (size_t i = 0; i < sizeof reserves / sizeof *reserves; i++) {
        unsigned class_ = coir__stack_class(reserves[i]);
        CHECK(class_ >= COIR__STACK_CLASS_MIN && class_ <= COIR__STACK_CLASS_MAX);
        size_t slot = coir__slot_size(class_);
        CHECK_GE(slot, reserves[i] + coir__stack_guard(class_));
        CHECK(slot < 2 * (reserves[i] + coir__stack_guard(class_)) ||
              coir__stack_usable(class_) <= KIB(64));
    }
}

TEST(the_default_is_a_slot_of_256_KiB_and_the_skew)
{
    CHECK_EQ(coir__slot_size(coir__stack_class(0)), KIB(256) + COIR__STACK_SKEW);
    CHECK_EQ(coir__stack_class(0), coir__stack_class(KIB(192)));
}

TEST(a_reserve_that_is_too_large_has_no_class)
{
    CHECK_EQ(coir__stack_class(SIZE_MAX), 0);
    CHECK_EQ(coir__stack_class(SIZE_MAX - COIR__STACK_GUARD), 0);
    CHECK_EQ(coir__stack_class(coir__slot_size(COIR__STACK_CLASS_MAX)), 0);
}

typedef struct dive {
    char *bottom;
    size_t frames;
} dive;

#if COIR__ASAN || COIR__TSAN
#define MARGIN (8 * PAGE) /* for the sanitizer's own frames */
#else
#define MARGIN (2 * PAGE)
#endif

/* Recurses until the rest is less than the margin. */
static COIR__NOINLINE size_t go_down(dive *d)
{
    volatile char frame[512];
    frame[0] = 1;
    __asm__ volatile("" ::"r"(frame) : "memory"); /* all of it */
    d->frames++;
    if ((char *)__builtin_frame_address(0) - d->bottom < (ptrdiff_t)MARGIN)
        return d->frames;
    size_t depth = go_down(d);
    return frame[0] ? depth : 0;
}

static void dive_to_the_bottom(void *arg)
{
    dive *d = arg;
    go_down(d);
    for (size_t i = 0; i < MARGIN / 2; i += 64) /* and the rest by hand */
        ((volatile char *)d->bottom)[i] = 1;
}

static void check_usable(size_t reserve)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    coir__stack *s = obtain(p, &cache, coir__stack_class(reserve));
    dive d = {.bottom = s->bottom};
    CHECK_GE((char *)s->top - s->bottom, reserve - COIR__STACK_SLACK);
    CHECK_EQ((uintptr_t)s->top % 16, 0);
    CHECK_EQ((uintptr_t)s->bottom % PAGE, 0);
    on_stack(s, dive_to_the_bottom, &d);
    CHECK_GT(d.frames, 10);
    CHECK_EQ(s->bottom, d.bottom); /* the record is whole */
    give_up(p, &cache, s);
    coir__stack_pool_free(p);
}

TEST(the_whole_reserve_can_be_used)
{
    check_usable(KIB(64));
    check_usable(KIB(192));
    check_usable(KIB(500));
    check_usable(MIB(1));
    check_usable(MIB(8));
    check_usable(MIB(20));
}

#define SLAB_SLOTS 63 /* of the default class: 16 MiB */

TEST(stack_tops_differ_within_a_page)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    coir__stack *s[SLAB_SLOTS];
    int seen[PAGE / 64] = {0}, used = 0;
    for (int i = 0; i < SLAB_SLOTS; i++) {
        s[i] = obtain(p, &cache, DEFAULT_CLASS);
        seen[(uintptr_t)s[i]->top % PAGE / 64]++;
    }
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        used += seen[i] > 0;
    CHECK_EQ(used, 16);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        CHECK_LE(seen[i], 4);
    for (int i = 0; i < SLAB_SLOTS; i++)
        give_up(p, &cache, s[i]);
    coir__stack_pool_free(p);
}

/* By these a translation buffer finds a page: equal ones would compete. */
TEST(page_numbers_of_stack_tops_differ_in_their_low_bits)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    coir__stack *s[SLAB_SLOTS];
    uint64_t seen = 0;
    for (int i = 0; i < SLAB_SLOTS; i++) {
        s[i] = obtain(p, &cache, DEFAULT_CLASS);
        seen |= (uint64_t)1 << ((uintptr_t)s[i] / PAGE % 64);
    }
    CHECK_EQ(__builtin_popcountll(seen), SLAB_SLOTS);
    for (int i = 0; i < SLAB_SLOTS; i++)
        give_up(p, &cache, s[i]);
    coir__stack_pool_free(p);
}

TEST(stacks_do_not_overlap)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    coir__stack *s[100];
    for (int i = 0; i < 100; i++) {
        s[i] = obtain(p, &cache, DEFAULT_CLASS);
        memset(s[i]->bottom, i, 64);
        memset((char *)s[i]->top - 64, i, 64);
    }
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(s[i]->bottom[0], i);
        CHECK_EQ(((char *)s[i]->top)[-1], i);
        CHECK_EQ(coir__stack_holding(s[i]->bottom), s[i]);
        CHECK_EQ(coir__stack_holding((char *)s[i]->top - 1), s[i]);
        CHECK_EQ(coir__stack_by_guard(s[i]->bottom), NULL);
        CHECK_EQ(coir__stack_by_guard(s[i]->bottom - 1), s[i]);
        CHECK_EQ(coir__stack_by_guard(s[i]->bottom - COIR__STACK_GUARD), s[i]);
        give_up(p, &cache, s[i]);
    }
    CHECK_EQ(coir__stack_holding(&cache), NULL);
    coir__stack_pool_free(p);
}

/* -- reuse -------------------------------------------------------------------------------------------------- */

TEST(the_stack_put_last_is_taken_first)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    coir__stack *a = obtain(p, &cache, DEFAULT_CLASS), *b = obtain(p, &cache, DEFAULT_CLASS);
    CHECK(a->untouched && b->untouched);
    a->owner = &cache;
    give_up(p, &cache, b);
    give_up(p, &cache, a);
    CHECK_EQ(a->owner, NULL);
    CHECK_EQ(obtain(p, &cache, DEFAULT_CLASS), a);
    CHECK(!a->untouched);
    CHECK_EQ(coir__stack_take_hot(&cache), b);
    CHECK_EQ(coir__stack_take_hot(&cache), NULL);
    coir__stack_pool_free(p);
}

TEST(a_full_cache_passes_its_older_half_on)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    coir__stack *s[COIR__STACK_HOT_MAX + 1];
    for (unsigned i = 0; i <= COIR__STACK_HOT_MAX; i++)
        s[i] = obtain(p, &cache, DEFAULT_CLASS);
    for (unsigned i = 0; i < COIR__STACK_HOT_MAX; i++)
        give_up(p, &cache, s[i]);
    CHECK_EQ(cache.count, COIR__STACK_HOT_MAX);
    CHECK_EQ(coir__stack_pool_idle(p), 0);
    give_up(p, &cache, s[COIR__STACK_HOT_MAX]);
    CHECK_EQ(cache.count, COIR__STACK_HOT_MAX / 2 + 1);
    CHECK_EQ(coir__stack_pool_idle(p), COIR__STACK_HOT_MAX / 2);
    for (unsigned i = COIR__STACK_HOT_MAX; i >= COIR__STACK_HOT_MAX / 2; i--)
        CHECK_EQ(obtain(p, &cache, DEFAULT_CLASS), s[i]);
    CHECK_EQ(cache.count, 0);
    coir__stack *warm = obtain(p, &cache, DEFAULT_CLASS);
    CHECK(!warm->untouched);
    CHECK_GT(cache.count, 0); /* more came with it */
    CHECK_LE(cache.count, cache.credit);
    coir__stack_pool_free(p);
}

TEST(of_large_stacks_a_cache_keeps_one)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    unsigned class_ = coir__stack_class(MIB(8));
    coir__stack *a = obtain(p, &cache, class_), *b = obtain(p, &cache, class_);
    CHECK_EQ(coir__stack_pool_mapped(p), 2);
    give_up(p, &cache, a);
    CHECK_EQ(cache.count, 1);
    give_up(p, &cache, b);
    CHECK_EQ(cache.count, 1);
    CHECK_EQ(cache.hot, b); /* the caller may still be on it */
    CHECK_EQ(coir__stack_pool_idle(p), 1);
    for (int i = 0; i < 10; i++)
        give_up(p, &cache, obtain(p, &cache, class_));
    CHECK_EQ(coir__stack_pool_mapped(p), 2);
    coir__stack_pool_free(p);
}

TEST(stacks_put_by_a_thread_without_cache_come_back)
{
    coir__stack_pool *p = new_pool(2);
    coir__stack *s = obtain(p, NULL, DEFAULT_CLASS);
    give_up(p, NULL, s);
    CHECK_EQ(coir__stack_pool_idle(p), 1);
    CHECK_EQ(obtain(p, NULL, DEFAULT_CLASS), s);
    coir__stack_pool_free(p);
}

/* -- reservations ------------------------------------------------------------------------------------------- */

TEST(a_small_program_maps_one_slab)
{
    coir__stack_pool *p = new_pool(64);
    coir__stack_cache cache = {0};
    CHECK_EQ(coir__stack_pool_mapped(p), 0);
    CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);
    CHECK_EQ(coir__stack_pool_mapped(p), SLAB_SLOTS);
    coir__stack_pool_free(p);
}

TEST(reserving_and_unreserving_for_ever_maps_no_more)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    size_t mapped = 0;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 1000; i++)
            CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);
        for (int i = 0; i < 1000; i++)
            coir__stack_unreserve(p, &cache, DEFAULT_CLASS);
        if (round == 0)
            mapped = coir__stack_pool_mapped(p);
    }
    CHECK_GE(mapped, 1000);
    CHECK_LE(mapped, 1000 + 128);
    CHECK_EQ(coir__stack_pool_mapped(p), mapped);
    coir__stack_pool_free(p);
}

TEST(a_thousand_reservations_give_a_thousand_stacks)
{
    coir__stack_pool *p = new_pool(2);
    coir__stack_cache spawner = {0}, runner = {0};
    enum { N = 1000 };
    static coir__stack *s[N];
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir__stack_reserve(p, &spawner, DEFAULT_CLASS), 0);
    size_t mapped = coir__stack_pool_mapped(p);
    for (int i = 0; i < N; i++)
        s[i] = coir__stack_take(p, &runner, DEFAULT_CLASS);
    CHECK_EQ(coir__stack_pool_mapped(p), mapped);
    for (int i = 0; i < N; i++)
        give_up(p, &runner, s[i]);
    CHECK_LE(runner.count, runner.credit);
    coir__stack_pool_free(p);
}

/* Workers that spawn, run and end tasks at random; tasks wander between them. A take that finds no slot trips an
 * assertion in debug and sanitizer builds, and maps more than can be needed in others. */
enum { CHAOS_WORKERS = 4, CHAOS_TASKS = 600 };

typedef struct chaos {
    coir__stack_pool *pool;
    unsigned class_;
    pthread_mutex_t lock;
    int reserved;                      /* spawned, not started */
    coir__stack *running[CHAOS_TASKS]; /* started */
    int running_count;
    int alive;
} chaos;

static void chaos_spawn(chaos *c, coir__stack_cache *cache)
{
    pthread_mutex_lock(&c->lock);
    bool full = c->alive == CHAOS_TASKS;
    c->alive += !full;
    pthread_mutex_unlock(&c->lock);
    if (full)
        return;
    CHECK_EQ(coir__stack_reserve(c->pool, cache, c->class_), 0);
    pthread_mutex_lock(&c->lock);
    c->reserved++;
    pthread_mutex_unlock(&c->lock);
}

static void chaos_start(chaos *c, coir__stack_cache *cache)
{
    pthread_mutex_lock(&c->lock);
    bool any = c->reserved > 0;
    c->reserved -= any;
    pthread_mutex_unlock(&c->lock);
    if (!any)
        return;
    coir__stack *s = coir__stack_take(c->pool, cache, c->class_);
    CHECK_EQ(s->owner, NULL);
    s->owner = c;
    *(char *)s->bottom = 1;
    pthread_mutex_lock(&c->lock);
    c->running[c->running_count++] = s;
    pthread_mutex_unlock(&c->lock);
}

static void chaos_end(chaos *c, coir__stack_cache *cache, coir__rng *rng)
{
    coir__stack *s = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->running_count > 0) {
        uint32_t i = coir__rng_below(rng, (uint32_t)c->running_count);
        s = c->running[i];
        c->running[i] = c->running[--c->running_count];
    }
    pthread_mutex_unlock(&c->lock);
    if (!s)
        return;
    if (coir__rng_next(rng) & 1) {
        coir__stack_put(c->pool, cache, s);
        coir__stack_unreserve(c->pool, cache, c->class_);
    } else {
        coir__stack_unreserve(c->pool, cache, c->class_);
        coir__stack_put(c->pool, cache, s);
    }
    CHECK_LE(cache->count, cache->credit);
    pthread_mutex_lock(&c->lock);
    c->alive--;
    pthread_mutex_unlock(&c->lock);
}

static void *chaos_worker(void *arg)
{
    chaos *c = arg;
    coir__stack_cache cache = {0};
    coir__rng rng;
    coir__rng_init(&rng, (uint64_t)(uintptr_t)&cache);
    uint32_t bias = 0;
    for (int i = 0; i < 60000 / harness_scale(); i++) {
        if (i % 997 == 0)
            bias = coir__rng_below(&rng, 8); /* waves of growing and shrinking */
        uint32_t what = coir__rng_below(&rng, 12);
        if (what < 2 + bias / 2)
            chaos_spawn(c, &cache);
        else if (what < 7)
            chaos_start(c, &cache);
        else
            chaos_end(c, &cache, &rng);
        if (i % 500 == 0)
            coir__stack_pool_trim(c->pool, SIZE_MAX);
    }
    return NULL;
}

/* The most slots that may be mapped. */
static void chaos_run(unsigned class_, coir_stack_strategy strategy, size_t most)
{
    static chaos c = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[CHAOS_WORKERS];
    c.pool = coir__stack_pool_new(strategy, CHAOS_WORKERS);
    c.class_ = class_;
    for (int i = 0; i < CHAOS_WORKERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, chaos_worker, &c), 0);
    for (int i = 0; i < CHAOS_WORKERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_LE(coir__stack_pool_mapped(c.pool), most);
    coir__stack_pool_free(c.pool);
}

TEST_TIMEOUT(workers_at_random_never_run_out_of_reserved_stacks, 60)
{
    chaos_run(DEFAULT_CLASS, COIR_STACK_LAZY, CHAOS_TASKS + CHAOS_WORKERS * (64 + 128 + 64 + 64));
}

TEST_TIMEOUT(workers_at_random_never_run_out_of_large_stacks, 60)
{
    chaos_run(coir__stack_class(MIB(8)), COIR_STACK_LAZY, CHAOS_TASKS + CHAOS_WORKERS * 4);
}

TEST_TIMEOUT(workers_at_random_never_run_out_of_fixed_stacks, 60)
{
    chaos_run(coir__stack_class(KIB(64)), COIR_STACK_FIXED, CHAOS_TASKS + CHAOS_WORKERS * 128);
}

/* -- trimming ----------------------------------------------------------------------------------------------- */

static size_t resident_bytes(void)
{
    size_t pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL);
    CHECK_EQ(fscanf(f, "%zu %zu", &all, &pages), 2);
    fclose(f);
    return pages * PAGE;
}

enum { MANY = 400 };
static coir__stack *many[MANY];

static void obtain_many(coir__stack_pool *p, coir__stack_cache *cache)
{
    for (int i = 0; i < MANY; i++)
        many[i] = obtain(p, cache, DEFAULT_CLASS);
}

static void give_up_many(coir__stack_pool *p, coir__stack_cache *cache)
{
    for (int i = 0; i < MANY; i++)
        give_up(p, cache, many[i]);
}

TEST(memory_of_deep_stacks_goes_back_after_trimming)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    obtain_many(p, &cache);
    for (int i = 0; i < MANY; i++)
        memset(many[i]->bottom, 1, KIB(128));
    give_up_many(p, &cache);
    size_t mapped = coir__stack_pool_mapped(p), resident = resident_bytes();
    CHECK_GT(resident, MANY * KIB(128));
    for (int i = 0; i < 12; i++)
        coir__stack_pool_trim(p, SIZE_MAX);
    CHECK_EQ(coir__stack_pool_idle(p), 0);
    CHECK_LE(resident_bytes(), resident - (MANY - COIR__STACK_HOT_MAX) * KIB(120));
    CHECK_LE(coir__stack_pool_mapped(p), 64 + 128 + 64 + 64);
    CHECK_LT(coir__stack_pool_mapped(p), mapped);
    coir__stack_pool_free(p);
}

TEST(each_trim_lets_half_of_the_unused_go)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    obtain_many(p, &cache);
    give_up_many(p, &cache);
    size_t idle = coir__stack_pool_idle(p);
    coir__stack_pool_trim(p, SIZE_MAX);
    CHECK_EQ(coir__stack_pool_idle(p), idle); /* not before it has seen them unused */
    coir__stack_pool_trim(p, SIZE_MAX);
    CHECK_EQ(coir__stack_pool_idle(p), idle - (idle + 1) / 2);
    coir__stack_pool_free(p);
}

TEST(what_is_used_between_trims_stays)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    obtain_many(p, &cache);
    give_up_many(p, &cache);
    size_t idle = coir__stack_pool_idle(p);
    coir__stack_pool_trim(p, SIZE_MAX);
    for (int i = 0; i < 20; i++) {
        obtain_many(p, &cache); /* all of it */
        CHECK_EQ(coir__stack_pool_idle(p), 0);
        give_up_many(p, &cache);
        coir__stack_pool_trim(p, SIZE_MAX);
    }
    CHECK_EQ(coir__stack_pool_idle(p), idle);
    coir__stack_pool_free(p);
}

TEST(trimming_takes_nothing_that_is_reserved)
{
    coir__stack_pool *p = new_pool(1);
    coir__stack_cache cache = {0};
    obtain_many(p, &cache);
    give_up_many(p, &cache);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);
    for (int i = 0; i < 12; i++)
        coir__stack_pool_trim(p, SIZE_MAX);
    size_t mapped = coir__stack_pool_mapped(p);
    for (int i = 0; i < MANY; i++)
        coir__stack_take(p, &cache, DEFAULT_CLASS);
    CHECK_EQ(coir__stack_pool_mapped(p), mapped);
    coir__stack_pool_free(p);
}

TEST(a_released_stack_is_clean_and_guarded_when_it_comes_back)
{
    coir__stack_pool *p = new_pool(0);
    coir__stack *s = obtain(p, NULL, DEFAULT_CLASS);
    char *bottom = s->bottom;
    bottom[100] = 1;
    give_up(p, NULL, s);
    coir__stack_pool_trim(p, SIZE_MAX);
    coir__stack_pool_trim(p, SIZE_MAX);
    CHECK_EQ(coir__stack_pool_idle(p), 0);
    s = obtain(p, NULL, DEFAULT_CLASS);
    CHECK_EQ(s->bottom, bottom); /* the slab was kept: it is the only one */
    CHECK(s->untouched);
    CHECK_EQ(bottom[100], 0);
    CHECK(is_readable(bottom));
    CHECK(!is_readable(bottom - PAGE));
    CHECK(!is_readable(bottom - COIR__STACK_GUARD));
    coir__stack_pool_free(p);
}

TEST(a_pool_without_caches_trims_itself)
{
    coir__stack_pool *p = new_pool(0);
    obtain_many(p, NULL);
    give_up_many(p, NULL);
    CHECK_EQ(coir__stack_pool_idle(p), MANY);
    for (int i = 0; i < 20 * 1024; i++)
        give_up(p, NULL, obtain(p, NULL, DEFAULT_CLASS));
    CHECK_LT(coir__stack_pool_idle(p), 8);
    coir__stack_pool_free(p);
}

/* -- other strategies, other failures ----------------------------------------------------------------------- */

TEST(fixed_stacks_have_all_their_memory_at_once)
{
    coir__stack_pool *p = coir__stack_pool_new(COIR_STACK_FIXED, 1);
    coir__stack_cache cache = {0};
    size_t before = resident_bytes();
    enum { N = 20 };
    coir__stack *s[N];
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);
    CHECK_EQ(coir__stack_pool_mapped(p), N);
    if (madvise(NULL, 0, 9999) != 0) /* else an emulator that ignores all advice */
        CHECK_GE(resident_bytes() - before, N * KIB(180));
    for (int i = 0; i < N; i++) {
        s[i] = coir__stack_take(p, &cache, DEFAULT_CLASS);
        dive d = {.bottom = s[i]->bottom};
        CHECK(!is_readable(s[i]->bottom - 1 - PAGE));
        on_stack(s[i], dive_to_the_bottom, &d);
    }
    for (int i = 0; i < N; i++)
        give_up(p, &cache, s[i]);
    CHECK_EQ(obtain(p, &cache, DEFAULT_CLASS), s[N - 1]);
    give_up(p, &cache, s[N - 1]);
    coir__stack_pool_free(p);
}

TEST(fixed_stacks_that_lie_idle_are_unmapped)
{
    coir__stack_pool *p = coir__stack_pool_new(COIR_STACK_FIXED, 0);
    obtain_many(p, NULL);
    give_up_many(p, NULL);
    CHECK_EQ(coir__stack_pool_mapped(p), MANY);
    for (int i = 0; i < 12; i++)
        coir__stack_pool_trim(p, SIZE_MAX);
    CHECK_LE(coir__stack_pool_mapped(p), 1);
    coir__stack_pool_free(p);
}

static int allocations_left;

static void *allocate_few(void *arg, size_t size)
{
    (void)arg;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void release_any(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

TEST(without_memory_for_a_header_nothing_is_made)
{
    coir_allocator few = {allocate_few, release_any, NULL};
    coir__stack_cache cache = {0};
    CHECK_EQ(coir__alloc_init(&few), 0);
    CHECK_EQ(coir__stack_pool_new(COIR_STACK_AUTO, 1), NULL);
    allocations_left = 1;
    coir__stack_pool *p = new_pool(1);
    CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), -ENOMEM);
    CHECK_EQ(coir__stack_reserve(p, NULL, DEFAULT_CLASS), -ENOMEM);
    CHECK_EQ(coir__stack_pool_mapped(p), 0);
    CHECK_EQ(cache.credit, 0);
    allocations_left = 1;
    give_up(p, &cache, obtain(p, &cache, DEFAULT_CLASS));
    coir__stack_pool_free(p);
}

TEST_MAIN("stack")
