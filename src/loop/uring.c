/* SPDX-License-Identifier: MIT */
/*
 * uring.c - the engine that hands operations to the kernel: an io_uring for each worker.
 *
 *   submit: [submission queue] --.                     .--> [completion queue] --> coir_op_complete()
 *                                 one io_uring_enter a poll
 *
 * Sockets and regular files are read and written by the kernel, each operation an entry of its own. A receive that is not
 * likely to find anything (the last one was short) asks the kernel to wait first. Everything else (pipes, terminals,
 * eventfds) is tried by a system call and, if that would block, polled for through the ring and tried again: a read in
 * the ring would occupy a kernel thread where the file blocks, and a write could raise SIGPIPE.
 *
 * Every entry is queued in order, so an operation is always submitted before its cancellation. The kernel is given
 * operations' ids. Completions come to the thread that submits, when it enters (DEFER_TASKRUN), so the registers of a
 * parked task are always saved by then, and op->state belongs to that thread.
 *
 * An operation asked to end ends with its own completion, never before: its buffer is the kernel's until then. The kernel may miss
 * it, and is asked again then (on_not_cancelled()).
 *
 * Kernels before 5.19 have epoll instead. Of liburing only what 2.3 has is used; the call that enters is made here,
 * for the flags that it does not know.
 *
 * In a foreign loop (coir_runtime_new()) an eventfd stands for the ring: the kernel writes to it when there is something to
 * reap or to run, and wakers write to it directly. The ring's own descriptor does not poll readable while completions wait
 * to be run (DEFER_TASKRUN), and without that flag each completion would break off the foreign loop's epoll_wait(2) with EINTR.
 *
 * Cost: one enter for each batch. Multishot receive into ring-mapped buffers saves another tenth of the processor
 * time with 1,000 connections (Linux 6.18, 2026-11), at the price of a copy and a pool of buffers; not yet.
 */
#include <coir/loop.h>
#include <coir/net.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/lock.h"
#include "loop/attempt.h"
#include "loop/engines.h"
#include "loop/fd.h"
#include "loop/uring_compat.h"
#include "sched/upcall.h"

#define SUBMISSIONS 256
#define COMPLETIONS 4096
#define LENGTH_MAX 0x7ffff000u /* of one read or write; the kernel's */

/* user_data that is no id of an operation */
#define NOBODY 0
#define WAKE UINT64_MAX
#define CANCEL ((uint64_t)1 << 62) /* in no id; with one: its cancellation */

/* Of an operation; no engine uses another's numbers. */
enum op_state {
    CALLED = 16, /* the kernel does it */
    POLLED,      /* the kernel tells when it may be tried */
    DONE,
    CANCELLED = 128 /* with one of the above: its end has been asked for */
};

typedef struct uring_loop {
    coir_loop head;
    struct io_uring ring;
    unsigned enter_fd; /* a registered index, or the descriptor */
    unsigned enter_flags;
    bool registered;
    pid_t thread;
    bool reaping;
    bool wake_once; /* no multishot poll */
    int wake_fd;
    int event_fd;       /* -1: the loop's own thread waits in the ring */
    _Atomic bool woken; /* a write is on its way, another would tell nothing new */
} uring_loop;

static uring_loop *from(coir_loop *loop) { return (uring_loop *)(void *)loop; }

static int reap(uring_loop *l);

/* -- the queues ----------------------------------------------------------------------------------- */

/* Shows the kernel what is queued; how much that is. */
static unsigned publish(uring_loop *l)
{
    struct io_uring_sq *sq = &l->ring.sq;
    if (sq->sqe_head != sq->sqe_tail) {
        sq->sqe_head = sq->sqe_tail;
        io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    }
    return sq->sqe_tail - *sq->khead;
}

/* Submits all, runs what the kernel has deferred, and waits for a completion up to `timeout`. */
static int try_enter(uring_loop *l, int64_t timeout)
{
    unsigned flags = IORING_ENTER_GETEVENTS | l->enter_flags;
    if (timeout <= 0)
        return io_uring_enter2(l->enter_fd, publish(l), 0, flags, NULL, 0);
    struct __kernel_timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    struct io_uring_getevents_arg arg = {0};
    if (timeout != COIR_FOREVER)
        arg.ts = (uint64_t)(uintptr_t)&ts;
    return io_uring_enter2(l->enter_fd, publish(l), 1, flags | IORING_ENTER_EXT_ARG,
                           (sigset_t *)(void *)&arg, sizeof arg);
}

