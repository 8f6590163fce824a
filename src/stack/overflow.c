/* SPDX-License-Identifier: MIT */
/*
 * overflow.c - what happens when a stack is too small.
 *
 * A fault in a guard, with the stack pointer in the same slot (or a large frame below it), is a stack overflow: the handler
 * says whose, prints a backtrace and aborts. It runs on an alternate stack, because the other one is full. The same for the
 * stack of a worker's thread, whose bounds are at the end of the alternate stack. A fault below the floor of a growing
 * stack is its growth (grow.c). Every other fault goes to the handler that was there before, as if ours did not exist.
 *
 * I1  While anyone uses it the handler is installed; the last user restores what was there before.
 * I2  If somebody has installed a handler on top of ours and not removed it when our last user leaves, ours stays where it
 *     is, below, passing faults on; later users find it there and install nothing.
 *
 * In the handler nothing is allocated and no lock is taken by us. backtrace(3) loads its library at the first call, so it is
 * called once beforehand; a fault inside it ends the process, after the report has been written.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"
#include "stack/slab.h"

#define HANDLER_STACK ((size_t)64 << 10) /* beyond what the kernel needs for the registers */
#define HANDLER_LEAST                                                                              \
    ((size_t)24 << 10) /* a program's own alternate stack is used from this size on */
#define FRAME_MAX ((uintptr_t)1 << 20) /* how far below its slot a stack pointer may have got */
#define FRAMES 32

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51 /* Linux 5.14 on x86 */
#endif

static const int signals[2] = {SIGSEGV, SIGBUS};

static coir__lock lock; /* guards installing, and: */
static unsigned users;
static bool buried; /* see I2 */
/* Written before the handler is installed, then constant until it is removed. */
static struct sigaction previous[2];
static atomic_bool
    used_up[2]; /* the previous handler, which was to be called once (SA_RESETHAND) */
static const coir__overflow_hooks *hooks;

/* -- the interrupted context ------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
static uintptr_t context_sp(const ucontext_t *u)
{
    return (uintptr_t)u->uc_mcontext.gregs[REG_RSP];
}

static uintptr_t context_pc(const ucontext_t *u)
{
    return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
}
#elif defined(__aarch64__)
static uintptr_t context_sp(const ucontext_t *u) { return (uintptr_t)u->uc_mcontext.sp; }

static uintptr_t context_pc(const ucontext_t *u) { return (uintptr_t)u->uc_mcontext.pc; }
#else
static uintptr_t context_sp(const ucontext_t *u)
{
    (void)u;
    return 0; /* unknown */
}

static uintptr_t context_pc(const ucontext_t *u)
{
    (void)u;
    return 0;
}
#endif

/* -- report ----------------------------------------------------------------------------------------------------- */

#if defined(__GLIBC__)
#include <execinfo.h>

static void backtrace_warm(void)
{
    void *frame[1];
    backtrace(frame, 1);
}

/* The frames from the faulting one on; all of them, if it is not among them. */
static void backtrace_print(uintptr_t pc)
{
    void *frames[FRAMES];
    int n = backtrace(frames, FRAMES);
    int first = 0;
    while (first < n && (uintptr_t)frames[first] != pc)
        first++;
    if (first == n)
        first = 0;
    backtrace_symbols_fd(frames + first, n - first, STDERR_FILENO);
}
#else
static void backtrace_warm(void) {}

static void backtrace_print(uintptr_t pc) { (void)pc; }
#endif

/* "`what` task 'name' (n KiB), spawned at file:line`why`", and the end. */
static COIR__NORETURN void report(const coir__stack *s, const ucontext_t *context, const char *what,
                                  const char *why)
{
    const char *name = NULL, *file = NULL;
    int line = 0;
    void *owner = s->owner;
    size_t size = coir__slot_size(s->class_) - coir__stack_guard(s->class_);
    coir__text text;
    coir__text_init(&text, STDERR_FILENO);
    if (owner && hooks) {
        hooks->describe(owner, &name, &file, &line);
        coir__text_add(&text, "coir: %s task '%s' (%zu KiB)", what, name ? name : "?", size >> 10);
    } else {
        coir__text_add(&text, "coir: %s a coroutine (%zu KiB)", what, size >> 10);
    }
    if (file)
        coir__text_add(&text, ", spawned at %s:%d", file, line);
    coir__text_add(&text, "%s\n", why);
    coir__text_flush(&text);
    backtrace_print(context_pc(context));
    if (owner && hooks && hooks->reported)
        hooks->reported(owner, name);
    abort();
}

