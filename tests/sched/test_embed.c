/* SPDX-License-Identifier: MIT */
/* test_embed.c - a runtime in a foreign loop: what makes its descriptor readable, and what does not. */
#include "embed_tools.h"

#include <coir/loop.h>
#include <coir/net.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* -- readable or not -------------------------------------------------------------------------------------------- */

TEST(with_nothing_to_do_the_descriptor_is_not_readable)
{
    int threads = harness_count_threads();
    coir_runtime *rt = embed(NULL);
    for (int i = 0; i < 3; i++) {
        CHECK(!is_readable(rt, 0));
        CHECK_EQ(coir_runtime_run_once(rt), 0);
    }
    CHECK(!is_readable(rt, 20));
    CHECK_EQ(harness_count_threads(), threads);
    coir_runtime_free(rt);
    coir_runtime_free(NULL);
}

TEST(a_spawn_makes_it_readable_and_run_once_runs_the_task)
{
    atomic_int runs = 0;
    coir_runtime *rt = embed(NULL);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(coir_runtime_spawn(rt, count_up, &runs), 0);
        CHECK_EQ(runs, i - 1);
        CHECK(is_readable(rt, 0));
        CHECK_EQ(coir_runtime_run_once(rt), 0);
        CHECK_EQ(runs, i);
        CHECK(!is_readable(rt, 20));
    }
    CHECK_EQ(coir_runtime_spawn(rt, NULL, NULL), -EINVAL);
    CHECK_EQ(coir_runtime_spawn(NULL, count_up, &runs), -EINVAL);
    coir_runtime_free(rt);
}

static int sleep_ms(void *arg) { return coir_sleep(COIR_MS(*(int *)arg)); }

TEST(a_timer_makes_it_readable_when_it_is_due_and_not_in_between)
{
    int ms = 40;
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, sleep_ms, &ms), 0);
    int64_t begin = coir_now();
    if (run_all_ready(rt) > 0)             /* unless this took longer than the sleep */
        CHECK_LE(loop_until_empty(rt), 8); /* once for each level of the wheel, at most */
    CHECK_GE(coir_now() - begin, COIR_MS(40));
    CHECK(!is_readable(rt, 20));
    coir_runtime_free(rt);
}

TEST(many_timers_fire_in_few_rounds)
{
    enum { N = 1000 };
    static int ms[N];
    coir_runtime *rt = embed(NULL);
    for (int i = 0; i < N; i++) {
        ms[i] = 1 + i % 10;
        CHECK_EQ(coir_runtime_spawn(rt, sleep_ms, &ms[i]), 0);
    }
    CHECK_LE(loop_until_empty(rt), 2 * N);
    CHECK(!is_readable(rt, 20));
    coir_runtime_free(rt);
}

static int nothing(void *arg)
{
    (void)arg;
    coir_yield();
    return 0;
}

/* Its timer is armed, because something inside waits, and taken out. */
static int wait_a_little(void *arg) { return coir_sleep(*(int64_t *)arg); }

static int ends_before_its_deadline(void *arg)
{
    int64_t ns = COIR_US(100);
    (void)arg;
    CHECK_EQ(coir_with_timeout(COIR_MS(30), wait_a_little, &ns), 0);
    return 0;
}

TEST(a_deadline_that_was_taken_back_does_not_make_it_readable)
{
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, ends_before_its_deadline, NULL), 0);
    loop_until_empty(rt);
    CHECK(!is_readable(rt, 60));
    coir_runtime_free(rt);
}

typedef struct spinner {
    atomic_int stop, rounds;
} spinner;

static int yield_for_ever(void *arg)
{
    spinner *s = arg;
    while (!atomic_load(&s->stop)) {
        atomic_fetch_add(&s->rounds, 1);
        coir_yield();
    }
    return 0;
}

TEST(run_once_returns_though_tasks_go_on_and_the_rest_keeps_it_readable)
{
    spinner s = {0};
    coir_runtime *rt = embed(NULL);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_runtime_spawn(rt, yield_for_ever, &s), 0);
    for (int i = 0; i < 3; i++) {
        int before = atomic_load(&s.rounds);
        CHECK_EQ(coir_runtime_run_once(rt), 3);
        CHECK_GT(atomic_load(&s.rounds), before);
        CHECK(is_readable(rt, 0));
    }
    atomic_store(&s.stop, 1);
    CHECK_EQ(run_all_ready(rt), 0);
    CHECK(!is_readable(rt, 20));
    coir_runtime_free(rt);
}