/* The same. 0, or less if the kernel is short of memory or room; nothing else can be wrong with a ring of ours. */
static int enter(uring_loop *l, int64_t timeout)
{
    int rc = try_enter(l, timeout);
    switch (rc) {
    case -EBADF:
    case -ENXIO:
    case -EINVAL:
    case -EOPNOTSUPP:
        coir__misuse(
            "io_uring_enter: %s; has somebody closed the descriptor of the runtime's ring?",
            coir_strerror(rc));
    case -ETIME:
    case -EINTR:
        return 0;
    default:
        return rc < 0 ? rc : 0;
    }
}

static unsigned kernel_flags(const uring_loop *l)
{
    return __atomic_load_n(l->ring.sq.kflags, __ATOMIC_RELAXED);
}

/* An entry to fill. When the queue is full it is submitted; if the kernel does not take any because completions pile
 * up, those are dealt with first. */
static struct io_uring_sqe *entry(uring_loop *l)
{
    struct io_uring_sqe *sqe;
    while (coir__unlikely((sqe = io_uring_get_sqe(&l->ring)) == NULL))
        if (enter(l, 0) < 0) {
            if (l->reaping || reap(l) == 0)
                sched_yield(); /* out of memory for requests */
        }
    return sqe;
}

/* -- operations ----------------------------------------------------------------------------------- */

static bool is_socket(int kind)
{
    int is = kind & COIR__FD_KINDS;
    return is == COIR__FD_SOCKET || is == COIR__FD_TCP;
}

static bool is_file(int kind) { return (kind & COIR__FD_KINDS) == COIR__FD_FILE; }

static unsigned length(const coir_op *op)
{
    return op->len < LENGTH_MAX ? (unsigned)op->len : LENGTH_MAX;
}

static void queue_poll(uring_loop *l, coir_op *op)
{
    struct io_uring_sqe *sqe = entry(l);
    io_uring_prep_poll_add(sqe, op->fd, (uint16_t)coir__attempt_events(op));
    sqe->user_data = op->id;
    op->state = POLLED;
}

