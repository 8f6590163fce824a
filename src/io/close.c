/* SPDX-License-Identifier: MIT */
/*
 * close.c - how a descriptor ends, and how a new one begins.
 *
 * Who closes marks the slot, so that nobody enters any more; has each worker that owns an operation on it end that; waits
 * until the last one has left; and calls close(2) with the slot's lock held. The number is free during that call already, and
 * whoever gets it first waits for the lock, then finds a fresh generation.
 */
#include <coir/net.h>
#include <unistd.h>

#include "io/op.h"
#include "loop/fd.h"

/* Asks for the end of every operation on a slot. */
static void expel_all_locked(coir__fd *slot)
{
    for (coir_op *op = slot->first; op; op = op->next) {
        op->expelled = true;
        coir__op_post((coir__op *)(void *)op);
    }
}

int coir__fd_adopt(int fd, int kind)
{
    coir__fd *slot = coir__fd_slot(fd);
    if (!slot) {
        close(fd);
        return -ENOMEM;
    }
    coir__lock_take(&slot->lock);
    expel_all_locked(slot); /* of an older file, which somebody has closed by close(2) */
    coir__fd_reset_locked(slot, fd, kind | COIR__FD_OWN);
    coir__lock_drop(&slot->lock);
    return fd;
}

int64_t coir__fd_leave(coir__worker *w, coir_op *op, int64_t result)
{
    coir__fd *slot = op->slot;
    coir__node *closer = NULL;
    uint32_t was = COIR__PARK_ACTIVE;
    coir__lock_take(&slot->lock);
    if (coir__unlikely(coir__fd_leave_locked(slot, op, result)))
        closer = coir__claim_first(&slot->closers, NULL, &was);
    if (coir__unlikely(result == -ECANCELED))
        result = op->expelled ? -EBADF : ((coir__op *)(void *)op)->drained ? -ESHUTDOWN : result;
    coir__lock_drop(&slot->lock);
    if (coir__unlikely(closer != NULL))
        coir__wake(w, closer, was, 0);
    return result;
}

static int close_number(int fd)
{
    return close(fd) < 0 && errno != EINTR ? -errno
                                           : 0; /* interrupted, it is closed all the same */
}

static int close_locked(coir__fd *slot, int fd)
{
    bool own = (atomic_load_explicit(&slot->kind, memory_order_relaxed) & COIR__FD_OWN) != 0;
    if (own && slot->loop && slot->loop->engine->forget)
        slot->loop->engine->forget(slot->loop, fd);
    int rc = close_number(fd);
    coir__fd_reset_locked(slot, fd, COIR__FD_UNKNOWN);
    return rc;
}

int coir_close(int fd)
{
    coir__worker *w = coir__worker_here();
    coir__fd *slot = fd < 0 ? NULL : coir__fd_slot(fd);
    if (!slot)
        return fd < 0 ? -EBADF : close_number(fd);
    coir__lock_take(&slot->lock);
    if (slot->closing) {
        coir__lock_drop(&slot->lock);
        return -EBADF;
    }
    slot->closing = true;
    if (slot->first) {
        expel_all_locked(slot);
        coir__wait_queue(w->current, &slot->closers, NULL);
        coir__park_shielded(w, w->current, &slot->lock, COIR__WAIT_CLOSE);
        coir__lock_take(&slot->lock);
    }
    int rc = close_locked(slot, fd);
    coir__lock_drop(&slot->lock);
    return rc;
}
