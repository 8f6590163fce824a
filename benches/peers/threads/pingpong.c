/* SPDX-License-Identifier: MIT */
/*
 * pingpong.c - benches/pingpong.c with threads, and channels of a mutex and conditions.
 */

#include "threads.h"

typedef struct pair {
    threads_chan there, back;
    uint64_t rounds, sum;
    pthread_t threads[2];
} pair;

static void *ping(void *arg)
{
    pair *p = arg;
    uint64_t sum = 0, reply = 0;
    for (uint64_t i = 0; i < p->rounds; i++) {
        threads_send(&p->there, i);
        threads_recv(&p->back, &reply);
        sum += reply;
    }
    p->sum = sum;
    return NULL;
}

static void *pong(void *arg)
{
    pair *p = arg;
    uint64_t ball = 0;
    for (uint64_t i = 0; i < p->rounds; i++) {
        threads_recv(&p->there, &ball);
        threads_send(&p->back, ball + 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, rounds = 100000, pairs = 1, capacity = 0;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "rounds of each pair", .number = &rounds, .min = 1, .max = 1000000000},
        {.letter = 'p', .help = "pairs of threads", .number = &pairs, .min = 1, .max = 100000},
        {.letter = 'b', .help = "capacity of the channels", .number = &capacity, .max = 1000000},
    };
    bench_parse(argc, argv, "two threads, two channels", options, 4);
    threads_begin(&workers);
    threads_want(2 * pairs);
    pair *all = calloc(pairs, sizeof *all);
    if (!all)
        return 1;
    for (uint64_t i = 0; i < pairs; i++) {
        threads_chan_init(&all[i].there, capacity);
        threads_chan_init(&all[i].back, capacity);
        all[i].rounds = rounds;
    }
    int64_t start = bench_now();
    for (uint64_t i = 0; i < pairs; i++) {
        threads_start(&all[i].threads[0], ping, &all[i]);
        threads_start(&all[i].threads[1], pong, &all[i]);
    }
    for (uint64_t i = 0; i < 2 * pairs; i++)
        pthread_join(all[i / 2].threads[i % 2], NULL);
    double ns = (double)(bench_now() - start) / (double)(rounds * pairs);

    uint64_t sum = 0;
    for (uint64_t i = 0; i < pairs; i++)
        sum += all[i].sum;
    if (sum != pairs * (rounds * (rounds + 1) / 2)) {
        fprintf(stderr, "pingpong: the replies add up to %" PRIu64 "\n", sum);
        return 1;
    }
    printf("Time per round: %.1f ns\n", ns);
    char scenario[80] = "pingpong", part[32];
    if (capacity > 0) {
        snprintf(part, sizeof part, ", capacity %" PRIu64, capacity);
        strcat(scenario, part);
    }
    if (pairs > 1) {
        snprintf(part, sizeof part, ", %" PRIu64 " pairs", pairs);
        strcat(scenario, part);
    }
    bench_result(scenario, "threads", workers, "ns per round", ns, sum);
    return 0;
}
