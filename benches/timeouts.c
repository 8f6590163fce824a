/* SPDX-License-Identifier: MIT */
/*
 * timeouts.c - receives under a timeout of 10 s that is never reached.
 *
 *   ready   the element is in the channel's buffer already: what setting the timeout costs where it
 *           was not needed. The time includes putting the element there.
 *   soon    the receiver mostly waits for a sender that is about to send: the timer is set and
 *           taken back again. A rendezvous channel, and the sender does nothing but send.
 *
 * "coir" opens a scope around each receive by coir_with_timeout(), "coir select" gives a select the
 * case COIR_AFTER beside the channel. No timer ever fires, and the count of elements is checked.
 */

#include "measure.h"

#include <coir.h>

COIR_CHAN_TYPE(item_chan, uint64_t)

typedef struct work {
    uint64_t items, workers;
    item_chan *channel; /* of this form */
    uint64_t sum;       /* of the items received; the receiver's */
} work;

typedef struct receipt {
    item_chan *from;
    uint64_t item;
} receipt;

static int receive_item(void *arg)
{
    receipt *r = arg;
    return item_chan_recv(r->from, &r->item);
}

static int receive_in_scope(item_chan *from, uint64_t *ret_item)
{
    receipt r = {from, 0};
    int rc = coir_with_timeout(COIR_S(10), receive_item, &r);
    *ret_item = r.item;
    return rc;
}

static int receive_by_select(item_chan *from, uint64_t *ret_item)
{
    coir_case cases[] = {COIR_RECV(item_chan_chan(from), ret_item), COIR_AFTER(COIR_S(10))};
    int which = coir_select(cases, 2);
    return which < 0 ? which : which == 0 ? cases[0].result : -ETIMEDOUT;
}

typedef int receive_fn(item_chan *from, uint64_t *ret_item);

static int ready(work *w, receive_fn *receive)
{
    uint64_t item;
    for (uint64_t i = 0; i < w->items; i++) {
        int rc = item_chan_send(w->channel, i + 1);
        if (rc == 0)
            rc = receive(w->channel, &item);
        if (rc < 0)
            return rc;
        w->sum += item;
    }
    return 0;
}

static int send_all(void *arg)
{
    work *w = arg;
    int rc = 0;
    for (uint64_t i = 0; i < w->items && rc == 0; i++)
        rc = item_chan_send(w->channel, i + 1);
    return rc;
}

static int soon(work *w, receive_fn *receive)
{
    uint64_t item;
    coir_group g;
    coir_group_begin(&g, 0);
    int rc = coir_spawn(&g, send_all, w);
    for (uint64_t i = 0; i < w->items && rc == 0; i++) {
        rc = receive(w->channel, &item);
        if (rc == 0)
            w->sum += item;
    }
    if (rc < 0)
        coir_group_cancel(&g, "the receiver has failed");
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int measure(work *w, int form(work *, receive_fn *), receive_fn *receive, size_t capacity,
                   const char *scenario, const char *runtime)
{
    w->channel = item_chan_new(capacity);
    if (!w->channel)
        return -ENOMEM;
    w->sum = 0;
    int64_t start = coir_now();
    int rc = form(w, receive);
    double ns = (double)(coir_now() - start) / (double)w->items;
    item_chan_free(w->channel);
    if (rc < 0)
        return rc;
    if (w->sum != w->items * (w->items + 1) / 2)
        return -EPROTO;
    printf("%-16s %.1f ns per receive, %s\n", scenario, ns, runtime);
    bench_result(scenario, runtime, w->workers, "ns per receive", ns, w->sum);
    return 0;
}

/* The receiver, which is a task as the others are, and not the first. */
static int receiver(void *arg)
{
    work *w = arg;
    int rc = measure(w, ready, receive_in_scope, 1, "timeout, ready", "coir");
    if (rc == 0)
        rc = measure(w, ready, receive_by_select, 1, "timeout, ready", "coir select");
    if (rc == 0)
        rc = measure(w, soon, receive_in_scope, 0, "timeout, soon", "coir");
    if (rc == 0)
        rc = measure(w, soon, receive_by_select, 0, "timeout, soon", "coir select");
    return rc;
}

static int first(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    int rc = coir_spawn(&g, receiver, arg);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

int main(int argc, char **argv)
{
    work w = {.items = 1000000, .workers = 1};
    bench_option options[] = {
        {.letter = 'w', .help = "workers; 0: one per core", .number = &w.workers, .max = 1024},
        {.letter = 'n', .help = "receives", .number = &w.items, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "timeouts that are not reached", options,
                sizeof options / sizeof *options);
    if (w.workers == 0)
        w.workers = bench_cores();

    coir_options opt = COIR_OPTIONS_INIT;
    opt.workers = (unsigned)w.workers;
    int rc = coir_run(&opt, first, &w);
    if (rc < 0)
        fprintf(stderr, "timeouts: %s\n", coir_strerror(rc));
    return rc < 0;
}
