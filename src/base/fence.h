/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_FENCE_H
#define COIR_BASE_FENCE_H

/*
 * fence.h - an asymmetric fence: one side pays everything.
 *
 * Two threads store one word each and then load the other's; at least one must see the other's store. The light side,
 * on the hot path, needs only keep the compiler from reordering; the heavy side makes every other core execute a fence
 * (membarrier(2), 0.6 us with another thread running). Without membarrier (old kernel, sandbox) both sides
 * execute a real fence.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include "base/compat.h"

/* Set once, before the second thread exists. */
extern bool coir__fence_needed;

/* Registers the process for membarrier; idempotent. */
void coir__fence_init(void);

COIR__INLINE void coir__fence_light(void)
{
    coir__compiler_fence();
    if (coir__unlikely(coir__fence_needed))
        atomic_thread_fence(memory_order_seq_cst);
}

void coir__fence_heavy(void);

#endif
