/* SPDX-License-Identifier: MIT */
/* test_family.c - who waits for its children has them run before what is older; and the older ones have their turn. */
#include "sched_test.h"

#include <coir/loop.h>
#include <coir/net.h>

/* -- order ---------------------------------------------------------------------------------------------------- */

typedef struct trace {
    char text[32];
    int length;
} trace;

typedef struct letter {
    trace *t;
    char c;
} letter;

static int note(void *arg)
{
    letter *l = arg;
    CHECK_LT(l->t->length, (int)sizeof l->t->text - 1);
    l->t->text[l->t->length++] = l->c;
    return 0;
}

static void spawn_letters(coir_group *g, trace *t, const char *letters)
{
    for (const char *c = letters; *c; c++) {
        letter l = {t, *c};
        CHECK_EQ(coir_spawn_copy(g, note, &l, sizeof l), 0);
    }
}

/* Notes b, then has c, d and e run. */
static int have_three(void *arg)
{
    letter self = {arg, 'b'};
    note(&self);
    coir_group g;
    coir_group_begin(&g, 0);
    spawn_letters(&g, arg, "cde");
    int rc = coir_group_end(&g);
    self.c = 'f';
    note(&self);
    return rc;
}

static int family_among_others(void *arg)
{
    (void)arg;
    trace t = {.length = 0};
    coir_group g;
    coir_group_begin(&g, 0);
    spawn_letters(&g, &t, "a");
    CHECK_EQ(coir_spawn(&g, have_three, &t), 0);
    spawn_letters(&g, &t, "gh");
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_STR(t.text, "abcdefgh");
    return 0;
}

TEST(on_one_worker_children_run_before_what_is_older_and_in_their_order)
{
    CHECK_EQ(run_on(1, family_among_others, NULL), 0);
}

/* -- memory --------------------------------------------------------------------------------------------------- */

typedef struct census {
    atomic_int begun, ended, most;
} census;

typedef struct node {
    census *c;
    int depth;
} node;

static int branch(void *arg)
{
    node *n = arg;
    int alive = atomic_fetch_add(&n->c->begun, 1) + 1 - atomic_load(&n->c->ended);
    if (alive > atomic_load(&n->c->most))
        atomic_store(&n->c->most, alive);
    if (n->depth > 0) {
        node child = {n->c, n->depth - 1};
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, branch, &child), 0);
        CHECK_EQ(coir_spawn(&g, branch, &child), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    atomic_fetch_add(&n->c->ended, 1);
    return 0;
}

/* Only so many turns of the oldest fall into it, each of which begins one more branch. */
static int64_t no_time(void *arg)
{
    (void)arg;
    return COIR_S(1000);
}

static int grow_tree(void *arg)
{
    census *c = arg;
    node root = {c, 12};
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, branch, &root), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    return 0;
}

TEST(a_tree_has_about_as_many_tasks_begun_at_a_time_as_it_is_deep)
{
    coir_clock clock = {.now = no_time};
    coir_options o = {.workers = 1, .clock = &clock};
    census c = {0};
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, grow_tree, &c), 0);
    CHECK_EQ(c.ended, (2 << 12) - 1);
    CHECK_LE(c.most, 100);
}

/* -- fairness ------------------------------------------------------------------------------------------------- */

static int set_flag(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Until the one that is older has run. */
static int families_without_end(void *arg)
{
    while (atomic_load((atomic_int *)arg) == 0) {
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, do_nothing, NULL), 0);
        CHECK_EQ(coir_spawn(&g, do_nothing, NULL), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

static int wait_behind_families(void *arg)
{
    (void)arg;
    atomic_int ran = 0;
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, families_without_end, &ran), 0);
    CHECK_EQ(coir_spawn(&g, families_without_end, &ran), 0);
    CHECK_EQ(coir_spawn(&g, set_flag, &ran), 0);
    return coir_group_end(&g);
}

TEST(the_oldest_has_its_turn_beside_families_without_end)
{
    CHECK_EQ(run_on(1, wait_behind_families, NULL), 0);
}

TEST(the_oldest_has_its_turn_where_the_clock_stands_still)
{
    coir_clock clock = {.now = no_time};
    coir_options o = {.workers = 1, .clock = &clock};
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, wait_behind_families, NULL), 0);
}

