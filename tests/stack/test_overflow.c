/* SPDX-License-Identifier: MIT */
/* test_overflow.c - the report of an overflow, and the faults that are none. */
#include "stack/on_stack.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

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

static void reported(void *owner, const char *name)
{
    char text[64];
    (void)owner;
    int n = snprintf(text, sizeof text, "the hook knows %s\n", name ? name : "nobody");
    if (write(STDERR_FILENO, text, (size_t)n) < 0)
        abort();
}

static const coir__overflow_hooks hooks = {.describe = describe, .reported = reported};

static coir_stack_strategy strategy = COIR_STACK_AUTO;

/* Each of them in turn, in `strategy`. */
#define FOR_EACH_STRATEGY()                                                                        \
    for (strategy = COIR_STACK_LAZY; strategy <= COIR_STACK_FIXED; strategy++)

static COIR__NOINLINE int recurse(int depth)
{
    volatile char frame[256];
    frame[0] = (char)depth;
    __asm__ volatile("" ::"r"(frame) : "memory");
    return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

static void fall(void *arg)
{
    (void)arg;
    recurse(1);
}

static COIR__NOINLINE int touch_large_frame(int depth)
{
    volatile char frame[150 << 10]; /* more than the guard, less than the stack */
    frame[0] = (char)depth;
    __asm__ volatile("" ::"r"(frame) : "memory");
    return depth < 0 ? 0 : touch_large_frame(depth + 1) + frame[0];
}

static void fall_by_large_frames(void *arg)
{
    (void)arg;
    touch_large_frame(1);
}

/* Installs the handler and runs `fn` on a stack of a task. Does not return. */
static void overflow_as(fake_task *task, void (*fn)(void *), size_t reserve)
{
    coir__stack_pool *p = coir__stack_pool_new(strategy, 1);
    coir__stack *s = obtain(p, NULL, coir__stack_class(reserve));
    void *keep;
    s->owner = task;
    CHECK_EQ(coir__overflow_thread_begin(&keep), 0);
    CHECK_EQ(coir__overflow_install(&hooks), 0);
    on_stack(s, fn, NULL);
    harness_fail(__FILE__, __LINE__, "came back from an overflow");
}

/* -- the report --------------------------------------------------------------------------------------------- */

static int overflow_named(void *arg)
{
    fake_task task = {.name = "deep", .file = "diver.c", .line = 12};
    overflow_as(&task, fall, (size_t)(uintptr_t)arg);
    return 0;
}

TEST(an_overflow_is_reported_with_name_size_and_place)
{
    CHECK_ABORTS(overflow_named, NULL,
                 "coir: stack overflow in task 'deep' (192 KiB), spawned at diver.c:12\n");
    void *reserve = (void *)(uintptr_t)(448 << 10);
    CHECK_ABORTS(overflow_named, reserve,
                 "coir: stack overflow in task 'deep' (448 KiB), spawned at diver.c:12\n");
}

TEST(the_hook_is_called_after_the_report)
{
    CHECK_ABORTS(overflow_named, NULL, "the hook knows deep\n");
}

static int overflow_unnamed(void *arg)
{
    fake_task task = {.file = "diver.c", .line = 13};
    (void)arg;
    overflow_as(&task, fall, 0);
    return 0;
}

TEST(an_overflow_without_a_name_has_a_question_mark)
{
    CHECK_ABORTS(overflow_unnamed, NULL,
                 "coir: stack overflow in task '?' (192 KiB), spawned at diver.c:13\n");
}

static int overflow_nobody(void *arg)
{
    (void)arg;
    overflow_as(NULL, fall, 0);
    return 0;
}

TEST(an_overflow_without_a_task_is_a_coroutines)
{
    CHECK_ABORTS(overflow_nobody, NULL, "coir: stack overflow in a coroutine (192 KiB)\n");
}

static int overflow_large(void *arg)
{
    fake_task task = {.name = "large", .file = "diver.c", .line = 14};
    (void)arg;
    overflow_as(&task, fall_by_large_frames, 0);
    return 0;
}

TEST(a_frame_larger_than_the_guard_is_reported_if_it_is_probed)
{
    FOR_EACH_STRATEGY()
    CHECK_ABORTS(overflow_large, NULL, "coir: stack overflow in task 'large'");
}

static int overflow_abort_handler(void *arg)
{
    signal(SIGABRT, SIG_IGN);
    return overflow_named(arg);
}

TEST(the_process_ends_even_if_it_ignores_abort)
{
    CHECK_ABORTS(overflow_abort_handler, NULL, "task 'deep'");
}

#if defined(__GLIBC__) && !defined(HARNESS_STATIC)
TEST(the_report_has_a_backtrace) { CHECK_ABORTS(overflow_named, NULL, "[0x"); }
#endif

/* What a frame that is not probed may write to first: anything in it. */
static char *far_below;

static void write_far_below(void *arg)
{
    (void)arg;
    *(volatile char *)far_below = 5;
}

static int overflow_unprobed(void *arg)
{
    fake_task task = {.name = "unprobed"};
    coir__stack_pool *p = coir__stack_pool_new(strategy, 1);
    coir__stack *s = obtain(p, NULL, DEFAULT_CLASS);
    void *keep;
    s->owner = &task;
    CHECK_EQ(coir__overflow_thread_begin(&keep), 0);
    CHECK_EQ(coir__overflow_install(&hooks), 0);
    far_below = s->bottom - (size_t)(uintptr_t)arg;
    on_stack(s, write_far_below, NULL);
    return 0;
}

TEST(a_frame_that_is_not_probed_is_caught_up_to_the_size_of_the_guard)
{
    FOR_EACH_STRATEGY()
    {
        CHECK_ABORTS(overflow_unprobed, (void *)(uintptr_t)1,
                     "coir: stack overflow in task 'unprobed'");
        CHECK_ABORTS(overflow_unprobed, (void *)(uintptr_t)coir__stack_guard(DEFAULT_CLASS),
                     "coir: stack overflow in task 'unprobed'");
    }
}

/* The limit: compile with -fstack-clash-protection. */
TEST(a_larger_one_gets_past_the_guard)
{
    coir__stack_pool *p = coir__stack_pool_new(strategy, 1);
    coir__stack *a = obtain(p, NULL, DEFAULT_CLASS), *b = obtain(p, NULL, DEFAULT_CLASS);
    coir__stack *lower = a < b ? a : b, *upper = a < b ? b : a;
    far_below = upper->bottom - coir__stack_guard(DEFAULT_CLASS) - 4096;
    on_stack(upper, write_far_below, NULL);
    CHECK_EQ(*far_below, 5);
    CHECK(far_below > lower->bottom && far_below < (char *)lower->top);
    coir__stack_pool_free(p);
}

static char *neighbour_top;

static void neighbour_looked_at(void *owner, const char *name)
{
    (void)owner, (void)name;
    for (char *c = neighbour_top - 60000; c < neighbour_top; c++)
        if (*c != 7)
            abort();
    if (write(STDERR_FILENO, "the neighbour is whole\n", 23) < 0)
        abort();
}

static COIR__NOINLINE void allocate(size_t n)
{
    volatile char *area = __builtin_alloca(n);
    area[0] = 1;
    __asm__ volatile("" ::"r"(area) : "memory");
}

static void allocate_much(void *arg) { allocate((size_t)(uintptr_t)arg); }

static int overflow_beside_neighbour(void *arg)
{
    static const coir__overflow_hooks looking = {describe, neighbour_looked_at};
    fake_task task = {.name = "large"};
    coir__stack_pool *p = coir__stack_pool_new(strategy, 1);
    coir__stack *a = obtain(p, NULL, DEFAULT_CLASS), *b = obtain(p, NULL, DEFAULT_CLASS);
    coir__stack *lower = a < b ? a : b, *upper = a < b ? b : a;
    void *keep;
    neighbour_top = (char *)lower->top;
    memset(neighbour_top - 60000, 7, 60000);
    upper->owner = &task;
    CHECK_EQ(coir__overflow_thread_begin(&keep), 0);
    CHECK_EQ(coir__overflow_install(&looking), 0);
    on_stack(upper, arg ? allocate_much : fall_by_large_frames, (void *)(uintptr_t)(280 << 10));
    return 0;
}

TEST(a_large_frame_that_is_probed_touches_no_neighbour)
{
    FOR_EACH_STRATEGY()
    {
        CHECK_ABORTS(overflow_beside_neighbour, NULL, "the neighbour is whole");
        CHECK_ABORTS(overflow_beside_neighbour, &far_below, "the neighbour is whole");
    }
}

/* A guard made by mprotect is a guard as well. */
static void *overflow_in_thread(void *arg)
{
    overflow_named(arg);
    return NULL;
}

static int overflow_elsewhere(void *arg)
{
    pthread_t thread;
    pthread_create(&thread, NULL, overflow_in_thread, arg);
    pthread_join(thread, NULL);
    return 0;
}

TEST(an_overflow_in_another_thread_is_reported)
{
    CHECK_ABORTS(overflow_elsewhere, NULL, "task 'deep'");
}

/* -- other faults ------------------------------------------------------------------------------------------- */

static char *forbidden; /* a page that the handler makes accessible */
static volatile int calls;
static volatile int seen_signal;
static volatile bool seen_mask;

static void forbid(void)
{
    forbidden = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(forbidden != MAP_FAILED);
}

static void allow(int number)
{
    sigset_t now;
    calls++;
    seen_signal = number;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    seen_mask = sigismember(&now, SIGUSR2);
    mprotect(forbidden, PAGE, PROT_READ | PROT_WRITE);
}

static void allow_with_info(int number, siginfo_t *info, void *context)
{
    CHECK(context != NULL);
    CHECK_EQ(info->si_addr, forbidden);
    allow(number);
}

static void set_plain(int number, void (*handler)(int))
{
    struct sigaction a = {.sa_handler = handler};
    sigaddset(&a.sa_mask, SIGUSR2);
    CHECK_EQ(sigaction(number, &a, NULL), 0);
}

static void set_info(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaddset(&a.sa_mask, SIGUSR2);
    CHECK_EQ(sigaction(number, &a, NULL), 0);
}

static void (*current_handler(int number))(int)
{
    struct sigaction a;
    CHECK_EQ(sigaction(number, NULL, &a), 0);
    return a.sa_handler;
}

TEST(a_fault_elsewhere_goes_to_the_handler_that_was_there)
{
    set_info(SIGSEGV, allow_with_info, 0);
    CHECK_EQ(coir__overflow_install(&hooks), 0);
    forbid();
    *(volatile char *)forbidden = 5;
    CHECK_EQ(calls, 1);
    CHECK_EQ(seen_signal, SIGSEGV);
    CHECK(seen_mask);
    CHECK_EQ(forbidden[0], 5);
    munmap(forbidden, PAGE);
    coir__overflow_remove();
}

TEST(a_handler_of_the_old_kind_gets_its_faults)
{
    set_plain(SIGSEGV, allow);
    CHECK_EQ(coir__overflow_install(&hooks), 0);
    forbid();
    errno = 77;
    *(volatile char *)forbidden = 5;
    CHECK_EQ(errno, 77);
    CHECK_EQ(calls, 1);
    CHECK(seen_mask);
    munmap(forbidden, PAGE);
    coir__overflow_remove();
}

static void touch_forbidden(void *arg)
{
    (void)arg;
    *(volatile char *)forbidden = 6;
}

TEST(a_fault_of_a_task_elsewhere_goes_to_the_handler_that_was_there)
{
    coir__stack_pool *p = coir__stack_pool_new(COIR_STACK_AUTO, 1);
    coir__stack *s = obtain(p, NULL, DEFAULT_CLASS);
    set_info(SIGSEGV, allow_with_info, 0);
    CHECK_EQ(coir__overflow_install(&hooks), 0);
    void *keep;
    CHECK_EQ(coir__overflow_thread_begin(&keep), 0);
    forbid();
    on_stack(s, touch_forbidden, NULL);
    CHECK_EQ(calls, 1);
    munmap(forbidden, PAGE);
    coir__overflow_remove();
    coir__overflow_thread_end(keep);
    coir__stack_pool_free(p);
}

static coir__stack *other_stack;

static void poke_guard_of_other(void *arg)
{
    (void)arg;
    *(volatile char *)(other_stack->bottom - 8) = 1;
}

static void note_and_leave(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    _exit(info->si_addr == other_stack->bottom - 8 ? 42 : 43);
}

static int wait_for(pid_t pid)
{
    int status = -1;
    CHECK_GT(pid, 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

TEST(a_stray_pointer_into_a_guard_is_no_overflow)
{
    pid_t pid = fork();
    if (pid == 0) {
        coir__stack_pool *p = coir__stack_pool_new(COIR_STACK_AUTO, 1);
        void *keep;
        set_info(SIGSEGV, note_and_leave, 0);
        coir__overflow_thread_begin(&keep);
        coir__overflow_install(&hooks);
        other_stack = obtain(p, NULL, DEFAULT_CLASS);
        on_stack(obtain(p, NULL, DEFAULT_CLASS), poke_guard_of_other, NULL);
        _exit(1);
    }
    int status = wait_for(pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);
}

/* Forks, sets the disposition, installs ours, and faults or sends itself the signal. The wait status. */
static int die_by(void (*disposition)(int), int number, bool send)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        set_plain(number, disposition);
        coir__overflow_install(&hooks);
        forbid();
        if (send)
            kill(getpid(), number);
        else
            *(volatile char *)forbidden = 1;
        _exit(9);
    }
    return wait_for(pid);
}

TEST(a_fault_without_a_handler_ends_the_process_as_ever)
{
    int status = die_by(SIG_DFL, SIGSEGV, false);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

TEST(an_ignored_fault_ends_the_process_as_ever)
{
    int status = die_by(SIG_IGN, SIGSEGV, false);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

TEST(a_signal_that_was_sent_has_its_usual_effect)
{
    static const int numbers[] = {SIGSEGV, SIGBUS};
    for (int i = 0; i < 2; i++) {
        int status = die_by(SIG_DFL, numbers[i], true);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), numbers[i]);
        status = die_by(SIG_IGN, numbers[i], true);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 9);
    }
}

