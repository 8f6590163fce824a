/* SPDX-License-Identifier: MIT */
#include "loop/engines.h"

#include <stddef.h>

const coir_engine *const coir__engines[] = {
#ifdef COIR_HAVE_URING
    &coir__engine_uring,
#endif
    &coir__engine_epoll,
    NULL,
};
