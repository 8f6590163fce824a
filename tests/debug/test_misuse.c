/* SPDX-License-Identifier: MIT */
/* test_misuse.c - what can't be reported by a return value names the task and aborts. */
#include "debug/dump_text.h"

#include <coir/net.h>
#include <pthread.h>

/* A child of this name does it, so that the report can't name the wrong task by luck. */
static int as_culprit(void *arg)
{
    coir_fn *const *fn = arg;
    coir_group g;
    coir_group_begin(&g, 0);
    SPAWN_NAMED(&g, "culprit", *fn, NULL);
    return coir_group_end(&g);
}

static void check_misuse(coir_fn *fn, const char *text)
{
    CHECK_TASK_ABORTS(as_culprit, &fn, text);
    CHECK_TASK_ABORTS(as_culprit, &fn, "coir: misuse in task 'culprit' (id ");
    CHECK_TASK_ABORTS(as_culprit, &fn, ", spawned at " __FILE__ ":");
}

/* -- scopes and groups ---------------------------------------------------------------------------------------- */

static int end_outer_scope(void *arg)
{
    coir_scope outer, inner;
    (void)arg;
    coir_scope_begin(&outer, COIR_FOREVER);
    coir_scope_begin(&inner, COIR_FOREVER);
    return coir_scope_end(&outer, 0);
}

static int end_outer_shield(void *arg)
{
    coir_scope outer, inner;
    (void)arg;
    coir_shield_begin(&outer, COIR_FOREVER);
    coir_scope_begin(&inner, COIR_FOREVER);
    coir_shield_end(&outer);
    return 0;
}

static int end_outer_group(void *arg)
{
    coir_group outer;
    coir_scope inner;
    (void)arg;
    coir_group_begin(&outer, 0);
    coir_scope_begin(&inner, COIR_FOREVER);
    return coir_group_end(&outer);
}

static int wait_for_outer_group(void *arg)
{
    coir_group outer, inner;
    (void)arg;
    coir_group_begin(&outer, 0);
    coir_group_begin(&inner, 0);
    return coir_group_wait(&outer);
}

static int end_scope_twice(void *arg)
{
    coir_scope s;
    (void)arg;
    coir_scope_begin(&s, COIR_FOREVER);
    coir_scope_end(&s, 0);
    return coir_scope_end(&s, 0);
}

TEST(ending_a_scope_that_is_not_the_innermost_is_misuse)
{
    check_misuse(end_outer_scope, "): coir_scope_end: not the innermost scope");
    check_misuse(end_outer_shield, "): coir_shield_end: not the innermost scope");
    check_misuse(end_outer_group, "): coir_group_end: not the innermost scope");
    check_misuse(wait_for_outer_group, "): coir_group_wait: not the innermost scope");
    check_misuse(end_scope_twice, "): coir_scope_end: not the innermost scope");
}

static coir_group shared_group;

static int wait_for_group_of_another(void *arg)
{
    (void)arg;
    return coir_group_wait(&shared_group);
}

static int open_shared_group(void *arg)
{
    coir_fn *fn = wait_for_group_of_another;
    (void)arg;
    coir_group_begin(&shared_group, 0);
    return as_culprit(&fn);
}

TEST(waiting_for_a_group_of_another_task_is_misuse)
{
    CHECK_TASK_ABORTS(open_shared_group, NULL, "): coir_group_wait: not the innermost scope");
    CHECK_TASK_ABORTS(open_shared_group, NULL, "coir: misuse in task 'culprit' (id ");
}

static int end_with_scope_open(void *arg)
{
    static coir_scope s;
    (void)arg;
    coir_scope_begin(&s, COIR_FOREVER);
    return 0;
}

static int end_with_group_open(void *arg)
{
    static coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    return 0;
}

TEST(ending_with_a_scope_or_group_open_is_misuse)
{
    check_misuse(end_with_scope_open, "): the task ended with a scope open");
    check_misuse(end_with_group_open, "): the task ended with a group open");
}

/* -- objects -------------------------------------------------------------------------------------------------- */

static int receive_one(void *arg)
{
    int n;
    return coir_chan_recv(arg, &n);
}

static int send_one(void *arg)
{
    int n = 0;
    return coir_chan_send(arg, &n);
}

static int free_with(coir_fn *waiter, const char *state)
{
    coir_chan *c = coir_chan_new(sizeof(int), 0);
    coir_group g;
    coir_group_begin(&g, 0);
    SPAWN_NAMED(&g, "waiter", waiter, c);
    await_state("waiter", state);
    coir_chan_free(c);
    return coir_group_end(&g);
}

static int free_with_receiver(void *arg)
{
    (void)arg;
    return free_with(receive_one, " for a receive on channel ");
}

static int free_with_sender(void *arg)
{
    (void)arg;
    return free_with(send_one, " for a send on channel ");
}

TEST(freeing_a_channel_somebody_waits_on_is_misuse)
{
    check_misuse(free_with_receiver, "): coir_chan_free: somebody waits on channel 0x");
    check_misuse(free_with_sender, "): coir_chan_free: somebody waits on channel 0x");
}

