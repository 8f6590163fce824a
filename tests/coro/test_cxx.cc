/* SPDX-License-Identifier: MIT */
/* test_cxx.cc - C++ in coroutines: exceptions, destructors, the header itself. */
#include "support/harness.h"

#include <coir/coro.h>
#include <exception>
#include <stdexcept>
#include <string>

namespace
{

std::string text_of(void *value) { return *static_cast<std::string *>(value); }

[[gnu::noinline]] void throw_from(int depth)
{
    if (depth == 0)
        throw std::runtime_error("from below");
    std::string on_the_way(static_cast<size_t>(depth), 'x');
    throw_from(depth - 1);
}

void *throw_and_catch(void *)
{
    static std::string got;
    try {
        throw_from(20);
    } catch (const std::runtime_error &e) {
        got = e.what();
    }
    return &got;
}

/* Yields inside its catch block, then throws on what it has caught. */
void *yield_in_catch(void *arg)
{
    static std::string result[2];
    std::string name = *static_cast<std::string *>(arg);
    size_t index = name == "a" ? 0 : 1;
    try {
        try {
            throw std::runtime_error("first " + name);
        } catch (const std::runtime_error &) {
            coir_coro_yield(nullptr, nullptr);
            throw;
        }
    } catch (const std::runtime_error &e) {
        result[index] = e.what();
        coir_coro_yield(nullptr, nullptr);
        result[index] += std::string(", again ") + e.what();
    }
    return &result[index];
}

struct counter {
    int &count;
    explicit counter(int &c) : count(c) { count++; }
    ~counter() { count--; }
    counter(const counter &) = delete;
    counter &operator=(const counter &) = delete;
};

void *hold_counter(void *arg)
{
    counter held(*static_cast<int *>(arg));
    coir_coro_yield(nullptr, nullptr);
    return nullptr;
}

int let_escape(void *)
{
    coir_coro *c = coir_coro_new([](void *) -> void * { throw std::runtime_error("escaped"); },
                                 nullptr, 0);
    try {
        coir_coro_resume(c, nullptr, nullptr);
    } catch (...) {
        return 0; // not here: a stack ends where it begins
    }
    return 0;
}

} // namespace

TEST(an_exception_is_caught_in_the_coroutine_that_threw_it)
{
    coir_coro *c = coir_coro_new(throw_and_catch, nullptr, 0);
    void *got = nullptr;
    CHECK_EQ(coir_coro_resume(c, nullptr, &got), 0);
    CHECK_STR(text_of(got).c_str(), "from below");
    CHECK(coir_coro_done(c));
    coir_coro_free(c);
}

TEST(coroutines_yield_inside_catch_and_each_keeps_its_exception)
{
    std::string a = "a", b = "b";
    coir_coro *first = coir_coro_new(yield_in_catch, &a, 0);
    coir_coro *second = coir_coro_new(yield_in_catch, &b, 0);
    void *got_first = nullptr, *got_second = nullptr;
    while (!coir_coro_done(first) || !coir_coro_done(second)) {
        coir_coro_resume(first, nullptr, &got_first);
        CHECK(!std::current_exception());
        coir_coro_resume(second, nullptr, &got_second);
        CHECK_EQ(std::uncaught_exceptions(), 0);
    }
    CHECK_STR(text_of(got_first).c_str(), "first a, again first a");
    CHECK_STR(text_of(got_second).c_str(), "first b, again first b");
    coir_coro_free(first);
    coir_coro_free(second);
}

TEST(a_resumer_inside_catch_keeps_its_exception)
{
    std::string a = "a";
    coir_coro *c = coir_coro_new(yield_in_catch, &a, 0);
    try {
        throw std::runtime_error("outer");
    } catch (const std::exception &e) {
        while (!coir_coro_done(c))
            coir_coro_resume(c, nullptr, nullptr);
        try {
            throw;
        } catch (const std::runtime_error &again) {
            CHECK_STR(again.what(), "outer");
        }
        CHECK_STR(e.what(), "outer");
    }
    CHECK(!std::current_exception());
    coir_coro_free(c);
}

TEST(a_coroutine_that_ends_runs_its_destructors)
{
    int count = 0;
    coir_coro *c = coir_coro_new(hold_counter, &count, 0);
    coir_coro_resume(c, nullptr, nullptr);
    CHECK_EQ(count, 1);
    coir_coro_resume(c, nullptr, nullptr);
    CHECK_EQ(count, 0);
    coir_coro_free(c);
}

TEST(an_exception_that_escapes_terminates) { CHECK_ABORTS(let_escape, nullptr, "escaped"); }

TEST_MAIN("coro_cxx")
