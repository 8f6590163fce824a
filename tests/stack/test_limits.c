/* SPDX-License-Identifier: MIT */
/* test_limits.c - guards, and what happens when the system has no more to give. */
#include "stack/on_stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/room.h"
#include "stack/slab.h"
#include "support/imitation.h"

#if COIR__ASAN || COIR__TSAN
#define SKIP_UNDER_SANITIZERS() skip("sanitizers have mappings of their own everywhere")
#else
#define SKIP_UNDER_SANITIZERS() (void)0
#endif

static coir__stack_pool *new_pool(void)
{
    coir__stack_pool *p = coir__stack_pool_new(COIR_STACK_AUTO, 1);
    CHECK(p != NULL);
    return p;
}

static size_t limit_address_space(size_t more)
{
    char line[128];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) && sscanf(line, "VmSize: %zu", &kib) != 1)
        ;
    fclose(f);
    CHECK_GT(kib, 0);
    struct rlimit limit = {(kib << 10) + more, RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    return kib << 10;
}

/* Does the limit bind here? An emulator may keep its own accounts. */
static bool address_space_is_limited(void)
{
    void *memory = mmap(NULL, (size_t)1 << 36, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED)
        munmap(memory, (size_t)1 << 36);
    return memory == MAP_FAILED;
}

