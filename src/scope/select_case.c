/* SPDX-License-Identifier: MIT */
/* select_case.c - the end of a task and the emptiness of a group as cases of a select. */
#include "sync/select.h"

#include "scope/join.h"
#include "scope/scope.h"

/* -- the end of a task ------------------------------------------------------------------------------------------ */

static coir_task task_of(const coir_case *k)
{
    return (coir_task){.opaque = k->object, .id = (uint64_t)k->value};
}

/* Errors of a join are outcomes: such a case would never become ready otherwise. */
static bool joined_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    int result = 0;
    int rc = coir__join_try(w, task_of(k), &result);
    *ret_outcome = rc < 0 ? rc : result;
    return rc != -EAGAIN;
}

/* Becomes the joiner, or still is it; if not, an attempt will say why. */
static bool joined_show(coir__worker *w, coir_case *k)
{
    (void)w;
    return !coir__join_show(task_of(k), &coir__case_slot(k)->u.wait.node);
}

static void joined_hide(coir__worker *w, coir_case *k)
{
    (void)w;
    coir__join_withdraw(task_of(k), &coir__case_slot(k)->u.wait.node);
}

const coir__case_ops coir__case_joined = {joined_attempt, joined_show, joined_show, joined_hide};

/* -- a group without tasks -------------------------------------------------------------------------------------- */

static coir__group *group_of(const coir_case *k) { return (coir__group *)k->object; }

static bool empty_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    (void)w;
    coir__group *g = group_of(k);
    coir__lock_take(&g->lock);
    bool empty = g->count == 0;
    coir__lock_drop(&g->lock);
    *ret_outcome = 0;
    return empty;
}

static bool empty_show(coir__worker *w, coir_case *k)
{
    (void)w;
    coir__group *g = group_of(k);
    coir__lock_take(&g->lock);
    coir__list_append(&g->waiters, &coir__case_slot(k)->u.wait.node.link);
    bool empty = g->count == 0;
    coir__lock_drop(&g->lock);
    return empty;
}

static bool empty_peek(coir__worker *w, coir_case *k)
{
    int outcome;
    return empty_attempt(w, k, &outcome);
}

static void empty_hide(coir__worker *w, coir_case *k)
{
    (void)w;
    coir__group *g = group_of(k);
    coir__node *n = &coir__case_slot(k)->u.wait.node;
    coir__lock_take(&g->lock);
    if (n->link.next)
        coir__list_remove(&n->link);
    coir__lock_drop(&g->lock);
}

const coir__case_ops coir__case_empty = {empty_attempt, empty_show, empty_peek, empty_hide};