/* A lone task that yields goes another way. */
TEST(a_lone_task_that_yields_for_ever_lets_the_loop_have_its_turn)
{
    spinner s = {0};
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, yield_for_ever, &s), 0);
    CHECK_EQ(coir_runtime_run_once(rt), 1);
    CHECK(is_readable(rt, 0));
    atomic_store(&s.stop, 1);
    CHECK_EQ(run_all_ready(rt), 0);
    coir_runtime_free(rt);
}

/* More than a ring holds, without switching away in between. */
TEST(a_crowd_of_new_tasks_runs_to_its_end)
{
    atomic_int runs = 0;
    int n = 5000 / harness_scale();
    coir_runtime *rt = embed(NULL);
    for (int i = 0; i < n; i++)
        CHECK_EQ(coir_runtime_spawn(rt, count_up, &runs), 0);
    CHECK(is_readable(rt, 0));
    loop_until_empty(rt);
    CHECK_EQ(runs, n);
    coir_runtime_free(rt);
}

/* -- wakes ------------------------------------------------------------------------------------------------------ */

typedef struct pair {
    coir_chan *in, *out;
} pair;

static pair pair_new(size_t capacity)
{
    pair p = {coir_chan_new(sizeof(int), capacity), coir_chan_new(sizeof(int), capacity)};
    CHECK(p.in && p.out);
    return p;
}

static void pair_free(pair *p)
{
    coir_chan_free(p->in);
    coir_chan_free(p->out);
}

static int double_all(void *arg)
{
    pair *p = arg;
    int n, rc;
    while ((rc = coir_chan_recv(p->in, &n)) == 0) {
        n *= 2;
        CHECK_EQ(coir_chan_send(p->out, &n), 0);
    }
    CHECK_EQ(rc, -EPIPE);
    return 0;
}

TEST(what_the_loop_sends_wakes_a_task)
{
    coir_runtime *rt = embed(NULL);
    pair p = pair_new(1);
    CHECK_EQ(coir_runtime_spawn(rt, double_all, &p), 0);
    CHECK_EQ(run_all_ready(rt), 1);
    for (int i = 0; i < 10; i++) {
        int n = i;
        CHECK_EQ(coir_chan_try_send(p.in, &n), 0);
        CHECK(is_readable(rt, 0));
        CHECK_EQ(coir_runtime_run_once(rt), 1);
        CHECK_EQ(coir_chan_try_recv(p.out, &n), 0);
        CHECK_EQ(n, 2 * i);
        CHECK_EQ(run_all_ready(rt), 1);
    }
    coir_chan_close(p.in);
    CHECK_EQ(loop_until_empty(rt), 1);
    pair_free(&p);
    coir_runtime_free(rt);
}

static void *spawn_later(void *arg)
{
    static atomic_int runs;
    CHECK_EQ(coir_runtime_spawn((coir_runtime *)arg, count_up, &runs), 0);
    return NULL;
}

TEST(a_spawn_of_another_thread_wakes_the_loop)
{
    coir_runtime *rt = embed(NULL);
    for (int i = 0; i < 20; i++) {
        pthread_t thread = thread_start(spawn_later, rt);
        CHECK(is_readable(rt, -1));
        while (run_all_ready(rt) != 0)
            CHECK(is_readable(rt, -1));
        thread_finish(thread);
        run_all_ready(rt);
    }
    coir_runtime_free(rt);
}

static int pinned_wait(void *arg)
{
    CHECK_EQ(coir_pin(), 0);
    CHECK_EQ(coir_event_wait((coir_event *)arg), 0);
    return coir_unpin();
}

TEST(pinned_tasks_are_woken_too)
{
    coir_event e = COIR_EVENT_INIT;
    coir_options o = {.pinned = true};
    for (int i = 0; i < 2; i++) {
        coir_runtime *rt = embed(i ? &o : NULL);
        coir_event_reset(&e);
        CHECK_EQ(coir_runtime_spawn(rt, pinned_wait, &e), 0);
        CHECK_EQ(run_all_ready(rt), 1);
        coir_event_set(&e);
        CHECK_EQ(loop_until_empty(rt), 1);
        coir_runtime_free(rt);
    }
}

