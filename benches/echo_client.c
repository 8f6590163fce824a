/* SPDX-License-Identifier: MIT */
/*
 * echo_client.c - load for any echo server, and what the server pays for it.
 *
 *   echo      connections that each send a message, wait for its echo, compare, and repeat
 *   rate      the same at a given rate: message k of a connection is due at a time that does not
 *             depend on the answers before it
 *   bulk      each connection has a task that writes and one that reads, as fast as they can
 *   connect   a connection for each message: connect, send, receive, close
 *   idle      connections that have exchanged one message and are silent
 *
 * All connections (but those of `connect`) are made first, exchange one message each, and then
 * start at once: each has its share of -n messages, or goes on for -d seconds. Each message carries
 * the number of its connection and its own, so that a byte that is lost, doubled, or sent to
 * somebody else is noticed. Exits with 1 if anything was wrong, or if the server was silent for 10
 * seconds.
 *
 * The rows are about the server, whose process is measured from here (process.h), so that all
 * servers are measured alike: its CPU time from the start to the last answer, its memory with all
 * connections open less that before the first. The client's own CPU time is printed beside it: it
 * says whether the load kept the server busy.
 *
 * A latency of `rate` is counted from when the message was due, if the answer before it came later
 * than that: a server that stops for a while is late for all messages of that time ("coordinated
 * omission"). Otherwise it is counted from the send, so that the client's own timer is not counted.
 * In the other modes a latency is the time from send to echo, the client's own queue included.
 */

#include "measure.h"

#include <coir.h>
#include <coir/net.h>
#include <coir/sync.h>
#include <stdatomic.h>
#include <unistd.h>

#include "histogram.h"
#include "process.h"

#define PATIENCE COIR_S(10) /* for connecting, and for the last echo */

enum {
    CONNECTING = 256, /* connections being made at a time */
    HEAD = 16         /* bytes of a message that are its own */
};

typedef struct load load;

typedef struct connection {
    load *l;
    uint64_t number, messages; /* messages: its share; UINT64_MAX: until the end of time */
    int fd;
    unsigned char *sent, *echoed; /* l->size bytes each */
} connection;

typedef struct mode {
    const char *name;
    int (*talk)(connection *c); /* NULL: nothing */
    bool reconnects;
} mode;

struct load {
    const char *address, *mode_name, *runtime;
    const mode *mode;
    uint64_t connections, size, seconds, messages, rate, workers;
    bool progress, busy;
    connection *all;
    unsigned char *memory; /* of all messages */
    coir_sem connecting;
    coir_chan *ready; /* one int from each connection: 0 or an error */
    coir_event go, leave;
    int64_t start, end;
    pid_t server;
    int64_t server_cpu, client_cpu, server_memory; /* first where they began, then what it was */
    _Atomic uint64_t lost, corrupt, served;
    uint64_t refused;
    histogram latencies;
};

/* -- messages --------------------------------------------------------------------------------- */

static void mark(connection *c, uint64_t serial)
{
    uint64_t head[2] = {c->number, serial};
    memcpy(c->sent, head, c->l->size < HEAD ? c->l->size : HEAD);
}

/* One message and its echo. 0, 1 if the echo is another than what was sent, or an error. */
static int exchange(connection *c, uint64_t serial)
{
    size_t size = c->l->size;
    mark(c, serial);
    int rc = coir_write_all(c->fd, c->sent, size, NULL);
    if (rc == 0)
        rc = coir_read_full(c->fd, c->echoed, size, NULL);
    if (rc < 0)
        return rc;
    return memcmp(c->sent, c->echoed, size) != 0;
}

static int count_failure(load *l, int rc)
{
    atomic_fetch_add(rc < 0 ? &l->lost : &l->corrupt, 1);
    return rc < 0 ? rc : -EBADMSG;
}

/* Message `serial` was answered. */
static void note(load *l, int64_t since, int64_t now) { histogram_add(&l->latencies, now - since); }

/* Whether message `serial` of a connection is to be sent. */
static bool goes_on(const connection *c, uint64_t serial, int64_t now)
{
    return serial < c->messages && now < c->l->end;
}