/* What was forked has the text of stderr of `fn` written to `text`. */
static void capture_stderr(void (*fn)(void), char *text, size_t size)
{
    int fds[2], saved = dup(STDERR_FILENO);
    CHECK_EQ(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    fn();
    dup2(saved, STDERR_FILENO); /* the last writer is gone */
    close(saved);
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 && (n = read(fds[0], text + used, size - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = 0;
    close(fds[0]);
}

/* -- guards ------------------------------------------------------------------------------------------------- */

static void check_guards(coir__stack_pool *p, unsigned n)
{
    coir__stack_cache cache = {0};
    coir__stack *s[300];
    for (unsigned i = 0; i < n; i++) {
        s[i] = obtain(p, &cache, DEFAULT_CLASS);
        for (size_t below = 1; below <= COIR__STACK_GUARD; below += PAGE - 1)
            CHECK(!is_readable(s[i]->bottom - below));
        CHECK(!is_readable(s[i]->bottom - COIR__STACK_GUARD));
        CHECK(is_readable(s[i]->bottom));
    }
    for (unsigned i = 0; i < n; i++)
        give_up(p, &cache, s[i]);
}

TEST(every_page_of_every_guard_faults)
{
    coir__stack_pool *p = new_pool();
    check_guards(p, 200);
    coir__stack_pool_free(p);
}

TEST(a_guard_is_as_large_as_a_frame_that_is_not_probed_may_be)
{
    coir__stack_pool *p = new_pool();
    coir__stack *a = obtain(p, NULL, DEFAULT_CLASS), *b = obtain(p, NULL, DEFAULT_CLASS);
    coir__stack *lower = a < b ? a : b, *upper = a < b ? b : a;
    CHECK_GE(COIR__STACK_GUARD, 65536);
    CHECK_GE(upper->bottom - (char *)(lower + 1), COIR__STACK_GUARD);
    coir__stack_pool_free(p);
}

TEST(large_and_small_classes_are_guarded_too)
{
    static const size_t reserves[] = {
        1, (size_t)64 << 10, (size_t)1 << 20, (size_t)7 << 20, (size_t)8 << 20, (size_t)40 << 20};
    coir__stack_pool *p = new_pool();
    for (size_t i = 0; i < sizeof reserves / sizeof *reserves; i++) {
        coir__stack *a = obtain(p, NULL, coir__stack_class(reserves[i]));
        coir__stack *b = obtain(p, NULL, coir__stack_class(reserves[i]));
        CHECK(!is_readable(a->bottom - 8) && !is_readable(b->bottom - 8));
        CHECK(!is_readable(a->bottom - coir__stack_guard(a->class_)) &&
              !is_readable(b->bottom - coir__stack_guard(b->class_)));
    }
    coir__stack_pool_free(p);
}

/* -- without MADV_GUARD_INSTALL ----------------------------------------------------------------------------- */

static void use_mprotect(void)
{
    coir__stack_pool *p = new_pool();
    coir__guard_force_mprotect(true);
    check_guards(p, 300);
    coir__stack_pool_free(p);
}

TEST(mprotect_does_it_where_the_kernel_has_no_guard_marks)
{
    char text[4096];
    capture_stderr(use_mprotect, text, sizeof text);
    char *line = strstr(text, "coir: stack guards are made by mprotect()");
    CHECK(line != NULL);
    CHECK_EQ(strstr(line + 1, "coir:"), NULL); /* once, for several slabs */
}

TEST(released_stacks_keep_a_guard_made_by_mprotect)
{
    coir__guard_force_mprotect(true);
    coir__stack_pool *p = new_pool();
    coir__stack_cache cache = {0};
    coir__stack *s[200];
    for (int i = 0; i < 200; i++)
        s[i] = obtain(p, &cache, DEFAULT_CLASS);
    for (int i = 0; i < 200; i++)
        give_up(p, &cache, s[i]);
    for (int i = 0; i < 10; i++)
        coir__stack_pool_trim(p, SIZE_MAX);
    check_guards(p, 200);
    coir__stack_pool_free(p);
}

TEST(memory_locked_later_is_guarded_all_the_same)
{
    SKIP_UNDER_SANITIZERS();
    coir__stack_pool *p = new_pool();
    coir__stack *first = obtain(p, NULL, DEFAULT_CLASS);
    if (mlockall(MCL_CURRENT | MCL_ONFAULT) != 0)
        skip("mlockall is refused");
    check_guards(p, 64 - 1); /* the rest of the slab */
    munlockall();
    give_up(p, NULL, first);
    coir__stack_pool_free(p);
}

TEST(memory_that_is_locked_as_it_is_mapped_is_guarded)
{
    SKIP_UNDER_SANITIZERS();
    if (mlockall(MCL_FUTURE | MCL_ONFAULT) != 0)
        skip("mlockall is refused");
    coir__stack_pool *p = new_pool();
    check_guards(p, 100);
    munlockall();
    coir__stack_pool_free(p);
}

/* -- limits ------------------------------------------------------------------------------------------------- */

/* Reserves until that fails; how many. */
static size_t reserve_all(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_,
                          size_t most)
{
    size_t n = 0;
    while (n < most) {
        int rc = coir__stack_reserve(p, cache, class_);
        if (rc != 0) {
            CHECK_EQ(rc, -ENOMEM);
            return n;
        }
        n++;
    }
    return n;
}

static void unreserve_all(coir__stack_pool *p, coir__stack_cache *cache, unsigned class_, size_t n)
{
    while (n-- > 0)
        coir__stack_unreserve(p, cache, class_);
}

TEST(no_address_space_is_an_error_of_the_reservation_and_passes)
{
    SKIP_UNDER_SANITIZERS();
    coir__stack_pool *p = new_pool();
    coir__stack_cache cache = {0};
    struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    coir__stack *before = obtain(p, &cache, DEFAULT_CLASS);
    limit_address_space((size_t)40 << 20);
    if (!address_space_is_limited())
        skip("RLIMIT_AS has no effect here");
    size_t n = reserve_all(p, &cache, DEFAULT_CLASS, 10000);
    CHECK_GE(n, 63); /* the rest of the slab, and what fits the 40 MiB */
    CHECK_LE(n, 64 + 160);
    CHECK_EQ(coir__stack_reserve(p, &cache, coir__stack_class((size_t)8 << 20)), -ENOMEM);
    CHECK_EQ(coir__stack_reserve(p, NULL, DEFAULT_CLASS), -ENOMEM);
    before->bottom[0] = 1; /* everything else goes on */
    for (size_t i = 0; i < n; i++)
        coir__stack_take(p, &cache, DEFAULT_CLASS)->bottom[0] = 1;
    CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), -ENOMEM);
    coir__stack_unreserve(p, &cache, DEFAULT_CLASS);
    CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);

    CHECK_EQ(setrlimit(RLIMIT_AS, &none), 0);
    CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);
    CHECK_EQ(coir__stack_reserve(p, NULL, coir__stack_class((size_t)8 << 20)), 0);
    coir__stack_pool_free(p);
}

