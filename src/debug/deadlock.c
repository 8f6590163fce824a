/* SPDX-License-Identifier: MIT */
/*
 * deadlock.c - tells when nothing can ever happen again, and is never wrong about it.
 *
 * It is certain when all of this holds at one moment:
 *
 *   - every worker of every runtime sleeps, with no timer armed, no operation and no look-up under way;
 *   - every task waits, and for something that only a task could provide;
 *   - the process has no other thread: nobody else could provide it.
 *
 * The last worker that goes to sleep asks, on its own stack. Looking takes time, so the first is looked at again at the end:
 * a worker that has left its sleep meanwhile either still has or has moved its tick. In between, in this order, threads (one
 * that is not there can't appear again) and tasks.
 *
 * While it is not certain nothing is said: a foreign thread may still send. That is the common case in programs that embed
 * coir, and a look costs some ten microseconds; so it is taken once, when the runtime has been quiet for 20 ms. What was
 * found about a quiet state holds until a task has run: known by the sum of the workers' run counters. Only where something
 * moved, here or in another runtime, another look follows, later and later.
 *
 * Guarded by coir__runtimes_lock: all of the look; runtimes neither come nor go in it.
 */
#include "debug/deadlock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "sched/upcall.h"

#define DELAY_MAX COIR_S(1)

int64_t coir__deadlock_patience = COIR_MS(20);

/* -- threads ---------------------------------------------------------------------------------- */

static bool is_worker(const coir__runtime *rt, pid_t tid)
{
    if (atomic_load(&rt->embedded)) /* its thread may do anything between two looks at its tasks */
        return false;
    for (unsigned i = 0; i < rt->worker_count; i++)
        if (rt->workers[i]->tid == tid)
            return true;
    return false;
}

static bool is_any_worker(pid_t tid)
{
    for (unsigned i = 1; i < COIR__RUNTIMES_MAX; i++) {
        const coir__runtime *rt = atomic_load_explicit(&coir__runtimes[i], memory_order_relaxed);
        if (rt && is_worker(rt, tid))
            return true;
    }
    return false;
}

/* The beginning of a file about a thread, as a string. */
static bool read_about(int threads, const char *tid, const char *file, char *text, size_t size)
{
    char path[32];
    snprintf(path, sizeof path, "%.16s/%s", tid, file);
    int fd = openat(threads, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Helpers of ours with nothing to do, and what io_uring runs in the process. */
static bool is_helper(int threads, const char *tid)
{
    static const char *const names[] = {"coir/dns", "iou-wrk-", "iou-sqp-"};
    char name[32];
    if (!read_about(threads, tid, "comm", name, sizeof name))
        return false;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(name, names[i], 8) == 0)
            return true;
    return false;
}

/* ThreadSanitizer's own threads (one, two after a fork) have the program's name, and even SIGSEGV blocked. */
static bool is_sanitizers(int threads, const char *tid)
{
    static const char field[] = "SigBlk:";
    const unsigned long long all = 0x3ffbfeff; /* but SIGKILL, SIGSTOP, SIGSYS */
    char status[2048];
    if (!COIR__TSAN || !read_about(threads, tid, "status", status, sizeof status))
        return false;
    const char *mask = strstr(status, field);
    return mask && (strtoull(mask + sizeof field - 1, NULL, 16) & all) == all;
}

static bool is_foreign(int threads, const char *tid)
{
    return !is_any_worker((pid_t)atoi(tid)) && !is_helper(threads, tid) &&
           !is_sanitizers(threads, tid);
}

/* As getdents64(2) has it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* How many entries of a batch are threads of others. */
static unsigned count_foreign(int threads, const char *batch, long size)
{
    unsigned n = 0;
    const struct entry *e;
    for (long at = 0; at < size; at += e->size) {
        e = (const struct entry *)(const void *)(batch + at);
        n += e->name[0] != '.' && is_foreign(threads, e->name);
    }
    return n;
}

/* Whether the process has no threads but the workers and their helpers. */
static bool threads_are_ours(void)
{
    _Alignas(struct entry) char batch[2048];
    unsigned others = 0;
    long size;
    int threads = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (threads < 0)
        return false;
    while ((size = syscall(SYS_getdents64, threads, batch, sizeof batch)) > 0)
        others += count_foreign(threads, batch, size);
    close(threads);
    return size == 0 && others == 0;
}

/* -- tasks ------------------------------------------------------------------------------------ */

struct census {
    size_t waiting;
    bool other; /* a task that does not wait for another one */
};

static bool waits_for_task(const coir__task *t)
{
    uint32_t park = atomic_load_explicit(&t->park, memory_order_acquire);
    if (park != COIR__PARK_WAITING && park != COIR__PARK_HELD && park != COIR__PARK_SELECTED)
        return false;
    switch (coir__wait_kind_of(t)) {
    case COIR__WAIT_SEND:
    case COIR__WAIT_RECV:
    case COIR__WAIT_MUTEX:
    case COIR__WAIT_EVENT:
    case COIR__WAIT_ONCE:
    case COIR__WAIT_JOIN:
    case COIR__WAIT_GROUP:
    case COIR__WAIT_LIMIT: /* for the end of a sibling */
    case COIR__WAIT_COND:
    case COIR__WAIT_SEM:
    case COIR__WAIT_READ_LOCK:
    case COIR__WAIT_WRITE_LOCK:
    case COIR__WAIT_NOTIFY:
    case COIR__WAIT_BARRIER:
    case COIR__WAIT_FUTURE:
    case COIR__WAIT_FUTEX:
    case COIR__WAIT_BROADCAST:
    case COIR__WAIT_SELECT: /* its timers and descriptors have been looked for in the runtime */
        return true;
    default:
        return false;
    }
}

static void count_task(coir__task *t, void *arg)
{
    struct census *c = arg;
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_acquire);
    if (flags & (COIR__TASK_THREAD | COIR__TASK_ENDING | COIR__TASK_DONE))
        return;
    if (waits_for_task(t))
        c->waiting++;
    else
        c->other = true;
}

