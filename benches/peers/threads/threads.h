/* SPDX-License-Identifier: MIT */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

/*
 * threads.h - kernel threads in the place of tasks.
 *
 * -w N means the first N cores of those allowed: on one core the threads take turns, as tasks on one
 * worker do. Stacks are of 64 KiB, so that there can be many.
 */

#include "../../measure.h"

#include <errno.h>
#include <pthread.h>

enum { THREADS_STACK = 64 * 1024 };

static pthread_attr_t threads_attr;

/* What every program does after its options. */
static inline void threads_begin(uint64_t *workers)
{
    cpu_set_t all, some;
    uint64_t taken = 0;
    if (*workers == 0)
        *workers = bench_cores();
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&some);
    for (int i = 0; i < CPU_SETSIZE && taken < *workers; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &some);
            taken++;
        }
    sched_setaffinity(0, sizeof some, &some);
    pthread_attr_init(&threads_attr);
    pthread_attr_setstacksize(&threads_attr, THREADS_STACK);
}

static inline uint64_t threads_read(const char *path, uint64_t otherwise)
{
    FILE *f = fopen(path, "r");
    unsigned long long n;
    if (!f)
        return otherwise;
    if (fscanf(f, "%llu", &n) != 1)
        n = otherwise;
    fclose(f);
    return n;
}

/* How many threads the system allows, less a fourth, which is left for everybody else. */
static inline uint64_t threads_limit(void)
{
    uint64_t limit = threads_read("/proc/sys/kernel/pid_max", 32768);
    uint64_t other[] = {threads_read("/proc/sys/kernel/threads-max", limit),
                        threads_read("/proc/sys/vm/max_map_count", 65530) / 2, limit};
    struct rlimit r;
    if (getrlimit(RLIMIT_NPROC, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
        other[2] = r.rlim_cur;
    for (int i = 0; i < 3; i++)
        limit = other[i] < limit ? other[i] : limit;
    return limit / 4 * 3;
}

/* Ends the program where the system does not allow so many. */
static inline void threads_want(uint64_t n)
{
    if (n <= threads_limit())
        return;
    fprintf(stderr, "%" PRIu64 " threads: the system allows %" PRIu64 " (see pid_max, max_map_count, ulimit -u)\n", n,
            threads_limit());
    exit(BENCH_CANT);
}

static inline void threads_start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    int error = pthread_create(thread, &threads_attr, fn, arg);
    if (error) {
        fprintf(stderr, "pthread_create: %s\n", strerror(error));
        exit(error == EAGAIN ? BENCH_CANT : 1);
    }
}

/* -- channel ---------------------------------------------------------------------------------- */

/* The textbook's: a mutex, two conditions, a ring. With capacity 0 a send waits until its item is
 * taken. */
typedef struct threads_chan {
    pthread_mutex_t mutex;
    pthread_cond_t room, items, taken;
    uint64_t *ring;
    uint64_t capacity, size, head, count;
    uint64_t sent, received;
    bool closed;
} threads_chan;

static inline void threads_chan_init(threads_chan *c, uint64_t capacity)
{
    *c = (threads_chan){.capacity = capacity, .size = capacity ? capacity : 1};
    c->ring = calloc(c->size, sizeof *c->ring);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->room, NULL);
    pthread_cond_init(&c->items, NULL);
    pthread_cond_init(&c->taken, NULL);
    if (!c->ring)
        exit(1);
}

static inline void threads_chan_destroy(threads_chan *c)
{
    free(c->ring);
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->room);
    pthread_cond_destroy(&c->items);
    pthread_cond_destroy(&c->taken);
}

static inline void threads_send(threads_chan *c, uint64_t item)
{
    pthread_mutex_lock(&c->mutex);
    while (c->count == c->size)
        pthread_cond_wait(&c->room, &c->mutex);
    c->ring[(c->head + c->count++) % c->size] = item;
    uint64_t mine = ++c->sent;
    pthread_cond_signal(&c->items);
    while (c->capacity == 0 && c->received < mine) /* one item at a time: the next one is mine's successor */
        pthread_cond_wait(&c->taken, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

/* False when the channel is closed and drained, or at the deadline (of CLOCK_REALTIME), if there is one. */
static inline bool threads_recv_until(threads_chan *c, uint64_t *ret_item, const struct timespec *deadline)
{
    int error = 0;
    pthread_mutex_lock(&c->mutex);
    while (c->count == 0 && !c->closed && !error)
        error = deadline ? pthread_cond_timedwait(&c->items, &c->mutex, deadline)
                         : pthread_cond_wait(&c->items, &c->mutex);
    bool got = c->count > 0;
    if (got) {
        *ret_item = c->ring[c->head];
        c->head = (c->head + 1) % c->size;
        c->count--;
        c->received++;
        pthread_cond_signal(&c->room);
        if (c->capacity == 0)
            pthread_cond_signal(&c->taken); /* at most one sender waits for this: the ring has one place */
    }
    pthread_mutex_unlock(&c->mutex);
    return got;
}

/* False when the channel is closed and drained. */
static inline bool threads_recv(threads_chan *c, uint64_t *ret_item)
{
    return threads_recv_until(c, ret_item, NULL);
}

static inline void threads_close(threads_chan *c)
{
    pthread_mutex_lock(&c->mutex);
    c->closed = true;
    pthread_cond_broadcast(&c->items);
    pthread_mutex_unlock(&c->mutex);
}

#endif
