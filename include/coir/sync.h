/* SPDX-License-Identifier: MIT */
#ifndef COIR_SYNC_H
#define COIR_SYNC_H

/* What tasks and threads agree by. All of these are embeddable, work between tasks of different runtimes and plain threads, need no
 * destruction, and may be destroyed or left (on a stack, too) by their last user right after another's call. Part of <coir.h>. */

#include <coir/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- mutex ------------------------------------------------------------------------------------------------------ */

/* Mutual exclusion for tasks and threads. A woken waiter competes with newcomers (barging) until it has waited about
 * 1 ms; then the mutex is handed to it. May be destroyed by its last user right after another's unlock. */
typedef struct coir_mutex {
    uint64_t opaque[6];
} coir_mutex;

#define COIR_MUTEX_INIT                   \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* 0; -EDEADLK if the caller holds it. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_mutex_lock(coir_mutex *m);

/* 0; -EAGAIN if somebody else holds it, -EDEADLK if the caller does. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_mutex_try_lock(coir_mutex *m);

/* Unlocking what is not held by the caller is misuse. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_mutex_unlock(coir_mutex *m);

/* -- condition -------------------------------------------------------------------------------------------------- */

/* What a task waits for while it does not hold the mutex; guarded by that mutex. Wakes only who was signalled: there are no
 * spurious returns, but another task may have taken the mutex in between, so test the condition in a loop. */
typedef struct coir_cond {
    uint64_t opaque[4];
} coir_cond;

#define COIR_COND_INIT                    \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* Releases `m`, waits for a signal, takes `m` again. Returns with `m` held, always: the taking again is no cancel point and ignores
 * deadlines. 0: signalled; -ECANCELED: no signal was used up. `m` not held by the caller is misuse.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_cond_wait(coir_cond *c, coir_mutex *m);

/* Wakes the one that has waited longest; all. The mutex may be held, and need not be. From: any. Switches: no.
 * Cancel point: no. */
COIR_API void coir_cond_signal(coir_cond *c);
COIR_API void coir_cond_broadcast(coir_cond *c);

/* -- semaphore -------------------------------------------------------------------------------------------------- */

/* A number of permits. Served in order: who asks for many is not passed over by those who ask for few. */
typedef struct coir_sem {
    uint64_t opaque[4];
} coir_sem;

#define COIR_SEM_INIT(n)                  \
    {                                     \
        {                                 \
            (uint64_t)(n)                 \
        }                                 \
    }

/* Takes one permit, or `n` at once, waiting until there are as many. -EINVAL if `n` is 0 or above COIR_SEM_MAX.
 * From: any. Switches: yes. Cancel point: yes. */
#define COIR_SEM_MAX 0x7fffffffu
COIR_API int coir_sem_acquire(coir_sem *s);
COIR_API int coir_sem_acquire_n(coir_sem *s, size_t n);

/* The same without waiting: -EAGAIN if there are too few, or somebody waits. From: any. Switches: no.
 * Cancel point: no. */
COIR_API int coir_sem_try_acquire(coir_sem *s);
COIR_API int coir_sem_try_acquire_n(coir_sem *s, size_t n);

/* Gives permits back, or adds some: who releases need not have acquired. More than COIR_SEM_MAX in all is misuse.
 * From: any. Switches: no. Cancel point: no. */
COIR_API void coir_sem_release(coir_sem *s);
COIR_API void coir_sem_release_n(coir_sem *s, size_t n);

/* -- read-write lock -------------------------------------------------------------------------------------------- */

/* Many readers or one writer. A waiting writer keeps new readers out, and a writer's unlock lets those in who wait: neither
 * side starves. Not recursive: a reader that locks again while a writer waits, waits for itself. */
typedef struct coir_rwlock {
    uint64_t opaque[8];
} coir_rwlock;

#define COIR_RWLOCK_INIT                  \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* 0; -EDEADLK if the caller holds it for writing. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_rwlock_read_lock(coir_rwlock *l);
COIR_API int coir_rwlock_write_lock(coir_rwlock *l);

