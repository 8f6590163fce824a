/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FLOOR_TURNS_H
#define BENCH_FLOOR_TURNS_H

/*
 * turns.h - contexts in a ring that all run a function to its end.
 *
 * Each gives way with floor_give_way(); who ends leaves the ring. A lock is a word, taken by an
 * atomic exchange; who finds it taken gives way and tries again.
 */

#include "switch.h"

#include <stdatomic.h>

typedef struct turns {
    floor_context *all;
    char *stacks;
    uint64_t n;
    floor_context home;
    void (*fn)(floor_context *self, void *arg, uint64_t number);
    void *arg;
} turns;

static inline void turns_one(floor_context *self)
{
    turns *t = self->arg;
    t->fn(self, t->arg, (uint64_t)(self - t->all));
    floor_context *before = self;
    while (before->next != self)
        before = before->next;
    before->next = self->next;
    floor_leave(self, before == self ? &t->home : self->next);
}

static inline turns turns_new(uint64_t n)
{
    turns t = {.all = calloc(n, sizeof(floor_context)), .stacks = floor_stacks(n), .n = n};
    if (!t.all)
        exit(1);
    return t;
}

/* Runs `fn` in `n` contexts, at most as many as it was made for; returns when all have ended. */
static inline void turns_run(turns *t, uint64_t n, void (*fn)(floor_context *, void *, uint64_t), void *arg)
{
    t->fn = fn;
    t->arg = arg;
    for (uint64_t i = 0; i < n; i++) {
        floor_make(&t->all[i], t->stacks, i, turns_one, t);
        t->all[i].next = &t->all[(i + 1) % n];
    }
    floor_switch(&t->home, &t->all[0]);
}

typedef _Atomic unsigned turns_lock;

static inline void turns_take(turns_lock *lock, floor_context *self)
{
    while (atomic_exchange_explicit(lock, 1, memory_order_acquire))
        floor_give_way(self);
}

static inline void turns_drop(turns_lock *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

#endif
