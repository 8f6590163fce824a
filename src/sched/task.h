/* SPDX-License-Identifier: MIT */
#ifndef COIR_SCHED_TASK_H
#define COIR_SCHED_TASK_H

/*
 * task.h - what the runtime knows about a task.
 *
 * A task is a descriptor of 192 bytes in a dense slab that is never unmapped: a stale handle finds another id there, never
 * other memory. The stack is attached at the first run and leaves at the end. Nothing that others touch while the
 * task is parked lies on its stack (select excepted): the registers' place, the result, the wait node are here.
 *
 * A plain thread that waits has a descriptor too (flag THREAD), so that everything above the scheduler treats both alike.
 *
 * The park word says who may wake the task. Transitions:
 *
 *   ACTIVE -> WAITING            by the task, under the lock of the one object it waits for; the switch releases the lock
 *   WAITING -> ACTIVE            by whoever claims it, once: event, deadline or canceller
 *   ACTIVE -> SELECTING          by the task, before it shows its nodes to several objects
 *   SELECTING -> SELECTED        by the switch, when the registers are saved
 *   SELECTED -> ACTIVE           claimed
 *   SELECTING -> CLAIMED         claimed before it was parked; the claimer then stores the result and
 *   CLAIMED -> ACTIVE            releases it; the task, which never left, waits for that
 *   SELECTING -> TRYING -> SELECTING or ACTIVE   by the task itself: nobody may claim it while it tries a case
 *   ACTIVE -> HELD -> ACTIVE     as WAITING, but no canceller may claim it. Also of a task that has not run yet, because its
 *                                group is at its limit (scope/limit.c); then nobody claims it
 *   ACTIVE -> IO -> ACTIVE       an operation of the kernel; only its completion ends it, a canceller asks for that
 *
 * I1  A claim is a compare-and-swap that takes the word out of WAITING, HELD, SELECTING or SELECTED. Exactly one wins.
 * I2  The winner stores the result, does its last access to the node, and only then makes the task runnable.
 * I3  WAITING is stored under the object's lock, which is released only when the registers are saved. Who has claimed a
 *     WAITING task takes that lock (or has it) before making the task runnable.
 * I4  The park word and the attention word are a store-load pair: base/fence.h.
 */

#include <coir.h>
#include <stdatomic.h>

#include "arch/switch.h"
#include "base/list.h"
#include "base/lock.h"
#include "stack/stack.h"

typedef struct coir__task coir__task;
typedef struct coir__worker coir__worker;
typedef struct coir__runtime coir__runtime;
typedef struct coir__value coir__value;

enum coir__park_state {
    COIR__PARK_ACTIVE,
    COIR__PARK_WAITING,
    COIR__PARK_SELECTING,
    COIR__PARK_SELECTED,
    COIR__PARK_CLAIMED,
    COIR__PARK_IO,
    COIR__PARK_HELD,
    COIR__PARK_TRYING,
};

/* Bits of the attention word: why a call must not take the short way. Changed under the task's scope lock. */
enum coir__attention {
    COIR__ATTENTION_CANCELLED = 1, /* the innermost scope is cancelled */
    COIR__ATTENTION_DEADLINE = 2,  /* a deadline stands around it */
    COIR__ATTENTION_THREAD = 4,    /* not a task */
    COIR__ATTENTION_KEEP = 8,      /* takes more than registers along: COIR_FP_ENV */
    COIR__ATTENTION_FENCE = 16,    /* no membarrier here: fences must be real */
    COIR__ATTENTION_FIXED = COIR__ATTENTION_THREAD | COIR__ATTENTION_KEEP | COIR__ATTENTION_FENCE,
};

enum coir__task_flags {
    COIR__TASK_THREAD = 1,                                  /* stands for a plain thread */
    COIR__TASK_PINNED = 2,                                  /* never leaves its worker */
    COIR__TASK_ODD = COIR__TASK_THREAD | COIR__TASK_PINNED, /* made runnable the long way */
    COIR__TASK_FP_ENV = 4,    /* keeps its own floating-point control words */
    COIR__TASK_HANDLE = 8,    /* somebody may join it */
    COIR__TASK_ARG_COPY = 16, /* `arg` is released at the end */
    COIR__TASK_DONE = 32,     /* has returned; `ctx.result` is what */
    COIR__TASK_JOINING = 64,  /* done, and somebody is taking it out of its group */
    COIR__TASK_FIRST = 128,   /* the first task of coir_run */
    COIR__TASK_ENDING =
        256, /* has returned; not yet DONE or gone: whoever wants it waits a moment */
    COIR__TASK_DETACHED = 512, /* given up: can't be joined any more */
    COIR__TASK_PIN_AT_START =
        1024,                 /* the runtime is pinned: binds to the worker that runs it first */
    COIR__TASK_BOUND = 2048,  /* PINNED for life */
    COIR__TASK_CENSUS = 4096, /* its stack is measured */
};

