/* SPDX-License-Identifier: MIT */
/*
 * timeouts.c - benches/timeouts.c with threads: a receive that waits by pthread_cond_timedwait().
 */

#include "threads.h"

static uint64_t items = 100000;

/* True if an item came within 10 s. */
static bool receive(threads_chan *from, uint64_t *ret_item)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    return threads_recv_until(from, ret_item, &deadline);
}

static uint64_t ready(threads_chan *channel)
{
    uint64_t sum = 0, item;
    for (uint64_t i = 0; i < items; i++) {
        threads_send(channel, i + 1);
        if (receive(channel, &item))
            sum += item;
    }
    return sum;
}

static void *send_all(void *channel)
{
    for (uint64_t i = 0; i < items; i++)
        threads_send(channel, i + 1);
    return NULL;
}

static uint64_t soon(threads_chan *channel)
{
    uint64_t sum = 0, item;
    pthread_t sender;
    threads_start(&sender, send_all, channel);
    for (uint64_t i = 0; i < items && receive(channel, &item); i++)
        sum += item;
    pthread_join(sender, NULL);
    return sum;
}

static bool measure(uint64_t form(threads_chan *), uint64_t capacity, const char *scenario, uint64_t workers)
{
    threads_chan channel;
    threads_chan_init(&channel, capacity);
    int64_t start = bench_now();
    uint64_t sum = form(&channel);
    double ns = (double)(bench_now() - start) / (double)items;
    threads_chan_destroy(&channel);
    printf("%-16s %.1f ns per receive\n", scenario, ns);
    bench_result(scenario, "threads", workers, "ns per receive", ns, sum);
    return sum == items * (items + 1) / 2;
}

int main(int argc, char **argv)
{
    uint64_t workers = 1;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "receives", .number = &items, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "timeouts that are not reached", options, 2);
    threads_begin(&workers);
    return measure(ready, 1, "timeout, ready", workers) && measure(soon, 0, "timeout, soon", workers) ? 0 : 1;
}
