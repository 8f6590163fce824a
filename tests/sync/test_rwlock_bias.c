/* SPDX-License-Identifier: MIT */
/* test_rwlock_bias.c - read locks that are noted with the worker: nobody is forgotten, and nobody noted twice. */
#include "sync/ledger.h"

#include "sync/bias.h"
#include "sync/rwlock.h"

static struct coir__rwlock *inside_of(coir_rwlock *l) { return (struct coir__rwlock *)(void *)l; }

static uint32_t word_of(coir_rwlock *l) { return inside_of(l)->word; }

/* As two readers who meet would have it; the caller reads, so nobody writes. Not while somebody waits. */
static void bias(coir_rwlock *lock)
{
    struct coir__rwlock *l = inside_of(lock);
    if (!coir__bias_is_possible())
        return;
    coir__lock_take(&l->lock);
    if (!(word_of(lock) & (COIR__RWLOCK_WRITER | COIR__RWLOCK_PENDING)))
        atomic_fetch_or(&l->word, COIR__RWLOCK_BIASED);
    coir__lock_drop(&l->lock);
}

/* With nobody inside. */
static void bias_free(coir_rwlock *l)
{
    CHECK_EQ(coir_rwlock_read_lock(l), 0);
    bias(l);
    coir_rwlock_read_unlock(l);
    CHECK_EQ(word_of(l), coir__bias_is_possible() ? COIR__RWLOCK_BIASED : 0);
}

/* Nobody reads any more: a writer gets in. */
static void check_free(coir_rwlock *l)
{
    CHECK_EQ(coir_rwlock_try_write_lock(l), 0);
    CHECK_EQ(word_of(l), COIR__RWLOCK_WRITER);
    coir_rwlock_write_unlock(l);
    CHECK_EQ(word_of(l), 0);
}

/* -- one at a time ---------------------------------------------------------------------------------------------- */

TASK_TEST(readers_of_a_biased_lock_leave_it_alone)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    bias_free(&l);
    uint32_t before = word_of(&l);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(i == 2 ? coir_rwlock_try_read_lock(&l) : coir_rwlock_read_lock(&l), 0);
    if (coir__bias_is_possible())
        CHECK_EQ(word_of(&l), before);
    CHECK_EQ(coir_rwlock_try_write_lock(&l), -EAGAIN);
    CHECK_EQ(word_of(&l), 3 * COIR__RWLOCK_READER); /* found, and counted in the lock from now on */
    for (int i = 0; i < 3; i++)
        coir_rwlock_read_unlock(&l);
    check_free(&l);
}

static int write_once(void *arg)
{
    int rc = coir_rwlock_write_lock(arg);
    if (rc == 0)
        coir_rwlock_write_unlock(arg);
    return rc < 0 ? rc : 7;
}

TASK_TEST(a_writer_waits_for_readers_whom_the_lock_does_not_count)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    bias_free(&l);
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    coir_task t = start_task(NULL, write_once, &l);
    await_parked(t);
    CHECK_EQ(coir_rwlock_try_read_lock(&l), -EAGAIN); /* it keeps new ones out */
    coir_rwlock_read_unlock(&l);
    CHECK(is_parked(t));
    coir_rwlock_read_unlock(&l);
    CHECK_EQ(join_result(t), 7);
    check_free(&l);
}

TASK_TEST(a_writer_that_gives_up_leaves_the_lock_to_readers)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    coir_group g;
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    bias_free(&l);
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    coir_task t = start_task(&g, write_once, &l);
    await_parked(t);
    cancel_claim(t);
    cancel_finish(t);
    while (word_of(&l) & COIR__RWLOCK_PENDING)
        coir_yield();
    CHECK_EQ(coir_rwlock_try_read_lock(&l), 0);
    coir_rwlock_read_unlock(&l);
    coir_rwlock_read_unlock(&l);
    coir_group_end(&g);
    check_free(&l);
}

static int try_write(void *arg) { return coir_rwlock_try_write_lock(arg); }

/* In single steps: one that has seen the lock biased, a writer that ends the bias, and then its note. */
TASK_TEST(a_writer_waits_for_a_reader_that_is_about_to_note_itself)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    test_thread writer;
    if (!coir__bias_is_possible())
        return;
    bias_free(&l);
    struct coir__bias *b = coir__bias_of(coir__worker_here());
    coir__bias_enter(b);
    CHECK(word_of(&l) & COIR__RWLOCK_BIASED);
    thread_start(&writer, try_write, &l);
    while (word_of(&l) & COIR__RWLOCK_BIASED)
        sched_yield();
    for (int i = 0; i < 20; i++)
        sched_yield(); /* a writer that does not wait has all the time it needs */
    CHECK(coir__bias_add(b, &l));
    coir__bias_leave(b);
    CHECK_EQ(thread_finish(&writer), -EAGAIN);
    coir_rwlock_read_unlock(&l);
    check_free(&l);
}

/* -- elsewhere -------------------------------------------------------------------------------------------------- */

static int unlock_read(void *arg)
{
    coir_rwlock_read_unlock(arg);
    return 0;
}

