/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - the floor of benches/mutex.c: a word that is exchanged.
 *
 * "held over a yield": the holder gives way to each of the others, who find the word taken and give
 * way in turn; so a section is four switches. A queue of waiters could do it with one, and with the
 * work of a queue.
 */

#include "../measure.h"

#include "turns.h"

typedef struct work {
    uint64_t tasks, sections, repeats;
    uint64_t now;
    turns_lock lock;
    volatile uint64_t counter;
    double *samples;
} work;

static void count(floor_context *self, void *arg, uint64_t number)
{
    (void)number;
    work *w = arg;
    for (uint64_t i = 0; i < w->now; i++) {
        turns_take(&w->lock, self);
        w->counter++;
        turns_drop(&w->lock);
    }
}

static void count_and_yield(floor_context *self, void *arg, uint64_t number)
{
    (void)number;
    work *w = arg;
    for (uint64_t i = 0; i < w->now; i++) {
        turns_take(&w->lock, self);
        uint64_t before = w->counter;
        floor_give_way(self);
        w->counter = before + 1;
        turns_drop(&w->lock);
    }
}

static int measure(work *w, turns *t, void (*fn)(floor_context *, void *, uint64_t), const char *scenario,
                   uint64_t sections)
{
    w->now = sections;
    w->counter = 0;
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = bench_now();
        turns_run(t, w->tasks, fn, w);
        w->samples[i] = (double)(bench_now() - start) / (double)(w->tasks * sections);
    }
    bench_result_median(scenario, "floor", 1, "ns per section", w->samples, w->repeats, w->counter);
    return w->counter == w->repeats * w->tasks * sections ? 0 : 1;
}

int main(int argc, char **argv)
{
    work w = {.tasks = 4, .sections = 100000, .repeats = 30};
    bench_option options[] = {
        {.letter = 't', .help = "contexts", .number = &w.tasks, .min = 1, .max = 100000},
        {.letter = 'n', .help = "sections of each", .number = &w.sections, .min = 10, .max = 1000000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "contexts that share a word", options, 3);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    turns t = turns_new(w.tasks);
    if (!w.samples)
        return 1;
    return measure(&w, &t, count, "mutex", w.sections) |
           measure(&w, &t, count_and_yield, "mutex, held over a yield", (w.sections + 9) / 10);
}
