/* SPDX-License-Identifier: MIT */
/*
 * dump.c - a text about every runtime, its workers, and every task: where it was spawned, what it waits for and since when,
 * and its scopes from the innermost outwards.
 *
 *   runtime 1 'coir': engine uring, 2 workers, 2 tasks live of 5 spawned
 *     worker 0: thread 4711, awake, 0 queued
 *   task 12 'reader' spawned at file.c:10: waiting 340 ms for a receive on channel 0x55d0c8a412a0
 *     scope begun at file.c:31, 160 ms left
 *   task 14 'server': waiting 12 ms in a select of 2: descriptor 5 readable, event 0x7ffd2b1c8e80
 *   thread 13 'feeder': waiting 2 ms for mutex 0x7ffd2b1c8e40, held by task 12 'reader'
 *   mutex cycle: task 15 'a' waits for mutex 0x1 held by task 16 'b', which waits for mutex 0x2 held by task 15 'a'
 *
 * Lines about tasks, and no others, begin with "task ". Nothing is stopped: each task's line is true for one moment, not for
 * the same one.
 *
 * How a task is looked at: its scope lock, and then its id, keep it from ending and its scopes from closing; so its runtime
 * and what its chain of scopes lies in stay too. The wait is in atomic words, which may belong to two waits in a row: they
 * are read until they agree, and no pointer from them is followed unless it is known to be a descriptor's. Who holds what a
 * task waits for is looked up before, by the rules of sync/holder.h, and shown if it still waits for that. What only
 * the owner writes (who runs, has a stack, the id of an operation) is looked at by peek(): it may be old, and is only compared
 * or printed.
 *
 * Text is written to the descriptor with no lock held, so that the reader of a pipe may be a task that is in the dump. Locks
 * are given up on after a while: the caller may be in a signal handler, or in a report of misuse with a lock held.
 */
#include "debug/dump.h"
#include "debug/cases.h"
#include "debug/census.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "debug/cycle.h"
#include "io/op.h"
#include "scope/scope.h"

#define PAGE 4096
#define ENTRY 2048       /* room that an entry finds at least; a longer one is cut */
#define LOCK_ROUNDS 3000 /* about 200 ms */
#define NAME_ROUNDS 100  /* about 2 ms: for the name of another task */
#define NAME 64

struct dump {
    int fd;
    uint16_t rt; /* whose tasks are written now; 0: threads */
    size_t used;
    char text[PAGE];
};

/* -- text ------------------------------------------------------------------------------------- */

