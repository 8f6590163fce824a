/* SPDX-License-Identifier: MIT */
/*
 * harness.c - running the tests of one file, each in its own process.
 *
 *   main -> run_suite() (Check, or the loop in mini.c) -> fork -> harness_child(i)
 *              harness_child: count what is open -> arm the time limit -> body -> count again
 *
 * The parent starts no thread, so that forking is safe under sanitizers. A failure ends the process by _exit(), from
 * whatever thread or stack it is noticed on. The time limit is an alarm in the child, which writes a dump; where the
 * body blocks that signal, the runner kills the process group GRACE seconds later.
 */
#include "support/harness.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/harness_private.h"

#define TESTS_MAX 512
#define SECONDS_DEFAULT 20
#define BLOCKS_DEFAULT 32
#define SETTLE_MS 3000 /* the kernel and detached threads may need a moment to go away */

void (*harness_dump)(int fd);

static harness_test tests[TESTS_MAX];
static int test_count;
static long blocks_allowed = BLOCKS_DEFAULT;
static int threads_at_start = 1; /* an emulator has one more */
static _Atomic int *skipped;     /* shared with the children */
static _Atomic int *ended;       /* children whose body and leak check went through */

/* -- limits ------------------------------------------------------------------------------------------------- */

int harness_scale(void)
{
    const char *text = getenv("TEST_TIME_SCALE");
    int scale = text ? atoi(text) : 1;
    return (scale > 0 ? scale : 1) * HARNESS_SANITIZER_SCALE;
}

int harness_test_seconds(const harness_test *t)
{
    return (t->seconds ? t->seconds : SECONDS_DEFAULT) * harness_scale();
}

bool harness_engine_is(const char *name)
{
    const char *engine = getenv("COIR_ENGINE");
    return !engine || strcmp(engine, name) == 0;
}

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

/* Not safe in a signal handler in general; it is the last act of a process that hangs. */
static void time_is_up(int signal_number)
{
    (void)signal_number;
    say("time limit reached; the tasks:\n");
    if (harness_dump)
        harness_dump(STDERR_FILENO);
    say("end of dump\n");
    _exit(1);
}

static void arm_time_limit(int seconds)
{
    struct sigaction action = {.sa_handler = time_is_up};
    struct itimerval timer = {.it_value = {.tv_sec = seconds}};
    sigset_t set;
    sigaction(SIGALRM, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void disarm_time_limit(void)
{
    struct itimerval none = {.it_value = {.tv_sec = 0}};
    setitimer(ITIMER_REAL, &none, NULL);
}

/* -- leak check --------------------------------------------------------------------------------------------- */

typedef struct counts {
    int threads;
    int fds;
    long blocks;
} counts;

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int n = 0;
    if (!dir)
        return 0;
    while ((entry = readdir(dir)))
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

int harness_count_fds(void) { return count_entries("/proc/self/fd") - 1; /* its own */ }

int harness_count_threads(void) { return count_entries("/proc/self/task"); }

static counts count_now(void)
{
    counts c = {harness_count_threads(), harness_count_fds(), harness_heap_blocks()};
    return c;
}

static void print_links(void)
{
    char path[64], target[256];
    for (int fd = 3; fd < 1024; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n <= 0)
            continue;
        target[n] = 0;
        fprintf(stderr, "  open: %d -> %s\n", fd, target);
    }
}

static void print_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[300], name[64] = "?";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *f = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!f)
            continue;
        if (fgets(name, sizeof name, f))
            fprintf(stderr, "  thread: %s %s", entry->d_name, name);
        fclose(f);
    }
    if (dir)
        closedir(dir);
}

static bool has_settled(const counts *before)
{
    return harness_count_threads() <= before->threads + HARNESS_SANITIZER_THREADS &&
           harness_count_fds() <= before->fds;
}

static void wait_until_settled(const counts *before)
{
    struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < SETTLE_MS && !has_settled(before); i++)
        nanosleep(&pause, NULL);
}

static void check_tasks(const harness_test *t)
{
    char *text;
    if (!harness_dump)
        return;
    int fd = memfd_create("dump", MFD_CLOEXEC);
    if (fd < 0)
        return;
    harness_dump(fd);
    off_t size = lseek(fd, 0, SEEK_END);
    text = size > 0 ? calloc(1, (size_t)size + 1) : NULL;
    if (text && pread(fd, text, (size_t)size, 0) != size)
        text[0] = 0;
    close(fd);
    if (text && harness_dump_has_task(text)) {
        say(text);
        harness_fail(t->file, t->line, "the dump after the test lists a task");
    }
    free(text);
}

static void check_leaks(const harness_test *t, const counts *before)
{
    wait_until_settled(before);
    counts now = count_now();
    if (now.threads > before->threads + HARNESS_SANITIZER_THREADS) {
        print_threads();
        harness_fail(t->file, t->line, "leaked %d threads", now.threads - before->threads);
    }
    if (now.fds != before->fds) {
        print_links();
        harness_fail(t->file, t->line, "leaked %d descriptors", now.fds - before->fds);
    }
    check_tasks(t);
    if (harness_lsan_has_leaks())
        harness_fail(t->file, t->line, "LeakSanitizer found leaks");
    if (now.blocks - before->blocks > blocks_allowed)
        harness_fail(t->file, t->line, "leaked heap blocks: %ld more than before, %ld allowed",
                     now.blocks - before->blocks, blocks_allowed);
}

