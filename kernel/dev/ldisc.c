/*
 * Line discipline, input side: mapping, signals, flow control, canonical editing.
 *
 * Order of one byte's treatment, as termios(3) implies and programs expect: literal-next; stripping and case; flow control; signals;
 * carriage return and newline mapping; editing and line ends; echo; storing.
 *
 * A byte that cannot be stored because the ring is full of data that nobody has read stops the receive (the source may wait); in
 * canonical mode without a whole line nobody could ever make room, so there the byte is dropped with a bell, and one slot is kept
 * for the line's end (POSIX.1-2017 11.1.4).
 */
#include "kernel/dev/ldisc.h"

#include <asm/signal.h>

#include "kernel/base/string.h"
#include "kernel/dev/ldisc_impl.h"

/* ---- settings ---- */

static void mark_special(struct ldisc *ld, uint8_t c)
{
    ld->special[c / 64] |= BIT(c % 64);
}

static void mark_cc(struct ldisc *ld, unsigned slot)
{
    if (ld->termios.c_cc[slot] != 0) {
        mark_special(ld, ld->termios.c_cc[slot]);
    }
}

static void special_rebuild(struct ldisc *ld)
{
    static const uint8_t signal_slots[] = {VINTR, VQUIT, VSUSP};
    static const uint8_t canon_slots[] = {VERASE, VKILL, VEOF, VEOL};
    static const uint8_t extended_slots[] = {VEOL2, VWERASE, VREPRINT, VLNEXT};
    bool canon = L_FLAG(ld, ICANON);

    memset(ld->special, 0, sizeof(ld->special));
    for (size_t i = 0; L_FLAG(ld, ISIG) && i < sizeof(signal_slots); i++) {
        mark_cc(ld, signal_slots[i]);
    }
    for (size_t i = 0; canon && i < sizeof(canon_slots); i++) {
        mark_cc(ld, canon_slots[i]);
    }
    for (size_t i = 0; canon && L_FLAG(ld, IEXTEN) && i < sizeof(extended_slots); i++) {
        mark_cc(ld, extended_slots[i]);
    }
    if (I_FLAG(ld, IXON)) {
        mark_cc(ld, VSTART);
        mark_cc(ld, VSTOP);
    }
    if (I_FLAG(ld, IGNCR | ICRNL)) {
        mark_special(ld, '\r');
    }
    if (canon || I_FLAG(ld, INLCR)) {
        mark_special(ld, '\n');
    }
    if (I_FLAG(ld, PARMRK)) {
        mark_special(ld, 0xff);
    }
    ld->plain = !L_FLAG(ld, ECHO | ICANON) && !I_FLAG(ld, ISTRIP | IUCLC | IXON) &&
                (ld->special[0] | ld->special[1] | ld->special[2] | ld->special[3]) == 0;
}

void ldisc_init(struct ldisc *ld, const struct ktermios *termios)
{
    memset(ld, 0, sizeof(*ld));
    ld->termios = *termios;
    special_rebuild(ld);
}

void ldisc_set_termios(struct ldisc *ld, const struct ktermios *termios)
{
    bool mode_changes = ((ld->termios.c_lflag ^ termios->c_lflag) & ICANON) != 0;

    ld->termios = *termios;
    if (mode_changes) {
        memset(ld->delim, 0, sizeof(ld->delim));
        ld->canon_head = ld->tail;
        ld->pushed = false;
        if (L_FLAG(ld, ICANON) && ldisc_used(ld) > 0) {
            ld->canon_head = ld->head;
            ld->pushed = true;
        }
        ld->erasing = false;
        ld->lnext = false;
    }
    if (!I_FLAG(ld, IXON)) {
        ld->stopped = false;
    }
    special_rebuild(ld);
}

void ldisc_flush_input(struct ldisc *ld)
{
    memset(ld->delim, 0, sizeof(ld->delim));
    ld->tail = ld->head;
    ld->canon_head = ld->head;
    ld->pushed = false;
    ld->lnext = false;
    ld->erasing = false;
    ld->flushes++;
}

/* ---- storing ---- */

static void store(struct ldisc *ld, uint8_t c)
{
    ld->buf[ld->head % LDISC_SIZE] = c;
    ld->head++;
}

enum store_result { STORE_OK, STORE_DROPPED, STORE_FULL };

/* May a byte of a line (or raw byte) be stored? Canonical mode keeps one slot for the line's end. */
static enum store_result store_check(const struct ldisc *ld, size_t n)
{
    bool canon = L_FLAG(ld, ICANON);
    size_t room = LDISC_SIZE - ldisc_used(ld);

