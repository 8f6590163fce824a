/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_CHAIN_H
#define COIR_SYNC_CHAIN_H

/* chain.h - waiters that have been claimed under an object's lock, on their way to be woken without it by
 * coir__wake_all(), in the order they were added. */

#include "sync/wait.h"

typedef struct coir__chain {
    coir__node *first; /* linked by `data` */
    coir__node *last;
} coir__chain;

/* Adds a node that is claimed and out of its list. Its `data` is gone afterwards. */
COIR__INLINE void coir__chain_add(coir__chain *c, coir__node *n, uint32_t was)
{
    n->data = NULL;
    n->link.prev = (coir__link *)(uintptr_t)was; /* what coir__wake() must know */
    if (c->last)
        c->last->data = n;
    else
        c->first = n;
    c->last = n;
}

#endif
