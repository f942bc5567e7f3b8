/*
 * A block is a row of sequences (LZ4 Block Format Description, "Compressed block format"):
 *
 *     token            high four bits: literals, low four bits: match length - 4; 15 says that more follows
 *     [255 ... n]      more of the number of literals: bytes are added until one is below 255
 *     literals
 *     offset           little endian, 16 bits: how far back the match starts, never 0
 *     [255 ... n]      more of the match length
 *
 * The last sequence ends behind its literals. "End of block conditions": the last five bytes are literals, and the last match starts at
 * least twelve bytes before the end. Decoders need not insist on them, and this one does not.
 *
 * Both sides move eight bytes at a time wherever that many fit, also beyond the end of a piece: what they spoil there is written later.
 */
#include "kernel/base/lz4.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"

#define MATCH_MIN     4u
#define RUN_MASK      15u
#define LAST_LITERALS 5u
#define MATCH_MARGIN  12u /* no match starts nearer to the end */
#define CHUNK         8u
#define SHORT_IN      (2 * (ptrdiff_t)CHUNK + 2) /* what decode_short() may read and write */
#define SHORT_OUT     (RUN_MASK + 3 * (ptrdiff_t)CHUNK)
#define SKIP_SHIFT    5 /* after 32 misses look at every second position, and so on */

struct unaligned16 {
    uint16_t value;
} __packed;
struct unaligned32 {
    uint32_t value;
} __packed;
struct unaligned64 {
    uint64_t value;
} __packed;

static __always_inline uint32_t load32(const uint8_t *p)
{
    return ((const struct unaligned32 *)p)->value;
}

static __always_inline uint64_t load64(const uint8_t *p)
{
    return ((const struct unaligned64 *)p)->value;
}

static __always_inline void copy8(uint8_t *dst, const uint8_t *src)
{
    ((struct unaligned64 *)dst)->value = load64(src);
}

/* ---- compression ---- */

/* Multiplicative hashing (Knuth, TAOCP volume 3, 6.4) by 2^32 times the golden ratio. */
static __always_inline unsigned hash4(uint32_t value)
{
    return (value * 2654435761u) >> (32 - LZ4_TABLE_BITS);
}

/* How many bytes from a and b on are the same, a up to `end`; b lies before a. */
static __always_inline size_t common_length(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
    const uint8_t *start = a;

    while (end - a >= (ptrdiff_t)CHUNK) {
        uint64_t diff = load64(a) ^ load64(b);
        if (diff != 0) {
            return (size_t)(a - start) + ((unsigned)__builtin_ctzll(diff) >> 3);
        }
        a += CHUNK;
        b += CHUNK;
    }
    while (a < end && *a == *b) {
        a++;
        b++;
    }
    return (size_t)(a - start);
}

/* How many bytes of length follow a token. */
static __always_inline size_t length_bytes(size_t n)
{
    return n < RUN_MASK ? 0 : (n - RUN_MASK) / 255 + 1;
}

/* The part of a length above 15, behind a token. */
static __always_inline uint8_t *put_length(uint8_t *out, size_t rest)
{
    while (rest >= 255) {
        *out++ = 255;
        rest -= 255;
    }
    *out++ = (uint8_t)rest;
    return out;
}

struct compressor {
    uint8_t *out, *out_end;
    const uint8_t *in_end;
};

/* Token and literals; *ret_token is where the match length goes in. False: no room (for `more` bytes behind them too). */
static __always_inline bool put_literals(struct compressor *c, const uint8_t *literals, size_t n,
                                         size_t more, uint8_t **ret_token)
{
    uint8_t *out = c->out;

    if ((size_t)(c->out_end - out) < 1 + length_bytes(n) + n + more) {
        return false;
    }
    *ret_token = out++;
    if (n >= RUN_MASK) {
        **ret_token = RUN_MASK << 4;
        out = put_length(out, n - RUN_MASK);
    } else {
        **ret_token = (uint8_t)(n << 4);
    }
    if (n <= CHUNK && c->in_end - literals >= (ptrdiff_t)CHUNK &&
        c->out_end - out >= (ptrdiff_t)CHUNK) {
        copy8(out, literals);
    } else {
        memcpy(out, literals, n);
    }
    c->out = out + n;
    return true;
}

