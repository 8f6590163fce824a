/* SPDX-License-Identifier: MIT */
#ifndef HARNESS_H
#define HARNESS_H

/*
 * harness.h - a test file:
 *
 *   #include "support/harness.h"
 *
 *   TEST(list_starts_empty)                  // a plain thread; may call coir_run() itself
 *   {
 *       CHECK_EQ(list_length(&l), 0);
 *   }
 *
 *   TASK_TEST(close_wakes_pending_sender)    // runs as the first task of coir_run(NULL, ...)
 *   {
 *       ...
 *   }
 *
 *   TEST_MAIN("chan")
 *
 * Bodies return nothing (a plain `return;` ends them). Each test runs in a process of its own (Check forks it) with a
 * time limit, 20 s unless told otherwise, more under sanitizers; a test that reaches it writes coir_dump() to stderr. After
 * the body these must be as before it: threads, open descriptors, tasks (a dump must list none), heap blocks (see
 * harness_allow_blocks; under ASan LeakSanitizer instead, without tolerance).
 *
 * Asserts leave the process; nothing jumps, so all of them work on any stack and in any thread. Prefer CHECK to Check's
 * ck_assert in tasks and threads: a ck_assert that holds still takes a lock and writes to a file, which is slow and
 * orders threads that the test wants unordered (ThreadSanitizer sees fewer races).
 *
 * Run one file by hand: `test_sync_chan wakes` runs the tests whose names contain "wakes"; --list lists them. The
 * environment (COIR_ENGINE, COIR_WORKERS, COIR_DEBUG) works as in every coir program. TEST_TIME_SCALE=n multiplies
 * the limits.
 */

#include <coir.h>

#ifdef HARNESS_MINI
#include "support/check_mini.h"
#else
#include <check.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef void harness_body(void);

/* -- declaring tests ---------------------------------------------------------------------------------------- */

#define TEST(name) TEST_TIMEOUT(name, 0)
#define TEST_TIMEOUT(name, seconds) HARNESS_DECLARE(name, seconds, harness_run_plain)
#define TASK_TEST(name) TASK_TEST_TIMEOUT(name, 0)
#define TASK_TEST_TIMEOUT(name, seconds) HARNESS_DECLARE(name, seconds, harness_run_task)

#define HARNESS_DECLARE(name, seconds, runner)                                                     \
    static void name##_body(void);                                                                 \
    __attribute__((constructor)) static void name##_register(void)                                 \
    {                                                                                              \
        harness_register(#name, __FILE__, __LINE__, seconds, runner, name##_body);                 \
    }                                                                                              \
    static void name##_body(void)

#define TEST_MAIN(suite)                                                                           \
    int main(int argc, char **argv) { return harness_main(suite, argc, argv); }

/* -- inside tests ------------------------------------------------------------------------------------------- */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            harness_fail(__FILE__, __LINE__, "CHECK(%s)", #condition);                             \
    } while (0)

/* Compare integers or pointers; print both. */
#define CHECK_EQ(a, b) HARNESS_COMPARE(a, ==, b)
#define CHECK_NE(a, b) HARNESS_COMPARE(a, !=, b)
#define CHECK_LT(a, b) HARNESS_COMPARE(a, <, b)
#define CHECK_LE(a, b) HARNESS_COMPARE(a, <=, b)
#define CHECK_GT(a, b) HARNESS_COMPARE(a, >, b)
#define CHECK_GE(a, b) HARNESS_COMPARE(a, >=, b)

#define HARNESS_COMPARE(a, op, b)                                                                  \
    do {                                                                                           \
        long long harness_a = (long long)(a), harness_b = (long long)(b);                          \
        if (!(harness_a op harness_b))                                                             \
            harness_fail(__FILE__, __LINE__, "CHECK(%s %s %s): %lld, %lld", #a, #op, #b,           \
                         harness_a, harness_b);                                                    \
    } while (0)

/* Compare strings. */
#define CHECK_STR(a, b) harness_check_str(__FILE__, __LINE__, #a, #b, a, b)

/* Runs fn(arg) in a child process, which must end by abort() and have written `text` to stderr. Only where the process
 * has one thread: in a TEST, before or after coir_run(). */
#define CHECK_ABORTS(fn, arg, text) harness_check_aborts(__FILE__, __LINE__, fn, arg, text)

/* The same with fn(arg) as the first task of coir_run(NULL, ...). */
#define CHECK_TASK_ABORTS(fn, arg, text)                                                           \
    harness_check_task_aborts(__FILE__, __LINE__, fn, arg, text)

/* Ends the test here, not passed and not failed. From: any. */
__attribute__((noreturn)) void skip(const char *reason);

/* Ends the test as failed. From: any, on any stack. */
__attribute__((noreturn, format(printf, 3, 4))) void harness_fail(const char *file, int line,
                                                                  const char *format, ...);

/*
 * Heap blocks that this test may leave behind, in place of 32: what the C library keeps for good (stdio buffers, thread
 * vectors of cached stacks, look-ups of names) is counted too, because it can't be told apart.
 */
void harness_allow_blocks(long n);

/* Descriptors open in this process, and threads in it, now. For tests that check in the middle. */
int harness_count_fds(void);
int harness_count_threads(void);

/* 1, or more where everything is slower (sanitizers, emulators): to divide the size of long tests by. */
int harness_scale(void);

/* The environment asks for this engine ("uring", "epoll") or leaves it open. */
bool harness_engine_is(const char *name);

/* -- behind the macros -------------------------------------------------------------------------------------- */

void harness_register(const char *name, const char *file, int line, int seconds,
                      void (*runner)(harness_body *), harness_body *body);
int harness_main(const char *suite, int argc, char **argv);
void harness_run_plain(harness_body *body);
void harness_run_task(harness_body *body);
void harness_check_str(const char *file, int line, const char *a_text, const char *b_text,
                       const char *a, const char *b);
void harness_check_aborts(const char *file, int line, coir_fn *fn, void *arg, const char *text);
void harness_check_task_aborts(const char *file, int line, coir_fn *fn, void *arg,
                               const char *text);

/* Set by harness_task.c when it is linked, so that the rest needs nothing of the library. */
extern void (*harness_dump)(int fd);

#ifdef __cplusplus
}
#endif

#endif
