/* SPDX-License-Identifier: MIT */
/* test_dump.c - what coir_dump() says, and that it may be called at any time. */
#include "debug/dump_text.h"

#include <coir/loop.h>
#include <coir/net.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* What the tasks below wait for. */
typedef struct things {
    coir_group group; /* of the tasks */
    coir_chan *sent, *received;
    coir_mutex mutex;
    coir_event event;
    coir_once once;
    coir_event stop; /* ends the waits that nothing else ends */
    coir_task sleeper;
    int pipe[2];
} things;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int wait_for_event(void *arg) { return coir_event_wait(arg); }

/* -- what is waited for --------------------------------------------------------------------------------------- */

static int send_one(void *arg)
{
    things *a = arg;
    int n = 1;
    return coir_chan_send(a->sent, &n);
}

static int receive_one(void *arg)
{
    things *a = arg;
    int n;
    return coir_chan_recv(a->received, &n);
}

static int lock_mutex(void *arg)
{
    things *a = arg;
    CHECK_EQ(coir_mutex_lock(&a->mutex), 0);
    coir_mutex_unlock(&a->mutex);
    return 0;
}

static int wait_for_stop(void *arg)
{
    things *a = arg;
    return coir_event_wait(&a->stop);
}

static int run_once(void *arg)
{
    things *a = arg;
    return coir_once_run(&a->once, wait_for_stop, a);
}

static int sleep_long(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_S(1000));
}

static int join_sleeper(void *arg)
{
    things *a = arg;
    return coir_join(a->sleeper, NULL);
}

static int wait_in_group(void *arg)
{
    things *a = arg;
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, wait_for_stop, a), 0);
    return coir_group_end(&g);
}

static int wait_in_select(void *arg)
{
    things *a = arg;
    coir_case cases[] = {COIR_SET(&a->stop), COIR_AFTER(COIR_S(1000))};
    return coir_select(cases, 2);
}

static int read_pipe(void *arg)
{
    things *a = arg;
    char c;
    return (int)coir_read(a->pipe[0], &c, 1);
}

static void await_wait(const char *name, const char *format, const void *object)
{
    char what[128];
    snprintf(what, sizeof what, format, object);
    await_state(name, what);
    await_state(name, " spawned at " __FILE__ ":");
    await_state(name, ": waiting ");
}

TASK_TEST(a_waiting_task_shows_what_it_waits_for)
{
    things a = {.sent = coir_chan_new(sizeof(int), 0), .received = coir_chan_new(sizeof(int), 1)};
    coir_task_options o = {.name = "sleep"};
    char what[64];
    CHECK_EQ(pipe2(a.pipe, O_CLOEXEC), 0);
    CHECK_EQ(coir_mutex_lock(&a.mutex), 0);
    coir_group_begin(&a.group, COIR_GROUP_ISOLATE);
    CHECK_EQ(coir_spawn_with(&a.group, &o, sleep_long, &a, &a.sleeper), 0);
    SPAWN_NAMED(&a.group, "send", send_one, &a);
    SPAWN_NAMED(&a.group, "receive", receive_one, &a);
    SPAWN_NAMED(&a.group, "mutex", lock_mutex, &a);
    SPAWN_NAMED(&a.group, "event", wait_for_event, &a.event);
    SPAWN_NAMED(&a.group, "once", run_once, &a);
    SPAWN_NAMED(&a.group, "join", join_sleeper, &a);
    SPAWN_NAMED(&a.group, "group", wait_in_group, &a);
    SPAWN_NAMED(&a.group, "select", wait_in_select, &a);
    SPAWN_NAMED(&a.group, "read", read_pipe, &a);
    await_state("once", ": waiting");
    SPAWN_NAMED(&a.group, "once too", run_once, &a);

    await_wait("send", " for a send on channel %p", (void *)a.sent);
    await_wait("receive", " for a receive on channel %p", (void *)a.received);
    await_wait("mutex", " for mutex %p", (void *)&a.mutex);
    await_wait("event", " for event %p", (void *)&a.event);
    await_wait("once", " for event %p", (void *)&a.stop);
    await_wait("once too", " for once %p", (void *)&a.once);
    await_wait("sleep", " in a sleep, 9", NULL);
    await_wait("group", " for its group to be empty", NULL);
    await_wait("select", " in a select of 2: event %p, 9", (void *)&a.stop);
    snprintf(what, sizeof what, " for the end of task %llu", (unsigned long long)a.sleeper.id);
    await_state("join", what);
    snprintf(what, sizeof what, " for I/O on descriptor %d", a.pipe[0]);
    await_state("read", what);

    coir_mutex_unlock(&a.mutex);
    coir_group_cancel(&a.group, "end of test");
    coir_group_end(&a.group);
    coir_chan_free(a.sent);
    coir_chan_free(a.received);
    coir_close(a.pipe[0]);
    coir_close(a.pipe[1]);
}

