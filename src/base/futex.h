/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_FUTEX_H
#define COIR_BASE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleeps while *word is `expected`, until woken or until `deadline` on CLOCK_MONOTONIC (COIR_FOREVER: none). May
 * return early. */
void coir__futex_sleep(_Atomic uint32_t *word, uint32_t expected, int64_t deadline);

/* Wakes up to n sleepers. `word` may be gone by now: then nobody sleeps on it. */
void coir__futex_rouse(_Atomic uint32_t *word, int n);

#endif
