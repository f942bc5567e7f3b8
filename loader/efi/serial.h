/*
 * COM1 by hand, for machines whose firmware does not use it.
 */
#pragma once

#include "kernel/base/types.h"

/* Set 115200 8N1. False: there is no 16550 at COM1. */
bool serial_init(void);
/* "\n" becomes "\r\n". Never waits for ever: a port that takes no byte is given up. */
void serial_write(const char *text);