void harness_allow_blocks(long n) { blocks_allowed = n; }

/* A line of a dump that is about a task begins with "task", indented or not. */
bool harness_dump_has_task(const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += strspn(line, "\n \t");
        if (strncmp(line, "task ", 5) == 0)
            return true;
        if (!*line)
            break;
    }
    return false;
}

/* -- one test ----------------------------------------------------------------------------------------------- */

void harness_run_plain(harness_body *body) { body(); }

void harness_child(int i)
{
    const harness_test *t = &tests[i];
    arm_time_limit(harness_test_seconds(t));
    counts before = count_now();
    threads_at_start = before.threads;
    t->runner(t->body);
    check_leaks(t, &before);
    disarm_time_limit();
    atomic_fetch_add(ended, 1);
}

void skip(const char *reason)
{
    atomic_fetch_add(skipped, 1);
    atomic_fetch_add(ended, 1);
    fprintf(stderr, "skipped: %s\n", reason);
    _exit(0);
}

void harness_check_str(const char *file, int line, const char *a_text, const char *b_text,
                       const char *a, const char *b)
{
    if (!a || !b || strcmp(a, b) != 0)
        harness_fail(file, line, "CHECK_STR(%s, %s): '%s', '%s'", a_text, b_text, a ? a : "NULL",
                     b ? b : "NULL");
}

/* -- abort in a child --------------------------------------------------------------------------------------- */

typedef struct capture {
    char text[65536];
    size_t used;
} capture;

static void run_aborting_child(int fd, coir_fn *fn, void *arg)
{
    struct rlimit none = {0, 0};
    struct sigaction standard = {.sa_handler = SIG_DFL};
    setrlimit(RLIMIT_CORE, &none);
    sigaction(SIGALRM, &standard, NULL);
    dup2(fd, STDERR_FILENO);
    close(fd);
    fn(arg);
    _exit(0);
}

/* Reads what the child writes until it ends or the time is over. */
static bool read_child(int fd, int seconds, capture *c)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, seconds * 1000) == 1) {
        char drop[4096];
        bool full = c->used == sizeof c->text - 1;
        char *to = full ? drop : c->text + c->used;
        ssize_t n = read(fd, to, full ? sizeof drop : sizeof c->text - 1 - c->used);
        if (n <= 0)
            return true;
        if (!full)
            c->used += (size_t)n;
    }
    return false;
}

void harness_check_aborts(const char *file, int line, coir_fn *fn, void *arg, const char *text)
{
    static capture c;
    int fds[2], status = 0;
    if (harness_count_threads() > threads_at_start + HARNESS_SANITIZER_THREADS)
        harness_fail(file, line, "CHECK_ABORTS beside other threads");
    c = (capture){.used = 0};
    if (pipe(fds) < 0)
        harness_fail(file, line, "pipe failed");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        run_aborting_child(fds[1], fn, arg);
    }
    close(fds[1]);
    bool in_time = pid > 0 && read_child(fds[0], SECONDS_DEFAULT * harness_scale() / 2, &c);
    if (pid > 0 && !in_time)
        kill(pid, SIGKILL);
    close(fds[0]);
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (in_time && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(c.text, text))
        return;
    say(c.text);
    harness_fail(file, line, "expected abort() and '%s' on stderr; %s, wait status %#x", text,
                 in_time ? "ended" : "did not end", (unsigned)status);
}

/* -- the suite ---------------------------------------------------------------------------------------------- */

void harness_register(const char *name, const char *file, int line, int seconds,
                      void (*runner)(harness_body *), harness_body *body)
{
    harness_test t = {name, file, line, seconds, runner, body};
    if (test_count == TESTS_MAX) {
        say("too many tests in one file: raise TESTS_MAX\n");
        abort();
    }
    tests[test_count++] = t;
}

static int by_line(const void *a, const void *b)
{
    return ((const harness_test *)a)->line - ((const harness_test *)b)->line;
}

static int keep_matching(const char *part)
{
    int kept = 0;
    for (int i = 0; i < test_count; i++)
        if (strstr(tests[i].name, part))
            tests[kept++] = tests[i];
    return kept;
}

static int list_tests(void)
{
    for (int i = 0; i < test_count; i++)
        printf("%s\n", tests[i].name);
    return 0;
}

int harness_main(const char *suite, int argc, char **argv)
{
    qsort(tests, (size_t)test_count, sizeof tests[0], by_line);
    if (argc > 1 && strcmp(argv[1], "--list") == 0)
        return list_tests();
    if (argc > 1)
        test_count = keep_matching(argv[1]);
    if (test_count == 0) {
        fprintf(stderr, "%s: no test\n", suite);
        return 1;
    }
    skipped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (skipped == MAP_FAILED)
        return 1;
    ended = skipped + 1;
    setvbuf(stdout, NULL, _IOLBF, 0);

    int failed = harness_run_suite(suite, tests, test_count);

    if (*skipped)
        printf("%s: %d of %d skipped\n", suite, *skipped, test_count);
    if (!failed && *ended != test_count) {
        printf("%s: %d of %d left early with status 0\n", suite, test_count - *ended, test_count);
        return 1;
    }
    if (failed)
        return 1;
    return *skipped == test_count ? 77 : 0;
}
