/* SPDX-License-Identifier: MIT */
/*
 * task_chain.c - the floor of benches/task_chain.c.
 *
 *   spawn and wait   each context makes the next and switches there, and is switched back to at its
 *                    end. All have stacks of their own, because all are there at once.
 *   channels         each context is made, and then each in its turn adds one to what is in the slot
 *                    at its left, leaves it at its right, and ends by a switch to the next.
 */

#include "../measure.h"

#include "switch.h"

typedef struct work {
    uint64_t tasks, repeats;
    floor_context home, *contexts;
    char *stacks;
    uint64_t *slots; /* tasks + 1 of them */
    double *samples;
} work;

typedef struct link {
    floor_context context, *before;
    work *w;
    uint64_t after; /* how many come after this one */
    uint64_t count; /* its result: it and those */
} link;

static void spawn_next(floor_context *self);

static uint64_t run(work *w, floor_context *before, uint64_t after)
{
    link l = {.before = before, .w = w, .after = after};
    floor_make(&l.context, w->stacks, after, spawn_next, &l);
    floor_switch(before, &l.context);
    return l.count;
}

static void spawn_next(floor_context *self)
{
    link *l = self->arg;
    l->count = 1;
    if (l->after > 0)
        l->count += run(l->w, self, l->after - 1);
    floor_leave(self, l->before);
}

static uint64_t chain_by_spawn(work *w)
{
    return run(w, &w->home, w->tasks - 1);
}

static void pass_on(floor_context *self)
{
    work *w = self->arg;
    uint64_t number = (uint64_t)(self - w->contexts);
    w->slots[number + 1] = w->slots[number] + 1;
    floor_leave(self, self->next);
}

static uint64_t chain_by_slots(work *w)
{
    for (uint64_t i = 0; i < w->tasks; i++) {
        floor_make(&w->contexts[i], w->stacks, i, pass_on, w);
        w->contexts[i].next = i + 1 == w->tasks ? &w->home : &w->contexts[i + 1];
    }
    w->slots[0] = 0;
    floor_switch(&w->home, &w->contexts[0]);
    return w->slots[w->tasks];
}

static bool measure(work *w, uint64_t form(work *), const char *scenario)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = bench_now();
        sum += form(w);
        w->samples[i] = (double)(bench_now() - start) / (double)w->tasks;
    }
    bench_result_median(scenario, "floor", 1, "ns per task", w->samples, w->repeats, sum);
    return sum == w->tasks * w->repeats;
}

int main(int argc, char **argv)
{
    work w = {.tasks = 10000, .repeats = 30};
    bench_option options[] = {
        {.letter = 'n', .help = "contexts", .number = &w.tasks, .min = 1, .max = 100000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "contexts in a row, by hand", options, 2);
    w.contexts = calloc(w.tasks, sizeof *w.contexts);
    w.slots = calloc(w.tasks + 1, sizeof *w.slots);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    w.stacks = floor_stacks(w.tasks);
    if (!w.contexts || !w.slots || !w.samples)
        return 1;
    return measure(&w, chain_by_spawn, "task chain, spawn and wait") &&
                   measure(&w, chain_by_slots, "task chain, channels")
               ? 0
               : 1;
}
