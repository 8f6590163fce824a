/* SPDX-License-Identifier: MIT */
/*
 * rwlock.c - many readers or one writer, and neither side starves.
 *
 *   word:  [ readers 29 bits | BIASED | PENDING | WRITER ]
 *
 *   readers hold, a writer waits      new readers queue behind it; the last reader out hands the lock to it
 *   a writer holds, others wait       its unlock lets in all readers that wait, and only if there are none the next writer
 *
 * So phases of readers and single writers alternate while both wait: a reader waits for one writer at most, a writer for the
 * writers before it and a phase of readers for each.
 *
 * I1  PENDING is set whenever a list is not empty. It changes under the lock.
 * I2  while PENDING is set, the word changes under the lock, but for readers that leave and are not the last.
 * I3  the lock is handed over by the claimer: a waiter that is woken with success holds it.
 * I4  who leaves as the last gives it to somebody who waits, if one can be claimed. If those in the lists can't (they have been
 *     cancelled, and are about to be taken out), the word becomes free, with PENDING set: newcomers come to the lock.
 * I5  a waiter that was cancelled puts things right itself (wait_broken_off()): with the last waiting writer gone, readers
 *     behind it may go in; with the last waiter gone, PENDING ends. A canceller only unlinks the node. Readers need it
 *     for PENDING only, and do the same.
 * I6  the last access. An unlock that leaves the lock free with nobody inside a call to it does so by its last access, a
 *     compare-and-swap. Else those inside keep the object in existence: somebody in a list, or claimed and not woken yet.
 *
 * I7  BIASED is set only while nobody writes or waits; it changes under the lock. While it is set there may be readers whom the
 *     word does not count (sync/bias.h). Who ends it sets PENDING before, and adds them up before the lock is released: so
 *     nobody finds the word free meanwhile.
 *
 * A lock becomes biased when a reader has been disturbed by another twice in a row, and stays unbiased for nine times as long as the end of the
 * bias has taken; so a writer loses a tenth of its time by it at most.
 *
 * Whoever waits also keeps the object in existence for a dump that looks at its holder: sync/holder.h.
 * Cost: one compare-and-swap each for lock and unlock, uncontended; none for readers of a biased lock. Why not an addition:
 * docs/design/014.
 */
#include "sync/rwlock.h"

#include "base/time.h"
#include "sync/bias.h"
#include "sync/holder.h"

#define UNBIASED_FACTOR 9 /* as BRAVO has it */
#define BIASED ((uint32_t)COIR__RWLOCK_BIASED)
#define WRITER ((uint32_t)COIR__RWLOCK_WRITER)
#define PENDING ((uint32_t)COIR__RWLOCK_PENDING)
#define READER ((uint32_t)COIR__RWLOCK_READER)

static struct coir__rwlock *rwlock_of(coir_rwlock *l) { return (struct coir__rwlock *)(void *)l; }

static uint32_t word_of(struct coir__rwlock *l)
{
    return atomic_load_explicit(&l->word, memory_order_relaxed);
}

static bool is_owner(struct coir__rwlock *l, const coir__task *self)
{
    return atomic_load_explicit(&l->owner, memory_order_relaxed) == self;
}

static void owner_set(struct coir__rwlock *l, coir__task *owner)
{
    atomic_store_explicit(&l->owner, owner, memory_order_relaxed);
}

/* From `word`, a moment ago, to `to`. */
COIR__INLINE bool word_enter(struct coir__rwlock *l, uint32_t *word, uint32_t to)
{
    return atomic_compare_exchange_weak_explicit(&l->word, word, to, memory_order_acquire,
                                                 memory_order_relaxed);
}

/* -- biased to readers ------------------------------------------------------------------------ */

/* For a reader, who has it, and has met others at the word. */
static COIR__COLD void bias_begin(struct coir__rwlock *l, coir__worker *w)
{
    if (!coir__bias_is_possible() || !coir__bias_of(w))
        return;
    coir__lock_take(&l->lock);
    if ((word_of(l) & (WRITER | PENDING | BIASED)) == 0 && coir__time_now() >= l->unbiased_until)
        atomic_fetch_or_explicit(&l->word, BIASED, memory_order_release);
    coir__lock_drop(&l->lock);
}

