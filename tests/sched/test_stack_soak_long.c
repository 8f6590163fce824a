/* SPDX-License-Identifier: MIT */
/*
 * test_stack_soak_long.c - many tasks of random depth: what they have used goes back. COIR_SOAK_SPAWNS=10000000 for the whole
 * of it; resident memory is printed at every tenth.
 */
#include "sched_test.h"

#include "base/rng.h"

#define KIB(n) ((size_t)(n) << 10)

static size_t resident_bytes(void)
{
    size_t pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL);
    CHECK_EQ(fscanf(f, "%zu %zu", &all, &pages), 2);
    fclose(f);
    return pages * 4096;
}

__attribute__((noinline)) static int dive(const char *top, size_t depth)
{
    volatile char frame[2000];
    frame[0] = 1;
    __asm__ volatile("" ::"r"(frame) : "memory");
    if ((size_t)(top - (const char *)__builtin_frame_address(0)) >= depth)
        return 1;
    return dive(top, depth) + frame[0];
}

/* Most are shallow, one in eight goes deep; one in four waits at the bottom. */
static int work(void *arg)
{
    uint64_t n = (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15u >> 32;
    size_t depth = n % 8 ? n % KIB(8) : n % KIB(150);
    dive(__builtin_frame_address(0), depth);
    if (n % 4 == 1)
        coir_yield();
    return 0;
}

static int soak(void *arg)
{
    const char *text = getenv("COIR_SOAK_SPAWNS");
    long spawns = text ? atol(text) : 1000000 / harness_scale(), n = 0;
    size_t first = 0, last = 0;
    (void)arg;
    for (int tenth = 0; tenth < 10; tenth++) {
        while (n < spawns / 10 * (tenth + 1)) {
            coir_group g;
            coir_group_begin(&g, 0);
            for (int i = 0; i < 1000; i++)
                CHECK_EQ(coir_spawn(&g, work, (void *)(uintptr_t)++n), 0);
            CHECK_EQ(coir_group_end(&g), 0);
        }
        last = resident_bytes();
        if (tenth == 1)
            first = last;
        fprintf(stderr, "%ld spawns: %zu KiB resident\n", n, last >> 10);
    }
    CHECK_LE(last, first + first / 4 + KIB(4096)); /* flat */
    size_t busy = last;
    for (int i = 0; i < 100 && resident_bytes() > busy / 3; i++)
        CHECK_EQ(coir_sleep(COIR_MS(100)), 0);
    fprintf(stderr, "at rest: %zu KiB resident\n", resident_bytes() >> 10);
    CHECK_LE(resident_bytes(), busy / 3);
    return 0;
}

TEST_TIMEOUT(memory_stays_flat_with_tasks_of_random_depth, 600)
{
    if (SCHED_ASAN || SCHED_TSAN)
        skip("sanitizers have memory of their own");
    CHECK_EQ(coir_run(NULL, soak, NULL), 0);
}

TEST_MAIN("stack_soak")
