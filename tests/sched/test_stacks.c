/* SPDX-License-Identifier: MIT */
/* test_stacks.c - what stacks are to tasks, with every strategy: depth, overflow, limits, memory that goes back. */
#include "sched_test.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>

#include <coir/debug.h>
#include <coir/loop.h>
#include <coir/net.h>

#include "sched/task.h"
#include "stack/slab.h"

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

static const coir_stack_strategy strategies[] = {COIR_STACK_LAZY, COIR_STACK_GROW,
                                                 COIR_STACK_FIXED};
#define STRATEGIES 3

/* Whatever the environment says. */
static int run_with(coir_stack_strategy s, coir_fn *fn, void *arg)
{
    coir_options o = {.stack_strategy = s};
    unsetenv("COIR_STACK");
    return coir_run(&o, fn, arg);
}

static int spawn_one(const coir_task_options *o, coir_fn *fn, void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    int rc = coir_spawn_with(&g, o, fn, arg, NULL);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

/* -- how little a task touches ------------------------------------------------------------------------------- */

#if defined(__x86_64__) && defined(__OPTIMIZE__) && !SCHED_ASAN && !SCHED_TSAN &&                  \
    !defined(COIR_ARCH_PORTABLE)
#define FRAMES_ARE_SMALL 1
#else
#define FRAMES_ARE_SMALL 0
#endif

enum { TOUCHED = 128, BELOW = 512 }; /* bytes below the stack's record */

typedef struct waiter {
    coir_event open;
    coir__task *self;
} waiter;

static int wait_until_open(void *arg)
{
    waiter *x = arg;
    x->self = coir_self().opaque;
    return coir_event_wait(&x->open);
}

static int wait_too(void *arg) { return coir_event_wait(arg); }

static int touch_little(void *arg)
{
    waiter x = {.open = COIR_EVENT_INIT};
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, wait_until_open, &x), 0);
    for (int i = 0; i < 2; i++) /* the last one wakes the group's opener, which takes more */
        CHECK_EQ(coir_spawn(&g, wait_too, &x.open), 0);
    coir_yield();
    char *record = (char *)x.self->stack;
    CHECK_LE(record - (char *)x.self->ctx.sp, TOUCHED);
    memset(record - BELOW, 0x5a, BELOW - TOUCHED);
    coir_event_set(&x.open);
    CHECK_EQ(coir_group_end(&g), 0);
    for (char *at = record - BELOW; at < record - TOUCHED; at++)
        CHECK_EQ(*at, 0x5a);
    return 0;
}

/* With a million of them each line is a miss: docs/design/010. */
TEST(a_task_that_waits_and_ends_touches_two_lines_of_its_stack)
{
    coir_options o = {.workers = 1, .stack_strategy = COIR_STACK_LAZY};
    unsetenv("COIR_WORKERS");
    unsetenv("COIR_STACK");
    if (FRAMES_ARE_SMALL)
        CHECK_EQ(coir_run(&o, touch_little, NULL), 0);
}

/* -- depth -------------------------------------------------------------------------------------------------- */

/* Recurses to `depth` bytes below `top`. */
__attribute__((noinline)) static int dive(const char *top, size_t depth)
{
    volatile char frame[1024];
    frame[0] = 1;
    __asm__ volatile("" ::"r"(frame) : "memory");
    if ((size_t)(top - (const char *)__builtin_frame_address(0)) >= depth) {
        coir_yield();
        return 1;
    }
    return dive(top, depth) + frame[0];
}

static int dive_into(void *arg)
{
    CHECK_GE(dive(__builtin_frame_address(0), *(size_t *)arg), 1);
    return 0;
}

/* 8 MiB less a step of growth, and what is above the task's own function. */
static int use_8_MiB(void *arg)
{
    size_t depth = MIB(8) - KIB(64);
    coir_task_options o = {.stack_reserve = MIB(8)};
    (void)arg;
    CHECK_EQ(dive_into(&depth), 0); /* the first task's, too */
    for (int i = 0; i < 3; i++)
        CHECK_EQ(spawn_one(&o, dive_into, &depth), 0);
    return 0;
}

