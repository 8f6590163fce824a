/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - benches/echo_server.c with libuv: callbacks, on several threads a loop
 * for each.
 *
 * A loop and what belongs to it may be used by one thread only, so each has a listener of its own;
 * they share a port by what libuv calls UV_TCP_REUSEPORT since 1.49.
 *
 * One buffer for all connections of a loop, and uv_try_write() for the answer, which is what the
 * documentation offers those who want neither an allocation nor a callback for each. What a socket
 * does not take goes the ordinary way, by uv_write() of a copy, and the connection is not read
 * meanwhile. With -x the first loop computes.
 */

#include "../listen.h"

#include <uv.h>

/* Of all loops. */
static struct {
    uint64_t buffer_size;
    bool computes;
    int signals, *listeners;
    bench_busy busy;
    listen_counts counts;
} all;

/* Of this thread's loop. */
static _Thread_local struct {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_poll_t stops[2];
    uv_idle_t idle;
    char *buffer;
    uint64_t accepted, messages, bytes;
} s;

typedef struct answer {
    uv_write_t request; /* first */
    char bytes[];
} answer;

static void on_read(uv_stream_t *c, ssize_t n, const uv_buf_t *buf);

static void give_buffer(uv_handle_t *c, size_t suggested, uv_buf_t *ret)
{
    (void)c;
    (void)suggested;
    *ret = uv_buf_init(s.buffer, (unsigned)all.buffer_size);
}

static void on_closed(uv_handle_t *c) { free(c); }

static void close_connection(uv_stream_t *c)
{
    if (!uv_is_closing((uv_handle_t *)c))
        uv_close((uv_handle_t *)c, on_closed);
}

static void on_written(uv_write_t *request, int status)
{
    uv_stream_t *c = request->handle;
    free(request);
    if (status < 0)
        close_connection(c);
    else
        uv_read_start(c, give_buffer, on_read);
}

static int write_rest(uv_stream_t *c, const char *bytes, size_t n)
{
    answer *a = malloc(sizeof *a + n);
    if (!a)
        return UV_ENOMEM;
    memcpy(a->bytes, bytes, n);
    uv_buf_t buf = uv_buf_init(a->bytes, (unsigned)n);
    uv_read_stop(c);
    int rc = uv_write(&a->request, c, &buf, 1, on_written);
    if (rc < 0)
        free(a);
    return rc;
}

static void on_read(uv_stream_t *c, ssize_t n, const uv_buf_t *buf)
{
    if (n == 0)
        return;
    int sent = UV_EOF;
    if (n > 0) {
        uv_buf_t whole = uv_buf_init(buf->base, (unsigned)n);
        sent = uv_try_write(c, &whole, 1);
        if (sent == UV_EAGAIN)
            sent = 0;
    }
    if (sent >= 0 && sent < n && write_rest(c, buf->base + sent, (size_t)(n - sent)) < 0)
        sent = UV_ENOMEM;
    if (sent < 0) {
        close_connection(c);
        return;
    }
    s.messages++;
    s.bytes += (uint64_t)n;
}

static void on_connection(uv_stream_t *listener, int status)
{
    uv_tcp_t *c = status < 0 ? NULL : malloc(sizeof *c);
    if (!c)
        return;
    uv_tcp_init(&s.loop, c);
    if (uv_accept(listener, (uv_stream_t *)c) < 0 ||
        uv_read_start((uv_stream_t *)c, give_buffer, on_read) < 0)
        close_connection((uv_stream_t *)c);
    else
        s.accepted++;
}

static void on_stop(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    uv_stop(p->loop);
}

static int watch_stop(uv_poll_t *p, int fd)
{
    int rc = uv_poll_init(&s.loop, p, fd);
    return rc < 0 ? rc : uv_poll_start(p, UV_READABLE, on_stop);
}

/* Once for each turn of the loop, as long as it is active. */
static void compute(uv_idle_t *idle)
{
    (void)idle;
    bench_busy_portion(&all.busy);
}

static int begin(uint64_t number)
{
    s.buffer = malloc(all.buffer_size);
    int rc = s.buffer ? uv_loop_init(&s.loop) : UV_ENOMEM;
    if (rc == 0)
        rc = watch_stop(&s.stops[0], all.signals);
    if (rc == 0 && listen_watches_input())
        rc = watch_stop(&s.stops[1], 0);
    if (rc == 0)
        rc = uv_tcp_init(&s.loop, &s.listener);
    if (rc == 0)
        rc = uv_tcp_open(&s.listener, all.listeners[number]);
    if (rc == 0 && all.computes && number == 0) {
        uv_idle_init(&s.loop, &s.idle);
        uv_idle_start(&s.idle, compute);
    }
    return rc < 0 ? rc : uv_listen((uv_stream_t *)&s.listener, SOMAXCONN, on_connection);
}

static void *loop(void *number)
{
    int rc = begin((uintptr_t)number);
    if (rc < 0) {
        fprintf(stderr, "echo_server: %s\n", uv_strerror(rc));
        exit(1);
    }
    uv_run(&s.loop, UV_RUN_DEFAULT);
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
        {.letter = 'b',
         .help = "bytes of a buffer",
         .number = &all.buffer_size,
         .min = 1,
         .max = 1 << 24},
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
        {.letter = 'x', .help = "compute beside that", .flag = &all.computes},
    };
    bench_parse(argc, argv, "echo, libuv", options, sizeof options / sizeof *options);
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
    bench_busy_report(&all.busy, "libuv", workers);
    return 0;
}
