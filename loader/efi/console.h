/*
 * What the loader says and the keys it is told: the firmware's console, and COM1 when that console
 * is not on a serial port itself.
 */
#pragma once

#include "loader/efi/firmware.h"

void console_init(void);
/* Formatted ASCII text (kernel/base/printf.h); "\n" ends a line. */
void console_print(const char *fmt, ...) __printf(1, 2);
/*
 * Say in one sentence what went wrong, "linnet: SENTENCE", and return `status`. The caller unwinds
 * and returns it.
 */
EFI_STATUS console_fail(EFI_STATUS status, const char *fmt, ...) __printf(2, 3);

/* Wait for a key. False: none came in `timeout_ms` (0: only look; CONSOLE_FOREVER). */
#define CONSOLE_FOREVER 0xffffffffu
bool console_key(uint32_t timeout_ms, EFI_INPUT_KEY *ret_key);

/* After a failure: leave the sentence to be read, until a key or for 10 s. */
void console_wait_after_failure(void);

/* The menu's side: the firmware's text screen alone. */
void console_size(unsigned *ret_columns, unsigned *ret_rows);
void console_clear(void);
void console_put(unsigned column, unsigned row, unsigned attribute, const char *text);
void console_show_cursor(unsigned column, unsigned row, bool visible);
