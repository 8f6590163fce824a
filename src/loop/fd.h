/* SPDX-License-Identifier: MIT */
#ifndef COIR_LOOP_FD_H
#define COIR_LOOP_FD_H

/*
 * fd.h - what the process knows about its descriptors: one slot for each number that was ever used.
 *
 * A number means one file after another. The slot's generation moves when coir opens or closes the number, so that an event
 * or a call that was meant for the old file is recognised. Files that others open and close come and go unnoticed:
 * nothing in a slot may be relied upon for them, except that no operation is lost (loop/epoll.c re-arms).
 *
 *   slot -> op <-> op <-> op       in order of arrival; each from its entry until it has ended
 *
 * I1  An operation enters under the lock, and not while the slot is closing.
 * I2  close(2) is called when the list is empty, under the lock: whoever gets the number next finds a fresh slot.
 * I3  `kind` with COIR__FD_OWN is certain; without it, it is what was seen last.
 * I4  Where a file of ours is registered with an epoll loop, a dry bit means that an event will come. Elsewhere they are
 *     hints.
 *
 * Slots are 64 bytes, in chunks that are mapped on first use (all but the first) and stay. Lock rank: object. It is held across the system calls
 * of epoll loops (a few microseconds), and across close(2).
 */

#include <coir/loop.h>

#include "base/compat.h"
#include "base/list.h"
#include "base/lock.h"

enum coir__fd_kind {
    COIR__FD_UNKNOWN,
    COIR__FD_TCP,    /* a stream whose short read means that it is drained */
    COIR__FD_SOCKET, /* any other socket */
    COIR__FD_FILE,   /* regular file, block device: never waits, but may block */
    COIR__FD_OTHER,  /* pipe, terminal, eventfd, ... */
    COIR__FD_KINDS = 7,
    COIR__FD_OWN = 8, /* with one of the above: opened by coir, non-blocking */
};

/* Bits of `dry`. */
enum coir__fd_dry {
    COIR__FD_NO_INPUT = 1,
    COIR__FD_NO_ROOM = 2,
    COIR__FD_ENDING = 4, /* hang-up, error, urgent data seen: a short read means nothing any more */
};

typedef struct coir__fd {
    coir__lock lock; /* guards all below */
    uint32_t generation;
    coir_op *first, *last;
    coir__link closers; /* the task that waits for the list to be empty */
    coir_loop *loop; /* with which it is (own files) or was last (others) registered; NULL: none */
    uint32_t tick;   /* events seen */
    uint8_t dry;
    bool closing;
    _Atomic uint8_t kind; /* read without the lock too */
} coir__fd;

_Static_assert(sizeof(coir__fd) <= 64, "one cache line");

#define COIR__FD_CHUNK_SHIFT 14
#define COIR__FD_CHUNK (1u << COIR__FD_CHUNK_SHIFT)
#define COIR__FD_CHUNKS (1u << (31 - COIR__FD_CHUNK_SHIFT)) /* any int */

extern coir__fd *_Atomic coir__fd_chunks[COIR__FD_CHUNKS];

coir__fd *coir__fd_slot_new(int fd);

/* The slot of a number >= 0; NULL when out of memory. */
COIR__INLINE coir__fd *coir__fd_slot(int fd)
{
    coir__fd *chunk = atomic_load_explicit(&coir__fd_chunks[fd >> COIR__FD_CHUNK_SHIFT],
                                           memory_order_acquire); /* pairs with slot_new */
    return coir__likely(chunk != NULL) ? &chunk[(unsigned)fd & (COIR__FD_CHUNK - 1)]
                                       : coir__fd_slot_new(fd);
}

/* What `fd` is: the slot's word if that is certain or a socket (whose calls say so when it is none any more), else fstat(2)'s.
 * Or a negative error. */
int coir__fd_kind(coir__fd *slot, int fd);

/* The number has been closed, or is a file that coir has just opened: a fresh generation. The lock is held. */
void coir__fd_reset_locked(coir__fd *slot, int fd, int kind);

/* Puts an operation in, unless the slot is closing, or its generation is not `generation` - 1 (0: any). */
bool coir__fd_enter_locked(coir__fd *slot, coir_op *op, uint64_t generation);

/* Takes an ended operation out, and learns from its result. True if a closer waits for just that. */
bool coir__fd_leave_locked(coir__fd *slot, coir_op *op, int64_t result);

/* Calls visit(slot, fd, arg) for every slot that may be of a file of ours. */
void coir__fd_visit_own(void (*visit)(coir__fd *slot, int fd, void *arg), void *arg);

#endif
