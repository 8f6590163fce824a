/* SPDX-License-Identifier: MIT */
/*
 * pingpong.c - benches/pingpong.c as far as libuv goes: two loops on two threads, which wake each
 * other with uv_async_send().
 *
 * libuv has no tasks and no channels; this is its way to hand something to another loop. The number
 * lies in a variable beside the handle; one is on its way at a time. -w 1 puts both threads on one
 * core.
 */

#include "../../measure.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

typedef struct player {
    uv_loop_t loop;
    uv_async_t ball;
    _Atomic uint64_t number; /* on its way to this player */
    struct player *other;
    uint64_t done, rounds, sum;
    pthread_t thread;
} player;

static player ping, pong;

static void throw_to(player *p, uint64_t number)
{
    atomic_store_explicit(&p->number, number, memory_order_release);
    uv_async_send(&p->ball);
}

static void on_ping(uv_async_t *ball) /* an answer came */
{
    ping.sum += atomic_load_explicit(&ping.number, memory_order_acquire);
    if (++ping.done == ping.rounds)
        uv_close((uv_handle_t *)ball, NULL);
    else
        throw_to(&pong, ping.done);
}

static void on_pong(uv_async_t *ball)
{
    uint64_t number = atomic_load_explicit(&pong.number, memory_order_acquire);
    if (++pong.done == pong.rounds)
        uv_close((uv_handle_t *)ball, NULL);
    throw_to(&ping, number + 1);
}

static void *run(void *arg)
{
    player *p = arg;
    uv_run(&p->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void pin(uint64_t workers)
{
    cpu_set_t all, one;
    if (workers != 1 || sched_getaffinity(0, sizeof all, &all) < 0)
        return;
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, rounds = 100000;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "rounds", .number = &rounds, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "two loops on two threads", options, 2);
    if (workers == 0)
        workers = bench_cores();
    pin(workers);
    ping.rounds = pong.rounds = rounds;
    uv_loop_init(&ping.loop);
    uv_loop_init(&pong.loop);
    uv_async_init(&ping.loop, &ping.ball, on_ping);
    uv_async_init(&pong.loop, &pong.ball, on_pong);

    int64_t start = bench_now();
    throw_to(&pong, 0);
    if (pthread_create(&ping.thread, NULL, run, &ping) || pthread_create(&pong.thread, NULL, run, &pong))
        return 1;
    pthread_join(ping.thread, NULL);
    pthread_join(pong.thread, NULL);
    double ns = (double)(bench_now() - start) / (double)rounds;
    if (ping.sum != rounds * (rounds + 1) / 2) {
        fprintf(stderr, "pingpong: the replies add up to %" PRIu64 "\n", ping.sum);
        return 1;
    }
    printf("Time per round: %.1f ns\n", ns);
    bench_result("pingpong", "libuv", workers, "ns per round", ns, ping.sum);
    bench_result("pingpong, capacity 1", "libuv", workers, "ns per round", ns, ping.sum);
    return 0;
}
