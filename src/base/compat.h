/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_COMPAT_H
#define COIR_BASE_COMPAT_H

/* Compiler extensions, in one place. GNU C (gcc, clang) is required. */

#define COIR__NOINLINE __attribute__((noinline))
#define COIR__COLD __attribute__((noinline, cold))
#define COIR__INLINE static inline __attribute__((always_inline))
#define COIR__PRINTF(string, first) __attribute__((format(printf, string, first)))
#define COIR__NORETURN __attribute__((noreturn))

/* For a function that looks at what another thread may be writing: ThreadSanitizer does not see it. */
#define COIR__UNSANITIZED __attribute__((noinline, no_sanitize("thread")))

#define coir__likely(condition) __builtin_expect(!!(condition), 1)
#define coir__unlikely(condition) __builtin_expect(!!(condition), 0)

#define coir__container(pointer, type, member)                                                     \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Brings the line at an address nearer; any address. */
#define coir__prefetch(address) __builtin_prefetch(address)

/* Orders this thread's accesses for the compiler only. */
#define coir__compiler_fence() __asm__ volatile("" ::: "memory")

#if defined(__SANITIZE_ADDRESS__)
#define COIR__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COIR__ASAN 1
#endif
#endif
#ifndef COIR__ASAN
#define COIR__ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define COIR__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COIR__TSAN 1
#endif
#endif
#ifndef COIR__TSAN
#define COIR__TSAN 0
#endif

#endif