/* What a task waits for; for dumps, and for those who must take it out of a queue. */
enum coir__wait_kind {
    COIR__WAIT_NONE,
    COIR__WAIT_SEND,
    COIR__WAIT_RECV,
    COIR__WAIT_MUTEX,
    COIR__WAIT_EVENT,
    COIR__WAIT_ONCE,
    COIR__WAIT_SLEEP,
    COIR__WAIT_JOIN,
    COIR__WAIT_GROUP,
    COIR__WAIT_SELECT,
    COIR__WAIT_IO,
    COIR__WAIT_CLOSE,
    COIR__WAIT_RESOLVE,
    COIR__WAIT_COND,
    COIR__WAIT_SEM,
    COIR__WAIT_READ_LOCK,
    COIR__WAIT_WRITE_LOCK,
    COIR__WAIT_NOTIFY,
    COIR__WAIT_BARRIER,
    COIR__WAIT_FUTURE,
    COIR__WAIT_FUTEX,
    COIR__WAIT_BROADCAST,
    COIR__WAIT_LIMIT, /* not started: its group runs as many as it may */
    COIR__WAIT_KINDS
};

/* A place in an object's list of waiters. */
typedef struct coir__node {
    coir__link link;  /* guarded by the object's lock; link.next is NULL when in no list */
    coir__task *task; /* whose; set before the node is shown */
    void *data;       /* the object's: an element's address, ... */
} coir__node;

enum coir__timer_kind {
    COIR__TIMER_SLEEP,
    COIR__TIMER_SELECT,
    COIR__TIMER_SCOPE,
    COIR__TIMER_SHUTDOWN /* a runtime's */
};
enum coir__timer_state { COIR__TIMER_IDLE, COIR__TIMER_ARMED, COIR__TIMER_FIRING };

/* A place in a timer wheel; guarded by the wheel's lock. */
typedef struct coir__timer {
    struct coir__timer *next;
    struct coir__timer **pprev; /* what points here */
    int64_t when;
    int32_t result; /* SELECT: what the task's wait returns */
    uint8_t kind;
    _Atomic uint8_t state; /* FIRING -> IDLE without the lock, by the one who fires */
} coir__timer;

/* A timer that wakes a task out of a select. */
typedef struct coir__timer_node {
    coir__timer timer;
    coir__task *task;
} coir__timer_node;

enum coir__scope_kind {
    COIR__SCOPE_ROOT,
    COIR__SCOPE_PLAIN,
    COIR__SCOPE_SHIELD,
    COIR__SCOPE_GROUP
};
enum coir__scope_state {
    COIR__SCOPE_CANCELLED = 1, /* itself or around it, up to the nearest shield */
    COIR__SCOPE_ARMED = 2,     /* the timers of its deadline and of those around it are armed */
};

/*
 * What every scope begins with, those of the user and the one that each task has built in (ROOT). Fields change under the
 * scope lock of the task whose chain it is in.
 */
typedef struct coir__scope {
    struct coir__scope
        *parent; /* the next one outwards: of the same task, or of its group. Fixed while open */
    int64_t
        deadline; /* the earliest around, own included, up to the nearest shield. Fixed while open */
    const coir_cancel_reason *_Atomic reason; /* of its own cancellation, else NULL */
    uint8_t kind;
    _Atomic uint8_t state;
    /* Of a task, kept here because there is room: */
    int16_t worker; /* index of the worker it is pinned to */
    uint16_t pins;  /* owner only */
} coir__scope;

/* When a wait began, as kept for dumps: 24 bits of ticks of 16.8 ms, which last for three days. */
#define COIR__SINCE_SHIFT 24
#define COIR__SINCE_MASK 0xffffffu

