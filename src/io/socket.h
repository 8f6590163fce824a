/* SPDX-License-Identifier: MIT */
#ifndef COIR_IO_SOCKET_H
#define COIR_IO_SOCKET_H

#include <coir/net.h>

/* A fresh TCP socket, or an error. */
int coir__tcp_socket(int family);

/* A socket connected to one address, with TCP_NODELAY, or an error. */
int coir__tcp_connect_to(const coir_addr *a);

#endif
