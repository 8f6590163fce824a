/* SPDX-License-Identifier: MIT */
/*
 * wake_latency.c - how long a task that waits takes to see what a plain thread sends.
 *
 * Every millisecond a thread outside the runtime takes the time and sends it over a channel of
 * capacity 1; a task, which is all the runtime has to do, receives it and takes the time again. In
 * between the runtime has gone to sleep, so this is a wake-up by the kernel and the way from there
 * into the task. The figures are percentiles of the differences.
 */

#include "latency.h"

#include <coir.h>
#include <pthread.h>

COIR_CHAN_TYPE(stamp_chan, int64_t)

typedef struct work {
    uint64_t messages, pause, workers; /* pause: us */
    stamp_chan *channel;
    double *samples; /* ns */
} work;

static void *send_stamps(void *arg)
{
    work *w = arg;
    struct timespec pause = {(time_t)(w->pause / 1000000), (long)(w->pause % 1000000) * 1000};
    for (uint64_t i = 0; i < w->messages; i++) {
        nanosleep(&pause, NULL);
        if (stamp_chan_send(w->channel, bench_now()) < 0)
            break;
    }
    stamp_chan_close(w->channel);
    return NULL;
}

static int receive(void *arg)
{
    work *w = arg;
    int64_t stamp;
    uint64_t count = 0;
    while (stamp_chan_recv(w->channel, &stamp) == 0)
        w->samples[count++] = (double)(bench_now() - stamp);
    return count == w->messages ? 0 : -EPROTO;
}

/* The receiver is a task as the others are, and not the first. */
static int first(void *arg)
{
    work *w = arg;
    pthread_t thread;
    w->channel = stamp_chan_new(1);
    if (!w->channel)
        return -ENOMEM;
    int rc = -pthread_create(&thread, NULL, send_stamps, w);
    if (rc == 0) {
        coir_group g;
        coir_group_begin(&g, 0);
        rc = coir_spawn(&g, receive, w);
        int ended = coir_group_end(&g);
        if (rc < 0) // then nobody receives: the thread shall not wait
            stamp_chan_close(w->channel);
        else
            rc = ended;
        pthread_join(thread, NULL);
    }
    stamp_chan_free(w->channel);
    return rc;
}

int main(int argc, char **argv)
{
    work w = {.messages = 1000, .pause = 1000, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "messages", .number = &w.messages, .min = 1, .max = 10000000},
        {.letter = 'p',
         .help = "microseconds between them",
         .number = &w.pause,
         .min = 1,
         .max = 10000000},
    };
    bench_parse(argc, argv, "a plain thread wakes a task", options,
                sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.samples = calloc(w.messages, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc == 0)
        latency_report_wakes("coir", w.workers, w.samples, w.messages);
    else
        fprintf(stderr, "wake_latency: %s\n", coir_strerror(rc));
    free(w.samples);
    return rc < 0;
}
