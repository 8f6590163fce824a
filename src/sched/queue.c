/* SPDX-License-Identifier: MIT */
/*
 * queue.c - where runnable tasks are. The picture is in worker.h.
 *
 * The ring is that of Go's scheduler in idea: the owner pushes at the tail, everybody takes at the head by
 * compare-and-swap; a thief copies half of it into its own ring before it claims it, and forgets the copy if it loses.
 *
 * A task that waits for its group has its children taken at the tail, the newest first, before what is older: depth before
 * breadth. There the owner changes the version in the head (I2), which makes thieves forget their copies.
 *
 * Who makes work visible (ring, shared queue) and who goes to sleep are a store-load pair: push, fence, look for sleepers;
 * declare sleep, fence, look for work. At least one sees the other.
 */
#include "sched/runtime.h"

#define MASK (COIR__RING - 1)
#define DESCRIPTORS_AHEAD 6u /* of what is fetched before it is needed */
#define STACKS_AHEAD 3u
#define AHEAD 8u                    /* of who waits behind the ring, or in the shared queue */
#define VERSION ((uint64_t)1 << 32) /* one step of the upper half of head */

/* The owner's own pushes made work visible. */
static void ring_notify(coir__worker *w)
{
    if (w->solo)
        return;
    atomic_thread_fence(memory_order_seq_cst); /* pairs with worker_sleep() */
    coir__runtime *rt = w->runtime;
    if (atomic_load_explicit(&rt->sleepers, memory_order_relaxed) != 0 &&
        atomic_load_explicit(&rt->searching, memory_order_relaxed) == 0)
        coir__runtime_notify(rt);
}

static coir__task *task_of(coir__link *link)
{
    return coir__container(link, coir__task, wait.node.link);
}

/* Who waits behind the ring, or in the shared queue with others, points to the one that comes AHEAD later (its wait is over, its
 * node free): else each would be a miss, one after the other. */
static void overflow_point(coir__worker *w, coir__task *t)
{
    t->wait.node.data = NULL;
    if (w->overflow_count > AHEAD) {
        w->overflow_behind->wait.node.data = t;
        w->overflow_behind = task_of(w->overflow_behind->wait.node.link.next);
    } else if (w->overflow_count == AHEAD) {
        w->overflow_behind = task_of(coir__list_first(&w->overflow));
    }
}

static void inject_chain(coir__runtime *rt, coir__link *chain, uint32_t n);

/* The older half of a full ring, and the one that has no room, to the shared queue at once. One by one each would pay for the lock,
 * whose line another worker has had meanwhile, when more are spawned than the ring holds. */
static void ring_share(coir__worker *w, coir__task *t)
{
    uint64_t head = atomic_load_explicit(&w->head, memory_order_acquire);
    uint32_t n = (atomic_load_explicit(&w->tail, memory_order_relaxed) - (uint32_t)head) / 2;
    if (!atomic_compare_exchange_strong_explicit(&w->head, &head, coir__ring_after(head, n),
                                                 memory_order_acquire, memory_order_relaxed)) {
        coir__inject(w->runtime, t); /* thieves are at it */
        return;
    }
    coir__link chain;
    coir__list_init(&chain);
    for (uint32_t i = 0; i < n; i++) { /* they are ours now, and only we would write over them */
        uint32_t at = (uint32_t)head + i;
        coir__task *older = atomic_load_explicit(&w->ring[at & MASK], memory_order_relaxed);
        older->wait.node.data = i + AHEAD >= n ? NULL
                                               : atomic_load_explicit(&w->ring[(at + AHEAD) & MASK],
                                                                      memory_order_relaxed);
        coir__list_append(&chain, &older->wait.node.link);
    }
    t->wait.node.data = NULL;
    coir__list_append(&chain, &t->wait.node.link);
    inject_chain(w->runtime, &chain, n + 1);
}

/* With one worker what does not fit waits behind the ring, and so does what comes after it; with more it is shared. */
static COIR__NOINLINE void ring_overflow(coir__worker *w, coir__task *t)
{
    if (!w->solo) {
        ring_share(w, t);
        return;
    }
    coir__list_append(&w->overflow, &t->wait.node.link);
    if (w->overflow_count++ == 0)
        atomic_fetch_or_explicit(&w->odd, COIR__ODD_OVERFLOW, memory_order_relaxed);
    overflow_point(w, t);
}

