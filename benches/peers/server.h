/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PEERS_SERVER_H
#define BENCH_PEERS_SERVER_H

/*
 * server.h - what the servers among the peers in C share.
 *
 * A server prints "listening on ADDRESS" and serves until SIGINT, SIGTERM, or the end of its
 * standard input where that is a pipe or a socket; then it reports. See benches/echo_server.c.
 */

#include "../measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SERVER_BUFFER = 1024, SERVER_CANT = 77 };

typedef struct server_counts {
    uint64_t accepted, messages, bytes;
    int64_t cpu; /* of the process when it began to listen */
} server_counts;

/* Blocks the stop signals, here and in threads to come; a descriptor that is readable when one came. */
static inline int server_signals(void)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    return signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Does the end of the standard input mean an end? */
static inline bool server_watches_input(void)
{
    struct stat in;
    return fstat(0, &in) == 0 && (S_ISFIFO(in.st_mode) || S_ISSOCK(in.st_mode));
}

static inline void server_announce(struct sockaddr_in here)
{
    printf("listening on 127.0.0.1:%d\n", ntohs(here.sin_port));
    fflush(stdout);
}

/* A listener on the loopback; it has been announced. -1 if that can't be. */
static inline int server_listen(uint16_t port, int flags)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&here, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&here, &size) < 0)
        return -1;
    server_announce(here);
    return fd;
}

static inline void server_report(const server_counts *c, const char *runtime)
{
    int64_t cpu = bench_cpu() - c->cpu;
    double ns = c->messages ? (double)cpu / (double)c->messages : 0;
    printf("%" PRIu64 " connections, %" PRIu64 " messages, %" PRIu64 " bytes, CPU %.3f s: %.0f ns per message\n",
           c->accepted, c->messages, c->bytes, (double)cpu / 1e9, ns);
    bench_result("echo", runtime, 1, "server CPU ns per message", ns, c->messages);
}

#endif
