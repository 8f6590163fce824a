/* SPDX-License-Identifier: MIT */
/* Addresses as text, and names. */
#include "io/pairs.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static void check_round_trip(const char *text, const char *expected)
{
    coir_addr a;
    char out[COIR_ADDR_TEXT];
    CHECK_EQ(coir_addr_parse(&a, text), 0);
    CHECK_EQ(coir_addr_format(&a, out, sizeof out), strlen(expected));
    CHECK_STR(out, expected);
    coir_addr again;
    CHECK_EQ(coir_addr_parse(&again, out), 0);
    CHECK_EQ(again.len, a.len);
}

TEST(addresses_are_parsed_and_formatted)
{
    check_round_trip("127.0.0.1:80", "127.0.0.1:80");
    check_round_trip("1.2.3.4", "1.2.3.4:0");
    check_round_trip("255.255.255.255:65535", "255.255.255.255:65535");
    check_round_trip("[::1]:80", "[::1]:80");
    check_round_trip("::1", "[::1]:0");
    check_round_trip("[2001:db8::1]:443", "[2001:db8::1]:443");
    check_round_trip("::ffff:1.2.3.4", "[::ffff:1.2.3.4]:0");
    check_round_trip("[fe80::1%7]:1", "[fe80::1%7]:1");
    check_round_trip("unix:/tmp/x", "unix:/tmp/x");
    check_round_trip("unix:@x", "unix:@x");
    check_round_trip("unix:", "unix:");
}

TEST(what_is_no_address_is_refused)
{
    static const char *const bad[] = {
        "",
        ":80",
        "localhost:80",
        "1.2.3:80",
        "1.2.3.4.5:80",
        "1.2.3.400:80",
        "256.1.1.1:1",
        "1.2.3.4:",
        "1.2.3.4:x",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:+1",
        "1.2.3.4: 1",
        "1.2.3.4:1 ",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "::1]:80",
        "[1.2.3.4]:80",
        "[:::1]:80",
        "[::g]:1",
        "01.2.3.4x",
        "1.2.3.4:80:90",
        "[fe80::1%nosuch]:1",
        "0x7f.1:1",
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        coir_addr a = {.len = 77};
        if (coir_addr_parse(&a, bad[i]) != -EINVAL)
            harness_fail(__FILE__, __LINE__, "'%s' was taken for an address", bad[i]);
        CHECK_EQ(a.len, 77);
    }
    coir_addr a;
    CHECK_EQ(coir_addr_parse(&a, NULL), -EINVAL);
}

TEST(a_buffer_that_is_too_small_is_refused)
{
    coir_addr a;
    char buf[20] = "untouched";
    CHECK_EQ(coir_addr_parse(&a, "127.0.0.1:80"), 0);
    CHECK_EQ(coir_addr_format(&a, buf, 12), -ENOSPC);
    CHECK_STR(buf, "untouched");
    CHECK_EQ(coir_addr_format(&a, buf, 13), 12);
    CHECK_EQ(coir_addr_port(&a), 80);
    CHECK_EQ(coir_addr_parse(&a, "unix:/x"), 0);
    CHECK_EQ(coir_addr_port(&a), -EINVAL);
}

TEST(addresses_of_what_is_no_socket_are_errors)
{
    coir_addr a;
    int fds[2];
    CHECK_EQ(coir_pipe(fds), 0);
    CHECK_EQ(coir_local_addr(fds[0], &a), -ENOTSOCK);
    CHECK_EQ(coir_peer_addr(-1, &a), -EBADF);
    CHECK_EQ(coir_local_addr(fds[0], NULL), -EINVAL);
    CHECK_EQ(coir_close(fds[0]), 0);
    CHECK_EQ(coir_close(fds[1]), 0);
    CHECK_EQ(coir_pipe(NULL), -EINVAL);
    CHECK_EQ(coir_socketpair(NULL), -EINVAL);
}

