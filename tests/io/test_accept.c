/* SPDX-License-Identifier: MIT */
/* Listening, accepting and connecting. */
#include "io/pairs.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>

static int accept_one(void *arg)
{
    int *fd = arg;
    *fd = coir_accept(*fd, NULL);
    return *fd < 0 ? *fd : 0;
}

TASK_TEST(accepted_and_connected_sockets_are_as_promised)
{
    char address[COIR_ADDR_TEXT], text[COIR_ADDR_TEXT], expected[COIR_ADDR_TEXT];
    coir_addr peer, local;
    int listener = loopback_listener();
    address_of(listener, address);
    int client = coir_tcp_connect(address);
    CHECK_GE(client, 0);
    int server = coir_accept(listener, &peer);
    CHECK_GE(server, 0);
    const int fds[] = {client, server, listener};
    for (int i = 0; i < 3; i++) {
        int nodelay = 0;
        socklen_t len = sizeof nodelay;
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        CHECK_EQ(getsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
        CHECK_EQ(nodelay, 1);
    }
    CHECK_EQ(coir_local_addr(client, &local), 0);
    coir_addr_format(&local, expected, sizeof expected);
    coir_addr_format(&peer, text, sizeof text);
    CHECK_STR(text, expected);
    CHECK_EQ(coir_peer_addr(server, &local), 0);
    coir_addr_format(&local, text, sizeof text);
    CHECK_STR(text, expected);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_close(fds[i]), 0);
}

TASK_TEST(several_tasks_accept_from_one_listener)
{
    enum { N = 40, ACCEPTORS = 8 };
    char address[COIR_ADDR_TEXT];
    int listener = loopback_listener(), fds[ACCEPTORS], clients[N];
    address_of(listener, address);
    for (int round = 0; round < N / ACCEPTORS; round++) {
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < ACCEPTORS; i++) {
            fds[i] = listener;
            CHECK_EQ(coir_spawn(&g, accept_one, &fds[i]), 0);
        }
        for (int i = 0; i < ACCEPTORS; i++)
            CHECK_GE(clients[i] = coir_tcp_connect(address), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        for (int i = 0; i < ACCEPTORS; i++) {
            CHECK_EQ(coir_close(fds[i]), 0);
            CHECK_EQ(coir_close(clients[i]), 0);
        }
    }
    CHECK_EQ(coir_close(listener), 0);
}

TASK_TEST(listeners_of_others_can_be_accepted_from)
{
    for (int flags = 0; flags < 2; flags++) {
        coir_addr a;
        int fd = socket(AF_INET, SOCK_STREAM | (flags ? SOCK_NONBLOCK : 0), 0);
        CHECK_GE(fd, 0);
        CHECK_EQ(coir_addr_parse(&a, "127.0.0.1"), 0);
        CHECK_EQ(bind(fd, &a.u.sa, a.len), 0);
        CHECK_EQ(listen(fd, 5), 0);
        int before = fcntl(fd, F_GETFL), server = fd;
        char address[COIR_ADDR_TEXT];
        address_of(fd, address);
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, accept_one, &server), 0);
        int client = coir_tcp_connect(address);
        CHECK_GE(client, 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK(fcntl(server, F_GETFL) & O_NONBLOCK);
        CHECK_EQ(fcntl(fd, F_GETFL), before);
        CHECK_EQ(coir_close(fd), 0);
        CHECK_EQ(coir_close(server), 0);
        CHECK_EQ(coir_close(client), 0);
    }
}

static void local_address(coir_addr *a)
{
    char text[COIR_ADDR_TEXT];
    static _Atomic int serial;
    snprintf(text, sizeof text, "unix:@coir-test-%d-%d", (int)getpid(),
             atomic_fetch_add(&serial, 1));
    CHECK_EQ(coir_addr_parse(a, text), 0);
}

TASK_TEST(local_sockets_listen_and_connect)
{
    for (int blocking = 0; blocking < 2; blocking++) {
        coir_addr a;
        local_address(&a);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0), server = fd;
        CHECK_EQ(bind(fd, &a.u.sa, a.len), 0);
        CHECK_EQ(listen(fd, 5), 0);
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, accept_one, &server), 0);
        int client = socket(AF_UNIX, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
        CHECK_EQ(coir_connect(client, &a), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_EQ(coir_write(client, "x", 1), 1);
        char byte;
        CHECK_EQ(coir_read(server, &byte, 1), 1);
        CHECK_EQ(coir_close(client), 0);
        CHECK_EQ(coir_close(server), 0);
        CHECK_EQ(coir_close(fd), 0);
    }
}

