/* SPDX-License-Identifier: MIT */
#ifndef COIR_DEBUG_DEADLOCK_H
#define COIR_DEBUG_DEADLOCK_H

/* deadlock.h - for tests. */

#include <stdint.h>

/* How long a runtime must have been quiet before it is looked at. Changed only while no runtime exists. */
extern int64_t coir__deadlock_patience;

#endif
