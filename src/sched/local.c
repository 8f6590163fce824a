/* SPDX-License-Identifier: MIT */
/*
 * local.c - the library's one thread-local word, and the pseudo-worker of plain threads.
 *
 * A plain thread that uses anything that may wait gets a worker that runs nothing: it has a descriptor, so that the thread
 * can stand in lists of waiters and own scopes, and runtime index 0, so that all it wakes goes to shared queues. It
 * is freed when the thread exits.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fence.h"
#include "base/log.h"
#include "sched/upcall.h"

static coir__task nobodys_task = {.attention = COIR__ATTENTION_THREAD};
coir__worker coir__nobody = {.current = &nobodys_task, .shared = true};

/* `used`: where the access is assembly the compiler sees none, and link-time optimisation would drop it. */
__attribute__((used)) _Thread_local coir__worker *coir__local_worker = &coir__nobody;

COIR__NOINLINE coir__worker *coir__worker_far(void)
{
    coir__worker *w = coir__local_worker;
    __asm__ volatile("" : "+r"(w)::"memory");
    return w;
}

/* NULL: none. */
COIR__NOINLINE void coir__worker_set(coir__worker *w)
{
    coir__local_worker = w ? w : &coir__nobody;
    __asm__ volatile("" ::: "memory");
}

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static coir__eh no_eh; /* always zero: threads do not switch */

static void thread_free(void *worker)
{
    coir__worker *w = worker;
    coir__task *t = w->thread_task;
    coir__worker_set(NULL);
    coir__private_thread_end();
    coir__lock_take(&t->scope_lock); /* a dump may be looking */
    char *name = t->name;
    t->name = NULL;
    atomic_store_explicit(&t->id, 0, memory_order_release);
    coir__lock_drop(&t->scope_lock);
    coir__release(name);
    coir__values_free(t);
    coir__task_free(NULL, t);
    free(w);
}

static void thread_key_make(void)
{
    if (pthread_key_create(&thread_key, thread_free) != 0) {
        coir__log("out of thread keys");
        abort();
    }
}

COIR__COLD coir__worker *coir__worker_begin(void)
{
    pthread_once(&thread_once, thread_key_make);
    coir__fence_init();
    /* Not through coir__alloc(): it belongs to the thread, not to a runtime with an allocator. */
    coir__worker *w = aligned_alloc(64, (sizeof *w + 63) & ~(size_t)63);
    coir__task *t = coir__task_alloc(NULL);
    if (!w || !t || pthread_setspecific(thread_key, w) != 0) {
        coir__log("out of memory for a thread's first use");
        abort();
    }
    memset(w, 0, sizeof *w);
    atomic_store_explicit(&t->flags, COIR__TASK_THREAD, memory_order_relaxed);
    atomic_fetch_or_explicit(&t->attention, COIR__ATTENTION_THREAD, memory_order_relaxed);
    t->root.kind = COIR__SCOPE_ROOT;
    t->root.deadline = COIR_FOREVER;
    t->scope = &t->root;
    t->values = NULL;
    t->arg = w;
    atomic_store_explicit(&t->id, coir__task_new_id(NULL), memory_order_release);
    w->thread_task = t;
    w->current = t;
    w->budget = INT32_MAX;
    atomic_store_explicit(&w->shared, true, memory_order_relaxed); /* never private */
    atomic_store_explicit(&w->odd, COIR__ODD_ALWAYS, memory_order_relaxed);
    w->eh = &no_eh;
    coir__rng_init(&w->rng, (uint64_t)(uintptr_t)w);
    coir__private_thread_begin();
    coir__worker_set(w);
    return w;
}
