/* SPDX-License-Identifier: MIT */
/*
 * test_timer_wheel.c - the timer wheel against a model that keeps an array.
 *
 * Timers here are those of a select (a claim away from a task), with descriptors of plain memory that stand for tasks; what
 * fires lands in the slot and ring of a worker that nobody runs. The wheel's promise is exact, so it is checked exactly:
 * after a look at time T nothing is armed that rounds up to T or before, and nothing has fired that does not.
 */
#include "sched_test.h"

#include "base/rng.h"
#include "sched/runtime.h"

#define TICK ((int64_t)1 << COIR__WHEEL_SHIFT)

typedef struct entry {
    coir__task task; /* whose sleep it is */
    bool armed;
} entry;

typedef struct bench {
    coir__wheel wheel;
    coir__worker *worker;
    coir__runtime *runtime;
    entry *entries;
    int n;
    int64_t now;
} bench;

static void *zeroed_lines(size_t size)
{
    size = (size + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, size);
    CHECK(memory != NULL);
    return memset(memory, 0, size);
}

static void bench_begin(bench *b, int n, int64_t now)
{
    memset(b, 0, sizeof *b);
    b->worker = zeroed_lines(sizeof *b->worker);
    b->runtime = zeroed_lines(sizeof *b->runtime);
    b->worker->runtime = b->runtime;
    b->worker->rt = 1;
    b->worker->solo = true;
    b->runtime->solo = true;
    b->entries = zeroed_lines((size_t)n * sizeof *b->entries);
    b->n = n;
    b->now = now;
    for (int i = 0; i < n; i++)
        b->entries[i].task.rt = 1;
    coir__wheel_init(&b->wheel, now);
}

static void bench_end(bench *b)
{
    free(b->entries);
    free(b->runtime);
    free(b->worker);
}

static void arm(bench *b, int i, int64_t when)
{
    entry *e = &b->entries[i];
    e->armed = true;
    e->task.wait.timer.when = when;
    e->task.wait.timer.kind = COIR__TIMER_SLEEP;
    atomic_store(&e->task.park, COIR__PARK_WAITING);
    coir__wheel_arm_locked(&b->wheel, &e->task.wait.timer);
}

static bool disarm(bench *b, int i)
{
    b->entries[i].armed = false;
    return coir__wheel_disarm_locked(&b->wheel, &b->entries[i].task.wait.timer);
}

static bool has_fired(const bench *b, int i)
{
    return atomic_load(&b->entries[i].task.park) == COIR__PARK_ACTIVE;
}

/* Everything made runnable, out of the queues. */
static int drain(bench *b)
{
    int n = 0;
    while (coir__lifo_take(b->worker))
        n++;
    while (coir__ring_pop(b->worker))
        n++;
    while (!coir__list_is_empty(&b->runtime->inject)) {
        coir__list_remove(coir__list_first(&b->runtime->inject));
        n++;
    }
    return n;
}

/* The model: a timer is due at `now` if its time, rounded up to a tick, has come. One that was due when it was armed
 * comes with the tick after the last look. */
static bool is_due(int64_t when, int64_t now) { return when <= 0 || when <= now / TICK * TICK; }

/* Looks at time `now`, and compares with the model. Returns the number fired. */
static int look(bench *b, int64_t now)
{
    int64_t last_tick = b->now / TICK;
    int64_t bound = atomic_load(&b->wheel.next);
    b->now = now;
    unsigned fired = coir__wheel_expire(&b->wheel, b->worker, now);
    CHECK_EQ(drain(b), fired);
    int counted = 0;
    for (int i = 0; i < b->n; i++) {
        entry *e = &b->entries[i];
        if (!e->armed)
            continue;
        int64_t when = e->task.wait.timer.when; /* of one that has fired: not overwritten */
        if (has_fired(b, i)) {
            CHECK_LE(when, now);  /* never early */
            CHECK_LE(bound, now); /* and `next` had told */
            e->armed = false;
            counted++;
        } else if (is_due(when, now)) {
            CHECK_EQ(last_tick, now / TICK); /* never late: only where no tick has passed */
        }
    }
    CHECK_EQ(counted, fired);
    return counted;
}

static int64_t first_time(const bench *b)
{
    int64_t first = COIR_FOREVER;
    for (int i = 0; i < b->n; i++)
        if (b->entries[i].armed && b->entries[i].task.wait.timer.when < first)
            first = b->entries[i].task.wait.timer.when;
    return first;
}

