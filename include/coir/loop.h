/* SPDX-License-Identifier: MIT */
#ifndef COIR_LOOP_H
#define COIR_LOOP_H

/*
 * The seams of a runtime: its clock and its engine. For tests, simulators and new platforms; programs don't need it. An
 * engine is how the kernel is asked: one file in src/loop, these functions, and an entry in coir_options.
 *
 * The shape is that of completions: an operation is submitted, and is completed later, once, by a loop that is polled.
 * Readiness engines emulate it by trying. Each worker has a loop of its own, polled by no other; but an operation
 * may be completed by another loop than the one it was submitted to.
 */

#include <coir.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a runtime gets the time from. `now` must never go back; called from every worker. */
typedef struct coir_clock {
    int64_t (*now)(void *arg);
    void *arg;
} coir_clock;

struct coir_engine;

/* What every loop begins with; `init` of its engine allocates the whole. */
typedef struct coir_loop {
    const struct coir_engine *engine;
} coir_loop;

typedef enum coir_op_kind {
    COIR_OP_READ = 1, /* buf, len */
    COIR_OP_WRITE,    /* buf, len */
    COIR_OP_ACCEPT,   /* addr (may be NULL) */
    COIR_OP_CONNECT,  /* addr */
    COIR_OP_POLL      /* events */
} coir_op_kind;

struct coir_addr;
struct coir__fd;

/*
 * One operation. In the list of its descriptor's slot from before `attempt` until it has ended. Never moves, and
 * its memory stays an operation's as long as the runtime exists. The kernel is never given its address, but `id`, which
 * holds a generation.
 */
typedef struct coir_op {
    uint64_t id;   /* index and generation; never 0; unique among live operations of a runtime */
    uint8_t kind;  /* coir_op_kind */
    uint8_t state; /* the engine's own; 0 at first */
    short events;  /* poll events */
    int fd;
    void *buf;
    size_t len;
    struct coir_addr *addr;
    struct coir__fd *slot; /* of the descriptor */
    struct coir_op *prev;  /* list of the operations on the slot; guarded by its lock */
    struct coir_op *next;
    void *owner;     /* who waits; the runtime's */
    coir_loop *loop; /* where it is submitted */
    uint32_t tick;   /* of the slot, when the operation entered or last looked */
    uint8_t dry;     /* of the slot, when the operation entered: hints */
    bool expelled;   /* the descriptor is being closed under it; guarded by the slot's lock */
    bool held;       /* by coir_op_hold() */
} coir_op;

/* Not done at once: to be submitted, or submitted and to be completed by a poll. */
#define COIR_OP_PENDING INT64_MIN

/* Completed with this: nothing has been done, but now it can be; the waiter makes the call again, as a new operation. */
#define COIR_OP_AGAIN (INT64_MIN + 1)

typedef struct coir_engine {
    const char *name;

    /* Makes a loop on the thread that will poll it. 0 or an error: "not here". */
    int (*init)(coir_loop **ret_loop);

    /* Frees it; nothing is under way. The same thread, or any after that one has ended. */
    void (*destroy)(coir_loop *loop);

    /* Does `op` if that takes no waiting: its result, or COIR_OP_PENDING. The loop's thread. */
    int64_t (*attempt)(coir_loop *loop, coir_op *op);

    /* Starts `op` after an attempt. Its result if it could be done by now, else COIR_OP_PENDING; then, if *ret_lock is not
     * NULL, the caller must release that lock once the waiter's registers are saved. The loop's thread. */
    int64_t (*submit)(coir_loop *loop, coir_op *op, void **ret_lock);

    /* Asks for the end of an operation, which is completed all the same: with -ECANCELED if nothing happened. Ignored if it has
     * ended, or has not been submitted. The loop's thread. */
    void (*cancel)(coir_loop *loop, coir_op *op);

    /* Completes what is done, by coir_op_complete(). Waits up to `timeout` ns (0: no wait, COIR_FOREVER) for the first
     * event or a wake. Returns the number completed, or -EAGAIN where more are known to be ready. The loop's thread. */
    int (*poll)(coir_loop *loop, int64_t timeout);

    /* Whether a poll without waiting might find something; may be wrong in either direction. A few ns. */
    bool (*has_events)(coir_loop *loop);

    /* Makes a waiting poll return, or the next one not wait. Any thread. */
    void (*wake)(coir_loop *loop);

    /* Descriptor `fd`, whose slot says that it is registered with this loop, is about to be closed. NULL: nothing is
     * ever registered. Any thread, under the slot's lock. */
    void (*forget)(coir_loop *loop, int fd);

    /* A descriptor of the loop's that polls readable while a poll would find something, and after a wake; or an error. From the
     * first call on the loop is polled without waiting only. NULL: no coir_runtime_new() with this engine. The loop's thread. */
    int (*descriptor)(coir_loop *loop);
} coir_engine;

/* For engines whose poll may find operations of other runtimes (a descriptor is registered with one loop, whoever uses it): from
 * here to the end of coir_op_complete() the runtime of `op` stays, though what waits may go on. Under the slot's lock, when the
 * operation is chosen. From a poll. */
COIR_API void coir_op_hold(coir_op *op);

/* For engines: reports the end of a submitted operation, which the engine forgets herewith; or COIR_OP_AGAIN. From a poll or
 * a cancel, without the slot's lock. */
COIR_API void coir_op_complete(coir_op *op, int64_t result);

/* For engines: the live operation of this runtime with this id, or NULL. From a poll. */
COIR_API coir_op *coir_op_find(uint64_t id);

/* For engines: the operation with this id will be completed soon. Fetches it from memory meanwhile; a moment later, with `near`,
 * what its completion needs. */
COIR_API void coir_op_expect(uint64_t id, bool near);

#ifdef __cplusplus
}
#endif

#endif
