/* SPDX-License-Identifier: MIT */
/*
 * net.c - sockets and pipes: opening, listening, accepting, connecting.
 *
 * Whatever is opened here is non-blocking and close-on-exec, and known to its slot, so that engines need not ask what it is.
 */
#include <coir/net.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/time.h"
#include "io/op.h"
#include "io/resolve.h"
#include "io/socket.h"
#include "loop/attempt.h"
#include "loop/fd.h"

#define SHORTAGE_PAUSE COIR_MS(50)
#define SHORTAGE_TOLD COIR_S(60) /* one line in this time */
#define QUEUE_PAUSE_MIN COIR_US(500)
#define QUEUE_PAUSE_MAX COIR_MS(20)

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

int coir__tcp_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    return fd < 0 ? -errno : coir__fd_adopt(fd, COIR__FD_TCP);
}

/* -- accepting ------------------------------------------------------------------------------------ */

static bool is_shortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

/* Something happened to the connection before it was taken: there may be others. accept(2) lists these. */
static bool is_of_connection(int error)
{
    switch (error) {
    case -ECONNABORTED:
    case -EPROTO:
    case -ENETDOWN:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static void tell_shortage(int error)
{
    static _Atomic int64_t told; /* 0: never */
    int64_t now = coir__time_now(), last = atomic_load_explicit(&told, memory_order_relaxed);
    if (last != 0 && now - last < SHORTAGE_TOLD)
        return;
    if (atomic_compare_exchange_strong(&told, &last, now))
        coir__runtime_log(coir__worker_or_null()->runtime,
                          "coir_accept: %s; connections wait until there is room",
                          coir_strerror(error));
}

/* For a while, or until the runtime shuts down. */
static int await_room(void)
{
    coir__runtime *rt = coir__worker_or_null()->runtime;
    coir_case cases[] = {COIR_AFTER(SHORTAGE_PAUSE), COIR_SET(&rt->shutdown.begun)};
    return coir_select(cases, 2);
}

static int kind_of_accepted(int listener, int fd)
{
    int protocol;
    socklen_t len = sizeof protocol;
    int kind = atomic_load_explicit(&coir__fd_slot(listener)->kind, memory_order_relaxed);
    if (kind == (COIR__FD_TCP | COIR__FD_OWN))
        return COIR__FD_TCP;
    if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_TCP)
        return COIR__FD_TCP;
    return COIR__FD_SOCKET;
}

int coir_accept(int fd, coir_addr *ret_peer)
{
    coir_addr peer;
    coir__call c = {.name = "coir_accept",
                    .kind = COIR_OP_ACCEPT,
                    .fd = fd,
                    .addr = ret_peer ? &peer : NULL,
                    .drains = true};
    int got;
    do {
        got = coir__io(&c);
        if (is_shortage(got)) {
            tell_shortage(got);
            int rc = await_room();
            if (rc < 0)
                return rc;
        }
    } while (is_shortage(got) || is_of_connection(got));
    if (got < 0)
        return got;
    if (ret_peer)
        *ret_peer = peer;
    return coir__fd_adopt(got, kind_of_accepted(fd, got));
}

/* -- connecting ----------------------------------------------------------------------------------- */

int coir_connect(int fd, const coir_addr *addr)
{
    coir_addr copy;
    coir__call c = {.name = "coir_connect", .kind = COIR_OP_CONNECT, .fd = fd, .addr = &copy};
    int64_t pause = QUEUE_PAUSE_MIN;
    int rc;
    if (!addr)
        return -EINVAL;
    copy = *addr;
    while ((rc = coir__io(&c)) == COIR__QUEUE_FULL) { /* a local listener that is slow to accept */
        rc = coir_sleep(pause);
        if (rc < 0)
            return rc;
        pause = pause * 2 < QUEUE_PAUSE_MAX ? pause * 2 : QUEUE_PAUSE_MAX;
    }
    return rc;
}

int coir__tcp_connect_to(const coir_addr *a)
{
    int fd = coir__tcp_socket(a->u.sa.sa_family);
    if (fd < 0)
        return fd;
    int rc = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0)
        rc = coir_connect(fd, a);
    if (rc == 0)
        return fd;
    coir_close(fd);
    return rc;
}

/* -- listening ------------------------------------------------------------------------------------ */

/* TCP_NODELAY is inherited by what is accepted, which saves a call for each connection. */
static int prepare_listener(int fd, int family, const coir_listen_options *o)
{
    int rc = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0 && !o->no_reuse_addr)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && o->reuse_port)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && family == AF_INET6)
        rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->ipv6_only);
    return rc;
}

static int listen_at(const coir_addr *a, const coir_listen_options *o)
{
    int fd = coir__tcp_socket(a->u.sa.sa_family);
    if (fd < 0)
        return fd;
    int rc = prepare_listener(fd, a->u.sa.sa_family, o);
    if (rc == 0 && bind(fd, &a->u.sa, a->len) < 0)
        rc = -errno;
    if (rc == 0 && listen(fd, o->backlog ? o->backlog : SOMAXCONN) < 0)
        rc = -errno;
    if (rc == 0)
        return fd;
    coir_close(fd);
    return rc;
}

/* This host does not do that family: an address of another may still be wanted. */
static bool is_of_family(int error)
{
    return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL || error == -EPROTONOSUPPORT;
}

int coir_tcp_listen(const char *host_port, const coir_listen_options *o)
{
    static const coir_listen_options defaults;
    coir_addr addrs[COIR__ADDRS_MAX];
    int rc = coir__enter_call("coir_tcp_listen");
    if (rc < 0)
        return rc;
    if (!o)
        o = &defaults;
    if (o->backlog < 0)
        return -EINVAL;
    int n = coir__resolve_pair(host_port, true, addrs, COIR__ADDRS_MAX);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        rc = listen_at(&addrs[i], o);
        if (!is_of_family(rc))
            break;
    }
    return rc;
}

/* -- pairs and addresses -------------------------------------------------------------------------- */

static int adopt_pair(int fds[2], const int opened[2], int kind)
{
    if (coir__fd_adopt(opened[0], kind) < 0) {
        close(opened[1]);
        return -ENOMEM;
    }
    if (coir__fd_adopt(opened[1], kind) < 0) {
        coir_close(opened[0]);
        return -ENOMEM;
    }
    fds[0] = opened[0];
    fds[1] = opened[1];
    return 0;
}

int coir_socketpair(int fds[2])
{
    int opened[2];
    if (!fds)
        return -EINVAL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, opened) < 0)
        return -errno;
    return adopt_pair(fds, opened, COIR__FD_SOCKET);
}

int coir_pipe(int fds[2])
{
    int opened[2];
    if (!fds)
        return -EINVAL;
    if (pipe2(opened, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
    return adopt_pair(fds, opened, COIR__FD_OTHER);
}

static int ask_address(int fd, coir_addr *ret, int (*ask)(int, struct sockaddr *, socklen_t *))
{
    coir_addr a;
    a.len = sizeof a.u;
    if (!ret)
        return -EINVAL;
    if (ask(fd, &a.u.sa, &a.len) < 0)
        return -errno;
    *ret = a;
    return 0;
}

int coir_local_addr(int fd, coir_addr *ret) { return ask_address(fd, ret, getsockname); }

int coir_peer_addr(int fd, coir_addr *ret) { return ask_address(fd, ret, getpeername); }