static int accept_three(void *arg)
{
    int listener = *(int *)arg;
    for (int i = 0; i < 3; i++) {
        int fd = coir_accept(listener, NULL);
        CHECK_GE(fd, 0);
        CHECK_EQ(coir_close(fd), 0);
    }
    return 0;
}

TASK_TEST(connecting_to_a_full_local_listener_waits_for_room)
{
    coir_addr a;
    local_address(&a);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), full[2];
    CHECK_EQ(bind(fd, &a.u.sa, a.len), 0);
    CHECK_EQ(listen(fd, 0), 0);
    for (int i = 0; i < 1; i++) {
        full[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK_EQ(connect(full[i], &a.u.sa, a.len), 0);
    }
    int late = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0),
        later = socket(AF_UNIX, SOCK_STREAM, 0);
    coir_scope s;
    coir_scope_begin(&s, COIR_MS(3));
    int rc = coir_connect(late, &a);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, rc), -ETIMEDOUT);
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, accept_three, &fd), 0);
    CHECK_EQ(coir_connect(late, &a), 0);
    CHECK_EQ(coir_connect(later, &a), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_close(full[0]), 0);
    CHECK_EQ(coir_close(late), 0);
    CHECK_EQ(coir_close(later), 0);
    CHECK_EQ(coir_close(fd), 0);
}

typedef struct pest {
    pthread_t victim;
    _Atomic bool enough;
} pest;

static void do_nothing(int sig) { (void)sig; }

static void *interrupt_often(void *arg)
{
    pest *p = arg;
    while (!p->enough) {
        CHECK_EQ(pthread_kill(p->victim, SIGUSR2), 0);
        usleep(300);
    }
    return NULL;
}

/* A signal interrupts the short wait of a blocking socket. Nothing is under way then, unlike with TCP. */
TASK_TEST(an_interrupted_connect_to_a_full_local_listener_has_not_succeeded)
{
    coir_addr a;
    pthread_t thread;
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART | SA_ONSTACK}, old;
    local_address(&a);
    CHECK_EQ(sigaction(SIGUSR2, &action, &old), 0);
    CHECK_EQ(coir_pin(), 0);
    pest p = {.victim = pthread_self()};
    CHECK_EQ(pthread_create(&thread, NULL, interrupt_often, &p), 0);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), first = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(listener, &a.u.sa, a.len), 0);
    CHECK_EQ(listen(listener, 0), 0);
    CHECK_EQ(coir_connect(first, &a), 0);
    for (int i = 0; i < 20; i++) {
        int late = socket(AF_UNIX, SOCK_STREAM, 0);
        coir_scope s;
        coir_scope_begin(&s, COIR_MS(10));
        CHECK_EQ(coir_scope_end(&s, coir_connect(late, &a)), -ETIMEDOUT);
        CHECK_EQ(coir_close(late), 0);
    }
    p.enough = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(coir_unpin(), 0);
    CHECK_EQ(sigaction(SIGUSR2, &old, NULL), 0);
    CHECK_EQ(coir_close(first), 0);
    CHECK_EQ(coir_close(listener), 0);
}

/* -- errors --------------------------------------------------------------------------------------- */

TASK_TEST(a_port_in_use_is_refused)
{
    char address[COIR_ADDR_TEXT];
    int listener = loopback_listener();
    address_of(listener, address);
    CHECK_EQ(coir_tcp_listen(address, NULL), -EADDRINUSE);
    CHECK_EQ(coir_close(listener), 0);
    listener = coir_tcp_listen(address, NULL);
    CHECK_GE(listener, 0);
    CHECK_EQ(coir_close(listener), 0);
}

TASK_TEST(a_shared_port_is_not)
{
    char address[COIR_ADDR_TEXT];
    coir_listen_options o = {.reuse_port = true, .backlog = 3};
    int a = coir_tcp_listen("127.0.0.1:0", &o);
    CHECK_GE(a, 0);
    address_of(a, address);
    int b = coir_tcp_listen(address, &o);
    CHECK_GE(b, 0);
    CHECK_EQ(coir_close(a), 0);
    CHECK_EQ(coir_close(b), 0);
    o.backlog = -1;
    CHECK_EQ(coir_tcp_listen("127.0.0.1:0", &o), -EINVAL);
}

