/* SPDX-License-Identifier: MIT */
/* test_spawn.c - how tasks are born: always run, own copies, stacks of their own size, from anywhere. */
#include "sched_test.h"

static int count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int return_0(void *arg)
{
    (void)arg;
    return 0;
}

/* -- it will run -------------------------------------------------------------------------------------------- */

static int note_cancelled(void *arg)
{
    atomic_int *ran = arg;
    CHECK_EQ(coir_check(), -ECANCELED);
    atomic_fetch_add(ran, 1);
    return -ECANCELED;
}

/* Pinned to the caller's worker, they can't start before it waits. */
TASK_TEST(a_task_cancelled_before_its_start_runs_all_the_same)
{
    atomic_int ran = 0;
    coir_group g;
    coir_task_options pinned = {.flags = COIR_PINNED};
    coir_task t;
    CHECK_EQ(coir_pin(), 0);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(coir_spawn_with(&g, &pinned, note_cancelled, &ran, &t), 0);
    CHECK_EQ(coir_cancel(t, "one"), 0);
    coir_group_cancel(&g, "all");
    CHECK_EQ(atomic_load(&ran), 0);
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(atomic_load(&ran), 20);
    CHECK_EQ(coir_unpin(), 0);
}

TASK_TEST(a_spawn_into_a_cancelled_group_is_refused)
{
    atomic_int ran = 0;
    coir_group g;
    coir_task t = {0};
    coir_group_begin(&g, 0);
    coir_group_cancel(&g, "over");
    CHECK_EQ(coir_spawn(&g, count_up, &ran), -ECANCELED);
    CHECK_EQ(coir_spawn_copy(&g, count_up, &ran, sizeof ran), -ECANCELED);
    CHECK_EQ(coir_spawn_with(&g, NULL, count_up, &ran, &t), -ECANCELED);
    CHECK_EQ(coir_task_id(t), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(atomic_load(&ran), 0);
}

TASK_TEST(a_spawn_does_not_look_at_the_callers_own_scope)
{
    atomic_int ran = 0;
    coir_group g;
    coir_scope s;
    coir_group_begin(&g, 0);
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_check(), -ECANCELED);
    CHECK_EQ(coir_spawn(&g, count_up, &ran), 0);
    CHECK_EQ(coir_spawn(NULL, count_up, &ran), 0);
    coir_scope_end(&s, 0);
    CHECK_EQ(coir_group_end(&g), 0);
    while (atomic_load(&ran) < 2)
        coir_yield();
}

TASK_TEST(a_spawn_without_a_function_is_invalid)
{
    coir_group g;
    coir_task t = {0};
    coir_task_options unknown = {.flags = 0x80u};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, NULL, NULL), -EINVAL);
    CHECK_EQ(coir_spawn(NULL, NULL, NULL), -EINVAL);
    CHECK_EQ(coir_spawn_copy(&g, NULL, "x", 1), -EINVAL);
    CHECK_EQ(coir_spawn_with(&g, NULL, NULL, NULL, &t), -EINVAL);
    CHECK_EQ(coir_spawn_with(&g, &unknown, return_0, NULL, &t), -EINVAL);
    CHECK_EQ(coir_task_id(t), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

typedef struct ordered {
    int next;
    int last; /* the value that the last one saw */
} ordered;

static int take_number(void *arg)
{
    ordered *o = arg;
    o->last = o->next++;
    return 0;
}

typedef struct numbered {
    ordered *o;
    int number;
} numbered;

static int expect_number(void *arg)
{
    numbered *n = arg;
    take_number(n->o);
    CHECK_EQ(n->o->last, n->number);
    return 0;
}

static int spawn_few_in_order(void *arg)
{
    (void)arg;
    ordered o = {0};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 256; i++) {
        numbered n = {&o, i};
        CHECK_EQ(coir_spawn_copy(&g, expect_number, &n, sizeof n), 0);
    }
    CHECK_EQ(o.next, 0); /* spawn never switches */
    return coir_group_end(&g);
}

TEST(on_one_worker_tasks_start_in_the_order_of_their_spawn)
{
    CHECK_EQ(run_on(1, spawn_few_in_order, NULL), 0);
}

static int spawn_many_each_once(void *arg)
{
    (void)arg;
    enum { N = 1000 };
    static atomic_int seen[N];
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir_spawn(&g, count_up, &seen[i]), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(atomic_load(&seen[i]), 1);
    return 0;
}

TEST(more_tasks_than_the_ring_holds_run_once_each)
{
    CHECK_EQ(coir_run(NULL, spawn_many_each_once, NULL), 0);
}

/* Under gcc's ThreadSanitizer there can be about 8,000 fibers. */
TASK_TEST_TIMEOUT(a_group_of_as_many_as_can_be_ends_when_all_have, 60)
{
    int n = crowd_size();
    atomic_int ran = 0;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_spawn(&g, count_up, &ran), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(atomic_load(&ran), n);
}

static int wait_for_event(void *arg) { return coir_event_wait(arg); }

TASK_TEST_TIMEOUT(as_many_tasks_can_wait_at_once, 60)
{
    int n = crowd_size();
    coir_event go = COIR_EVENT_INIT;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_spawn(&g, wait_for_event, &go), 0);
    for (int i = 0; i < 3; i++)
        coir_yield();
    coir_event_set(&go);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- copies ------------------------------------------------------------------------------------------------- */

typedef struct block {
    unsigned char bytes[1024];
} block;

static int check_copy(void *arg)
{
    block *b = arg;
    CHECK_EQ((uintptr_t)arg % 16, 0);
    for (size_t i = 0; i < sizeof b->bytes; i++) {
        CHECK_EQ(b->bytes[i], i % 251);
        b->bytes[i] = 0; /* it is ours */
    }
    coir_yield();
    for (size_t i = 0; i < sizeof b->bytes; i++)
        CHECK_EQ(b->bytes[i], 0);
    return 0;
}

