/*
 * Line discipline, reading side: what a read(2) may have of the ring.
 */
#include "kernel/base/string.h"
#include "kernel/dev/ldisc_impl.h"

bool ldisc_readable(const struct ldisc *ld, size_t want)
{
    if (L_FLAG(ld, ICANON)) {
        return ld->canon_head != ld->tail;
    }
    return ldisc_used(ld) >= want;
}

size_t ldisc_available(const struct ldisc *ld)
{
    size_t n;

    if (!L_FLAG(ld, ICANON)) {
        return ldisc_used(ld);
    }
    n = ld->canon_head - ld->tail;
    for (uint32_t at = ld->tail; at != ld->canon_head; at++) {
        if (delim_at(ld, at) && ring_at(ld, at) == 0) {
            n--; /* an end-of-file mark is no byte */
        }
    }
    return n;
}

size_t ldisc_room(const struct ldisc *ld)
{
    if (L_FLAG(ld, ICANON) && ld->canon_head == ld->tail) {
        return SIZE_MAX;
    }
    return LDISC_SIZE - ldisc_used(ld);
}

static void ring_copy_out(const struct ldisc *ld, uint8_t *dst, size_t n)
{
    size_t at = ld->tail % LDISC_SIZE;
    size_t first = MIN(n, (size_t)LDISC_SIZE - at);

    memcpy(dst, ld->buf + at, first);
    memcpy(dst + first, ld->buf, n - first);
}

/* The first delimiter in [tail, end), or end. Looks at 64 positions at a time. */
static uint32_t find_delim(const struct ldisc *ld, uint32_t end)
{
    uint32_t at = ld->tail;

    while (at != end) {
        uint64_t word = ld->delim[at % LDISC_SIZE / 64] >> (at % 64);
        if (word != 0) {
            uint32_t step = (uint32_t)__builtin_ctzll(word);
            return end - at > step ? at + step : end;
        }
        at += MIN(64 - at % 64, end - at);
    }
    return end;
}

static size_t peek_line(const struct ldisc *ld, uint8_t *dst, size_t size, size_t want,
                        size_t *ret_consume, bool *ret_end)
{
    uint32_t delim = find_delim(ld, ld->canon_head);
    bool found = delim != ld->canon_head;
    bool eof = found && ring_at(ld, delim) == 0;
    size_t len = delim - ld->tail + (found && !eof ? 1 : 0);
    size_t n = MIN(len, size);

    ring_copy_out(ld, dst, n);
    *ret_consume = n;
    *ret_end = found && n == len;
    if (eof && n == len) {
        *ret_consume = n + 1;
    } else if (n == want || (!found && n == len)) {
        *ret_end = true; /* the reader's buffer is full, or the pushed line is at its end */
    }
    return n;
}

size_t ldisc_peek(const struct ldisc *ld, uint8_t *dst, size_t size, size_t want,
                  size_t *ret_consume, bool *ret_end)
{
    size_t n;

    if (L_FLAG(ld, ICANON)) {
        return peek_line(ld, dst, size, want, ret_consume, ret_end);
    }
    n = MIN(ldisc_used(ld), size);
    ring_copy_out(ld, dst, n);
    *ret_consume = n;
    *ret_end = n == want;
    return n;
}

void ldisc_consume(struct ldisc *ld, size_t n)
{
    if (L_FLAG(ld, ICANON)) {
        /* Only the last consumed byte can be a delimiter: a read stops at it. */
        if (n > 0) {
            delim_clear(ld, ld->tail + (uint32_t)n - 1);
        }
    }
    ld->tail += (uint32_t)n;
    if (ld->tail == ld->canon_head) {
        ld->pushed = false;
    }
}
