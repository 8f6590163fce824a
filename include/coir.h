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
 * what was there before, and is restored by the last runtime (option `flags`: COIR_NO_OVERFLOW_HANDLER). A runtime in a foreign loop
 * (coir_runtime_new()) has no threads but those for names, and besides an epoll descriptor, a timerfd and, with io_uring, one
 * more eventfd. For each signal that was waited for: one handler and one eventfd, until the last runtime ends. Files of /proc and
 * /sys/fs/cgroup are read now and then, and closed at once.
 *
 * This header is the core of it, in the order in which it is best read:
 *
 *   coir/core.h     errors, time, run, tasks, scopes, groups
 *   coir/chan.h     channels, broadcast
 *   coir/sync.h     mutex, condition, semaphore, read-write lock, event, notify, barrier, once, future, futex
 *   coir/select.h   waiting for one of several things; objects of one's own among them
 *   coir/runtime.h  a runtime inside a foreign loop; shutdown in two phases
 *
 * What else there is has to be included by name: coir/net.h, coir/signal.h, coir/debug.h, coir/coro.h, coir/loop.h.
 */

#define COIR_VERSION_MAJOR 0
#define COIR_VERSION_MINOR 1
#define COIR_VERSION_PATCH 0

#include <coir/core.h>

#include <coir/chan.h>
#include <coir/sync.h>

#include <coir/select.h>

#include <coir/runtime.h>

#endif
