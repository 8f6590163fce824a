/* SPDX-License-Identifier: MIT */
/*
 * guard.c - memory that faults, at the bottom of every stack.
 *
 * MADV_GUARD_INSTALL (Linux 6.13) marks page-table entries and makes no mapping of its own, so vm.max_map_count does
 * not limit the number of stacks. One process_madvise(2) for several takes three quarters of the time of one madvise(2)
 * each (1,090 against 1,500 ns a guard, 2026-11-23, 2-core virtual machine, Linux 6.18).
 *
 * It is refused by older kernels and on locked memory, and emulators say yes and do nothing; then mprotect(2) does it, at
 * two mappings a stack. A stack without a guard is never handed out.
 */
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

static bool mark_batch(char *base, size_t slot_size, unsigned n)
{
    struct iovec guards[64];
    if (n == 1 || atomic_load_explicit(&batch_refused, memory_order_relaxed))
        return false;
    for (unsigned i = 0; i < n; i++) {
        guards[i].iov_base = base + i * slot_size;
        guards[i].iov_len = COIR__STACK_GUARD;
    }
    long done = syscall(SYS_process_madvise, SELF, guards, (size_t)n, MADV_GUARD_INSTALL, 0u);
    if (done < 0)
        atomic_store_explicit(&batch_refused, true, memory_order_relaxed);
    return done == (long)(n * COIR__STACK_GUARD);
}

static bool mark_each(char *base, size_t slot_size, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (madvise(base + i * slot_size, COIR__STACK_GUARD, MADV_GUARD_INSTALL) != 0)
            return false;
    }
    return true;
}

bool coir__guard_mark(char *base, size_t slot_size, unsigned n)
{
    if (atomic_load_explicit(&mprotect_forced, memory_order_relaxed))
        return false;
    return mark_batch(base, slot_size, n) || mark_each(base, slot_size, n);
}

/* The kernel fails to read there. Where it can, the page is all zeros, and nothing waits for a 1 to change. */
bool coir__guard_works(const char *base)
{
    return syscall(SYS_futex, base, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0) < 0 && errno == EFAULT;
}

static void log_fallback(void)
{
    if (!atomic_exchange(&fallback_logged, true))
        coir__log(
            "stack guards are made by mprotect(), because the kernel refuses MADV_GUARD_INSTALL "
            "(before Linux 6.13, or locked memory); vm.max_map_count limits the number of stacks");
}

unsigned coir__guard_protect(char *base, size_t slot_size, unsigned n)
{
    log_fallback();
    for (unsigned i = 0; i < n; i++) {
        if (mprotect(base + i * slot_size, COIR__STACK_GUARD, PROT_NONE) != 0)
            return i;
    }
    return n;
}
