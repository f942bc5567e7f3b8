/*
 * DEFLATE (RFC 1951).
 *
 * Output goes through a window of twice the reach of a back reference: it is handed to the sink in halves, so that the last 32 KiB
 * are always there to copy from without wrapping around.
 *
 * Huffman codes are decoded by tables: the next FIRST_BITS bits index the first table, whose entry gives the symbol or, for longer
 * codes, a second table and the bits to index it with. Entry: symbol << 4 | code length; a link has LINK set, the second table's
 * start in place of the symbol, and its index width in place of the length.
 *
 * Hostile input: every code is checked when its table is built (over-subscribed and incomplete ones are refused, but for the single
 * distance code that RFC 1951 3.2.7 allows), and every copy stays inside what was written. Missing input reads as zero bits
 * and is noticed at the next symbol.
 */
#include "kernel/base/inflate.h"

#include "kernel/base/checksum.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"

#define FIRST_BITS   9
#define CODE_MAX     15  /* longest code */
#define NLITERALS    288 /* literal and length symbols, the two reserved ones counted */
#define NDISTANCES   32
#define NCODELENGTHS 19
#define END_OF_BLOCK 256
#define WINDOW_BYTES (2 * INFLATE_WINDOW)
/*
 * Codes are given out in the order of their lengths, so a second table holds codes of one length, and then has as many
 * entries as codes, or it holds the change from one length to the next: there are five of those between 10 and 15 bits.
 */
#define TABLE_ENTRIES(nsymbols)                                                                    \
    ((1u << FIRST_BITS) + (nsymbols) +                                                             \
     (CODE_MAX - FIRST_BITS - 1) * (1u << (CODE_MAX - FIRST_BITS)))
#define LINK 0x8000u

/* A symbol and its length, or a link: see above. 0 where no code is. */
typedef uint16_t entry_t;

struct inflate_state {
    /* Input. */
    const uint8_t *in;
    const uint8_t *in_end;
    uint64_t bits; /* not yet used, next one lowest */
    unsigned nbits;
    unsigned nmissing; /* bytes read beyond the end of the input */

    /* Output. */
    const struct inflate_sink *sink;
    uint32_t at;      /* next byte to write in the window */
    uint32_t flushed; /* bytes before this one have gone to the sink */
    uint64_t total;   /* bytes that have gone to the sink */
    uint32_t crc;

    entry_t literals[TABLE_ENTRIES(NLITERALS)];
    entry_t distances[TABLE_ENTRIES(NDISTANCES)];
    uint8_t lengths[NLITERALS + NDISTANCES];
    uint8_t window[WINDOW_BYTES];
};

size_t inflate_state_size(void)
{
    return sizeof(struct inflate_state);
}

/* ---- input ---- */

/* At least 56 bits are there afterwards. */
static inline void refill(struct inflate_state *s)
{
    if (likely(s->in_end - s->in >= 8)) {
        uint64_t word;
        __builtin_memcpy(&word, s->in, 8);
        s->bits |= word << s->nbits;
        s->in += (63 - s->nbits) / 8;
        s->nbits |= 56;
        return;
    }
    for (; s->nbits <= 56; s->nbits += 8) {
        if (s->in < s->in_end) {
            s->bits |= (uint64_t)*s->in++ << s->nbits;
        } else {
            s->nmissing++;
        }
    }
}

static inline void drop_bits(struct inflate_state *s, unsigned n)
{
    s->bits >>= n;
    s->nbits -= n;
}

/* n <= 32 bits that refill() has provided. */
static inline uint32_t take_bits(struct inflate_state *s, unsigned n)
{
    uint32_t value = (uint32_t)(s->bits & (BIT(n) - 1));

    drop_bits(s, n);
    return value;
}

/* Whether bits have been used that the input does not have. */
static inline bool is_truncated(const struct inflate_state *s)
{
    return s->nmissing * 8 > s->nbits;
}

/* Give the whole bytes that are still in `bits` back to the input. False: the input has ended before. */
static bool align_to_byte(struct inflate_state *s)
{
    drop_bits(s, s->nbits % 8);
    if (is_truncated(s)) {
        return false;
    }
    s->in -= s->nbits / 8 - s->nmissing;
    s->bits = 0;
    s->nbits = 0;
    s->nmissing = 0;
    return true;
}

/* ---- output ---- */