/* The ring, of one worker alone, is empty: half a ring of what waits behind it. I9 */
static COIR__NOINLINE void ring_refill(coir__worker *w)
{
    uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
    for (unsigned i = 0; i < COIR__RING / 2 && w->overflow_count > 0; i++) {
        coir__link *link = coir__list_first(&w->overflow);
        coir__list_remove(link);
        link->next = NULL;
        w->overflow_count--;
        coir__task *t = task_of(link);
        coir__prefetch(t->wait.node.data);
        atomic_store_explicit(&w->ring[tail++ & MASK], t, memory_order_relaxed);
    }
    atomic_store_explicit(&w->tail, tail, memory_order_relaxed);
    if (w->overflow_count == 0)
        atomic_fetch_and_explicit(&w->odd, (uint8_t)~COIR__ODD_OVERFLOW, memory_order_relaxed);
}

void coir__ring_push(coir__worker *w, coir__task *t)
{
    uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
    uint32_t head = (uint32_t)atomic_load_explicit(&w->head, memory_order_acquire);
    if (coir__unlikely((tail - head >= COIR__RING) | (w->overflow_count != 0))) {
        ring_overflow(w, t);
        return;
    }
    if (w->lifo_left > COIR__LIFO_MAX) /* I5 */
        w->lifo_left = COIR__LIFO_MAX;
    if (w->deep)
        w->deep++;
    atomic_store_explicit(&w->ring[tail & MASK], t, memory_order_relaxed);
    atomic_store_explicit(&w->tail, tail + 1, memory_order_release); /* pairs with thieves */
    ring_notify(w);
}

/* Brings closer what will be touched soon: the next one's stack, and in a long queue the descriptors of those behind it. */
COIR__INLINE void ring_prefetch(coir__worker *w, uint32_t head, uint32_t tail)
{
    uint32_t n = tail - head;
    if (n == 0)
        return;
    if (n <= DESCRIPTORS_AHEAD) {
        coir__prefetch(atomic_load_explicit(&w->ring[head & MASK], memory_order_relaxed)->ctx.sp);
        return;
    }
    const char *t = (const char *)atomic_load_explicit(&w->ring[(head + DESCRIPTORS_AHEAD) & MASK],
                                                       memory_order_relaxed);
    coir__prefetch(t);
    coir__prefetch(t + 64);
    coir__prefetch(t + 128);
    const coir__task *near = atomic_load_explicit(&w->ring[(head + STACKS_AHEAD) & MASK],
                                                  memory_order_relaxed);
    const char *sp = near->ctx.sp;
    coir__prefetch(sp);
    coir__prefetch(sp + 64);
    coir__prefetch(near->stack);
}

coir__task *coir__ring_pop(coir__worker *w)
{
    uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&w->head, memory_order_acquire);
    for (;;) {
        uint32_t at = (uint32_t)head;
        if (at == tail)
            return NULL;
        coir__task *t = atomic_load_explicit(&w->ring[at & MASK], memory_order_relaxed);
        if (w->solo) {
            ring_prefetch(w, at + 1, tail);
            atomic_store_explicit(&w->head, head + 1, memory_order_relaxed);
            if (coir__unlikely(w->overflow_count != 0) && at + 1 == tail)
                ring_refill(w);
            return t;
        }
        if (atomic_compare_exchange_weak_explicit(&w->head, &head, coir__ring_after(head, 1),
                                                  memory_order_acq_rel, memory_order_acquire)) {
            if (!COIR__TSAN) /* a thief may take them meanwhile: what is fetched is only a guess */
                ring_prefetch(w, at + 1, tail);
            return t;
        }
    }
}

/* -- the newest first ------------------------------------------------------------------------------------------- */

/*
 * The newest is the owner's as soon as the tail is before it and the version has changed after that: a thief that has seen
 * the old version fails, one that sees the new one sees that tail. If thieves have taken all meanwhile, the tail goes back.
 */
static coir__task *pop_newest(coir__worker *w)
{
    uint32_t last = atomic_load_explicit(&w->tail, memory_order_relaxed) - 1;
    uint64_t head = atomic_load_explicit(&w->head, memory_order_acquire);
    if ((uint32_t)head == last + 1)
        return NULL;
    coir__task *t = atomic_load_explicit(&w->ring[last & MASK], memory_order_relaxed);
    atomic_store_explicit(&w->tail, last, memory_order_relaxed);
    if (w->solo) {
        if (w->overflow_count != 0 && (uint32_t)head == last)
            ring_refill(w);
        return t;
    }
    while (!atomic_compare_exchange_weak_explicit(&w->head, &head, head + 2 * VERSION,
                                                  memory_order_acq_rel, memory_order_acquire))
        if ((uint32_t)head == last + 1) {
            atomic_store_explicit(&w->tail, last + 1, memory_order_release);
            return NULL;
        }
    return t;
}

