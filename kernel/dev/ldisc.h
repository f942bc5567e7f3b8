/*
 * The line discipline's core (termios(3); POSIX.1-2017 chapter 11): input bytes become lines or raw bytes in a ring, echoes become a queue,
 * output bytes are processed. It knows no lock, no thread and no driver: tty.c wraps it and acts on the events it returns.
 *
 * The ring's counters run freely (position = counter % LDISC_SIZE):
 *
 *     tail ......... canon_head ......... head
 *      | whole lines, readable | line being typed |
 *
 * In raw mode canon_head is unused and all of tail..head is readable. `delim` marks positions that end a line; a marked 0 byte is an
 * end-of-file character (it cannot be another delimiter, since 0 disables a special character).
 */
#pragma once

#include <asm/termbits.h>

#include "kernel/base/types.h"

#define LDISC_SIZE      4096u
#define LDISC_ECHO_SIZE 1024u

struct ldisc {
    struct ktermios termios; /* copy, so that receiving needs no sleeping lock */
    uint64_t special[4];     /* bytes that need more than store and echo */
    bool plain;              /* no byte is special and nothing is changed or echoed: bulk copy */
    bool lnext;              /* the next byte is literal */
    bool erasing;            /* ECHOPRT: between \ and / */
    bool stopped;            /* output is stopped; for IXON and IXANY */
    bool pushed; /* canonical mode was switched on over unread raw bytes: they are one line */

    uint32_t head, tail, canon_head;
    uint32_t flushes; /* counts flushes: a reader sees that what it copied is no longer there */
    uint32_t echo_head, echo_tail;
    unsigned column;       /* output column, for tabs and for erasing them */
    unsigned canon_column; /* where the line being typed began */

    uint64_t delim[LDISC_SIZE / 64];
    uint16_t echo[LDISC_ECHO_SIZE];
    uint8_t buf[LDISC_SIZE];
};

/* What the owner has to do after a receive. */
struct ldisc_events {
    uint64_t signals;  /* BIT(signo) for the foreground group */
    bool readable;     /* readers have something new */
    bool flush_output; /* a signal character without NOFLSH */
    bool flow_changed; /* look at ld->stopped */
};

void ldisc_init(struct ldisc *ld, const struct ktermios *termios);
/* New settings; turning ICANON on or off converts what is buffered as Linux does. */
void ldisc_set_termios(struct ldisc *ld, const struct ktermios *termios);
/* Process input. Returns the bytes taken: fewer than len only when the buffer is full of data that a reader may take. */
size_t ldisc_receive(struct ldisc *ld, const uint8_t *data, size_t len_bytes,
                     struct ldisc_events *events);
/* A break (kind 0), or a byte with a parity (1) or framing (2) error. */
void ldisc_receive_error(struct ldisc *ld, uint8_t byte, unsigned kind,
                         struct ldisc_events *events);
void ldisc_flush_input(struct ldisc *ld);

/* Bytes that read(2) may have now: in canonical mode 0 or more of the first line (an empty line for end of file counts). */
bool ldisc_readable(const struct ldisc *ld, size_t want);
/* FIONREAD. */
size_t ldisc_available(const struct ldisc *ld);
/* Room for raw bytes; in canonical mode SIZE_MAX while no line is complete, since what does not fit is dropped. */
size_t ldisc_room(const struct ldisc *ld);
static inline size_t ldisc_used(const struct ldisc *ld)
{
    return ld->head - ld->tail;
}

/*
 * Copy what a read may have, without taking it: up to `size` bytes into dst, at most to the end of the first line in canonical mode.
 * `want` is what the reader still has room for (>= size). *ret_consume: what ldisc_consume() has to take (an end-of-file mark too);
 * *ret_end: the line is finished.
 */
size_t ldisc_peek(const struct ldisc *ld, uint8_t *dst, size_t size, size_t want,
                  size_t *ret_consume, bool *ret_end);
void ldisc_consume(struct ldisc *ld, size_t n);

/* Output processing: fills dst (at most `room`) from src; returns bytes written, *ret_used bytes of src consumed. */
size_t ldisc_output(struct ldisc *ld, const uint8_t *src, size_t len_bytes, uint8_t *dst,
                    size_t room, size_t *ret_used);
/* The next echoes as output bytes, at most `room`. */
size_t ldisc_echo_output(struct ldisc *ld, uint8_t *dst, size_t room);
static inline bool ldisc_echo_pending(const struct ldisc *ld)
{
    return ld->echo_head != ld->echo_tail;
}
