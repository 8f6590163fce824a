/* SPDX-License-Identifier: MIT */
#ifndef IMITATION_H
#define IMITATION_H

/* imitation.h - files of /proc and /sys, imitated below a folder of the test's own. */

#include "support/harness.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char imitated[64]; /* the folder; "": none yet */

/* Writes a file, and makes the folders that it is in. */
static inline void imitate(const char *name, const char *text)
{
    char path[256];
    if (!imitated[0]) {
        strcpy(imitated, "/tmp/coir-imitation-XXXXXX");
        CHECK(mkdtemp(imitated) != NULL);
    }
    snprintf(path, sizeof path, "%s%s", imitated, name);
    for (char *p = path + strlen(imitated) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0);
    fclose(f);
}

static inline void imitate_number(const char *name, size_t n)
{
    char text[32];
    snprintf(text, sizeof text, "%zu\n", n);
    imitate(name, text);
}

static inline int imitation_remove(const char *path, const struct stat *st, int type,
                                   struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

static inline void imitation_end(void)
{
    nftw(imitated, imitation_remove, 8, FTW_DEPTH | FTW_PHYS);
    imitated[0] = 0;
}

#endif
