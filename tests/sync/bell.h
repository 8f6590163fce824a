/* SPDX-License-Identifier: MIT */
#ifndef BELL_H
#define BELL_H

/*
 * bell.h - an object of our own, as a program would write it: each ring is answered by one, in order of coming. Where
 * the case's data is not NULL it is told the number of the ring.
 */
#include "sync/wait_tools.h"

#define BELL_WAITERS 64

typedef struct bell {
    coir_waitable waitable; /* first */
    pthread_mutex_t lock;   /* guards the rest */
    int rings;              /* not answered yet */
    int number;             /* of the last ring that was answered */
    int waiting;
    coir_waiter *waiters[BELL_WAITERS];
    int attempts, enters, leaves;
} bell;

static inline bell *bell_of(coir_waitable *w) { return (bell *)(void *)w; }

static inline void bell_answer_locked(bell *b, int *ret_number)
{
    b->number++;
    if (ret_number)
        *ret_number = b->number;
}

static inline bool bell_attempt(coir_waitable *object, void *data, int *ret_result)
{
    bell *b = bell_of(object);
    pthread_mutex_lock(&b->lock);
    bool rung = b->rings > 0;
    b->attempts++;
    if (rung) {
        b->rings--;
        bell_answer_locked(b, data);
        *ret_result = 0;
    }
    pthread_mutex_unlock(&b->lock);
    return rung;
}

static inline bool bell_enter(coir_waitable *object, coir_waiter *waiter)
{
    bell *b = bell_of(object);
    pthread_mutex_lock(&b->lock);
    CHECK_LT(b->waiting, BELL_WAITERS);
    b->waiters[b->waiting++] = waiter;
    b->enters++;
    bool ready = b->rings > 0;
    pthread_mutex_unlock(&b->lock);
    return ready;
}

static inline bool bell_ready(coir_waitable *object)
{
    bell *b = bell_of(object);
    pthread_mutex_lock(&b->lock);
    bool ready = b->rings > 0;
    pthread_mutex_unlock(&b->lock);
    return ready;
}

static inline void bell_forget_locked(bell *b, int i)
{
    b->waiting--;
    for (; i < b->waiting; i++)
        b->waiters[i] = b->waiters[i + 1];
}

static inline void bell_leave(coir_waitable *object, coir_waiter *waiter)
{
    bell *b = bell_of(object);
    pthread_mutex_lock(&b->lock);
    b->leaves++;
    for (int i = b->waiting - 1; i >= 0; i--)
        if (b->waiters[i] == waiter)
            bell_forget_locked(b, i);
    pthread_mutex_unlock(&b->lock);
}

static const coir_waitable_ops bell_ops = {bell_attempt, bell_enter, bell_ready, bell_leave};

#define BELL_INIT                                                                                  \
    {                                                                                              \
        .waitable = {&bell_ops}, .lock = PTHREAD_MUTEX_INITIALIZER                                 \
    }

/* The first waiter that can be claimed answers with `result`; else the ring is kept. */
static inline void bell_ring(bell *b, int result)
{
    coir_waiter *met = NULL;
    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < b->waiting && !met; i++) {
        if (!coir_waiter_claim(b->waiters[i]))
            continue;
        met = b->waiters[i];
        bell_forget_locked(b, i);
        bell_answer_locked(b, coir_waiter_data(met));
    }
    if (!met)
        b->rings++;
    pthread_mutex_unlock(&b->lock);
    if (met)
        coir_waiter_wake(met, result);
}

/* Everybody who entered has left. */
static inline void bell_check_left(bell *b)
{
    CHECK_EQ(b->waiting, 0);
    CHECK_EQ(b->enters, b->leaves);
}

#endif
