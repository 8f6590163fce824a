/* SPDX-License-Identifier: MIT */
/*
 * echo_server.c - the echo server with a thread for each connection, and blocking calls.
 *
 * Output, stopping and the figure are those of benches/echo_server.c.
 */

#include "../server.h"
#include "threads.h"

#include <poll.h>

static server_counts counts;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fewer = PTHREAD_COND_INITIALIZER;
static uint64_t open_connections;

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[SERVER_BUFFER];
    uint64_t messages = 0, bytes = 0;
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n) /* blocking: all or an error */
            break;
        messages++;
        bytes += (uint64_t)n;
    }
    close(fd);
    pthread_mutex_lock(&mutex);
    counts.messages += messages;
    counts.bytes += bytes;
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
    counts.accepted++;
    open_connections++;
    pthread_mutex_unlock(&mutex);
    threads_start(&thread, serve, (void *)(intptr_t)fd);
    pthread_detach(thread);
}

int main(int argc, char **argv)
{
    uint64_t port = 0, workers = 0;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'l', .help = "port to listen on; 0: a free one", .number = &port, .max = 65535},
    };
    bench_parse(argc, argv, "echo, a thread for each connection", options, 2);
    threads_begin(&workers);
    bench_raise_descriptors();
    int signals = server_signals(), listener = server_listen((uint16_t)port, 0);
    if (signals < 0 || listener < 0) {
        perror("echo_server");
        return 1;
    }
    counts.cpu = bench_cpu();
    struct pollfd fds[] = {{listener, POLLIN, 0}, {signals, POLLIN, 0}, {server_watches_input() ? 0 : -1, POLLIN, 0}};
    while (poll(fds, 3, -1) >= 0 && !fds[1].revents && !fds[2].revents)
        accept_one(listener);

    /* The load has gone: its connections end, or are left to the kernel after five seconds. */
    struct timespec patience;
    clock_gettime(CLOCK_REALTIME, &patience);
    patience.tv_sec += 5;
    pthread_mutex_lock(&mutex);
    while (open_connections > 0 && pthread_cond_timedwait(&fewer, &mutex, &patience) == 0)
        ;
    server_report(&counts, "threads");
    return 0;
}
