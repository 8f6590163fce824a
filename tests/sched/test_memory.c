/* SPDX-License-Identifier: MIT */
/* test_memory.c - the allocator hook, and running out of memory. */
#include "sched_test.h"

#include <sys/resource.h>

typedef struct ledger {
    atomic_long allocated, released;
    atomic_long until_refusal; /* counts down; refuses once, at 0 */
} ledger;

static void *ledger_allocate(void *arg, size_t size)
{
    ledger *l = arg;
    if (atomic_fetch_sub(&l->until_refusal, 1) == 0)
        return NULL;
    atomic_fetch_add(&l->allocated, 1);
    return malloc(size);
}

static void ledger_release(void *arg, void *memory)
{
    ledger *l = arg;
    CHECK(memory != NULL);
    atomic_fetch_add(&l->released, 1);
    free(memory);
}

static int run_with_ledger(ledger *l, coir_fn *fn, void *arg)
{
    coir_allocator a = {ledger_allocate, ledger_release, l};
    coir_options o = {.allocator = &a, .name = "ledger"};
    return coir_run(&o, fn, arg);
}

static int set_text(void *arg)
{
    char *text = arg;
    text[0]++;
    return 0;
}

/* Uses what allocates; every failure but that of memory is wrong. Leaves nothing behind. */
static int use_memory(void *arg)
{
    (void)arg;
    coir_group g;
    coir_task_options named = {.name = "named"};
    char text[100] = "";
    coir_task t;
    coir_chan *c = coir_chan_new(8, 8);
    int worst = c ? 0 : -ENOMEM, rc = coir_set_name("first");
    worst = rc < worst ? rc : worst;
    coir_group_begin(&g, 0);
    rc = coir_spawn_copy(&g, set_text, text, sizeof text);
    worst = rc < worst ? rc : worst;
    rc = coir_spawn_with(&g, &named, set_text, text, &t);
    worst = rc < worst ? rc : worst;
    if (rc == 0)
        coir_cancel(t, "keeps a reason, if there is memory for it");
    rc = coir_group_end(&g);
    coir_chan_free(c);
    CHECK_EQ(rc, 0);
    return worst;
}

TEST(the_hook_gets_back_what_it_gave)
{
    ledger l = {.until_refusal = -1};
    CHECK_EQ(run_with_ledger(&l, use_memory, NULL), 0);
    CHECK_GT(atomic_load(&l.allocated), 3);
    CHECK_EQ(atomic_load(&l.allocated), atomic_load(&l.released));
}

TEST(a_refusal_at_any_allocation_is_out_of_memory_and_leaks_nothing)
{
    ledger count = {.until_refusal = -1};
    CHECK_EQ(run_with_ledger(&count, use_memory, NULL), 0);
    long failures = 0, n = atomic_load(&count.allocated);
    for (long i = 0; i < n; i++) {
        ledger l = {.until_refusal = i};
        int rc = run_with_ledger(&l, use_memory, NULL);
        CHECK(rc == -ENOMEM ||
              rc == 0); /* a reason for a cancellation, or io_uring: one can do without */
        failures += rc == -ENOMEM;
        CHECK_EQ(atomic_load(&l.allocated), atomic_load(&l.released));
    }
    CHECK_GE(failures, n - 3);
}

static int return_0(void *arg)
{
    (void)arg;
    return 0;
}

static int run_other_ledger(void *arg)
{
    ledger *l = arg;
    coir_allocator a = {ledger_allocate, ledger_release, l};
    coir_options o = {.workers = 1, .allocator = &a};
    return coir_run(&o, return_0, NULL);
}

static void *run_beside(void *arg)
{
    int *ret = arg;
    static ledger other = {.until_refusal = -1};
    *ret = run_other_ledger(&other);
    return NULL;
}

static int wait_for_neighbour(void *arg)
{
    int *rc = arg;
    thread_finish(thread_start(run_beside, rc)); /* holds the worker meanwhile */
    return 0;
}