/* -- I/O -------------------------------------------------------------------------------------------------------- */

static int echo(void *arg)
{
    int fd = *(int *)arg;
    char buf[64];
    ssize_t n;
    while ((n = coir_read(fd, buf, sizeof buf)) > 0)
        CHECK_EQ(coir_write_all(fd, buf, (size_t)n, NULL), 0);
    CHECK_EQ(n, 0);
    return coir_close(fd);
}

TEST(what_arrives_for_a_task_makes_it_readable)
{
    for (int foreign = 0; foreign < 2; foreign++) {
        coir_runtime *rt = embed(NULL);
        int fds[2];
        char buf[8] = "";
        if (foreign)
            CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        else
            CHECK_EQ(coir_socketpair(fds), 0);
        CHECK_EQ(coir_runtime_spawn(rt, echo, &fds[0]), 0);
        CHECK_EQ(run_all_ready(rt), 1);
        for (int i = 0; i < 5; i++) {
            CHECK(!is_readable(rt, 0));
            CHECK_EQ(write(fds[1], "hello", 5), 5);
            CHECK(is_readable(rt, -1));
            struct pollfd p = {.fd = fds[1], .events = POLLIN};
            while (poll(&p, 1, 0) == 0) {
                coir_runtime_run_once(rt);
                CHECK(poll(&p, 1, 0) == 1 || is_readable(rt, -1));
            }
            CHECK_EQ(read(fds[1], buf, sizeof buf), 5);
            CHECK_EQ(run_all_ready(rt), 1);
        }
        CHECK_EQ(close(fds[1]), 0);
        loop_until_empty(rt);
        coir_runtime_free(rt);
    }
}

static int read_one(void *arg)
{
    char byte;
    return (int)coir_read(*(int *)arg, &byte, 1) - 1;
}

/* Pipes and other files that are no sockets are waited for in another way by io_uring. */
TEST(pipes_make_it_readable)
{
    int fds[2];
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(coir_runtime_spawn(rt, read_one, &fds[0]), 0);
    CHECK_EQ(run_all_ready(rt), 1);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    loop_until_empty(rt);
    CHECK_EQ(coir_close(fds[0]), 0);
    CHECK_EQ(close(fds[1]), 0);
    coir_runtime_free(rt);
}

static int resolve_one(void *arg)
{
    coir_addr a;
    (void)arg;
    CHECK_GE(coir_resolve("localhost", NULL, &a, 1), 1);
    return 0;
}

TEST(a_name_looked_up_makes_it_readable)
{
    harness_allow_blocks(200);
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, resolve_one, NULL), 0);
    loop_until_empty(rt);
    coir_runtime_free(rt);
}

/* -- several ---------------------------------------------------------------------------------------------------- */

typedef struct rally {
    coir_chan *to, *from;
    int rounds;
} rally;

static int serve(void *arg)
{
    rally *r = arg;
    for (int i = 0; i < r->rounds; i++) {
        int n;
        CHECK_EQ(coir_chan_send(r->to, &i), 0);
        CHECK_EQ(coir_chan_recv(r->from, &n), 0);
        CHECK_EQ(n, i);
    }
    return 0;
}

static int give_back(void *arg)
{
    rally *r = arg;
    for (int i = 0; i < r->rounds; i++) {
        int n;
        CHECK_EQ(coir_chan_recv(r->to, &n), 0);
        CHECK_EQ(coir_chan_send(r->from, &n), 0);
    }
    return 0;
}