static __always_inline bool put_sequence(struct compressor *c, const uint8_t *literals, size_t n,
                                         size_t offset, size_t length)
{
    uint8_t *token;

    length -= MATCH_MIN;
    if (!put_literals(c, literals, n, 2 + length_bytes(length), &token)) {
        return false;
    }
    *c->out++ = (uint8_t)offset;
    *c->out++ = (uint8_t)(offset >> 8);
    if (length >= RUN_MASK) {
        *token |= RUN_MASK;
        c->out = put_length(c->out, length - RUN_MASK);
    } else {
        *token |= (uint8_t)length;
    }
    return true;
}

/* The first match at or after `at` that starts before `limit`. NULL: none. */
static __always_inline const uint8_t *find_match(const uint8_t *base, const uint8_t *at,
                                                 const uint8_t *limit, struct lz4_table *table,
                                                 const uint8_t **ret_match)
{
    size_t step = 1u << SKIP_SHIFT;

    while (at < limit) {
        uint32_t value = load32(at);
        uint16_t *entry = &table->position[hash4(value)];
        const uint8_t *match = base + *entry;
        *entry = (uint16_t)(at - base);
        if (load32(match) == value) {
            *ret_match = match;
            return at;
        }
        at += step++ >> SKIP_SHIFT;
    }
    return NULL;
}

size_t lz4_compress(const void *src, size_t src_len, void *dst, size_t dst_size,
                    struct lz4_table *table)
{
    const uint8_t *base = src, *end = base + src_len, *anchor = base;
    struct compressor c = {.out = dst, .out_end = (uint8_t *)dst + dst_size, .in_end = end};
    uint8_t *token;

    if (src_len > LZ4_BLOCK_MAX) {
        return 0;
    }
    if (src_len > MATCH_MARGIN) {
        const uint8_t *limit = end - MATCH_MARGIN + 1, *at = base + 1, *match;
        /* Position 0 is where all entries point at first: it is never looked up, only found. */
        memset(table, 0, sizeof(*table));
        while ((at = find_match(base, at, limit, table, &match)) != NULL) {
            while (at > anchor && match > base && at[-1] == match[-1]) {
                at--;
                match--;
            }
            size_t length =
                MATCH_MIN + common_length(at + MATCH_MIN, match + MATCH_MIN, end - LAST_LITERALS);
            if (!put_sequence(&c, anchor, (size_t)(at - anchor), (size_t)(at - match), length)) {
                return 0;
            }
            at += length;
            anchor = at;
            /* Data that repeats often does so from within a match on. */
            table->position[hash4(load32(at - 2))] = (uint16_t)(at - 2 - base);
        }
    }
    if (!put_literals(&c, anchor, (size_t)(end - anchor), 0, &token)) {
        return 0;
    }
    return (size_t)(c.out - (uint8_t *)dst);
}

/* ---- decompression ---- */

/* The rest of a length whose first part was 15. False: the block ends in it, or it is beyond all bounds. */
static __always_inline bool get_length(const uint8_t **in, const uint8_t *end, size_t *length)
{
    const uint8_t *p = *in;
    uint8_t byte;

    do {
        if (p >= end || *length > SIZE_MAX / 2) {
            return false;
        }
        byte = *p++;
        *length += byte;
    } while (byte == 255);
    *in = p;
    return true;
}

