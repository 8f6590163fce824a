/* SPDX-License-Identifier: MIT */
/*
 * idle.c - a worker that has nothing to run: it searches, naps, gives memory back, sleeps.
 *
 * Going to sleep: declare it, fence, look once more at everything that others fill, then poll the kernel without end. One
 * worker at a time searches (steals); the one that finds work wakes the next searcher if there is more. One whose last
 * booty was crumbs, tasks that took less time than fetching them, takes a nap before the next search. Sleepers look after those who
 * are awake (patrol.c).
 */
#include "base/time.h"
#include "sched/upcall.h"
#include "sched/worker.h"

#define SEARCH_ROUNDS 32
#define CRUMB 500 /* ns; shorter tasks cost more to fetch than they take */
#define NAP_FIRST COIR_US(25)
#define NAP_LAST COIR_US(100)
#define TOGETHER ((int64_t)1 << 14) /* ns; the kernel's own waits overshoot by more */
#define TRIM_INTERVAL COIR_MS(100)  /* of a worker that is idle */
#define TRIM_BUSY                                                                                  \
    COIR_MS(200)        /* of one that is not; the longer, so that an idle one trims as such */
#define TRIM_MOST 4096u /* stacks at once: some milliseconds */
#define TRIM_MOST_BUSY 64u

/* -- searching -------------------------------------------------------------------------------------------------- */

static coir__task *steal(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    unsigned n = rt->worker_count;
    unsigned start = coir__rng_below(&w->rng, n);
    for (unsigned i = 0; i < n; i++) {
        coir__worker *victim = rt->workers[(start + i) % n];
        if (victim == w || coir__ring_is_empty(victim))
            continue;
        coir__task *t = coir__ring_steal(victim, w);
        if (t) {
            atomic_fetch_add_explicit(&w->metric_steals, 1, memory_order_relaxed);
            return t;
        }
    }
    return NULL;
}

/* Gives the searching word back; what others left to it goes to the next. */
static void search_end(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    atomic_store(&rt->searching, 0);
    if (coir__work_is_seen(rt) && atomic_load_explicit(&rt->sleepers, memory_order_relaxed) != 0)
        coir__runtime_notify(rt);
}

/* Looks for work elsewhere; the searching word is ours. */
static coir__task *search(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    coir__task *t = NULL;
    for (int round = 0; round < SEARCH_ROUNDS && !t; round++) {
        t = coir__inject_pop(w);
        if (!t)
            t = steal(w);
        if (!t && (atomic_load_explicit(&rt->stopping, memory_order_relaxed) ||
                   w->engine->has_events(w->loop)))
            break;
        if (!t)
            coir__cpu_relax();
    }
    if (!t) {
        atomic_store(&rt->searching, 0);
        return NULL;
    }
    w->stolen = coir__ring_size(w) + 1;
    w->stolen_at = coir__runtime_now(rt);
    search_end(w);
    return t;
}

/* Takes the searching word. */
static bool try_search(coir__worker *w)
{
    uint32_t nobody = 0;
    return !w->solo && atomic_compare_exchange_strong(&w->runtime->searching, &nobody, 1);
}

/* -- before sleeping -------------------------------------------------------------------------------------------- */

bool coir__worker_is_wanted(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    return atomic_load_explicit(&w->inbox_count, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&w->cancels, memory_order_relaxed) != NULL ||
           atomic_load_explicit(&rt->stopping, memory_order_relaxed) ||
           (atomic_load_explicit(&rt->searching, memory_order_relaxed) == 0 &&
            coir__work_is_seen(rt));
}

/* Nothing of this runtime can happen by itself any more. All workers have declared that they sleep. */
bool coir__runtime_is_quiet(coir__runtime *rt)
{
    uint64_t started = 0, ended = 0;
    if (atomic_load(&rt->embedded))
        return true; /* what it does is done by a thread that is foreign to whoever asks */
    if (atomic_load(&rt->sleepers) != rt->worker_count || atomic_load(&rt->external) != 0 ||
        atomic_load(&rt->inject_count) != 0 || atomic_load(&rt->live) == 0)
        return false;
    for (unsigned i = 0; i < rt->worker_count; i++) {
        coir__worker *w = rt->workers[i];
        if (atomic_load_explicit(&w->wheel.next, memory_order_relaxed) != COIR_FOREVER ||
            atomic_load_explicit(&w->inbox_count, memory_order_relaxed) != 0 ||
            !coir__ring_is_empty(w))
            return false;
        ended += atomic_load(&w->io_ended);
        started += atomic_load(&w->io_started);
    }
    return started == ended;
}

