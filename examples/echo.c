/* SPDX-License-Identifier: MIT */
/*
 * echo.c - a TCP server with a task for each connection.
 *
 *   echo --serve [host:port]    serves until it is stopped (default :8080)
 *   echo                        serves itself for a moment and checks the answers
 *
 * @expect 20 clients got all of their messages back
 */
#include <coir.h>
#include <coir/net.h>
#include <stdio.h>
#include <string.h>

#define CLIENTS 20
#define MESSAGES 10

/* One connection. */
static int serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[4096];
    ssize_t n;
    while ((n = coir_read(fd, buf, sizeof buf)) > 0)
        if (coir_write_all(fd, buf, (size_t)n, NULL) < 0)
            break;
    coir_close(fd); /* works also when the task has been cancelled */
    return 0;
}

/* Accepts until it is cancelled, or the listener is closed under it. */
static int accept_all(void *arg)
{
    int listener = *(int *)arg;
    for (;;) {
        int fd = coir_accept(listener, NULL);
        if (fd < 0)
            return fd;
        if (coir_spawn(NULL, serve, (void *)(intptr_t)fd) < 0) /* detached: nobody waits for it */
            coir_close(fd);
    }
}

static int server(void *arg)
{
    int listener = coir_tcp_listen(arg, NULL);
    if (listener < 0)
        return listener;
    int rc = accept_all(&listener);
    coir_close(listener);
    return rc;
}

/* -- the self-test ------------------------------------------------------------------------------ */

static int client(void *arg)
{
    char sent[64], got[64];
    int fd = coir_tcp_connect(arg);
    int rc = fd < 0 ? fd : 0;
    for (int i = 0; i < MESSAGES && rc == 0; i++) {
        int n = snprintf(sent, sizeof sent, "message %d on descriptor %d", i, fd);
        rc = coir_write_all(fd, sent, (size_t)n, NULL);
        if (rc == 0)
            rc = coir_read_full(fd, got, (size_t)n, NULL);
        if (rc == 0 && memcmp(sent, got, (size_t)n) != 0)
            rc = -EIO;
    }
    if (fd >= 0)
        coir_close(fd);
    return rc;
}

static int run_clients(char *address)
{
    coir_group clients;
    int rc = 0;
    coir_group_begin(&clients, 0);
    for (int i = 0; i < CLIENTS && rc == 0; i++)
        rc = coir_spawn(&clients, client, address);
    int ended = coir_group_end(&clients); /* waits for all; the first failure is its result */
    return rc < 0 ? rc : ended;
}

static int self_test(void *arg)
{
    coir_addr here;
    char address[COIR_ADDR_TEXT];
    (void)arg;
    int listener = coir_tcp_listen("127.0.0.1:0", NULL);
    if (listener < 0)
        return listener;
    int rc = coir_local_addr(listener, &here);
    if (rc == 0)
        rc = coir_addr_format(&here, address, sizeof address);
    coir_group acceptor;
    coir_group_begin(&acceptor, 0);
    if (rc > 0)
        rc = coir_spawn(&acceptor, accept_all, &listener);
    if (rc == 0)
        rc = run_clients(address);
    coir_group_cancel(&acceptor, "the clients are done");
    coir_group_end(&acceptor);
    coir_close(listener);
    if (rc == 0)
        printf("%d clients got all of their messages back\n", CLIENTS);
    return rc;
}

int main(int argc, char **argv)
{
    char everywhere[] = ":8080";
    int rc;
    if (argc > 1 && strcmp(argv[1], "--serve") == 0)
        rc = coir_run(NULL, server, argc > 2 ? argv[2] : everywhere);
    else
        rc = coir_run(NULL, self_test, NULL);
    if (rc < 0)
        fprintf(stderr, "echo: %s\n", coir_strerror(rc));
    return rc < 0;
}
