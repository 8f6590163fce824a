/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - names, by getaddrinfo(3) in helper threads.
 *
 *   task --> [requests] --> helper "coir/dns": getaddrinfo --> result in the request, task woken
 *
 * A request belongs to its task and to the helper that works on it; the last one frees it. A task that is cancelled lets
 * go of it and returns; the helper finds nobody waiting. Helpers start when a request finds none idle and there are
 * fewer than the options allow, and end when they have been idle for a second or the runtime ends; that waits for
 * look-ups under way, because the C library's can't be broken off.
 *
 * Locks: resolver->mutex guards queue and threads; request->lock, an object lock, guards the result and the waiter.
 */
#include "io/resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/alloc.h"
#include "io/addr.h"
#include "io/op.h"

#define HELPERS_DEFAULT 4
#define IDLE_SECONDS 1

typedef struct request {
    coir__lock lock;
    coir__link waiters; /* one */
    bool done;
    int status; /* the count, or an error */
    _Atomic int refs;
    struct request *next; /* in the queue */
    int flags;            /* AI_... */
    char host[COIR__HOST_MAX];
    char service[COIR__SERVICE_MAX];
    size_t capacity;
    coir_addr addrs[];
} request;

enum helper_state { ABSENT, RUNNING, ENDED /* to be joined */ };

typedef struct helper {
    struct resolver *resolver;
    pthread_t thread;
    enum helper_state state;
} helper;

typedef struct resolver {
    coir__runtime *rt;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t work;
    request *first, **last;
    bool stopping;
    unsigned idle;
    unsigned max;
    helper helpers[];
} resolver;

/* -- requests ------------------------------------------------------------------------------------- */

static request *request_new(const char *host, const char *service, int flags, size_t n)
{
    request *r = coir__alloc_zero(sizeof *r + n * sizeof *r->addrs);
    if (!r)
        return NULL;
    strcpy(r->host, host); /* both have been measured by the parser */
    strcpy(r->service, service);
    r->flags = flags;
    r->capacity = n;
    atomic_store_explicit(&r->refs, 2, memory_order_relaxed);
    return r;
}

static void request_drop(request *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        coir__release(r);
}

static int error_of(int eai)
{
    switch (eai) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    case EAI_FAIL:
        return -EIO;
    default: /* no such name, no address for it, no such service */
        return -ENOENT;
    }
}

static int copy_addrs(request *r, const struct addrinfo *list)
{
    size_t n = 0;
    for (const struct addrinfo *i = list; i && n < r->capacity; i = i->ai_next) {
        if (i->ai_addrlen > sizeof r->addrs[n].u)
            continue;
        memcpy(&r->addrs[n].u, i->ai_addr, i->ai_addrlen);
        r->addrs[n++].len = i->ai_addrlen;
    }
    return n ? (int)n : -ENOENT;
}

static int look_up(request *r)
{
    struct addrinfo hints = {.ai_flags = r->flags, .ai_socktype = SOCK_STREAM}, *list = NULL;
    errno = 0;
    int eai = getaddrinfo(*r->host ? r->host : NULL, *r->service ? r->service : NULL, &hints,
                          &list);
    if (eai != 0)
        return error_of(eai);
    int n = copy_addrs(r, list);
    freeaddrinfo(list);
    return n;
}

static void request_serve(resolver *s, request *r)
{
    uint32_t was;
    int status = atomic_load(&r->refs) > 1 ? look_up(r) : -ECANCELED;
    coir__lock_take(&r->lock);
    r->status = status;
    r->done = true;
    coir__node *n = coir__claim_first(&r->waiters, NULL, &was);
    coir__lock_drop(&r->lock);
    if (n)
        coir__wake(coir__worker_here(), n, was, 0);
    request_drop(r);
    atomic_fetch_sub(&s->rt->external, 1);
    if (!n)
        coir__worker_rouse(s->rt->workers[0]); /* the rest may have been waiting for nothing else */
}

/* -- helpers -------------------------------------------------------------------------------------- */

