/* SPDX-License-Identifier: MIT */
/* test_options.c - options, environment, hooks, and what can be injected. */
#include "sched_test.h"

#include <coir/loop.h>

extern const coir_engine *const coir__engines[]; /* of this build, best first */

static int return_0(void *arg)
{
    (void)arg;
    return 0;
}

static int count_run(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static void clear_environment(void)
{
    unsetenv("COIR_WORKERS");
    unsetenv("COIR_ENGINE");
    unsetenv("COIR_STACK");
    unsetenv("COIR_DEBUG");
}

/* -- refused ------------------------------------------------------------------------------------------------ */

static void check_refused(const coir_options *o, const char *named)
{
    listener l;
    int ran = 0;
    stderr_catch(&l);
    int rc = coir_run(o, count_run, &ran);
    stderr_release(&l);
    CHECK_EQ(rc, -EINVAL);
    CHECK_EQ(ran, 0);
    if (!strstr(l.text, named))
        harness_fail(__FILE__, __LINE__, "'%s' is not named in '%s'", named, l.text);
}

static void *refuse_allocation(void *arg, size_t size)
{
    (void)arg, (void)size;
    return NULL;
}

TEST(bad_options_are_invalid_and_named)
{
    coir_allocator no_release = {.allocate = refuse_allocation};
    coir_clock no_now = {.now = NULL};
    coir_engine no_functions = {.name = "empty"};
    clear_environment();
    check_refused(&(coir_options){.workers = 1025}, "workers");
    check_refused(&(coir_options){.stack_reserve = SIZE_MAX}, "stack_reserve");
    check_refused(&(coir_options){.stack_strategy = (coir_stack_strategy)17}, "stack_strategy");
    check_refused(&(coir_options){.engine = (coir_engine_kind)17}, "engine");
    check_refused(&(coir_options){.flags = 0x80000000u}, "flags");
    check_refused(&(coir_options){.allocator = &no_release}, "allocator");
    check_refused(&(coir_options){.clock = &no_now}, "clock");
    check_refused(&(coir_options){.engine_ops = &no_functions}, "engine_ops");
}

TEST(a_refused_allocator_is_not_used)
{
    coir_allocator no_release = {.allocate = refuse_allocation};
    clear_environment();
    check_refused(&(coir_options){.allocator = &no_release}, "allocator");
    coir_chan *c = coir_chan_new(4, 4);
    CHECK(c != NULL);
    coir_chan_free(c);
}

static void check_variable(const char *name, const char *value)
{
    clear_environment();
    setenv(name, value, 1);
    check_refused(NULL, name);
}

TEST(bad_values_of_the_environment_are_invalid_and_named)
{
    harness_allow_blocks(200); /* setenv() keeps what it was given */
    static const char *const workers[] = {
        "0", "-1", "x", "1025", "", "4x", " 4", "1.5", "99999999999999999999"};
    static const char *const engines[] = {"kqueue", "", "URING", "epoll "};
    static const char *const stacks[] = {"enormous", "", "LAZY"};
    static const char *const debug[] = {
        "migrate", "migrate=2", "migrate=", "bogus=1", "seed=x",          "seed=-1",
        "=1",      ",",         "dump=yes", "seed=1,", "seed=1,migrate=9"};
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++)
        check_variable("COIR_WORKERS", workers[i]);
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        check_variable("COIR_ENGINE", engines[i]);
    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
        check_variable("COIR_STACK", stacks[i]);
    for (size_t i = 0; i < sizeof debug / sizeof *debug; i++)
        check_variable("COIR_DEBUG", debug[i]);
}

TEST(a_bad_number_is_told_what_would_do)
{
    static const char *const numbers[] = {"0", "1025", "many"};
    char line[80];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        clear_environment();
        setenv("COIR_WORKERS", numbers[i], 1);
        snprintf(line, sizeof line, "COIR_WORKERS=%s: not a number from 1 to 1024", numbers[i]);
        check_refused(NULL, line);
    }
}

