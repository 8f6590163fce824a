/* SPDX-License-Identifier: MIT */
#ifndef COIR_SELECT_H
#define COIR_SELECT_H

/* Waiting for exactly one of several things. Part of <coir.h>. */

#include <coir/chan.h>
#include <coir/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- select --------------------------------------------------------------------------------------------------- */

/*
 * Waits for exactly one of several things. The others have no side effect. A closed channel is ready (-EPIPE); a case
 * on NULL or COIR_FOREVER is never ready.
 *
 * @example select
 *   #include <coir.h>
 *   #include <stdio.h>
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       coir_event stop = COIR_EVENT_INIT;
 *       coir_chan *c = coir_chan_new(sizeof(int), 1);
 *       int in = 42, out = 0;
 *       coir_chan_send(c, &in);
 *       coir_case cases[] = {COIR_RECV(c, &out), COIR_SET(&stop), COIR_AFTER(COIR_S(1))};
 *       int i = coir_select(cases, 3);
 *       printf("case %d: result %d, value %d\n", i, cases[i].result, out);
 *       coir_chan_free(c);
 *       return 0;
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */
typedef enum coir_case_kind {
    COIR_CASE_NEVER = 0,
    COIR_CASE_SEND,
    COIR_CASE_RECV,
    COIR_CASE_AFTER,
    COIR_CASE_UNTIL,
    COIR_CASE_JOINED,
    COIR_CASE_EMPTY,
    COIR_CASE_SET,
    COIR_CASE_READABLE,
    COIR_CASE_WRITABLE,
    COIR_CASE_NOTIFIED,
    COIR_CASE_READY,
    COIR_CASE_ACQUIRE,
    COIR_CASE_RECV_FROM,
    COIR_CASE_SIGNALLED,
    COIR_CASE_WAITABLE
} coir_case_kind;

typedef struct coir_case {
    coir_case_kind kind;
    int result;    /* of this case, if it was the one: 0 or an error; a joined task's result; ready poll events */
    void *object;  /* what is waited for */
    void *data;    /* element to send, or where to receive to */
    int64_t value; /* time, descriptor or task id */
    uint64_t opaque[10]; /* the select's, while it waits */
} coir_case;

static inline coir_case coir_case_make(coir_case_kind kind, void *object, void *data, int64_t value)
{
    coir_case made = {COIR_CASE_NEVER, 0, NULL, NULL, 0, {0}};
    made.kind = kind;
    made.object = object;
    made.data = data;
    made.value = value;
    return made;
}

static inline coir_case coir_case_send(coir_chan *c, const void *elem)
{
    return coir_case_make(COIR_CASE_SEND, c, (void *)(uintptr_t)elem, 0);
}

static inline coir_case coir_case_recv(coir_chan *c, void *elem)
{
    return coir_case_make(COIR_CASE_RECV, c, elem, 0);
}

static inline coir_case coir_case_joined(coir_task t)
{
    return coir_case_make(COIR_CASE_JOINED, t.opaque, NULL, (int64_t)t.id);
}

static inline coir_case coir_case_empty(coir_group *g) { return coir_case_make(COIR_CASE_EMPTY, g, NULL, 0); }

static inline coir_case coir_case_set(coir_event *e) { return coir_case_make(COIR_CASE_SET, e, NULL, 0); }

static inline coir_case coir_case_notified(coir_notify *n) { return coir_case_make(COIR_CASE_NOTIFIED, n, NULL, 0); }

static inline coir_case coir_case_ready(coir_future *f) { return coir_case_make(COIR_CASE_READY, f, NULL, 0); }

static inline coir_case coir_case_acquire(coir_sem *s) { return coir_case_make(COIR_CASE_ACQUIRE, s, NULL, 1); }

static inline coir_case coir_case_recv_from(coir_subscriber *s, void *elem)
{
    return coir_case_make(COIR_CASE_RECV_FROM, s, elem, 0);
}