static int unlock_free_mutex(void *arg)
{
    coir_mutex m = COIR_MUTEX_INIT;
    (void)arg;
    coir_mutex_unlock(&m);
    return 0;
}

static coir_mutex shared_mutex;

static int unlock_shared_mutex(void *arg)
{
    (void)arg;
    coir_mutex_unlock(&shared_mutex);
    return 0;
}

static int hold_mutex(void *arg)
{
    coir_fn *fn = unlock_shared_mutex;
    (void)arg;
    CHECK_EQ(coir_mutex_lock(&shared_mutex), 0);
    return as_culprit(&fn);
}

TEST(unlocking_what_is_not_held_is_misuse)
{
    check_misuse(unlock_free_mutex, "): coir_mutex_unlock: the caller does not hold mutex 0x");
    CHECK_TASK_ABORTS(hold_mutex, NULL, "): coir_mutex_unlock: the caller does not hold mutex 0x");
    CHECK_TASK_ABORTS(hold_mutex, NULL, "coir: misuse in task 'culprit' (id ");
}

/* -- threads -------------------------------------------------------------------------------------------------- */

static int begin_group(void *arg)
{
    coir_group g;
    (void)arg;
    coir_group_begin(&g, 0);
    return 0;
}

static int spawn_detached(void *arg) { return coir_spawn(NULL, begin_group, arg); }

static int read_in_thread(void *arg)
{
    char c;
    (void)arg;
    return (int)coir_read(0, &c, 1);
}

static int write_in_thread(void *arg)
{
    (void)arg;
    return (int)coir_write(1, "", 1);
}

static int poll_in_thread(void *arg)
{
    (void)arg;
    return coir_poll(0, 1);
}

static int accept_in_thread(void *arg)
{
    (void)arg;
    return coir_accept(0, NULL);
}

static int connect_in_thread(void *arg)
{
    coir_addr addr;
    (void)arg;
    CHECK_EQ(coir_addr_parse(&addr, "127.0.0.1:1"), 0);
    return coir_connect(0, &addr);
}

static int resolve_in_thread(void *arg)
{
    coir_addr addr;
    (void)arg;
    return coir_resolve("localhost", "80", &addr, 1);
}

static int select_descriptor_in_thread(void *arg)
{
    coir_case c = COIR_READABLE(0);
    (void)arg;
    return coir_select(&c, 1);
}

TEST(functions_for_tasks_say_so_in_a_thread)
{
    CHECK_ABORTS(begin_group, NULL, "coir: misuse in a plain thread: coir_group_begin");
    CHECK_ABORTS(spawn_detached, NULL, "coir: misuse in a plain thread: coir_spawn");
    CHECK_ABORTS(read_in_thread, NULL, "coir: misuse in a plain thread: coir_read");
    CHECK_ABORTS(write_in_thread, NULL, "coir: misuse in a plain thread: coir_write");
    CHECK_ABORTS(poll_in_thread, NULL, "coir: misuse in a plain thread: coir_poll");
    CHECK_ABORTS(accept_in_thread, NULL, "coir: misuse in a plain thread: coir_accept");
    CHECK_ABORTS(connect_in_thread, NULL, "coir: misuse in a plain thread: coir_connect");
    CHECK_ABORTS(resolve_in_thread, NULL, "coir: misuse in a plain thread: coir_resolve");
    CHECK_ABORTS(select_descriptor_in_thread, NULL, "coir: misuse in a plain thread: ");
}

static int unlock_in_thread(void *arg)
{
    (void)arg;
    coir_mutex_unlock(&shared_mutex);
    return 0;
}

TEST(a_thread_misuses_objects_as_a_thread)
{
    CHECK_ABORTS(unlock_in_thread, NULL, "coir: misuse in a plain thread: coir_mutex_unlock: ");
    CHECK_ABORTS(end_outer_scope, NULL, "coir: misuse in a plain thread: coir_scope_end: ");
}

static void hook(void *arg) { read_in_thread(arg); }

static int wait_forever(void *arg)
{
    (void)arg;
    return coir_sleep(COIR_FOREVER);
}

static int misuse_in_hook(void *arg)
{
    coir_options o = {.on_deadlock = hook, .name = "hooked"};
    return coir_run(&o, wait_forever, arg);
}

TEST(a_hook_is_no_task)
{
    CHECK_ABORTS(misuse_in_hook, NULL, "coir: misuse in a hook of runtime 'hooked': coir_read");
}

/* -- with a dump ---------------------------------------------------------------------------------------------- */

static int misuse_with_dump(void *arg)
{
    coir_fn *fn = end_outer_scope;
    (void)arg;
    setenv("COIR_DEBUG", "dump=1", 1);
    return coir_run(NULL, as_culprit, &fn);
}

TEST(a_dump_follows_if_asked_for)
{
    CHECK_ABORTS(misuse_with_dump, NULL, "coir: misuse in task 'culprit' (id ");
    CHECK_ABORTS(misuse_with_dump, NULL, "'main' spawned at coir_run:0: ");
    CHECK_ABORTS(misuse_with_dump, NULL, "'culprit' spawned at " __FILE__ ":");
}

TEST_MAIN("misuse")
