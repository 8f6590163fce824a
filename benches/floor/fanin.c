/* SPDX-License-Identifier: MIT */
/*
 * fanin.c - the floor of benches/fanin.c: contexts that put items into a ring, or into a slot of
 * their own, and switch.
 *
 * With a buffer: a sender puts items into the ring until it is full and then switches to the
 * receiver, which empties it and switches back. As a rendezvous: each sender leaves one item in its
 * slot and switches to the next sender; the last one switches to the receiver, which takes them all.
 */

#include "../work.h"
#include "switch.h"

typedef struct work {
    uint64_t senders, items, capacity, repeats, steps;
    floor_context *contexts; /* the senders, then the receiver */
    floor_context home;
    char *stacks;
    uint64_t *ring; /* or the slots */
    uint64_t head, tail, mask;
    uint64_t running, sum;
    floor_context *sender; /* who waits for room */
} work;

static void leave(floor_context *self, work *w, floor_context *to)
{
    floor_leave(self, --w->running ? to : &w->home);
}

static void send_buffered(floor_context *self)
{
    work *w = self->arg;
    uint64_t number = (uint64_t)(self - w->contexts);
    uint64_t begin = number * w->items / w->senders, end = (number + 1) * w->items / w->senders;
    for (uint64_t i = begin; i < end; i++) {
        while (w->tail - w->head == w->capacity) {
            w->sender = self;
            floor_switch(self, &w->contexts[w->senders]);
        }
        w->ring[w->tail++ & w->mask] = bench_hash(i + 1, w->steps);
    }
    leave(self, w, self + 1); /* after the last sender the receiver */
}

static void receive_buffered(floor_context *self)
{
    work *w = self->arg;
    uint64_t sum = 0;
    for (;;) {
        while (w->head != w->tail)
            sum += w->ring[w->head++ & w->mask];
        if (w->running == 1)
            break;
        floor_switch(self, w->sender);
    }
    w->sum += sum;
    leave(self, w, self);
}

static void send_slot(floor_context *self)
{
    work *w = self->arg;
    uint64_t number = (uint64_t)(self - w->contexts);
    uint64_t begin = number * w->items / w->senders, end = (number + 1) * w->items / w->senders;
    for (uint64_t i = begin; i < end; i++) {
        w->ring[number] = bench_hash(i + 1, w->steps);
        floor_give_way(self);
    }
    w->ring[number] = 0;
    floor_context *before = self - 1; /* who is before it in the ring; itself is not there any more */
    while (before >= w->contexts && !before->fn)
        before--;
    if (before < w->contexts)
        before = &w->contexts[w->senders];
    before->next = self->next;
    self->fn = NULL;
    leave(self, w, self->next);
}

static void receive_slots(floor_context *self)
{
    work *w = self->arg;
    uint64_t sum = 0;
    while (w->running > 1) {
        floor_give_way(self); /* first: all senders have their turn */
        for (uint64_t i = 0; i < w->senders; i++) {
            sum += w->ring[i];
            w->ring[i] = 0;
        }
    }
    w->sum += sum;
    leave(self, w, self);
}

static void transfer(work *w)
{
    uint64_t n = w->senders;
    for (uint64_t i = 0; i <= n; i++) {
        void (*fn)(floor_context *) = w->capacity ? send_buffered : send_slot;
        if (i == n)
            fn = w->capacity ? receive_buffered : receive_slots;
        floor_make(&w->contexts[i], w->stacks, i, fn, w);
        w->contexts[i].next = &w->contexts[i == n ? 0 : i + 1];
    }
    w->head = w->tail = 0;
    w->running = n + 1;
    floor_switch(&w->home, &w->contexts[w->capacity ? 0 : n]);
}

int main(int argc, char **argv)
{
    work w = {.senders = 1000, .items = 100000, .repeats = 36};
    bench_option options[] = {
        {.letter = 't', .help = "senders", .number = &w.senders, .min = 1, .max = 100000},
        {.letter = 'n', .help = "items in all", .number = &w.items, .min = 1, .max = 1000000000},
        {.letter = 'b', .help = "capacity of the ring", .number = &w.capacity, .max = 65536},
        {.letter = 'x', .help = "steps of work per item", .number = &w.steps, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "many senders, one receiver, by hand", options, sizeof options / sizeof *options);
    w.mask = 1;
    while (w.mask < w.capacity)
        w.mask *= 2;
    w.mask--;
    uint64_t room = w.senders > w.mask ? w.senders : w.mask + 1;
    w.contexts = calloc(w.senders + 1, sizeof *w.contexts);
    w.ring = calloc(room, sizeof *w.ring);
    w.stacks = floor_stacks(w.senders + 1);
    double *samples = calloc(w.repeats, sizeof *samples);
    if (!w.contexts || !w.ring || !samples)
        return 1;
    for (uint64_t i = 0; i < w.repeats; i++) {
        int64_t start = bench_now();
        transfer(&w);
        samples[i] = (double)(bench_now() - start) / (double)w.items;
    }
    return bench_result_items("fanin", "floor", 1, w.items, w.capacity, w.steps, samples, w.repeats, w.sum) ? 0 : 1;
}
