/* SPDX-License-Identifier: MIT */
/* test_limit.c - tasks that wait for their turn in a group with a limit: in dumps, and in deadlocks. */
#include "debug/dump_text.h"
#include "sync/wait_tools.h"

#include "debug/deadlock.h"

static int wait_for(void *arg) { return coir_event_wait(arg); }

TASK_TEST(a_dump_says_that_it_waits_for_its_turn)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 1);
    SPAWN_NAMED(&g, "running", wait_for, &e);
    SPAWN_NAMED(&g, "next", wait_for, &e);
    await_state("running", " for event ");
    CHECK(dump_says("next", ": waiting "));
    CHECK(dump_says("next", " to be started: its group is at its limit"));
    coir_group_limit(&g, 2);
    await_state("next", " for event ");
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
}

typedef struct handles {
    coir_task t;
    _Atomic int known;
} handles;

static int join_the_next(void *arg)
{
    handles *h = arg;
    await_value(&h->known, 1);
    return coir_join(h->t, NULL);
}

static int be_stuck(void *arg)
{
    coir_group g;
    handles h = {.known = 0};
    (void)arg;
    coir__deadlock_patience = 0;
    coir_group_begin(&g, 0);
    coir_group_limit(&g, 1);
    CHECK_EQ(coir_spawn(&g, join_the_next, &h), 0);
    h.t = start_task(&g, wait_for, &h);
    atomic_store(&h.known, 1);
    return coir_group_end(&g);
}

TEST(a_task_that_waits_for_one_behind_the_limit_is_a_deadlock)
{
    CHECK_TASK_ABORTS(be_stuck, NULL, "deadlock: all tasks (3) ");
}

TEST_MAIN("limit")
