/*
 * gzip (RFC 1952) and DEFLATE (RFC 1951) decompression from memory into a sink, with a bounded window and no allocation.
 * The input is hostile; a fuzz target covers it.
 */
#pragma once

#include "kernel/base/types.h"

#define INFLATE_WINDOW 32768

struct inflate_sink {
    /* Takes the next bytes of output. 0, or a negative errno that ends decompression and is returned. */
    int (*write)(void *arg, const uint8_t *data, size_t len_bytes);
    void *arg;
};

/* About 70 KiB, window and tables: the caller's memory, of inflate_state_size() bytes. */
struct inflate_state;
size_t inflate_state_size(void);

struct inflate_result {
    size_t used_bytes; /* of the input, up to the byte in which the stream ends */
    uint64_t total_bytes;
    uint32_t crc32; /* of the output */
};

/* Decompress one DEFLATE stream from `in`. -EILSEQ: damaged; -EIO: truncated; or the sink's error. */
int inflate(struct inflate_state *state, const uint8_t *in, size_t len_bytes,
            const struct inflate_sink *sink, struct inflate_result *ret_result);

/*
 * Decompress one gzip member from `in`; *ret_used is the number of input bytes consumed, trailer included.
 * -EILSEQ: not gzip, damaged, or wrong CRC or length; -EIO: truncated; or the sink's error.
 */
int gzip_member(struct inflate_state *state, const uint8_t *in, size_t len_bytes,
                const struct inflate_sink *sink, size_t *ret_used);
