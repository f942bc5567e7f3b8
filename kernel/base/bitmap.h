/*
 * Bitmaps over arrays of 64-bit words, and bit scans. No locks; the *_atomic forms are relaxed read-modify-writes.
 */
#pragma once

#include "kernel/base/types.h"

#define BITMAP_WORDS(nbits) (((nbits) + 63) / 64)

/* Index of the lowest or highest set bit; x != 0. */
static inline unsigned bit_ffs(uint64_t x)
{
    return (unsigned)__builtin_ctzll(x);
}

static inline unsigned bit_fls(uint64_t x)
{
    return 63u - (unsigned)__builtin_clzll(x);
}

/* Smallest n with (1 << n) >= x; x >= 1. */
static inline unsigned log2_ceil(uint64_t x)
{
    return x <= 1 ? 0 : bit_fls(x - 1) + 1;
}

static inline bool bitmap_test(const uint64_t *map, size_t bit)
{
    return (map[bit / 64] >> (bit % 64)) & 1;
}

static inline void bitmap_set(uint64_t *map, size_t bit)
{
    map[bit / 64] |= BIT(bit % 64);
}

static inline void bitmap_clear(uint64_t *map, size_t bit)
{
    map[bit / 64] &= ~BIT(bit % 64);
}

/* First set or clear bit in [from, nbits); nbits when there is none. */
size_t bitmap_find_set(const uint64_t *map, size_t nbits, size_t from);
size_t bitmap_find_clear(const uint64_t *map, size_t nbits, size_t from);
void bitmap_set_range(uint64_t *map, size_t from, size_t count);
void bitmap_clear_range(uint64_t *map, size_t from, size_t count);
size_t bitmap_count(const uint64_t *map, size_t nbits);
