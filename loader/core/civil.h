/*
 * Calendar dates as firmware clocks tell them.
 */
#pragma once

#include "kernel/base/types.h"

#define CIVIL_NO_TIMEZONE 0x7ff /* EFI_UNSPECIFIED_TIMEZONE: the date is taken for UTC */

struct civil {
    unsigned year, month, day; /* 1970..., 1..12, 1..31 */
    unsigned hour, minute, second;
    int timezone_minutes; /* added to local time to get UTC, or CIVIL_NO_TIMEZONE */
};

/*
 * Seconds since 1970-01-01 UTC in the proleptic Gregorian calendar; 0: not a date, or before 1970.
 */
uint64_t civil_to_unix(const struct civil *civil);
