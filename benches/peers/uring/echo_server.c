/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - the echo server as a plain io_uring loop, on several threads one for each: what is
 * left when nothing is between the program and the ring.
 *
 * Single-shot: a receive, then a send, one entry each, all of a round submitted by one call; each
 * connection has a buffer. After a short receive the next one asks the kernel to wait first.
 * Multishot (-m): one receive for the life of a connection, into buffers of a ring that all of a loop share;
 * a buffer goes back when its send has ended. Sends are single-shot, MSG_WAITALL, one at a time for
 * each connection: in -m what comes meanwhile waits in a list.
 */

#include "../listen.h"

#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>

enum {
    ENTRIES = 4096,
    GROUP = 1,
    OPERATION = 7 /* of user_data; the rest is the connection's address */
};

enum operation { ACCEPT = 1, STOP, RECEIVE, SEND };

/* A received piece that is to be sent (-m), by number of its buffer. */
typedef struct piece {
    uint32_t length;
    int32_t next; /* -1: the last */
} piece;

typedef struct connection {
    _Alignas(8) int fd;
    bool short_read, receiving, ended, starved;
    int32_t first, last; /* pieces; -1: none; the first is being sent */
    struct connection *next_starved;
    char buffer[]; /* single-shot */
} connection;

/* Of all loops. */
static struct {
    bool multishot;
    uint64_t buffer_size, buffers;
    int signals, *listeners;
    listen_counts counts;
} all;

/* Of this thread's loop. */
static _Thread_local struct {
    struct io_uring ring;
    int listener;
    struct io_uring_buf_ring *pool;
    char *memory; /* of the pool */
    piece *pieces;
    connection *starved; /* whose receive ended for want of a buffer */
    uint64_t accepted, messages, bytes;
} s;

static struct io_uring_sqe *entry(connection *c, enum operation operation)
{
    struct io_uring_sqe *e;
    while ((e = io_uring_get_sqe(&s.ring)) == NULL)
        io_uring_submit(&s.ring);
    e->user_data = (uint64_t)(uintptr_t)c | operation; // prep leaves it alone since 2.3
    return e;
}

static void submit_accept(void)
{
    struct io_uring_sqe *e = entry(NULL, ACCEPT);
    io_uring_prep_multishot_accept(e, s.listener, NULL, NULL, SOCK_CLOEXEC);
    e->user_data = ACCEPT;
}

static void submit_receive(connection *c)
{
    struct io_uring_sqe *e = entry(c, RECEIVE);
    uint64_t data = e->user_data;
    if (all.multishot) {
        io_uring_prep_recv_multishot(e, c->fd, NULL, 0, 0);
        e->flags |= IOSQE_BUFFER_SELECT;
        e->buf_group = GROUP;
        c->receiving = true;
    } else {
        io_uring_prep_recv(e, c->fd, c->buffer, all.buffer_size, 0);
    }
    if (c->short_read)
        e->ioprio |= IORING_RECVSEND_POLL_FIRST;
    e->user_data = data;
}

static void submit_send(connection *c, const char *bytes, size_t n)
{
    struct io_uring_sqe *e = entry(c, SEND);
    uint64_t data = e->user_data;
    io_uring_prep_send(e, c->fd, bytes, n, MSG_NOSIGNAL | MSG_WAITALL);
    e->user_data = data;
}

static void count(int n)
{
    s.messages++;
    s.bytes += (uint64_t)n;
}

static void end(connection *c)
{
    close(c->fd);
    free(c);
}

/* -- single-shot ------------------------------------------------------------------------------ */

static void on_received(connection *c, int n)
{
    if (n <= 0) {
        end(c);
        return;
    }
    count(n);
    c->short_read = (uint64_t)n < all.buffer_size;
    submit_send(c, c->buffer, (size_t)n);
}

static void on_sent(connection *c, int n)
{
    if (n <= 0)
        end(c);
    else
        submit_receive(c);
}

/* -- multishot -------------------------------------------------------------------------------- */

static char *bytes_of(int32_t buffer) { return s.memory + (uint64_t)buffer * all.buffer_size; }

static void give_back(int32_t buffer)
{
    io_uring_buf_ring_add(s.pool, bytes_of(buffer), (unsigned)all.buffer_size,
                          (unsigned short)buffer, io_uring_buf_ring_mask((uint32_t)all.buffers), 0);
    io_uring_buf_ring_advance(s.pool, 1);
    connection *c = s.starved;
    if (c) {
        s.starved = c->next_starved;
        c->starved = false;
        submit_receive(c);
    }
}

static void end_when_done(connection *c)
{
    if (c->ended && !c->receiving && !c->starved && c->first < 0)
        end(c);
}

static void send_first(connection *c)
{
    submit_send(c, bytes_of(c->first), s.pieces[c->first].length);
}

static void queue_piece(connection *c, int32_t buffer, uint32_t n)
{
    s.pieces[buffer] = (piece){n, -1};
    if (c->first >= 0) {
        s.pieces[c->last].next = buffer;
        c->last = buffer;
        return;
    }
    c->first = c->last = buffer;
    send_first(c);
}

static void on_multishot(connection *c, const struct io_uring_cqe *e)
{
    c->receiving = (e->flags & IORING_CQE_F_MORE) != 0;
    if (e->res > 0) {
        count(e->res);
        queue_piece(c, (int32_t)(e->flags >> IORING_CQE_BUFFER_SHIFT), (uint32_t)e->res);
    } else if (e->res == -ENOBUFS) {
        c->starved = true;
        c->next_starved = s.starved;
        s.starved = c;
        return;
    } else {
        c->ended = true;
    }
    if (!c->receiving && !c->ended)
        submit_receive(c);
    end_when_done(c);
}