coir__task *coir__ring_pop_deep(coir__worker *w)
{
    uint32_t size = coir__ring_size(w);
    if (w->deep > size) /* thieves, or turns of the oldest */
        w->deep = size;
    if (w->deep > 0) {
        w->deep--;
        coir__task *t = pop_newest(w);
        if (t)
            return t;
    }
    return coir__ring_pop(w);
}

/* Turns the order of the last n round. */
static void ring_reverse(coir__worker *w, uint32_t tail, uint32_t n)
{
    for (uint32_t i = tail - n, k = tail - 1; n > 1; i++, k--, n -= 2) {
        coir__task *t = atomic_load_explicit(&w->ring[i & MASK], memory_order_relaxed);
        coir__task *u = atomic_load_explicit(&w->ring[k & MASK], memory_order_relaxed);
        atomic_store_explicit(&w->ring[i & MASK], u, memory_order_relaxed);
        atomic_store_explicit(&w->ring[k & MASK], t, memory_order_relaxed);
    }
}

void coir__ring_deepen(coir__worker *w, uint32_t n)
{
    uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&w->head, memory_order_acquire);
    if (n >= tail - (uint32_t)head || w->overflow_count != 0)
        return; /* nothing is older; or they are not in the ring */
    if (n > 1 && w->solo) {
        ring_reverse(w, tail, n);
    } else if (n > 1) {
        if (!atomic_compare_exchange_strong_explicit(&w->head, &head, head + VERSION,
                                                     memory_order_acquire, memory_order_relaxed))
            return; /* a thief: the order does not matter that much */
        ring_reverse(w, tail, n);
        atomic_store_explicit(&w->head, head + 2 * VERSION, memory_order_release);
    }
    if (w->deep == 0) /* else they have been counted as they came */
        w->deep = n;
}

/* -- thieves ---------------------------------------------------------------------------------------------------- */

coir__task *coir__ring_steal(coir__worker *from, coir__worker *to)
{
    uint32_t to_tail = atomic_load_explicit(&to->tail, memory_order_relaxed);
    uint32_t room = COIR__RING -
                    (to_tail - (uint32_t)atomic_load_explicit(&to->head, memory_order_acquire));
    uint64_t head = atomic_load_explicit(&from->head, memory_order_acquire);
    for (;;) {
        uint32_t tail = atomic_load_explicit(&from->tail, memory_order_acquire);
        uint32_t n = tail - (uint32_t)head;
        if (head & VERSION)
            return NULL; /* its owner is at it; the ring is not empty, so nobody falls asleep over it */
        if (n > COIR__RING) { /* head is old, or the owner has tried for one that is gone */
            uint64_t old = head;
            head = atomic_load_explicit(&from->head, memory_order_acquire);
            if (head == old)
                return NULL;
            continue;
        }
        n -= n / 2;
        if (n > room + 1)
            n = room + 1;
        if (n == 0)
            return NULL;
        uint32_t at = (uint32_t)head;
        coir__task *first = atomic_load_explicit(&from->ring[at & MASK], memory_order_relaxed);
        for (uint32_t i = 1; i < n; i++) {
            coir__task *t = atomic_load_explicit(&from->ring[(at + i) & MASK],
                                                 memory_order_relaxed);
            atomic_store_explicit(&to->ring[(to_tail + i - 1) & MASK], t, memory_order_relaxed);
        }
        if (atomic_compare_exchange_strong_explicit(&from->head, &head, coir__ring_after(head, n),
                                                    memory_order_acq_rel, memory_order_acquire)) {
            atomic_store_explicit(&to->tail, to_tail + n - 1, memory_order_release);
            return first;
        }
    }
}

/* Tells every worker whether the shared queue is empty. Its lock is held. */
static void inject_tell(coir__runtime *rt, bool any)
{
    for (unsigned i = 0; i < rt->worker_count; i++)
        if (any)
            atomic_fetch_or_explicit(&rt->workers[i]->odd, COIR__ODD_INJECT, memory_order_relaxed);
        else
            atomic_fetch_and_explicit(&rt->workers[i]->odd, (uint8_t)~COIR__ODD_INJECT,
                                      memory_order_relaxed);
}

static void inject_chain(coir__runtime *rt, coir__link *chain, uint32_t n)
{
    coir__lock_take(&rt->inject_lock);
    if (coir__list_is_empty(&rt->inject)) {
        coir__list_init(&rt->inject);
        inject_tell(rt, true);
    }
    coir__list_splice(&rt->inject, chain);
    atomic_fetch_add_explicit(&rt->inject_count, n, memory_order_relaxed);
    coir__lock_drop(&rt->inject_lock);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with worker_sleep() */
    if (atomic_load_explicit(&rt->sleepers, memory_order_relaxed) != 0)
        coir__runtime_notify(rt);
}

