/* SPDX-License-Identifier: MIT */
/*
 * pipeline.c - stages connected by channels, owned by groups.
 *
 *   produce --in--> work, work, work, work --out--> the first task, which adds up
 *
 * Whoever sends on a channel closes it when there is no more; receivers drain it and then get -EPIPE. A stage that fails
 * cancels the others through the group, so nobody is left waiting for it.
 *
 * @expect the squares of 1 to 10000 add up to 333383335000
 */
#include <coir.h>
#include <stdio.h>

#define NUMBERS 10000
#define WORKERS 4

COIR_CHAN_TYPE(numbers, long)

typedef struct pipeline {
    numbers *in;
    numbers *out;
} pipeline;

static int produce(void *arg)
{
    pipeline *p = arg;
    int rc = 0;
    for (long i = 1; i <= NUMBERS && rc == 0; i++)
        rc = numbers_send(p->in, i);
    numbers_close(p->in);
    return rc;
}

static int work(void *arg)
{
    pipeline *p = arg;
    long n;
    int rc;
    while ((rc = numbers_recv(p->in, &n)) == 0)
        if ((rc = numbers_send(p->out, n * n)) < 0)
            break;
    return rc == -EPIPE ? 0 : rc; /* the end of the input is no failure */
}

/* A stage of several tasks: a group within the group. `out` is closed when the last one has ended. */
static int work_all(void *arg)
{
    pipeline *p = arg;
    coir_group workers;
    int rc = 0;
    coir_group_begin(&workers, 0);
    for (int i = 0; i < WORKERS && rc == 0; i++)
        rc = coir_spawn(&workers, work, p);
    int ended = coir_group_end(&workers);
    numbers_close(p->out);
    return rc < 0 ? rc : ended;
}

static int run(pipeline *p, long *ret_sum)
{
    coir_group stages;
    long n, sum = 0;
    coir_group_begin(&stages, 0);
    int rc = coir_spawn(&stages, produce, p);
    if (rc == 0)
        rc = coir_spawn(&stages, work_all, p);
    if (rc < 0)
        coir_group_cancel(&stages, "not all stages could be started");
    while (rc == 0 && (rc = numbers_recv(p->out, &n)) == 0)
        sum += n;
    int ended = coir_group_end(&stages);
    if (ended < 0)
        return ended; /* why a stage failed says more than that the channel was closed */
    *ret_sum = sum;
    return rc == -EPIPE ? 0 : rc;
}

static int first(void *arg)
{
    pipeline p = {numbers_new(16), numbers_new(16)};
    long sum = 0, expected = (long)NUMBERS * (NUMBERS + 1) / 2 * (2 * NUMBERS + 1) / 3;
    (void)arg;
    int rc = p.in && p.out ? run(&p, &sum) : -ENOMEM;
    numbers_free(p.in);
    numbers_free(p.out);
    if (rc == 0)
        printf("the squares of 1 to %d add up to %ld\n", NUMBERS, sum);
    return rc == 0 && sum != expected ? -EIO : rc;
}

int main(void)
{
    int rc = coir_run(NULL, first, NULL);
    if (rc < 0)
        fprintf(stderr, "pipeline: %s\n", coir_strerror(rc));
    return rc < 0;
}
