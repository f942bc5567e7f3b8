/*
 * Hashes for tables in memory (not for wire or disk formats).
 */
#pragma once

#include "kernel/base/types.h"

/* Mix one word; take the top bits. Fibonacci hashing, Knuth, TAOCP volume 3, 6.4. */
static inline uint64_t hash_u64(uint64_t x)
{
    x ^= x >> 32;
    return x * 0x9e3779b97f4a7c15ull;
}

/*
 * SipHash-1-3 of bytes under a 128-bit key (Aumasson and Bernstein 2012): for tables whose keys a user chooses.
 */
uint64_t hash_sip(const uint64_t key[2], const void *data, size_t len_bytes);
