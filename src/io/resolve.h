/* SPDX-License-Identifier: MIT */
#ifndef COIR_IO_RESOLVE_H
#define COIR_IO_RESOLVE_H

/* resolve.h - from names to addresses. */

#include <coir/net.h>

/* Most addresses of one name that are looked at. */
#define COIR__ADDRS_MAX 16

/* Addresses of a host and a service, at most `n`. The host may be empty: this host, or for `passive` any address of it. The
 * service may be NULL: port 0. What needs no look-up gets none. The caller is a task, which may wait. Returns the count, or
 * an error as coir_resolve() does. */
int coir__resolve(const char *host, const char *service, bool passive, coir_addr *ret_addrs,
                  size_t n);

/* The same for "host:service". */
int coir__resolve_pair(const char *host_port, bool passive, coir_addr *ret_addrs, size_t n);

/* Begins a function that may wait: 0, or the refusal of a cancelled task. */
int coir__enter_call(const char *function);

#endif
