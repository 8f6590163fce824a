/* SPDX-License-Identifier: MIT */
/* test_coro.c - coroutines without the scheduler. */
#include "support/harness.h"

#include <coir/coro.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/stack.h"

static void *number(intptr_t n) { return (void *)n; }

/* -- values ------------------------------------------------------------------------------------------------- */

static void *count_to(void *arg)
{
    for (intptr_t i = 0; i < (intptr_t)arg; i++)
        CHECK_EQ(coir_coro_yield(number(i), NULL), 0);
    return number(-1);
}

TEST(a_generator_yields_its_numbers_then_its_result)
{
    coir_coro *c = coir_coro_new(count_to, number(5), 0);
    void *got;
    for (intptr_t i = 0; i < 5; i++) {
        CHECK_EQ(coir_coro_resume(c, NULL, &got), 0);
        CHECK_EQ((intptr_t)got, i);
        CHECK(!coir_coro_done(c));
    }
    CHECK_EQ(coir_coro_resume(c, NULL, &got), 0);
    CHECK_EQ((intptr_t)got, -1);
    CHECK(coir_coro_done(c));
    coir_coro_free(c);
}

static void *add_up(void *arg)
{
    intptr_t sum = (intptr_t)arg;
    for (;;) {
        void *more;
        CHECK_EQ(coir_coro_yield(number(sum), &more), 0);
        if (!more)
            return number(sum * 1000);
        sum += (intptr_t)more;
    }
}

TEST(values_go_in_with_resume_and_out_with_yield)
{
    coir_coro *c = coir_coro_new(add_up, number(10), 0);
    void *got;
    CHECK_EQ(coir_coro_resume(c, number(99), &got), 0); /* the first one goes nowhere */
    CHECK_EQ((intptr_t)got, 10);
    CHECK_EQ(coir_coro_resume(c, number(5), &got), 0);
    CHECK_EQ((intptr_t)got, 15);
    CHECK_EQ(coir_coro_resume(c, number(7), NULL), 0); /* nobody looks */
    CHECK_EQ(coir_coro_resume(c, NULL, &got), 0);
    CHECK_EQ((intptr_t)got, 22000);
    coir_coro_free(c);
}

/* -- what is refused ---------------------------------------------------------------------------------------- */

TEST(a_coroutine_without_function_is_not_made)
{
    CHECK_EQ(coir_coro_new(NULL, NULL, 0), NULL);
    coir_coro_free(NULL);
}

TEST(a_stack_that_is_too_large_is_not_made)
{
    CHECK_EQ(coir_coro_new(count_to, NULL, SIZE_MAX), NULL);
    CHECK_EQ(coir_coro_new(count_to, NULL, (size_t)1 << 50), NULL);
}

TEST(resuming_one_that_has_ended_is_refused)
{
    void *got = &got;
    coir_coro *c = coir_coro_new(count_to, number(0), 0);
    CHECK_EQ(coir_coro_resume(c, NULL, NULL), 0);
    CHECK(coir_coro_done(c));
    CHECK_EQ(coir_coro_resume(c, NULL, &got), -ESRCH);
    CHECK_EQ(coir_coro_resume(c, NULL, &got), -ESRCH);
    CHECK_EQ(got, &got); /* untouched */
    coir_coro_free(c);
}

static void *resume_itself(void *arg)
{
    coir_coro **self = arg;
    return number(coir_coro_resume(*self, NULL, NULL));
}

TEST(resuming_one_that_is_running_is_refused)
{
    coir_coro *c = NULL;
    void *got;
    c = coir_coro_new(resume_itself, &c, 0);
    CHECK_EQ(coir_coro_resume(c, NULL, &got), 0);
    CHECK_EQ((intptr_t)got, -EBUSY);
    coir_coro_free(c);
}

static coir_coro *outermost;

static void *resume_outermost(void *arg)
{
    (void)arg;
    return number(coir_coro_resume(outermost, NULL, NULL));
}

static void *resume_inner(void *arg)
{
    void *got = NULL;
    CHECK_EQ(coir_coro_resume(arg, NULL, &got), 0);
    return got;
}

TEST(resuming_one_that_waits_for_an_inner_one_is_refused)
{
    coir_coro *inner = coir_coro_new(resume_outermost, NULL, 0);
    void *got;
    outermost = coir_coro_new(resume_inner, inner, 0);
    CHECK_EQ(coir_coro_resume(outermost, NULL, &got), 0);
    CHECK_EQ((intptr_t)got, -EBUSY);
    coir_coro_free(inner);
    coir_coro_free(outermost);
}

TEST(yield_outside_a_coroutine_is_refused)
{
    void *got = &got;
    CHECK_EQ(coir_coro_yield(NULL, &got), -EPERM);
    CHECK_EQ(got, &got);
    coir_coro *c = coir_coro_new(count_to, number(3), 0);
    coir_coro_resume(c, NULL, NULL);
    CHECK_EQ(coir_coro_yield(NULL, &got), -EPERM);
    coir_coro_free(c);
    CHECK_EQ(coir_coro_yield(NULL, &got), -EPERM);
}