/* `next` is a lower bound of what is to come. */
static void check_bound(const bench *b)
{
    int64_t first = first_time(b), bound = atomic_load(&b->wheel.next);
    if (first == COIR_FOREVER)
        return;
    int64_t rounded = first > COIR_FOREVER - TICK ? COIR_FOREVER : (first + TICK - 1) / TICK * TICK;
    int64_t soon = (b->now / TICK + 1) * TICK; /* what is overdue comes then */
    CHECK_LE(bound, rounded > soon ? rounded : soon);
}

/* -- one timer ------------------------------------------------------------------------------------------------ */

TEST(an_empty_wheel_has_nothing_to_come)
{
    bench b;
    bench_begin(&b, 1, COIR_S(5));
    CHECK_EQ(atomic_load(&b.wheel.next), COIR_FOREVER);
    CHECK_EQ(look(&b, COIR_S(500)), 0);
    CHECK_EQ(atomic_load(&b.wheel.next), COIR_FOREVER);
    bench_end(&b);
}

TEST(a_timer_fires_at_its_tick_and_not_before)
{
    bench b;
    bench_begin(&b, 1, 0);
    arm(&b, 0, 10 * TICK + 1);
    CHECK_EQ(look(&b, 10 * TICK + 1), 0); /* rounded up */
    CHECK_EQ(look(&b, 11 * TICK - 1), 0);
    CHECK_EQ(look(&b, 11 * TICK), 1);
    CHECK_EQ(look(&b, 12 * TICK), 0);
    bench_end(&b);
}

TEST(a_timer_in_the_past_fires_at_the_next_tick)
{
    bench b;
    bench_begin(&b, 2, 1000 * TICK);
    arm(&b, 0, 5);
    arm(&b, 1, -COIR_S(1));
    CHECK_EQ(look(&b, 1001 * TICK), 2);
    bench_end(&b);
}

TEST(disarming_says_whether_it_won)
{
    bench b;
    bench_begin(&b, 2, 0);
    arm(&b, 0, 5 * TICK);
    arm(&b, 1, 6 * TICK);
    CHECK(disarm(&b, 0));
    CHECK(!disarm(&b, 0));
    CHECK_EQ(look(&b, 6 * TICK), 1);
    CHECK(!disarm(&b, 1));
    CHECK_EQ(atomic_load(&b.wheel.next), COIR_FOREVER);
    bench_end(&b);
}

/* -- places where wheels go wrong ------------------------------------------------------------------------------ */

/* Around each boundary between levels, from several starting points. */
TEST(timers_around_the_boundaries_of_levels_fire_at_their_tick)
{
    static const int64_t starts[] = {0,    1,      63,     64,       65,        4095,
                                     4096, 262143, 262144, 16777215, 1234567890};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
        for (int level = 0; level < COIR__WHEEL_LEVELS - 1; level++)
            for (int64_t off = -2; off <= 2; off++) {
                bench b;
                int64_t start = starts[s], tick = start + ((int64_t)1 << (6 * level)) + off;
                bench_begin(&b, 1, start * TICK);
                if (tick > start) {
                    arm(&b, 0, tick * TICK);
                    CHECK_EQ(look(&b, (tick - 1) * TICK), 0);
                    CHECK_EQ(look(&b, tick * TICK), 1);
                }
                bench_end(&b);
            }
}

/* The wheel is looked at only when it says so; then each look does something, and the last is at the timer's tick. */
TEST(following_next_leads_to_the_timer_in_a_few_looks)
{
    static const int64_t waits[] = {1,        64, 4096 + 5, 262144 * 3 + 77, 16777216LL * 40 + 4711,
                                    1LL << 40};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        bench b;
        int64_t start = 987654321, looks = 0;
        bench_begin(&b, 1, start * TICK);
        arm(&b, 0, (start + waits[i]) * TICK);
        while (b.entries[0].armed) {
            int64_t next = atomic_load(&b.wheel.next);
            CHECK_NE(next, COIR_FOREVER);
            look(&b, next);
            CHECK_LE(++looks, 2 * COIR__WHEEL_LEVELS);
        }
        CHECK_EQ(b.now, (start + waits[i]) * TICK);
        bench_end(&b);
    }
}

TEST(a_timer_beyond_the_wheel_is_put_off_and_not_lost)
{
    bench b;
    int64_t far = COIR_FOREVER - 5, year = COIR_S(366LL * 86400);
    bench_begin(&b, 2, 0);
    arm(&b, 0, far);
    arm(&b, 1, 100 * year);
    for (int64_t y = 1; y <= 290; y += 3)
        CHECK_EQ(look(&b, y * year), y == 100);
    CHECK_EQ(look(&b, far / TICK * TICK), 0);
    CHECK(disarm(&b, 0));
    bench_end(&b);
}

