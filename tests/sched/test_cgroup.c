/* SPDX-License-Identifier: MIT */
/*
 * test_cgroup.c - spawning in a memory cgroup that is really full. The test makes one of 64 MiB below its own, or as near as
 * it may, and is skipped where it may not (not root, read-only, no such controller).
 */
#include "sched_test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "arch/switch.h"
#include "support/afterwards.h"

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)
#define LIMIT MIB(64)
#define CACHED MIB(40)
#define TMPFS 0x01021994

static const coir_stack_strategy strategies[] = {COIR_STACK_LAZY, COIR_STACK_GROW,
                                                 COIR_STACK_FIXED};
/* What fits, at least: in 64 MiB, the program and the margin taken off. */
static const int least[] = {9000, 9000, 200};
#define STRATEGIES 3

/* -- the cgroup ------------------------------------------------------------------------------------------------- */

static char folder[600]; /* the cgroup that was made */

static bool put(const char *name, const char *text)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

static void cgroup_remove(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000 && rmdir(folder) != 0 && errno == EBUSY; i++)
        usleep(1000); /* its last process is being buried */
}

static bool cgroup_try(const char *mount, const char *group, const char *file)
{
    char limit[32];
    snprintf(folder, sizeof folder, "%s%s/coir-test-%d", mount, group, (int)getpid());
    snprintf(limit, sizeof limit, "%zu", LIMIT);
    if (mkdir(folder, 0755) != 0)
        return false;
    if (put(file, limit))
        return true;
    cgroup_remove(NULL);
    return false;
}

/* Below the process's own cgroup; if that has no controllers to give (v2: because processes are in it), below the nearest above. */
static bool cgroup_make(void)
{
    char line[512], group[400] = "";
    bool old = false;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && !old && fgets(line, sizeof line, f)) {
        char *path = strrchr(line, ':') + 1;
        old = strstr(line, ":memory:") != NULL;
        path[strcspn(path, "\n")] = 0;
        if (old || strncmp(line, "0::", 3) == 0)
            snprintf(group, sizeof group, "%s", strcmp(path, "/") == 0 ? "" : path);
    }
    if (f)
        fclose(f);
    const char *mount = old ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    const char *file = old ? "memory.limit_in_bytes" : "memory.max";
    for (;;) {
        char *last = strrchr(group, '/');
        if (cgroup_try(mount, group, file))
            return true;
        if (!last)
            return false;
        *last = 0;
    }
}