TEST(two_runtimes_in_one_loop_talk_to_each_other)
{
    coir_runtime *rts[2] = {embed(NULL), embed(NULL)};
    int epfd = epoll_create1(0), left[2] = {1, 1};
    pair p = pair_new(0);
    rally r = {p.in, p.out, 2000 / harness_scale()};
    for (int i = 0; i < 2; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        CHECK_EQ(epoll_ctl(epfd, EPOLL_CTL_ADD, coir_runtime_fd(rts[i]), &e), 0);
    }
    CHECK_EQ(coir_runtime_spawn(rts[0], serve, &r), 0);
    CHECK_EQ(coir_runtime_spawn(rts[1], give_back, &r), 0);
    while (left[0] + left[1] > 0) {
        struct epoll_event e[2];
        int n = epoll_wait(epfd, e, 2, -1);
        for (int i = 0; i < n; i++)
            left[e[i].data.u32] = coir_runtime_run_once(rts[e[i].data.u32]);
    }
    coir_runtime_free(rts[0]); /* in the order in which they were made, too */
    CHECK_EQ(coir_runtime_spawn(rts[1], nothing, NULL), 0);
    loop_until_empty(rts[1]);
    coir_runtime_free(rts[1]);
    pair_free(&p);
    close(epfd);
}

static int run_give_back(void *arg) { return give_back(arg); }

static void *run_beside(void *arg)
{
    CHECK_EQ(coir_run(NULL, run_give_back, arg), 0);
    return NULL;
}

TEST(it_talks_to_a_coir_run_on_another_thread)
{
    pair p = pair_new(0);
    rally r = {p.in, p.out, 2000 / harness_scale()};
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, serve, &r), 0);
    pthread_t thread = thread_start(run_beside, &r);
    loop_until_empty(rt);
    thread_finish(thread);
    pair_free(&p);
    coir_runtime_free(rt);
}

static int return_7(void *arg)
{
    (void)arg;
    coir_yield();
    return 7;
}

TEST(a_callback_of_the_loop_may_call_coir_run)
{
    int ms = 1;
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, sleep_ms, &ms), 0);
    int left = run_all_ready(rt); /* none, if this took longer than the sleep */
    CHECK_EQ(coir_run(NULL, return_7, NULL), 7);
    CHECK_EQ(coir_task_id(coir_self()), 0);
    if (left > 0)
        loop_until_empty(rt);
    coir_runtime_free(rt);
}

/* -- refusals --------------------------------------------------------------------------------------------------- */

static int nests(void *arg)
{
    coir_runtime *rt = arg;
    CHECK_EQ(coir_runtime_run_once(rt), -EDEADLK);
    CHECK_EQ(coir_run(NULL, return_7, NULL), -EDEADLK);
    CHECK(coir_runtime_new(NULL) == NULL);
    CHECK_EQ(coir_runtime_spawn(rt, nothing, NULL), 0);
    return 0;
}

TEST(inside_a_task_it_can_not_be_run)
{
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, nests, rt), 0);
    loop_until_empty(rt);
    CHECK_EQ(coir_runtime_run_once(rt), 0);
    coir_runtime_free(rt);
}

static int free_inside(void *arg)
{
    coir_runtime_free(arg);
    return 0;
}

static int free_in_a_task(void *arg)
{
    coir_runtime *rt = embed(NULL);
    (void)arg;
    CHECK_EQ(coir_runtime_spawn(rt, free_inside, rt), 0);
    return coir_runtime_run_once(rt);
}

static void *run_once_here(void *arg)
{
    coir_runtime_run_once(arg);
    return NULL;
}

static int run_elsewhere(void *arg)
{
    (void)arg;
    thread_finish(thread_start(run_once_here, embed(NULL)));
    return 0;
}

static void *free_here(void *arg)
{
    coir_runtime_free(arg);
    return NULL;
}

static int free_elsewhere(void *arg)
{
    (void)arg;
    thread_finish(thread_start(free_here, embed(NULL)));
    return 0;
}

TEST(misuse_is_reported)
{
    CHECK_ABORTS(free_in_a_task, NULL, "coir_runtime_free() inside a task");
    CHECK_ABORTS(run_elsewhere, NULL, "coir_runtime_run_once() on another thread");
    CHECK_ABORTS(free_elsewhere, NULL, "coir_runtime_free() on another thread");
}

static void check_refused(const coir_options *o, const char *text)
{
    listener l;
    stderr_catch(&l);
    coir_runtime *rt = coir_runtime_new(o);
    stderr_release(&l);
    CHECK(rt == NULL);
    if (!strstr(l.text, text))
        harness_fail(__FILE__, __LINE__, "expected '%s' in '%s'", text, l.text);
}

static int refuse_init(coir_loop **ret_loop)
{
    (void)ret_loop;
    return -ENOTSUP;
}

