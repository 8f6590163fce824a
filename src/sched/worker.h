/* SPDX-License-Identifier: MIT */
#ifndef COIR_SCHED_WORKER_H
#define COIR_SCHED_WORKER_H

/*
 * worker.h - a thread that runs tasks, and where tasks wait to run.
 *
 *   woken by this worker ----> [lifo slot] --.
 *   displaced, spawned, yielded -> [ring 256] +--> current      ring: others steal half; slot: only when stuck
 *   overflow, foreign wakes --> [inject, shared] --'
 *   pinned tasks -------------> [private] --'
 *
 * A task that parks picks the next one and switches to it directly; the worker's own stack (`base`) is entered only when
 * there is nothing to pick, or the budget of picks is spent: then timers, I/O and the shared queue get their turn.
 *
 * I1  Only the owner writes tail, fills the slot, and touches `private`, budget and current.
 * I2  head moves by compare-and-swap (by a store where the runtime has one worker and nobody can steal). Its upper half changes
 *     when the owner takes at the tail, or changes the order: then a thief's copy is void. While it is odd nobody steals.
 * I3  A task is in one queue at most, and in none while its registers are not saved.
 * I4  The slot holds woken tasks, which have a stack; new ones go to the ring.
 * I5  While the ring is not empty, lifo_left is at most COIR__LIFO_MAX.
 *
 * I8  While newer ones in the ring go first (`deep`), the oldest has its turn once in a slice, or in 64 ticks.
 * I9  While something waits behind the ring, the ring is not empty.
 *
 * Private: as long as a runtime has one worker, there is no other runtime, and no plain thread has ever called, nobody but this
 * worker can touch an object its tasks use. Then a short operation needs neither the object's lock nor a claim by
 * compare-and-swap. The first other thread makes it shared for good (private.c), before its first call does anything:
 *
 *   worker  shared? busy = 1; (compiler fence) shared? -> the locked way; the operation; busy = 0, by the switch if it parks
 *   other   shared = true; heavy fence; wait until busy == 0
 *
 * I6  Between coir__private_enter() and leave there are a few dozen instructions, more only where many are woken at once, or the
 *     order of a ring is turned: no call that waits, no lock.
 * I7  A thread that is not this worker touches no object's lock, list or waiter before coir__worker_here() has made it known.
 */

#include <coir/loop.h>
#include <pthread.h>

#include "base/rng.h"
#include "sched/task.h"
#include "sched/timer.h"

#define COIR__RING 256u
#define COIR__BUDGET                                                                               \
    128 /* picks, or operations that complete at once, between looks at the clock */
#define COIR__SLICE COIR_US(100) /* between polls of the kernel while there is work */
#define COIR__LIFO_MAX 3         /* uses of the slot in a row while others wait */

/* The C++ runtime's exception state of a thread (Itanium C++ ABI: __cxa_eh_globals). */
typedef struct coir__eh {
    void *caught;
    unsigned uncaught;
} coir__eh;

enum coir__odd {
    COIR__ODD_ALWAYS = 1,   /* a plain thread's; or COIR_DEBUG=migrate=1 */
    COIR__ODD_INJECT = 2,   /* the shared queue is not empty; changes under its lock */
    COIR__ODD_OVERFLOW = 4, /* something waits behind the ring; owner */
};

/* Bits of coir__worker.careful: what is made runnable goes the long way. They lie where a task's flags have none. */
enum coir__careful {
    COIR__CAREFUL_CHAOS = 1 << 14, /* COIR_DEBUG=migrate=1 */
    COIR__CAREFUL_UNWATCHED =
        1 << 15, /* others sleep and nobody patrols: tell them when the slot is filled */
    COIR__CAREFUL_ANY = COIR__CAREFUL_CHAOS | COIR__CAREFUL_UNWATCHED
};

enum coir__sleep_state {
    COIR__AWAKE,
    COIR__ASLEEP,
    COIR__ROUSED,
    COIR__ROUSED_TO_SEARCH,
    COIR__ROUSED_TO_PATROL
};

/* What a sleeping worker is to the others; bits of coir__runtime.patrol. */
enum coir__post { COIR__POST_NONE, COIR__POST_KEEPER = 1, COIR__POST_DEPUTY = 2 };

/* A worker as somebody who looks after it has last seen it. */
typedef struct coir__glance {
    uint32_t tick;
    coir__task *lifo;
} coir__glance;

