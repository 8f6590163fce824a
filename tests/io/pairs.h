/* SPDX-License-Identifier: MIT */
#ifndef TESTS_IO_PAIRS_H
#define TESTS_IO_PAIRS_H

/* pairs.h - connected descriptors for tests, opened by coir and by others. */

#include <coir.h>
#include <coir/net.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/harness.h"

enum {
    PAIR_TCP,
    PAIR_SOCKETPAIR,
    PAIR_FOREIGN_SOCKETPAIR,
    PAIR_FOREIGN_NONBLOCK,
    PAIRS_DUPLEX,
    PAIR_PIPE = PAIRS_DUPLEX,
    PAIR_FOREIGN_PIPE,
    PAIRS
};

static inline int loopback_listener(void)
{
    int fd = coir_tcp_listen("127.0.0.1:0", NULL);
    CHECK_GE(fd, 0);
    return fd;
}

/* "127.0.0.1:port" of a listener. */
static inline void address_of(int fd, char text[COIR_ADDR_TEXT])
{
    coir_addr a;
    CHECK_EQ(coir_local_addr(fd, &a), 0);
    CHECK_GT(coir_addr_format(&a, text, COIR_ADDR_TEXT), 0);
}

static inline void tcp_pair(int fds[2])
{
    char text[COIR_ADDR_TEXT];
    int listener = loopback_listener();
    address_of(listener, text);
    fds[0] = coir_tcp_connect(text);
    CHECK_GE(fds[0], 0);
    fds[1] = coir_accept(listener, NULL);
    CHECK_GE(fds[1], 0);
    CHECK_EQ(coir_close(listener), 0);
}

/* Connected descriptors of a kind: fds[0] reads what fds[1] writes; up to PAIRS_DUPLEX, the other way as well. */
static inline void make_pair(int kind, int fds[2])
{
    switch (kind) {
    case PAIR_TCP:
        tcp_pair(fds);
        return;
    case PAIR_SOCKETPAIR:
        CHECK_EQ(coir_socketpair(fds), 0);
        return;
    case PAIR_FOREIGN_SOCKETPAIR:
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        return;
    case PAIR_FOREIGN_NONBLOCK:
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        return;
    case PAIR_PIPE:
        CHECK_EQ(coir_pipe(fds), 0);
        return;
    default:
        CHECK_EQ(pipe(fds), 0);
        return;
    }
}

static inline void close_pair(const int fds[2])
{
    CHECK_EQ(coir_close(fds[0]), 0);
    CHECK_EQ(coir_close(fds[1]), 0);
}

static inline unsigned char pattern(size_t i) { return (unsigned char)(i * 7 + (i >> 8)); }

static inline void fill_pattern(unsigned char *buf, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf[i] = pattern(from + i);
}

static inline void check_pattern(const unsigned char *buf, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(buf[i], pattern(from + i));
}

#endif
