/* SPDX-License-Identifier: MIT */
/*
 * wake_latency.c - benches/wake_latency.c with a thread that waits on a condition. The one that sends
 * may be on any core, as there.
 */

#include "../../latency.h"
#include "threads.h"

static uint64_t messages = 1000, pause_us = 1000;
static threads_chan channel; /* of stamps, capacity 1 */

static void *send_stamps(void *arg)
{
    struct timespec pause = {(time_t)(pause_us / 1000000), (long)(pause_us % 1000000) * 1000};
    for (uint64_t i = 0; i < messages; i++) {
        nanosleep(&pause, NULL);
        threads_send(&channel, (uint64_t)bench_now());
    }
    threads_close(&channel);
    return arg;
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, count = 0, stamp;
    bench_option options[] = {
        {.letter = 'w', .help = "cores of who waits; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "messages", .number = &messages, .min = 1, .max = 10000000},
        {.letter = 'p', .help = "microseconds between them", .number = &pause_us, .max = 1000000},
    };
    bench_parse(argc, argv, "waking a thread by a condition", options, 3);
    double *samples = calloc(messages, sizeof *samples);
    pthread_t sender;
    threads_chan_init(&channel, 1);
    if (!samples || pthread_create(&sender, NULL, send_stamps, NULL) != 0)
        return 1;
    threads_begin(&workers);
    while (threads_recv(&channel, &stamp))
        samples[count++] = (double)(bench_now() - (int64_t)stamp);
    pthread_join(sender, NULL);
    latency_report_wakes("threads", workers, samples, count);
    return count == messages ? 0 : 1;
}
