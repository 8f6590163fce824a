/* SPDX-License-Identifier: MIT */
/*
 * fanin.c - benches/fanin.c with threads, and a channel of a mutex and conditions.
 */

#include "../../work.h"
#include "threads.h"

typedef struct part {
    uint64_t number, sum;
    pthread_t thread;
} part;

static struct {
    uint64_t many, items, capacity, repeats, workers, steps;
    threads_chan channel;
    part *parts;
    uint64_t sum;
} w = {.many = 1000, .items = 100000, .repeats = 2, .workers = 1};

static void *send_share(void *arg)
{
    part *p = arg;
    uint64_t begin = p->number * w.items / w.many, end = (p->number + 1) * w.items / w.many;
    for (uint64_t i = begin; i < end; i++)
        threads_send(&w.channel, bench_hash(i + 1, w.steps));
    return NULL;
}

static void *receive(void *arg)
{
    (void)arg;
    uint64_t sum = 0, item;
    while (threads_recv(&w.channel, &item))
        sum += item;
    w.sum += sum;
    return NULL;
}

static void transfer(void)
{
    pthread_t receiver;
    threads_start(&receiver, receive, NULL);
    for (uint64_t i = 0; i < w.many; i++)
        threads_start(&w.parts[i].thread, send_share, &w.parts[i]);
    for (uint64_t i = 0; i < w.many; i++)
        pthread_join(w.parts[i].thread, NULL);
    threads_close(&w.channel);
    pthread_join(receiver, NULL);
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &w.workers, .max = 1024},
        {.letter = 't', .help = "senders", .number = &w.many, .min = 1, .max = 100000},
        {.letter = 'n', .help = "items in all", .number = &w.items, .min = 1, .max = 1000000000},
        {.letter = 'b', .help = "capacity of the channel", .number = &w.capacity, .max = 1000000},
        {.letter = 'x', .help = "steps of work per item", .number = &w.steps, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "many senders, one receiver", options, sizeof options / sizeof *options);
    threads_begin(&w.workers);
    threads_want(w.many + 1);
    w.parts = calloc(w.many, sizeof *w.parts);
    double *samples = calloc(w.repeats, sizeof *samples);
    if (!w.parts || !samples)
        return 1;
    for (uint64_t i = 0; i < w.many; i++)
        w.parts[i].number = i;
    for (uint64_t r = 0; r < w.repeats; r++) {
        threads_chan_init(&w.channel, w.capacity);
        int64_t start = bench_now();
        transfer();
        samples[r] = (double)(bench_now() - start) / (double)w.items;
        threads_chan_destroy(&w.channel);
    }
    return bench_result_items("fanin", "threads", w.workers, w.items, w.capacity, w.steps, samples, w.repeats, w.sum)
               ? 0
               : 1;
}
