/*
 * Line discipline, output side: OPOST processing with the column that it needs, and the echo queue.
 *
 * Echo entries are 16 bits: a kind in the high byte, a byte or a count in the low one. The queue drops its oldest entries when
 * it is full: echoes are not data.
 */
#include "kernel/base/string.h"
#include "kernel/dev/ldisc_impl.h"

enum echo_kind { ECHO_RAW, ECHO_CARET, ECHO_RUBOUT, ECHO_TAB, ECHO_TAB_AFTER_TAB, ECHO_START };

#define TAB_WIDTH 8u

static inline bool output_flag(const struct ldisc *ld, unsigned flag)
{
    return (ld->termios.c_oflag & flag) != 0;
}

/* ---- the echo queue ---- */

static void echo_push(struct ldisc *ld, enum echo_kind kind, uint8_t value)
{
    if (ld->echo_head - ld->echo_tail >= LDISC_ECHO_SIZE) {
        ld->echo_tail++;
    }
    ld->echo[ld->echo_head % LDISC_ECHO_SIZE] = (uint16_t)(kind << 8 | value);
    ld->echo_head++;
}

void ldisc_echo_raw(struct ldisc *ld, uint8_t c)
{
    echo_push(ld, ECHO_RAW, c);
}

void ldisc_echo_char(struct ldisc *ld, uint8_t c)
{
    bool control = (c < 0x20 && c != '\t') || c == 0x7f;

    echo_push(ld, control && (ld->termios.c_lflag & ECHOCTL) != 0 ? ECHO_CARET : ECHO_RAW, c);
}

void ldisc_echo_rubout(struct ldisc *ld)
{
    echo_push(ld, ECHO_RUBOUT, 0);
}

void ldisc_echo_erase_tab(struct ldisc *ld, unsigned columns, bool after_tab)
{
    echo_push(ld, after_tab ? ECHO_TAB_AFTER_TAB : ECHO_TAB, (uint8_t)(columns % TAB_WIDTH));
}

void ldisc_echo_mark_start(struct ldisc *ld)
{
    echo_push(ld, ECHO_START, 0);
}

void ldisc_echo_discard(struct ldisc *ld)
{
    ld->echo_tail = ld->echo_head;
}

/* ---- output processing ---- */

/* Bytes that are copied as they are and advance the column by one or (UTF-8 continuation) nothing. */
static inline bool is_printable(uint8_t c)
{
    return c >= 0x20 && c != 0x7f;
}

/*
 * Length of the leading run of bytes that need no processing; adds their columns. Eight at a time: a byte below 0x20 or equal to 0x7f is
 * found by the carry tricks of Lamport, "Multiple byte processing with full-word instructions", 1975.
 */
static size_t printable_run(const uint8_t *src, size_t len, bool utf8, unsigned *columns)
{
    const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
    size_t n = 0;

    while (len - n >= 8) {
        uint64_t word, below, del;
        memcpy(&word, src + n, 8);
        below = (word - ones * 0x20) & ~word & high;
        del = word ^ (ones * 0x7f);
        del = (del - ones) & ~del & high;
        if ((below | del) != 0) {
            break;
        }
        if (utf8 && (word & high) != 0) {
            for (unsigned i = 0; i < 8; i++) {
                *columns += (src[n + i] & 0xc0) != 0x80;
            }
        } else {
            *columns += 8;
        }
        n += 8;
    }
    while (n < len && is_printable(src[n])) {
        *columns += !utf8 || (src[n] & 0xc0) != 0x80;
        n++;
    }
    return n;
}

