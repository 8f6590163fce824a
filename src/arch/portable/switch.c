/* SPDX-License-Identifier: MIT */
/*
 * switch.c - context switch for any architecture with ucontext(3). See arch/switch.h.
 *
 * swapcontext() saves and loads in one step, so the publication cannot stand between the two: the side that lands does it
 * for the one that left, told by a note in thread-local storage. If a publication by compare-and-swap fails, the side that
 * landed goes back at once. Costs two system calls for the signal mask, about 250 ns.
 *
 * Thread-local storage is read by functions that can't be inlined, because a context may land on another thread.
 */
#include <stdbool.h>
#include <string.h>
#include <ucontext.h>

#include "arch/switch.h"

struct note {
    _Atomic uint32_t *word; /* NULL: nothing to publish */
    uint32_t expected;
    uint32_t value;
    bool compare;
    coir__context *from; /* who left */
    coir__context *to;   /* who lands */
};

static _Thread_local struct note thread_note;
static _Thread_local coir__context *thread_lost; /* who is being gone back to */

static COIR__NOINLINE struct note note_take(void)
{
    struct note taken = thread_note;
    thread_note.word = NULL;
    __asm__ volatile("" ::: "memory");
    return taken;
}

static COIR__NOINLINE void note_leave(const struct note *n)
{
    thread_note = *n;
    __asm__ volatile("" ::: "memory");
}

static COIR__NOINLINE bool lost_take(const coir__context *self)
{
    bool lost = thread_lost == self;
    thread_lost = NULL;
    __asm__ volatile("" ::: "memory");
    return lost;
}

static COIR__NOINLINE void lost_tell(coir__context *who)
{
    thread_lost = who;
    __asm__ volatile("" ::: "memory");
}

/* Publishes for the one who left. If that fails, goes back to it, and is here again when resumed once more. */
static void landed(void)
{
    for (;;) {
        struct note n = note_take();
        if (!n.word)
            return;
        if (!n.compare) {
            atomic_store_explicit(n.word, n.value, memory_order_release);
            return;
        }
        uint32_t expected = n.expected;
        if (atomic_compare_exchange_strong(n.word, &expected, n.value))
            return;
        ucontext_t here;
        ucontext_t *back = n.from->sp;
        n.to->sp = &here;
        lost_tell(n.from); /* not by its result, which is the claimer's to write */
        swapcontext(&here, back);
    }
}

static int switch_with(coir__context *from, coir__context *to, struct note n)
{
    ucontext_t here;
    from->sp = &here;
    note_leave(&n);
    swapcontext(&here, to->sp);
    if (lost_take(from))
        return COIR__SWITCH_LOST;
    landed();
    return (int)from->result;
}

int coir__switch(coir__context *from, coir__context *to, _Atomic uint32_t *word, uint32_t value)
{
    struct note n = {.word = word, .value = value, .from = from, .to = to};
    return switch_with(from, to, n);
}

int coir__switch_publish(coir__context *from, coir__context *to, _Atomic uint32_t *word,
                         uint32_t expected, uint32_t desired)
{
    struct note n = {.word = word,
                     .expected = expected,
                     .value = desired,
                     .compare = true,
                     .from = from,
                     .to = to};
    return switch_with(from, to, n);
}

void coir__switch_exit(coir__context *to, _Atomic uint32_t *word, uint32_t value)
{
    struct note n = {.word = word, .value = value, .to = to};
    note_leave(&n);
    setcontext(to->sp);
    __builtin_unreachable();
}

void coir__switch_entered(void) { landed(); }

/* makecontext passes ints only. */
static void start(unsigned entry_high, unsigned entry_low, unsigned arg_high, unsigned arg_low)
{
    uintptr_t entry = (uintptr_t)((uint64_t)entry_high << 32 | entry_low);
    uintptr_t arg = (uintptr_t)((uint64_t)arg_high << 32 | arg_low);
    void (*call)(void *);
    memcpy(&call, &entry, sizeof call);
    call((void *)arg);
}

_Static_assert(sizeof(ucontext_t) + 256 <= COIR__CONTEXT_SIZE,
               "a context fits what switch.h promises");

void coir__context_make(coir__context *c, void *top, void (*entry)(void *arg), void *arg)
{
    /* The context lives at the top of its own stack; what is below it is for the function, of unknown size. */
    ucontext_t *u = (ucontext_t *)(((uintptr_t)top - sizeof(ucontext_t)) & ~(uintptr_t)63);
    uint64_t entry_bits = (uintptr_t)entry;
    uint64_t arg_bits = (uintptr_t)arg;
    getcontext(u);
    u->uc_link = NULL;
    u->uc_stack.ss_sp = (char *)u - 8192;
    u->uc_stack.ss_size = 8192;
    makecontext(u, (void (*)(void))start, 4, (unsigned)(entry_bits >> 32), (unsigned)entry_bits,
                (unsigned)(arg_bits >> 32), (unsigned)arg_bits);
    c->sp = u;
}
