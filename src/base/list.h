/* SPDX-License-Identifier: MIT */
#ifndef COIR_BASE_LIST_H
#define COIR_BASE_LIST_H

/* list.h - intrusive, circular, doubly linked. A head is a link; an all-zero head is an empty list too, so that objects
 * may be initialised by {0}. */

#include <stdbool.h>
#include <stddef.h>

#include "base/compat.h"

typedef struct coir__link {
    struct coir__link *next;
    struct coir__link *prev;
} coir__link;

COIR__INLINE void coir__list_init(coir__link *head)
{
    head->next = head;
    head->prev = head;
}

COIR__INLINE bool coir__list_is_empty(const coir__link *head)
{
    return head->next == NULL || head->next == head;
}

/* The first link, or NULL. */
COIR__INLINE coir__link *coir__list_first(const coir__link *head)
{
    return head->next == head ? NULL : head->next;
}

/* The link after `link`, or NULL at the end. */
COIR__INLINE coir__link *coir__list_next(const coir__link *head, const coir__link *link)
{
    return link->next == head ? NULL : link->next;
}

COIR__INLINE void coir__list_append(coir__link *head, coir__link *link)
{
    if (coir__unlikely(head->next == NULL))
        coir__list_init(head);
    coir__link *last = head->prev;
    link->next = head;
    link->prev = last;
    last->next = link;
    head->prev = link;
}

COIR__INLINE void coir__list_prepend(coir__link *head, coir__link *link)
{
    if (coir__unlikely(head->next == NULL))
        coir__list_init(head);
    coir__link *first = head->next;
    link->prev = head;
    link->next = first;
    first->prev = link;
    head->next = link;
}

/* What is in `from` goes to the end of `to`; `from` must be initialised again. Neither may be all-zero, `from` not empty. */
COIR__INLINE void coir__list_splice(coir__link *to, coir__link *from)
{
    coir__link *first = from->next, *last = from->prev;
    first->prev = to->prev;
    last->next = to;
    to->prev->next = first;
    to->prev = last;
}

COIR__INLINE void coir__list_remove(coir__link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

#endif