static int talk_echo(connection *c)
{
    load *l = c->l;
    int64_t before = coir_now();
    for (uint64_t serial = 0; goes_on(c, serial, before); serial++) {
        int rc = exchange(c, serial);
        if (rc != 0)
            return count_failure(l, rc);
        int64_t after = coir_now();
        note(l, before, after);
        before = after;
    }
    return 0;
}

/* -- at a rate -------------------------------------------------------------------------------- */

static int talk_rate(connection *c)
{
    load *l = c->l;
    double interval = 1e9 * (double)l->connections / (double)l->rate;
    double first = 1e9 * (double)c->number / (double)l->rate;
    int64_t now = coir_now();
    for (uint64_t serial = 0; serial < c->messages; serial++) {
        int64_t due = l->start + (int64_t)(first + interval * (double)serial);
        if (due >= l->end)
            break;
        int64_t since = due;
        if (now < due) {
            int rc = coir_sleep_until(due);
            if (rc < 0)
                return rc;
            since = coir_now();
        }
        int rc = exchange(c, serial);
        if (rc != 0)
            return count_failure(l, rc);
        now = coir_now();
        note(l, since, now);
    }
    return 0;
}

/* -- in bulk ---------------------------------------------------------------------------------- */

static int write_bulk(void *arg)
{
    connection *c = arg;
    load *l = c->l;
    int rc = 0;
    for (uint64_t serial = 0; rc == 0 && goes_on(c, serial, coir_now()); serial++) {
        mark(c, serial);
        rc = coir_write_all(c->fd, c->sent, l->size, NULL);
    }
    return rc < 0 ? rc : shutdown(c->fd, SHUT_WR);
}

/* Both ends of a message are looked at; comparing all of it would be the client's work, not the server's. */
static int check_bulk(connection *c, uint64_t serial)
{
    size_t size = c->l->size, head = size < HEAD ? size : HEAD;
    uint64_t expected[2] = {c->number, serial};
    return memcmp(c->echoed, expected, head) != 0 ||
           (size >= 2 * HEAD && memcmp(c->echoed + size - HEAD, c->sent + size - HEAD, HEAD) != 0);
}

/* Until the server has sent back all, and closes. */
static int read_bulk(connection *c)
{
    load *l = c->l;
    size_t done = 0;
    int64_t before = coir_now();
    for (uint64_t serial = 0;; serial++) {
        int rc = coir_read_full(c->fd, c->echoed, l->size, &done);
        if (rc == -EPIPE && done == 0)
            return serial == c->messages || c->messages == UINT64_MAX ? 0 : count_failure(l, rc);
        if (rc == 0)
            rc = check_bulk(c, serial);
        if (rc != 0)
            return count_failure(l, rc);
        int64_t after = coir_now();
        note(l, before, after);
        before = after;
    }
}

static int talk_bulk(connection *c)
{
    coir_group g;
    coir_group_begin(&g, 0);
    int rc = coir_spawn(&g, write_bulk, c);
    if (rc == 0)
        rc = read_bulk(c);
    if (rc < 0)
        coir_group_cancel(&g, "the connection is lost");
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

/* -- a connection each ------------------------------------------------------------------------ */

static int talk_connect(connection *c)
{
    load *l = c->l;
    int64_t before = coir_now();
    for (uint64_t serial = 0; goes_on(c, serial, before); serial++) {
        c->fd = coir_tcp_connect(l->address);
        int rc = c->fd < 0 ? c->fd : exchange(c, serial);
        if (c->fd >= 0)
            coir_close(c->fd);
        c->fd = -1;
        if (rc != 0)
            return count_failure(l, rc);
        int64_t after = coir_now();
        note(l, before, after);
        before = after;
    }
    return 0;
}

static const mode modes[] = {
    {"echo", talk_echo, false}, {"rate", talk_rate, false},      {"bulk", talk_bulk, false},
    {"idle", NULL, false},      {"connect", talk_connect, true},
};

static const mode *mode_find(const char *name)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(modes[i].name, name))
            return &modes[i];
    fprintf(stderr, "echo_client: -m takes echo, rate, bulk, connect or idle, not '%s'\n", name);
    exit(2);
}

/* -- connections ------------------------------------------------------------------------------ */

