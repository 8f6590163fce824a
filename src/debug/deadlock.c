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
 * coir, so they must not pay for it at every sleep: one stat(2), and the names of the threads at most every RECOUNT.
 *
 * Guarded by coir__runtimes_lock: all of the look; runtimes neither come nor go in it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "sched/upcall.h"

#define RECOUNT COIR_MS(10)

static const char threads_path[] = "/proc/self/task";

/* -- threads ---------------------------------------------------------------------------------- */

/* A look that found foreign threads: how many threads there were, how many of them workers, and when. */
static struct {
    nlink_t links;
    unsigned workers;
    int64_t when;
} foreign;

static unsigned count_workers(void)
{
    unsigned n = 0;
    for (unsigned i = 1; i < COIR__RUNTIMES_MAX; i++) {
        const coir__runtime *rt = atomic_load_explicit(&coir__runtimes[i], memory_order_relaxed);
        n += rt ? rt->worker_count : 0;
    }
    return n;
}

static bool is_worker(const coir__runtime *rt, pid_t tid)
{
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

static bool read_threads_are_ours(void)
{
    _Alignas(struct entry) char batch[2048];
    unsigned others = 0;
    long size;
    int threads = open(threads_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (threads < 0)
        return false;
    while ((size = syscall(SYS_getdents64, threads, batch, sizeof batch)) > 0)
        others += count_foreign(threads, batch, size);
    close(threads);
    return size == 0 && others == 0;
}

/* Whether the process has no threads but the workers and their helpers. */
static bool threads_are_ours(void)
{
    struct stat st;
    if (stat(threads_path, &st) < 0)
        return false;
    int64_t now = coir__time_now();
    unsigned workers = count_workers();
    if (st.st_nlink == foreign.links && workers == foreign.workers && now - foreign.when < RECOUNT)
        return false;
    if (read_threads_are_ours())
        return true;
    foreign.links = st.st_nlink; /* two and the number of threads */
    foreign.workers = workers;
    foreign.when = now;
    return false;
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

/* How many tasks are deadlocked; 0: not certain. */
static size_t look(void)
{
    uint64_t before, after;
    struct census c = {0};
    if (!all_quiet(&before) || !threads_are_ours())
        return 0;
    coir__task_visit(count_task, &c);
    if (c.other || !all_quiet(&after) || before != after)
        return 0;
    return c.waiting;
}

/* For all: the next one is found when a task has run again. */
static void mark_reported(void)
{
    for (unsigned i = 1; i < COIR__RUNTIMES_MAX; i++) {
        coir__runtime *rt = atomic_load_explicit(&coir__runtimes[i], memory_order_relaxed);
        if (rt)
            atomic_store_explicit(&rt->quiet_reported, true, memory_order_relaxed);
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

void coir__deadlock_check(coir__runtime *rt)
{
    if (atomic_load_explicit(&rt->quiet_reported, memory_order_relaxed))
        return;
    coir__lock_take(&coir__runtimes_lock);
    size_t tasks = look();
    if (tasks > 0)
        mark_reported();
    coir__lock_drop(&coir__runtimes_lock);
    if (tasks > 0)
        report(rt, tasks);
}