/* One byte through OPOST. Returns bytes written, or -1 when they do not fit. */
static int process_byte(struct ldisc *ld, uint8_t c, uint8_t *dst, size_t room)
{
    unsigned n;

    switch (c) {
    case '\n':
        if (output_flag(ld, ONLRET)) {
            ld->column = 0;
        }
        if (output_flag(ld, ONLCR)) {
            if (room < 2) {
                return -1;
            }
            ld->column = 0;
            ld->canon_column = 0;
            dst[0] = '\r';
            dst[1] = '\n';
            return 2;
        }
        ld->canon_column = ld->column;
        break;
    case '\r':
        if (output_flag(ld, ONOCR) && ld->column == 0) {
            return 0;
        }
        if (output_flag(ld, OCRNL)) {
            c = '\n';
            if (output_flag(ld, ONLRET)) {
                ld->column = 0;
            }
            break;
        }
        ld->column = 0;
        ld->canon_column = 0;
        break;
    case '\t':
        n = TAB_WIDTH - ld->column % TAB_WIDTH;
        if ((ld->termios.c_oflag & TABDLY) == TAB3) {
            if (room < n) {
                return -1;
            }
            ld->column += n;
            memset(dst, ' ', n);
            return (int)n;
        }
        ld->column += n;
        break;
    case '\b':
        ld->column -= ld->column > 0;
        break;
    default:
        if (is_printable(c)) {
            if (output_flag(ld, OLCUC) && c >= 'a' && c <= 'z') {
                c &= (uint8_t)~0x20u;
            }
            ld->column += (ld->termios.c_iflag & IUTF8) == 0 || (c & 0xc0) != 0x80;
        }
        break;
    }
    dst[0] = c;
    return 1;
}

size_t ldisc_output(struct ldisc *ld, const uint8_t *src, size_t len_bytes, uint8_t *dst,
                    size_t room, size_t *ret_used)
{
    size_t out = 0, used = 0;
    bool utf8 = (ld->termios.c_iflag & IUTF8) != 0;
    bool runs = !output_flag(ld, OLCUC);

    if (!output_flag(ld, OPOST)) {
        out = MIN(len_bytes, room);
        memcpy(dst, src, out);
        *ret_used = out;
        return out;
    }
    while (used < len_bytes && out < room) {
        size_t run = 0;
        int n;
        if (runs) {
            run = printable_run(src + used, MIN(len_bytes - used, room - out), utf8, &ld->column);
            memcpy(dst + out, src + used, run);
            out += run;
            used += run;
            if (used == len_bytes || out == room) {
                break;
            }
        }
        n = process_byte(ld, src[used], dst + out, room - out);
        if (n < 0) {
            break;
        }
        out += (size_t)n;
        used++;
    }
    *ret_used = used;
    return out;
}

/* One byte of an echo: processed only when OPOST is on. */
static int echo_byte(struct ldisc *ld, uint8_t c, uint8_t *dst, size_t room)
{
    if (room == 0) {
        return -1;
    }
    if (output_flag(ld, OPOST)) {
        return process_byte(ld, c, dst, room);
    }
    dst[0] = c;
    return 1;
}

/* Backspaces over the blank that a tab left. */
static int erase_tab(struct ldisc *ld, unsigned columns, bool after_tab, uint8_t *dst, size_t room)
{
    unsigned n;

    if (!after_tab) {
        columns += ld->canon_column;
    }
    n = TAB_WIDTH - columns % TAB_WIDTH;
    if (room < n) {
        return -1;
    }
    memset(dst, '\b', n);
    ld->column -= MIN(ld->column, n);
    return (int)n;
}

static int echo_entry(struct ldisc *ld, uint16_t entry, uint8_t *dst, size_t room)
{
    uint8_t value = (uint8_t)entry;

    switch ((enum echo_kind)(entry >> 8)) {
    case ECHO_RAW:
        return echo_byte(ld, value, dst, room);
    case ECHO_CARET:
        if (room < 2) {
            return -1;
        }
        dst[0] = '^';
        dst[1] = value ^ 0x40;
        ld->column += 2;
        return 2;
    case ECHO_RUBOUT:
        if (room < 3) {
            return -1;
        }
        memcpy(dst, "\b \b", 3);
        ld->column -= ld->column > 0;
        return 3;
    case ECHO_TAB:
        return erase_tab(ld, value, false, dst, room);
    case ECHO_TAB_AFTER_TAB:
        return erase_tab(ld, value, true, dst, room);
    case ECHO_START:
        ld->canon_column = ld->column;
        return 0;
    }
    return 0;
}

size_t ldisc_echo_output(struct ldisc *ld, uint8_t *dst, size_t room)
{
    size_t out = 0;

    while (ldisc_echo_pending(ld)) {
        int n = echo_entry(ld, ld->echo[ld->echo_tail % LDISC_ECHO_SIZE], dst + out, room - out);
        if (n < 0) {
            break;
        }
        out += (size_t)n;
        ld->echo_tail++;
    }
    return out;
}
