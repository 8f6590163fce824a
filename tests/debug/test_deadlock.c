/* SPDX-License-Identifier: MIT */
/*
 * test_deadlock.c - a deadlock is reported where it is certain, and only there.
 *
 * Where there must be no report, on_deadlock fails the test. "Everything sleeps" is seen in the dump.
 */
#include "debug/dump_text.h"

#include "debug/deadlock.h"
#include "sched/runtime.h"

#include <coir/net.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Every quiet moment is looked at. */
__attribute__((constructor)) static void be_impatient(void) { coir__deadlock_patience = 0; }

/* -- reported ------------------------------------------------------------------------------------------------- */

typedef struct pair {
    coir_chan *from, *to;
} pair;

static int receive_then_send(void *arg)
{
    pair *p = arg;
    int n = 0;
    int rc = coir_chan_recv(p->from, &n);
    return rc < 0 ? rc : coir_chan_send(p->to, &n);
}

static int deadlock_on_channels(void *arg)
{
    coir_chan *a = coir_chan_new(sizeof(int), 0), *b = coir_chan_new(sizeof(int), 0);
    pair left = {a, b}, right = {b, a};
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    SPAWN_NAMED(&g, "left", receive_then_send, &left);
    SPAWN_NAMED(&g, "right", receive_then_send, &right);
    return coir_group_end(&g);
}

static int deadlock_on_buffers(void *arg)
{
    coir_chan *c = coir_chan_new(sizeof(int), 1);
    (void)arg;
    for (int i = 0; i < 3; i++)
        coir_chan_send(c, &i);
    return 0;
}

static int deadlock_on_event(void *arg)
{
    coir_event event = COIR_EVENT_INIT;
    (void)arg;
    return coir_event_wait(&event);
}

static int deadlock_on_join(void *arg)
{
    coir_task t;
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn_with(&g, NULL, deadlock_on_event, NULL, &t), 0);
    return coir_join(t, NULL);
}

static int lock_both(void *arg)
{
    coir_mutex **m = arg;
    CHECK_EQ(coir_mutex_lock(m[0]), 0);
    coir_yield();
    return coir_mutex_lock(m[1]);
}

static int deadlock_on_mutexes(void *arg)
{
    coir_mutex one = COIR_MUTEX_INIT, two = COIR_MUTEX_INIT;
    coir_mutex *order[] = {&one, &two}, *reverse[] = {&two, &one};
    coir_group g;
    (void)arg;
    CHECK_EQ(coir_mutex_lock(&one), 0);
    CHECK_EQ(coir_mutex_lock(&two), 0);
    coir_group_begin(&g, 0);
    SPAWN_NAMED(&g, "in order", lock_both, order);
    SPAWN_NAMED(&g, "in reverse", lock_both, reverse);
    await_state("in order", " for mutex ");
    await_state("in reverse", " for mutex ");
    coir_mutex_unlock(&one);
    await_state("in order", " for mutex ");
    coir_mutex_unlock(&two);
    return coir_group_end(&g);
}

static int enter_again(void *arg)
{
    coir_event never = COIR_EVENT_INIT;
    (void)arg;
    return coir_event_wait(&never);
}

static int deadlock_on_once(void *arg)
{
    static coir_once once;
    coir_group g;
    if (arg)
        return coir_once_run(&once, enter_again, NULL);
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, deadlock_on_once, &once), 0);
    CHECK_EQ(coir_spawn(&g, deadlock_on_once, &once), 0);
    return coir_group_end(&g);
}

static int deadlock_on_select(void *arg)
{
    coir_event event = COIR_EVENT_INIT;
    coir_chan *c = coir_chan_new(sizeof(int), 0);
    int n;
    coir_case cases[] = {COIR_SET(&event), COIR_RECV(c, &n), COIR_AFTER(COIR_FOREVER)};
    (void)arg;
    return coir_select(cases, 3);
}

/* After timers, I/O and cancellation that are over. */
static int deadlock_late(void *arg)
{
    coir_event event = COIR_EVENT_INIT;
    coir_scope s;
    int fds[2];
    char c = 0;
    (void)arg;
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    coir_scope_begin(&s, COIR_MS(1));
    CHECK_EQ(coir_scope_end(&s, coir_event_wait(&event)), -ETIMEDOUT);
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    coir_scope_begin(&s, COIR_MS(1));
    CHECK_EQ(coir_scope_end(&s, (int)coir_read(fds[0], &c, 1)), -ETIMEDOUT);
    coir_case cases[] = {COIR_READABLE(fds[0]), COIR_AFTER(COIR_MS(1)), COIR_SET(&event)};
    CHECK_EQ(coir_select(cases, 3), 1);
    CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
    return coir_event_wait(&event);
}

