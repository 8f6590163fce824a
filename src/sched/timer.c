/* SPDX-License-Identifier: MIT */
/* timer.c - see timer.h. */
#include "sched/timer.h"

#include "sched/upcall.h"

#define SLOT_MASK (COIR__WHEEL_SLOTS - 1)
#define LEVEL_BITS 6
#define FARTHEST ((uint64_t)1 << (LEVEL_BITS * COIR__WHEEL_LEVELS - 1)) /* ticks: four years */

void coir__wheel_init(coir__wheel *wh, int64_t now)
{
    wh->elapsed = (uint64_t)now >> COIR__WHEEL_SHIFT;
    atomic_store_explicit(&wh->next, COIR_FOREVER, memory_order_relaxed);
}

/* The tick at which a timer may fire: rounded up. */
static uint64_t tick_of(int64_t when)
{
    if (when <= 0)
        return 0;
    uint64_t round = ((uint64_t)1 << COIR__WHEEL_SHIFT) - 1;
    return ((uint64_t)when + round) >> COIR__WHEEL_SHIFT;
}

static unsigned level_of(uint64_t elapsed, uint64_t tick)
{
    uint64_t differing = (elapsed ^ tick) | SLOT_MASK;
    unsigned highest = 63 - (unsigned)__builtin_clzll(differing);
    unsigned level = highest / LEVEL_BITS;
    return level < COIR__WHEEL_LEVELS ? level : COIR__WHEEL_LEVELS - 1;
}

/* The first tick of the first occupied slot of a level, seen from `elapsed`; UINT64_MAX if the level is empty. */
static uint64_t level_next(const coir__wheel *wh, unsigned level, unsigned *ret_slot)
{
    uint64_t bits = wh->occupied[level];
    if (bits == 0)
        return UINT64_MAX;
    unsigned shift = level * LEVEL_BITS;
    unsigned now_slot = (unsigned)(wh->elapsed >> shift) & SLOT_MASK;
    uint64_t rotated = now_slot ? bits >> now_slot | bits << (COIR__WHEEL_SLOTS - now_slot) : bits;
    unsigned slot = (now_slot + (unsigned)__builtin_ctzll(rotated)) & SLOT_MASK;
    uint64_t turn = (uint64_t)COIR__WHEEL_SLOTS << shift;
    uint64_t start = (wh->elapsed & ~(turn - 1)) + ((uint64_t)slot << shift);
    if (slot < now_slot)
        start += turn; /* only the top level can wrap */
    *ret_slot = slot;
    return start;
}

static uint64_t wheel_next(const coir__wheel *wh, unsigned *ret_level, unsigned *ret_slot)
{
    for (unsigned level = 0; level < COIR__WHEEL_LEVELS; level++) {
        uint64_t start = level_next(wh, level, ret_slot);
        if (start != UINT64_MAX) {
            *ret_level = level;
            return start;
        }
    }
    return UINT64_MAX;
}

static void publish_next(coir__wheel *wh)
{
    unsigned level, slot;
    uint64_t tick = wheel_next(wh, &level, &slot);
    int64_t next = COIR_FOREVER;
    if (tick <= (uint64_t)INT64_MAX >> COIR__WHEEL_SHIFT)
        next = (int64_t)(tick << COIR__WHEEL_SHIFT);
    atomic_store_explicit(&wh->next, next, memory_order_relaxed);
}

static void slot_add(coir__wheel *wh, coir__timer *t)
{
    uint64_t tick = tick_of(t->when);
    if (tick <= wh->elapsed)
        tick = wh->elapsed + 1; /* due: at the next look */
    if (tick - wh->elapsed > FARTHEST)
        tick = wh->elapsed + FARTHEST; /* will be put off again then */
    unsigned level = level_of(wh->elapsed, tick);
    unsigned slot = (unsigned)(tick >> (level * LEVEL_BITS)) & SLOT_MASK;
    coir__timer **head = &wh->slots[level][slot];
    t->next = *head;
    t->pprev = head;
    if (t->next)
        t->next->pprev = &t->next;
    *head = t;
    wh->occupied[level] |= (uint64_t)1 << slot;
    int64_t start = (int64_t)((tick & ~(((uint64_t)1 << (level * LEVEL_BITS)) - 1))
                              << COIR__WHEEL_SHIFT);
    if (start < atomic_load_explicit(&wh->next, memory_order_relaxed))
        atomic_store_explicit(&wh->next, start, memory_order_relaxed);
}

static void slot_remove(coir__timer *t)
{
    *t->pprev = t->next;
    if (t->next)
        t->next->pprev = t->pprev;
    t->pprev = NULL;
}

/* Disarming leaves bits of slots that it emptied. While there are timers they are met in their turn; in an empty wheel, whose
 * time jumps, they would seem to lie a turn ahead and hide the timers of higher levels. */
static void wheel_emptied(coir__wheel *wh)
{
    for (unsigned i = 0; i < COIR__WHEEL_LEVELS; i++)
        wh->occupied[i] = 0;
    atomic_store_explicit(&wh->next, COIR_FOREVER, memory_order_relaxed);
}

