/* SPDX-License-Identifier: MIT */
#ifndef COIR_DEBUG_CASES_H
#define COIR_DEBUG_CASES_H

/* cases.h - what a select waits for, for dumps. */

#include <stddef.h>
#include <stdint.h>

#define COIR__CASES_TEXT 640

/* The `n` cases at that address, as " of 2: receive on channel 0x1, 160 ms left"; empty if they can't be read. They may be gone, and
 * something else there, unless the caller knows that the select still waits: look again afterwards. Safe in signal handlers. */
void coir__cases_describe(const void *cases, size_t n, int64_t now, char text[COIR__CASES_TEXT]);

#endif
