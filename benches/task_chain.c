/* SPDX-License-Identifier: MIT */
/*
 * task_chain.c - tasks in a row, in two forms.
 *
 *   spawn and wait   each task spawns the next and waits for its end; the last returns 1, and each
 *                    adds one to what comes back. All 10,000 are there at once, one inside the
 *                    group of the other.
 *   channels         10,000 tasks, each of which receives from its left and sends one more to its
 *                    right, over rendezvous channels. One value goes through all of it: a
 *                    hand-over after the other. The time includes spawning them and their end.
 *
 * The figure is the median of the repetitions, so that of warm stacks.
 */

#include "measure.h"

#include <coir.h>

COIR_CHAN_TYPE(link_chan, uint64_t)

typedef struct work {
    uint64_t tasks, repeats, workers;
    link_chan **channels; /* tasks + 1 of them */
    double *samples;      /* ns per task */
} work;

typedef struct link {
    uint64_t after; /* how many come after this one */
    uint64_t count; /* its result: it and those */
} link;

static int spawn_next(void *arg)
{
    link *l = arg;
    link next = {l->after - 1, 0};
    if (l->after > 0) {
        coir_group g;
        coir_group_begin(&g, 0);
        int rc = coir_spawn(&g, spawn_next, &next);
        int ended = coir_group_end(&g);
        if (rc < 0 || ended < 0)
            return rc < 0 ? rc : ended;
    }
    l->count = next.count + 1;
    return 0;
}

static int chain_by_spawn(work *w, uint64_t *ret_count)
{
    link begin = {w->tasks, 0}; // this task is not counted
    int rc = spawn_next(&begin);
    *ret_count = begin.count - 1;
    return rc;
}

static int pass_on(void *arg)
{
    link_chan **channels = arg;
    uint64_t value;
    int rc = link_chan_recv(channels[0], &value);
    return rc < 0 ? rc : link_chan_send(channels[1], value + 1);
}

static int chain_by_channels(work *w, uint64_t *ret_count)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->tasks && rc == 0; i++)
        rc = coir_spawn(&g, pass_on, &w->channels[i]);
    if (rc == 0)
        rc = link_chan_send(w->channels[0], 0);
    if (rc == 0)
        rc = link_chan_recv(w->channels[w->tasks], ret_count);
    if (rc < 0)
        coir_group_cancel(&g, "the chain is broken");
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int measure(work *w, int form(work *, uint64_t *), const char *scenario)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w->repeats; i++) {
        uint64_t count = 0;
        int64_t start = coir_now();
        int rc = form(w, &count);
        if (rc < 0)
            return rc;
        w->samples[i] = (double)(coir_now() - start) / (double)w->tasks;
        sum += count;
    }
    if (sum != w->tasks * w->repeats)
        return -EPROTO;
    bench_result_median(scenario, "coir", w->workers, "ns per task", w->samples, w->repeats, sum);
    return 0;
}

static int first(void *arg)
{
    work *w = arg;
    int rc = measure(w, chain_by_spawn, "task chain, spawn and wait");
    for (uint64_t i = 0; i <= w->tasks && rc == 0; i++) {
        w->channels[i] = link_chan_new(0);
        if (!w->channels[i])
            rc = -ENOMEM;
    }
    if (rc == 0)
        rc = measure(w, chain_by_channels, "task chain, channels");
    for (uint64_t i = 0; i <= w->tasks; i++)
        link_chan_free(w->channels[i]);
    return rc;
}

int main(int argc, char **argv)
{
    work w = {.tasks = 10000, .repeats = 30, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "tasks", .number = &w.tasks, .min = 1, .max = 1000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "tasks in a row", options, sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.channels = calloc(w.tasks + 1, sizeof *w.channels);
    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.channels && w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc < 0)
        fprintf(stderr, "task_chain: %s\n", coir_strerror(rc));
    free(w.channels);
    free(w.samples);
    return rc < 0;
}