TEST(every_strategy_goes_down_to_8_MiB)
{
    for (int i = 0; i < STRATEGIES; i++)
        CHECK_EQ(run_with(strategies[i], use_8_MiB, NULL), 0);
}

static int use_small(void *arg)
{
    static const struct {
        size_t reserve, depth;
    } sizes[] = {{KIB(8), KIB(4)}, {KIB(16), KIB(10)}, {KIB(32), KIB(26)}};
    (void)arg;
    if (SCHED_ASAN || SCHED_TSAN)
        return 0; /* their frames do not fit */
    for (int i = 0; i < 300; i++) {
        coir_task_options o = {.stack_reserve = sizes[i % 3].reserve};
        size_t depth = sizes[i % 3].depth;
        CHECK_EQ(spawn_one(&o, dive_into, &depth), 0);
    }
    return 0;
}

TEST(small_stacks_can_be_asked_for)
{
    for (int i = 0; i < STRATEGIES; i++)
        CHECK_EQ(run_with(strategies[i], use_small, NULL), 0);
}

__attribute__((noinline)) static int dive_and_jump(jmp_buf *place, const char *top, size_t depth)
{
    volatile char frame[1024];
    frame[0] = 1;
    __asm__ volatile("" ::"r"(frame) : "memory");
    if ((size_t)(top - (const char *)__builtin_frame_address(0)) >= depth)
        longjmp(*place, 1);
    return (top ? dive_and_jump(place, top, depth) : 0) + frame[0];
}

static int jump_out(void *arg)
{
    jmp_buf place;
    volatile int rounds = 0;
    (void)arg;
    if (setjmp(place) == 0 || ++rounds < 4) {
        coir_yield();
        dive_and_jump(&place, __builtin_frame_address(0), KIB(100));
    }
    CHECK_EQ(rounds, 4);
    return 0;
}

static int jump_in_many(void *arg)
{
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(coir_spawn(&g, jump_out, NULL), 0);
    return coir_group_end(&g);
}

TEST(a_task_jumps_back_from_far_below)
{
    for (int i = 0; i < STRATEGIES; i++)
        CHECK_EQ(run_with(strategies[i], jump_in_many, NULL), 0);
}

static void fill_and_check(volatile char *area, size_t size)
{
    for (size_t i = 0; i < size; i += 100)
        area[i] = (char)(i / 100);
    coir_yield();
    for (size_t i = 0; i < size; i += 100)
        CHECK_EQ(area[i], (char)(i / 100));
}

__attribute__((noinline)) static void use_frame(void)
{
    volatile char
        frame[KIB(140)]; /* more than the guard, and than what a growing stack has at first */
    fill_and_check(frame, sizeof frame);
}

__attribute__((noinline)) static void use_alloca(size_t size)
{
    fill_and_check(__builtin_alloca(size), size);
}

static int use_large_frames(void *arg)
{
    static const size_t sizes[] = {10, KIB(5), KIB(9), KIB(65), KIB(140)};
    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        use_alloca(sizes[i]);
    use_frame();
    return 0;
}

static int use_large_frames_in_many(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(coir_spawn(&g, use_large_frames, arg), 0);
    return coir_group_end(&g);
}

TEST(frames_larger_than_a_page_and_than_the_guard_can_be_used)
{
    for (int i = 0; i < STRATEGIES; i++)
        CHECK_EQ(run_with(strategies[i], use_large_frames_in_many, NULL), 0);
}

/* -- overflow ----------------------------------------------------------------------------------------------- */

static coir_stack_strategy chosen;

static int dive_for_ever(void *arg)
{
    (void)arg;
    return dive(__builtin_frame_address(0), SIZE_MAX);
}

static int compare(const void *a, const void *b) { return a < b ? dive_for_ever(NULL) : -1; }

static int sort(void *arg)
{
    int numbers[4] = {4, 2, 3, 1};
    (void)arg;
    qsort(numbers, 4, sizeof *numbers, compare);
    return 0;
}

