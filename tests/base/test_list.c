/* SPDX-License-Identifier: MIT */
/* test_list.c - intrusive lists, against an array. */
#include "support/harness.h"

#include <string.h>

#include "base/list.h"
#include "base/rng.h"

typedef struct item {
    int value;
    coir__link link;
} item;

static item *item_of(coir__link *link) { return coir__container(link, item, link); }

static int length(const coir__link *head)
{
    int n = 0;
    for (coir__link *l = coir__list_first(head); l; l = coir__list_next(head, l))
        n++;
    return n;
}

TEST(a_zeroed_head_is_an_empty_list)
{
    coir__link head = {0};
    CHECK(coir__list_is_empty(&head));
    CHECK(coir__list_first(&head) == NULL);
}

TEST(an_initialised_head_is_an_empty_list)
{
    coir__link head;
    coir__list_init(&head);
    CHECK(coir__list_is_empty(&head));
    CHECK(coir__list_first(&head) == NULL);
}

TEST(append_keeps_the_order)
{
    coir__link head = {0};
    item items[5];
    for (int i = 0; i < 5; i++) {
        items[i].value = i;
        coir__list_append(&head, &items[i].link);
    }
    coir__link *l = coir__list_first(&head);
    for (int i = 0; i < 5; i++, l = coir__list_next(&head, l))
        CHECK_EQ(item_of(l)->value, i);
    CHECK(l == NULL);
}

TEST(prepend_reverses_the_order)
{
    coir__link head = {0};
    item items[5];
    for (int i = 0; i < 5; i++) {
        items[i].value = i;
        coir__list_prepend(&head, &items[i].link);
    }
    coir__link *l = coir__list_first(&head);
    for (int i = 4; i >= 0; i--, l = coir__list_next(&head, l))
        CHECK_EQ(item_of(l)->value, i);
    CHECK(l == NULL);
}

TEST(removing_the_last_item_leaves_an_empty_list)
{
    coir__link head = {0};
    item one = {.value = 1};
    coir__list_append(&head, &one.link);
    CHECK(!coir__list_is_empty(&head));
    coir__list_remove(&one.link);
    CHECK(coir__list_is_empty(&head));
    CHECK(coir__list_first(&head) == NULL);
    coir__list_prepend(&head, &one.link);
    CHECK_EQ(length(&head), 1);
}

/* The model: values in order. */
typedef struct model {
    int values[64];
    int n;
} model;

static void model_insert(model *m, int at, int value)
{
    memmove(&m->values[at + 1], &m->values[at], (size_t)(m->n - at) * sizeof(int));
    m->values[at] = value;
    m->n++;
}

static void model_remove(model *m, int value)
{
    int at = 0;
    while (m->values[at] != value)
        at++;
    m->n--;
    memmove(&m->values[at], &m->values[at + 1], (size_t)(m->n - at) * sizeof(int));
}

static void check_equal(const coir__link *head, const model *m)
{
    int i = 0;
    for (coir__link *l = coir__list_first(head); l; l = coir__list_next(head, l), i++) {
        CHECK_LT(i, m->n);
        CHECK_EQ(item_of(l)->value, m->values[i]);
        CHECK(l->next->prev == l);
        CHECK(l->prev->next == l);
    }
    CHECK_EQ(i, m->n);
    CHECK_EQ(coir__list_is_empty(head), m->n == 0);
}

TEST(random_operations_agree_with_an_array)
{
    static item items[64];
    bool in[64] = {false};
    coir__link head = {0};
    model m = {.n = 0};
    coir__rng rng;
    coir__rng_init(&rng, 7);
    for (int step = 0; step < 20000; step++) {
        int i = (int)coir__rng_below(&rng, 64);
        items[i].value = i;
        if (in[i]) {
            coir__list_remove(&items[i].link);
            model_remove(&m, i);
        } else if (coir__rng_below(&rng, 2)) {
            coir__list_append(&head, &items[i].link);
            model_insert(&m, m.n, i);
        } else {
            coir__list_prepend(&head, &items[i].link);
            model_insert(&m, 0, i);
        }
        in[i] = !in[i];
        check_equal(&head, &m);
    }
}

TEST_MAIN("base_list")