TEST(growing_stacks_without_the_handler_are_refused_by_the_name_that_asked_for_them)
{
    coir_options asks = {.flags = COIR_NO_OVERFLOW_HANDLER, .stack_strategy = COIR_STACK_GROW};
    coir_options silent = {.flags = COIR_NO_OVERFLOW_HANDLER};
    clear_environment();
    check_refused(&asks, "stack_strategy");
    setenv("COIR_STACK", "grow", 1);
    check_refused(&silent, "COIR_STACK=grow");
}

TEST(an_overlong_debug_value_is_invalid)
{
    char text[400];
    memset(text, '1', sizeof text);
    memcpy(text, "seed=", 5);
    text[sizeof text - 1] = '\0';
    check_variable("COIR_DEBUG", text);
}

TEST(a_bad_environment_overrides_good_options)
{
    clear_environment();
    setenv("COIR_WORKERS", "many", 1);
    check_refused(&(coir_options){.workers = 1}, "COIR_WORKERS=many");
}

/* -- honoured ----------------------------------------------------------------------------------------------- */

typedef struct crowd {
    atomic_int arrived;
    int expected;
    int threads_before;
} crowd;

static int arrive(void *arg)
{
    crowd *c = arg;
    atomic_fetch_add(&c->arrived, 1);
    while (atomic_load(&c->arrived) < c->expected)
        sched_yield();
    return 0;
}

/* Ends only if so many workers run at the same time. */
static int need_workers(void *arg)
{
    crowd *c = arg;
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < c->expected; i++)
        CHECK_EQ(coir_spawn(&g, arrive, c), 0);
    threads_settle(c->threads_before, c->expected - 1); /* and no more than that */
    return coir_group_end(&g);
}

TEST(workers_are_as_many_as_asked_for)
{
    int threads = harness_count_threads();
    for (int n = 1; n <= 5; n++) {
        crowd c = {.expected = n, .threads_before = threads};
        CHECK_EQ(run_on((unsigned)n, need_workers, &c), 0);
    }
}

TEST(the_environment_overrides_the_number_of_workers)
{
    coir_options o = {.workers = 1};
    crowd c = {.expected = 3, .threads_before = harness_count_threads()};
    setenv("COIR_WORKERS", "3", 1);
    CHECK_EQ(coir_run(&o, need_workers, &c), 0);
}

TEST(good_values_of_the_environment_are_accepted)
{
    clear_environment();
    setenv("COIR_WORKERS", "2", 1);
    setenv("COIR_ENGINE", "epoll", 1);
    setenv("COIR_STACK", "fixed", 1);
    setenv("COIR_DEBUG", "seed=5,migrate=1,dump=0", 1);
    CHECK_EQ(coir_run(NULL, return_0, NULL), 0);
    setenv("COIR_STACK", "grow", 1);
    setenv("COIR_DEBUG", "census=0", 1);
    CHECK_EQ(coir_run(NULL, return_0, NULL), 0);
    setenv("COIR_STACK", "lazy", 1);
    setenv("COIR_DEBUG", "", 1);
    CHECK_EQ(coir_run(NULL, return_0, NULL), 0);
}

TEST(both_engines_can_be_chosen)
{
    coir_options epoll = {.engine = COIR_ENGINE_EPOLL}, uring = {.engine = COIR_ENGINE_URING};
    listener l;
    unsetenv("COIR_ENGINE");
    CHECK_EQ(coir_run(&epoll, return_0, NULL), 0);
    stderr_catch(&l);
    int rc = coir_run(&uring, return_0, NULL);
    stderr_release(&l);
    if (rc < 0) /* "io_uring or an error", with a line that says so */
        CHECK(strstr(l.text, "uring") != NULL);
}

TEST(every_stack_strategy_runs)
{
    unsetenv("COIR_STACK");
    for (int s = COIR_STACK_AUTO; s <= COIR_STACK_FIXED; s++) {
        coir_options o = {.stack_strategy = (coir_stack_strategy)s};
        CHECK_EQ(coir_run(&o, return_0, NULL), 0);
    }
}

