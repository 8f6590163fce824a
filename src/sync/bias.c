/* SPDX-License-Identifier: MIT */
/* bias.c - tables of read locks; bias.h has the rules. */
#include "sync/bias.h"

#include "base/fence.h"
#include "sched/upcall.h"

#define TABLES 256 /* workers beyond count in the lock */

static struct coir__bias tables[TABLES];
static bool taken[TABLES]; /* by a worker; guarded by `lock` */
static coir__lock lock;
static _Atomic unsigned used; /* tables below have had a worker */

bool coir__bias_is_possible(void) { return !coir__fence_needed; }

static COIR__NOINLINE struct coir__bias *table_take(coir__worker *w)
{
    unsigned i = 0;
    coir__lock_take(&lock);
    while (i < TABLES && taken[i])
        i++;
    if (i < TABLES) {
        taken[i] = true;
        w->bias = &tables[i];
        if (atomic_load_explicit(&used, memory_order_relaxed) <= i)
            atomic_store_explicit(&used, i + 1, memory_order_release);
    }
    coir__lock_drop(&lock);
    return w->bias;
}

struct coir__bias *coir__bias_of(coir__worker *w)
{
    if (coir__likely(w->bias != NULL) || w->rt == 0)
        return w->bias;
    return table_take(w);
}

void coir__bias_release(coir__worker *w)
{
    if (!w->bias)
        return;
    coir__lock_take(&lock);
    taken[w->bias - tables] = false;
    coir__lock_drop(&lock);
}

/* Until its worker is outside: some instructions, unless it has lost its processor. */
static void wait_for(struct coir__bias *b)
{
    for (unsigned round = 0; atomic_load_explicit(&b->inside, memory_order_acquire); round++)
        coir__spin(round);
}

uint32_t coir__bias_collect(const void *rwlock)
{
    uint32_t readers = 0;
    coir__fence_heavy(); /* pairs with coir__bias_enter(): it sees the lock unbiased, or we see it inside */
    unsigned n = atomic_load_explicit(&used, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        wait_for(&tables[i]);
        coir__bias_entry *e = coir__bias_entry_of(&tables[i], rwlock);
        uint32_t count = atomic_load_explicit(&e->count, memory_order_acquire);
        if (count == 0 || atomic_load_explicit(&e->lock, memory_order_relaxed) != rwlock)
            continue;
        readers += count;
        atomic_store_explicit(&e->count, 0, memory_order_release);
    }
    return readers;
}
