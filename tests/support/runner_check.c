/* SPDX-License-Identifier: MIT */
/*
 * runner_check.c - runs the tests through Check, always in fork mode: there a failed assert writes its message to a file
 * and calls _exit(), from any stack. Without fork it would longjmp, so CK_FORK=no is overruled.
 */
#include "support/harness_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if CHECK_MAJOR_VERSION == 0 && CHECK_MINOR_VERSION < 15
#error "Check 0.15 or later is needed"
#endif

void harness_fail(const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    _ck_assert_failed(file, line, text, "%s", text);
    _Exit(1);
}

/* Each test is a case of its own because the time limit belongs to the case; CK_RUN_CASE=name works, too. */
static void add_test(Suite *suite, const harness_test *t, TTest *entry, int i)
{
    TCase *one = tcase_create(t->name);
    entry->name = t->name;
    entry->fn = harness_child;
    entry->file = t->file;
    entry->line = t->line;
    tcase_set_timeout(one, harness_test_seconds(t) + HARNESS_GRACE);
    tcase_add_loop_test(one, entry, i, i + 1);
    suite_add_tcase(suite, one);
}

int harness_run_suite(const char *suite_name, const harness_test *tests, int n)
{
    TTest *entries = calloc((size_t)n, sizeof *entries);
    Suite *suite = suite_create(suite_name);
    if (!entries)
        return n;
    for (int i = 0; i < n; i++)
        add_test(suite, &tests[i], &entries[i], i);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_FORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    free(entries);
    return failed;
}
