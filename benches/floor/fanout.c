/* SPDX-License-Identifier: MIT */
/*
 * fanout.c - the floor of benches/fanout.c: a context that puts items into a ring, or into slots,
 * and contexts that take them.
 *
 * With a buffer: the sender fills the ring and switches to the next receiver, which empties it and
 * switches back. As a rendezvous: the sender leaves an item in the slot of each receiver, then the
 * receivers have their turns, each switching to the next, and the last one to the sender.
 */

#include "../work.h"
#include "switch.h"

typedef struct work {
    uint64_t receivers, items, capacity, repeats, steps;
    floor_context *contexts; /* the receivers, then the sender */
    floor_context home;
    char *stacks;
    uint64_t *ring; /* or the slots */
    uint64_t head, tail, mask;
    uint64_t *cells;
    bool closed;
} work;

static void send_buffered(floor_context *self)
{
    work *w = self->arg;
    uint64_t next = 0;
    for (uint64_t i = 0; i < w->items; i++) {
        w->ring[w->tail++ & w->mask] = i + 1;
        if (w->tail - w->head == w->capacity) {
            floor_switch(self, &w->contexts[next]);
            next = next + 1 == w->receivers ? 0 : next + 1;
        }
    }
    w->closed = true;
    floor_leave(self, &w->contexts[0]);
}

static void receive_buffered(floor_context *self)
{
    work *w = self->arg;
    uint64_t number = (uint64_t)(self - w->contexts), sum = 0;
    for (;;) {
        while (w->head != w->tail)
            sum += bench_hash(w->ring[w->head++ & w->mask], w->steps);
        if (w->closed)
            break;
        floor_switch(self, &w->contexts[w->receivers]);
    }
    w->cells[number] += sum;
    floor_leave(self, number + 1 == w->receivers ? &w->home : self->next);
}

static void send_slots(floor_context *self)
{
    work *w = self->arg;
    for (uint64_t i = 0; i < w->items;) {
        for (uint64_t r = 0; r < w->receivers; r++) {
            w->ring[r] = i < w->items ? i + 1 : 0;
            i++;
        }
        floor_give_way(self);
    }
    w->closed = true;
    floor_leave(self, &w->contexts[0]);
}

static void receive_slot(floor_context *self)
{
    work *w = self->arg;
    uint64_t number = (uint64_t)(self - w->contexts), sum = 0;
    while (!w->closed) {
        sum += bench_hash(w->ring[number], w->steps);
        floor_give_way(self);
    }
    w->cells[number] += sum;
    floor_leave(self, number + 1 == w->receivers ? &w->home : self->next);
}

static void transfer(work *w)
{
    uint64_t n = w->receivers;
    for (uint64_t i = 0; i <= n; i++) {
        void (*fn)(floor_context *) = w->capacity ? receive_buffered : receive_slot;
        if (i == n)
            fn = w->capacity ? send_buffered : send_slots;
        floor_make(&w->contexts[i], w->stacks, i, fn, w);
        w->contexts[i].next = &w->contexts[i == n ? 0 : i + 1];
    }
    w->head = w->tail = 0;
    w->closed = false;
    floor_switch(&w->home, &w->contexts[n]);
}

int main(int argc, char **argv)
{
    work w = {.receivers = 1000, .items = 100000, .repeats = 36};
    bench_option options[] = {
        {.letter = 't', .help = "receivers", .number = &w.receivers, .min = 1, .max = 100000},
        {.letter = 'n', .help = "items in all", .number = &w.items, .min = 1, .max = 1000000000},
        {.letter = 'b', .help = "capacity of the ring", .number = &w.capacity, .max = 65536},
        {.letter = 'x', .help = "steps of work per item", .number = &w.steps, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "one sender, many receivers, by hand", options, sizeof options / sizeof *options);
    w.mask = 1;
    while (w.mask < w.capacity)
        w.mask *= 2;
    w.mask--;
    uint64_t room = w.receivers > w.mask ? w.receivers : w.mask + 1;
    w.contexts = calloc(w.receivers + 1, sizeof *w.contexts);
    w.ring = calloc(room, sizeof *w.ring);
    w.cells = calloc(w.receivers, sizeof *w.cells);
    w.stacks = floor_stacks(w.receivers + 1);
    double *samples = calloc(w.repeats, sizeof *samples);
    if (!w.contexts || !w.ring || !w.cells || !samples)
        return 1;
    for (uint64_t i = 0; i < w.repeats; i++) {
        int64_t start = bench_now();
        transfer(&w);
        samples[i] = (double)(bench_now() - start) / (double)w.items;
    }
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w.receivers; i++)
        sum += w.cells[i];
    return bench_result_items("fanout", "floor", 1, w.items, w.capacity, w.steps, samples, w.repeats, sum) ? 0 : 1;
}
