/* SPDX-License-Identifier: MIT */
/*
 * waitable.c - objects of the program's own as cases of a select: the inner protocol (select.h), renamed.
 *
 *   show = enter, peek = ready, hide = leave; a coir_waiter is the select's node in the case's slot
 *
 * A claim and its wake are two calls here, so the node keeps what coir__claim() returned, in its link: the object has a list of
 * its own. Between the two the select does not leave: it sleeps, or, claimed before it slept, spins for the wake. Afterwards
 * the waiter is gone.
 */
#include "sync/select.h"

static coir__node *node_of(coir_waiter *waiter) { return (coir__node *)(void *)waiter; }

static coir_waiter *waiter_of(coir_case *k)
{
    return (coir_waiter *)(void *)&coir__case_slot(k)->u.wait.node;
}

static const coir_waitable_ops *ops_of(const coir_case *k)
{
    return ((const coir_waitable *)k->object)->ops;
}

bool coir_waiter_claim(coir_waiter *waiter)
{
    coir__node *n = node_of(waiter);
    coir__worker_here(); /* I7 of sched/worker.h */
    uint32_t was = coir__claim(n->task);
    if (was == COIR__PARK_ACTIVE)
        return false;
    n->link.prev = (coir__link *)(uintptr_t)was;
    return true;
}

void coir_waiter_wake(coir_waiter *waiter, int result)
{
    coir__node *n = node_of(waiter);
    coir__wake(coir__worker_here(), n, (uint32_t)(uintptr_t)n->link.prev, result);
}

void *coir_waiter_data(coir_waiter *waiter) { return node_of(waiter)->data; }

/* -- select ----------------------------------------------------------------------------------------------------- */

static bool waitable_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    int result = 0;
    (void)w;
    if (!ops_of(k)->attempt(k->object, k->data, &result))
        return false;
    *ret_outcome = result;
    return true;
}

static bool waitable_show(coir__worker *w, coir_case *k)
{
    (void)w;
    coir__case_slot(k)->u.wait.node.data = k->data;
    return ops_of(k)->enter(k->object, waiter_of(k));
}

static bool waitable_peek(coir__worker *w, coir_case *k)
{
    (void)w;
    return ops_of(k)->ready(k->object);
}

static void waitable_hide(coir__worker *w, coir_case *k)
{
    (void)w;
    ops_of(k)->leave(k->object, waiter_of(k));
}

const coir__case_ops coir__case_waitable = {waitable_attempt, waitable_show, waitable_peek,
                                            waitable_hide};
