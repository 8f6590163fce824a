/* SPDX-License-Identifier: MIT */
/*
 * sample.c - runs a program, and writes down where it spent its time and what the processor counted.
 *
 *   sample [-p NS] -o FILE COMMAND [ARGUMENT...]
 *
 * Every NS nanoseconds of processor time (20,000) the instruction pointer of each of its threads is taken, by the kernel's
 * clock, which is there in virtual machines too. FILE gets lines of words:
 *
 *   counter NAME VALUE          what perf_event_open(2) could count; what it can't is not there
 *   map START LENGTH OFFSET PATH
 *   sample ADDRESS COUNT        0 stands for the kernel
 *
 * The exit status is that of the command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 256 /* of each processor's ring */
#define CPUS_MAX 256

struct ring {
    int fd;
    struct perf_event_mmap_page *page;
};

static struct ring rings[CPUS_MAX];
static int ring_count;
static FILE *out;

static uint64_t *samples;
static size_t sample_count, sample_room;
static uint64_t lost;

/* -- counters ---------------------------------------------------------------------------------- */

static struct counter {
    const char *name;
    uint32_t type;
    uint64_t config;
    int fd;
} counters[] = {
    {"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, -1},
    {"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, -1},
    {"branch-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, -1},
    {"cache-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES, -1},
    {"context-switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, -1},
    {"migrations", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS, -1},
    {"page-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, -1},
    {"task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, -1},
};

#define COUNTERS (sizeof counters / sizeof *counters)

static int event_open(struct perf_event_attr *a, pid_t pid, int cpu)
{
    a->size = sizeof *a;
    a->disabled = 1;
    a->enable_on_exec = 1;
    a->inherit = 1;
    return (int)syscall(SYS_perf_event_open, a, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static void counters_open(pid_t pid)
{
    for (size_t i = 0; i < COUNTERS; i++) {
        struct perf_event_attr a = {.type = counters[i].type, .config = counters[i].config};
        a.exclude_kernel = counters[i].type == PERF_TYPE_HARDWARE;
        counters[i].fd = event_open(&a, pid, -1);
    }
}

static void counters_write(void)
{
    for (size_t i = 0; i < COUNTERS; i++) {
        uint64_t value;
        if (counters[i].fd >= 0 &&
            read(counters[i].fd, &value, sizeof value) == (ssize_t)sizeof value)
            fprintf(out, "counter %s %" PRIu64 "\n", counters[i].name, value);
    }
}

/* -- samples ----------------------------------------------------------------------------------- */

static bool rings_open(pid_t pid, uint64_t period)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (int cpu = 0; cpu < cpus && ring_count < CPUS_MAX; cpu++) {
        struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE,
                                    .config = PERF_COUNT_SW_CPU_CLOCK,
                                    .sample_period = period,
                                    .sample_type = PERF_SAMPLE_IP};
        a.mmap = 1;
        a.watermark = 1;
        a.wakeup_watermark = PAGES * 4096 / 4;
        int fd = event_open(&a, pid, cpu);
        if (fd < 0)
            continue; /* not online */
        void *page = mmap(NULL, (size_t)(PAGES + 1) * (size_t)sysconf(_SC_PAGESIZE),
                          PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) {
            close(fd);
            continue;
        }
        rings[ring_count++] = (struct ring){fd, page};
    }
    return ring_count > 0;
}

static void sample_add(uint64_t ip)
{
    if (sample_count == sample_room) {
        sample_room = sample_room ? sample_room * 2 : 1 << 16;
        samples = realloc(samples, sample_room * sizeof *samples);
        if (!samples)
            exit(125);
    }
    samples[sample_count++] = ip;
}

static void record(const struct perf_event_header *h)
{
    const char *body = (const char *)(h + 1);
    uint64_t words[4];
    switch (h->type) {
    case PERF_RECORD_SAMPLE:
        memcpy(words, body, 8);
        sample_add((h->misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_USER ? words[0]
                                                                                      : 0);
        break;
    case PERF_RECORD_MMAP: /* pid, tid, address, length, offset, path */
        memcpy(words, body + 8, 24);
        fprintf(out, "map %" PRIx64 " %" PRIx64 " %" PRIx64 " %s\n", words[0], words[1], words[2],
                body + 32);
        break;
    case PERF_RECORD_LOST:
        memcpy(words, body, 16);
        lost += words[1];
        break;
    default:
        break;
    }
}

static void ring_drain(struct ring *r)
{
    static char copy[1 << 16];
    const char *data = (const char *)r->page + r->page->data_offset;
    uint64_t size = r->page->data_size;
    uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
    uint64_t tail = r->page->data_tail;
    while (tail < head) {
        const struct perf_event_header *h = (const void *)(data + tail % size);
        uint16_t length = h->size;
        for (uint16_t i = 0; i < length; i++) /* a record may go round the end */
            copy[i] = data[(tail + i) % size];
        record((const void *)copy);
        tail += length;
    }
    __atomic_store_n(&r->page->data_tail, tail, __ATOMIC_RELEASE);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void samples_write(void)
{
    if (sample_count > 0)
        qsort(samples, sample_count, sizeof *samples, compare);
    for (size_t i = 0, k; i < sample_count; i = k) {
        for (k = i; k < sample_count && samples[k] == samples[i]; k++)
            ;
        fprintf(out, "sample %" PRIx64 " %zu\n", samples[i], k - i);
    }
    if (lost > 0)
        fprintf(stderr, "sample: %" PRIu64 " samples were lost\n", lost);
}

/* -- the program ------------------------------------------------------------------------------- */

static pid_t start(char **command, int *ret_go)
{
    int go[2];
    if (pipe(go) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(go[1]);
        if (read(go[0], &byte, 1) != 1)
            _exit(125);
        close(go[0]);
        execvp(command[0], command);
        fprintf(stderr, "sample: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    close(go[0]);
    *ret_go = go[1];
    return pid;
}

static int watch(pid_t pid)
{
    struct pollfd fds[CPUS_MAX];
    int status;
    for (int i = 0; i < ring_count; i++)
        fds[i] = (struct pollfd){.fd = rings[i].fd, .events = POLLIN};
    while (waitpid(pid, &status, WNOHANG) == 0) {
        poll(fds, (nfds_t)ring_count, 20);
        for (int i = 0; i < ring_count; i++)
            ring_drain(&rings[i]);
    }
    for (int i = 0; i < ring_count; i++)
        ring_drain(&rings[i]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    uint64_t period = 20000;
    const char *path = NULL;
    int c, go;
    while ((c = getopt(argc, argv, "+p:o:")) != -1) {
        if (c == 'p')
            period = strtoull(optarg, NULL, 10);
        else if (c == 'o')
            path = optarg;
        else
            return 2;
    }
    if (!path || optind == argc || period == 0) {
        fprintf(stderr, "usage: sample [-p NS] -o FILE COMMAND [ARGUMENT...]\n");
        return 2;
    }
    out = fopen(path, "w");
    pid_t pid = out ? start(argv + optind, &go) : -1;
    if (pid < 0) {
        fprintf(stderr, "sample: %s: %s\n", path, strerror(errno));
        return 2;
    }
    counters_open(pid);
    if (!rings_open(pid, period))
        fprintf(stderr, "sample: perf_event_open: %s; no samples\n", strerror(errno));
    if (write(go, "g", 1) != 1)
        return 2;
    close(go);
    int rc = watch(pid);
    counters_write();
    samples_write();
    return fclose(out) == 0 ? rc : 2;
}
