/* SPDX-License-Identifier: MIT */
/*
 * embed.c - a runtime inside a foreign loop: coir_runtime_*.
 *
 *   foreign loop --poll--> [epoll: the engine's descriptor, the timer] = coir_runtime_fd()
 *                --run_once--> worker 0 becomes the thread's worker, runs tasks, and is put away again
 *
 * Between two calls the thread is the plain thread that it was: what it sends, sets or wakes goes the way of foreign threads.
 *
 * I1  When run_once returns, the worker has declared that it sleeps, and then looked at everything (coir__worker_pump()), whether
 *     it has been roused last of all; or the engine has been woken. So what comes later writes to the engine's descriptor, and
 *     what came earlier was seen.
 * I2  Only the worker's own tasks arm timers in its wheel. So the timer's descriptor, which is set after they have run, is never too
 *     late; too early by one look where a thread has disarmed the first one since.
 *
 * The clock of the timer is the system's. Under an injected one (options.clock) it is set to what is left, as workers of
 * coir_run() sleep: a loop whose clock is moved by hand calls run_once after that.
 *
 * Cost beside the tasks: one system call for each run_once; another where the first timer has changed.
 */
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "sched/upcall.h"

#define PUMP_BUDGET COIR_MS(1)

struct coir_runtime {
    coir__runtime *rt;
    coir__worker *w;
    int fd; /* an epoll of the engine's descriptor and the next */
    int timer_fd;
    int64_t
        timer; /* what it is set to, or has fired at, in the system's time; COIR_FOREVER: not set */
};

/* -- the timer -------------------------------------------------------------------------------------------------- */

/* When the first timer is due, in the system's time. */
static int64_t next_timer(const coir_runtime *e)
{
    int64_t next = atomic_load_explicit(&e->w->wheel.next, memory_order_relaxed);
    if (next == COIR_FOREVER || coir__runtime_has_system_clock(e->rt))
        return next;
    return coir__time_add(coir__time_now(), next - coir__runtime_now(e->rt));
}

static void timer_follow(coir_runtime *e)
{
    struct itimerspec spec = {.it_interval = {0}};
    int64_t next = next_timer(e);
    if (next == e->timer)
        return;
    if (next != COIR_FOREVER)
        spec.it_value = coir__time_spec(next > 0 ? next : 1); /* 0 would stop it */
    timerfd_settime(e->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    e->timer = next;
}

/* -- running ---------------------------------------------------------------------------------------------------- */

/* True: nothing is left to do. The caller's worker is e->w. */
static bool pump(coir_runtime *e)
{
    bool done = coir__worker_pump(e->w, PUMP_BUDGET);
    timer_follow(e);
    return done;
}

static int count_tasks(const coir_runtime *e)
{
    uint64_t n = atomic_load_explicit(&e->rt->foreign_spawned, memory_order_relaxed) +
                 atomic_load_explicit(&e->w->metric_spawned, memory_order_relaxed) -
                 atomic_load_explicit(&e->w->metric_ended, memory_order_relaxed);
    return n < INT_MAX ? (int)n : INT_MAX;
}

static bool is_inside_task(void)
{
    const coir__worker *w = coir__worker_or_null();
    return w && w->rt;
}

static void check_thread(const coir_runtime *e, const char *function)
{
    if (!pthread_equal(pthread_self(), e->w->thread))
        coir__misuse("%s() on another thread than the one that made the runtime", function);
}

int coir_runtime_run_once(coir_runtime *e)
{
    coir__worker *outer = coir__worker_or_null();
    if (is_inside_task())
        return -EDEADLK;
    check_thread(e, "coir_runtime_run_once");
    coir__worker_set(e->w);
    pump(e);
    coir__worker_set(outer);
    return count_tasks(e);
}

int coir_runtime_fd(coir_runtime *e) { return e->fd; }

int coir_runtime_spawn_at(const char *file, int line, coir_runtime *e, coir_fn *fn, void *arg)
{
    return e ? coir_spawn_at(file, line, &e->rt->root, fn, arg) : -EINVAL;
}

/* -- the end ---------------------------------------------------------------------------------------------------- */

/* As a worker of coir_run() sleeps, and with the same question before it. */
static void wait_for_more(coir_runtime *e)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};
    int64_t timeout = COIR_FOREVER;
    if (coir__runtime_is_quiet(e->rt))
        timeout = coir__deadlock_check(e->rt);
    poll(&p, 1, timeout == COIR_FOREVER ? -1 : (int)(timeout / COIR_MS(1)) + 1);
}

static void descriptors_close(coir_runtime *e)
{
    if (e->timer_fd >= 0)
        close(e->timer_fd);
    if (e->fd >= 0)
        close(e->fd);
}

void coir_runtime_free(coir_runtime *e)
{
    coir__worker *outer = coir__worker_or_null();
    if (!e)
        return;
    if (is_inside_task())
        coir__misuse("coir_runtime_free() inside a task");
    check_thread(e, "coir_runtime_free");
    coir__worker_set(e->w);
    atomic_store(&e->rt->embedded, false); /* from here on it ends with its last task */
    coir_group_cancel_at("coir_runtime_free", 0, &e->rt->root, "run ended");
    while (atomic_load_explicit(&e->rt->live, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&e->rt->watches, memory_order_acquire) != 0)
        if (pump(e))
            wait_for_more(e);
    descriptors_close(e);
    coir__runtime_close(e->rt, outer);
    free(e);
}

/* -- the beginning ---------------------------------------------------------------------------------------------- */

static int watch(const coir_runtime *e, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(e->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int descriptors_open(coir_runtime *e)
{
    const coir_engine *engine = e->w->engine;
    if (!engine->descriptor)
        return -ENOTSUP;
    int engine_fd = engine->descriptor(e->w->loop);
    if (engine_fd < 0)
        return engine_fd;
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    e->timer_fd = e->fd < 0 ? -1 : timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (e->timer_fd < 0)
        return -errno;
    int rc = watch(e, e->timer_fd);
    return rc == 0 ? watch(e, engine_fd) : rc;
}

static int embed_open(coir_runtime *e, const coir_options *opt, coir__worker *outer)
{
    int rc = coir__runtime_open(&e->rt, opt, true);
    if (rc < 0)
        return rc;
    e->w = e->rt->workers[0];
    rc = descriptors_open(e);
    if (rc < 0) {
        descriptors_close(e);
        coir__runtime_close(e->rt, outer);
        return rc;
    }
    pump(e);
    coir__worker_set(outer);
    return 0;
}

coir_runtime *coir_runtime_new(const coir_options *opt)
{
    int rc = is_inside_task() ? -EDEADLK : 0;
    coir_runtime *e = rc == 0 ? calloc(1, sizeof *e) : NULL;
    if (e) {
        e->fd = e->timer_fd = -1;
        e->timer = COIR_FOREVER;
        rc = embed_open(e, opt, coir__worker_or_null());
    } else if (rc == 0) {
        rc = -ENOMEM;
    }
    if (rc == 0)
        return e;
    coir__log("coir_runtime_new: %s", coir_strerror(rc));
    free(e);
    return NULL;
}
