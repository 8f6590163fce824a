/* SPDX-License-Identifier: MIT */
/* test_values.c - task-locals: what a task finds by a key. */
#include "sync/wait_tools.h"

#include "scope/scope.h"

static coir_local user = COIR_LOCAL_INIT, trace = COIR_LOCAL_INIT, other = COIR_LOCAL_INIT;
static int one, two, three;

/* Whether the caller sees exactly these. */
static void check_values(void *of_user, void *of_trace)
{
    CHECK_EQ(coir_local_get(&user), of_user);
    CHECK_EQ(coir_local_get(&trace), of_trace);
    CHECK_EQ(coir_local_get(&other), NULL);
}

/* -- one task ----------------------------------------------------------------------------------------------- */

TASK_TEST(a_value_is_found_by_the_address_of_its_key)
{
    coir_local mine = COIR_LOCAL_INIT;
    check_values(NULL, NULL);
    CHECK_EQ(coir_local_set(&user, &one), 0);
    check_values(&one, NULL);
    CHECK_EQ(coir_local_set(&trace, &two), 0);
    CHECK_EQ(coir_local_set(&mine, &three), 0);
    check_values(&one, &two);
    CHECK_EQ(coir_local_get(&mine), &three);
    CHECK_EQ(coir_local_set(&user, &three), 0);
    check_values(&three, &two);
    CHECK_EQ(coir_local_set(&user, NULL), 0);
    check_values(NULL, &two);
}

TASK_TEST(no_key_is_an_error_and_has_no_value)
{
    CHECK_EQ(coir_local_set(NULL, &one), -EINVAL);
    CHECK_EQ(coir_local_get(NULL), NULL);
}

static int set_and_yield(void *arg)
{
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(coir_local_set(&user, arg), 0);
        coir_yield();
        CHECK_EQ(coir_local_get(&user), arg);
    }
    return 0;
}

TASK_TEST(siblings_do_not_see_each_others_values)
{
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, set_and_yield, &one), 0);
    CHECK_EQ(coir_spawn(&g, set_and_yield, &two), 0);
    CHECK_EQ(coir_spawn(&g, set_and_yield, NULL), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    check_values(NULL, NULL);
}

/* -- groups ------------------------------------------------------------------------------------------------- */

typedef struct view {
    void *user, *trace;
    coir_event *wait;
} view;

static int check_view(void *arg)
{
    view *v = arg;
    check_values(v->user, v->trace);
    if (v->wait)
        CHECK_EQ(coir_event_wait(v->wait), 0);
    check_values(v->user, v->trace);
    return 0;
}

TASK_TEST(a_task_finds_what_the_opener_had_when_it_opened_the_group)
{
    coir_group g;
    view v = {&one, &two, NULL};
    CHECK_EQ(coir_local_set(&user, &one), 0);
    CHECK_EQ(coir_local_set(&trace, &two), 0);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, check_view, &v), 0);
    CHECK_EQ(coir_local_set(&user, &three), 0);
    CHECK_EQ(coir_local_set(&trace, NULL), 0);
    CHECK_EQ(coir_local_set(&other, &three), 0);
    CHECK_EQ(coir_spawn(&g, check_view, &v), 0);
    CHECK_EQ(coir_local_set(&other, NULL), 0);
    check_values(&three, NULL);
    CHECK_EQ(coir_group_end(&g), 0);
    check_values(&three, NULL);
}

/* The same key in groups that are open at the same time. */
TASK_TEST(every_open_group_has_a_view_of_its_own)
{
    coir_group g[3];
    coir_event e = COIR_EVENT_INIT;
    view v[3] = {{NULL, NULL, &e}, {&one, NULL, &e}, {&two, NULL, &e}};
    coir_group_begin(&g[0], 0);
    CHECK_EQ(coir_local_set(&user, &one), 0);
    coir_group_begin(&g[1], 0);
    CHECK_EQ(coir_local_set(&user, &three), 0);
    CHECK_EQ(coir_local_set(&user, &two), 0);
    coir_group_begin(&g[2], 0);
    CHECK_EQ(coir_local_set(&user, &three), 0);
    for (int i = 0; i < 3; i++)
        await_parked(start_task(&g[i], check_view, &v[i]));
    coir_event_set(&e);
    for (int i = 2; i >= 0; i--) {
        CHECK_EQ(coir_group_end(&g[i]), 0);
        CHECK_EQ(coir_local_get(&user), &three);
        for (int k = 0; k < i; k++)
            CHECK_EQ(coir_spawn(&g[k], check_view, &v[k]), 0);
    }
}

static int open_inner(void *arg)
{
    coir_group g;
    view inherited = {&one, &two, NULL}, changed = {&one, &three, NULL},
         hidden = {NULL, &three, NULL};
    (void)arg;
    check_values(&one, &two);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, check_view, &inherited), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_local_set(&trace, &three), 0);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, check_view, &changed), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_local_set(&user, NULL), 0);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, check_view, &hidden), 0);
    return coir_group_end(&g);
}

