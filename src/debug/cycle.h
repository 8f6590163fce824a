/* SPDX-License-Identifier: MIT */
#ifndef COIR_DEBUG_CYCLE_H
#define COIR_DEBUG_CYCLE_H

/* cycle.h - tasks that wait for one another in a ring. */

#include "sync/holder.h"

#define COIR__CYCLE_MAX 32u /* longer ones are not found */

/*
 * The cycle of waits for locks and joins that `t` is in and has the lowest id of: how many wait, first `t`; each of them for what
 * the next one holds, or for its end. 0: there is none. All these waits were there at one moment. Any thread.
 */
unsigned coir__cycle_find(coir__task *t, coir__holder ret[COIR__CYCLE_MAX]);

#endif
