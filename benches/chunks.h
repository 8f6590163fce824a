/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CHUNKS_H
#define BENCH_CHUNKS_H

/*
 * chunks.h - the work of parallel_sum: an array in chunks of uneven lengths, each to be added up.
 *
 * Lengths differ by a factor of up to 64: most are short, a few long. Inside a chunk each element
 * needs the result of the one before (a multiplication), so that no compiler can do several at
 * once: about 1.3 ns each. The same in peers/go/parallel_sum and the Rust peers.
 */

#include "measure.h"

typedef struct chunk {
    const uint32_t *begin, *end;
    uint64_t sum; /* its result */
} chunk;

typedef struct chunks {
    uint64_t elements, count;
    uint32_t *array;
    chunk *all;
} chunks;

static inline uint64_t chunk_sum(const chunk *c)
{
    uint64_t sum = 0;
    for (const uint32_t *e = c->begin; e < c->end; e++)
        sum = (sum ^ *e) * 0xd6e8feb86659fd93;
    return sum;
}

/* The relative length of a chunk: 1, 2, 4 ... 64, each half as often as the one before. */
static inline uint64_t chunk_weight(uint64_t i)
{
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15;
    return UINT64_C(1) << __builtin_ctzll((x >> 40) | 64);
}

/* Makes the array and its `count` chunks. False if there is no memory. */
static inline bool chunks_make(chunks *c)
{
    uint64_t total = 0, before = 0;
    c->array = calloc(c->elements, sizeof *c->array);
    c->all = calloc(c->count, sizeof *c->all);
    if (!c->array || !c->all)
        return false;
    for (uint64_t i = 0; i < c->elements; i++)
        c->array[i] = (uint32_t)(i * 2654435761U);
    for (uint64_t i = 0; i < c->count; i++)
        total += chunk_weight(i);
    for (uint64_t i = 0; i < c->count; i++) {
        c->all[i].begin = c->array + c->elements * before / total;
        before += chunk_weight(i);
        c->all[i].end = c->array + c->elements * before / total;
    }
    return true;
}

static inline void chunks_free(chunks *c)
{
    free(c->array);
    free(c->all);
}

/* What the chunks' results add up to. */
static inline uint64_t chunks_total(const chunks *c)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < c->count; i++)
        sum += c->all[i].sum;
    return sum;
}

/* The same, worked out anew. */
static inline uint64_t chunks_wanted(const chunks *c)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < c->count; i++)
        sum += chunk_sum(&c->all[i]);
    return sum;
}

#endif