/* The lock is held. Afterwards the word counts all readers, and PENDING is to be settled. */
static void bias_end_locked(struct coir__rwlock *l)
{
    if (coir__likely(!(word_of(l) & BIASED)))
        return;
    int64_t begin = coir__time_now();
    atomic_fetch_or_explicit(&l->word, PENDING, memory_order_relaxed);
    atomic_fetch_and_explicit(&l->word, ~BIASED, memory_order_relaxed);
    uint32_t readers = coir__bias_collect(l);
    atomic_fetch_add_explicit(&l->word, readers * READER, memory_order_acquire);
    int64_t end = coir__time_now();
    l->unbiased_until = end + UNBIASED_FACTOR * (end - begin);
}

COIR__INLINE bool read_noted(struct coir__rwlock *l, struct coir__bias *b)
{
    coir__bias_enter(b);
    bool in = coir__likely(atomic_load_explicit(&l->word, memory_order_acquire) & BIASED) &&
              coir__likely(coir__bias_add(b, l));
    coir__bias_leave(b);
    return in;
}

COIR__INLINE bool unread_noted(struct coir__rwlock *l, struct coir__bias *b)
{
    coir__bias_enter(b);
    bool out = coir__likely(word_of(l) & BIASED) && coir__likely(coir__bias_remove(b, l));
    coir__bias_leave(b);
    return out;
}

/* -- without the lock ------------------------------------------------------------------------- */

/* Reads if nobody writes and nobody waits. */
static bool read_try(struct coir__rwlock *l, coir__worker *w)
{
    uint32_t word = word_of(l);
    bool met = false;
    struct coir__bias *b = word & BIASED ? coir__bias_of(w) : NULL;
    if (b && read_noted(l, b))
        return true;
    while (coir__likely(((word = word_of(l)) & (WRITER | PENDING)) == 0)) {
        if (coir__likely(coir__swap_32(w, &l->word, word, word + READER))) {
            if (met && !(word & BIASED))
                bias_begin(l, w);
            return true;
        }
        met = true;
    }
    return false;
}

/* The same in one step, where that does. */
COIR__INLINE bool read_fast(struct coir__rwlock *l, coir__worker *w)
{
    uint32_t word = word_of(l);
    if (coir__likely((word & (WRITER | PENDING | BIASED)) == 0))
        return coir__likely(coir__swap_32(w, &l->word, word, word + READER));
    return word & BIASED && coir__likely(w->bias != NULL) && coir__likely(read_noted(l, w->bias));
}

COIR__INLINE bool write_fast(struct coir__rwlock *l, coir__worker *w)
{
    if (coir__unlikely(!coir__swap_32(w, &l->word, 0, WRITER)))
        return false;
    owner_set(l, w->current);
    return true;
}

/* -- with the lock ---------------------------------------------------------------------------- */

static bool somebody_waits(const struct coir__rwlock *l)
{
    return !coir__list_is_empty(&l->readers) || !coir__list_is_empty(&l->writers);
}

/* What PENDING must be. */
static uint32_t pending_of(const struct coir__rwlock *l) { return somebody_waits(l) ? PENDING : 0; }

/* Not to pass a writer that waits. */
static bool read_locked(struct coir__rwlock *l)
{
    uint32_t word = word_of(l);
    while (coir__list_is_empty(&l->writers) && !(word & WRITER))
        if (word_enter(l, &word, word + READER))
            return true;
    return false;
}

/* If it is free, nobody waits that could have it: I4. */
static bool write_locked(struct coir__rwlock *l, coir__task *self)
{
    bias_end_locked(l);
    uint32_t word = word_of(l);
    while ((word & ~PENDING) == 0)
        if (word_enter(l, &word, word | WRITER)) {
            owner_set(l, self);
            return true;
        }
    return false;
}

static bool enter_locked(struct coir__rwlock *l, coir__task *self, bool write)
{
    return write ? write_locked(l, self) : read_locked(l);
}

/* Ends PENDING if nobody waits. */
static void settle_locked(struct coir__rwlock *l)
{
    if (!somebody_waits(l))
        atomic_fetch_and_explicit(&l->word, ~PENDING, memory_order_relaxed);
}

