/* SPDX-License-Identifier: MIT */
#ifndef COIR_NET_H
#define COIR_NET_H

/*
 * Descriptors and TCP. Any descriptor can be used, nothing has to be registered; coir never changes O_NONBLOCK on a
 * descriptor it did not open, and SIGPIPE never reaches the program through it. What was used with coir is closed with
 * coir_close().
 *
 * Every waiting call here obeys the scopes around it, and is cancelled by coir_close() of its descriptor (-EBADF).
 * A buffer belongs to the call until it returns. From foreign threads only what says "From: any".
 *
 * @example echo
 *   #include <coir.h>
 *   #include <coir/net.h>
 *   #include <stdio.h>
 *
 *   static int serve(void *arg) { // one connection
 *       int fd = (int)(intptr_t)arg;
 *       char buf[4096];
 *       ssize_t n;
 *       while ((n = coir_read(fd, buf, sizeof buf)) > 0)
 *           if (coir_write_all(fd, buf, (size_t)n, NULL) < 0)
 *               break;
 *       return coir_close(fd);
 *   }
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       int listener = coir_tcp_listen("127.0.0.1:0", NULL);
 *       coir_addr here;
 *       coir_local_addr(listener, &here);
 *       char text[COIR_ADDR_TEXT], reply[6] = "";
 *       coir_addr_format(&here, text, sizeof text);
 *       int client = coir_tcp_connect(text);
 *       int peer = coir_accept(listener, NULL);
 *       coir_spawn(NULL, serve, (void *)(intptr_t)peer);
 *       coir_write_all(client, "hello", 5, NULL);
 *       int rc = coir_read_full(client, reply, 5, NULL);
 *       printf("%s\n", reply);
 *       coir_close(client);
 *       coir_close(listener);
 *       return rc;
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */

#include <coir.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int coir_fd;

/* A socket address of any family, by value. */
typedef struct coir_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_storage storage;
    } u;
    socklen_t len; /* bytes of it in use */
} coir_addr;

#define COIR_ADDR_TEXT 128 /* a buffer of this size holds any address as text */

/* Reads up to `n` bytes into `buf`; 0 at the end of the stream. As POSIX otherwise. -EBADF: not open, negative, or closed by
 * coir_close() meanwhile. From: task. Switches: yes. Cancel point: yes. */
COIR_API ssize_t coir_read(int fd, void *buf, size_t n);

/* Writes up to `n` bytes. -EPIPE, never a signal. From: task. Switches: yes. Cancel point: yes. */
COIR_API ssize_t coir_write(int fd, const void *buf, size_t n);

/* Reads or writes all `n` bytes: 0, or the error; the stream's end before `n` is -EPIPE. `*ret_done`, written in any
 * case, says how many bytes were moved. From: task. Switches: yes. Cancel point: yes. */
COIR_API int coir_read_full(int fd, void *buf, size_t n, size_t *ret_done);
COIR_API int coir_write_all(int fd, const void *buf, size_t n, size_t *ret_done);

/* Waits until one of `events` (POLLIN, POLLOUT, ...; POLLERR and POLLHUP always count) is ready; returns those that are.
 * Regular files are always ready. From: task. Switches: yes. Cancel point: yes. */
COIR_API int coir_poll(int fd, short events);

/* Takes a connection: its descriptor, non-blocking and close-on-exec. Out of descriptors it waits until some are free,
 * trying every 50 ms and logging once. `ret_peer` may be NULL. From: task. Switches: yes. Cancel point: yes. */
COIR_API int coir_accept(int fd, coir_addr *ret_peer);

/* Connects a socket. 0 or the error; after an error the socket is good only for coir_close().
 * From: task. Switches: yes. Cancel point: yes. */
COIR_API int coir_connect(int fd, const coir_addr *addr);

/* Ends every call that waits on `fd` (those whose effect has happened report it, the others -EBADF), then closes it.
 * Always releases the descriptor. 0 or the error of close(). From: any. Switches: yes. Cancel point: no. */
COIR_API int coir_close(int fd);

typedef struct coir_listen_options {
    int backlog;         /* 0: the system's */
    bool no_reuse_addr;  /* leave SO_REUSEADDR off */
    bool reuse_port;     /* SO_REUSEPORT */
    bool ipv6_only;      /* for "[::]:port" */
} coir_listen_options;

/* Listens on "host:port": "127.0.0.1:80", "[::]:0", "localhost:http", ":8080" (all addresses). Returns the descriptor.
 * -EINVAL: malformed, bad port, digits and dots that are no address; -ENOENT: name or service unknown;
 * -EADDRINUSE, -EACCES, ... `o` may be NULL. From: task. Switches: yes. Cancel point: yes. */
COIR_API int coir_tcp_listen(const char *host_port, const coir_listen_options *o);

/* Connects to "host:port", trying the host's addresses in turn, each next one when the one before failed or has not
 * answered for 250 ms (RFC 8305). Returns the descriptor, with TCP_NODELAY; errors as coir_tcp_listen, or that of the
 * last attempt. From: task. Switches: yes. Cancel point: yes. */
COIR_API int coir_tcp_connect(const char *host_port);

/* Addresses of `host` and `service` (either may be NULL, not both) for streams, at most `n`; returns the count. The
 * look-up is made by a helper thread. Errors as coir_tcp_listen; -EINVAL when `n` is 0.
 * From: task. Switches: yes. Cancel point: yes. */
COIR_API int coir_resolve(const char *host, const char *service, coir_addr *ret_addrs, size_t n);

/* A connected pair of stream sockets; a pipe (fds[0] reads): non-blocking, close-on-exec. From: any. Switches: no.
 * Cancel point: no. */
COIR_API int coir_socketpair(int fds[2]);
COIR_API int coir_pipe(int fds[2]);

/* The address a socket is bound or connected to. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_local_addr(int fd, coir_addr *ret);
COIR_API int coir_peer_addr(int fd, coir_addr *ret);

/* "1.2.3.4:80", "[::1]:80", "1.2.3.4", "::1" (port 0) to an address: 0 or -EINVAL. Looks nothing up.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_addr_parse(coir_addr *ret, const char *text);

/* The text of an address, as coir_addr_parse() takes it. Its length, or -ENOSPC. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_addr_format(const coir_addr *a, char *buf, size_t n);

/* The port, in the host's byte order; -EINVAL for families without. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_addr_port(const coir_addr *a);

#ifdef __cplusplus
}
#endif

#endif
