/* SPDX-License-Identifier: MIT */
/*
 * ticker.c - a fixed rate.
 *
 *   start         next                     now
 *     |-- period --|-- period --|-- period --|--> next
 *                  missed       this one
 *
 * Ticks are due at start + n * period, whenever they are waited for: `next` moves by whole periods, so nothing drifts. A wait
 * takes the last tick that is due when it returns, and counts the earlier ones as missed, those too that came while the task
 * was on its way out of its sleep: there are no bursts, and waits that succeeded plus ticks missed are all ticks that were due.
 *
 * A ticker belongs to one task or thread at a time, as a variable does.
 */
#include "base/time.h"
#include "sync/wait.h"

int coir_ticker_start(coir_ticker *t, int64_t period)
{
    if (period <= 0)
        return -EINVAL;
    t->period = period;
    t->next = coir__time_add(coir_now(), period);
    return 0;
}

/* Takes the last tick that is due. */
static uint64_t ticker_advance(coir_ticker *t, int64_t now)
{
    uint64_t late = now > t->next ? (uint64_t)now - (uint64_t)t->next : 0;
    uint64_t missed = late / (uint64_t)t->period;
    t->next += (int64_t)(missed * (uint64_t)t->period); /* not beyond `now` */
    t->next = coir__time_add(t->next, t->period);
    return missed;
}

int coir_ticker_wait(coir_ticker *t, uint64_t *ret_missed)
{
    if (t->period <= 0)
        return -EINVAL;
    int64_t now = coir_now();
    bool due = now >= t->next;
    int rc = due ? coir_check() : coir_sleep_until(t->next);
    coir__worker *w = coir__worker_here();
    if (rc < 0)
        return due ? coir__scope_refuse(w, w->current) : rc;
    uint64_t missed = ticker_advance(t, due ? now : coir_now());
    if (ret_missed)
        *ret_missed = missed;
    return due ? coir__charge(w, 0) : 0;
}
