/*
 * Names of path components: found, measured and hashed in one pass, eight bytes at a time. Private to vfs and tmpfs-like trees.
 *
 * A word is loaded even when the text ends inside it: such a load cannot fault as long as it stays in the page of its first byte,
 * which name_load_word() sees to. An address sanitizer does not know that, hence the attribute.
 */
#pragma once

#include <arch/page.h>

#include "kernel/vfs/dentry.h"

typedef uint64_t __attribute__((aligned(1), may_alias)) name_word_t; /* loadable anywhere */

#define NAME_ONES  0x0101010101010101ull
#define NAME_HIGHS 0x8080808080808080ull
#define NAME_MULT  0x9e3779b97f4a7c15ull /* 2^64 / golden ratio: Knuth, TAOCP volume 3, 6.4 */

extern uint64_t name_hash_seed; /* set once at boot */

#if defined(HOST_BUILD) || defined(CONFIG_KASAN)
#define NAME_INLINE static __attribute__((no_sanitize("address", "undefined"), unused))
#else
#define NAME_INLINE static __always_inline
#endif

uint64_t name_load_slow(const char *text);

/* The next eight bytes of a NUL-terminated text; what follows the NUL is arbitrary. */
NAME_INLINE uint64_t name_load_word(const char *text)
{
    if (unlikely(((uintptr_t)text & (PAGE_SIZE - 1)) > PAGE_SIZE - 8)) {
        return name_load_slow(text);
    }
    return *(const name_word_t *)text;
}

/* High bit of the lowest byte that is 0 set, and perhaps of bytes above it. */
static __always_inline uint64_t name_zero_bytes(uint64_t word)
{
    return (word - NAME_ONES) & ~word & NAME_HIGHS;
}

static __always_inline uint64_t name_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * NAME_MULT;
    return hash ^ (hash >> 32);
}

/* Measure and hash the component at `text`, up to a '/' or the NUL. An empty one has len 0. */
NAME_INLINE void name_scan(const char *text, struct name *ret_name)
{
    uint64_t hash = name_hash_seed;
    const char *p = text;

    for (;;) {
        uint64_t word = name_load_word(p);
        uint64_t ends = name_zero_bytes(word) | name_zero_bytes(word ^ (NAME_ONES * '/'));
        if (likely(ends != 0)) {
            unsigned bits = (unsigned)__builtin_ctzll(ends) & ~7u;
            hash = name_mix(hash, word & (BIT(bits) - 1));
            ret_name->text = text;
            ret_name->len = (uint32_t)(p - text) + bits / 8;
            ret_name->hash = (uint32_t)hash;
            return;
        }
        hash = name_mix(hash, word);
        p += 8;
    }
}

/* `stored` is padded to whole words, `text` is followed by a '/' or NUL. Lengths and hashes are equal already. */
NAME_INLINE bool name_equal(const char *stored, const char *text, unsigned len)
{
    while (len >= 8) {
        if (*(const uint64_t *)stored != *(const name_word_t *)text) {
            return false;
        }
        stored += 8;
        text += 8;
        len -= 8;
    }
    if (len == 0) {
        return true;
    }
    return ((*(const uint64_t *)stored ^ name_load_word(text)) << (64 - 8 * len)) == 0;
}