static void dump_flush(struct dump *d)
{
    size_t done = 0;
    while (done < d->used) {
        ssize_t n = write(d->fd, d->text + done, d->used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    d->used = 0;
}

/* Before an entry, with no lock held. */
static void dump_make_room(struct dump *d)
{
    if (d->used + ENTRY > PAGE)
        dump_flush(d);
}

/* Cuts what does not fit; never flushes. */
static COIR__PRINTF(2, 3) void add(struct dump *d, const char *format, ...)
{
    va_list list;
    size_t room = PAGE - 2 - d->used; /* the last line always ends */
    va_start(list, format);
    int n = vsnprintf(d->text + d->used, room, format, list);
    va_end(list);
    if (n > 0)
        d->used += (size_t)n < room ? (size_t)n : room - 1;
}

static void end_line(struct dump *d)
{
    d->text[d->used++] = '\n';
    if (d->used > PAGE - 2)
        d->used = PAGE - 2;
}

/* The user's text in quotes, without what could end the line. */
static void add_quoted(struct dump *d, const char *text)
{
    size_t start = d->used;
    add(d, "'%.200s'", text ? text : "?");
    for (size_t i = start; i < d->used; i++)
        if ((unsigned char)d->text[i] < ' ')
            d->text[i] = '?';
}

static void add_duration(struct dump *d, int64_t ns)
{
    if (ns < COIR_S(10))
        add(d, "%lld ms", (long long)(ns / COIR_MS(1)));
    else
        add(d, "%lld.%lld s", (long long)(ns / COIR_S(1)), (long long)(ns / COIR_MS(100) % 10));
}

/* -- looking ---------------------------------------------------------------------------------- */

static bool lock_within(coir__lock *l, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        if (coir__lock_try(l))
            return true;
        coir__spin(round);
    }
    return false;
}

static bool lock_soon(coir__lock *l) { return lock_within(l, LOCK_ROUNDS); }

/* A word that another thread may be writing; not for ThreadSanitizer's eyes. */
static COIR__UNSANITIZED uintptr_t peek(const void *word)
{
    return *(const volatile uintptr_t *)word;
}

static COIR__UNSANITIZED uint16_t peek_16(const void *word)
{
    return *(const volatile uint16_t *)word;
}

static COIR__UNSANITIZED uint32_t peek_32(const void *word)
{
    return *(const volatile uint32_t *)word;
}

static COIR__UNSANITIZED int64_t peek_time(const void *word)
{
    return *(const volatile int64_t *)word;
}

/* What a task waits for, at one moment. */
struct wait {
    uint32_t park;
    uint8_t kind;
    coir__lock *lock;
    uint32_t since;
};

static struct wait wait_of(const coir__task *t)
{
    struct wait seen;
    int tries = 0;
    do {
        seen.park = atomic_load_explicit(&t->park, memory_order_acquire);
        seen.kind = coir__wait_kind_of(t);
        seen.lock = atomic_load_explicit(&t->wait_lock, memory_order_acquire);
        seen.since = atomic_load_explicit(&t->wait_note, memory_order_acquire) >> 8;
    } while (seen.park != atomic_load_explicit(&t->park, memory_order_acquire) && ++tries < 8);
    return seen;
}

static bool is_waiting(uint32_t park)
{
    return park == COIR__PARK_WAITING || park == COIR__PARK_HELD || park == COIR__PARK_SELECTED ||
           park == COIR__PARK_IO;
}

/* -- holders ---------------------------------------------------------------------------------- */

/* A task or thread that is mentioned elsewhere than in its own line. */
struct mention {
    uint64_t id; /* 0: it has ended */
    bool thread;
    bool named;
    char name[NAME];
};

/* No lock is held. */
static void look_who(coir__task *t, struct mention *ret)
{
    *ret = (struct mention){.id = atomic_load_explicit(&t->id, memory_order_acquire)};
    if (!lock_within(&t->scope_lock, NAME_ROUNDS))
        return;
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
    ret->id = atomic_load_explicit(&t->id, memory_order_acquire);
    if (flags & (COIR__TASK_ENDING | COIR__TASK_DONE))
        ret->id = 0;
    ret->thread = flags & COIR__TASK_THREAD;
    ret->named = ret->id != 0 && t->name;
    if (ret->named)
        snprintf(ret->name, sizeof ret->name, "%s", t->name);
    coir__lock_drop(&t->scope_lock);
}

static void add_mention(struct dump *d, const struct mention *m)
{
    if (m->id == 0) {
        add(d, " a task that has ended");
        return;
    }
    add(d, " %s %llu", m->thread ? "thread" : "task", (unsigned long long)m->id);
    if (m->named) {
        add(d, " ");
        add_quoted(d, m->name);
    }
}

/* Who holds the lock that a task waits for. */
struct held {
    coir__lock *lock; /* NULL: none is known */
    uint32_t readers;
    bool known;
    struct mention by;
};

/* Of the task or thread to be written next; no lock is held. *ret is all zero. */
static void look_for_holder(const coir__task *t, struct held *ret)
{
    coir__holder holder;
    uint8_t kind = coir__wait_kind_of(t);
    if (kind == COIR__WAIT_JOIN || !coir__holder_has(kind))
        return;
    coir__holder_look_begin();
    bool found = coir__holder_find(t, &holder);
    coir__holder_look_end();
    if (!found)
        return;
    ret->lock = holder.lock;
    ret->readers = holder.readers;
    ret->known = holder.task != NULL;
    if (ret->known)
        look_who(holder.task, &ret->by);
}

static const char *holding(uint8_t kind) { return kind == COIR__WAIT_ONCE ? "run by" : "held by"; }

static void add_holder(struct dump *d, uint8_t kind, const struct held *held)
{
    if (held->known) {
        add(d, ", %s", holding(kind));
        add_mention(d, &held->by);
    } else if (held->readers) {
        add(d, ", held by %u reader%s", held->readers, held->readers > 1 ? "s" : "");
    }
}

/* -- states ----------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int lock_at; /* where the lock is in the object, whose address is shown; -1: not shown */
} waits[COIR__WAIT_KINDS] = {
    [COIR__WAIT_NONE] = {"for nothing", -1},
    [COIR__WAIT_SEND] = {"for a send on channel", 0},
    [COIR__WAIT_RECV] = {"for a receive on channel", 0},
    [COIR__WAIT_MUTEX] = {"for mutex", 0},
    [COIR__WAIT_EVENT] = {"for event", 0},
    [COIR__WAIT_ONCE] = {"for once", 0},
    [COIR__WAIT_SLEEP] = {"in a sleep", -1},
    [COIR__WAIT_JOIN] = {"for the end of", -1},
    [COIR__WAIT_GROUP] = {"for its group to be empty", -1},
    [COIR__WAIT_SELECT] = {"in a select", -1},
    [COIR__WAIT_IO] = {"for I/O", -1},
    [COIR__WAIT_CLOSE] = {"for a close", -1},
    [COIR__WAIT_RESOLVE] = {"for a name look-up", -1},
    [COIR__WAIT_COND] = {"for condition", 0},
    [COIR__WAIT_SEM] = {"for semaphore", 8},
    [COIR__WAIT_READ_LOCK] = {"to read under lock", 0},
    [COIR__WAIT_WRITE_LOCK] = {"to write under lock", 0},
    [COIR__WAIT_NOTIFY] = {"for notify", 0},
    [COIR__WAIT_BARRIER] = {"for barrier", 8},
    [COIR__WAIT_FUTURE] = {"for future", 0},
    [COIR__WAIT_FUTEX] = {"for a futex", -1},
    [COIR__WAIT_BROADCAST] = {"for broadcast", 0},
    [COIR__WAIT_LIMIT] = {"to be started: its group is at its limit", -1},
};

