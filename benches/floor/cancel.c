/* SPDX-License-Identifier: MIT */
/*
 * cancel.c - the floor of benches/cancel.c: contexts in a list of those that wait. Each is told the
 * error, and then each has its turn, sees it, and ends by a switch to the next.
 */

#include "../measure.h"

#include "switch.h"

#include <errno.h>

typedef struct waiter {
    floor_context context;
    int result;
    struct waiter *next;
} waiter;

static struct {
    uint64_t tasks, repeats, cancelled;
    floor_context home;
    char *stacks;
    waiter *waiters, *first; /* first: of the list */
} w = {.tasks = 10000, .repeats = 20};

static void wait_inside(floor_context *self)
{
    waiter *me = self->arg;
    me->next = w.first;
    w.first = me;
    floor_switch(self, &w.home);
    w.cancelled += me->result == -ECANCELED;
    floor_leave(self, me->next ? &me->next->context : &w.home);
}

static double repetition(void)
{
    w.first = NULL;
    for (uint64_t i = 0; i < w.tasks; i++) {
        waiter *one = &w.waiters[i];
        one->result = 0;
        floor_make(&one->context, w.stacks, i, wait_inside, one);
        floor_switch(&w.home, &one->context);
    }
    int64_t start = bench_now();
    for (waiter *one = w.first; one; one = one->next)
        one->result = -ECANCELED;
    floor_switch(&w.home, &w.first->context);
    return (double)(bench_now() - start) / (double)w.tasks;
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'n', .help = "contexts", .number = &w.tasks, .min = 1, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "cancelling contexts that wait, by hand", options, 2);
    w.waiters = calloc(w.tasks, sizeof *w.waiters);
    w.stacks = floor_stacks(w.tasks);
    double *samples = calloc(w.repeats, sizeof *samples);
    if (!w.waiters || !samples)
        return 1;
    for (uint64_t i = 0; i < w.repeats; i++)
        samples[i] = repetition();
    bench_result_median("cancel", "floor", 1, "ns per task", samples, w.repeats, w.cancelled);
    return w.cancelled == w.tasks * w.repeats ? 0 : 1;
}