/* Repeat what is `offset` bytes before `out`, `length` bytes long, of which it may itself be part. All of it fits. */
static void copy_match(uint8_t *out, size_t offset, size_t length, const uint8_t *out_end)
{
    /* The smallest multiple of an offset below 8 that is at least 8. */
    static const uint8_t spread[CHUNK] = {0, 8, 8, 9, 8, 10, 12, 14};
    const uint8_t *match = out - offset, *end = out + length;

    if (offset < CHUNK && out_end - out >= (ptrdiff_t)CHUNK) {
        for (unsigned i = 0; i < CHUNK; i++) {
            out[i] = match[i];
        }
        out += CHUNK;
        match = out - spread[offset];
    }
    while (out < end && out_end - out >= (ptrdiff_t)(2 * CHUNK)) {
        copy8(out, match);
        copy8(out + CHUNK, match + CHUNK);
        out += 2 * CHUNK;
        match += 2 * CHUNK;
    }
    while (out < end) {
        *out++ = *match++;
    }
}

struct decoder {
    const uint8_t *in, *in_end;
    uint8_t *base, *out, *out_end;
};

/*
 * The common sequence, short and far from all ends, copied with more than its lengths. False: it is not one, and either nothing was
 * read, or literals and offset were and the match is not yet copied.
 */
static __always_inline bool decode_short(struct decoder *d, unsigned token, size_t *ret_offset)
{
    size_t literals = token >> 4, length = (token & RUN_MASK) + MATCH_MIN;

    if (literals == RUN_MASK || d->in_end - d->in < SHORT_IN || d->out_end - d->out < SHORT_OUT) {
        return false;
    }
    copy8(d->out, d->in);
    copy8(d->out + CHUNK, d->in + CHUNK);
    d->in += literals;
    d->out += literals;
    size_t offset = ((const struct unaligned16 *)d->in)->value;
    d->in += 2;
    if (offset < CHUNK || offset > (size_t)(d->out - d->base) || length == RUN_MASK + MATCH_MIN) {
        *ret_offset = offset;
        return false;
    }
    const uint8_t *match = d->out - offset;
    copy8(d->out, match);
    copy8(d->out + CHUNK, match + CHUNK);
    copy8(d->out + 2 * CHUNK, match + 2 * CHUNK);
    d->out += length;
    return true;
}

/* Literals of any number. False: damaged. */
static __always_inline bool decode_literals(struct decoder *d, unsigned token)
{
    size_t n = token >> 4;

    if (n == RUN_MASK && !get_length(&d->in, d->in_end, &n)) {
        return false;
    }
    if (n > (size_t)(d->in_end - d->in) || n > (size_t)(d->out_end - d->out)) {
        return false;
    }
    memcpy(d->out, d->in, n);
    d->in += n;
    d->out += n;
    return true;
}

/* A match of any length, from the rest of its length on. False: damaged. */
static __always_inline bool decode_match(struct decoder *d, unsigned token, size_t offset)
{
    size_t n = token & RUN_MASK;

    if (n == RUN_MASK && !get_length(&d->in, d->in_end, &n)) {
        return false;
    }
    n += MATCH_MIN;
    if (offset == 0 || offset > (size_t)(d->out - d->base) || n > (size_t)(d->out_end - d->out)) {
        return false;
    }
    copy_match(d->out, offset, n, d->out_end);
    d->out += n;
    return true;
}

ssize_t lz4_decompress(const void *src, size_t src_len, void *dst, size_t dst_size)
{
    struct decoder d = {.in = src, .base = dst, .out = dst};
    size_t offset;

    d.in_end = d.in + src_len;
    d.out_end = d.base + dst_size;
    while (d.in < d.in_end) {
        unsigned token = *d.in++;
        const uint8_t *start = d.in;
        if (likely(decode_short(&d, token, &offset))) {
            continue;
        }
        if (d.in == start) {
            if (!decode_literals(&d, token)) {
                return -EINVAL;
            }
            if (d.in == d.in_end) {
                return d.out - d.base;
            }
            if (d.in_end - d.in < 2) {
                return -EINVAL;
            }
            offset = ((const struct unaligned16 *)d.in)->value;
            d.in += 2;
        }
        if (!decode_match(&d, token, offset)) {
            return -EINVAL;
        }
    }
    return -EINVAL; /* empty, or it ends behind a match */
}
