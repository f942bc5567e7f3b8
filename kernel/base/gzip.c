/*
 * gzip (RFC 1952): a header, one DEFLATE stream, and a trailer that tells its checksum and length.
 */
#include "kernel/base/checksum.h"
#include "kernel/base/errno.h"
#include "kernel/base/inflate.h"
#include "kernel/base/string.h"

#define GZIP_HEADER_CRC 0x02
#define GZIP_EXTRA      0x04
#define GZIP_NAME       0x08
#define GZIP_COMMENT    0x10
#define GZIP_RESERVED   0xe0

static int skip_string(const uint8_t **p, const uint8_t *end)
{
    const uint8_t *nul = memchr(*p, 0, (size_t)(end - *p));

    if (nul == NULL) {
        return -EIO;
    }
    *p = nul + 1;
    return 0;
}

/* Step over the header. */
static int skip_header(const uint8_t **ret_p, const uint8_t *end)
{
    const uint8_t *start = *ret_p, *p = start + 10;
    uint8_t flags;

    if (end - start < 10) {
        return end - start >= 2 && (start[0] != 0x1f || start[1] != 0x8b) ? -EILSEQ : -EIO;
    }
    flags = start[3];
    if (start[0] != 0x1f || start[1] != 0x8b || start[2] != 8 || (flags & GZIP_RESERVED) != 0) {
        return -EILSEQ;
    }
    if ((flags & GZIP_EXTRA) != 0) {
        if (end - p < 2 || end - p - 2 < (p[0] | p[1] << 8)) {
            return -EIO;
        }
        p += 2 + (p[0] | p[1] << 8);
    }
    if ((flags & GZIP_NAME) != 0 && skip_string(&p, end) < 0) {
        return -EIO;
    }
    if ((flags & GZIP_COMMENT) != 0 && skip_string(&p, end) < 0) {
        return -EIO;
    }
    if ((flags & GZIP_HEADER_CRC) != 0) {
        if (end - p < 2) {
            return -EIO;
        }
        if ((crc32(0, start, (size_t)(p - start)) & 0xffff) != (uint32_t)(p[0] | p[1] << 8)) {
            return -EILSEQ;
        }
        p += 2;
    }
    *ret_p = p;
    return 0;
}

static uint32_t load_le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int gzip_member(struct inflate_state *state, const uint8_t *in, size_t len_bytes,
                const struct inflate_sink *sink, size_t *ret_used)
{
    const uint8_t *end = in + len_bytes;
    const uint8_t *body = in;
    struct inflate_result result;
    int err = skip_header(&body, end);

    if (err == 0) {
        err = inflate(state, body, (size_t)(end - body), sink, &result);
    }
    if (err < 0) {
        return err;
    }
    const uint8_t *trailer = body + result.used_bytes;
    if (end - trailer < 8) {
        return -EIO;
    }
    if (load_le32(trailer) != result.crc32 ||
        load_le32(trailer + 4) != (uint32_t)result.total_bytes) {
        return -EILSEQ;
    }
    *ret_used = (size_t)(trailer + 8 - in);
    return 0;
}
