/* SPDX-License-Identifier: MIT */
/*
 * epoll.c - the engine for kernels and sandboxes without io_uring, and for debuggers that can't follow it.
 *
 * Operations are system calls that do not wait (loop/attempt.h): by the task, if the slot does not say that it is no use.
 * When the kernel has reported the descriptor, a task that is alone in its direction is woken to call again; for others
 * the poll calls, in the order in which they came, and wakes them with the result.
 *
 * Files that coir opened are registered once, edge-triggered, for everything, with the loop that first waited for them.
 * Whatever loop that is, it serves every operation on the slot, of other workers and runtimes too. An edge comes for
 * everything that happens after a call has returned EAGAIN (or a short read, on TCP), so a dry slot may be waited for without
 * another look; `tick` tells whether an event came between the look and the lock.
 *
 * Files that others opened may be closed by others, unseen, and their number reused. They are armed anew by each wait,
 * one-shot and level-triggered, with the waiter's loop.
 *
 * E1  An operation is WAITING only while an event for it is due. Changes of op->state are made under the slot's lock.
 * E2  The kernel is given number and generation. An event of another generation is dropped.
 * E3  What parks under the slot's lock has its registers saved when a poll gets that lock.
 *
 * Cost on the hot path: no epoll_ctl; a read is one epoll_wait (shared) and one recv. Always trying the read first was
 * measured and costs 10-30 per cent with many connections (Linux 6.18, 2026-11).
 */
#include <coir/loop.h>
#include <coir/net.h>
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/time.h"
#include "loop/attempt.h"
#include "loop/engines.h"
#include "loop/fd.h"
#include "sched/upcall.h"

#define EVENTS 256
#define WAKE UINT64_MAX
#define INPUT_EVENTS (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)
#define OUTPUT_EVENTS (EPOLLOUT | EPOLLHUP | EPOLLERR)
#define ENDING_EVENTS (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)

/* Of an operation; no engine uses another's numbers. */
enum op_state { WAITING = 1, DONE };

typedef struct epoll_loop {
    coir_loop head;
    int epfd;
    int wake_fd;            /* never read: every write is an edge */
    _Atomic bool woken;     /* a write is on its way, another would tell nothing new */
    _Atomic bool registers; /* files of ours have been registered here */
    bool coarse;            /* no epoll_pwait2(2) */
    struct epoll_event events[EVENTS];
} epoll_loop;

static epoll_loop *from(coir_loop *loop) { return (epoll_loop *)(void *)loop; }

static bool is_own(const coir__fd *slot)
{
    return (atomic_load_explicit(&slot->kind, memory_order_relaxed) & COIR__FD_OWN) != 0;
}

/* The bit of slot->dry by which an operation is known to be no use. */
static uint8_t dry_bit(const coir_op *op)
{
    switch (op->kind) {
    case COIR_OP_READ:
    case COIR_OP_ACCEPT:
        return COIR__FD_NO_INPUT;
    case COIR_OP_WRITE:
        return COIR__FD_NO_ROOM;
    default:
        return 0;
    }
}

static uint32_t interest(const coir_op *op) { return (uint16_t)coir__attempt_events(op); }

/* -- registration --------------------------------------------------------------------------------- */

/* Adds, or changes what is there, whichever it is. `known`: it is probably there. 0 or an error. */
static int control(epoll_loop *l, int fd, bool known, struct epoll_event *e)
{
    if (epoll_ctl(l->epfd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, e) == 0)
        return 0;
    if (errno != (known ? ENOENT : EEXIST))
        return -errno;
    return epoll_ctl(l->epfd, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, e) == 0 ? 0 : -errno;
}

static int register_own_locked(epoll_loop *l, coir__fd *slot, int fd)
{
    struct epoll_event e = {
        .events = EPOLLET | EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP,
        .data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)fd,
    };
    int rc = control(l, fd, false, &e);
    if (rc < 0)
        return rc;
    slot->loop = &l->head;
    atomic_store_explicit(&l->registers, true, memory_order_relaxed);
    return 0;
}

/* Arms a file of others for all who wait for it on this loop, and `events`. */
static int arm_other_locked(epoll_loop *l, coir__fd *slot, int fd, uint32_t events)
{
    for (const coir_op *op = slot->first; op; op = op->next)
        if (op->state == WAITING && op->loop == &l->head)
            events |= interest(op);
    struct epoll_event e = {
        .events = EPOLLONESHOT | events,
        .data.u64 = (uint64_t)slot->generation << 32 | (uint32_t)fd,
    };
    bool known = slot->loop == &l->head;
    slot->loop = &l->head;
    return control(l, fd, known, &e);
}

static int arm_locked(epoll_loop *l, coir_op *op)
{
    if (!is_own(op->slot))
        return arm_other_locked(l, op->slot, op->fd, interest(op));
    return op->slot->loop ? 0 : register_own_locked(l, op->slot, op->fd);
}

