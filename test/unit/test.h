/*
 * Unit tests: one file tests one noun, mirrors the tree, and knows neither libc nor the runner, so that it can run on the host
 * (under cmocka) and inside the kernel.
 *
 *     TEST(ring, push_fails_when_full_and_changes_nothing) { ... EXPECT_EQ(ring_write(&r, "x", 1), 0); ... }
 *
 * The suite is the folder's name, given by TEST_SUITE before the include.  An expectation that fails ends the test.
 */
#pragma once

#include "kernel/base/string.h"
#include "kernel/core/linkset.h"

struct test_case {
    const char *suite; /* folder: "base", "mm" ... */
    const char *noun;
    const char *name;
    void (*run)(void);
};
LINKSET_DECLARE(tests, struct test_case);

void test_fail(const char *file, int line, const char *fmt, ...) __noreturn __printf(3, 4);
void test_skip(void) __noreturn;
/* A line of the test's own beside its result: a figure that it measured. */
void test_note(const char *fmt, ...) __printf(1, 2);

#define TEST(noun_, name_)                                                                         \
    static void test_##noun_##_##name_(void);                                                      \
    LINKSET_ENTRY(tests, struct test_case, noun_##_##name_)                                        \
    = {.suite = TEST_SUITE, .noun = #noun_, .name = #name_, .run = test_##noun_##_##name_};        \
    static void test_##noun_##_##name_(void)

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            test_fail(__FILE__, __LINE__, "expected: %s", #cond);                                  \
        }                                                                                          \
    } while (0)
#define EXPECT_OP_(a, op, b)                                                                       \
    do {                                                                                           \
        long long test_a_ = (long long)(a), test_b_ = (long long)(b);                              \
        if (!(test_a_ op test_b_)) {                                                               \
            test_fail(__FILE__, __LINE__,                                                          \
                      "expected: %s %s %s, got %lld (0x%llx) and %lld (0x%llx)", #a, #op, #b,      \
                      test_a_, (unsigned long long)test_a_, test_b_, (unsigned long long)test_b_); \
        }                                                                                          \
    } while (0)
#define EXPECT_EQ(a, b)     EXPECT_OP_(a, ==, b)
#define EXPECT_NE(a, b)     EXPECT_OP_(a, !=, b)
#define EXPECT_LT(a, b)     EXPECT_OP_(a, <, b)
#define EXPECT_LE(a, b)     EXPECT_OP_(a, <=, b)
#define EXPECT_GT(a, b)     EXPECT_OP_(a, >, b)
#define EXPECT_GE(a, b)     EXPECT_OP_(a, >=, b)
#define EXPECT_PTR_EQ(a, b) EXPECT((const void *)(a) == (const void *)(b))
#define EXPECT_STR_EQ(a, b)                                                                        \
    do {                                                                                           \
        const char *test_a_ = (a), *test_b_ = (b);                                                 \
        if (strcmp(test_a_, test_b_) != 0) {                                                       \
            test_fail(__FILE__, __LINE__, "expected: %s is \"%s\", got \"%s\"", #a, test_b_,       \
                      test_a_);                                                                    \
        }                                                                                          \
    } while (0)
#define EXPECT_MEM_EQ(a, b, n) EXPECT(memcmp((a), (b), (n)) == 0)