/* The stack whose overflow this fault is, or NULL. */
static coir__stack *overflowed(const siginfo_t *info, const ucontext_t *context)
{
    coir__stack *s = info->si_code > 0 ? coir__stack_by_guard(info->si_addr) : NULL;
    uintptr_t sp = context_sp(context);
    if (!s || sp == 0)
        return s;
    bool is_its_own = sp < (uintptr_t)s && sp + FRAME_MAX > (uintptr_t)info->si_addr;
    return is_its_own ? s : NULL; /* a stray pointer, from another stack */
}

/* -- the thread's own stack ------------------------------------------------------------------------------------- */

/* At the lowest addresses of an alternate stack of ours, below what sigaltstack(2) knows. */
struct thread_bounds {
    uintptr_t magic; /* its own address, disguised */
    uintptr_t low, high;
};

#define HEADER ((size_t)64)
#define MAGIC ((uintptr_t)0x636f6972)

#if defined(__GLIBC__)
static void bounds_ask(struct thread_bounds *b)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
        b->low = (uintptr_t)low;
        b->high = (uintptr_t)low + size;
    }
    pthread_attr_destroy(&attributes);
}

/* For the main thread the C library reads a file: once is enough. Only that thread comes here for it. */
static void bounds_find(struct thread_bounds *b)
{
    static struct thread_bounds of_main;
    bool is_main = syscall(SYS_gettid) == getpid();
    if (is_main && of_main.high)
        *b = of_main;
    else
        bounds_ask(b);
    if (is_main)
        of_main = *b;
    if (b->high)
        b->magic = (uintptr_t)b ^ MAGIC;
}
#else
static void bounds_find(struct thread_bounds *b) { (void)b; }
#endif

/* The bounds of the faulting thread's stack, if the handler runs on an alternate stack of ours. */
static const struct thread_bounds *bounds_of(const ucontext_t *context)
{
    const struct thread_bounds *b =
        (const struct thread_bounds *)(const void *)((char *)context->uc_stack.ss_sp - HEADER);
    if (context->uc_stack.ss_flags & SS_DISABLE || !context->uc_stack.ss_sp ||
        !coir__memory_is_readable(b) || b->magic != ((uintptr_t)b ^ MAGIC))
        return NULL;
    return b;
}

/* At the end of it, or where the system could not extend the main thread's any more. */
static bool is_thread_overflow(const struct thread_bounds *b, uintptr_t address, uintptr_t sp)
{
    return address >= b->low - FRAME_MAX && address < b->high && sp >= b->low - FRAME_MAX &&
           sp < b->high && sp < address + FRAME_MAX && address < sp + FRAME_MAX;
}

static void report_thread(const siginfo_t *info, const ucontext_t *context)
{
    const struct thread_bounds *b = info->si_code > 0 ? bounds_of(context) : NULL;
    uintptr_t address = (uintptr_t)info->si_addr;
    if (!b || !is_thread_overflow(b, address, context_sp(context)) ||
        address == context_pc(context) || (address >= b->low && info->si_code != SEGV_MAPERR))
        return;
    coir__log(
        "stack overflow on a worker's own stack (%zu KiB), where hooks and engines run; in no task",
        (b->high - b->low) >> 10);
    backtrace_print(context_pc(context));
    abort();
}

/* -- passing on ------------------------------------------------------------------------------------------------- */

/* The system's own answer. A fault repeats when the handler returns; a signal that was sent must be sent again. */
static void fall_to_default(int number, const siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
    if (info->si_code <= 0)
        raise(number);
}