/* All that an engine needs, but no descriptor. */
extern const coir_engine *const coir__engines[];

TEST(options_that_can_not_be_honoured_are_told)
{
    int fds = harness_count_fds();
    unsetenv("COIR_WORKERS");
    check_refused(&(coir_options){.workers = 2}, "option workers");
    check_refused(&(coir_options){.stack_strategy = 77}, "option stack_strategy");
    setenv("COIR_WORKERS", "4", 1);
    check_refused(NULL, "COIR_WORKERS=4");
    check_refused(&(coir_options){.workers = 1}, "COIR_WORKERS=4");
    setenv("COIR_WORKERS", "1", 1);
    coir_engine engine = *coir__engines[0];
    engine.descriptor = NULL;
    check_refused(&(coir_options){.engine_ops = &engine}, "coir_runtime_new");
    engine.init = refuse_init;
    check_refused(&(coir_options){.engine_ops = &engine}, "coir_runtime_new");
    CHECK_EQ(harness_count_fds(), fds);
    coir_runtime *rt = coir_runtime_new(&(coir_options){.workers = 1});
    CHECK(rt != NULL);
    coir_runtime_free(rt);
}

/* -- the end ---------------------------------------------------------------------------------------------------- */

typedef struct last_words {
    int rc, slept;
    const char *why;
} last_words;

static int wait_and_clean_up(void *arg)
{
    last_words *l = arg;
    coir_scope shield;
    l->rc = coir_sleep(COIR_FOREVER);
    l->why = coir_cancel_reason_get()->why;
    coir_shield_begin(&shield, COIR_S(10));
    l->slept = coir_sleep(COIR_MS(2));
    coir_shield_end(&shield);
    return l->rc;
}

TEST(free_cancels_what_is_left_and_waits_for_it)
{
    enum { N = 3 };
    last_words l[N + 1] = {{0}};
    coir_runtime *rt = embed(NULL);
    for (int i = 0; i < N; i++)
        CHECK_EQ(coir_runtime_spawn(rt, wait_and_clean_up, &l[i]), 0);
    CHECK_EQ(run_all_ready(rt), N);
    CHECK_EQ(coir_runtime_spawn(rt, wait_and_clean_up, &l[N]), 0); /* not begun */
    coir_runtime_free(rt);
    for (int i = 0; i <= N; i++) {
        CHECK_EQ(l[i].rc, -ECANCELED);
        CHECK_EQ(l[i].slept, 0);
        CHECK_STR(l[i].why, "run ended");
    }
}

static int open_group(void *arg)
{
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(coir_spawn(&g, wait_a_little, arg), 0);
    return coir_group_end(&g);
}

TEST(all_tasks_are_counted_those_of_groups_too)
{
    int64_t ns = COIR_FOREVER;
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, open_group, &ns), 0);
    CHECK_EQ(run_all_ready(rt), 6);
    coir_runtime_free(rt);
}

/* -- a clock of its own ----------------------------------------------------------------------------------------- */

static atomic_llong virtual_time;

static int64_t virtual_now(void *arg)
{
    (void)arg;
    return atomic_load(&virtual_time);
}

TEST(with_an_injected_clock_timers_follow_that_clock)
{
    static const coir_clock clock = {.now = virtual_now};
    coir_options o = {.clock = &clock};
    int ms = 3600 * 1000;
    atomic_store(&virtual_time, COIR_S(5));
    coir_runtime *rt = embed(&o);
    CHECK_EQ(coir_runtime_spawn(rt, sleep_ms, &ms), 0);
    CHECK_EQ(run_all_ready(rt), 1);
    CHECK_EQ(coir_runtime_run_once(rt), 1);
    atomic_fetch_add(&virtual_time, COIR_S(3600) + COIR_MS(1));
    while (coir_runtime_run_once(rt) != 0)
        continue;
    coir_runtime_free(rt);
}

/* -- deadlock --------------------------------------------------------------------------------------------------- */

extern int64_t coir__deadlock_patience; /* debug/deadlock.c */

static int wait_for_event(void *arg) { return coir_event_wait((coir_event *)arg); }

static void never_called(void *arg)
{
    (void)arg;
    harness_fail(__FILE__, __LINE__, "a deadlock was reported");
}

