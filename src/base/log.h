/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_LOG_H
#define COIR_BASE_LOG_H

/* log.h - text that leaves the library. A sink takes whole lines; the writer formats into a fixed buffer, without
 * allocating, so that it works in a signal handler and when memory is gone. */

#include <stdarg.h>
#include <stddef.h>

#include "base/compat.h"

/* A buffer that flushes to a descriptor. */
typedef struct coir__text {
    int fd;
    size_t used;
    char buf[1024];
} coir__text;

COIR__INLINE void coir__text_init(coir__text *t, int fd)
{
    t->fd = fd;
    t->used = 0;
}

void coir__text_add(coir__text *t, const char *format, ...) COIR__PRINTF(2, 3);
void coir__text_flush(coir__text *t);

/* One line to stderr, "coir: " before it. */
void coir__log(const char *format, ...) COIR__PRINTF(1, 2);

#endif
