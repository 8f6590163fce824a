/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

/*
 * process.h - what a load can learn of the server's process: its CPU time and its memory.
 *
 * All servers are measured from outside and in the same way, whatever they are written in. The
 * process is found by the port it listens on; it must be on this machine and the same user's.
 */

#include "measure.h"

#include <dirent.h>
#include <unistd.h>

/* The inode of the TCP socket that listens on `port`; 0 if there is none. */
static inline unsigned long server_socket(unsigned port)
{
    FILE *f = fopen("/proc/net/tcp", "r");
    char line[512];
    unsigned long found = 0;
    while (f && !found && fgets(line, sizeof line, f)) {
        unsigned local, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %*x:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", &local, &state,
                   &inode) == 3 &&
            local == port && state == 10)
            found = inode;
    }
    if (f)
        fclose(f);
    return found;
}

static inline bool server_holds(const char *pid, const char *socket)
{
    char path[300], target[64];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *d = opendir(path);
    bool holds = false;
    for (struct dirent *e; d && !holds && (e = readdir(d)) != NULL;) {
        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);
        if (n > 0) {
            target[n] = 0;
            holds = !strcmp(target, socket);
        }
    }
    if (d)
        closedir(d);
    return holds;
}

/* The process that listens on `port` of this machine; 0 if it can't be found. */
static inline pid_t server_find(unsigned port)
{
    char socket[64];
    unsigned long inode = server_socket(port);
    DIR *d = inode ? opendir("/proc") : NULL;
    pid_t found = 0;
    snprintf(socket, sizeof socket, "socket:[%lu]", inode);
    for (struct dirent *e; d && !found && (e = readdir(d)) != NULL;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && server_holds(e->d_name, socket))
            found = (pid_t)atoi(e->d_name);
    if (d)
        closedir(d);
    return found;
}

/* User and system time of the process so far, all threads, ns; 0 if it is gone. */
static inline int64_t server_cpu(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        return 0;
    return bench_ns(t);
}

/* Bytes it occupies, page tables included. */
static inline int64_t server_memory(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    bench_memory now = bench_memory_of(path);
    return now.resident + now.tables;
}

#endif
