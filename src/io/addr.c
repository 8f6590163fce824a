/* SPDX-License-Identifier: MIT */
/*
 * addr.c - addresses as text.
 *
 * Stricter than getaddrinfo(3), which takes "1.2.3" for 1.2.0.3 and would ask a name server about "1.2.3.400": four
 * decimal numbers make an IPv4 address, and whatever else ends in a number is a mistake.
 */
#include "io/addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static struct sockaddr_in *v4(coir_addr *a) { return (struct sockaddr_in *)(void *)&a->u; }

static struct sockaddr_in6 *v6(coir_addr *a) { return (struct sockaddr_in6 *)(void *)&a->u; }

static bool copy_part(char *to, size_t size, const char *from, size_t n)
{
    if (n >= size)
        return false;
    memcpy(to, from, n);
    to[n] = '\0';
    return true;
}

int coir__addr_split(const char *text, char host[COIR__HOST_MAX], char service[COIR__SERVICE_MAX])
{
    const char *begin = text, *end, *colon;
    if (!text)
        return -EINVAL;
    if (*text == '[') {
        begin = text + 1;
        end = strchr(begin, ']');
        colon = end ? end + 1 : NULL;
        if (!end || *colon != ':' || !memchr(begin, ':', (size_t)(end - begin)))
            return -EINVAL;
    } else {
        end = colon = strchr(text, ':');
        if (!colon || strchr(colon + 1, ':'))
            return -EINVAL;
    }
    if (!copy_part(host, COIR__HOST_MAX, begin, (size_t)(end - begin)) ||
        !copy_part(service, COIR__SERVICE_MAX, colon + 1, strlen(colon + 1)))
        return -EINVAL;
    return *service ? 0 : -EINVAL;
}

int coir__addr_service(const char *service)
{
    int port = 0;
    if (!isdigit((unsigned char)*service)) {
        for (const char *c = service; *c; c++)
            if (!isalnum((unsigned char)*c) && !strchr("-_.+/*", *c))
                return -EINVAL;
        return isalpha((unsigned char)*service) ? -ENOENT : -EINVAL;
    }
    for (const char *c = service; *c; c++) {
        if (!isdigit((unsigned char)*c))
            return -EINVAL;
        port = port * 10 + (*c - '0');
        if (port > 65535)
            return -EINVAL;
    }
    return port;
}

void coir__addr_set_port(coir_addr *a, int port)
{
    if (a->u.sa.sa_family == AF_INET6)
        v6(a)->sin6_port = htons((uint16_t)port);
    else if (a->u.sa.sa_family == AF_INET)
        v4(a)->sin_port = htons((uint16_t)port);
}

static bool parse_v4(coir_addr *ret, const char *host)
{
    coir_addr a = {.len = sizeof(struct sockaddr_in)};
    a.u.sa.sa_family = AF_INET;
    if (inet_pton(AF_INET, host, &v4(&a)->sin_addr) != 1)
        return false;
    *ret = a;
    return true;
}

/* The number behind '%': an interface's index or name; 0 if there is none. */
static uint32_t parse_zone(const char *zone)
{
    uint32_t n = 0;
    if (!isdigit((unsigned char)*zone))
        return if_nametoindex(zone);
    for (; isdigit((unsigned char)*zone); zone++)
        n = n * 10 + (uint32_t)(*zone - '0');
    return *zone ? 0 : n;
}

static bool parse_v6(coir_addr *ret, const char *host)
{
    coir_addr a = {.len = sizeof(struct sockaddr_in6)};
    char digits[INET6_ADDRSTRLEN];
    const char *zone = strchr(host, '%');
    a.u.sa.sa_family = AF_INET6;
    if (!copy_part(digits, sizeof digits, host, zone ? (size_t)(zone - host) : strlen(host)) ||
        inet_pton(AF_INET6, digits, &v6(&a)->sin6_addr) != 1)
        return false;
    if (zone && (v6(&a)->sin6_scope_id = parse_zone(zone + 1)) == 0)
        return false;
    *ret = a;
    return true;
}

