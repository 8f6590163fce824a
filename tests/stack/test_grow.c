/* SPDX-License-Identifier: MIT */
/* test_grow.c - stacks that are extended by a fault: how far, for whom, and what a fault can't do. */
#include "stack/on_stack.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "stack/slab.h"

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

#if COIR__ASAN || COIR__TSAN
#define MARGIN (16 * PAGE)
#define SKIP_UNDER_SANITIZERS() skip("sanitizers have mappings and signals of their own")
#else
#define MARGIN (2 * PAGE)
#define SKIP_UNDER_SANITIZERS() (void)0
#endif

typedef struct fake_task {
    const char *name;
    const char *file;
    int line;
} fake_task;

static void describe(void *owner, const char **ret_name, const char **ret_file, int *ret_line)
{
    const fake_task *t = owner;
    *ret_name = t->name;
    *ret_file = t->file;
    *ret_line = t->line;
}

static fake_task deep = {.name = "deep", .file = "diver.c", .line = 12};
static const coir__overflow_hooks hooks = {.describe = describe};

static coir__stack_pool *pool;
static void *alternate;

static void begin(void)
{
    pool = coir__stack_pool_new(COIR_STACK_GROW, 1);
    CHECK(pool != NULL);
    CHECK_EQ(coir__overflow_thread_begin(&alternate), 0);
    CHECK_EQ(coir__overflow_install(&hooks), 0);
}

static void finish(void)
{
    coir__overflow_remove();
    coir__overflow_thread_end(alternate);
    coir__stack_pool_free(pool);
}

static coir__stack *grow_stack(size_t reserve)
{
    coir__stack *s = obtain(pool, NULL, coir__stack_class(reserve));
    s->owner = &deep;
    return s;
}

static char *floor_of(coir__stack *s) { return atomic_load(&s->floor); }

/* Where the slot ends. */
static char *end_of(const coir__stack *s) { return s->bottom + coir__stack_usable(s->class_); }

static size_t committed(coir__stack *s) { return (size_t)(end_of(s) - floor_of(s)); }

/* -- how far ------------------------------------------------------------------------------------------------ */

TEST(at_first_64_KiB_are_accessible)
{
    begin();
    for (int i = 0; i < 40; i++) {
        coir__stack *s = grow_stack(i % 2 ? KIB(192) : MIB(8));
        CHECK_EQ(committed(s), KIB(64));
        CHECK(is_readable(floor_of(s)));
        CHECK(!is_readable(floor_of(s) - 8));
        CHECK(!is_readable(s->bottom));
        CHECK(!is_readable(s->bottom - COIR__STACK_GUARD));
    }
    finish();
}

static COIR__NOINLINE size_t go_down(const char *limit)
{
    volatile char frame[512];
    frame[0] = 1;
    __asm__ volatile("" ::"r"(frame) : "memory");
    if ((const char *)__builtin_frame_address(0) - limit < (ptrdiff_t)MARGIN)
        return 1;
    size_t depth = go_down(limit);
    return frame[0] ? depth + 1 : 0;
}

static void dive(void *arg) { CHECK_GE(go_down(arg), 1); }

/* And the rest by hand. */
static void dive_to_the_bottom(void *arg)
{
    dive(arg);
    for (size_t i = MARGIN / 2; i > 0; i -= 8)
        ((volatile char *)arg)[i - 8] = 1;
}

TEST(the_whole_reserve_can_be_used)
{
    static const size_t reserves[] = {1,        KIB(24), KIB(48), KIB(64), KIB(192),
                                      KIB(500), MIB(1),  MIB(8),  MIB(20)};
    begin();
    for (size_t i = 0; i < sizeof reserves / sizeof *reserves; i++) {
        coir__stack *s = grow_stack(reserves[i]);
        CHECK_GE((char *)s->top - s->bottom, reserves[i] - COIR__STACK_SLACK);
        on_stack(s, dive_to_the_bottom, s->bottom);
        CHECK_EQ(floor_of(s), s->bottom);
        CHECK(!is_readable(s->bottom - 8));
    }
    finish();
}

