/* SPDX-License-Identifier: MIT */
/*
 * room.c - what a memory cgroup leaves.
 *
 * The kernel has no error for a full cgroup: who touches a page too many is killed. So before memory is promised the files of
 * the cgroup and of those above it are read, and there is room if in each of them
 *
 *   limit - (used - page cache) + swap  >=  promised + margin        margin: 1/16 of the limit, 64 MiB at most
 *
 * Page cache is what the kernel itself drops before it kills. Nothing is kept open and nothing remembered: the process may
 * be moved, and limits be changed.
 *
 * R1  `promised` counts what is promised at any time, by all pools of the process. A promise is counted first and asked for
 *     afterwards, so two that ask at the same time see each other's.
 * R2  An answer holds for an `allowance`: as much may be promised without asking again. It is at most a quarter of the margin; the
 *     rest of the margin is for what the program touches in the meantime, and the kernel's per-processor stocks.
 *
 * Cost: a subtraction; and a look at the files for each allowance, or for each refusal: 40 us, and 60 for each level with a
 * limit. Without a limit one look for 64 MiB, and none in a program that needs less than 256 KiB.
 */
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/room.h"

#define MIB ((int64_t)1 << 20)
#define FIRST_ALLOWANCE (MIB / 4)
#define LIMITLESS_ALLOWANCE (64 * MIB)
#define MARGIN_MAX (64 * MIB)
#define NONE INT64_MAX

/* The names of files. v1 has no second limit, and counts what is below only in "total_". */
struct names {
    const char *mount, *limit, *high, *used, *inactive, *active;
};

static const struct names v2 = {"/sys/fs/cgroup", "memory.max",     "memory.high",
                                "memory.current", "inactive_file ", "active_file "};
static const struct names v1 = {
    "/sys/fs/cgroup/memory", "memory.limit_in_bytes", NULL,
    "memory.usage_in_bytes", "total_inactive_file ",  "total_active_file "};

struct group {
    const struct names *names;
    char path[400]; /* from the root of the mount; "" is the root */
};

struct room {
    int64_t bytes;  /* beyond what is used, less the margin; NONE: no limit */
    int64_t margin; /* where there is least */
};

static _Atomic int64_t promised;
static _Atomic int64_t allowance = FIRST_ALLOWANCE;
static const char *_Atomic root = "";

void coir__room_promise(int64_t bytes)
{
    atomic_fetch_add_explicit(&promised, bytes, memory_order_relaxed);
}

int64_t coir__room_promised(void) { return atomic_load(&promised); }

void coir__room_renew(void)
{
    atomic_store_explicit(&allowance, FIRST_ALLOWANCE, memory_order_relaxed);
}

void coir__room_force(const char *path)
{
    atomic_store(&root, path);
    atomic_store(&allowance, 0);
}

/* -- files ------------------------------------------------------------------------------------------------------ */

static FILE *open_file(const struct group *g, const char *name)
{
    char path[512];
    int n = snprintf(path, sizeof path, "%s%s%s/%s", atomic_load(&root), g->names->mount, g->path,
                     name);
    return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

/* The number in a file; NONE if it says "max" or is not there. */
static int64_t number_in(const struct group *g, const char *name)
{
    char line[32], *end = line;
    long long n = 0;
    FILE *f = open_file(g, name);
    if (!f)
        return NONE;
    if (fgets(line, sizeof line, f))
        n = strtoll(line, &end, 10);
    fclose(f);
    return end == line || n >= LLONG_MAX / 2 ? NONE : n;
}

static bool begins(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* Bytes of files on the lists from which the kernel reclaims. */
static int64_t page_cache(const struct group *g)
{
    char line[96];
    int64_t sum = 0;
    FILE *f = open_file(g, "memory.stat");
    if (!f)
        return 0;
    for (int found = 0; found < 2 && fgets(line, sizeof line, f);)
        if (begins(line, g->names->inactive) || begins(line, g->names->active)) {
            sum += strtoll(strchr(line, ' '), NULL, 10);
            found++;
        }
    fclose(f);
    return sum;
}

/* The process's memory cgroup. False if that can't be read, or there is none. */
static bool group_find(struct group *ret)
{
    char line[512];
    snprintf(line, sizeof line, "%s/proc/self/cgroup", atomic_load(&root));
    FILE *f = fopen(line, "re");
    if (!f)
        return false;
    ret->names = NULL;
    while (fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        line[strcspn(line, "\n")] = 0;
        if (!path || strlen(path + 1) >= sizeof ret->path)
            continue;
        *path++ = 0;
        bool old = strstr(controllers, "memory") != NULL;
        if (!old && (controllers[1] || ret->names))
            continue;
        ret->names = old ? &v1 : &v2;
        strcpy(ret->path, strcmp(path, "/") == 0 ? "" : path);
    }
    fclose(f);
    return ret->names != NULL;
}

/* -- arithmetic ------------------------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t swap_free(void)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (int64_t)info.freeswap * info.mem_unit : 0;
}

/* What may be used beyond the limit, or below it, for the sake of swap. */
static int64_t with_swap(const struct group *g, int64_t room, int64_t cache)
{
    int64_t swap = swap_free();
    if (swap == 0)
        return room;
    if (g->names == &v2) {
        int64_t most = number_in(g, "memory.swap.max"), used = number_in(g, "memory.swap.current");
        return room + (most == NONE || used == NONE ? swap : least(swap, most - used));
    }
    int64_t most = number_in(g, "memory.memsw.limit_in_bytes");
    int64_t used = number_in(g, "memory.memsw.usage_in_bytes");
    return most == NONE || used == NONE ? room + swap : least(room + swap, most - used + cache);
}

/* Of one cgroup, not counting those above. */
static struct room room_of(const struct group *g)
{
    struct room none = {NONE, 0};
    int64_t limit = number_in(g, g->names->limit);
    if (g->names->high) /* there the process would be slowed down until it stands */
        limit = least(limit, number_in(g, g->names->high));
    if (limit == NONE)
        return none;
    int64_t used = number_in(g, g->names->used);
    if (used == NONE)
        return none;
    int64_t cache = page_cache(g), margin = least(limit / 16, MARGIN_MAX);
    return (struct room){with_swap(g, limit - used + cache, cache) - margin, margin};
}

/* The least of the cgroup and those above it, as far as they can be seen. */
static struct room room_least(struct group *g)
{
    struct room found = {NONE, 0};
    for (;;) {
        struct room r = room_of(g);
        char *last = strrchr(g->path, '/');
        if (r.bytes < found.bytes)
            found = r;
        if (!last)
            return found;
        *last = 0;
    }
}

static COIR__COLD bool look(void)
{
    struct group g;
    int64_t next = FIRST_ALLOWANCE;
    if (group_find(&g)) {
        struct room r = room_least(&g);
        int64_t left = r.bytes - atomic_load(&promised);
        if (left < 0)
            return false;
        next = r.bytes == NONE ? LIMITLESS_ALLOWANCE : least(left, r.margin / 4);
    }
    atomic_store_explicit(&allowance, next, memory_order_relaxed);
    return true;
}

bool coir__room_for(size_t bytes)
{
    int64_t n = (int64_t)bytes;
    if (atomic_fetch_sub_explicit(&allowance, n, memory_order_relaxed) >= n)
        return true;
    return look();
}