/* -- selects ------------------------------------------------------------------------------------------------ */

typedef struct choices {
    coir_chan *full, *empty;
    coir_event event;
    coir_notify notify;
    coir_future future;
    coir_sem sem;
    int pipe[2];
    coir_task sleeper;
} choices;

static int choose(void *arg)
{
    choices *o = arg;
    int in = 1, out;
    coir_case cases[] = {COIR_SEND(o->full, &in),
                         COIR_RECV(o->empty, &out),
                         COIR_SET(&o->event),
                         COIR_NOTIFIED(&o->notify),
                         COIR_READY(&o->future),
                         COIR_ACQUIRE(&o->sem),
                         COIR_READABLE(o->pipe[0]),
                         COIR_JOINED(o->sleeper),
                         COIR_AFTER(COIR_S(1000)),
                         COIR_AFTER(COIR_FOREVER),
                         COIR_RECV(NULL, &out),
                         COIR_UNTIL(coir_now() + COIR_S(100)),
                         COIR_UNTIL(coir_now() + COIR_S(100))};
    return coir_select(cases, sizeof cases / sizeof *cases);
}

TASK_TEST(a_select_shows_its_cases)
{
    choices o = {.full = coir_chan_new(sizeof(int), 1),
                 .empty = coir_chan_new(sizeof(int), 1),
                 .event = COIR_EVENT_INIT,
                 .notify = COIR_NOTIFY_INIT,
                 .future = COIR_FUTURE_INIT,
                 .sem = COIR_SEM_INIT(0)};
    coir_task_options sleeper = {.name = "sleeper"};
    coir_group g;
    int in = 0;
    char what[512];
    CHECK_EQ(pipe2(o.pipe, O_CLOEXEC), 0);
    CHECK_EQ(coir_chan_send(o.full, &in), 0);
    coir_group_begin(&g, COIR_GROUP_ISOLATE);
    CHECK_EQ(coir_spawn_with(&g, &sleeper, sleep_long, NULL, &o.sleeper), 0);
    SPAWN_NAMED(&g, "chooser", choose, &o);
    snprintf(what, sizeof what,
             " in a select of 13: send on channel %p, receive on channel %p, event %p, notify %p, "
             "future %p,"
             " semaphore %p, descriptor %d readable, end of task %llu, 9",
             (void *)o.full, (void *)o.empty, (void *)&o.event, (void *)&o.notify,
             (void *)&o.future, (void *)&o.sem, o.pipe[0], (unsigned long long)o.sleeper.id);
    await_state("chooser", what);
    await_state("chooser", " ms left, never, never, 9");
    await_state("chooser", " ms left, ...");
    coir_group_cancel(&g, "end of test");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    coir_chan_free(o.full);
    coir_chan_free(o.empty);
    coir_close(o.pipe[0]);
    coir_close(o.pipe[1]);
}