TASK_TEST(a_thread_may_unlock_what_a_task_has_locked)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    test_thread thread;
    bias_free(&l);
    CHECK_EQ(coir_rwlock_read_lock(&l), 0);
    thread_start(&thread, unlock_read, &l);
    CHECK_EQ(thread_finish(&thread), 0);
    check_free(&l);
}

static int lock_read(void *arg) { return coir_rwlock_read_lock(arg); }

/* The runtime is gone, and its workers' tables have other workers, or none. */
TEST(what_a_task_has_locked_can_be_unlocked_when_its_runtime_has_ended)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    for (int i = 0; i < 3; i++) {
        bias_free(&l);
        CHECK_EQ(coir_run(NULL, lock_read, &l), 0);
        CHECK_EQ(coir_run(NULL, lock_read, &l), 0);
        CHECK_EQ(coir_rwlock_try_write_lock(&l), -EAGAIN);
        coir_rwlock_read_unlock(&l);
        CHECK_EQ(coir_rwlock_try_write_lock(&l), -EAGAIN);
        coir_rwlock_read_unlock(&l);
        check_free(&l);
    }
}

static int read_over_yields(void *arg)
{
    for (int i = rounds_of(300); i > 0; i--) {
        CHECK_EQ(coir_rwlock_read_lock(arg), 0);
        bias(arg);
        coir_yield();
        coir_rwlock_read_unlock(arg);
    }
    return 0;
}

static int read_by_many(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(coir_spawn(&g, read_over_yields, arg), 0);
    return coir_group_end(&g);
}

TEST(readers_may_move_to_another_worker_while_they_hold_it)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    setenv("COIR_DEBUG", "migrate=1", 1);
    CHECK_EQ(coir_run(NULL, read_by_many, &l), 0);
    CHECK_EQ(coir_rwlock_write_lock(&l), 0);
    coir_rwlock_write_unlock(&l);
    CHECK_EQ(word_of(&l), 0);
}

/* -- the same place --------------------------------------------------------------------------------------------- */

TASK_TEST(two_locks_with_the_same_place_in_the_table_do_not_mix)
{
    static struct coir__bias any;
    coir_rwlock locks[COIR__BIAS_ENTRIES + 1] = {0};
    coir_rwlock *a = NULL, *b = NULL;
    for (int i = 0; i <= COIR__BIAS_ENTRIES; i++)
        for (int j = 0; j < i; j++)
            if (coir__bias_entry_of(&any, &locks[i]) == coir__bias_entry_of(&any, &locks[j])) {
                a = &locks[i];
                b = &locks[j];
            }
    CHECK(a != NULL);
    bias_free(a);
    bias_free(b);
    CHECK_EQ(coir_rwlock_read_lock(a), 0);
    CHECK_EQ(coir_rwlock_read_lock(b),
             0); /* finds the place taken, and counts itself in the lock */
    CHECK_EQ(word_of(b) / COIR__RWLOCK_READER, 1);
    CHECK_EQ(coir_rwlock_try_write_lock(a), -EAGAIN);
    CHECK_EQ(coir_rwlock_try_write_lock(b), -EAGAIN);
    coir_rwlock_read_unlock(a);
    check_free(a);
    CHECK_EQ(coir_rwlock_try_write_lock(b), -EAGAIN);
    coir_rwlock_read_unlock(b);
    check_free(b);
}

/* -- misuse ----------------------------------------------------------------------------------------------------- */

static int unlock_biased(void *arg)
{
    coir_rwlock l = COIR_RWLOCK_INIT;
    (void)arg;
    bias_free(&l);
    coir_rwlock_read_unlock(&l);
    return 0;
}

TEST(unlocking_a_biased_lock_that_nobody_holds_is_misuse)
{
    CHECK_TASK_ABORTS(unlock_biased, NULL, "coir_rwlock_read_unlock: nobody holds lock");
}

/* -- all at once ------------------------------------------------------------------------------------------------ */

TASK_TEST(tasks_threads_and_runtimes_exclude_each_other)
{
    ledger a = {.rounds = rounds_of(4000), .while_reading = bias};
    ledger_check(&a, ledger_keep_all(&a));
    check_free(&a.l);
}

typedef struct shared {
    coir_rwlock l;
    _Atomic int users;
} shared;

static int use_and_leave(void *arg)
{
    shared *s = arg;
    CHECK_EQ(coir_rwlock_read_lock(&s->l), 0);
    bias(&s->l);
    bool last = --s->users == 0;
    coir_rwlock_read_unlock(&s->l);
    if (!last)
        return 0;
    CHECK_EQ(coir_rwlock_write_lock(&s->l), 0); /* others may still be inside, about to unlock */
    coir_rwlock_write_unlock(&s->l);
    free(s);
    return 0;
}

TASK_TEST(the_last_user_may_destroy_it_when_it_has_written)
{
    for (int round = rounds_of(2000); round > 0; round--) {
        coir_group g;
        shared *s = calloc(1, sizeof *s);
        s->users = 4;
        coir_group_begin(&g, 0);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(coir_spawn(&g, use_and_leave, s), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
}

TEST_MAIN("rwlock_bias")