static void look_on(int number)
{
    if (++calls > 3 || number != SIGSEGV)
        _exit(10);
}

TEST(a_handler_that_was_to_be_called_once_is_called_once)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        struct sigaction once = {.sa_handler = look_on, .sa_flags = (int)SA_RESETHAND};
        setrlimit(RLIMIT_CORE, &none);
        sigaction(SIGSEGV, &once, NULL);
        coir__overflow_install(&hooks);
        forbid();
        *(volatile char *)forbidden =
            1; /* the usual crash handler: says so, and lets it happen again */
        _exit(9);
    }
    int status = wait_for(pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

TEST(a_handler_that_was_called_its_once_is_not_restored)
{
    set_info(SIGSEGV, allow_with_info, (int)SA_RESETHAND);
    CHECK_EQ(coir__overflow_install(&hooks), 0);
    forbid();
    *(volatile char *)forbidden = 5;
    CHECK_EQ(calls, 1);
    munmap(forbidden, PAGE);
    coir__overflow_remove();
    CHECK(current_handler(SIGSEGV) == SIG_DFL);
}

static volatile bool seen_itself;

static void allow_and_look(int number)
{
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    seen_itself = sigismember(&now, number);
    allow(number);
}

TEST(a_handler_that_may_be_interrupted_by_its_own_signal_may_be)
{
    for (int nodefer = 0; nodefer < 2; nodefer++) {
        struct sigaction a = {.sa_handler = allow_and_look, .sa_flags = nodefer ? SA_NODEFER : 0};
        CHECK_EQ(sigaction(SIGSEGV, &a, NULL), 0);
        CHECK_EQ(coir__overflow_install(&hooks), 0);
        forbid();
        *(volatile char *)forbidden = 5;
        CHECK_EQ(seen_itself, !nodefer);
        munmap(forbidden, PAGE);
        coir__overflow_remove();
    }
}

/* -- installing --------------------------------------------------------------------------------------------- */

TEST(the_last_user_restores_what_was_there)
{
    set_plain(SIGSEGV, allow);
    set_plain(SIGBUS, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir__overflow_install(&hooks), 0);
        CHECK_EQ(coir__overflow_install(&hooks), 0);
        CHECK(current_handler(SIGSEGV) != allow);
        coir__overflow_remove();
        CHECK(current_handler(SIGSEGV) != allow);
        CHECK(current_handler(SIGBUS) != SIG_IGN);
        coir__overflow_remove();
        CHECK(current_handler(SIGSEGV) == allow);
        CHECK(current_handler(SIGBUS) == SIG_IGN);
    }
}

