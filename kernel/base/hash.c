/* SipHash-1-3: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, section 2, with c = 1 and d = 3. */
#include "kernel/base/hash.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v2 = rotate_left(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

/* The last 0-7 bytes, with the length's low byte on top. */
static inline uint64_t last_word(const uint8_t *tail, size_t len_bytes)
{
    uint64_t word = (uint64_t)len_bytes << 56;

    for (size_t i = 0; i < len_bytes % 8; i++) {
        word |= (uint64_t)tail[i] << (8 * i);
    }
    return word;
}

uint64_t hash_sip(const uint64_t key[2], const void *data, size_t len_bytes)
{
    const uint8_t *p = data, *end = p + (len_bytes & ~(size_t)7);
    struct sip s = {
        .v0 = key[0] ^ 0x736f6d6570736575ull,
        .v1 = key[1] ^ 0x646f72616e646f6dull,
        .v2 = key[0] ^ 0x6c7967656e657261ull,
        .v3 = key[1] ^ 0x7465646279746573ull,
    };

    for (; p < end; p += 8) {
        uint64_t word;
        __builtin_memcpy(&word, p, 8);
        sip_word(&s, word);
    }
    sip_word(&s, last_word(end, len_bytes));
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
