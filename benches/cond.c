/* SPDX-License-Identifier: MIT */
/*
 * cond.c - two tasks take turns under one mutex and one condition.
 *
 * The number of turns taken says whose turn it is: even for one player, odd for the other. Who
 * isn't on waits for the condition; who has taken its turn unlocks, and signals. A round is a turn
 * of each. The time is from before the first spawn until both have ended.
 */

#include "measure.h"

#include <coir.h>

typedef struct table {
    uint64_t rounds, workers;
    coir_mutex mutex;
    coir_cond changed;
    uint64_t turns; /* taken so far; guarded by the mutex */
    int64_t elapsed;
} table;

typedef struct player {
    table *t;
    uint64_t number;
} player;

static int take_turn(table *t, uint64_t number)
{
    int rc = coir_mutex_lock(&t->mutex);
    if (rc < 0)
        return rc;
    while (rc == 0 && t->turns % 2 != number)
        rc = coir_cond_wait(&t->changed, &t->mutex);
    if (rc == 0)
        t->turns++;
    coir_mutex_unlock(&t->mutex);
    coir_cond_signal(&t->changed);
    return rc;
}

static int play(void *arg)
{
    player *p = arg;
    int rc = 0;
    for (uint64_t i = 0; i < p->t->rounds && rc == 0; i++)
        rc = take_turn(p->t, p->number);
    return rc;
}

static int first(void *arg)
{
    table *t = arg;
    player players[2] = {{t, 0}, {t, 1}};
    coir_group g;
    int rc = 0;
    int64_t start = coir_now();
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = coir_spawn(&g, play, &players[i]);
    if (rc < 0)
        coir_group_cancel(&g, "could not spawn both players");
    int ended = coir_group_end(&g);
    t->elapsed = coir_now() - start;
    return rc < 0 ? rc : ended;
}

int main(int argc, char **argv)
{
    table t = {
        .rounds = 1000000, .workers = 1, .mutex = COIR_MUTEX_INIT, .changed = COIR_COND_INIT};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &t.workers, .max = 1024},
        {.letter = 'n', .help = "rounds", .number = &t.rounds, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "two tasks, one condition", options, sizeof options / sizeof *options);
    if (t.workers == 0)
        t.workers = bench_cores();

    coir_options opt = COIR_OPTIONS_INIT;
    opt.workers = (unsigned)t.workers;
    int rc = coir_run(&opt, first, &t);
    if (rc == 0 && t.turns != 2 * t.rounds)
        rc = -EPROTO;
    if (rc < 0) {
        fprintf(stderr, "cond: %s\n", coir_strerror(rc));
        return 1;
    }
    double ns = (double)t.elapsed / (double)t.rounds;
    printf("%" PRIu64 " rounds: %.1f ms, %.1f ns each\n", t.rounds, (double)t.elapsed / 1e6, ns);
    bench_result("cond", "coir", t.workers, "ns per round", ns, t.turns);
    return 0;
}