static const char *const malformed[] = {
    "",
    "localhost",
    "1.2.3.400:80",
    "256.1.1.1:1",
    "1.2.3:80",
    "1:80",
    "0x7f000001:80",
    "host.1:80",
    "localhost:",
    "localhost:65536",
    "localhost:-1",
    "localhost:80x",
    "localhost: 80",
    "::1:80",
    "[::1]",
    "a b:80",
    "a/b:80",
    "localhost:ht tp",
    "[localhost]:80",
};

TASK_TEST(malformed_names_and_ports_are_refused_without_a_look_up)
{
    int before = harness_count_threads();
    for (unsigned i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        if (coir_tcp_connect(malformed[i]) != -EINVAL ||
            coir_tcp_listen(malformed[i], NULL) != -EINVAL)
            harness_fail(__FILE__, __LINE__, "'%s' was not refused", malformed[i]);
    }
    CHECK_EQ(coir_tcp_connect(NULL), -EINVAL);
    char longest[400];
    memset(longest, 'a', sizeof longest);
    strcpy(longest + 300, ":80");
    CHECK_EQ(coir_tcp_connect(longest), -EINVAL);
    coir_addr a;
    CHECK_EQ(coir_resolve("localhost", "80", &a, 0), -EINVAL);
    CHECK_EQ(coir_resolve(NULL, NULL, &a, 1), -EINVAL);
    CHECK_EQ(coir_resolve("localhost", "80", NULL, 1), -EINVAL);
    CHECK_EQ(coir_resolve("1.2.3", "80", &a, 1), -EINVAL);
    CHECK_EQ(coir_resolve("1.2.3.4", "65536", &a, 1), -EINVAL);
    CHECK_EQ(harness_count_threads(), before);
}

TASK_TEST(unknown_names_are_not_found)
{
    harness_allow_blocks(300);
    coir_addr a;
    CHECK_EQ(coir_tcp_connect("no-such-host.invalid:80"), -ENOENT);
    CHECK_EQ(coir_tcp_connect("invalid.:80"), -ENOENT);
    CHECK_EQ(coir_tcp_connect("127.0.0.1:no-such-service"), -ENOENT);
    CHECK_EQ(coir_resolve(NULL, "no-such-service", &a, 1), -ENOENT);
}

TASK_TEST(numbers_need_no_helper)
{
    int before = harness_count_threads();
    coir_addr a[4];
    char text[COIR_ADDR_TEXT];
    CHECK_EQ(coir_resolve("192.0.2.1", "443", a, 4), 1);
    coir_addr_format(&a[0], text, sizeof text);
    CHECK_STR(text, "192.0.2.1:443");
    CHECK_EQ(coir_resolve("2001:db8::2", NULL, a, 4), 1);
    coir_addr_format(&a[0], text, sizeof text);
    CHECK_STR(text, "[2001:db8::2]:0");
    CHECK_EQ(coir_resolve(NULL, "7", a, 4), 2);
    CHECK_EQ(coir_resolve(NULL, "7", a, 1), 1);
    CHECK_EQ(harness_count_threads(), before);
}

TASK_TEST(names_are_looked_up_by_a_helper)
{
    harness_allow_blocks(300);
    coir_addr a[8];
    int n = coir_resolve("localhost", "http", a, 8);
    if (n == -ENOENT || n == -EAGAIN)
        skip("this machine knows neither localhost nor http");
    CHECK_GE(n, 1);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_addr_port(&a[i]), 80);
    CHECK_EQ(coir_resolve("localhost", NULL, a, 1), 1);
    CHECK_EQ(coir_addr_port(&a[0]), 0);
}

static int resolve_localhost(void *arg)
{
    coir_addr a[4];
    (void)arg;
    int n = coir_resolve("localhost", "80", a, 4);
    return n < 0 ? n : 0;
}

