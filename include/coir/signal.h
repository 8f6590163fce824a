/* SPDX-License-Identifier: MIT */
#ifndef COIR_SIGNAL_H
#define COIR_SIGNAL_H

/* Signals of the system, waited for by tasks.
 *
 * The first wait for a signal, in whatever process-wide order, installs a handler for it, which stays until the last runtime has ended;
 * then what was there before is restored. From the first wait on a signal that arrives while nobody waits is remembered, as
 * a blocked one would be, for the next who does. A signal that all threads block when it is first waited for is unblocked
 * on the worker that does so. Each occurrence goes to one waiter. raise() in a task is for its worker's thread alone, where the signal
 * may be blocked: kill(getpid(), ...) reaches whoever waits. */

#include <coir.h>
#include <signal.h>
#include <sys/select.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Waits for one of the signals in `set`, and stores which. -EINVAL: none, or one that can't be caught or means a fault (SIGKILL,
 * SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP); -ESHUTDOWN once the runtime shuts down. From: task. Switches: yes.
 * Cancel point: yes. */
COIR_API int coir_signal_wait(const sigset_t *set, int *ret_signo);

#ifdef __cplusplus
}
#endif

#endif
