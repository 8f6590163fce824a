/* SPDX-License-Identifier: MIT */
#ifndef TESTS_DUMP_TEXT_H
#define TESTS_DUMP_TEXT_H

/* dump_text.h - dumps as strings. From tasks and threads. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/harness.h"

/* To be freed. */
static inline char *dump_text(void)
{
    int fd = memfd_create("dump", MFD_CLOEXEC);
    CHECK(fd >= 0);
    coir_dump(fd);
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    CHECK(text != NULL);
    CHECK_EQ(pread(fd, text, (size_t)size, 0), size);
    close(fd);
    return text;
}

static inline bool dump_has(const char *part)
{
    char *text = dump_text();
    bool found = strstr(text, part) != NULL;
    free(text);
    return found;
}

/* The line about the task of this name, without the newline; to be freed. NULL if there is none. */
static inline char *dump_line(const char *name)
{
    char *text = dump_text(), *line, *rest = text, *found = NULL;
    char quoted[64];
    snprintf(quoted, sizeof quoted, " '%s' spawned", name);
    while (!found && (line = strsep(&rest, "\n")) != NULL)
        if (strncmp(line, "task ", 5) == 0 && strstr(line, quoted))
            found = strdup(line);
    free(text);
    return found;
}

/* Whether the line about that task says `what`. */
static inline bool dump_says(const char *name, const char *what)
{
    char *line = dump_line(name);
    bool says = line && strstr(line, what);
    free(line);
    return says;
}

/* Lets others run until it does. */
static inline void await_state(const char *name, const char *what)
{
    while (!dump_says(name, what))
        coir_yield();
}

static inline void await_dump(const char *part)
{
    while (!dump_has(part))
        coir_yield();
}

/* Waits, in a plain thread, until no worker of any runtime is awake. */
static inline void await_all_asleep(void)
{
    while (dump_has(", awake,") || !dump_has(", asleep,"))
        coir_yield();
}

/* Spawns fn(arg) into `group` with a name. */
#define SPAWN_NAMED(group, task_name, fn, arg)                                                     \
    do {                                                                                           \
        coir_task_options spawn_options = {.name = (task_name)};                                   \
        CHECK_EQ(coir_spawn_with((group), &spawn_options, (fn), (arg), NULL), 0);                  \
    } while (0)

#endif
