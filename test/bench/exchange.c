/*
 * Two processes that exchange bytes: round trips of one byte, and streams of 64 KiB, over pipes and local sockets; and a token
 * that goes round a ring of processes, which is mostly the cost of switching between them.
 */
#include "test/bench/bench.h"

#include <sys/eventfd.h>

#define CHUNK    65536
#define RING_MAX 16

static int write_byte(int fd)
{
    char byte = 1;
    return write(fd, &byte, 1) == 1 ? 0 : -1;
}

static int read_byte(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1 ? 0 : -1;
}

static void mirror(int in, int out)
{
    while (read_byte(in) == 0 && write_byte(out) == 0) {
    }
    _exit(0);
}

static int round_trips(int out, int in, long count)
{
    for (long i = 0; i < count; i++) {
        if (write_byte(out) < 0 || read_byte(in) < 0) {
            return bench_error("round trip");
        }
    }
    return 0;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int bench_ping_pong(int out, int in, int far_in, int far_out, long count)
{
    pid_t pid = fork();

    if (pid < 0) {
        return bench_error("fork");
    }
    if (pid == 0) {
        close(out);
        if (in != out) {
            close(in);
        }
        mirror(far_in, far_out);
    }
    close(far_in);
    if (far_out != far_in) {
        close(far_out);
    }
    int err = round_trips(out, in, 16);
    if (err == 0) {
        mark_begin();
        err = round_trips(out, in, count);
        mark_end();
    }
    close(out);
    if (in != out) {
        close(in);
    }
    end_child(pid);
    return err;
}

int bench_stream(int from, int to, long count)
{
    static char chunk[CHUNK];
    pid_t pid = fork();
    int err = 0;

    if (pid < 0) {
        return bench_error("fork");
    }
    if (pid == 0) {
        close(to);
        while (bench_write_all(from, chunk, CHUNK) == 0) {
        }
        _exit(0);
    }
    close(from);
    if (bench_read_all(to, chunk, CHUNK) < 0) {
        err = bench_error("stream");
    } else {
        mark_begin();
        for (long i = 0; i < count && err == 0; i++) {
            err = bench_read_all(to, chunk, CHUNK);
        }
        mark_end();
        err = err < 0 ? bench_error("stream") : 0;
    }
    close(to);
    end_child(pid);
    return err;
}

/* Write to and read from one event counter, alone. */
static int row_eventfd(long count)
{
    uint64_t value = 1;
    int fd = eventfd(0, 0);
    int err = 0;

    if (fd < 0) {
        return bench_error("eventfd");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        if (write(fd, &value, sizeof(value)) != (ssize_t)sizeof(value) ||
            read(fd, &value, sizeof(value)) != (ssize_t)sizeof(value)) {
            err = bench_error("eventfd");
            break;
        }
    }
    mark_end();
    close(fd);
    return err;
}

static int row_pipe(long count)
{
    int there[2], back[2];

    if (pipe(there) < 0 || pipe(back) < 0) {
        return bench_error("pipe");
    }
    return bench_ping_pong(there[1], back[0], there[0], back[1], count);
}

static int socket_pair(int type, long count)
{
    int ends[2];

    if (socketpair(AF_UNIX, type, 0, ends) < 0) {
        return bench_error("socketpair");
    }
    return bench_ping_pong(ends[0], ends[0], ends[1], ends[1], count);
}

static int row_socket_stream(long count)
{
    return socket_pair(SOCK_STREAM, count);
}

static int row_socket_datagram(long count)
{
    return socket_pair(SOCK_DGRAM, count);
}

static int row_pipe_stream(long count)
{
    int ends[2];

    if (pipe(ends) < 0) {
        return bench_error("pipe");
    }
    return bench_stream(ends[1], ends[0], count);
}

static int row_unix_stream(long count)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
        return bench_error("socketpair");
    }
    return bench_stream(ends[1], ends[0], count);
}

/* A ring member keeps two ends of all the pipes. */
static void ring_member(int pipes[][2], int members, int me)
{
    int in = pipes[me][0], out = pipes[(me + 1) % members][1];

    for (int i = 0; i < members; i++) {
        if (pipes[i][0] != in) {
            close(pipes[i][0]);
        }
        if (pipes[i][1] != out) {
            close(pipes[i][1]);
        }
    }
    mirror(in, out);
}

/* A token goes `count` times round a ring of processes, this one among them. */
static int ring(long count, int members)
{
    int pipes[RING_MAX][2];
    pid_t pids[RING_MAX];

    for (int i = 0; i < members; i++) {
        if (pipe(pipes[i]) < 0) {
            return bench_error("pipe");
        }
    }
    for (int i = 1; i < members; i++) {
        pids[i] = fork();
        if (pids[i] < 0) {
            return bench_error("fork");
        }
        if (pids[i] == 0) {
            ring_member(pipes, members, i);
        }
    }
    int err = round_trips(pipes[1 % members][1], pipes[0][0], 8);
    if (err == 0) {
        mark_begin();
        err = round_trips(pipes[1 % members][1], pipes[0][0], count);
        mark_end();
    }
    for (int i = 1; i < members; i++) {
        end_child(pids[i]);
    }
    for (int i = 0; i < members; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    return err;
}

static int row_ring_2(long count)
{
    return ring(count, 2);
}

static int row_ring_16(long count)
{
    return ring(count, 16);
}

const struct row exchange_rows[] = {
    {"eventfd_wr_rd", row_eventfd, UNIT_OPERATION, 1, 5000},
    {"pipe_pingpong", row_pipe, UNIT_OPERATION, 1, 2000},
    {"sockpair_pingpong", row_socket_stream, UNIT_OPERATION, 1, 2000},
    {"unix_dgram_pingpong", row_socket_datagram, UNIT_OPERATION, 1, 2000},
    {NULL},
};

const struct row stream_rows[] = {
    {"pipe_bw_64k", row_pipe_stream, UNIT_64KIB, CHUNK, 200},
    {"unix_bw_64k", row_unix_stream, UNIT_64KIB, CHUNK, 200},
    {NULL},
};

const struct row switch_rows[] = {
    {"ctx_2p", row_ring_2, UNIT_OPERATION, 2, 2000},
    {"ctx_16p", row_ring_16, UNIT_OPERATION, 16, 300},
    {NULL},
};
