/* SPDX-License-Identifier: MIT */
/*
 * test_stack_soak_long.c - ten million tasks of random depth (or COIR_SOAK_SPAWNS): what they have used goes back. Resident memory
 * is printed at every tenth.
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

/* The most that is resident while `spawns` tasks come and go. */
static size_t spawn_many(long spawns, uintptr_t first)
{
    size_t most = 0;
    for (long n = 0; n < spawns; n += 1000) {
        coir_group g;
        coir_group_begin(&g, 0);
        for (uintptr_t i = 0; i < 1000; i++)
            CHECK_EQ(coir_spawn(&g, work, (void *)(first + (uintptr_t)n + i)), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        size_t now = n % 10000 == 0 ? resident_bytes() : 0;
        most = most > now ? most : now;
    }
    return most;
}

static int soak(void *arg)
{
    const char *text = getenv("COIR_SOAK_SPAWNS");
    long tenth = (text ? atol(text) : 10000000 / harness_scale()) / 10;
    size_t first = 0, last = 0;
    (void)arg;
    for (int i = 0; i < 10; i++) {
        size_t most = spawn_many(tenth, (uintptr_t)(i * tenth));
        size_t *half = i < 5 ? &first : &last;
        *half = most > *half ? most : *half;
        fprintf(stderr, "%ld spawns: up to %zu KiB resident\n", (i + 1) * tenth, most >> 10);
    }
    CHECK_LE(last, first + first / 4 + KIB(4096)); /* flat */
    for (int i = 0; i < 100 && resident_bytes() > last / 3; i++)
        CHECK_EQ(coir_sleep(COIR_MS(100)), 0);
    fprintf(stderr, "at rest: %zu KiB resident\n", resident_bytes() >> 10);
    CHECK_LE(resident_bytes(), last / 3);
    return 0;
}

TEST_TIMEOUT(memory_stays_flat_with_tasks_of_random_depth, 600)
{
    static const coir_stack_strategy strategies[] = {COIR_STACK_LAZY, COIR_STACK_GROW};
    if (SCHED_ASAN || SCHED_TSAN)
        skip("sanitizers have memory of their own");
    unsetenv("COIR_STACK");
    for (int i = 0; i < 2; i++) {
        coir_options o = {.stack_strategy = strategies[i]};
        CHECK_EQ(coir_run(&o, soak, NULL), 0);
    }
}

TEST_MAIN("stack_soak")