    if (room >= n + (canon ? 1 : 0)) {
        return STORE_OK;
    }
    return canon && ld->canon_head == ld->tail ? STORE_DROPPED : STORE_FULL;
}

static void drop_with_bell(struct ldisc *ld)
{
    if (I_FLAG(ld, IMAXBEL)) {
        ldisc_echo_raw(ld, '\a');
    }
}

/* The line ends here: `c` is stored as its delimiter (0: end of file). False: no room. */
static bool end_line(struct ldisc *ld, uint8_t c, struct ldisc_events *events)
{
    if (ldisc_used(ld) >= LDISC_SIZE) {
        return false;
    }
    delim_set(ld, ld->head);
    store(ld, c);
    ld->canon_head = ld->head;
    events->readable = true;
    return true;
}

/* ---- editing ---- */

static void finish_erasing(struct ldisc *ld)
{
    if (ld->erasing) {
        ldisc_echo_raw(ld, '/');
        ld->erasing = false;
    }
}

/* Columns that the line takes between its start (or the last tab) and `end`, for erasing a tab. */
static unsigned columns_before(const struct ldisc *ld, uint32_t end, bool *ret_after_tab)
{
    unsigned columns = 0;

    *ret_after_tab = false;
    for (uint32_t at = end; at != ld->canon_head;) {
        uint8_t c = ring_at(ld, --at);
        if (c == '\t') {
            *ret_after_tab = true;
            break;
        }
        if (is_control(c)) {
            columns += L_FLAG(ld, ECHOCTL) ? 2 : 0;
        } else if (!is_continuation(ld, c)) {
            columns++;
        }
    }
    return columns;
}

/* Rub out on the screen what the byte `c`, now beyond head, showed. */
static void echo_erase(struct ldisc *ld, uint8_t c)
{
    unsigned columns;
    bool after_tab;

    if (c == '\t') {
        columns = columns_before(ld, ld->head, &after_tab);
        ldisc_echo_erase_tab(ld, columns, after_tab);
        return;
    }
    if (is_control(c)) {
        if (!L_FLAG(ld, ECHOCTL)) {
            return;
        }
        ldisc_echo_rubout(ld);
    }
    ldisc_echo_rubout(ld);
}

/* Take the last character (with its UTF-8 continuation bytes) from the line and show it. False: the line is empty. */
static bool erase_one(struct ldisc *ld, uint8_t echo_as)
{
    uint32_t at = ld->head;
    uint8_t c;

    if (at == ld->canon_head) {
        return false;
    }
    do {
        c = ring_at(ld, --at);
    } while (at != ld->canon_head && is_continuation(ld, c));
    if (is_continuation(ld, c)) {
        return false; /* nothing but the tail of a character that was read already */
    }
    if (L_FLAG(ld, ECHO)) {
        if (L_FLAG(ld, ECHOPRT)) {
            if (!ld->erasing) {
                ldisc_echo_raw(ld, '\\');
                ld->erasing = true;
            }
            ldisc_echo_char(ld, c);
            for (uint32_t i = at + 1; i != ld->head; i++) {
                ldisc_echo_raw(ld, ring_at(ld, i));
            }
        } else if (!L_FLAG(ld, ECHOE)) {
            ldisc_echo_char(ld, echo_as);
        } else {
            ld->head = at;
            echo_erase(ld, c);
        }
    }
    ld->head = at;
    return true;
}

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
           c >= 0x80;
}

/* VWERASE: what is not a word, then the word. */
static void erase_word(struct ldisc *ld, uint8_t echo_as)
{
    bool seen = false;

    while (ld->head != ld->canon_head) {
        bool word = is_word(ring_at(ld, ld->head - 1));
        if (seen && !word) {
            break;
        }
        seen = seen || word;
        if (!erase_one(ld, echo_as)) {
            break;
        }
    }
}

static void kill_line(struct ldisc *ld, uint8_t c)
{
    bool visual = L_FLAG(ld, ECHOK) && L_FLAG(ld, ECHOKE) && L_FLAG(ld, ECHOE);

    if (L_FLAG(ld, ECHO) && visual) {
        while (erase_one(ld, c)) {
        }
        return;
    }
    ld->head = ld->canon_head;
    if (L_FLAG(ld, ECHO)) {
        finish_erasing(ld);
        ldisc_echo_char(ld, c);
        if (L_FLAG(ld, ECHOK)) {
            ldisc_echo_raw(ld, '\n');
        }
    }
}

