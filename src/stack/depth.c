/* SPDX-License-Identifier: MIT */
/*
 * depth.c - how much of a stack has been used.
 *
 *   [guard|..no page..|..no page..|000..0x..........frames........|record]
 *                                 ^ lowest page   ^ lowest word that is not 0
 *
 * Untouched memory has no pages, and fresh pages are zeros: so the depth is where the lowest word that is not 0 lies, on the
 * lowest page that there is. Asking the kernel which pages there are touches none. A stack that others have used
 * before has their pages and their words; coir__stack_measure_begin() gives both back.
 *
 * The result is too small where the deepest words are zeros, by those; a frame that was jumped over is not seen at all.
 */
#include <sys/mman.h>

#include "stack/slab.h"

#define PAGE ((size_t)4096)
#define PAGES 512u /* looked at at once */
#define OWN_FRAMES ((size_t)512)

#if defined(__clang__) || defined(__GNUC__)
#define UNCHECKED __attribute__((no_sanitize("address"), no_sanitize("thread"), noinline))
#endif

static char *page_of(const void *address) { return (char *)((uintptr_t)address & ~(PAGE - 1)); }

/* The lowest page of [low, high) that there is; `high` if none. */
static char *lowest_page(char *low, char *high)
{
    unsigned char there[PAGES];
    while (low < high) {
        size_t pages = (size_t)(high - low) / PAGE;
        size_t n = pages < PAGES ? pages : PAGES;
        if (mincore(low, n * PAGE, there) != 0)
            return low;
        for (size_t i = 0; i < n; i++)
            if (there[i] & 1)
                return low + i * PAGE;
        low += n * PAGE;
    }
    return high;
}

static UNCHECKED const char *lowest_word(const char *page, const char *end)
{
    const volatile uint64_t *word = (const volatile uint64_t *)(const void *)page;
    while ((const char *)word < end && *word == 0)
        word++;
    return (const char *)word;
}

size_t coir__stack_depth(const coir__stack *s)
{
    char *here = page_of(__builtin_frame_address(0));
    char *page = lowest_page(atomic_load_explicit(&s->floor, memory_order_relaxed), here);
    const char *end = s->top;
    const char *word = lowest_word(page, end);
    return (size_t)(end - word);
}

/* No call is made from here: nothing of it lies below. */
static UNCHECKED void clear(char *from, const char *to)
{
    for (char *p = from; p < to; p += sizeof(uint64_t))
        *(volatile uint64_t *)(void *)p = 0;
}

void coir__stack_measure_begin(coir__stack *s)
{
    char *frame = (char *)((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)15);
    char *page = page_of(frame - OWN_FRAMES);
    char *floor = atomic_load_explicit(&s->floor, memory_order_relaxed);
    if (page > floor && s->slab->strategy != COIR_STACK_FIXED)
        madvise(floor, (size_t)(page - floor), MADV_DONTNEED);
    else
        page = floor;
    clear(page, frame - OWN_FRAMES);
}
