/* SPDX-License-Identifier: MIT */
/* attempt.c - one system call, not waiting; attempt.h says how. */
#include "loop/attempt.h"

#include <coir/net.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100 /* Linux 6.18 */
#endif

/* What a pipe or terminal takes without blocking once it polls writable. */
#define SAFE_WRITE 4096

static bool interrupted(ssize_t n) { return n < 0 && errno == EINTR; }

static int64_t outcome(ssize_t n) { return n < 0 ? -errno : n; }

int coir__attempt_poll(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;
    do
        n = poll(&p, 1, 0);
    while (interrupted(n));
    if (n <= 0)
        return n < 0 ? -errno : 0;
    return p.revents & POLLNVAL ? -EBADF : p.revents;
}

short coir__attempt_events(const coir_op *op)
{
    switch (op->kind) {
    case COIR_OP_POLL:
        return op->events;
    case COIR_OP_READ:
    case COIR_OP_ACCEPT:
        return POLLIN;
    default:
        return POLLOUT;
    }
}

static bool is_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && !(flags & O_NONBLOCK);
}

/* Whether a plain call would not block now; what is wrong with the descriptor, the call itself will say. */
static bool may_call_plainly(const coir_op *op, bool alone)
{
    if (!is_blocking(op->fd))
        return true;
    return alone && coir__attempt_poll(op->fd, coir__attempt_events(op)) != 0;
}

/* -- files that are no sockets -------------------------------------------------------------------- */

/* `flags` of preadv2(2); 0: a plain read, for sandboxes that know no other. */
static int64_t do_read(const coir_op *op, int flags)
{
    struct iovec v = {op->buf, op->len};
    ssize_t n;
    do
        n = flags ? preadv2(op->fd, &v, 1, -1, flags) : read(op->fd, op->buf, op->len);
    while (interrupted(n));
    return outcome(n);
}

static int64_t do_write(const coir_op *op, size_t len, int flags)
{
    struct iovec v = {op->buf, len};
    ssize_t n;
    do
        n = flags ? pwritev2(op->fd, &v, 1, -1, flags) : write(op->fd, op->buf, len);
    while (interrupted(n));
    return outcome(n);
}

static int64_t read_other(const coir_op *op, bool alone)
{
    int64_t n = do_read(op, RWF_NOWAIT);
    if (n != -EOPNOTSUPP)
        return n;
    return may_call_plainly(op, alone) ? do_read(op, 0) : -EAGAIN;
}

/* 1: the kernel knows RWF_NOSIGNAL; 0: it does not; -1: can't tell now. Asked of a pipe without a reader; a kernel
 * that refuses the flag does not come as far as the signal. */
static int nosignal_probe(void)
{
    int fds[2];
    char byte = 0;
    struct iovec v = {&byte, 1};
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    close(fds[0]);
    bool known = pwritev2(fds[1], &v, 1, -1, RWF_NOSIGNAL) < 0 && errno == EPIPE;
    close(fds[1]);
    return known;
}

_Atomic int coir__attempt_nosignal = -1;

static bool has_nosignal(void)
{
    int k = atomic_load_explicit(&coir__attempt_nosignal, memory_order_relaxed);
    if (coir__unlikely(k < 0)) {
        k = nosignal_probe();
        atomic_store_explicit(&coir__attempt_nosignal, k, memory_order_relaxed);
    }
    return k == 1;
}

static int64_t write_quietly(const coir_op *op, int quiet, bool alone)
{
    size_t safe = op->len < SAFE_WRITE ? op->len : SAFE_WRITE;
    int64_t n = do_write(op, op->len, RWF_NOWAIT | quiet);
    if (n != -EOPNOTSUPP)
        return n;
    if (!may_call_plainly(op, alone))
        return -EAGAIN;
    n = do_write(op, safe, quiet);
    return n == -EOPNOTSUPP ? do_write(op, safe, 0)
                            : n; /* old devices know no flags, and raise no SIGPIPE */
}