/* Connects, and exchanges a message that is not counted. */
static int open_connection(connection *c)
{
    if (c->l->mode->reconnects)
        return 0;
    int rc = coir_sem_acquire(&c->l->connecting);
    if (rc < 0)
        return rc;
    c->fd = coir_tcp_connect(c->l->address);
    rc = c->fd < 0 ? c->fd : exchange(c, UINT64_MAX);
    coir_sem_release(&c->l->connecting);
    return rc > 0 ? -EBADMSG : rc;
}

static void begin_figures(load *l)
{
    l->server_memory = server_memory(l->server) - l->server_memory;
    l->server_cpu = server_cpu(l->server);
    l->client_cpu = bench_cpu();
    l->start = coir_now();
    l->end = l->messages ? INT64_MAX : l->start + COIR_S((int64_t)l->seconds);
}

static void end_figures(load *l)
{
    l->end = coir_now();
    l->server_cpu = server_cpu(l->server) - l->server_cpu;
    l->client_cpu = bench_cpu() - l->client_cpu;
}

static int connection_main(void *arg)
{
    connection *c = arg;
    load *l = c->l;
    int opened = open_connection(c);
    int rc = coir_chan_send(l->ready, &opened);
    if (rc == 0)
        rc = opened;
    if (rc == 0)
        rc = coir_event_wait(&l->go);
    if (rc == 0 && l->mode->talk)
        rc = l->mode->talk(c);
    if (atomic_fetch_add(&l->served, 1) + 1 == l->connections) {
        end_figures(l); // closing is not counted
        coir_event_set(&l->leave);
    }
    int left = coir_event_wait(&l->leave);
    if (c->fd >= 0)
        coir_close(c->fd);
    return rc < 0 ? rc : left;
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
    begin_figures(l);
    if (rc == 0 && l->progress)
        rc = coir_spawn(&g, show_progress, l);
    if (rc < 0)
        coir_group_cancel(&g, "could not make the connections");
    coir_event_set(&l->go);
    int ended = coir_group_end(&g);
    return rc < 0 ? rc : ended;
}

static int first(void *arg)
{
    load *l = arg;
    coir_addr address;
    l->ready = coir_chan_new(sizeof(int), 0);
    if (!l->ready)
        return -ENOMEM;
    if (coir_addr_parse(&address, l->address) == 0)
        l->server = server_find((unsigned)coir_addr_port(&address));
    l->server_memory = server_memory(l->server);
    coir_scope patience;
    int64_t seconds = l->messages ? 600 : (int64_t)l->seconds;
    coir_scope_begin(&patience, COIR_S(seconds) + 2 * PATIENCE);
    int rc = coir_scope_end(&patience, run_connections(l));
    coir_chan_free(l->ready);
    return rc;
}

/* -- results ---------------------------------------------------------------------------------- */

/* What the rows of this load are called. */
static const char *scenario(const load *l, char *text, size_t n)
{
    if (!strcmp(l->mode_name, "idle"))
        snprintf(text, n, "idle, %" PRIu64 " connections", l->connections);
    else if (!strcmp(l->mode_name, "rate"))
        snprintf(text, n, "echo at %" PRIu64 "/s%s, %" PRIu64 " x %" PRIu64 " B", l->rate,
                 l->busy ? " beside computing" : "", l->connections, l->size);
    else
        snprintf(text, n, "%s, %" PRIu64 " x %" PRIu64 " B", l->mode_name, l->connections, l->size);
    return text;
}

static void row(load *l, const char *unit, double value)
{
    char name[96];
    uint64_t count = l->mode->talk ? histogram_count(&l->latencies) : l->connections;
    bench_result(scenario(l, name, sizeof name), l->runtime, l->workers, unit, value, count);
}

static void report_latency(load *l, double percent, const char *name)
{
    double us = (double)histogram_percentile(&l->latencies, percent) / 1e3;
    printf("  %-6s %10.1f us\n", name, us);
    char unit[32];
    snprintf(unit, sizeof unit, "us %s", name);
    if (!strcmp(l->mode_name, "rate"))
        row(l, unit, us);
}

static void report_latencies(load *l)
{
    report_latency(l, 50, "p50");
    report_latency(l, 90, "p90");
    report_latency(l, 99, "p99");
    report_latency(l, 99.9, "p99.9");
    report_latency(l, 100, "max");
}

static void report_memory(load *l)
{
    double each = (double)l->server_memory / (double)l->connections;
    printf("the server has %.0f bytes more for each connection\n", each);
    row(l, "server bytes per connection", each);
}

