/* SPDX-License-Identifier: MIT */
/* test_chan_more.c - channels: batches, element sizes, typed wrappers, memory, threads, crowds. */
#include "sync/wait_tools.h"

#include <string.h>

static coir_chan *new_chan(size_t capacity)
{
    coir_chan *c = coir_chan_new(sizeof(int), capacity);
    CHECK(c != NULL);
    return c;
}

/* -- batches ------------------------------------------------------------------------------------------------ */

static const int numbers[] = {0, 1, 2, 3, 4, 5, 6, 7};

TASK_TEST(a_batch_of_nothing_is_invalid)
{
    coir_chan *c = new_chan(1);
    int value = 0;
    CHECK_EQ(coir_chan_send_n(c, &value, 0), -EINVAL);
    CHECK_EQ(coir_chan_recv_n(c, &value, 0), -EINVAL);
    coir_chan_free(c);
}

TASK_TEST(a_batch_moves_as_many_as_there_is_room_for)
{
    coir_chan *c = new_chan(5);
    int got[8] = {0};
    CHECK_EQ(coir_chan_send_n(c, numbers, 3), 3);
    CHECK_EQ(coir_chan_send_n(c, numbers + 3, 5), 2);
    CHECK_EQ(coir_chan_recv_n(c, got, 2), 2);
    CHECK_EQ(coir_chan_send_n(c, numbers + 5, 3), 2); /* wraps */
    CHECK_EQ(coir_chan_recv_n(c, got + 2, 6), 5);
    CHECK_EQ(memcmp(got, numbers, 7 * sizeof(int)), 0);
    CHECK_EQ(got[7], 0);
    coir_chan_free(c);
}

typedef struct batch {
    coir_chan *c;
    int n;
    int elems[8];
    ssize_t rc;
} batch;

static int batch_recv(void *arg)
{
    batch *b = arg;
    b->rc = coir_chan_recv_n(b->c, b->elems, (size_t)b->n);
    return 0;
}

static int batch_send(void *arg)
{
    batch *b = arg;
    b->rc = coir_chan_send_n(b->c, b->elems, (size_t)b->n);
    return 0;
}

TASK_TEST(a_batch_receive_waits_for_the_first_element_only)
{
    coir_group g;
    coir_chan *c = new_chan(4);
    batch b = {.c = c, .n = 8, .rc = 1};
    coir_group_begin(&g, 0);
    await_parked(start_task(&g, batch_recv, &b));
    CHECK_EQ(coir_chan_try_send(c, &numbers[5]), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(b.rc, 1);
    CHECK_EQ(b.elems[0], 5);
    coir_chan_free(c);
}

TASK_TEST(a_batch_send_waits_for_room_for_the_first_element_only)
{
    coir_group g;
    coir_chan *c = new_chan(2);
    batch b = {.c = c, .n = 3, .elems = {10, 11, 12}};
    int got[8];
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_chan_send_n(c, numbers, 2), 2);
    coir_task t = start_task(&g, batch_send, &b);
    await_parked(t);
    CHECK_EQ(coir_chan_recv_n(c, got, 1), 1);
    CHECK_EQ(join_result(t), 0);
    CHECK_EQ(b.rc, 1);
    CHECK_EQ(coir_chan_recv_n(c, got + 1, 7), 2);
    CHECK_EQ(got[1], 1);
    CHECK_EQ(got[2], 10);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(c);
}

TASK_TEST(a_batch_receive_takes_the_buffer_and_the_senders_behind_it)
{
    coir_group g;
    coir_chan *c = new_chan(2);
    batch b[3];
    int got[8];
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_chan_send_n(c, numbers, 2), 2);
    for (int i = 0; i < 3; i++) {
        b[i] = (batch){.c = c, .n = 1, .elems = {i + 2}};
        await_parked(start_task(&g, batch_send, &b[i]));
    }
    CHECK_EQ(coir_chan_recv_n(c, got, 8), 5);
    CHECK_EQ(memcmp(got, numbers, 5 * sizeof(int)), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(c);
}

