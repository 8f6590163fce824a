/* SPDX-License-Identifier: MIT */
/*
 * runtime.c - coir_run: options, workers, beginning and end. (In a foreign loop: embed.c.)
 *
 * The calling thread becomes worker 0, the others are started here. Loops are made by the threads that drive them; whether
 * the chosen engine works is known after the first. The end: when the root group is empty, `stopping` is set and
 * every worker woken; threads are joined; then everything is freed.
 */
#include "sched/runtime.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/fence.h"
#include "base/futex.h"
#include "base/log.h"
#include "base/time.h"
#include "sched/upcall.h"

coir__runtime *_Atomic coir__runtimes[COIR__RUNTIMES_MAX];
coir__lock coir__runtimes_lock;
static unsigned runtimes_live;

/* loop/: the engines of this build, best first, NULL at the end. Declared here because the seam is public. */
extern const coir_engine *const coir__engines[];

static int64_t system_now(void *arg)
{
    (void)arg;
    return coir__time_now();
}

static const coir_clock system_clock = {.now = system_now};

bool coir__runtime_has_system_clock(const coir__runtime *rt)
{
    return rt->options.clock == &system_clock;
}

int64_t coir__now(const coir__worker *w)
{
    return w && w->rt ? coir__runtime_now(w->runtime) : coir__time_now();
}

int64_t coir_now(void) { return coir__now(coir__worker_or_null()); }

void coir__runtime_log(coir__runtime *rt, const char *format, ...)
{
    char line[512];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (rt && rt->options.log)
        rt->options.log(rt->options.hook_arg, line);
    else
        coir__log("%s", line);
}

/* -- options ---------------------------------------------------------------------------------------------------- */

static int refuse(const char *name, const char *value, const char *why)
{
    coir__log("%s=%s: %s", name, value, why);
    return -EINVAL;
}

static int parse_number(const char *name, const char *text, uint64_t least, uint64_t most,
                        uint64_t *ret)
{
    char *end, why[80];
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno != 0 || n < least || n > most) {
        snprintf(why, sizeof why, "not a number from %llu to %llu", (unsigned long long)least,
                 (unsigned long long)most);
        return refuse(name, text, why);
    }
    *ret = n;
    return 0;
}

static int apply_workers(coir_options *o)
{
    const char *text = getenv("COIR_WORKERS");
    uint64_t n;
    if (!text)
        return 0;
    int rc = parse_number("COIR_WORKERS", text, 1, COIR__WORKERS_MAX, &n);
    if (rc == 0)
        o->workers = (unsigned)n;
    return rc;
}

static int apply_engine(coir_options *o)
{
    const char *text = getenv("COIR_ENGINE");
    if (!text)
        return 0;
    if (strcmp(text, "uring") == 0)
        o->engine = COIR_ENGINE_URING;
    else if (strcmp(text, "epoll") == 0)
        o->engine = COIR_ENGINE_EPOLL;
    else
        return refuse("COIR_ENGINE", text, "uring or epoll");
    return 0;
}

static int apply_stack(coir_options *o)
{
    const char *text = getenv("COIR_STACK");
    if (!text)
        return 0;
    if (strcmp(text, "lazy") == 0)
        o->stack_strategy = COIR_STACK_LAZY;
    else if (strcmp(text, "grow") == 0)
        o->stack_strategy = COIR_STACK_GROW;
    else if (strcmp(text, "fixed") == 0)
        o->stack_strategy = COIR_STACK_FIXED;
    else
        return refuse("COIR_STACK", text, "lazy, grow or fixed");
    return 0;
}

struct debug_keys {
    uint64_t seed, migrate, dump, census;
};