/* -- giving memory back ----------------------------------------------------------------------------------------- */

/* What other workers do with their stacks does not matter: everything is somebody's own, or under the pool's lock. */
static COIR__COLD void worker_trim(coir__worker *w, int64_t now, size_t most)
{
    w->last_trim = now;
    for (unsigned i = 0; i < COIR__STACK_CLASSES; i++)
        coir__stack_cache_shrink(&w->caches[i]);
    w->trims = coir__stack_pool_trim(w->runtime->stacks, most);
}

void coir__worker_trim_busy(coir__worker *w, int64_t now)
{
    if (coir__unlikely(now - w->last_trim >= TRIM_BUSY))
        worker_trim(w, now, TRIM_MOST_BUSY);
}

void coir__worker_trim_idle(coir__worker *w)
{
    int64_t now = w->slice_start;
    if (now - w->last_trim >= TRIM_INTERVAL)
        worker_trim(w, now, TRIM_MOST);
    else
        w->trims = true; /* later */
}

/* -- sleeping --------------------------------------------------------------------------------------------------- */

/* Sleeps in the kernel until woken or `timeout`. Returns the state it was woken in. */
static uint32_t worker_sleep(coir__worker *w, int64_t timeout)
{
    coir__runtime *rt = w->runtime;
    atomic_store(&w->sleeping, COIR__ASLEEP);
    atomic_fetch_add(&rt->sleepers, 1);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with whoever makes work visible */
    if (!coir__worker_is_wanted(w)) {
        bool quiet = timeout == COIR_FOREVER && coir__runtime_is_quiet(rt);
        timeout = quiet ? coir__deadlock_check(rt) : coir__patrol_before_sleep(w, timeout);
        if (quiet && w->post) /* there is nobody to look after */
            coir__patrol_leave(w);
        if (w->trims && timeout > TRIM_INTERVAL && (!quiet || timeout == COIR_FOREVER))
            timeout = TRIM_INTERVAL;
        atomic_fetch_add_explicit(&w->metric_polls, 1, memory_order_relaxed);
        w->engine->poll(w->loop, timeout);
    }
    atomic_fetch_sub(&rt->sleepers, 1);
    uint32_t state = atomic_exchange(&w->sleeping, COIR__AWAKE);
    coir__patrol_after_sleep(w, state);
    return state;
}

/* Rounded up, so that it wakes once for all that is due within TOGETHER. */
static int64_t time_to_timer(coir__worker *w)
{
    int64_t next = atomic_load_explicit(&w->wheel.next, memory_order_relaxed);
    if (next == COIR_FOREVER)
        return COIR_FOREVER;
    next = coir__time_add(next, TOGETHER - 1) & ~(TOGETHER - 1);
    int64_t now = coir__runtime_now(w->runtime);
    return next > now ? next - now : 0;
}

/* How long to leave the others alone, after a look at what the last search has brought: not at all if that was worth it. */
static int64_t nap_after(coir__worker *w)
{
    if (w->stolen == 0)
        return 0;
    bool crumbs = w->slice_start - w->stolen_at < (int64_t)w->stolen * CRUMB;
    w->stolen = 0;
    int64_t longer = w->nap ? w->nap * 2 : NAP_FIRST;
    w->nap = !crumbs ? 0 : longer < NAP_LAST ? longer : NAP_LAST;
    return w->nap;
}

static bool slot_or_ring(coir__worker *w)
{
    return !coir__ring_is_empty(w) || atomic_load_explicit(&w->lifo, memory_order_relaxed);
}

/* Sleeps with the searching word, so that nobody wakes another searcher meanwhile, and searches then. What the kernel has
 * completed by then is its own, and goes first. */
static coir__task *nap(coir__worker *w, int64_t pause)
{
    int64_t timer = time_to_timer(w);
    worker_sleep(w, pause < timer ? pause : timer);
    if (!slot_or_ring(w))
        return search(w);
    search_end(w);
    return NULL;
}

coir__task *coir__worker_idle(coir__worker *w)
{
    coir__task *t = NULL;
    if (try_search(w)) {
        int64_t pause = nap_after(w);
        if (pause > 0)
            return nap(w, pause);
        t = search(w);
    }
    if (t)
        return t;
    coir__worker_trim_idle(w);
    uint32_t state = worker_sleep(w, time_to_timer(w));
    return state == COIR__ROUSED_TO_SEARCH ? search(w) : coir__patrol_round(w, state);
}