static char *touched;

static void touch(void *arg)
{
    (void)arg;
    *(volatile char *)touched = 1;
}

static void touch_below_top(coir__stack *s, size_t depth)
{
    touched = end_of(s) - depth;
    on_stack(s, touch, NULL);
}

TEST(a_stack_doubles_and_later_grows_by_1_MiB)
{
    begin();
    coir__stack *s = grow_stack(MIB(8));
    size_t sizes[32], n = 0;
    while (floor_of(s) > s->bottom) {
        touch_below_top(s, committed(s) + 1);
        sizes[n++] = committed(s);
    }
    CHECK_EQ(sizes[0], KIB(128));
    CHECK_EQ(sizes[1], KIB(256));
    CHECK_EQ(sizes[2], KIB(512));
    CHECK_EQ(sizes[3], MIB(1));
    CHECK_EQ(sizes[4], MIB(2));
    CHECK_EQ(sizes[5], MIB(3));
    CHECK_EQ(sizes[n - 1], coir__stack_usable(s->class_)); /* not past the guard */
    finish();
}

TEST(a_touch_far_below_makes_all_in_between_accessible)
{
    begin();
    coir__stack *s = grow_stack(MIB(8));
    touch_below_top(s, MIB(5) + 100);
    CHECK_GE(committed(s), MIB(5) + 100);
    CHECK_LE(committed(s), MIB(5) + KIB(8));
    for (size_t depth = KIB(4); depth <= MIB(5); depth += KIB(4))
        CHECK(is_readable(end_of(s) - depth));
    finish();
}

static jmp_buf place;

static COIR__NOINLINE int jump_from_below(const char *limit)
{
    volatile char frame[512];
    frame[0] = 1;
    __asm__ volatile("" ::"r"(frame) : "memory");
    if ((const char *)__builtin_frame_address(0) < limit)
        longjmp(place, 1);
    return (limit ? jump_from_below(limit) : 0) + frame[0];
}

static void dive_and_jump(void *arg)
{
    volatile int rounds = 0;
    coir__stack *s = arg;
    if (setjmp(place) == 0 || ++rounds < 5)
        jump_from_below(s->bottom + MIB(1));
    CHECK_EQ(rounds, 5);
}

TEST(longjmp_comes_back_from_below)
{
    begin();
    coir__stack *s = grow_stack(MIB(6));
    on_stack(s, dive_and_jump, s);
    CHECK_GE(committed(s), MIB(5));
    finish();
}

/* -- overflow ----------------------------------------------------------------------------------------------- */

static void overflow_on(void (*fn)(void *))
{
    begin();
    coir__stack *s = grow_stack(0);
    on_stack(s, fn, s);
    harness_fail(__FILE__, __LINE__, "came back from an overflow");
}

static void dive_for_ever(void *arg) { go_down((const char *)arg - MIB(100)); }

static int overflow_deep(void *arg)
{
    (void)arg;
    overflow_on(dive_for_ever);
    return 0;
}

static int compare_for_ever(const void *a, const void *b)
{
    go_down((const char *)__builtin_frame_address(0) - MIB(100));
    return a < b;
}

static void sort(void *arg)
{
    int numbers[8] = {3, 1, 2};
    (void)arg;
    qsort(numbers, 8, sizeof *numbers, compare_for_ever);
}

static int overflow_in_callback(void *arg)
{
    (void)arg;
    overflow_on(sort);
    return 0;
}

static COIR__NOINLINE void allocate(size_t n)
{
    volatile char *area = __builtin_alloca(n);
    area[0] = 1;
    __asm__ volatile("" ::"r"(area) : "memory");
}

static void allocate_much(void *arg)
{
    (void)arg;
    allocate(KIB(100)); /* more than the guard, and fits */
    allocate(KIB(300));
}

static int overflow_by_alloca(void *arg)
{
    (void)arg;
    overflow_on(allocate_much);
    return 0;
}