static void reprint_line(struct ldisc *ld, uint8_t c)
{
    finish_erasing(ld);
    ldisc_echo_char(ld, c);
    ldisc_echo_raw(ld, '\n');
    for (uint32_t at = ld->canon_head; at != ld->head; at++) {
        ldisc_echo_char(ld, ring_at(ld, at));
    }
}

static void echo_typed(struct ldisc *ld, uint8_t c)
{
    if (L_FLAG(ld, ECHO)) {
        finish_erasing(ld);
        if (ld->canon_head == ld->head) {
            ldisc_echo_mark_start(ld);
        }
        if (c == '\n') {
            ldisc_echo_raw(ld, '\n');
        } else {
            ldisc_echo_char(ld, c);
        }
    }
}

/* Editing and line ends. 1: done with this byte; 0: an ordinary byte; -1: no room. */
static int canon_byte(struct ldisc *ld, uint8_t c, struct ldisc_events *events)
{
    bool extended = L_FLAG(ld, IEXTEN);
    bool eof = is_cc(ld, VEOF, c);

    if (is_cc(ld, VERASE, c)) {
        (void)erase_one(ld, c);
        return 1;
    }
    if (is_cc(ld, VKILL, c)) {
        kill_line(ld, c);
        return 1;
    }
    if (extended && is_cc(ld, VWERASE, c)) {
        erase_word(ld, c);
        return 1;
    }
    if (extended && is_cc(ld, VLNEXT, c)) {
        ld->lnext = true;
        if (L_FLAG(ld, ECHO)) {
            finish_erasing(ld);
            if (L_FLAG(ld, ECHOCTL)) {
                ldisc_echo_raw(ld, '^');
                ldisc_echo_raw(ld, '\b');
            }
        }
        return 1;
    }
    if (extended && is_cc(ld, VREPRINT, c) && L_FLAG(ld, ECHO)) {
        reprint_line(ld, c);
        return 1;
    }
    if (c != '\n' && !eof && !is_cc(ld, VEOL, c) && !(extended && is_cc(ld, VEOL2, c))) {
        return 0;
    }
    if (ldisc_used(ld) >= LDISC_SIZE) {
        return -1;
    }
    if (c == '\n' && !L_FLAG(ld, ECHO) && L_FLAG(ld, ECHONL)) {
        ldisc_echo_raw(ld, '\n');
    } else if (!eof) {
        echo_typed(ld, c);
    }
    return end_line(ld, eof ? 0 : c, events) ? 1 : -1;
}

/* An ordinary byte. False: the ring is full and the source has to wait. */
static bool ordinary_byte(struct ldisc *ld, uint8_t c, struct ldisc_events *events)
{
    bool doubled = c == 0xff && I_FLAG(ld, PARMRK) && !I_FLAG(ld, ISTRIP);

    switch (store_check(ld, doubled ? 2 : 1)) {
    case STORE_FULL:
        return false;
    case STORE_DROPPED:
        drop_with_bell(ld);
        return true;
    case STORE_OK:
        break;
    }
    echo_typed(ld, c);
    if (doubled) {
        store(ld, c);
    }
    store(ld, c);
    if (!L_FLAG(ld, ICANON)) {
        events->readable = true;
    }
    return true;
}

static void set_stopped(struct ldisc *ld, bool stopped, struct ldisc_events *events)
{
    if (ld->stopped != stopped) {
        ld->stopped = stopped;
        events->flow_changed = true;
    }
}

static void signal_byte(struct ldisc *ld, int signo, uint8_t c, struct ldisc_events *events)
{
    events->signals |= BIT(signo);
    if (!L_FLAG(ld, NOFLSH)) {
        events->flush_output = true;
        ldisc_flush_input(ld);
        ldisc_echo_discard(ld);
    }
    if (I_FLAG(ld, IXON)) {
        set_stopped(ld, false, events);
    }
    if (L_FLAG(ld, ECHO)) {
        ldisc_echo_char(ld, c);
    }
}

/* A byte of the special set. False: no room for it. */
static bool special_byte(struct ldisc *ld, uint8_t c, struct ldisc_events *events)
{
    int done;

    if (I_FLAG(ld, IXON)) {
        /* One character may be both, and then it toggles. */
        if (is_cc(ld, VSTART, c) && (!is_cc(ld, VSTOP, c) || ld->stopped)) {
            set_stopped(ld, false, events);
            return true;
        }
        if (is_cc(ld, VSTOP, c)) {
            set_stopped(ld, true, events);
            return true;
        }
    }
    if (L_FLAG(ld, ISIG)) {
        int signo = is_cc(ld, VINTR, c)   ? SIGINT
                    : is_cc(ld, VQUIT, c) ? SIGQUIT
                    : is_cc(ld, VSUSP, c) ? SIGTSTP
                                          : 0;
        if (signo != 0) {
            signal_byte(ld, signo, c, events);
            return true;
        }
    }
    if (c == '\r') {
        if (I_FLAG(ld, IGNCR)) {
            return true;
        }
        if (I_FLAG(ld, ICRNL)) {
            c = '\n';
        }
    } else if (c == '\n' && I_FLAG(ld, INLCR)) {
        c = '\r';
    }
    done = L_FLAG(ld, ICANON) ? canon_byte(ld, c, events) : 0;
    return done == 0 ? ordinary_byte(ld, c, events) : done > 0;
}

