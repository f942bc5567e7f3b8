/*
 * Programs that people measure schedulers with, as rows: only run when their names are asked for, since the archive must hold them.
 *
 * hackbench (Debian's rt-tests): groups of 20 senders that each send 100 messages of 100 bytes to each of 20 receivers. A row is counted
 * per message, with everything that the program does to begin and to end. cyclictest (the same package): a real-time thread that sleeps until
 * each next millisecond; counted per wake.
 */
#include "test/bench/bench.h"

#define HACKBENCH          "/usr/bin/hackbench"
#define CYCLICTEST         "/usr/bin/cyclictest"
#define LOOPS              100
#define MESSAGES_PER_GROUP 400 /* a loop: 20 senders to 20 receivers */

static int run_program(char *const argv[])
{
    int status;

    mark_begin();
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return bench_error("fork");
    }
    mark_end();
    errno = 0;
    return status == 0 ? 0 : bench_error(argv[0]);
}

#define HACKBENCH_ROW(name, ...)                                                                   \
    static int name(long count)                                                                    \
    {                                                                                              \
        char loops[16];                                                                            \
        snprintf(loops, sizeof(loops), "%ld", count);                                              \
        return run_program((char *const[]){HACKBENCH, "-l", loops, __VA_ARGS__, NULL});            \
    }

HACKBENCH_ROW(pipe_4, "-p", "-g", "4")
HACKBENCH_ROW(pipe_threads_4, "-T", "-p", "-g", "4")
HACKBENCH_ROW(socket_4, "-g", "4")
HACKBENCH_ROW(socket_threads_4, "-T", "-g", "4")
HACKBENCH_ROW(pipe_8, "-p", "-g", "8")
HACKBENCH_ROW(pipe_threads_8, "-T", "-p", "-g", "8")
HACKBENCH_ROW(socket_8, "-g", "8")
HACKBENCH_ROW(socket_threads_8, "-T", "-g", "8")

static int cyclictest(long count)
{
    char loops[16];

    snprintf(loops, sizeof(loops), "%ld", count);
    return run_program(
        (char *const[]){CYCLICTEST, "-q", "-m", "-p", "80", "-i", "1000", "-l", loops, NULL});
}

#define ROW(name, run, groups)                                                                     \
    {                                                                                              \
        name, run, UNIT_OPERATION, MESSAGES_PER_GROUP *(groups), LOOPS, true                       \
    }

const struct row program_rows[] = {
    ROW("hackbench_pipe_4", pipe_4, 4),
    ROW("hackbench_pipe_threads_4", pipe_threads_4, 4),
    ROW("hackbench_socket_4", socket_4, 4),
    ROW("hackbench_socket_threads_4", socket_threads_4, 4),
    ROW("hackbench_pipe_8", pipe_8, 8),
    ROW("hackbench_pipe_threads_8", pipe_threads_8, 8),
    ROW("hackbench_socket_8", socket_8, 8),
    ROW("hackbench_socket_threads_8", socket_threads_8, 8),
    {"cyclictest", cyclictest, UNIT_OPERATION, 1, 2000, true},
    {0},
};
