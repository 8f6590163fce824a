/* SPDX-License-Identifier: MIT */
/*
 * harness_task.c - the part of the harness that needs the library: tests that are tasks, and dumps.
 */
#include "support/harness_private.h"

__attribute__((constructor)) static void set_dump(void) { harness_dump = coir_dump; }

static int first_task(void *arg)
{
    harness_body *const *body = arg;
    (*body)();
    return 0;
}

void harness_run_task(harness_body *body) { CHECK_EQ(coir_run(NULL, first_task, &body), 0); }

typedef struct aborting {
    coir_fn *fn;
    void *arg;
} aborting;

static int run_aborting(void *arg)
{
    aborting *a = arg;
    return coir_run(NULL, a->fn, a->arg);
}

void harness_check_task_aborts(const char *file, int line, coir_fn *fn, void *arg, const char *text)
{
    aborting a = {fn, arg};
    harness_check_aborts(file, line, run_aborting, &a, text);
}
