/*
 * Advice about memory and files: madvise(2) that takes pages of files away, process_madvise(2), who may ask mincore(2), and readahead(2),
 * posix_fadvise(2), sync_file_range(2) where they must refuse; and POSIX shared memory as the C library makes it.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "abi.h"

#define PAGE 4096ul
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

#ifndef MADV_COLD
#define MADV_COLD    20
#define MADV_PAGEOUT 21
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

static char *map(size_t len)
{
    char *p = mmap(NULL, len, RW, ANON, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

/* Memory as a file, n pages, page i full of 'a' + i. */
static int memory_file(unsigned n)
{
    char page[PAGE];
    int fd = memfd_create("advice", MFD_ALLOW_SEALING);

    CHECK(fd >= 0);
    for (unsigned i = 0; i < n; i++) {
        memset(page, 'a' + (int)i, sizeof(page));
        CHECK_EQ(write(fd, page, sizeof(page)), 4096);
    }
    return fd;
}

/* ---- MADV_REMOVE ---- */

ABI_TEST(madv_remove, makes_a_hole_in_the_file)
{
    struct stat before, after;
    char c = 1;
    int fd = memory_file(4);
    volatile char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    volatile char *private = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);

    private[PAGE] = 'p';
    CHECK_EQ(fstat(fd, &before), 0);
    CHECK_EQ(madvise((void *)(p + PAGE), 2 * PAGE, MADV_REMOVE), 0);
    CHECK_EQ(fstat(fd, &after), 0);
    CHECK_EQ(after.st_size, before.st_size);
    CHECK_EQ(before.st_blocks - after.st_blocks, 16);
    CHECK(p[0] == 'a' && p[PAGE] == 0 && p[3 * PAGE - 1] == 0 && p[3 * PAGE] == 'd');
    CHECK_EQ(pread(fd, &c, 1, 2 * PAGE), 1);
    CHECK_EQ(c, 0);
    CHECK(private[PAGE] == 'p' && private[2 * PAGE] == 0);
    p[PAGE] = 'B';
    CHECK_EQ(pread(fd, &c, 1, PAGE), 1);
    CHECK_EQ(c, 'B');
}

ABI_TEST(madv_remove, takes_shared_memory_without_a_name)
{
    volatile char *p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    p[0] = p[PAGE] = 's';
    CHECK_EQ(IN_CHILD(CHECK_EQ(madvise((void *)p, PAGE, MADV_REMOVE), 0)), 0);
    CHECK(p[0] == 0 && p[PAGE] == 's');
}

ABI_TEST(madv_remove, errors)
{
    int fd = memory_file(4);
    char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);

    CHECK_ERR(madvise(map(PAGE), PAGE, MADV_REMOVE), EINVAL);
    CHECK_ERR(madvise(private, PAGE, MADV_REMOVE), EACCES);
    CHECK_EQ(mlock(p, PAGE), 0);
    CHECK_ERR(madvise(p, PAGE, MADV_REMOVE), EINVAL);
    CHECK_EQ(munlock(p, PAGE), 0);
    CHECK_EQ(p[0], 'a');
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_ERR(madvise(p, 4 * PAGE, MADV_REMOVE), ENOMEM);
    CHECK(*(volatile char *)p == 0 &&
          *(volatile char *)(p + 3 * PAGE) == 0); /* done all the same */
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    CHECK_ERR(madvise(p, PAGE, MADV_REMOVE), EPERM);
}

/* ---- the order of checks ---- */

ABI_TEST(madvise_order, of_what_is_looked_at)
{
    char *p = map(2 * PAGE);

    CHECK_ERR(madvise(p + 1, 0, MADV_DONTNEED), EINVAL);
    CHECK_ERR(madvise(p, ~0ul, MADV_DONTNEED), EINVAL);
    CHECK_ERR(madvise(p, ~0ul - PAGE + 1, MADV_WILLNEED), EINVAL);
    CHECK_ERR(madvise(p, 0, 12345), EINVAL);
    CHECK_EQ(madvise(p, 0, MADV_REMOVE), 0);
    CHECK_EQ(madvise(p, 1, MADV_WILLNEED), 0);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_EQ(madvise(p + PAGE, 0, MADV_DONTNEED), 0);
    CHECK_ERR(madvise(p + PAGE, PAGE, MADV_WILLNEED), ENOMEM);
    CHECK_ERR(madvise(p + PAGE, PAGE, MADV_REMOVE), ENOMEM);
    CHECK_ERR(madvise(p, 2 * PAGE, MADV_DONTFORK), ENOMEM);
    p[0] = 'x';
    CHECK_EQ(WTERMSIG(IN_CHILD((void)*(volatile char *)p)), SIGSEGV); /* done all the same */
}

