/* SPDX-License-Identifier: MIT */
/* test_spawn_stack.c - what belongs to a task besides its function: stack, floating-point control words; and spawns from
 * threads. */
#include "sched_test.h"

#include <fenv.h>

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

/* -- stacks ------------------------------------------------------------------------------------------------- */

/* Uses up about `left` bytes of stack, waits at the bottom, and checks on the way back that nobody wrote there. */
__attribute__((noinline)) static int dive(size_t left, unsigned char mark)
{
    volatile unsigned char frame[2048];
    for (size_t i = 0; i < sizeof frame; i += 64)
        frame[i] = mark;
    if (left > 4096) {
        int rc = dive(left - 2400, (unsigned char)(mark + 1));
        CHECK_EQ(rc, 0);
    } else {
        coir_yield();
    }
    for (size_t i = 0; i < sizeof frame; i += 64)
        CHECK_EQ(frame[i], mark);
    return 0;
}

static int dive_into(void *arg) { return dive(*(size_t *)arg, 1); }

/* Sanitizers' frames are larger; they get two thirds. */
static size_t usable(size_t reserve)
{
    size_t rest = reserve - KIB(16);
    return SCHED_TSAN || SCHED_ASAN ? rest / 3 * 2 : rest;
}

static void dive_with(size_t reserve, int tasks)
{
    size_t depth = usable(reserve);
    coir_task_options o = {.stack_reserve = reserve};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < tasks; i++)
        CHECK_EQ(coir_spawn_with(&g, &o, dive_into, &depth, NULL), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_task_can_use_the_stack_it_asked_for)
{
    static const size_t reserves[] = {KIB(64), KIB(100), KIB(192), KIB(256),
                                      MIB(1),  MIB(3),   MIB(8)};
    for (size_t i = 0; i < sizeof reserves / sizeof *reserves; i++)
        dive_with(reserves[i], 3);
}

TASK_TEST(the_default_stack_has_192_KiB)
{
    size_t depth = usable(KIB(192));
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, dive_into, &depth), 0);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(the_first_task_has_8_MiB) { dive(usable(MIB(8)), 1); }

static int spawn_divers(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_spawn(&g, dive_into, arg), 0);
    return coir_group_end(&g);
}

TEST(the_option_of_the_runtime_is_the_default_of_its_tasks)
{
    size_t depth = usable(MIB(2));
    coir_options o = {.stack_reserve = MIB(2)};
    CHECK_EQ(coir_run(&o, spawn_divers, &depth), 0);
}

TEST(fixed_stacks_have_their_size_too)
{
    size_t depth = usable(KIB(192));
    unsetenv("COIR_STACK");
    coir_options o = {.stack_strategy = COIR_STACK_FIXED};
    CHECK_EQ(coir_run(&o, spawn_divers, &depth), 0);
}