static void epoll_forget(coir_loop *loop, int fd)
{
    struct epoll_event unused = {0};
    epoll_ctl(from(loop)->epfd, EPOLL_CTL_DEL, fd, &unused);
}

/* -- operations ----------------------------------------------------------------------------------- */

static int64_t epoll_attempt(coir_loop *loop, coir_op *op)
{
    (void)loop;
    if (op->dry & dry_bit(op))
        return COIR_OP_PENDING;
    int64_t n = coir__attempt(op, false);
    return n == -EAGAIN ? COIR_OP_PENDING : n;
}

/* The rest of submit, under the slot's lock, which is kept if the operation waits. */
static int64_t submit_locked(epoll_loop *l, coir_op *op)
{
    coir__fd *slot = op->slot;
    if (op->expelled)
        return -EBADF;
    bool dry = (slot->dry & dry_bit(op)) != 0;
    if (!dry && op->tick != slot->tick) { /* something has happened since the attempt */
        op->tick = slot->tick;
        int64_t n = coir__attempt(op, true);
        if (n != -EAGAIN)
            return n;
    }
    slot->dry |= dry_bit(op);
    int rc = arm_locked(l, op);
    if (rc == -EPERM) /* a file that can't be waited for */
        return coir__attempt(op, true);
    if (rc < 0)
        return rc;
    op->state = WAITING;
    return COIR_OP_PENDING;
}

static int64_t epoll_submit(coir_loop *loop, coir_op *op, void **ret_lock)
{
    coir__lock *lock = &op->slot->lock;
    coir__lock_take(lock);
    int64_t result = submit_locked(from(loop), op);
    if (result == COIR_OP_PENDING)
        *ret_lock = lock;
    else
        coir__lock_drop(lock);
    return result;
}

static void epoll_cancel(coir_loop *loop, coir_op *op)
{
    (void)loop;
    coir__lock_take(&op->slot->lock);
    bool ours = op->state == WAITING;
    if (ours)
        op->state = DONE;
    coir__lock_drop(&op->slot->lock);
    if (ours)
        coir_op_complete(op, -ECANCELED);
}

/* -- events --------------------------------------------------------------------------------------- */

static void note_events_locked(coir__fd *slot, uint32_t events)
{
    slot->tick++;
    if (events & INPUT_EVENTS)
        slot->dry &= (uint8_t)~COIR__FD_NO_INPUT;
    if (events & OUTPUT_EVENTS)
        slot->dry &= (uint8_t)~COIR__FD_NO_ROOM;
    if (events & ENDING_EVENTS)
        slot->dry |= COIR__FD_ENDING;
}

/* Whether the waiter may do the call itself: a lone one of its direction, so that nobody depends on what it leaves. Then the
 * kernel's side of the file is touched once for a read and the write that answers it; 1,000 connections: 15 per cent. */
static bool is_lone_locked(const coir__fd *slot, const coir_op *op)
{
    if (dry_bit(op) == 0 || !is_own(slot))
        return false;
    for (const coir_op *other = slot->first; other; other = other->next)
        if (other != op && other->state == WAITING && dry_bit(other) == dry_bit(op))
            return false;
    return true;
}

