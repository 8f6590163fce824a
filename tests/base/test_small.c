/* SPDX-License-Identifier: MIT */
/* test_small.c - the small ones: random numbers, time, processors, the allocator hook, texts of errors. */
#include "support/harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/time.h"

/* -- random numbers ----------------------------------------------------------------------------------------- */

TEST(the_same_seed_gives_the_same_numbers)
{
    coir__rng a, b;
    coir__rng_init(&a, 99);
    coir__rng_init(&b, 99);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(coir__rng_next(&a), coir__rng_next(&b));
}

TEST(near_seeds_give_other_numbers)
{
    coir__rng a, b;
    int same = 0;
    for (uint64_t seed = 0; seed < 64; seed++) {
        coir__rng_init(&a, seed);
        coir__rng_init(&b, seed + 1);
        for (int i = 0; i < 16; i++)
            same += coir__rng_next(&a) == coir__rng_next(&b);
    }
    CHECK_LE(same, 1); /* fixed seeds: this is not chance */
}

TEST(no_seed_makes_the_state_zero)
{
    static const uint64_t seeds[] = {0, 1, UINT64_MAX, 0x61c8864680b583ebu};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        coir__rng r;
        coir__rng_init(&r, seeds[i]);
        CHECK(r.state != 0);
        uint32_t any = 0;
        for (int k = 0; k < 8; k++)
            any |= coir__rng_next(&r);
        CHECK(any != 0);
    }
}

TEST(below_stays_below_and_reaches_every_number)
{
    coir__rng r;
    coir__rng_init(&r, 3);
    for (uint32_t n = 1; n <= 20; n++) {
        uint32_t seen = 0;
        for (int i = 0; i < 2000; i++) {
            uint32_t x = coir__rng_below(&r, n);
            CHECK_LT(x, n);
            seen |= 1u << x;
        }
        CHECK_EQ(seen, (1u << n) - 1);
    }
}

TEST(bits_are_set_about_half_of_the_time)
{
    coir__rng r;
    coir__rng_init(&r, 5);
    int set[32] = {0};
    for (int i = 0; i < 10000; i++) {
        uint32_t x = coir__rng_next(&r);
        for (int bit = 0; bit < 32; bit++)
            set[bit] += (int)(x >> bit & 1);
    }
    for (int bit = 0; bit < 32; bit++)
        CHECK(set[bit] > 4700 && set[bit] < 5300);
}

/* -- time --------------------------------------------------------------------------------------------------- */

TEST(sums_of_times_saturate)
{
    CHECK_EQ(coir__time_add(1000, 5), 1005);
    CHECK_EQ(coir__time_add(1000, COIR_FOREVER), COIR_FOREVER);
    CHECK_EQ(coir__time_add(COIR_FOREVER, 1), COIR_FOREVER);
    CHECK_EQ(coir__time_add(COIR_FOREVER, COIR_FOREVER), COIR_FOREVER);
    CHECK_EQ(coir__time_add(COIR_FOREVER - 1, 1), COIR_FOREVER);
    CHECK_EQ(coir__time_add(-5, 10), 5);
}

TEST(a_negative_duration_counts_as_zero)
{
    CHECK_EQ(coir__time_add(1000, 0), 1000);
    CHECK_EQ(coir__time_add(1000, -1), 1000);
    CHECK_EQ(coir__time_add(1000, INT64_MIN), 1000);
    CHECK_EQ(coir__time_add(INT64_MIN, INT64_MIN), INT64_MIN);
}

TEST(the_clock_does_not_go_back)
{
    int64_t last = coir__time_now();
    CHECK_GT(last, 0);
    for (int i = 0; i < 10000; i++) {
        int64_t now = coir__time_now();
        CHECK_GE(now, last);
        last = now;
    }
    CHECK_GE(coir_now(), last); /* a plain thread's clock is the system's */
}

TEST(a_time_is_cut_into_seconds_and_nanoseconds)
{
    struct timespec ts = coir__time_spec(COIR_S(3) + 7);
    CHECK_EQ(ts.tv_sec, 3);
    CHECK_EQ(ts.tv_nsec, 7);
    ts = coir__time_spec(INT64_MAX);
    CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
}

/* -- processors --------------------------------------------------------------------------------------------- */

TEST(there_is_a_processor)
{
    CHECK_GE(coir__cpu_count(), 1);
    CHECK_LE(coir__cpu_count(), sysconf(_SC_NPROCESSORS_CONF));
}

TEST(affinity_bounds_the_processors)
{
    cpu_set_t all, one;
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        skip("affinity can't be set here");
    CHECK_EQ(coir__cpu_count(), 1);
}

/* -- the allocator hook ------------------------------------------------------------------------------------- */

typedef struct ledger {
    atomic_long allocated, released;
    bool refuse;
} ledger;

static void *ledger_allocate(void *arg, size_t size)
{
    ledger *l = arg;
    if (l->refuse)
        return NULL;
    atomic_fetch_add(&l->allocated, 1);
    return malloc(size);
}

static void ledger_release(void *arg, void *memory)
{
    ledger *l = arg;
    atomic_fetch_add(&l->released, 1);
    free(memory);
}

