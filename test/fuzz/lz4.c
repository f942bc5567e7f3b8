/*
 * Fuzz target: LZ4 blocks. The input is decompressed into rooms of several sizes, and compressed and brought back.
 */
#include "kernel/base/lz4.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* libc's: blocks of exactly the size asked for, so that the address sanitizer sees every byte beyond. */
void *malloc(size_t size);
void free(void *ptr);

static void require(bool promise)
{
    if (!promise) {
        __builtin_trap();
    }
}

static void check_hostile(const uint8_t *data, size_t size, size_t room)
{
    uint8_t *out = malloc(room);
    ssize_t n = lz4_decompress(data, size, out, room);

    require(n == -EINVAL || (n >= 0 && (size_t)n <= room));
    free(out);
}

static void check_round_trip(const uint8_t *data, size_t size)
{
    struct lz4_table table;
    size_t room = size + size / 255 + 16;
    uint8_t *packed = malloc(room), *back = malloc(size);
    size_t n = lz4_compress(data, size, packed, room, &table);

    require(n > 0 && n <= room);
    require(lz4_decompress(packed, n, back, size) == (ssize_t)size);
    require(memcmp(data, back, size) == 0);
    free(packed);
    packed = malloc(n);
    require(lz4_compress(data, size, packed, n, &table) == n);
    require(lz4_compress(data, size, packed, n - 1, &table) == 0);
    free(packed);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_hostile(data, size, 1);
    check_hostile(data, size, size + 7);
    check_hostile(data, size, 4096);
    check_hostile(data, size, LZ4_BLOCK_MAX);
    check_round_trip(data, size);
    return 0;
}
