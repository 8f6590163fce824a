/* SPDX-License-Identifier: MIT */
#ifndef COIR_CORE_H
#define COIR_CORE_H

/* Errors, time, run, tasks, scopes, groups. The conventions that hold for all of it are in <coir.h>. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define COIR_API __attribute__((visibility("default")))
#define COIR_UNUSED __attribute__((unused)) /* not every program uses every inline function */
#else
#define COIR_API
#define COIR_UNUSED
#endif

/*
 * errno is a thread-local, and compilers keep the address of a thread-local across calls. A task that moved to another
 * worker in between would read another thread's errno. So errno becomes a call that the compiler can't see
 * through. Define COIR_NO_ERRNO before the include to keep the system's. Its value is not kept across a switch.
 */
COIR_API int *coir_errno_location(void);
#ifndef COIR_NO_ERRNO
#undef errno
#define errno (*coir_errno_location())
#endif

/* The version of the library that is linked: "0.1.0". From: any. Switches: no. Cancel point: no. */
COIR_API const char *coir_version(void);

/* The text for an error returned by any function here, sign ignored. Total: an unknown number has a text too.
 * The string is static. From: any. Switches: no. Cancel point: no. */
COIR_API const char *coir_strerror(int error);

/* -- time ----------------------------------------------------------------------------------------------------- */

#define COIR_US(n) ((int64_t)(n) * 1000)
#define COIR_MS(n) ((int64_t)(n) * 1000000)
#define COIR_S(n) ((int64_t)(n) * 1000000000)
#define COIR_FOREVER INT64_MAX

/* Now, in nanoseconds of the runtime's monotonic clock (the system's, outside a task). Its zero means nothing.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int64_t coir_now(void);

/* -- run ------------------------------------------------------------------------------------------------------ */

/*
 * @example hello
 *   #include <coir.h>
 *   #include <stdio.h>
 *
 *   static int hello(void *arg) {
 *       printf("hello from task '%s'\n", (const char *)arg);
 *       return 0;
 *   }
 *
 *   int main(void) { return coir_run(NULL, hello, "first"); }
 * @end
 */

/* What a task runs. A negative result is a failure. */
typedef int coir_fn(void *arg);

/* A task by value. May go stale safely: it never denotes another task than the one it was made for. {0} is no task. */
typedef struct coir_task {
    void *opaque;
    uint64_t id;
} coir_task;

typedef enum coir_engine_kind {
    COIR_ENGINE_AUTO = 0, /* io_uring where kernel and sandbox allow it, else epoll */
    COIR_ENGINE_URING,    /* io_uring or an error from coir_run */
    COIR_ENGINE_EPOLL
} coir_engine_kind;

/* How a stack gets from the address space that is reserved for it to memory. AUTO: lazy; where the system promises no more
 * memory than it has (vm.overcommit_memory=2), grow, or fixed with COIR_NO_OVERFLOW_HANDLER. */
typedef enum coir_stack_strategy {
    COIR_STACK_AUTO = 0,
    COIR_STACK_LAZY, /* the kernel pages in what is touched */
    COIR_STACK_GROW, /* 64 KiB at first; a SIGSEGV handler extends it. Handlers of the program need SA_ONSTACK */
    COIR_STACK_FIXED /* allocated whole; no growth */
} coir_stack_strategy;

/* flags of coir_options */
#define COIR_NO_OVERFLOW_HANDLER 0x1u /* install no signal handler: a stack overflow is a plain SIGSEGV */

/* Where the library gets memory other than stacks and task slabs from. `allocate` may return NULL. */
typedef struct coir_allocator {
    void *(*allocate)(void *arg, size_t size);
    void (*release)(void *arg, void *memory);
    void *arg;
} coir_allocator;

struct coir_clock;  /* <coir/loop.h> */
struct coir_engine; /* <coir/loop.h> */

/*
 * Options of a runtime. Zero means the default for every field. The environment overrides: COIR_WORKERS=n,
 * COIR_ENGINE=uring|epoll, COIR_STACK=lazy|grow|fixed, COIR_DEBUG=key=value,... (keys: seed=N seeds the random source,
 * migrate=1 moves woken tasks to other workers at every opportunity, dump=1 prints a dump before an abort, census=1
 * measures what tasks use of their stacks: <coir/debug.h>);
 * a value that can't be honoured makes coir_run fail with -EINVAL and a line on stderr that names it.
 */
