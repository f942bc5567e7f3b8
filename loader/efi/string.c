/*
 * The memory and string functions of kernel/base/string.h that a freestanding program must bring itself; the compiler calls the first four
 * on its own.
 */
#include "kernel/base/string.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    void *ret = dst;

    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n)::"memory");
    return ret;
}

void *memmove(void *dst, const void *src, size_t n)
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

void *memset(void *dst, int c, size_t n)
{
    void *ret = dst;

    __asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(c) : "memory");
    return ret;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *left = a, *right = b;

    for (size_t i = 0; i < n; i++) {
        if (left[i] != right[i]) {
            return left[i] - right[i];
        }
    }
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const uint8_t *bytes = s;

    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == (uint8_t)c) {
            return (void *)(uintptr_t)(bytes + i);
        }
    }
    return NULL;
}

size_t strlen(const char *s)
{
    return strnlen(s, SIZE_MAX);
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;

    while (n < max && s[n] != '\0') {
        n++;
    }
    return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i] || a[i] == '\0') {
            return (uint8_t)a[i] - (uint8_t)b[i];
        }
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
    char *found = memchr(s, c, strlen(s) + 1);

    return found;
}
