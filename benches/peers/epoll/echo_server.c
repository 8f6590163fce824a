/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - the echo server as a plain epoll loop, on several threads one for each: the floor
 * of benches/echo_server.c.
 *
 * Level-triggered: one read and one write per event. Edge-triggered (-t): reads until a read was
 * short or there is no more. One buffer for all connections of a loop. Where a socket takes less than all of
 * an answer, the rest is kept for that connection, which is not read until it is gone. Output and
 * stopping are those of echo_server.c. With -x the first loop computes.
 */

#include "../listen.h"

#include <sys/epoll.h>

enum { EVENTS = 512, NUMBERS = 1 << 16 };

/* What a socket did not take. */
typedef struct rest {
    char *bytes; /* NULL: nothing */
    size_t sent, size;
} rest;

/* Of all loops. */
static struct {
    bool edge, computes;
    bench_busy busy;
    uint64_t buffer_size;
    int signals, *listeners;
    listen_counts counts;
    rest rests[NUMBERS]; /* by descriptor */
} all;

/* Of this thread's loop. */
static _Thread_local struct {
    bool computes;
    int epoll, listener;
    char *buffer;
    uint64_t accepted, messages, bytes;
} s;

static int watch(int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    return epoll_ctl(s.epoll, EPOLL_CTL_ADD, fd, &e);
}

static int watch_instead(int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    return epoll_ctl(s.epoll, EPOLL_CTL_MOD, fd, &e);
}

static uint32_t input_events(void) { return all.edge ? EPOLLIN | EPOLLRDHUP | EPOLLET : EPOLLIN; }

/* Keeps what is left, and waits for room. */
static int keep(int fd, const char *bytes, size_t n)
{
    rest *r = &all.rests[fd];
    *r = (rest){.bytes = malloc(n), .size = n};
    if (!r->bytes)
        return -1;
    memcpy(r->bytes, bytes, n);
    return watch_instead(fd, EPOLLOUT);
}

/* How much a socket takes; -1: it is lost. */
static ssize_t give(int fd, const char *bytes, size_t n)
{
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* The bytes read and answered, 0: nothing to read now, -1: it has ended. */
static ssize_t echo_once(int fd)
{
    ssize_t n = read(fd, s.buffer, all.buffer_size);
    if (n < 0 && errno == EAGAIN)
        return 0;
    ssize_t sent = n > 0 ? give(fd, s.buffer, (size_t)n) : -1;
    if (sent < 0)
        return -1;
    s.messages++;
    s.bytes += (uint64_t)n;
    if (sent < n)
        return keep(fd, s.buffer + sent, (size_t)(n - sent));
    return n;
}

/* Room again: -1 if the connection is lost. */
static int go_on(int fd)
{
    rest *r = &all.rests[fd];
    ssize_t sent = give(fd, r->bytes + r->sent, r->size - r->sent);
    if (sent < 0)
        return -1;
    r->sent += (size_t)sent;
    if (r->sent < r->size)
        return 0;
    free(r->bytes);
    *r = (rest){0};
    return watch_instead(fd, input_events());
}

static void on_connection(const struct epoll_event *e)
{
    int fd = e->data.fd;
    ssize_t n = all.rests[fd].bytes ? go_on(fd) : echo_once(fd);
    bool ending = e->events &
                  (EPOLLRDHUP | EPOLLHUP | EPOLLERR); // then a short read is not the last
    while (all.edge && (n == (ssize_t)all.buffer_size || (n > 0 && ending)))
        n = echo_once(fd);
    if (n < 0) {
        free(all.rests[fd].bytes);
        all.rests[fd] = (rest){0};
        close(fd); // leaves the epoll set by itself
    }
}

static void on_listener(void)
{
    int fd;
    while ((fd = accept4(s.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        s.accepted++;
        if (fd >= NUMBERS || watch(fd, input_events()) < 0)
            close(fd);
    }
}

/* Runs until a stop signal, or the end of the standard input. */
static int serve(void)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        if (s.computes)
            bench_busy_portion(&all.busy);
        int n = epoll_wait(s.epoll, events, EVENTS, s.computes ? 0 : -1);
        if (n < 0 && errno != EINTR)
            return -1;
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == all.signals || fd == 0)
                return 0;
            if (fd == s.listener)
                on_listener();
            else
                on_connection(&events[i]);
        }
    }
}

static int begin(uint64_t number)
{
    s.computes = all.computes && number == 0;
    s.listener = all.listeners[number];
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    s.buffer = malloc(all.buffer_size);
    if (s.epoll < 0 || !s.buffer || watch(s.listener, EPOLLIN) < 0 ||
        watch(all.signals, EPOLLIN) < 0)
        return -1;
    return listen_watches_input() ? watch(0, EPOLLIN) : 0;
}

static void *loop(void *number)
{
    if (begin((uintptr_t)number) < 0 || serve() < 0) {
        perror("echo_server");
        exit(1);
    }
    listen_count(&all.counts, s.accepted, s.messages, s.bytes);
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t port = 0, workers = 1;
    all.buffer_size = 1024;
    bench_option options[] = {
        {.letter = 'w',
         .help = "loops, a thread each; 0: one per core",
         .number = &workers,
         .max = 1024},
        {.letter = 't', .help = "edge-triggered", .flag = &all.edge},
        {.letter = 'b',
         .help = "bytes of a buffer",
         .number = &all.buffer_size,
         .min = 1,
         .max = 1 << 24},
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
        {.letter = 'x', .help = "compute beside that", .flag = &all.computes},
    };
    bench_parse(argc, argv, "echo, plain epoll", options, sizeof options / sizeof *options);
    if (workers == 0)
        workers = bench_cores();
    bench_raise_descriptors();
    all.signals = listen_stop_signals();
    int64_t cpu = bench_cpu();
    if (all.signals < 0 || !(all.listeners = listen_here(port, workers)) ||
        listen_threads(workers, loop) < 0) {
        perror("echo_server");
        return 1;
    }
    listen_report(&all.counts, bench_cpu() - cpu);
    bench_busy_report(&all.busy, all.edge ? "epoll edge" : "epoll level", workers);
    return 0;
}
