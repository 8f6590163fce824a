/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LISTEN_H
#define BENCH_LISTEN_H

/*
 * listen.h - what the echo servers without coir share: the listening sockets, how they are stopped,
 * what they say in the end. All as in echo_server.c.
 *
 * On several threads a loop has a listener of its own, on the same port: the kernel shares out the
 * connections among them (SO_REUSEPORT), by a hash of the addresses.
 */

#include "../work.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Blocks the stop signals; a descriptor that is readable when one has come, or -1. */
static inline int listen_stop_signals(void)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    return signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Whether the end of the standard input means the end, too. */
static inline bool listen_watches_input(void)
{
    struct stat in;
    return fstat(0, &in) == 0 && (S_ISFIFO(in.st_mode) || S_ISSOCK(in.st_mode));
}

/* A non-blocking listener on a port of the loopback, which is put into `*port`; or -1. */
static inline int listen_on(uint16_t *port, bool shared)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(*port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(fd, (struct sockaddr *)&here, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&here, &size) < 0)
        return -1;
    *port = ntohs(here.sin_port);
    return fd;
}

/* A listener for each of `n` loops, all on one port (0: a free one), announced; or NULL. */
static inline int *listen_here(uint64_t port, uint64_t n)
{
    int *fds = malloc(n * sizeof *fds);
    uint16_t same = (uint16_t)port;
    for (uint64_t i = 0; fds && i < n; i++)
        if ((fds[i] = listen_on(&same, n > 1)) < 0)
            return NULL;
    if (fds) {
        printf("listening on 127.0.0.1:%d\n", same);
        fflush(stdout);
    }
    return fds;
}

/* What the loops did, together. Each counts for itself, and adds it here in the end. */
typedef struct listen_counts {
    _Atomic uint64_t accepted, messages, bytes;
} listen_counts;

static inline void listen_count(listen_counts *all, uint64_t accepted, uint64_t messages,
                                uint64_t bytes)
{
    atomic_fetch_add(&all->accepted, accepted);
    atomic_fetch_add(&all->messages, messages);
    atomic_fetch_add(&all->bytes, bytes);
}

/* Runs `loop` on `n` threads, which are told their numbers; number 0 on this one. Returns when all have,
 * or -1. */
static inline int listen_threads(uint64_t n, void *(*loop)(void *number))
{
    pthread_t *threads = malloc(n * sizeof *threads);
    int error = threads ? 0 : ENOMEM;
    for (uint64_t i = 1; i < n && !error; i++)
        error = pthread_create(&threads[i], NULL, loop, (void *)(uintptr_t)i);
    if (error) {
        errno = error;
        return -1;
    }
    loop(NULL);
    for (uint64_t i = 1; i < n; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    return 0;
}

static inline void listen_report(const listen_counts *all, int64_t cpu)
{
    uint64_t messages = all->messages;
    printf("%" PRIu64 " connections, %" PRIu64 " messages, %" PRIu64
           " bytes, CPU %.3f s: %.0f ns per message\n",
           all->accepted, messages, all->bytes, (double)cpu / 1e9,
           messages ? (double)cpu / (double)messages : 0);
}

#endif
