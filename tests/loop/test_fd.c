/* SPDX-License-Identifier: MIT */
/* Slots of descriptors: who may enter, and what is learnt about a file. */
#include "support/harness.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/fd.h"

enum { NUMBER = 700000 };

static coir__fd *fresh(int kind)
{
    coir__fd *slot = coir__fd_slot(NUMBER);
    CHECK(slot);
    coir__fd_reset_locked(slot, NUMBER, kind);
    return slot;
}

TEST(every_number_has_a_slot_of_its_own)
{
    const int numbers[] = {
        0, 1, (int)COIR__FD_CHUNK - 1, (int)COIR__FD_CHUNK, NUMBER, INT32_MAX - 1, INT32_MAX};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (unsigned j = 0; j < i; j++) {
            CHECK(coir__fd_slot(numbers[i]));
            CHECK_NE(coir__fd_slot(numbers[i]), coir__fd_slot(numbers[j]));
        }
    CHECK_EQ(coir__fd_slot(NUMBER), coir__fd_slot(NUMBER));
    coir__fd zero;
    memset(&zero, 0, sizeof zero);
    CHECK_EQ(memcmp(coir__fd_slot(NUMBER + 1), &zero, sizeof zero), 0);
}

TEST(operations_enter_at_the_end_and_leave_from_anywhere)
{
    coir__fd *slot = fresh(COIR__FD_OTHER);
    coir_op a = {.kind = COIR_OP_POLL}, b = a, c = a;
    CHECK(coir__fd_enter_locked(slot, &a, 0));
    CHECK(coir__fd_enter_locked(slot, &b, 0));
    CHECK(coir__fd_enter_locked(slot, &c, 0));
    CHECK_EQ(slot->first, &a);
    CHECK(!coir__fd_leave_locked(slot, &b, 0));
    CHECK_EQ(a.next, &c);
    CHECK_EQ(c.prev, &a);
    CHECK(!coir__fd_leave_locked(slot, &a, 0));
    CHECK_EQ(slot->first, &c);
    CHECK_EQ(slot->last, &c);
    CHECK(!coir__fd_leave_locked(slot, &c, 0));
    CHECK_EQ(slot->first, NULL);
    CHECK_EQ(slot->last, NULL);
}

TEST(nobody_enters_a_closing_slot_and_the_last_to_leave_says_so)
{
    coir__fd *slot = fresh(COIR__FD_OTHER);
    coir_op a = {.kind = COIR_OP_POLL}, b = a, late = a;
    CHECK(coir__fd_enter_locked(slot, &a, 0));
    CHECK(coir__fd_enter_locked(slot, &b, 0));
    slot->closing = true;
    CHECK(!coir__fd_enter_locked(slot, &late, 0));
    CHECK(!coir__fd_leave_locked(slot, &a, 0));
    CHECK(coir__fd_leave_locked(slot, &b, 0));
    coir__fd_reset_locked(slot, NUMBER, COIR__FD_UNKNOWN);
    CHECK(coir__fd_enter_locked(slot, &late, 0));
    CHECK(!coir__fd_leave_locked(slot, &late, 0));
}

TEST(the_rest_of_a_call_enters_its_own_generation_only)
{
    coir__fd *slot = fresh(COIR__FD_OTHER);
    coir_op a = {.kind = COIR_OP_POLL};
    uint64_t generation = (uint64_t)slot->generation + 1;
    CHECK(coir__fd_enter_locked(slot, &a, generation));
    CHECK(!coir__fd_leave_locked(slot, &a, 0));
    coir__fd_reset_locked(slot, NUMBER, COIR__FD_OTHER);
    CHECK(!coir__fd_enter_locked(slot, &a, generation));
    CHECK(coir__fd_enter_locked(slot, &a, 0));
    CHECK(!coir__fd_leave_locked(slot, &a, 0));
}

/* A read of `result` bytes out of 10; `events` are seen meanwhile. Whether the slot is dry afterwards. */
static bool is_dry_after(coir__fd *slot, int64_t result, unsigned events)
{
    coir_op a = {.kind = COIR_OP_READ, .len = 10};
    CHECK(coir__fd_enter_locked(slot, &a, 0));
    slot->tick += events;
    coir__fd_leave_locked(slot, &a, result);
    return (slot->dry & COIR__FD_NO_INPUT) != 0;
}

TEST(a_short_read_on_tcp_means_that_it_is_drained)
{
    coir_loop loop = {NULL};
    coir__fd *slot = fresh(COIR__FD_TCP | COIR__FD_OWN);
    slot->loop = &loop;
    CHECK(is_dry_after(slot, 9, 0));
    CHECK(!is_dry_after(slot, 10, 0));
    CHECK(!is_dry_after(slot, 9, 1)); // an event in between may be for what came after
    CHECK(!is_dry_after(slot, 0, 0));
    CHECK(!is_dry_after(slot, -EAGAIN, 0));
    slot->dry = COIR__FD_ENDING;
    CHECK(!is_dry_after(slot, 9, 0)); // the end of the stream makes no further event
}

TEST(a_short_read_on_other_registered_files_means_nothing)
{
    coir_loop loop = {NULL};
    const int kinds[] = {COIR__FD_SOCKET, COIR__FD_OTHER};
    for (int i = 0; i < 2; i++) {
        coir__fd *slot = fresh(kinds[i] | COIR__FD_OWN);
        CHECK(is_dry_after(slot, 9, 0)); // not registered: the first wait looks
        slot->dry = 0;
        slot->loop = &loop;
        CHECK(!is_dry_after(slot, 9, 0));
    }
}

TEST(the_kind_of_others_files_is_looked_at_each_time)
{
    int fd = open("/dev/null", O_RDONLY), pair[2];
    CHECK_GE(fd, 0);
    coir__fd *slot = coir__fd_slot(fd);
    CHECK_EQ(coir__fd_kind(slot, fd), COIR__FD_OTHER);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(coir__fd_kind(slot, fd), -EBADF);
    CHECK_EQ(open("/proc/self/exe", O_RDONLY), fd);
    CHECK_EQ(coir__fd_kind(slot, fd), COIR__FD_FILE);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(pair[0], fd);
    CHECK_EQ(coir__fd_kind(slot, fd), COIR__FD_SOCKET);
    CHECK_EQ(close(pair[0]), 0);
    CHECK_EQ(close(pair[1]), 0);
}

TEST_MAIN("fd")
