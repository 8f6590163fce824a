/* SPDX-License-Identifier: MIT */
#include "base/fence.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

bool coir__fence_needed = true;

static void fence_probe(void)
{
    /* Private expedited membarrier: Linux 4.14. */
    if (syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
        syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0)
        coir__fence_needed = false;
}

void coir__fence_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fence_probe);
}

void coir__fence_heavy(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!coir__fence_needed)
        syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}
