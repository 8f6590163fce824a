/* SPDX-License-Identifier: MIT */
#ifndef COIR_H
#define COIR_H

/*
 * coir - plain blocking C that runs as millions of cheap tasks on a few threads.
 *
 * A *task* is a function with a stack of its own. Tasks run on *workers*, one thread per core by default; a
 * task that must wait gives its worker to the next one in a few nanoseconds. Tasks are owned by *groups*, whose
 * end waits for them, and obey *scopes*, which carry deadlines and cancellation. They talk over *channels*.
 *
 * Conventions, in force for every function below:
 *
 *   errors   0 or a count on success, a negative errno value on failure. Never through errno. coir_strerror().
 *            Outputs (`ret_...`, which may be NULL) are untouched on failure. EINTR never surfaces.
 *   time     int64_t nanoseconds on the clock of coir_now(). COIR_US() COIR_MS() COIR_S(); COIR_FOREVER never
 *            ends; 0 and less mean now; sums saturate.
 *   cancel   a call that is a *cancel point* returns -ECANCELED at entry if the innermost open scope, or one around
 *            it up to the nearest shield, is cancelled; and while it waits. -ECANCELED means that nothing
 *            happened: if the effect took place the call reports success, and the next cancel point the cancel.
 *   from     task: only from a task (elsewhere the program is aborted with a message);
 *            thread: only from a plain thread; any: both.
 *   switches the call may let other tasks run, and return on another thread (see errno, below).
 *   misuse   what can't be reported by a return value is reported on stderr with the task's name, then abort().
 *
 * Runtime resources: a runtime has its workers (threads named "NAME/N" after the runtime, all asynchronous signals blocked), per worker
 * one io_uring or epoll descriptor and one eventfd, up to four short-lived "coir/dns" threads while names are being
 * resolved, and, while any runtime exists, one handler for SIGSEGV and SIGBUS that reports stack overflow, chains to
 * what was there before, and is restored by the last runtime (option `flags`: COIR_NO_OVERFLOW_HANDLER).
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COIR_VERSION_MAJOR 0
#define COIR_VERSION_MINOR 1
#define COIR_VERSION_PATCH 0

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

typedef enum coir_stack_strategy {
    COIR_STACK_AUTO = 0,
    COIR_STACK_LAZY, /* reserved address space, paged in by the kernel on demand */
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
 * COIR_ENGINE=uring|epoll, COIR_STACK=lazy|fixed, COIR_DEBUG=key=value,... (keys: seed=N seeds the random source,
 * migrate=1 moves woken tasks to other workers at every opportunity, dump=1 prints a dump before an abort);
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
    /* A detached task failed: nobody will read its result. NULL: a line through `log`. */
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
    size_t stack_reserve; /* bytes; 0: the runtime's default */
    unsigned flags;       /* COIR_PINNED, COIR_FP_ENV */
} coir_task_options;

/* int coir_spawn(coir_group *g, coir_fn *fn, void *arg): starts a task in `g` (NULL: detached, in the runtime's root group;
 * only from a task). After 0 the function will run, even if cancelled before it started.
 * -ECANCELED if `g` or a scope around it is cancelled, -ENOMEM (stack or descriptor), -EINVAL (`fn` is NULL).
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

/* Yields if the time slice (about 100 us) is spent, for loops that compute. 1 if it yielded, 0 if not, or -ECANCELED.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_maybe_yield(void);

/* 0, or -ECANCELED if the caller is cancelled or a deadline around it has passed. From: any. Switches: no.
 * Cancel point: yes. */
COIR_API int coir_check(void);

/* Sleeps for `ns`, or until coir_now() is `t`; never less. 0 and less: checks, then yields.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_sleep(int64_t ns);
COIR_API int coir_sleep_until(int64_t t);

/* Stay on this worker, whoever wakes the task, until as many unpins. 0; -EINVAL for an unpin too many; 0 in a thread.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_pin(void);
COIR_API int coir_unpin(void);

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
    uint64_t opaque[36];
};

#define COIR_GROUP_ISOLATE 0x1u /* a failure does not cancel the siblings */
#define COIR_GROUP_PINNED 0x2u  /* its tasks stay on the opener's worker */

