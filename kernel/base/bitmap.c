/* Bitmap searches and ranges, a word at a time. */
#include "kernel/base/bitmap.h"

/* First bit in [from, nbits) that differs from `invert`'s sense: invert 0 looks for ones, ~0 for zeros. */
static size_t find_next(const uint64_t *map, size_t nbits, size_t from, uint64_t invert)
{
    size_t word, bit;
    uint64_t bits;

    if (from >= nbits) {
        return nbits;
    }
    word = from / 64;
    bits = (map[word] ^ invert) & (~0ull << (from % 64));
    while (bits == 0) {
        if (++word >= BITMAP_WORDS(nbits)) {
            return nbits;
        }
        bits = map[word] ^ invert;
    }
    bit = word * 64 + bit_ffs(bits);
    return MIN(bit, nbits);
}

size_t bitmap_find_set(const uint64_t *map, size_t nbits, size_t from)
{
    return find_next(map, nbits, from, 0);
}

size_t bitmap_find_clear(const uint64_t *map, size_t nbits, size_t from)
{
    return find_next(map, nbits, from, ~0ull);
}

/* The bits of the word at `from` that belong to the next at most `count` bits; *ret_n is their number. */
static uint64_t range_mask(size_t from, size_t count, size_t *ret_n)
{
    size_t n = MIN(count, 64 - from % 64);

    *ret_n = n;
    return (n == 64 ? ~0ull : BIT(n) - 1) << (from % 64);
}

void bitmap_set_range(uint64_t *map, size_t from, size_t count)
{
    for (size_t n; count > 0; from += n, count -= n) {
        map[from / 64] |= range_mask(from, count, &n);
    }
}

void bitmap_clear_range(uint64_t *map, size_t from, size_t count)
{
    for (size_t n; count > 0; from += n, count -= n) {
        map[from / 64] &= ~range_mask(from, count, &n);
    }
}

size_t bitmap_count(const uint64_t *map, size_t nbits)
{
    size_t total = 0;

    for (size_t i = 0; i < nbits / 64; i++) {
        total += (size_t)__builtin_popcountll(map[i]);
    }
    if (nbits % 64 != 0) {
        total += (size_t)__builtin_popcountll(map[nbits / 64] & (BIT(nbits % 64) - 1));
    }
    return total;
}
