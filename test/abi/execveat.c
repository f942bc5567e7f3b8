/*
 * execveat(2): programs and scripts named by descriptors, and what these are told they are called.
 *
 * The test program itself, copied, is the program and the interpreter: by the name of the copy it knows that it is not to run tests.
 */
#include "abi.h"

#include <sys/auxv.h>

#define RIGHT 20
#define WRONG 21

/* EXPECTED is what AT_EXECFN says, and EXPECTED_ARGS all arguments, with a blank after each. */
static void __attribute__((constructor)) as_program(void)
{
    const char *expected = getenv("EXPECTED"), *expected_args = getenv("EXPECTED_ARGS");
    char args[1024];

    if (expected == NULL || expected_args == NULL) {
        return;
    }
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t n = read(fd, args, sizeof(args) - 1);
    for (ssize_t i = 0; i < n; i++) {
        args[i] = args[i] == '\0' ? ' ' : args[i];
    }
    args[n < 0 ? 0 : n] = '\0';
    const char *name = (const char *)getauxval(AT_EXECFN);
    bool right = strcmp(args, expected_args) == 0 && strcmp(name, expected) == 0;
    if (!right) {
        printf("# named \"%s\", arguments \"%s\"\n", name, args);
        (void)fflush(stdout);
    }
    _exit(right ? RIGHT : WRONG);
}

/* The status of a child that executes it with one argument, "zero". */
static int status_of(int dirfd, const char *path, const char *expected, const char *expected_args)
{
    char name[128], args[256];
    int status;

    (void)snprintf(name, sizeof(name), "EXPECTED=%s", expected);
    (void)snprintf(args, sizeof(args), "EXPECTED_ARGS=%s", expected_args);
    pid_t pid = abi_fork();
    if (pid == 0) {
        char *const argv[] = {"zero", NULL}, *const envp[] = {name, args, NULL};
        (void)syscall(SYS_execveat, dirfd, path, argv, envp, AT_EMPTY_PATH);
        _exit(errno);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void make_script(const char *name, const char *line)
{
    abi_write_file(name, line);
    CHECK_EQ(chmod(name, 0755), 0);
}

ABI_TEST(execveat, programs_are_named_by_their_descriptor)
{
    CHECK_EQ(mkdir("dir", 0755), 0);
    abi_copy_self("dir/program", 0755);
    int dir = open("dir", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = open("dir/program", O_PATH);
    char by_fd[32], by_dir[64];

    CHECK(dir >= 0 && fd >= 0);
    (void)snprintf(by_fd, sizeof(by_fd), "/dev/fd/%d", fd);
    (void)snprintf(by_dir, sizeof(by_dir), "/dev/fd/%d/program", dir);
    CHECK_EQ(status_of(fd, "", by_fd, "zero "), RIGHT);
    CHECK_EQ(status_of(dir, "program", by_dir, "zero "), RIGHT);
    CHECK_EQ(status_of(AT_FDCWD, "dir/program", "dir/program", "zero "), RIGHT);
    CHECK_EQ(status_of(dir, "nothing", "", ""), ENOENT);
    CHECK_EQ(status_of(dir, "", "", ""), EACCES);
    CHECK_EQ(status_of(fd, "program", "", ""), ENOTDIR);
}

ABI_TEST(execveat, scripts_are_named_so_that_they_can_be_opened)
{
    CHECK_EQ(mkdir("dir", 0755), 0);
    abi_copy_self("interpreter", 0755);
    make_script("dir/script", "#!interpreter one\n");
    int dir = open("dir", O_PATH | O_DIRECTORY), fd = open("dir/script", O_RDONLY);
    char name[64], args[128];

    CHECK(dir >= 0 && fd >= 0);
    (void)snprintf(name, sizeof(name), "/dev/fd/%d/script", dir);
    (void)snprintf(args, sizeof(args), "interpreter one %s ", name);
    CHECK_EQ(status_of(dir, "script", name, args), RIGHT);
    (void)snprintf(name, sizeof(name), "/dev/fd/%d", fd);
    (void)snprintf(args, sizeof(args), "interpreter one %s ", name);
    CHECK_EQ(status_of(fd, "", name, args), RIGHT);
}

ABI_TEST(execveat, scripts_behind_descriptors_that_close_cannot_be)
{
    abi_copy_self("interpreter", 0755);
    make_script("script", "#!interpreter\n");
    int dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = open("script", O_RDONLY | O_CLOEXEC);

    CHECK(dir >= 0 && fd >= 0);
    CHECK_EQ(status_of(dir, "script", "", ""), ENOENT);
    CHECK_EQ(status_of(fd, "", "", ""), ENOENT);
    CHECK_EQ(status_of(AT_FDCWD, "script", "script", "interpreter script "), RIGHT);
}