TEST(stacks_that_grow_need_the_handler)
{
    coir_options o = {.stack_strategy = COIR_STACK_GROW, .flags = COIR_NO_OVERFLOW_HANDLER};
    unsetenv("COIR_STACK");
    CHECK_EQ(coir_run(&o, return_0, NULL), -EINVAL);
    o.stack_strategy = COIR_STACK_AUTO;
    CHECK_EQ(coir_run(&o, return_0, NULL), 0);
    setenv("COIR_STACK", "grow", 1);
    CHECK_EQ(coir_run(&o, return_0, NULL), -EINVAL);
}

static int see_thread_name(void *arg)
{
    crowd *c = arg;
    char name[16];
    arrive(c);
    pthread_getname_np(pthread_self(), name, sizeof name);
    return strncmp(name, "web/", 4) == 0;
}

static int count_named(void *arg)
{
    crowd *c = arg;
    coir_group g;
    coir_task tasks[3];
    int result = 0, named = 0;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(coir_spawn_with(&g, NULL, see_thread_name, c, &tasks[i]), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_join(tasks[i], &result), 0);
        named += result;
    }
    CHECK_EQ(coir_group_end(&g), 0);
    return named;
}

TEST(the_name_is_copied_and_names_the_threads)
{
    char name[] = "web";
    coir_options o = {.workers = 3, .name = name};
    crowd c = {.expected = 3};
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, count_named, &c), 2); /* the first worker is the caller's thread */
}

/* -- seed --------------------------------------------------------------------------------------------------- */

/* Which of two ready cases a select takes, as bits. */
static int draw(void *arg)
{
    uint64_t *ret_bits = arg;
    coir_event a = COIR_EVENT_INIT, b = COIR_EVENT_INIT;
    coir_event_set(&a);
    coir_event_set(&b);
    *ret_bits = 0;
    for (int i = 0; i < 64; i++) {
        coir_case cases[] = {COIR_SET(&a), COIR_SET(&b)};
        *ret_bits = *ret_bits << 1 | (uint64_t)coir_select(cases, 2);
    }
    return 0;
}

static uint64_t draw_with(uint64_t seed)
{
    coir_options o = {.workers = 1, .seed = seed};
    uint64_t bits;
    unsetenv("COIR_WORKERS");
    CHECK_EQ(coir_run(&o, draw, &bits), 0);
    return bits;
}

TEST(the_seed_decides_what_is_random)
{
    clear_environment();
    CHECK(draw_with(11) == draw_with(11));
    CHECK(draw_with(11) != draw_with(12));
    CHECK(draw_with(0) != draw_with(0)); /* the system's: 64 bits are not the same twice */
}

TEST(the_environment_overrides_the_seed)
{
    clear_environment();
    uint64_t expected = draw_with(11);
    setenv("COIR_DEBUG", "seed=11", 1);
    CHECK(draw_with(77) == expected);
}

/* -- clock and engine --------------------------------------------------------------------------------------- */

static atomic_llong virtual_now;
static const coir_engine *real_engine;

static int64_t virtual_clock_now(void *arg)
{
    CHECK(arg == &virtual_now);
    return atomic_load(&virtual_now);
}

/* Instead of waiting it moves the clock. */
static int virtual_poll(coir_loop *loop, int64_t timeout)
{
    int n = real_engine->poll(loop, 0);
    if (n == 0 && timeout > 0 && timeout != COIR_FOREVER)
        atomic_fetch_add(&virtual_now, timeout);
    return n;
}

static int sleep_for_hours(void *arg)
{
    (void)arg;
    int64_t begin = coir_now();
    CHECK_EQ(begin, COIR_S(1000));
    CHECK_EQ(coir_sleep(COIR_S(3600)), 0);
    CHECK_GE(coir_now(), begin + COIR_S(3600));
    coir_scope s;
    coir_scope_begin(&s, COIR_S(86400));
    CHECK_EQ(coir_scope_end(&s, coir_sleep(COIR_FOREVER)), -ETIMEDOUT);
    CHECK_GE(coir_now(), begin + COIR_S(3600 + 86400));
    CHECK_LE(coir_now(), begin + COIR_S(3600 + 86400 + 1));
    return 0;
}