struct coir__task {
    /* What a switch and a wake touch. */
    coir__context ctx;
    _Atomic uint32_t park;
    _Atomic uint8_t attention;
    uint8_t stack_class;
    uint16_t storm;     /* -ECANCELED returns in a row while cancelled; owner only */
    coir__scope *scope; /* innermost; under scope_lock, the owner reads it without */
    union {
        coir__node node;   /* of a single wait */
        coir__timer timer; /* of a sleep */
    } wait;
    /* What a spawn writes. */
    _Atomic uint64_t id; /* 0: the slot is free */
    coir__lock *_Atomic
        wait_lock; /* of the object waited for, while WAITING; its address names the object in dumps. While
                                    * IO: the id of the operation, which is no address */
    coir__stack *stack; /* NULL before the first run and after the end */
    union {
        coir_fn *fn; /* until it is called */
        coir__value
            *values; /* from then on: task-locals, its own and then the inherited; owner only */
    };
    void *arg;
    coir__node *_Atomic
        joiner; /* who waits for the end; set and cleared under join.c's lock and scope_lock */
    union {
        struct {
            _Atomic uint16_t flags; /* owner, spawner, then under scope_lock */
            uint16_t rt;            /* index of the runtime; 0 for a thread */
        };
        _Atomic uint32_t flags_rt; /* both, for one load */
    };
    _Atomic uint32_t wait_note; /* coir__wait_kind, and since when: see coir__wait_note() */
    coir__lock scope_lock;      /* guards the chain of scopes, the name, the end of the task */
    int32_t line;               /* of the spawn */
    /* Kin. */
    coir__scope root;
    coir__link group_link; /* in the group's list; under the group's lock */
    char *name;            /* owned; under scope_lock */
    const char *file;      /* of the spawn */
};

#if !COIR__ASAN && !COIR__TSAN && defined(__LP64__)
_Static_assert(sizeof(coir__task) == 192, "three cache lines; see docs/design");
#endif

COIR__INLINE uint8_t coir__wait_kind_of(const coir__task *t)
{
    return (uint8_t)atomic_load_explicit(&t->wait_note, memory_order_relaxed);
}

/* -- descriptors (task.c) --------------------------------------------------------------------------------------- */

/* A free descriptor, zeroed but for ids; NULL when out of memory. `w` may be NULL or a thread's. */
coir__task *coir__task_alloc(coir__worker *w);
void coir__task_free(coir__worker *w, coir__task *t);

/* A worker ends: gives back what it keeps. */
void coir__task_free_kept(coir__worker *w);

/* A fresh process-wide number. */
uint64_t coir__task_new_id(coir__worker *w);

/* Calls `visit` for every descriptor in use, whoever's. Descriptors may be freed meanwhile: visitors look under
 * the task's scope lock and check its id. */
void coir__task_visit(void (*visit)(coir__task *t, void *arg), void *arg);

/* Whether this is the address of a descriptor, in use or free: then it may be looked at. */
bool coir__task_is_descriptor(const void *address);

/* Gives the memory of free descriptors back; no runtime exists. */
void coir__task_trim(void);

COIR__INLINE coir_task coir__task_handle(coir__task *t)
{
    coir_task handle = {t, atomic_load_explicit(&t->id, memory_order_relaxed)};
    return handle;
}

/* -- claims ----------------------------------------------------------------------------------------------------- */

/* What a claim makes of a park word in this state; the same if it can't be claimed. */
COIR__INLINE uint32_t coir__park_claimed(uint32_t state)
{
    if (coir__likely(state == COIR__PARK_WAITING) || state == COIR__PARK_SELECTED ||
        state == COIR__PARK_HELD)
        return COIR__PARK_ACTIVE;
    return state == COIR__PARK_SELECTING ? COIR__PARK_CLAIMED : state;
}

/* Takes `t` out of its wait, if nobody else has. Returns the state it was in, or ACTIVE when it was too late. The
 * caller holds the lock of an object it waits for, or keeps it from ending by other means. */
COIR__INLINE uint32_t coir__claim(coir__task *t)
{
    uint32_t state = COIR__PARK_WAITING, to = COIR__PARK_ACTIVE;
    while (coir__unlikely(!atomic_compare_exchange_strong_explicit(
        &t->park, &state, to, memory_order_acq_rel, memory_order_relaxed))) {
        to = coir__park_claimed(state);
        if (to == state)
            return COIR__PARK_ACTIVE;
    }
    return state;
}

/* The same within a private operation (worker.h): nobody else claims meanwhile. */
COIR__INLINE uint32_t coir__claim_private(coir__task *t)
{
    uint32_t state = atomic_load_explicit(&t->park, memory_order_relaxed);
    uint32_t to = coir__park_claimed(state);
    if (coir__unlikely(to == state))
        return COIR__PARK_ACTIVE;
    atomic_store_explicit(&t->park, to, memory_order_relaxed);
    return state;
}

#endif