/* ---- process_madvise ---- */

static long advise_process(int pidfd, const struct iovec *vec, size_t n, int advice, unsigned flags)
{
    return syscall(SYS_process_madvise, pidfd, vec, n, advice, flags);
}

/* A child that waits until it is killed. */
static pid_t waiting_child(void)
{
    pid_t child = abi_fork();

    if (child == 0) {
        for (;;) {
            (void)pause();
        }
    }
    return child;
}

static void child_kill(pid_t child)
{
    int status;

    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
}

ABI_TEST(process_madvise, reaches_another_process_and_says_how_far)
{
    char *p = map(8 * PAGE);
    struct iovec vec[3] = {{p, 2 * PAGE}, {p + 3 * PAGE, PAGE}, {p + 4 * PAGE, 2 * PAGE}};

    CHECK_EQ(munmap(p + 5 * PAGE, PAGE), 0);
    memset(p, 'x', 5 * PAGE);
    pid_t child = waiting_child();
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    CHECK(pidfd >= 0);
    CHECK_EQ(advise_process(pidfd, vec, 2, MADV_COLD, 0), 3 * 4096);
    CHECK_EQ(advise_process(pidfd, vec, 2, MADV_WILLNEED, 0), 3 * 4096);
    CHECK_EQ(advise_process(pidfd, vec, 3, MADV_COLD, 0), 3 * 4096); /* a hole in the third */
    CHECK_ERR(advise_process(pidfd, vec + 2, 1, MADV_COLD, 0), ENOMEM);
    CHECK_EQ(advise_process(pidfd, vec, 0, MADV_COLD, 0), 0);
    vec[1].iov_base = p + 1;
    CHECK_EQ(advise_process(pidfd, vec, 2, MADV_COLD, 0), 2 * 4096);
    CHECK_ERR(advise_process(pidfd, vec + 1, 1, MADV_COLD, 0), EINVAL);
    child_kill(child);
    CHECK_ERR(advise_process(pidfd, vec, 1, MADV_COLD, 0), ESRCH);
    CHECK_EQ(close(pidfd), 0);
}

ABI_TEST(process_madvise, errors)
{
    char *p = map(PAGE);
    struct iovec vec = {p, PAGE};
    pid_t child = waiting_child();
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    int null = open("/dev/null", O_RDONLY);

    CHECK_ERR(advise_process(pidfd, &vec, 1, MADV_COLD, 1), EINVAL);
    CHECK_ERR(advise_process(999, &vec, 1, MADV_COLD, 0), EBADF);
    CHECK_ERR(advise_process(null, &vec, 1, MADV_COLD, 0), EBADF);
    CHECK_ERR(advise_process(pidfd, &vec, 1, MADV_DONTNEED, 0), EINVAL); /* not somebody else's */
    CHECK_ERR(advise_process(pidfd, &vec, 1, MADV_DONTFORK, 0), EINVAL);
    CHECK_ERR(advise_process(pidfd, &vec, 1, 12345, 0), EINVAL);
    CHECK_ERR(advise_process(pidfd, (struct iovec *)8, 1, MADV_COLD, 0), EFAULT);
    CHECK_ERR(advise_process(pidfd, &vec, 1025, MADV_COLD, 0), EINVAL);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setgid(99) | setuid(99), 0);
                 CHECK_ERR(advise_process(pidfd, &vec, 1, MADV_COLD, 0), EACCES);
             }),
             0);
    child_kill(child);
}

ABI_TEST(process_madvise, needs_a_right_beside_that_to_look)
{
    char *p = map(PAGE);
    struct iovec vec = {p, PAGE};
    pid_t child;

    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setgid(99) | setuid(99), 0);
                 CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
                 child = waiting_child();
                 int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
                 int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
                 CHECK_ERR(advise_process(pidfd, &vec, 1, MADV_COLD, 0), EPERM);
                 /* Later than Linux 6.12 everybody may advise himself, and as he likes. */
                 long result = advise_process(self, &vec, 1, MADV_COLD, 0);
                 CHECK(result == 4096 || (result < 0 && errno == EPERM));
                 child_kill(child);
             }),
             0);
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK_EQ(advise_process(self, &vec, 1, MADV_COLD, 0), 4096);
    p[0] = 'x';
    long result = advise_process(self, &vec, 1, MADV_DONTNEED, 0);
    CHECK((result == 4096 && p[0] == 0) || (result < 0 && errno == EINVAL && p[0] == 'x'));
    CHECK_EQ(close(self), 0);
}

