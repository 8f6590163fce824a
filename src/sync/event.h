/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_EVENT_H
#define COIR_SYNC_EVENT_H

#include "sync/wait.h"

/* In a coir_event. */
struct coir__event {
    coir__lock lock; /* guards the rest */
    bool set;
    coir__link waiters;
};

_Static_assert(sizeof(struct coir__event) <= sizeof(coir_event), "the public struct has room");

#endif