/* -- thieves -------------------------------------------------------------------------------------------------- */

/* Families of 0 to 9: the owner takes at the tail and turns the order round while thieves take at the head. */
typedef struct clan {
    atomic_long *ran;
    int depth;
    int children;
} clan;

static int raise_clan(void *arg)
{
    clan *c = arg;
    atomic_fetch_add(c->ran, 1);
    if (c->depth == 0)
        return 0;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < c->children; i++) {
        clan child = {c->ran, c->depth - 1, (c->children * 7 + i * 3 + c->depth) % 10};
        CHECK_EQ(coir_spawn_copy(&g, raise_clan, &child, sizeof child), 0);
    }
    return coir_group_end(&g);
}

static long clan_size(int depth, int children)
{
    long sum = 1;
    for (int i = 0; depth > 0 && i < children; i++)
        sum += clan_size(depth - 1, (children * 7 + i * 3 + depth) % 10);
    return sum;
}

static int raise_many(void *arg)
{
    (void)arg;
    int depth = SCHED_TSAN ? 5 : 6;
    for (int round = 0; round < (SCHED_TSAN ? 2 : 20); round++) {
        atomic_long ran = 0;
        clan root = {&ran, depth, 9};
        CHECK_EQ(raise_clan(&root), 0);
        CHECK_EQ(atomic_load(&ran), clan_size(depth, 9));
    }
    return 0;
}

TEST(every_task_of_large_families_runs_once_beside_thieves)
{
    CHECK_EQ(run_on(2, raise_many, NULL), 0);
    CHECK_EQ(run_on(4, raise_many, NULL), 0);
}

/* Where the clock stands still all that is stolen counts as crumbs: each thief takes a nap after each. */
static int meet_children(void *arg)
{
    meeting *m = arg;
    coir_group g;
    for (int round = 0; round < 50; round++) {
        atomic_store(&m->present, 0);
        coir_group_begin(&g, 0);
        for (int i = 0; i < m->expected - 1; i++)
            CHECK_EQ(coir_spawn(&g, attend, m), 0);
        attend(m);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return raise_many(NULL);
}

TEST(thieves_that_take_naps_leave_nothing_behind)
{
    coir_clock clock = {.now = no_time};
    coir_options o = {.workers = 4, .clock = &clock};
    meeting m = {.expected = 4};
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, meet_children, &m), 0);
}

/* A thief reads from a pipe, runs crumbs, takes a nap; then the reading is over, while the other worker computes. */
typedef struct reader {
    int fds[2];
    atomic_int reads, crumbs;
} reader;

static int read_one(void *arg)
{
    reader *r = arg;
    char c;
    CHECK_EQ(coir_read(r->fds[0], &c, 1), 1);
    atomic_fetch_add(&r->reads, 1);
    return 0;
}

static int crumb(void *arg)
{
    reader *r = arg;
    atomic_fetch_add(&r->crumbs, 1);
    return 0;
}

static int write_to_thieves(void *arg)
{
    (void)arg;
    enum { ROUNDS = SCHED_TSAN ? 50 : 300, CRUMBS = 8 };
    reader r = {.reads = 0};
    CHECK_EQ(pipe(r.fds), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, read_one, &r), 0);
        for (int i = 0; i < CRUMBS; i++)
            CHECK_EQ(coir_spawn(&g, crumb, &r), 0);
        while (atomic_load(&r.crumbs) < round * CRUMBS)
            sched_yield();
        for (volatile int spin = 0; spin < (round % 16) * 10000; spin++)
            ;
        CHECK_EQ(write(r.fds[1], "x", 1), 1);
        while (atomic_load(&r.reads) < round)
            sched_yield();
        CHECK_EQ(coir_group_end(&g), 0);
    }
    close(r.fds[0]);
    close(r.fds[1]);
    return 0;
}

TEST(what_the_kernel_completes_during_a_nap_runs)
{
    coir_clock clock = {.now = no_time};
    coir_options o = {.workers = 4, .clock = &clock};
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, write_to_thieves, NULL), 0);
}

TEST_MAIN("sched_family")
