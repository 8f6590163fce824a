/* SPDX-License-Identifier: MIT */
#ifndef COIR_LOOP_URING_COMPAT_H
#define COIR_LOOP_URING_COMPAT_H

/*
 * uring_compat.h - liburing as old as 2.3, and what newer kernels know beyond its header. Everything declared here is
 * used only where the kernel says at run time that it knows it.
 */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wshadow"
#include <liburing.h>
#pragma GCC diagnostic pop

#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17) /* Linux 6.15 */
#endif
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif

#endif
