/* SPDX-License-Identifier: MIT */
/*
 * select.c - the floor of benches/select.c: contexts that leave items in slots, a word that says
 * which slots are full, and a context that takes the lowest until none is.
 *
 * Each sender leaves one item and switches to the next; the last one to the receiver.
 */

#include "../measure.h"

#include "turns.h"

enum { CHANNELS_MAX = 63 };

typedef struct work {
    uint64_t channels, each, sum;
    uint64_t slots[CHANNELS_MAX];
    uint64_t full; /* a bit for each slot */
} work;

static void send_share(floor_context *self, work *w, uint64_t channel)
{
    for (uint64_t i = 0; i < w->each; i++) {
        w->slots[channel] = i + 1;
        w->full |= UINT64_C(1) << channel;
        floor_give_way(self);
    }
}

static void receive(floor_context *self, work *w)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w->each * w->channels; i++) {
        while (w->full == 0)
            floor_give_way(self);
        sum += w->slots[__builtin_ctzll(w->full)];
        w->full &= w->full - 1;
    }
    w->sum += sum;
}

static void play(floor_context *self, void *arg, uint64_t number)
{
    work *w = arg;
    if (number < w->channels)
        send_share(self, w, number);
    else
        receive(self, w);
}

int main(int argc, char **argv)
{
    work w = {.channels = 2};
    uint64_t items = 100000, repeats = 10;
    bench_option options[] = {
        {.letter = 'c', .help = "slots, and senders", .number = &w.channels, .min = 1, .max = CHANNELS_MAX},
        {.letter = 'n', .help = "items in all", .number = &items, .min = CHANNELS_MAX, .max = 1000000000},
        {.letter = 'r', .help = "repetitions", .number = &repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "the full ones of several slots, by hand", options, 3);
    w.each = items / w.channels;
    turns all = turns_new(w.channels + 1);
    double *samples = calloc(repeats, sizeof *samples);
    if (!samples)
        return 1;
    for (uint64_t i = 0; i < repeats; i++) {
        int64_t start = bench_now();
        turns_run(&all, w.channels + 1, play, &w);
        samples[i] = (double)(bench_now() - start) / (double)(w.each * w.channels);
    }
    if (w.sum != repeats * w.channels * (w.each * (w.each + 1) / 2)) {
        fprintf(stderr, "select: the items add up to %" PRIu64 "\n", w.sum);
        return 1;
    }
    char scenario[64];
    snprintf(scenario, sizeof scenario, "select, %" PRIu64 " channels", w.channels);
    bench_result_median(scenario, "floor", 1, "ns per item", samples, repeats, w.sum);
    return 0;
}
