/*
 * The early console: characters that must come out whatever state the kernel is in. Used by the log until a console driver
 * registers, and by panic always.
 */
#pragma once

#include "kernel/base/types.h"

/* Write bytes to the machine's debug port (polled serial) . Any context, never sleeps, takes no lock that panic could meet. */
void console_early_write(const char *text, size_t len_bytes);