TEST(a_reserve_larger_than_the_address_space_fails)
{
    coir__stack_pool *p = new_pool();
    struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    unsigned class_ = coir__stack_class((size_t)1 << 35);
    CHECK(class_ != 0);
#if !COIR__ASAN && !COIR__TSAN
    limit_address_space((size_t)1 << 30);
    if (address_space_is_limited())
        CHECK_EQ(coir__stack_reserve(p, NULL, class_), -ENOMEM);
#endif
    setrlimit(RLIMIT_AS, &none);
    coir__stack_pool_free(p);
}

static size_t map_count_max(void)
{
    size_t n = 0;
    FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
    if (f && fscanf(f, "%zu", &n) != 1)
        n = 0;
    if (f)
        fclose(f);
    return n;
}

TEST_TIMEOUT(no_more_mappings_is_an_error_of_the_reservation_and_passes, 60)
{
    SKIP_UNDER_SANITIZERS();
    size_t maps = map_count_max();
    if (maps == 0 || maps > 200000 || harness_scale() > 1)
        skip("vm.max_map_count is too large to be reached");
    coir__guard_force_mprotect(true);
    coir__stack_pool *p = new_pool();
    coir__stack_cache cache = {0};
    size_t n = reserve_all(p, &cache, DEFAULT_CLASS, maps);
    CHECK_GT(n, maps / 2 - 1000);
    CHECK_LE(n, maps / 2);
    CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), -ENOMEM);
    for (size_t i = 0; i < n; i++) {
        coir__stack *s = coir__stack_take(p, &cache, DEFAULT_CLASS);
        CHECK(i % 100 || !is_readable(s->bottom - 8));
        coir__stack_put(p, &cache, s);
        coir__stack_take(p, &cache, DEFAULT_CLASS);
    }
    coir__stack_pool_free(p);

    p = new_pool(); /* the mappings are free again */
    cache = (coir__stack_cache){0};
    CHECK_EQ(reserve_all(p, &cache, DEFAULT_CLASS, 1000), 1000);
    unreserve_all(p, &cache, DEFAULT_CLASS, 1000);
    coir__stack_pool_free(p);
}

TEST(guard_marks_take_no_mappings)
{
    SKIP_UNDER_SANITIZERS();
    char line[256];
    size_t before = 0, after = 0;
    coir__stack_pool *p = new_pool();
    coir__stack_cache cache = {0};
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, f))
        before++;
    fclose(f);
    for (int i = 0; i < 3000; i++)
        obtain(p, &cache, DEFAULT_CLASS);
    f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, f))
        after++;
    fclose(f);
    char *base = mmap(NULL, COIR__STACK_GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    bool has_marks = coir__guard_mark(base, DEFAULT_CLASS, 1) && !coir__memory_is_readable(base);
    munmap(base, COIR__STACK_GUARD);
    coir__stack_pool_free(p);
    if (!has_marks)
        skip("the kernel has no guard marks");
    CHECK_LE(after, before + 3000 / 64 + 2);
}

/* -- a memory cgroup: here imitated; for real in sched/test_cgroup.c ----------------------------------------- */

#define LIMIT ((size_t)64 << 20)

/* `used` bytes of 64 MiB; 4 are kept back. */
static void imitate_cgroup(size_t used)
{
    imitate("/proc/self/cgroup", "0::/\n");
    imitate_number("/sys/fs/cgroup/memory.max", LIMIT);
    imitate_number("/sys/fs/cgroup/memory.current", used);
    imitate_number("/sys/fs/cgroup/memory.swap.max", 0);
    imitate_number("/sys/fs/cgroup/memory.swap.current", 0);
    coir__room_force(imitated);
}