/* Hand over what is in the window; keep the last 32 KiB of it for references. */
static int flush_window(struct inflate_state *s)
{
    uint32_t n = s->at - s->flushed;
    int err;

    if (n != 0) {
        s->crc = crc32(s->crc, s->window + s->flushed, n);
        s->total += n;
        err = s->sink->write(s->sink->arg, s->window + s->flushed, n);
        if (err < 0) {
            return err;
        }
    }
    if (s->at > INFLATE_WINDOW) {
        memmove(s->window, s->window + s->at - INFLATE_WINDOW, INFLATE_WINDOW);
        s->at = INFLATE_WINDOW;
    }
    s->flushed = s->at;
    return 0;
}

/* Repeat `length` bytes from `distance` back; the two may overlap (RFC 1951, 3.2.3). There is room. */
static inline void copy_back(struct inflate_state *s, uint32_t distance, uint32_t length)
{
    uint8_t *to = s->window + s->at;
    const uint8_t *from = to - distance;

    s->at += length;
    if (distance >= 8) {
        for (; length >= 8; length -= 8, to += 8, from += 8) {
            __builtin_memcpy(to, from, 8);
        }
    }
    for (; length > 0; length--) {
        *to++ = *from++;
    }
}

/* ---- Huffman tables (RFC 1951, 3.2.2) ---- */

static unsigned reverse_bits(unsigned code, unsigned nbits)
{
    unsigned reversed = 0;

    for (; nbits > 0; nbits--, code >>= 1) {
        reversed = (reversed << 1) | (code & 1);
    }
    return reversed;
}

/* Count the codes of each length and find each length's first code. False: no prefix code. */
static bool first_codes(const uint8_t *lengths, unsigned n, unsigned counts[CODE_MAX + 1],
                        unsigned next[CODE_MAX + 1])
{
    unsigned code = 0, used = 0;
    int left = 1;

    for (unsigned i = 0; i <= CODE_MAX; i++) {
        counts[i] = 0;
    }
    for (unsigned i = 0; i < n; i++) {
        counts[lengths[i]]++;
    }
    used = n - counts[0];
    counts[0] = 0;
    next[0] = 0;
    for (unsigned len = 1; len <= CODE_MAX; len++) {
        code = (code + counts[len - 1]) << 1;
        next[len] = code;
        left = 2 * left - (int)counts[len];
        if (left < 0) {
            return false;
        }
    }
    /* All bit patterns are used; or there is one code of one bit, or none at all (only literals: no distance is ever read). */
    return left == 0 || used == 0 || (used == 1 && counts[1] == 1);
}

/* How many more bits the codes need whose first `first_bits` bits are those of `code`, of length `len` or longer. */
static unsigned second_width(const unsigned counts[CODE_MAX + 1], unsigned len, unsigned first_bits)
{
    unsigned width = len - first_bits;
    int left = 1 << width;

    while (first_bits + width < CODE_MAX) {
        left -= (int)counts[first_bits + width];
        if (left <= 0) {
            break;
        }
        width++;
        left <<= 1;
    }
    return width;
}

struct huffman {
    entry_t *table;
    unsigned nentries;
    unsigned used; /* entries of the first and the second tables so far */
    unsigned counts[CODE_MAX + 1];
    unsigned next[CODE_MAX + 1];
};

/* Enter one code. Those of one second table come in the order of their lengths. */
static int enter_code(struct huffman *h, unsigned symbol, unsigned len)
{
    unsigned code = reverse_bits(h->next[len]++, len);
    entry_t entry = (entry_t)(symbol << 4 | len);
    entry_t *first = &h->table[code & ((1u << FIRST_BITS) - 1)];

    if (len <= FIRST_BITS) {
        for (unsigned i = code; i < 1u << FIRST_BITS; i += 1u << len) {
            h->table[i] = entry;
        }
        return 0;
    }
    if (*first == 0) {
        unsigned width = second_width(h->counts, len, FIRST_BITS);
        if (h->used + (1u << width) > h->nentries) {
            return -EILSEQ;
        }
        *first = (entry_t)(LINK | h->used << 4 | width);
        h->used += 1u << width;
    }
    unsigned start = (*first & ~LINK) >> 4, width = *first & 15;
    for (unsigned i = code >> FIRST_BITS; i < 1u << width; i += 1u << (len - FIRST_BITS)) {
        h->table[start + i] = entry;
    }
    h->counts[len]--;
    return 0;
}