/* With the signals blocked that the kernel would have blocked for it. */
static void call_previous(const struct sigaction *old, int number, siginfo_t *info, void *context)
{
    sigset_t mask, itself;
    pthread_sigmask(SIG_BLOCK, &old->sa_mask, &mask);
    if (old->sa_flags & SA_NODEFER && !sigismember(&old->sa_mask, number)) {
        sigemptyset(&itself);
        sigaddset(&itself, number);
        pthread_sigmask(SIG_UNBLOCK, &itself, NULL);
    }
    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(number, info, context);
    else
        old->sa_handler(number);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static bool is_used_up(const struct sigaction *old, atomic_bool *used)
{
    return old->sa_flags & (int)SA_RESETHAND && atomic_exchange(used, true);
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    int i = number == signals[0] ? 0 : 1;
    const struct sigaction *old = &previous[i];
    bool is_plain = !(old->sa_flags & SA_SIGINFO);
    if (is_plain && old->sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    if (is_plain && (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN))
        fall_to_default(number, info); /* faults can't be ignored */
    else if (is_used_up(old, &used_up[i]))
        fall_to_default(number, info);
    else
        call_previous(old, number, info, context);
}

static void handle(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    coir__stack *s = NULL;
    switch (number == SIGSEGV
                ? coir__grow_on_fault(info, context_pc(context), context_sp(context), &s)
                : COIR__FAULT_FOREIGN) {
    case COIR__FAULT_GROWN:
        errno = saved;
        return;
    case COIR__FAULT_NO_MEMORY:
        report(s, context, "out of memory growing the stack of", "");
    case COIR__FAULT_NO_ROOM:
        report(s, context, "no room yet for a signal's frame on the growing stack of",
               "; is there a handler without SA_ONSTACK?");
    case COIR__FAULT_FOREIGN:
        break;
    }
    s = overflowed(info, context);
    if (s)
        report(s, context, "stack overflow in", "");
    report_thread(info, context);
    pass_on(number, info, context);
    errno = saved;
}

/* -- installing ------------------------------------------------------------------------------------------------- */

static bool is_ours(const struct sigaction *a)
{
    return (a->sa_flags & SA_SIGINFO) && a->sa_sigaction == handle;
}

static int install_locked(void)
{
    if (buried)
        return 0;
    backtrace_warm();
    for (int i = 0; i < 2; i++) {
        struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        atomic_store(&used_up[i], false);
        if (sigaction(signals[i], NULL, &previous[i]) != 0 ||
            sigaction(signals[i], &action, NULL) != 0)
            return -errno;
    }
    return 0;
}

int coir__overflow_install(const coir__overflow_hooks *h)
{
    int rc = 0;
    coir__lock_take(&lock);
    if (users == 0) {
        hooks = h;
        rc = install_locked();
    }
    users += rc == 0;
    coir__lock_drop(&lock);
    return rc;
}

static bool is_on_top_locked(void)
{
    for (int i = 0; i < 2; i++) {
        struct sigaction now;
        if (sigaction(signals[i], NULL, &now) != 0 || !is_ours(&now))
            return false;
    }
    return true;
}

static void restore_locked(int i)
{
    if (atomic_load(&used_up[i]))
        previous[i].sa_handler = SIG_DFL;
    sigaction(signals[i], &previous[i], NULL);
}

void coir__overflow_remove(void)
{
    coir__lock_take(&lock);
    if (--users == 0) {
        buried = !is_on_top_locked();
        for (int i = 0; i < 2 && !buried; i++)
            restore_locked(i);
    }
    coir__lock_drop(&lock);
}

/* -- alternate stacks ------------------------------------------------------------------------------------------- */

/* At the lowest addresses of one of ours. A thread may have several runtimes, which end in any order; each is ended by its
 * thread, or after that. */
struct alternate {
    struct thread_bounds bounds; /* first */
    unsigned users;
    stack_t before; /* what the thread had: none, or too little for a report */
};

_Static_assert(sizeof(struct alternate) <= HEADER, "fits");

static _Thread_local struct alternate *own; /* of this thread */

static size_t handler_stack_size(void)
{
    size_t kernel = getauxval(AT_MINSIGSTKSZ);
    return HANDLER_STACK + ((kernel + 4095) & ~(size_t)4095);
}

/* Or in use, so that it can't be replaced. */
static bool is_good_enough(const stack_t *s)
{
    size_t least = handler_stack_size() - HANDLER_STACK + HANDLER_LEAST;
    return !(s->ss_flags & SS_DISABLE) && (s->ss_size >= least || s->ss_flags & SS_ONSTACK);
}

int coir__overflow_thread_begin(void **keep)
{
    stack_t stack, before = {.ss_flags = SS_DISABLE};
    *keep = NULL;
    if (sigaltstack(NULL, &before) == 0 && own && before.ss_sp == (char *)own + HEADER) {
        own->users++;
        *keep = own;
        return 0;
    }
    if (is_good_enough(&before))
        return 0;
    size_t size = handler_stack_size();
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
                        -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    stack = (stack_t){.ss_sp = memory + HEADER, .ss_size = size - HEADER};
    if (sigaltstack(&stack, NULL) != 0) {
        int rc = -errno;
        munmap(memory, size);
        return rc;
    }
    own = (struct alternate *)(void *)memory;
    own->users = 1;
    own->before = before;
    bounds_find(&own->bounds);
    *keep = own;
    return 0;
}

void coir__overflow_thread_end(void *keep)
{
    struct alternate *a = keep;
    stack_t stack;
    if (!a || --a->users > 0)
        return;
    if (a == own)
        own = NULL;
    if (sigaltstack(NULL, &stack) == 0 && stack.ss_sp == (char *)keep + HEADER)
        sigaltstack(&a->before, NULL);
    munmap(keep, handler_stack_size());
}
