/* SPDX-License-Identifier: MIT */
/*
 * pingpong.c - the floor of benches/pingpong.c: contexts that leave a number in a plain struct and
 * switch to the next.
 *
 * All pings are in a ring before all pongs, so that every switch comes after a number was left for
 * somebody; with one pair it goes from ping to pong and back. Here a rendezvous and a buffer of one
 * are the same, so the figure stands beside both.
 */

#include "../measure.h"

#include "switch.h"

typedef struct match match;

typedef struct pair {
    match *m;
    uint64_t there, back;
    uint64_t sum;
} pair;

struct match {
    uint64_t rounds, running;
    floor_context home;
};

static void end(floor_context *self, match *m)
{
    floor_leave(self, --m->running ? self->next : &m->home);
}

static void ping(floor_context *self)
{
    pair *p = self->arg;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < p->m->rounds; i++) {
        p->there = i;
        floor_give_way(self);
        sum += p->back;
    }
    p->sum = sum;
    end(self, p->m);
}

static void pong(floor_context *self)
{
    pair *p = self->arg;
    for (uint64_t i = 0; i < p->m->rounds; i++) {
        p->back = p->there + 1;
        floor_give_way(self);
    }
    end(self, p->m);
}

int main(int argc, char **argv)
{
    uint64_t pairs = 1;
    match m = {.rounds = 1000000};
    bench_option options[] = {
        {.letter = 'n', .help = "rounds of each pair", .number = &m.rounds, .min = 1, .max = 1000000000},
        {.letter = 'p', .help = "pairs", .number = &pairs, .min = 1, .max = 100000},
    };
    bench_parse(argc, argv, "two contexts and two numbers, by hand", options, 2);

    pair *all = calloc(pairs, sizeof *all);
    floor_context *players = calloc(2 * pairs, sizeof *players);
    char *stacks = floor_stacks(2 * pairs);
    if (!all || !players)
        return 1;
    int64_t start = bench_now();
    for (uint64_t i = 0; i < 2 * pairs; i++) {
        all[i % pairs].m = &m;
        floor_make(&players[i], stacks, i, i < pairs ? ping : pong, &all[i % pairs]);
        players[i].next = &players[(i + 1) % (2 * pairs)];
    }
    m.running = 2 * pairs;
    floor_switch(&m.home, &players[0]);
    double ns = (double)(bench_now() - start) / (double)(m.rounds * pairs);

    uint64_t sum = 0;
    for (uint64_t i = 0; i < pairs; i++)
        sum += all[i].sum;
    if (sum != pairs * (m.rounds * (m.rounds + 1) / 2)) {
        fprintf(stderr, "pingpong: the replies add up to %" PRIu64 "\n", sum);
        return 1;
    }
    printf("Time per round: %.1f ns\n", ns);
    for (int buffered = 0; buffered < 2; buffered++) {
        char scenario[64];
        int used = snprintf(scenario, sizeof scenario, "pingpong%s", buffered ? ", capacity 1" : "");
        if (pairs > 1)
            snprintf(scenario + used, sizeof scenario - (size_t)used, ", %" PRIu64 " pairs", pairs);
        bench_result(scenario, "floor", 1, "ns per round", ns, sum);
    }
    return 0;
}
