/* SPDX-License-Identifier: MIT */
/*
 * timeout.c - a timeout around any code, and how it differs from a cancellation.
 *
 * Inside a scope every waiting call sees -ECANCELED, whoever the cause is. Where the scope ends it is told apart: its own
 * deadline becomes -ETIMEDOUT and is over with it, so one can try again; a cancellation from outside stays, and the
 * task should end. Cleanup that must wait although cancelled is done under a shield.
 *
 * @expect attempt: Connection timed out
 * @expect attempt: Connection timed out
 * @expect attempt: Success
 * @expect job: Operation canceled, because: somebody pressed the button
 * @expect goodbye: Success
 */
#include <coir.h>
#include <stdio.h>

/* Hangs until there is only one attempt left. */
static int fetch(void *arg)
{
    int *left = arg;
    return --*left > 0 ? coir_sleep(COIR_S(10)) : 0;
}

/* A timeout is an answer: try again. Any other failure, a cancellation among them, is the caller's. */
static int fetch_patiently(int *attempts)
{
    int rc;
    do {
        rc = coir_with_timeout(COIR_MS(15), fetch, attempts);
        printf("attempt: %s\n", coir_strerror(rc));
    } while (rc == -ETIMEDOUT && *attempts > 0);
    return rc;
}

/* What a task should do at its end even if it has been cancelled. */
static int say_goodbye(void)
{
    coir_scope shield;
    coir_shield_begin(&shield, COIR_MS(100)); /* at most so long */
    int rc = coir_sleep(COIR_MS(5)); /* outside the shield it would return -ECANCELED at once */
    coir_shield_end(&shield);
    return rc;
}

static int long_job(void *arg)
{
    (void)arg;
    coir_scope s;
    coir_scope_begin(&s, COIR_S(60)); /* the same as coir_with_timeout(), spelled out */
    int rc = coir_sleep(COIR_S(30));
    rc = coir_scope_end(&s, rc); /* not its own deadline: stays -ECANCELED */
    const coir_cancel_reason *reason = coir_cancel_reason_get();
    printf("job: %s, because: %s\n", coir_strerror(rc), reason ? reason->why : "?");
    int bye = say_goodbye();
    printf("goodbye: %s\n", coir_strerror(bye));
    return bye < 0 ? bye : rc;
}

static int first(void *arg)
{
    int attempts = 3;
    coir_group jobs;
    (void)arg;
    int rc = fetch_patiently(&attempts);
    if (rc < 0)
        return rc;
    coir_group_begin(&jobs, 0);
    rc = coir_spawn(&jobs, long_job, NULL);
    coir_sleep(COIR_MS(10));
    coir_group_cancel(&jobs, "somebody pressed the button");
    int ended =
        coir_group_end(&jobs); /* -ECANCELED: a cancelled task said so; not a failure of ours */
    return rc == 0 && ended == -ECANCELED ? 0 : -EIO;
}

int main(void)
{
    int rc = coir_run(NULL, first, NULL);
    if (rc < 0)
        fprintf(stderr, "timeout: %s\n", coir_strerror(rc));
    return rc < 0;
}
