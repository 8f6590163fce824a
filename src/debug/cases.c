/* SPDX-License-Identifier: MIT */
/*
 * cases.c - see cases.h.
 *
 * The cases of a select lie in the program's memory, which may be gone as soon as the select is over. So they are copied by the kernel,
 * which says so where it can't, instead of being touched.
 */
#include "debug/cases.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sync/select.h"

#define SHOWN_MOST 12u

struct text {
    char *at;
    size_t room;
};

static COIR__PRINTF(2, 3) void add(struct text *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(t->at, t->room, format, list);
    va_end(list);
    if (n < 0)
        return;
    size_t used = (size_t)n < t->room ? (size_t)n : t->room - 1;
    t->at += used;
    t->room -= used;
}

static const char *const objects[] = {
    [COIR_CASE_SEND] = "send on channel", [COIR_CASE_RECV] = "receive on channel",
    [COIR_CASE_EMPTY] = "group",          [COIR_CASE_SET] = "event",
    [COIR_CASE_NOTIFIED] = "notify",      [COIR_CASE_READY] = "future",
    [COIR_CASE_ACQUIRE] = "semaphore",    [COIR_CASE_RECV_FROM] = "subscriber",
    [COIR_CASE_WAITABLE] = "waitable",
};

static void add_time(struct text *t, coir_case *c, int64_t now)
{
    int64_t when = coir__case_slot(c)->when;
    if (when == COIR_FOREVER)
        add(t, "never");
    else
        add(t, "%lld ms left", (long long)(when > now ? (when - now) / COIR_MS(1) : 0));
}

static void add_case(struct text *t, coir_case *c, int64_t now)
{
    switch (c->kind) {
    case COIR_CASE_AFTER:
    case COIR_CASE_UNTIL:
        add_time(t, c, now);
        break;
    case COIR_CASE_JOINED:
        add(t, "end of task %lld", (long long)c->value);
        break;
    case COIR_CASE_READABLE:
        add(t, "descriptor %lld readable", (long long)c->value);
        break;
    case COIR_CASE_WRITABLE:
        add(t, "descriptor %lld writable", (long long)c->value);
        break;
    case COIR_CASE_SIGNALLED:
        add(t, "signal %lld", (long long)c->value);
        break;
    default:
        if ((unsigned)c->kind < sizeof objects / sizeof *objects && objects[c->kind] && c->object)
            add(t, "%s %p", objects[c->kind], c->object);
        else
            add(t, "never");
    }
}

static bool copy_case(const coir_case *c, coir_case *ret)
{
    struct iovec to = {ret, sizeof *ret}, from = {(void *)(uintptr_t)c, sizeof *c};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)sizeof *ret;
}

void coir__cases_describe(const void *cases, size_t n, int64_t now, char text[COIR__CASES_TEXT])
{
    const coir_case *c = cases;
    coir_case copy;
    struct text t = {text, COIR__CASES_TEXT};
    text[0] = '\0';
    for (size_t i = 0; i < n && i < SHOWN_MOST && copy_case(&c[i], &copy); i++) {
        if (i == 0)
            add(&t, " of %zu: ", n);
        else
            add(&t, ", ");
        add_case(&t, &copy, now);
    }
    if (text[0] && n > SHOWN_MOST)
        add(&t, ", ...");
}