static void prepare_read(struct io_uring_sqe *sqe, coir_op *op, int kind)
{
    if (is_file(kind)) {
        io_uring_prep_read(sqe, op->fd, op->buf, length(op), (uint64_t)-1);
        return;
    }
    io_uring_prep_recv(sqe, op->fd, op->buf, length(op), 0);
    if (op->dry & COIR__FD_NO_INPUT)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static void prepare_write(struct io_uring_sqe *sqe, coir_op *op, int kind)
{
    if (is_file(kind))
        io_uring_prep_write(sqe, op->fd, op->buf, length(op), (uint64_t)-1);
    else
        io_uring_prep_send(sqe, op->fd, op->buf, length(op), MSG_NOSIGNAL);
}

static void queue_call(uring_loop *l, coir_op *op, int kind)
{
    struct io_uring_sqe *sqe = entry(l);
    struct coir_addr *a = op->addr;
    switch (op->kind) {
    case COIR_OP_READ:
        prepare_read(sqe, op, kind);
        break;
    case COIR_OP_WRITE:
        prepare_write(sqe, op, kind);
        break;
    case COIR_OP_ACCEPT:
        if (a)
            a->len = sizeof a->u;
        io_uring_prep_accept(sqe, op->fd, a ? &a->u.sa : NULL, a ? &a->len : NULL,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
        break;
    default:
        io_uring_prep_connect(sqe, op->fd, &a->u.sa, a->len);
        break;
    }
    sqe->user_data = op->id;
    op->state = CALLED;
}

/* Whether the kernel does `op` by itself; else it tells when to try. */
static bool is_call(const coir_op *op, int kind)
{
    switch (op->kind) {
    case COIR_OP_READ:
    case COIR_OP_WRITE:
        return is_socket(kind) || is_file(kind);
    case COIR_OP_POLL:
        return false;
    default:
        return true;
    }
}

/* The kernel polls a local listener's full queue busily; connect(2) says it at once. */
static bool is_local_connect(const coir_op *op)
{
    return op->kind == COIR_OP_CONNECT && op->addr->u.sa.sa_family == AF_UNIX;
}

static int64_t uring_attempt(coir_loop *loop, coir_op *op)
{
    (void)loop;
    int kind = coir__fd_kind(op->slot, op->fd);
    if (kind < 0)
        return kind;
    if (coir__likely(is_call(op, kind) || op->kind == COIR_OP_POLL) && !is_local_connect(op))
        return COIR_OP_PENDING;
    int64_t n = coir__attempt(op, false);
    return n == -EAGAIN ? COIR_OP_PENDING : n;
}

static int64_t uring_submit(coir_loop *loop, coir_op *op, void **ret_lock)
{
    uring_loop *l = from(loop);
    (void)ret_lock;
    int kind = coir__fd_kind(op->slot, op->fd);
    if (kind < 0)
        return kind;
    if (is_call(op, kind) && !is_local_connect(op))
        queue_call(l, op, kind);
    else
        queue_poll(l, op);
    return COIR_OP_PENDING;
}

static void queue_cancel(uring_loop *l, uint64_t id)
{
    struct io_uring_sqe *sqe = entry(l);
    io_uring_prep_cancel64(sqe, id, 0);
    sqe->user_data = id ^ CANCEL;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void uring_cancel(coir_loop *loop, coir_op *op)
{
    uring_loop *l = from(loop);
    if (op->state != CALLED && op->state != POLLED)
        return;
    op->state |= CANCELLED;
    queue_cancel(l, op->id);
}

/* -- completions ---------------------------------------------------------------------------------- */

static int finish(coir_op *op, int64_t result)
{
    op->state = DONE;
    coir_op_complete(op, result);
    return 1;
}

static int64_t attempt_alone(coir_op *op)
{
    coir__lock_take(&op->slot->lock);
    int64_t n = coir__attempt(op, true);
    coir__lock_drop(&op->slot->lock);
    return n;
}

/* Goes on with an operation that has not happened yet. 1 if that ends it. */
static int go_on(uring_loop *l, coir_op *op, bool poll_first)
{
    if (op->state & CANCELLED)
        return finish(op, -ECANCELED);
    int kind = coir__fd_kind(op->slot, op->fd);
    if (kind < 0)
        return finish(op, kind);
    if (is_call(op, kind) && !is_local_connect(op)) {
        if (poll_first)
            queue_poll(l, op);
        else
            queue_call(l, op, kind);
        return 0;
    }
    int64_t n = poll_first ? -EAGAIN : attempt_alone(op);
    if (n != -EAGAIN)
        return finish(op, n);
    queue_poll(l, op);
    return 0;
}

static int on_polled(uring_loop *l, coir_op *op, int res)
{
    if (res < 0)
        return res == -EINTR ? go_on(l, op, true) : finish(op, res);
    if (op->kind == COIR_OP_POLL)
        return finish(op, (int16_t)res);
    return go_on(l, op, false);
}

static int on_called(uring_loop *l, coir_op *op, int res)
{
    int kind = atomic_load_explicit(&op->slot->kind, memory_order_relaxed);
    switch (res) {
    case -EINTR:
        return go_on(l, op, false);
    case -EAGAIN: /* kernels that take a file's O_NONBLOCK for the operation's */
        if (!is_file(kind))
            return go_on(l, op, true);
        return finish(op, attempt_alone(op));
    case -ENOTSOCK: /* somebody has closed the socket, and the number is another file now */
        if (op->kind > COIR_OP_WRITE || kind != COIR__FD_SOCKET)
            return finish(op, res);
        atomic_store_explicit(&op->slot->kind, COIR__FD_UNKNOWN, memory_order_relaxed);
        return go_on(l, op, false);
    default:
        return finish(op, res);
    }
}

static int on_operation(uring_loop *l, uint64_t id, int res)
{
    coir_op *op = coir_op_find(id);
    if (coir__unlikely(!op))
        return 0;
    return (op->state & ~CANCELLED) == POLLED ? on_polled(l, op, res) : on_called(l, op, res);
}

/*
 * The kernel has not found the operation. Mostly because it has ended, and its completion came before this one. But while it is
 * between two waits, about to be tried again because its file has become ready, the kernel does not find it either; and if
 * somebody else has taken what there was, it then waits again. So who is still there is cancelled once more.
 */
static void on_not_cancelled(uring_loop *l, uint64_t id, int res)
{
    const coir_op *op = res == -ENOENT ? coir_op_find(id) : NULL;
    if (op && op->state & CANCELLED && op->state != DONE)
        queue_cancel(l, id);
}

static void arm_wake(uring_loop *l)
{
    struct io_uring_sqe *sqe = entry(l);
    if (l->wake_once)
        io_uring_prep_poll_add(sqe, l->wake_fd, POLLIN);
    else
        io_uring_prep_poll_multishot(sqe, l->wake_fd, POLLIN);
    sqe->user_data = WAKE;
}

/* Multishot polls report edges, so the counter need not be read; but one that ended starts with a look at it. */
static void on_wake(uring_loop *l, const struct io_uring_cqe *cqe)
{
    uint64_t count;
    if (cqe->res == -EINVAL)
        l->wake_once = true;
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        while (read(l->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
            ;
        arm_wake(l);
    }
    /* Pairs with wake: what it stands for is seen after the poll. */
    atomic_exchange(&l->woken, false);
}

/* Fetches what the completions behind the next one will touch: an operation; then its task and its descriptor's slot. With
 * 1,000 connections none of that is in the cache. */
static void look_ahead(const struct io_uring_cq *cq, unsigned head, unsigned tail)
{
    const unsigned far = 6, near = 3;
    if (tail - head > far)
        coir_op_expect(cq->cqes[(head + far) & cq->ring_mask].user_data, false);
    if (tail - head > near)
        coir_op_expect(cq->cqes[(head + near) & cq->ring_mask].user_data, true);
}

/* Deals with the completions there are; how many operations ended. */
static int reap(uring_loop *l)
{
    struct io_uring_cq *cq = &l->ring.cq;
    unsigned head = *cq->khead, tail = io_uring_smp_load_acquire(cq->ktail);
    int completed = 0;
    l->reaping = true;
    while (head != tail) {
        look_ahead(cq, head, tail);
        struct io_uring_cqe cqe = cq->cqes[head & cq->ring_mask];
        io_uring_smp_store_release(cq->khead, ++head);
        if (cqe.user_data == WAKE)
            on_wake(l, &cqe);
        else if (cqe.user_data & CANCEL)
            on_not_cancelled(l, cqe.user_data ^ CANCEL, cqe.res);
        else if (cqe.user_data != NOBODY)
            completed += on_operation(l, cqe.user_data, cqe.res);
    }
    l->reaping = false;
    return completed;
}

/* After an enter, whose own completions are reaped next, and before the look at what came later. */
static void event_clear(uring_loop *l)
{
    uint64_t count;
    while (read(l->event_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    atomic_exchange(&l->woken,
                    false); /* pairs with wake: what it stands for is seen after the poll */
}

static int uring_poll(coir_loop *loop, int64_t timeout)
{
    uring_loop *l = from(loop);
    bool ready = io_uring_cq_ready(&l->ring) != 0;
    bool work = io_uring_sq_ready(&l->ring) != 0 ||
                (kernel_flags(l) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
    if (work || (!ready && timeout > 0))
        enter(l, ready ? 0 : timeout); /* errors: nothing taken, or in time; reap and come again */
    if (l->event_fd >= 0)
        event_clear(l);
    return reap(l);
}

static bool uring_has_events(coir_loop *loop)
{
    uring_loop *l = from(loop);
    return io_uring_cq_ready(&l->ring) != 0 || io_uring_sq_ready(&l->ring) != 0 ||
           (kernel_flags(l) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static void uring_wake(coir_loop *loop)
{
    static const uint64_t one = 1;
    uring_loop *l = from(loop);
    if (!atomic_exchange(&l->woken, true))
        while (write(l->event_fd >= 0 ? l->event_fd : l->wake_fd, &one, sizeof one) < 0 &&
               errno == EINTR)
            ;
}

/* -- life ----------------------------------------------------------------------------------------- */

/* The kernel orders the unmapping of one ring before the mapping of another at the same address. This says so in a way that
 * ThreadSanitizer can see. */
static _Atomic unsigned rings_closed;

static int ring_open(struct io_uring *ring)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* 6.1 */
        IORING_SETUP_COOP_TASKRUN,                               /* 5.19 */
    };
    const unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL |
                            IORING_FEAT_RW_CUR_POS | IORING_FEAT_CQE_SKIP;
    int rc = -ENOSYS;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct io_uring_params p = {
            .flags = flags[i] | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                     IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = COMPLETIONS,
        };
        rc = io_uring_queue_init_params(SUBMISSIONS, ring, &p);
        if (rc != -EINVAL)
            break;
    }
    if (rc < 0)
        return rc == -EINVAL ? -ENOSYS : rc;
    atomic_load_explicit(&rings_closed, memory_order_acquire);
    if ((ring->features & needed) == needed)
        return 0;
    io_uring_queue_exit(ring);
    return -ENOSYS;
}

/* A registered ring saves looking the descriptor up at each enter. The index belongs to this thread. */
static void ring_register(uring_loop *l)
{
    struct io_uring_rsrc_update u = {.offset = -1U, .data = (unsigned)l->ring.ring_fd};
    l->enter_fd = (unsigned)l->ring.ring_fd;
    if (l->ring.features & IORING_FEAT_NO_IOWAIT)
        l->enter_flags = IORING_ENTER_NO_IOWAIT; /* an idle server is not waiting for a disk */
    l->registered = io_uring_register((unsigned)l->ring.ring_fd, IORING_REGISTER_RING_FDS, &u, 1) ==
                    1;
    if (!l->registered)
        return;
    l->enter_fd = u.offset;
    l->enter_flags |= IORING_ENTER_REGISTERED_RING;
}

static void ring_unregister(uring_loop *l)
{
    struct io_uring_rsrc_update u = {.offset = l->enter_fd};
    if (l->registered &&
        l->thread == gettid()) /* else the thread has ended, and its indices with it */
        io_uring_register((unsigned)l->ring.ring_fd, IORING_UNREGISTER_RING_FDS, &u, 1);
}

/* Not the wake descriptor, which is polled in the ring: it would wake itself. */
static int uring_descriptor(coir_loop *loop)
{
    uring_loop *l = from(loop);
    if (l->event_fd >= 0)
        return l->event_fd;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = fd < 0 ? -errno : io_uring_register_eventfd(&l->ring, fd);
    if (rc < 0) {
        if (fd >= 0)
            close(fd);
        return rc;
    }
    l->event_fd = fd;
    return fd;
}

static int loop_open(uring_loop *l)
{
    int rc = ring_open(&l->ring);
    if (rc < 0)
        return rc;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0) {
        rc = -errno;
        io_uring_queue_exit(&l->ring);
        return rc;
    }
    struct io_uring_sq *sq = &l->ring.sq;
    for (unsigned i = 0; sq->array && i < sq->ring_entries; i++)
        sq->array[i] = i; /* entries are used in order */
    l->thread = gettid();
    ring_register(l);
    arm_wake(l);
    return 0;
}

static int uring_init(coir_loop **ret_loop)
{
    uring_loop *l = coir__alloc_zero(sizeof *l);
    if (!l)
        return -ENOMEM;
    l->head.engine = &coir__engine_uring;
    l->event_fd = -1;
    int rc = loop_open(l);
    if (rc < 0) {
        coir__release(l);
        return rc;
    }
    *ret_loop = &l->head;
    return 0;
}

static void uring_destroy(coir_loop *loop)
{
    uring_loop *l = from(loop);
    ring_unregister(l);
    atomic_fetch_add_explicit(&rings_closed, 1, memory_order_release);
    io_uring_queue_exit(&l->ring);
    close(l->wake_fd);
    if (l->event_fd >= 0)
        close(l->event_fd);
    coir__release(l);
}

const coir_engine coir__engine_uring = {
    .name = "uring",
    .init = uring_init,
    .destroy = uring_destroy,
    .attempt = uring_attempt,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .poll = uring_poll,
    .has_events = uring_has_events,
    .wake = uring_wake,
    .descriptor = uring_descriptor,
};
