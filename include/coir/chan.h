/* SPDX-License-Identifier: MIT */
#ifndef COIR_CHAN_H
#define COIR_CHAN_H

/* Values between tasks: channels, and broadcast. Part of <coir.h>. */

#include <coir/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- channels ------------------------------------------------------------------------------------------------- */

/*
 * A channel carries elements of one size between tasks and threads, in order. Capacity 0 is a rendezvous: a send
 * ends when a receiver has taken the element. Either side may close: then sends fail with -EPIPE, receives drain what is
 * buffered and then fail with -EPIPE.
 *
 * @example channel
 *   #include <coir.h>
 *   #include <stdio.h>
 *
 *   COIR_CHAN_TYPE(numbers, int)
 *
 *   static int produce(void *arg) {
 *       numbers *out = arg;
 *       for (int i = 1; i <= 3; i++)
 *           if (numbers_send(out, i) < 0)
 *               break;
 *       numbers_close(out);
 *       return 0;
 *   }
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       numbers *c = numbers_new(0);
 *       if (!c)
 *           return -ENOMEM;
 *       coir_group g;
 *       coir_group_begin(&g, 0);
 *       coir_spawn(&g, produce, c);
 *       int n, sum = 0;
 *       while (numbers_recv(c, &n) == 0)
 *           sum += n;
 *       printf("%d\n", sum);
 *       int rc = coir_group_end(&g);
 *       numbers_free(c);
 *       return rc;
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */
typedef struct coir_chan coir_chan;

/* A channel for elements of `elem_size` bytes (0 is legal: a signal) that buffers `capacity` of them. NULL when out of
 * memory or when the buffer's size overflows. From: any. Switches: no. Cancel point: no. */
COIR_API coir_chan *coir_chan_new(size_t elem_size, size_t capacity);

/* Frees a channel nobody waits on (else: misuse); buffered elements go to the on_drop function. NULL is ignored.
 * From: any. Switches: no. Cancel point: no. */
COIR_API void coir_chan_free(coir_chan *c);

/* Sends a copy of `*elem`, waiting for room or a receiver. -EPIPE when closed. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_chan_send(coir_chan *c, const void *elem);

/* Receives into `*elem` (never NULL, unless elements have no size), waiting for an element. -EPIPE when closed and drained.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_chan_recv(coir_chan *c, void *elem);

/* The same without waiting: -EAGAIN where it would wait. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_chan_try_send(coir_chan *c, const void *elem);
COIR_API int coir_chan_try_recv(coir_chan *c, void *elem);

/* Batches: sends or receives up to `n` elements, as many as possible without waiting but at least one (waiting for it).
 * Returns the count, -EPIPE, -ECANCELED, or -EINVAL when `n` is 0. From: any. Switches: yes. Cancel point: yes. */
COIR_API ssize_t coir_chan_send_n(coir_chan *c, const void *elems, size_t n);
COIR_API ssize_t coir_chan_recv_n(coir_chan *c, void *elems, size_t n);

/* Closes: idempotent, wakes everybody. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_chan_close(coir_chan *c);

/* Elements buffered now, and at most. From: any. Switches: no. Cancel point: no. */
COIR_API size_t coir_chan_len(coir_chan *c);
COIR_API size_t coir_chan_cap(coir_chan *c);

/* `drop(elem)` is called for every element still buffered when the channel is freed. From: any. Switches: no.
 * Cancel point: no. */
COIR_API void coir_chan_on_drop(coir_chan *c, void (*drop)(void *elem));

/* A channel of T as a type `name` with name_new(capacity), name_free, name_send(c, value), name_recv(c, &value),
 * name_try_send, name_try_recv, name_send_n, name_recv_n, name_close, name_len, name_cap. `name *` is a coir_chan *
 * in disguise: name_chan(c) is for coir_select. */
