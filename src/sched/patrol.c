/* SPDX-License-Identifier: MIT */
/*
 * patrol.c - sleepers that look after workers that are awake.
 *
 * A worker that has not moved since the last look, because a task holds it or the system has taken its processor away, keeps what is
 * in its slot from running and its timers from firing. Somebody who sleeps looks at all that are awake, first after 0.1 ms, then
 * rarer and rarer, takes over what sits in the slot of such a worker, and lets its due timers fire.
 *
 *   keeper   sleeps until the next look
 *   deputy   sleeps for 10 ms at most, and is keeper from then on if there is none
 *
 * So when the keeper has work somebody is left, and need not be woken for it. Who goes to sleep while another is awake takes a post
 * that is free; so does, though all sleep, who has a timer to wake it anyway, or was woken for a post some sleeps ago: to sleep
 * with a limit costs the kernel's timer, twice, but less than being woken each time. When all sleep the keeper looks after 4 ms,
 * then 8; when nobody has run anything in between it gives the post up and rests, and an idle program makes no wake-ups at all.
 *
 * While nobody has a post workers are UNWATCHED: whose task wakes another and goes on, or who runs a task while timers are armed,
 * wakes a sleeper to be keeper. Where none sleeps, those who have work look after each other.
 *
 * I1  Posts change under rt->patrol_lock. While somebody has one, nobody is UNWATCHED.
 * I2  While nobody has one, each worker that is awake is UNWATCHED, unless all were awake when the last was found so; then the next to
 *     sleep finds others awake, and takes a post.
 */
#include "base/time.h"
#include "sched/upcall.h"
#include "sched/worker.h"

#define FIRST COIR_US(100)
#define FIRST_ASLEEP COIR_MS(4) /* while all sleep */
#define LAST COIR_MS(10)
#define SLEEPS_ROUSED 64 /* with a limit, after it was worth waking somebody for a post */

/* -- posts ------------------------------------------------------------------------------------------------------ */

static uint32_t posts_of(const coir__runtime *rt)
{
    return atomic_load_explicit(&rt->patrol, memory_order_relaxed);
}

static void set_unwatched(coir__runtime *rt, bool unwatched)
{
    for (unsigned i = 0; i < rt->worker_count; i++)
        if (unwatched)
            atomic_fetch_or_explicit(&rt->workers[i]->careful, COIR__CAREFUL_UNWATCHED,
                                     memory_order_relaxed);
        else
            atomic_fetch_and_explicit(&rt->workers[i]->careful, ~(uint32_t)COIR__CAREFUL_UNWATCHED,
                                      memory_order_relaxed);
}

/* The lock is held. */
static void posts_set(coir__runtime *rt, uint32_t posts)
{
    uint32_t had = posts_of(rt);
    atomic_store_explicit(&rt->patrol, posts, memory_order_relaxed);
    if ((had == 0) != (posts == 0))
        set_unwatched(rt, posts == 0);
}

/* One that is free, or none. */
static uint8_t post_take(coir__runtime *rt)
{
    coir__lock_take(&rt->patrol_lock);
    uint32_t posts = posts_of(rt);
    uint8_t post = !(posts & COIR__POST_KEEPER)   ? COIR__POST_KEEPER
                   : !(posts & COIR__POST_DEPUTY) ? COIR__POST_DEPUTY
                                                  : COIR__POST_NONE;
    if (post)
        posts_set(rt, posts | post);
    coir__lock_drop(&rt->patrol_lock);
    return post;
}

static void deputy_rises(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    coir__lock_take(&rt->patrol_lock);
    if (!(posts_of(rt) & COIR__POST_KEEPER)) {
        posts_set(rt, COIR__POST_KEEPER);
        w->post = COIR__POST_KEEPER;
        w->patrol_interval = FIRST;
    }
    coir__lock_drop(&rt->patrol_lock);
}

void coir__patrol_leave(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    coir__lock_take(&rt->patrol_lock);
    posts_set(rt, posts_of(rt) & ~(uint32_t)w->post);
    coir__lock_drop(&rt->patrol_lock);
    w->post = COIR__POST_NONE;
}

/* -- looking ---------------------------------------------------------------------------------------------------- */

static coir__glance glance_at(const coir__worker *w)
{
    return (coir__glance){atomic_load_explicit(&w->tick, memory_order_relaxed),
                          atomic_load_explicit(&w->lifo, memory_order_relaxed)};
}

static bool is_awake(const coir__worker *w)
{
    return atomic_load_explicit(&w->sleeping, memory_order_relaxed) == COIR__AWAKE;
}

/* Returns what was in the slot of one that has not moved since the last look; *ret_stuck: it has not. */
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

