/* SPDX-License-Identifier: MIT */
/*
 * sleepers.c - the floor of benches/sleepers.c: contexts in a binary heap by the time when they are
 * due, and one clock_nanosleep() until the first is.
 *
 * The heap does not know that all sleep for the same time, so that who comes last is due last. The
 * stacks are there before the first round: there is no cold one.
 */

#include "../measure.h"

#include "switch.h"

typedef struct sleeper {
    int64_t due;
    floor_context *context;
} sleeper;

static struct {
    uint64_t tasks, milliseconds, repeats;
    int64_t sleep;
    floor_context home, *contexts;
    char *stacks;
    sleeper *heap; /* [1] is due first; [i] before [2 i] and [2 i + 1] */
    uint64_t count, rested;
} w = {.tasks = 10000, .milliseconds = 10, .repeats = 10};

static void heap_put(sleeper s)
{
    uint64_t i = ++w.count;
    for (; i > 1 && w.heap[i / 2].due > s.due; i /= 2)
        w.heap[i] = w.heap[i / 2];
    w.heap[i] = s;
}

/* Takes the first away. */
static void heap_take(void)
{
    sleeper last = w.heap[w.count--];
    uint64_t i = 1, child;
    for (; (child = 2 * i) <= w.count; i = child) {
        child += child < w.count && w.heap[child + 1].due < w.heap[child].due;
        if (w.heap[child].due >= last.due)
            break;
        w.heap[i] = w.heap[child];
    }
    w.heap[i] = last;
}

static void rest(floor_context *self)
{
    heap_put((sleeper){bench_now() + w.sleep, self});
    floor_switch(self, &w.home);
    w.rested++;
    floor_leave(self, &w.home);
}

static void together(void)
{
    for (uint64_t i = 0; i < w.tasks; i++) {
        floor_make(&w.contexts[i], w.stacks, i, rest, NULL);
        floor_switch(&w.home, &w.contexts[i]);
    }
    int64_t now = bench_now();
    while (w.count > 0) {
        sleeper first = w.heap[1];
        if (first.due > now) {
            struct timespec t = {first.due / 1000000000, first.due % 1000000000};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
            now = bench_now();
            continue;
        }
        heap_take();
        floor_switch(&w.home, first.context);
        if (w.count > 0 && w.heap[1].due > now)
            now = bench_now();
    }
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'n', .help = "contexts", .number = &w.tasks, .min = 1, .max = 1000000},
        {.letter = 'm', .help = "milliseconds", .number = &w.milliseconds, .min = 1, .max = 10000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "contexts that sleep, by hand", options, 3);
    w.sleep = (int64_t)w.milliseconds * 1000000;
    w.contexts = calloc(w.tasks, sizeof *w.contexts);
    w.heap = calloc(w.tasks + 1, sizeof *w.heap);
    w.stacks = floor_stacks(w.tasks);
    double *samples = calloc(w.repeats, sizeof *samples);
    if (!w.contexts || !w.heap || !samples)
        return 1;
    for (uint64_t i = 0; i < w.repeats; i++) {
        int64_t start = bench_now();
        together();
        samples[i] = (double)(bench_now() - start - w.sleep) / (double)w.tasks;
    }
    char scenario[64];
    snprintf(scenario, sizeof scenario, "sleepers, %" PRIu64, w.tasks);
    bench_result_median(scenario, "floor", 1, "ns per task", samples, w.repeats, w.rested);
    return w.rested == w.tasks * w.repeats ? 0 : 1;
}
