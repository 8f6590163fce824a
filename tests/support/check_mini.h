/* SPDX-License-Identifier: MIT */
#ifndef CHECK_MINI_H
#define CHECK_MINI_H

/* The asserts of Check that tests use, for targets that have no package of it (cross builds). */

#include <stdint.h>
#include <string.h>

#define ck_assert(x) ck_mini_that(x, "%s", #x)
#define ck_assert_msg(x, ...) ck_mini_that(x, __VA_ARGS__)
#define ck_abort_msg(...) harness_fail(__FILE__, __LINE__, __VA_ARGS__)

#define ck_mini_that(x, ...)                                                                       \
    do {                                                                                           \
        if (!(x))                                                                                  \
            harness_fail(__FILE__, __LINE__, __VA_ARGS__);                                         \
    } while (0)

#define ck_mini_compare(a, op, b)                                                                  \
    do {                                                                                           \
        intmax_t ck_a = (intmax_t)(a), ck_b = (intmax_t)(b);                                       \
        ck_mini_that(ck_a op ck_b, "%s %s %s: %jd, %jd", #a, #op, #b, ck_a, ck_b);                 \
    } while (0)

#define ck_mini_compare_uint(a, op, b)                                                             \
    do {                                                                                           \
        uintmax_t ck_a = (uintmax_t)(a), ck_b = (uintmax_t)(b);                                    \
        ck_mini_that(ck_a op ck_b, "%s %s %s: %ju, %ju", #a, #op, #b, ck_a, ck_b);                 \
    } while (0)

#define ck_assert_int_eq(a, b) ck_mini_compare(a, ==, b)
#define ck_assert_int_ne(a, b) ck_mini_compare(a, !=, b)
#define ck_assert_int_lt(a, b) ck_mini_compare(a, <, b)
#define ck_assert_int_le(a, b) ck_mini_compare(a, <=, b)
#define ck_assert_int_gt(a, b) ck_mini_compare(a, >, b)
#define ck_assert_int_ge(a, b) ck_mini_compare(a, >=, b)
#define ck_assert_uint_eq(a, b) ck_mini_compare_uint(a, ==, b)
#define ck_assert_uint_ne(a, b) ck_mini_compare_uint(a, !=, b)
#define ck_assert_uint_lt(a, b) ck_mini_compare_uint(a, <, b)
#define ck_assert_uint_le(a, b) ck_mini_compare_uint(a, <=, b)
#define ck_assert_uint_gt(a, b) ck_mini_compare_uint(a, >, b)
#define ck_assert_uint_ge(a, b) ck_mini_compare_uint(a, >=, b)
#define ck_assert_ptr_eq(a, b) ck_mini_that((a) == (b), "%s == %s", #a, #b)
#define ck_assert_ptr_ne(a, b) ck_mini_that((a) != (b), "%s != %s", #a, #b)
#define ck_assert_ptr_null(a) ck_mini_that(!(a), "%s is not NULL", #a)
#define ck_assert_ptr_nonnull(a) ck_mini_that((a), "%s is NULL", #a)
#define ck_assert_str_eq(a, b) ck_mini_that(!strcmp(a, b), "'%s' is not '%s'", a, b)
#define ck_assert_str_ne(a, b) ck_mini_that(strcmp(a, b), "'%s' is '%s'", a, b)
#define ck_assert_mem_eq(a, b, n) ck_mini_that(!memcmp(a, b, n), "%s is not %s", #a, #b)
#define ck_assert_mem_ne(a, b, n) ck_mini_that(memcmp(a, b, n), "%s is %s", #a, #b)

#endif
