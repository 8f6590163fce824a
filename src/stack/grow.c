/* SPDX-License-Identifier: MIT */
/*
 * grow.c - stacks that get their memory by and by, where the system promises no more of it than it has.
 *
 *   slot   [guard|......inaccessible......|.....accessible.....|record]
 *          base  bottom                   floor <- moves down        end
 *
 * Inaccessible memory is not charged. A touch below the floor is a fault; the handler (overflow.c), on an alternate stack,
 * makes accessible what lies between it and the floor, and at least as much again as was accessible already, 1 MiB at most,
 * never past `bottom`. So 192 KiB take two faults, 8 MiB take eleven; and what is charged and not used is at most half of
 * it, at most 1 MiB. mprotect(2) is a system call and nothing else, so it may be called there.
 *
 * G1  All between the floor and the end is accessible. So is every frame that has called something: the call writes below
 *     it. The kernel, which would not fault but return EFAULT, finds frames' buffers accessible.
 * G2  The floor moves down while the stack is in use, by any thread, by compare-and-swap after the memory is accessible;
 *     up only while it is idle.
 *
 * Two mappings a stack: vm.max_map_count ends them near 32,700. What a fault can't do for a program, see adapt_handlers
 * and docs/design/020.
 *
 * Cost: a fault with its signal 4 us, of which mprotect 1; a stack's first 64 KiB are made accessible with its slab.
 */
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "stack/slab.h"

#define PAGE ((uintptr_t)4096)
#define STEP_MAX ((size_t)1 << 20)
#define SPURIOUS_MAX 64u
#define SIGNAL_FRAME                                                                               \
    8192u /* what the kernel may want below the stack pointer, if it does not say */

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51 /* Linux 5.14 on x86 */
#endif

static atomic_int forced_mode = -1;
static atomic_int failures;
static atomic_bool choice_logged;

void coir__overcommit_force(int mode) { atomic_store(&forced_mode, mode); }

void coir__grow_fail_next(int n) { atomic_store(&failures, n); }

/* -- choosing --------------------------------------------------------------------------------------------------- */

/* Read once: it hardly ever changes, and a run may be short. */
static int overcommit_mode(void)
{
    static atomic_int known = -1;
    int mode = atomic_load(&forced_mode);
    if (mode < 0)
        mode = atomic_load(&known);
    if (mode >= 0)
        return mode;
    char digit = '0';
    int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, &digit, 1) != 1)
        digit = '0';
    if (fd >= 0)
        close(fd);
    mode = digit - '0';
    atomic_store(&known, mode);
    return mode;
}

static coir_stack_strategy choose(bool handles_faults)
{
    if (overcommit_mode() != 2)
        return COIR_STACK_LAZY;
    coir_stack_strategy s = handles_faults ? COIR_STACK_GROW : COIR_STACK_FIXED;
    if (!atomic_exchange(&choice_logged, true))
        coir__log("vm.overcommit_memory is 2: stacks are %s; vm.max_map_count limits their number",
                  s == COIR_STACK_GROW ? "extended by a signal handler (COIR_STACK=grow)"
                                       : "allocated whole (COIR_STACK=fixed)");
    return s;
}

coir_stack_strategy coir__stack_strategy(coir_stack_strategy wanted, bool handles_faults)
{
    return wanted == COIR_STACK_AUTO ? choose(handles_faults) : wanted;
}

/* -- the floor -------------------------------------------------------------------------------------------------- */

static bool make_accessible(char *from, char *to)
{
    if (coir__unlikely(atomic_load_explicit(&failures, memory_order_relaxed) > 0)) {
        atomic_fetch_sub(&failures, 1);
        return false;
    }
    return mprotect(from, (size_t)(to - from), PROT_READ | PROT_WRITE) == 0;
}

unsigned coir__grow_begin(char *base, unsigned class_, unsigned n)
{
    size_t size = coir__slot_size(class_);
    for (unsigned i = 0; i < n; i++) {
        char *slot = base + i * size;
        if (!make_accessible(coir__slot_first_floor(slot, class_), slot + size))
            return i;
    }
    return n;
}

static char *slot_of(const coir__stack *s) { return s->bottom - coir__stack_guard(s->class_); }

static char *page_of(const char *address) { return (char *)((uintptr_t)address & ~(PAGE - 1)); }