/* -- addresses ---------------------------------------------------------------------------------------------- */

static int wait_at_word(void *arg) { return coir_futex_wait(arg, 0); }

static int acquire_it(void *arg) { return coir_sem_acquire(arg); }

static int meet(void *arg) { return coir_barrier_wait(arg); }

static int get_it(void *arg) { return coir_future_get(arg, NULL); }

TASK_TEST(what_is_waited_for_has_the_address_that_the_program_knows)
{
    uint32_t word = 0;
    coir_sem sem = COIR_SEM_INIT(0);
    coir_barrier barrier = COIR_BARRIER_INIT(2);
    coir_future future = COIR_FUTURE_INIT;
    coir_group g;
    coir_group_begin(&g, 0);
    SPAWN_NAMED(&g, "futex", wait_at_word, &word);
    SPAWN_NAMED(&g, "semaphore", acquire_it, &sem);
    SPAWN_NAMED(&g, "barrier", meet, &barrier);
    SPAWN_NAMED(&g, "future", get_it, &future);
    await_wait("futex", " for a futex at %p", (void *)&word);
    await_wait("semaphore", " for semaphore %p", (void *)&sem);
    await_wait("barrier", " for barrier %p", (void *)&barrier);
    await_wait("future", " for future %p", (void *)&future);
    coir_group_cancel(&g, "end of test");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
}

/* -- states --------------------------------------------------------------------------------------------------- */

TASK_TEST(the_caller_is_running)
{
    CHECK(dump_says("main", " spawned at coir_run:0: running on worker "));
    CHECK_EQ(coir_set_name("renamed"), 0);
    CHECK(dump_says("renamed", ": running on worker "));
    CHECK(!dump_line("main"));
}

TASK_TEST(a_task_that_has_not_run_is_new_and_a_woken_one_ready)
{
    coir_event event = COIR_EVENT_INIT;
    coir_task_options o = {.name = "child", .flags = COIR_PINNED};
    coir_group g;
    CHECK_EQ(coir_pin(), 0); /* nobody else runs the child */
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_with(&g, &o, wait_for_event, &event, NULL), 0);
    CHECK(dump_says("child", ": new"));
    await_state("child", ": waiting ");
    coir_event_set(&event);
    CHECK(dump_says("child", ": ready"));
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK(!dump_line("child"));
    CHECK_EQ(coir_unpin(), 0);
}

TASK_TEST(every_task_is_listed_once_with_its_id)
{
    enum { N = 1000 };
    static coir_task tasks[N];
    static int seen[N];
    coir_event event = COIR_EVENT_INIT;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir_spawn_with(&g, NULL, wait_for_event, &event, &tasks[i]), 0);
    char *text = dump_text(), *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        unsigned long long id;
        if (sscanf(line, "task %llu ", &id) != 1)
            continue;
        for (int i = 0; i < N; i++)
            seen[i] += tasks[i].id == id;
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ(seen[i], 1);
    free(text);
    coir_event_set(&event);
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_result_that_nobody_has_taken_is_no_task)
{
    coir_task t;
    coir_group g;
    char what[64];
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_with(&g, NULL, nothing, NULL, &t), 0);
    snprintf(what, sizeof what, "\nended task %llu, spawned at ", (unsigned long long)t.id);
    await_dump(what);
    snprintf(what, sizeof what, "\ntask %llu ", (unsigned long long)t.id);
    CHECK(!dump_has(what));
    CHECK_EQ(coir_join(t, NULL), 0);
    CHECK(!dump_has("\nended task"));
    CHECK_EQ(coir_group_end(&g), 0);
}

TASK_TEST(a_name_does_not_break_the_line)
{
    CHECK_EQ(coir_set_name("two\ntask 999999 'lines'"), 0);
    CHECK(dump_has(" 'two?task 999999 'lines'' spawned at coir_run:0: running"));
    CHECK(!dump_has("\ntask 999999"));
    char name[4096];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_EQ(coir_set_name(name), 0);
    CHECK(dump_has("xxx' spawned at coir_run:0: running"));
    CHECK_EQ(coir_set_name(NULL), 0);
    CHECK(dump_says("?", ": running"));
}