static int build_table(entry_t *table, unsigned nentries, const uint8_t *lengths, unsigned n)
{
    struct huffman h = {.table = table, .nentries = nentries, .used = 1u << FIRST_BITS};
    uint16_t order[NLITERALS + NDISTANCES];
    unsigned start[CODE_MAX + 2] = {0};

    if (!first_codes(lengths, n, h.counts, h.next)) {
        return -EILSEQ;
    }
    memset(table, 0, nentries * sizeof(*table));
    /* Symbols sorted by length, by counting. */
    for (unsigned len = 1; len <= CODE_MAX; len++) {
        start[len + 1] = start[len] + h.counts[len];
    }
    unsigned total = start[CODE_MAX + 1];
    for (unsigned symbol = 0; symbol < n; symbol++) {
        if (lengths[symbol] != 0) {
            order[start[lengths[symbol]]++] = (uint16_t)symbol;
        }
    }
    for (unsigned i = 0; i < total; i++) {
        int err = enter_code(&h, order[i], lengths[order[i]]);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* The next symbol, or NO_SYMBOL for a bit pattern that is no code. At least CODE_MAX bits are there. */
#define NO_SYMBOL 0xfffu

static inline unsigned decode_symbol(struct inflate_state *s, const entry_t *table)
{
    entry_t entry = table[s->bits & ((1u << FIRST_BITS) - 1)];

    if (unlikely((entry & LINK) != 0)) {
        unsigned index = (unsigned)(s->bits >> FIRST_BITS) & ((1u << (entry & 15)) - 1);
        entry = table[((entry & ~LINK) >> 4) + index];
    }
    drop_bits(s, entry & 15);
    return entry != 0 ? entry >> 4 : NO_SYMBOL;
}

/* ---- blocks (RFC 1951, 3.2.3 - 3.2.7) ---- */

static const uint16_t length_base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                         15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                         67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_base[30] = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
#define LENGTH_MAX 258

/* The distance and the copy that belong to a length symbol. The bits of both are there. */
static int inflate_copy(struct inflate_state *s, unsigned symbol)
{
    uint32_t length, distance;

    symbol -= END_OF_BLOCK + 1;
    if (symbol >= ARRAY_SIZE(length_base)) {
        return -EILSEQ;
    }
    length = length_base[symbol] + take_bits(s, length_extra[symbol]);
    symbol = decode_symbol(s, s->distances);
    if (symbol >= ARRAY_SIZE(distance_base)) {
        return -EILSEQ;
    }
    distance = distance_base[symbol] + take_bits(s, symbol < 2 ? 0 : symbol / 2 - 1);
    if (distance > s->at) {
        return -EILSEQ;
    }
    copy_back(s, distance, length);
    return 0;
}

/* Symbols up to the end of the block, with both tables built. */
static int inflate_symbols(struct inflate_state *s)
{
    int err;

    for (;;) {
        if (unlikely(s->at > WINDOW_BYTES - LENGTH_MAX)) {
            err = flush_window(s);
            if (err < 0) {
                return err;
            }
        }
        /* 56 bits: enough for a length, a distance and the extra bits of both, 15 + 5 + 15 + 13. */
        refill(s);
        if (unlikely(s->nmissing != 0) && is_truncated(s)) {
            return -EIO;
        }
        unsigned symbol = decode_symbol(s, s->literals);
        if (symbol < END_OF_BLOCK) {
            s->window[s->at++] = (uint8_t)symbol;
        } else if (symbol == END_OF_BLOCK) {
            return is_truncated(s) ? -EIO : 0;
        } else {
            err = inflate_copy(s, symbol);
            if (err < 0) {
                return is_truncated(s) ? -EIO : err;
            }
        }
    }
}

static int inflate_stored(struct inflate_state *s)
{
    uint32_t len;

    if (!align_to_byte(s) || s->in_end - s->in < 4) {
        return -EIO;
    }
    len = s->in[0] | (uint32_t)s->in[1] << 8;
    if ((len ^ 0xffff) != (s->in[2] | (uint32_t)s->in[3] << 8)) {
        return -EILSEQ;
    }
    s->in += 4;
    if (s->in_end - s->in < (ssize_t)len) {
        return -EIO;
    }
    while (len > 0) {
        uint32_t n = MIN(len, WINDOW_BYTES - s->at);
        memcpy(s->window + s->at, s->in, n);
        s->at += n;
        s->in += n;
        len -= n;
        if (s->at == WINDOW_BYTES) {
            int err = flush_window(s);
            if (err < 0) {
                return err;
            }
        }
    }
    return 0;
}

static int build_both(struct inflate_state *s, unsigned nliterals, unsigned ndistances)
{
    int err = build_table(s->literals, ARRAY_SIZE(s->literals), s->lengths, nliterals);

    if (err < 0) {
        return err;
    }
    return build_table(s->distances, ARRAY_SIZE(s->distances), s->lengths + nliterals, ndistances);
}

static int inflate_fixed(struct inflate_state *s)
{
    memset(s->lengths, 8, 144);
    memset(s->lengths + 144, 9, 112);
    memset(s->lengths + 256, 7, 24);
    memset(s->lengths + 280, 8, 8);
    memset(s->lengths + NLITERALS, 5, NDISTANCES);
    int err = build_both(s, NLITERALS, NDISTANCES);
    return err < 0 ? err : inflate_symbols(s);
}

/* The code lengths of the block's two codes, themselves coded by `s->literals`. */
static int read_lengths(struct inflate_state *s, unsigned total)
{
    unsigned n = 0;

    while (n < total) {
        uint8_t value = 0;
        unsigned repeat = 1;
        refill(s);
        if (is_truncated(s)) {
            return -EIO;
        }
        unsigned symbol = decode_symbol(s, s->literals);
        if (symbol < 16) {
            value = (uint8_t)symbol;
        } else if (symbol == 16) {
            if (n == 0) {
                return -EILSEQ;
            }
            value = s->lengths[n - 1];
            repeat = 3 + take_bits(s, 2);
        } else if (symbol == 17) {
            repeat = 3 + take_bits(s, 3);
        } else if (symbol == 18) {
            repeat = 11 + take_bits(s, 7);
        } else {
            return -EILSEQ;
        }
        if (repeat > total - n) {
            return -EILSEQ;
        }
        memset(s->lengths + n, value, repeat);
        n += repeat;
    }
    return is_truncated(s) ? -EIO : 0;
}

static int inflate_dynamic(struct inflate_state *s)
{
    static const uint8_t order[NCODELENGTHS] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                11, 4,  12, 3, 13, 2, 14, 1, 15};
    unsigned nliterals, ndistances, ncodes;
    int err;

    refill(s);
    nliterals = 257 + take_bits(s, 5);
    ndistances = 1 + take_bits(s, 5);
    ncodes = 4 + take_bits(s, 4);
    if (nliterals > 286 || ndistances > 30) {
        return is_truncated(s) ? -EIO : -EILSEQ;
    }
    memset(s->lengths, 0, NCODELENGTHS);
    for (unsigned i = 0; i < ncodes; i++) {
        refill(s);
        s->lengths[order[i]] = (uint8_t)take_bits(s, 3);
    }
    if (is_truncated(s)) {
        return -EIO;
    }
    err = build_table(s->literals, ARRAY_SIZE(s->literals), s->lengths, NCODELENGTHS);
    if (err < 0) {
        return err;
    }
    err = read_lengths(s, nliterals + ndistances);
    if (err < 0) {
        return err;
    }
    if (s->lengths[END_OF_BLOCK] == 0) {
        return -EILSEQ;
    }
    err = build_both(s, nliterals, ndistances);
    return err < 0 ? err : inflate_symbols(s);
}

static int inflate_stream(struct inflate_state *s)
{
    bool last;
    int err;

    do {
        refill(s);
        last = take_bits(s, 1) != 0;
        switch (take_bits(s, 2)) {
        case 0:
            err = inflate_stored(s);
            break;
        case 1:
            err = inflate_fixed(s);
            break;
        case 2:
            err = inflate_dynamic(s);
            break;
        default:
            err = is_truncated(s) ? -EIO : -EILSEQ;
            break;
        }
        if (err < 0) {
            return err;
        }
    } while (!last);
    return flush_window(s);
}

int inflate(struct inflate_state *state, const uint8_t *in, size_t len_bytes,
            const struct inflate_sink *sink, struct inflate_result *ret_result)
{
    struct inflate_state *s = state;

    s->in = in;
    s->in_end = in + len_bytes;
    s->bits = 0;
    s->nbits = s->nmissing = 0;
    s->sink = sink;
    s->at = s->flushed = 0;
    s->total = 0;
    s->crc = 0;
    int err = inflate_stream(s);
    if (err < 0) {
        return err;
    }
    if (!align_to_byte(s)) {
        return -EIO;
    }
    ret_result->used_bytes = (size_t)(s->in - in);
    ret_result->crc32 = s->crc;
    ret_result->total_bytes = s->total;
    return 0;
}