/* Where the floor goes for the sake of an address. */
static char *floor_for(const coir__stack *s, char *floor, const char *address)
{
    size_t step = (size_t)(slot_of(s) + coir__slot_size(s->class_) - floor);
    char *to = floor - (step < STEP_MAX ? step : STEP_MAX);
    if (to > address)
        to = page_of(address);
    return to > s->bottom ? to : s->bottom;
}

int coir__stack_commit(coir__stack *s, const char *address)
{
    char *floor = atomic_load_explicit(&s->floor, memory_order_acquire);
    while (address < floor && floor > s->bottom) {
        char *to = floor_for(s, floor, address);
        if (!make_accessible(to, floor)) {
            to = address > s->bottom ? page_of(address)
                                     : s->bottom; /* memory is short: no more than needed */
            if (!make_accessible(to, floor))
                return -ENOMEM;
        }
        if (atomic_compare_exchange_strong_explicit(&s->floor, &floor, to, memory_order_acq_rel,
                                                    memory_order_acquire)) {
            atomic_store_explicit(&s->spurious, 0, memory_order_relaxed);
            return 0;
        }
    }
    return 0;
}

/* A new mapping in place of the old: mprotect(2) would keep the charge. */
void coir__grow_undo(coir__stack *s)
{
    char *floor = atomic_load_explicit(&s->floor, memory_order_relaxed);
    char *first = coir__slot_first_floor(slot_of(s), s->class_);
    if (floor >= first || s->slab->strategy != COIR_STACK_GROW)
        return;
    size_t size = (size_t)(first - floor);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK | MAP_FIXED;
    if (mmap(floor, size, PROT_NONE, flags, -1, 0) == MAP_FAILED)
        return;
    madvise(floor, size, MADV_NOHUGEPAGE); /* as its neighbours, so that they are one mapping */
    atomic_store_explicit(&s->floor, first, memory_order_relaxed);
}

/* -- faults ----------------------------------------------------------------------------------------------------- */

/* No address is given when the kernel could not write a signal's frame. */
static coir__fault on_no_room(uintptr_t sp, coir__stack **ret)
{
    size_t frame = getauxval(AT_MINSIGSTKSZ);
    coir__stack *s = coir__stack_at((const void *)sp);
    if (!s || s->slab->strategy != COIR_STACK_GROW)
        return COIR__FAULT_FOREIGN;
    uintptr_t floor = (uintptr_t)atomic_load_explicit(&s->floor, memory_order_acquire);
    if (floor == (uintptr_t)s->bottom || sp > floor + (frame > SIGNAL_FRAME ? frame : SIGNAL_FRAME))
        return COIR__FAULT_FOREIGN;
    *ret = s;
    return COIR__FAULT_NO_ROOM;
}

/* Two threads may touch the same page at the same time: the second finds the floor moved. If that goes on the fault is
 * another: the memory may not be executed, or somebody has protected it. */
static coir__fault on_accessible(coir__stack *s)
{
    unsigned n = atomic_fetch_add_explicit(&s->spurious, 1, memory_order_relaxed);
    return n < SPURIOUS_MAX ? COIR__FAULT_GROWN : COIR__FAULT_FOREIGN;
}

coir__fault coir__grow_on_fault(const siginfo_t *info, uintptr_t pc, uintptr_t sp,
                                coir__stack **ret)
{
    const char *address = info->si_addr;
    if (info->si_code == SI_KERNEL)
        return on_no_room(sp, ret);
    if (info->si_code != SEGV_ACCERR || pc == (uintptr_t)address)
        return COIR__FAULT_FOREIGN;
    coir__stack *s = coir__stack_at(address);
    if (!s || address < s->bottom || s->slab->strategy != COIR_STACK_GROW)
        return COIR__FAULT_FOREIGN;
    if (address >= atomic_load_explicit(&s->floor, memory_order_acquire))
        return on_accessible(s);
    *ret = s;
    return coir__stack_commit(s, address) == 0 ? COIR__FAULT_GROWN : COIR__FAULT_NO_MEMORY;
}

/* -- the program's signals -------------------------------------------------------------------------------------- */

void coir__stack_adapt_handlers(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0 || action.sa_handler == SIG_DFL ||
            action.sa_handler == SIG_IGN || action.sa_flags & SA_ONSTACK)
            continue;
        action.sa_flags |= SA_ONSTACK;
        sigaction(number, &action, NULL);
    }
}
