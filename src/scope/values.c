/* SPDX-License-Identifier: MIT */
/*
 * values.c - task-locals: what a task and the groups that it opens know by a key.
 *
 *   opener:        values -> [k2 9] -> [k1 1] ------.
 *   group:         values ------'  (as they were)    \
 *   task in it:    values -> [k1 7] -> [k2 9], [k1 1] -> what the opener has inherited
 *                            its own   inherited
 *
 * One list per task, read from its head: its own nodes, then those of its group's opener as they were when the group was opened,
 * and so on. A task that has set nothing has no list; it looks in its group. So a spawn costs nothing, and neither name nor
 * number of the keys is known to anybody.
 *
 * I1  A task's own nodes are made, changed and freed by itself only.
 * I2  What an open group can see, `values` of the group and all behind it, does not change and stays. In front of what the
 *     innermost open group of a task sees, its nodes are private: there each key occurs once, and is set in place.
 * I3  When a group ends, nobody is in it any more, and the private stretch grows by what it saw: again each key once. So the
 *     list is no longer than keys times open groups, however often the task sets.
 *
 * Cost: a get walks the list, a set allocates 24 bytes unless it finds the key in the private stretch; coir_group_begin() two loads,
 * coir_group_end() and the end of a task one. A hash was not even tried: programs have a handful of keys.
 */
#include "base/alloc.h"
#include "scope/scope.h"

struct coir__value {
    coir__value *next;
    const coir_local *key;
    void *value;
};

/* Where the private stretch of a task's list ends. */
static const coir__value *shared_by_groups(const coir__task *self)
{
    for (coir__scope *s = self->scope; s != &self->root; s = s->parent)
        if (s->kind == COIR__SCOPE_GROUP)
            return coir__group_of_scope(s)->values;
    return coir__values_inherited(self);
}

/* The node of `key` from `v` on, but not from `end` on. */
static coir__value *find(coir__value *v, const coir__value *end, const coir_local *key)
{
    while (v != end && v->key != key)
        v = v->next;
    return v != end ? v : NULL;
}

/* Takes out the node of `key` between *at and `end`. */
static void drop_next(coir__value **at, const coir__value *end, const coir_local *key)
{
    while (*at != end && (*at)->key != key)
        at = &(*at)->next;
    coir__value *v = *at;
    if (v == end)
        return;
    *at = v->next;
    coir__release(v);
}

void coir__values_settle(coir__task *self, const coir__value *shared)
{
    if (self->values == shared)
        return; /* nothing was set while the group was open */
    const coir__value *end = shared_by_groups(self);
    for (coir__value *v = self->values; v != end; v = v->next)
        drop_next(&v->next, end, v->key); /* one at most: each stretch had it once */
}

void coir__values_free(coir__task *t)
{
    const coir__value *end = coir__values_inherited(t);
    while (t->values && t->values != end) {
        coir__value *v = t->values;
        t->values = v->next;
        coir__release(v);
    }
    t->values = NULL;
}

int coir_local_set(coir_local *key, void *value)
{
    if (!key)
        return -EINVAL;
    coir__task *self = coir__worker_here()->current;
    coir__value *all = coir__values_of(self);
    const coir__value *end = shared_by_groups(self);
    coir__value *v = find(all, end, key);
    if (!value && !find(v ? v->next : all, NULL, key)) { /* nothing to hide */
        if (v)
            drop_next(&self->values, end, key);
        return 0;
    }
    if (!v) {
        v = coir__alloc(sizeof *v);
        if (!v)
            return -ENOMEM;
        v->next = all;
        v->key = key;
        self->values = v;
    }
    v->value = value;
    return 0;
}

void *coir_local_get(const coir_local *key)
{
    const coir__worker *w = coir__worker_or_null();
    const coir__value *v = w ? find(coir__values_of(w->current), NULL, key) : NULL;
    return v ? v->value : NULL;
}
