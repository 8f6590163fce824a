/* SPDX-License-Identifier: MIT */
/*
 * signal.c - signals of the system, waited for by tasks.
 *
 *   kernel --> handler: adds 1 --> [eventfd of the signal] --readable--> a task takes 1 of it
 *
 * The first wait for a signal in the process makes its eventfd and installs the handler; both stay until the last runtime ends. So what
 * arrives in between is counted, and each occurrence taken once. A waiter polls the eventfd as any descriptor, which
 * tells all waiters; one of them gets the occurrence, the others wait on (sync/select.c).
 *
 * A signal may be blocked: workers but the first block all of them, and the first one's thread is the user's. The first wait
 * in each runtime lifts that for the worker on which it happens: at its next tick, on its own stack, because where contexts are
 * switched by swapcontext(3) each has a mask of its own. The user's thread gets its mask back at the end.
 *
 * S1  The handler is counted in `handlers` while it may use a descriptor, which is closed when it can't be got any more and
 *     nobody is counted. (A store-load pair: the handler counts itself and then loads the descriptor; the end takes the descriptor
 *     away and then loads the count.)
 * S2  Descriptors come under `lock`, and go under the lock of the runtimes, when there is none left that could wait.
 */
#include <coir/signal.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/op.h"
#include "sync/select.h"

#define SIGNALS 64

typedef struct source {
    _Atomic int fd; /* its eventfd + 1; 0: none */
    struct sigaction previous;
} source;

static source sources[SIGNALS + 1]; /* by number */
static coir__lock lock;             /* guards coming */
static _Atomic int handlers;        /* under way */
static _Atomic pid_t owner;         /* the process; set before the first handler */

static uint64_t bit_of(int signo) { return (uint64_t)1 << (signo - 1); }

static sigset_t set_of(uint64_t bits)
{
    sigset_t set;
    sigemptyset(&set);
    for (int signo = 1; signo <= SIGNALS; signo++)
        if (bits & bit_of(signo))
            sigaddset(&set, signo);
    return set;
}

static bool is_waitable(int64_t signo)
{
    switch (signo) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
        return false;
    default:
        return signo >= 1 && signo <= SIGNALS;
    }
}

/* -- the handler ---------------------------------------------------------------------------------- */

/* A child that was forked has no runtime: there the signal does what it did before. It is blocked here, and so comes after. */
static void handle_in_child(int signo)
{
    sigaction(signo, &sources[signo].previous, NULL);
    raise(signo);
}

static void count_signal(int signo)
{
    static const uint64_t one = 1;
    atomic_fetch_add(&handlers, 1);
    int fd = atomic_load(&sources[signo].fd) - 1;
    if (fd >= 0)
        while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
    atomic_fetch_sub(&handlers, 1);
}

static void handle(int signo)
{
    int saved = errno;
    if (getpid() != atomic_load_explicit(&owner, memory_order_relaxed))
        handle_in_child(signo);
    else
        count_signal(signo);
    errno = saved;
}

/* -- coming and going ----------------------------------------------------------------------------- */

static int source_open_locked(int signo)
{
    source *s = &sources[signo];
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    int fd = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    atomic_store_explicit(&owner, getpid(), memory_order_relaxed);
    atomic_store(&s->fd, fd + 1);
    if (sigaction(signo, NULL, &s->previous) == 0 && sigaction(signo, &action, NULL) == 0)
        return 0;
    int rc = -errno; /* the C library keeps some for itself */
    atomic_store(&s->fd, 0);
    close(fd);
    return rc;
}

static void source_close(int signo, source *s)
{
    struct sigaction now;
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == handle)
        sigaction(signo, &s->previous, NULL);
    int fd = atomic_exchange(&s->fd, 0) - 1;
    for (unsigned round = 0; atomic_load(&handlers) != 0; round++)
        coir__spin(round);
    close(fd);
}

void coir__signal_unblock(coir__worker *w)
{
    sigset_t set = set_of(w->unblock), old;
    pthread_sigmask(SIG_UNBLOCK, &set, &old);
    for (int signo = 1; w->index == 0 && signo <= SIGNALS; signo++)
        if ((w->unblock & bit_of(signo)) && sigismember(&old, signo) == 1)
            w->runtime->unblocked |= bit_of(signo);
    w->unblock = 0;
}

