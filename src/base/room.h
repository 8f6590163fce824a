/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_ROOM_H
#define COIR_BASE_ROOM_H

/*
 * room.h - how much memory may still be touched before the process's memory cgroup kills it.
 *
 * Touching memory has no error to return, so what will be touched is promised first, and asked for: promise, ask, and take the
 * promise back when the memory has been touched or is not needed any more.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compat.h"

/* Counts memory that is going to be touched; negative: it has been, or will not be. For the whole process. */
void coir__room_promise(int64_t bytes);

/* Is there room for all that has been promised? `bytes` is how much of it is new. May read some small files; no lock may be
 * held. */
bool coir__room_for(size_t bytes);

/* A runtime starts: perhaps in another cgroup, or with another limit. */
void coir__room_renew(void);

/* For tests: what is promised; another root of the files of /proc and /sys. "": the system's. Not copied. */
int64_t coir__room_promised(void);
void coir__room_force(const char *root);

#endif