static int apply_debug_pair(char *pair, struct debug_keys *keys)
{
    char *value = strchr(pair, '=');
    if (!value)
        return refuse("COIR_DEBUG", pair, "key=value,... expected");
    *value++ = '\0';
    if (strcmp(pair, "seed") == 0)
        return parse_number("COIR_DEBUG seed", value, 0, UINT64_MAX, &keys->seed);
    if (strcmp(pair, "migrate") == 0)
        return parse_number("COIR_DEBUG migrate", value, 0, 1, &keys->migrate);
    if (strcmp(pair, "dump") == 0)
        return parse_number("COIR_DEBUG dump", value, 0, 1, &keys->dump);
    if (strcmp(pair, "census") == 0)
        return parse_number("COIR_DEBUG census", value, 0, 1, &keys->census);
    return refuse("COIR_DEBUG", pair, "unknown key");
}

static int apply_debug(struct debug_keys *keys)
{
    const char *text = getenv("COIR_DEBUG");
    char copy[256];
    int rc = 0;
    if (!text || !*text)
        return 0;
    if (strlen(text) >= sizeof copy)
        return refuse("COIR_DEBUG", text, "too long");
    strcpy(copy, text);
    char *rest = copy, *pair;
    while (rc == 0 && (pair = strsep(&rest, ",")) != NULL)
        rc = apply_debug_pair(pair, keys);
    return rc;
}

static int refuse_option(const char *what, const char *why)
{
    coir__log("option %s: %s", what, why);
    return -EINVAL;
}

static int refuse_grow(void)
{
    const char *why =
        "grow works by the handler of stack overflows, which COIR_NO_OVERFLOW_HANDLER leaves out";
    return getenv("COIR_STACK") ? refuse("COIR_STACK", "grow", why)
                                : refuse_option("stack_strategy", why);
}

static bool engine_is_complete(const coir_engine *e)
{
    return e->name && e->init && e->destroy && e->attempt && e->submit && e->cancel && e->poll &&
           e->has_events && e->wake;
}

static int check_options(const coir_options *o)
{
    if (o->workers > COIR__WORKERS_MAX)
        return refuse_option("workers", "more than 1024");
    if (o->stack_reserve && coir__stack_class(o->stack_reserve) == 0)
        return refuse_option("stack_reserve", "too large");
    if ((unsigned)o->stack_strategy > COIR_STACK_FIXED)
        return refuse_option("stack_strategy", "unknown");
    if (o->stack_strategy == COIR_STACK_GROW && o->flags & COIR_NO_OVERFLOW_HANDLER)
        return refuse_grow();
    if ((unsigned)o->engine > COIR_ENGINE_EPOLL)
        return refuse_option("engine", "unknown");
    if (o->flags & ~COIR_NO_OVERFLOW_HANDLER)
        return refuse_option("flags", "unknown bit");
    if (o->allocator && (!o->allocator->allocate || !o->allocator->release))
        return refuse_option("allocator", "incomplete");
    if (o->clock && !o->clock->now)
        return refuse_option("clock", "no function");
    if (o->engine_ops && !engine_is_complete(o->engine_ops))
        return refuse_option("engine_ops", "incomplete");
    return 0;
}

/* A runtime in a foreign loop has one worker. */
static int refuse_workers(const coir_options *given, unsigned workers)
{
    const char *why = "a runtime in a foreign loop has one worker";
    if (given && given->workers == workers)
        return refuse_option("workers", why);
    return refuse("COIR_WORKERS", getenv("COIR_WORKERS"), why);
}

