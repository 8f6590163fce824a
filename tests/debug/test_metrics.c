/* SPDX-License-Identifier: MIT */
/* test_metrics.c - the counters of a runtime. */
#include "support/harness.h"

#include <coir/debug.h>
#include <pthread.h>

static int wait_for_event(void *arg) { return coir_event_wait(arg); }

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static coir_metrics read_metrics(void)
{
    coir_metrics m = {0};
    CHECK_EQ(coir_metrics_read(&m), 0);
    return m;
}

TEST(there_are_no_metrics_outside_a_task)
{
    coir_metrics m = {.polls = 42};
    CHECK_EQ(coir_metrics_read(&m), -EINVAL);
    CHECK_EQ(m.polls, 42);
    coir_set_name("a thread");
    CHECK_EQ(coir_metrics_read(&m), -EINVAL);
    coir_set_name(NULL);
}

TASK_TEST(nowhere_to_put_them_is_allowed) { CHECK_EQ(coir_metrics_read(NULL), 0); }

TASK_TEST(tasks_are_counted_from_spawn_to_end)
{
    enum { N = 100 };
    coir_event event = COIR_EVENT_INIT;
    coir_group g;
    coir_metrics m = read_metrics();
    CHECK_EQ(m.tasks_live, 1);
    CHECK_EQ(m.tasks_spawned, 1);
    coir_group_begin(&g, 0);
    for (int i = 1; i <= N; i++) {
        CHECK_EQ(coir_spawn(&g, wait_for_event, &event), 0);
        m = read_metrics();
        CHECK_EQ(m.tasks_live, 1 + i);
        CHECK_EQ(m.tasks_spawned, 1 + i);
    }
    CHECK_GE(m.stacks_mapped, 1 + N);
    coir_event_set(&event);
    CHECK_EQ(coir_group_end(&g), 0);
    m = read_metrics();
    CHECK_EQ(m.tasks_live, 1);
    CHECK_EQ(m.tasks_spawned, 1 + N);
}

TASK_TEST(a_spawn_that_failed_does_not_count)
{
    coir_group g;
    coir_group_begin(&g, 0);
    coir_group_cancel(&g, "full");
    CHECK_EQ(coir_spawn(&g, nothing, NULL), -ECANCELED);
    CHECK_EQ(coir_spawn(&g, NULL, NULL), -EINVAL);
    coir_metrics m = read_metrics();
    CHECK_EQ(m.tasks_live, 1);
    CHECK_EQ(m.tasks_spawned, 1);
    CHECK_EQ(coir_group_end(&g), 0);
}

static void *spawn_from_thread(void *group)
{
    CHECK_EQ(coir_spawn(group, nothing, NULL), 0);
    return NULL;
}

TASK_TEST(tasks_spawned_by_threads_count)
{
    coir_group g;
    pthread_t thread;
    coir_group_begin(&g, 0);
    CHECK_EQ(pthread_create(&thread, NULL, spawn_from_thread, &g), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_metrics m = read_metrics();
    CHECK_EQ(m.tasks_live, 1);
    CHECK_EQ(m.tasks_spawned, 2);
}

TASK_TEST(counters_only_grow)
{
    coir_metrics before = read_metrics();
    CHECK_EQ(coir_sleep(COIR_MS(2)), 0);
    coir_metrics after = read_metrics();
    CHECK_GT(after.polls, before.polls);
    CHECK_GE(after.wakes, before.wakes);
    CHECK_GE(after.steals, before.steals);
    CHECK_GE(after.tasks_spawned, before.tasks_spawned);
}

static int count_own(void *arg)
{
    coir_metrics m = read_metrics();
    (void)arg;
    CHECK_EQ(m.tasks_spawned, 1);
    return 0;
}

TEST(every_runtime_counts_for_itself)
{
    CHECK_EQ(coir_run(NULL, count_own, NULL), 0);
    CHECK_EQ(coir_run(NULL, count_own, NULL), 0);
}

TEST_MAIN("metrics")