static void add_sleep(struct dump *d, const coir__task *t, int64_t now)
{
    int64_t when = peek_time(&t->wait.timer.when);
    if (when > now) {
        add(d, ", ");
        add_duration(d, when - now);
        add(d, " left");
    }
}

/* The lock is that of the task waited for, if this is what it seems to be. */
static void add_joined(struct dump *d, coir__lock *lock)
{
    coir__task *joined = coir__container(lock, coir__task, scope_lock);
    if (lock && coir__task_is_descriptor(joined))
        add(d, " task %llu",
            (unsigned long long)atomic_load_explicit(&joined->id, memory_order_relaxed));
    else
        add(d, " a task");
}

/* The word's address is in the waiter's node. */
static void add_futex(struct dump *d, const coir__task *t)
{
    add(d, " at %p", (void *)peek(&t->wait.node.data));
}

static void add_io(struct dump *d, coir__runtime *rt, const coir__task *t)
{
    int fd = rt ? coir__op_fd(rt,
                              (uintptr_t)atomic_load_explicit(&t->wait_lock, memory_order_relaxed))
                : -1;
    if (fd >= 0)
        add(d, " on descriptor %d", fd);
}

/* The cases are in the program's memory, as long as this select waits. */
static void add_select(struct dump *d, const coir__task *t, const struct wait *seen, int64_t now)
{
    char text[COIR__CASES_TEXT];
    coir__cases_describe(seen->lock, peek(&t->wait.node.data), now, text);
    struct wait after = wait_of(t);
    if (after.park == seen->park && after.kind == seen->kind && after.lock == seen->lock &&
        after.since == seen->since)
        add(d, "%s", text);
}