TEST(an_overflow_of_a_grown_stack_is_reported_by_name)
{
    static const char text[] =
        "coir: stack overflow in task 'deep' (192 KiB), spawned at diver.c:12\n";
    CHECK_ABORTS(overflow_deep, NULL, text);
    CHECK_ABORTS(overflow_in_callback, NULL, text);
    CHECK_ABORTS(overflow_by_alloca, NULL, text);
}

/* -- no memory ---------------------------------------------------------------------------------------------- */

static void fail_and_dive(void *arg)
{
    coir__stack *s = arg;
    coir__grow_fail_next(2);
    dive(s->bottom);
}

static int grow_without_memory(void *arg)
{
    (void)arg;
    overflow_on(fail_and_dive);
    return 0;
}

TEST(want_of_memory_is_reported_by_name)
{
    CHECK_ABORTS(grow_without_memory, NULL,
                 "coir: out of memory growing the stack of task 'deep' (192 KiB), spawned at "
                 "diver.c:12\n");
}

TEST(where_a_step_is_refused_a_page_may_be_had)
{
    begin();
    coir__stack *s = grow_stack(0);
    coir__grow_fail_next(1);
    touch_below_top(s, KIB(64) + 8);
    CHECK_EQ(committed(s), KIB(68));
    coir__grow_fail_next(2);
    CHECK_EQ(coir__stack_commit(s, s->bottom), -ENOMEM);
    CHECK_EQ(committed(s), KIB(68));
    CHECK_EQ(coir__stack_commit(s, s->bottom), 0);
    finish();
}

TEST(a_reservation_fails_where_the_first_memory_is_refused)
{
    begin();
    coir__grow_fail_next(1000);
    CHECK_EQ(coir__stack_reserve(pool, NULL, DEFAULT_CLASS), -ENOMEM);
    CHECK_EQ(coir__stack_pool_mapped(pool), 0);
    coir__grow_fail_next(0);
    CHECK_EQ(coir__stack_reserve(pool, NULL, DEFAULT_CLASS), 0);
    CHECK_EQ(coir__stack_pool_mapped(pool), 16);
    finish();
}

/* -- other faults ------------------------------------------------------------------------------------------- */

static int how_it_dies(void (*fn)(void *), void *arg)
{
    pid_t pid = fork();
    if (pid == 0) {
        on_stack(grow_stack(0), fn, arg);
        _exit(7);
    }
    int status = -1;
    CHECK_GT(pid, 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

static void leave_42(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context, (void)info;
    _exit(42);
}

static void poke(void *arg) { *(volatile char *)arg = 1; }

static void jump_to(void *arg)
{
    void (*fn)(void);
    memcpy(&fn, &arg, sizeof fn);
    fn();
}

TEST(faults_of_others_go_to_the_handler_that_was_there)
{
    struct sigaction own = {.sa_sigaction = leave_42, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigaction(SIGSEGV, &own, NULL), 0);
    begin();
    coir__stack *s = grow_stack(0);
    char *never_used = s->slab->base + 15 * coir__slot_size(s->class_) +
                       coir__stack_guard(s->class_);
    char *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct {
        void (*fn)(void *);
        void *arg;
    } faults[] = {
        {poke, (void *)8},          {poke, page},         {poke, never_used},
        {poke, never_used - 8},     {jump_to, s->bottom}, /* memory that could be made accessible, but not executable */
        {jump_to, floor_of(s) + 8},                       /* accessible, not executable */
        {poke, s->bottom - 8},                            /* another's guard */
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        int status = how_it_dies(faults[i].fn, faults[i].arg);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 42);
    }
    munmap(page, PAGE);
    finish();
}

static void protect_and_poke(void *arg)
{
    char *page = (char *)arg + KIB(8);
    mprotect(page, PAGE, PROT_READ);
    page[0] = 1;
}

TEST(memory_that_somebody_has_protected_is_not_grown_for_ever)
{
    struct sigaction own = {.sa_sigaction = leave_42, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigaction(SIGSEGV, &own, NULL), 0);
    begin();
    coir__stack *s = grow_stack(0);
    int status = how_it_dies(protect_and_poke, floor_of(s));
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);
    finish();
}