TEST(tasks_that_wait_for_the_loop_are_no_deadlock)
{
    coir_event e = COIR_EVENT_INIT;
    coir_options o = {.on_deadlock = never_called};
    coir__deadlock_patience = 1;
    coir_runtime *rt = embed(&o);
    CHECK_EQ(coir_runtime_spawn(rt, wait_for_event, &e), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(run_all_ready(rt), 1);
    coir_event_set(&e);
    loop_until_empty(rt);
    coir_runtime_free(rt);
}

static atomic_int waiting;

static int note_and_wait(void *arg)
{
    atomic_store(&waiting, 1);
    return coir_event_wait((coir_event *)arg);
}

static void *run_waiting(void *arg)
{
    coir_options o = {.on_deadlock = never_called};
    CHECK_EQ(coir_run(&o, note_and_wait, arg), 0);
    return NULL;
}

TEST(tasks_beside_that_wait_for_the_loop_are_no_deadlock)
{
    coir_event e = COIR_EVENT_INIT;
    coir_runtime *rt = embed(NULL);
    CHECK_EQ(coir_runtime_spawn(rt, wait_for_event, &e), 0);
    run_all_ready(rt);
    coir__deadlock_patience = 1;
    pthread_t thread = thread_start(run_waiting, &e);
    while (!atomic_load(&waiting))
        sched_yield();
    CHECK(!is_readable(rt, 50)); /* and the other runtime has had its time to complain */
    coir_event_set(&e);
    loop_until_empty(rt);
    thread_finish(thread);
    coir_runtime_free(rt);
}

static coir_event rescue = COIR_EVENT_INIT;

static void set_rescue(void *arg)
{
    (void)arg;
    coir_event_set(&rescue);
}

static int wait_shielded(void *arg)
{
    coir_scope shield;
    coir_shield_begin(&shield, COIR_FOREVER);
    int rc = coir_event_wait((coir_event *)arg);
    coir_shield_end(&shield);
    return rc;
}

TEST(a_deadlock_at_the_end_is_reported)
{
    coir_options o = {.on_deadlock = set_rescue};
    listener l;
    if (is_emulated())
        skip("an emulator has threads of its own");
    coir__deadlock_patience = 1;
    coir_runtime *rt = embed(&o);
    CHECK_EQ(coir_runtime_spawn(rt, wait_shielded, &rescue), 0);
    run_all_ready(rt);
    stderr_catch(&l);
    coir_runtime_free(rt);
    stderr_release(&l);
    CHECK(strstr(l.text, "deadlock"));
}

/* -- overflow --------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) int dive(volatile char *above)
{
    volatile char here[4096];
    here[0] = above[0];
    return here[0] == 1 ? 0 : dive(here) + here[4095];
}

static int overflow(void *arg)
{
    volatile char top[1] = {0};
    (void)arg;
    return dive(top);
}

static int overflow_in_the_second(void *arg)
{
    coir_runtime *first = embed(NULL), *second = embed(NULL);
    (void)arg;
    CHECK_EQ(coir_runtime_spawn(second, overflow, NULL), 0);
    coir_runtime_free(first);
    return coir_runtime_run_once(second);
}

TEST(an_overflow_is_reported_though_an_older_runtime_of_the_thread_has_ended)
{
    if (SCHED_ASAN || SCHED_TSAN)
        skip("the sanitizer has an alternate stack of its own");
    if (is_emulated())
        skip("no guards in an emulator");
    CHECK_ABORTS(overflow_in_the_second, NULL, "stack overflow in task");
}

/* -- the thread stays its own ------------------------------------------------------------------------------------- */

TEST(between_two_calls_the_thread_is_a_plain_one)
{
    coir_runtime *rt = embed(NULL);
    coir_event e = COIR_EVENT_INIT;
    coir_scope s;
    CHECK_EQ(coir_task_id(coir_self()), 0);
    coir_scope_begin(&s, COIR_MS(1));
    CHECK_EQ(coir_runtime_spawn(rt, nothing, NULL), 0);
    CHECK_EQ(run_all_ready(rt), 0); /* not bothered by the thread's scope */
    int rc = coir_event_wait(&e);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(coir_scope_end(&s, rc), -ETIMEDOUT);
    coir_runtime_free(rt);
}

TEST_MAIN("embed")
