/* SPDX-License-Identifier: MIT */
/*
 * race.c - several functions as tasks; the first that succeeds is the result.
 *
 * A race is a group in the frame of its caller. A branch finds the race through its group, and its own number by the place of its
 * argument among the branches: so nothing is allocated. Who wins is settled by one compare-and-swap. What the others return
 * is the group's affair: it isolates, so failures cancel nobody, and keeps the first failure, to which -ECANCELED of a cancelled
 * branch does not count.
 *
 * All branches are spawned before anybody is cancelled: so each function runs, however the race goes, unless the caller is cancelled
 * meanwhile or memory is short. Who wins earlier leaves the cancelling to the caller (a store-load pair: winner, spawned).
 *
 * Completion wins: a success counts even if the caller was cancelled before it, or a later branch could not be spawned: the
 * result may be something that its owner must not lose.
 */
#include "scope/scope.h"
#include "sync/wait.h"

#define NOBODY (-1)

struct race {
    coir_group group; /* first: the branches find the race by it */
    const coir_branch *branches;
    _Atomic int winner;   /* its number; NOBODY */
    _Atomic bool spawned; /* all of them */
    int result;           /* the winner's; its own until the group has ended */
    const char *file;     /* of the call */
    int line;
};

static void cancel_losers(struct race *r)
{
    coir_group_cancel_at(r->file, r->line, &r->group, "the race is over");
}

static int branch_run(void *arg)
{
    const coir_branch *b = arg;
    coir__scope *group = coir__worker_or_null()->current->root.parent;
    struct race *r = (struct race *)(void *)coir__group_of_scope(group);
    int nobody = NOBODY;
    int rc = b->fn(b->arg);
    if (rc < 0)
        return rc;
    if (atomic_compare_exchange_strong(&r->winner, &nobody, (int)(b - r->branches))) {
        r->result = rc;
        if (atomic_load(&r->spawned))
            cancel_losers(r);
    }
    return 0;
}

static bool can_run(const coir_branch *b, size_t n)
{
    if (!b || n == 0 || n > INT32_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!b[i].fn)
            return false;
    return true;
}

/* 0, also when the caller has been cancelled; else what a spawn failed with. */
static int branches_spawn(struct race *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        void *arg = (void *)(uintptr_t)&r->branches[i];
        int rc = coir_spawn_at(r->file, r->line, &r->group, branch_run, arg);
        if (rc == -ECANCELED)
            return 0;
        if (rc < 0) {
            coir_group_cancel_at(r->file, r->line, &r->group, "a branch could not be spawned");
            return rc;
        }
    }
    atomic_store(&r->spawned, true);
    if (atomic_load(&r->winner) != NOBODY)
        cancel_losers(r);
    return 0;
}

int coir_race_at(const char *file, int line, const coir_branch *b, size_t n, int *ret_winner)
{
    struct race r = {.branches = b, .winner = NOBODY, .file = file, .line = line};
    coir__worker *w = coir__worker_here();
    coir__task *self = w->current;
    if (coir__unlikely(w->rt == 0))
        coir__misuse("coir_race: only from a task");
    if (!can_run(b, n))
        return -EINVAL;
    if (coir__must_attend(self))
        coir__scope_look(w, self);
    if (coir__is_cancelled(self))
        return coir__scope_refuse(w, self);
    coir_group_begin_at(file, line, &r.group, COIR_GROUP_ISOLATE);
    int rc = branches_spawn(&r, n);
    int failure = coir_group_end(&r.group);
    int winner = atomic_load_explicit(&r.winner, memory_order_relaxed);
    if (winner != NOBODY) {
        if (ret_winner)
            *ret_winner = winner;
        return r.result;
    }
    if (rc < 0)
        return rc;
    return coir__is_cancelled(self) ? -ECANCELED : failure;
}
