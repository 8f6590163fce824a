/* SPDX-License-Identifier: MIT */
/*
 * wake_latency.c - the floor of benches/wake_latency.c: what the kernel takes to wake a thread.
 *
 * "floor" waits on a futex, and so can do nothing else meanwhile; "floor eventfd" in epoll_wait(),
 * as who also waits for sockets has to.
 */

#include "../latency.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    uint64_t messages, pause; /* us */
    _Atomic uint32_t sent;    /* the futex */
    int event, poll;
    int64_t *stamps; /* of each message */
    double *samples;
} w = {.messages = 1000, .pause = 1000};

static void futex_wake(void)
{
    atomic_fetch_add(&w.sent, 1);
    syscall(SYS_futex, &w.sent, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_wait(uint32_t seen)
{
    while (atomic_load(&w.sent) == seen)
        syscall(SYS_futex, &w.sent, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void eventfd_wake(void)
{
    eventfd_write(w.event, 1);
}

static void eventfd_wait(uint32_t seen)
{
    struct epoll_event event;
    eventfd_t count;
    (void)seen;
    while (epoll_wait(w.poll, &event, 1, -1) != 1 || eventfd_read(w.event, &count) < 0)
        ;
}

static void *send_stamps(void *arg)
{
    void (*const *wake)(void) = arg;
    struct timespec pause = {(time_t)(w.pause / 1000000), (long)(w.pause % 1000000) * 1000};
    for (uint64_t i = 0; i < w.messages; i++) {
        nanosleep(&pause, NULL);
        w.stamps[i] = bench_now();
        (*wake)();
    }
    return NULL;
}

static bool measure(void (*wake)(void), void wait(uint32_t seen), const char *runtime)
{
    pthread_t thread;
    w.sent = 0;
    if (pthread_create(&thread, NULL, send_stamps, &wake) != 0)
        return false;
    for (uint64_t i = 0; i < w.messages; i++) {
        wait((uint32_t)i);
        w.samples[i] = (double)(bench_now() - w.stamps[i]);
    }
    pthread_join(thread, NULL);
    latency_report_wakes(runtime, 1, w.samples, w.messages);
    return true;
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'n', .help = "messages", .number = &w.messages, .min = 1, .max = 10000000},
        {.letter = 'p', .help = "microseconds between them", .number = &w.pause, .max = 1000000},
    };
    bench_parse(argc, argv, "waking a thread", options, 2);
    w.samples = calloc(w.messages, sizeof *w.samples);
    w.stamps = calloc(w.messages, sizeof *w.stamps);
    w.event = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    w.poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event readable = {.events = EPOLLIN};
    if (!w.samples || !w.stamps || w.event < 0 || w.poll < 0 || epoll_ctl(w.poll, EPOLL_CTL_ADD, w.event, &readable) < 0)
        return 1;
    return measure(futex_wake, futex_wait, "floor") && measure(eventfd_wake, eventfd_wait, "floor eventfd") ? 0 : 1;
}
