/* SPDX-License-Identifier: MIT */
#ifndef HARNESS_PRIVATE_H
#define HARNESS_PRIVATE_H

/* Between the files of the harness. */

#include "support/harness.h"

typedef struct harness_test {
    const char *name;
    const char *file;
    int line;
    int seconds; /* 0: the default */
    void (*runner)(harness_body *);
    harness_body *body;
} harness_test;

#if defined(__has_feature)
#define HARNESS_HAS(feature) __has_feature(feature)
#else
#define HARNESS_HAS(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || HARNESS_HAS(address_sanitizer)
#define HARNESS_ASAN 1
#else
#define HARNESS_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || HARNESS_HAS(thread_sanitizer)
#define HARNESS_TSAN 1
#else
#define HARNESS_TSAN 0
#endif

#define HARNESS_SANITIZER_SCALE (HARNESS_ASAN || HARNESS_TSAN ? 3 : 1)
#define HARNESS_SANITIZER_THREADS HARNESS_TSAN /* one of its own, started with the first other */

/* runner_check.c or runner_mini.c: runs each test in a child by harness_child(); the number that failed. */
int harness_run_suite(const char *suite, const harness_test *tests, int n);
void harness_child(int i);
int harness_test_seconds(const harness_test *t);
#define HARNESS_GRACE 10 /* seconds after the limit until the runner kills */

/* harness_heap.c */
long harness_heap_blocks(void); /* live; 0 where they can't be counted */
bool harness_lsan_has_leaks(void);

bool harness_dump_has_task(const char *text);

#endif
