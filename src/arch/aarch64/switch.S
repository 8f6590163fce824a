/* SPDX-License-Identifier: MIT */
/*
 * switch.S - context switch for 64-bit ARM, AAPCS64. See arch/switch.h.
 *
 * A suspended stack, from its stack pointer upwards (160 bytes): x29 x30, x19..x28, d8..d15. The release is a store-release.
 * With branch target identification a landing must be a `ret`, because return sites carry no landing pad.
 */

#if defined(COIR_SWITCH_SANITIZE)
#define NAME(name) name##_raw
#else
#define NAME(name) name
#endif

#if defined(__ARM_FEATURE_BTI_DEFAULT)
#define PAD bti c
#define LEAVE ret x30
#else
#define PAD
#define LEAVE br x30
#endif

        .macro  function name
        .text
        .p2align 6
        .globl  \name
        .hidden \name
        .type   \name, %function
\name:
        .cfi_startproc
        PAD
        .endm

        .macro  end name
        .cfi_endproc
        .size   \name, . - \name
        .endm

        .macro  save
        sub     sp, sp, #160
        .cfi_adjust_cfa_offset 160
        stp     x29, x30, [sp, #0]
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        .endm

        .macro  load
        ldp     x29, x30, [sp, #0]
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #160
        .cfi_adjust_cfa_offset -160
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        .endm

/* int coir__switch(x0 from, x1 to, x2 word, w3 value) */
        function NAME(coir__switch)
        mov     x11, x30
        save
        mov     x9, sp
        str     x9, [x0]
        stlr    w3, [x2]
        ldr     x9, [x1]
        ldr     x0, [x1, #8]
        mov     sp, x9
        load
        cmp     x11, x30
        b.ne    1f
        ret
1:      LEAVE
        end     NAME(coir__switch)

/* int coir__switch_publish(x0 from, x1 to, x2 word, w3 expected, w4 desired) */
        function NAME(coir__switch_publish)
        mov     x11, x30
        save
        mov     x9, sp
        str     x9, [x0]
3:      ldaxr   w10, [x2]
        cmp     w10, w3
        b.ne    2f
        stlxr   w12, w4, [x2]
        cbnz    w12, 3b
        ldr     x9, [x1]
        ldr     x0, [x1, #8]
        mov     sp, x9
        .cfi_remember_state
        load
        cmp     x11, x30
        b.ne    1f
        ret
1:      LEAVE
        .cfi_restore_state
2:      clrex
        load
        mov     w0, #0x80000000
        ret
        end     NAME(coir__switch_publish)

/* noreturn coir__switch_exit(x0 to, x1 word, w2 value) */
        function NAME(coir__switch_exit)
        .cfi_undefined x30
        stlr    w2, [x1]
        ldr     x9, [x0]
        ldr     x0, [x0, #8]
        mov     sp, x9
        ldp     x29, x30, [sp, #0]
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #160
        LEAVE
        end     NAME(coir__switch_exit)

/* Where a new context begins: x19 entry, x20 its argument. */
        function coir__switch_start
        .cfi_undefined x30
        mov     x0, x20
        blr     x19
        brk     #1
        end     coir__switch_start

/* void coir__context_make(x0 context, x1 top, x2 entry, x3 arg) */
        function coir__context_make
        adrp    x9, coir__switch_start
        add     x9, x9, :lo12:coir__switch_start
        sub     x10, x1, #176
        stp     xzr, x9, [x10, #0]      /* x29, x30 */
        stp     x2, x3, [x10, #16]      /* x19, x20 */
        stp     xzr, xzr, [x10, #32]
        stp     xzr, xzr, [x10, #48]
        stp     xzr, xzr, [x10, #64]
        stp     xzr, xzr, [x10, #80]
        stp     xzr, xzr, [x10, #96]
        stp     xzr, xzr, [x10, #112]
        stp     xzr, xzr, [x10, #128]
        stp     xzr, xzr, [x10, #144]
        stp     xzr, xzr, [x10, #160]
        str     x10, [x0]
        ret
        end     coir__context_make

        .section .note.GNU-stack, "", %progbits
