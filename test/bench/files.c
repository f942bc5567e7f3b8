/* Files on a file system in memory: making and removing, reading and overwriting. */
#include "test/bench/bench.h"

#define CHUNK    65536
#define FILE_LEN (8 << 20)

static char chunk[CHUNK];

/* Make a file with the first `length` bytes of the chunk in it, and remove it. */
static int create_unlink(size_t length, long count)
{
    mark_begin();
    for (long i = 0; i < count; i++) {
        int fd = open(BENCH_FILE, O_CREAT | O_WRONLY | O_EXCL, 0644);
        if (fd < 0) {
            return bench_error("create");
        }
        if (length > 0 && write(fd, chunk, length) != (ssize_t)length) {
            return bench_error("write");
        }
        close(fd);
        if (unlink(BENCH_FILE) < 0) {
            return bench_error("unlink");
        }
    }
    mark_end();
    return 0;
}

static int row_create(long count)
{
    return create_unlink(0, count);
}

static int row_create_10k(long count)
{
    return create_unlink(10240, count);
}

/* Go through a file that is in memory, over and over. */
static int row_read(long count)
{
    off_t offset = 0;
    int fd = bench_make_file(FILE_LEN);

    if (fd < 0) {
        return bench_error("create");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        if (pread(fd, chunk, CHUNK, offset) != CHUNK) {
            return bench_error("pread");
        }
        offset = (offset + CHUNK) % FILE_LEN;
    }
    mark_end();
    close(fd);
    unlink(BENCH_FILE);
    return 0;
}

static int row_write(long count)
{
    off_t offset = 0;
    int fd = bench_make_file(FILE_LEN);

    if (fd < 0) {
        return bench_error("create");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        if (pwrite(fd, chunk, CHUNK, offset) != CHUNK) {
            return bench_error("pwrite");
        }
        offset = (offset + CHUNK) % FILE_LEN;
    }
    mark_end();
    close(fd);
    unlink(BENCH_FILE);
    return 0;
}

const struct row file_rows[] = {
    {"create_unlink", row_create, UNIT_OPERATION, 1, 1000},
    {"create10k_unlink", row_create_10k, UNIT_OPERATION, 1, 1000},
    {"file_read_bw_64k", row_read, UNIT_64KIB, CHUNK, 300},
    {"file_write_bw_64k", row_write, UNIT_64KIB, CHUNK, 300},
    {NULL},
};
