/* SPDX-License-Identifier: MIT */
/* test_cxx.cc - C++ in tasks: exceptions stay with the task that threw them, wherever it goes on. */
#include "sched_test.h"

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

namespace
{

struct job {
    int number;
    int rounds;
    atomic_int *done;
};

int return_0(void *) { return 0; }

void wait_somehow(int i)
{
    coir_case after[] = {COIR_AFTER(1)};
    switch (i % 4) {
    case 0:
        coir_yield();
        break;
    case 1:
        CHECK_EQ(coir_sleep(1), 0);
        break;
    case 2:
        CHECK_EQ(coir_select(after, 1), 0);
        break;
    default: {
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, return_0, nullptr), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        break;
    }
    }
}

std::string text_of(int task, int round)
{
    return "task " + std::to_string(task) + ", round " + std::to_string(round) +
           ", long enough for the heap";
}

/* Waits inside its catch block, throws on what it has caught, and waits again. */
int catch_wait_rethrow(void *arg)
{
    job *j = static_cast<job *>(arg);
    for (int i = 0; i < j->rounds; i++) {
        std::string expected = text_of(j->number, i);
        try {
            try {
                throw std::runtime_error(expected);
            } catch (const std::exception &e) {
                wait_somehow(i + j->number);
                CHECK_STR(e.what(), expected.c_str());
                CHECK(std::current_exception() != nullptr);
                throw;
            }
        } catch (const std::runtime_error &e) {
            wait_somehow(i);
            CHECK_STR(e.what(), expected.c_str());
        }
        CHECK(std::current_exception() == nullptr);
        CHECK_EQ(std::uncaught_exceptions(), 0);
    }
    atomic_fetch_add(j->done, 1);
    return 0;
}

/* Waits in a destructor that runs because of an exception, where one is uncaught. */
struct waits_at_end {
    int round;
    int outer; /* uncaught before */
    ~waits_at_end()
    {
        CHECK_EQ(std::uncaught_exceptions(), outer + 1);
        wait_somehow(round);
        CHECK_EQ(std::uncaught_exceptions(), outer + 1);
        try {
            throw 7;
        } catch (int n) {
            wait_somehow(round + 1);
            CHECK_EQ(n, 7);
        }
        CHECK_EQ(std::uncaught_exceptions(), outer + 1);
    }
};

int wait_while_unwinding(void *arg)
{
    job *j = static_cast<job *>(arg);
    for (int i = 0; i < j->rounds; i++) {
        try {
            waits_at_end w = {i, std::uncaught_exceptions()};
            throw std::runtime_error(text_of(j->number, i));
        } catch (const std::exception &e) {
            CHECK_STR(e.what(), text_of(j->number, i).c_str());
        }
        CHECK_EQ(std::uncaught_exceptions(), 0);
    }
    atomic_fetch_add(j->done, 1);
    return 0;
}

/* Several caught at once, one inside the other, with waits on every level. */
int nest(int depth, int task)
{
    try {
        throw std::runtime_error(text_of(task, depth));
    } catch (const std::exception &e) {
        wait_somehow(depth);
        int below = depth > 0 ? nest(depth - 1, task) : 0;
        wait_somehow(depth + 1);
        CHECK_STR(e.what(), text_of(task, depth).c_str());
        return below + 1;
    }
}

int nest_deep(void *arg)
{
    job *j = static_cast<job *>(arg);
    CHECK_EQ(nest(20, j->number), 21);
    CHECK(std::current_exception() == nullptr);
    atomic_fetch_add(j->done, 1);
    return 0;
}

/* Tasks without exceptions, between them. */
int see_none(void *arg)
{
    job *j = static_cast<job *>(arg);
    for (int i = 0; i < j->rounds; i++) {
        CHECK(std::current_exception() == nullptr);
        CHECK_EQ(std::uncaught_exceptions(), 0);
        wait_somehow(i % 2);
    }
    atomic_fetch_add(j->done, 1);
    return 0;
}

int run_all(void *arg)
{
    static coir_fn *const fns[] = {catch_wait_rethrow, wait_while_unwinding, nest_deep, see_none};
    enum { N = 16 };
    job jobs[N];
    atomic_int done(0);
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < N; i++) {
        jobs[i] = {i, *static_cast<int *>(arg), &done};
        CHECK_EQ(coir_spawn(&g, fns[i % 4], &jobs[i]), 0);
    }
    CHECK_EQ(coir_group_end(&g), 0);
    CHECK_EQ(atomic_load(&done), N);
    return 0;
}

