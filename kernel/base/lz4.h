/*
 * LZ4 blocks: fast compression of up to 64 KiB at a time.
 *
 * Source: Collet, "LZ4 Block Format Description" (lz4_Block_format.md of the LZ4 project, 2022). No frames, no dictionaries: the caller
 * keeps the lengths. Nothing is allocated; the compressor works in a table of the caller's.
 */
#pragma once

#include "kernel/base/types.h"

#define LZ4_BLOCK_MAX  65536u
#define LZ4_TABLE_BITS 11

struct lz4_table {
    uint16_t position[1u << LZ4_TABLE_BITS]; /* by hash of four bytes: where they were seen last */
};

/*
 * Compress src_len bytes (at most LZ4_BLOCK_MAX). Returns the bytes put into dst, 0 when they would be more than dst_size. The result
 * depends on the source alone. What is in `table` before and after has no meaning.
 */
size_t lz4_compress(const void *src, size_t src_len, void *dst, size_t dst_size,
                    struct lz4_table *table);

/*
 * Decompress a block of src_len bytes. Returns the bytes put into dst; -EINVAL: the block is damaged, or holds more than dst_size bytes.
 * Whatever the source, nothing outside the two is touched; what is in dst after a failure has no meaning.
 */
ssize_t lz4_decompress(const void *src, size_t src_len, void *dst, size_t dst_size);
