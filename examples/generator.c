/* SPDX-License-Identifier: MIT */
/*
 * generator.c - coroutines without the scheduler: two walks through trees, compared leaf by leaf.
 *
 * Each walk is an ordinary recursive function that gives out what it meets. A coroutine keeps its place in the recursion
 * between two resumes, so the walks can be advanced in turns; no thread and no runtime is involved.
 *
 * @expect 1 is 1
 * @expect 2 is 2
 * @expect 3 is 3
 * @expect 1 is 1
 * @expect 2 is 2
 * @expect 3 is not 9
 * @expect told apart
 */
#include <coir/coro.h>
#include <stdio.h>

typedef struct node {
    int value;
    const struct node *left, *right;
} node;

static void walk_from(const node *n)
{
    if (!n)
        return;
    walk_from(n->left);
    coir_coro_yield((void *)(intptr_t)n->value, NULL);
    walk_from(n->right);
}

static void *walk(void *arg)
{
    walk_from(arg);
    return NULL;
}

/* The next value; false at the end. */
static bool next(coir_coro *walker, int *ret_value)
{
    void *got;
    if (coir_coro_resume(walker, NULL, &got) < 0 || coir_coro_done(walker))
        return false;
    *ret_value = (int)(intptr_t)got;
    return true;
}

static bool same_walks(coir_coro *a, coir_coro *b)
{
    int x = 0, y = 0;
    for (;;) {
        bool more = next(a, &x);
        if (more != next(b, &y))
            return false;
        if (!more)
            return true;
        printf("%d %s %d\n", x, x == y ? "is" : "is not", y);
        if (x != y)
            return false;
    }
}

static int same_trees(node *a, node *b)
{
    coir_coro *first = coir_coro_new(walk, a, 0);
    coir_coro *second = coir_coro_new(walk, b, 0);
    int same = first && second ? same_walks(first, second) : -ENOMEM;
    coir_coro_free(first); /* ended or not */
    coir_coro_free(second);
    return same;
}

int main(void)
{
    /* The same values in order, in trees of different shapes; and another one. */
    const node one = {1, NULL, NULL}, three = {3, NULL, NULL}, two = {2, &one, NULL},
               nine = {9, NULL, NULL};
    node balanced = {2, &one, &three}, leaning = {3, &two, NULL}, other = {2, &one, &nine};
    bool right = same_trees(&balanced, &leaning) == 1 && same_trees(&balanced, &other) == 0;
    printf("%s\n", right ? "told apart" : "wrong");
    return !right;
}
