/* SPDX-License-Identifier: MIT */
/* test_no_errno.c - a program may keep the system's errno. */
#define COIR_NO_ERRNO 1
#include <coir.h>

#include <unistd.h>

/* As a macro's text: the accessor of coir is not in it. */
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
static const char text_of_errno[] = TEXT(errno);

#include "sched_test.h"

TEST(with_the_opt_out_errno_is_not_redefined)
{
    CHECK(strstr(text_of_errno, "coir") == NULL);
    errno = 0;
    CHECK_EQ(close(-1), -1);
    CHECK_EQ(errno, EBADF);
}

TEST_MAIN("sched_no_errno")
