/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - the price of a task: spawn 10,000 that do next to nothing, and wait for their end.
 *
 * Two ways of waiting: (a) the end of their group, the ordinary one; (b) a handle and a join for
 * each. One repetition is one group from begin to end; the figure is the median of 200
 * repetitions, so it is that of warm stacks, as in a program that has been running for a while
 * (benches/parked.c has the cold ones). Each task adds one to a cell of its own; the cells are
 * added up at the end.
 */

#include "measure.h"

#include <coir.h>

typedef struct work {
    uint64_t tasks, repeats, workers;
    uint32_t *cells;
    coir_task *handles;
    double *samples; /* ns per task */
} work;

static int touch(void *arg)
{
    uint32_t *cell = arg;
    ++*cell;
    return 0;
}

static int spawn_and_end(work *w)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->tasks && rc == 0; i++)
        rc = coir_spawn(&g, touch, &w->cells[i]);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int spawn_and_join(work *w)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->tasks && rc == 0; i++)
        rc = coir_spawn_with(&g, NULL, touch, &w->cells[i], &w->handles[i]);
    for (uint64_t i = 0; i < w->tasks && rc == 0; i++)
        rc = coir_join(w->handles[i], NULL);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int measure(work *w, int way(work *), const char *scenario)
{
    memset(w->cells, 0, w->tasks * sizeof *w->cells);
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = coir_now();
        int rc = way(w);
        if (rc < 0)
            return rc;
        w->samples[i] = (double)(coir_now() - start) / (double)w->tasks;
    }
    uint64_t count = 0;
    for (uint64_t i = 0; i < w->tasks; i++)
        count += w->cells[i];
    if (count != w->tasks * w->repeats)
        return -EPROTO;
    bench_result_tasks(scenario, "coir", w->workers, w->tasks, w->samples, w->repeats, count);
    return 0;
}

static int first(void *arg)
{
    work *w = arg;
    int rc = measure(w, spawn_and_end, "spawn, group end");
    return rc < 0 ? rc : measure(w, spawn_and_join, "spawn, join each");
}

int main(int argc, char **argv)
{
    work w = {.tasks = 10000, .repeats = 200, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "tasks", .number = &w.tasks, .min = 1, .max = 10000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "tasks that end at once", options, sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.cells = calloc(w.tasks, sizeof *w.cells);
    w.handles = calloc(w.tasks, sizeof *w.handles);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.cells && w.handles && w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc < 0)
        fprintf(stderr, "spawn: %s\n", coir_strerror(rc));
    free(w.cells);
    free(w.handles);
    free(w.samples);
    return rc < 0;
}