void coir__wheel_arm_locked(coir__wheel *wh, coir__timer *t)
{
    slot_add(wh, t);
    wh->count++;
    atomic_store_explicit(&t->state, COIR__TIMER_ARMED, memory_order_relaxed);
}

bool coir__wheel_disarm_locked(coir__wheel *wh, coir__timer *t)
{
    if (atomic_load_explicit(&t->state, memory_order_relaxed) != COIR__TIMER_ARMED)
        return false;
    slot_remove(t);
    wh->count--;
    atomic_store_explicit(&t->state, COIR__TIMER_IDLE, memory_order_relaxed);
    if (wh->count == 0)
        wheel_emptied(wh);
    return true;
}

/* What one look found: tasks to run, and scopes or runtimes to cancel, once the lock is free. */
struct due {
    coir__task *first; /* chained by wait.node.data, in the order of their slots */
    coir__task *last;
    coir__task
        *slot_first; /* of the slot at hand; put in front, because a slot has its latest first */
    coir__task *slot_last;
    coir__timer *scopes;
    unsigned count;
};

/* A due timer that wakes a task: claims it. */
static void fire_task(struct due *d, coir__timer *t)
{
    coir__task *task = t->kind == COIR__TIMER_SLEEP ? coir__container(t, coir__task, wait.timer)
                                                    : ((coir__timer_node *)(void *)t)->task;
    int32_t result = t->kind == COIR__TIMER_SLEEP ? 0 : t->result;
    atomic_store_explicit(&t->state, COIR__TIMER_IDLE, memory_order_relaxed);
    uint32_t was = coir__claim(task);
    if (was == COIR__PARK_ACTIVE)
        return;
    task->ctx.result = result;
    if (was == COIR__PARK_SELECTING) {
        atomic_store_explicit(&task->park, COIR__PARK_ACTIVE, memory_order_release);
        return;
    }
    /* The wait is over: its node is free to chain the task. */
    task->wait.node.data = d->slot_first;
    d->slot_first = task;
    if (!d->slot_last)
        d->slot_last = task;
}

/* A slot is through: its tasks go behind those of earlier slots. */
static void due_splice(struct due *d)
{
    if (!d->slot_first)
        return;
    if (d->last)
        d->last->wait.node.data = d->slot_first;
    else
        d->first = d->slot_first;
    d->last = d->slot_last;
    d->slot_first = NULL;
    d->slot_last = NULL;
}

static void fire(coir__wheel *wh, struct due *d, coir__timer *t)
{
    slot_remove(t);
    wh->count--;
    d->count++;
    if (t->kind < COIR__TIMER_SCOPE) {
        fire_task(d, t);
        return;
    }
    atomic_store_explicit(&t->state, COIR__TIMER_FIRING, memory_order_relaxed);
    t->next = d->scopes;
    d->scopes = t;
}

/* Empties one slot, whose time has come: what is due then fires, the rest moves down, even if it is overdue by now: so
 * that timers fire in the order of their times. */
static void turn(coir__wheel *wh, struct due *d, unsigned level, unsigned slot)
{
    coir__timer *t = wh->slots[level][slot];
    wh->slots[level][slot] = NULL;
    wh->occupied[level] &= ~((uint64_t)1 << slot);
    coir__timer *held = NULL;
    while (t) {
        coir__timer *next = t->next;
        if (next)
            next->pprev = NULL;
        t->next = NULL;
        if (tick_of(t->when) <= wh->elapsed) {
            coir__timer *self = t;
            t->pprev = &self;
            fire(wh, d, t);
        } else {
            t->next = held;
            held = t;
        }
        t = next;
    }
    while (held) {
        coir__timer *next = held->next;
        slot_add(wh, held);
        held = next;
    }
}

unsigned coir__wheel_expire(coir__wheel *wh, coir__worker *w, int64_t now)
{
    struct due d = {0};
    uint64_t now_tick = (uint64_t)(now > 0 ? now : 0) >> COIR__WHEEL_SHIFT;
    coir__lock_take(&wh->lock);
    unsigned level, slot;
    uint64_t start;
    while (wh->count > 0 && (start = wheel_next(wh, &level, &slot)) <= now_tick) {
        if (start > wh->elapsed)
            wh->elapsed = start;
        turn(wh, &d, level, slot);
        due_splice(&d);
    }
    if (now_tick > wh->elapsed)
        wh->elapsed = now_tick;
    if (wh->count == 0)
        wheel_emptied(wh);
    else
        publish_next(wh);
    coir__lock_drop(&wh->lock);
    while (d.scopes) {
        coir__timer *t = d.scopes;
        d.scopes = t->next;
        if (t->kind == COIR__TIMER_SCOPE)
            coir__scope_timer_fired(w, t);
        else
            coir__shutdown_timer_fired(w, t);
    }
    while (d.first) {
        coir__task *t = d.first;
        d.first = t->wait.node.data;
        coir__runnable(w, t);
    }
    return d.count;
}