static int options_apply(coir__runtime *rt, const coir_options *given, struct debug_keys *keys)
{
    coir_options *o = &rt->options;
    if (given)
        *o = *given;
    int rc = apply_workers(o);
    if (rc == 0)
        rc = apply_engine(o);
    if (rc == 0)
        rc = apply_stack(o);
    if (rc == 0)
        rc = apply_debug(keys);
    if (rc == 0)
        rc = check_options(o);
    if (rc < 0)
        return rc;
    bool embedded = atomic_load_explicit(&rt->embedded, memory_order_relaxed);
    if (embedded && o->workers > 1)
        return refuse_workers(given, o->workers);
    if (!o->clock)
        o->clock = &system_clock;
    o->stack_strategy = coir__stack_strategy(o->stack_strategy,
                                             !(o->flags & COIR_NO_OVERFLOW_HANDLER));
    if (o->workers == 0)
        o->workers = embedded ? 1 : coir__cpu_count();
    rt->seed = keys->seed ? keys->seed : o->seed;
    while (rt->seed == 0)
        if (getrandom(&rt->seed, sizeof rt->seed, 0) != sizeof rt->seed)
            rt->seed = (uint64_t)coir__time_now() | 1;
    return 0;
}

/* -- engines ---------------------------------------------------------------------------------------------------- */

static const coir_engine *engine_named(const char *name)
{
    for (unsigned i = 0; coir__engines[i]; i++)
        if (strcmp(coir__engines[i]->name, name) == 0)
            return coir__engines[i];
    return NULL;
}

static int worker_init_with(coir__worker *w, coir__runtime *rt, const coir_engine *engine)
{
    rt->engine = engine;
    return engine ? coir__worker_init(w, rt, 0) : -ENOSYS;
}

/* Chooses the engine by making the first worker's loop. */
static int first_worker_init(coir__worker *w, coir__runtime *rt)
{
    if (rt->options.engine_ops)
        return worker_init_with(w, rt, rt->options.engine_ops);
    if (rt->options.engine != COIR_ENGINE_AUTO) {
        const char *name = rt->options.engine == COIR_ENGINE_URING ? "uring" : "epoll";
        int rc = worker_init_with(w, rt, engine_named(name));
        if (rc < 0)
            coir__log("engine %s: %s", name, coir_strerror(rc));
        return rc == -ENOSYS ? -EINVAL : rc;
    }
    int rc = -ENOSYS;
    for (unsigned i = 0; rc < 0 && coir__engines[i]; i++)
        rc = worker_init_with(w, rt, coir__engines[i]);
    return rc;
}

/* -- the table of runtimes -------------------------------------------------------------------------------------- */

static int runtime_enter(coir__runtime *rt)
{
    int rc = -EMFILE;
    coir__lock_take(&coir__runtimes_lock);
    for (uint16_t i = 1; i < COIR__RUNTIMES_MAX; i++) {
        if (atomic_load(&coir__runtimes[i]))
            continue;
        rt->index = i;
        coir__private_begin_locked(rt, coir__worker_or_null() != NULL);
        atomic_store(&coir__runtimes[i], rt);
        runtimes_live++;
        rc = 0;
        break;
    }
    coir__lock_drop(&coir__runtimes_lock);
    return rc;
}

static void runtime_leave(coir__runtime *rt)
{
    coir__lock_take(&coir__runtimes_lock);
    atomic_store(&coir__runtimes[rt->index], NULL);
    bool last = --runtimes_live == 0;
    coir__signal_end(rt, last);
    coir__lock_drop(&coir__runtimes_lock);
    if (last)
        coir__task_trim();
}

/* -- stack overflow --------------------------------------------------------------------------------------------- */

static void overflow_describe(void *owner, const char **ret_name, const char **ret_file,
                              int *ret_line)
{
    coir__task *t = owner;
    *ret_name = t->name;
    *ret_file = t->file;
    *ret_line = t->line;
}

static void overflow_reported(void *owner, const char *name)
{
    coir__runtime *rt = coir__runtime_of(owner);
    if (rt && rt->options.on_overflow)
        rt->options.on_overflow(rt->options.hook_arg, name);
}

static const coir__overflow_hooks overflow_hooks = {overflow_describe, overflow_reported};

/* -- workers ---------------------------------------------------------------------------------------------------- */

struct start {
    coir__worker *w;
    coir__runtime *rt;
    int16_t index;
    int rc;
    _Atomic uint32_t ready;
};