TASK_TEST(many_look_up_at_once_with_few_helpers)
{
    harness_allow_blocks(300);
    int before = harness_count_threads();
    coir_group g;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(coir_spawn(&g, resolve_localhost, NULL), 0);
    coir_yield();
    CHECK_LE(harness_count_threads(), before + 4);
    int rc = coir_group_end(&g);
    CHECK(rc == 0 || rc == -ENOENT || rc == -EAGAIN);
}

TASK_TEST(a_cancelled_look_up_returns_and_is_awaited_by_the_end)
{
    harness_allow_blocks(300);
    for (int i = 0; i < 50; i++) {
        coir_scope s;
        coir_scope_begin(&s, i % 2 ? COIR_US(20) : 0);
        int rc = resolve_localhost(NULL);
        CHECK(rc == 0 || rc == -ECANCELED || rc == -ENOENT || rc == -EAGAIN);
        coir_scope_end(&s, rc);
    }
}

static int lone_look_up(void *arg)
{
    (void)arg;
    int rc = resolve_localhost(NULL);
    return rc == -ENOENT || rc == -EAGAIN ? 0 : rc;
}

static void no_deadlock(void *arg)
{
    (void)arg;
    harness_fail(__FILE__, __LINE__, "a look-up under way was taken for a deadlock");
}

TEST(a_look_up_is_no_deadlock)
{
    harness_allow_blocks(300);
    coir_options o = {.on_deadlock = no_deadlock, .blocking_threads_max = 1};
    for (int i = 0; i < 10; i++)
        CHECK_EQ(coir_run(&o, lone_look_up, NULL), 0);
}

/* -- listening and connecting by name ------------------------------------------------------------- */

static void check_connects(const char *listen_at, const char *connect_to)
{
    char to[64], port[16];
    coir_addr a;
    int listener = coir_tcp_listen(listen_at, NULL);
    if (listener == -EAFNOSUPPORT || listener == -EADDRNOTAVAIL || listener == -ENOENT ||
        listener == -EAGAIN)
        return; // no IPv6, or no localhost, on this machine
    CHECK_GE(listener, 0);
    CHECK_EQ(coir_local_addr(listener, &a), 0);
    snprintf(port, sizeof port, "%d", coir_addr_port(&a));
    snprintf(to, sizeof to, "%s:%s", connect_to, port);
    int client = coir_tcp_connect(to);
    if (client < 0)
        harness_fail(__FILE__, __LINE__, "%s, %s: %s", listen_at, to, coir_strerror(client));
    int server = coir_accept(listener, NULL);
    CHECK_GE(server, 0);
    CHECK_EQ(coir_close(client), 0);
    CHECK_EQ(coir_close(server), 0);
    CHECK_EQ(coir_close(listener), 0);
}

TASK_TEST(listeners_are_reached_by_their_names)
{
    harness_allow_blocks(300);
    check_connects("127.0.0.1:0", "127.0.0.1");
    check_connects(":0", "127.0.0.1");
    check_connects(":0", "");
    check_connects("0.0.0.0:0", "127.0.0.1");
    check_connects("[::1]:0", "[::1]");
    check_connects("[::]:0", "127.0.0.1");
    check_connects("localhost:0", "localhost");
    check_connects("127.0.0.1:0", "localhost"); // ::1 refuses, if there is one
    check_connects("127.0.0.1:0", "");
}

TASK_TEST(all_addresses_refusing_is_a_refusal)
{
    int rc = 0;
    char to[32];
    coir_addr a;
    int listener = loopback_listener();
    CHECK_EQ(coir_local_addr(listener, &a), 0);
    snprintf(to, sizeof to, ":%d", coir_addr_port(&a));
    CHECK_EQ(coir_close(listener), 0);
    rc = coir_tcp_connect(to);
    CHECK(rc == -ECONNREFUSED || rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT);
    CHECK_EQ(coir_with_timeout(0, resolve_localhost, NULL), -ETIMEDOUT);
}

TEST_MAIN("addr")
