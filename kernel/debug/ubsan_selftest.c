/*
 * Undefined behaviour on purpose, one kind each: see selftest.h. The operands are volatile, or the compiler would decide at once.
 */
#include "kernel/debug/selftest.h"

static volatile int64_t sink;

static bool shift(void)
{
    volatile int bits = 33;

    sink = 1 << bits;
    return true;
}

static bool add(void)
{
    volatile int32_t big = INT32_MAX;

    sink = big + 1;
    return true;
}

static bool multiply(void)
{
    volatile int64_t big = INT64_MIN;

    sink = big * 3;
    return true;
}

static bool negate(void)
{
    volatile int64_t big = INT64_MIN;

    sink = -big;
    return true;
}

static bool subscript(void)
{
    static volatile int array[4];
    volatile unsigned index = 4;

    sink = (intptr_t)&array[index + 1];
    return true;
}

static bool boolean(void)
{
    volatile uint8_t byte = 2;

    sink = *(volatile bool *)&byte;
    return true;
}

static bool misaligned(void)
{
    static uint64_t words[2] __aligned(8);
    uint64_t *volatile at = (uint64_t *)(void *)((uint8_t *)words + 1);

    sink = (int64_t)*at;
    return true;
}

static bool pointer(void)
{
    char *volatile base = (char *)UINTPTR_MAX;
    volatile size_t step = 2;

    sink = (intptr_t)(base + step);
    return true;
}

static bool count_zeros(void)
{
    volatile unsigned zero = 0;

    sink = __builtin_ctz(zero);
    return true;
}

#define UBSAN_SELFTEST(fn, name_, expect_)                                                         \
    SELFTEST(ubsan_##fn) = {.group = "ubsan",                                                      \
                            .name = (name_),                                                       \
                            .run = (fn),                                                           \
                            .kind = DEFECT_UNDEFINED,                                              \
                            .expect = (expect_)}

#define HERE "ubsan: kernel/debug/ubsan_selftest.c:"

UBSAN_SELFTEST(shift, "a shift by more bits than there are",
               HERE "12:14: shift of 1 by 33, type 'int'");
UBSAN_SELFTEST(add, "a sum too large", "integer overflow: 2147483647 + 1 does not fit 'int'");
UBSAN_SELFTEST(multiply, "a product too large", "integer overflow: -9223372036854775808 * 3 ");
UBSAN_SELFTEST(negate, "a negation too large", "integer overflow: -(-9223372036854775808) ");
UBSAN_SELFTEST(subscript, "an index past the end", "index 5 out of bounds of type ");
UBSAN_SELFTEST(boolean, "a bool of 2", "load of value 2, which type ");
UBSAN_SELFTEST(misaligned, "a misaligned word", "load of misaligned address ");
UBSAN_SELFTEST(pointer, "a pointer that wraps", "pointer overflow: 0xffffffffffffffff became 0x1");
UBSAN_SELFTEST(count_zeros, "the trailing zeros of 0", "zero passed to __builtin_ctz()");