static int deadlock_detached(void *arg)
{
    (void)arg;
    coir_spawn(NULL, deadlock_on_event, NULL);
    return deadlock_on_event(NULL);
}

TEST(two_tasks_that_wait_for_each_other_are_reported_by_name)
{
    CHECK_TASK_ABORTS(deadlock_on_channels, NULL, "coir: deadlock: all tasks (3) wait ");
    CHECK_TASK_ABORTS(deadlock_on_channels, NULL, " 'left' spawned at " __FILE__ ":");
    CHECK_TASK_ABORTS(deadlock_on_channels, NULL, " 'right' spawned at " __FILE__ ":");
    CHECK_TASK_ABORTS(deadlock_on_channels, NULL, " for a receive on channel ");
}

TEST(every_kind_of_wait_for_a_task_can_be_a_deadlock)
{
    CHECK_TASK_ABORTS(deadlock_on_buffers, NULL, "deadlock: all tasks (1) ");
    CHECK_TASK_ABORTS(deadlock_on_event, NULL, "deadlock: all tasks (1) ");
    CHECK_TASK_ABORTS(deadlock_on_join, NULL, "deadlock: all tasks (2) ");
    CHECK_TASK_ABORTS(deadlock_on_mutexes, NULL, "deadlock: all tasks (3) ");
    CHECK_TASK_ABORTS(deadlock_on_once, NULL, "deadlock: all tasks (3) ");
    CHECK_TASK_ABORTS(deadlock_on_select, NULL, "deadlock: all tasks (1) ");
    CHECK_TASK_ABORTS(deadlock_detached, NULL, "deadlock: all tasks (2) ");
}

TEST(a_deadlock_after_timers_and_io_is_reported)
{
    CHECK_TASK_ABORTS(deadlock_late, NULL, "deadlock: all tasks (1) ");
}

static int deadlock_patiently(void *arg)
{
    coir__deadlock_patience = COIR_MS(20);
    return coir_run(NULL, deadlock_on_channels, arg);
}

TEST(a_deadlock_is_reported_when_it_has_lasted_a_moment)
{
    CHECK_ABORTS(deadlock_patiently, NULL, "deadlock: all tasks (3) ");
}

static void log_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "logged <%s>\n", line);
}

static int deadlock_logged(void *arg)
{
    coir_options o = {.log = log_line};
    return coir_run(&o, deadlock_on_event, arg);
}

TEST(a_deadlock_goes_to_the_log_and_to_stderr)
{
    CHECK_ABORTS(deadlock_logged, NULL, "logged <deadlock: ");
    CHECK_ABORTS(deadlock_logged, NULL, "\ncoir: deadlock: ");
    CHECK_ABORTS(deadlock_logged, NULL, "\ntask ");
}

/* -- on_deadlock ---------------------------------------------------------------------------------------------- */

typedef struct rescue {
    coir_event events[3];
    _Atomic int reports;
    pthread_t thread;
} rescue;

static int wait_for_three(void *arg)
{
    rescue *r = arg;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_event_wait(&r->events[i]), 0);
    return 7;
}

static void set_next(void *arg)
{
    rescue *r = arg;
    CHECK_LT(r->reports, 3);
    coir_event_set(&r->events[r->reports++]);
}

TEST(a_hook_may_break_the_deadlock_and_is_called_once_for_each)
{
    rescue r = {.reports = 0};
    coir_options o = {.on_deadlock = set_next, .hook_arg = &r};
    CHECK_EQ(coir_run(&o, wait_for_three, &r), 7);
    CHECK_EQ(r.reports, 3);
}

static void *set_later(void *arg)
{
    rescue *r = arg;
    await_all_asleep();
    for (int i = 0; i < 3; i++)
        coir_event_set(&r->events[i]);
    return NULL;
}

static void start_thread(void *arg)
{
    rescue *r = arg;
    r->reports++;
    CHECK_EQ(pthread_create(&r->thread, NULL, set_later, r), 0);
}