TEST(an_injected_clock_and_engine_make_hours_pass_at_once)
{
    coir_engine engine;
    coir_clock clock = {virtual_clock_now, &virtual_now};
    coir_options o = {.workers = 1, .clock = &clock, .engine_ops = &engine};
    clear_environment();
    for (int i = 0; coir__engines[i]; i++)
        real_engine = coir__engines[i]; /* the last works everywhere */
    engine = *real_engine;
    engine.poll = virtual_poll;
    atomic_store(&virtual_now, COIR_S(1000));
    CHECK_EQ(coir_run(&o, sleep_for_hours, NULL), 0);
}

static int refuse_init(coir_loop **ret_loop)
{
    (void)ret_loop;
    return -ENOTSUP;
}

TEST(an_injected_engine_that_refuses_makes_run_fail)
{
    coir_engine engine = *coir__engines[0];
    coir_options o = {.engine_ops = &engine};
    engine.init = refuse_init;
    CHECK_EQ(coir_run(&o, return_0, NULL), -ENOTSUP);
}

static atomic_int inits_left;

static int init_some(coir_loop **ret_loop)
{
    return atomic_fetch_sub(&inits_left, 1) > 0 ? real_engine->init(ret_loop) : -EMFILE;
}

/* Whichever worker fails to start, the others are stopped and freed. */
TEST(a_worker_that_cannot_start_makes_run_fail)
{
    clear_environment();
    for (int i = 0; coir__engines[i]; i++)
        real_engine = coir__engines[i];
    coir_engine engine = *real_engine;
    coir_options o = {.workers = 4, .engine_ops = &engine};
    int ran = 0;
    engine.init = init_some;
    for (int some = 0; some < 4; some++) {
        atomic_store(&inits_left, some);
        CHECK_EQ(coir_run(&o, count_run, &ran), -EMFILE);
        CHECK_EQ(ran, 0);
    }
    atomic_store(&inits_left, 4);
    CHECK_EQ(coir_run(&o, count_run, &ran), 0);
    CHECK_EQ(ran, 1);
}

/* -- hooks -------------------------------------------------------------------------------------------------- */

typedef struct heard {
    atomic_int unhandled;
    atomic_int last_result;
    atomic_int lines;
    atomic_int named; /* lines with the text that is looked for */
    const char *text;
} heard;

static void hear_unhandled(void *arg, coir_task task, int result)
{
    heard *h = arg;
    CHECK_NE(coir_task_id(task), 0);
    atomic_store(&h->last_result, result);
    atomic_fetch_add(&h->unhandled, 1);
}

static void hear_line(void *arg, const char *line)
{
    heard *h = arg;
    atomic_fetch_add(&h->lines, 1);
    CHECK(strchr(line, '\n') == NULL);
    if (strstr(line, h->text))
        atomic_fetch_add(&h->named, 1);
}

static int fail_with_7(void *arg)
{
    (void)arg;
    return -7;
}

static int detach_failures(void *arg)
{
    (void)arg;
    coir_task t;
    CHECK_EQ(coir_spawn(NULL, fail_with_7, NULL), 0);
    CHECK_EQ(coir_spawn(NULL, return_0, NULL), 0);
    CHECK_EQ(coir_spawn_with(NULL, NULL, fail_with_7, NULL, &t),
             0); /* not detached: it can be joined */
    int result = 0;
    CHECK_EQ(coir_join(t, &result), 0);
    CHECK_EQ(result, -7);
    return 0;
}

TEST(the_failure_of_a_detached_task_goes_to_the_hook)
{
    heard h = {.text = ""};
    coir_options o = {.hook_arg = &h, .on_unhandled = hear_unhandled, .log = hear_line};
    CHECK_EQ(coir_run(&o, detach_failures, NULL), 0);
    CHECK_EQ(atomic_load(&h.unhandled), 1);
    CHECK_EQ(atomic_load(&h.last_result), -7);
    CHECK_EQ(atomic_load(&h.lines), 0);
}

TEST(without_the_hook_the_failure_is_a_line_of_the_log)
{
    heard h = {.text = "test_options.c"}; /* where it was spawned */
    coir_options o = {.hook_arg = &h, .log = hear_line};
    CHECK_EQ(coir_run(&o, detach_failures, NULL), 0);
    CHECK_EQ(atomic_load(&h.named), 1);
}

TEST_MAIN("sched_options")
