/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_RNG_H
#define COIR_BASE_RNG_H

/* rng.h - xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016). One
 * generator per worker; for fairness, not for secrets. */

#include <stdint.h>

#include "base/compat.h"

typedef struct coir__rng {
    uint64_t state; /* never 0 */
} coir__rng;

COIR__INLINE void coir__rng_init(coir__rng *r, uint64_t seed)
{
    uint64_t x = seed + 0x9e3779b97f4a7c15u; /* one step of splitmix64, so that near seeds differ */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    r->state = (x ^ (x >> 31)) | 1;
}

COIR__INLINE uint32_t coir__rng_next(coir__rng *r)
{
    uint64_t x = r->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->state = x;
    return (uint32_t)((x * 0x2545f4914f6cdd1du) >> 32);
}

/* Uniform enough in [0, n). */
COIR__INLINE uint32_t coir__rng_below(coir__rng *r, uint32_t n)
{
    return (uint32_t)(((uint64_t)coir__rng_next(r) * n) >> 32);
}

#endif
