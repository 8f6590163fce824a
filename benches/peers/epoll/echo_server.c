/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - the echo server as a plain epoll loop on one thread; with benches/peers/uring the
 * floor of benches/echo_server.c.
 *
 * Level-triggered: one read and one write per event. Edge-triggered (-t): reads until a read was
 * short or there is no more. One buffer for all connections. Where a socket takes less than all
 * of an answer, the loop waits for that socket alone, which is right though not quick, and does
 * not happen with the small messages measured here. Output, stopping and the figure are those of
 * benches/echo_server.c.
 */

#include "../server.h"

#include <poll.h>
#include <sys/epoll.h>

enum { EVENTS = 512 };

typedef struct server {
    bool edge;
    int epoll, listener, signals;
    server_counts counts;
} server;

static int watch(server *s, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e);
}

static int write_all(int fd, const char *buf, size_t n)
{
    while (n > 0) {
        ssize_t written = send(fd, buf, n, MSG_NOSIGNAL);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
            continue;
        }
        if (written < 0)
            return -1;
        buf += written;
        n -= (size_t)written;
    }
    return 0;
}

/* Echoes what one read brings: the bytes read, 0 for "nothing now", -1 for "close it". */
static ssize_t echo_once(server *s, int fd)
{
    char buf[SERVER_BUFFER];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0 || write_all(fd, buf, (size_t)n) < 0)
        return -1;
    s->counts.messages++;
    s->counts.bytes += (uint64_t)n;
    return n;
}

static void on_connection(server *s, const struct epoll_event *e)
{
    ssize_t n = echo_once(s, e->data.fd);
    bool ending = e->events &
                  (EPOLLRDHUP | EPOLLHUP | EPOLLERR); // then a short read is not the last
    while (s->edge && (n == SERVER_BUFFER || (n > 0 && ending)))
        n = echo_once(s, e->data.fd);
    if (n < 0)
        close(e->data.fd); // leaves the epoll set by itself
}

static void on_listener(server *s)
{
    int fd;
    while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        s->counts.accepted++;
        if (watch(s, fd, s->edge ? EPOLLIN | EPOLLRDHUP | EPOLLET : EPOLLIN) < 0)
            close(fd);
    }
}

/* Runs until a stop signal, or the end of the standard input. */
static int serve(server *s)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(s->epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            return -1;
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == s->signals || fd == 0)
                return 0;
            if (fd == s->listener)
                on_listener(s);
            else
                on_connection(s, &events[i]);
        }
    }
}

static int start(server *s, uint16_t port)
{
    s->signals = server_signals();
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = server_listen(port, SOCK_NONBLOCK);
    if (s->signals < 0 || s->epoll < 0 || s->listener < 0 || watch(s, s->listener, EPOLLIN) < 0 ||
        watch(s, s->signals, EPOLLIN) < 0 || (server_watches_input() && watch(s, 0, EPOLLIN) < 0))
        return -1;
    return 0;
}

int main(int argc, char **argv)
{
    server s = {.edge = false};
    uint64_t port = 0;
    bench_option options[] = {
        {.letter = 't', .help = "edge-triggered", .flag = &s.edge},
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
    };
    bench_parse(argc, argv, "echo, plain epoll", options, sizeof options / sizeof *options);
    bench_raise_descriptors();
    if (start(&s, (uint16_t)port) < 0) {
        perror("echo_server");
        return 1;
    }
    s.counts.cpu = bench_cpu();
    if (serve(&s) < 0) {
        perror("echo_server");
        return 1;
    }
    server_report(&s.counts, s.edge ? "epoll edge" : "epoll");
    return 0;
}