static void *free_itself(void *arg)
{
    coir_coro **self = arg;
    coir_coro_free(*self);
    return NULL;
}

static int run_free_itself(void *arg)
{
    (void)arg;
    coir_coro *c = NULL;
    c = coir_coro_new(free_itself, &c, 0);
    return coir_coro_resume(c, NULL, NULL);
}

TEST(freeing_one_that_is_running_aborts)
{
    CHECK_ABORTS(run_free_itself, NULL, "coir: coir_coro_free: the coroutine is running");
}

/* -- life --------------------------------------------------------------------------------------------------- */

TEST(one_that_has_not_ended_can_be_freed)
{
    coir_coro *never = coir_coro_new(count_to, number(3), 0);
    coir_coro *begun = coir_coro_new(count_to, number(3), 0);
    coir_coro_resume(begun, NULL, NULL);
    coir_coro_free(never);
    coir_coro_free(begun);
}

TEST(freed_and_ended_ones_leave_their_stack_to_the_next)
{
    size_t mapped = 0;
    for (int i = 0; i < 20000 / harness_scale(); i++) {
        coir_coro *c = coir_coro_new(count_to, number(i % 2), 0);
        CHECK(c != NULL);
        coir_coro_resume(c, NULL, NULL);
        CHECK_EQ(coir_coro_done(c), i % 2 == 0);
        coir_coro_free(c);
        if (i == 0)
            mapped = coir__stack_pool_mapped(coir__stack_pool_shared());
    }
    CHECK_EQ(coir__stack_pool_mapped(coir__stack_pool_shared()), mapped);
}

enum { MANY = 10000 };

TEST_TIMEOUT(ten_thousand_at_once, 60)
{
    static coir_coro *c[MANY];
    int n = COIR__TSAN ? 3000 : MANY; /* gcc 12's ThreadSanitizer ends at 8,000 fibers */
    for (int i = 0; i < n; i++) {
        c[i] = coir_coro_new(add_up, number(i), 0);
        CHECK(c[i] != NULL);
        coir_coro_resume(c[i], NULL, NULL);
    }
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < n; i++) {
            void *got;
            CHECK_EQ(coir_coro_resume(c[i], number(1), &got), 0);
            CHECK_EQ((intptr_t)got, i + round);
        }
    }
    for (int i = 0; i < n; i++)
        coir_coro_free(c[i]);
    harness_allow_blocks(32 + MANY / 64); /* the shared pool keeps slabs for later */
}

/* -- nesting ------------------------------------------------------------------------------------------------ */

/* Yields what the inner one yields, doubled. */
static void *twice(void *arg)
{
    coir_coro *inner = coir_coro_new(count_to, arg, 0);
    void *got;
    while (coir_coro_resume(inner, NULL, &got) == 0 && !coir_coro_done(inner))
        coir_coro_yield(number(2 * (intptr_t)got), NULL);
    coir_coro_free(inner);
    return NULL;
}

TEST(a_coroutine_resumes_another_and_yields_to_its_own_resumer)
{
    coir_coro *c = coir_coro_new(twice, number(10), 0);
    void *got;
    for (intptr_t i = 0; i < 10; i++) {
        CHECK_EQ(coir_coro_resume(c, NULL, &got), 0);
        CHECK_EQ((intptr_t)got, 2 * i);
    }
    CHECK_EQ(coir_coro_resume(c, NULL, &got), 0);
    CHECK(coir_coro_done(c));
    coir_coro_free(c);
}

static void *nest(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    if (depth == 0)
        return number(1);
    coir_coro *inner = coir_coro_new(nest, number(depth - 1), 0);
    void *got = NULL;
    CHECK_EQ(coir_coro_resume(inner, NULL, &got), 0);
    coir_coro_free(inner);
    return number((intptr_t)got + 1);
}

TEST(coroutines_nest_a_hundred_deep)
{
    coir_coro *c = coir_coro_new(nest, number(100), 0);
    void *got;
    CHECK_EQ(coir_coro_resume(c, NULL, &got), 0);
    CHECK_EQ((intptr_t)got, 101);
    coir_coro_free(c);
}

/* -- threads ------------------------------------------------------------------------------------------------ */

typedef struct turn {
    coir_coro *c;
    void *got;
    int rc;
} turn;

static void *resume_in_thread(void *arg)
{
    turn *t = arg;
    CHECK_EQ(coir_coro_yield(NULL, NULL), -EPERM);
    t->rc = coir_coro_resume(t->c, NULL, &t->got);
    CHECK_EQ(coir_coro_yield(NULL, NULL), -EPERM);
    return NULL;
}

