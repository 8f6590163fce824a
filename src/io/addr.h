/* SPDX-License-Identifier: MIT */
#ifndef COIR_IO_ADDR_H
#define COIR_IO_ADDR_H

/* addr.h - addresses as text: what can be said about one without asking anybody. */

#include <coir/net.h>

#define COIR__HOST_MAX 254 /* with the end of the string */
#define COIR__SERVICE_MAX 64

/* "host:service", "[v6]:service", ":service" in two parts, the host perhaps empty. 0 or -EINVAL. */
int coir__addr_split(const char *text, char host[COIR__HOST_MAX], char service[COIR__SERVICE_MAX]);

/* A host that is an address. 1; 0 if it is a name that can be looked up; -EINVAL if it is neither: malformed, or it ends in
 * a number, as addresses do and names never. Port 0. */
int coir__addr_host(coir_addr *ret, const char *host);

/* A service that is a number. Its port; -EINVAL if it is malformed; -ENOENT if it is a name to be looked up. */
int coir__addr_service(const char *service);

void coir__addr_set_port(coir_addr *a, int port);

#endif