/* void coir_group_begin(coir_group *g, unsigned flags): opens a group; the opener is inside it until its end. begin, wait
 * and end belong to the opener; spawn and cancel may come from anywhere while it is open.
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

/* -- channels ------------------------------------------------------------------------------------------------- */

/*
 * A channel carries elements of one size between tasks and threads, in order. Capacity 0 is a rendezvous: a send
 * ends when a receiver has taken the element. Either side may close: then sends fail with -EPIPE, receives drain what is
 * buffered and then fail with -EPIPE.
 *
 * @example channel
 *   #include <coir.h>
 *   #include <stdio.h>
 *
 *   COIR_CHAN_TYPE(numbers, int)
 *
 *   static int produce(void *arg) {
 *       numbers *out = arg;
 *       for (int i = 1; i <= 3; i++)
 *           if (numbers_send(out, i) < 0)
 *               break;
 *       numbers_close(out);
 *       return 0;
 *   }
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       numbers *c = numbers_new(0);
 *       if (!c)
 *           return -ENOMEM;
 *       coir_group g;
 *       coir_group_begin(&g, 0);
 *       coir_spawn(&g, produce, c);
 *       int n, sum = 0;
 *       while (numbers_recv(c, &n) == 0)
 *           sum += n;
 *       printf("%d\n", sum);
 *       int rc = coir_group_end(&g);
 *       numbers_free(c);
 *       return rc;
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */
typedef struct coir_chan coir_chan;

/* A channel for elements of `elem_size` bytes (0 is legal: a signal) that buffers `capacity` of them. NULL when out of
 * memory or when the buffer's size overflows. From: any. Switches: no. Cancel point: no. */
COIR_API coir_chan *coir_chan_new(size_t elem_size, size_t capacity);

/* Frees a channel nobody waits on (else: misuse); buffered elements go to the on_drop function. NULL is ignored.
 * From: any. Switches: no. Cancel point: no. */
COIR_API void coir_chan_free(coir_chan *c);

/* Sends a copy of `*elem`, waiting for room or a receiver. -EPIPE when closed. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_chan_send(coir_chan *c, const void *elem);

/* Receives into `*elem`, waiting for an element. -EPIPE when closed and drained. From: any. Switches: yes.
 * Cancel point: yes. */
COIR_API int coir_chan_recv(coir_chan *c, void *elem);

/* The same without waiting: -EAGAIN where it would wait. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_chan_try_send(coir_chan *c, const void *elem);
COIR_API int coir_chan_try_recv(coir_chan *c, void *elem);

/* Batches: sends or receives up to `n` elements, as many as possible without waiting but at least one (waiting for it).
 * Returns the count, -EPIPE, -ECANCELED, or -EINVAL when `n` is 0. From: any. Switches: yes. Cancel point: yes. */
COIR_API ssize_t coir_chan_send_n(coir_chan *c, const void *elems, size_t n);
COIR_API ssize_t coir_chan_recv_n(coir_chan *c, void *elems, size_t n);

/* Closes: idempotent, wakes everybody. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_chan_close(coir_chan *c);

/* Elements buffered now, and at most. From: any. Switches: no. Cancel point: no. */
COIR_API size_t coir_chan_len(coir_chan *c);
COIR_API size_t coir_chan_cap(coir_chan *c);

/* `drop(elem)` is called for every element still buffered when the channel is freed. From: any. Switches: no.
 * Cancel point: no. */
COIR_API void coir_chan_on_drop(coir_chan *c, void (*drop)(void *elem));

/* A channel of T as a type `name` with name_new(capacity), name_free, name_send(c, value), name_recv(c, &value),
 * name_try_send, name_try_recv, name_send_n, name_recv_n, name_close, name_len, name_cap. `name *` is a coir_chan *
 * in disguise: name_chan(c) is for coir_select. */
