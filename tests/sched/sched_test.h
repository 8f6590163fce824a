/* SPDX-License-Identifier: MIT */
#ifndef SCHED_TEST_H
#define SCHED_TEST_H

/* sched_test.h - what several files of this folder need. */

#include "support/harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __cplusplus
#include <atomic>
using std::atomic_fetch_add;
using std::atomic_int;
using std::atomic_load;
using std::atomic_long;
#else
#include <stdatomic.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define SCHED_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SCHED_TSAN 1
#endif
#endif
#ifndef SCHED_TSAN
#define SCHED_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SCHED_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SCHED_ASAN 1
#endif
#endif
#ifndef SCHED_ASAN
#define SCHED_ASAN 0
#endif

#define UNUSED __attribute__((unused))

/* -- the machine ---------------------------------------------------------------------------------------------- */

/* An emulator of another architecture's programs says yes to advice that it does not know. */
UNUSED static bool is_emulated(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool agrees = page != MAP_FAILED && madvise(page, 4096, 9999) == 0;
    if (page != MAP_FAILED)
        munmap(page, 4096);
    return agrees;
}

/* Stack guards cost no mapping: Linux 6.13 or later, and no emulator, which says yes to any advice and does nothing. Else
 * vm.max_map_count keeps tasks below about 32,000. */
UNUSED static bool guards_are_cheap(void)
{
    void *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool marked = page != MAP_FAILED && madvise(page, 65536, 102 /* MADV_GUARD_INSTALL */) == 0;
    bool works = marked && syscall(SYS_futex, page, 0 /* FUTEX_WAIT */, 1, NULL, NULL, 0) < 0 &&
                 errno == EFAULT;
    if (page != MAP_FAILED)
        munmap(page, 65536);
    return works;
}

/* Tasks that may have a stack at the same time: 100,000 where that is possible. Stacks that grow take mappings, fixed ones
 * memory. */
UNUSED static int crowd_size(void)
{
    const char *strategy = getenv("COIR_STACK");
    if (strategy && strcmp(strategy, "fixed") == 0)
        return 1000;
    bool cheap = guards_are_cheap() && !(strategy && strcmp(strategy, "grow") == 0);
    return SCHED_TSAN ? 4000 : !cheap ? 10000 : SCHED_ASAN ? 20000 : 100000;
}

/* -- runtimes ------------------------------------------------------------------------------------------------- */

/* Runs with so many workers, whatever the environment says. */
UNUSED static int run_on(unsigned workers, coir_fn *fn, void *arg)
{
    coir_options o = COIR_OPTIONS_INIT;
    o.workers = workers;
    unsetenv("COIR_WORKERS");
    return coir_run(&o, fn, arg);
}

/* The same with every task moved at every opportunity. */
UNUSED static int run_migrating(unsigned workers, coir_fn *fn, void *arg)
{
    setenv("COIR_DEBUG", "migrate=1", 1);
    return run_on(workers, fn, arg);
}

UNUSED static pid_t thread_id(void) { return (pid_t)syscall(SYS_gettid); }

/* -- threads -------------------------------------------------------------------------------------------------- */

UNUSED static pthread_t thread_start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, fn, arg), 0);
    return thread;
}

UNUSED static void thread_finish(pthread_t thread) { CHECK_EQ(pthread_join(thread, NULL), 0); }

/* Until there are `more` threads than the `before` of an earlier count, at most: those that have been joined stay in the
 * kernel's list for a moment. A sanitizer starts one of its own with the first other. */
UNUSED static void threads_settle(int before, int more)
{
    while (harness_count_threads() > before + more + SCHED_TSAN)
        sched_yield();
}

/* -- a meeting ------------------------------------------------------------------------------------------------
 *
 * Tasks that keep their workers until all are there: each is on one of its own.
 */
typedef struct meeting {
    atomic_int present;
    int expected;
} meeting;

UNUSED static int attend(void *arg)
{
    meeting *m = (meeting *)arg;
    atomic_fetch_add(&m->present, 1);
    while (atomic_load(&m->present) < m->expected)
        sched_yield();
    return 0;
}

/* -- progress -------------------------------------------------------------------------------------------------
 *
 * A thread that looks at a counter and fails the test, with a dump, when it has not moved for long (10 s, more under
 * sanitizers). It only makes a hang tell more; no verdict depends on speed.
 */
typedef struct watchdog {
    const atomic_long *counter;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
} watchdog;

UNUSED static void *watchdog_main(void *arg)
{
    watchdog *dog = (watchdog *)arg;
    long last = -1;
    int still = 0;
    pthread_mutex_lock(&dog->lock);
    while (!dog->over) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&dog->changed, &dog->lock, &until);
        long now = atomic_load(dog->counter);
        still = now == last ? still + 1 : 0;
        last = now;
        if (still >= 10 * harness_scale()) {
            coir_dump(STDERR_FILENO);
            harness_fail(__FILE__, __LINE__, "no progress: the counter stands at %ld", now);
        }
    }
    pthread_mutex_unlock(&dog->lock);
    return NULL;
}

UNUSED static void watchdog_begin(watchdog *dog, const atomic_long *counter)
{
    dog->counter = counter;
    dog->over = false;
    pthread_mutex_init(&dog->lock, NULL);
    pthread_cond_init(&dog->changed, NULL);
    dog->thread = thread_start(watchdog_main, dog);
}

UNUSED static void watchdog_end(watchdog *dog)
{
    pthread_mutex_lock(&dog->lock);
    dog->over = true;
    pthread_cond_signal(&dog->changed);
    pthread_mutex_unlock(&dog->lock);
    thread_finish(dog->thread);
    pthread_cond_destroy(&dog->changed);
    pthread_mutex_destroy(&dog->lock);
}

/* -- stderr --------------------------------------------------------------------------------------------------- */

typedef struct listener {
    int saved;
    int file;
    char text[4096];
} listener;

UNUSED static void stderr_catch(listener *l)
{
    fflush(stderr);
    l->saved = dup(STDERR_FILENO);
    l->file = memfd_create("stderr", 0);
    CHECK(l->saved >= 0 && l->file >= 0);
    dup2(l->file, STDERR_FILENO);
}

/* Puts stderr back; what was written is in l->text. */
UNUSED static void stderr_release(listener *l)
{
    fflush(stderr);
    dup2(l->saved, STDERR_FILENO);
    ssize_t n = pread(l->file, l->text, sizeof l->text - 1, 0);
    l->text[n > 0 ? n : 0] = '\0';
    close(l->saved);
    close(l->file);
}

#endif