TASK_TEST(nobody_listening_is_a_refusal)
{
    char address[COIR_ADDR_TEXT];
    int listener = loopback_listener();
    address_of(listener, address);
    CHECK_EQ(coir_close(listener), 0);
    CHECK_EQ(coir_tcp_connect(address), -ECONNREFUSED);
    coir_addr a;
    CHECK_EQ(coir_addr_parse(&a, address), 0);
    for (int flags = 0; flags < 2; flags++) {
        int fd = socket(AF_INET, SOCK_STREAM | (flags ? SOCK_NONBLOCK : 0), 0);
        CHECK_EQ(coir_connect(fd, &a), -ECONNREFUSED);
        CHECK_EQ(coir_close(fd), 0);
    }
    CHECK_EQ(coir_connect(0, NULL), -EINVAL);
    CHECK_EQ(coir_connect(-1, &a), -EBADF);
}

TASK_TEST(not_everything_accepts)
{
    int fds[2];
    make_pair(PAIR_SOCKETPAIR, fds);
    CHECK_EQ(coir_accept(fds[0], NULL), -EINVAL);
    close_pair(fds);
    make_pair(PAIR_FOREIGN_PIPE, fds);
    CHECK_EQ(coir_accept(fds[0], NULL), -ENOTSOCK);
    close_pair(fds);
}

TASK_TEST(connecting_a_blocking_socket_leaves_it_as_it_was)
{
    char address[COIR_ADDR_TEXT];
    coir_addr a;
    struct timeval kept = {.tv_sec = 7}, now;
    socklen_t len = sizeof now;
    int listener = loopback_listener();
    address_of(listener, address);
    CHECK_EQ(coir_addr_parse(&a, address), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kept, sizeof kept), 0);
    CHECK_EQ(coir_connect(fd, &a), 0);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &now, &len), 0);
    CHECK_EQ(now.tv_sec, 7);
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    CHECK_EQ(coir_connect(fd, &a), -EISCONN);
    CHECK_EQ(coir_close(fd), 0);
    CHECK_EQ(coir_close(listener), 0);
}

/* Both queues of a listener that nobody accepts from are full at some time: then a SYN is dropped, and connecting waits. */
static int connect_many(void *arg)
{
    const coir_addr *a = arg;
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK_GE(fd, 0);
        int rc = coir_connect(fd, a);
        CHECK_EQ(coir_close(fd), 0);
        if (rc < 0)
            return rc;
    }
}

TASK_TEST(a_connect_that_nobody_answers_ends_at_its_deadline)
{
    char address[COIR_ADDR_TEXT];
    coir_addr a;
    coir_listen_options o = {.backlog = 1};
    int listener = coir_tcp_listen("127.0.0.1:0", &o);
    address_of(listener, address);
    CHECK_EQ(coir_addr_parse(&a, address), 0);
    CHECK_EQ(coir_with_timeout(COIR_MS(20), connect_many, &a), -ETIMEDOUT);
    CHECK_EQ(coir_close(listener), 0);
}

/* -- several addresses ---------------------------------------------------------------------------- */

/* A listener on [::1] whose queues are full, so that it answers nobody. -1: no IPv6 here. */
static int silent_listener(char port[16])
{
    coir_listen_options o = {.backlog = 1, .ipv6_only = true};
    coir_addr a;
    int fd = coir_tcp_listen("[::1]:0", &o);
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
        return -1;
    CHECK_GE(fd, 0);
    CHECK_EQ(coir_local_addr(fd, &a), 0);
    snprintf(port, 16, "%d", coir_addr_port(&a));
    return fd;
}

static int fill_queue(void *arg)
{
    int *fds = arg;
    coir_addr a;
    CHECK_EQ(coir_local_addr(fds[0], &a), 0);
    for (int i = 1;; i++) {
        fds[i] = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK_GE(fds[i], 0);
        int rc = coir_connect(fds[i], &a);
        if (rc < 0)
            return rc;
    }
}

static int connect_by_name(void *arg)
{
    int fd = coir_tcp_connect(arg);
    return fd < 0 ? fd : coir_close(fd);
}