#define COIR_CHAN_TYPE(name, T)                                                                                        \
    typedef struct name name;                                                                                          \
    COIR_UNUSED static inline coir_chan *name##_chan(name *c) { return (coir_chan *)(void *)c; }                       \
    COIR_UNUSED static inline name *name##_new(size_t capacity) { return (name *)(void *)coir_chan_new(sizeof(T), capacity); } \
    COIR_UNUSED static inline void name##_free(name *c) { coir_chan_free(name##_chan(c)); }                            \
    COIR_UNUSED static inline int name##_send(name *c, T value) { return coir_chan_send(name##_chan(c), &value); }     \
    COIR_UNUSED static inline int name##_recv(name *c, T *ret_value) { return coir_chan_recv(name##_chan(c), ret_value); } \
    COIR_UNUSED static inline int name##_try_send(name *c, T value) { return coir_chan_try_send(name##_chan(c), &value); } \
    COIR_UNUSED static inline int name##_try_recv(name *c, T *ret_value) { return coir_chan_try_recv(name##_chan(c), ret_value); } \
    COIR_UNUSED static inline ssize_t name##_send_n(name *c, const T *values, size_t n)                                \
    {                                                                                                                  \
        return coir_chan_send_n(name##_chan(c), values, n);                                                            \
    }                                                                                                                  \
    COIR_UNUSED static inline ssize_t name##_recv_n(name *c, T *ret_values, size_t n)                                  \
    {                                                                                                                  \
        return coir_chan_recv_n(name##_chan(c), ret_values, n);                                                        \
    }                                                                                                                  \
    COIR_UNUSED static inline void name##_close(name *c) { coir_chan_close(name##_chan(c)); }                          \
    COIR_UNUSED static inline size_t name##_len(name *c) { return coir_chan_len(name##_chan(c)); }                     \
    COIR_UNUSED static inline size_t name##_cap(name *c) { return coir_chan_cap(name##_chan(c)); }

/* -- mutex, event, once --------------------------------------------------------------------------------------- */

/* Mutual exclusion for tasks and threads. A woken waiter competes with newcomers (barging) until it has waited about
 * 1 ms; then the mutex is handed to it. May be destroyed by its last user right after another's unlock. */
typedef struct coir_mutex {
    uint64_t opaque[6];
} coir_mutex;

#define COIR_MUTEX_INIT                   \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* 0; -EDEADLK if the caller holds it. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_mutex_lock(coir_mutex *m);

/* 0; -EAGAIN if somebody else holds it, -EDEADLK if the caller does. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_mutex_try_lock(coir_mutex *m);

/* Unlocking what is not held by the caller is misuse. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_mutex_unlock(coir_mutex *m);

/* A flag to wait for. Stays set until reset. */
typedef struct coir_event {
    uint64_t opaque[4];
} coir_event;

#define COIR_EVENT_INIT                   \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* Sets, and wakes all who wait; resets; looks. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_event_set(coir_event *e);
COIR_API void coir_event_reset(coir_event *e);
COIR_API bool coir_event_is_set(coir_event *e);

/* Waits until it is set. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_event_wait(coir_event *e);

/* Something done by the first who comes. */
typedef struct coir_once {
    uint64_t opaque[4];
} coir_once;

#define COIR_ONCE_INIT                    \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* Runs fn(arg) unless it has succeeded before; everyone else waits for the first. Returns 0, or the failure to the one
 * who ran it; the next waiter or caller tries again. -EINVAL if `fn` is NULL, -EDEADLK from inside `fn` itself.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_once_run(coir_once *o, coir_fn *fn, void *arg);

/* -- select --------------------------------------------------------------------------------------------------- */

/*
 * Waits for exactly one of several things. The others have no side effect. A closed channel is ready (-EPIPE); a case
 * on NULL or COIR_FOREVER is never ready.
 *
 * @example select
 *   #include <coir.h>
 *   #include <stdio.h>
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       coir_event stop = COIR_EVENT_INIT;
 *       coir_chan *c = coir_chan_new(sizeof(int), 1);
 *       int in = 42, out = 0;
 *       coir_chan_send(c, &in);
 *       coir_case cases[] = {COIR_RECV(c, &out), COIR_SET(&stop), COIR_AFTER(COIR_S(1))};
 *       int i = coir_select(cases, 3);
 *       printf("case %d: result %d, value %d\n", i, cases[i].result, out);
 *       coir_chan_free(c);
 *       return 0;
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */
typedef enum coir_case_kind {
    COIR_CASE_NEVER = 0,
    COIR_CASE_SEND,
    COIR_CASE_RECV,
    COIR_CASE_AFTER,
    COIR_CASE_UNTIL,
    COIR_CASE_JOINED,
    COIR_CASE_EMPTY,
    COIR_CASE_SET,
    COIR_CASE_READABLE,
    COIR_CASE_WRITABLE
} coir_case_kind;

typedef struct coir_case {
    coir_case_kind kind;
    int result;    /* of this case, if it was the one: 0 or an error; a joined task's result; ready poll events */
    void *object;  /* what is waited for */
    void *data;    /* element to send, or where to receive to */
    int64_t value; /* time, descriptor or task id */
    uint64_t opaque[10]; /* the select's, while it waits */
} coir_case;

static inline coir_case coir_case_make(coir_case_kind kind, void *object, void *data, int64_t value)
{
    coir_case made = {COIR_CASE_NEVER, 0, NULL, NULL, 0, {0}};
    made.kind = kind;
    made.object = object;
    made.data = data;
    made.value = value;
    return made;
}

static inline coir_case coir_case_send(coir_chan *c, const void *elem)
{
    return coir_case_make(COIR_CASE_SEND, c, (void *)(uintptr_t)elem, 0);
}

static inline coir_case coir_case_recv(coir_chan *c, void *elem)
{
    return coir_case_make(COIR_CASE_RECV, c, elem, 0);
}

static inline coir_case coir_case_joined(coir_task t)
{
    return coir_case_make(COIR_CASE_JOINED, t.opaque, NULL, (int64_t)t.id);
}

static inline coir_case coir_case_empty(coir_group *g) { return coir_case_make(COIR_CASE_EMPTY, g, NULL, 0); }

static inline coir_case coir_case_set(coir_event *e) { return coir_case_make(COIR_CASE_SET, e, NULL, 0); }

#define COIR_SEND(c, p) coir_case_send((c), (p))
#define COIR_RECV(c, p) coir_case_recv((c), (p))
#define COIR_AFTER(ns) coir_case_make(COIR_CASE_AFTER, NULL, NULL, (ns)) /* counts from the call */
#define COIR_UNTIL(t) coir_case_make(COIR_CASE_UNTIL, NULL, NULL, (t))
#define COIR_JOINED(task) coir_case_joined(task)  /* joins it; result: the task's, or -ESRCH ... as coir_join */
#define COIR_EMPTY(group) coir_case_empty(group)  /* all its tasks have ended; from the opener */
#define COIR_SET(event) coir_case_set(event)
#define COIR_READABLE(fd) coir_case_make(COIR_CASE_READABLE, NULL, NULL, (fd)) /* only from tasks; result: poll events */
#define COIR_WRITABLE(fd) coir_case_make(COIR_CASE_WRITABLE, NULL, NULL, (fd)) /* the same */

/* Waits for exactly one of `n` cases; returns its index, and its outcome in cases[i].result. If several are ready, a
 * random one. -EINVAL: no cases, or an unknown kind; -ECANCELED. On a negative return no `result` is written. The same
 * object may stand in several cases, as sender and receiver too, and never meets itself.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_select(coir_case *cases, size_t n);

/* The same; if several are ready, the first listed. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_select_ordered(coir_case *cases, size_t n);

/* The same without waiting, at random: -EAGAIN if none is ready. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_select_try(coir_case *cases, size_t n);

/* -- looking ------------------------------------------------------------------------------------------------ */

/* Writes a text about every task of every runtime in this process to `fd`: name, id, spawn site, state, what it waits for
 * and since when, its scopes. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_dump(int fd);

#ifdef __cplusplus
}
#endif

#endif
