/* SPDX-License-Identifier: MIT */
/* test_census.c - what tasks have used of their stacks, by the place where they were spawned. */
#include "debug/dump_text.h"

#include <coir/debug.h>

#include "base/compat.h"

#define KIB(n) ((size_t)(n) << 10)

#define SLACK                                                                                      \
    (COIR__ASAN || COIR__TSAN ? KIB(16) : KIB(4)) /* frames around the dive, and what calls want */

__attribute__((noinline)) static int dive(const char *top, size_t depth)
{
    volatile char frame[512];
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = 1;
    if ((size_t)(top - (const char *)__builtin_frame_address(0)) >= depth)
        return 1;
    return dive(top, depth) + frame[0];
}

static int dive_into(void *arg)
{
    dive(__builtin_frame_address(0), *(size_t *)arg);
    size_t used = coir_stack_high_water();
    CHECK_GE(used, *(size_t *)arg);
    CHECK_LE(used, *(size_t *)arg + SLACK);
    return 0;
}

/* After "stack: spawned at FILE:line: at most ". */
static double kib_of(const char *text, int line)
{
    char head[64];
    double kib = -1;
    snprintf(head, sizeof head, "test_census.c:%d: at most ", line);
    const char *found = strstr(text, head);
    CHECK(found != NULL);
    CHECK_EQ(sscanf(found + strlen(head), "%lf KiB", &kib), 1);
    return kib;
}

static int spawn_both(void *arg)
{
    static const size_t reserve = KIB(192);
    size_t deep = KIB(100), shallow = KIB(4), fills = KIB(170);
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, dive_into, &deep), 0);
    int line_deep = __LINE__ - 1;
    CHECK_EQ(coir_group_wait(&g), 0);
    for (int i = 0; i < 30; i++) { /* on the stacks that the deep one has left */
        CHECK_EQ(coir_spawn(&g, dive_into, &shallow), 0);
        if (i % 3)
            coir_yield();
    }
    int line_shallow = __LINE__ - 4;
    CHECK_EQ(coir_spawn(&g, dive_into, &fills), 0);
    int line_fills = __LINE__ - 1;
    CHECK_EQ(coir_group_end(&g), 0);
    char *text = dump_text();
    CHECK_GE(kib_of(text, line_deep), 100);
    CHECK_LE(kib_of(text, line_deep), 100 + (double)(SLACK >> 10));
    CHECK_GE(kib_of(text, line_shallow), 4);
    CHECK_LE(kib_of(text, line_shallow), 4 + (double)(SLACK >> 10));
    CHECK_GE(kib_of(text, line_fills), 170);
    CHECK(strstr(text, "KiB of 192 KiB in 30 tasks; stack_reserve = ") != NULL);
    CHECK(strstr(text, "KiB of 192 KiB in 1 tasks; stack_reserve = 448 KiB would be safer") !=
          NULL);
    CHECK(strstr(text, "KiB of 192 KiB in 1 tasks\n") != NULL); /* 100 of 192: as it should be */
    CHECK_GT(strstr(text, "at most 4") ? 1 : 2, 0);
    free(text);
    (void)reserve;
    return 0;
}

static char logged[4096];

static void keep_line(void *arg, const char *line)
{
    (void)arg;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

TEST(tasks_are_counted_by_their_place)
{
    coir_options o = {.log = keep_line};
    setenv("COIR_DEBUG", "census=1", 1);
    CHECK_EQ(coir_run(&o, spawn_both, NULL), 0);
    CHECK(strstr(logged, "test_census.c:") != NULL); /* at the end of the run as well */
    CHECK(strstr(logged, "KiB would be safer\n") != NULL);
    CHECK(strstr(logged, "in 30 tasks") != NULL);
    const char *first = strstr(logged, "spawned at coir_run:0: at most ");
    CHECK(first != NULL); /* nobody can choose its stack: no advice */
    CHECK(strncmp(strstr(first, "KiB in "), "KiB in 1 tasks\n", 15) == 0);
}

static int see_no_census(void *arg)
{
    (void)arg;
    CHECK(!dump_has("stack: spawned at"));
    return 0;
}

TEST(without_the_key_nothing_is_counted)
{
    coir_options o = {.log = keep_line};
    CHECK_EQ(coir_run(&o, see_no_census, NULL), 0);
    CHECK_STR(logged, "");
}

TEST_MAIN("census")
