/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - the echo server with libuv: callbacks on one loop.
 *
 * A connection reads into a buffer of its own; an answer is first tried with uv_try_write(), as the
 * guide advises for small writes, and handed to uv_write() where that took less than all. Output,
 * stopping and the figure are those of benches/echo_server.c.
 */

#include "../server.h"

#include <uv.h>

typedef struct connection {
    uv_tcp_t tcp;
    uv_write_t rest;
    char buf[SERVER_BUFFER];
} connection;

static uv_loop_t *loop;
static server_counts counts;

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void finish(connection *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)size;
    connection *c = handle->data;
    *buf = uv_buf_init(c->buf, sizeof c->buf);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_written(uv_write_t *rest, int status)
{
    connection *c = rest->data;
    if (status < 0)
        finish(c);
    else
        uv_read_start((uv_stream_t *)&c->tcp, on_buffer, on_read);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    connection *c = stream->data;
    if (n < 0)
        finish(c);
    if (n <= 0)
        return;
    counts.messages++;
    counts.bytes += (uint64_t)n;
    uv_buf_t answer = uv_buf_init(buf->base, (unsigned)n);
    int written = uv_try_write(stream, &answer, 1);
    if (written == n)
        return;
    if (written < 0 && written != UV_EAGAIN) {
        finish(c);
        return;
    }
    if (written > 0)
        answer = uv_buf_init(buf->base + written, (unsigned)(n - written));
    uv_read_stop(stream); /* until the buffer is free again */
    c->rest.data = c;
    if (uv_write(&c->rest, stream, &answer, 1, on_written) < 0)
        finish(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    connection *c = status < 0 ? NULL : malloc(sizeof *c);
    if (!c)
        return;
    uv_tcp_init(loop, &c->tcp);
    c->tcp.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_buffer, on_read) < 0) {
        finish(c);
        return;
    }
    counts.accepted++;
}

static void on_stop(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events;
    uv_stop(loop);
}

static void stop_at(uv_poll_t *poll, int fd)
{
    uv_poll_init(loop, poll, fd);
    uv_poll_start(poll, UV_READABLE | UV_DISCONNECT, on_stop);
}

int main(int argc, char **argv)
{
    uint64_t port = 0;
    bench_option options[] = {
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
    };
    bench_parse(argc, argv, "echo, libuv", options, 1);
    bench_raise_descriptors();
    loop = uv_default_loop();
    uv_tcp_t listener;
    uv_poll_t signals, input;
    struct sockaddr_in here;
    int size = sizeof here;
    uv_tcp_init(loop, &listener);
    uv_ip4_addr("127.0.0.1", (int)port, &here);
    int rc = uv_tcp_bind(&listener, (struct sockaddr *)&here, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&listener, SOMAXCONN, on_connection);
    if (rc == 0)
        rc = uv_tcp_getsockname(&listener, (struct sockaddr *)&here, &size);
    if (rc < 0) {
        fprintf(stderr, "echo_server: %s\n", uv_strerror(rc));
        return 1;
    }
    stop_at(&signals, server_signals());
    if (server_watches_input())
        stop_at(&input, 0);
    server_announce(here);
    counts.cpu = bench_cpu();
    uv_run(loop, UV_RUN_DEFAULT);
    server_report(&counts, "libuv");
    return 0;
}