static void *worker_thread(void *arg)
{
    struct start *s = arg;
    coir__worker *w = s->w;
    char name[16];
    snprintf(name, sizeof name, "%.8s/%d", s->rt->name, s->index);
    pthread_setname_np(pthread_self(), name);
    coir__worker_set(w);
    s->rc = coir__worker_init(w, s->rt, s->index);
    int rc = s->rc;
    atomic_store_explicit(&s->ready, 1, memory_order_release);
    coir__futex_rouse(&s->ready, 1);
    if (rc < 0)
        return NULL;
    coir__worker_run(w);
    return NULL;
}

/* Starts one more thread with all asynchronous signals blocked, and waits until its loop stands. */
static int worker_start(coir__runtime *rt, int16_t index)
{
    struct start s = {.w = rt->workers[index], .rt = rt, .index = index};
    sigset_t all, old;
    pthread_t thread;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGTRAP);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = -pthread_create(&thread, NULL, worker_thread, &s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc < 0)
        return rc;
    while (atomic_load_explicit(&s.ready, memory_order_acquire) == 0)
        coir__futex_sleep(&s.ready, 0, COIR_FOREVER);
    if (s.rc < 0)
        pthread_join(thread, NULL);
    return s.rc;
}

static void workers_stop(coir__runtime *rt, unsigned started)
{
    atomic_store_explicit(&rt->stopping, true, memory_order_seq_cst);
    for (unsigned i = 1; i < started; i++)
        coir__worker_rouse(rt->workers[i]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(rt->workers[i]->thread, NULL);
}

static void runtime_free(coir__runtime *rt)
{
    if (rt->workers)
        for (unsigned i = 0; i < rt->worker_count; i++) {
            if (rt->workers[i])
                free(rt->workers[i]->caches);
            free(rt->workers[i]);
        }
    free(rt->workers);
    if (rt->stacks)
        coir__stack_pool_free(rt->stacks);
    coir__release(rt->name);
    free(rt);
}

/* Aligned and zeroed; workers are made of whole cache lines. */
static void *alloc_lines(size_t size)
{
    size = (size + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, size);
    return memory ? memset(memory, 0, size) : NULL;
}

static int runtime_new(coir__runtime **ret, const coir_options *given, bool embedded)
{
    struct debug_keys keys = {0};
    coir__runtime *rt = alloc_lines(sizeof *rt);
    if (!rt)
        return -ENOMEM;
    atomic_init(&rt->embedded, embedded);
    int rc = options_apply(rt, given, &keys);
    if (rc == 0)
        rc = coir__alloc_init(rt->options.allocator);
    if (rc < 0)
        goto fail;
    rt->dump_on_abort = keys.dump != 0;
    rt->census = keys.census != 0;
    rt->stacks_grow = rt->options.stack_strategy == COIR_STACK_GROW;
    rt->worker_count = rt->options.workers;
    rt->solo = rt->worker_count == 1;
    rc = -ENOMEM;
    rt->name = coir__alloc_text(rt->options.name ? rt->options.name : "coir");
    rt->stack_class = (uint8_t)coir__stack_class(rt->options.stack_reserve);
    rt->stacks = coir__stack_pool_new(rt->options.stack_strategy, rt->worker_count);
    rt->workers = calloc(rt->worker_count, sizeof *rt->workers);
    if (!rt->name || !rt->stacks || !rt->workers)
        goto fail;
    for (unsigned i = 0; i < rt->worker_count; i++) {
        coir__worker *w = rt->workers[i] = alloc_lines(sizeof *w);
        if (!w || !(w->caches = calloc(COIR__STACK_CLASSES, sizeof *w->caches)))
            goto fail;
        w->chaos = keys.migrate != 0 && !rt->solo;
        atomic_store_explicit(&w->wheel.next, COIR_FOREVER,
                              memory_order_relaxed); /* others look before it has started */
    }
    *ret = rt;
    return 0;
fail:
    runtime_free(rt);
    return rc;
}

static int runtime_start_threads(coir__runtime *rt)
{
    int rc = 0;
    while (rc == 0 && rt->started < rt->worker_count) {
        rc = worker_start(rt, (int16_t)rt->started);
        if (rc == 0)
            rt->started++;
    }
    return rc;
}

/* Whoever has woken one of the last tasks from outside may not be through with the worker it wanted to rouse. */
static void await_visitors(coir__runtime *rt)
{
    for (unsigned round = 0; atomic_load_explicit(&rt->visitors, memory_order_acquire) != 0;
         round++)
        coir__spin(round);
}

/* -- opening and closing ---------------------------------------------------------------------------------------- */

/* The calling thread is worker 0 if this succeeds. */
static int open_here(coir__runtime *rt)
{
    coir__worker *outer =
        coir__worker_or_null(); /* the pseudo-worker of a plain thread, if it has one */
    coir__worker_set(rt->workers[0]);
    int rc = first_worker_init(rt->workers[0], rt);
    if (rc < 0) {
        coir__worker_set(outer);
        return rc;
    }
    rt->started = 1;
    coir__root_begin(rt);
    return 0;
}

static int open_entered(coir__runtime *rt)
{
    int rc = 0;
    rt->overflow_handler = !(rt->options.flags & COIR_NO_OVERFLOW_HANDLER);
    if (rt->overflow_handler)
        rc = coir__overflow_install(&overflow_hooks);
    if (rc < 0)
        return rc;
    if (rt->stacks_grow)
        coir__stack_adapt_handlers();
    rc = open_here(rt);
    if (rc < 0 && rt->overflow_handler)
        coir__overflow_remove();
    return rc;
}

int coir__runtime_open(coir__runtime **ret, const coir_options *given, bool embedded)
{
    coir__runtime *rt = NULL;
    coir__fence_init();
    int rc = runtime_new(&rt, given, embedded);
    if (rc < 0)
        return rc;
    rc = runtime_enter(rt);
    if (rc == 0) {
        rc = open_entered(rt);
        if (rc < 0)
            runtime_leave(rt);
    }
    if (rc < 0)
        runtime_free(rt);
    else
        *ret = rt;
    return rc;
}

void coir__runtime_close(coir__runtime *rt, coir__worker *outer)
{
    workers_stop(rt, rt->started);
    await_visitors(rt);
    coir__root_end(rt);
    coir__resolver_stop(rt);
    for (unsigned i = 0; i < rt->started; i++)
        coir__worker_destroy(rt->workers[i]);
    coir__ops_free(rt);
    coir__worker_set(outer);
    if (rt->census)
        coir__census_log(rt);
    if (rt->overflow_handler)
        coir__overflow_remove();
    runtime_leave(rt);
    runtime_free(rt);
}

/* From a first worker that stands to all tasks ended. The result of the first task, or why it could not start. */
static int run_first(coir__runtime *rt, coir_fn *fn, void *arg)
{
    static const coir_task_options first = {.name = "main", .stack_reserve = (size_t)8 << 20};
    int rc = runtime_start_threads(rt);
    if (rc == 0)
        rc = coir__spawn_first(rt, &first, fn, arg);
    if (rc < 0)
        return rc;
    coir__worker_run(rt->workers[0]);
    return atomic_load(&rt->first_result);
}

int coir_run(const coir_options *opt, coir_fn *fn, void *arg)
{
    coir__worker *outer = coir__worker_or_null();
    coir__runtime *rt = NULL;
    if (!fn)
        return -EINVAL;
    if (outer && outer->rt)
        return -EDEADLK;
    int rc = coir__runtime_open(&rt, opt, false);
    if (rc < 0)
        return rc;
    rc = run_first(rt, fn, arg);
    coir__runtime_close(rt, outer);
    return rc;
}
