/* SPDX-License-Identifier: MIT */
/*
 * runner_mini.c - what runner_check.c does, without Check, for targets that have no package of it (cross builds).
 */
#include "support/harness_private.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void harness_fail(const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    dprintf(STDERR_FILENO, "%s:%d: %s\n", file, line, text);
    _exit(1);
}

static bool passes(int i)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        harness_child(i);
        exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    kill(-pid, SIGKILL); /* what it left behind */
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int harness_run_suite(const char *suite, const harness_test *tests, int n)
{
    int failed = 0;
    for (int i = 0; i < n; i++) {
        if (passes(i))
            continue;
        failed++;
        printf("%s:%d: %s: failed\n", tests[i].file, tests[i].line, tests[i].name);
    }
    printf("%s: %d of %d passed\n", suite, n - failed, n);
    return failed;
}
