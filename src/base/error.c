/* SPDX-License-Identifier: MIT */
#include <coir.h>
#include <stdio.h>
#include <string.h>

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

const char *coir_version(void)
{
    return STRING(COIR_VERSION_MAJOR) "." STRING(COIR_VERSION_MINOR) "." STRING(COIR_VERSION_PATCH);
}

const char *coir_strerror(int error)
{
    unsigned number = error < 0 ? 0u - (unsigned)error : (unsigned)error;
    if (number == 0)
        return "Success";
    const char *text = number <= INT32_MAX ? strerrordesc_np((int)number) : NULL; /* glibc 2.32 */
    return text ? text : "Unknown error";
}

#undef errno
extern int *__errno_location(void);

/* Out of line and opaque: see coir.h. */
int *coir_errno_location(void) { return __errno_location(); }