static bool one_byte(struct ldisc *ld, uint8_t c, struct ldisc_events *events)
{
    bool taken;

    if (I_FLAG(ld, ISTRIP)) {
        c &= 0x7f;
    }
    if (I_FLAG(ld, IUCLC) && L_FLAG(ld, IEXTEN) && c >= 'A' && c <= 'Z') {
        c |= 0x20;
    }
    if (ld->lnext) {
        taken = ordinary_byte(ld, c, events);
        ld->lnext = !taken;
        return taken;
    }
    if (ld->stopped && I_FLAG(ld, IXON) && I_FLAG(ld, IXANY) && !is_cc(ld, VSTOP, c)) {
        set_stopped(ld, false, events);
    }
    return is_special(ld, c) ? special_byte(ld, c, events) : ordinary_byte(ld, c, events);
}

/* ---- receiving ---- */

static size_t ring_copy_in(struct ldisc *ld, const uint8_t *src, size_t n)
{
    size_t at = ld->head % LDISC_SIZE;
    size_t first;

    n = MIN(n, LDISC_SIZE - ldisc_used(ld));
    first = MIN(n, (size_t)LDISC_SIZE - at);
    memcpy(ld->buf + at, src, first);
    memcpy(ld->buf, src + first, n - first);
    ld->head += (uint32_t)n;
    return n;
}

/* Length of the leading run that needs nothing but storing (no special byte). */
static size_t simple_run(const struct ldisc *ld, const uint8_t *data, size_t len)
{
    size_t n = 0;

    while (n < len && !is_special(ld, data[n])) {
        n++;
    }
    return n;
}

size_t ldisc_receive(struct ldisc *ld, const uint8_t *data, size_t len_bytes,
                     struct ldisc_events *events)
{
    size_t i = 0;
    bool runs = !L_FLAG(ld, ECHO) && !I_FLAG(ld, ISTRIP | IUCLC) && !I_FLAG(ld, IXANY);

    if (ld->plain && !ld->lnext) {
        i = ring_copy_in(ld, data, len_bytes);
        events->readable = events->readable || i > 0;
        return i;
    }
    while (i < len_bytes) {
        size_t run = runs && !ld->lnext ? simple_run(ld, data + i, len_bytes - i) : 0;
        if (run > 1 && store_check(ld, run) == STORE_OK) {
            i += ring_copy_in(ld, data + i, run);
            events->readable = events->readable || !L_FLAG(ld, ICANON);
            continue;
        }
        if (!one_byte(ld, data[i], events)) {
            break;
        }
        i++;
    }
    return i;
}

/* Bytes that bypass every interpretation (marks of breaks and errors). */
static void store_marked(struct ldisc *ld, const uint8_t *bytes, size_t n,
                         struct ldisc_events *events)
{
    if (store_check(ld, n) == STORE_OK) {
        for (size_t i = 0; i < n; i++) {
            store(ld, bytes[i]);
        }
        events->readable = events->readable || !L_FLAG(ld, ICANON);
    }
}

void ldisc_receive_error(struct ldisc *ld, uint8_t byte, unsigned kind, struct ldisc_events *events)
{
    uint8_t mark[3] = {0xff, 0, byte};
    uint8_t nul = 0;

    if (kind == 0) {
        if (I_FLAG(ld, IGNBRK)) {
            return;
        }
        if (I_FLAG(ld, BRKINT)) {
            events->signals |= BIT(SIGINT);
            events->flush_output = true;
            ldisc_flush_input(ld);
            ldisc_echo_discard(ld);
            return;
        }
        mark[2] = 0;
    } else if (!I_FLAG(ld, INPCK)) {
        (void)ldisc_receive(ld, &byte, 1, events);
        return;
    } else if (I_FLAG(ld, IGNPAR)) {
        return;
    }
    if (I_FLAG(ld, PARMRK)) {
        store_marked(ld, mark, sizeof(mark), events);
    } else {
        store_marked(ld, &nul, 1, events);
    }
}