static void report_bulk(load *l, uint64_t messages, double seconds)
{
    double megabytes = (double)messages * (double)l->size / 1e6;
    double cpu = (double)l->server_cpu / megabytes / 1e3;
    printf("%.0f MB/s each way; CPU per MB: server %.0f us, client %.0f us\n", megabytes / seconds,
           cpu, (double)l->client_cpu / megabytes / 1e3);
    row(l, "MB/s", megabytes / seconds);
    row(l, "server CPU us per MB", cpu);
}

static void report_messages(load *l, uint64_t messages, double seconds)
{
    double cpu = messages ? (double)l->server_cpu / (double)messages : 0;
    printf("CPU per message: server %.0f ns, client %.0f ns\n", cpu,
           messages ? (double)l->client_cpu / (double)messages : 0);
    if (!l->busy) // then it takes all there is
        row(l, "server CPU ns per message", cpu);
    if (strcmp(l->mode_name, "rate") != 0)
        row(l, "messages/s", (double)messages / seconds);
}

static void report(load *l)
{
    uint64_t messages = histogram_count(&l->latencies);
    double seconds = (double)(l->end - l->start) / 1e9;
    printf("%" PRIu64 " connections, %" PRIu64 " bytes: %" PRIu64
           " messages in %.2f s, %.0f messages/s\n",
           l->connections - l->refused, l->size, messages, seconds, (double)messages / seconds);
    if (!l->server)
        printf("the server is not a process of this machine that may be looked at\n");
    if (!strcmp(l->mode_name, "bulk"))
        report_bulk(l, messages, seconds);
    else if (l->mode->talk)
        report_messages(l, messages, seconds);
    else
        report_memory(l);
    if (l->mode->talk)
        report_latencies(l);
    printf("errors: %" PRIu64 " refused, %" PRIu64 " lost, %" PRIu64 " corrupt\n", l->refused,
           l->lost, l->corrupt);
}

static bool is_right(load *l)
{
    return !l->refused && !l->lost && !l->corrupt && l->server &&
           (!l->mode->talk || histogram_count(&l->latencies) > 0);
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
        uint64_t share = l->messages / l->connections + (i < l->messages % l->connections);
        l->all[i] = (connection){.l = l,
                                 .number = i,
                                 .messages = l->messages ? share : UINT64_MAX,
                                 .fd = -1,
                                 .sent = sent,
                                 .echoed = sent + l->size};
    }
    return 0;
}

int main(int argc, char **argv)
{
    static load l = {.address = "127.0.0.1:7",
                     .mode_name = "echo",
                     .runtime = "client",
                     .connections = 1000,
                     .size = 64,
                     .seconds = 5,
                     .rate = 20000,
                     .workers = 1,
                     .connecting = COIR_SEM_INIT(CONNECTING)};
    bench_option options[] = {
        {.letter = 'a', .help = "address of the server, host:port", .text = &l.address},
        {.letter = 'm', .help = "mode: echo, rate, bulk, connect or idle", .text = &l.mode_name},
        {.letter = 'c', .help = "connections", .number = &l.connections, .min = 1, .max = 1000000},
        {.letter = 's', .help = "bytes of a message", .number = &l.size, .min = 1, .max = 1 << 20},
        {.letter = 'd', .help = "seconds", .number = &l.seconds, .min = 1, .max = 86400},
        {.letter = 'n',
         .help = "messages in all, instead of -d",
         .number = &l.messages,
         .max = 1u << 31},
        {.letter = 'R',
         .help = "messages a second, of -m rate",
         .number = &l.rate,
         .min = 1,
         .max = 100000000},
        {.letter = 'w', .help = "workers; 0: one per core", .number = &l.workers, .max = 1024},
        {.letter = 'r', .help = "name of the server in the rows", .text = &l.runtime},
        {.letter = 'x', .help = "the server computes as well (its -x): say so", .flag = &l.busy},
        {.letter = 'v', .help = "show progress on the standard error", .flag = &l.progress},
    };
    bench_parse(argc, argv, "load for an echo server", options, sizeof options / sizeof *options);
    l.mode = mode_find(l.mode_name);
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
    return rc < 0 || !is_right(&l);
}
