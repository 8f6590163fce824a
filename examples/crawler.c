/* SPDX-License-Identifier: MIT */
/*
 * crawler.c - tasks that spawn tasks, with a limit on how many are busy at once.
 *
 * Every page found is a task of one group, so the end of the group is the end of the crawl, however the pages link to one
 * another. A buffered channel of nothing is the limit: a send takes a place, a receive gives it back. The web is
 * made up here: page n links to 2n and 2n + 1 and to some that have been seen, and takes 2 ms to fetch.
 *
 * @expect 500 pages in * ms, at most 20 at once
 */
#include <coir.h>
#include <stdio.h>

#define PAGES 500
#define AT_ONCE 20

typedef struct crawl {
    coir_group group;
    coir_chan *places;
    coir_mutex mutex; /* guards what follows */
    bool seen[PAGES + 1];
    int fetched, busy, busiest;
} crawl;

typedef struct visit {
    crawl *crawl;
    int page;
} visit;

static int visit_page(void *arg);

/* Spawns a visit unless there has been one. */
static int visit_once(crawl *c, int page)
{
    visit v = {c, page};
    if (page < 1 || page > PAGES)
        return 0;
    int rc = coir_mutex_lock(&c->mutex);
    if (rc < 0)
        return rc;
    bool seen = c->seen[page];
    c->seen[page] = true;
    coir_mutex_unlock(&c->mutex);
    return seen ? 0
                : coir_spawn_copy(&c->group, visit_page, &v,
                                  sizeof v); /* the task gets its own `v` */
}

static int fetch(crawl *c)
{
    int rc = coir_mutex_lock(&c->mutex);
    if (rc < 0)
        return rc;
    if (++c->busy > c->busiest)
        c->busiest = c->busy;
    coir_mutex_unlock(&c->mutex);
    int fetched = coir_sleep(COIR_MS(2)); /* here the network would be */
    rc = coir_mutex_lock(&c->mutex);
    if (rc < 0)
        return rc;
    c->busy--;
    c->fetched += fetched == 0;
    coir_mutex_unlock(&c->mutex);
    return fetched;
}

static int visit_page(void *arg)
{
    const visit *v = arg;
    crawl *c = v->crawl;
    const int links[] = {2 * v->page, 2 * v->page + 1, v->page / 2, v->page / 3};
    int rc = coir_chan_send(c->places, NULL);
    if (rc < 0)
        return rc;
    rc = fetch(c);
    coir_chan_try_recv(c->places, NULL); /* never waits: our own place is there */
    for (size_t i = 0; i < sizeof links / sizeof *links && rc == 0; i++)
        rc = visit_once(c, links[i]);
    return rc;
}

static int first(void *arg)
{
    static crawl c = {.mutex = COIR_MUTEX_INIT};
    (void)arg;
    c.places = coir_chan_new(0, AT_ONCE);
    if (!c.places)
        return -ENOMEM;
    int64_t start = coir_now();
    coir_group_begin(&c.group, 0);
    int rc = visit_once(&c, 1);
    int ended = coir_group_end(&c.group);
    int64_t took = coir_now() - start;
    coir_chan_free(c.places);
    if (rc < 0 || ended < 0)
        return rc < 0 ? rc : ended;
    printf("%d pages in %d ms, at most %d at once\n", c.fetched, (int)(took / COIR_MS(1)),
           c.busiest);
    return c.fetched == PAGES && c.busiest <= AT_ONCE ? 0 : -EIO;
}

int main(void)
{
    int rc = coir_run(NULL, first, NULL);
    if (rc < 0)
        fprintf(stderr, "crawler: %s\n", coir_strerror(rc));
    return rc < 0;
}