TASK_TEST(an_address_that_does_not_answer_is_left_for_the_next)
{
    char port[16], address[64], both[32];
    int fds[16] = {silent_listener(port)};
    if (fds[0] < 0)
        skip("no IPv6");
    snprintf(address, sizeof address, "127.0.0.1:%s", port);
    snprintf(both, sizeof both, ":%s", port);
    CHECK_EQ(coir_with_timeout(COIR_MS(20), fill_queue, fds), -ETIMEDOUT);
    int before = harness_count_fds();
    CHECK_EQ(coir_with_timeout(COIR_MS(20), connect_by_name, both),
             -ETIMEDOUT); // still at the first
    CHECK_EQ(harness_count_fds(), before);
    int listener = coir_tcp_listen(address, NULL);
    CHECK_GE(listener, 0);
    CHECK_EQ(connect_by_name(both), 0);
    CHECK_EQ(coir_close(listener), 0);
    for (int i = 0; i < 16 && fds[i] > 0; i++)
        CHECK_EQ(coir_close(fds[i]), 0);
}

/* -- out of descriptors --------------------------------------------------------------------------- */

static int64_t cpu_time(void)
{
    struct rusage u;
    CHECK_EQ(getrusage(RUSAGE_SELF, &u), 0);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * COIR_S(1) +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

typedef struct shortage {
    int listener, fd;
    _Atomic int lines;
    struct rlimit limit;
    int64_t freed, accepted;
} shortage;

static void count_line(void *arg, const char *line)
{
    shortage *s = arg;
    CHECK(strstr(line, "coir_accept"));
    atomic_fetch_add(&s->lines, 1);
}

static int accept_in_shortage(void *arg)
{
    shortage *s = arg;
    s->fd = coir_accept(s->listener, NULL);
    s->accepted = coir_now();
    return s->fd < 0 ? s->fd : 0;
}

static int run_shortage(void *arg)
{
    shortage *s = arg;
    char address[COIR_ADDR_TEXT];
    int spare[64], n = 0;
    s->listener = loopback_listener();
    address_of(s->listener, address);
    int client = coir_tcp_connect(address);
    CHECK_GE(client, 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &s->limit), 0);
    struct rlimit low = {.rlim_cur = (rlim_t)harness_count_fds() + 20,
                         .rlim_max = s->limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (spare[n] = dup(client)) >= 0)
        n++;
    CHECK_LT(n, 64);
    coir_group g;
    coir_group_begin(&g, 0);
    int64_t cpu = cpu_time();
    CHECK_EQ(coir_spawn(&g, accept_in_shortage, s), 0);
    CHECK_EQ(coir_sleep(COIR_MS(300)), 0);
    CHECK_LT(cpu_time() - cpu, COIR_MS(100) * harness_scale());
    CHECK_EQ(s->fd, -1);
    CHECK_EQ(atomic_load(&s->lines), 1);
    for (int i = 0; i < n; i++)
        CHECK_EQ(close(spare[i]), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_GE(s->fd, 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &s->limit), 0);
    CHECK_EQ(coir_close(s->fd), 0);
    CHECK_EQ(coir_close(client), 0);
    return coir_close(s->listener);
}

TEST(out_of_descriptors_accept_waits_and_goes_on)
{
    shortage s = {.fd = -1};
    coir_options o = {.log = count_line, .hook_arg = &s};
    CHECK_EQ(coir_run(&o, run_shortage, &s), 0);
}

static int run_cancelled_shortage(void *arg)
{
    shortage *s = arg;
    int spare[64], n = 0;
    s->listener = loopback_listener();
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &s->limit), 0);
    struct rlimit low = {.rlim_cur = (rlim_t)harness_count_fds() + 20,
                         .rlim_max = s->limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (spare[n] = dup(s->listener)) >= 0)
        n++;
    CHECK_EQ(coir_with_timeout(COIR_MS(1), accept_in_shortage, s), -ETIMEDOUT);
    coir_group g;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    CHECK_EQ(coir_spawn(&g, accept_in_shortage, s), 0);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(close(spare[i]), 0);
    CHECK_EQ(coir_close(s->listener), 0);
    CHECK_EQ(coir_group_end(&g), -EBADF);
    return setrlimit(RLIMIT_NOFILE, &s->limit);
}

TEST(a_shortage_can_be_cancelled_and_closed)
{
    shortage s = {.fd = -1};
    coir_options o = {.log = count_line, .hook_arg = &s};
    CHECK_EQ(coir_run(&o, run_cancelled_shortage, &s), 0);
}

TEST_MAIN("accept")
