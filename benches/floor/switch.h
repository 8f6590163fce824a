/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FLOOR_SWITCH_H
#define BENCH_FLOOR_SWITCH_H

/*
 * switch.h - the least that can be called a task: a stack, and a jump to another.
 *
 *   floor_switch(me, him)   leaves this stack for his; returns when somebody switches to me
 *
 * The compiler is told that every register is lost, so that it keeps only what it needs at that
 * place. There is no queue, no state, no cancellation, no debugger. Contexts that take turns in a
 * fixed ring need nothing else: each switches to its `next`.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef struct floor_context floor_context;

struct floor_context {
    void *sp, *ip, *fp; /* in this order */
    floor_context *next;
    void (*fn)(floor_context *self);
    void *arg;
};

void floor_entry(void); /* where a new context begins: itself is in its frame pointer */

#if defined(__x86_64__)

static inline __attribute__((always_inline)) void floor_switch(floor_context *from, floor_context *to)
{
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rsp, 0(%%rdi)\n\t"
                     "movq %%rax, 8(%%rdi)\n\t"
                     "movq %%rbp, 16(%%rdi)\n\t"
                     "movq 0(%%rsi), %%rsp\n\t"
                     "movq 16(%%rsi), %%rbp\n\t"
                     "jmpq *8(%%rsi)\n"
                     "1:"
                     : "+D"(from), "+S"(to)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0",
                       "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                       "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
}

__asm__(".text\n"
        "floor_entry:\n"
        "    movq %rbp, %rdi\n"
        "    xorl %ebp, %ebp\n"
        "    callq *32(%rdi)\n"
        "    ud2\n");

#elif defined(__aarch64__)

static inline __attribute__((always_inline)) void floor_switch(floor_context *from, floor_context *to)
{
    register floor_context *x0 __asm__("x0") = from;
    register floor_context *x1 __asm__("x1") = to;
    __asm__ volatile("adr x2, 1f\n\t"
                     "mov x3, sp\n\t"
                     "stp x3, x2, [x0]\n\t"
                     "str x29, [x0, 16]\n\t"
                     "ldp x3, x2, [x1]\n\t"
                     "ldr x29, [x1, 16]\n\t"
                     "mov sp, x3\n\t"
                     "br x2\n"
                     "1:"
                     : "+r"(x0), "+r"(x1)
                     :
                     : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
                       "x17", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1",
                       "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16",
                       "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
                       "v31", "memory", "cc");
}

__asm__(".text\n"
        "floor_entry:\n"
        "    mov x0, x29\n"
        "    mov x29, xzr\n"
        "    ldr x1, [x0, 32]\n"
        "    blr x1\n"
        "    brk 0\n");

#endif

#if defined(__x86_64__) || defined(__aarch64__)

enum { FLOOR_STACK = 8192 };

/* Stacks for `n` contexts, of which the page that is used is touched. */
static inline char *floor_stacks(uint64_t n)
{
    char *memory = mmap(NULL, n * FLOOR_STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("floor: stacks");
        exit(1);
    }
    for (uint64_t i = 1; i <= n; i++)
        memory[i * FLOOR_STACK - 1] = 0;
    return memory;
}

/* A context that runs `fn` when it is first switched to. It must never return. The stacks begin at
 * different places of their pages, or all would want the same few lines of the cache. */
static inline void floor_make(floor_context *c, char *stacks, uint64_t number,
                              void (*fn)(floor_context *), void *arg)
{
    c->fn = fn;
    c->arg = arg;
    c->sp = stacks + (number + 1) * FLOOR_STACK - number % 32 * 64;
    c->ip = (void *)floor_entry;
    c->fp = c;
}

static inline void floor_give_way(floor_context *c)
{
    floor_switch(c, c->next);
}

/* Never comes back to `c`. */
static inline _Noreturn void floor_leave(floor_context *c, floor_context *to)
{
    floor_switch(c, to);
    __builtin_unreachable();
}

#else

#error "no switch for this architecture: add one to benches/floor/switch.h"

#endif

#endif
