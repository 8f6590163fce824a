/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LISTEN_H
#define BENCH_LISTEN_H

/*
 * listen.h - what the echo servers without coir share: the listening socket, how they are stopped,
 * what they say in the end. All as in echo_server.c.
 */

#include "../work.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
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

/* A non-blocking listener on the loopback (port 0: a free one), announced; or -1. */
static inline int listen_here(uint64_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&here, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&here, &size) < 0)
        return -1;
    printf("listening on 127.0.0.1:%d\n", ntohs(here.sin_port));
    fflush(stdout);
    return fd;
}

static inline void listen_report(uint64_t accepted, uint64_t messages, uint64_t bytes, int64_t cpu)
{
    printf("%" PRIu64 " connections, %" PRIu64 " messages, %" PRIu64
           " bytes, CPU %.3f s: %.0f ns per message\n",
           accepted, messages, bytes, (double)cpu / 1e9,
           messages ? (double)cpu / (double)messages : 0);
}

#endif
