/*
 * Limits of what one user may have, beside those of getrlimit(2): pipes (pipe(7), "/proc files"), threads, oom_score_adj (proc(5)).
 */
#include "test/abi/abi.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define OTHER 65533

static long long setting(const char *path)
{
    FILE *file = fopen(path, "r");
    long long value = -1;

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%lld", &value), 1);
    fclose(file);
    return value;
}

/* -1 and errno when the file refuses. */
static int set(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY);
    int result = write(fd, value, strlen(value)) < 0 ? -1 : 0;
    int error = errno;

    close(fd);
    errno = error;
    return result;
}

static void become_other(void)
{
    CHECK_EQ(setgid(OTHER), 0);
    CHECK_EQ(setuid(OTHER), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0); /* or /proc/self is root's */
}

ABI_TEST(limits, pipes_of_a_user_shrink_and_then_end)
{
    int ends[2], more[2];

    CHECK(setting("/proc/sys/fs/pipe-user-pages-soft") > 0);
    CHECK(setting("/proc/sys/fs/pipe-max-size") >= 4096);
    int status = IN_CHILD({
        become_other();
        CHECK_EQ(pipe(ends), 0);
        CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
        CHECK_EQ(fcntl(ends[0], F_SETPIPE_SZ, 1 << 20), 1 << 20);
        CHECK_ERR(fcntl(ends[0], F_SETPIPE_SZ, 1 << 24), EPERM);
        int last = 65536;
        int n = 0;
        for (; n < 500 && pipe(more) == 0 && last == 65536; n++) {
            (void)fcntl(more[0], F_SETPIPE_SZ, 1 << 20);
            last = fcntl(more[0], F_GETPIPE_SZ);
            last = last == 1 << 20 ? 65536 : last;
        }
        CHECK_EQ(last, 8192); /* beyond the soft limit */
        CHECK_ERR(fcntl(more[0], F_SETPIPE_SZ, 65536), EPERM);
        CHECK_EQ(fcntl(more[0], F_SETPIPE_SZ, 4096), 4096); /* less is always allowed */
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(limits, oom_score_adj_goes_no_lower_than_the_privileged_left_it)
{
    /* Containers' roots may lack CAP_SYS_RESOURCE: what they set is no bound, and they have one themselves. */
    bool privileged = prctl(PR_CAPBSET_READ, 24 /* CAP_SYS_RESOURCE */) == 1;

    CHECK_EQ(set("/proc/self/oom_score_adj", "100"), 0);
    int status = IN_CHILD({
        CHECK_EQ(setting("/proc/self/oom_score_adj"), 100);
        become_other();
        CHECK_EQ(set("/proc/self/oom_score_adj", "500"), 0);
        CHECK_EQ(setting("/proc/self/oom_score_adj"), 500);
        CHECK_EQ(set("/proc/self/oom_score_adj", "100"), 0);
        CHECK_ERR(set("/proc/self/oom_score_adj", privileged ? "99" : "-1"), EACCES);
        CHECK_ERR(set("/proc/self/oom_score_adj", "1001"), EINVAL);
        CHECK_ERR(set("/proc/self/oom_score_adj", "-1001"), EINVAL);
        CHECK_ERR(set("/proc/self/oom_score_adj", "x"), EINVAL);
    });
    CHECK_EQ(status, 0);
    if (privileged) {
        CHECK_EQ(set("/proc/self/oom_score_adj", "-1000"), 0);
        CHECK_EQ(setting("/proc/self/oom_score"), 0);
        CHECK_EQ(setting("/proc/self/oom_adj"), -17);
    }
    CHECK_EQ(set("/proc/self/oom_adj", "15"), 0);
    CHECK_EQ(setting("/proc/self/oom_score_adj"), 1000);
    CHECK(setting("/proc/self/oom_score") >= 1333);
    CHECK_EQ(set("/proc/self/oom_score_adj", "0"), 0);
    CHECK(setting("/proc/self/oom_score") >= 660 && setting("/proc/self/oom_score") <= 800);
}

ABI_TEST(limits, a_child_of_vfork_has_an_oom_score_adj_of_its_own)
{

    CHECK_EQ(set("/proc/self/oom_score_adj", "10"), 0);
    pid_t sharer = vfork();
    CHECK(sharer >= 0);
    if (sharer == 0) { /* whom vfork made is on its own */
        int fd = open("/proc/self/oom_score_adj", O_WRONLY);
        _exit(write(fd, "300", 3) == 3 ? 0 : 1);
    }
    int status;
    CHECK_EQ(waitpid(sharer, &status, 0), sharer);
    CHECK_EQ(status, 0);
    CHECK_EQ(setting("/proc/self/oom_score_adj"), 10);
}

/* ---- RLIMIT_NPROC ---- */

#define FIRST_USER  5001
#define SECOND_USER 5002

static void *change_user_and_fork(void *arg)
{
    int status;

    (void)arg;
    abi_wait_state(getpid(), getpid(), 'Z');
    CHECK_EQ(syscall(SYS_setresuid, SECOND_USER, 0, 0), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    _exit(0);
}

/* Somebody of this user is there, and has forked. */
static pid_t stay(uid_t uid, const int *ends)
{
    char byte;
    int status;

    pid_t who = abi_fork();
    if (who == 0) {
        CHECK_EQ(setuid(uid), 0);
        CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
        pid_t pid = abi_fork();
        if (pid == 0) {
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(write(ends[1], "", 1), 1);
        for (;;) {
            (void)pause();
        }
    }
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    return who;
}

static void end_stays(const pid_t stays[2])
{
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(kill(stays[i], SIGKILL), 0);
        CHECK_EQ(waitpid(stays[i], NULL, 0), stays[i]);
    }
}

/* Has the user, beside who stays, room for two where the limit is three, and for no more? */
static void check_room(uid_t uid)
{
    const struct rlimit limit = {3, 3};
    int status;

    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
    CHECK_EQ(setuid(uid), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_ERR(fork(), EAGAIN);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

ABI_TEST(nproc, counts_for_another_user_what_has_changed_to_him)
{
    int ends[2];

    CHECK_EQ(pipe(ends), 0);
    pid_t stays[] = {stay(FIRST_USER, ends), stay(SECOND_USER, ends)};
    CHECK_EQ(IN_CHILD({
                 pthread_t thread;
                 CHECK_EQ(syscall(SYS_setresuid, FIRST_USER, 0, 0), 0);
                 CHECK_EQ(pthread_create(&thread, NULL, change_user_and_fork, NULL), 0);
                 syscall(SYS_exit, 0); /* the main thread alone */
             }),
             0);
    CHECK_EQ(IN_CHILD({ check_room(FIRST_USER); }), 0);
    CHECK_EQ(IN_CHILD({ check_room(SECOND_USER); }), 0);
    end_stays(stays);
}

ABI_TEST(nproc, counts_who_changes_to_a_user_at_once)
{
    int ends[2];
    pid_t stays[2];
    char byte;

    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 2; i++) { /* who only changes, and does not fork */
        stays[i] = abi_fork();
        if (stays[i] == 0) {
            CHECK_EQ(setuid(FIRST_USER), 0);
            CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
            CHECK_EQ(write(ends[1], "", 1), 1);
            for (;;) {
                (void)pause();
            }
        }
        CHECK_EQ(read(ends[0], &byte, 1), 1);
    }
    CHECK_EQ(IN_CHILD({
                 const struct rlimit limit = {3, 3};
                 CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
                 CHECK_EQ(setuid(FIRST_USER), 0);
                 CHECK_ERR(fork(), EAGAIN);
             }),
             0);
    end_stays(stays);
}

/* execve(2), EAGAIN: who does not look at what setuid(2) says runs nothing as a user with too many. */
ABI_TEST(nproc, execve_by_who_became_one_too_many_fails)
{
    int ends[2];

    CHECK_EQ(pipe(ends), 0);
    pid_t stays[] = {stay(FIRST_USER, ends), stay(FIRST_USER, ends)};
    CHECK_EQ(IN_CHILD({
                 struct rlimit limit = {1, 4};
                 char *const argv[] = {"nothing", NULL};
                 CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
                 CHECK_EQ(setuid(FIRST_USER), 0);
                 CHECK_ERR(execv("nowhere", argv), EAGAIN);
                 CHECK_ERR(execv("nowhere", argv), EAGAIN);
                 limit.rlim_cur = 4;
                 CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
                 CHECK_ERR(execv("nowhere", argv), ENOENT);
                 limit.rlim_cur = 1; /* it has been told already */
                 CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
                 CHECK_ERR(execv("nowhere", argv), ENOENT);
             }),
             0);
    end_stays(stays);
}