static void add_wait(struct dump *d, coir__runtime *rt, const coir__task *t,
                     const struct wait *seen, const struct held *held)
{
    int64_t now = rt ? coir__runtime_now(rt) : coir__time_now();
    uint8_t kind = seen->kind < COIR__WAIT_KINDS ? seen->kind : COIR__WAIT_NONE;
    uint32_t ticks = ((uint32_t)(now >> COIR__SINCE_SHIFT) - seen->since) & COIR__SINCE_MASK;
    add(d, ": waiting ");
    add_duration(d, ticks < COIR__SINCE_MASK / 2 ? (int64_t)ticks << COIR__SINCE_SHIFT : 0);
    add(d, " %s", waits[kind].text);
    if (waits[kind].lock_at >= 0)
        add(d, " %p", (void *)((uintptr_t)seen->lock - (uintptr_t)waits[kind].lock_at));
    else if (kind == COIR__WAIT_SLEEP)
        add_sleep(d, t, now);
    else if (kind == COIR__WAIT_JOIN)
        add_joined(d, seen->lock);
    else if (kind == COIR__WAIT_FUTEX)
        add_futex(d, t);
    else if (kind == COIR__WAIT_SELECT)
        add_select(d, t, seen, now);
    else if (kind == COIR__WAIT_IO)
        add_io(d, rt, t);
    if (coir__holder_has(kind) && held->lock == seen->lock)
        add_holder(d, kind, held);
}

/* The index of the worker that runs `t`, or -1. */
static int running_on(const coir__runtime *rt, const coir__task *t)
{
    for (unsigned i = 0; i < rt->worker_count; i++)
        if ((const coir__task *)peek(&rt->workers[i]->current) == t)
            return (int)i;
    return -1;
}

static void add_state(struct dump *d, coir__runtime *rt, const coir__task *t,
                      const struct held *held)
{
    struct wait seen = wait_of(t);
    int worker;
    if (is_waiting(seen.park))
        add_wait(d, rt, t, &seen, held);
    else if (rt && (worker = running_on(rt, t)) >= 0)
        add(d, ": running on worker %d", worker);
    else
        add(d, peek(&t->stack) ? ": ready" : ": new");
}

/* -- scopes ----------------------------------------------------------------------------------- */

static void add_reason(struct dump *d, const coir__scope *s)
{
    const coir_cancel_reason *r = atomic_load_explicit(&s->reason, memory_order_acquire);
    if (!r) {
        if (atomic_load_explicit(&s->state, memory_order_relaxed) & COIR__SCOPE_CANCELLED)
            add(d, ", cancelled from outside");
        return;
    }
    if (r->code == -ETIMEDOUT) {
        add(d, ", deadline passed");
        return;
    }
    add(d, ", cancelled: ");
    add_quoted(d, r->why);
    if (r->file)
        add(d, " at %s:%d", r->file, r->line);
    if (r->task_id)
        add(d, " by task %llu", (unsigned long long)r->task_id);
}

/* A scope of the user's. */
static void add_scope(struct dump *d, coir__scope *s, int64_t now)
{
    static const char *const kinds[] = {"own scope", "scope", "shield", "group"};
    const coir__user_scope *u = coir__container(s, coir__user_scope, head);
    add(d, "  %s begun at %s:%d", kinds[s->kind], u->file ? u->file : "?", u->line);
    if (s->kind == COIR__SCOPE_GROUP)
        add(d, ", tasks in it: %u", peek_32(&coir__group_of_scope(s)->count));
    if (u->deadline != COIR_FOREVER && u->deadline > now) {
        add(d, ", ");
        add_duration(d, u->deadline - now);
        add(d, " left");
    }
    add_reason(d, s);
    end_line(d);
}

/* From the innermost outwards to the one that every task has built in. The scope lock is held. */
static void add_scopes(struct dump *d, const coir__runtime *rt, coir__task *t)
{
    int64_t now = rt ? coir__runtime_now(rt) : coir__time_now();
    coir__scope *s;
    for (s = t->scope; s && s != &t->root && d->used < PAGE - 512; s = s->parent)
        add_scope(d, s, now);
    if (s == &t->root && atomic_load_explicit(&s->reason, memory_order_acquire)) {
        add(d, "  own scope");
        add_reason(d, s);
        end_line(d);
    } else if (s && s != &t->root) {
        add(d, "  ... more scopes");
        end_line(d);
    }
}

