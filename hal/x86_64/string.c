/*
 * memcmp(3), a word at a time. (memcpy and its kin: string.S; everything else: kernel/base/string.c.)
 */
#include "kernel/base/string.h"

typedef uint64_t __attribute__((may_alias, aligned(1))) word_t;

int(memcmp)(const void *a, const void *b, size_t n)
{
    const uint8_t *pa = a, *pb = b;

    for (; n >= 8; n -= 8, pa += 8, pb += 8) {
        uint64_t wa = *(const word_t *)pa, wb = *(const word_t *)pb;
        if (wa != wb) {
            return __builtin_bswap64(wa) < __builtin_bswap64(wb) ? -1 : 1;
        }
    }
    for (; n > 0; n--, pa++, pb++) {
        if (*pa != *pb) {
            return *pa - *pb;
        }
    }
    return 0;
}
