/* SPDX-License-Identifier: MIT */
/*
 * census.c - what tasks have used of their stacks, by the place where they were spawned.
 *
 *   stack: spawned at http.c:88: at most 6.1 KiB of 192 KiB in 20000 tasks; stack_reserve = 24 KiB would do
 *
 * With COIR_DEBUG=census=1 every task begins on a clean stack and is measured when it ends (stack/depth.c). A table of
 * the process, by file and line; places beyond its size share the last entry. It is kept in the order of depth, which
 * seldom changes: an entry moves up when it has become deeper.
 *
 * What would do is twice what was used, rounded up to what a slot can have: nobody has seen every path. The first task of
 * a run gets no advice: no option gives it another stack.
 */
#include "debug/census.h"

#include <coir/debug.h>
#include <stdio.h>
#include <string.h>

#include "sched/runtime.h"
#include "sched/upcall.h"
#include "stack/stack.h"

#define PLACES 256u

struct place {
    const char *file; /* NULL: all others */
    int line;
    size_t reserve; /* of the last */
    size_t used;    /* at most */
    uint64_t tasks;
};

static coir__lock lock; /* guards all of: */
static struct place places[PLACES];
static unsigned count;

static struct place *place_of_locked(const char *file, int line)
{
    for (unsigned i = 0; i < count; i++)
        if (places[i].line == line && (places[i].file == file || !places[i].file ||
                                       (file && strcmp(places[i].file, file) == 0)))
            return &places[i];
    if (count == PLACES)
        return NULL;
    struct place *p = &places[count++];
    *p = (struct place){.file = count < PLACES ? file : NULL, .line = count < PLACES ? line : 0};
    return p;
}

/* The entry for all others, wherever it has moved. */
static struct place *others_locked(void)
{
    for (unsigned i = 0; i < count; i++)
        if (!places[i].file)
            return &places[i];
    return &places[count - 1];
}

static void sort_up_locked(struct place *p)
{
    for (; p > places && p[-1].used < p->used; p--) {
        struct place above = p[-1];
        p[-1] = *p;
        *p = above;
    }
}

void coir__census_note(const char *file, int line, size_t reserve, size_t used)
{
    coir__lock_take(&lock);
    struct place *p = place_of_locked(file, line);
    if (!p)
        p = others_locked();
    p->tasks++;
    p->reserve = reserve;
    if (used > p->used) {
        p->used = used;
        sort_up_locked(p);
    }
    coir__lock_drop(&lock);
}

/* The most that a task may use who asks for `reserve` at least. */
static size_t usable_for(size_t reserve)
{
    unsigned class_ = coir__stack_class(reserve ? reserve : 1);
    return class_ ? coir__stack_usable(class_) : reserve;
}

static void format(char line[COIR__CENSUS_LINE], const struct place *p)
{
    char where[256] = "elsewhere", advice[80] = "";
    size_t enough = usable_for(2 * p->used);
    if (p->file)
        snprintf(where, sizeof where, "%.200s:%d", p->file, p->line);
    if (p->line == 0) /* the first task, and all others */
        enough = p->reserve;
    if (enough < p->reserve)
        snprintf(advice, sizeof advice, "; stack_reserve = %zu KiB would do", enough >> 10);
    else if (p->used > p->reserve / 4 * 3 && enough > p->reserve)
        snprintf(advice, sizeof advice, "; stack_reserve = %zu KiB would be safer", enough >> 10);
    snprintf(line, COIR__CENSUS_LINE,
             "stack: spawned at %s: at most %zu.%zu KiB of %zu KiB in %llu tasks%s", where,
             p->used >> 10, (p->used & 1023) * 10 >> 10, p->reserve >> 10,
             (unsigned long long)p->tasks, advice);
}

bool coir__census_line(unsigned i, char line[COIR__CENSUS_LINE])
{
    struct place p;
    unsigned rounds = 0;
    while (!coir__lock_try(&lock)) /* the caller may be a signal handler */
        if (rounds++ == 1000000)
            return false;
    bool there = i < count;
    if (there)
        p = places[i];
    coir__lock_drop(&lock);
    if (there)
        format(line, &p);
    return there;
}

void coir__census_log(coir__runtime *rt)
{
    char line[COIR__CENSUS_LINE];
    for (unsigned i = 0; coir__census_line(i, line); i++)
        coir__runtime_log(rt, "%s", line);
}

size_t coir_stack_high_water(void)
{
    coir__worker *w = coir__worker_or_null();
    return w && w->rt && w->current->stack ? coir__stack_depth(w->current->stack) : 0;
}