typedef struct coir_options {
    unsigned workers;                   /* threads that run tasks; 0: as many as affinity and cgroup quota allow */
    size_t stack_reserve;               /* bytes of stack a task may use; 0: 192 KiB */
    coir_stack_strategy stack_strategy; /* how stacks get their memory */
    coir_engine_kind engine;            /* how the kernel is asked */
    bool pinned;                        /* tasks never move to another worker once they run */
    unsigned blocking_threads_max;      /* helper threads at most; 0: 4 */
    unsigned flags;                     /* COIR_NO_OVERFLOW_HANDLER */
    const char *name;                   /* of the runtime, in dumps and thread names; copied; NULL: "coir" */
    const coir_allocator *allocator;    /* process-wide from the first runtime on; NULL: malloc and free */
    const struct coir_clock *clock;     /* injected clock, <coir/loop.h>; NULL: CLOCK_MONOTONIC */
    const struct coir_engine *engine_ops; /* injected engine, <coir/loop.h>, before all else; NULL: as `engine` says */
    uint64_t seed;                      /* of the random source; 0: from the system */
    void *hook_arg;                     /* first argument of every hook below */
    /* Every task waits for another one: certain deadlock, the dump has been written. Runs on a worker outside tasks: it may set
     * events, cancel, send by try_, but not wait. If it returns, the runtime waits on. NULL: abort. */
    void (*on_deadlock)(void *hook_arg);
    /* Called in the signal handler, on the alternate stack, after the report; then the process aborts. */
    void (*on_overflow)(void *hook_arg, const char *task_name);
    /* A task has failed and been detached, in either order: nobody will read its result. NULL: a line through `log`. */
    void (*on_unhandled)(void *hook_arg, coir_task task, int result);
    /* One line without newline. NULL: stderr. Called from any worker. */
    void (*log)(void *hook_arg, const char *line);
} coir_options;

#ifdef __cplusplus
#define COIR_OPTIONS_INIT {}
#else
#define COIR_OPTIONS_INIT {0}
#endif

/* Starts a runtime on this thread and its other workers and runs `fn(arg)` as the first task, with 8 MiB of stack. When
 * it returns, what is left in the root group is cancelled with the reason "run ended" and awaited. `opt` may be NULL.
 * Returns the result of `fn`; -EINVAL (an option or the environment, named on stderr), -ENOMEM, -EDEADLK inside a
 * task, or what the kernel refused with. Can be called again; several runtimes may coexist.
 * From: thread. Switches: no. Cancel point: no. */
COIR_API int coir_run(const coir_options *opt, coir_fn *fn, void *arg);

/* -- tasks ---------------------------------------------------------------------------------------------------- */

/* Functions that record where they were called are macros over functions with the suffix _at. */
#define COIR_HERE __FILE__, __LINE__

typedef struct coir_group coir_group;
typedef struct coir_scope coir_scope;

/* flags of coir_task_options */
#define COIR_PINNED 0x1u /* bound to the spawner's worker (a spawner that is no task: to the first worker) */
#define COIR_FP_ENV 0x2u /* keeps its own floating-point control words across switches */

typedef struct coir_task_options {
    const char *name;     /* copied; NULL: none */
    size_t stack_reserve; /* bytes; 0: the runtime's default; below 64 KiB also the guard is smaller */
    unsigned flags;       /* COIR_PINNED, COIR_FP_ENV */
} coir_task_options;

/* int coir_spawn(coir_group *g, coir_fn *fn, void *arg): starts a task in `g` (NULL: detached, in the runtime's root group;
 * only from a task). After 0 the function will run, even if cancelled before it started.
 * -ECANCELED if `g` or a scope around it is cancelled, -ENOMEM (stack or descriptor; no room in the memory cgroup), -EINVAL (`fn`
 * is NULL).
 * Does not look at the caller's own scope. From: any. Switches: no. Cancel point: no. */
#define coir_spawn(...) coir_spawn_at(COIR_HERE, __VA_ARGS__)
COIR_API int coir_spawn_at(const char *file, int line, coir_group *g, coir_fn *fn, void *arg);

