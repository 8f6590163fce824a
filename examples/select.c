/* SPDX-License-Identifier: MIT */
/*
 * select.c - waiting for the first of several things: two channels, an event, a time.
 *
 * Exactly one case happens; the others leave no trace. Each case has a result of its own. A channel that has been closed
 * is ready (-EPIPE) for ever, so it is taken out of the race by setting the case's object to NULL.
 *
 * @expect * warm and * cold readings, then the button was pressed
 */
#include <coir.h>
#include <stdio.h>

COIR_CHAN_TYPE(readings, int)

typedef struct sensor {
    readings *out;
    int64_t period;
    int count; /* how many readings it makes */
} sensor;

static int measure(void *arg)
{
    sensor *s = arg;
    int rc = 0;
    for (int i = 0; i < s->count && rc == 0; i++) {
        rc = coir_sleep(s->period);
        if (rc == 0)
            rc = readings_send(s->out, i);
    }
    readings_close(s->out);
    return rc;
}

static int press_button(void *arg)
{
    coir_event *stop = arg;
    int rc = coir_sleep(COIR_MS(50));
    coir_event_set(stop);
    return rc;
}

enum { WARM, COLD, STOP, QUIET, CASES };

/* Until the button is pressed or nothing has come for ten seconds. The case that ended it, or an error. */
static int watch(readings *warm, readings *cold, coir_event *stop, int came[2])
{
    int value;
    coir_case cases[CASES] = {
        [WARM] = COIR_RECV(readings_chan(warm), &value),
        [COLD] = COIR_RECV(readings_chan(cold), &value),
        [STOP] = COIR_SET(stop),
        [QUIET] = COIR_AFTER(COIR_S(10)), /* counts from each call */
    };
    for (;;) {
        int i = coir_select(cases, CASES);
        if (i < 0 || i == STOP || i == QUIET)
            return i;
        if (cases[i].result == 0)
            came[i]++;
        else
            cases[i].object = NULL; /* closed; never ready from now on */
    }
}

static int run(sensor *warm, sensor *cold)
{
    static const char *const ends[CASES] = {
        [STOP] = "the button was pressed", [QUIET] = "nothing came"};
    coir_event stop = COIR_EVENT_INIT;
    coir_group tasks;
    int came[2] = {0, 0};
    coir_group_begin(&tasks, 0);
    int rc = coir_spawn(&tasks, measure, warm);
    if (rc == 0)
        rc = coir_spawn(&tasks, measure, cold);
    if (rc == 0)
        rc = coir_spawn(&tasks, press_button, &stop);
    if (rc == 0)
        rc = watch(warm->out, cold->out, &stop, came);
    coir_group_cancel(&tasks,
                      "nobody is watching any more"); /* the cold sensor would go on for long */
    int ended = coir_group_end(&tasks);
    if (rc < 0)
        return ended < 0 && ended != -ECANCELED ? ended : rc;
    printf("%d warm and %d cold readings, then %s\n", came[WARM], came[COLD], ends[rc]);
    return 0;
}

static int first(void *arg)
{
    sensor warm = {readings_new(0), COIR_MS(2), 10};
    sensor cold = {readings_new(0), COIR_MS(5), 1000000};
    (void)arg;
    int rc = warm.out && cold.out ? run(&warm, &cold) : -ENOMEM;
    readings_free(warm.out);
    readings_free(cold.out);
    return rc;
}

int main(void)
{
    int rc = coir_run(NULL, first, NULL);
    if (rc < 0)
        fprintf(stderr, "select: %s\n", coir_strerror(rc));
    return rc < 0;
}