/* -- scopes --------------------------------------------------------------------------------------------------- */

static void check_has(const char *format, int line, const char *rest)
{
    char part[512];
    snprintf(part, sizeof part, format, __FILE__, line, rest);
    if (!dump_has(part)) {
        char *text = dump_text();
        fprintf(stderr, "%s", text);
        harness_fail(__FILE__, line, "not in the dump: %s", part);
    }
}

TASK_TEST(scopes_are_listed_from_the_innermost_outwards)
{
    coir_scope timed, shield;
    coir_group g;
    coir_scope_begin(&timed, COIR_S(1000));
    int timed_line = __LINE__ - 1;
    coir_group_begin(&g, 0);
    int group_line = __LINE__ - 1;
    coir_shield_begin(&shield, COIR_FOREVER);
    int shield_line = __LINE__ - 1;
    char *text = dump_text();
    char *first = strstr(text, "\n  shield begun at");
    char *second = strstr(text, "\n  group begun at");
    char *third = strstr(text, "\n  scope begun at");
    CHECK(first && first < second && second < third);
    free(text);
    check_has("\n  shield begun at %s:%d%s\n", shield_line, "");
    check_has("\n  group begun at %s:%d%s\n", group_line, ", tasks in it: 0");
    check_has("\n  scope begun at %s:%d%s", timed_line, ", 999.");
    coir_shield_end(&shield);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_scope_end(&timed, 0), 0);
    CHECK(!dump_has("begun at"));
}

TASK_TEST(a_cancelled_scope_shows_why_where_and_by_whom)
{
    coir_scope outer, inner, late;
    char by[64];
    coir_scope_begin(&outer, COIR_FOREVER);
    int outer_line = __LINE__ - 1;
    coir_scope_begin(&inner, COIR_FOREVER);
    int inner_line = __LINE__ - 1;
    coir_scope_begin(&late, 0);
    int late_line = __LINE__ - 1;
    coir_scope_cancel(&outer, "no longer wanted");
    int cancel_line = __LINE__ - 1;
    snprintf(by, sizeof by, ":%d by task %llu\n", cancel_line, (unsigned long long)coir_self().id);
    check_has("\n  scope begun at %s:%d%s", outer_line, ", cancelled: 'no longer wanted' at ");
    CHECK(dump_has(by));
    check_has("\n  scope begun at %s:%d%s\n", inner_line, ", cancelled from outside");
    check_has("\n  scope begun at %s:%d%s\n", late_line, ", deadline passed");
    coir_scope_end(&late, 0);
    coir_scope_end(&inner, 0);
    coir_scope_end(&outer, 0);
    CHECK(!dump_has("cancelled"));
    CHECK_EQ(coir_cancel(coir_self(), "enough"), 0);
    CHECK(dump_has("\n  own scope, cancelled: 'enough' at " __FILE__ ":"));
}

/* Opens `depth` scopes and dumps. */
static int nest(int depth)
{
    coir_scope s;
    coir_scope_begin(&s, COIR_FOREVER);
    int rc = depth > 1 ? nest(depth - 1) : dump_has("\n  ... more scopes\n") ? 0 : -ENOENT;
    return coir_scope_end(&s, rc);
}

TASK_TEST(more_scopes_than_fit_are_cut)
{
    CHECK_EQ(nest(3), -ENOENT);
    CHECK_EQ(nest(200), 0);
}

/* -- time ----------------------------------------------------------------------------------------------------- */

static _Atomic int64_t skipped_ahead;

static int64_t jumping_now(void *arg)
{
    struct timespec ts;
    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return COIR_S(ts.tv_sec) + ts.tv_nsec + skipped_ahead;
}

