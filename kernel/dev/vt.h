/*
 * Virtual terminals tty1 .. tty6 on the framebuffer, with the keyboard: see vt.c.
 */
#pragma once

#include "kernel/base/types.h"

void vt_init(void);
/* Ctrl-Alt-Del was pressed. Set by kernel/proc; called in interrupt context; NULL: nothing happens. */
extern void (*vt_ctrl_alt_del_hook)(void);