TEST(the_runtime_waits_on_after_the_hook_and_reports_once)
{
    rescue r = {.reports = 0};
    coir_options o = {.on_deadlock = start_thread, .hook_arg = &r};
    CHECK_EQ(coir_run(&o, wait_for_three, &r), 7);
    CHECK_EQ(r.reports, 1);
    pthread_join(r.thread, NULL);
}

static void cancel_group(void *arg) { coir_group_cancel(arg, "deadlock"); }

static int wait_in_group_of_two(void *arg)
{
    coir_group *g = arg;
    coir_group_begin(g, 0);
    CHECK_EQ(coir_spawn(g, deadlock_on_event, NULL), 0);
    CHECK_EQ(coir_spawn(g, deadlock_on_event, NULL), 0);
    return coir_group_end(g);
}

TEST(a_hook_may_cancel)
{
    coir_group g;
    coir_options o = {.on_deadlock = cancel_group, .hook_arg = &g};
    CHECK_EQ(coir_run(&o, wait_in_group_of_two, &g), -ECANCELED);
}

/* -- not reported --------------------------------------------------------------------------------------------- */

static void no_report(void *arg)
{
    (void)arg;
    harness_fail(__FILE__, __LINE__, "a deadlock was reported that is none");
}

static void run_without_report(coir_fn *fn, void *arg)
{
    coir_options o = {.on_deadlock = no_report};
    CHECK_EQ(coir_run(&o, fn, arg), 0);
}

static int sleep_a_little(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_MS(20));
}

static int wait_for_sleeper(void *arg)
{
    coir_event event = COIR_EVENT_INIT;
    coir_case cases[] = {COIR_SET(&event), COIR_AFTER(COIR_MS(20))};
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, sleep_a_little, NULL), 0);
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(coir_select(cases, 2), 1);
    return 0;
}

TEST(a_sleeping_task_is_no_deadlock) { run_without_report(wait_for_sleeper, NULL); }

static int wait_under_deadline(void *arg)
{
    coir_event event = COIR_EVENT_INIT;
    coir_scope s;
    (void)arg;
    coir_scope_begin(&s, COIR_MS(20));
    int rc = coir_scope_end(&s, coir_event_wait(&event));
    return rc == -ETIMEDOUT ? 0 : 1;
}

TEST(a_deadline_is_no_deadlock) { run_without_report(wait_under_deadline, NULL); }

static int child_under_deadline(void *arg)
{
    coir_scope s;
    coir_group g;
    (void)arg;
    coir_scope_begin(&s, COIR_MS(20));
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, deadlock_on_event, NULL), 0);
    int rc = coir_scope_end(&s, coir_group_end(&g));
    return rc == -ETIMEDOUT ? 0 : 1;
}

TEST(a_deadline_around_a_group_is_no_deadlock) { run_without_report(child_under_deadline, NULL); }

static bool is_looked_at(void)
{
    bool looked_at = false;
    coir__lock_take(&coir__runtimes_lock);
    coir__runtime *rt = atomic_load(&coir__runtimes[1]);
    if (rt)
        looked_at = rt->quiet.state == COIR__QUIET_LOOKED_AT;
    coir__lock_drop(&coir__runtimes_lock);
    return looked_at;
}

/* A thread that sends when the quiet runtime has been looked at. */
static void *send_later(void *arg)
{
    int n = 42;
    while (!is_looked_at())
        sched_yield();
    CHECK_EQ(coir_chan_send(arg, &n), 0);
    return NULL;
}

static int receive_from_thread(void *arg)
{
    int n = 0;
    CHECK_EQ(coir_chan_recv(arg, &n), 0);
    CHECK_EQ(n, 42);
    return 0;
}

TEST(a_foreign_thread_may_still_send)
{
    coir_chan *c = coir_chan_new(sizeof(int), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, send_later, c), 0);
    run_without_report(receive_from_thread, c);
    pthread_join(thread, NULL);
    coir_chan_free(c);
}

static int create_thread_and_receive(void *arg)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, send_later, arg), 0);
    receive_from_thread(arg);
    pthread_join(thread, NULL);
    return 0;
}

TEST(a_thread_started_by_a_task_may_still_send)
{
    coir_chan *c = coir_chan_new(sizeof(int), 0);
    run_without_report(create_thread_and_receive, c);
    coir_chan_free(c);
}

