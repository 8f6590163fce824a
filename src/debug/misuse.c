/* SPDX-License-Identifier: MIT */
/*
 * misuse.c - what can't be reported by a return value.
 *
 * The caller may hold the lock of any object: nothing is allocated here, and no lock is waited for without end (the dump
 * gives up on those it can't get).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "debug/dump.h"
#include "sched/upcall.h"

static void add_culprit(coir__text *text)
{
    const coir__worker *w = coir__worker_or_null();
    const coir__task *self = w ? w->current : NULL;
    if (!w || w->rt == 0)
        coir__text_add(text, "in a plain thread");
    else if (self == &w->base)
        coir__text_add(text, "in a hook of runtime '%s'", w->runtime->name);
    else /* only the task itself changes its name, so it needs no lock */
        coir__text_add(text, "in task '%s' (id %llu, spawned at %s:%d)",
                       self->name ? self->name : "?",
                       (unsigned long long)atomic_load_explicit(&self->id, memory_order_relaxed),
                       self->file ? self->file : "?", self->line);
}

COIR__COLD void coir__misuse(const char *format, ...)
{
    char what[256];
    coir__text text;
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    coir__text_init(&text, STDERR_FILENO);
    coir__text_add(&text, "coir: misuse ");
    add_culprit(&text);
    coir__text_add(&text, ": %s\n", what);
    coir__text_flush(&text);
    if (coir__dump_wanted())
        coir_dump(STDERR_FILENO);
    abort();
}
