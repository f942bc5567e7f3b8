/*
 * Formatted text. C17 7.21.6.1 without floating point and %n, plus:
 *   %pS  address as symbol+0x12/0x34 (through a hook that core/symbols sets)     %pU  16 bytes as a GUID in EFI order
 */
#pragma once

#include "kernel/base/types.h"

/* Like vsnprintf: always terminates when size > 0; returns the length the whole text would have. */
int kvsnprintf(char *buf, size_t size, const char *fmt, va_list args);
int ksnprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
/* Like ksnprintf, but returns the length really written (less than size). */
int kscnprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

/* Set by core/symbols: writes "name+off/size" for an address, returns the length. */
extern int (*printf_symbol_hook)(char *buf, size_t size, uintptr_t addr);
