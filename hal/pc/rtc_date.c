/*
 * The chip keeps local calendar fields, in BCD or binary, with 12 or 24 hours. Days are counted from 0000-03-01, so that the
 * leap day is the last of the year (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013).
 */
#include "hal/pc/rtc_date.h"

#include "kernel/base/errno.h"

#define SECONDS_PER_DAY 86400u
#define DAYS_TO_1970    719468 /* 0000-03-01 to 1970-01-01 */
#define DAYS_PER_400Y   146097
#define RTC_HOUR_PM     0x80u
#define YEAR_MIN        1970u
#define YEAR_MAX        2199u
#define CENTURY_PIVOT   70u /* without a century, 70-99 are 19xx */

static bool field_decode(uint8_t raw, bool binary, unsigned *ret_value)
{
    if (binary) {
        *ret_value = raw;
        return true;
    }
    *ret_value = (raw >> 4) * 10u + (raw & 15u);
    return (raw & 15u) <= 9 && (raw >> 4) <= 9;
}

static uint8_t field_encode(unsigned value, bool binary)
{
    return (uint8_t)(binary ? value : (value / 10) << 4 | value % 10);
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

static int64_t days_from_date(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month <= 2 ? year - 1 : year;
    unsigned era = y / 400;
    unsigned year_of_era = y - era * 400;
    unsigned day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return (int64_t)era * DAYS_PER_400Y + day_of_era - DAYS_TO_1970;
}

int rtc_date_decode(const struct rtc_registers *registers, uint64_t *ret_unix_time_s)
{
    unsigned second, minute, hour, day, month, year, century = 0;
    bool binary = registers->binary;
    bool pm = !registers->hours_24 && (registers->hour & RTC_HOUR_PM) != 0;
    uint8_t raw_hour = registers->hours_24 ? registers->hour : registers->hour & 0x7f;

    if (!field_decode(registers->second, binary, &second) ||
        !field_decode(registers->minute, binary, &minute) ||
        !field_decode(raw_hour, binary, &hour) || !field_decode(registers->day, binary, &day) ||
        !field_decode(registers->month, binary, &month) ||
        !field_decode(registers->year, binary, &year) || year > 99) {
        return -EINVAL;
    }
    if (!registers->hours_24) {
        if (hour < 1 || hour > 12) {
            return -EINVAL;
        }
        hour = hour % 12 + (pm ? 12 : 0);
    }
    if (registers->century == 0 || !field_decode(registers->century, binary, &century) ||
        century < 19 || century > 21) {
        century = year >= CENTURY_PIVOT ? 19 : 20;
    }
    year += century * 100;
    if (year < YEAR_MIN || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
        hour > 23 || minute > 59 || second > 59) {
        return -EINVAL;
    }
    *ret_unix_time_s = (uint64_t)days_from_date(year, month, day) * SECONDS_PER_DAY + hour * 3600u +
                       minute * 60u + second;
    return 0;
}

int rtc_date_encode(uint64_t unix_time_s, struct rtc_registers *registers)
{
    if (unix_time_s / SECONDS_PER_DAY > 100000) {
        return -EINVAL;
    }
    unsigned days = (unsigned)(unix_time_s / SECONDS_PER_DAY) + DAYS_TO_1970;
    unsigned rest = (unsigned)(unix_time_s % SECONDS_PER_DAY);
    unsigned era = days / DAYS_PER_400Y;
    unsigned day_of_era = days % DAYS_PER_400Y;
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted_month = (5 * day_of_year + 2) / 153; /* 0 is March */
    unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    unsigned year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    unsigned hour = rest / 3600;
    bool binary = registers->binary;

    if (year > YEAR_MAX) {
        return -EINVAL;
    }
    registers->second = field_encode(rest % 60, binary);
    registers->minute = field_encode(rest / 60 % 60, binary);
    registers->day = field_encode(day_of_year - (153 * shifted_month + 2) / 5 + 1, binary);
    registers->month = field_encode(month, binary);
    registers->year = field_encode(year % 100, binary);
    registers->century = field_encode(year / 100, binary);
    if (registers->hours_24) {
        registers->hour = field_encode(hour, binary);
    } else {
        registers->hour = (uint8_t)(field_encode(hour % 12 == 0 ? 12 : hour % 12, binary) |
                                    (hour >= 12 ? RTC_HOUR_PM : 0));
    }
    return 0;
}
