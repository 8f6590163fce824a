/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - benches/echo_server.c with libuv: callbacks on one thread.
 *
 * One buffer for all connections, and uv_try_write() for the answer, which is what the
 * documentation offers those who want neither an allocation nor a callback for each. What a socket
 * does not take goes the ordinary way, by uv_write() of a copy, and the connection is not read
 * meanwhile.
 */

#include "../listen.h"

#include <uv.h>

static struct {
    uv_loop_t *loop;
    uint64_t buffer_size;
    char *buffer;
    uint64_t accepted, messages, bytes;
    bench_busy busy;
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
    *ret = uv_buf_init(s.buffer, (unsigned)s.buffer_size);
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
        uv_buf_t all = uv_buf_init(buf->base, (unsigned)n);
        sent = uv_try_write(c, &all, 1);
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
    uv_tcp_init(s.loop, c);
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

static int start(uv_tcp_t *listener, uv_poll_t stops[2], uint64_t port)
{
    s.loop = uv_default_loop();
    s.buffer = malloc(s.buffer_size);
    int signals = listen_stop_signals();
    if (!s.loop || !s.buffer || signals < 0)
        return UV_ENOMEM;
    int rc = uv_poll_init(s.loop, &stops[0], signals);
    if (rc == 0)
        rc = uv_poll_start(&stops[0], UV_READABLE, on_stop);
    if (rc == 0 && listen_watches_input()) {
        rc = uv_poll_init(s.loop, &stops[1], 0);
        if (rc == 0)
            rc = uv_poll_start(&stops[1], UV_READABLE, on_stop);
    }
    if (rc == 0)
        rc = uv_tcp_init(s.loop, listener);
    int fd = listen_here(port);
    if (fd < 0)
        return UV_EADDRINUSE;
    if (rc == 0)
        rc = uv_tcp_open(listener, fd);
    return rc < 0 ? rc : uv_listen((uv_stream_t *)listener, SOMAXCONN, on_connection);
}

/* Once for each turn of the loop, as long as it is active. */
static void compute(uv_idle_t *idle)
{
    (void)idle;
    bench_busy_portion(&s.busy);
}

int main(int argc, char **argv)
{
    static uv_tcp_t listener;
    static uv_poll_t stops[2];
    static uv_idle_t idle;
    bool computes = false;
    uint64_t port = 0;
    s.buffer_size = 1024;
    bench_option options[] = {
        {.letter = 'b',
         .help = "bytes of a buffer",
         .number = &s.buffer_size,
         .min = 1,
         .max = 1 << 24},
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
        {.letter = 'x', .help = "compute beside that", .flag = &computes},
    };
    bench_parse(argc, argv, "echo, libuv", options, sizeof options / sizeof *options);
    bench_raise_descriptors();
    int rc = start(&listener, stops, port);
    if (rc < 0) {
        fprintf(stderr, "echo_server: %s\n", uv_strerror(rc));
        return 1;
    }
    if (computes) {
        uv_idle_init(s.loop, &idle);
        uv_idle_start(&idle, compute);
    }
    int64_t cpu = bench_cpu();
    uv_run(s.loop, UV_RUN_DEFAULT);
    listen_report(s.accepted, s.messages, s.bytes, bench_cpu() - cpu);
    bench_busy_report(&s.busy, "libuv");
    return 0;
}
