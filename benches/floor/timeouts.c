/* SPDX-License-Identifier: MIT */
/*
 * timeouts.c - the floor of benches/timeouts.c: a slot with an item, and a timer in a wheel.
 *
 *   ready   the slot is looked at first. It is full, and there is no timer.
 *   soon    it is empty: the clock is read, a timer put into the list of its time in the wheel, and
 *           the sender switched to; it leaves an item and switches back, and the timer is taken out
 *           of its list.
 *
 * Nobody looks through the wheel: somebody would, when there is nothing else to do, and here there
 * always is.
 */

#include "../measure.h"

#include "switch.h"

enum { WHEEL = 4096, TICK = 22 /* 2^22 ns, so that the wheel is of 17 s */ };

typedef struct timer timer;

struct timer {
    timer *next, *previous;
    int64_t due;
    floor_context *who;
};

static struct {
    timer wheel[WHEEL]; /* each the head of a ring of timers */
    floor_context receiver, sender;
    uint64_t items, item, sum;
    bool full;
} w = {.items = 1000000};

static void timer_arm(timer *t, int64_t delay)
{
    t->due = bench_now() + delay;
    t->who = &w.receiver;
    timer *head = &w.wheel[(uint64_t)t->due >> TICK & (WHEEL - 1)];
    t->next = head;
    t->previous = head->previous;
    head->previous->next = t;
    head->previous = t;
}

static void timer_disarm(timer *t)
{
    t->next->previous = t->previous;
    t->previous->next = t->next;
}

static __attribute__((noinline)) uint64_t receive(void)
{
    if (!w.full) {
        timer t;
        timer_arm(&t, INT64_C(10000000000));
        floor_switch(&w.receiver, &w.sender);
        timer_disarm(&t);
    }
    w.full = false;
    return w.item;
}

static __attribute__((noinline)) void leave(uint64_t item)
{
    w.item = item;
    w.full = true;
}

static void ready(void)
{
    for (uint64_t i = 0; i < w.items; i++) {
        leave(i + 1);
        w.sum += receive();
    }
}

static void send_all(floor_context *self)
{
    for (uint64_t i = 0;; i++) {
        leave(i + 1);
        floor_switch(self, &w.receiver);
    }
}

static void soon(void)
{
    floor_make(&w.sender, floor_stacks(1), 0, send_all, NULL);
    for (uint64_t i = 0; i < w.items; i++)
        w.sum += receive();
}

static bool measure(void form(void), const char *scenario)
{
    w.sum = 0;
    int64_t start = bench_now();
    form();
    double ns = (double)(bench_now() - start) / (double)w.items;
    printf("%-16s %.1f ns per receive\n", scenario, ns);
    bench_result(scenario, "floor", 1, "ns per receive", ns, w.sum);
    return w.sum == w.items * (w.items + 1) / 2;
}

int main(int argc, char **argv)
{
    bench_option options[] = {
        {.letter = 'n', .help = "receives", .number = &w.items, .min = 1, .max = 1000000000},
    };
    bench_parse(argc, argv, "timeouts that are not reached, by hand", options, 1);
    for (int i = 0; i < WHEEL; i++)
        w.wheel[i].next = w.wheel[i].previous = &w.wheel[i];
    return measure(ready, "timeout, ready") && measure(soon, "timeout, soon") ? 0 : 1;
}