/* What a round has found. */
struct sight {
    coir__task *rescued;
    bool awake; /* somebody is */
    bool moved; /* somebody has run something since the last round */
};

static void look_at(coir__worker *w, coir__worker *other, int64_t now, struct sight *s)
{
    uint32_t runs = atomic_load_explicit(&other->runs, memory_order_relaxed);
    s->moved |= runs !=
                other->patrol_runs; /* not its ticks: another's rounds are no reason to go on */
    other->patrol_runs = runs;
    if (!is_awake(other))
        return;
    bool stuck;
    coir__task *rescued = look_after(w, other, &other->patrol_seen, now, &stuck);
    s->awake = true;
    if (rescued && s->rescued)
        coir__ring_push(w, rescued);
    else if (rescued)
        s->rescued = rescued;
}

static struct sight look_around(coir__worker *w)
{
    coir__runtime *rt = w->runtime;
    int64_t now = coir__runtime_now(rt);
    struct sight s = {0};
    for (unsigned i = 0; i < rt->worker_count; i++)
        if (rt->workers[i] != w)
            look_at(w, rt->workers[i], now, &s);
    return s;
}

static coir__task *keeper_round(coir__worker *w)
{
    struct sight s = look_around(w);
    bool news = s.rescued || (s.awake && !w->patrol_awake);
    bool over = !s.awake && !s.moved && w->patrol_interval >= FIRST_ASLEEP;
    int64_t longer = w->patrol_interval * 2 < LAST ? w->patrol_interval * 2 : LAST;
    w->patrol_interval = news ? FIRST : longer;
    w->patrol_awake = s.awake;
    if (over) {
        coir__patrol_leave(w);
        w->rests = true;
        w->roused = 0;
    }
    return s.rescued;
}

/* -- going to sleep and coming back ----------------------------------------------------------------------------- */

int64_t coir__patrol_before_sleep(coir__worker *w, int64_t timeout)
{
    coir__runtime *rt = w->runtime;
    if (w->solo)
        return timeout;
    bool others_awake = atomic_load_explicit(&rt->sleepers, memory_order_relaxed) <
                        rt->worker_count;
    bool worth = others_awake || (!w->rests && (timeout != COIR_FOREVER || w->roused > 0));
    if (!w->post && worth) {
        if (!others_awake && timeout == COIR_FOREVER)
            w->roused--;
        w->post = post_take(rt);
        w->patrol_interval = FIRST;
    }
    if (!w->post)
        return timeout;
    if (!others_awake && w->patrol_interval < FIRST_ASLEEP)
        w->patrol_interval = FIRST_ASLEEP;
    int64_t interval = w->post == COIR__POST_KEEPER ? w->patrol_interval : LAST;
    return timeout < interval ? timeout : interval;
}

void coir__patrol_after_sleep(coir__worker *w, uint32_t state)
{
    if (w->solo)
        return;
    if (state == COIR__ROUSED_TO_PATROL) { /* who has woken us has taken the post */
        if (w->post)                       /* we were about to be deputy */
            coir__patrol_leave(w);
        w->post = COIR__POST_KEEPER;
        w->patrol_interval = FIRST;
        w->roused = SLEEPS_ROUSED;
    } else if (!w->post &&
               posts_of(w->runtime) == 0) { /* what coir__runtime_patrol() may have cleared */
        atomic_fetch_or_explicit(&w->careful, COIR__CAREFUL_UNWATCHED, memory_order_relaxed);
    }
}

coir__task *coir__patrol_round(coir__worker *w, uint32_t state)
{
    if (w->post == COIR__POST_DEPUTY)
        deputy_rises(w);
    return w->post == COIR__POST_KEEPER && state != COIR__ROUSED_TO_PATROL ? keeper_round(w) : NULL;
}

/* -- those who have work ---------------------------------------------------------------------------------------- */

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

/* While the post is ours for somebody to come, others leave the waking to us; so who finds all awake looks again when it has given
 * it back. The flags stay as they are then: the next to sleep takes the post, and nobody need tell it. */
void coir__runtime_patrol(coir__runtime *rt)
{
    do {
        coir__lock_take(&rt->patrol_lock);
        bool kept = posts_of(rt) != 0;
        if (!kept)
            posts_set(rt, COIR__POST_KEEPER);
        coir__lock_drop(&rt->patrol_lock);
        if (kept || coir__rouse_any(rt, COIR__ROUSED_TO_PATROL))
            return;
        coir__lock_take(&rt->patrol_lock);
        atomic_store_explicit(&rt->patrol, posts_of(rt) & ~(uint32_t)COIR__POST_KEEPER,
                              memory_order_relaxed);
        coir__lock_drop(&rt->patrol_lock);
    } while (coir__any_asleep(rt));
}