/* Another process that writes when every thread of this one sleeps. */
static bool thread_sleeps(pid_t pid, const char *tid)
{
    char path[320], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", (int)pid, tid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *after_name = strrchr(text, ')');
    return after_name && after_name[1] == ' ' && after_name[2] == 'S';
}

static bool process_sleeps(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    bool all = dir != NULL;
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && !thread_sleeps(pid, entry->d_name))
            all = false;
    if (dir)
        closedir(dir);
    return all;
}

static pid_t fork_writer(int fd, int fd_to_close)
{
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    close(fd_to_close);
    for (int seen = 0; seen < 20 && getppid() == parent;
         seen = process_sleeps(parent) ? seen + 1 : 0)
        sched_yield();
    if (write(fd, "x", 1) != 1)
        _exit(1);
    _exit(0);
}

static int read_one(void *arg)
{
    const int *fds = arg;
    char c;
    return coir_read(fds[0], &c, 1) == 1 ? 0 : 1;
}

static int wait_for_reader(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    CHECK_EQ(coir_spawn(&g, read_one, arg), 0);
    return coir_group_end(&g);
}

static int select_readable(void *arg)
{
    const int *fds = arg;
    coir_event event = COIR_EVENT_INIT;
    coir_case cases[] = {COIR_SET(&event), COIR_READABLE(fds[0])};
    return coir_select(cases, 2) == 1 ? 0 : 1;
}

static void check_pipe(coir_fn *fn)
{
    int fds[2], status;
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork_writer(fds[1], fds[0]);
    run_without_report(fn, fds);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    close(fds[0]);
    close(fds[1]);
}

TEST(a_pending_read_is_no_deadlock) { check_pipe(wait_for_reader); }

TEST(a_descriptor_in_a_select_is_no_deadlock) { check_pipe(select_readable); }

static int look_up(void *arg)
{
    coir_addr addr;
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK(coir_resolve("localhost", "80", &addr, 1) != 0);
        coir_resolve("no-such-name.invalid", "80", &addr, 1);
    }
    return 0;
}

TEST(a_name_look_up_is_no_deadlock)
{
    harness_allow_blocks(4096);
    run_without_report(look_up, NULL);
}

static int deadlock_after_look_up(void *arg)
{
    coir_addr addr;
    (void)arg;
    coir_resolve("no-such-name.invalid", "80", &addr, 1);
    return deadlock_on_event(NULL);
}

TEST(helper_threads_without_work_do_not_hide_a_deadlock)
{
    CHECK_TASK_ABORTS(deadlock_after_look_up, NULL, "deadlock: all tasks (1) ");
}

/* -- two runtimes --------------------------------------------------------------------------------------------- */

typedef struct other_runtime {
    coir_fn *fn;
    coir_event *event;
} other_runtime;

static void *run_other(void *arg)
{
    other_runtime *o = arg;
    run_without_report(o->fn, o->event);
    return NULL;
}

static bool first_sleeps(void)
{
    char *text = dump_text();
    const char *from = strstr(text, " 'waits': engine "),
               *to = from ? strstr(from, "\ntask ") : NULL;
    const char *awake = from ? strstr(from, ", awake,") : NULL;
    bool sleeps = from && to && !(awake && awake < to);
    free(text);
    return sleeps;
}

/* Watches the other runtime until it is quiet, and then wakes it. */
static int compute_then_set(void *arg)
{
    for (int seen = 0; seen < 10; seen = first_sleeps() ? seen + 1 : 0)
        coir_yield();
    coir_event_set(arg);
    return 0;
}

static int sleep_then_set(void *arg)
{
    int rc = coir_sleep(COIR_MS(30));
    coir_event_set(arg);
    return rc;
}

static int wait_for_event(void *arg) { return coir_event_wait(arg); }

static void check_two_runtimes(coir_fn *second)
{
    coir_event event = COIR_EVENT_INIT;
    other_runtime other = {second, &event};
    coir_options o = {.on_deadlock = no_report, .name = "waits"};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, run_other, &other), 0);
    CHECK_EQ(coir_run(&o, wait_for_event, &event), 0);
    pthread_join(thread, NULL);
}

TEST(a_runtime_that_waits_for_a_busy_one_is_no_deadlock) { check_two_runtimes(compute_then_set); }

TEST(a_runtime_that_waits_for_a_sleeping_one_is_no_deadlock) { check_two_runtimes(sleep_then_set); }

static void *run_deadlock(void *arg)
{
    coir_run(NULL, deadlock_on_event, arg);
    return NULL;
}