/* A slot that became empty by disarming, and timers that fired meanwhile, must not make a later timer late. */
TEST(a_slot_emptied_by_disarming_delays_nobody)
{
    for (int level = 0; level < 4; level++) {
        bench b;
        int64_t unit = (int64_t)1 << (6 * level);
        bench_begin(&b, 3, 0);
        arm(&b, 0, 5 * unit * TICK);
        arm(&b, 1, 10 * unit * TICK);
        CHECK(disarm(&b, 1));
        CHECK_EQ(look(&b, 40 * unit * TICK), 1);
        int64_t when = (64 * unit + 2 * unit) *
                       TICK; /* a level up, before the stale slot comes round */
        arm(&b, 2, when);
        check_bound(&b);
        CHECK_EQ(look(&b, when), 1);
        bench_end(&b);
    }
}

TEST(slots_fire_in_order_and_one_slot_in_the_order_of_arming)
{
    bench b;
    bench_begin(&b, 200, 0);
    for (int i = 0; i < 200; i++)
        arm(&b, i, (1 + i / 4) * TICK * 3);
    coir__wheel_expire(&b.wheel, b.worker, COIR_S(1));
    /* The first 256 made runnable are in the ring in that order, the last in the slot. */
    for (int i = 0; i < 199; i++)
        CHECK(coir__ring_pop(b.worker) == &b.entries[i].task);
    CHECK(coir__lifo_take(b.worker) == &b.entries[199].task);
    bench_end(&b);
}

/* -- at random ------------------------------------------------------------------------------------------------- */

static int64_t random_span(coir__rng *rng, unsigned bits_max)
{
    unsigned bits = coir__rng_below(rng, bits_max);
    uint64_t x = (uint64_t)coir__rng_next(rng) << 32 | coir__rng_next(rng);
    return (int64_t)(x & (((uint64_t)1 << bits) - 1));
}

static void step(bench *b, coir__rng *rng, unsigned span_bits)
{
    int i = (int)coir__rng_below(rng, (uint32_t)b->n);
    switch (coir__rng_below(rng, 8)) {
    case 0:
    case 1:
    case 2:
        if (!b->entries[i].armed)
            arm(b, i, b->now + random_span(rng, span_bits) - 20);
        break;
    case 3:
        if (b->entries[i].armed)
            CHECK(disarm(b, i));
        break;
    case 4:
        look(b, b->now + random_span(rng, span_bits - 2));
        break;
    case 5: /* as a worker does: just when it says so */
        if (atomic_load(&b->wheel.next) != COIR_FOREVER && atomic_load(&b->wheel.next) > b->now)
            look(b, atomic_load(&b->wheel.next));
        break;
    case 6: /* just before and at the first */
        if (first_time(b) != COIR_FOREVER && first_time(b) > b->now + TICK) {
            look(b, first_time(b) - 1);
            if (first_time(b) != COIR_FOREVER)
                look(b, (first_time(b) + TICK - 1) / TICK * TICK);
        }
        break;
    default: /* the next multiple of a slot of some level */
        if (true) {
            int64_t unit = TICK << (6 * coir__rng_below(rng, 4));
            look(b, (b->now / unit + 1) * unit - (int64_t)coir__rng_below(rng, 2));
        }
        break;
    }
    check_bound(b);
}

static void random_run(unsigned span_bits, int timers, int steps, uint64_t seed)
{
    bench b;
    coir__rng rng;
    coir__rng_init(&rng, seed);
    bench_begin(&b, timers, random_span(&rng, 50));
    for (int i = 0; i < steps && b.now < COIR_FOREVER / 2; i++)
        step(&b, &rng, span_bits);
    b.n = timers;
    bench_end(&b);
}

TEST(near_timers_at_random_agree_with_the_model)
{
    for (uint64_t seed = 0; seed < 40; seed++)
        random_run(24, 30, 4000 / harness_scale(), seed);
}

TEST(far_timers_at_random_agree_with_the_model)
{
    for (uint64_t seed = 0; seed < 40; seed++)
        random_run(16 + 3 * (unsigned)(seed % 12), 30, 4000 / harness_scale(), seed + 1000);
}

TEST(many_timers_at_random_agree_with_the_model)
{
    for (uint64_t seed = 0; seed < 4; seed++)
        random_run(36, 2000, 4000 / harness_scale(), seed + 2000);
}

TEST(few_timers_at_random_agree_with_the_model)
{
    for (uint64_t seed = 0; seed < 100; seed++)
        random_run(20 + (unsigned)(seed % 20), 3, 2000 / harness_scale(), seed + 3000);
}

TEST_MAIN("sched_timer_wheel")
