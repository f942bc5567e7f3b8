/*
 * Strings: what the C library would supply (C17 7.24), and our own helpers.
 *
 * On the host the libc's versions serve, so that sanitizers see through them; only the helpers at the end are compiled.
 * memcpy, memmove, memset and memcmp are called by the compiler itself and belong to the machine, which knows how its CPU
 * copies best.
 */
#include "kernel/base/string.h"

#include "kernel/base/errno.h"

#ifndef HOST_BUILD

/* A word has a zero byte exactly when this is not 0 (Warren, Hacker's Delight, 6-1). */
#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

static inline __maybe_unused uint64_t zero_bytes(uint64_t word)
{
    return (word - ONES) & ~word & HIGHS;
}

size_t(strlen)(const char *s)
{
    const char *p = s;

    while (!IS_ALIGNED((uintptr_t)p, 8)) {
        if (*p == '\0') {
            return (size_t)(p - s);
        }
        p++;
    }
#ifndef CONFIG_KASAN /* which sees each byte that is not the string's */
    /* An aligned word never crosses a page, so what lies behind the NUL may be read too. */
    while (zero_bytes(*(const uint64_t *)p) == 0) {
        p += 8;
    }
#endif
    while (*p != '\0') {
        p++;
    }
    return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max)
{
    size_t len = 0;

    while (len < max && s[len] != '\0') {
        len++;
    }
    return len;
}

void *memchr(const void *s, int c, size_t n)
{
    const uint8_t *p = s;

    for (; n > 0; p++, n--) {
        if (*p == (uint8_t)c) {
            return (void *)p;
        }
    }
    return NULL;
}

int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n > 0; a++, b++, n--) {
        if (*a != *b || *a == '\0') {
            return (uint8_t)*a - (uint8_t)*b;
        }
    }
    return 0;
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++) {
        if (*s == '\0') {
            return NULL;
        }
    }
    return (char *)s;
}

char *strrchr(const char *s, int c)
{
    const char *last = NULL;

    do {
        if (*s == (char)c) {
            last = s;
        }
    } while (*s++ != '\0');
    return (char *)last;
}

char *strstr(const char *haystack, const char *needle)
{
    size_t len = strlen(needle);

    for (; len > 0; haystack++) {
        haystack = strchr(haystack, *needle);
        if (haystack == NULL) {
            return NULL;
        }
        if (strncmp(haystack, needle, len) == 0) {
            break;
        }
    }
    return (char *)haystack;
}

#endif /* HOST_BUILD */

ssize_t str_copy(char *dst, const char *src, size_t size)
{
    size_t len;

    if (size == 0) {
        return -E2BIG;
    }
    len = strnlen(src, size);
    if (len == size) {
        memcpy(dst, src, size - 1);
        dst[size - 1] = '\0';
        return -E2BIG;
    }
    memcpy(dst, src, len + 1);
    return (ssize_t)len;
}

bool str_has_prefix(const char *s, const char *prefix)
{
    while (*prefix != '\0') {
        if (*s++ != *prefix++) {
            return false;
        }
    }
    return true;
}

/* The value of a digit in bases up to 36; 36 for anything else. */
static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    c |= 0x20;
    if (c >= 'a' && c <= 'z') {
        return (unsigned)(c - 'a') + 10;
    }
    return 36;
}

/*
 * Read digits from *s and move *s behind them. base 0: "0x" means 16 (when a digit follows), a leading "0" 8, else 10.
 * -EINVAL: no digit; -ERANGE.
 */
static int parse_digits(const char **s, unsigned base, uint64_t *ret_value)
{
    const char *p = *s;
    uint64_t value = 0;
    bool overflow = false;

    if ((base == 0 || base == 16) && p[0] == '0' && (p[1] | 0x20) == 'x' &&
        digit_value(p[2]) < 16) {
        p += 2;
        base = 16;
    } else if (base == 0) {
        base = p[0] == '0' ? 8 : 10;
    }
    if (digit_value(*p) >= base) {
        return -EINVAL;
    }
    for (unsigned digit; (digit = digit_value(*p)) < base; p++) {
        overflow |= __builtin_mul_overflow(value, base, &value);
        overflow |= __builtin_add_overflow(value, digit, &value);
    }
    if (overflow) {
        return -ERANGE;
    }
    *s = p;
    *ret_value = value;
    return 0;
}

int str_to_u64(const char *s, unsigned base, uint64_t *ret_value)
{
    uint64_t value;
    int err = parse_digits(&s, base, &value);

    if (err < 0) {
        return err;
    }
    if (*s != '\0') {
        return -EINVAL;
    }
    *ret_value = value;
    return 0;
}

int str_to_i64(const char *s, unsigned base, int64_t *ret_value)
{
    bool negative = *s == '-';
    uint64_t magnitude;
    int err = str_to_u64(s + (*s == '-' || *s == '+'), base, &magnitude);

    if (err < 0) {
        return err;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative) {
        return -ERANGE;
    }
    *ret_value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return 0;
}

int str_to_size(const char *s, uint64_t *ret_bytes)
{
    static const char suffixes[] = "kmgt";
    unsigned shift = 0;
    uint64_t value;
    int err = parse_digits(&s, 0, &value);

    if (err < 0) {
        return err;
    }
    if (*s != '\0') {
        const char *suffix = strchr(suffixes, *s | 0x20);
        if (suffix == NULL || *suffix == '\0' || s[1] != '\0') {
            return -EINVAL;
        }
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    if (shift != 0 && value >> (64 - shift) != 0) {
        return -ERANGE;
    }
    *ret_bytes = value << shift;
    return 0;
}
