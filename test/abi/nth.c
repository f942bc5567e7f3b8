/*
 * nth            each operation again and again, with its first allocation failing, then its second ... until it needs no more; in
 *                kernels that have /proc/PID/fail-nth
 *
 * An operation that was made to fail may fail with any error; the next time, undisturbed, it has to succeed. Prints TAP.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NTH_MAX 2000
#define PAGE    4096ul

static const char *self;

/* Results of steps: a negative one makes the operation fail; what was opened is closed all the same. */
#define TRY(call)                                                                                  \
    ({                                                                                             \
        long result_ = (long)(call);                                                               \
        if (result_ == -1) {                                                                       \
            failed_at = __LINE__;                                                                  \
        }                                                                                          \
        result_;                                                                                   \
    })
static int failed_at; /* the line of the last step that failed, 0: none */

/* Taking back what was done may be what fails; the second time it does not. */
#define UNDO(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            (void)(call);                                                                          \
        }                                                                                          \
    } while (0)

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static void reap(pid_t pid)
{
    int status;

    if (pid > 0) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
}

/* ---- operations ---- */

static void op_fork(void)
{
    pid_t pid = (pid_t)TRY(fork());

    if (pid == 0) {
        _exit(0);
    }
    reap(pid);
}

/* What fails in the child is its own affair: fail-nth is not inherited, so the parent's part is looked at here. */
static void op_vfork_exec(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execl(self, self, "nothing", NULL);
        _exit(1);
    }
    TRY(pid);
    reap(pid);
}

static void *thread_main(void *arg)
{
    return arg;
}

static void op_thread(void)
{
    pthread_t thread;

    if (TRY(pthread_create(&thread, NULL, thread_main, NULL) == 0 ? 0 : -1) == 0) {
        pthread_join(thread, NULL);
    }
}

static void op_pipe(void)
{
    int ends[2] = {-1, -1};
    char bytes[6000] = {0};

    TRY(pipe2(ends, O_NONBLOCK));
    if (ends[0] >= 0) {
        TRY(write(ends[1], bytes, sizeof(bytes)));
        TRY(fcntl(ends[1], F_SETPIPE_SZ, 1 << 18));
        close_all(ends, 2);
    }
}

static void op_names(void)
{
    TRY(mkdir("d", 0755));
    int fd = (int)TRY(
        open("d/a-name-that-does-not-fit-into-the-place-inside-a-dentry", O_CREAT | O_RDWR, 0644));
    TRY(link("d/a-name-that-does-not-fit-into-the-place-inside-a-dentry", "d/b"));
    TRY(symlink("a-long-target-a-long-target-a-long-target-a-long-target-a-long-target", "d/c"));
    TRY(rename("d/b", "d/e"));
    TRY(mknod("d/f", S_IFIFO | 0600, 0));
    int fifo = (int)TRY(open("d/f", O_RDWR));
    TRY(setxattr("d/e", "user.x", "value", 5, 0));
    DIR *dir = opendir("d");
    TRY(dir == NULL ? -1 : 0);
    if (dir != NULL) {
        while (readdir(dir) != NULL) {
        }
        closedir(dir);
    }
    close_all((int[]){fd, fifo}, 2);
    UNDO(unlink("d/a-name-that-does-not-fit-into-the-place-inside-a-dentry"));
    UNDO(unlink("d/b"));
    UNDO(unlink("d/c"));
    UNDO(unlink("d/e"));
    UNDO(unlink("d/f"));
    UNDO(rmdir("d"));
}

static void op_file(void)
{
    static char bytes[5 * PAGE];
    int fd = (int)TRY(open("file", O_CREAT | O_RDWR | O_TRUNC, 0644));

    TRY(pwrite(fd, bytes, sizeof(bytes), 3 * PAGE));
    TRY(pwrite(fd, bytes, sizeof(bytes), 1 << 30));
    TRY(fallocate(fd, 0, 1 << 20, 64 * PAGE));
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * PAGE / 2, 2 * PAGE));
    TRY(pread(fd, bytes, sizeof(bytes), 3 * PAGE));
    TRY(ftruncate(fd, 100));
    TRY(flock(fd, LOCK_EX));
    struct flock lock = {.l_type = F_WRLCK, .l_len = 10};
    TRY(fcntl(fd, F_SETLK, &lock));
    lock = (struct flock){.l_type = F_UNLCK, .l_start = 3, .l_len = 2};
    TRY(fcntl(fd, F_SETLK, &lock));
    close_all(&fd, 1);
    UNDO(unlink("file"));
}