/* -- tasks and threads ------------------------------------------------------------------------ */

static void add_task(struct dump *d, coir__runtime *rt, coir__task *t, const struct held *held)
{
    add(d, "task %llu ", (unsigned long long)atomic_load_explicit(&t->id, memory_order_relaxed));
    add_quoted(d, t->name);
    add(d, " spawned at %s:%d", t->file ? t->file : "?", t->line);
    add_state(d, rt, t, held);
    end_line(d);
    add_scopes(d, rt, t);
}

/* One that has ended; the result waits for somebody with a handle. */
static void add_ended(struct dump *d, const coir__task *t, unsigned flags)
{
    if (!(flags & COIR__TASK_DONE))
        return; /* just ending */
    add(d, "ended task %llu, spawned at %s:%d: its result has not been taken",
        (unsigned long long)atomic_load_explicit(&t->id, memory_order_relaxed),
        t->file ? t->file : "?", t->line);
    end_line(d);
}

static void add_thread(struct dump *d, coir__task *t, const struct held *held)
{
    struct wait seen = wait_of(t);
    if (!is_waiting(seen.park))
        return;
    add(d, "thread %llu ", (unsigned long long)atomic_load_explicit(&t->id, memory_order_relaxed));
    add_quoted(d, t->name);
    add_wait(d, NULL, t, &seen, held);
    end_line(d);
    add_scopes(d, NULL, t);
}

/* The scope lock is held, and the descriptor in use. */
static void add_descriptor(struct dump *d, coir__task *t, const struct held *held)
{
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
    if (flags & COIR__TASK_JOINING) /* its end does not wait for the lock any more */
        return;
    if (t->rt != d->rt)
        return;
    if (flags & COIR__TASK_THREAD)
        add_thread(d, t, held);
    else if (flags & (COIR__TASK_ENDING | COIR__TASK_DONE))
        add_ended(d, t, flags);
    else
        add_task(d, coir__runtime_of(t), t, held);
}

static void visit(coir__task *t, void *arg)
{
    struct dump *d = arg;
    struct held held = {0};
    if (peek_16(&t->rt) != d->rt)
        return;
    dump_make_room(d);
    look_for_holder(t, &held);
    if (!lock_soon(&t->scope_lock)) {
        uint64_t id = atomic_load_explicit(&t->id, memory_order_relaxed);
        add(d, "%s %llu: its lock is held", d->rt ? "task" : "thread", (unsigned long long)id);
        end_line(d);
        return;
    }
    if (atomic_load_explicit(&t->id, memory_order_acquire) != 0)
        add_descriptor(d, t, &held);
    coir__lock_drop(&t->scope_lock);
}

/* -- cycles ----------------------------------------------------------------------------------- */

/* What somebody waits for, and who has it. */
static void add_hop(struct dump *d, const coir__holder *hop)
{
    struct mention by;
    look_who(hop->task, &by);
    add(d, " waits %s", waits[hop->kind].text);
    if (hop->kind != COIR__WAIT_JOIN)
        add(d, " %p %s", (void *)((uintptr_t)hop->lock - (uintptr_t)waits[hop->kind].lock_at),
            holding(hop->kind));
    add_mention(d, &by);
}

static void visit_for_cycles(coir__task *t, void *arg)
{
    struct dump *d = arg;
    struct mention first;
    coir__holder hops[COIR__CYCLE_MAX];
    unsigned n = coir__cycle_find(t, hops);
    if (n == 0)
        return;
    dump_make_room(d);
    look_who(t, &first);
    add(d, "mutex cycle:");
    add_mention(d, &first);
    for (unsigned i = 0; i < n; i++) {
        dump_make_room(d); /* a line of any length: no lock is held */
        if (i > 0)
            add(d, ", which");
        add_hop(d, &hops[i]);
    }
    end_line(d);
}

/* -- runtimes --------------------------------------------------------------------------------- */

