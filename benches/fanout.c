/* SPDX-License-Identifier: MIT */
/*
 * fanout.c - one task sends 100,000 items to 1,000, over one channel.
 *
 *                            /---> receiver 1
 *   sender --- channel ----+----> receiver 2
 *                            \---> ...
 *
 * Whoever comes first gets the next item. The sender closes the channel when it has sent all; each
 * receiver ends when it finds the channel closed and drained. One repetition is all of that, from
 * before the first spawn until everybody has ended; the figure is the median of the repetitions,
 * so that of warm stacks. The channel is a rendezvous unless -b gives it a buffer. Each receiver
 * adds its items up in a cell of its own. With -x it works for each: it adds what so many steps of
 * bench_hash() make of it.
 */

#include "measure.h"
#include "work.h"

#include <coir.h>

COIR_CHAN_TYPE(item_chan, uint64_t)

typedef struct work {
    uint64_t receivers, items, capacity, repeats, workers, steps;
    item_chan *channel; /* of this repetition */
    uint64_t *cells;    /* what each receiver has got in all */
    double *samples;    /* ns per item */
} work;

typedef struct receiver {
    item_chan *from;
    uint64_t *cell;
    uint64_t steps; /* of work for each item */
} receiver;

static int receive(void *arg)
{
    receiver *r = arg;
    uint64_t sum = 0, item;
    int rc;
    while ((rc = item_chan_recv(r->from, &item)) == 0)
        sum += bench_hash(item, r->steps);
    *r->cell += sum;
    return rc == -EPIPE ? 0 : rc;
}

static int send_all(void *arg)
{
    work *w = arg;
    int rc = 0;
    for (uint64_t i = 0; i < w->items && rc == 0; i++)
        rc = item_chan_send(w->channel, i + 1);
    item_chan_close(w->channel);
    return rc;
}

static int transfer(work *w)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->receivers && rc == 0; i++) {
        receiver r = {w->channel, &w->cells[i], w->steps};
        rc = coir_spawn_copy(&g, receive, &r, sizeof r);
    }
    if (rc == 0)
        rc = coir_spawn(&g, send_all, w);
    if (rc < 0)
        coir_group_cancel(&g, "could not spawn everybody");
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    work *w = arg;
    int rc = 0;
    for (uint64_t i = 0; i < w->repeats && rc == 0; i++) {
        w->channel = item_chan_new(w->capacity);
        if (!w->channel)
            return -ENOMEM;
        int64_t start = coir_now();
        rc = transfer(w);
        w->samples[i] = (double)(coir_now() - start) / (double)w->items;
        item_chan_free(w->channel);
    }
    return rc;
}

static int report(const work *w)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w->receivers; i++)
        sum += w->cells[i];
    return bench_result_items("fanout", "coir", w->workers, w->items, w->capacity, w->steps,
                              w->samples, w->repeats, sum)
               ? 0
               : -EPROTO;
}

int main(int argc, char **argv)
{
    work w = {.receivers = 1000, .items = 100000, .repeats = 36, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 't',
         .help = "receiving tasks",
         .number = &w.receivers,
         .min = 1,
         .max = 1000000},
        {.letter = 'n', .help = "items in all", .number = &w.items, .min = 1, .max = 1000000000},
        {.letter = 'b', .help = "capacity of the channel", .number = &w.capacity, .max = 1000000},
        {.letter = 'x', .help = "steps of work per item", .number = &w.steps, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "one sender, many receivers", options,
                sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.cells = calloc(w.receivers, sizeof *w.cells);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.cells && w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc == 0)
        rc = report(&w);
    else
        fprintf(stderr, "fanout: %s\n", coir_strerror(rc));
    free(w.cells);
    free(w.samples);
    return rc < 0;
}