typedef struct coir_waitable coir_waitable;

static inline coir_case coir_case_waitable(coir_waitable *object, void *data)
{
    return coir_case_make(COIR_CASE_WAITABLE, object, data, 0);
}

#define COIR_SEND(c, p) coir_case_send((c), (p))
#define COIR_RECV(c, p) coir_case_recv((c), (p))
#define COIR_AFTER(ns) coir_case_make(COIR_CASE_AFTER, NULL, NULL, (ns)) /* counts from the call */
#define COIR_UNTIL(t) coir_case_make(COIR_CASE_UNTIL, NULL, NULL, (t))
#define COIR_JOINED(task) coir_case_joined(task)  /* joins it; result: the task's, or -ESRCH ... as coir_join */
#define COIR_EMPTY(group) coir_case_empty(group)  /* all its tasks have ended; from the opener */
#define COIR_SET(event) coir_case_set(event)
#define COIR_NOTIFIED(notify) coir_case_notified(notify)
#define COIR_READY(future) coir_case_ready(future) /* then coir_future_get() does not wait */
#define COIR_ACQUIRE(sem) coir_case_acquire(sem)   /* one permit */
#define COIR_RECV_FROM(subscriber, p) coir_case_recv_from((subscriber), (p)) /* result: as coir_broadcast_recv() */
#define COIR_WAITABLE(object, data) coir_case_waitable((object), (data)) /* an object of one's own, below */
#define COIR_READABLE(fd) coir_case_make(COIR_CASE_READABLE, NULL, NULL, (fd)) /* only from tasks; result: poll events */
#define COIR_WRITABLE(fd) coir_case_make(COIR_CASE_WRITABLE, NULL, NULL, (fd)) /* the same */
#define COIR_SIGNALLED(sig) coir_case_make(COIR_CASE_SIGNALLED, NULL, NULL, (sig)) /* the same; see <coir/signal.h> */

/* Waits for exactly one of `n` cases; returns its index, and its outcome in cases[i].result. If several are ready, a
 * random one. -EINVAL: no cases, or an unknown kind; -ECANCELED. On a negative return no `result` is written. The same
 * object may stand in several cases, as sender and receiver too, and never meets itself.
 * From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_select(coir_case *cases, size_t n);

/* The same; if several are ready, the first listed. From: any. Switches: yes. Cancel point: yes. */
COIR_API int coir_select_ordered(coir_case *cases, size_t n);

/* The same without waiting, at random: -EAGAIN if none is ready. From: any. Switches: no. Cancel point: no. */
COIR_API int coir_select_try(coir_case *cases, size_t n);

/* -- an object of one's own ----------------------------------------------------------------------------------- */

