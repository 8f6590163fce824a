/* SPDX-License-Identifier: MIT */
/* test_switch.c - the context switch, without anything above it. */
#include "support/harness.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/switch.h"

#define STACK_SIZE ((size_t)64 << 10)

/* -- two sides ---------------------------------------------------------------------------------------------- */

typedef struct side {
    coir__context ctx;
    char *memory; /* NULL: the thread's own */
    void *fiber;
    void *arg;
} side;

static side home; /* the test's */
static _Atomic uint32_t nowhere;

static void side_begin(side *s, void (*entry)(void *), void *arg)
{
    s->memory = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(s->memory != MAP_FAILED);
    s->fiber = coir__fiber_new();
    s->arg = arg;
    coir__context_stack(&s->ctx, s->memory, STACK_SIZE, s->fiber);
    coir__context_make(&s->ctx, s->memory + STACK_SIZE, entry, s);
}

static void side_end(side *s)
{
    coir__fiber_free(s->fiber);
    munmap(s->memory, STACK_SIZE);
}

static int to(side *from, side *next, int result)
{
    next->ctx.result = result;
    return coir__switch(&from->ctx, &next->ctx, &nowhere, 0);
}

static void leave(side *next, int result)
{
    next->ctx.result = result;
    coir__switch_exit(&next->ctx, &nowhere, 0);
}

static void begin_here(void) { coir__context_thread(&home.ctx); }

/* -- round trips -------------------------------------------------------------------------------------------- */

static void add_up(void *arg)
{
    side *self = arg;
    coir__switch_entered();
    int sum = 0;
    for (;;)
        sum += to(self, &home, sum);
}

TEST(switch_returns_the_result_set_by_who_resumes)
{
    side other = {0};
    begin_here();
    side_begin(&other, add_up, NULL);
    CHECK_EQ(to(&home, &other, 0), 0);
    CHECK_EQ(to(&home, &other, 5), 5);
    CHECK_EQ(to(&home, &other, -7), -2);
    CHECK_EQ(to(&home, &other, INT32_MAX), INT32_MAX - 2);
    CHECK_EQ(to(&home, &other, -INT32_MAX), -2);
    side_end(&other);
}

TEST(many_round_trips_keep_the_count)
{
    side other = {0};
    int rounds = 300000 / harness_scale();
    begin_here();
    side_begin(&other, add_up, NULL);
    to(&home, &other, 0);
    for (int i = 1; i <= rounds; i++)
        CHECK_EQ(to(&home, &other, 1), i);
    side_end(&other);
}

#define RING 100
static side ring[RING];
static int ring_visits;

static void pass_on(void *arg)
{
    side *self = arg;
    size_t next = (size_t)(self - ring) + 1;
    coir__switch_entered();
    for (;;) {
        ring_visits++;
        to(self, next < RING ? &ring[next] : &home, 0);
    }
}

TEST(contexts_in_a_ring_each_get_their_turn)
{
    begin_here();
    for (int i = 0; i < RING; i++)
        side_begin(&ring[i], pass_on, NULL);
    for (int round = 0; round < 20; round++)
        to(&home, &ring[0], 0);
    CHECK_EQ(ring_visits, 20 * RING);
    for (int i = 0; i < RING; i++)
        side_end(&ring[i]);
}

/* -- beginning and end -------------------------------------------------------------------------------------- */

static void *seen_arg;
static uintptr_t seen_frame;

static COIR__NOINLINE void look_at_frame(void)
{
    seen_frame = (uintptr_t)__builtin_frame_address(0);
}

static void look_around(void *arg)
{
    side *self = arg;
    coir__switch_entered();
    seen_arg = self->arg;
    look_at_frame();
    double d = 0.5; /* needs an aligned stack in variadic calls */
    char text[32];
    snprintf(text, sizeof text, "%.1f", d);
    CHECK_STR(text, "0.5");
    leave(&home, 42);
}

TEST(new_context_starts_with_its_argument_on_an_aligned_stack)
{
    side other = {0};
    begin_here();
    side_begin(&other, look_around, &other);
    CHECK_EQ(to(&home, &other, 0), 42);
    CHECK_EQ(seen_arg, &other);
    CHECK_EQ(seen_frame % 16, 0);
    CHECK(seen_frame > (uintptr_t)other.memory);
    CHECK(seen_frame < (uintptr_t)other.memory + STACK_SIZE);
    side_end(&other);
}

TEST(making_a_context_writes_only_the_last_bytes_of_its_stack)
{
    static _Alignas(64) char memory[8192];
    coir__context c = {0};
    memset(memory, 0x5a, sizeof memory);
    coir__context_make(&c, memory + sizeof memory, look_around, NULL);
    for (size_t i = 0; i < sizeof memory - COIR__CONTEXT_SIZE; i++)
        CHECK_EQ(memory[i], 0x5a);
    CHECK((char *)c.sp >= memory + sizeof memory - COIR__CONTEXT_SIZE);
}

