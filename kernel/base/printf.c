/*
 * Formatted text into a buffer: C17 7.21.6.1 without floating point and %n, with %pS and %pU besides.
 *
 * An unknown conversion is copied as it stands, so that the mistake is seen and nothing is read that was not passed.
 */
#include "kernel/base/printf.h"

#include "kernel/base/string.h"

int (*printf_symbol_hook)(char *buf, size_t size, uintptr_t addr);

#define FLAG_LEFT  0x01u /* '-' */
#define FLAG_PLUS  0x02u /* '+' */
#define FLAG_SPACE 0x04u /* ' ' */
#define FLAG_ALT   0x08u /* '#' */
#define FLAG_ZERO  0x10u /* '0' */
#define FLAG_UPPER 0x20u /* %X */

/* What stands between '%' and the conversion letter. */
struct spec {
    unsigned flags;
    unsigned width;
    int precision; /* -1: none given */
    unsigned size; /* bytes of the integer argument */
};

/* `len` counts all characters; only the first `room` are stored. */
struct out {
    char *buf;
    size_t room;
    size_t len;
};

static inline void put_char(struct out *out, char c)
{
    if (out->len < out->room) {
        out->buf[out->len] = c;
    }
    out->len++;
}

static void put_repeat(struct out *out, char c, size_t n)
{
    for (; n > 0; n--) {
        put_char(out, c);
    }
}

static void put_bytes(struct out *out, const char *text, size_t len)
{
    if (out->len < out->room) {
        memcpy(out->buf + out->len, text, MIN(len, out->room - out->len));
    }
    out->len += len;
}

/* Text in a field of at least `width` characters. */
static void put_field(struct out *out, const struct spec *spec, const char *text, size_t len)
{
    size_t padding = spec->width > len ? spec->width - len : 0;

    if (padding != 0 && (spec->flags & FLAG_LEFT) == 0) {
        put_repeat(out, ' ', padding);
    }
    put_bytes(out, text, len);
    if (padding != 0 && (spec->flags & FLAG_LEFT) != 0) {
        put_repeat(out, ' ', padding);
    }
}

#define DIGITS_MAX 22 /* 2^64 - 1 in octal */

/* Write the digits of `value` so that they end at `end`; returns where they begin. 0 has no digits. */
static char *format_digits(char *end, uint64_t value, unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";

    if (base == 10) {
        for (; value != 0; value /= 10) {
            *--end = (char)('0' + value % 10);
        }
    } else {
        unsigned shift = base == 16 ? 4 : 3;
        for (; value != 0; value >>= shift) {
            *--end = digits[value & (base - 1)];
        }
    }
    return end;
}

/* An integer with its sign or base prefix, padded to precision (zeros) and width. */
static void put_integer(struct out *out, const struct spec *spec, uint64_t value, unsigned base,
                        const char *prefix)
{
    char buf[DIGITS_MAX];
    char *end = buf + sizeof(buf);
    char *digits = format_digits(end, value, base, (spec->flags & FLAG_UPPER) != 0);
    size_t ndigits = (size_t)(end - digits);
    size_t prefix_len = strlen(prefix);
    size_t min_digits = spec->precision < 0 ? 1 : (size_t)spec->precision;
    size_t zeros, len;

    if (base == 8 && (spec->flags & FLAG_ALT) != 0) {
        min_digits = MAX(min_digits, ndigits + 1);
    }
    if (spec->precision < 0 && (spec->flags & (FLAG_ZERO | FLAG_LEFT)) == FLAG_ZERO &&
        spec->width > prefix_len) {
        min_digits = MAX(min_digits, spec->width - prefix_len);
    }
    zeros = min_digits > ndigits ? min_digits - ndigits : 0;
    len = prefix_len + zeros + ndigits;
    if ((spec->flags & FLAG_LEFT) == 0 && spec->width > len) {
        put_repeat(out, ' ', spec->width - len);
    }
    put_bytes(out, prefix, prefix_len);
    put_repeat(out, '0', zeros);
    put_bytes(out, digits, ndigits);
    if ((spec->flags & FLAG_LEFT) != 0 && spec->width > len) {
        put_repeat(out, ' ', spec->width - len);
    }
}

static void put_signed(struct out *out, const struct spec *spec, int64_t value)
{
    const char *sign = value < 0                         ? "-"
                       : (spec->flags & FLAG_PLUS) != 0  ? "+"
                       : (spec->flags & FLAG_SPACE) != 0 ? " "
                                                         : "";

    put_integer(out, spec, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, sign);
}

static void put_unsigned(struct out *out, struct spec *spec, uint64_t value, char conversion)
{
    const char *prefix = "";
    unsigned base = conversion == 'u' ? 10 : conversion == 'o' ? 8 : 16;

    if (conversion == 'X') {
        spec->flags |= FLAG_UPPER;
    }
    if (base == 16 && value != 0 && (spec->flags & FLAG_ALT) != 0) {
        prefix = conversion == 'X' ? "0X" : "0x";
    }
    put_integer(out, spec, value, base, prefix);
}

/* 16 bytes as a GUID in EFI order: the first three fields are little-endian (UEFI 2.10, appendix A). */
static void put_guid(struct out *out, const struct spec *spec, const uint8_t *guid)
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    static const char hex[] = "0123456789abcdef";
    char text[36];
    size_t len = 0;

    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text[len++] = '-';
        }
        text[len++] = hex[guid[order[i]] >> 4];
        text[len++] = hex[guid[order[i]] & 15];
    }
    put_field(out, spec, text, len);
}

