/*
 * Calendar dates. Days are counted with the year starting in March, so that the leap day comes
 * last.
 */
#include "loader/core/civil.h"

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool is_date(const struct civil *civil)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (civil->year < 1970 || civil->year > 9999 || civil->month < 1 || civil->month > 12 ||
        civil->day < 1 || civil->hour > 23 || civil->minute > 59 || civil->second > 60) {
        return false;
    }
    if (civil->timezone_minutes != CIVIL_NO_TIMEZONE &&
        (civil->timezone_minutes < -1440 || civil->timezone_minutes > 1440)) {
        return false;
    }
    return civil->day <=
           days[civil->month - 1] + (civil->month == 2 && is_leap(civil->year) ? 1u : 0u);
}

uint64_t civil_to_unix(const struct civil *civil)
{
    unsigned year, month;
    int64_t days, seconds;

    if (!is_date(civil)) {
        return 0;
    }
    year = civil->month > 2 ? civil->year : civil->year - 1;
    month = civil->month > 2 ? civil->month - 3 : civil->month + 9; /* March = 0 */
    days = (int64_t)year * 365 + year / 4 - year / 100 + year / 400;
    days += (153 * month + 2) / 5 + civil->day - 1; /* months of 31 30 31 30 31 days, repeating */
    days -= 719468;                                 /* 1970-01-01 */
    seconds = days * 86400 + civil->hour * 3600 + civil->minute * 60 + civil->second;
    if (civil->timezone_minutes != CIVIL_NO_TIMEZONE) {
        seconds += (int64_t)civil->timezone_minutes * 60;
    }
    return seconds < 0 ? 0 : (uint64_t)seconds;
}
