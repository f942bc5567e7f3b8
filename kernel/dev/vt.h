/*
 * Virtual terminals tty1 .. tty6 on the framebuffer, with the keyboard: see vt.c.
 */
#pragma once

#include "kernel/base/types.h"

void vt_init(void);
