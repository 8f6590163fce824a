/* SPDX-License-Identifier: MIT */
/*
 * stacks.c - the floor of benches/parked.c: the work that only the kernel can do for 100,000
 * guarded stacks.
 *
 * One mapping holds all slots of 256 KiB. Each slot gets a guard of 64 KiB at its bottom and the
 * first touch of its top page, one slot after the other, as a runtime does it that makes stacks
 * when they are first needed. The guard is MADV_GUARD_INSTALL (Linux 6.13), or else mprotect(),
 * which makes two mappings of each slot and so ends near 32,700 of them; the program says which
 * it was.
 */

#include "../measure.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { SLOT = 256 * 1024, GUARD = 64 * 1024 };

static bool guard_by_madvise = true;

static int install_guard(char *slot)
{
    if (guard_by_madvise && madvise(slot, GUARD, MADV_GUARD_INSTALL) == 0)
        return 0;
    guard_by_madvise = false;
    return mprotect(slot, GUARD, PROT_NONE);
}

/* ns for all slots, or -1. */
static int64_t make_stacks(char *region, uint64_t slots)
{
    int64_t start = bench_now();
    for (uint64_t i = 0; i < slots; i++) {
        char *slot = region + i * SLOT;
        if (install_guard(slot) != 0)
            return -1;
        *(volatile char *)(slot + SLOT - 64) = 1;
    }
    return bench_now() - start;
}

int main(int argc, char **argv)
{
    uint64_t slots = 100000;
    bench_option options[] = {
        {.letter = 'n', .help = "stacks", .number = &slots, .min = 1, .max = 10000000},
    };
    bench_parse(argc, argv, "guarded stacks and nothing else", options, 1);

    bench_memory before = bench_memory_now();
    char *region = mmap(NULL, slots * SLOT, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) {
        fprintf(stderr, "stacks: mmap: %s\n", strerror(errno));
        return 1;
    }
    madvise(region, slots * SLOT, MADV_NOHUGEPAGE);
    int64_t elapsed = make_stacks(region, slots);
    if (elapsed < 0) {
        fprintf(stderr, "stacks: guard: %s; see vm.max_map_count\n", strerror(errno));
        return errno == ENOMEM ? BENCH_CANT : 1;
    }
    bench_memory after = bench_memory_now();
    uint64_t touched = 0;
    for (uint64_t i = 0; i < slots; i++)
        touched += (uint64_t)region[i * SLOT + SLOT - 64];

    double n = (double)slots, ns = (double)elapsed / n;
    double resident = (double)(after.resident - before.resident) / n;
    double tables = (double)(after.tables - before.tables) / n;
    const char *guard = guard_by_madvise ? "MADV_GUARD_INSTALL" : "mprotect";
    printf("%" PRIu64 " stacks, guard by %s: %.0f ns each\n", slots, guard, ns);
    printf("memory: %.0f bytes each: %.0f resident, %.0f of page tables\n", resident + tables,
           resident, tables);
    char scenario[64];
    snprintf(scenario, sizeof scenario, "parked cold, %" PRIu64 " tasks", slots);
    bench_result(scenario, "floor", 1, "ns per task", ns, touched);
    snprintf(scenario, sizeof scenario, "parked memory, %" PRIu64 " tasks", slots);
    bench_result(scenario, "floor", 1, "bytes per task", resident + tables, touched);
    return touched == slots ? 0 : 1;
}