#if defined(__GLIBC__)
#include <execinfo.h>

static int frames_seen;

static void count_frames(void *arg)
{
    void *frames[64];
    (void)arg;
    coir__switch_entered();
    frames_seen = backtrace(frames, 64);
    leave(&home, 0);
}

TEST(backtrace_ends_where_the_context_begins)
{
    side other = {0};
    begin_here();
    side_begin(&other, count_frames, NULL);
    to(&home, &other, 0);
    CHECK_LT(frames_seen, 8);
    side_end(&other);
}
#endif

/* -- publication -------------------------------------------------------------------------------------------- */

static _Atomic uint32_t word;

static void read_word(void *arg)
{
    (void)arg;
    coir__switch_entered();
    leave(&home, (int)atomic_load(&word));
}

TEST(switch_stores_the_word_before_the_other_side_runs)
{
    side other = {0};
    begin_here();
    side_begin(&other, read_word, NULL);
    atomic_store(&word, 1);
    CHECK_EQ(coir__switch(&home.ctx, &other.ctx, &word, 77), 77);
    side_end(&other);
}

TEST(exit_stores_the_word)
{
    side other = {0};
    begin_here();
    side_begin(&other, look_around, NULL);
    atomic_store(&nowhere, 5);
    CHECK_EQ(coir__switch(&home.ctx, &other.ctx, &word, 3), 42);
    CHECK_EQ(word, 3);
    CHECK_EQ(nowhere, 0);
    side_end(&other);
}

TEST(publishing_by_comparison_leaves_when_the_word_is_as_expected)
{
    side other = {0};
    begin_here();
    side_begin(&other, read_word, NULL);
    atomic_store(&word, 10);
    CHECK_EQ(coir__switch_publish(&home.ctx, &other.ctx, &word, 10, 11), 11);
    CHECK_EQ(word, 11);
    side_end(&other);
}

TEST(publishing_by_comparison_stays_when_the_word_has_changed)
{
    side other = {0};
    begin_here();
    side_begin(&other, add_up, NULL);
    to(&home, &other, 0);
    for (int i = 0; i < 100; i++) {
        atomic_store(&word, 12);
        CHECK_EQ(coir__switch_publish(&home.ctx, &other.ctx, &word, 10, 11), COIR__SWITCH_LOST);
        CHECK_EQ(word, 12);
        CHECK_EQ(to(&home, &other, 1), i + 1); /* the other side has noticed nothing */
    }
    side_end(&other);
}

static void lose_then_win(void *arg)
{
    side *self = arg;
    coir__switch_entered();
    atomic_store(&word, 1);
    int first = coir__switch_publish(&self->ctx, &home.ctx, &word, 2, 3);
    home.ctx.result = first == COIR__SWITCH_LOST ? 100 : 200;
    int second = coir__switch_publish(&self->ctx, &home.ctx, &word, 1, 4);
    leave(&home, second);
}

TEST(a_new_context_can_lose_and_win_a_publication)
{
    side other = {0};
    begin_here();
    side_begin(&other, lose_then_win, NULL);
    CHECK_EQ(to(&home, &other, 0), 100);
    CHECK_EQ(word, 4);
    CHECK_EQ(to(&home, &other, 8), 8);
    side_end(&other);
}

/* -- threads ------------------------------------------------------------------------------------------------ */

static side wanderer;
static pthread_t seen_threads[3];

/* Who runs where is asked by a call that can't be kept across the switch. */
static COIR__NOINLINE pthread_t thread_here(void)
{
    coir__compiler_fence();
    return pthread_self();
}

static void wander(void *arg)
{
    side *self = arg;
    coir__switch_entered();
    for (int i = 0;; i++) {
        seen_threads[i] = thread_here();
        side *next = self->arg;
        to(self, next, i);
    }
}

static void *resume_here(void *arg)
{
    side here = {0};
    coir__context_thread(&here.ctx);
    wanderer.arg = &here;
    *(int *)arg = to(&here, &wanderer, 0);
    return NULL;
}

TEST(a_context_goes_on_in_another_thread)
{
    int result = -1;
    side_begin(&wanderer, wander, NULL);
    resume_here(&result);
    CHECK_EQ(result, 0);
    for (int i = 1; i < 3; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, resume_here, &result), 0);
        pthread_join(thread, NULL);
        CHECK_EQ(result, i);
        CHECK(!pthread_equal(seen_threads[i], pthread_self()));
    }
    CHECK(pthread_equal(seen_threads[0], pthread_self()));
    side_end(&wanderer);
}

