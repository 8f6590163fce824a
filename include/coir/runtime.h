/* SPDX-License-Identifier: MIT */
#ifndef COIR_RUNTIME_H
#define COIR_RUNTIME_H

/* A runtime inside a foreign loop; the end of a runtime in two phases. Part of <coir.h>. */

#include <coir/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- embedding -------------------------------------------------------------------------------------------------- */

/*
 * A runtime inside a foreign loop: one worker, which is the thread that made it, and no other thread. The loop polls one descriptor
 * for reading, and calls coir_runtime_run_once() when it is ready; then tasks run until all of them wait, or for about a
 * millisecond. Between two such calls the thread is a plain thread, which may send, set and wake, from callbacks of the loop too. It
 * should not wait there for what only its own tasks can do: they run when it comes back to the loop.
 *
 * With an injected clock (options) the descriptor can't know when that clock is moved: call coir_runtime_run_once() after it.
 *
 * @example embedded
 *   #include <coir.h>
 *   #include <poll.h>
 *   #include <stdio.h>
 *
 *   static int greet(void *arg) {
 *       (void)arg;
 *       coir_sleep(COIR_MS(1));
 *       printf("hello\n");
 *       return 0;
 *   }
 *
 *   int main(void) {
 *       coir_runtime *rt = coir_runtime_new(NULL);
 *       if (!rt)
 *           return 1;
 *       coir_runtime_spawn(rt, greet, NULL);
 *       do { // stands for any loop
 *           struct pollfd p = {coir_runtime_fd(rt), POLLIN, 0};
 *           poll(&p, 1, -1);
 *       } while (coir_runtime_run_once(rt) > 0);
 *       coir_runtime_free(rt);
 *       return 0;
 *   }
 * @end
 */
typedef struct coir_runtime coir_runtime;

/* A runtime on this thread. `opt` as for coir_run(), but `workers` must be 0 or 1. NULL if an option can't be honoured, out of
 * memory, or inside a task; a line on stderr says why. From: thread. Switches: no. Cancel point: no. */
COIR_API coir_runtime *coir_runtime_new(const coir_options *opt);

/* Cancels what is left ("run ended"), runs it to its end, and frees the runtime. NULL is ignored. On the thread that made it
 * (else: misuse). From: thread. Switches: no. Cancel point: no. */
COIR_API void coir_runtime_free(coir_runtime *rt);

/* int coir_runtime_spawn(coir_runtime *rt, coir_fn *fn, void *arg): starts a detached task in the root group of `rt`, from any
 * thread; its descriptor becomes readable. -EINVAL, -ENOMEM, -ECANCELED. From: any. Switches: no. Cancel point: no. */
#define coir_runtime_spawn(...) coir_runtime_spawn_at(COIR_HERE, __VA_ARGS__)
COIR_API int coir_runtime_spawn_at(const char *file, int line, coir_runtime *rt, coir_fn *fn, void *arg);

/* Lets tasks run, without waiting for anything. How many tasks have not ended (0: none is left). On the thread that made it (else:
 * misuse). Inside a task: -EDEADLK. From: thread. Switches: no. Cancel point: no. */
COIR_API int coir_runtime_run_once(coir_runtime *rt);

/* A descriptor that polls readable while coir_runtime_run_once() has something to do: a task to run, a timer that is due, I/O.
 * Owned by the runtime; good for poll, epoll, kqueue and what is built upon them, level-triggered. From: any. Switches: no.
 * Cancel point: no. */
COIR_API int coir_runtime_fd(coir_runtime *rt);

/* -- shutdown --------------------------------------------------------------------------------------------------- */

/* void coir_shutdown_begin(int64_t grace): begins to end the caller's runtime in two phases. First it drains: coir_accept(), coir_signal_wait() and waiting for a listener or
 * a signal in coir_poll() or a select give -ESHUTDOWN, at once and to those who wait already; everything else works, spawn
 * too. After `grace` (0 or less: at once) the root scope is cancelled, the first task included, with the reason "shutdown".
 * Called again it can only shorten the grace. From: task. Switches: no. Cancel point: no. */
#define coir_shutdown_begin(...) coir_shutdown_begin_at(COIR_HERE, __VA_ARGS__)
COIR_API void coir_shutdown_begin_at(const char *file, int line, int64_t grace);

#ifdef __cplusplus
}
#endif

#endif
