/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

/*
 * latency.h - what the programs about latency say: rows of percentiles.
 */

#include "work.h"

/* -- wake_latency ----------------------------------------------------------------------------- */

/* `samples` in ns, one for each message. */
static inline void latency_report_wakes(const char *runtime, uint64_t threads, double *samples,
                                        uint64_t n)
{
    double median = bench_median(samples, n), p99 = bench_percentile(samples, n, 99);
    printf("wake latency, %s: median %.0f ns, p99 %.0f, max %.0f\n", runtime, median, p99,
           samples[n - 1]);
    bench_result("wake latency, median", runtime, threads, "ns", median, n);
    bench_result("wake latency, p99", runtime, threads, "ns", p99, n);
}

/* -- cpu_latency ------------------------------------------------------------------------------ */

enum { LATENCY_TICKS = 1000000 /* at most */ };

typedef struct latency_ticks {
    double *samples; /* ns late; LATENCY_TICKS of them */
    size_t count;
    uint64_t portions; /* of BENCH_PORTION that each computed */
    int64_t span;      /* ns until the last had computed */
    uint64_t sum;      /* of what was computed */
} latency_ticks;

/* `form` is "yielding" or "not yielding". False if it was over within a millisecond. */
static inline bool latency_report_ticks(const latency_ticks *t, const char *form,
                                        const char *runtime, uint64_t threads)
{
    if (t->count == 0) {
        fprintf(stderr, "cpu_latency: it was over before the first tick\n");
        return false;
    }
    double p50 = bench_median(t->samples, t->count);
    double values[] = {p50, bench_percentile(t->samples, t->count, 99), t->samples[t->count - 1],
                       (double)t->span / (double)(t->portions * BENCH_PORTION)};
    static const char *const names[] = {"p50", "p99", "max", "work"};
    printf("cpu latency, %s: %zu ticks, p50 %.0f ns, p99 %.0f, max %.0f; work %.0f ns per us\n",
           form, t->count, values[0], values[1], values[2], values[3]);
    for (int i = 0; i < 4; i++) {
        char scenario[64];
        snprintf(scenario, sizeof scenario, "cpu latency, %s, %s", form, names[i]);
        bench_result(scenario, runtime, threads, i < 3 ? "ns" : "ns per us of work", values[i],
                     t->sum);
    }
    return true;
}

#endif
