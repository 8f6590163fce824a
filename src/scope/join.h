/* SPDX-License-Identifier: MIT */
#ifndef COIR_SCOPE_JOIN_H
#define COIR_SCOPE_JOIN_H

/* join.h - the steps of a join, for coir_join() and for select. */

#include "scope/scope.h"
#include "sync/wait.h"

/* Takes the result of an ended task: 0; -EAGAIN if it has not ended; -ESRCH, -EBUSY, -EDEADLK (oneself). */
int coir__join_try(coir__worker *w, coir_task handle, int *ret_result);

/* Makes `n` the joiner without taking anything; true if it is now, or another case of its select is. No line of joins counts a
 * select. */
bool coir__join_show(coir_task handle, coir__node *n);

/* No longer the joiner. */
void coir__join_withdraw(coir_task handle, coir__node *n);

#endif
