/* SPDX-License-Identifier: MIT */
/*
 * echo_client.c - load for an echo server: connections that each send a message, wait for its
 * echo, compare, and repeat.
 *
 * All connections are made first; then all start at once and go on for the given time. A latency
 * is the time from before the send of a message until its echo is complete, as the client's
 * program sees it: it includes the client's own queue. Each message carries the number of its
 * connection and its own, so that a byte that is lost, doubled, or sent to somebody else is
 * noticed. Exits with 1 if anything was wrong, or if the server was silent for 10 seconds.
 */

#include "measure.h"

#include <coir.h>
#include <coir/net.h>
#include <stdatomic.h>
#include <unistd.h>

#include "histogram.h"

#define PATIENCE COIR_S(10) /* for connecting, and for the last echo */

typedef struct load load;

typedef struct connection {
    load *l;
    uint64_t number;
    unsigned char *sent, *echoed; /* l->size bytes each */
} connection;

struct load {
    const char *address;
    uint64_t connections, size, seconds, workers;
    bool progress;
    connection *all;
    unsigned char *memory; /* of all messages */
    coir_chan *ready;      /* one int from each connection: 0 or an error */
    coir_event go;
    int64_t start, end;
    _Atomic uint64_t lost, corrupt;
    uint64_t refused;
    histogram latencies;
};

/* One message and its echo. 0, 1 if the echo is another than what was sent, or an error. */
static int exchange(connection *c, int fd, uint64_t serial)
{
    size_t size = c->l->size;
    uint64_t head[2] = {c->number, serial};
    memcpy(c->sent, head, size < sizeof head ? size : sizeof head);
    int rc = coir_write_all(fd, c->sent, size, NULL);
    if (rc == 0)
        rc = coir_read_full(fd, c->echoed, size, NULL);
    if (rc < 0)
        return rc;
    return memcmp(c->sent, c->echoed, size) != 0;
}

static int talk(connection *c, int fd)
{
    load *l = c->l;
    int64_t before = coir_now();
    for (uint64_t serial = 0; before < l->end; serial++) {
        int rc = exchange(c, fd, serial);
        if (rc != 0) {
            atomic_fetch_add(rc < 0 ? &l->lost : &l->corrupt, 1);
            return rc < 0 ? rc : -EBADMSG;
        }
        int64_t after = coir_now();
        histogram_add(&l->latencies, after - before);
        before = after;
    }
    return 0;
}

static int connection_main(void *arg)
{
    connection *c = arg;
    int fd = coir_tcp_connect(c->l->address);
    int rc = fd < 0 ? fd : 0;
    int told = coir_chan_send(c->l->ready, &rc);
    if (fd < 0)
        return fd;
    rc = told < 0 ? told : coir_event_wait(&c->l->go);
    if (rc == 0)
        rc = talk(c, fd);
    coir_close(fd);
    return rc;
}

/* Once a second, how it goes: one line that changes on a terminal, else a line each. */
static int show_progress(void *arg)
{
    load *l = arg;
    bool terminal = isatty(2);
    uint64_t before = 0;
    int rc = 0;
    for (int64_t second = 1; second <= (int64_t)l->seconds && rc == 0; second++) {
        rc = coir_sleep_until(l->start + COIR_S(second));
        uint64_t now = histogram_count(&l->latencies);
        fprintf(stderr,
                "%s  %2" PRId64 " s of %" PRIu64 ": %8" PRIu64 " messages/s, %" PRIu64 " lost%s",
                terminal ? "\r" : "", second, l->seconds, now - before, atomic_load(&l->lost),
                terminal ? "" : "\n");
        before = now;
    }
    if (terminal)
        fprintf(stderr, "\r%60s\r", "");
    return rc;
}

/* Waits until every connection has said how it went. */
static int count_refused(load *l)
{
    for (uint64_t i = 0; i < l->connections; i++) {
        int connected;
        int rc = coir_chan_recv(l->ready, &connected);
        if (rc < 0)
            return rc;
        if (connected < 0 && l->refused++ == 0)
            fprintf(stderr, "echo_client: %s: %s\n", l->address, coir_strerror(connected));
    }
    return 0;
}

