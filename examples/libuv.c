/* SPDX-License-Identifier: MIT */
/*
 * libuv.c - tasks inside somebody else's loop: a libuv program whose callbacks and coir's tasks exchange messages.
 *
 *   uv loop --poll--> descriptor of the runtime --on_tasks()--> coir_runtime_run_once(): tasks run
 *   uv timer --coir_chan_try_send()--> [questions] --> task "oracle": asks an echo server of two more tasks, over TCP
 *                                      [answers] <----'
 *   after each round of tasks: coir_chan_try_recv() from [answers]
 *
 * All of it is one thread. The callbacks never wait: they only try. Tasks wait as they like, and let the loop go on meanwhile.
 */
#include <coir.h>
#include <coir/net.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define QUESTIONS 5
#define SIZE 32

typedef struct app {
    uv_loop_t loop;
    uv_poll_t tasks;  /* the runtime's descriptor */
    uv_timer_t clock; /* asks a question now and then */
    coir_runtime *runtime;
    coir_chan *questions, *answers; /* of char[SIZE] */
    int asked;
    int failure;
} app;

/* -- tasks -------------------------------------------------------------------------------------- */

static int echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[SIZE];
    ssize_t n;
    while ((n = coir_read(fd, buf, sizeof buf)) > 0)
        if (coir_write_all(fd, buf, (size_t)n, NULL) < 0)
            break;
    return coir_close(fd);
}

/* Accepts one connection and serves it. */
static int server(void *arg)
{
    int fd = coir_accept(*(int *)arg, NULL);
    return fd < 0 ? fd : echo((void *)(intptr_t)fd);
}

/* Until no more questions come. */
static int answer_all(app *a, int fd)
{
    char text[SIZE];
    int rc;
    while ((rc = coir_chan_recv(a->questions, text)) == 0) {
        rc = coir_write_all(fd, text, sizeof text, NULL);
        if (rc == 0)
            rc = coir_read_full(fd, text, sizeof text, NULL);
        if (rc == 0)
            rc = coir_sleep(COIR_MS(3)); /* thinks; the loop's timer goes on */
        if (rc == 0)
            rc = coir_chan_send(a->answers, text);
        if (rc < 0)
            return rc;
    }
    return rc == -EPIPE ? 0 : rc;
}

static int connect_and_answer(app *a, int listener)
{
    coir_addr here;
    char address[COIR_ADDR_TEXT];
    int rc = coir_local_addr(listener, &here);
    if (rc < 0 || (rc = coir_addr_format(&here, address, sizeof address)) < 0)
        return rc;
    int fd = coir_tcp_connect(address);
    if (fd < 0)
        return fd;
    printf("task: connected\n");
    rc = answer_all(a, fd);
    coir_close(fd);
    return rc;
}

static int oracle(void *arg)
{
    app *a = arg;
    coir_group g;
    int listener = coir_tcp_listen("127.0.0.1:0", NULL);
    if (listener < 0)
        return a->failure = listener;
    coir_group_begin(&g, 0);
    int rc = coir_spawn(&g, server, &listener);
    if (rc == 0)
        rc = connect_and_answer(a, listener);
    if (rc < 0)
        coir_group_cancel(&g, "no connection");
    int ended = coir_group_end(&g);
    coir_close(listener);
    coir_chan_close(a->answers);
    return a->failure = rc < 0 ? rc : ended;
}

/* -- callbacks ---------------------------------------------------------------------------------- */

static void on_clock(uv_timer_t *timer)
{
    app *a = timer->data;
    char text[SIZE];
    snprintf(text, sizeof text, "question %d", a->asked + 1);
    if (coir_chan_try_send(a->questions, text) != 0)
        return; /* full: the next time */
    printf("uv: asked '%s'\n", text);
    if (++a->asked < QUESTIONS)
        return;
    coir_chan_close(a->questions);
    uv_close((uv_handle_t *)timer, NULL);
}

static void take_answers(app *a)
{
    char text[SIZE];
    while (coir_chan_try_recv(a->answers, text) == 0)
        printf("uv: '%s' came back\n", text);
}

/* Tasks have something to do. When none is left, neither is the handle, and the loop ends. */
static void on_tasks(uv_poll_t *poll, int status, int events)
{
    app *a = poll->data;
    (void)status, (void)events;
    int left = coir_runtime_run_once(a->runtime);
    take_answers(a);
    if (left == 0)
        uv_close((uv_handle_t *)poll, NULL);
}

/* -- both ----------------------------------------------------------------------------------------- */

static int run(app *a)
{
    uv_loop_init(&a->loop);
    uv_poll_init(&a->loop, &a->tasks, coir_runtime_fd(a->runtime));
    uv_timer_init(&a->loop, &a->clock);
    a->tasks.data = a->clock.data = a;
    int rc = coir_runtime_spawn(a->runtime, oracle, a);
    if (rc == 0) {
        uv_poll_start(&a->tasks, UV_READABLE, on_tasks);
        uv_timer_start(&a->clock, on_clock, 1, 2);
    } else {
        uv_close((uv_handle_t *)&a->tasks, NULL);
        uv_close((uv_handle_t *)&a->clock, NULL);
    }
    uv_run(&a->loop, UV_RUN_DEFAULT);
    printf("uv: the loop has ended\n");
    if (uv_loop_close(&a->loop) != 0)
        rc = -EBUSY;
    return rc < 0 ? rc : a->failure;
}

int main(void)
{
    app a = {.runtime = coir_runtime_new(&(coir_options){.workers = 1})};
    a.questions = coir_chan_new(SIZE, 1);
    a.answers = coir_chan_new(SIZE, QUESTIONS);
    int rc = a.runtime && a.questions && a.answers ? run(&a) : -ENOMEM;
    coir_runtime_free(a.runtime);
    if (a.questions)
        coir_chan_free(a.questions);
    if (a.answers)
        coir_chan_free(a.answers);
    if (rc < 0)
        fprintf(stderr, "libuv: %s\n", coir_strerror(rc));
    return rc < 0;
}