TASK_TEST(values_go_down_through_generations_and_are_changed_for_those_below_only)
{
    coir_group g;
    CHECK_EQ(coir_local_set(&user, &one), 0);
    CHECK_EQ(coir_local_set(&trace, &two), 0);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, open_inner, NULL), 0);
    CHECK_EQ(coir_spawn(&g, open_inner, NULL), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    check_values(&one, &two);
}

TASK_TEST(branches_of_a_race_inherit)
{
    view v = {&one, NULL, NULL};
    coir_branch b = {check_view, &v};
    CHECK_EQ(coir_local_set(&user, &one), 0);
    CHECK_EQ(coir_race(&b, 1, NULL), 0);
}

static int check_then_end(void *arg)
{
    view none = {NULL, NULL, NULL};
    check_view(&none);
    CHECK_EQ(coir_local_set(&user, &two), 0);
    coir_event_set(arg);
    return 0;
}

TASK_TEST(detached_tasks_begin_without_values)
{
    coir_event done = COIR_EVENT_INIT;
    CHECK_EQ(coir_local_set(&user, &one), 0);
    CHECK_EQ(coir_spawn(NULL, check_then_end, &done), 0);
    CHECK_EQ(coir_event_wait(&done), 0);
    check_values(&one, NULL);
}

/* -- threads and runtimes ----------------------------------------------------------------------------------- */

typedef struct foreign {
    coir_group *g;
    view v;
    _Atomic int spawned;
} foreign;

static int spawn_from_thread(void *arg)
{
    foreign *f = arg;
    check_values(NULL, NULL);
    CHECK_EQ(coir_local_set(&user, &three), 0);
    CHECK_EQ(coir_local_set(&trace, &three), 0);
    CHECK_EQ(coir_spawn(f->g, check_view, &f->v), 0);
    check_values(&three, &three);
    CHECK_EQ(coir_local_set(&trace, NULL), 0);
    check_values(&three, NULL);
    atomic_store(&f->spawned, 1);
    return 0;
}

TASK_TEST(a_task_spawned_by_a_thread_finds_what_the_opener_had)
{
    coir_group g;
    test_thread thread;
    CHECK_EQ(coir_local_set(&user, &one), 0);
    coir_group_begin(&g, 0);
    foreign f = {.g = &g, .v = {&one, NULL, NULL}};
    thread_start(&thread, spawn_from_thread, &f);
    await_value(&f.spawned, 1);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(thread_finish(&thread), 0);
    check_values(&one, NULL);
}

static int run_first(void *arg)
{
    check_values(NULL, NULL);
    CHECK_EQ(coir_local_set(&user, arg), 0);
    return 0;
}

TEST(a_threads_values_and_those_of_the_runtime_on_it_are_different)
{
    check_values(NULL, NULL); /* before the thread's first use of anything */
    CHECK_EQ(coir_local_set(&user, &one), 0);
    CHECK_EQ(coir_run(NULL, run_first, &two), 0);
    check_values(&one, NULL);
    CHECK_EQ(coir_local_set(&user, NULL), 0);
}

/* -- memory ------------------------------------------------------------------------------------------------- */

/* Blocks of the size that a value takes, 24 bytes: stacks and the like have others. */
static _Atomic long blocks;
static _Atomic int no_memory;

enum { VALUE = 24, HEAD = 16 };

static void *count_block(void *arg, size_t size)
{
    (void)arg;
    size_t *memory = atomic_load(&no_memory) ? NULL : malloc(size + HEAD);
    if (!memory)
        return NULL;
    *memory = size;
    atomic_fetch_add(&blocks, size == VALUE);
    return (char *)memory + HEAD;
}

static void uncount_block(void *arg, void *block)
{
    (void)arg;
    size_t *memory = (size_t *)(void *)((char *)block - HEAD);
    if (!block)
        return;
    atomic_fetch_sub(&blocks, *memory == VALUE);
    free(memory);
}

static int run_counted(coir_fn *fn, void *arg)
{
    static const coir_allocator counting = {.allocate = count_block, .release = uncount_block};
    coir_options o = {.allocator = &counting};
    return coir_run(&o, fn, arg);
}

static int set_in_a_loop(void *arg)
{
    coir_group outer, g;
    (void)arg;
    CHECK_EQ(coir_local_set(&user, &one), 0);
    coir_group_begin(&outer, 0);
    CHECK_EQ(coir_local_set(&user, &two), 0);
    CHECK_EQ(coir_local_set(&trace, &two), 0);
    long before = blocks;
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(coir_local_set(&user, i % 2 ? &one : &two), 0);
        CHECK_EQ(coir_local_set(&other, &one), 0);
        CHECK_EQ(coir_local_set(&other, NULL), 0);
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_local_set(&user, &three), 0);
        CHECK_EQ(coir_local_set(&trace, i % 3 ? &three : NULL), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(coir_local_get(&user), &three);
    }
    CHECK_EQ(blocks, before);
    return coir_group_end(&outer);
}