static void on_piece_sent(connection *c, int n)
{
    int32_t buffer = c->first;
    c->first = s.pieces[buffer].next;
    if (n <= 0)
        c->ended = true;
    give_back(buffer);
    if (c->first >= 0)
        send_first(c);
    end_when_done(c);
}

/* -- both ------------------------------------------------------------------------------------- */

static void on_accepted(int fd, bool more)
{
    connection *c = fd < 0 ? NULL : malloc(sizeof *c + (all.multishot ? 0 : all.buffer_size));
    if (c) {
        *c = (connection){.fd = fd, .first = -1, .last = -1};
        s.accepted++;
        submit_receive(c);
    } else if (fd >= 0) {
        close(fd);
    }
    if (!more)
        submit_accept();
}

/* False: that was the stop. */
static bool on_completion(const struct io_uring_cqe *e)
{
    connection *c = (connection *)(uintptr_t)(e->user_data & ~(uint64_t)OPERATION);
    switch ((enum operation)(e->user_data & OPERATION)) {
    case ACCEPT:
        on_accepted(e->res, (e->flags & IORING_CQE_F_MORE) != 0);
        break;
    case RECEIVE:
        if (all.multishot)
            on_multishot(c, e);
        else
            on_received(c, e->res);
        break;
    case SEND:
        if (all.multishot)
            on_piece_sent(c, e->res);
        else
            on_sent(c, e->res);
        break;
    case STOP:
        return false;
    }
    return true;
}

/* Runs until a stop signal, or the end of the standard input. */
static int serve(void)
{
    for (;;) {
        int rc = io_uring_submit_and_wait(&s.ring, 1);
        if (rc < 0 && rc != -EINTR)
            return rc;
        struct io_uring_cqe *e;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&s.ring, head, e)
        {
            seen++;
            if (!on_completion(e))
                return 0;
        }
        io_uring_cq_advance(&s.ring, seen);
    }
}

static void submit_stop(int fd)
{
    struct io_uring_sqe *e = entry(NULL, STOP);
    io_uring_prep_poll_add(e, fd, POLLIN);
    e->user_data = STOP;
}

/* The buffers that all connections share. */
static int make_pool(void)
{
    size_t ring = all.buffers * sizeof(struct io_uring_buf);
    s.pool = mmap(NULL, ring, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    s.memory = malloc(all.buffers * all.buffer_size);
    s.pieces = calloc(all.buffers, sizeof *s.pieces);
    if (s.pool == MAP_FAILED || !s.memory || !s.pieces)
        return -ENOMEM;
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)s.pool,
                                   .ring_entries = (uint32_t)all.buffers,
                                   .bgid = GROUP};
    int rc = io_uring_register_buf_ring(&s.ring, &reg, 0);
    if (rc < 0)
        return rc;
    io_uring_buf_ring_init(s.pool);
    for (int32_t i = 0; i < (int32_t)all.buffers; i++)
        give_back(i);
    return 0;
}

static int make_ring(struct io_uring *ring)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
                                .cq_entries = 4 * ENTRIES};
    return io_uring_queue_init_params(ENTRIES, ring, &p);
}

/* Ends the program where the system has no such rings. */
static void want_rings(void)
{
    struct io_uring ring;
    int rc = make_ring(&ring);
    if (rc < 0) {
        fprintf(stderr, "no io_uring of Linux 6.1 here: %s\n", strerror(-rc));
        exit(BENCH_CANT);
    }
    io_uring_queue_exit(&ring);
}

static int begin(uint64_t number)
{
    int rc = make_ring(&s.ring);
    if (rc == 0)
        rc = io_uring_register_ring_fd(&s.ring) == 1 ? 0 : -EINVAL;
    if (rc == 0 && all.multishot)
        rc = make_pool();
    if (rc < 0)
        return rc;
    s.listener = all.listeners[number];
    submit_accept();
    submit_stop(all.signals);
    if (listen_watches_input())
        submit_stop(0);
    return 0;
}

static void *loop(void *number)
{
    int rc = begin((uintptr_t)number);
    if (rc == 0)
        rc = serve();
    if (rc < 0) {
        fprintf(stderr, "echo_server: %s\n", strerror(-rc));
        exit(1);
    }
    listen_count(&all.counts, s.accepted, s.messages, s.bytes);
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t port = 0, workers = 1;
    all.buffer_size = 1024;
    all.buffers = 4096;
    bench_option options[] = {
        {.letter = 'w',
         .help = "loops, a thread each; 0: one per core",
         .number = &workers,
         .max = 1024},
        {.letter = 'm', .help = "multishot receive, shared buffers", .flag = &all.multishot},
        {.letter = 'b',
         .help = "bytes of a buffer",
         .number = &all.buffer_size,
         .min = 1,
         .max = 1 << 24},
        {.letter = 'n',
         .help = "shared buffers of a loop, a power of two",
         .number = &all.buffers,
         .min = 1,
         .max = 32768},
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
    };
    bench_parse(argc, argv, "echo, plain io_uring", options, sizeof options / sizeof *options);
    if (all.buffers & (all.buffers - 1)) {
        fprintf(stderr, "-n takes a power of two\n");
        return 2;
    }
    if (workers == 0)
        workers = bench_cores();
    bench_raise_descriptors();
    want_rings();
    all.signals = listen_stop_signals();
    int64_t cpu = bench_cpu();
    if (all.signals < 0 || !(all.listeners = listen_here(port, workers)) ||
        listen_threads(workers, loop) < 0) {
        perror("echo_server");
        return 1;
    }
    listen_report(&all.counts, bench_cpu() - cpu);
    return 0;
}