static int watch_time_pass(void *arg)
{
    coir_event event = COIR_EVENT_INIT;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    SPAWN_NAMED(&g, "child", wait_for_event, &event);
    await_state("child", ": waiting ");
    CHECK(dump_says("child", " ms for event"));
    skipped_ahead = COIR_S(5);
    char *line = dump_line("child");
    int ms = 0;
    CHECK_EQ(sscanf(strstr(line, ": waiting"), ": waiting %d ms", &ms), 1);
    CHECK(ms >= 4990 && ms < 9999);
    free(line);
    skipped_ahead = COIR_S(5000);
    line = dump_line("child");
    CHECK_EQ(sscanf(strstr(line, ": waiting"), ": waiting %d.%*d s", &ms), 1);
    CHECK(ms >= 4999 && ms < 5100);
    free(line);
    coir_event_set(&event);
    return coir_group_end(&g);
}

TEST(a_wait_shows_how_long_it_lasts)
{
    coir_clock clock = {.now = jumping_now};
    coir_options o = {.clock = &clock};
    CHECK_EQ(coir_run(&o, watch_time_pass, NULL), 0);
}

/* -- threads and runtimes ------------------------------------------------------------------------------------- */

static void *thread_that_waits(void *arg)
{
    coir_scope s;
    coir_set_name("feeder");
    coir_scope_begin(&s, COIR_S(1000));
    coir_event_wait(arg);
    coir_scope_end(&s, 0);
    return NULL;
}

TEST(a_thread_that_waits_is_listed_and_is_no_task)
{
    coir_event event = COIR_EVENT_INIT;
    pthread_t thread;
    char what[64];
    CHECK_EQ(pthread_create(&thread, NULL, thread_that_waits, &event), 0);
    snprintf(what, sizeof what, " for event %p\n", (void *)&event);
    await_dump(what);
    CHECK(dump_has("thread "));
    CHECK(dump_has(" 'feeder': waiting "));
    CHECK(dump_has("\n  scope begun at "));
    CHECK(!dump_has("task "));
    coir_event_set(&event);
    pthread_join(thread, NULL);
    CHECK(!dump_has("thread"));
}

static int wait_and_end(void *arg)
{
    coir_event *event = arg;
    CHECK_EQ(coir_set_name("elsewhere"), 0);
    return coir_event_wait(event);
}

static void *second_runtime(void *arg)
{
    coir_options o = {.name = "second"};
    CHECK_EQ(coir_run(&o, wait_and_end, arg), 0);
    return NULL;
}

static int look_at_both(void *arg)
{
    await_state("elsewhere", ": waiting ");
    CHECK(dump_has(" 'first': engine "));
    CHECK(dump_has(" 'second': engine "));
    CHECK(dump_says("main", ": running on worker "));
    CHECK(dump_has("\n  worker 0: thread "));
    coir_event_set(arg);
    return 0;
}

TEST(all_runtimes_are_listed)
{
    coir_event event = COIR_EVENT_INIT;
    coir_options o = {.name = "first"};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, second_runtime, &event), 0);
    CHECK_EQ(coir_run(&o, look_at_both, &event), 0);
    pthread_join(thread, NULL);
    char *text = dump_text();
    CHECK_STR(text, "");
    free(text);
}

TASK_TEST(a_bad_descriptor_does_no_harm)
{
    coir_dump(-1);
    coir_dump(1000000);
}

/* -- at any time ---------------------------------------------------------------------------------------------- */

/* A task may read the dump that it is in, through a pipe that is too small for it. */
static int pipe_ends[2];

static void *dump_into_pipe(void *arg)
{
    (void)arg;
    coir_dump(pipe_ends[1]);
    close(pipe_ends[1]);
    return NULL;
}