/* Tasks of all sizes take turns, so that a stack is never handed to a task of another size. */
TASK_TEST(tasks_of_different_sizes_follow_each_other)
{
    static const size_t reserves[] = {KIB(64), MIB(1), KIB(192), KIB(500)};
    size_t depths[4];
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        depths[i] = usable(reserves[i]);
    for (int i = 0; i < 200; i++) {
        coir_task_options o = {.stack_reserve = reserves[i % 4]};
        CHECK_EQ(coir_spawn_with(&g, &o, dive_into, &depths[i % 4], NULL), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
}

/* -- floating point ----------------------------------------------------------------------------------------- */

#if defined(__x86_64__) || defined(__aarch64__)

typedef struct rounding {
    int mode;
    coir_chan *turn;
} rounding;

static void wait_somehow(int i, rounding *r)
{
    coir_case cases[] = {COIR_AFTER(1)};
    coir_mutex m = COIR_MUTEX_INIT;
    switch (i % 5) {
    case 0:
        coir_yield();
        break;
    case 1:
        CHECK_EQ(coir_sleep(1), 0);
        break;
    case 2:
        CHECK_EQ(coir_select(cases, 1), 0);
        break;
    case 3:
        CHECK_EQ(coir_chan_send(r->turn, NULL), 0);
        CHECK_EQ(coir_chan_recv(r->turn, NULL), 0);
        break;
    default:
        CHECK_EQ(coir_mutex_lock(&m), 0);
        coir_mutex_unlock(&m);
        break;
    }
}

static int keep_rounding(void *arg)
{
    rounding *r = arg;
    CHECK_EQ(fegetround(), FE_TONEAREST); /* begins like any other */
    CHECK_EQ(fesetround(r->mode), 0);
    for (int i = 0; i < 200; i++) {
        wait_somehow(i, r);
        CHECK_EQ(fegetround(), r->mode);
    }
    return 0; /* without putting it back */
}

static int see_nearest(void *arg)
{
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(fegetround(), FE_TONEAREST);
        wait_somehow(i, arg);
    }
    return 0;
}

TASK_TEST(a_task_with_its_own_control_words_keeps_them_and_others_do_not_see_them)
{
    coir_chan *turn = coir_chan_new(0, 16);
    rounding r[3] = {{FE_UPWARD, turn}, {FE_DOWNWARD, turn}, {FE_TOWARDZERO, turn}};
    coir_task_options o = {.flags = COIR_FP_ENV}, both = {.flags = COIR_FP_ENV | COIR_PINNED};
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(coir_spawn_with(&g, i < 3 ? &o : &both, keep_rounding, &r[i % 3], NULL), 0);
        CHECK_EQ(coir_spawn(&g, see_nearest, &r[i % 3]), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(fegetround(), FE_TONEAREST);
    coir_chan_free(turn);
}

#endif

/* -- from threads ------------------------------------------------------------------------------------------- */

typedef struct spawners {
    coir_group *g;
    atomic_int ran;
    int each;
} spawners;

static int add_one(void *arg)
{
    CHECK_NE(coir_task_id(coir_self()), 0);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void *spawn_from_thread(void *arg)
{
    spawners *s = arg;
    coir_task_options pinned = {.name = "from a thread", .flags = COIR_PINNED};
    atomic_int *ran = &s->ran;
    for (int i = 0; i < s->each; i++) {
        coir_task t;
        int result = -1;
        switch (i % 4) {
        case 0:
            CHECK_EQ(coir_spawn(s->g, add_one, ran), 0);
            break;
        case 1:
            CHECK_EQ(coir_spawn_with(s->g, &pinned, add_one, ran, NULL), 0);
            break;
        case 2:
            CHECK_EQ(coir_spawn_with(s->g, NULL, add_one, ran, &t), 0);
            CHECK_EQ(coir_join(t, &result), 0);
            CHECK_EQ(result, 0);
            break;
        default:
            CHECK_EQ(coir_spawn_with(s->g, NULL, add_one, ran, &t), 0);
            coir_detach(t);
            break;
        }
    }
    return NULL;
}

TASK_TEST(threads_can_spawn_into_an_open_group)
{
    coir_group g;
    pthread_t threads[4];
    spawners s = {.g = &g, .each = 400 / harness_scale()};
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        threads[i] = thread_start(spawn_from_thread, &s);
    while (atomic_load(&s.ran) < 4 * s.each) /* the group stays open, and its worker free */
        coir_yield();
    for (int i = 0; i < 4; i++)
        thread_finish(threads[i]);
    CHECK_EQ(coir_group_end(&g), 0);
}

static void *spawn_and_set(void *arg)
{
    spawners *s = arg;
    CHECK_EQ(coir_spawn(s->g, add_one, &s->ran), 0);
    return NULL;
}

static int wait_while_thread_spawns(void *arg)
{
    (void)arg;
    coir_group g;
    spawners s = {.g = &g};
    coir_group_begin(&g, 0);
    pthread_t thread = thread_start(spawn_and_set, &s);
    while (atomic_load(&s.ran) == 0)
        CHECK_EQ(coir_sleep(COIR_MS(1)), 0); /* workers sleep in the kernel meanwhile */
    thread_finish(thread);
    return coir_group_end(&g);
}

TEST(a_spawn_from_a_thread_wakes_sleeping_workers)
{
    for (int i = 0; i < 20; i++)
        CHECK_EQ(coir_run(NULL, wait_while_thread_spawns, NULL), 0);
}

/* Into a group of another runtime. */
typedef struct pair {
    coir_group *_Atomic g;
    atomic_int ran;
    coir_event done;
} pair;

static int spawn_abroad(void *arg)
{
    pair *p = arg;
    while (!atomic_load(&p->g))
        coir_yield();
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_spawn(atomic_load(&p->g), add_one, &p->ran), 0);
    coir_event_set(&p->done);
    return 0;
}

static void *run_abroad(void *arg)
{
    CHECK_EQ(coir_run(NULL, spawn_abroad, arg), 0);
    return NULL;
}

TASK_TEST(a_task_of_another_runtime_can_spawn_into_a_group)
{
    coir_group g;
    pair p = {.done = COIR_EVENT_INIT};
    coir_group_begin(&g, 0);
    pthread_t thread = thread_start(run_abroad, &p);
    atomic_store(&p.g, &g);
    CHECK_EQ(coir_event_wait(&p.done), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(atomic_load(&p.ran), 100);
    thread_finish(thread);
}

static int spawn_detached(void *arg)
{
    coir_spawn(NULL, add_one, arg);
    return 0;
}

TEST(a_detached_spawn_from_a_thread_is_misuse)
{
    CHECK_ABORTS(spawn_detached, NULL, "coir_spawn without a group");
}

TEST_MAIN("sched_spawn_stack")
