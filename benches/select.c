/* SPDX-License-Identifier: MIT */
/*
 * select.c - one task that receives from several channels by select.
 *
 *   sender 1 --- channel 1 ---\
 *   sender 2 --- channel 2 ----+--- select ---> receiver
 *   ...                       /
 *
 * Each sender sends its share of the items, one after the other. The channels are rendezvous
 * channels unless -b gives them a buffer: then mostly several are ready, and the select hardly ever
 * waits. One repetition is all of that, from before the first spawn until everybody has ended; the
 * figure is the median of the repetitions. The receiver adds the items up.
 */

#include "measure.h"

#include <coir.h>

COIR_CHAN_TYPE(item_chan, uint64_t)

enum { CHANNELS_MAX = 64 };

typedef struct work {
    uint64_t channel_count, items, capacity, repeats, workers;
    uint64_t each; /* items of each channel */
    item_chan *channels[CHANNELS_MAX];
    uint64_t sum;    /* of the items received in all; the receiver's while there is one */
    double *samples; /* ns per item */
} work;

typedef struct share {
    item_chan *to;
    uint64_t items;
} share;

static int send_share(void *arg)
{
    share *s = arg;
    int rc = 0;
    for (uint64_t i = 0; i < s->items && rc == 0; i++)
        rc = item_chan_send(s->to, i + 1);
    return rc;
}

static int receive(void *arg)
{
    work *w = arg;
    coir_case cases[CHANNELS_MAX];
    uint64_t values[CHANNELS_MAX], sum = 0;
    for (uint64_t c = 0; c < w->channel_count; c++)
        cases[c] = COIR_RECV(item_chan_chan(w->channels[c]), &values[c]);
    for (uint64_t i = 0; i < w->each * w->channel_count; i++) {
        int which = coir_select(cases, w->channel_count);
        if (which < 0)
            return which;
        if (cases[which].result < 0)
            return cases[which].result;
        sum += values[which];
    }
    w->sum += sum;
    return 0;
}

static int transfer(work *w)
{
    coir_group g;
    coir_group_begin(&g, 0);
    int rc = coir_spawn(&g, receive, w);
    for (uint64_t c = 0; c < w->channel_count && rc == 0; c++) {
        share s = {w->channels[c], w->each};
        rc = coir_spawn_copy(&g, send_share, &s, sizeof s);
    }
    if (rc < 0)
        coir_group_cancel(&g, "could not spawn everybody");
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    work *w = arg;
    int rc = 0;
    for (uint64_t c = 0; c < w->channel_count; c++) {
        w->channels[c] = item_chan_new(w->capacity);
        if (!w->channels[c])
            rc = -ENOMEM;
    }
    for (uint64_t i = 0; i < w->repeats && rc == 0; i++) {
        int64_t start = coir_now();
        rc = transfer(w);
        w->samples[i] = (double)(coir_now() - start) / (double)(w->each * w->channel_count);
    }
    for (uint64_t c = 0; c < w->channel_count; c++)
        item_chan_free(w->channels[c]);
    return rc;
}

static int report(work *w)
{
    uint64_t wanted = w->repeats * w->channel_count * (w->each * (w->each + 1) / 2);
    if (w->sum != wanted) {
        fprintf(stderr, "select: the items add up to %" PRIu64 ", not %" PRIu64 "\n", w->sum,
                wanted);
        return -EPROTO;
    }
    char scenario[64], part[32];
    snprintf(scenario, sizeof scenario, "select, %" PRIu64 " channels", w->channel_count);
    if (w->capacity > 0) {
        snprintf(part, sizeof part, ", capacity %" PRIu64, w->capacity);
        strcat(scenario, part);
    }
    bench_result_median(scenario, "coir", w->workers, "ns per item", w->samples, w->repeats,
                        w->sum);
    return 0;
}

int main(int argc, char **argv)
{
    work w = {.channel_count = 2, .items = 100000, .repeats = 10, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'c',
         .help = "channels, and senders",
         .number = &w.channel_count,
         .min = 1,
         .max = CHANNELS_MAX},
        {.letter = 'n',
         .help = "items in all",
         .number = &w.items,
         .min = CHANNELS_MAX,
         .max = 1000000000},
        {.letter = 'b', .help = "capacity of the channels", .number = &w.capacity, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "a select over several channels", options,
                sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();
    w.each = w.items / w.channel_count;

    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc == 0)
        rc = report(&w);
    else
        fprintf(stderr, "select: %s\n", coir_strerror(rc));
    free(w.samples);
    return rc < 0;
}
