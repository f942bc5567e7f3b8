/*
 * Memory and string functions of the C standard (C17 7.24), supplied by the machine for the kernel and by libc on the
 * host, and a few of our own.
 */
#pragma once

#include "kernel/base/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *haystack, const char *needle);

/*
 * A kernel is compiled freestanding, where these names mean nothing to the compiler. With them it copies and clears what is small and
 * of known size in place. Whoever defines a function puts its name into parentheses.
 */
#ifndef HOST_BUILD
#define memcpy(dst, src, n)  __builtin_memcpy(dst, src, n)
#define memmove(dst, src, n) __builtin_memmove(dst, src, n)
#define memset(dst, c, n)    __builtin_memset(dst, c, n)
#define memcmp(a, b, n)      __builtin_memcmp(a, b, n)
#define strlen(s)            __builtin_strlen(s)
#endif

/* Clear a secret, also where nobody will read the memory any more: the compiler does not leave that out. */
static inline void mem_wipe(void *data, size_t len_bytes)
{
    memset(data, 0, len_bytes);
    __asm__ volatile("" : : "r"(data) : "memory");
}
/* Copy at most size-1 bytes and always terminate. Returns the length copied, or -E2BIG when it did not fit. */
ssize_t str_copy(char *dst, const char *src, size_t size);
bool str_has_prefix(const char *s, const char *prefix);
/* Parse a whole string as an integer; base 0 understands 0x and 0. -EINVAL: no or trailing text, -ERANGE. */
int str_to_u64(const char *s, unsigned base, uint64_t *ret_value);
int str_to_i64(const char *s, unsigned base, int64_t *ret_value);
/* Like str_to_u64 with an optional suffix k, m, g or t (powers of 1024). */
int str_to_size(const char *s, uint64_t *ret_bytes);