static void op_memory(void)
{
    char *at = mmap(NULL, 600 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    TRY(at == MAP_FAILED ? -1 : 0);
    if (at == MAP_FAILED) {
        return;
    }
    TRY(madvise(at, 40 * PAGE, 23 /* MADV_POPULATE_WRITE */));
    TRY(mprotect(at + 3 * PAGE, 2 * PAGE, PROT_READ));
    TRY(munmap(at + 10 * PAGE, PAGE));
    TRY(mlock(at + 20 * PAGE, PAGE));
    char *moved = mremap(at + 300 * PAGE, 100 * PAGE, 200 * PAGE, MREMAP_MAYMOVE);
    TRY(moved == MAP_FAILED ? -1 : 0);
    pid_t pid = (pid_t)TRY(fork());
    if (pid == 0) {
        _exit(0);
    }
    reap(pid);
    UNDO(munmap(at, 600 * PAGE));
    if (moved != MAP_FAILED) {
        UNDO(munmap(moved, 200 * PAGE));
    }
}

static void op_shared_memory(void)
{
    int fd = (int)syscall(SYS_memfd_create, "name", 0);

    TRY(fd < 0 && errno != ENOSYS ? -1 : 0);
    if (fd < 0) {
        fd = (int)TRY(open("shared", O_CREAT | O_RDWR, 0600));
        UNDO(unlink("shared"));
    }

    TRY(ftruncate(fd, 100 * PAGE));
    char *at = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    TRY(at == MAP_FAILED ? -1 : 0);
    if (at != MAP_FAILED) {
        TRY(madvise(at, 10 * PAGE, 23 /* MADV_POPULATE_WRITE */));
        TRY(msync(at, PAGE, MS_SYNC));
        UNDO(munmap(at, 100 * PAGE));
    }
    close_all(&fd, 1);
    at = mmap(NULL, 10 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    TRY(at == MAP_FAILED ? -1 : 0);
    if (at != MAP_FAILED) {
        UNDO(munmap(at, 10 * PAGE));
    }
}

static void op_descriptors(void)
{
    int fds[70];
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    fds[0] = (int)TRY(eventfd(0, 0));
    fds[1] = (int)TRY(timerfd_create(CLOCK_MONOTONIC, 0));
    fds[2] = (int)TRY(signalfd(-1, &set, 0));
    fds[3] = (int)TRY(syscall(SYS_pidfd_open, getpid(), 0));
    fds[4] = (int)TRY(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    fds[5] = (int)TRY(open("/dev/null", O_RDWR));
    struct pollfd polled[64];
    for (int i = 6; i < 70; i++) {
        fds[i] = (int)TRY(dup(fds[5]));
        polled[i - 6] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    }
    TRY(poll(polled, 64, 0));
    close_all(fds, 70);
}

static void op_proc(void)
{
    static const char *const names[] = {"/proc/meminfo", "/proc/self/maps", "/proc/self/status",
                                        "/proc/mounts",  "/proc/self/fd/0", "/proc/slabinfo"};
    static char bytes[8192];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int fd = (int)TRY(open(names[i], O_RDONLY | O_NONBLOCK));
        if (fd >= 0 && i != 4) {
            TRY(read(fd, bytes, sizeof(bytes)));
        }
        close_all(&fd, 1);
    }
    DIR *dir = opendir("/proc");
    TRY(dir == NULL ? -1 : 0);
    if (dir != NULL) {
        while (readdir(dir) != NULL) {
        }
        closedir(dir);
    }
}

static void op_mount(void)
{
    TRY(mkdir("m", 0755));
    int mounted = (int)TRY(mount("none", "m", "tmpfs", 0, "size=1m"));
    int fd = (int)TRY(open("m/x", O_CREAT | O_RDWR, 0644));
    close_all(&fd, 1);
    UNDO(unlink("m/x"));
    if (mounted == 0) {
        UNDO(umount2("m", MNT_DETACH));
    }
    UNDO(rmdir("m"));
}

static void op_signals(void)
{
    union sigval value = {.sival_int = 1};
    sigset_t set, old;
    struct sigaction action = {.sa_handler = SIG_IGN}, before;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, &old);
    TRY(sigqueue(getpid(), SIGRTMIN, value));
    TRY(sigaction(SIGUSR2, &action, &before));
    UNDO(sigaction(SIGUSR2, &before, NULL));
    struct timespec none = {0, 0};
    sigtimedwait(&set, NULL, &none);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void op_identity(void)
{
    gid_t groups[40] = {1, 2, 3};

    TRY(syscall(SYS_setgroups, 40, groups));
    TRY(syscall(SYS_setresuid, -1, 5, -1));
    UNDO(syscall(SYS_setresuid, -1, 0, -1));
    TRY(setpgid(0, 0));
    TRY(unshare(CLONE_FS | CLONE_FILES));
}

static void op_vectors(void)
{
    static char byte;
    struct iovec vectors[200];
    int ends[2];

    for (int i = 0; i < 200; i++) {
        vectors[i] = (struct iovec){&byte, 1};
    }
    if (TRY(pipe2(ends, O_NONBLOCK)) == 0) {
        TRY(writev(ends[1], vectors, 200));
        TRY(readv(ends[0], vectors, 200));
        close_all(ends, 2);
    }
}

static const struct op {
    const char *name;
    void (*run)(void);
} ops[] = {
    {"fork", op_fork},
    {"vfork and exec", op_vfork_exec},
    {"a thread", op_thread},
    {"a pipe", op_pipe},
    {"names", op_names},
    {"a file", op_file},
    {"memory", op_memory},
    {"shared memory", op_shared_memory},
    {"descriptors", op_descriptors},
    {"proc", op_proc},
    {"mount", op_mount},
    {"signals", op_signals},
    {"identity", op_identity},
    {"vectors", op_vectors},
};

/* Did the nth allocation fail? The question may need one itself, and meet the failure instead. */
static bool has_failed(int nth_file)
{
    char text[16] = {0};
    ssize_t n = pread(nth_file, text, sizeof(text) - 1, 0);

    return n > 0 && atoi(text) == 0;
}

/* execve(2) in a child that fails by itself: the image is replaced as a whole or not at all. 0: done, 1: failed, 2: no more to fail. */
static int exec_child(int nth)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        char text[16];
        int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
        snprintf(text, sizeof(text), "%d", nth);
        if (fd < 0 || write(fd, text, strlen(text)) < 0) {
            _exit(3);
        }
        execl(self, self, "nothing", NULL);
        _exit(errno == ENOMEM || errno == ENFILE || errno == EAGAIN ? 1 : 4);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status) == SIGKILL ? 1 : 5;
}