/* ---- mincore ---- */

/* What is in the page cache is not everybody's to know: who may not write a file is told that all of it is there. */
ABI_TEST(mincore_rules, only_who_may_write_is_told)
{
    unsigned char vec[2];
    int fd = memory_file(1);
    int ro;
    char path[64];

    CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
    CHECK_EQ(fchmod(fd, 0644), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ro = open(path, O_RDONLY);
    CHECK(ro >= 0);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, ro, 0);
    char *memory = map(2 * PAGE);
    CHECK(p != MAP_FAILED);
    CHECK_EQ(mprotect(memory + PAGE, PAGE, PROT_READ), 0); /* nothing is given ahead there */
    memory[0] = 1;
    CHECK_EQ(mincore(p, 2 * PAGE, vec), 0);
    CHECK(vec[0] == 1 && vec[1] == 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setgid(99) | setuid(99), 0);
                 CHECK_EQ(mincore(p, 2 * PAGE, vec), 0);
                 CHECK(vec[0] == 1 && vec[1] == 1);
                 CHECK_EQ(mincore(memory, 2 * PAGE, vec), 0);
                 CHECK(vec[0] == 1 && vec[1] == 0);
             }),
             0);
    CHECK_EQ(fchmod(fd, 0646), 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setgid(99) | setuid(99), 0);
                 CHECK_EQ(mincore(p, 2 * PAGE, vec), 0);
                 CHECK(vec[0] == 1 && vec[1] == 0);
             }),
             0);
}

/* ---- advice about files ---- */

ABI_TEST(file_advice, is_checked)
{
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644), wo = open("file", O_WRONLY);
    int pipes[2];

    CHECK(fd >= 0 && wo >= 0);
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(write(fd, "text", 4), 4);
    CHECK_EQ(readahead(fd, 0, PAGE), 0);
    CHECK_EQ(readahead(fd, 1 << 20, PAGE), 0);
    CHECK_ERR(readahead(999, 0, PAGE), EBADF);
    CHECK_ERR(readahead(wo, 0, PAGE), EBADF);
    CHECK_ERR(readahead(pipes[0], 0, PAGE), EINVAL);
    for (int advice = POSIX_FADV_NORMAL; advice <= POSIX_FADV_NOREUSE; advice++) {
        CHECK_EQ(posix_fadvise(fd, 0, 0, advice), 0);
    }
    CHECK_EQ(posix_fadvise(fd, 0, 0, 77), EINVAL);
    CHECK_EQ(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL), EINVAL);
    CHECK_EQ(posix_fadvise(pipes[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
    CHECK_EQ(posix_fadvise(999, 0, 0, POSIX_FADV_NORMAL), EBADF);
}

ABI_TEST(file_advice, sync_file_range_is_checked)
{
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    int pipes[2];

    CHECK(fd >= 0);
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(write(fd, "text", 4), 4);
    CHECK_EQ(sync_file_range(fd, 0, 0, 7), 0);
    CHECK_EQ(sync_file_range(fd, 0, 4, 0), 0);
    CHECK_ERR(sync_file_range(fd, 0, 4, 8), EINVAL);
    CHECK_ERR(sync_file_range(fd, -1, 4, 2), EINVAL);
    CHECK_ERR(sync_file_range(fd, 4096, -4, 2), EINVAL);
    CHECK_ERR(sync_file_range(999, -1, 4, 8), EBADF);
    CHECK_ERR(sync_file_range(pipes[0], 0, 4, 2), ESPIPE);
    CHECK_ERR(sync_file_range(pipes[0], 0, 4, 8), EINVAL);
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(dir >= 0);
    CHECK_EQ(sync_file_range(dir, 0, 4, 2), 0);
}

/* ---- POSIX shared memory ---- */

ABI_TEST(posix_shm, is_shared_by_name)
{
    char name[32];
    struct stat st;

    (void)snprintf(name, sizeof(name), "/linnet-abi-%d", (int)getpid());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK_ERR(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
    volatile char *p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    CHECK_EQ(IN_CHILD({
                 int other = shm_open(name, O_RDWR, 0);
                 CHECK(other >= 0);
                 char *q = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, other, 0);
                 CHECK(q != MAP_FAILED);
                 q[PAGE] = 'q';
             }),
             0);
    CHECK_EQ(p[PAGE], 'q');
    CHECK_EQ(stat("/dev/shm", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 01777);
    CHECK_EQ(shm_unlink(name), 0);
    CHECK_ERR(shm_open(name, O_RDWR, 0), ENOENT);
    CHECK_EQ(p[PAGE], 'q');
}