TEST(another_allocator_beside_the_first_is_refused)
{
    ledger l = {.until_refusal = -1};
    int rc = 0;
    CHECK_EQ(run_with_ledger(&l, wait_for_neighbour, &rc), 0);
    CHECK_LT(rc, 0);
}

/* -- stacks ------------------------------------------------------------------------------------------------- */

static int spawn_too_large(void *arg)
{
    (void)arg;
    coir_task t = {0};
    coir_group g;
    coir_group_begin(&g, 0);
    coir_task_options o = {.stack_reserve = SIZE_MAX};
    CHECK_EQ(coir_spawn_with(&g, &o, return_0, NULL, &t), -ENOMEM);
    o.stack_reserve = (size_t)1 << 50;
    CHECK_EQ(coir_spawn_with(&g, &o, return_0, NULL, &t), -ENOMEM);
    CHECK_EQ(coir_task_id(t), 0); /* untouched */
    return coir_group_end(&g);
}

TEST(a_stack_that_is_too_large_is_out_of_memory)
{
    CHECK_EQ(coir_run(NULL, spawn_too_large, NULL), 0);
}

static int wait_for_event(void *arg) { return coir_event_wait(arg); }

/* Spawns until the address space is used up; then every task that could be spawned runs all the same. */
static int spawn_until_full(void *arg)
{
    long *ret_spawned = arg;
    coir_event go = COIR_EVENT_INIT;
    coir_group g;
    int rc;
    coir_group_begin(&g, 0);
    while ((rc = coir_spawn(&g, wait_for_event, &go)) == 0 && *ret_spawned < 1000000)
        ++*ret_spawned;
    CHECK_EQ(rc, -ENOMEM);
    coir_event_set(&go);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, return_0, NULL), 0); /* there is room again */
    return coir_group_end(&g);
}

static long address_space(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL && fscanf(f, "%ld", &pages) == 1);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

TEST(a_spawn_without_room_for_a_stack_is_out_of_memory)
{
    if (SCHED_TSAN || SCHED_ASAN)
        skip("a sanitizer needs the address space for itself");
    if (is_emulated())
        skip("an emulator needs memory of its own");
    struct rlimit limit = {0, 0};
    long spawned = 0;
    limit.rlim_cur = limit.rlim_max = (rlim_t)address_space() + ((rlim_t)512 << 20);
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK_EQ(coir_run(NULL, spawn_until_full, &spawned), 0);
    CHECK_GT(spawned, 100);
}

TEST(a_runtime_without_room_is_out_of_memory)
{
    if (SCHED_TSAN || SCHED_ASAN)
        skip("a sanitizer needs the address space for itself");
    if (is_emulated())
        skip("an emulator needs memory of its own");
    struct rlimit limit = {0, 0};
    limit.rlim_cur = limit.rlim_max = (rlim_t)address_space() + 65536;
    CHECK_EQ(coir_run(NULL, return_0, NULL), 0);
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    coir_options o = {.workers = 4};
    int rc = coir_run(&o, return_0, NULL);
    CHECK(rc == -ENOMEM || rc == -EAGAIN); /* EAGAIN: what pthread_create says */
}

/* -- a thread's name ---------------------------------------------------------------------------------------- */

static void *name_and_end(void *arg)
{
    (void)arg;
    CHECK_EQ(coir_set_name("a thread with a name that is not short"), 0);
    CHECK_EQ(coir_set_name("another"), 0);
    return NULL;
}

TEST(the_name_of_a_thread_ends_with_it)
{
    ledger l = {.until_refusal = -1};
    harness_allow_blocks(60);
    for (int i = 0; i < 200; i++)
        thread_finish(thread_start(name_and_end, NULL));
    CHECK_EQ(run_with_ledger(&l, return_0, NULL), 0); /* refused if a block is out */
    CHECK_EQ(atomic_load(&l.allocated), atomic_load(&l.released));
}

TEST_MAIN("sched_memory")