static request *take_locked(resolver *s)
{
    request *r = s->first;
    if (!r)
        return NULL;
    s->first = r->next;
    if (!s->first)
        s->last = &s->first;
    return r;
}

/* Waits for a request; NULL when idle for too long, or when the runtime ends. */
static request *await_locked(resolver *s)
{
    struct timespec until;
    request *r = NULL;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    s->idle++;
    while (rc == 0 && !s->stopping && (r = take_locked(s)) == NULL)
        rc = pthread_cond_timedwait(&s->work, &s->mutex, &until);
    s->idle--;
    return r;
}

static void *helper_main(void *arg)
{
    helper *h = arg;
    resolver *s = h->resolver;
    request *r;
    pthread_setname_np(pthread_self(), "coir/dns");
    pthread_mutex_lock(&s->mutex);
    while ((r = await_locked(s)) != NULL) {
        pthread_mutex_unlock(&s->mutex);
        request_serve(s, r);
        pthread_mutex_lock(&s->mutex);
    }
    h->state = ENDED;
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* With all signals blocked. */
static int helper_start_locked(helper *h)
{
    sigset_t all, old;
    if (h->state == ENDED)
        pthread_join(h->thread, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = -pthread_create(&h->thread, NULL, helper_main, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    h->state = rc == 0 ? RUNNING : ABSENT;
    return rc;
}

/* Sees to it that somebody will take the request. An error only if nobody is there at all. */
static int staff_locked(resolver *s)
{
    helper *vacant = NULL;
    unsigned running = 0;
    for (unsigned i = 0; i < s->max; i++) {
        if (s->helpers[i].state == RUNNING)
            running++;
        else if (!vacant)
            vacant = &s->helpers[i];
    }
    if (s->idle > 0 || !vacant)
        return 0;
    int rc = helper_start_locked(vacant);
    return running ? 0 : rc;
}

static resolver *resolver_new(coir__runtime *rt)
{
    unsigned max = rt->options.blocking_threads_max ? rt->options.blocking_threads_max
                                                    : HELPERS_DEFAULT;
    resolver *s = coir__alloc_zero(sizeof *s + max * sizeof *s->helpers);
    if (!s)
        return NULL;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&s->mutex, NULL);
    s->rt = rt;
    s->last = &s->first;
    s->max = max;
    for (unsigned i = 0; i < max; i++)
        s->helpers[i].resolver = s;
    return s;
}

static resolver *resolver_of(coir__runtime *rt)
{
    coir__lock_take(&rt->op_lock);
    if (!rt->resolver)
        rt->resolver = resolver_new(rt);
    resolver *s = rt->resolver;
    coir__lock_drop(&rt->op_lock);
    return s;
}

static int resolver_post(coir__runtime *rt, request *r)
{
    resolver *s = resolver_of(rt);
    if (!s)
        return -ENOMEM;
    pthread_mutex_lock(&s->mutex);
    int rc = staff_locked(s);
    if (rc == 0) {
        atomic_fetch_add(&rt->external, 1);
        *s->last = r;
        s->last = &r->next;
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static void resolver_free(resolver *s)
{
    request *r;
    while ((r = take_locked(s)) != NULL) {
        request_drop(r); /* whose task has given up */
        atomic_fetch_sub(&s->rt->external, 1);
    }
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->mutex);
    coir__release(s);
}

static void helper_join(helper *h)
{
    pthread_mutex_lock(&h->resolver->mutex);
    bool present = h->state != ABSENT;
    pthread_mutex_unlock(&h->resolver->mutex);
    if (present)
        pthread_join(h->thread, NULL);
}

void coir__resolver_stop(coir__runtime *rt)
{
    resolver *s = rt->resolver;
    if (!s)
        return;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->mutex);
    for (unsigned i = 0; i < s->max; i++)
        helper_join(&s->helpers[i]);
    resolver_free(s);
    rt->resolver = NULL;
}

/* -- tasks ---------------------------------------------------------------------------------------- */

/* Waits for the request's result. */
static int await(coir__worker *w, request *r)
{
    coir__task *self = w->current;
    if (coir__must_attend(self)) {
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
        w = coir__worker_or_null();
    }
    coir__lock_take(&r->lock);
    if (!r->done) {
        coir__wait_queue(self, &r->waiters, NULL);
        int rc = coir__park(w, self, &r->lock, COIR__WAIT_RESOLVE);
        return rc < 0 ? rc : r->status;
    }
    coir__lock_drop(&r->lock);
    return r->status;
}

static int ask_helper(const char *host, const char *service, int flags, coir_addr *ret_addrs,
                      size_t n)
{
    coir__worker *w = coir__worker_or_null();
    request *r = request_new(host, service, flags, n < COIR__ADDRS_MAX ? n : COIR__ADDRS_MAX);
    if (!r)
        return -ENOMEM;
    int rc = resolver_post(w->runtime, r);
    if (rc < 0) {
        coir__release(r);
        return rc;
    }
    rc = await(w, r);
    if (rc > 0)
        memcpy(ret_addrs, r->addrs, (size_t)rc * sizeof *ret_addrs);
    request_drop(r);
    return rc;
}

/* RFC 6761: never exists, and nobody need be asked. */
static bool is_invalid_name(const char *host)
{
    static const char name[] = ".invalid";
    size_t n = strlen(host), size = sizeof name - 1;
    if (n > 0 && host[n - 1] == '.')
        n--;
    if (n == size - 1)
        return strncasecmp(host, name + 1, n) == 0;
    return n >= size && strncasecmp(host + n - size, name, size) == 0;
}

/* This host: any address of it, or loopback. IPv6 first, where it includes IPv4. */
static int resolve_here(int port, bool passive, coir_addr *ret_addrs, size_t n)
{
    static const char *const texts[2][2] = {{"::1", "127.0.0.1"}, {"::", "0.0.0.0"}};
    size_t i;
    for (i = 0; i < n && i < 2; i++) {
        coir_addr_parse(&ret_addrs[i], texts[passive][i]);
        coir__addr_set_port(&ret_addrs[i], port);
    }
    return (int)i;
}

int coir__resolve(const char *host, const char *service, bool passive, coir_addr *ret_addrs,
                  size_t n)
{
    coir_addr a;
    int port = service ? coir__addr_service(service) : 0;
    int numeric = *host ? coir__addr_host(&a, host) : 0;
    if (port == -EINVAL || numeric < 0 || (service && strlen(service) >= COIR__SERVICE_MAX))
        return -EINVAL;
    if (is_invalid_name(host))
        return -ENOENT;
    if (port >= 0 && !*host)
        return resolve_here(port, passive, ret_addrs, n);
    if (port >= 0 && numeric) {
        coir__addr_set_port(&a, port);
        *ret_addrs = a;
        return 1;
    }
    int flags = passive ? AI_PASSIVE : 0;
    if (numeric)
        flags |= AI_NUMERICHOST;
    if (port >= 0 && service)
        flags |= AI_NUMERICSERV;
    return ask_helper(host, service ? service : "", flags, ret_addrs, n);
}

int coir__resolve_pair(const char *host_port, bool passive, coir_addr *ret_addrs, size_t n)
{
    char host[COIR__HOST_MAX], service[COIR__SERVICE_MAX];
    int rc = coir__addr_split(host_port, host, service);
    return rc < 0 ? rc : coir__resolve(host, service, passive, ret_addrs, n);
}

int coir__enter_call(const char *function)
{
    coir__worker *w = coir__task_only(function);
    return coir__is_cancelled(w->current) ? coir__scope_refuse(w, w->current) : 0;
}

int coir_resolve(const char *host, const char *service, coir_addr *ret_addrs, size_t n)
{
    int rc = coir__enter_call("coir_resolve");
    if (rc < 0)
        return rc;
    if ((!host && !service) || !ret_addrs || n == 0 || (host && !*host))
        return -EINVAL;
    return coir__resolve(host ? host : "", service, false, ret_addrs, n);
}
