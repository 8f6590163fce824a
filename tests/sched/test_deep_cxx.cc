/* SPDX-License-Identifier: MIT */
/* test_deep_cxx.cc - exceptions that come up from far below, on stacks of every strategy. */
#include "sched_test.h"

#include <stdexcept>
#include <string>

namespace
{

constexpr size_t KIB = 1024;

struct counted {
    explicit counted(int *n) : n_(n) { ++*n_; }
    ~counted() { --*n_; }
    counted(const counted &) = delete;
    counted &operator=(const counted &) = delete;
    int *n_;
};

__attribute__((noinline)) int throw_from(const char *top, size_t depth, int *alive)
{
    counted c(alive);
    volatile char frame[2048];
    frame[0] = 1;
    if (static_cast<size_t>(top - reinterpret_cast<const char *>(&c)) >= depth) {
        coir_yield();
        throw std::runtime_error("from " + std::to_string(depth));
    }
    return throw_from(top, depth, alive) + frame[0];
}

int catch_from_below(void *arg)
{
    size_t depth = *static_cast<size_t *>(arg);
    int alive = 0;
    for (int round = 0; round < 3; round++) {
        try {
            throw_from(reinterpret_cast<const char *>(&alive), depth, &alive);
            CHECK(false);
        } catch (const std::runtime_error &e) {
            coir_yield();
            CHECK(e.what() == "from " + std::to_string(depth));
        }
        CHECK_EQ(alive, 0);
    }
    return 0;
}

int run_tasks(void *)
{
    size_t depths[] = {50 * KIB, 500 * KIB, 4000 * KIB};
    coir_task_options o = {};
    coir_group g;
    o.stack_reserve = 8192 * KIB;
    coir_group_begin(&g, 0);
    for (int i = 0; i < 12; i++)
        CHECK_EQ(coir_spawn_with(&g, &o, catch_from_below, &depths[i % 3], nullptr), 0);
    return coir_group_end(&g);
}

TEST(exceptions_come_up_from_far_below)
{
    coir_options o = {};
    unsetenv("COIR_STACK");
    for (int s = COIR_STACK_LAZY; s <= COIR_STACK_FIXED; s++) {
        o.stack_strategy = static_cast<coir_stack_strategy>(s);
        CHECK_EQ(coir_run(&o, run_tasks, nullptr), 0);
    }
}

} // namespace

TEST_MAIN("deep_cxx")
