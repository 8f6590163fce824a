/* SPDX-License-Identifier: MIT */
/*
 * test_overcommit_long.c - vm.overcommit_memory = 2, really. As root, for a second or two: it is a setting of the whole system.
 *
 *   Committed_AS now | what the test may take, 512 MiB | 2 GiB for others: vm.admin_reserve_kbytes | limit
 *
 * The test's process gives up its privileges, so the last part is not for it; root and what it runs have that. Another
 * process puts everything back, if need be after 10 s.
 */
#include "support/harness.h"

#include <fcntl.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/compat.h"
#include "support/afterwards.h"

#define KIB_FOR_TEST 524288ul
#define KIB_FOR_OTHERS 2097152ul
#define KIB_OF_STACK 64 /* charged at first */
#define CROWD 3000
#define NOBODY 65534

/* -- the setting -------------------------------------------------------------------------------------------- */

enum { MODE, RATIO, KBYTES, RESERVE, SETTINGS };
static const char *const names[] = {"overcommit_memory", "overcommit_ratio", "overcommit_kbytes",
                                    "admin_reserve_kbytes"};
static char saved[SETTINGS][32];

static int setting_open(int which, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/sys/vm/%s", names[which]);
    return open(path, flags | O_CLOEXEC);
}

static bool setting_get(int which, char text[32])
{
    int fd = setting_open(which, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, text, 31) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    return true;
}

static bool setting_put(int which, const char *text)
{
    int fd = setting_open(which, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

/* Who writes the ratio sets the KiB to 0, and the other way round. */
static void put_back(void *arg)
{
    (void)arg;
    setting_put(MODE, saved[MODE]);
    if (atol(saved[KBYTES]) == 0)
        setting_put(RATIO, saved[RATIO]);
    else
        setting_put(KBYTES, saved[KBYTES]);
    setting_put(RESERVE, saved[RESERVE]);
}

static unsigned long meminfo(const char *name)
{
    char line[128];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtoul(line + strlen(name), NULL, 10);
    fclose(f);
    return kib;
}

static bool forbid_overcommit(void)
{
    char limit[32], reserve[32];
    unsigned long kib = meminfo("Committed_AS:") + KIB_FOR_TEST + KIB_FOR_OTHERS,
                  swap = meminfo("SwapTotal:");
    if (swap >= kib || meminfo("MemAvailable:") < KIB_FOR_TEST)
        return false;
    snprintf(limit, sizeof limit, "%lu", kib - swap);
    snprintf(reserve, sizeof reserve, "%lu", KIB_FOR_OTHERS);
    return setting_put(RESERVE, reserve) && setting_put(KBYTES, limit) && setting_put(MODE, "2");
}

/* -- in a process without privileges -------------------------------------------------------------------------- */

static coir_event open_ = COIR_EVENT_INIT;
static atomic_int ended;

static int wait_there(void *arg)
{
    int rc = coir_event_wait(&open_);
    (void)arg;
    atomic_fetch_add(&ended, 1);
    return rc;
}

static void open_for(coir_group *g, int n)
{
    coir_event_set(&open_);
    CHECK_EQ(coir_group_wait(g), 0);
    CHECK_EQ(atomic_load(&ended), n);
    coir_event_reset(&open_);
    atomic_store(&ended, 0);
}

/* Thousands at the same time; then as many as there is memory for, which go on and end; then thousands again. */
static int fill_and_go_on(void *arg)
{
    coir_group g;
    int n = 0, rc = 0;
    (void)arg;
    coir_group_begin(&g, 0);
    for (int round = 0; round < 3; round++) {
        if (round == 1) {
            while (n < 30000 && (rc = coir_spawn(&g, wait_there, NULL)) == 0)
                if (++n % 100 == 0)
                    coir_yield();
            CHECK_EQ(rc, -ENOMEM);
            CHECK_GE(n, CROWD);
            CHECK_LE(n, KIB_FOR_TEST / KIB_OF_STACK + 1000);
            CHECK_EQ(coir_sleep(COIR_MS(1)), 0);
            open_for(&g, n);
        } else {
            for (int i = 0; i < CROWD; i++)
                CHECK_EQ(coir_spawn(&g, wait_there, NULL), 0);
            coir_yield();
            open_for(&g, CROWD);
        }
    }
    fprintf(stderr, "%d stacks fit\n", n);
    return coir_group_end(&g);
}

static void run_as_nobody(const afterwards *a, int text)
{
    coir_options o = {.workers = 2};
    CHECK_EQ(setresgid(NOBODY, NOBODY, NOBODY), 0);
    CHECK_EQ(setresuid(NOBODY, NOBODY, NOBODY), 0);
    die_with_parent(a);
    dup2(text, STDERR_FILENO);
    unsetenv("COIR_STACK");
    for (int i = 0; i < 2; i++)
        CHECK_EQ(coir_run(&o, fill_and_go_on, NULL), 0);
    _exit(0);
}

static void check_text(int file)
{
    static const char line[] = "coir: vm.overcommit_memory is 2: stacks are extended by a signal "
                               "handler (COIR_STACK=grow)";
    static char text[8192];
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    fputs(text, stderr);
    char *found = strstr(text, line);
    CHECK(found != NULL);
    CHECK(strstr(found + 1, "coir:") == NULL); /* once, for two runs, and nothing else */
}

TEST_TIMEOUT(strict_overcommit_is_an_error_of_the_spawn_and_all_goes_on, 30)
{
    char now[32];
    int status = -1;
    if (COIR__ASAN || COIR__TSAN)
        skip("sanitizers have mappings of their own");
    for (int i = 0; i < SETTINGS; i++)
        if (!setting_get(i, saved[i]))
            skip("settings of the system can't be read here");
    if (!setting_put(MODE, saved[MODE]))
        skip("vm.overcommit_memory can't be set here");
    int text = memfd_create("stderr", MFD_CLOEXEC);
    afterwards back = afterwards_begin(put_back, NULL, 10);
    bool set = forbid_overcommit();
    pid_t pid = set ? fork() : 0;
    if (pid == 0 && set)
        run_as_nobody(&back, text);
    if (pid > 0)
        waitpid(pid, &status, 0);
    afterwards_now(&back);
    for (int i = 0; i < SETTINGS; i++) {
        CHECK(setting_get(i, now));
        CHECK_STR(now, saved[i]);
    }
    if (!set)
        skip("there is not the memory for it");
    check_text(text);
    close(text);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST_MAIN("overcommit")