TASK_TEST(a_batch_send_serves_all_waiting_receivers_then_fills_the_buffer)
{
    coir_group g;
    coir_chan *c = new_chan(2);
    batch b[3];
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++) {
        b[i] = (batch){.c = c, .n = 1};
        await_parked(start_task(&g, batch_recv, &b[i]));
    }
    CHECK_EQ(coir_chan_send_n(c, numbers, 8), 5);
    CHECK_EQ(coir_group_end(&g), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(b[i].elems[0], i);
    CHECK_EQ(coir_chan_len(c), 2);
    coir_chan_free(c);
}

TASK_TEST(a_batch_receive_drains_a_closed_channel_then_fails)
{
    coir_chan *c = new_chan(4);
    int got[8];
    CHECK_EQ(coir_chan_send_n(c, numbers, 3), 3);
    coir_chan_close(c);
    CHECK_EQ(coir_chan_recv_n(c, got, 8), 3);
    CHECK_EQ(coir_chan_recv_n(c, got, 8), -EPIPE);
    coir_chan_free(c);
}

TASK_TEST(a_cancelled_batch_moves_nothing)
{
    coir_scope s;
    coir_chan *c = new_chan(4);
    int got[2];
    coir_scope_begin(&s, 0);
    CHECK_EQ(coir_chan_send_n(c, numbers, 2), -ECANCELED);
    CHECK_EQ(coir_chan_recv_n(c, got, 2), -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, 0), 0);
    CHECK_EQ(coir_chan_len(c), 0);
    coir_chan_free(c);
}

/* -- sizes -------------------------------------------------------------------------------------------------- */

typedef struct pattern {
    unsigned char before[8];
    unsigned char elem[200];
    unsigned char after[8];
} pattern;

static void pattern_fill(pattern *p, size_t size, int seed)
{
    memset(p, 0xEE, sizeof *p);
    for (size_t i = 0; i < size; i++)
        p->elem[i] = (unsigned char)(seed * 31 + (int)i);
}

typedef struct sized {
    coir_chan *c;
    size_t size;
} sized;

static int send_patterns(void *arg)
{
    sized *s = arg;
    pattern p;
    for (int i = 0; i < 20; i++) {
        pattern_fill(&p, s->size, i);
        CHECK_EQ(coir_chan_send(s->c, p.elem), 0);
    }
    return 0;
}

/* Every byte arrives, none beside them is written. */
static void check_size(size_t size, size_t capacity)
{
    coir_group g;
    pattern got, expected;
    sized s = {coir_chan_new(size, capacity), size};
    CHECK(s.c != NULL);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, send_patterns, &s), 0);
    for (int i = 0; i < 20; i++) {
        memset(&got, 0xEE, sizeof got);
        pattern_fill(&expected, size, i);
        CHECK_EQ(coir_chan_recv(s.c, got.elem), 0);
        CHECK_EQ(memcmp(&got, &expected, sizeof got), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    coir_chan_free(s.c);
}

TASK_TEST(elements_of_any_size_arrive_whole_and_overwrite_nothing)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 24, 64, 199, 200};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t capacity = 0; capacity < 4; capacity++)
            check_size(sizes[i], capacity);
}

TASK_TEST(signals_need_no_element)
{
    coir_chan *c = coir_chan_new(0, 2);
    CHECK_EQ(coir_chan_send(c, NULL), 0);
    CHECK_EQ(coir_chan_try_send(c, NULL), 0);
    CHECK_EQ(coir_chan_try_send(c, NULL), -EAGAIN);
    CHECK_EQ(coir_chan_len(c), 2);
    CHECK_EQ(coir_chan_recv(c, NULL), 0);
    CHECK_EQ(coir_chan_try_recv(c, NULL), 0);
    CHECK_EQ(coir_chan_try_recv(c, NULL), -EAGAIN);
    coir_chan_free(c);
}

TEST(a_buffer_whose_size_overflows_is_refused)
{
    CHECK(coir_chan_new(SIZE_MAX, 2) == NULL);
    CHECK(coir_chan_new(2, SIZE_MAX) == NULL);
    CHECK(coir_chan_new(8, SIZE_MAX / 8) == NULL);
    CHECK(coir_chan_new(1, PTRDIFF_MAX) == NULL);
    CHECK(coir_chan_new((size_t)1 << 33, (size_t)1 << 33) == NULL);
}

