/* SPDX-License-Identifier: MIT */
#ifndef COIR_LOOP_ENGINES_H
#define COIR_LOOP_ENGINES_H

/* engines.h - the engines of this build. */

#include <coir/loop.h>

extern const coir_engine coir__engine_uring; /* only with liburing */
extern const coir_engine coir__engine_epoll;

/* Best first, NULL at the end. */
extern const coir_engine *const coir__engines[];

#endif
