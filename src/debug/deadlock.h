/* SPDX-License-Identifier: MIT */
#ifndef COIR_DEBUG_DEADLOCK_H
#define COIR_DEBUG_DEADLOCK_H

/* deadlock.h - for tests. */

#include <stdint.h>

/* What has been done about the present quiet state of a runtime (coir__runtime.quiet.state). */
enum coir__quiet_state { COIR__QUIET_NEW, COIR__QUIET_WAITED_FOR, COIR__QUIET_LOOKED_AT };

/* How long a runtime must have been quiet before it is looked at. Changed only while no runtime exists. */
extern int64_t coir__deadlock_patience;

#endif
