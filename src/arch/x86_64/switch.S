/* SPDX-License-Identifier: MIT */
/*
 * switch.S - context switch for x86-64, System V ABI. See arch/switch.h.
 *
 * A suspended stack, from its stack pointer upwards: r15 r14 r13 r12 rbx rbp, resume address. Six pushes, two stores, one
 * load, six pops; 2 to 3 ns when the landing is predicted. On x86 a plain store has release order.
 *
 * No note about shadow stacks: a landing by jump would desynchronise them, so the linker must not mark the program.
 */

#if defined(COIR_SWITCH_SANITIZE) /* the wrappers in sanitize.c take the public names */
#define NAME(name) name##_raw
#else
#define NAME(name) name
#endif

        .macro  function name
        .text
        .p2align 6
        .globl  \name
        .hidden \name
        .type   \name, @function
\name:
        .cfi_startproc
        .endm

        .macro  end name
        .cfi_endproc
        .size   \name, . - \name
        .endm

        .macro  save
        .irp    reg, rbp, rbx, r12, r13, r14, r15
        pushq   %\reg
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \reg, 0
        .endr
        .endm

        .macro  load
        .irp    reg, r15, r14, r13, r12, rbx, rbp
        popq    %\reg
        .cfi_adjust_cfa_offset -8
        .cfi_restore \reg
        .endr
        .endm

/* int coir__switch(rdi from, rsi to, rdx word, ecx value) */
        function NAME(coir__switch)
        movq    (%rsp), %r8             /* where `from` resumes; its stack is not ours after the publication */
        save
        movq    %rsp, 0(%rdi)
        movl    %ecx, (%rdx)
        movq    0(%rsi), %rsp
        movq    8(%rsi), %rax
        load
        cmpq    %r8, (%rsp)
        jne     1f
        ret
1:      popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register rip, rcx
        jmp     *%rcx
        end     NAME(coir__switch)

/* int coir__switch_publish(rdi from, rsi to, rdx word, ecx expected, r8d desired) */
        function NAME(coir__switch_publish)
        movq    (%rsp), %r9
        save
        movq    %rsp, 0(%rdi)
        movl    %ecx, %eax
        lock cmpxchgl %r8d, (%rdx)
        jne     2f
        movq    0(%rsi), %rsp
        movq    8(%rsi), %rax
        .cfi_remember_state
        load
        cmpq    %r9, (%rsp)
        jne     1f
        ret
1:      popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register rip, rcx
        jmp     *%rcx
        .cfi_restore_state
2:      load                            /* nothing between here and the save has changed them; the stack stays */
        movl    $0x80000000, %eax
        ret
        end     NAME(coir__switch_publish)

/* noreturn coir__switch_exit(rdi to, rsi word, edx value) */
        function NAME(coir__switch_exit)
        .cfi_undefined rip
        movl    %edx, (%rsi)
        movq    0(%rdi), %rsp
        movq    8(%rdi), %rax
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        popq    %rcx
        jmp     *%rcx
        end     NAME(coir__switch_exit)

/* Where a new context begins: rbx entry, r12 its argument; the stack is aligned, rbp is 0. */
        function coir__switch_start
        .cfi_undefined rip              /* backtraces end here */
        movq    %r12, %rdi
        call    *%rbx
        ud2
        end     coir__switch_start

/* void coir__context_make(rdi context, rsi top, rdx entry, rcx arg) */
        function coir__context_make
        leaq    coir__switch_start(%rip), %rax
        xorl    %r8d, %r8d
        movq    %r8, -8(%rsi)           /* the end of the chain, for those who walk it without tables */
        movq    %r8, -16(%rsi)
        movq    %rax, -24(%rsi)         /* resume address */
        movq    %r8, -32(%rsi)          /* rbp */
        movq    %rdx, -40(%rsi)         /* rbx */
        movq    %rcx, -48(%rsi)         /* r12 */
        movq    %r8, -56(%rsi)
        movq    %r8, -64(%rsi)
        movq    %r8, -72(%rsi)
        leaq    -72(%rsi), %rax
        movq    %rax, 0(%rdi)
        ret
        end     coir__context_make

        .section .note.GNU-stack, "", @progbits
