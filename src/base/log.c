/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void coir__text_flush(coir__text *t)
{
    size_t done = 0;
    while (done < t->used) {
        ssize_t n = write(t->fd, t->buf + done, t->used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    t->used = 0;
}

static void text_add_list(coir__text *t, const char *format, va_list list)
{
    char line[512];
    int n = vsnprintf(line, sizeof line, format, list);
    if (n <= 0)
        return;
    size_t size = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    if (t->used + size > sizeof t->buf)
        coir__text_flush(t);
    for (size_t i = 0; i < size; i++)
        t->buf[t->used++] = line[i];
}

void coir__text_add(coir__text *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    text_add_list(t, format, list);
    va_end(list);
}

void coir__log(const char *format, ...)
{
    coir__text t;
    va_list list;
    coir__text_init(&t, STDERR_FILENO);
    coir__text_add(&t, "coir: ");
    va_start(list, format);
    text_add_list(&t, format, list);
    va_end(list);
    coir__text_add(&t, "\n");
    coir__text_flush(&t);
}
