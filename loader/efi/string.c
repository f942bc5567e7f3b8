/*
 * The four memory functions that the compiler calls on its own and that every machine brings
 * itself; the rest of kernel/base/string.h comes from kernel/base/string.c.
 */
#include "kernel/base/string.h"

void *(memcpy)(void *restrict dst, const void *restrict src, size_t n)
{
    void *ret = dst;

    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n)::"memory");
    return ret;
}

void *(memmove)(void *dst, const void *src, size_t n)
{
    char *to = dst;
    const char *from = src;

    if ((uintptr_t)to - (uintptr_t)from >= n) {
        return memcpy(dst, src, n);
    }
    while (n-- > 0) {
        to[n] = from[n];
    }
    return dst;
}

void *(memset)(void *dst, int c, size_t n)
{
    void *ret = dst;

    __asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(c) : "memory");
    return ret;
}

int(memcmp)(const void *a, const void *b, size_t n)
{
    const uint8_t *left = a, *right = b;

    for (size_t i = 0; i < n; i++) {
        if (left[i] != right[i]) {
            return left[i] - right[i];
        }
    }
    return 0;
}
