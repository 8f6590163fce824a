/* SPDX-License-Identifier: MIT */
#ifndef COIR_IO_OP_H
#define COIR_IO_OP_H

/*
 * op.h - operations under way, and the one way in which a task does I/O.
 *
 * The life of a call:
 *
 *   cancelled? -> record -> enters the slot -> attempt -> attend to deadlines -> submit -> park
 *                                 |                                                 |
 *                                 '--- result at once: leaves the slot,             | completed by a poll: leaves the slot,
 *                                      record given back                            | record given back, task runs
 *
 * The result goes to the task, and the record back, when the operation is completed; AGAIN sends the task round once more.
 *
 * A record is found by number from any thread at any time, so records are never freed before their runtime. Its word says
 * which use of the record it is, and whether that may be given back:
 *
 *   free -> LIVE                     taken for an operation
 *   LIVE -> LIVE|POSTED              a canceller (scope, close, select) puts it on its worker's list of cancels, once
 *   LIVE|POSTED -> LIVE              that worker has told the engine
 *   LIVE -> free, next generation    given back
 *   LIVE|POSTED -> LIVE|POSTED|LEFT  given back while it is on the list: whoever takes it off finishes that
 *
 * An id has its top bit set, so that no address is taken for one.
 *
 * O1  Who has an old id finds another generation, and does nothing.
 * O2  An operation ends by its own completion only, at most once. Its task, or its watch, runs on from there.
 * O3  The slot's list has it from before the attempt until its end; coir_close() waits for that.
 * O4  Completion wins: what has happened is the result, whoever asked for the end meanwhile.
 */

#include <coir/loop.h>

#include "sched/runtime.h"
#include "sync/wait.h"

/* Two cache lines for every operation, one for watches. */
typedef struct coir__op {
    _Alignas(64) coir_op op; /* first; what engines see */
    _Atomic uint64_t word;   /* generation << 32 | coir__op_bits */
    coir__worker *worker;    /* where it was submitted; whose list of cancels it goes to */
    struct coir__op *next;   /* in the list of cancels, or of free records */
    bool watch;              /* for a select; else for the task `op.owner` */
    bool drains;             /* ends when the runtime shuts down */
    bool drained;            /* for that its end has been asked for; guarded by the slot's lock */

    _Alignas(64) coir__lock lock; /* guards `node` */
    coir__select_node *node;      /* of a watch that may still tell; NULL: of none */
} coir__op;

enum coir__op_bits { COIR__OP_LIVE = 1, COIR__OP_POSTED = 2, COIR__OP_LEFT = 4 };

/* A record for an operation from `w`, with id and engine's fields set; NULL when out of memory. */
coir__op *coir__op_take(coir__worker *w, uint8_t kind, int fd);

/* Gives it back: it is in no slot, and nobody will complete it. */
void coir__op_give_back(coir__worker *w, coir__op *o);

/* The record of this id's index; its generation is the caller's to check. NULL: never was. */
coir__op *coir__op_record(coir__runtime *rt, uint64_t id);

/* The descriptor of a live operation; -1 if it has ended. For dumps, from any thread while `rt` exists. */
int coir__op_fd(coir__runtime *rt, uint64_t id);

/* Calls visit(rt, fd) for the descriptor of each operation under way; for some more than once, or when it has just ended. */
void coir__ops_visit(coir__runtime *rt, void (*visit)(coir__runtime *rt, int fd));

/* Asks for the end of a live operation, which the caller keeps alive (the slot's lock, ...). */
void coir__op_post(coir__op *o);

/* -- calls (io.c) --------------------------------------------------------------------------------- */

/* What a call asks for. */
typedef struct coir__call {
    const char *name; /* of the public function */
    uint8_t kind;
    short events;
    int fd;
    void *buf;
    size_t len;
    struct coir_addr *addr;
    bool drains; /* -ESHUTDOWN once the runtime shuts down */
    uint64_t
        generation; /* in: 0, or that of an earlier part of the same call, which must still hold; out */
} coir__call;

/* Does it: a count, events, a descriptor or 0; or an error. */
int coir__io(coir__call *call);

/* Begins an operation: a record in its slot. -ENOMEM; -EBADF when the descriptor is being closed; -ESHUTDOWN. */
int coir__io_enter(coir__worker *w, coir__call *call, coir__op **ret_op);

/* One that is under way, from its begin to its end: they are counted, for deadlocks. By a worker of its runtime. */
COIR__INLINE void coir__io_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* The worker of the calling task; misuse, naming `function`, in a plain thread. */
coir__worker *coir__task_only(const char *function);

/* -- descriptors (close.c) ------------------------------------------------------------------------ */

/* coir has opened `fd`, which is a COIR__FD_TCP, ...: returns it, or closes it and returns -ENOMEM. */
int coir__fd_adopt(int fd, int kind);

/* Takes an ended operation out of its slot, and wakes the closer who waits for that. The result as it stands: -EBADF
 * for what ended because the descriptor is being closed, -ESHUTDOWN because the runtime shuts down. */
int64_t coir__fd_leave(coir__worker *w, coir_op *op, int64_t result);

/* -- shutdown (shutdown.c) ------------------------------------------------------------------------ */

/* Whether the runtime shuts down. */
COIR__INLINE bool coir__is_draining(const coir__worker *w)
{
    return atomic_load_explicit(&w->runtime->draining, memory_order_relaxed);
}

/* Whether it is a listening socket, for which nobody may wait in a runtime that shuts down. */
bool coir__is_listener(int fd);

/* -- watches (select_case.c) ---------------------------------------------------------------------- */

/* Begins to wait for events on behalf of a select's node: those that are there, an error, or 0 and the watch's id. */
int coir__watch_begin(coir__worker *w, coir__call *call, coir__select_node *n, uint64_t *ret_id);

/* Whether it may still touch its node. */
bool coir__watch_is_on(coir__worker *w, uint64_t id);

/* From here on it won't. */
void coir__watch_leave(coir__worker *w, uint64_t id);

/* A watch has ended, and is out of its slot: wakes the select, if it still wants to know. */
void coir__watch_end(coir__worker *w, coir__op *o, int64_t result);

#endif
