/*
 * What the files of the line discipline share. Private to kernel/dev/ldisc*.c and tty_input.c.
 *
 * The echo queue: what input leaves for the output side, in entries that are turned into bytes only when they are written, because erasing
 * a tab needs the output column of that moment.
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

/* ---- the ring and the settings ---- */

#define I_FLAG(ld, f) (((ld)->termios.c_iflag & (f)) != 0)
#define L_FLAG(ld, f) (((ld)->termios.c_lflag & (f)) != 0)

static inline uint8_t ring_at(const struct ldisc *ld, uint32_t at)
{
    return ld->buf[at % LDISC_SIZE];
}

static inline bool delim_at(const struct ldisc *ld, uint32_t at)
{
    return (ld->delim[at % LDISC_SIZE / 64] >> (at % 64)) & 1;
}

static inline void delim_set(struct ldisc *ld, uint32_t at)
{
    ld->delim[at % LDISC_SIZE / 64] |= BIT(at % 64);
}

static inline void delim_clear(struct ldisc *ld, uint32_t at)
{
    ld->delim[at % LDISC_SIZE / 64] &= ~BIT(at % 64);
}

static inline bool is_special(const struct ldisc *ld, uint8_t c)
{
    return (ld->special[c / 64] >> (c % 64)) & 1;
}

/* Is c the (enabled) special character of this slot? */
static inline bool is_cc(const struct ldisc *ld, unsigned slot, uint8_t c)
{
    return c != 0 && ld->termios.c_cc[slot] == c;
}

static inline bool is_continuation(const struct ldisc *ld, uint8_t c)
{
    return I_FLAG(ld, IUTF8) && (c & 0xc0) == 0x80;
}

static inline bool is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}
