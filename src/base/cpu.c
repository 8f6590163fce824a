/* SPDX-License-Identifier: MIT */
#include "base/cpu.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned count_affinity(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more than 1,024 processors */
    return n > 0 ? (unsigned)n : 1;
}

/* The quota in cpu.max of cgroup v2, rounded up to processors; 0: none. */
static unsigned quota_at(const char *group)
{
    char path[640], text[64];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    unsigned long long quota = 0, period = 0;
    unsigned cpus = 0;
    if (fgets(text, sizeof text, f) && sscanf(text, "%llu %llu", &quota, &period) == 2 &&
        period > 0)
        cpus = (unsigned)((quota + period - 1) / period);
    fclose(f);
    return cpus;
}

/* The least quota of this process's group and those around it. */
static unsigned count_quota(void)
{
    char line[512];
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return 0;
    bool found = false;
    while (!found && fgets(line, sizeof line, f))
        found = strncmp(line, "0::", 3) == 0;
    fclose(f);
    if (!found)
        return 0;
    char *group = line + 3;
    group[strcspn(group, "\n")] = '\0';
    unsigned least = 0;
    for (;;) {
        unsigned quota = quota_at(strcmp(group, "/") == 0 ? "" : group);
        if (quota && (least == 0 || quota < least))
            least = quota;
        char *slash = strrchr(group, '/');
        if (!slash || group[0] == '\0')
            break;
        *slash = '\0';
    }
    return least;
}

unsigned coir__cpu_count(void)
{
    unsigned cpus = count_affinity();
    unsigned quota = count_quota();
    if (quota && quota < cpus)
        cpus = quota;
    return cpus > 0 ? cpus : 1;
}
