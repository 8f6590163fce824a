/* SPDX-License-Identifier: MIT */
/*
 * pingpong.c - two tasks and a ball: the price of a message between tasks.
 *
 *   ping --- there ---> pong
 *   ping <--- back ---- pong
 *
 * Both channels are rendezvous channels, so a round is two sends and two receives, each of which
 * may have to wait. The time is taken by the task that spawns both, from before the first spawn
 * until both have ended. Pong returns each number plus one, and the sum of the replies is
 * checked. With -p, several pairs play at the same time, and the time per round is the whole time
 * over all rounds of all pairs. With -b the channels have a buffer, so that only receives have to
 * wait: the form to compare with runtimes that have no rendezvous channel.
 */

#include "measure.h"

#include <coir.h>

COIR_CHAN_TYPE(ball_chan, uint64_t)

typedef struct pair {
    ball_chan *there, *back;
    uint64_t rounds;
    uint64_t sum; /* of the replies; ping's until it ends */
} pair;

typedef struct match {
    pair *pairs;
    uint64_t pair_count;
    uint64_t rounds, capacity;
    int64_t elapsed;
} match;

static int ping(void *arg)
{
    pair *p = arg;
    uint64_t sum = 0, reply;
    for (uint64_t i = 0; i < p->rounds; i++) {
        int rc = ball_chan_send(p->there, i);
        if (rc == 0)
            rc = ball_chan_recv(p->back, &reply);
        if (rc < 0)
            return rc;
        sum += reply;
    }
    p->sum = sum;
    return 0;
}

static int pong(void *arg)
{
    pair *p = arg;
    uint64_t ball;
    for (uint64_t i = 0; i < p->rounds; i++) {
        int rc = ball_chan_recv(p->there, &ball);
        if (rc == 0)
            rc = ball_chan_send(p->back, ball + 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int play(match *m)
{
    coir_group g;
    int rc = 0;
    int64_t start = coir_now();
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < m->pair_count && rc == 0; i++) {
        rc = coir_spawn(&g, ping, &m->pairs[i]);
        if (rc == 0)
            rc = coir_spawn(&g, pong, &m->pairs[i]);
    }
    if (rc < 0)
        coir_group_cancel(&g, "could not spawn every player");
    int ended = coir_group_end(&g);
    m->elapsed = coir_now() - start;
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    match *m = arg;
    int rc = 0;
    for (uint64_t i = 0; i < m->pair_count; i++) {
        m->pairs[i] = (pair){ball_chan_new(m->capacity), ball_chan_new(m->capacity), m->rounds, 0};
        if (!m->pairs[i].there || !m->pairs[i].back)
            rc = -ENOMEM;
    }
    if (rc == 0)
        rc = play(m);
    for (uint64_t i = 0; i < m->pair_count; i++) {
        ball_chan_free(m->pairs[i].there);
        ball_chan_free(m->pairs[i].back);
    }
    return rc;
}

static void report(const match *m, uint64_t workers, uint64_t sum)
{
    double rounds = (double)(m->rounds * m->pair_count);
    double ns = (double)m->elapsed, per_round = ns / rounds;
    printf("Total rounds: %.0f\n", rounds);
    printf("Total time: %.2f ms\n", ns / 1e6);
    printf("Time per round: %.1f ns\n", per_round);
    printf("Messages/sec: %.0f\n", 2 * rounds * 1e9 / ns);
    printf("Rounds/sec: %.0f\n", rounds * 1e9 / ns);
    char scenario[64] = "pingpong", part[32];
    if (m->capacity > 0) {
        snprintf(part, sizeof part, ", capacity %" PRIu64, m->capacity);
        strcat(scenario, part);
    }
    if (m->pair_count > 1) {
        snprintf(part, sizeof part, ", %" PRIu64 " pairs", m->pair_count);
        strcat(scenario, part);
    }
    bench_result(scenario, "coir", workers, "ns per round", per_round, sum);
}

int main(int argc, char **argv)
{
    uint64_t workers = 1, rounds = 1000000, pairs = 1, capacity = 0;
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &workers, .max = 1024},
        {.letter = 'n',
         .help = "rounds of each pair",
         .number = &rounds,
         .min = 1,
         .max = 1000000000},
        {.letter = 'p', .help = "pairs of tasks", .number = &pairs, .min = 1, .max = 1000000},
        {.letter = 'b', .help = "capacity of the channels", .number = &capacity, .max = 1000000},
    };
    bench_parse(argc, argv, "two tasks, two channels", options, sizeof options / sizeof *options);
    if (workers == 0)
        workers = bench_cores();

    match m = {calloc(pairs, sizeof(pair)), pairs, rounds, capacity, 0};
    if (!m.pairs) {
        fprintf(stderr, "pingpong: out of memory\n");
        return 1;
    }
    coir_options opt = COIR_OPTIONS_INIT;
    opt.workers = (unsigned)workers;
    int rc = coir_run(&opt, first, &m);

    uint64_t sum = 0;
    for (uint64_t i = 0; i < pairs; i++)
        sum += m.pairs[i].sum;
    free(m.pairs);
    if (rc < 0) {
        fprintf(stderr, "pingpong: %s\n", coir_strerror(rc));
        return 1;
    }
    uint64_t wanted = pairs * (rounds * (rounds + 1) / 2);
    if (sum != wanted) {
        fprintf(stderr, "pingpong: the replies add up to %" PRIu64 ", not %" PRIu64 "\n", sum,
                wanted);
        return 1;
    }
    report(&m, workers, sum);
    return 0;
}
