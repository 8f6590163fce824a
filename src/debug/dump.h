/* SPDX-License-Identifier: MIT */
#ifndef COIR_DEBUG_DUMP_H
#define COIR_DEBUG_DUMP_H

/* dump.h - for the other reporters. */

#include <stdbool.h>

/* Some runtime of this process has COIR_DEBUG=dump=1. */
bool coir__dump_wanted(void);

#endif
