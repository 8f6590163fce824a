/* SPDX-License-Identifier: MIT */
/*
 * fanin.c - 1,000 tasks send 100,000 items to one, over one channel.
 *
 *   sender 1 ----\
 *   sender 2 -----+--- channel ---> receiver
 *   ...      ----/
 *
 * The items are divided evenly among the senders. When all senders have ended, the channel is
 * closed, and the receiver ends when it is drained. One repetition is all of that, from before the
 * first spawn until everybody has ended; the figure is the median of the repetitions, so that of
 * warm stacks. The channel is a rendezvous unless -b gives it a buffer. The receiver adds the items
 * up. With -x, a sender works for each item: it sends what so many steps of bench_hash() make of
 * it.
 */

#include "measure.h"
#include "work.h"

#include <coir.h>

COIR_CHAN_TYPE(item_chan, uint64_t)

typedef struct work {
    uint64_t senders, items, capacity, repeats, workers, steps;
    item_chan *channel; /* of this repetition */
    uint64_t sum;       /* of the items received in all; the receiver's while there is one */
    double *samples;    /* ns per item */
} work;

typedef struct share {
    item_chan *to;
    uint64_t begin, end; /* sends begin + 1 to end */
    uint64_t steps;      /* of work for each */
} share;

static int send_share(void *arg)
{
    share *s = arg;
    for (uint64_t i = s->begin; i < s->end; i++) {
        int rc = item_chan_send(s->to, bench_hash(i + 1, s->steps));
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int receive(void *arg)
{
    work *w = arg;
    uint64_t sum = 0, item;
    int rc;
    while ((rc = item_chan_recv(w->channel, &item)) == 0)
        sum += item;
    w->sum += sum;
    return rc == -EPIPE ? 0 : rc;
}

static int send_all(work *w)
{
    coir_group senders;
    int rc = 0;
    coir_group_begin(&senders, 0);
    for (uint64_t i = 0; i < w->senders && rc == 0; i++) {
        share s = {w->channel, i * w->items / w->senders, (i + 1) * w->items / w->senders,
                   w->steps};
        rc = coir_spawn_copy(&senders, send_share, &s, sizeof s);
    }
    if (rc < 0)
        coir_group_cancel(&senders, "could not spawn every sender");
    int ended = coir_group_end(&senders);
    return rc < 0 ? rc : ended;
}

static int transfer(work *w)
{
    coir_group g;
    coir_group_begin(&g, 0);
    int rc = coir_spawn(&g, receive, w);
    if (rc == 0)
        rc = send_all(w);
    item_chan_close(w->channel);
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
    return bench_result_items("fanin", "coir", w->workers, w->items, w->capacity, w->steps,
                              w->samples, w->repeats, w->sum)
               ? 0
               : -EPROTO;
}

int main(int argc, char **argv)
{
    work w = {.senders = 1000, .items = 100000, .repeats = 36, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 't', .help = "sending tasks", .number = &w.senders, .min = 1, .max = 1000000},
        {.letter = 'n', .help = "items in all", .number = &w.items, .min = 1, .max = 1000000000},
        {.letter = 'b', .help = "capacity of the channel", .number = &w.capacity, .max = 1000000},
        {.letter = 'x', .help = "steps of work per item", .number = &w.steps, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "many senders, one receiver", options,
                sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

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
        fprintf(stderr, "fanin: %s\n", coir_strerror(rc));
    free(w.samples);
    return rc < 0;
}