#define COIR_CHAN_TYPE(name, T)                                                                                        \
    typedef struct name name;                                                                                          \
    COIR_UNUSED static inline coir_chan *name##_chan(name *c) { return (coir_chan *)(void *)c; }                       \
    COIR_UNUSED static inline name *name##_new(size_t capacity) { return (name *)(void *)coir_chan_new(sizeof(T), capacity); } \
    COIR_UNUSED static inline void name##_free(name *c) { coir_chan_free(name##_chan(c)); }                            \
    COIR_UNUSED static inline int name##_send(name *c, T value) { return coir_chan_send(name##_chan(c), &value); }     \
    COIR_UNUSED static inline int name##_recv(name *c, T *value) { return coir_chan_recv(name##_chan(c), value); }     \
    COIR_UNUSED static inline int name##_try_send(name *c, T value) { return coir_chan_try_send(name##_chan(c), &value); } \
    COIR_UNUSED static inline int name##_try_recv(name *c, T *value) { return coir_chan_try_recv(name##_chan(c), value); } \
    COIR_UNUSED static inline ssize_t name##_send_n(name *c, const T *values, size_t n)                                \
    {                                                                                                                  \
        return coir_chan_send_n(name##_chan(c), values, n);                                                            \
    }                                                                                                                  \
    COIR_UNUSED static inline ssize_t name##_recv_n(name *c, T *values, size_t n)                                      \
    {                                                                                                                  \
        return coir_chan_recv_n(name##_chan(c), values, n);                                                        \
    }                                                                                                                  \
    COIR_UNUSED static inline void name##_close(name *c) { coir_chan_close(name##_chan(c)); }                          \
    COIR_UNUSED static inline size_t name##_len(name *c) { return coir_chan_len(name##_chan(c)); }                     \
    COIR_UNUSED static inline size_t name##_cap(name *c) { return coir_chan_cap(name##_chan(c)); }

/* -- broadcast ------------------------------------------------------------------------------------------------ */

/*
 * Every subscriber sees every item that is sent while it is subscribed. A sender never waits: the last `capacity` items are
 * kept, and a subscriber that is further behind has lost the older ones, and learns how many.
 *
 * @example broadcast
 *   #include <coir.h>
 *   #include <stdio.h>
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       coir_broadcast *b = coir_broadcast_new(sizeof(int), 2);
 *       coir_subscriber *s = coir_broadcast_subscribe(b);
 *       for (int i = 1; i <= 5; i++)
 *           coir_broadcast_send(b, &i);
 *       coir_broadcast_close(b);
 *       int n = 0, rc;
 *       uint64_t lost;
 *       while ((rc = coir_broadcast_recv(s, &n, &lost)) != -EPIPE) {
 *           if (rc == -EOVERFLOW)
 *               printf("lost %d\n", (int)lost); // 3
 *           else
 *               printf("got %d\n", n); // 4, 5
 *       }
 *       coir_broadcast_unsubscribe(s);
 *       coir_broadcast_free(b);
 *       return 0;
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */
typedef struct coir_broadcast coir_broadcast;
typedef struct coir_subscriber coir_subscriber;

/* A broadcast that keeps the last `capacity` items of `elem_size` bytes. NULL when out of memory, when the size overflows or
 * `capacity` is 0. From: any. Switches: no. Cancel point: no. */
COIR_API coir_broadcast *coir_broadcast_new(size_t elem_size, size_t capacity);

/* Frees a broadcast without subscribers (else: misuse). NULL is ignored. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_broadcast_free(coir_broadcast *b);

/* Begins with the next item that is sent. NULL when out of memory. Used by one task or thread at a time.
 * From: any. Switches: no. Cancel point: no. */
COIR_API coir_subscriber *coir_broadcast_subscribe(coir_broadcast *b);

/* Ends a subscription nobody waits on (else: misuse). NULL is ignored. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_broadcast_unsubscribe(coir_subscriber *s);

/* Sends a copy of `*elem` to all. 0, also without subscribers; -EPIPE when closed. From: any. Switches: no.
 * Cancel point: no. */
COIR_API int coir_broadcast_send(coir_broadcast *b, const void *elem);

/* The next item. -EOVERFLOW if items were lost before it: nothing is stored but their number in *ret_lost, and the next call has
 * the oldest that is kept, unless that is lost meanwhile too. -EPIPE when closed and drained. From: any. Switches: yes.
 * Cancel point: yes. */
COIR_API int coir_broadcast_recv(coir_subscriber *s, void *elem, uint64_t *ret_lost);

/* The same without waiting: -EAGAIN where it would wait. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_broadcast_try_recv(coir_subscriber *s, void *elem, uint64_t *ret_lost);

/* How many items `s` has lost in all, reported or not yet. From: any. Switches: no. Cancel point: no. */
COIR_API uint64_t coir_broadcast_lost(coir_subscriber *s);

/* Closes: idempotent; subscribers drain what is kept. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_broadcast_close(coir_broadcast *b);

#ifdef __cplusplus
}
#endif

#endif
