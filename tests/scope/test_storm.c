/* SPDX-License-Identifier: MIT */
/* test_storm.c - who ignores -ECANCELED in a loop is named once, and no longer starves the rest. */
#include "sync/wait_tools.h"

#include <stdio.h>
#include <string.h>

typedef struct lines {
    _Atomic int count;
    char last[512];
} lines;

static void note_line(void *arg, const char *line)
{
    lines *l = arg;
    snprintf(l->last, sizeof l->last, "%s", line);
    atomic_fetch_add(&l->count, 1);
}

static int run_logged(lines *l, coir_fn *fn, void *arg)
{
    coir_options o = {.log = note_line, .hook_arg = l};
    return coir_run(&o, fn, arg);
}

static void ignore_cancellation(int times)
{
    coir_event never = COIR_EVENT_INIT;
    coir_chan *c = coir_chan_new(0, 0);
    for (int i = 0; i < times; i++)
        CHECK_EQ(i % 2 ? coir_event_wait(&never) : coir_chan_recv(c, NULL), -ECANCELED);
    coir_chan_free(c);
}

static int be_deaf(void *arg)
{
    lines *l = arg;
    coir_scope s;
    CHECK_EQ(coir_set_name("deaf"), 0);
    coir_scope_begin(&s, 0);
    ignore_cancellation(1000);
    CHECK_EQ(l->count, 0);
    ignore_cancellation(100);
    CHECK_EQ(l->count, 1);
    return coir_scope_end(&s, 0);
}

TEST(a_loop_that_ignores_cancellation_is_warned_about_once_by_name)
{
    lines l = {0};
    CHECK_EQ(run_logged(&l, be_deaf, &l), 0);
    CHECK_EQ(l.count, 1);
    CHECK(strstr(l.last, "'deaf'") != NULL);
    CHECK(strstr(l.last, "-ECANCELED") != NULL);
}

static int be_deaf_twice(void *arg)
{
    lines *l = arg;
    coir_scope s;
    for (int i = 1; i <= 2; i++) {
        coir_scope_begin(&s, 0);
        ignore_cancellation(1010);
        CHECK_EQ(coir_scope_end(&s, 0), 0);
        CHECK_EQ(l->count, i);
    }
    return 0;
}

TEST(the_next_scope_is_a_new_story)
{
    lines l = {0};
    CHECK_EQ(run_logged(&l, be_deaf_twice, &l), 0);
}

static int heed_it(void *arg)
{
    lines *l = arg;
    coir_scope s;
    for (int i = 0; i < 100; i++) {
        coir_scope_begin(&s, 0);
        ignore_cancellation(50);
        CHECK_EQ(coir_scope_end(&s, 0), 0);
    }
    CHECK_EQ(l->count, 0);
    return 0;
}

TEST(refusals_in_different_scopes_are_not_added_up)
{
    lines l = {0};
    CHECK_EQ(run_logged(&l, heed_it, &l), 0);
}

typedef struct pair {
    _Atomic int done;
    coir_event never;
} pair;

static int loop_until_done(void *arg)
{
    pair *p = arg;
    coir_scope s;
    coir_scope_begin(&s, 0);
    while (!atomic_load(&p->done)) /* without a yield: only the runtime lets the other in */
        CHECK_EQ(coir_event_wait(&p->never), -ECANCELED);
    return coir_scope_end(&s, 0);
}

static int set_done(void *arg)
{
    pair *p = arg;
    atomic_store(&p->done, 1);
    return 0;
}

static int deaf_and_other(void *arg)
{
    coir_group g;
    pair p = {.never = COIR_EVENT_INIT};
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, loop_until_done, &p), 0);
    CHECK_EQ(coir_spawn(&g, set_done, &p), 0);
    return coir_group_end(&g);
}

TEST(others_run_while_somebody_ignores_cancellation)
{
    lines l = {0};
    use_one_worker();
    CHECK_EQ(run_logged(&l, deaf_and_other, NULL), 0);
}

TEST_MAIN("storm")