/* The table keeps what is in it from going away. */
static coir__runtime *runtime_hold(unsigned index)
{
    if (!atomic_load_explicit(&coir__runtimes[index], memory_order_relaxed) ||
        !lock_soon(&coir__runtimes_lock))
        return NULL;
    coir__runtime *rt = atomic_load_explicit(&coir__runtimes[index], memory_order_relaxed);
    if (!rt)
        coir__lock_drop(&coir__runtimes_lock);
    return rt;
}

static void add_runtime(struct dump *d, coir__runtime *rt)
{
    const coir_engine *engine = (const coir_engine *)peek(&rt->engine);
    uint64_t spawned = atomic_load_explicit(&rt->foreign_spawned, memory_order_relaxed), ended = 0;
    for (unsigned i = 0; i < rt->worker_count; i++)
        ended += atomic_load_explicit(&rt->workers[i]->metric_ended, memory_order_relaxed);
    for (unsigned i = 0; i < rt->worker_count; i++)
        spawned += atomic_load_explicit(&rt->workers[i]->metric_spawned, memory_order_relaxed);
    add(d, "runtime %u ", rt->index);
    add_quoted(d, rt->name);
    add(d, ": engine %s, %u workers, %llu tasks live of %llu spawned, %u in the shared queue",
        engine ? engine->name : "?", rt->worker_count,
        (unsigned long long)(spawned > ended ? spawned - ended : 0), (unsigned long long)spawned,
        atomic_load_explicit(&rt->inject_count, memory_order_relaxed));
    end_line(d);
}

static void add_worker(struct dump *d, coir__worker *w, unsigned index)
{
    uint32_t head = (uint32_t)atomic_load_explicit(&w->head, memory_order_relaxed);
    uint32_t queued = atomic_load_explicit(&w->tail, memory_order_relaxed) - head;
    if (queued > COIR__RING) /* the two are not of one moment */
        queued = 0;
    queued += peek_32(&w->overflow_count);
    queued += atomic_load_explicit(&w->lifo, memory_order_relaxed) != NULL;
    bool asleep = atomic_load_explicit(&w->sleeping, memory_order_relaxed) == COIR__ASLEEP;
    add(d, "  worker %u: thread %u, %s, %u queued", index, peek_32(&w->tid),
        asleep ? "asleep" : "awake", queued);
    end_line(d);
}

/* False at the end. */
static bool dump_worker(struct dump *d, unsigned index, unsigned i)
{
    dump_make_room(d);
    coir__runtime *rt = runtime_hold(index);
    if (!rt)
        return false;
    bool more = i < rt->worker_count;
    if (i == 0)
        add_runtime(d, rt);
    if (more)
        add_worker(d, rt->workers[i], i);
    coir__lock_drop(&coir__runtimes_lock);
    return more;
}

static void dump_runtime(struct dump *d, uint16_t index)
{
    for (unsigned i = 0; dump_worker(d, index, i); i++)
        continue;
    d->rt = index;
    coir__task_visit(visit, d);
}

bool coir__dump_wanted(void)
{
    bool wanted = false;
    for (unsigned i = 1; i < COIR__RUNTIMES_MAX && !wanted; i++) {
        const coir__runtime *rt = runtime_hold(i);
        if (!rt)
            continue;
        wanted = rt->dump_on_abort;
        coir__lock_drop(&coir__runtimes_lock);
    }
    return wanted;
}

/* What ended tasks have used of their stacks, where that is measured. */
static void dump_census(struct dump *d)
{
    char line[COIR__CENSUS_LINE];
    for (unsigned i = 0; coir__census_line(i, line); i++) {
        dump_make_room(d);
        add(d, "%s", line);
        end_line(d);
    }
}

void coir_dump(int fd)
{
    struct dump d = {.fd = fd};
    coir__private_look();
    for (uint16_t i = 1; i < COIR__RUNTIMES_MAX; i++)
        if (atomic_load_explicit(&coir__runtimes[i], memory_order_relaxed))
            dump_runtime(&d, i);
    d.rt = 0;
    coir__task_visit(visit, &d);
    coir__task_visit(visit_for_cycles, &d);
    dump_census(&d);
    dump_flush(&d);
}