void coir__signal_end(coir__runtime *rt, bool last)
{
    sigset_t set = set_of(rt->unblocked);
    if (rt->unblocked)
        pthread_sigmask(SIG_BLOCK, &set, NULL); /* before the old action is in force */
    for (int signo = 1; last && signo <= SIGNALS; signo++)
        if (atomic_load_explicit(&sources[signo].fd, memory_order_relaxed) != 0)
            source_close(signo, &sources[signo]);
}

/* The signal's eventfd, or an error. `w` runs the caller. */
static int source_fd(coir__worker *w, int64_t number)
{
    if (!is_waitable(number))
        return -EINVAL;
    int signo = (int)number;
    source *s = &sources[signo];
    uint64_t known = atomic_load_explicit(&w->runtime->signals, memory_order_acquire);
    if (coir__likely(known & bit_of(signo)))
        return atomic_load_explicit(&s->fd, memory_order_relaxed) - 1;
    int rc = 0;
    coir__lock_take(&lock);
    if (atomic_load_explicit(&s->fd, memory_order_relaxed) == 0)
        rc = source_open_locked(signo);
    coir__lock_drop(&lock);
    if (rc < 0)
        return rc;
    known = atomic_fetch_or_explicit(&w->runtime->signals, bit_of(signo), memory_order_release);
    if (!(known & bit_of(signo)))
        w->unblock |= bit_of(signo);
    return atomic_load_explicit(&s->fd, memory_order_relaxed) - 1;
}

/* Takes an occurrence: 0, -EAGAIN, or what stands against it. */
static int take(coir__worker *w, int64_t signo)
{
    uint64_t one;
    int fd = source_fd(w, signo);
    if (fd < 0)
        return fd;
    if (coir__is_draining(w))
        return -ESHUTDOWN;
    ssize_t n;
    do
        n = read(fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* -- the case: slot->number is the watch, 0: none; slot->when an error of the show ---------------- */

static bool signal_attempt(coir__worker *w, coir_case *k, int *ret_outcome)
{
    coir__slot *slot = coir__case_slot(k);
    if (w->rt == 0)
        coir__misuse("coir_select(): a signal's case in a thread that is not a task");
    *ret_outcome = slot->shown && slot->when < 0 ? (int)slot->when : take(w, k->value);
    return *ret_outcome != -EAGAIN;
}

static bool signal_show(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    coir__call call = {
        .kind = COIR_OP_POLL, .fd = source_fd(w, k->value), .events = POLLIN, .drains = true};
    slot->number = 0;
    int rc = coir__watch_begin(w, &call, &slot->u.wait, &slot->number);
    slot->when = rc < 0 ? rc : 0;
    return rc != 0;
}

static void signal_hide(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    if (slot->number)
        coir__watch_leave(w, slot->number);
    slot->number = 0;
}

/* A watch that has ended while nobody could be claimed has told nobody; then there is another. */
static bool signal_peek(coir__worker *w, coir_case *k)
{
    coir__slot *slot = coir__case_slot(k);
    if (slot->number && coir__watch_is_on(w, slot->number))
        return false;
    signal_hide(w, k);
    return signal_show(w, k);
}

const coir__case_ops coir__case_signal = {signal_attempt, signal_show, signal_peek, signal_hide};

/* -- public --------------------------------------------------------------------------------------- */

int coir_signal_wait(const sigset_t *set, int *ret_signo)
{
    coir_case cases[SIGNALS];
    size_t n = 0;
    coir__task_only("coir_signal_wait");
    for (int signo = 1; set && signo <= SIGNALS; signo++) {
        if (sigismember(set, signo) != 1)
            continue;
        if (!is_waitable(signo))
            return -EINVAL;
        cases[n++] = COIR_SIGNALLED(signo);
    }
    if (n == 0)
        return -EINVAL;
    int i = coir_select(cases, n);
    if (i < 0)
        return i;
    if (cases[i].result == 0 && ret_signo)
        *ret_signo = (int)cases[i].value;
    return cases[i].result;
}