/* Whether the last label is a number, decimal or "0x...". */
static bool ends_in_number(const char *host)
{
    size_t n = strlen(host);
    if (n > 1 && host[n - 1] == '.')
        n--;
    size_t begin = n;
    while (begin > 0 && host[begin - 1] != '.')
        begin--;
    const char *label = host + begin;
    size_t length = n - begin, digits = strspn(label, "0123456789");
    if (digits >= length)
        return true;
    return label[0] == '0' && (label[1] == 'x' || label[1] == 'X') &&
           2 + strspn(label + 2, "0123456789abcdefABCDEF") >= length;
}

int coir__addr_host(coir_addr *ret, const char *host)
{
    size_t n = strlen(host);
    if (parse_v4(ret, host))
        return 1;
    if (strchr(host, ':'))
        return parse_v6(ret, host) ? 1 : -EINVAL;
    if (n == 0 || n >= COIR__HOST_MAX || ends_in_number(host))
        return -EINVAL;
    for (const char *c = host; *c; c++)
        if ((unsigned char)*c <= ' ' || strchr("/[]%@\x7f", *c))
            return -EINVAL;
    return 0;
}

/* -- public --------------------------------------------------------------------------------------- */

static int parse_local(coir_addr *ret, const char *path)
{
    coir_addr a = {.len = 0};
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&a.u;
    size_t n = strlen(path);
    if (n >= sizeof un->sun_path)
        return -EINVAL;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, n);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (*path == '@') /* the abstract name space */
        un->sun_path[0] = '\0';
    else if (n > 0)
        a.len++;
    *ret = a;
    return 0;
}

int coir_addr_parse(coir_addr *ret, const char *text)
{
    char host[COIR__HOST_MAX], service[COIR__SERVICE_MAX];
    coir_addr a;
    if (!text || !ret)
        return -EINVAL;
    if (strncmp(text, "unix:", 5) == 0)
        return parse_local(ret, text + 5);
    if (parse_v4(&a, text) || parse_v6(&a, text)) {
        *ret = a;
        return 0;
    }
    if (coir__addr_split(text, host, service) < 0)
        return -EINVAL;
    int port = coir__addr_service(service);
    if (port < 0 || coir__addr_host(&a, host) != 1)
        return -EINVAL;
    coir__addr_set_port(&a, port);
    *ret = a;
    return 0;
}

static int format_v6(const coir_addr *a, char *text, size_t n)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&a->u;
    char digits[INET6_ADDRSTRLEN], zone[16] = "";
    inet_ntop(AF_INET6, &in6->sin6_addr, digits, sizeof digits);
    if (in6->sin6_scope_id)
        snprintf(zone, sizeof zone, "%%%u", in6->sin6_scope_id);
    return snprintf(text, n, "[%s%s]:%d", digits, zone, ntohs(in6->sin6_port));
}

static int format_local(const coir_addr *a, char *text, size_t n)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&a->u;
    size_t length = (size_t)a->len - offsetof(struct sockaddr_un, sun_path);
    if (a->len <= offsetof(struct sockaddr_un, sun_path))
        return snprintf(text, n, "unix:");
    if (un->sun_path[0] == '\0')
        return snprintf(text, n, "unix:@%.*s", (int)length - 1, un->sun_path + 1);
    return snprintf(text, n, "unix:%.*s", (int)length, un->sun_path);
}

int coir_addr_format(const coir_addr *a, char *buf, size_t n)
{
    char text[COIR_ADDR_TEXT], digits[INET_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&a->u;
    int length;
    switch (a->u.sa.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &in->sin_addr, digits, sizeof digits);
        length = snprintf(text, sizeof text, "%s:%d", digits, ntohs(in->sin_port));
        break;
    case AF_INET6:
        length = format_v6(a, text, sizeof text);
        break;
    case AF_UNIX:
        length = format_local(a, text, sizeof text);
        break;
    default:
        length = snprintf(text, sizeof text, "family:%d", a->u.sa.sa_family);
        break;
    }
    if ((size_t)length >= n)
        return -ENOSPC;
    memcpy(buf, text, (size_t)length + 1);
    return length;
}

int coir_addr_port(const coir_addr *a)
{
    switch (a->u.sa.sa_family) {
    case AF_INET:
        return ntohs(((const struct sockaddr_in *)(const void *)&a->u)->sin_port);
    case AF_INET6:
        return ntohs(((const struct sockaddr_in6 *)(const void *)&a->u)->sin6_port);
    default:
        return -EINVAL;
    }
}