/* -- registers ---------------------------------------------------------------------------------------------- */

/*
 * uint64_t switch_with_marks(coir__context *from, coir__context *to, _Atomic uint32_t *word, uint64_t mark)
 * puts mark, mark + 1, ... into the registers that a call must keep, switches, and returns the number of those that
 * have changed.
 */
uint64_t switch_with_marks(coir__context *from, coir__context *to, _Atomic uint32_t *word,
                           uint64_t mark);

#if defined(__x86_64__)
#define HAVE_MARKS 1
__asm__(".text\n"
        ".globl switch_with_marks\n"
        ".type switch_with_marks, @function\n"
        "switch_with_marks:\n"
        "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
        "  push %rcx\n"
        "  mov %rcx, %rbx\n"
        "  lea 1(%rcx), %rbp\n"
        "  lea 2(%rcx), %r12\n"
        "  lea 3(%rcx), %r13\n"
        "  lea 4(%rcx), %r14\n"
        "  lea 5(%rcx), %r15\n"
        "  xor %ecx, %ecx\n"
        "  call coir__switch\n"
        "  mov (%rsp), %rcx\n"
        "  xor %eax, %eax\n"
        "  cmp %rcx, %rbx\n  je 1f\n  inc %rax\n1: inc %rcx\n"
        "  cmp %rcx, %rbp\n  je 1f\n  inc %rax\n1: inc %rcx\n"
        "  cmp %rcx, %r12\n  je 1f\n  inc %rax\n1: inc %rcx\n"
        "  cmp %rcx, %r13\n  je 1f\n  inc %rax\n1: inc %rcx\n"
        "  cmp %rcx, %r14\n  je 1f\n  inc %rax\n1: inc %rcx\n"
        "  cmp %rcx, %r15\n  je 1f\n  inc %rax\n1:\n"
        "  pop %rcx\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
        "  ret\n"
        ".size switch_with_marks, . - switch_with_marks\n");
#elif defined(__aarch64__)
#define HAVE_MARKS 1
__asm__(
    ".text\n"
    ".globl switch_with_marks\n"
    ".type switch_with_marks, %function\n"
    "switch_with_marks:\n"
    "  stp x29, x30, [sp, #-176]!\n"
    "  stp x19, x20, [sp, #16]\n  stp x21, x22, [sp, #32]\n  stp x23, x24, [sp, #48]\n"
    "  stp x25, x26, [sp, #64]\n  stp x27, x28, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
    "  str x3, [sp, #160]\n"
    "  .macro each_mark do\n"
    "  .irp r, x19, x20, x21, x22, x23, x24, x25, x26, x27, x28, x29\n  \\do \\r, mov\n  .endr\n"
    "  .irp r, d8, d9, d10, d11, d12, d13, d14, d15\n  \\do \\r, fmov\n  .endr\n"
    "  .endm\n"
    "  .macro set_mark r, move\n  \\move \\r, x3\n  add x3, x3, #1\n  .endm\n"
    "  .macro test_mark r, move\n  \\move x1, \\r\n  cmp x1, x3\n  cinc x0, x0, ne\n  add x3, x3, "
    "#1\n  .endm\n"
    "  each_mark set_mark\n"
    "  mov w3, #0\n"
    "  bl coir__switch\n"
    "  ldr x3, [sp, #160]\n"
    "  mov x0, #0\n"
    "  each_mark test_mark\n"
    "  ldp x19, x20, [sp, #16]\n  ldp x21, x22, [sp, #32]\n  ldp x23, x24, [sp, #48]\n"
    "  ldp x25, x26, [sp, #64]\n  ldp x27, x28, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
    "  ldp x29, x30, [sp], #176\n"
    "  ret\n"
    ".size switch_with_marks, . - switch_with_marks\n");
#endif

#if HAVE_MARKS
static uint64_t changed_there;

static void switch_with_other_marks(void *arg)
{
    side *self = arg;
    coir__switch_entered();
    for (uint64_t i = 0;; i++)
        changed_there += switch_with_marks(&self->ctx, &home.ctx, &nowhere,
                                           0x1000000000u + i * 100);
}

TEST(registers_that_a_call_keeps_survive_the_switch)
{
    side other = {0};
    begin_here();
    side_begin(&other, switch_with_other_marks, NULL);
    for (uint64_t i = 0; i < 1000; i++)
        CHECK_EQ(switch_with_marks(&home.ctx, &other.ctx, &nowhere, 0x7000000000u + i * 64), 0);
    CHECK_EQ(changed_there, 0);
    side_end(&other);
}
#endif

TEST_MAIN("switch")