TEST(a_coroutine_is_resumed_by_one_thread_after_another)
{
    turn t = {.c = coir_coro_new(twice, number(6), 0)};
    for (intptr_t i = 0; i < 6; i++) {
        pthread_t thread;
        if (i % 3 == 0) {
            t.rc = coir_coro_resume(t.c, NULL, &t.got);
        } else {
            CHECK_EQ(pthread_create(&thread, NULL, resume_in_thread, &t), 0);
            pthread_join(thread, NULL);
        }
        CHECK_EQ(t.rc, 0);
        CHECK_EQ((intptr_t)t.got, 2 * i);
    }
    CHECK_EQ(coir_coro_resume(t.c, NULL, NULL), 0);
    CHECK(coir_coro_done(t.c));
    coir_coro_free(t.c);
}

/* Threads that all try to resume the same coroutines: each resume counts once, or is refused. */
enum { SHARED = 8, THREADS = 4 };

typedef struct crowd {
    coir_coro *c[SHARED];
    int64_t resumed[THREADS];
    int rounds;
} crowd;

static crowd shared;

static void *count_resumes(void *arg)
{
    intptr_t *n = arg;
    do
        ++*n;
    while (coir_coro_yield(NULL, NULL) == 0);
    return NULL;
}

static void *resume_any(void *arg)
{
    int64_t *resumed = arg;
    for (int i = 0; i < shared.rounds; i++) {
        int rc = coir_coro_resume(shared.c[i % SHARED], NULL, NULL);
        CHECK(rc == 0 || rc == -EBUSY);
        *resumed += rc == 0;
    }
    return NULL;
}

TEST(threads_that_compete_for_a_coroutine_never_run_it_twice)
{
    static intptr_t counts[SHARED];
    pthread_t threads[THREADS];
    int64_t sum = 0, resumed = 0;
    shared.rounds = 60000 / harness_scale();
    for (int i = 0; i < SHARED; i++)
        shared.c[i] = coir_coro_new(count_resumes, &counts[i], 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, resume_any, &shared.resumed[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SHARED; i++) {
        sum += counts[i];
        coir_coro_free(shared.c[i]);
    }
    for (int i = 0; i < THREADS; i++)
        resumed += shared.resumed[i];
    CHECK_EQ(sum, resumed);
}

/* -- the stack ---------------------------------------------------------------------------------------------- */

static COIR__NOINLINE int fill(int depth)
{
    volatile char frame[1024];
    frame[0] = 1;
    __asm__ volatile("" ::"r"(frame) : "memory");
    return depth == 0 ? 0 : fill(depth - 1) + frame[0];
}

static void *fill_kib(void *arg) { return number(fill((int)(intptr_t)arg)); }

static void fill_stack(size_t reserve, int kib)
{
    coir_coro *c = coir_coro_new(fill_kib, number(kib), reserve);
    void *got;
    CHECK_EQ(coir_coro_resume(c, NULL, &got), 0);
    CHECK_EQ((intptr_t)got, kib);
    coir_coro_free(c);
}

TEST(a_coroutine_has_the_stack_it_asked_for)
{
    int share = COIR__ASAN || COIR__TSAN ? 2 : 1; /* larger frames */
    fill_stack(0, 150 / share);
    fill_stack((size_t)1 << 20, 900 / share);
    fill_stack((size_t)8 << 20, 7000 / share);
}

static size_t resident(void)
{
    size_t size, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL);
    CHECK_EQ(fscanf(f, "%zu %zu", &size, &pages), 2);
    fclose(f);
    return pages * 4096;
}

static void *fill_and_yield(void *arg)
{
    fill((int)(intptr_t)arg);
    coir_coro_yield(arg, NULL);
    return NULL;
}

TEST(what_deep_coroutines_have_used_goes_back_when_they_are_freed)
{
    enum { N = 20, KIB = 3000 };
    size_t before = resident();
    coir_coro *c[N];
    for (int i = 0; i < N; i++) {
        c[i] = coir_coro_new(fill_and_yield, number(KIB), (size_t)8 << 20);
        CHECK_EQ(coir_coro_resume(c[i], NULL, NULL), 0);
    }
    CHECK_GT(resident(), before + (size_t)N * KIB * 1024 / 2);
    for (int i = 0; i < N; i++)
        coir_coro_free(c[i]);
    if (!COIR__ASAN && !COIR__TSAN) /* which have shadows of it */
        CHECK_LT(resident(), before + (size_t)N * KIB * 1024 / 4);
}

static int overflow(void *arg)
{
    static const coir__overflow_hooks none;
    void *keep;
    coir__overflow_thread_begin(&keep);
    coir__overflow_install(&none);
    coir_coro *c = coir_coro_new(fill_kib, arg, 0);
    return coir_coro_resume(c, NULL, NULL);
}

TEST(the_overflow_of_a_coroutine_is_reported_where_a_handler_is)
{
    CHECK_ABORTS(overflow, number(100000), "coir: stack overflow in a coroutine (192 KiB)\n");
}

TEST_MAIN("coro")