/* What another thread writes to is a buffer in a large frame that has not been touched yet. */
static void *fill_from_elsewhere(void *arg)
{
    coir__stack *s = arg;
    for (size_t i = 0; i < KIB(150); i += 1000)
        atomic_store_explicit((_Atomic char *)s->bottom + KIB(30) + i, 1, memory_order_relaxed);
    return NULL;
}

TEST(other_threads_may_grow_a_stack_at_the_same_time)
{
    begin();
    for (int round = 0; round < 50; round++) {
        coir__stack *s = grow_stack(0);
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, fill_from_elsewhere, s), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        for (size_t i = KIB(30); i < KIB(180); i += 4096)
            CHECK(is_readable(s->bottom + i) || s->bottom[i]);
        CHECK_LE(committed(s), KIB(192));
    }
    finish();
}

/* -- the kernel --------------------------------------------------------------------------------------------- */

/* A system call in the frame that the buffer is in: nothing has been written below it. */
#if defined(__x86_64__)
static long read_raw(int fd, void *buf, size_t n)
{
    long rc;
    __asm__ volatile("syscall"
                     : "=a"(rc)
                     : "0"(0), "D"(fd), "S"(buf), "d"(n)
                     : "rcx", "r11", "memory");
    return rc;
}

static void read_into_what_is_not_there(void *arg)
{
    coir__stack *s = arg;
    int fd = open("/dev/zero", O_RDONLY);
    char *buffer = s->bottom + KIB(8);
    CHECK_EQ(read_raw(fd, buffer, 4096), -EFAULT);
    CHECK_EQ(read_raw(fd, floor_of(s) - 100, 4096), -EFAULT);
    CHECK_EQ(coir__stack_touch(s, buffer), 0);
    CHECK_EQ(read_raw(fd, buffer, 4096), 4096);
    CHECK_LE(floor_of(s), buffer);
    CHECK_EQ(coir__stack_touch(s, s->bottom - 8), 0); /* not its own */
    CHECK_EQ(coir__stack_touch(s, &fd), 0);
    close(fd);
}

TEST(the_kernel_does_not_fault_but_the_library_touches_first)
{
    begin();
    coir__stack *s = grow_stack(0);
    on_stack(s, read_into_what_is_not_there, s);
    finish();
}

/* A frame whose call has written below its buffer, and the buffer is accessible: growth leaves no holes. */
static COIR__NOINLINE void read_into_large_frame(int fd)
{
    char buffer[KIB(100)];
    __asm__ volatile("" ::"r"(buffer) : "memory");
    CHECK_EQ(read(fd, buffer, sizeof buffer), sizeof buffer);
    CHECK_EQ(buffer[0], 0);
}

static void read_into_frame(void *arg)
{
    int fd = open("/dev/zero", O_RDONLY);
    (void)arg;
    read_into_large_frame(fd);
    close(fd);
}

TEST(buffers_in_frames_that_have_called_are_accessible)
{
    begin();
    on_stack(grow_stack(0), read_into_frame, NULL);
    finish();
}

/* -- signals of the program --------------------------------------------------------------------------------- */

static volatile sig_atomic_t caught;

static void catch_signal(int number)
{
    (void)number;
    caught++;
}

/* Just above the floor, where the kernel's frame does not fit any more, without touching it. */
static COIR__NOINLINE void raise_near_floor(coir__stack *s)
{
    long pid = getpid();
    char *here = __builtin_frame_address(0);
    ptrdiff_t room = here - floor_of(s) - 700;
    if (room > 0) {
        volatile char *area = __builtin_alloca((size_t)room);
        area[0] = 1;
        __asm__ volatile("" ::"r"(area) : "memory");
        __asm__ volatile("syscall" /* kill(pid, SIGUSR1) */
                         :
                         : "a"(62), "D"(pid), "S"(SIGUSR1)
                         : "rcx", "r11", "memory");
    }
}

static void raise_there(void *arg) { raise_near_floor(arg); }