/* Runs fn in a process that is in the cgroup, and must return 0. */
static void run_in_cgroup(coir_fn *fn, void *arg)
{
    if (SCHED_ASAN || SCHED_TSAN || is_emulated() || COIR__CONTEXT_SIZE > 1024)
        skip("what sanitizers, emulators and large contexts need besides is not counted");
    if (!cgroup_make())
        skip("no memory cgroup can be made here");
    afterwards remove = afterwards_begin(cgroup_remove, NULL, 60);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        die_with_parent(&remove);
        if (!put("memory.swap.max", "0"))
            put("memory.swappiness", "0");
        CHECK(put("cgroup.procs", "0"));
        _exit(fn(arg) != 0);
    }
    waitpid(pid, &status, 0);
    afterwards_now(&remove);
    CHECK(access(folder, F_OK) != 0);
    if (WIFSIGNALED(status))
        harness_fail(__FILE__, __LINE__, "ended by signal %d", WTERMSIG(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* -- spawning --------------------------------------------------------------------------------------------------- */

typedef struct crowd {
    coir_group group;
    coir_event open;
    atomic_int ended;
    int pause; /* spawns after which those that have been spawned may run; 0: never */
} crowd;

static int wait_there(void *arg)
{
    crowd *c = arg;
    int rc = coir_event_wait(&c->open);
    atomic_fetch_add(&c->ended, 1);
    return rc;
}

/* Until it is refused. How many. */
static int spawn_all(crowd *c)
{
    int n = 0, rc = 0;
    while (n < 1000000 && (rc = coir_spawn(&c->group, wait_there, c)) == 0)
        if (++n % 16 == 0 && c->pause)
            coir_yield();
    CHECK_EQ(rc, -ENOMEM);
    return n;
}

static void end_all(crowd *c, int n)
{
    coir_event_set(&c->open);
    CHECK_EQ(coir_group_wait(&c->group), 0);
    CHECK_EQ(atomic_load(&c->ended), n);
}

/* To the limit; it stays there, all go on and end; then as many can be spawned as before, and again to the limit. */
static int fill_and_go_on(void *arg)
{
    crowd c = {.open = COIR_EVENT_INIT, .pause = *(int *)arg & 1};
    int fit = least[*(int *)arg / 2];
    coir_group_begin(&c.group, 0);
    int n = spawn_all(&c);
    CHECK_GT(n, fit);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(coir_sleep(COIR_MS(1)),
                 0); /* now all are there: they may take a little less than was promised */
        n += spawn_all(&c);
    }
    end_all(&c, n);
    coir_event_reset(&c.open);
    for (int i = 0; i < n - n / 8; i++)
        CHECK_EQ(coir_spawn(&c.group, wait_there, &c), 0);
    int more = spawn_all(&c);
    end_all(&c, n + n - n / 8 + more);
    return coir_group_end(&c.group);
}

static int run_each_strategy(void *arg)
{
    (void)arg;
    unsetenv("COIR_STACK");
    for (int i = 0; i < 2 * STRATEGIES; i++) {
        coir_options o = {.stack_strategy = strategies[i / 2]};
        CHECK_EQ(coir_run(&o, fill_and_go_on, &i), 0);
    }
    return 0;
}

TEST_TIMEOUT(a_full_memory_cgroup_is_an_error_of_the_spawn_and_all_goes_on, 60)
{
    run_in_cgroup(run_each_strategy, NULL);
}

/* Writes and reads a file, so that most of the cgroup is page cache, as long as it is open. -1 where files are kept in memory. */
static int fill_page_cache(void)
{
    char name[] = "coir-cgroup-XXXXXX";
    static char block[65536];
    struct statfs fs;
    int fd = mkstemp(name);
    bool done = fd >= 0 && unlink(name) == 0 && fstatfs(fd, &fs) == 0 && fs.f_type != TMPFS;
    for (size_t n = 0; done && n < CACHED; n += sizeof block)
        done = write(fd, block, sizeof block) == sizeof block;
    if (done && fsync(fd) == 0)
        for (size_t n = 0; done && n < CACHED; n += sizeof block)
            done = pread(fd, block, sizeof block, (off_t)n) == sizeof block;
    if (!done && fd >= 0)
        close(fd);
    return done ? fd : -1;
}

static int run_after_cache(void *arg)
{
    int first = 0;
    coir_options o = {.stack_strategy = COIR_STACK_LAZY};
    (void)arg;
    unsetenv("COIR_STACK");
    int fd = fill_page_cache();
    if (fd < 0)
        fprintf(stderr, "no file on a disk can be written here\n");
    int rc = coir_run(&o, fill_and_go_on, &first);
    if (fd >= 0)
        close(fd);
    return rc;
}

TEST_TIMEOUT(page_cache_gives_way_to_stacks, 60) { run_in_cgroup(run_after_cache, NULL); }

static pthread_barrier_t both_are_full;

static int fill_together(void *arg)
{
    crowd c = {.open = COIR_EVENT_INIT, .pause = 1};
    coir_group_begin(&c.group, 0);
    int n = spawn_all(&c);
    pthread_barrier_wait(&both_are_full);
    end_all(&c, n);
    *(int *)arg = n;
    return coir_group_end(&c.group);
}

static void *run_one(void *arg)
{
    coir_options o = {.workers = 1, .stack_strategy = COIR_STACK_LAZY};
    CHECK_EQ(coir_run(&o, fill_together, arg), 0);
    return NULL;
}

static int run_two(void *arg)
{
    int fit[2] = {0, 0};
    pthread_t threads[2];
    (void)arg;
    unsetenv("COIR_STACK");
    unsetenv("COIR_WORKERS");
    pthread_barrier_init(&both_are_full, NULL, 2);
    for (int i = 0; i < 2; i++)
        threads[i] = thread_start(run_one, &fit[i]);
    for (int i = 0; i < 2; i++)
        thread_finish(threads[i]);
    CHECK_GT(fit[0] + fit[1], least[0]);
    return 0;
}

TEST_TIMEOUT(two_runtimes_fill_one_cgroup_together, 60) { run_in_cgroup(run_two, NULL); }

TEST_MAIN("cgroup")