void coir__inject(coir__runtime *rt, coir__task *t)
{
    coir__link chain;
    coir__list_init(&chain);
    t->wait.node.data = NULL;
    coir__list_append(&chain, &t->wait.node.link);
    inject_chain(rt, &chain, 1);
}

unsigned coir__inject_take(coir__worker *w, unsigned most)
{
    coir__runtime *rt = w->runtime;
    unsigned taken = 0;
    uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
    uint32_t room = COIR__RING -
                    (tail - (uint32_t)atomic_load_explicit(&w->head, memory_order_acquire));
    coir__lock_take(&rt->inject_lock);
    while (taken < most && taken < room && !coir__list_is_empty(&rt->inject)) {
        coir__link *link = coir__list_first(&rt->inject);
        coir__list_remove(link);
        link->next = NULL;
        coir__task *t = task_of(link);
        coir__prefetch(t->wait.node.data);
        atomic_store_explicit(&w->ring[(tail + taken) & MASK], t, memory_order_relaxed);
        taken++;
    }
    atomic_fetch_sub_explicit(&rt->inject_count, taken, memory_order_relaxed);
    if (taken > 0 && coir__list_is_empty(&rt->inject))
        inject_tell(rt, false);
    atomic_store_explicit(&w->tail, tail + taken, memory_order_release);
    coir__lock_drop(&rt->inject_lock);
    if (taken > 1)
        ring_notify(w);
    return taken;
}

coir__task *coir__inject_pop(coir__worker *w)
{
    if (atomic_load_explicit(&w->runtime->inject_count, memory_order_relaxed) == 0)
        return NULL;
    coir__inject_take(w, COIR__RING / 2);
    return coir__ring_pop(w);
}

static void private_push(coir__worker *w, coir__task *t)
{
    coir__list_append(&w->private_, &t->wait.node.link);
    w->private_count++;
    w->budget = 0; /* the base looks there at the next pick */
}

/* To another worker's inbox. */
static void inbox_push(coir__worker *to, coir__task *t)
{
    coir__lock_take(&to->inbox_lock);
    coir__list_append(&to->inbox, &t->wait.node.link);
    atomic_fetch_add_explicit(&to->inbox_count, 1, memory_order_relaxed);
    coir__lock_drop(&to->inbox_lock);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with worker_sleep() */
    if (atomic_load_explicit(&to->sleeping, memory_order_relaxed) == COIR__ASLEEP)
        coir__worker_rouse(to);
}

/* From outside of the runtime, which may end as soon as `t` can run: not before the visitor has left. */
static void runnable_foreign(coir__runtime *rt, coir__task *t, unsigned flags)
{
    atomic_fetch_add_explicit(&rt->visitors, 1, memory_order_relaxed);
    if ((flags & COIR__TASK_PINNED) && !rt->solo)
        inbox_push(rt->workers[t->root.worker], t);
    else
        coir__inject(rt, t);
    atomic_fetch_sub_explicit(&rt->visitors, 1,
                              memory_order_release); /* pairs with runtime_run() */
}

/* Everything that is not "into the empty slot of this worker". */
void coir__runnable_slow(coir__worker *w, coir__task *t)
{
    unsigned flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
    if (flags & COIR__TASK_THREAD) {
        coir__thread_wake(t);
        return;
    }
    coir__runtime *rt = coir__runtime_of(t);
    if (t->rt != w->rt) {
        runnable_foreign(rt, t, flags);
        return;
    }
    if ((flags & COIR__TASK_PINNED) && !rt->solo) {
        coir__worker *to = rt->workers[t->root.worker];
        if (to == w)
            private_push(w, t);
        else
            inbox_push(to, t);
        return;
    }
    if (w->chaos) {
        coir__inject(rt, t);
        return;
    }
    if (atomic_load_explicit(&w->careful, memory_order_relaxed) & COIR__CAREFUL_UNWATCHED &&
        w->current != &w->base) /* which runs it next */
        coir__runtime_patrol(rt);
    coir__task *displaced = atomic_load_explicit(&w->lifo, memory_order_relaxed);
    if (displaced)
        displaced = atomic_exchange_explicit(&w->lifo, t, memory_order_acq_rel);
    else
        atomic_store_explicit(&w->lifo, t, memory_order_release);
    if (displaced)
        coir__ring_push(w, displaced);
}
