/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - sends back what it gets, one task per connection.
 *
 * Prints "listening on ADDRESS" and serves until SIGINT, SIGTERM, or the end of its standard
 * input where that is a pipe or a socket. Then it prints what it did and the CPU time, user and
 * system, that the process took for it from the moment it listened: divided by the messages
 * (reads that brought something) it is the figure to compare with the plain loops in
 * benches/peers/epoll and uring. The load comes from benches/echo_client.c. With -x one more task
 * computes all the time, and calls coir_maybe_yield() every 20 us.
 *
 * The stop signals are blocked before the runtime starts, and are read from a signalfd by the
 * first task.
 */

#include "work.h"

#include <coir.h>
#include <coir/net.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

typedef struct server {
    const char *address;
    uint64_t buffer_size; /* of each connection */
    int signals;          /* a signalfd: readable when a stop is asked for */
    int listener;
    coir_group connections;
    bool computes;
    bench_busy busy;
    _Atomic uint64_t accepted, messages, bytes;
    int64_t cpu;
} server;

static server echo; /* for the connections: their argument is the descriptor */

/* The counts are kept here until the end of the connection: no shared cache line. */
static void serve_with(int fd, char *buf, size_t size)
{
    uint64_t messages = 0, bytes = 0;
    ssize_t n;
    while ((n = coir_read(fd, buf, size)) > 0) {
        if (coir_write_all(fd, buf, (size_t)n, NULL) < 0)
            break;
        messages++;
        bytes += (uint64_t)n;
    }
    atomic_fetch_add(&echo.messages, messages);
    atomic_fetch_add(&echo.bytes, bytes);
}

/* One connection. A small buffer is on its stack. */
static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char small[1024];
    char *buf = echo.buffer_size <= sizeof small ? small : malloc(echo.buffer_size);
    if (buf)
        serve_with(fd, buf, echo.buffer_size);
    if (buf != small)
        free(buf);
    return coir_close(fd);
}

/* Accepts until cancelled. */
static int accept_all(void *arg)
{
    server *s = arg;
    int fd;
    while ((fd = coir_accept(s->listener, NULL)) >= 0) {
        atomic_fetch_add(&s->accepted, 1);
        if (coir_spawn(&s->connections, serve, (void *)(intptr_t)fd) < 0)
            coir_close(fd);
    }
    return fd;
}

/* Computes until cancelled, and lets others run now and then. */
static int compute(void *arg)
{
    server *s = arg;
    while (coir_maybe_yield() >= 0)
        bench_busy_portion(&s->busy);
    return -ECANCELED;
}

/* Waits until somebody wants the server to stop. */
static int wait_for_stop(server *s)
{
    struct stat in;
    bool watch_input = fstat(0, &in) == 0 && (S_ISFIFO(in.st_mode) || S_ISSOCK(in.st_mode));
    coir_case cases[] = {COIR_READABLE(s->signals), COIR_READABLE(0)};
    return coir_select(cases, watch_input ? 2 : 1);
}

static int announce(server *s)
{
    coir_addr here;
    char text[COIR_ADDR_TEXT];
    int rc = coir_local_addr(s->listener, &here);
    if (rc == 0)
        rc = coir_addr_format(&here, text, sizeof text);
    if (rc < 0)
        return rc;
    printf("listening on %s\n", text);
    fflush(stdout);
    return 0;
}

static int first(void *arg)
{
    server *s = arg;
    s->listener = coir_tcp_listen(s->address, NULL);
    if (s->listener < 0)
        return s->listener;
    int rc = announce(s);
    int64_t cpu = bench_cpu();
    coir_group_begin(&s->connections, COIR_GROUP_ISOLATE);
    if (rc == 0)
        rc = coir_spawn(&s->connections, accept_all, s);
    if (rc == 0 && s->computes)
        rc = coir_spawn(&s->connections, compute, s);
    if (rc == 0)
        rc = wait_for_stop(s);
    coir_group_cancel(&s->connections, "the server was asked to stop");
    int ended = coir_group_end(&s->connections);
    s->cpu = bench_cpu() - cpu;
    coir_close(s->listener);
    if (rc < 0)
        return rc;
    return ended == -ECANCELED ? 0 : ended; // cancelled is how it is meant to end
}

static void report(const server *s)
{
    uint64_t messages = s->messages;
    double ns = messages ? (double)s->cpu / (double)messages : 0;
    printf("%" PRIu64 " connections, %" PRIu64 " messages, %" PRIu64
           " bytes, CPU %.3f s: %.0f ns per message\n",
           s->accepted, messages, s->bytes, (double)s->cpu / 1e9, ns);
}

int main(int argc, char **argv)
{
    uint64_t workers = 1;
    const char *engine = "auto";
    echo.address = "127.0.0.1:0";
    echo.buffer_size = 1024;
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &workers, .max = 1024},
        {.letter = 'e', .help = "engine: auto, uring or epoll", .text = &engine},
        {.letter = 'b',
         .help = "bytes of a connection's buffer",
         .number = &echo.buffer_size,
         .min = 1,
         .max = 1 << 24},
        {.letter = 'l',
         .help = "address to listen on: host:port, port 0 takes a free one",
         .text = &echo.address},
        {.letter = 'x', .help = "compute beside that", .flag = &echo.computes},
    };
    bench_parse(argc, argv, "echo, one task per connection", options,
                sizeof options / sizeof *options);
    if (workers == 0)
        workers = bench_cores();
    coir_options opt = COIR_OPTIONS_INIT;
    opt.workers = (unsigned)workers;
    if (!strcmp(engine, "uring"))
        opt.engine = COIR_ENGINE_URING;
    else if (!strcmp(engine, "epoll"))
        opt.engine = COIR_ENGINE_EPOLL;
    else if (strcmp(engine, "auto") != 0) {
        fprintf(stderr, "echo_server: no engine '%s'\n", engine);
        return 2;
    }

    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    echo.signals = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
    if (echo.signals < 0) {
        perror("echo_server: signalfd");
        return 1;
    }
    bench_raise_descriptors();
    echo.listener = -1;
    int rc = coir_run(&opt, first, &echo);
    if (rc < 0 && echo.listener == -1 && opt.engine == COIR_ENGINE_URING) {
        fprintf(stderr, "no io_uring here: %s\n", coir_strerror(rc));
        return BENCH_CANT;
    }
    if (rc < 0) {
        fprintf(stderr, "echo_server: %s\n", coir_strerror(rc));
        return 1;
    }
    report(&echo);
    char runtime[32] = "coir";
    if (opt.engine != COIR_ENGINE_AUTO)
        snprintf(runtime, sizeof runtime, "coir %s", engine);
    bench_busy_report(&echo.busy, runtime, workers);
    return 0;
}