/* int coir_spawn_copy(coir_group *g, coir_fn *fn, const void *arg, size_t size): the same; the task gets a copy of
 * `arg`, aligned to 16, writable, kept until it ends. Over 1 KiB: -E2BIG. From: any. Switches: no. Cancel point: no. */
#define coir_spawn_copy(...) coir_spawn_copy_at(COIR_HERE, __VA_ARGS__)
COIR_API int coir_spawn_copy_at(const char *file, int line, coir_group *g, coir_fn *fn, const void *arg, size_t size);

/* int coir_spawn_with(coir_group *g, const coir_task_options *o, coir_fn *fn, void *arg, coir_task *ret_task):
 * the same with options (NULL: defaults) and a handle. A task whose handle was taken keeps its result until it is
 * joined, detached, or its group ends. From: any. Switches: no. Cancel point: no. */
#define coir_spawn_with(...) coir_spawn_with_at(COIR_HERE, __VA_ARGS__)
COIR_API int coir_spawn_with_at(const char *file, int line, coir_group *g, const coir_task_options *o, coir_fn *fn,
                                void *arg, coir_task *ret_task);

/* Waits for the end of `t` and stores its result. 0 also if `t` failed or was cancelled. -ESRCH: joined before, detached,
 * group ended, or never was; -EBUSY: somebody else is joining; -EDEADLK: `t` is the caller, or waits for it through
 * joins. The joiner's cancellation leaves the task running. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_join(coir_task t, int *ret_result);

/* Gives the result of `t` up. A stale handle is ignored. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_detach(coir_task t);

/* int coir_cancel(coir_task t, const char *why): cancels the task's own scope. `why` must stay valid until the task
 * has ended. 0, or -ESRCH if it has ended. From: any. Switches: no. Cancel point: no. */
#define coir_cancel(...) coir_cancel_at(COIR_HERE, __VA_ARGS__)
COIR_API int coir_cancel_at(const char *file, int line, coir_task t, const char *why);

/* The calling task; {0} in a plain thread. From: any. Switches: no. Cancel point: no. */
COIR_API coir_task coir_self(void);

/* A number never used again in this process; 0 for no task. From: any. Switches: no. Cancel point: no. */
COIR_API uint64_t coir_task_id(coir_task t);

/* Names the calling task (or thread) in dumps and reports; the string is copied. NULL removes the name. 0 or -ENOMEM.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_set_name(const char *name);

/* Goes behind everything runnable, the global queue included, and lets due timers and I/O in. In a thread:
 * sched_yield(). From: any. Switches: yes. Cancel point: no. */
COIR_API void coir_yield(void);

/* For loops that compute: yields if the time slice (about 100 us) is spent, a timer is due, or I/O is known to be ready. 1 if it
 * yielded, 0 if not, or -ECANCELED. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_maybe_yield(void);

/* 0, or -ECANCELED if the caller is cancelled or a deadline around it has passed. From: any. Switches: no.
 * Cancel point: yes. */
COIR_API int coir_check(void);

/* Sleeps for `ns`, or until coir_now() is `t`; never less. 0 and less: checks, then yields.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_sleep(int64_t ns);
COIR_API int coir_sleep_until(int64_t t);

/* A fixed rate: ticks are due at multiples of the period from the start, however long the work between them takes. */
typedef struct coir_ticker {
    int64_t period;
    int64_t next; /* when the next tick is due, for COIR_UNTIL; then call coir_ticker_wait(), which will not wait */
} coir_ticker;

/* Starts `t`: the first tick is due one period from now. -EINVAL if the period is not above 0.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_ticker_start(coir_ticker *t, int64_t period);

/* Waits for the next tick; one that is due already does not wait. Ticks that were due before that one and had nobody waiting are
 * skipped, and counted in *ret_missed. -EINVAL if `t` was never started. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_ticker_wait(coir_ticker *t, uint64_t *ret_missed);

/* Stay on this worker, whoever wakes the task, until as many unpins. 0; -EINVAL for an unpin too many; 0 in a thread.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_pin(void);
COIR_API int coir_unpin(void);

/*
 * Task-local values. A key is a variable, usually static: its address tells it apart, and nothing is registered.
 * A task finds its own value; else the one that its group's opener had when it opened the group: by pointer, so what it
 * points to must live until the group has ended. Detached tasks begin without values.
 */
