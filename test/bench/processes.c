/* Making, replacing and ending processes. */
#include "test/bench/bench.h"

#define SELF "/proc/self/exe"

extern char **environ;

static int fork_wait(long count)
{
    mark_begin();
    for (long i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            return bench_error("fork");
        }
        if (pid == 0) {
            _exit(0);
        }
        if (waitpid(pid, NULL, 0) != pid) {
            return bench_error("waitpid");
        }
    }
    mark_end();
    return 0;
}

static int row_fork(long count)
{
    return fork_wait(count);
}

/* The same from a process with 4096 small pages of its own. */
static int row_fork_16m(long count)
{
    enum { LENGTH = 16 << 20 };
    char *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        return bench_error("mmap");
    }
    madvise(memory, LENGTH, MADV_NOHUGEPAGE);
    memset(memory, 1, LENGTH);
    int err = fork_wait(count);
    munmap(memory, LENGTH);
    return err;
}

/* A child, by fork or by vfork, that becomes `program`, which ends at once with status 0. */
static int exec_wait(const char *program, char *const argv[], bool shares, long count)
{
    int status;

    if (access(program, X_OK) < 0) {
        return bench_error(program);
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        pid_t pid = shares ? vfork() : fork();
        if (pid < 0) {
            return bench_error("fork");
        }
        if (pid == 0) {
            execve(program, argv, environ);
            _exit(127);
        }
        if (waitpid(pid, &status, 0) != pid) {
            return bench_error("waitpid");
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            errno = ENOEXEC;
            return bench_error("exec");
        }
    }
    mark_end();
    return 0;
}

static char *const exit_argv[] = {"bench", "--exit", NULL};
static char *const shell_argv[] = {"sh", "-c", "true", NULL};

static int row_fork_exec(long count)
{
    return exec_wait(SELF, exit_argv, false, count);
}

static int row_vfork_exec(long count)
{
    return exec_wait(SELF, exit_argv, true, count);
}

static int row_shell(long count)
{
    return exec_wait("/bin/sh", shell_argv, false, count);
}

const struct row process_rows[] = {
    {"fork_exit_wait", row_fork, UNIT_OPERATION, 1, 100},
    {"fork16m_exit_wait", row_fork_16m, UNIT_OPERATION, 1, 20},
    {"fork_exec_wait", row_fork_exec, UNIT_OPERATION, 1, 50},
    {"vfork_exec_wait", row_vfork_exec, UNIT_OPERATION, 1, 50},
    {"sh_c_true", row_shell, UNIT_OPERATION, 1, 20},
    {NULL},
};
