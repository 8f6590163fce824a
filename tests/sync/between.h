/* SPDX-License-Identifier: MIT */
#ifndef BETWEEN_H
#define BETWEEN_H

/*
 * between.h - to do something in the middle of a select, by objects of our own that are never ready.
 *
 *   cases    the first meddler, the case in question, the last meddler; in this order
 *   tried    is called by the last one's attempt: the case has been shown, but the select is out of reach (TRYING), so whoever
 *            meets it passes it by
 *   looked   is called by the first one's ready: the select can be claimed again, and has not looked at the case yet
 */
#include "sync/wait_tools.h"

typedef struct meddler {
    coir_waitable waitable; /* first */
    void (*act)(void *arg); /* once */
    void *arg;
    bool tries; /* acts in attempt, else in ready */
    bool entered;
} meddler;

static inline void meddle(meddler *m)
{
    void (*act)(void *) = m->act;
    m->act = NULL;
    if (act)
        act(m->arg);
}

static inline bool meddler_attempt(coir_waitable *object, void *data, int *ret_result)
{
    meddler *m = (meddler *)(void *)object;
    (void)data;
    (void)ret_result;
    if (m->tries && m->entered)
        meddle(m);
    return false;
}

static inline bool meddler_enter(coir_waitable *object, coir_waiter *waiter)
{
    meddler *m = (meddler *)(void *)object;
    (void)waiter;
    m->entered = true;
    return m->tries;
}

static inline bool meddler_ready(coir_waitable *object)
{
    meddler *m = (meddler *)(void *)object;
    if (!m->tries)
        meddle(m);
    return false;
}

static inline void meddler_leave(coir_waitable *object, coir_waiter *waiter)
{
    (void)waiter;
    CHECK(((meddler *)(void *)object)->entered);
}

static const coir_waitable_ops meddler_ops = {meddler_attempt, meddler_enter, meddler_ready,
                                              meddler_leave};

/* Selects over one case with two meddlers around it. The case must be the one; returns its result. */
static inline int select_meddled(coir_case k, void (*tried)(void *), void (*looked)(void *),
                                 void *arg)
{
    meddler first = {.waitable = {&meddler_ops}, .act = looked, .arg = arg};
    meddler last = {.waitable = {&meddler_ops}, .act = tried, .arg = arg, .tries = true};
    coir_case cases[] = {COIR_WAITABLE(&first.waitable, NULL), k,
                         COIR_WAITABLE(&last.waitable, NULL)};
    CHECK_EQ(coir_select_ordered(cases, 3), 1);
    CHECK(!first.act);
    CHECK(!last.act);
    return cases[1].result;
}

#endif
