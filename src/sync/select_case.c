/* SPDX-License-Identifier: MIT */
/* select_case.c - channels, events and times as cases of a select. */
#include "sched/timer.h"
#include "sync/chan.h"
#include "sync/event.h"
#include "sync/select.h"

/* Out of an object's list, unless the claimer has taken it out. */
static void node_hide(coir__lock *lock, coir__node *n)
{
    coir__lock_take(lock);
    if (n->link.next)
        coir__list_remove(&n->link);
    coir__lock_drop(lock);
}

/* -- channels --------------------------------------------------------------------------------------------------- */

static bool chan_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    coir_chan *c = k->object;
    coir__node *met;
    uint32_t was;
    coir__lock_take(&c->lock);
    int rc = coir__chan_try_locked(c, k->kind == COIR_CASE_SEND, k->data, w->current, &met, &was);
    coir__lock_drop(&c->lock);
    if (met)
        coir__wake(w, met, was, 0);
    *ret_outcome = rc < 0 ? rc : 0;
    return rc != 0;
}

static bool chan_show(coir__worker *w, coir_case *k)
{
    coir_chan *c = k->object;
    coir__node *n = &coir__case_slot(k)->u.wait.node;
    bool send = k->kind == COIR_CASE_SEND;
    n->data = k->data;
    coir__lock_take(&c->lock);
    coir__list_append(send ? &c->senders : &c->receivers, &n->link);
    bool ready = coir__chan_is_ready_locked(c, send, w->current);
    coir__lock_drop(&c->lock);
    return ready;
}

static bool chan_peek(coir__worker *w, coir_case *k)
{
    coir_chan *c = k->object;
    coir__lock_take(&c->lock);
    bool ready = coir__chan_is_ready_locked(c, k->kind == COIR_CASE_SEND, w->current);
    coir__lock_drop(&c->lock);
    return ready;
}

static void chan_hide(coir__worker *w, coir_case *k)
{
    (void)w;
    node_hide(&((coir_chan *)k->object)->lock, &coir__case_slot(k)->u.wait.node);
}

const coir__case_ops coir__case_chan = {chan_attempt, chan_show, chan_peek, chan_hide};

/* -- events ----------------------------------------------------------------------------------------------------- */

static bool event_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    (void)w;
    *ret_outcome = 0;
    return coir_event_is_set(k->object);
}

static bool event_show(coir__worker *w, coir_case *k)
{
    (void)w;
    struct coir__event *e = k->object;
    coir__lock_take(&e->lock);
    coir__list_append(&e->waiters, &coir__case_slot(k)->u.wait.node.link);
    bool set = e->set;
    coir__lock_drop(&e->lock);
    return set;
}

static bool event_peek(coir__worker *w, coir_case *k)
{
    (void)w;
    return coir_event_is_set(k->object);
}

static void event_hide(coir__worker *w, coir_case *k)
{
    (void)w;
    node_hide(&((struct coir__event *)k->object)->lock, &coir__case_slot(k)->u.wait.node);
}

const coir__case_ops coir__case_event = {event_attempt, event_show, event_peek, event_hide};

/* -- times ------------------------------------------------------------------------------------------------------ */

/* Before it is shown a time counted from the call needs no look at the clock. */
static bool timer_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    coir__slot *slot = coir__case_slot(k);
    *ret_outcome = 0;
    if (!slot->shown && k->kind == COIR_CASE_AFTER)
        return k->value <= 0;
    return coir__now(w) >= slot->when;
}

static bool timer_show(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    int32_t index = slot->u.wait.index;
    coir__timer_node *n = &slot->u.timer;
    n->task = w->current;
    n->timer.result = index;
    n->timer.kind = COIR__TIMER_SELECT;
    n->timer.when = slot->when;
    atomic_store_explicit(&n->timer.state, COIR__TIMER_IDLE, memory_order_relaxed);
    slot->place = w->rt ? &w->wheel : NULL; /* a thread's select has a deadline instead */
    if (!w->rt)
        return false;
    coir__lock_take(&w->wheel.lock);
    coir__wheel_arm_locked(&w->wheel, &n->timer);
    coir__lock_drop(&w->wheel.lock);
    return false;
}

static bool timer_peek(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    return w->rt && atomic_load_explicit(&slot->u.timer.timer.state, memory_order_relaxed) ==
                        COIR__TIMER_IDLE;
}

static void timer_hide(coir__worker *w, coir_case *k)
{
    (void)w;
    coir__slot *slot = coir__case_slot(k);
    coir__wheel *wheel = slot->place;
    if (!wheel)
        return;
    coir__lock_take(&wheel->lock);
    coir__wheel_disarm_locked(wheel, &slot->u.timer.timer);
    coir__lock_drop(&wheel->lock);
}

const coir__case_ops coir__case_timer = {timer_attempt, timer_show, timer_peek, timer_hide};
