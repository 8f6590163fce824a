/* SPDX-License-Identifier: MIT */
/*
 * yield.c - two tasks that do nothing but give way to each other: the price of a switch through
 * the scheduler.
 *
 * The time is that of both loops over the number of yields. Before it is taken, the two show that
 * a yield does let the other one run: on one worker they must alternate. On several workers each
 * may be alone on its own, where a yield switches to nobody; so the figure that means something
 * is that of one worker.
 */

#include "measure.h"

#include <coir.h>

enum { PROOF = 1000 };

typedef struct rally {
    uint64_t yields; /* of each task */
    uint64_t workers;
    int last;       /* who ran last, during the proof; only used on one worker */
    uint64_t turns; /* times that it was the other one */
    int64_t elapsed;
    uint64_t counts[2]; /* what each task has done */
} rally;

typedef struct player {
    rally *r;
    int number;
} player;

static int alternate(void *arg)
{
    player *p = arg;
    for (int i = 0; i < PROOF; i++) {
        p->r->turns += p->r->last != p->number;
        p->r->last = p->number;
        coir_yield();
    }
    return 0;
}

static int give_way(void *arg)
{
    player *p = arg;
    uint64_t i;
    for (i = 0; i < p->r->yields; i++)
        coir_yield();
    p->r->counts[p->number] = i;
    return 0;
}

/* Runs `fn` in two tasks. */
static int both(rally *r, coir_fn *fn)
{
    player players[2] = {{r, 0}, {r, 1}};
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = coir_spawn(&g, fn, &players[i]);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    rally *r = arg;
    if (r->workers == 1) {
        int rc = both(r, alternate);
        if (rc < 0)
            return rc;
        if (r->turns < 2 * PROOF - 2) {
            fprintf(stderr, "yield: the other task ran after %" PRIu64 " of %d yields only\n",
                    r->turns, 2 * PROOF);
            return -EPROTO;
        }
    }
    int64_t start = coir_now();
    int rc = both(r, give_way);
    r->elapsed = coir_now() - start;
    return rc;
}

int main(int argc, char **argv)
{
    rally r = {.yields = 5000000, .workers = 1, .last = -1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &r.workers, .max = 1024},
        {.letter = 'n',
         .help = "yields of each task",
         .number = &r.yields,
         .min = 1,
         .max = 1000000000},
    };
    bench_parse(argc, argv, "two tasks that yield", options, sizeof options / sizeof *options);
    if (r.workers == 0)
        r.workers = bench_cores();

    coir_options opt = COIR_OPTIONS_INIT;
    opt.workers = (unsigned)r.workers;
    int rc = coir_run(&opt, first, &r);
    uint64_t count = r.counts[0] + r.counts[1];
    if (rc == 0 && count != 2 * r.yields)
        rc = -EPROTO;
    if (rc < 0) {
        fprintf(stderr, "yield: %s\n", coir_strerror(rc));
        return 1;
    }
    double ns = (double)r.elapsed / (double)count;
    printf("%" PRIu64 " yields: %.1f ms, %.2f ns each\n", count, (double)r.elapsed / 1e6, ns);
    bench_result("yield", "coir", r.workers, "ns per yield", ns, count);
    return 0;
}