static int two_deadlocked(void *arg)
{
    pthread_t thread;
    (void)arg;
    CHECK_EQ(pthread_create(&thread, NULL, run_deadlock, NULL), 0);
    coir_run(NULL, deadlock_on_event, NULL);
    return 0;
}

TEST(two_runtimes_without_hope_are_a_deadlock)
{
    CHECK_ABORTS(two_deadlocked, NULL, "deadlock: all tasks (2) ");
    CHECK_ABORTS(two_deadlocked, NULL, "\nruntime 2 ");
}

/* -- never a false alarm -------------------------------------------------------------------------------------- */

/* Everybody is asleep again and again, and always something is about to happen. */
typedef struct rally {
    coir_chan *there, *back;
    int rounds;
} rally;

static int serve(void *arg)
{
    rally *r = arg;
    int n = 0;
    for (int i = 0; i < r->rounds; i++) {
        CHECK_EQ(coir_chan_send(r->there, &i), 0);
        CHECK_EQ(coir_chan_recv(r->back, &n), 0);
        CHECK_EQ(n, i);
    }
    coir_chan_close(r->there);
    return 0;
}

static int answer(void *arg)
{
    rally *r = arg;
    int n;
    while (coir_chan_recv(r->there, &n) == 0)
        CHECK_EQ(coir_chan_send(r->back, &n), 0);
    return 0;
}

static void *answer_in_thread(void *arg)
{
    answer(arg);
    return NULL;
}

static void *answer_in_runtime(void *arg)
{
    run_without_report(answer, arg);
    return NULL;
}

static void check_rally(void *(*other)(void *))
{
    rally r = {.there = coir_chan_new(sizeof(int), 0),
               .back = coir_chan_new(sizeof(int), 0),
               .rounds = 20000 / harness_scale()};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, other, &r), 0);
    run_without_report(serve, &r);
    pthread_join(thread, NULL);
    coir_chan_free(r.there);
    coir_chan_free(r.back);
}

TEST_TIMEOUT(a_rally_with_a_thread_is_no_deadlock, 60) { check_rally(answer_in_thread); }

TEST_TIMEOUT(a_rally_with_another_runtime_is_no_deadlock, 60) { check_rally(answer_in_runtime); }

static int nap_often(void *arg)
{
    const int *rounds = arg;
    for (int i = 0; i < *rounds; i++)
        CHECK_EQ(coir_sleep(COIR_US(10 * (i % 7))), 0);
    return 0;
}

static int echo_bytes(void *arg)
{
    const int *fd = arg;
    char c;
    while (coir_read(*fd, &c, 1) == 1)
        CHECK_EQ(coir_write(*fd, &c, 1), 1);
    return 0;
}

static int call_echo(void *arg)
{
    const int *fd = arg;
    char c = 'x';
    for (int i = 0; i < 3000 / harness_scale(); i++) {
        CHECK_EQ(coir_write(*fd, &c, 1), 1);
        CHECK_EQ(coir_read(*fd, &c, 1), 1);
    }
    shutdown(*fd, SHUT_WR);
    return 0;
}

/* Timers, I/O, pinned tasks and waiting ones side by side. */
static int bustle(void *arg)
{
    coir_event event = COIR_EVENT_INIT;
    coir_task_options pinned = {.flags = COIR_PINNED};
    coir_group waiting, busy;
    int rounds = 2000 / harness_scale(), fds[2];
    (void)arg;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    coir_group_begin(&waiting, 0);
    CHECK_EQ(coir_spawn(&waiting, wait_for_event, &event), 0);
    coir_group_begin(&busy, 0);
    CHECK_EQ(coir_spawn(&busy, nap_often, &rounds), 0);
    CHECK_EQ(coir_spawn_with(&busy, &pinned, nap_often, &rounds, NULL), 0);
    CHECK_EQ(coir_spawn_with(&busy, &pinned, echo_bytes, &fds[0], NULL), 0);
    CHECK_EQ(coir_spawn(&busy, call_echo, &fds[1]), 0);
    CHECK_EQ(coir_group_end(&busy), 0);
    coir_event_set(&event);
    CHECK_EQ(coir_group_end(&waiting), 0);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

TEST_TIMEOUT(a_runtime_that_is_often_idle_is_no_deadlock, 60) { run_without_report(bustle, NULL); }

TEST_MAIN("deadlock")