/* Makes the connections, lets them talk, and waits for them. */
static int run_connections(load *l)
{
    coir_group g;
    int rc = 0;
    coir_group_begin(&g, COIR_GROUP_ISOLATE); // a lost connection does not end the others
    for (uint64_t i = 0; i < l->connections && rc == 0; i++)
        rc = coir_spawn(&g, connection_main, &l->all[i]);
    if (rc == 0)
        rc = count_refused(l);
    l->start = coir_now();
    l->end = l->start + COIR_S((int64_t)l->seconds);
    if (rc == 0 && l->progress)
        rc = coir_spawn(&g, show_progress, l);
    if (rc < 0)
        coir_group_cancel(&g, "could not make the connections");
    coir_event_set(&l->go);
    int ended = coir_group_end(&g);
    l->end = coir_now();
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    load *l = arg;
    l->ready = coir_chan_new(sizeof(int), 0);
    if (!l->ready)
        return -ENOMEM;
    coir_scope patience;
    coir_scope_begin(&patience, COIR_S((int64_t)l->seconds) + 2 * PATIENCE);
    int rc = coir_scope_end(&patience, run_connections(l));
    coir_chan_free(l->ready);
    return rc;
}

static void report_latency(load *l, double percent, const char *name)
{
    double us = (double)histogram_percentile(&l->latencies, percent) / 1e3;
    printf("  %-6s %10.1f us\n", name, us);
    char unit[32];
    snprintf(unit, sizeof unit, "us %s", name);
    bench_result("echo latency", "client", l->workers, unit, us, histogram_count(&l->latencies));
}

static void report(load *l)
{
    uint64_t messages = histogram_count(&l->latencies);
    double seconds = (double)(l->end - l->start) / 1e9, rate = (double)messages / seconds;
    printf("%" PRIu64 " connections, %" PRIu64 " bytes: %" PRIu64
           " messages in %.2f s, %.0f messages/s\n",
           l->connections - l->refused, l->size, messages, seconds, rate);
    bench_result("echo throughput", "client", l->workers, "messages/s", rate, messages);
    report_latency(l, 50, "p50");
    report_latency(l, 90, "p90");
    report_latency(l, 99, "p99");
    report_latency(l, 99.9, "p99.9");
    report_latency(l, 100, "max");
    printf("errors: %" PRIu64 " refused, %" PRIu64 " lost, %" PRIu64 " corrupt\n", l->refused,
           l->lost, l->corrupt);
}

/* Memory for all messages: their first 16 bytes tell them apart, the rest is a pattern. */
static int prepare(load *l)
{
    l->all = calloc(l->connections, sizeof *l->all);
    l->memory = malloc(l->connections * l->size * 2);
    if (!l->all || !l->memory)
        return -ENOMEM;
    for (uint64_t i = 0; i < l->connections * l->size * 2; i++)
        l->memory[i] = (unsigned char)(i * 31 >> 3);
    for (uint64_t i = 0; i < l->connections; i++) {
        unsigned char *sent = l->memory + i * l->size * 2;
        l->all[i] = (connection){l, i, sent, sent + l->size};
    }
    return 0;
}

int main(int argc, char **argv)
{
    static load l = {
        .address = "127.0.0.1:7", .connections = 1000, .size = 64, .seconds = 5, .workers = 1};
    bench_option options[] = {
        {.letter = 'a', .help = "address of the server, host:port", .text = &l.address},
        {.letter = 'c', .help = "connections", .number = &l.connections, .min = 1, .max = 1000000},
        {.letter = 's', .help = "bytes of a message", .number = &l.size, .min = 1, .max = 16384},
        {.letter = 'd', .help = "seconds", .number = &l.seconds, .min = 1, .max = 86400},
        {.letter = 'w', .help = "workers; 0: one per core", .number = &l.workers, .max = 1024},
        {.letter = 'v', .help = "show progress on the standard error", .flag = &l.progress},
    };
    bench_parse(argc, argv, "load for an echo server", options, sizeof options / sizeof *options);
    if (l.workers == 0)
        l.workers = bench_cores();
    bench_raise_descriptors();

    int rc = prepare(&l);
    if (rc == 0) {
        coir_options opt = COIR_OPTIONS_INIT;
        opt.workers = (unsigned)l.workers;
        rc = coir_run(&opt, first, &l);
        report(&l);
    }
    if (rc < 0)
        fprintf(stderr, "echo_client: %s\n", coir_strerror(rc));
    free(l.all);
    free(l.memory);
    return rc < 0 || l.refused || l.lost || l.corrupt || histogram_count(&l.latencies) == 0;
}