static void forget_cgroup(void)
{
    coir__room_force("");
    imitation_end();
}

TEST(what_is_promised_is_what_is_reserved_and_not_touched_yet)
{
    enum { N = 300 };
    coir__stack_pool *p = new_pool();
    coir__stack_cache cache = {0};
    coir__stack *s[N];
    CHECK_EQ(coir__room_promised(), 0);
    CHECK_EQ(coir__stack_reserve(p, NULL, DEFAULT_CLASS), 0);
    int64_t one = coir__room_promised();
    CHECK_GT(one, PAGE);
    CHECK_LT(one, 2 * PAGE);
    coir__stack_unreserve(p, NULL, DEFAULT_CLASS);
    CHECK_EQ(coir__room_promised(), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);
    CHECK_EQ(coir__room_promised(), one * (N + cache.credit));
    for (int i = 0; i < N; i++)
        s[i] = coir__stack_take(p, &cache, DEFAULT_CLASS);
    CHECK_EQ(coir__room_promised(), one * cache.credit);
    for (int i = 0; i < N; i++)
        give_up(p, &cache, s[i]);
    CHECK_EQ(coir__room_promised(), 0); /* they are there */
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);
    CHECK_LE(coir__room_promised(), one * cache.credit);
    unreserve_all(p, &cache, DEFAULT_CLASS, N);
    for (int i = 0; i < 20; i++)
        coir__stack_pool_trim(p, SIZE_MAX); /* the depot's are gone, the cache's stay */
    CHECK_EQ(coir__stack_pool_idle(p), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), 0);
    CHECK_EQ(coir__room_promised(), one * (N + cache.credit - cache.count));
    coir__stack_pool_free(p);
    CHECK_EQ(coir__room_promised(), 0);
}

TEST(no_room_in_the_cgroup_is_an_error_of_the_reservation_and_passes)
{
    static const coir_stack_strategy strategies[] = {COIR_STACK_LAZY, COIR_STACK_GROW,
                                                     COIR_STACK_FIXED};
    for (int i = 0; i < 3; i++) {
        coir__stack_pool *p = coir__stack_pool_new(strategies[i], 1);
        coir__stack_cache cache = {0};
        imitate_cgroup(LIMIT / 16 * 13); /* leaves 8 MiB */
        size_t most = strategies[i] == COIR_STACK_FIXED ? 200 : 10000;
        size_t n = reserve_all(p, &cache, DEFAULT_CLASS, most);
        if (strategies[i] == COIR_STACK_FIXED)
            CHECK_EQ(n, most); /* what is touched is not seen in imitated files */
        else
            CHECK_EQ(n, ((size_t)8 << 20) / (size_t)(coir__room_promised() / (int64_t)n));
        CHECK_EQ(cache.credit, 0);
        imitate_cgroup(LIMIT);
        CHECK_EQ(coir__stack_reserve(p, &cache, DEFAULT_CLASS), -ENOMEM);
        CHECK_EQ(coir__stack_reserve(p, NULL, DEFAULT_CLASS), -ENOMEM);
        for (size_t k = 0; k < 100; k++) /* who has a reservation has a stack */
            give_up(p, &cache, coir__stack_take(p, &cache, DEFAULT_CLASS));
        for (size_t k = 0; k < 100; k++)
            obtain(p, &cache, DEFAULT_CLASS); /* these are there */
        CHECK_EQ(coir__stack_reserve(p, NULL, DEFAULT_CLASS), -ENOMEM);
        imitate_cgroup(0);
        CHECK_EQ(coir__stack_reserve(p, NULL, DEFAULT_CLASS), 0);
        coir__stack_pool_free(p);
        CHECK_EQ(coir__room_promised(), 0);
        forget_cgroup();
    }
}

TEST_MAIN("limits")