int begin_without(void *)
{
    CHECK(std::current_exception() == nullptr);
    CHECK_EQ(std::uncaught_exceptions(), 0);
    return 0;
}

/* A new task begins without exceptions, although its spawner is inside a handler. */
int spawn_in_handler(void *)
{
    try {
        throw std::runtime_error("the opener's");
    } catch (const std::exception &e) {
        coir_group g;
        coir_group_begin(&g, 0);
        for (int i = 0; i < 8; i++)
            CHECK_EQ(coir_spawn(&g, begin_without, nullptr), 0);
        CHECK_EQ(coir_group_end(&g), 0);
        CHECK_STR(e.what(), "the opener's");
    }
    return 0;
}

/* An exception may be carried to another task. */
struct parcel {
    std::exception_ptr what;
    coir_event packed = COIR_EVENT_INIT;
};

int pack(void *arg)
{
    parcel *p = static_cast<parcel *>(arg);
    try {
        throw std::runtime_error("carried");
    } catch (...) {
        p->what = std::current_exception();
        coir_yield();
        coir_event_set(&p->packed);
        coir_yield();
    }
    return 0;
}

int unpack(void *arg)
{
    parcel *p = static_cast<parcel *>(arg);
    bool caught = false;
    CHECK_EQ(coir_event_wait(&p->packed), 0);
    try {
        std::rethrow_exception(p->what);
    } catch (const std::runtime_error &e) {
        coir_yield();
        CHECK_STR(e.what(), "carried");
        caught = true;
    }
    CHECK(caught);
    return 0;
}

int carry(void *)
{
    for (int i = 0; i < 50; i++) {
        parcel p;
        coir_group g;
        coir_group_begin(&g, 0);
        CHECK_EQ(coir_spawn(&g, unpack, &p), 0);
        CHECK_EQ(coir_spawn(&g, pack, &p), 0);
        CHECK_EQ(coir_group_end(&g), 0);
    }
    return 0;
}

int own_and_sleep(void *arg)
{
    std::shared_ptr<int> owned = *static_cast<std::shared_ptr<int> *>(arg);
    return coir_sleep(COIR_FOREVER);
}

int cancel_owners(void *)
{
    std::shared_ptr<int> shared = std::make_shared<int>(1);
    coir_group g;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(coir_spawn(&g, own_and_sleep, &shared), 0);
    while (shared.use_count() < 11)
        coir_yield();
    coir_group_cancel(&g, "over");
    CHECK_EQ(coir_group_end(&g), -ECANCELED);
    CHECK_EQ(shared.use_count(), 1);
    return 0;
}

/* coir_run inside a handler of a plain thread. */
int run_inside(void *)
{
    CHECK(std::current_exception() == nullptr);
    coir_yield();
    return 5;
}

} // namespace

TEST_TIMEOUT(exceptions_of_many_tasks_on_one_worker_do_not_mix, 60)
{
    int rounds = 100 / harness_scale();
    CHECK_EQ(run_on(1, run_all, &rounds), 0);
}

TEST_TIMEOUT(exceptions_of_many_tasks_on_four_workers_do_not_mix, 60)
{
    int rounds = 100 / harness_scale();
    CHECK_EQ(run_on(4, run_all, &rounds), 0);
}

TEST_TIMEOUT(exceptions_follow_their_task_to_other_workers, 60)
{
    int rounds = 100 / harness_scale();
    CHECK_EQ(run_migrating(4, run_all, &rounds), 0);
}

TEST(a_task_begins_without_the_exception_of_its_spawner)
{
    CHECK_EQ(run_on(1, spawn_in_handler, nullptr), 0);
    CHECK_EQ(run_on(4, spawn_in_handler, nullptr), 0);
}

TEST(an_exception_can_be_carried_to_another_task)
{
    CHECK_EQ(run_on(1, carry, nullptr), 0);
    CHECK_EQ(run_migrating(3, carry, nullptr), 0);
}

TEST(a_runtime_can_be_run_inside_a_handler)
{
    try {
        throw std::runtime_error("before the run");
    } catch (const std::exception &e) {
        CHECK_EQ(coir_run(nullptr, run_inside, nullptr), 5);
        CHECK_STR(e.what(), "before the run");
        CHECK(std::current_exception() != nullptr);
    }
    CHECK(std::current_exception() == nullptr);
}

TEST(destructors_run_when_a_cancelled_task_ends)
{
    CHECK_EQ(coir_run(nullptr, cancel_owners, nullptr), 0);
}

TEST_MAIN("sched_cxx")
