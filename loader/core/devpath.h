/*
 * UEFI device paths (UEFI 2.10, chapter 10), as far as the loader asks: is the firmware's console
 * on a serial port?
 */
#pragma once

#include "kernel/base/types.h"

/*
 * True: one of the paths in `paths` (hostile: contents of the variable ConOut) goes through a UART
 * (10.3.4.14).
 */
bool devpath_has_uart(const uint8_t *paths, size_t size_bytes);
