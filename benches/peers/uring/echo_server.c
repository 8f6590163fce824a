/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - the echo server as a plain io_uring loop on one thread, with liburing: multishot
 * accept, a receive and then a send for each message, one system call for all that is ready.
 *
 * Output, stopping and the figure are those of benches/echo_server.c. The ring is made for one
 * thread (SINGLE_ISSUER, DEFER_TASKRUN; Linux 6.1), or plain where the kernel knows neither.
 */

#include "../server.h"

#include <liburing.h>
#include <poll.h>

enum { ENTRIES = 4096 };

/* What a completion is for: the low bits of its number; the rest points to the connection. */
enum { ON_ACCEPT = 1, ON_STOP, ON_RECV, ON_SEND, ON_MASK = 7 };

typedef struct connection {
    int fd;
    unsigned size, sent; /* of the answer */
    char buf[SERVER_BUFFER];
} connection;

typedef struct server {
    struct io_uring ring;
    int listener;
    bool stop;
    server_counts counts;
} server;

static struct io_uring_sqe *next_entry(server *s)
{
    struct io_uring_sqe *e = io_uring_get_sqe(&s->ring);
    while (!e) {
        io_uring_submit(&s->ring);
        e = io_uring_get_sqe(&s->ring);
    }
    return e;
}

static void ask(struct io_uring_sqe *e, void *what, unsigned on)
{
    io_uring_sqe_set_data64(e, (uint64_t)(uintptr_t)what | on);
}

static void want_accept(server *s)
{
    struct io_uring_sqe *e = next_entry(s);
    io_uring_prep_multishot_accept(e, s->listener, NULL, NULL, SOCK_CLOEXEC);
    ask(e, NULL, ON_ACCEPT);
}

static void want_stop(server *s, int fd)
{
    struct io_uring_sqe *e = next_entry(s);
    io_uring_prep_poll_add(e, fd, POLLIN);
    ask(e, NULL, ON_STOP);
}

static void want_recv(server *s, connection *c)
{
    struct io_uring_sqe *e = next_entry(s);
    io_uring_prep_recv(e, c->fd, c->buf, sizeof c->buf, 0);
    ask(e, c, ON_RECV);
}

static void want_send(server *s, connection *c)
{
    struct io_uring_sqe *e = next_entry(s);
    io_uring_prep_send(e, c->fd, c->buf + c->sent, c->size - c->sent, MSG_NOSIGNAL);
    ask(e, c, ON_SEND);
}

static void finish(connection *c)
{
    close(c->fd);
    free(c);
}

static void on_accept(server *s, const struct io_uring_cqe *done)
{
    if (!(done->flags & IORING_CQE_F_MORE))
        want_accept(s);
    if (done->res < 0)
        return;
    connection *c = malloc(sizeof *c);
    if (!c) {
        close(done->res);
        return;
    }
    s->counts.accepted++;
    c->fd = done->res;
    want_recv(s, c);
}

static void on_recv(server *s, connection *c, int n)
{
    if (n <= 0) {
        finish(c);
        return;
    }
    c->size = (unsigned)n;
    c->sent = 0;
    want_send(s, c);
}

static void on_send(server *s, connection *c, int n)
{
    if (n <= 0) {
        finish(c);
        return;
    }
    c->sent += (unsigned)n;
    if (c->sent < c->size) {
        want_send(s, c);
        return;
    }
    s->counts.messages++;
    s->counts.bytes += c->size;
    want_recv(s, c);
}

static void on_completion(server *s, const struct io_uring_cqe *done)
{
    uint64_t data = io_uring_cqe_get_data64(done);
    connection *c = (connection *)(uintptr_t)(data & ~(uint64_t)ON_MASK);
    switch (data & ON_MASK) {
    case ON_ACCEPT: on_accept(s, done); break;
    case ON_RECV: on_recv(s, c, done->res); break;
    case ON_SEND: on_send(s, c, done->res); break;
    default: s->stop = true; break;
    }
}

static int serve(server *s)
{
    while (!s->stop) {
        int rc = io_uring_submit_and_wait(&s->ring, 1);
        if (rc < 0 && rc != -EINTR)
            return rc;
        struct io_uring_cqe *done;
        unsigned head, n = 0;
        io_uring_for_each_cqe(&s->ring, head, done)
        {
            on_completion(s, done);
            n++;
        }
        io_uring_cq_advance(&s->ring, n);
    }
    return 0;
}

static void make_ring(server *s)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int rc = io_uring_queue_init_params(ENTRIES, &s->ring, &p);
    if (rc == -EINVAL)
        rc = io_uring_queue_init(ENTRIES, &s->ring, 0);
    if (rc < 0) {
        fprintf(stderr, "io_uring is not to be had here: %s\n", strerror(-rc));
        exit(SERVER_CANT);
    }
}

int main(int argc, char **argv)
{
    static server s;
    uint64_t port = 0;
    bench_option options[] = {
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
    };
    bench_parse(argc, argv, "echo, plain io_uring", options, 1);
    bench_raise_descriptors();
    make_ring(&s);
    int signals = server_signals();
    s.listener = server_listen((uint16_t)port, 0);
    if (signals < 0 || s.listener < 0) {
        perror("echo_server");
        return 1;
    }
    s.counts.cpu = bench_cpu();
    want_accept(&s);
    want_stop(&s, signals);
    if (server_watches_input())
        want_stop(&s, 0);
    int rc = serve(&s);
    if (rc < 0) {
        fprintf(stderr, "echo_server: %s\n", strerror(-rc));
        return 1;
    }
    server_report(&s.counts, "uring");
    return 0;
}
