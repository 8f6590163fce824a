/* SPDX-License-Identifier: MIT */
/*
 * parked.c - benches/parked.c with threads, which wait on a condition.
 */

#include "threads.h"

static struct {
    uint64_t tasks, workers;
    pthread_mutex_t mutex;
    pthread_cond_t opened, full;
    bool open;
    uint64_t arrived, left;
    pthread_t *threads;
    int64_t park_ns, wake_ns;
    bench_memory grown;
} p = {.tasks = 1000, .workers = 1, .mutex = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER,
       .full = PTHREAD_COND_INITIALIZER};

static void *wait_inside(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&p.mutex);
    if (++p.arrived == p.tasks)
        pthread_cond_signal(&p.full);
    while (!p.open)
        pthread_cond_wait(&p.opened, &p.mutex);
    p.left++;
    pthread_mutex_unlock(&p.mutex);
    return NULL;
}

static void round_of(void)
{
    p.open = false;
    p.arrived = p.left = 0;
    bench_memory before = bench_memory_now();
    int64_t start = bench_now();
    for (uint64_t i = 0; i < p.tasks; i++)
        threads_start(&p.threads[i], wait_inside, NULL);
    pthread_mutex_lock(&p.mutex);
    while (p.arrived < p.tasks)
        pthread_cond_wait(&p.full, &p.mutex);
    p.park_ns = bench_now() - start;
    bench_memory after = bench_memory_now();
    p.grown.resident = after.resident - before.resident;
    p.grown.tables = after.tables - before.tables;
    start = bench_now();
    p.open = true;
    pthread_cond_broadcast(&p.opened);
    pthread_mutex_unlock(&p.mutex);
    for (uint64_t i = 0; i < p.tasks; i++)
        pthread_join(p.threads[i], NULL);
    p.wake_ns = bench_now() - start;
}

static void report(const char *what, const char *unit, double all)
{
    char scenario[64];
    snprintf(scenario, sizeof scenario, "%s, %" PRIu64 " tasks", what, p.tasks);
    printf("%s: %.0f %s\n", scenario, all / (double)p.tasks, unit);
    bench_result(scenario, "threads", p.workers, unit, all / (double)p.tasks, p.left);
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'w', .help = "cores; 0: all", .number = &p.workers, .max = 1024},
        {.letter = 'n', .help = "threads", .number = &p.tasks, .min = 1, .max = 10000000},
    };
    bench_parse(argc, argv, "many waiting threads (their memory in the kernel is not counted)", options, 2);
    threads_begin(&p.workers);
    threads_want(p.tasks);
    p.threads = calloc(p.tasks, sizeof *p.threads);
    if (!p.threads)
        return 1;
    round_of();
    report("parked cold", "ns per task", (double)p.park_ns);
    report("wake cold", "ns per task", (double)p.wake_ns);
    report("parked memory", "bytes per task", (double)(p.grown.resident + p.grown.tables));
    round_of();
    report("parked warm", "ns per task", (double)p.park_ns);
    report("wake warm", "ns per task", (double)p.wake_ns);
    return p.left == p.tasks ? 0 : 1;
}