/* Claims all readers that wait; *ret_word is what they make of the word. */
static coir__node *claim_readers(struct coir__rwlock *l, uint32_t *ret_word)
{
    coir__node *chain = coir__claim_all(&l->readers);
    uint32_t word = 0;
    for (const coir__node *n = chain; n; n = n->data)
        word += READER;
    *ret_word = word;
    return chain;
}

/* -- locking ---------------------------------------------------------------------------------- */

/* After a wait that was cancelled (I5). */
static COIR__COLD void wait_broken_off(struct coir__rwlock *l)
{
    uint32_t in = 0;
    coir__node *chain = NULL;
    coir__lock_take(&l->lock);
    if (coir__list_is_empty(&l->writers) && !(word_of(l) & WRITER))
        chain = claim_readers(l, &in);
    if (chain) /* readers may be leaving meanwhile */
        atomic_fetch_add_explicit(&l->word, in, memory_order_acquire);
    settle_locked(l);
    coir__lock_drop(&l->lock);
    coir__wake_all(coir__worker_here(), chain, 0);
}

/* The lock is held, and released by the switch. */
static int wait_locked(struct coir__rwlock *l, coir__worker *w, coir__task *self, bool write)
{
    coir__wait_queue(self, write ? &l->writers : &l->readers, NULL);
    int rc = coir__park(w, self, &l->lock, write ? COIR__WAIT_WRITE_LOCK : COIR__WAIT_READ_LOCK);
    coir__holder_let_look();
    if (rc < 0)
        wait_broken_off(l);
    return rc;
}

static COIR__NOINLINE int lock_slow(struct coir__rwlock *l, bool write)
{
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    if (is_owner(l, self))
        return -EDEADLK;
    coir__charge(w, 0); /* before it has the lock: others may wait for what it holds */
    w = coir__worker_here();
    if (write ? write_fast(l, w) : read_try(l, w))
        return 0;
    for (bool attended = !coir__must_attend(self);; attended = true) {
        coir__lock_take(&l->lock);
        if (attended) /* before the look at the word, so that an unlock in between has been seen or sees us */
            atomic_fetch_or_explicit(&l->word, PENDING, memory_order_relaxed);
        if (enter_locked(l, self, write)) {
            settle_locked(l);
            coir__lock_drop(&l->lock);
            return 0;
        }
        if (attended)
            return wait_locked(l, w, self, write);
        settle_locked(l);
        coir__lock_drop(&l->lock);
        int rc = coir__scope_attend(w, self);
        if (rc < 0)
            return rc;
    }
}

int coir_rwlock_read_lock(coir_rwlock *lock)
{
    struct coir__rwlock *l = rwlock_of(lock);
    coir__worker *w = coir__worker_near();
    if (coir__unlikely(coir__is_cancelled_or_thread(w->current)) || coir__unlikely(--w->budget < 0))
        return lock_slow(l, false);
    return coir__likely(read_fast(l, w)) ? 0 : lock_slow(l, false);
}

int coir_rwlock_write_lock(coir_rwlock *lock)
{
    struct coir__rwlock *l = rwlock_of(lock);
    coir__worker *w = coir__worker_near();
    if (coir__unlikely(coir__is_cancelled_or_thread(w->current)) || coir__unlikely(--w->budget < 0))
        return lock_slow(l, true);
    return coir__likely(write_fast(l, w)) ? 0 : lock_slow(l, true);
}

static COIR__NOINLINE int try_slow(struct coir__rwlock *l, coir__task *self, bool write)
{
    if (is_owner(l, self))
        return -EDEADLK;
    coir__lock_take(&l->lock); /* PENDING alone does not say that it would have to wait */
    bool in = enter_locked(l, self, write);
    settle_locked(l);
    coir__lock_drop(&l->lock);
    return in ? 0 : -EAGAIN;
}

int coir_rwlock_try_read_lock(coir_rwlock *lock)
{
    struct coir__rwlock *l = rwlock_of(lock);
    coir__worker *w = coir__worker_here();
    return read_try(l, w) ? 0 : try_slow(l, w->current, false);
}

int coir_rwlock_try_write_lock(coir_rwlock *lock)
{
    struct coir__rwlock *l = rwlock_of(lock);
    coir__worker *w = coir__worker_here();
    return write_fast(l, w) ? 0 : try_slow(l, w->current, true);
}

/* -- unlocking -------------------------------------------------------------------------------- */

