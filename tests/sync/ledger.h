/* SPDX-License-Identifier: MIT */
#ifndef LEDGER_H
#define LEDGER_H

/* ledger.h - a storm around a read-write lock: everybody reads and writes two numbers that must be equal. */
#include "sync/lock_tools.h"

typedef struct ledger {
    coir_rwlock l;
    long left, right; /* equal, but for a moment inside a writer */
    int rounds;
    void (*while_reading)(coir_rwlock *l); /* now and then, by a reader; or NULL */
} ledger;

static inline void write_ledger(ledger *a, dice *d)
{
    long left = ++a->left;
    if (dice_below(d, 8) == 0)
        coir_yield();
    CHECK_EQ(a->left, left);
    a->right++;
    coir_rwlock_write_unlock(&a->l);
}

static inline void read_ledger(ledger *a, dice *d)
{
    long left = a->left;
    if (a->while_reading && dice_below(d, 4) == 0)
        a->while_reading(&a->l);
    if (dice_below(d, 8) == 0)
        coir_yield();
    CHECK_EQ(a->right, left);
    coir_rwlock_read_unlock(&a->l);
}

/* Every fourth time it writes; some waits are under a deadline that may have passed. */
static inline int keep_ledger(void *arg)
{
    static _Atomic int number;
    ledger *a = arg;
    dice d = {.state = (uint64_t)atomic_fetch_add(&number, 1)};
    int written = 0;
    for (int i = 0; i < a->rounds; i++) {
        bool write = dice_below(&d, 4) == 0;
        coir_scope s;
        coir_scope_begin(&s, dice_below(&d, 4) == 0 ? COIR_US(20) : COIR_FOREVER);
        int rc = write ? coir_rwlock_write_lock(&a->l) : coir_rwlock_read_lock(&a->l);
        if (rc == 0 && write)
            write_ledger(a, &d);
        else if (rc == 0)
            read_ledger(a, &d);
        rc = coir_scope_end(&s, rc);
        CHECK(rc == 0 || rc == -ETIMEDOUT);
        written += rc == 0 && write;
    }
    return written;
}

static inline int keep_in_group(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    coir_task t = start_task(&g, keep_ledger, arg);
    int written = keep_ledger(arg) + join_result(t);
    CHECK_EQ(coir_group_end(&g), 0);
    return written;
}

/* Six tasks, a thread, and two tasks of another runtime. How often they have written. */
static inline long ledger_keep_all(ledger *a)
{
    enum { N = 6 };
    test_thread thread;
    other_runtime other;
    coir_task t[N];
    coir_group g;
    long written = 0;
    coir_group_begin(&g, 0);
    thread_start(&thread, keep_ledger, a);
    other_start(&other, keep_in_group, a);
    for (int i = 0; i < N; i++)
        t[i] = start_task(&g, keep_ledger, a);
    for (int i = 0; i < N; i++)
        written += join_result(t[i]);
    CHECK_EQ(coir_group_end(&g), 0);
    written += thread_finish(&thread);
    return written + other_finish(&other);
}

static inline void ledger_check(const ledger *a, long written)
{
    CHECK_EQ(a->left, written);
    CHECK_EQ(a->right, written);
}

#endif
