/* SPDX-License-Identifier: MIT */
#ifndef COIR_DEBUG_CENSUS_H
#define COIR_DEBUG_CENSUS_H

/* census.h - for dumps. */

#include <stdbool.h>

#define COIR__CENSUS_LINE 512

/* The text about the i-th place where tasks were spawned, deepest first, without newline; false if there is none. */
bool coir__census_line(unsigned i, char line[COIR__CENSUS_LINE]);

#endif
