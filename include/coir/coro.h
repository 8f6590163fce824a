/* SPDX-License-Identifier: MIT */
#ifndef COIR_CORO_H
#define COIR_CORO_H

/*
 * Coroutines without the scheduler: generators, and other people's schedulers. A coroutine runs on the thread that
 * resumes it, until it yields or its function returns. It may be resumed by another thread later, by one at a time. It
 * works in plain threads and inside tasks; a task's coroutine must not call anything of coir that may switch.
 *
 * @example generator
 *   #include <coir/coro.h>
 *   #include <stdio.h>
 *
 *   static void *count(void *arg) {
 *       for (intptr_t i = 0; i < 3; i++)
 *           coir_coro_yield((void *)i, NULL);
 *       return arg;
 *   }
 *
 *   int main(void) {
 *       coir_coro *c = coir_coro_new(count, NULL, 0);
 *       void *got;
 *       while (coir_coro_resume(c, NULL, &got) == 0 && !coir_coro_done(c))
 *           printf("%d\n", (int)(intptr_t)got);
 *       coir_coro_free(c);
 *       return 0;
 *   }
 * @end
 */

#include <coir.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coir_coro coir_coro;
typedef void *coir_coro_fn(void *arg);

/* A coroutine that will run fn(arg) on a stack of `stack_reserve` bytes (0: 192 KiB). NULL when out of memory or `fn` is
 * NULL. From: any. Switches: no. Cancel point: no. */
COIR_API coir_coro *coir_coro_new(coir_coro_fn *fn, void *arg, size_t stack_reserve);

/* Runs `c` until it yields or ends. `value` is what its coir_coro_yield() gives out (nothing at the first resume); *ret gets
 * what it yielded, or its function's result. 0; -ESRCH if it has ended; -EBUSY if it is running.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_coro_resume(coir_coro *c, void *value, void **ret);

/* Gives `value` to the resumer and waits for the next resume, whose value goes to *ret. 0; -EPERM outside a coroutine.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_coro_yield(void *value, void **ret);

/* Whether its function has returned. From: any. Switches: no. Cancel point: no. */
COIR_API bool coir_coro_done(const coir_coro *c);

/* Frees a coroutine that is not running, ended or not; nothing on its stack is unwound. NULL is ignored.
 * From: any. Switches: no. Cancel point: no. */
COIR_API void coir_coro_free(coir_coro *c);

#ifdef __cplusplus
}
#endif

#endif
