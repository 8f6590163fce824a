/* SPDX-License-Identifier: MIT */
/*
 * cpu_latency.c - the floor of benches/cpu_latency.c, "yielding": a loop that computes, and looks at
 * the clock after each portion. "Not yielding" can't be done by hand on one thread; there the kernel
 * (peers/threads/cpu_latency.c) is the floor.
 */

#include "../latency.h"

enum { MILLISECOND = 1000000 };

int main(int argc, char **argv)
{
    latency_ticks t = {.portions = 25000};
    bench_option options[] = {
        {.letter = 'n', .help = "portions of 20 us", .number = &t.portions, .min = 1, .max = 10000000},
    };
    bench_parse(argc, argv, "computing, and a look at the clock now and then", options, 1);
    t.samples = calloc(LATENCY_TICKS, sizeof *t.samples);
    if (!t.samples)
        return 1;
    int64_t start = bench_now(), now = start, due = start + MILLISECOND;
    t.sum = 1;
    for (uint64_t i = 0; i < t.portions; i++) {
        t.sum = bench_hash(t.sum, BENCH_PORTION * BENCH_MICROSECOND);
        now = bench_now();
        for (; due <= now && t.count < LATENCY_TICKS; due += MILLISECOND)
            t.samples[t.count++] = (double)(now - due);
    }
    t.span = now - start;
    return latency_report_ticks(&t, "yielding", "floor", 1) ? 0 : 1;
}
