/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - four tasks and one mutex: the price of a critical section.
 *
 * Two forms. "mutex": each task takes the mutex 100,000 times and adds one to a counter. On one
 * thread nobody is ever kept waiting, for nothing inside the section gives way; on several the
 * tasks meet. "mutex, held over a yield": a tenth of the sections, each of which yields while it
 * holds the mutex, so that the others run into it on one thread too, and have to wait. One
 * repetition is all tasks from before the first spawn until all have ended; the figure is the
 * median of the repetitions.
 */

#include "measure.h"

#include <coir.h>

typedef struct work {
    uint64_t tasks, sections, repeats, workers;
    uint64_t now; /* sections of each task in this form */
    coir_mutex mutex;
    uint64_t counter; /* guarded by the mutex */
    double *samples;  /* ns per section */
} work;

static int count(void *arg)
{
    work *w = arg;
    uint64_t sections = w->now; /* not from the line of the lock each time */
    for (uint64_t i = 0; i < sections; i++) {
        int rc = coir_mutex_lock(&w->mutex);
        if (rc < 0)
            return rc;
        w->counter++;
        coir_mutex_unlock(&w->mutex);
    }
    return 0;
}

static int count_and_yield(void *arg)
{
    work *w = arg;
    uint64_t sections = w->now; /* not from the line of the lock each time */
    for (uint64_t i = 0; i < sections; i++) {
        int rc = coir_mutex_lock(&w->mutex);
        if (rc < 0)
            return rc;
        uint64_t before = w->counter;
        coir_yield();
        w->counter = before + 1; /* one too few, if somebody else was let in */
        coir_mutex_unlock(&w->mutex);
    }
    return 0;
}

static int together(work *w, coir_fn *fn)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (uint64_t i = 0; i < w->tasks && rc == 0; i++)
        rc = coir_spawn(&g, fn, w);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int measure(work *w, coir_fn *fn, const char *scenario, uint64_t sections)
{
    w->now = sections;
    w->counter = 0;
    for (uint64_t i = 0; i < w->repeats; i++) {
        int64_t start = coir_now();
        int rc = together(w, fn);
        if (rc < 0)
            return rc;
        w->samples[i] = (double)(coir_now() - start) / (double)(w->tasks * sections);
    }
    uint64_t wanted = w->repeats * w->tasks * sections;
    if (w->counter != wanted) {
        fprintf(stderr, "mutex: the counter is %" PRIu64 ", not %" PRIu64 "\n", w->counter, wanted);
        return -EPROTO;
    }
    bench_result_median(scenario, "coir", w->workers, "ns per section", w->samples, w->repeats,
                        w->counter);
    return 0;
}

static int first(void *arg)
{
    work *w = arg;
    int rc = measure(w, count, "mutex", w->sections);
    return rc < 0 ? rc
                  : measure(w, count_and_yield, "mutex, held over a yield", (w->sections + 9) / 10);
}

int main(int argc, char **argv)
{
    work w = {
        .tasks = 4, .sections = 100000, .repeats = 30, .workers = 1, .mutex = COIR_MUTEX_INIT};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 't', .help = "tasks", .number = &w.tasks, .min = 1, .max = 1000000},
        {.letter = 'n',
         .help = "sections of each task",
         .number = &w.sections,
         .min = 1,
         .max = 1000000000},
        {.letter = 'r', .help = "repetitions", .number = &w.repeats, .min = 1, .max = 1000000},
    };
    bench_parse(argc, argv, "tasks that share a mutex", options, sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    w.samples = calloc(w.repeats, sizeof *w.samples);
    int rc = -ENOMEM;
    if (w.samples) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)w.workers;
        rc = coir_run(&opt, first, &w);
    }
    if (rc < 0)
        fprintf(stderr, "mutex: %s\n", coir_strerror(rc));
    free(w.samples);
    return rc < 0;
}