static struct sigaction below;

static void pass_down(int number, siginfo_t *info, void *context)
{
    calls += 100;
    below.sa_sigaction(number, info, context);
}

TEST(a_handler_put_on_top_of_ours_stays_and_still_reaches_the_first)
{
    struct sigaction top = {.sa_sigaction = pass_down, .sa_flags = SA_SIGINFO};
    set_info(SIGSEGV, allow_with_info, 0);
    CHECK_EQ(coir__overflow_install(&hooks), 0);
    CHECK_EQ(sigaction(SIGSEGV, &top, &below), 0);
    for (int i = 0; i < 3; i++) {
        coir__overflow_remove();
        CHECK(current_handler(SIGSEGV) == top.sa_handler);
        forbid();
        *(volatile char *)forbidden = 5;
        munmap(forbidden, PAGE);
        CHECK_EQ(coir__overflow_install(&hooks), 0);
        CHECK_EQ(calls, 101 * (i + 1));
    }
    coir__overflow_remove();
}

TEST(a_thread_gets_an_alternate_stack_unless_it_has_one)
{
    stack_t before, now;
    void *first = NULL, *second = &first;
    sigaltstack(NULL, &before);
    CHECK_EQ(coir__overflow_thread_begin(&first), 0);
    CHECK_EQ(coir__overflow_thread_begin(&second), 0);
    CHECK_EQ(second, first); /* ours is shared; a sanitizer's is left alone: NULL */
    sigaltstack(NULL, &now);
    CHECK(!(now.ss_flags & SS_DISABLE));
    coir__overflow_thread_end(first);
    sigaltstack(NULL, &now);
    CHECK(!(now.ss_flags & SS_DISABLE));
    coir__overflow_thread_end(second);
    sigaltstack(NULL, &now);
    CHECK_EQ(now.ss_flags, before.ss_flags);
    CHECK_EQ(now.ss_sp, before.ss_sp);
}