/* The first operation that `events` let go on and that has been done; its result. NULL: none. */
static coir_op *do_next_locked(coir__fd *slot, uint32_t events, int64_t *ret_result)
{
    for (coir_op *op = slot->first; op; op = op->next) {
        bool concerned = (events & (interest(op) | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0;
        if (op->state != WAITING || op->expelled || !concerned || (slot->dry & dry_bit(op)))
            continue;
        op->tick = slot->tick;
        int64_t n = is_lone_locked(slot, op) ? COIR_OP_AGAIN : coir__attempt(op, true);
        if (n != -EAGAIN) {
            op->state = DONE;
            *ret_result = n;
            return op;
        }
        slot->dry |= dry_bit(op);
    }
    return NULL;
}

/* One operation that can't be waited for any longer. */
static coir_op *give_up_locked(epoll_loop *l, coir__fd *slot)
{
    for (coir_op *op = slot->first; op; op = op->next)
        if (op->state == WAITING && op->loop == &l->head) {
            op->state = DONE;
            return op;
        }
    return NULL;
}

static bool has_waiter_locked(const epoll_loop *l, const coir__fd *slot)
{
    for (const coir_op *op = slot->first; op; op = op->next)
        if (op->state == WAITING && op->loop == &l->head)
            return true;
    return false;
}

/* The next operation to complete because of `events`, and how. */
static coir_op *serve_one_locked(epoll_loop *l, coir__fd *slot, int fd, uint32_t events,
                                 int64_t *ret_result)
{
    coir_op *op = do_next_locked(slot, events, ret_result);
    if (op || is_own(slot) || !has_waiter_locked(l, slot))
        return op;
    int rc = arm_other_locked(l, slot, fd, 0);
    *ret_result = rc;
    return rc < 0 ? give_up_locked(l, slot) : NULL;
}

/* Does what an event allows; returns the number completed. Completing takes the lock again, so it is let go in between. */
static int serve(epoll_loop *l, const struct epoll_event *e)
{
    int fd = (int)(uint32_t)e->data.u64, completed = 0;
    uint32_t generation = (uint32_t)(e->data.u64 >> 32);
    coir__fd *slot = coir__fd_slot(fd);
    coir__lock_take(&slot->lock);
    if (slot->generation == generation)
        note_events_locked(slot, e->events);
    while (slot->generation == generation) {
        int64_t result;
        coir_op *op = serve_one_locked(l, slot, fd, e->events, &result);
        if (!op)
            break;
        coir_op_hold(op);
        coir__lock_drop(&slot->lock);
        coir_op_complete(op, result);
        completed++;
        coir__lock_take(&slot->lock);
    }
    coir__lock_drop(&slot->lock);
    return completed;
}

static int wait_finely(epoll_loop *l, int64_t timeout)
{
    struct timespec ts = coir__time_spec(timeout);
    int n = (int)syscall(SYS_epoll_pwait2, l->epfd, l->events, EVENTS, &ts, NULL, (size_t)0);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) /* before 5.11, or in a sandbox */
        l->coarse = true;
    return n;
}

static int wait_for_events(epoll_loop *l, int64_t timeout)
{
    if (timeout > 0 && timeout != COIR_FOREVER && !l->coarse) {
        int n = wait_finely(l, timeout);
        if (!l->coarse)
            return n;
    }
    int64_t ms = timeout / 1000000 + (timeout % 1000000 > 0);
    if (timeout <= 0)
        ms = 0;
    return epoll_wait(l->epfd, l->events, EVENTS,
                      timeout == COIR_FOREVER ? -1 : (int)(ms < INT_MAX ? ms : INT_MAX));
}

static int epoll_poll(coir_loop *loop, int64_t timeout)
{
    epoll_loop *l = from(loop);
    int completed = 0;
    int n = wait_for_events(l, timeout);
    if (n < 0 && errno != EINTR)
        coir__misuse("epoll_wait: %s; has somebody closed the descriptor of the runtime's loop?",
                     coir_strerror(errno));
    for (int i = 0; i < n; i++) {
        if (l->events[i].data.u64 != WAKE)
            completed += serve(l, &l->events[i]);
        else /* pairs with wake: what it stands for is seen after the poll */
            atomic_exchange(&l->woken, false);
    }
    return n == EVENTS ? -EAGAIN : completed;
}

/* Unknown without a system call; the worker polls once in a time slice. */
static bool epoll_has_events(coir_loop *loop)
{
    (void)loop;
    return false;
}

static void epoll_wake(coir_loop *loop)
{
    static const uint64_t one = 1;
    epoll_loop *l = from(loop);
    if (!atomic_exchange(&l->woken, true))
        while (write(l->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
}

/* Epoll descriptors nest, and what is edge-triggered inside is so for the outside too: once polled it is not readable. */
static int epoll_descriptor(coir_loop *loop) { return from(loop)->epfd; }

/* -- life ----------------------------------------------------------------------------------------- */

static int loop_open(epoll_loop *l)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u64 = WAKE};
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epfd < 0)
        return -errno;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd >= 0 && epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->wake_fd, &e) == 0)
        return 0;
    int rc = -errno;
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    close(l->epfd);
    return rc;
}

static int epoll_init(coir_loop **ret_loop)
{
    epoll_loop *l = coir__alloc_zero(sizeof *l);
    if (!l)
        return -ENOMEM;
    l->head.engine = &coir__engine_epoll;
    int rc = loop_open(l);
    if (rc < 0) {
        coir__release(l);
        return rc;
    }
    *ret_loop = &l->head;
    return 0;
}

/* A slot loses its loop. If somebody of another runtime waits, their loop takes over; the first event tells what was missed. */
static void unregister(coir__fd *slot, int fd, void *arg)
{
    epoll_loop *l = arg;
    coir__lock_take(&slot->lock);
    if (slot->loop == &l->head && is_own(slot)) {
        slot->loop = NULL;
        for (coir_op *op = slot->first; op && !slot->loop; op = op->next)
            if (op->state == WAITING && op->loop->engine == &coir__engine_epoll)
                register_own_locked(from(op->loop), slot, fd);
    }
    coir__lock_drop(&slot->lock);
}

static void epoll_destroy(coir_loop *loop)
{
    epoll_loop *l = from(loop);
    if (atomic_load_explicit(&l->registers, memory_order_relaxed))
        coir__fd_visit_own(unregister, l);
    close(l->wake_fd);
    close(l->epfd);
    coir__release(l);
}

const coir_engine coir__engine_epoll = {
    .name = "epoll",
    .init = epoll_init,
    .destroy = epoll_destroy,
    .attempt = epoll_attempt,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .poll = epoll_poll,
    .has_events = epoll_has_events,
    .wake = epoll_wake,
    .forget = epoll_forget,
    .descriptor = epoll_descriptor,
};
