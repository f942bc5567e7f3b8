#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/printf.h"

#define EXPECT_PRINT(expected, ...)                                                                \
    do {                                                                                           \
        char print_[128];                                                                          \
        EXPECT_EQ(ksnprintf(print_, sizeof(print_), __VA_ARGS__), (int)strlen(expected));          \
        EXPECT_STR_EQ(print_, expected);                                                           \
    } while (0)

/* Hidden from the compiler's own check of formats. */
static const char *hide(const char *fmt)
{
    __asm__("" : "+r"(fmt));
    return fmt;
}

TEST(printf, prints_integers_of_all_sizes)
{
    EXPECT_PRINT("0", "%d", 0);
    EXPECT_PRINT("-2147483648", "%d", INT32_MIN);
    EXPECT_PRINT("-9223372036854775808", "%ld", INT64_MIN);
    EXPECT_PRINT("18446744073709551615", "%lu", UINT64_MAX);
    EXPECT_PRINT("4294967295", "%u", ~0u);
    EXPECT_PRINT("-1 255", "%hhd %hhu", (signed char)-1, (unsigned char)255);
    EXPECT_PRINT("-1 65535", "%hd %hu", (short)-1, (unsigned short)65535);
    EXPECT_PRINT("1777777777777777777777", "%lo", UINT64_MAX);
    EXPECT_PRINT("dead BEEF", "%x %X", 0xdead, 0xbeef);
    EXPECT_PRINT("7 8 9", "%zu %lld %jd", (size_t)7, 8ll, 9l);
}

TEST(printf, pads_and_signs_as_the_standard_says)
{
    EXPECT_PRINT("   42|42   |00042", "%5d|%-5d|%05d", 42, 42, 42);
    EXPECT_PRINT("+42| 42|-0042", "%+d|% d|%05d", 42, 42, -42);
    EXPECT_PRINT("  007|007  ", "%5.3d|%-5.3d", 7, 7);
    EXPECT_PRINT("0x2a|0X2A|052|0", "%#x|%#X|%#o|%#x", 42, 42, 42, 0);
    EXPECT_PRINT("0x002a", "%#06x", 42);
    EXPECT_PRINT("[]", "[%.0d]", 0);
    EXPECT_PRINT("   42|42   |007", "%*d|%*d|%.*d", 5, 42, -5, 42, 3, 7);
    EXPECT_PRINT("  007", hide("%05.3d"), 7); /* a precision switches the 0 flag off */
}

TEST(printf, prints_text_with_width_and_precision)
{
    EXPECT_PRINT("abc|  abc|abc  |ab", "%s|%5s|%-5s|%.2s", "abc", "abc", "abc", "abc");
    EXPECT_PRINT("x|  x|%", "%c|%3c|%%", 'x', 'x');
    EXPECT_PRINT("(null)", "%s", (const char *)NULL);
    char unterminated[2] = {'a', 'b'};
    EXPECT_PRINT("ab", "%.2s", unterminated);
}

TEST(printf, prints_pointers_and_guids)
{
    static const uint8_t guid[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
                                     0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};

    EXPECT_PRINT("0x1234", "%p", (void *)0x1234);
    EXPECT_PRINT("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "%pU", (const void *)guid);
}

static int fake_symbol(char *buf, size_t size, uintptr_t addr)
{
    return ksnprintf(buf, size, "sym_%lx", addr);
}

TEST(printf, asks_the_hook_for_symbols)
{
    int (*saved)(char *, size_t, uintptr_t) = printf_symbol_hook;

    printf_symbol_hook = NULL;
    EXPECT_PRINT("0x10.", "%pS.", (void *)0x10);
    printf_symbol_hook = fake_symbol;
    EXPECT_PRINT("sym_10.", "%pS.", (void *)0x10);
    EXPECT_PRINT("    sym_10", "%10pS", (void *)0x10);
    printf_symbol_hook = saved;
}

TEST(printf, cuts_what_does_not_fit_and_tells_the_whole_length)
{
    char buf[5] = "xxxx";

    EXPECT_EQ(ksnprintf(buf, sizeof(buf), "%d-%s", 12, "abcdef"), 9);
    EXPECT_STR_EQ(buf, "12-a");
    EXPECT_EQ(kscnprintf(buf, sizeof(buf), "%s", "abcdef"), 4);
    EXPECT_EQ(kscnprintf(buf, sizeof(buf), "%s", "ab"), 2);
    EXPECT_EQ(ksnprintf(NULL, 0, "%08x", 1), 8);
    EXPECT_EQ(kscnprintf(NULL, 0, "%08x", 1), 0);
    EXPECT_EQ(ksnprintf(buf, 1, "abc"), 3);
    EXPECT_STR_EQ(buf, "");
}

TEST(printf, copies_unknown_conversions)
{
    EXPECT_PRINT("a%kb", hide("a%kb"), 0);
    EXPECT_PRINT("a%", hide("a%"), 0);
}