#define SMALL_STACK ((size_t)8 << 10) /* what SIGSTKSZ was for long */

static int overflow_with_a_small_alternate_stack(void *arg)
{
    fake_task task = {.name = "narrow", .file = "diver.c", .line = 15};
    char *memory = mmap(NULL, SMALL_STACK + PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t small = {.ss_sp = memory + PAGE, .ss_size = SMALL_STACK};
    (void)arg;
    mprotect(memory, PAGE, PROT_NONE);
    CHECK_EQ(sigaltstack(&small, NULL), 0);
    overflow_as(&task, fall, 0);
    return 0;
}

TEST(an_alternate_stack_that_is_too_small_for_a_report_loses_none)
{
    CHECK_ABORTS(overflow_with_a_small_alternate_stack, NULL,
                 "coir: stack overflow in task 'narrow' (192 KiB), spawned at diver.c:15\n");
}

TEST(a_small_alternate_stack_is_given_back)
{
    static char memory[8 << 10];
    stack_t small = {.ss_sp = memory, .ss_size = sizeof memory}, before, now;
    void *keep;
    sigaltstack(NULL, &before);
    CHECK_EQ(sigaltstack(&small, NULL), 0);
    CHECK_EQ(coir__overflow_thread_begin(&keep), 0);
    sigaltstack(NULL, &now);
    CHECK(now.ss_sp != small.ss_sp);
    coir__overflow_thread_end(keep);
    sigaltstack(NULL, &now);
    CHECK_EQ(now.ss_sp, small.ss_sp);
    CHECK_EQ(now.ss_size, small.ss_size);
    sigaltstack(&before, NULL);
}

TEST_MAIN("overflow")