TASK_TEST(the_reader_of_a_dump_may_be_in_it)
{
    enum { N = 2000 };
    coir_event event = COIR_EVENT_INIT;
    coir_group g;
    pthread_t thread;
    char buf[1000];
    size_t total = 0;
    CHECK_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    CHECK_GE(fcntl(pipe_ends[1], F_SETPIPE_SZ, 4096), 4096);
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir_spawn(&g, wait_for_event, &event), 0);
    CHECK_EQ(pthread_create(&thread, NULL, dump_into_pipe, NULL), 0);
    ssize_t n;
    while ((n = coir_read(pipe_ends[0], buf, sizeof buf)) > 0)
        total += (size_t)n;
    CHECK_EQ(n, 0);
    CHECK_GT(total, N * 40);
    pthread_join(thread, NULL);
    close(pipe_ends[0]);
    coir_event_set(&event);
    CHECK_EQ(coir_group_end(&g), 0);
}

/* Everything that a dump looks at, coming and going. */
static int churn_leaf(void *arg)
{
    coir_chan *c = arg;
    int n = 0;
    coir_set_name("leaf");
    coir_scope s;
    coir_scope_begin(&s, COIR_S(100));
    int rc = coir_chan_recv(c, &n);
    coir_set_name(NULL);
    return coir_scope_end(&s, rc);
}

static int churn(void *arg)
{
    int rounds = *(int *)arg;
    coir_mutex mutex = COIR_MUTEX_INIT;
    for (int i = 0; i < rounds; i++) {
        coir_chan *c = coir_chan_new(sizeof(int), 0);
        coir_task t;
        coir_task_options o = {.name = "named"};
        coir_scope shield;
        coir_group g;
        coir_group_begin(&g, COIR_GROUP_ISOLATE);
        CHECK_EQ(coir_spawn_with(&g, &o, churn_leaf, c, &t), 0);
        CHECK_EQ(coir_spawn(&g, churn_leaf, c), 0);
        CHECK_EQ(coir_chan_send(c, &i), 0);
        if (i % 3 == 0)
            coir_cancel(t, "churn");
        else if (i % 3 == 1)
            coir_group_cancel(&g, "churn");
        else
            coir_chan_close(c);
        coir_shield_begin(&shield, COIR_FOREVER);
        CHECK_EQ(coir_mutex_lock(&mutex), 0);
        coir_join(t, NULL);
        coir_mutex_unlock(&mutex);
        coir_shield_end(&shield);
        if (i % 3 == 0)
            coir_chan_close(c);
        coir_group_end(&g);
        coir_chan_free(c);
        coir_sleep(i % 8 == 0 ? COIR_US(50) : 0);
    }
    return 0;
}

static _Atomic bool churned;

static void *dump_all_the_time(void *arg)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)arg;
    while (!churned)
        coir_dump(fd);
    close(fd);
    return NULL;
}

static int churn_all(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(coir_spawn(&g, churn, arg), 0);
    return coir_group_end(&g);
}

TEST(dumps_from_outside_and_inside_do_not_disturb)
{
    int rounds = 400 / harness_scale();
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, dump_all_the_time, NULL), 0);
    for (int i = 0; i < 3; i++) /* runtimes come and go too */
        CHECK_EQ(coir_run(NULL, churn_all, &rounds), 0);
    churned = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static int dump_and_yield(void *arg)
{
    const int *fd = arg;
    while (coir_check() == 0) {
        coir_dump(*fd);
        coir_yield();
    }
    return 0;
}

TASK_TEST(dumps_from_tasks_do_not_disturb)
{
    int rounds = 200 / harness_scale();
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, dump_and_yield, &fd), 0);
    CHECK_EQ(coir_spawn(&g, dump_and_yield, &fd), 0);
    CHECK_EQ(churn_all(&rounds), 0);
    coir_group_cancel(&g, "end of test");
    CHECK_EQ(coir_group_end(&g), 0);
    close(fd);
}

TEST_MAIN("dump")