static bool run_exec(void)
{
    int last = 1, done = 0;

    for (int nth = 1; nth < NTH_MAX && done < 50; nth++) {
        last = exec_child(nth);
        if (last > 1) {
            printf("# execve with failure %d: %d\n", nth, last);
            return false;
        }
        done = last == 0 ? done + 1 : 0;
    }
    return done == 50;
}

static bool run_op(const struct op *op, int nth_file)
{
    int nth = 0;

    for (bool more = true; more;) {
        char text[16];
        if (++nth == NTH_MAX) {
            printf("# no end\n");
            return false;
        }
        snprintf(text, sizeof(text), "%d", nth);
        if (pwrite(nth_file, text, strlen(text), 0) < 0) {
            printf("# fail-nth: %s\n", strerror(errno));
            return false;
        }
        failed_at = 0;
        op->run();
        more = has_failed(nth_file);
        (void)!pwrite(nth_file, "0", 1, 0);
        failed_at = 0;
        op->run();
        if (failed_at != 0) {
            printf("# after failure %d line %d fails: %s\n", nth, failed_at, strerror(errno));
            return false;
        }
    }
    printf("# %s: %d allocations\n", op->name, nth - 1);
    return true;
}

int main(int argc, char **argv)
{
    unsigned n = sizeof(ops) / sizeof(ops[0]), failed = 0;

    self = argv[0];
    if (argc == 2 && strcmp(argv[1], "nothing") == 0) {
        return 0;
    }
    int nth_file = open("/proc/thread-self/fail-nth", O_RDWR);
    if (nth_file < 0) {
        printf("1..0 # SKIP this kernel does not fail on purpose\n");
        return 77;
    }
    printf("1..%u\n", n + 1);
    for (unsigned i = 0; i < n; i++) {
        fflush(stdout);
        bool good = run_op(&ops[i], nth_file);
        failed += !good;
        printf("%sok %u - %s\n", good ? "" : "not ", i + 1, ops[i].name);
    }
    fflush(stdout);
    bool good = run_exec();
    failed += !good;
    printf("%sok %u - execve\n", good ? "" : "not ", n + 1);
    return failed != 0;
}