TASK_TEST(signals_may_have_any_capacity)
{
    coir_chan *c = coir_chan_new(0, SIZE_MAX);
    CHECK(c != NULL);
    CHECK_EQ(coir_chan_cap(c) == SIZE_MAX, 1);
    CHECK_EQ(coir_chan_send(c, NULL), 0);
    CHECK_EQ(coir_chan_recv(c, NULL), 0);
    coir_chan_free(c);
}

/* -- typed -------------------------------------------------------------------------------------------------- */

typedef struct point {
    double x;
    char tag[3];
} point;

COIR_CHAN_TYPE(points, point)

TASK_TEST(typed_wrappers_do_what_the_functions_do)
{
    points *c = points_new(3);
    const point sent[3] = {{1.5, "a"}, {2.5, "b"}, {3.5, "c"}};
    point got[3];
    CHECK_EQ(points_cap(c), 3);
    CHECK_EQ(points_send(c, sent[0]), 0);
    CHECK_EQ(points_try_send(c, sent[1]), 0);
    CHECK_EQ(points_send_n(c, &sent[2], 1), 1);
    CHECK_EQ(points_len(c), 3);
    CHECK_EQ(points_try_send(c, sent[0]), -EAGAIN);
    CHECK_EQ(points_recv(c, &got[0]), 0);
    CHECK_EQ(points_try_recv(c, &got[1]), 0);
    CHECK_EQ(points_recv_n(c, &got[2], 1), 1);
    for (int i = 0; i < 3; i++) {
        CHECK(got[i].x >= sent[i].x && got[i].x <= sent[i].x);
        CHECK_STR(got[i].tag, sent[i].tag);
    }
    points_close(c);
    CHECK_EQ(points_recv(c, &got[0]), -EPIPE);
    CHECK_EQ(points_try_recv(c, &got[0]), -EPIPE);
    points_free(c);
}

/* -- memory ------------------------------------------------------------------------------------------------- */

static int memory_left; /* allocations until one fails; -1: never */
static int memory_live;

static void *scarce_allocate(void *arg, size_t size)
{
    (void)arg;
    if (memory_left == 0)
        return NULL;
    memory_left -= memory_left > 0;
    memory_live++;
    return malloc(size);
}

static void scarce_release(void *arg, void *memory)
{
    (void)arg;
    memory_live -= memory != NULL;
    free(memory);
}

static int make_without_memory(void *arg)
{
    int live = memory_live;
    (void)arg;
    for (int n = 0;; n++) {
        memory_left = n;
        coir_chan *c = coir_chan_new(16, 10);
        memory_left = -1;
        if (c) {
            CHECK_GE(n, 1);
            coir_chan_free(c);
            CHECK_EQ(memory_live, live);
            return 0;
        }
        CHECK_EQ(memory_live, live);
    }
}

TEST(a_channel_that_gets_no_memory_is_null_and_leaves_none)
{
    coir_allocator scarce = {scarce_allocate, scarce_release, NULL};
    coir_options o = {.allocator = &scarce};
    memory_left = -1;
    CHECK_EQ(coir_run(&o, make_without_memory, NULL), 0);
    CHECK_EQ(memory_live, 0);
}

/* -- threads ------------------------------------------------------------------------------------------------ */

#define CROWD 500

static int send_crowd(void *arg)
{
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(coir_chan_send(arg, &i), 0);
    return 0;
}

static int recv_crowd(void *arg)
{
    for (int i = 0, got; i < CROWD; i++) {
        CHECK_EQ(coir_chan_recv(arg, &got), 0);
        CHECK_EQ(got, i);
    }
    return 0;
}

TASK_TEST(a_thread_sends_to_a_task)
{
    for (size_t capacity = 0; capacity < 4; capacity += 3) {
        coir_chan *c = new_chan(capacity);
        test_thread t;
        thread_start(&t, send_crowd, c);
        recv_crowd(c);
        CHECK_EQ(thread_finish(&t), 0);
        coir_chan_free(c);
    }
}