TASK_TEST(a_copied_argument_is_aligned_writable_and_the_tasks_own)
{
    coir_group g;
    block b;
    coir_group_begin(&g, 0);
    for (size_t i = 0; i < sizeof b.bytes; i++)
        b.bytes[i] = (unsigned char)(i % 251);
    for (int i = 0; i < 30; i++)
        CHECK_EQ(coir_spawn_copy(&g, check_copy, &b, sizeof b), 0);
    memset(&b, 0xee, sizeof b);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(b.bytes[5], 0xee);
}

static int check_not_null(void *arg)
{
    CHECK(arg != NULL);
    return 0;
}

TASK_TEST(a_copy_has_at_most_1_KiB)
{
    static unsigned char large[1025];
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_copy(&g, return_0, large, 1025), -E2BIG);
    CHECK_EQ(coir_spawn_copy(&g, return_0, large, SIZE_MAX), -E2BIG);
    CHECK_EQ(coir_spawn_copy(&g, return_0, large, 1024), 0);
    CHECK_EQ(coir_spawn_copy(&g, check_not_null, large, 0), 0);
    CHECK_EQ(coir_spawn_copy(&g, check_not_null, NULL, 0), 0);
    CHECK_EQ(coir_spawn_copy(&g, return_0, NULL, 1), -EINVAL);
    CHECK_EQ(coir_group_end(&g), 0);
}

static int count_evaluations(int *counter) { return ++*counter; }

TASK_TEST(every_argument_is_evaluated_once_and_literals_may_be_arguments)
{
    int a = 0, b = 0, c = 0;
    coir_group g;
    coir_task tasks[2];
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn((count_evaluations(&a), &g), return_0, (count_evaluations(&b), NULL)), 0);
    CHECK_EQ(coir_spawn_copy(&g, check_not_null, &(int[]){1, 2, 3}, sizeof(int[3])), 0);
    CHECK_EQ(coir_spawn_with(&g, &(coir_task_options){.name = "literal", .flags = 0}, return_0,
                             NULL, &tasks[count_evaluations(&c)]),
             0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK(a == 1 && b == 1 && c == 1);
}

/* -- identity ----------------------------------------------------------------------------------------------- */

typedef struct ids {
    _Atomic uint64_t *ids;
    atomic_int next;
} ids;

static int note_id(void *arg)
{
    ids *all = arg;
    atomic_store(&all->ids[atomic_fetch_add(&all->next, 1)], coir_task_id(coir_self()));
    return 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int spawn_noters(void *arg)
{
    coir_group g;
    for (int round = 0; round < 4; round++) {
        coir_group_begin(&g, 0);
        for (int i = 0; i < 500; i++)
            CHECK_EQ(coir_spawn(&g, note_id, arg), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

/* Three runs: ids are not used again in the process, although descriptors are. */
TEST(ids_are_never_used_again)
{
    enum { N = 3 * 4 * 500 };
    static _Atomic uint64_t noted[N];
    ids all = {noted, 0};
    for (int run = 0; run < 3; run++)
        CHECK_EQ(coir_run(NULL, spawn_noters, &all), 0);
    CHECK_EQ(all.next, N);
    qsort(noted, N, sizeof noted[0], by_value);
    CHECK_NE(noted[0], 0);
    for (int i = 1; i < N; i++)
        CHECK_NE(noted[i], noted[i - 1]);
}

static int check_self(void *arg)
{
    coir_task me = coir_self();
    CHECK_NE(coir_task_id(me), 0);
    CHECK_EQ(coir_cancel(me, "myself"), 0); /* so it is me */
    CHECK_EQ(coir_check(), -ECANCELED);
    *(coir_task *)arg = me;
    return 0;
}

TASK_TEST(a_handle_is_that_of_coir_self_and_goes_stale)
{
    coir_group g;
    coir_task seen, t;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_with(&g, NULL, check_self, &seen, &t), 0);
    CHECK_EQ(coir_join(t, NULL), 0);
    CHECK(seen.id == t.id && seen.opaque == t.opaque);
    for (int i = 0; i < 300; i++) /* descriptors are used again */
        CHECK_EQ(coir_spawn(&g, return_0, NULL), 0);
    CHECK_EQ(coir_cancel(t, "stale"), -ESRCH);
    CHECK_EQ(coir_join(t, NULL), -ESRCH);
    coir_detach(t);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_cancel((coir_task){0}, "none"), -ESRCH);
}

/* The dump shows names; they must be the task's own copies. */
static void dump_into(char *text, size_t size)
{
    int fd = memfd_create("dump", 0);
    coir_dump(fd);
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(fd);
}

TASK_TEST(names_are_copied)
{
    static char text[65536];
    char name[] = "spawned with this", other[] = "named like that";
    coir_event go = COIR_EVENT_INIT;
    coir_group g;
    coir_task_options o = {.name = name};
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_with(&g, &o, wait_for_event, &go, NULL), 0);
    CHECK_EQ(coir_set_name(other), 0);
    memset(name, 'x', sizeof name - 1);
    memset(other, 'x', sizeof other - 1);
    dump_into(text, sizeof text);
    CHECK(strstr(text, "spawned with this") != NULL);
    CHECK(strstr(text, "named like that") != NULL);
    CHECK_EQ(coir_set_name(NULL), 0);
    dump_into(text, sizeof text);
    CHECK(strstr(text, "named like that") == NULL);
    coir_event_set(&go);
    CHECK_EQ(coir_group_end(&g), 0);
}

TEST_MAIN("sched_spawn")