TEST(setting_again_and_again_needs_no_more_memory)
{
    CHECK_EQ(run_counted(set_in_a_loop, NULL), 0);
}

static int set_and_leave(void *arg)
{
    long before = blocks;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, set_and_yield, &one), 0);
    CHECK_EQ(coir_spawn(&g, open_inner, NULL), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(blocks, before);
    return 0;
}

static int set_two_and_leave(void *arg)
{
    CHECK_EQ(coir_local_set(&user, &one), 0);
    CHECK_EQ(coir_local_set(&trace, &two), 0);
    return set_and_leave(arg);
}

TEST(what_a_task_has_set_is_freed_at_its_end) { CHECK_EQ(run_counted(set_two_and_leave, NULL), 0); }

static int read_only(void *arg)
{
    view v = {&one, NULL, NULL};
    (void)arg;
    return check_view(&v);
}

static int spawn_readers(void *arg)
{
    coir_group g;
    (void)arg;
    CHECK_EQ(coir_local_set(&user, &one), 0);
    long before = blocks;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(coir_spawn(&g, read_only, NULL), 0);
    CHECK_EQ(blocks, before);
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(blocks, before);
    return coir_group_end(&g);
}

TEST(inheriting_allocates_nothing) { CHECK_EQ(run_counted(spawn_readers, NULL), 0); }

static int set_without_memory(void *arg)
{
    (void)arg;
    long before = blocks;
    CHECK_EQ(coir_local_set(&user, &one), 0);
    CHECK_EQ(blocks, before + 1); /* or the counts here mean nothing */
    atomic_store(&no_memory, 1);
    CHECK_EQ(coir_local_set(&trace, &two), -ENOMEM);
    check_values(&one, NULL);
    CHECK_EQ(coir_local_set(&user, &three), 0); /* its own, and nobody else's */
    CHECK_EQ(coir_local_set(&trace, NULL), 0);
    check_values(&three, NULL);
    atomic_store(&no_memory, 0);
    return 0;
}

TEST(without_memory_a_set_fails_and_changes_nothing)
{
    CHECK_EQ(run_counted(set_without_memory, NULL), 0);
}

static int set_in_thread(void *arg)
{
    CHECK_EQ(coir_local_set(&user, arg), 0);
    CHECK_EQ(coir_local_set(&trace, arg), 0);
    return 0;
}

static int run_thread(void *arg)
{
    test_thread thread;
    long before = blocks;
    thread_start(&thread, set_in_thread, arg);
    CHECK_EQ(thread_finish(&thread), 0);
    CHECK_EQ(blocks, before);
    return 0;
}

TEST(what_a_thread_has_set_is_freed_at_its_exit) { CHECK_EQ(run_counted(run_thread, &one), 0); }

/* -- under stress ------------------------------------------------------------------------------------------- */

enum { KEYS = 4, DEPTH_MAX = 3 };
static coir_local keys[KEYS];

/* A task's own idea of what it sees. */
typedef struct belief {
    void *values[KEYS];
    dice d;
    int depth;
} belief;

static void check_belief(const belief *b)
{
    for (int k = 0; k < KEYS; k++)
        CHECK_EQ(coir_local_get(&keys[k]), b->values[k]);
}

static void set_something(belief *b)
{
    uint32_t k = dice_below(&b->d, KEYS);
    void *value = dice_below(&b->d, 4) ? &b->values[dice_below(&b->d, KEYS)] : NULL;
    CHECK_EQ(coir_local_set(&keys[k], value), 0);
    b->values[k] = value;
}

static int live(void *arg);

/* Children see what was there at the begin, whatever is set meanwhile. */
static void open_group(belief *b, int nesting)
{
    coir_group g;
    belief children[3];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++) {
        children[i] = *b;
        children[i].depth++;
        children[i].d.state += (uint64_t)i * 77 + 1;
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_spawn(&g, live, &children[i]), 0);
        set_something(b);
        if (nesting > 0 && dice_below(&b->d, 3) == 0)
            open_group(b, nesting - 1);
        check_belief(b);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    check_belief(b);
}

static int live(void *arg)
{
    belief *b = arg;
    check_belief(b);
    for (int i = 0; i < 3; i++) {
        set_something(b);
        coir_yield();
        check_belief(b);
        if (b->depth < DEPTH_MAX && dice_below(&b->d, 2))
            open_group(b, 2);
    }
    return 0;
}

static int live_rounds(void *arg)
{
    (void)arg;
    for (int round = 0; round < rounds_of(10); round++) {
        belief b = {.d = {(uint64_t)round}};
        for (int k = 0; k < KEYS; k++)
            CHECK_EQ(coir_local_set(&keys[k], NULL), 0);
        CHECK_EQ(live(&b), 0);
    }
    return 0;
}

TEST_TIMEOUT(every_task_sees_what_it_ought_to, 60)
{
    long before = blocks;
    CHECK_EQ(run_counted(live_rounds, NULL), 0);
    CHECK_EQ(blocks, before);
}

TEST_MAIN("values")