TASK_TEST(a_task_sends_to_a_thread)
{
    for (size_t capacity = 0; capacity < 4; capacity += 3) {
        coir_chan *c = new_chan(capacity);
        test_thread t;
        thread_start(&t, recv_crowd, c);
        send_crowd(c);
        CHECK_EQ(thread_finish(&t), 0);
        coir_chan_free(c);
    }
}

TEST(threads_need_no_runtime)
{
    coir_chan *c = new_chan(0);
    test_thread t;
    thread_start(&t, recv_crowd, c);
    send_crowd(c);
    CHECK_EQ(thread_finish(&t), 0);
    coir_chan_free(c);
}

static int recv_until_closed(void *arg)
{
    int got = 5, rc = coir_chan_recv(arg, &got);
    CHECK_EQ(got, 5);
    return rc;
}

TASK_TEST(close_wakes_a_waiting_thread)
{
    coir_chan *c = new_chan(0);
    test_thread t;
    thread_start(&t, recv_until_closed, c);
    thread_await_parked(&t);
    coir_chan_close(c);
    CHECK_EQ(thread_finish(&t), -EPIPE);
    coir_chan_free(c);
}

static int run_recv_crowd(void *arg) { return coir_run(NULL, recv_crowd, arg); }

TASK_TEST(tasks_of_two_runtimes_meet)
{
    coir_chan *c = new_chan(0);
    test_thread t;
    thread_start(&t, run_recv_crowd, c);
    send_crowd(c);
    CHECK_EQ(thread_finish(&t), 0);
    coir_chan_free(c);
}

/* -- crowds ------------------------------------------------------------------------------------------------- */

#define SENDERS 5
#define RECEIVERS 3

typedef struct crowd {
    coir_chan *c;
    _Atomic int next;
    _Atomic int left;
    int total;
    _Atomic unsigned char *seen;
} crowd;

static int crowd_send(void *arg)
{
    crowd *k = arg;
    for (int i; (i = atomic_fetch_add(&k->next, 1)) < k->total;)
        CHECK_EQ(coir_chan_send(k->c, &i), 0);
    if (atomic_fetch_sub(&k->left, 1) == 1)
        coir_chan_close(k->c);
    return 0;
}

static int crowd_recv(void *arg)
{
    crowd *k = arg;
    int got, rc;
    while ((rc = coir_chan_recv(k->c, &got)) == 0)
        CHECK_EQ(atomic_fetch_add(&k->seen[got], 1), 0);
    CHECK_EQ(rc, -EPIPE);
    return 0;
}

static void check_crowd(size_t capacity, bool with_threads)
{
    crowd k = {.c = new_chan(capacity), .left = SENDERS, .total = rounds_of(20000)};
    test_thread sender, receiver;
    coir_group g;
    k.seen = calloc((size_t)k.total, sizeof *k.seen);
    coir_group_begin(&g, 0);
    for (int i = with_threads; i < SENDERS; i++)
        CHECK_EQ(coir_spawn(&g, crowd_send, &k), 0);
    for (int i = with_threads; i < RECEIVERS; i++)
        CHECK_EQ(coir_spawn(&g, crowd_recv, &k), 0);
    if (with_threads) {
        thread_start(&sender, crowd_send, &k);
        thread_start(&receiver, crowd_recv, &k);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    if (with_threads) {
        CHECK_EQ(thread_finish(&sender), 0);
        CHECK_EQ(thread_finish(&receiver), 0);
    }
    for (int i = 0; i < k.total; i++)
        CHECK_EQ(k.seen[i], 1);
    free((void *)k.seen);
    coir_chan_free(k.c);
}

TASK_TEST(every_element_of_a_crowd_arrives_exactly_once)
{
    for (size_t capacity = 0; capacity < 20; capacity += 6)
        check_crowd(capacity, false);
}

TASK_TEST(every_element_of_a_crowd_with_threads_arrives_exactly_once)
{
    check_crowd(0, true);
    check_crowd(4, true);
}

TEST_MAIN("chan_more")
