/* Sets of bits from text: bittext.h. A text is parsed twice, the first time for its errors. */
#include "kernel/base/bittext.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_break(char c)
{
    return is_blank(c) || c == ',';
}

/* ---- masks: groups of up to 8 hexadecimal digits, the last one with the lowest bits ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The group that ends before *ret_end; its begin becomes the new end. */
static int group_parse(const char *text, const char **end, uint32_t *ret_group)
{
    uint32_t group = 0;
    unsigned shift = 0;

    while (*end > text && !is_break((*end)[-1])) {
        int digit = hex_value(*--*end);
        if (digit < 0) {
            return -EINVAL;
        }
        if (shift == 32) {
            return -EOVERFLOW;
        }
        group |= (uint32_t)digit << shift;
        shift += 4;
    }
    *ret_group = group;
    return 0;
}

/* map NULL: only look. */
static int mask_parse(const char *text, uint64_t *map, size_t nbits)
{
    const char *end = text;

    while (*end != '\0') {
        end++;
    }
    for (size_t bit = 0;; bit += 32) {
        uint32_t group;
        while (end > text && is_break(end[-1])) {
            end--;
        }
        if (end == text) {
            return 0;
        }
        if (bit >= nbits) {
            return -EOVERFLOW;
        }
        int err = group_parse(text, &end, &group);
        if (err < 0) {
            return err;
        }
        if (bit + 32 > nbits && group >> (nbits - bit) != 0) {
            return -EOVERFLOW;
        }
        if (map != NULL) {
            map[bit / 64] |= (uint64_t)group << bit % 64;
        }
    }
}

int bitmap_parse_mask(const char *text, uint64_t *map, size_t nbits)
{
    int err = mask_parse(text, NULL, nbits);

    if (err == 0) {
        bitmap_clear_range(map, 0, nbits);
        (void)mask_parse(text, map, nbits);
    }
    return err;
}

/* ---- lists ---- */

struct range {
    uint64_t first, last;
    uint64_t used, group; /* so many of each so many */
};

static int number_parse(const char **text, size_t nbits, uint64_t *ret)
{
    uint64_t value = 0;

    if (**text == 'N') {
        ++*text;
        *ret = nbits - 1;
        return 0;
    }
    if (**text < '0' || **text > '9') {
        return -EINVAL;
    }
    for (; **text >= '0' && **text <= '9'; ++*text) {
        value = value * 10 + (uint64_t)(**text - '0');
        if (value > UINT32_MAX) {
            return -EOVERFLOW;
        }
    }
    *ret = value;
    return 0;
}

/* ":used/group" behind a range, if it is there. */
static int pattern_parse(const char **text, size_t nbits, struct range *range)
{
    range->used = range->group = range->last + 1;
    if (is_break(**text) || **text == '\0') {
        return 0;
    }
    if (**text != ':') {
        return -EINVAL;
    }
    ++*text;
    int err = number_parse(text, nbits, &range->used);
    if (err == 0 && *(*text)++ != '/') {
        return -EINVAL;
    }
    return err < 0 ? err : number_parse(text, nbits, &range->group);
}

static bool is_all(const char *text)
{
    return (text[0] | 0x20) == 'a' && (text[1] | 0x20) == 'l' && (text[2] | 0x20) == 'l';
}

static int range_parse(const char **text, size_t nbits, struct range *range)
{
    if (is_all(*text)) {
        *text += 3;
        *range = (struct range){.first = 0, .last = nbits - 1};
        return pattern_parse(text, nbits, range);
    }
    int err = number_parse(text, nbits, &range->first);
    if (err < 0) {
        return err;
    }
    range->last = range->first;
    if (**text == '-') {
        ++*text;
        err = number_parse(text, nbits, &range->last);
    } else if (!is_break(**text) && **text != '\0') {
        return -EINVAL; /* a pattern needs a range */
    }
    return err < 0 ? err : pattern_parse(text, nbits, range);
}

static void range_set(const struct range *range, uint64_t *map)
{
    for (uint64_t at = range->first; at <= range->last; at += range->group) {
        bitmap_set_range(map, at, MIN(range->used, range->last - at + 1));
    }
}

/* map NULL: only look. */
static int list_parse(const char *text, uint64_t *map, size_t nbits)
{
    for (;;) {
        struct range range;
        while (is_break(*text)) {
            text++;
        }
        if (*text == '\0') {
            return 0;
        }
        int err = range_parse(&text, nbits, &range);
        if (err < 0) {
            return err;
        }
        if (range.first > range.last || range.group == 0 || range.used > range.group) {
            return -EINVAL;
        }
        if (range.last >= nbits) {
            return -ERANGE;
        }
        if (map != NULL) {
            range_set(&range, map);
        }
    }
}

int bitmap_parse_list(const char *text, uint64_t *map, size_t nbits)
{
    int err = list_parse(text, NULL, nbits);

    if (err == 0) {
        bitmap_clear_range(map, 0, nbits);
        (void)list_parse(text, map, nbits);
    }
    return err;
}
