/* SPDX-License-Identifier: MIT */
/* self.c - a task about itself: handle, name, pin. */
#include "base/alloc.h"
#include "sched/upcall.h"

coir_task coir_self(void)
{
    coir__worker *w = coir__worker_or_null();
    return w && w->rt ? coir__task_handle(w->current) : (coir_task){0};
}

uint64_t coir_task_id(coir_task t) { return t.id; }

int coir_set_name(const char *name)
{
    coir__task *self = coir__worker_here()->current;
    char *copy = name ? coir__alloc_text(name) : NULL;
    if (name && !copy)
        return -ENOMEM;
    coir__lock_take(&self->scope_lock);
    char *old = self->name;
    self->name = copy;
    coir__lock_drop(&self->scope_lock);
    coir__release(old);
    return 0;
}

int coir_pin(void)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (w->rt == 0)
        return 0;
    if (self->root.pins == UINT16_MAX)
        return -EOVERFLOW;
    if (self->root.pins++ == 0 &&
        !(atomic_load_explicit(&self->flags, memory_order_relaxed) & COIR__TASK_BOUND)) {
        self->root.worker = w->index;
        atomic_fetch_or_explicit(&self->flags, COIR__TASK_PINNED, memory_order_relaxed);
    }
    return 0;
}

int coir_unpin(void)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (w->rt == 0)
        return 0;
    if (self->root.pins == 0)
        return -EINVAL;
    if (--self->root.pins == 0 &&
        !(atomic_load_explicit(&self->flags, memory_order_relaxed) & COIR__TASK_BOUND))
        atomic_fetch_and_explicit(&self->flags, (uint16_t)~COIR__TASK_PINNED, memory_order_relaxed);
    return 0;
}