TEST(memory_comes_from_the_hook_and_goes_back_there)
{
    ledger l = {.refuse = false};
    coir_allocator a = {ledger_allocate, ledger_release, &l};
    CHECK_EQ(coir__alloc_init(&a), 0);
    void *memory = coir__alloc(100);
    unsigned char *zeroed = coir__alloc_zero(50);
    char *text = coir__alloc_text("text");
    CHECK_EQ((uintptr_t)memory % 16, 0);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(zeroed[i], 0);
    CHECK_STR(text, "text");
    CHECK_EQ(l.allocated, 3);
    coir__release(memory);
    coir__release(zeroed);
    coir__release(text);
    coir__release(NULL);
    CHECK_EQ(l.released, 3);
}

TEST(the_allocator_does_not_change_while_memory_is_out)
{
    ledger l = {.refuse = false}, other = {.refuse = false};
    coir_allocator a = {ledger_allocate, ledger_release, &l};
    coir_allocator b = {ledger_allocate, ledger_release, &other};
    CHECK_EQ(coir__alloc_init(&a), 0);
    void *memory = coir__alloc(1);
    CHECK_EQ(coir__alloc_init(&b), -EBUSY);
    CHECK_EQ(coir__alloc_init(&a), 0);
    CHECK_EQ(coir__alloc_init(NULL), 0); /* asks for nothing */
    coir__release(memory);
    CHECK_EQ(l.released, 1);
    CHECK_EQ(coir__alloc_init(&b), 0);
    coir__release(coir__alloc(1));
    CHECK_EQ(other.allocated, 1);
    CHECK_EQ(coir__alloc_init(NULL), 0);
    coir__release(coir__alloc(1));
    CHECK_EQ(other.allocated, 1); /* malloc again */
}

TEST(a_refusal_of_the_hook_is_NULL)
{
    ledger l = {.refuse = true};
    coir_allocator a = {ledger_allocate, ledger_release, &l};
    CHECK_EQ(coir__alloc_init(&a), 0);
    CHECK(coir__alloc(1) == NULL);
    CHECK(coir__alloc_zero(1) == NULL);
    CHECK(coir__alloc_text("x") == NULL);
    CHECK_EQ(coir__alloc_init(NULL), 0); /* nothing is out: it may change */
}

/* -- texts -------------------------------------------------------------------------------------------------- */

TEST(the_version_is_that_of_the_header)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", COIR_VERSION_MAJOR, COIR_VERSION_MINOR,
             COIR_VERSION_PATCH);
    CHECK_STR(coir_version(), text);
}

TEST(every_number_has_a_text)
{
    static const int odd[] = {0, INT32_MAX, INT32_MIN, INT32_MIN + 1, -1, 1, 4095, 4096, -100000};
    for (int e = -5000; e <= 5000; e++)
        CHECK(coir_strerror(e) != NULL && coir_strerror(e)[0] != '\0');
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        CHECK(coir_strerror(odd[i]) != NULL && coir_strerror(odd[i])[0] != '\0');
}

TEST(the_sign_of_an_error_is_ignored)
{
    CHECK_STR(coir_strerror(-ECANCELED), coir_strerror(ECANCELED));
    CHECK_STR(coir_strerror(-ETIMEDOUT), coir_strerror(ETIMEDOUT));
    CHECK(strcmp(coir_strerror(-ECANCELED), coir_strerror(-ETIMEDOUT)) != 0);
}

static void *read_texts(void *arg)
{
    const char *const *kept = arg;
    for (int round = 0; round < 200; round++)
        for (int e = 0; e < 140; e++)
            CHECK(coir_strerror(e) == kept[e]);
    return NULL;
}

TEST(texts_are_static_and_may_be_read_by_many_threads)
{
    const char *kept[140];
    pthread_t threads[4];
    for (int e = 0; e < 140; e++)
        kept[e] = coir_strerror(e);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, read_texts, kept), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* -- the writer of texts ------------------------------------------------------------------------------------ */

static size_t read_all(int fd, char *to, size_t room)
{
    size_t used = 0;
    ssize_t n;
    while (used < room && (n = read(fd, to + used, room - used)) > 0)
        used += (size_t)n;
    return used;
}

TEST(a_text_longer_than_its_buffer_arrives_whole)
{
    int fds[2];
    static char got[8192], expected[8192];
    size_t n = 0;
    CHECK_EQ(pipe(fds), 0);
    coir__text t;
    coir__text_init(&t, fds[1]);
    for (int i = 0; i < 400; i++) {
        coir__text_add(&t, "line %d\n", i);
        n += (size_t)snprintf(expected + n, sizeof expected - n, "line %d\n", i);
    }
    coir__text_flush(&t);
    close(fds[1]);
    CHECK_EQ(read_all(fds[0], got, sizeof got), n);
    CHECK(memcmp(got, expected, n) == 0);
    close(fds[0]);
}

TEST(a_text_to_a_closed_descriptor_is_dropped)
{
    coir__text t;
    coir__text_init(&t, -1);
    for (int i = 0; i < 1000; i++)
        coir__text_add(&t, "nobody reads %d\n", i);
    coir__text_flush(&t);
}

TEST_MAIN("base_small")
