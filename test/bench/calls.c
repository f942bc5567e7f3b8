/* Rows that stay in user space (what they cost the kernel is its clock interrupt), and short system calls. */
#include "test/bench/bench.h"

#include <dirent.h>
#include <sched.h>
#include <sys/random.h>

static volatile uint64_t sink;

static int row_xorshift(long count)
{
    uint64_t x = 88172645463325252u;

    mark_begin();
    for (long i = 0; i < count; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    mark_end();
    sink = x;
    return 0;
}

static int row_memcpy(long count)
{
    enum { LENGTH = 1 << 20 };
    static char from[LENGTH], to[LENGTH];

    memset(from, 1, LENGTH);
    memset(to, 2, LENGTH);
    mark_begin();
    for (long i = 0; i < count; i++) {
        memcpy(to, from, LENGTH);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    mark_end();
    return 0;
}

static int row_null(long count)
{
    mark_begin();
    for (long i = 0; i < count; i++) {
        syscall(SYS_getppid);
    }
    mark_end();
    return 0;
}

static int row_clock(long count)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0) {
        return bench_error("clock_gettime");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    mark_end();
    return 0;
}

static int row_clock_sys(long count)
{
    struct timespec now;

    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) < 0) {
        return bench_error("clock_gettime");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    }
    mark_end();
    return 0;
}

/* One byte read from or written to a device, `count` times. */
static int device_byte(const char *path, bool writes, long count)
{
    char byte = 0;
    int err = 0;
    int fd = open(path, writes ? O_WRONLY : O_RDONLY);

    if (fd < 0) {
        return bench_error(path);
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        if ((writes ? write(fd, &byte, 1) : read(fd, &byte, 1)) != 1) {
            err = bench_error(path);
            break;
        }
    }
    mark_end();
    close(fd);
    return err;
}

static int row_read_zero(long count)
{
    return device_byte("/dev/zero", false, count);
}

static int row_write_null(long count)
{
    return device_byte("/dev/null", true, count);
}

static int row_open_close(long count)
{
    int fd = bench_make_file(16);

    if (fd < 0) {
        return bench_error("create");
    }
    close(fd);
    mark_begin();
    for (long i = 0; i < count; i++) {
        fd = open(BENCH_FILE, O_RDONLY);
        if (fd < 0) {
            return bench_error("open");
        }
        close(fd);
    }
    mark_end();
    unlink(BENCH_FILE);
    return 0;
}

static int row_stat(long count)
{
    struct stat st;
    int fd = bench_make_file(16);

    if (fd < 0) {
        return bench_error("create");
    }
    close(fd);
    if (stat(BENCH_FILE, &st) < 0) {
        return bench_error("stat");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        stat(BENCH_FILE, &st);
    }
    mark_end();
    unlink(BENCH_FILE);
    return 0;
}

static int row_fstat(long count)
{
    struct stat st;
    int fd = bench_make_file(16);

    if (fd < 0) {
        return bench_error("create");
    }
    if (fstat(fd, &st) < 0) {
        return bench_error("fstat");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        fstat(fd, &st);
    }
    mark_end();
    close(fd);
    unlink(BENCH_FILE);
    return 0;
}

/* Make (or remove) the 100 files of a folder. */
static int fill_folder(const char *folder, bool make)
{
    char path[300];

    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "%s/file%03d", folder, i);
        int fd = make ? open(path, O_CREAT | O_WRONLY, 0644) : -1;
        if (make && fd < 0) {
            return -1;
        }
        if (make) {
            close(fd);
        } else {
            unlink(path);
        }
    }
    return 0;
}

/* Open a folder of 100 files, read it to its end, close it. */
static int row_dirscan(long count)
{
    const char *folder = BENCH_FOLDER "/folder";
    int err = 0;

    if (mkdir(folder, 0755) < 0 || fill_folder(folder, true) < 0) {
        return bench_error("mkdir");
    }
    mark_begin();
    for (long i = 0; i < count && err == 0; i++) {
        int seen = 0;
        DIR *dir = opendir(folder);
        if (dir == NULL) {
            err = bench_error("opendir");
            break;
        }
        while (readdir(dir) != NULL) {
            seen++;
        }
        closedir(dir);
        if (seen != 102) {
            errno = EPROTO;
            err = bench_error("readdir");
        }
    }
    mark_end();
    fill_folder(folder, false);
    rmdir(folder);
    return err;
}

static int row_getrandom(long count)
{
    char bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return bench_error("getrandom");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        getrandom(bytes, sizeof(bytes), 0);
    }
    mark_end();
    return 0;
}

static int row_sched_yield(long count)
{
    if (sched_yield() < 0) {
        return bench_error("sched_yield");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        sched_yield();
    }
    mark_end();
    return 0;
}

static int row_nanosleep(long count)
{
    const struct timespec millisecond = {0, 1000000};

    if (nanosleep(&millisecond, NULL) < 0) {
        return bench_error("nanosleep");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        nanosleep(&millisecond, NULL);
    }
    mark_end();
    return 0;
}

const struct row compute_rows[] = {
    {"cpu_xorshift", row_xorshift, UNIT_OPERATION, 1, 200000},
    {"memcpy_1m", row_memcpy, UNIT_64KIB, 1 << 20, 20},
    {NULL},
};

const struct row call_rows[] = {
    {"null_syscall", row_null, UNIT_OPERATION, 1, 20000},
    {"clock_gettime", row_clock, UNIT_OPERATION, 1, 20000},
    {"clock_gettime_sys", row_clock_sys, UNIT_OPERATION, 1, 20000},
    {"read_zero_1", row_read_zero, UNIT_OPERATION, 1, 10000},
    {"write_null_1", row_write_null, UNIT_OPERATION, 1, 10000},
    {"open_close", row_open_close, UNIT_OPERATION, 1, 3000},
    {"stat", row_stat, UNIT_OPERATION, 1, 5000},
    {"fstat", row_fstat, UNIT_OPERATION, 1, 10000},
    {"dirscan_100", row_dirscan, UNIT_OPERATION, 1, 200},
    {"getrandom_16", row_getrandom, UNIT_OPERATION, 1, 5000},
    {"sched_yield", row_sched_yield, UNIT_OPERATION, 1, 5000},
    {"nanosleep_1ms", row_nanosleep, UNIT_OPERATION, 1, 10},
    {NULL},
};
