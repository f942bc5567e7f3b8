/* Mappings and page faults. */
#include "test/bench/bench.h"

#define PAGE       4096
#define HUGE_PAGE  (2ul << 20)
#define ANON_PAGES 4096
#define COW_PAGES  1024
#define FILE_PAGES 2048

static volatile int sink;

static void *map_anonymous(size_t length)
{
    return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int row_map_unmap(long count)
{
    mark_begin();
    for (long i = 0; i < count; i++) {
        void *memory = map_anonymous(65536);
        if (memory == MAP_FAILED) {
            return bench_error("mmap");
        }
        munmap(memory, 65536);
    }
    mark_end();
    return 0;
}

static int row_map_touch_unmap(long count)
{
    mark_begin();
    for (long i = 0; i < count; i++) {
        volatile char *memory = map_anonymous(PAGE);
        if (memory == MAP_FAILED) {
            return bench_error("mmap");
        }
        *memory = 1;
        munmap((void *)memory, PAGE);
    }
    mark_end();
    return 0;
}

/* 16 touched pages made read-only and writable again. */
static int row_protect(long count)
{
    char *memory = map_anonymous(65536);

    if (memory == MAP_FAILED) {
        return bench_error("mmap");
    }
    memset(memory, 1, 65536);
    mark_begin();
    for (long i = 0; i < count; i++) {
        if (mprotect(memory, 65536, PROT_READ) < 0) {
            return bench_error("mprotect");
        }
        mprotect(memory, 65536, PROT_READ | PROT_WRITE);
    }
    mark_end();
    munmap(memory, 65536);
    return 0;
}

/* First writes to fresh memory, one a page; with small pages only, or as the system likes. */
static int touch_anonymous(long count, bool small)
{
    const size_t length = (size_t)ANON_PAGES * PAGE;

    for (long round = 0; round < count; round++) {
        volatile char *memory = map_anonymous(length);
        if (memory == MAP_FAILED) {
            return bench_error("mmap");
        }
        if (small) {
            madvise((void *)memory, length, MADV_NOHUGEPAGE);
        }
        mark_begin();
        for (size_t i = 0; i < ANON_PAGES; i++) {
            memory[i * PAGE] = 1;
        }
        mark_end();
        munmap((void *)memory, length);
    }
    return 0;
}

static int row_fault_small(long count)
{
    return touch_anonymous(count, true);
}

static int row_fault_default(long count)
{
    return touch_anonymous(count, false);
}

/* The same with huge pages alone: aligned, and asked for. */
static int row_fault_huge(long count)
{
    const size_t length = (size_t)ANON_PAGES * PAGE;

    for (long round = 0; round < count; round++) {
        char *area = map_anonymous(length + HUGE_PAGE);
        if (area == MAP_FAILED) {
            return bench_error("mmap");
        }
        volatile char *memory = (char *)(((uintptr_t)area + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1ul));
        if (madvise((void *)memory, length, MADV_HUGEPAGE) < 0) {
            return bench_error("madvise");
        }
        mark_begin();
        for (size_t i = 0; i < ANON_PAGES; i++) {
            memory[i * PAGE] = 1;
        }
        mark_end();
        munmap(area, length + HUGE_PAGE);
    }
    return 0;
}

/* A child writes to pages it shares with its parent. */
static int row_fault_cow(long count)
{
    const size_t length = (size_t)COW_PAGES * PAGE;
    volatile char *memory = map_anonymous(length);
    int status;

    if (memory == MAP_FAILED) {
        return bench_error("mmap");
    }
    madvise((void *)memory, length, MADV_NOHUGEPAGE);
    memset((void *)memory, 1, length);
    for (long round = 0; round < count; round++) {
        pid_t pid = fork();
        if (pid < 0) {
            return bench_error("fork");
        }
        if (pid == 0) {
            mark_begin();
            for (size_t i = 0; i < COW_PAGES; i++) {
                memory[i * PAGE] = 2;
            }
            mark_end();
            _exit(0);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0) {
            errno = ECHILD;
            return bench_error("child");
        }
    }
    munmap((void *)memory, length);
    return 0;
}

/* First reads of a private mapping of a file that is in memory. */
static int row_fault_file(long count)
{
    const size_t length = (size_t)FILE_PAGES * PAGE;
    int fd = bench_make_file(length);
    int sum = 0;

    if (fd < 0) {
        return bench_error("create");
    }
    for (long round = 0; round < count; round++) {
        volatile char *memory = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
        if (memory == MAP_FAILED) {
            return bench_error("mmap");
        }
        mark_begin();
        for (size_t i = 0; i < FILE_PAGES; i++) {
            sum += memory[i * PAGE];
        }
        mark_end();
        munmap((void *)memory, length);
    }
    sink = sum;
    close(fd);
    unlink(BENCH_FILE);
    return 0;
}

const struct row memory_rows[] = {
    {"mmap_munmap_64k", row_map_unmap, UNIT_OPERATION, 1, 3000},
    {"mmap_touch_munmap_4k", row_map_touch_unmap, UNIT_OPERATION, 1, 2000},
    {"mprotect_pair_64k", row_protect, UNIT_OPERATION, 1, 2000},
    {"pf_anon_4k", row_fault_small, UNIT_OPERATION, ANON_PAGES, 1},
    {"pf_anon_default", row_fault_default, UNIT_OPERATION, ANON_PAGES, 1},
    {"pf_anon_huge", row_fault_huge, UNIT_OPERATION, ANON_PAGES, 1},
    {"pf_cow", row_fault_cow, UNIT_OPERATION, COW_PAGES, 2},
    {"pf_file", row_fault_file, UNIT_OPERATION, FILE_PAGES, 2},
    {NULL},
};