struct coir__worker {
    /* Owner, at every operation. */
    coir__task *current;
    coir__task *_Atomic lifo; /* owner fills, anyone takes by exchange */
    int32_t budget;
    int32_t lifo_left; /* uses of the slot until the ring gets its turn; I5 */
    coir__eh *eh;      /* this thread's */
    uint16_t rt;       /* index of the runtime; 0: a plain thread's pseudo-worker */
    _Atomic uint32_t
        careful; /* coir__careful, and `rt` in the upper half: see coir__runnable_is_short() */
    bool solo;   /* nobody can steal */
    _Atomic uint8_t odd;   /* coir__odd: a yield goes the long way */
    bool chaos;            /* COIR_DEBUG=migrate=1 */
    _Atomic bool shared;   /* others may use what this worker's tasks use */
    _Atomic uint32_t tail; /* owner writes */
    _Atomic uint32_t busy; /* in a private operation */
    uint32_t private_count;
    uint32_t since; /* the last tick's time, as wait notes have it */
    coir__runtime *runtime;
    struct coir__bias *bias; /* sync/bias.h; NULL: none yet */

    _Alignas(64) _Atomic uint64_t head; /* index, and above it the version: I2 */
    coir__task *_Atomic ring[COIR__RING];

    /* Owner, at every tick. */
    _Alignas(64) coir__task base; /* the scheduler's own context; a task only in name */
    coir__task *handoff;          /* picked, but has no stack yet */
    coir__task *yielded;          /* to be queued when its registers are saved */
    coir__link private_;          /* pinned tasks */
    bool private_turn;
    int64_t deep_since;        /* when the oldest in the ring had its turn */
    uint32_t deep_turns;       /* of the newest since */
    coir__stack_cache *caches; /* by class */
    coir__task *free_tasks;    /* descriptors; see task.c */
    coir__task *full_batch;
    uint32_t free_count;
    coir__link overflow; /* what the ring had no room for, when solo */
    uint32_t overflow_count;
    coir__task *overflow_behind; /* points to the next that comes, if there are enough */
    uint32_t deep; /* so many of the ring's newest go first, the newest of them before all; I8 */
    uint64_t next_id;
    uint64_t last_id;
    int64_t slice_start; /* the last look at the clock */
    int64_t last_poll;
    int64_t last_trim;
    bool trims; /* something idle is left that could be given back */
    coir__rng rng;
    coir__wheel wheel;
    const coir_engine *engine;
    coir_loop *loop;
    void *signal_stack;
    _Atomic uint32_t nowhere; /* what a switch publishes when there is nothing to publish */
    uint64_t unblock;         /* signals that this thread is to let through; a bit each */
    uint32_t stolen;          /* tasks that the last search has brought; 0 once it is judged */
    int64_t stolen_at;
    int64_t nap;       /* before the next search; 0: none */
    uint8_t post;      /* coir__post: what this worker is while it sleeps */
    bool patrol_awake; /* the last round has seen somebody awake */
    bool rests;        /* has given its post up, and had no work since */
    uint8_t roused;    /* was woken to take a post: so many sleeps more it does by itself */
    int64_t patrol_interval;
    int64_t mind_at; /* when it has last looked after another while it was busy */
    uint32_t mind;   /* which one that is */
    coir__glance mind_seen;
    _Atomic uint64_t
        io_started; /* operations under way: the sum over all workers of started - ended */
    _Atomic uint64_t io_ended;
    _Atomic uint64_t metric_steals, metric_polls, metric_spawned, metric_ended;

    /* Others. */
    _Alignas(64) _Atomic uint32_t sleeping; /* coir__sleep_state */
    _Atomic uint32_t tick;    /* moves while the worker is alive; read by the patrol */
    _Atomic uint32_t runs;    /* moves when its base has found something to run */
    coir__glance patrol_seen; /* the keeper's of the patrol; and the next */
    uint32_t patrol_runs;
    coir__lock inbox_lock;
    coir__link inbox; /* pinned tasks woken elsewhere */
    _Atomic uint32_t inbox_count;
    coir_op *_Atomic cancels; /* operations whose end is asked for; io/op.c links them */
    _Atomic uint32_t metric_wakes;
    int16_t index;
    pthread_t thread;
    pid_t tid;

    /* A plain thread's. */
    coir__task *thread_task;
    _Atomic uint32_t thread_word; /* 1: woken */
};