typedef struct coir_local {
    uint64_t opaque[1];
} coir_local;

#define COIR_LOCAL_INIT \
    {                   \
        {               \
            0           \
        }               \
    }

/* Sets the caller's value of `key`, for itself and the groups that it opens from now on. NULL hides an inherited one.
 * 0, -EINVAL (NULL key) or -ENOMEM. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_local_set(coir_local *key, void *value);

/* The value of `key` for the caller; NULL if it has none. From: any. Switches: no. Cancel point: no. */
COIR_API void *coir_local_get(const coir_local *key);

/* -- scopes --------------------------------------------------------------------------------------------------- */

/*
 * A scope is a stretch of one task's execution that can be cancelled and can have a deadline. Scopes nest, and end in
 * the reverse order. Once cancelled, every cancel point inside returns -ECANCELED until the scope ends. Its end says
 * whether its own deadline was the cause: then the result is -ETIMEDOUT, and the program goes on as if nothing
 * had been; a cancellation from outside stays in force.
 *
 * @example timeout
 *   #include <coir.h>
 *   #include <stdio.h>
 *
 *   static int slow(void *arg) {
 *       (void)arg;
 *       return coir_sleep(COIR_S(10)); // any code; it sees -ECANCELED after 5 ms
 *   }
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       int rc = coir_with_timeout(COIR_MS(5), slow, NULL);
 *       printf("%s\n", coir_strerror(rc));
 *       return rc == -ETIMEDOUT ? 0 : 1;
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */
struct coir_scope {
    uint64_t opaque[20];
};

/* Why a scope was cancelled. `code` is -ECANCELED, or -ETIMEDOUT for a deadline. `task_id`: who did it, 0 for a thread or
 * a deadline. */
typedef struct coir_cancel_reason {
    int code;
    const char *why;
    const char *file;
    int line;
    uint64_t task_id;
} coir_cancel_reason;

/* void coir_scope_begin(coir_scope *s, int64_t timeout): opens `s` on this task or thread. `s` must stay where it is
 * until its end. A timeout of 0 or less: cancelled from birth. From: any. Switches: no. Cancel point: no. */
#define coir_scope_begin(...) coir_scope_begin_at(COIR_HERE, __VA_ARGS__)
COIR_API void coir_scope_begin_at(const char *file, int line, coir_scope *s, int64_t timeout);

/* Closes `s`, which must be the innermost (else: misuse). Returns `rc`, or -ETIMEDOUT where `rc` is -ECANCELED because of
 * this scope's own deadline and no enclosing scope, up to the nearest shield, is cancelled.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_scope_end(coir_scope *s, int rc);

/* void coir_scope_cancel(coir_scope *s, const char *why): cancels an open scope. The first cancellation's reason
 * stays. `why` must outlive the scope. From: any. Switches: no. Cancel point: no. */
#define coir_scope_cancel(...) coir_scope_cancel_at(COIR_HERE, __VA_ARGS__)
COIR_API void coir_scope_cancel_at(const char *file, int line, coir_scope *s, const char *why);

/* int coir_with_timeout(int64_t timeout, coir_fn *fn, void *arg): begin, call, end. `fn` is called in any case.
 * -EINVAL if `fn` is NULL. From: any. Switches: as `fn` does. Cancel point: no. */
#define coir_with_timeout(...) coir_with_timeout_at(COIR_HERE, __VA_ARGS__)
COIR_API int coir_with_timeout_at(const char *file, int line, int64_t timeout, coir_fn *fn, void *arg);

/* void coir_shield_begin(coir_scope *s, int64_t limit): inside, cancellation and deadlines of outer scopes are not seen,
 * for cleanup that may block although cancelled; after `limit` from here calls inside return -ECANCELED.
 * From: any. Switches: no. Cancel point: no. */
#define coir_shield_begin(...) coir_shield_begin_at(COIR_HERE, __VA_ARGS__)
COIR_API void coir_shield_begin_at(const char *file, int line, coir_scope *s, int64_t limit);

