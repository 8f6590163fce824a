/* SPDX-License-Identifier: MIT */
/*
 * barrier.c - waits until `n` have come; then again.
 *
 * The last to come does not wait: it claims those who do, lets them all go, and returns 1.
 *
 * I1  who has come is who is in the list, and nothing else: being taken out by a canceller takes the arrival back. `arrived`
 *     counts those who queued, so after a cancellation it is too large; it is corrected by whoever finds enough of them,
 *     who counts the list.
 * I2  a waiter that a canceller has claimed, and not taken out yet when the last one comes, has come: it is told so
 *     (`passed`), and returns 0. Told under the lock, which the canceller takes before the waiter runs.
 *
 * After that nobody of this round touches the barrier, so that the first to return may destroy it: those claimed by the last one
 * are woken by their descriptors, and for cancellers that are on their way to take a node out (I2) the last one waits,
 * outside the lock, with those nodes in a list of their own (`leaving`). They hold no lock that it could have, and wait for
 * no task. The next round may have begun meanwhile.
 *
 * Cost: the lock once for each; the list is walked once for each round, and once for each that is cancelled.
 */
#include "sync/wait.h"

/* In a coir_barrier. */
struct barrier {
    uint64_t n;
    coir__lock lock;  /* guards the rest */
    uint64_t arrived; /* not less than there are in the list */
    coir__link waiters;
};

_Static_assert(sizeof(struct barrier) <= sizeof(coir_barrier), "the public struct has room");
_Static_assert(offsetof(struct barrier, lock) == 8, "the dump finds the barrier by its lock");

/* Whether the caller is the last one. Corrects the count. The lock is held. */
static bool is_last(struct barrier *b)
{
    if (b->arrived + 1 < b->n)
        return false;
    uint64_t there = 0;
    for (coir__link *at = coir__list_first(&b->waiters); at; at = coir__list_next(&b->waiters, at))
        there++;
    b->arrived = there;
    return there + 1 >= b->n;
}

/* Those who could not be claimed have come all the same (I2): from the barrier's list to `leaving`. */
static void let_pass(struct barrier *b, coir__link *leaving)
{
    coir__link *at;
    while ((at = coir__list_first(&b->waiters)) != NULL) {
        const coir__node *n = (const coir__node *)(void *)at;
        *(bool *)n->data = true;
        coir__list_remove(at);
        coir__list_append(leaving, at);
    }
}

/* Until cancellers have taken out of the list what they have claimed. */
static COIR__COLD void await_cancellers(struct barrier *b, const coir__link *leaving)
{
    for (unsigned round = 0;; coir__spin(round++)) {
        coir__lock_take(&b->lock);
        bool left = coir__list_is_empty(leaving);
        coir__lock_drop(&b->lock);
        if (left)
            return;
    }
}

/* The caller is the last one. The lock is held, and released. */
static void trip(struct barrier *b, coir__worker *w)
{
    coir__link leaving;
    coir__list_init(&leaving);
    coir__node *chain = coir__claim_all(&b->waiters);
    let_pass(b, &leaving);
    b->arrived = 0;
    bool alone = coir__list_is_empty(&leaving);
    coir__lock_drop(&b->lock);
    if (coir__unlikely(!alone)) /* before anybody wakes who could destroy the barrier */
        await_cancellers(b, &leaving);
    coir__wake_all(w, chain, 0);
}

int coir_barrier_wait(coir_barrier *barrier)
{
    struct barrier *b = (struct barrier *)(void *)barrier;
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    bool passed = false;
    if (b->n == 0)
        return -EINVAL;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    for (bool attended = !coir__must_attend(self);; attended = true) {
        coir__lock_take(&b->lock);
        if (is_last(b)) {
            trip(b, w);
            return coir__charge(w, 1);
        }
        if (attended)
            break;
        coir__lock_drop(&b->lock);
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
    }
    b->arrived++;
    coir__wait_queue(self, &b->waiters, &passed);
    int rc = coir__park(w, self, &b->lock, COIR__WAIT_BARRIER);
    return passed ? 0 : rc;
}
