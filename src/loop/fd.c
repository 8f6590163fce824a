/* SPDX-License-Identifier: MIT */
/* fd.c - descriptor slots; fd.h says what they are. */
#include "loop/fd.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

coir__fd *_Atomic coir__fd_chunks[COIR__FD_CHUNKS];
static _Atomic int top = -1; /* the highest number that was opened here */

/* Part of the process from its beginning: its first descriptor may come when tasks have taken all address space. */
static coir__fd chunk_of_low_numbers[COIR__FD_CHUNK];

#define CHUNK_SIZE (COIR__FD_CHUNK * sizeof(coir__fd))

static coir__fd *chunk_new(unsigned index)
{
    if (index == 0)
        return chunk_of_low_numbers;
    coir__fd *fresh = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return fresh != MAP_FAILED ? fresh : NULL;
}

COIR__COLD coir__fd *coir__fd_slot_new(int fd)
{
    unsigned index = (unsigned)fd >> COIR__FD_CHUNK_SHIFT;
    coir__fd *fresh = chunk_new(index), *chunk = NULL;
    if (!fresh)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&coir__fd_chunks[index], &chunk, fresh,
                                                memory_order_acq_rel, memory_order_acquire))
        chunk = fresh;
    else if (fresh != chunk)
        munmap(fresh, CHUNK_SIZE);
    return &chunk[(unsigned)fd & (COIR__FD_CHUNK - 1)];
}

static int kind_of_mode(mode_t mode)
{
    if (S_ISSOCK(mode))
        return COIR__FD_SOCKET;
    return S_ISREG(mode) || S_ISBLK(mode) ? COIR__FD_FILE : COIR__FD_OTHER;
}

int coir__fd_kind(coir__fd *slot, int fd)
{
    int kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);
    if (coir__likely((kind & COIR__FD_OWN) || kind == COIR__FD_SOCKET))
        return kind;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    kind = kind_of_mode(st.st_mode);
    atomic_store_explicit(&slot->kind, (uint8_t)kind, memory_order_relaxed);
    return kind;
}

static void raise_top(int fd)
{
    int highest = atomic_load_explicit(&top, memory_order_relaxed);
    while (highest < fd && !atomic_compare_exchange_weak_explicit(
                               &top, &highest, fd, memory_order_relaxed, memory_order_relaxed))
        ;
}

void coir__fd_reset_locked(coir__fd *slot, int fd, int kind)
{
    slot->generation++;
    slot->tick++;
    slot->loop = NULL;
    slot->dry = 0;
    slot->closing = false;
    atomic_store_explicit(&slot->kind, (uint8_t)kind, memory_order_relaxed);
    if (kind & COIR__FD_OWN)
        raise_top(fd);
}

bool coir__fd_enter_locked(coir__fd *slot, coir_op *op, uint64_t generation)
{
    if (slot->closing || (generation != 0 && generation - 1 != slot->generation))
        return false;
    op->slot = slot;
    op->expelled = false;
    op->tick = slot->tick;
    op->dry = slot->dry;
    op->next = NULL;
    op->prev = slot->last;
    if (slot->last)
        slot->last->next = op;
    else
        slot->first = op;
    slot->last = op;
    return true;
}

/* What the end of an operation says about the next one. */
static void learn_locked(coir__fd *slot, const coir_op *op, int64_t result)
{
    if (op->kind != COIR_OP_READ || result <= 0 || op->expelled)
        return;
    if ((size_t)result == op->len) {
        slot->dry &= (uint8_t)~COIR__FD_NO_INPUT;
        return;
    }
    int kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);
    bool drained = kind == (COIR__FD_TCP | COIR__FD_OWN) || !(kind & COIR__FD_OWN) || !slot->loop;
    if (drained && !(slot->dry & COIR__FD_ENDING) && op->tick == slot->tick)
        slot->dry |= COIR__FD_NO_INPUT;
}

bool coir__fd_leave_locked(coir__fd *slot, coir_op *op, int64_t result)
{
    learn_locked(slot, op, result);
    if (op->prev)
        op->prev->next = op->next;
    else
        slot->first = op->next;
    if (op->next)
        op->next->prev = op->prev;
    else
        slot->last = op->prev;
    return slot->closing && slot->first == NULL;
}

void coir__fd_visit_own(void (*visit)(coir__fd *slot, int fd, void *arg), void *arg)
{
    int highest = atomic_load_explicit(&top, memory_order_relaxed);
    for (int fd = 0; fd <= highest; fd++)
        if (atomic_load_explicit(&coir__fd_chunks[fd >> COIR__FD_CHUNK_SHIFT],
                                 memory_order_acquire))
            visit(coir__fd_slot(fd), fd, arg);
}
