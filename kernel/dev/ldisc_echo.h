/*
 * The echo queue of the line discipline: what input leaves for the output side, in entries that are turned into bytes only when
 * they are written, because erasing a tab needs the output column of that moment. Private to kernel/dev/ldisc*.c.
 */
#pragma once

#include "kernel/dev/ldisc.h"

void ldisc_echo_raw(struct ldisc *ld, uint8_t c); /* through output processing, never as ^X */
void ldisc_echo_char(struct ldisc *ld,
                     uint8_t c);          /* control characters as ^X when ECHOCTL is set */
void ldisc_echo_rubout(struct ldisc *ld); /* backspace, space, backspace */
/* `columns` between the tab and the tab before it (after_tab) or the start of the line. */
void ldisc_echo_erase_tab(struct ldisc *ld, unsigned columns, bool after_tab);
void ldisc_echo_mark_start(struct ldisc *ld); /* the line being typed begins at this column */
void ldisc_echo_discard(struct ldisc *ld);