/* Closes a shield, which must be the innermost scope. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_shield_end(coir_scope *s);

/* Why the caller is cancelled; NULL when it is not. Valid until the cancelled scope ends.
 * From: any. Switches: no. Cancel point: no. */
COIR_API const coir_cancel_reason *coir_cancel_reason_get(void);

/* -- groups --------------------------------------------------------------------------------------------------- */

/*
 * A group is a scope that owns tasks: its end waits for all of them, always, so that they may use what is on the opener's
 * stack. By default the first failure (negative result) cancels the others and is the group's result.
 *
 * @example group
 *   #include <coir.h>
 *   #include <stdio.h>
 *
 *   static int square(void *arg) {
 *       int *n = arg;
 *       *n *= *n;
 *       return 0;
 *   }
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       int n[3] = {2, 3, 4};
 *       coir_group g;
 *       coir_group_begin(&g, 0);
 *       for (int i = 0; i < 3; i++)
 *           coir_spawn(&g, square, &n[i]);
 *       int rc = coir_group_end(&g);
 *       printf("%d %d %d\n", n[0], n[1], n[2]);
 *       return rc;
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */
struct coir_group {
    uint64_t opaque[42];
};

#define COIR_GROUP_ISOLATE 0x1u /* a failure does not cancel the siblings */
#define COIR_GROUP_PINNED 0x2u  /* its tasks stay on the opener's worker */

/* void coir_group_begin(coir_group *g, unsigned flags): opens a group; the opener is inside it until its end. begin, wait
 * and end belong to the opener; spawn and cancel may come from anywhere while it is open. Unknown flags are misuse.
 * From: task. Switches: no. Cancel point: no. */
#define coir_group_begin(...) coir_group_begin_at(COIR_HERE, __VA_ARGS__)
COIR_API void coir_group_begin_at(const char *file, int line, coir_group *g, unsigned flags);

/* Waits until `g` is empty; it can be used again then. Returns as coir_group_end does and forgets the failure; a cancelled
 * group stays cancelled. The waiter's cancellation cancels the group and still waits.
 * From: task. Switches: yes. Cancel point: yes (it waits all the same). */
COIR_API int coir_group_wait(coir_group *g);

/* Waits until `g` is empty and closes it; it must be the innermost scope. Returns the first failure; else -ECANCELED if a
 * cancelled task returned it; else 0. -ECANCELED of a task that was not cancelled is a failure too.
 * From: task. Switches: yes. Cancel point: no. */
COIR_API int coir_group_end(coir_group *g);

/* void coir_group_cancel(coir_group *g, const char *why): cancels the group's scope: its tasks and its opener.
 * `why` must outlive the group. From: any. Switches: no. Cancel point: no. */
#define coir_group_cancel(...) coir_group_cancel_at(COIR_HERE, __VA_ARGS__)
COIR_API void coir_group_cancel_at(const char *file, int line, coir_group *g, const char *why);

/* At most `n` of the group's tasks are started and not ended at any time (0: no limit); the others start in order. A spawn never
 * waits for that. A cancelled group starts them all, so that each can clean up. From: any. Switches: no.
 * Cancel point: no. */
COIR_API void coir_group_limit(coir_group *g, size_t n);

/* -- race ----------------------------------------------------------------------------------------------------- */

typedef struct coir_branch {
    coir_fn *fn;
    void *arg;
} coir_branch;

/* int coir_race(const coir_branch *b, size_t n, int *ret_winner): runs `n` functions as tasks. The first that returns 0 or more
 * wins: its result is the result, its index is stored, the others are cancelled and awaited. If all fail: the first
 * failure. -EINVAL (none, or a NULL function), -ENOMEM, -ECANCELED if the caller is cancelled and nobody has won.
 * From: task. Switches: yes. Cancel point: yes (it waits for the branches all the same). */
#define coir_race(...) coir_race_at(COIR_HERE, __VA_ARGS__)
COIR_API int coir_race_at(const char *file, int line, const coir_branch *b, size_t n, int *ret_winner);

/* -- looking ------------------------------------------------------------------------------------------------ */

/* Writes a text about every task of every runtime in this process to `fd`: name, id, spawn site, state, what it waits for
 * and since when, its scopes. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_dump(int fd);

#ifdef __cplusplus
}
#endif

#endif