/* -- who am I (local.c) ----------------------------------------------------------------------------------------- */

/*
 * The one thread-local word of the library. Compilers keep the address of a thread-local across calls, and a task may
 * come back from a call on another thread; so the access is assembly that yields the value and hides the thread pointer
 * (an out-of-line function where we have no assembly). Never keep the result across a switch.
 */
extern _Thread_local coir__worker *coir__local_worker
    __attribute__((visibility("hidden"), tls_model("initial-exec")));

/* What a thread has that has none: never NULL, so that the hot paths need no test. Its `current` has its attention
 * word set, which sends every call to its slow twin; nothing else of it may be used. */
extern coir__worker coir__nobody __attribute__((visibility("hidden")));

coir__worker *coir__worker_far(void);
void coir__worker_set(coir__worker *w);

/* The caller's worker, or &coir__nobody. For hot paths, which look at its current task's attention word first. */
#if defined(__x86_64__) && defined(__LP64__) && !COIR__TSAN
COIR__INLINE coir__worker *coir__worker_near(void)
{
    coir__worker *w;
    __asm__ volatile("movq coir__local_worker@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(w));
    return w;
}
#else
COIR__INLINE coir__worker *coir__worker_near(void) { return coir__worker_far(); }
#endif

COIR__INLINE coir__worker *coir__worker_or_null(void)
{
    coir__worker *w = coir__worker_near();
    return coir__likely(w != &coir__nobody) ? w : NULL;
}

/* Makes the calling thread's pseudo-worker. */
coir__worker *coir__worker_begin(void);

/* The caller's worker; a plain thread gets its pseudo-worker at its first call. Aborts when out of memory. */
COIR__INLINE coir__worker *coir__worker_here(void)
{
    coir__worker *w = coir__worker_or_null();
    return coir__likely(w != NULL) ? w : coir__worker_begin();
}

/* -- queues (queue.c and inline) -------------------------------------------------------------------------------- */

void coir__ring_push(coir__worker *w,
                     coir__task *t); /* owner; overflows to the shared queue; may wake a worker */
coir__task *coir__ring_pop(coir__worker *w); /* owner: the oldest */
coir__task *coir__ring_pop_deep(
    coir__worker *w); /* owner: the newest, as long as w->deep says so, else the oldest */

/* Owner, who is about to wait for the last n that it has spawned: they go before what is older, in their order. */
void coir__ring_deepen(coir__worker *w, uint32_t n);
coir__task *coir__ring_steal(coir__worker *from,
                             coir__worker *to);             /* half of it into `to`, one returned */
void coir__inject(coir__runtime *rt, coir__task *t);        /* any */
unsigned coir__inject_take(coir__worker *w, unsigned most); /* owner: moves tasks to its ring */
coir__task *coir__inject_pop(coir__worker *w);              /* owner: the first of such */
void coir__runnable_slow(coir__worker *w, coir__task *t);
void coir__thread_wake(coir__task *t); /* thread.c: a plain thread that waits */

COIR__INLINE bool coir__ring_is_empty(coir__worker *w)
{
    return (uint32_t)atomic_load_explicit(&w->head, memory_order_relaxed) ==
           atomic_load_explicit(&w->tail, memory_order_relaxed);
}

COIR__INLINE uint32_t coir__ring_size(coir__worker *w) /* owner; less if thieves are at work */
{
    return atomic_load_explicit(&w->tail, memory_order_relaxed) -
           (uint32_t)atomic_load_explicit(&w->head, memory_order_relaxed);
}

/* A head after n more were taken; with one worker there are no versions, and adding will do. */
COIR__INLINE uint64_t coir__ring_after(uint64_t head, uint32_t n)
{
    return (head & ~(uint64_t)UINT32_MAX) | (uint32_t)(head + n);
}

/* Whether a task may go the short way: of this runtime, no thread, not pinned; the worker need not be careful, and its slot
 * is free. */
COIR__INLINE bool coir__runnable_is_short(coir__worker *w, coir__task *t)
{
    uint32_t odd = (atomic_load_explicit(&t->flags_rt, memory_order_relaxed) ^
                    atomic_load_explicit(&w->careful, memory_order_relaxed)) &
                   (0xffff0000u | COIR__CAREFUL_ANY | COIR__TASK_ODD);
    return coir__likely(odd == 0 && atomic_load_explicit(&w->lifo, memory_order_relaxed) == NULL);
}

/* Puts a claimed task, its result stored, where it will run soon. `w` is the caller's worker. */
COIR__INLINE void coir__runnable(coir__worker *w, coir__task *t)
{
    if (coir__runnable_is_short(w, t))
        atomic_store_explicit(&w->lifo, t,
                              memory_order_release); /* pairs with the taker's exchange */
    else
        coir__runnable_slow(w, t);
}

/* Notes what a task waits for, and since when. */
COIR__INLINE void coir__wait_note(coir__worker *w, coir__task *self, uint8_t kind, coir__lock *lock)
{
    atomic_store_explicit(&self->wait_note, w->since | kind, memory_order_relaxed);
    atomic_store_explicit(&self->wait_lock, lock, memory_order_relaxed);
}

COIR__INLINE uint32_t coir__since_of(int64_t now)
{
    return (uint32_t)(now >> COIR__SINCE_SHIFT) << 8;
}

/* -- private operations ------------------------------------------------------------------------------------------ */

COIR__INLINE void coir__private_leave(coir__worker *w)
{
    atomic_store_explicit(&w->busy, 0, memory_order_release);
}

/* True: until the leave no other thread runs in any of this process's objects. False: it is not private, use locks. The first look
 * spares who is shared the stores, which the first locked instruction would wait for. */
COIR__INLINE bool coir__private_enter(coir__worker *w)
{
    if (coir__unlikely(atomic_load_explicit(&w->shared, memory_order_relaxed)))
        return false;
    atomic_store_explicit(&w->busy, 1, memory_order_relaxed);
    coir__compiler_fence(); /* pairs with the heavy fence in private.c */
    if (coir__likely(!atomic_load_explicit(&w->shared, memory_order_relaxed)))
        return true;
    coir__private_leave(w);
    return false;
}

/* A runtime comes up; `from_thread`: on a thread that has called before. coir__runtimes_lock is held. */
void coir__private_begin_locked(coir__runtime *rt, bool from_thread);

/* A plain thread calls for the first time, or ends. */
void coir__private_thread_begin(void);
void coir__private_thread_end(void);

/* The caller is about to look at tasks, under their scope locks. A thread that has never called makes all runtimes shared, but
 * does not become known; it may be in a signal handler, so it gives up after a while. */
void coir__private_look(void);

/* -- leaving (yield.c) ------------------------------------------------------------------------------------------ */

/* There is nobody to give way to, as far as this worker knows. */
bool coir__worker_is_alone(coir__worker *w);

/* A stack becomes a new task's. */
COIR__INLINE void coir__task_settle(coir__task *t, coir__stack *s)
{
    t->stack = s;
    s->owner = t;
    coir__context_stack(&t->ctx, s->bottom, (size_t)((char *)s->top - s->bottom), s->fiber);
}

/* Gives a new task a stack; from the base. */
void coir__pick_equip(coir__worker *w, coir__task *t);

coir__task *coir__pick_ring(coir__worker *w);

/* A new task with a hot stack, ready; or the base, which will find it a cold one. */
coir__task *coir__pick_fresh(coir__worker *w, coir__task *t);

COIR__INLINE coir__task *coir__lifo_take(coir__worker *w)
{
    coir__task *t = atomic_load_explicit(&w->lifo, memory_order_relaxed);
    if (!t)
        return NULL;
    if (w->solo) {
        atomic_store_explicit(&w->lifo, NULL, memory_order_relaxed);
        return t;
    }
    return atomic_exchange_explicit(&w->lifo, NULL, memory_order_acquire);
}

/* The next task to run on `w`, or its base; it may have no stack yet. Bounded: may be called with an object's lock held. */
COIR__INLINE coir__task *coir__pick_raw(coir__worker *w)
{
    if (coir__unlikely(--w->budget < 0))
        return &w->base;
    if (coir__unlikely(w->lifo_left <= 0) && coir__ring_is_empty(w))
        w->lifo_left = INT32_MAX; /* nobody waits behind it */
    if (coir__likely(w->lifo_left > 0)) {
        coir__task *t = coir__lifo_take(w);
        if (coir__likely(t != NULL)) {
            w->lifo_left--;
            return t;
        }
    }
    return coir__pick_ring(w);
}

/* The same, ready to be switched to. */
COIR__INLINE coir__task *coir__pick(coir__worker *w)
{
    coir__task *t = coir__pick_raw(w);
    return coir__likely(t->ctx.sp != NULL) ? t : coir__pick_fresh(w, t);
}

/* Whether the caller is inside a C++ handler, or unwinding. */
COIR__INLINE bool coir__eh_in_use(const coir__worker *w)
{
    return ((uintptr_t)w->eh->caught | w->eh->uncaught) != 0;
}

int coir__leave_keeping(coir__worker *w, coir__task *self, coir__task *next, _Atomic uint32_t *word,
                        uint32_t value);

/* Switches from `self` to `next`, storing `value` to `*word` in between. Tail-call it. */
COIR__INLINE int coir__leave(coir__worker *w, coir__task *self, coir__task *next,
                             _Atomic uint32_t *word, uint32_t value)
{
    w->current = next;
    if (coir__unlikely(
            coir__eh_in_use(w) ||
            ((atomic_load_explicit(&self->flags, memory_order_relaxed) & COIR__TASK_FP_ENV) != 0)))
        return coir__leave_keeping(w, self, next, word, value);
    return coir__switch(&self->ctx, &next->ctx, word, value);
}

/* Switches to the next task, publishing `self` by compare-and-swap; not by a tail call. COIR__SWITCH_LOST: did not leave. */
int coir__leave_publish(coir__worker *w, coir__task *self, _Atomic uint32_t *word,
                        uint32_t expected, uint32_t desired);

/* Charges an operation that completed at once; returns `result`, perhaps after others have run. Tail-call it. */
int coir__charge_slow(coir__worker *w, int result);

COIR__INLINE int coir__charge(coir__worker *w, int result)
{
    if (coir__unlikely(--w->budget < 0))
        return coir__charge_slow(w, result);
    return result;
}

/* -- the loop (worker.c) ---------------------------------------------------------------------------------------- */

/* What a new stack begins with (task.c); runs tasks until one is followed by an old one. */
void coir__task_main(void *arg);

/* The worker's loop on its own stack, until the runtime stops. */
void coir__worker_run(coir__worker *w);

/* The same without waiting, for at most about `budget` ns. True: nothing is left to do, and the worker counts as asleep until the next
 * call; false: something is, and it counts as woken. */
bool coir__worker_pump(coir__worker *w, int64_t budget);

int coir__worker_init(coir__worker *w, coir__runtime *rt, int16_t index);
void coir__worker_destroy(coir__worker *w);

/* -- nothing to run (idle.c) ------------------------------------------------------------------------------------ */

/* Searches, else sleeps. Returns a task found elsewhere, or NULL: look again. */
coir__task *coir__worker_idle(coir__worker *w);

/* Whether something has come that it must not sleep over. */
bool coir__worker_is_wanted(coir__worker *w);

/* Give back idle stacks' memory, if it is time. */
void coir__worker_trim_idle(coir__worker *w);
void coir__worker_trim_busy(coir__worker *w, int64_t now);

/* -- waking workers (rouse.c) ------------------------------------------------------------------------------------ */

/* Makes a sleeping worker look again. Any thread. True if it was asleep. */
bool coir__worker_rouse(coir__worker *w);

/* There is more work than its worker may get to soon: wakes one sleeping worker, unless somebody is already looking. */
void coir__runtime_notify(coir__runtime *rt);

/* Wakes one sleeping worker, to be in `state`. False: none sleeps. */
bool coir__rouse_any(coir__runtime *rt, uint32_t state);
bool coir__any_asleep(coir__runtime *rt);

/* Whether something waits in the shared queue or in a ring. */
bool coir__work_is_seen(const coir__runtime *rt);

/* -- looking after each other (patrol.c) ------------------------------------------------------------------------- */

/* A worker that has declared that it sleeps: how long it may, with the post that it takes. */
int64_t coir__patrol_before_sleep(coir__worker *w, int64_t timeout);

/* It was woken in `state`. */
void coir__patrol_after_sleep(coir__worker *w, uint32_t state);

/* What it has to do before it sleeps on. Returns a task that was rescued, or NULL. */
coir__task *coir__patrol_round(coir__worker *w, uint32_t state);

/* It has work, and gives its post up. */
void coir__patrol_leave(coir__worker *w);

/* One that has work looks after another now and then: with all of them awake nobody keeps the patrol. */
void coir__patrol_mind(coir__worker *w, int64_t now);

/* Wakes one sleeping worker to look after the others, if nobody does. */
void coir__runtime_patrol(coir__runtime *rt);

#endif
