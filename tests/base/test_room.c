/* SPDX-License-Identifier: MIT */
/* test_room.c - what a memory cgroup leaves, read from imitated files. */
#include "support/harness.h"

#include "base/room.h"
#include "support/imitation.h"

#define MIB(n) ((size_t)(n) << 20)

static void begin(const char *groups)
{
    imitate("/proc/self/cgroup", groups);
    coir__room_force(imitated);
}

static void finish(void)
{
    coir__room_force("");
    imitation_end();
}

/* Whether so much fits, now. */
static bool fits(size_t bytes)
{
    coir__room_force(imitated); /* no allowance */
    coir__room_promise((int64_t)bytes);
    bool room = coir__room_for(bytes);
    coir__room_promise(-(int64_t)bytes);
    return room;
}

#define SERVICE "/sys/fs/cgroup/work/service/"

/* 64 MiB, 40 of them used, 10 of these page cache: 34 free; the margin is 4. */
static void begin_v2(void)
{
    begin("0::/work/service\n");
    imitate_number(SERVICE "memory.max", MIB(64));
    imitate(SERVICE "memory.high", "max\n");
    imitate_number(SERVICE "memory.current", MIB(40));
    imitate(SERVICE "memory.stat",
            "anon 31457280\nfile 10485760\nkernel 0\ninactive_anon 31457280\n"
            "active_anon 0\ninactive_file 8388608\nactive_file 2097152\n"
            "workingset_activate_file 99999999\n");
    imitate("/sys/fs/cgroup/work/memory.max", "max\n");
    imitate("/sys/fs/cgroup/work/memory.high", "max\n");
    imitate_number(SERVICE "memory.swap.max", 0);
    imitate_number(SERVICE "memory.swap.current", 0);
}

TEST(what_the_limit_leaves_less_a_margin_fits)
{
    begin_v2();
    CHECK(fits(MIB(30)));
    CHECK(!fits(MIB(30) + 1));
    finish();
}

TEST(page_cache_is_not_counted_as_used)
{
    begin_v2();
    imitate(SERVICE "memory.stat", "inactive_file 0\nactive_file 0\n");
    CHECK(fits(MIB(20)));
    CHECK(!fits(MIB(20) + 1));
    imitate_number(SERVICE "memory.current", MIB(64));
    CHECK(!fits(1));
    imitate(SERVICE "memory.stat", "inactive_file 41943040\nactive_file 20971520\n");
    CHECK(fits(MIB(56)));
    finish();
}

TEST(a_group_above_may_leave_less)
{
    begin_v2();
    imitate_number("/sys/fs/cgroup/work/memory.swap.max", 0);
    imitate_number("/sys/fs/cgroup/work/memory.swap.current", 0);
    imitate_number("/sys/fs/cgroup/work/memory.max", MIB(100));
    imitate_number("/sys/fs/cgroup/work/memory.current", MIB(60));
    CHECK(fits(MIB(30)));
    imitate_number("/sys/fs/cgroup/work/memory.max", MIB(80));
    CHECK(fits(MIB(15)));
    CHECK(!fits(MIB(15) + 1));
    finish();
}

TEST(where_the_kernel_slows_down_is_a_limit_too)
{
    begin_v2();
    imitate_number(SERVICE "memory.high", MIB(48));
    CHECK(fits(MIB(15)));
    CHECK(!fits(MIB(15) + 1));
    imitate(SERVICE "memory.max", "max\n");
    CHECK(!fits(MIB(15) + 1));
    finish();
}

TEST(what_others_have_been_promised_counts)
{
    begin_v2();
    coir__room_promise((int64_t)MIB(20));
    CHECK(fits(MIB(10)));
    CHECK(!fits(MIB(10) + 1));
    coir__room_promise(-(int64_t)MIB(20));
    CHECK(fits(MIB(30)));
    finish();
}

TEST(an_answer_holds_for_a_quarter_of_the_margin)
{
    begin_v2();
    CHECK(fits(MIB(1)));
    imitate_number(SERVICE "memory.current", MIB(200)); /* not seen, because nobody looks */
    CHECK(coir__room_for(MIB(1)));
    CHECK(!coir__room_for(1));
    CHECK(!coir__room_for(1)); /* a refusal is no answer for the next */
    imitate_number(SERVICE "memory.current", MIB(1));
    CHECK(coir__room_for(1));
    finish();
}

TEST(no_more_is_allowed_without_a_look_than_there_is)
{
    begin_v2();
    CHECK(fits(MIB(30) - 4096));
    coir__room_promise((int64_t)MIB(30) - 4096);
    CHECK(coir__room_for(4096));
    coir__room_promise(4096 + 4096);
    CHECK(!coir__room_for(4096));
    coir__room_promise(-(int64_t)MIB(30) - 4096);
    finish();
}

TEST(without_a_limit_everything_fits)
{
    begin_v2();
    imitate(SERVICE "memory.max", "max\n");
    CHECK(fits(MIB(1000000)));
    finish();
    begin("0::/\n"); /* the root has no such files */
    CHECK(fits(MIB(1000000)));
    finish();
    begin("2:cpu:/x\n"); /* no memory cgroup */
    CHECK(fits(MIB(1000000)));
    finish();
    begin("");
    CHECK(fits(MIB(1000000)));
    finish();
}

TEST(in_a_container_the_mount_is_the_group)
{
    begin("0::/\n");
    imitate_number("/sys/fs/cgroup/memory.max", MIB(64));
    imitate_number("/sys/fs/cgroup/memory.current", MIB(20));
    imitate_number("/sys/fs/cgroup/memory.swap.max", 0);
    imitate_number("/sys/fs/cgroup/memory.swap.current", 0);
    CHECK(fits(MIB(40)));
    CHECK(!fits(MIB(40) + 1));
    imitate("/proc/self/cgroup", "0::/outside/name\n"); /* without a namespace */
    CHECK(fits(MIB(40)));
    CHECK(!fits(MIB(40) + 1));
    finish();
}

TEST(version_1_is_read_where_it_has_the_memory)
{
    begin("9:name=systemd:/a\n4:memory:/box/one\n3:cpuset:/\n0::/elsewhere\n");
    imitate_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712u);
    imitate_number("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", 9223372036854771712u);
    imitate_number("/sys/fs/cgroup/memory/box/one/memory.limit_in_bytes", MIB(64));
    imitate_number("/sys/fs/cgroup/memory/box/one/memory.usage_in_bytes", MIB(40));
    imitate_number("/sys/fs/cgroup/memory/box/one/memory.memsw.limit_in_bytes", MIB(64));
    imitate_number("/sys/fs/cgroup/memory/box/one/memory.memsw.usage_in_bytes", MIB(40));
    imitate("/sys/fs/cgroup/memory/box/one/memory.stat",
            "cache 0\ninactive_file 4096\nactive_file 4096\ntotal_cache 0\n"
            "total_inactive_file 8388608\ntotal_active_file 2097152\n");
    CHECK(fits(MIB(30)));
    CHECK(!fits(MIB(30) + 1));
    finish();
}

TEST(a_new_runtime_looks_again)
{
    begin_v2();
    imitate(SERVICE "memory.max", "max\n");
    CHECK(fits(1)); /* allows 64 MiB */
    imitate_number(SERVICE "memory.max", MIB(40));
    CHECK(coir__room_for(MIB(20)));
    coir__room_promise((int64_t)MIB(20));
    coir__room_renew();
    CHECK(coir__room_for(MIB(1) / 4)); /* short programs never look */
    CHECK(!coir__room_for(1));
    coir__room_promise(-(int64_t)MIB(20));
    finish();
}

TEST_MAIN("room")
