/* SPDX-License-Identifier: MIT */
#ifndef COIR_LOOP_ATTEMPT_H
#define COIR_LOOP_ATTEMPT_H

/*
 * attempt.h - an operation as one system call that does not wait, whatever the descriptor's O_NONBLOCK says.
 *
 * Nobody's flags are changed: sockets have MSG_DONTWAIT, other files RWF_NOWAIT. What has neither (terminals, some
 * devices, a listener that blocks) is asked by poll(2) first and then called plainly; `alone` says that no other task
 * does the same with this descriptor now, so that the answer holds. Another process may still snatch what was
 * there; then the call blocks the worker until there is more. A blocking socket that connects may hold the worker
 * for a clock tick. io_uring has neither weakness for sockets.
 *
 * No SIGPIPE: MSG_NOSIGNAL; RWF_NOSIGNAL (6.18), or the signal is held back around the call and taken out.
 */

#include "loop/fd.h"

/* A connect to a local listener whose queue is full, which no event reports: to be tried again later. */
#define COIR__QUEUE_FULL (-EXFULL)

/* The operation's result, or -EAGAIN. Blocks on regular files only. */
int64_t coir__attempt(coir_op *op, bool alone);

/* poll(2) without waiting: the events that are ready, 0, or an error. */
int coir__attempt_poll(int fd, short events);

/* Whether the kernel knows RWF_NOSIGNAL: 1, 0, or -1: not asked yet. Here for tests, which say that it does not. */
extern _Atomic int coir__attempt_nosignal;

/* The events of poll(2) that let this operation go on. */
short coir__attempt_events(const coir_op *op);

#endif
