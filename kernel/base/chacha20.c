/* ChaCha20: RFC 8439 sections 2.1 (quarter round) and 2.3 (block function). */
#include "kernel/base/chacha20.h"

static inline uint32_t rotate_left(uint32_t x, unsigned n)
{
    return (x << n) | (x >> (32 - n));
}

#define QUARTER_ROUND(a, b, c, d)                                                                  \
    do {                                                                                           \
        a += b;                                                                                    \
        d = rotate_left(d ^ a, 16);                                                                \
        c += d;                                                                                    \
        b = rotate_left(b ^ c, 12);                                                                \
        a += b;                                                                                    \
        d = rotate_left(d ^ a, 8);                                                                 \
        c += d;                                                                                    \
        b = rotate_left(b ^ c, 7);                                                                 \
    } while (0)

void chacha20_block(const uint32_t key[8], uint32_t counter, const uint32_t nonce[3],
                    uint8_t out[64])
{
    const uint32_t in[16] = {
        0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, /* "expand 32-byte k" */
        key[0],     key[1],     key[2],     key[3],     key[4],   key[5],
        key[6],     key[7],     counter,    nonce[0],   nonce[1], nonce[2]};
    uint32_t x[16];

    for (unsigned i = 0; i < 16; i++) {
        x[i] = in[i];
    }
    for (unsigned i = 0; i < 10; i++) {
        QUARTER_ROUND(x[0], x[4], x[8], x[12]);
        QUARTER_ROUND(x[1], x[5], x[9], x[13]);
        QUARTER_ROUND(x[2], x[6], x[10], x[14]);
        QUARTER_ROUND(x[3], x[7], x[11], x[15]);
        QUARTER_ROUND(x[0], x[5], x[10], x[15]);
        QUARTER_ROUND(x[1], x[6], x[11], x[12]);
        QUARTER_ROUND(x[2], x[7], x[8], x[13]);
        QUARTER_ROUND(x[3], x[4], x[9], x[14]);
    }
    for (unsigned i = 0; i < 16; i++) {
        uint32_t word = x[i] + in[i];
        /* Little-endian by the RFC, as every machine we run on. */
        __builtin_memcpy(out + 4 * i, &word, 4);
    }
}
