/* SPDX-License-Identifier: MIT */
#ifndef COIR_ARCH_FPENV_H
#define COIR_ARCH_FPENV_H

/* fpenv.h - the floating-point control words of a thread, for tasks that ask to keep their own (COIR_FP_ENV). */

#include <stdint.h>

#include "base/compat.h"

typedef struct coir__fpenv {
    uint64_t control;
    uint16_t x87;
} coir__fpenv;

#if defined(__x86_64__)

COIR__INLINE coir__fpenv coir__fpenv_save(void)
{
    coir__fpenv env;
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(env.x87));
    env.control = mxcsr;
    return env;
}

COIR__INLINE void coir__fpenv_load(coir__fpenv env)
{
    uint32_t mxcsr = (uint32_t)env.control;
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" ::"m"(mxcsr), "m"(env.x87));
}

COIR__INLINE void coir__fpenv_reset(void)
{
    coir__fpenv_load((coir__fpenv){.control = 0x1f80, .x87 = 0x37f});
}

#elif defined(__aarch64__)

COIR__INLINE coir__fpenv coir__fpenv_save(void)
{
    coir__fpenv env = {0};
    __asm__ volatile("mrs %0, fpcr" : "=r"(env.control));
    return env;
}

COIR__INLINE void coir__fpenv_load(coir__fpenv env)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(env.control));
}

COIR__INLINE void coir__fpenv_reset(void) { coir__fpenv_load((coir__fpenv){0}); }

#else

#include <fenv.h>

COIR__INLINE coir__fpenv coir__fpenv_save(void)
{
    return (coir__fpenv){.control = (uint64_t)fegetround()};
}

COIR__INLINE void coir__fpenv_load(coir__fpenv env) { fesetround((int)env.control); }

COIR__INLINE void coir__fpenv_reset(void) { fesetround(FE_TONEAREST); }

#endif

#endif
