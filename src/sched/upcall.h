/* SPDX-License-Identifier: MIT */
#ifndef COIR_SCHED_UPCALL_H
#define COIR_SCHED_UPCALL_H

/*
 * upcall.h - the few things the scheduler asks of the layers above it. They are declared here, so that includes go
 * downward only, and defined above.
 */

#include "sched/runtime.h"

/* scope/scope.c: a scope's timer fired. The timer's state goes to IDLE with the last access. */
void coir__scope_timer_fired(coir__worker *w, coir__timer *t);

/* io/shutdown.c: the grace of a runtime that shuts down is over. As above. */
void coir__shutdown_timer_fired(coir__worker *w, coir__timer *t);

/* scope/scope.c: `self` is about to wait, and a deadline stands around it. 0, or -ECANCELED if one has passed. Arms. */
int coir__scope_attend(coir__worker *w, coir__task *self);

/* The same without the refusal: cancels what is overdue, arms the rest. */
void coir__scope_look(coir__worker *w, coir__task *self);

/* scope/scope.c: a cancelled call is about to return -ECANCELED: does so, and slows down who ignores it. */
int coir__scope_refuse(coir__worker *w, coir__task *self);

/* scope/done.c: the function of `t` has returned `rc`. Frees or keeps the descriptor; returns the stack, which is the caller's. */
coir__stack *coir__group_task_done(coir__worker *w, coir__task *t, int rc);

/* scope/group.c and spawn.c: opens and closes the root group; starts the first task of coir_run. */
void coir__root_begin(coir__runtime *rt);
void coir__root_end(coir__runtime *rt);
int coir__spawn_first(coir__runtime *rt, const coir_task_options *o, coir_fn *fn, void *arg);

/* scope/join.c: a joiner whose wait has been claimed by a canceller lets go of the task it waited for. */
void coir__join_abandon(coir__task *joiner);

/* scope/values.c: frees what task-locals `t` has set. It runs, and has no group open; or is a thread that ends. */
void coir__values_free(coir__task *t);

/* io/op.c: asks for the end of the operation with this id, if it is still under way. Any thread. */
void coir__op_cancel_post(coir__runtime *rt, uint64_t id);

/* io/op.c: ends operations on the worker's list of cancels. Its owner, at a tick. */
void coir__op_drain_cancels(coir__worker *w);

/* sync/bias.c: a worker ends, and gives its table of read locks back. */
void coir__bias_release(coir__worker *w);

/* debug/deadlock.c: every worker of `rt` is asleep and nothing is due. May report, may abort. Returns after how long of this
 * it wants to be called again, at most. */
int64_t coir__deadlock_check(coir__runtime *rt);

/* io/resolve.c: helper threads end. */
void coir__resolver_stop(coir__runtime *rt);

/* io/op.c: the table of operations of a runtime that has ended. */
void coir__ops_free(coir__runtime *rt);

/* io/signal.c: changes the thread's mask as w->unblock says, and clears that. Its owner, at a tick. */
void coir__signal_unblock(coir__worker *w);

/* io/signal.c: a runtime ends, on the thread that began it; `last`: no other is left. coir__runtimes_lock is held. */
void coir__signal_end(coir__runtime *rt, bool last);

/* debug/census.c: a task of `rt` spawned there has ended, and has used so much of its stack. And all of that, as lines. */
void coir__census_note(const char *file, int line, size_t reserve, size_t used);
void coir__census_log(coir__runtime *rt);

/* debug/misuse.c: names the task, then aborts. */
COIR__NORETURN void coir__misuse(const char *format, ...) COIR__PRINTF(1, 2);

#endif
