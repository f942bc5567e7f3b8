/*
 * Fuzz target: DEFLATE streams and gzip members. The input is decompressed as it is, and wrapped as what nobody compressed.
 */
#include "kernel/base/inflate.h"
#include "kernel/base/checksum.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* libc's: blocks of exactly the size asked for, so that the address sanitizer sees every byte beyond. */
void *malloc(size_t size);
void free(void *ptr);

#define ENOUGH        100000 /* of output: more than the window, and three seconds see many inputs */
#define WRAPPED_BYTES 23     /* gzip's header and trailer, and the head of a stored block */

struct output {
    uint64_t total_bytes;
    uint32_t crc32;
};

static void require(bool promise)
{
    if (!promise) {
        __builtin_trap();
    }
}

static int take(void *arg, const uint8_t *data, size_t len_bytes)
{
    struct output *output = arg;

    output->crc32 = crc32(output->crc32, data, len_bytes);
    output->total_bytes += len_bytes;
    return output->total_bytes > ENOUGH ? -ENOSPC : 0;
}

/* What one stream gives, from memory that ends where it does. */
static int inflate_copy(struct inflate_state *state, const uint8_t *data, size_t size,
                        struct output *output, struct inflate_result *result)
{
    const struct inflate_sink sink = {.write = take, .arg = output};
    uint8_t *copy = malloc(size);

    *output = (struct output){0};
    memcpy(copy, data, size);
    int err = inflate(state, copy, size, &sink, result);
    free(copy);
    require(err == 0 || err == -EILSEQ || err == -EIO ||
            (err == -ENOSPC && output->total_bytes > ENOUGH));
    return err;
}

static void check_stream(struct inflate_state *state, const uint8_t *data, size_t size)
{
    struct inflate_result result, again;
    struct output output;

    if (inflate_copy(state, data, size, &output, &result) != 0) {
        return;
    }
    require(result.used_bytes > 0 && result.used_bytes <= size);
    require(result.total_bytes == output.total_bytes && result.crc32 == output.crc32);
    require(inflate_copy(state, data, result.used_bytes, &output, &again) == 0);
    require(again.used_bytes == result.used_bytes && again.crc32 == result.crc32);
    require(inflate_copy(state, data, result.used_bytes - 1, &output, &again) == -EIO);
}

static uint8_t *put_le(uint8_t *p, uint32_t value, unsigned bytes)
{
    for (; bytes-- > 0; value >>= 8) {
        *p++ = (uint8_t)value;
    }
    return p;
}

/* A member whose stream is one stored block (RFC 1951, 3.2.4) gives its bytes back; with any of its bits changed it is refused or gives the same. */
static void check_member(struct inflate_state *state, const uint8_t *data, size_t size)
{
    static const uint8_t head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1};
    struct output output = {0};
    const struct inflate_sink sink = {.write = take, .arg = &output};
    uint8_t *member = malloc(size + WRAPPED_BYTES), *p = member + sizeof(head);
    size_t used = 0;

    memcpy(member, head, sizeof(head));
    p = put_le(put_le(p, (uint32_t)size, 2), ~(uint32_t)size, 2);
    memcpy(p, data, size);
    p = put_le(put_le(p + size, crc32(0, data, size), 4), (uint32_t)size, 4);
    require(p == member + size + WRAPPED_BYTES);
    require(gzip_member(state, member, size + WRAPPED_BYTES, &sink, &used) == 0);
    require(used == size + WRAPPED_BYTES && output.total_bytes == size);
    require(gzip_member(state, member, size + WRAPPED_BYTES - 1, &sink, &used) == -EIO);

    size_t at = (data[0] | (size_t)data[size - 1] << 8) % (size + WRAPPED_BYTES);
    member[at] ^= (uint8_t)(1u << (data[size / 2] & 7));
    uint32_t before = crc32(0, data, size);
    output = (struct output){0};
    if (gzip_member(state, member, size + WRAPPED_BYTES, &sink, &used) == 0) {
        require(output.total_bytes == size && output.crc32 == before);
    }
    /* And what the fuzzer likes behind a header. */
    memcpy(member + 10, data, size);
    (void)gzip_member(state, member, size + 10, &sink, &used);
    free(member);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct inflate_state *state = malloc(inflate_state_size());

    check_stream(state, data, size);
    if (size > 0 && size < 65536) {
        check_member(state, data, size);
        struct output output = {0};
        const struct inflate_sink sink = {.write = take, .arg = &output};
        size_t used = 0;
        if (gzip_member(state, data, size, &sink, &used) == 0) {
            require(used <= size);
        }
    }
    free(state);
    return 0;
}
