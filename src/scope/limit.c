/* SPDX-License-Identifier: MIT */
/*
 * limit.c - groups that run no more than so many of their tasks at once.
 *
 *   spawn --> [ queue of the group ] --> started --> ended
 *
 * A task over the limit is in its group's list like any other: it counts, it can be joined, cancelled, given up, and dumps show
 * it. Only it has not been made runnable: it is HELD, and its own link is in the group's queue. Its stack is reserved
 * already, so that spawn could say -ENOMEM.
 *
 * I1  A task leaves the queue under the group's lock, by the hand of the one who then makes it runnable: the end of a sibling,
 *     coir_group_limit(), or the sweep of a cancellation. So exactly one does.
 * I2  While somebody is queued, as many as the limit allows or more have been started, and the group is not cancelled
 *     (between the mark and the sweep's look at the queue excepted: then the sweep has the lock of the opener's scopes).
 * I3  Who makes a task runnable has let go of the group's lock and does not touch the group again: that task may be what its
 *     opener waits for.
 *
 * Cost, where there is no limit: one test in a spawn and one at the end of a task, of a field beside the counter.
 */
#include "scope/scope.h"

static bool is_cancelled(const coir__group *g)
{
    return (atomic_load_explicit(&g->scope.head.state, memory_order_relaxed) &
            COIR__SCOPE_CANCELLED) != 0;
}

void coir__limit_queue(coir__worker *w, coir__group *g, coir__task *t)
{
    uint32_t since = w->rt == g->rt ? w->since
                                    : coir__since_of(coir__runtime_now(coir__runtime_of(t)));
    atomic_store_explicit(&t->wait_note, since | COIR__WAIT_LIMIT, memory_order_relaxed);
    atomic_store_explicit(&t->wait_lock, NULL, memory_order_relaxed);
    atomic_store_explicit(&t->park, COIR__PARK_HELD, memory_order_release);
    coir__list_append(&g->queue, &t->wait.node.link);
    g->queued++;
}

coir__task *coir__limit_next(coir__group *g)
{
    bool free_place = !coir__limit_is_reached(g) || is_cancelled(g);
    coir__link *link = free_place ? coir__list_first(&g->queue) : NULL;
    if (!link)
        return NULL;
    coir__list_remove(link);
    g->queued--;
    return coir__container(link, coir__task, wait.node.link);
}

void coir__limit_start(coir__worker *w, coir__task *t)
{
    t->wait.node.link.next = NULL;
    atomic_store_explicit(&t->wait_note, COIR__WAIT_NONE, memory_order_relaxed);
    atomic_store_explicit(&t->park, COIR__PARK_ACTIVE, memory_order_relaxed);
    coir__task_launch(w, coir__runtime_of(t), t);
}

void coir__limit_start_all(coir__worker *w, coir__link *list)
{
    coir__link *link;
    while ((link = coir__list_first(list)) != NULL) {
        coir__list_remove(link);
        coir__limit_start(w, coir__container(link, coir__task, wait.node.link));
    }
}

void coir_group_limit(coir_group *group, size_t n)
{
    coir__worker *w = coir__worker_here();
    coir__group *g = (coir__group *)(void *)group;
    coir__link list = {0};
    coir__task *t;
    coir__lock_take(&g->lock);
    g->limit = n < UINT32_MAX ? (uint32_t)n : 0; /* nobody has so many descriptors */
    while ((t = coir__limit_next(g)) != NULL)
        coir__list_append(&list, &t->wait.node.link);
    coir__lock_drop(&g->lock);
    coir__limit_start_all(w, &list);
}
