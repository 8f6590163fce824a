/* SPDX-License-Identifier: MIT */
/*
 * idle.c - a worker that has nothing to run: it searches, naps, keeps the patrol, gives memory back, sleeps.
 *
 * Going to sleep: declare it, fence, look once more at everything that others fill, then poll the kernel without end. One
 * worker at a time searches (steals); the one that finds work wakes the next searcher if there is more. One whose last
 * booty was crumbs, tasks that took less time than fetching them, takes a nap before the next search. One of the
 * sleepers keeps a patrol: it wakes now and then, rarer and rarer, takes over what sits in the slot of a worker that has
 * not moved, and lets its due timers fire. Where none sleeps, those who have work look after each other.
 */
#include "base/time.h"
#include "sched/upcall.h"
#include "sched/worker.h"

#define SEARCH_ROUNDS 32
#define CRUMB 500 /* ns; shorter tasks cost more to fetch than they take */
#define NAP_FIRST COIR_US(25)
#define NAP_LAST COIR_US(100)
#define PATROL_FIRST COIR_US(100)
#define PATROL_LAST COIR_MS(10)
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

/* -- the patrol ------------------------------------------------------------------------------------------------- */

static coir__glance glance_at(const coir__worker *w)
{
    return (coir__glance){atomic_load_explicit(&w->tick, memory_order_relaxed),
                          atomic_load_explicit(&w->lifo, memory_order_relaxed)};
}

/* A worker that has not moved since the last look keeps what is in its slot from running, and its timers from firing: the system has
 * taken its processor away, or a task holds it. Returns what was in the slot; *ret_stuck: it has not moved. */
static coir__task *look_after(coir__worker *w, coir__worker *other, coir__glance *seen, int64_t now,
                              bool *ret_stuck)
{
    coir__glance sight = glance_at(other);
    coir__task *rescued = NULL;
    bool stuck = sight.tick == seen->tick;
    if (stuck && sight.lifo && sight.lifo == seen->lifo)
        rescued = atomic_exchange_explicit(&other->lifo, NULL, memory_order_acquire);
    if (stuck && atomic_load_explicit(&other->wheel.next, memory_order_relaxed) <= now)
        coir__wheel_expire(&other->wheel, w, now);
    *seen = sight;
    *ret_stuck = stuck;
    return rescued;
}

static bool is_awake(const coir__worker *w)
{
    return atomic_load_explicit(&w->sleeping, memory_order_relaxed) == COIR__AWAKE;
}

static coir__task *patrol_look(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    int64_t now = coir__runtime_now(rt);
    coir__task *found = NULL;
    for (unsigned i = 0; i < rt->worker_count; i++) {
        coir__worker *other = rt->workers[i];
        bool stuck;
        if (other == w || !is_awake(other))
            continue;
        coir__task *rescued = look_after(w, other, &other->patrol_seen, now, &stuck);
        if (rescued && found)
            coir__ring_push(w, rescued);
        else if (rescued)
            found = rescued;
    }
    return found;
}

/* The same one again as long as it does not move; else the next. */
void coir__patrol_mind(coir__worker *w, int64_t now)
{
    coir__runtime *rt = w->runtime;
    if (coir__likely(now - w->mind_at < COIR__SLICE))
        return;
    w->mind_at = now;
    coir__worker *other = rt->workers[w->mind];
    if (other != w && is_awake(other)) {
        bool stuck;
        coir__task *rescued = look_after(w, other, &w->mind_seen, now, &stuck);
        if (rescued)
            coir__ring_push(w, rescued);
        if (stuck)
            return;
    }
    w->mind = w->mind + 1 < rt->worker_count ? w->mind + 1 : 0;
    w->mind_seen = glance_at(rt->workers[w->mind]);
}

/* A worker that goes to sleep while another is awake, and nobody looks after that one. Returns the time it may sleep. */
static int64_t patrol_take(coir__worker *w, int64_t timeout)
{
    coir__runtime *rt = w->runtime;
    if (atomic_load(&rt->patrol) != 0 || atomic_load(&rt->sleepers) >= rt->worker_count ||
        !coir__patrol_begin(rt))
        return timeout;
    w->on_patrol = true;
    w->patrol_interval = 2 * PATROL_FIRST;
    return timeout < PATROL_FIRST ? timeout : PATROL_FIRST;
}

void coir__patrol_leave(coir__worker *w)
{
    w->on_patrol = false;
    coir__patrol_end(w->runtime);
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
        timeout = patrol_take(w, timeout);
        bool quiet = timeout == COIR_FOREVER && coir__runtime_is_quiet(rt);
        if (quiet)
            timeout = coir__deadlock_check(rt);
        if (w->trims && timeout > TRIM_INTERVAL && (!quiet || timeout == COIR_FOREVER))
            timeout = TRIM_INTERVAL;
        atomic_fetch_add_explicit(&w->metric_polls, 1, memory_order_relaxed);
        w->engine->poll(w->loop, timeout);
    }
    atomic_fetch_sub(&rt->sleepers, 1);
    uint32_t state = atomic_exchange(&w->sleeping, COIR__AWAKE);
    if (!w->solo && !w->on_patrol &&
        atomic_load(&rt->patrol) == 0) /* what coir__runtime_patrol() may have cleared */
        atomic_fetch_or_explicit(&w->careful, COIR__CAREFUL_UNWATCHED, memory_order_relaxed);
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

static bool others_awake(coir__runtime *rt)
{
    return atomic_load_explicit(&rt->sleepers, memory_order_relaxed) + 1 < rt->worker_count;
}

/* Sleeps, at most until the next look if this worker keeps the patrol. Returns the state it was woken in. */
static uint32_t sleep_watching(coir__worker *w, int64_t timeout)
{
    coir__runtime *rt = w->runtime;
    if (w->on_patrol && !others_awake(rt) && w->patrol_interval >= PATROL_LAST)
        coir__patrol_leave(w); /* nobody to watch */
    if (!w->on_patrol)
        return worker_sleep(w, timeout);
    int64_t interval = w->patrol_interval;
    w->patrol_interval = interval * 2 < PATROL_LAST ? interval * 2 : PATROL_LAST;
    return worker_sleep(w, timeout < interval ? timeout : interval);
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

static void note_state(coir__worker *w, uint32_t state)
{
    if (state != COIR__ROUSED_TO_PATROL)
        return;
    w->on_patrol = true;
    w->patrol_interval = PATROL_FIRST;
}

/* Sleeps with the searching word, so that nobody wakes another searcher meanwhile, and searches then. What the kernel has
 * completed by then is its own, and goes first. */
static coir__task *nap(coir__worker *w, int64_t pause)
{
    int64_t timer = time_to_timer(w);
    note_state(w, worker_sleep(w, pause < timer ? pause : timer));
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
    uint32_t state = sleep_watching(w, time_to_timer(w));
    note_state(w, state);
    if (state == COIR__ROUSED_TO_SEARCH)
        t = search(w);
    else if (w->on_patrol && state != COIR__ROUSED_TO_PATROL && (t = patrol_look(w)) != NULL)
        w->patrol_interval = PATROL_FIRST;
    return t;
}
