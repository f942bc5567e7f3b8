/*
 * The CMOS clock's calendar, there and back.
 */
#define TEST_SUITE "hal"
#include "hal/pc/rtc_date.h"
#include "kernel/base/errno.h"
#include "test/unit/test.h"

static const struct rtc_registers bcd_date = {.second = 0x56,
                                              .minute = 0x34,
                                              .hour = 0x12,
                                              .day = 0x29,
                                              .month = 0x02,
                                              .year = 0x24,
                                              .century = 0x20,
                                              .hours_24 = true};

TEST(rtc_date, decodes_bcd_and_binary)
{
    struct rtc_registers registers = bcd_date;
    uint64_t unix_time_s = 0;

    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), 0);
    EXPECT_EQ(unix_time_s, 1709210096); /* 2024-02-29 12:34:56 */
    registers = (struct rtc_registers){.second = 56,
                                       .minute = 34,
                                       .hour = 12,
                                       .day = 29,
                                       .month = 2,
                                       .year = 24,
                                       .century = 20,
                                       .binary = true,
                                       .hours_24 = true};
    unix_time_s = 0;
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), 0);
    EXPECT_EQ(unix_time_s, 1709210096);
}

TEST(rtc_date, decodes_twelve_hour_clocks)
{
    struct rtc_registers registers = bcd_date;
    uint64_t noon = 0, midnight = 0, one = 0;

    registers.hours_24 = false;
    registers.hour = 0x92;
    EXPECT_EQ(rtc_date_decode(&registers, &noon), 0);
    registers.hour = 0x12;
    EXPECT_EQ(rtc_date_decode(&registers, &midnight), 0);
    registers.hour = 0x81;
    EXPECT_EQ(rtc_date_decode(&registers, &one), 0);
    EXPECT_EQ(noon, 1709210096);
    EXPECT_EQ(noon - midnight, 12 * 3600);
    EXPECT_EQ(one, noon + 3600);
}

TEST(rtc_date, guesses_the_century)
{
    struct rtc_registers registers = bcd_date;
    uint64_t unix_time_s = 0;

    registers.century = 0;
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), 0);
    EXPECT_EQ(unix_time_s, 1709210096);
    registers.year = 0x99;
    registers.day = 0x28;
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), 0);
    EXPECT_EQ(unix_time_s, 920205296); /* 1999-02-28 12:34:56 */
}

TEST(rtc_date, refuses_dates_that_are_none)
{
    uint64_t unix_time_s = 42;
    struct rtc_registers registers = bcd_date;

    registers.year = 0x23; /* no leap year */
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), -EINVAL);
    registers = bcd_date;
    registers.month = 0x13;
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), -EINVAL);
    registers = bcd_date;
    registers.month = 0;
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), -EINVAL);
    registers = bcd_date;
    registers.second = 0x5a;
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), -EINVAL);
    registers = bcd_date;
    registers.hour = 0x24;
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), -EINVAL);
    registers.hours_24 = false;
    registers.hour = 0x00;
    EXPECT_EQ(rtc_date_decode(&registers, &unix_time_s), -EINVAL);
    EXPECT_EQ(unix_time_s, 42);
}

TEST(rtc_date, encodes_what_it_decodes)
{
    /* A day and a bit, so that all hours and days come by; from 1970 to 2199. */
    for (uint64_t t = 0; t < 7258118400ull; t += 86400 * 9 + 3601 * 7 + 61) {
        for (unsigned mode = 0; mode < 4; mode++) {
            struct rtc_registers registers = {.binary = mode & 1, .hours_24 = mode & 2};
            uint64_t back = ~0ull;
            EXPECT_EQ(rtc_date_encode(t, &registers), 0);
            EXPECT_EQ(rtc_date_decode(&registers, &back), 0);
            EXPECT_EQ(back, t);
        }
    }
}

TEST(rtc_date, does_not_encode_the_far_future)
{
    struct rtc_registers registers = {.binary = true, .hours_24 = true};

    EXPECT_EQ(rtc_date_encode(7258118400ull, &registers), -EINVAL); /* 2200 */
    EXPECT_EQ(rtc_date_encode(UINT64_MAX, &registers), -EINVAL);
}