static void catch_with(int flags)
{
    struct sigaction a = {.sa_handler = catch_signal, .sa_flags = flags};
    CHECK_EQ(sigaction(SIGUSR1, &a, NULL), 0);
}

static int signal_without_onstack(void *arg)
{
    (void)arg;
    catch_with(0);
    overflow_on(raise_there);
    return 0;
}

TEST(a_handler_without_SA_ONSTACK_may_find_no_room_and_that_is_said)
{
    SKIP_UNDER_SANITIZERS();
    CHECK_ABORTS(
        signal_without_onstack, NULL,
        "coir: no room yet for a signal's frame on the growing stack of task 'deep' (192 KiB), "
        "spawned at diver.c:12; is there a handler without SA_ONSTACK?\n");
}

TEST(a_handler_with_SA_ONSTACK_is_called_there)
{
    SKIP_UNDER_SANITIZERS();
    begin();
    coir__stack *s = grow_stack(0);
    catch_with(SA_ONSTACK);
    on_stack(s, raise_there, s);
    CHECK_EQ(caught, 1);
    finish();
}

TEST(handlers_that_are_there_are_given_SA_ONSTACK)
{
    SKIP_UNDER_SANITIZERS();
    struct sigaction now;
    begin();
    coir__stack *s = grow_stack(0);
    catch_with(SA_RESTART);
    signal(SIGUSR2, SIG_IGN);
    coir__stack_adapt_handlers();
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_flags & SA_ONSTACK);
    CHECK(now.sa_flags & SA_RESTART);
    CHECK(now.sa_handler == catch_signal);
    sigaction(SIGUSR2, NULL, &now);
    CHECK(now.sa_handler == SIG_IGN);
    on_stack(s, raise_there, s);
    CHECK_EQ(caught, 1);
    finish();
}
#endif

/* -- giving back -------------------------------------------------------------------------------------------- */

static size_t count_mappings(void)
{
    char line[512];
    size_t n = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f))
        n++;
    fclose(f);
    return n;
}

static size_t resident_bytes(void)
{
    size_t pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL);
    CHECK_EQ(fscanf(f, "%zu %zu", &all, &pages), 2);
    fclose(f);
    return pages * PAGE;
}

TEST(idle_stacks_in_a_cache_give_back_what_deep_calls_have_left)
{
    static const coir_stack_strategy strategies[] = {COIR_STACK_LAZY, COIR_STACK_GROW};
    enum { N = 40 };
    coir__stack *s[N];
    for (int k = 0; k < 2; k++) {
        begin();
        coir__stack_pool *p = coir__stack_pool_new(strategies[k], 1);
        coir__stack_cache cache = {0};
        for (int i = 0; i < N; i++) {
            s[i] = obtain(p, &cache, DEFAULT_CLASS);
            on_stack(s[i], dive_to_the_bottom, s[i]->bottom);
            ((char *)s[i]->top)[-100] = 77;
        }
        for (int i = 0; i < N; i++)
            give_up(p, &cache, s[i]);
        size_t before = resident_bytes();
        coir__stack_cache_shrink(&cache);
#if !COIR__ASAN && !COIR__TSAN
        CHECK_LE(resident_bytes(), before - N * KIB(160));
#endif
        for (int i = N; i-- > 0;) {
            CHECK_EQ(obtain(p, &cache, DEFAULT_CLASS), s[i]);
            CHECK_EQ(((char *)s[i]->top)[-100], 77); /* the top stays */
            CHECK_EQ(is_readable(s[i]->bottom), strategies[k] == COIR_STACK_LAZY);
            on_stack(s[i], dive_to_the_bottom, s[i]->bottom);
        }
        (void)before;
        coir__stack_pool_free(p);
        finish();
    }
}