/* For kernels without RWF_NOSIGNAL: SIGPIPE goes to the thread that writes, so this thread's mask holds it back. */
static int64_t write_masked(const coir_op *op, bool alone)
{
    static const struct timespec no_wait;
    sigset_t pipe_only, old, pending;
    sigpending(&pending);
    if (sigismember(&pending, SIGPIPE)) /* then it is blocked, and one more goes unnoticed */
        return write_quietly(op, 0, alone);
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
    int64_t n = write_quietly(op, 0, alone);
    if (n == -EPIPE)
        while (sigtimedwait(&pipe_only, NULL, &no_wait) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return n;
}

static int64_t write_other(const coir_op *op, bool alone)
{
    return has_nosignal() ? write_quietly(op, RWF_NOSIGNAL, alone) : write_masked(op, alone);
}

/* -- sockets -------------------------------------------------------------------------------------- */

static int64_t do_recv(const coir_op *op)
{
    ssize_t n;
    do
        n = recv(op->fd, op->buf, op->len, MSG_DONTWAIT);
    while (interrupted(n));
    return outcome(n);
}

static int64_t do_send(const coir_op *op)
{
    ssize_t n;
    do
        n = send(op->fd, op->buf, op->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (interrupted(n));
    return outcome(n);
}

static int64_t do_accept(const coir_op *op)
{
    struct coir_addr *a = op->addr;
    socklen_t len = sizeof a->u;
    int fd;
    do
        fd = accept4(op->fd, a ? &a->u.sa : NULL, a ? &len : NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (interrupted(fd));
    if (fd >= 0 && a)
        a->len = len;
    return outcome(fd);
}

/* What accept(2) would say of a descriptor at once, even if nobody has connected: 0 or an error. */
static int check_listens(int fd)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0)
        return -errno;
    return listens ? 0 : -EINVAL;
}

static int64_t try_accept(const coir_op *op, int kind, bool alone)
{
    if ((kind & COIR__FD_OWN) || may_call_plainly(op, alone))
        return do_accept(op);
    int rc = check_listens(op->fd);
    return rc < 0 ? rc : -EAGAIN;
}

static int connect_errno(int fd, const struct coir_addr *a)
{
    return connect(fd, &a->u.sa, a->len) < 0 ? errno : 0;
}

/* A blocking socket has no other way to connect without waiting than a send timeout of one clock tick. */
static int connect_briefly(int fd, const struct coir_addr *a)
{
    const struct timeval tick = {.tv_usec = 1};
    struct timeval kept;
    socklen_t len = sizeof kept;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kept, &len) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof tick) < 0)
        return errno;
    int error = connect_errno(fd, a);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kept, sizeof kept);
    return error;
}

static int64_t connect_begin(coir_op *op, int kind)
{
    bool brief = !(kind & COIR__FD_OWN) && is_blocking(op->fd);
    int error = brief ? connect_briefly(op->fd, op->addr) : connect_errno(op->fd, op->addr);
    bool local = op->addr->u.sa.sa_family == AF_UNIX; /* interrupted, it has not begun */
    if (error == EAGAIN || (error == EINTR && local))
        return COIR__QUEUE_FULL;
    if (error != EINPROGRESS && error != EINTR)
        return -error;
    op->buf = op; /* begun */
    return -EAGAIN;
}

static int64_t connect_look(const coir_op *op)
{
    int ready = coir__attempt_poll(op->fd, POLLOUT);
    if (ready <= 0)
        return ready < 0 ? ready : -EAGAIN;
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno : -error;
}

/* -- all ------------------------------------------------------------------------------------------ */

static int64_t attempt_poll(const coir_op *op)
{
    int ready = coir__attempt_poll(op->fd, op->events);
    return ready == 0 ? -EAGAIN : ready;
}

static int64_t attempt_as(coir_op *op, int kind, bool alone)
{
    int is = kind & COIR__FD_KINDS;
    bool socket = is == COIR__FD_SOCKET || is == COIR__FD_TCP, file = is == COIR__FD_FILE;
    switch (op->kind) {
    case COIR_OP_READ:
        return socket ? do_recv(op) : file ? do_read(op, 0) : read_other(op, alone);
    case COIR_OP_WRITE:
        return socket ? do_send(op) : file ? do_write(op, op->len, 0) : write_other(op, alone);
    case COIR_OP_ACCEPT:
        return try_accept(op, kind, alone);
    case COIR_OP_CONNECT:
        return op->buf ? connect_look(op) : connect_begin(op, kind);
    default:
        return attempt_poll(op);
    }
}

int64_t coir__attempt(coir_op *op, bool alone)
{
    int kind = coir__fd_kind(op->slot, op->fd);
    if (kind < 0)
        return kind;
    int64_t n = attempt_as(op, kind, alone);
    if (coir__likely(n != -ENOTSOCK) || kind != COIR__FD_SOCKET || op->kind > COIR_OP_WRITE)
        return n;
    /* Somebody has closed the socket, and the number is another file now. */
    atomic_store_explicit(&op->slot->kind, COIR__FD_UNKNOWN, memory_order_relaxed);
    kind = coir__fd_kind(op->slot, op->fd);
    return kind < 0 ? kind : attempt_as(op, kind, alone);
}