static int spawn_deep(void *arg)
{
    coir_task_options o = {.name = "deep", .stack_reserve = KIB(100)};
    coir_fn *fn;
    memcpy(&fn, arg, sizeof fn);
    return spawn_one(&o, fn, NULL);
}

static int overflow(void *arg)
{
    coir_fn *fn = arg ? sort : dive_for_ever;
    return run_with(chosen, spawn_deep, &fn);
}

TEST(every_strategy_reports_an_overflow_by_name)
{
    for (int i = 0; i < STRATEGIES; i++) {
        chosen = strategies[i];
        CHECK_ABORTS(overflow, NULL, "coir: stack overflow in task 'deep' (192 KiB), spawned at ");
        CHECK_ABORTS(overflow, &chosen,
                     "coir: stack overflow in task 'deep' (192 KiB), spawned at ");
    }
}

static int overflow_first(void *arg)
{
    (void)arg;
    return run_with(chosen, dive_for_ever, NULL);
}

TEST(the_first_task_overflows_at_its_own_limit)
{
    chosen = COIR_STACK_GROW;
    CHECK_ABORTS(overflow_first, NULL, "coir: stack overflow in task 'main' (8192 KiB)");
}

static int spawn_small(void *arg)
{
    coir_task_options o = {.name = "small", .stack_reserve = KIB(16)};
    (void)arg;
    return spawn_one(&o, dive_for_ever, NULL);
}

static int overflow_small(void *arg)
{
    (void)arg;
    return run_with(chosen, spawn_small, NULL);
}

TEST(small_stacks_overflow_into_small_guards)
{
    for (int i = 0; i < STRATEGIES; i++) {
        chosen = strategies[i];
        CHECK_ABORTS(overflow_small, NULL, "coir: stack overflow in task 'small' (");
    }
}

/* Sanitizers have alternate stacks of their own, and say it themselves. */
#if defined(__GLIBC__) && !defined(HARNESS_STATIC) && !COIR__ASAN && !COIR__TSAN
static atomic_int falls;

/* The scheduler asks for the time on its own stack, too. */
static int64_t fall_in_clock(void *arg)
{
    struct timespec t;
    if (atomic_load(&falls) && !coir__stack_holding(__builtin_frame_address(0)))
        dive_for_ever(arg);
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * COIR_S(1) + t.tv_nsec;
}

static int yield_until_it_falls(void *arg)
{
    (void)arg;
    atomic_store(&falls, 1);
    while (coir_sleep(1) == 0)
        continue;
    return 0;
}

static int overflow_on_base(void *arg)
{
    const coir_clock clock = {.now = fall_in_clock};
    coir_options o = {.clock = &clock, .stack_strategy = chosen};
    (void)arg;
    unsetenv("COIR_STACK");
    return coir_run(&o, yield_until_it_falls, NULL);
}

static void *overflow_in_thread(void *arg)
{
    overflow_on_base(arg);
    return NULL;
}

static int overflow_on_base_of_thread(void *arg)
{
    thread_finish(thread_start(overflow_in_thread, arg));
    return 0;
}

TEST(an_overflow_on_a_workers_own_stack_is_said_to_be_that)
{
    for (int i = 0; i < STRATEGIES; i++) {
        chosen = strategies[i];
        CHECK_ABORTS(overflow_on_base, NULL, "coir: stack overflow on a worker's own stack (");
        CHECK_ABORTS(overflow_on_base_of_thread, NULL,
                     "coir: stack overflow on a worker's own stack (");
    }
}
#endif

/* -- the kernel --------------------------------------------------------------------------------------------- */

static int read_far_below(void *arg)
{
    coir__stack *s = coir__stack_holding(__builtin_frame_address(0));
    int fds[2];
    (void)arg;
    char *buffer = s->bottom + KIB(16); /* of a frame to come */
    CHECK_EQ(coir_socketpair(fds), 0);
    CHECK_EQ(coir_write_all(fds[0], "hello", 5, NULL), 0);
    CHECK_EQ(coir_read(fds[1], buffer, KIB(4)), 5);
    CHECK_EQ(memcmp(buffer, "hello", 5), 0);
    CHECK_EQ(coir_write(fds[1], buffer - KIB(8), KIB(8)), KIB(8));
    coir_close(fds[0]);
    coir_close(fds[1]);
    return 0;
}