/* Whom an unlock lets in. */
struct successors {
    coir__node *chain; /* readers */
    coir__node *writer;
    uint32_t was; /* of the writer */
};

/* Claims the next writer; the word for it, or 0. */
static uint32_t next_writer(struct coir__rwlock *l, struct successors *s)
{
    s->writer = coir__claim_first(&l->writers, NULL, &s->was);
    return s->writer ? WRITER : 0;
}

static uint32_t next_readers(struct coir__rwlock *l, struct successors *s)
{
    uint32_t word;
    s->chain = claim_readers(l, &word);
    return word;
}

/*
 * The caller is the only one who holds it, as `held`, PENDING is set, and the lock is held: hands it over, or makes it free. False:
 * nobody waits, the word says so, and the caller still holds it, to free it without the lock (I6).
 */
static bool unlock_locked(struct coir__rwlock *l, uint32_t held, struct successors *s)
{
    uint32_t word = held == WRITER ? next_readers(l, s) : next_writer(l, s);
    if (word == 0)
        word = held == WRITER ? next_writer(l, s) : next_readers(l, s);
    word |= pending_of(l);
    if (word == 0) {
        atomic_store_explicit(&l->word, held, memory_order_relaxed);
        return false;
    }
    owner_set(l, s->writer ? s->writer->task : NULL);
    atomic_store_explicit(&l->word, word, memory_order_release);
    return true;
}

/* True: done. False: the word has changed, look again. */
static COIR__NOINLINE bool unlock_step(struct coir__rwlock *l, uint32_t held)
{
    struct successors s = {0};
    bool done = false;
    coir__lock_take(&l->lock);
    /* Acquires what readers that left before have read and done. */
    if (atomic_load_explicit(&l->word, memory_order_acquire) == (held | PENDING))
        done = unlock_locked(l, held, &s);
    coir__lock_drop(&l->lock);
    coir__worker *w = coir__worker_here();
    if (s.writer)
        coir__wake(w, s.writer, s.was, 0);
    coir__wake_all(w, s.chain, 0);
    return done;
}

/* The word counts no reader: whoever is the caller's is noted elsewhere. */
static COIR__COLD void unread_elsewhere(struct coir__rwlock *l)
{
    coir__lock_take(&l->lock);
    bias_end_locked(l);
    settle_locked(l);
    bool any = word_of(l) >= READER;
    coir__lock_drop(&l->lock);
    if (!any)
        coir__misuse("coir_rwlock_read_unlock: nobody holds lock %p for reading", (void *)l);
}

static COIR__NOINLINE void read_unlock_slow(struct coir__rwlock *l)
{
    coir__worker *w = coir__worker_here(); /* who unlocks need not have locked */
    for (;;) {
        uint32_t word = word_of(l);
        if (coir__unlikely(word < READER))
            unread_elsewhere(l);
        else if (coir__unlikely(word == (READER | PENDING))) { /* the last, and somebody waits */
            if (unlock_step(l, READER))
                return;
        } else if (coir__likely(coir__swap_32(w, &l->word, word, word - READER))) {
            return;
        }
    }
}

void coir_rwlock_read_unlock(coir_rwlock *lock)
{
    struct coir__rwlock *l = rwlock_of(lock);
    coir__worker *w = coir__worker_near();
    uint32_t word = word_of(l);
    bool done = false;
    if (coir__likely(w != &coir__nobody)) {
        if (coir__likely((word & (PENDING | BIASED)) == 0 && word >= READER))
            done = coir__swap_32(w, &l->word, word, word - READER);
        else if (word & BIASED && coir__likely(w->bias != NULL))
            done = unread_noted(l, w->bias);
    }
    if (coir__unlikely(!done))
        read_unlock_slow(l);
}

void coir_rwlock_write_unlock(coir_rwlock *lock)
{
    struct coir__rwlock *l = rwlock_of(lock);
    coir__worker *w = coir__worker_near();
    coir__task *self = w->current;
    if (coir__unlikely(!is_owner(l, self)))
        coir__misuse("coir_rwlock_write_unlock: the caller does not hold lock %p for writing",
                     (void *)l);
    for (;;) {
        owner_set(l, NULL);
        if (coir__likely(coir__swap_32(w, &l->word, WRITER, 0)))
            return;
        owner_set(l, self);
        if (unlock_step(l, WRITER))
            return;
    }
}