/* %p and its extensions; returns the extension letters consumed. */
static size_t put_pointer(struct out *out, struct spec *spec, const void *ptr, const char *suffix)
{
    char text[128];

    if (*suffix == 'U' && ptr != NULL) {
        put_guid(out, spec, ptr);
        return 1;
    }
    if (*suffix == 'S' && printf_symbol_hook != NULL) {
        int len = printf_symbol_hook(text, sizeof(text), (uintptr_t)ptr);
        put_field(out, spec, text, (size_t)MIN(len, (int)sizeof(text) - 1));
        return 1;
    }
    put_integer(out, spec, (uintptr_t)ptr, 16, "0x");
    return *suffix == 'U' || *suffix == 'S';
}

static void put_string(struct out *out, const struct spec *spec, const char *text)
{
    if (text == NULL) {
        text = "(null)";
    }
    put_field(out, spec, text,
              spec->precision < 0 ? strlen(text) : strnlen(text, (size_t)spec->precision));
}

/* Decimal digits, saturating well below INT_MAX. */
static unsigned parse_number(const char **fmt)
{
    unsigned value = 0;

    for (; **fmt >= '0' && **fmt <= '9'; ++*fmt) {
        value = MIN(value * 10 + (unsigned)(**fmt - '0'), 1u << 20);
    }
    return value;
}

static unsigned parse_flags(const char **fmt)
{
    unsigned flags = 0;

    for (;; ++*fmt) {
        switch (**fmt) {
        case '-':
            flags |= FLAG_LEFT;
            break;
        case '+':
            flags |= FLAG_PLUS;
            break;
        case ' ':
            flags |= FLAG_SPACE;
            break;
        case '#':
            flags |= FLAG_ALT;
            break;
        case '0':
            flags |= FLAG_ZERO;
            break;
        default:
            return flags;
        }
    }
}

/* The bytes of an integer argument by its length modifier. */
static unsigned parse_length(const char **fmt)
{
    switch (**fmt) {
    case 'h':
        ++*fmt;
        if (**fmt == 'h') {
            ++*fmt;
            return 1;
        }
        return 2;
    case 'l':
        ++*fmt;
        if (**fmt == 'l') {
            ++*fmt;
        }
        return 8;
    case 'j':
    case 'z':
    case 't':
        ++*fmt;
        return 8;
    default:
        return 4;
    }
}

/* va_list travels inside a struct, so that a pointer to it has one type on every ABI. */
struct args {
    va_list list;
};

static void parse_spec(const char **fmt, struct spec *spec, struct args *args)
{
    spec->flags = parse_flags(fmt);
    spec->precision = -1;
    if (**fmt == '*') {
        int width = va_arg(args->list, int);
        ++*fmt;
        spec->flags |= width < 0 ? FLAG_LEFT : 0;
        spec->width = width < 0 ? 0u - (unsigned)width : (unsigned)width;
    } else {
        spec->width = parse_number(fmt);
    }
    if (**fmt == '.') {
        ++*fmt;
        if (**fmt == '*') {
            ++*fmt;
            spec->precision = va_arg(args->list, int);
        } else {
            spec->precision = (int)parse_number(fmt);
        }
    }
    spec->size = parse_length(fmt);
}

static uint64_t unsigned_arg(struct args *args, unsigned size)
{
    if (size == 8) {
        return va_arg(args->list, uint64_t);
    }
    uint32_t value = va_arg(args->list, uint32_t);
    return size == 4 ? value : value & ((1u << (8 * size)) - 1);
}

static int64_t signed_arg(struct args *args, unsigned size)
{
    if (size == 8) {
        return va_arg(args->list, int64_t);
    }
    int32_t value = va_arg(args->list, int32_t);
    return size == 4 ? value : size == 2 ? (int16_t)value : (int8_t)value;
}

/* One conversion; `fmt` stands at its letter. Returns the letters consumed, 0 when it is none of ours. */
static size_t put_conversion(struct out *out, struct spec *spec, const char *fmt, struct args *args)
{
    char c;

    switch (*fmt) {
    case 'd':
    case 'i':
        put_signed(out, spec, signed_arg(args, spec->size));
        return 1;
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        put_unsigned(out, spec, unsigned_arg(args, spec->size), *fmt);
        return 1;
    case 'c':
        c = (char)va_arg(args->list, int);
        put_field(out, spec, &c, 1);
        return 1;
    case 's':
        put_string(out, spec, va_arg(args->list, const char *));
        return 1;
    case 'p':
        return 1 + put_pointer(out, spec, va_arg(args->list, const void *), fmt + 1);
    case '%':
        put_char(out, '%');
        return 1;
    default:
        return 0;
    }
}

int kvsnprintf(char *buf, size_t size, const char *fmt, va_list list)
{
    struct out out = {.buf = buf, .room = size > 0 ? size - 1 : 0};
    struct args args;
    struct spec spec;

    va_copy(args.list, list);
    while (*fmt != '\0') {
        const char *start = fmt;
        while (*fmt != '\0' && *fmt != '%') {
            fmt++;
        }
        if (fmt != start) {
            put_bytes(&out, start, (size_t)(fmt - start));
            continue;
        }
        fmt++;
        parse_spec(&fmt, &spec, &args);
        size_t used = put_conversion(&out, &spec, fmt, &args);
        if (used == 0) {
            put_bytes(&out, start, (size_t)(fmt - start));
        }
        fmt += used;
    }
    va_end(args.list);
    if (size > 0) {
        buf[MIN(out.len, out.room)] = '\0';
    }
    return (int)out.len;
}

int ksnprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = kvsnprintf(buf, size, fmt, args);
    va_end(args);
    return len;
}

int kscnprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = kvsnprintf(buf, size, fmt, args);
    va_end(args);
    return size == 0 ? 0 : MIN(len, (int)size - 1);
}
