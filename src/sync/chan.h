/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_CHAN_H
#define COIR_SYNC_CHAN_H

/* chan.h - what a channel is, and its steps for select. */

#include "sync/wait.h"

struct coir_chan {
    coir__lock
        lock; /* guards everything that is not fixed; first, so that its address names the channel */
    bool closed;
    bool odd;         /* closed, or its elements are not copied without a call */
    size_t elem_size; /* fixed */
    size_t capacity;  /* fixed */
    size_t count;     /* elements in the ring */
    size_t head;      /* the oldest */
    size_t tail;      /* where the next goes */
    coir__link receivers;
    coir__link senders;
    char *ring; /* fixed */
    void (*drop)(void *elem);
};

/* For select; the lock is held. Does the case if it can be done without waiting, meeting nobody of `self`: 1, and *ret_node with
 * *ret_was to be woken (NULL: nobody); 0: not ready; -EPIPE. */
int coir__chan_try_locked(coir_chan *c, bool send, void *elem, const coir__task *self,
                          coir__node **ret_node, uint32_t *ret_was);

/* Whether the above might not return 0. */
bool coir__chan_is_ready_locked(const coir_chan *c, bool send, const coir__task *self);

#endif
