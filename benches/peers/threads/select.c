/* SPDX-License-Identifier: MIT */
/*
 * select.c - benches/select.c with threads: all channels are under one mutex, and their receiver
 * waits on one condition for any of them.
 *
 * Each channel has one place; a sender waits until its item has been taken.
 */

#include "threads.h"

enum { CHANNELS_MAX = 64 };

typedef struct place {
    uint64_t number, item;
    bool full;
    pthread_cond_t taken;
    pthread_t sender;
} place;

static struct {
    uint64_t channels, items, repeats, workers, each;
    pthread_mutex_t mutex;
    pthread_cond_t any;
    place places[CHANNELS_MAX];
    uint64_t next; /* the place to look at first: nobody is passed over */
    uint64_t sum;
} w = {.channels = 2, .items = 100000, .repeats = 2, .workers = 1, .mutex = PTHREAD_MUTEX_INITIALIZER,
       .any = PTHREAD_COND_INITIALIZER};

static void *send_share(void *arg)
{
    place *p = arg;
    for (uint64_t i = 0; i < w.each; i++) {
        pthread_mutex_lock(&w.mutex);
        p->item = i + 1;
        p->full = true;
        pthread_cond_signal(&w.any);
        while (p->full)
            pthread_cond_wait(&p->taken, &w.mutex);
        pthread_mutex_unlock(&w.mutex);
    }
    return NULL;
}

/* The first that is full, from `next` on; or NULL. */
static place *find_full(void)
{
    for (uint64_t i = 0; i < w.channels; i++) {
        place *p = &w.places[(w.next + i) % w.channels];
        if (p->full)
            return p;
    }
    return NULL;
}

static uint64_t select_one(void)
{
    place *p;
    pthread_mutex_lock(&w.mutex);
    while (!(p = find_full()))
        pthread_cond_wait(&w.any, &w.mutex);
    uint64_t item = p->item;
    p->full = false;
    w.next = p->number + 1;
    pthread_cond_signal(&p->taken);
    pthread_mutex_unlock(&w.mutex);
    return item;
}

static void *receive(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < w.each * w.channels; i++)
        w.sum += select_one();
    return NULL;
}

static void transfer(void)
{
    pthread_t receiver;
    threads_start(&receiver, receive, NULL);
    for (uint64_t c = 0; c < w.channels; c++)
        threads_start(&w.places[c].sender, send_share, &w.places[c]);
    for (uint64_t c = 0; c < w.channels; c++)
        pthread_join(w.places[c].sender, NULL);
    pthread_join(receiver, NULL);
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &w.workers, .max = 1024},
        {.letter = 'c', .help = "channels, and senders", .number = &w.channels, .min = 1, .max = CHANNELS_MAX},
        {.letter = 'n', .help = "items in all", .number = &w.items, .min = CHANNELS_MAX, .max = 1000000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "one condition for several channels", options, 4);
    threads_begin(&w.workers);
    w.each = w.items / w.channels;
    double *samples = calloc(w.repeats, sizeof *samples);
    if (!samples)
        return 1;
    for (uint64_t c = 0; c < w.channels; c++) {
        w.places[c].number = c;
        pthread_cond_init(&w.places[c].taken, NULL);
    }
    for (uint64_t i = 0; i < w.repeats; i++) {
        int64_t start = bench_now();
        transfer();
        samples[i] = (double)(bench_now() - start) / (double)(w.each * w.channels);
    }
    if (w.sum != w.repeats * w.channels * (w.each * (w.each + 1) / 2)) {
        fprintf(stderr, "select: the items add up to %" PRIu64 "\n", w.sum);
        return 1;
    }
    char scenario[64];
    snprintf(scenario, sizeof scenario, "select, %" PRIu64 " channels", w.channels);
    bench_result_median(scenario, "threads", w.workers, "ns per item", samples, w.repeats, w.sum);
    return 0;
}