static int read_in_tasks(void *arg)
{
    coir_task_options o = {.stack_reserve = KIB(192)};
    for (int i = 0; i < 5; i++)
        CHECK_EQ(spawn_one(&o, read_far_below, arg), 0);
    return 0;
}

TEST(the_kernel_may_write_to_what_the_stack_has_not_grown_to)
{
    for (int i = 0; i < STRATEGIES; i++)
        CHECK_EQ(run_with(strategies[i], read_in_tasks, NULL), 0);
}

static volatile sig_atomic_t caught;

static void catch_signal(int number)
{
    (void)number;
    caught++;
}

static int see_flags(void *arg)
{
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    *(int *)arg = now.sa_flags;
    raise(SIGUSR1);
    return 0;
}

TEST(handlers_of_the_program_run_on_the_alternate_stack_where_stacks_grow)
{
    struct sigaction a = {.sa_handler = catch_signal};
    int flags = 0;
    setenv("COIR_WORKERS", "1", 1); /* others block signals */
    CHECK_EQ(sigaction(SIGUSR1, &a, NULL), 0);
    CHECK_EQ(run_with(COIR_STACK_LAZY, see_flags, &flags), 0);
    CHECK_EQ(flags & SA_ONSTACK, 0);
    CHECK_EQ(run_with(COIR_STACK_GROW, see_flags, &flags), 0);
    CHECK_NE(flags & SA_ONSTACK, 0);
    CHECK_EQ(caught, 2);
}

TEST(strict_overcommit_runs_with_stacks_that_grow)
{
    int flags = 0;
    struct sigaction a = {.sa_handler = catch_signal};
    CHECK_EQ(sigaction(SIGUSR1, &a, NULL), 0);
    coir__overcommit_force(2);
    CHECK_EQ(run_with(COIR_STACK_AUTO, see_flags, &flags), 0);
    CHECK_NE(flags & SA_ONSTACK, 0);
    coir__overcommit_force(-1);
}

/* -- limits ------------------------------------------------------------------------------------------------- */

static size_t address_space(void)
{
    char line[128];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) && sscanf(line, "VmSize: %zu", &kib) != 1)
        ;
    fclose(f);
    return kib << 10;
}

static int count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int wait_and_count(void *arg)
{
    void **args = arg;
    int rc = coir_event_wait(args[0]);
    atomic_fetch_add((atomic_int *)args[1], 1);
    return rc;
}

/* Spawns until that fails, goes on with what there is, and has all it wants when there is memory again. */
static int spawn_to_the_limit(void *arg)
{
    coir_event open = COIR_EVENT_INIT;
    static atomic_int ended;
    void *args[] = {&open, &ended};
    coir_group g;
    int n = 0, rc = 0, ends[2];
    (void)arg;
    atomic_store(&ended, 0);
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++) { /* whatever is allocated once */
        CHECK_EQ(coir_spawn(&g, count_up, &ended), 0);
        coir_yield();
    }
    CHECK_EQ(coir_group_wait(&g), 0);
    atomic_store(&ended, 0);
    struct rlimit limit = {address_space() + MIB(100), RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    while (n < 100000 && (rc = coir_spawn(&g, wait_and_count, args)) == 0)
        n++;
    CHECK_EQ(rc, -ENOMEM);
    CHECK_GT(n, 100);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0); /* everything else goes on */
    CHECK_EQ(coir_pipe(ends), 0);        /* the first descriptor of the process */
    CHECK_EQ(coir_close(ends[0]), 0);
    CHECK_EQ(coir_close(ends[1]), 0);
    coir_event_set(&open);
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(atomic_load(&ended), n);
    CHECK_EQ(coir_spawn(&g, count_up, &ended), 0); /* others have ended */
    limit.rlim_cur = RLIM_INFINITY;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    for (int i = 0; i < 2 * n && i < 2000; i++)
        CHECK_EQ(coir_spawn(&g, count_up, &ended), 0);
    return coir_group_end(&g);
}