TEST(released_stacks_begin_small_again)
{
    begin();
    coir__stack_cache cache = {0};
    enum { N = 100 };
    coir__stack *s[N];
    for (int i = 0; i < N; i++)
        s[i] = obtain(pool, &cache, DEFAULT_CLASS);
    size_t mappings = count_mappings();
    for (int i = 0; i < N; i++)
        on_stack(s[i], dive_to_the_bottom, s[i]->bottom);
    CHECK_LE(count_mappings(),
             mappings + 2 +
                 999 * (COIR__ASAN || COIR__TSAN)); /* a grown stack is one mapping as before */
    for (int i = 0; i < N; i++)
        give_up(pool, NULL, s[i]);
    for (int i = 0; i < 12; i++)
        coir__stack_pool_trim(pool, SIZE_MAX);
    CHECK_EQ(coir__stack_pool_idle(pool), 0);
    for (int i = 0; i < N; i++) {
        s[i] = obtain(pool, NULL, DEFAULT_CLASS);
        CHECK_EQ(committed(s[i]), KIB(64));
        CHECK(!is_readable(floor_of(s[i]) - 8));
        CHECK_EQ(*(floor_of(s[i]) + 8), 0);
    }
#if !COIR__ASAN && !COIR__TSAN
    CHECK_LE(count_mappings(), mappings + 2 * 64);
#endif
    finish();
}

/* -- choice ------------------------------------------------------------------------------------------------- */

TEST(strict_overcommit_chooses_what_is_not_charged)
{
    coir__overcommit_force(0);
    CHECK_EQ(coir__stack_strategy(COIR_STACK_AUTO, true), COIR_STACK_LAZY);
    coir__overcommit_force(1);
    CHECK_EQ(coir__stack_strategy(COIR_STACK_AUTO, false), COIR_STACK_LAZY);
    coir__overcommit_force(2);
    CHECK_EQ(coir__stack_strategy(COIR_STACK_AUTO, true), COIR_STACK_GROW);
    CHECK_EQ(coir__stack_strategy(COIR_STACK_AUTO, false), COIR_STACK_FIXED);
    CHECK_EQ(coir__stack_strategy(COIR_STACK_LAZY, true), COIR_STACK_LAZY);
    coir__overcommit_force(-1);
}

static int choose_and_abort(void *arg)
{
    coir__overcommit_force(2);
    for (int i = 0; i < 3; i++)
        coir__stack_strategy(COIR_STACK_AUTO, arg == NULL);
    abort();
}

TEST(the_choice_is_said)
{
    CHECK_ABORTS(choose_and_abort, NULL,
                 "coir: vm.overcommit_memory is 2: stacks are extended by a signal handler "
                 "(COIR_STACK=grow); vm.max_map_count limits their number\n");
    CHECK_ABORTS(choose_and_abort, &deep, "stacks are allocated whole (COIR_STACK=fixed)");
}

/* -- limits ------------------------------------------------------------------------------------------------- */

TEST_TIMEOUT(the_limit_of_mappings_is_an_error_of_the_reservation_and_passes, 60)
{
    SKIP_UNDER_SANITIZERS();
    size_t maps = 0, n = 0;
    FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
    if (!f || fscanf(f, "%zu", &maps) != 1 || maps > 200000 || harness_scale() > 1)
        skip("vm.max_map_count is too large to be reached");
    fclose(f);
    begin();
    coir__stack_cache cache = {0};
    while (n < maps && coir__stack_reserve(pool, &cache, DEFAULT_CLASS) == 0)
        n++;
    CHECK_GT(n, maps / 2 - 1000);
    CHECK_LE(n, maps / 2);
    for (size_t i = 0; i < n; i++) {
        coir__stack *s = coir__stack_take(pool, &cache, DEFAULT_CLASS);
        if (i % 500 == 0)
            on_stack(s, dive_to_the_bottom, s->bottom); /* those that there are can grow */
        coir__stack_put(pool, &cache, s);
        coir__stack_take(pool, &cache, DEFAULT_CLASS);
    }
    CHECK_EQ(coir__stack_reserve(pool, &cache, DEFAULT_CLASS), -ENOMEM);
    coir__stack_unreserve(pool, &cache, DEFAULT_CLASS);
    CHECK_EQ(coir__stack_reserve(pool, &cache, DEFAULT_CLASS), 0);
    finish();
}

TEST_MAIN("grow")
