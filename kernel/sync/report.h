/*
 * How this room says that a lock or a count is misused. It may not call the log, which stands above it (and uses its locks), so
 * kernel/core sets the hook. Until then reports are dropped.
 */
#pragma once

#include "kernel/base/types.h"

/* One line of text, without a newline; `backtrace` asks for the caller's stack after it. Any context. */
extern void (*sync_report_hook)(const char *text, bool backtrace);

void sync_report(bool backtrace, const char *fmt, ...) __printf(2, 3) __cold;
