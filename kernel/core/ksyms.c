/* Look-up in the packed symbol table: binary search over the markers, then at most KSYMS_STRIDE entries one by one. */
#include "kernel/core/ksyms.h"

/* A token nests no deeper than this: mksyms.py sees to it. */
#define TOKEN_DEPTH_MAX 32

void ksyms_open(struct ksyms_table *ret_table, const void *data)
{
    const struct ksyms_header *header = data;
    const struct ksyms_marker *markers = (const struct ksyms_marker *)(header + 1);
    const uint8_t(*pairs)[2] = (const uint8_t(*)[2])(markers + header->nmarkers);

    *ret_table = (struct ksyms_table){.header = header,
                                      .markers = markers,
                                      .pairs = pairs,
                                      .stream = (const uint8_t *)(pairs + 256)};
}

static const uint8_t *read_uleb128(const uint8_t *p, uint32_t *ret_value)
{
    uint32_t value = 0;
    unsigned shift = 0;

    do {
        value |= (uint32_t)(*p & 0x7f) << shift;
        shift += 7;
    } while ((*p++ & 0x80) != 0);
    *ret_value = value;
    return p;
}

/* Write what a token stands for; returns the new length, which counts also what did not fit. */
static size_t expand_token(const struct ksyms_table *table, uint8_t token, char *buf, size_t size,
                           size_t len)
{
    uint8_t stack[TOKEN_DEPTH_MAX];
    unsigned depth = 0;

    stack[depth++] = token;
    while (depth > 0) {
        const uint8_t *pair = table->pairs[stack[--depth]];
        if (pair[1] == 0) {
            if (len + 1 < size) {
                buf[len] = (char)pair[0];
            }
            len++;
        } else if (depth + 2 <= TOKEN_DEPTH_MAX) {
            stack[depth++] = pair[1];
            stack[depth++] = pair[0];
        }
    }
    return len;
}

static void expand_name(const struct ksyms_table *table, const uint8_t *tokens, char *buf,
                        size_t size)
{
    size_t len = 0;

    for (; *tokens != 0; tokens++) {
        len = expand_token(table, *tokens, buf, size, len);
    }
    if (size > 0) {
        buf[MIN(len, size - 1)] = '\0';
    }
}

/* The last marker at or before `address`; the first marker is. */
static const struct ksyms_marker *find_marker(const struct ksyms_table *table, uint32_t address)
{
    uint32_t low = 0, high = table->header->nmarkers;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (table->markers[middle].address <= address) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &table->markers[low];
}

bool ksyms_lookup(const struct ksyms_table *table, uint32_t address, char *buf, size_t size,
                  uint32_t *ret_start, uint32_t *ret_size)
{
    const struct ksyms_marker *marker;
    const uint8_t *p;
    uint32_t start, distance;

    if (table->header->nsymbols == 0 || address < table->markers[0].address ||
        address >= table->header->end) {
        return false;
    }
    marker = find_marker(table, address);
    start = marker->address;
    for (p = read_uleb128(table->stream + marker->stream, &distance); address - start >= distance;
         p = read_uleb128(p, &distance)) {
        start += distance;
        while (*p++ != 0) {
        }
    }
    expand_name(table, p, buf, size);
    *ret_start = start;
    *ret_size = distance;
    return true;
}
