/* SPDX-License-Identifier: MIT */
/*
 * cond.c - benches/cond.c with two threads, pthread_mutex_t and pthread_cond_t.
 */

#include "threads.h"

typedef struct table {
    uint64_t rounds;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t turns;
} table;

static table t = {.rounds = 100000, .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *play(void *arg)
{
    uint64_t number = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 0; i < t.rounds; i++) {
        pthread_mutex_lock(&t.mutex);
        while (t.turns % 2 != number)
            pthread_cond_wait(&t.changed, &t.mutex);
        t.turns++;
        pthread_mutex_unlock(&t.mutex);
        pthread_cond_signal(&t.changed);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t workers = 1;
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &workers, .max = 1024},
        {.letter = 'n', .help = "rounds", .number = &t.rounds, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "two threads, one condition", options, 2);
    threads_begin(&workers);
    pthread_t threads[2];
    int64_t start = bench_now();
    for (uintptr_t i = 0; i < 2; i++)
        threads_start(&threads[i], play, (void *)i);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    double ns = (double)(bench_now() - start) / (double)t.rounds;
    printf("%" PRIu64 " rounds: %.1f ns each\n", t.rounds, ns);
    bench_result("cond", "threads", workers, "ns per round", ns, t.turns);
    return t.turns == 2 * t.rounds ? 0 : 1;
}