/* -- the look --------------------------------------------------------------------------------- */

/* Whether all runtimes are quiet; *ret_ticks moves whenever a worker has come out of its sleep. */
static bool all_quiet(uint64_t *ret_ticks)
{
    uint64_t ticks = 0;
    for (unsigned i = 1; i < COIR__RUNTIMES_MAX; i++) {
        coir__runtime *rt = atomic_load_explicit(&coir__runtimes[i], memory_order_relaxed);
        if (!rt)
            continue;
        if (!coir__runtime_is_quiet(rt))
            return false;
        for (unsigned k = 0; k < rt->worker_count; k++)
            ticks += atomic_load_explicit(&rt->workers[k]->tick, memory_order_relaxed);
    }
    *ret_ticks = ticks;
    return true;
}

enum verdict { UNSETTLED, FOREIGN_THREADS, DEADLOCK };

static enum verdict look(size_t *ret_tasks)
{
    uint64_t before, after;
    struct census c = {0};
    if (!all_quiet(&before))
        return UNSETTLED;
    if (!threads_are_ours())
        return FOREIGN_THREADS;
    coir__task_visit(count_task, &c);
    if (c.other || !all_quiet(&after) || before != after)
        return UNSETTLED;
    *ret_tasks = c.waiting;
    return DEADLOCK;
}

static uint32_t runs_of(const coir__runtime *rt)
{
    uint32_t runs = 0;
    for (unsigned i = 0; i < rt->worker_count; i++)
        runs += atomic_load_explicit(&rt->workers[i]->runs, memory_order_relaxed);
    return runs;
}

static void set_state(coir__runtime *rt, uint32_t runs, uint8_t state)
{
    rt->quiet.runs = runs;
    rt->quiet.state = state;
}

/* Of all runtimes: the next report is due when tasks have run again. */
static void set_all_looked_at(void)
{
    for (unsigned i = 1; i < COIR__RUNTIMES_MAX; i++) {
        coir__runtime *rt = atomic_load_explicit(&coir__runtimes[i], memory_order_relaxed);
        if (rt)
            set_state(rt, runs_of(rt), COIR__QUIET_LOOKED_AT);
    }
}

/* Wakes the caller's worker: the hook may have made tasks runnable there. */
static void look_again(coir__runtime *rt)
{
    coir__worker *w = coir__worker_or_null();
    if (w && w->runtime == rt)
        coir__worker_rouse(w);
}

static COIR__COLD void report(coir__runtime *rt, size_t tasks)
{
    static const char text[] =
        "deadlock: all tasks (%zu) wait for one another, and nothing else can happen";
    coir__runtime_log(rt, text, tasks);
    if (rt->options.log)
        coir__log(text, tasks);
    coir_dump(STDERR_FILENO);
    if (!rt->options.on_deadlock)
        abort();
    rt->options.on_deadlock(rt->options.hook_arg);
    look_again(rt);
}

/* One step: how many are deadlocked (0: none or not certain), and when to ask again. The lock is held. */
static size_t check_locked(coir__runtime *rt, int64_t *ret_again)
{
    uint32_t runs = runs_of(rt);
    size_t tasks = 0;
    *ret_again = COIR_FOREVER;
    if (rt->quiet.state == COIR__QUIET_NEW || rt->quiet.runs != runs) {
        set_state(rt, runs, COIR__QUIET_WAITED_FOR);
        *ret_again = rt->quiet.delay = coir__deadlock_patience;
        return 0;
    }
    if (rt->quiet.state == COIR__QUIET_LOOKED_AT)
        return 0;
    switch (look(&tasks)) {
    case DEADLOCK:
        set_all_looked_at();
        break;
    case FOREIGN_THREADS:
        set_state(rt, runs, COIR__QUIET_LOOKED_AT);
        break;
    case UNSETTLED: /* another runtime has something to do, or a worker was up for a moment */
        rt->quiet.delay = rt->quiet.delay < DELAY_MAX / 2 ? rt->quiet.delay * 2 : DELAY_MAX;
        *ret_again = rt->quiet.delay;
        break;
    }
    return tasks;
}

int64_t coir__deadlock_check(coir__runtime *rt)
{
    int64_t again;
    coir__lock_take(&coir__runtimes_lock);
    size_t tasks = check_locked(rt, &again);
    coir__lock_drop(&coir__runtimes_lock);
    if (tasks > 0)
        report(rt, tasks);
    return again;
}
