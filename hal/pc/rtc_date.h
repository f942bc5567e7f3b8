/*
 * The real-time clock's calendar. Pure arithmetic: also compiled for the host tests.
 */
#pragma once

#include "kernel/base/types.h"

/* Registers 0-9 and the century as the chip holds them, and the mode bits of register B. */
struct rtc_registers {
    uint8_t second, minute, hour, day, month, year;
    uint8_t century; /* 0: the chip has none */
    bool binary;     /* else BCD */
    bool hours_24;   /* else 1-12 with bit 7 for the afternoon */
};

/* Seconds since 1970, UTC. -EINVAL: no such date, the battery may be empty. Years 1970 to 2199. */
int rtc_date_decode(const struct rtc_registers *registers, uint64_t *ret_unix_time_s);
/* The reverse; takes binary and hours_24 from the struct, and says the century even when the chip has none. */
int rtc_date_encode(uint64_t unix_time_s, struct rtc_registers *registers);