/*
 * An object of the program's own stands in a select if it begins with a coir_waitable, whose functions say how. It has a
 * lock of its own, a list of those who wait, and follows one rule: whoever makes it ready *claims* a waiter first, and only
 * then takes what is consumed for it ("claim before consume"). A waiter that can't be claimed has been served elsewhere or
 * is about to look itself: pass it by, and consume nothing for it.
 *
 * The functions are called on the selecting task or thread. They may lock, but not wait, switch or select.
 *
 * @example waitable
 *   #include <coir.h>
 *   #include <pthread.h>
 *   #include <stdio.h>
 *
 *   // a doorbell: each ring is answered by one
 *   struct bell {
 *       coir_waitable waitable; // first
 *       pthread_mutex_t lock;
 *       int rings;
 *       coir_waiter *waiter; // one is enough here
 *   };
 *
 *   static bool bell_attempt(coir_waitable *w, void *data, int *ret_result) {
 *       struct bell *b = (struct bell *)w;
 *       (void)data;
 *       pthread_mutex_lock(&b->lock);
 *       bool rung = b->rings > 0;
 *       b->rings -= rung;
 *       pthread_mutex_unlock(&b->lock);
 *       *ret_result = 0;
 *       return rung;
 *   }
 *
 *   static bool bell_enter(coir_waitable *w, coir_waiter *waiter) {
 *       struct bell *b = (struct bell *)w;
 *       pthread_mutex_lock(&b->lock);
 *       b->waiter = waiter;
 *       bool ready = b->rings > 0;
 *       pthread_mutex_unlock(&b->lock);
 *       return ready;
 *   }
 *
 *   static bool bell_ready(coir_waitable *w) {
 *       struct bell *b = (struct bell *)w;
 *       pthread_mutex_lock(&b->lock);
 *       bool ready = b->rings > 0;
 *       pthread_mutex_unlock(&b->lock);
 *       return ready;
 *   }
 *
 *   static void bell_leave(coir_waitable *w, coir_waiter *waiter) {
 *       struct bell *b = (struct bell *)w;
 *       pthread_mutex_lock(&b->lock);
 *       if (b->waiter == waiter)
 *           b->waiter = NULL;
 *       pthread_mutex_unlock(&b->lock);
 *   }
 *
 *   static const coir_waitable_ops bell_ops = {bell_attempt, bell_enter, bell_ready, bell_leave};
 *
 *   static void bell_ring(struct bell *b) {
 *       pthread_mutex_lock(&b->lock);
 *       coir_waiter *met = b->waiter;
 *       if (met && coir_waiter_claim(met))
 *           b->waiter = NULL; // it has this ring
 *       else {
 *           met = NULL;
 *           b->rings++;
 *       }
 *       pthread_mutex_unlock(&b->lock);
 *       if (met)
 *           coir_waiter_wake(met, 0);
 *   }
 *
 *   static int ring(void *arg) {
 *       bell_ring(arg);
 *       return 0;
 *   }
 *
 *   static int first(void *arg) {
 *       (void)arg;
 *       struct bell b = {{&bell_ops}, PTHREAD_MUTEX_INITIALIZER, 0, NULL};
 *       coir_group g;
 *       coir_group_begin(&g, 0);
 *       coir_spawn(&g, ring, &b);
 *       coir_case cases[] = {COIR_WAITABLE(&b.waitable, NULL), COIR_AFTER(COIR_S(10))};
 *       printf("case %d\n", coir_select(cases, 2));
 *       return coir_group_end(&g);
 *   }
 *
 *   int main(void) { return coir_run(NULL, first, NULL); }
 * @end
 */
typedef struct coir_waiter coir_waiter; /* a select that waits for an object; valid from enter() to the end of leave() */

typedef struct coir_waitable_ops {
    /* Does the case if that needs no wait: true, and its result (0 or an error). `data`: the case's. */
    bool (*attempt)(coir_waitable *object, void *data, int *ret_result);

    /* Remembers `waiter`, in order of coming. True if the object may be ready already. */
    bool (*enter)(coir_waitable *object, coir_waiter *waiter);

    /* Whether attempt() might succeed now. */
    bool (*ready)(coir_waitable *object);

    /* Forgets `waiter`, if it is still remembered. Afterwards nobody may use it. */
    void (*leave)(coir_waitable *object, coir_waiter *waiter);
} coir_waitable_ops;

struct coir_waitable {
    const coir_waitable_ops *ops;
};

/* Takes the waiter for this object, under the object's lock: true once, at most. Then forget it, take what it waited for, and
 * wake it; it won't leave before. From: any. Switches: no. Cancel point: no. */
COIR_API bool coir_waiter_claim(coir_waiter *waiter);

/* Ends the wait of a claimed waiter with this result. The last access to it. From: any. Switches: no. Cancel point: no. */
COIR_API void coir_waiter_wake(coir_waiter *waiter, int result);

/* The `data` of its case, where the object puts a value or finds it. From: any. Switches: no. Cancel point: no. */
COIR_API void *coir_waiter_data(coir_waiter *waiter);

#ifdef __cplusplus
}
#endif

#endif