/* The same without waiting: -EAGAIN. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_rwlock_try_read_lock(coir_rwlock *l);
COIR_API int coir_rwlock_try_write_lock(coir_rwlock *l);

/* Unlocking what is not held is misuse: for writing, by the caller; for reading, by anybody. From: any. Switches: no.
 * Cancel point: no. */
COIR_API void coir_rwlock_read_unlock(coir_rwlock *l);
COIR_API void coir_rwlock_write_unlock(coir_rwlock *l);

/* -- event ------------------------------------------------------------------------------------------------------ */

/* A flag to wait for. Stays set until reset. */
typedef struct coir_event {
    uint64_t opaque[4];
} coir_event;

#define COIR_EVENT_INIT                   \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* Sets, and wakes all who wait; resets; looks. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_event_set(coir_event *e);
COIR_API void coir_event_reset(coir_event *e);
COIR_API bool coir_event_is_set(coir_event *e);

/* Waits until it is set. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_event_wait(coir_event *e);

/* -- notify ----------------------------------------------------------------------------------------------------- */

/* Wakes one of those who wait, or lets the next one through: one permit is stored if nobody waits, never more. */
typedef struct coir_notify {
    uint64_t opaque[4];
} coir_notify;

#define COIR_NOTIFY_INIT                  \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* Wakes the one that has waited longest, or stores a permit; wakes all who wait now, and stores none.
 * From: any. Switches: no. Cancel point: no. */
COIR_API void coir_notify_one(coir_notify *n);
COIR_API void coir_notify_all(coir_notify *n);

/* Takes the stored permit, or waits. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_notify_wait(coir_notify *n);

/* -- barrier ---------------------------------------------------------------------------------------------------- */

/* Waits until `n` have come; then again. */
typedef struct coir_barrier {
    uint64_t opaque[6];
} coir_barrier;

#define COIR_BARRIER_INIT(n)              \
    {                                     \
        {                                 \
            (uint64_t)(n)                 \
        }                                 \
    }

/* 1 for the last of the n, which does not wait, 0 for the others. -ECANCELED: as if the caller had never come.
 * -EINVAL if n is 0. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_barrier_wait(coir_barrier *b);

/* -- once ------------------------------------------------------------------------------------------------------- */

/* Something done by the first who comes. */
typedef struct coir_once {
    uint64_t opaque[4];
} coir_once;

#define COIR_ONCE_INIT                    \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* Runs fn(arg) unless it has succeeded before; everyone else waits for the first. Returns 0, or the failure to the one
 * who ran it; the next waiter or caller tries again. -EINVAL if `fn` is NULL, -EDEADLK from inside `fn` itself.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_once_run(coir_once *o, coir_fn *fn, void *arg);

/* -- future ----------------------------------------------------------------------------------------------------- */

/* A value that will be known once. */
typedef struct coir_future {
    uint64_t opaque[4];
} coir_future;

#define COIR_FUTURE_INIT                  \
    {                                     \
        {                                 \
            0                             \
        }                                 \
    }

/* Sets the value, wakes all who wait. -EALREADY if it is set. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_future_set(coir_future *f, void *value);

/* Waits until it is set, and stores the value. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_future_get(coir_future *f, void **ret_value);

/* -- futex ------------------------------------------------------------------------------------------------------ */

/* Waits while `*addr` is `expected`, until woken: to build objects of one's own upon. 0 if woken; -EAGAIN if it differs already;
 * -EINVAL if `addr` is NULL or not aligned to 4. Waits in this process only. From: any. Switches: yes.
 * Cancel point: yes. */
COIR_API int coir_futex_wait(const uint32_t *addr, uint32_t expected);

/* Wakes up to `n` of those who wait at `addr`, the longest waiting first. How many; -EINVAL as above, or if `n` is 0 or less.
 * From: any. Switches: no. Cancel point: no. */
COIR_API int coir_futex_wake(const uint32_t *addr, int n);

#ifdef __cplusplus
}
#endif

#endif
