/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - the echo server with a thread for each connection, and blocking calls.
 *
 * Output and stopping are those of benches/echo_server.c.
 */

#include "../listen.h"
#include "threads.h"

#include <poll.h>

static uint64_t buffer_size = 1024;
static uint64_t accepted, messages_in_all, bytes_in_all;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fewer = PTHREAD_COND_INITIALIZER;
static uint64_t open_connections;
static bench_busy busy;

/* With -x: until the process ends. What is read of it then is a little old. */
static void *compute(void *arg)
{
    for (;;)
        bench_busy_portion(&busy);
    return arg;
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char small[1024], *buf = buffer_size <= sizeof small ? small : malloc(buffer_size);
    uint64_t messages = 0, bytes = 0;
    ssize_t n;
    while (buf && (n = read(fd, buf, buffer_size)) > 0) {
        if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n) /* blocking: all or an error */
            break;
        messages++;
        bytes += (uint64_t)n;
    }
    close(fd);
    if (buf != small)
        free(buf);
    pthread_mutex_lock(&mutex);
    messages_in_all += messages;
    bytes_in_all += bytes;
    open_connections--;
    pthread_cond_signal(&fewer);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    pthread_t thread;
    if (fd < 0)
        return;
    pthread_mutex_lock(&mutex);
    accepted++;
    open_connections++;
    pthread_mutex_unlock(&mutex);
    threads_start(&thread, serve, (void *)(intptr_t)fd);
    pthread_detach(thread);
}

int main(int argc, char **argv)
{
    uint64_t port = 0, workers = 0;
    bool computes = false;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'b', .help = "bytes of a connection's buffer", .number = &buffer_size, .min = 1, .max = 1 << 24},
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
        {.letter = 'x', .help = "compute beside that", .flag = &computes},
    };
    bench_parse(argc, argv, "echo, a thread for each connection", options, sizeof options / sizeof *options);
    threads_begin(&workers);
    bench_raise_descriptors();
    int signals = listen_stop_signals(), *listener = listen_here(port, 1);
    if (signals < 0 || !listener) {
        perror("echo_server");
        return 1;
    }
    pthread_t computing;
    if (computes)
        threads_start(&computing, compute, NULL);
    int64_t cpu = bench_cpu();
    struct pollfd fds[] = {{*listener, POLLIN, 0}, {signals, POLLIN, 0}, {listen_watches_input() ? 0 : -1, POLLIN, 0}};
    while (poll(fds, 3, -1) >= 0 && !fds[1].revents && !fds[2].revents)
        accept_one(*listener);

    /* The load has gone: its connections end, or are left to the kernel after five seconds. */
    struct timespec patience;
    clock_gettime(CLOCK_REALTIME, &patience);
    patience.tv_sec += 5;
    pthread_mutex_lock(&mutex);
    while (open_connections > 0 && pthread_cond_timedwait(&fewer, &mutex, &patience) == 0)
        ;
    listen_report(&(listen_counts){accepted, messages_in_all, bytes_in_all}, bench_cpu() - cpu);
    bench_busy_report(&busy, "threads", workers);
    return 0;
}
