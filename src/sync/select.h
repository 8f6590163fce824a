/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_SELECT_H
#define COIR_SYNC_SELECT_H

/*
 * select.h - what an object must offer to stand in a select.
 *
 * A kind of case is a table of four functions, which stands at the end of its object's file (a descriptor's is an object of its
 * own, a watch: io/select_case.c). All are called by the selecting task or thread.
 */

#include "sync/wait.h"

/* What a select keeps in a case while it waits. */
typedef struct coir__slot {
    union {
        coir__select_node wait; /* in the object's list */
        coir__timer_node timer; /* in a wheel */
    } u;
    int64_t when;    /* of a timer */
    void *place;     /* the wheel, ... */
    uint64_t number; /* of an operation, ... */
    bool shown;
} coir__slot;

_Static_assert(sizeof(coir__slot) <= sizeof(((coir_case *)0)->opaque),
               "the public struct has room");

COIR__INLINE coir__slot *coir__case_slot(coir_case *c) { return (coir__slot *)(void *)c->opaque; }

typedef struct coir__case_ops {
    /* Does the case if that needs no wait, meeting nobody of the caller: true, and its outcome. Wakes whom it concerns. */
    bool (*attempt)(coir__worker *w, coir_case *c, int *ret_outcome);

    /* Shows the slot's node to the object: from now on the caller may be claimed. True if the case may be ready already. */
    bool (*show)(coir__worker *w, coir_case *c);

    /* Whether a case that has been shown may have become ready while the caller could not be claimed. */
    bool (*peek)(coir__worker *w, coir_case *c);

    /* Afterwards nobody touches the slot any more. */
    void (*hide)(coir__worker *w, coir_case *c);
} coir__case_ops;

/* Takes the case's node out of its object's list, unless who claimed it has done so. The object's lock is held. */
COIR__INLINE void coir__case_unlink_locked(coir_case *c)
{
    coir__link *link = &coir__case_slot(c)->u.wait.node.link;
    if (link->next)
        coir__list_remove(link);
}

COIR__INLINE void coir__case_unlink(coir__worker *w, coir_case *c, coir__lock *lock)
{
    bool private = coir__short_enter(w, lock);
    coir__case_unlink_locked(c);
    coir__short_leave(w, lock, private);
}

/* sync/ */
extern const coir__case_ops coir__case_chan, coir__case_event, coir__case_time, coir__case_notify,
    coir__case_future, coir__case_sem, coir__case_subscriber, coir__case_waitable;

extern const coir__case_ops coir__case_joined, coir__case_empty; /* scope/ */
extern const coir__case_ops coir__case_fd, coir__case_signal;    /* io/ */

#endif
