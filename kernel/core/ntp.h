/*
 * Disciplining the clock: adjtimex(2), the kernel's part of NTP.
 */
#pragma once

#include <linux/timex.h>

#include "kernel/core/time.h"

/*
 * Do what tx->modes says and fill the rest: the clock's state (TIME_*), -EINVAL, or -EPERM when it would change something and the caller is not
 * `privileged`. Any context.
 */
int ntp_adjust(struct __kernel_timex *tx, bool privileged);
/* The clock was set: what was known about its error and was on the way to be corrected is void. Any context. */
void ntp_clear(void);
/* Seconds by which CLOCK_TAI is ahead. Any context. */
int ntp_tai_offset(void);
/* Boot. */
void ntp_init(void);
