/*
 * CRC-32 and CRC-32C, reflected.
 *
 * Short data: two look-ups of a nibble per byte, in 16 entries per polynomial. Long data (CRC-32 only, an initramfs is
 * megabytes): eight bytes at a time by eight tables, "slicing-by-8" of Kounavis and Berry, "A systematic approach to building high
 * performance software-based CRC generators", 2005. These tables are computed when they are first needed; two CPUs that do so
 * at once write the same values.
 */
#include "kernel/base/checksum.h"

#include "kernel/base/atomic.h"

#define SLICE_MIN 1024u /* bytes from which the large tables are worth their making */

/* table[n] is what four zero bits make of a remainder whose low nibble is n. */
static const uint32_t crc32_table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};
static const uint32_t crc32c_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

/* slices[k][n]: what a byte n and k zero bytes behind it make of remainder 0. */
static uint32_t slices[8][256];
static bool slices_made; /* [a] */

static inline uint32_t step_byte(uint32_t crc, uint8_t byte, const uint32_t table[16])
{
    crc ^= byte;
    crc = (crc >> 4) ^ table[crc & 15];
    return (crc >> 4) ^ table[crc & 15];
}

static void make_slices(void)
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t crc = step_byte(0, (uint8_t)n, crc32_table);
        slices[0][n] = crc;
        for (unsigned k = 1; k < 8; k++) {
            crc = step_byte(crc, 0, crc32_table);
            slices[k][n] = crc;
        }
    }
    atomic_store_release(&slices_made, true);
}

/* len_bytes is a multiple of 8. */
static uint32_t step_slices(uint32_t crc, const uint8_t *data, size_t len_bytes)
{
    for (const uint8_t *end = data + len_bytes; data < end; data += 8) {
        uint64_t word;
        __builtin_memcpy(&word, data, 8);
        word ^= crc;
        crc = slices[7][word & 255] ^ slices[6][(word >> 8) & 255] ^ slices[5][(word >> 16) & 255] ^
              slices[4][(word >> 24) & 255] ^ slices[3][(word >> 32) & 255] ^
              slices[2][(word >> 40) & 255] ^ slices[1][(word >> 48) & 255] ^ slices[0][word >> 56];
    }
    return crc;
}

uint32_t crc32(uint32_t crc, const void *data, size_t len_bytes)
{
    const uint8_t *p = data;

    crc = ~crc;
    if (len_bytes >= SLICE_MIN) {
        size_t n = len_bytes & ~(size_t)7;
        if (!atomic_load_acquire(&slices_made)) {
            make_slices();
        }
        crc = step_slices(crc, p, n);
        p += n;
        len_bytes -= n;
    }
    for (; len_bytes > 0; p++, len_bytes--) {
        crc = step_byte(crc, *p, crc32_table);
    }
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len_bytes)
{
    const uint8_t *p = data;

    crc = ~crc;
    for (; len_bytes > 0; p++, len_bytes--) {
        crc = step_byte(crc, *p, crc32c_table);
    }
    return ~crc;
}
