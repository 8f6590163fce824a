/* SPDX-License-Identifier: MIT */
/*
 * parked.c - many tasks that all wait: what each costs in time and in memory.
 *
 * A first, cold round spawns them, lets each run until it waits for an event (with -c: for a
 * channel to be closed), reads what the process has grown by, wakes all and waits for their end.
 * A second, warm round does the same again with the stacks that the first has left. Cold is where
 * the kernel hands out memory: compare with benches/floor/stacks.c, which does only that.
 *
 * Memory is the growth of VmRSS and VmPTE in /proc/self/status: resident pages and page tables,
 * of everything, not of the stacks alone.
 */

#include "measure.h"

#include <coir.h>
#include <stdatomic.h>

typedef struct park {
    uint64_t tasks, workers;
    bool use_channel;
    coir_event open;
    coir_chan *gate;
    _Atomic uint64_t arrived;
    int64_t spawn_ns, park_ns, wake_ns;
    bench_memory grown;
} park;

static int wait_inside(void *arg)
{
    park *p = arg;
    atomic_fetch_add_explicit(&p->arrived, 1, memory_order_relaxed);
    int rc = p->use_channel ? coir_chan_recv(p->gate, NULL) : coir_event_wait(&p->open);
    if (p->use_channel && rc == -EPIPE) // the gate was closed: that is the wake-up
        rc = 0;
    return rc;
}

/* Spawns all, and lets them run until the last has arrived. */
static int fill(park *p, coir_group *g)
{
    int64_t start = coir_now();
    bench_memory before = bench_memory_now();
    for (uint64_t i = 0; i < p->tasks; i++) {
        int rc = coir_spawn(g, wait_inside, p);
        if (rc < 0) {
            coir_group_cancel(g, "could not spawn every task");
            return rc;
        }
    }
    p->spawn_ns = coir_now() - start;
    while (atomic_load_explicit(&p->arrived, memory_order_relaxed) < p->tasks)
        coir_yield();
    p->park_ns = coir_now() - start;
    bench_memory after = bench_memory_now();
    p->grown.resident = after.resident - before.resident;
    p->grown.tables = after.tables - before.tables;
    return 0;
}

static int round_of(park *p)
{
    coir_group g;
    p->gate = coir_chan_new(0, 0);
    if (!p->gate)
        return -ENOMEM;
    coir_event_reset(&p->open);
    p->arrived = 0;
    coir_group_begin(&g, 0);
    int rc = fill(p, &g);
    int64_t start = coir_now();
    coir_event_set(&p->open);
    coir_chan_close(p->gate);
    int ended = coir_group_end(&g);
    p->wake_ns = coir_now() - start;
    coir_chan_free(p->gate);
    return rc == 0 ? ended : rc; // 0: every task was woken by the opening
}

static void report(const park *p, const char *name)
{
    double n = (double)p->tasks;
    double park_ns = (double)p->park_ns / n, wake_ns = (double)p->wake_ns / n;
    printf(
        "%s: %" PRIu64
        " tasks, spawn and run until parked %.0f ns each (spawn alone %.0f), wake and end %.0f\n",
        name, p->tasks, park_ns, (double)p->spawn_ns / n, wake_ns);
    char scenario[64];
    snprintf(scenario, sizeof scenario, "parked %s, %" PRIu64 " tasks", name, p->tasks);
    bench_result(scenario, "coir", p->workers, "ns per task", park_ns, p->tasks);
    snprintf(scenario, sizeof scenario, "wake %s, %" PRIu64 " tasks", name, p->tasks);
    bench_result(scenario, "coir", p->workers, "ns per task", wake_ns, p->arrived);
}

static void report_memory(const park *p)
{
    double n = (double)p->tasks;
    double resident = (double)p->grown.resident / n, tables = (double)p->grown.tables / n;
    printf("memory: %.0f bytes each: %.0f resident, %.0f of page tables\n", resident + tables,
           resident, tables);
    char scenario[64];
    snprintf(scenario, sizeof scenario, "parked memory, %" PRIu64 " tasks", p->tasks);
    bench_result(scenario, "coir", p->workers, "bytes per task", resident + tables, p->tasks);
}

static int first(void *arg)
{
    park *p = arg;
    int rc = round_of(p);
    if (rc < 0)
        return rc;
    report(p, "cold");
    report_memory(p);
    rc = round_of(p);
    if (rc == 0)
        report(p, "warm");
    return rc;
}

int main(int argc, char **argv)
{
    park p = {.tasks = 100000, .workers = 1, .open = COIR_EVENT_INIT};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &p.workers, .max = 1024},
        {.letter = 'n', .help = "tasks", .number = &p.tasks, .min = 1, .max = 10000000},
        {.letter = 'c', .help = "wait on a channel instead of an event", .flag = &p.use_channel},
    };
    bench_parse(argc, argv, "many waiting tasks", options, sizeof options / sizeof *options);
    if (p.workers == 0)
        p.workers = bench_cores();

    coir_options opt = COIR_OPTIONS_INIT;
    opt.workers = (unsigned)p.workers;
    int rc = coir_run(&opt, first, &p);
    if (rc < 0)
        fprintf(stderr, "parked: %s\n", coir_strerror(rc));
    return rc < 0;
}