TEST_TIMEOUT(no_address_space_is_an_error_of_the_spawn_and_passes, 60)
{
    if (SCHED_ASAN || SCHED_TSAN || is_emulated())
        skip("sanitizers and emulators have mappings of their own");
    for (int i = 0; i < STRATEGIES; i++)
        CHECK_EQ(run_with(strategies[i], spawn_to_the_limit, NULL), 0);
}

static int spawn_without_commit(void *arg)
{
    coir_group g;
    atomic_int ended = 0;
    int n = 0;
    (void)arg;
    coir_group_begin(&g, 0);
    coir__grow_fail_next(1 << 30);
    while (coir_spawn(&g, count_up, &ended) == 0)
        n++;
    coir__grow_fail_next(0);
    CHECK_LT(n, 32);
    CHECK_EQ(coir_spawn(&g, count_up, &ended), 0);
    CHECK_EQ(coir_group_wait(&g), 0);
    CHECK_EQ(atomic_load(&ended), n + 1);
    return coir_group_end(&g);
}

TEST(memory_that_is_not_promised_is_an_error_of_the_spawn)
{
    CHECK_EQ(run_with(COIR_STACK_GROW, spawn_without_commit, NULL), 0);
}

/* -- giving back -------------------------------------------------------------------------------------------- */

static size_t resident_bytes(void)
{
    size_t pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL);
    CHECK_EQ(fscanf(f, "%zu %zu", &all, &pages), 2);
    fclose(f);
    return pages * 4096;
}

static atomic_int arrived;

static int dive_and_wait(void *arg)
{
    dive(__builtin_frame_address(0), KIB(150));
    atomic_fetch_add(&arrived, 1);
    return coir_event_wait(arg);
}

/* The memory of stacks that have been deep goes back while nothing happens, without anybody asking. */
static int go_deep_and_rest(void *arg)
{
    coir_group g;
    coir_event e = COIR_EVENT_INIT;
    enum { N = 60 }; /* a worker keeps them all */
    (void)arg;
    atomic_store(&arrived, 0);
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir_spawn(&g, dive_and_wait, &e), 0);
    while (atomic_load(&arrived) < N)
        coir_yield();
    coir_event_set(&e);
    CHECK_EQ(coir_group_end(&g), 0);
    size_t deep = resident_bytes();
    CHECK_GT(deep, N * KIB(150));
    while (resident_bytes() > deep - N * KIB(120))
        CHECK_EQ(coir_sleep(COIR_MS(50)), 0);
    return 0;
}

TEST_TIMEOUT(what_deep_calls_have_left_goes_back_when_all_is_quiet, 60)
{
    if (SCHED_ASAN || SCHED_TSAN)
        skip("sanitizers have memory of their own");
    setenv("COIR_WORKERS", "1", 1);
    CHECK_EQ(run_with(COIR_STACK_LAZY, go_deep_and_rest, NULL), 0);
    CHECK_EQ(run_with(COIR_STACK_GROW, go_deep_and_rest, NULL), 0);
}

/* -- high water --------------------------------------------------------------------------------------------- */

static int measure(void *arg)
{
    size_t before = coir_stack_high_water();
    dive(__builtin_frame_address(0), *(size_t *)arg);
    size_t after = coir_stack_high_water();
    CHECK_GT(before, 0);
    CHECK_LE(before, after);
    CHECK_GE(after, *(size_t *)arg);
    return 0;
}

static int measure_in_turn(void *arg)
{
    size_t depths[] = {KIB(20), KIB(100), KIB(50), KIB(180)};
    (void)arg;
    for (int i = 0; i < 4; i++)
        CHECK_EQ(spawn_one(NULL, measure, &depths[i]), 0);
    return 0;
}

TEST(high_water_is_what_was_used_at_least)
{
    CHECK_EQ(coir_stack_high_water(), 0); /* a thread */
    for (int i = 0; i < STRATEGIES; i++)
        CHECK_EQ(run_with(strategies[i], measure_in_turn, NULL), 0);
}

TEST_MAIN("sched_stacks")
