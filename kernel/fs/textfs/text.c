/*
 * The growing buffer behind generated files. It doubles when it is full; a failure is remembered and reported once, by the read.
 */
#include "kernel/fs/textfs/text.h"

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"

#define FIRST_SIZE 1024u

void text_init(struct text *text)
{
    *text = (struct text){0};
}

void text_fini(struct text *text)
{
    kvfree(text->buf);
}

void text_reset(struct text *text)
{
    text->len = 0;
    text->failed = false;
}

static bool grow(struct text *text, size_t need)
{
    size_t size = text->size == 0 ? FIRST_SIZE : text->size;
    char *buf;

    while (size - text->len < need) {
        size *= 2;
    }
    buf = kvrealloc(text->buf, size);
    if (buf == NULL) {
        text->failed = true;
        return false;
    }
    text->buf = buf;
    text->size = size;
    return true;
}

char *text_reserve(struct text *text, size_t n)
{
    if (text->failed || (text->size - text->len < n && !grow(text, n))) {
        return NULL;
    }
    return text->buf + text->len;
}

void text_printf(struct text *text, const char *fmt, ...)
{
    va_list args;
    char *at = text_reserve(text, 64);
    size_t room;
    int n;

    if (at == NULL) {
        return;
    }
    room = text->size - text->len;
    va_start(args, fmt);
    n = kvsnprintf(at, room, fmt, args);
    va_end(args);
    if ((size_t)n >= room) {
        at = text_reserve(text, (size_t)n + 1);
        if (at == NULL) {
            return;
        }
        va_start(args, fmt);
        n = kvsnprintf(at, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    text->len += (size_t)n;
}

void text_write(struct text *text, const void *data, size_t len_bytes)
{
    char *at = text_reserve(text, len_bytes);

    if (at != NULL) {
        memcpy(at, data, len_bytes);
        text->len += len_bytes;
    }
}

void text_puts(struct text *text, const char *s)
{
    text_write(text, s, strlen(s));
}

void text_putc(struct text *text, char c)
{
    text_write(text, &c, 1);
}

/* The digits of `value` at the end of buf[24]; returns where they begin. */
static size_t decimal(char buf[24], uint64_t value)
{
    size_t at = 24;

    do {
        buf[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return at;
}

void text_number(struct text *text, uint64_t value)
{
    char digits[24];
    size_t at = decimal(digits, value);

    digits[--at] = ' ';
    text_write(text, digits + at, sizeof(digits) - at);
}

void text_decimal(struct text *text, uint64_t value, unsigned width)
{
    char digits[24];
    size_t at = decimal(digits, value);

    while (sizeof(digits) - at < width && at > 0) {
        digits[--at] = ' ';
    }
    text_write(text, digits + at, sizeof(digits) - at);
}

void text_hex(struct text *text, uint64_t value, unsigned digits)
{
    char buf[16];
    size_t at = sizeof(buf);

    do {
        buf[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (at > 0 && (value > 0 || sizeof(buf) - at < digits));
    text_write(text, buf + at, sizeof(buf) - at);
}

void text_pad(struct text *text, size_t line, size_t column)
{
    size_t used = text->len - line;
    char *at = used < column ? text_reserve(text, column - used) : NULL;

    if (at != NULL) {
        memset(at, ' ', column - used);
        text->len += column - used;
    }
}

void text_escaped(struct text *text, const char *s, const char *which)
{
    for (; *s != '\0'; s++) {
        if (strchr(which, *s) != NULL) {
            text_printf(text, "\\%03o", (unsigned char)*s);
        } else {
            text_putc(text, *s);
        }
    }
}
