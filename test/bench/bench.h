/*
 * The benchmark program: small tests ("rows") of one kernel path each, the same static program on Linux and on Linnet.
 *
 * A row runs `count` iterations between mark_begin() and mark_end(), as many spans as it likes, with everything that is not the
 * subject outside of them. A plugin in QEMU counts the instructions of the spans (kernel/abi/mark.h); the program itself
 * measures nothing. A row that the kernel cannot do returns bench_error(), which keeps the errno: it is reported, not hidden.
 *
 * To add a row: a function and a line in the table of its file; a new file also needs a line in main.c and meson.build.
 */
#pragma once

#include "kernel/abi/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARK(code) __asm__ volatile("nopl %c0(%%rax)" : : "i"(MARK_DISPLACEMENT(code)) : "memory")

enum unit {
    UNIT_OPERATION, /* `scale` operations in an iteration */
    UNIT_64KIB,     /* `scale` bytes in an iteration, reported for each 64 KiB */
};

struct row {
    const char *name;
    int (*run)(long count);
    enum unit unit;
    double scale;
    long count;      /* iterations of a sample */
    bool on_request; /* run only when its name is given */
};

/* One table a file, ended by a row without a name. */
extern const struct row compute_rows[], call_rows[], signal_rows[], exchange_rows[], thread_rows[],
    stream_rows[], process_rows[], memory_rows[], switch_rows[], ready_rows[], network_rows[],
    file_rows[], program_rows[];

/* The folder that rows make files in. */
#define BENCH_FOLDER "/tmp"
#define BENCH_FILE   BENCH_FOLDER "/file"

static inline void mark_begin(void)
{
    MARK(MARK_BEGIN);
}

static inline void mark_end(void)
{
    MARK(MARK_END);
}

/* Note what failed, with errno; gives what a row returns then. */
int bench_error(const char *what);

/* Make BENCH_FILE with `length` bytes in it. Returns an open descriptor or -1. */
int bench_make_file(size_t length);

/* Read or write all of it, whatever pieces come. 0 or -1. */
int bench_read_all(int fd, void *data, size_t length);
int bench_write_all(int fd, const void *data, size_t length);

/* One byte there and back, `count` times: this side writes to `out` and waits on `in`, a child mirrors from `far_in` to `far_out`.
   Closes all of them. */
int bench_ping_pong(int out, int in, int far_in, int far_out, long count);

/* `count` times 64 KiB from a child that writes `from` to this side that reads `to`. Closes both. */
int bench_stream(int from, int to, long count);
