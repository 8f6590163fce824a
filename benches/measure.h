/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

/*
 * measure.h - what the benchmark programs share: options, clock, medians, memory, results.
 *
 * Include it first: it asks for the system's GNU declarations. It knows nothing of coir, because
 * the floors are built without it.
 *
 * A result is printed for people by the program itself, and with --json as one line by
 * bench_result():
 *
 *   {"scenario":"yield","runtime":"coir","threads":1,"unit":"ns per yield","value":4.6,"checksum":"10"}
 *
 * ./bench reads these lines; the order of the keys is fixed. The checksum says how much work
 * was done, so that runtimes can be compared and nothing can be optimised away.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* -- options ---------------------------------------------------------------------------------- */

/* One option letter: a number within min..max, a text, or a flag. Exactly one pointer is set. */
typedef struct bench_option {
    char letter;
    const char *help;
    uint64_t *number;
    uint64_t min, max;
    const char **text;
    bool *flag;
} bench_option;

static bool bench_json; /* --json was given */

static inline void bench_usage(const char *program, const char *what, const bench_option *o,
                               size_t n)
{
    printf("%s: %s\n\n", program, what);
    for (size_t i = 0; i < n; i++) {
        printf("  -%c  %s", o[i].letter, o[i].help);
        if (o[i].number)
            printf(" (default %" PRIu64 ")", *o[i].number);
        printf("\n");
    }
    printf("  --json  one JSON line per result as well\n");
}

static inline void bench_set_option(const bench_option *o, const char *value)
{
    if (o->flag)
        *o->flag = true;
    if (o->text)
        *o->text = value;
    if (!o->number)
        return;
    char *end;
    unsigned long long number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || number < o->min || number > o->max) {
        fprintf(stderr, "-%c takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'\n", o->letter,
                o->min, o->max, value);
        exit(2);
    }
    *o->number = number;
}

/* Reads the command line into what the options point to. Exits after --help or a mistake. */
static inline void bench_parse(int argc, char **argv, const char *what, const bench_option *o,
                               size_t n)
{
    static const struct option names[] = {
        {"json", no_argument, NULL, 'J'}, {"help", no_argument, NULL, 'H'}, {NULL, 0, NULL, 0}};
    char letters[64] = "";
    size_t used = 0;
    for (size_t i = 0; i < n && used + 3 < sizeof letters; i++) {
        letters[used++] = o[i].letter;
        if (!o[i].flag)
            letters[used++] = ':';
    }
    int c;
    while ((c = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        if (c == 'J')
            bench_json = true;
        if (c == 'H') {
            bench_usage(argv[0], what, o, n);
            exit(0);
        }
        if (c == '?')
            exit(2);
        for (size_t i = 0; i < n; i++)
            if (o[i].letter == c)
                bench_set_option(&o[i], optarg);
    }
    if (optind < argc) {
        fprintf(stderr, "%s: what is '%s'? Try --help.\n", argv[0], argv[optind]);
        exit(2);
    }
}

/* Cores this process may run on: what "-w 0" means. */
static inline uint64_t bench_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint64_t)CPU_COUNT(&set) : 1;
}

/* As many descriptors as the system lets us have. */
static inline void bench_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The status that says: it can't be done here, the last line of the standard error tells why. */
enum { BENCH_CANT = 77 };

/* -- measuring -------------------------------------------------------------------------------- */

static inline int64_t bench_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return bench_ns(t);
}

/* User and system time of this process so far, ns. */
static inline int64_t bench_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
           ((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

/* Bytes of memory this process occupies: resident, and in page tables. */
typedef struct bench_memory {
    int64_t resident, tables;
} bench_memory;

/* That of the process whose status file this is. */
static inline bench_memory bench_memory_of(const char *path)
{
    bench_memory now = {0, 0};
    FILE *f = fopen(path, "r");
    if (!f)
        return now;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        if (!strncmp(line, "VmRSS:", 6))
            now.resident = strtoll(line + 6, NULL, 10) * 1024;
        if (!strncmp(line, "VmPTE:", 6))
            now.tables = strtoll(line + 6, NULL, 10) * 1024;
    }
    fclose(f);
    return now;
}

static inline bench_memory bench_memory_now(void) { return bench_memory_of("/proc/self/status"); }

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts `samples`, so that samples[0] is the least and samples[n - 1] the greatest. */
static inline double bench_median(double *samples, size_t n)
{
    qsort(samples, n, sizeof *samples, bench_compare);
    return n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
}

/* The value that `percent` of the sorted samples are not above. */
static inline double bench_percentile(const double *sorted, size_t n, double percent)
{
    size_t rank = (size_t)((double)n * percent / 100 + 0.999999);
    return sorted[rank < 1 ? 0 : (rank > n ? n : rank) - 1];
}

/* -- results ---------------------------------------------------------------------------------- */

static inline void bench_result(const char *scenario, const char *runtime, uint64_t threads,
                                const char *unit, double value, uint64_t checksum)
{
    if (!bench_json)
        return;
    printf("{\"scenario\":\"%s\",\"runtime\":\"%s\",\"threads\":%" PRIu64
           ",\"unit\":\"%s\",\"value\":%.3f,\"checksum\":\"%" PRIu64 "\"}\n",
           scenario, runtime, threads, unit, value, checksum);
}

/* The median of `n` samples, for people and as a result. */
static inline void bench_result_median(const char *scenario, const char *runtime, uint64_t threads,
                                       const char *unit, double *samples, size_t n,
                                       uint64_t checksum)
{
    double median = bench_median(samples, n);
    printf("%-28s %.1f %s (median of %zu, %.1f to %.1f)\n", scenario, median, unit, n, samples[0],
           samples[n - 1]);
    bench_result(scenario, runtime, threads, unit, median, checksum);
}

/* The same where the row's name tells how many tasks there were, unless they were the usual 10,000. */
static inline void bench_result_tasks(const char *scenario, const char *runtime, uint64_t threads,
                                      uint64_t tasks, double *samples, size_t n, uint64_t checksum)
{
    char name[64];
    if (tasks == 10000)
        snprintf(name, sizeof name, "%s", scenario);
    else
        snprintf(name, sizeof name, "%s, %" PRIu64 " tasks", scenario, tasks);
    bench_result_median(name, runtime, threads, "ns per task", samples, n, checksum);
}

/* Rows of rounds in which tasks slept: samples[0] is that of the cold one, `n` more those of the warm ones. */
static inline void bench_result_sleepers(const char *runtime, uint64_t threads, uint64_t tasks,
                                         double *samples, size_t n)
{
    char name[64];
    snprintf(name, sizeof name, "sleepers, %" PRIu64 ", cold", tasks);
    bench_result_median(name, runtime, threads, "ns per task", samples, 1, tasks);
    snprintf(name, sizeof name, "sleepers, %" PRIu64, tasks);
    bench_result_median(name, runtime, threads, "ns per task", samples + 1, n, tasks * n);
}

#endif
