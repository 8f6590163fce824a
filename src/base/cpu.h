/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_CPU_H
#define COIR_BASE_CPU_H

/* Processors this process may keep busy: by affinity, and by the quota of its cgroup. At least 1. */
unsigned coir__cpu_count(void);

#endif
