/* Files: open(2), read(2), write(2), lseek(2), truncation, holes. */
#include "abi.h"

#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

ABI_TEST(open, flags_decide_what_happens_to_a_name)
{
    CHECK_ERR(open("f", O_RDONLY), ENOENT);
    int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0640);
    CHECK(fd >= 0);
    CHECK_ERR(open("f", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    CHECK_EQ(write(fd, "hello", 5), 5);
    CHECK_EQ(close(fd), 0);
    CHECK_ERR(open("f/x", O_RDONLY), ENOTDIR);
    CHECK_ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERR(open(".", O_WRONLY), EISDIR);
    CHECK_ERR(open("", O_RDONLY), ENOENT);
    CHECK_ERR(open("new/", O_CREAT | O_WRONLY, 0600), EISDIR);
    fd = open("f", O_WRONLY | O_TRUNC);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
    char c;
    CHECK_ERR(read(fd, &c, 1), EBADF);
}

ABI_TEST(open, creation_mode_obeys_umask)
{
    struct stat st;

    (void)umask(027);
    CHECK(open("f", O_CREAT | O_WRONLY, 0777) >= 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0750);
    CHECK_EQ(mkdir("d", 0777), 0);
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_mode, S_IFDIR | 0750);
    CHECK_EQ(umask(0), 027);
}

ABI_TEST(open, symlinks_are_followed_unless_forbidden)
{
    abi_write_file("target", "text");
    CHECK_EQ(symlink("target", "link"), 0);
    CHECK(open("link", O_RDONLY) >= 0);
    CHECK_ERR(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_EQ(symlink("loop2", "loop1"), 0);
    CHECK_EQ(symlink("loop1", "loop2"), 0);
    CHECK_ERR(open("loop1", O_RDONLY), ELOOP);
    int fd = open("link", O_PATH | O_NOFOLLOW);
    CHECK(fd >= 0);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    char c;
    CHECK_ERR(read(fd, &c, 1), EBADF);
}

ABI_TEST(open, lowest_free_descriptor_is_used)
{
    int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY);

    CHECK_EQ(b, a + 1);
    CHECK_EQ(close(a), 0);
    CHECK_EQ(open("/dev/null", O_RDONLY), a);
    CHECK_ERR(close(1000), EBADF);
    CHECK_ERR(close(-1), EBADF);
}

ABI_TEST(open, tmpfile_has_no_name_until_linked)
{
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    struct stat st;

    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(write(fd, "abc", 3), 3);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), 0);
    CHECK_EQ(stat("named", &st), 0);
    CHECK_EQ(st.st_size, 3);
}

ABI_TEST(open, a_program_that_runs_is_not_truncated)
{
    CHECK_ERR(open("/proc/self/exe", O_RDONLY | O_TRUNC), ETXTBSY);
    CHECK_ERR(open("/proc/self/exe", O_WRONLY | O_TRUNC), ETXTBSY);
    CHECK_ERR(truncate("/proc/self/exe", 0), ETXTBSY);
}

ABI_TEST(rw, position_moves_and_append_goes_to_the_end)
{
    char buf[16] = "";
    int fd = open("f", O_RDWR | O_CREAT, 0600);

    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHECK_EQ(read(fd, buf, 4), 4);
    CHECK(memcmp(buf, "3456", 4) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    CHECK_EQ(pread(fd, buf, 2, 0), 2);
    CHECK(memcmp(buf, "01", 2) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    CHECK_EQ(read(fd, buf, 16), 3);
    CHECK_EQ(read(fd, buf, 16), 0);
    int append = open("f", O_WRONLY | O_APPEND);
    CHECK_EQ(lseek(append, 0, SEEK_SET), 0);
    CHECK_EQ(write(append, "X", 1), 1);
    CHECK_EQ(lseek(append, 0, SEEK_CUR), 11);
    CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERR(lseek(fd, 0, 99), EINVAL);
    CHECK_ERR(pread(fd, buf, 1, -1), EINVAL);
}

static void check_far_positions(int fd)
{
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
    CHECK_ERR(lseek(fd, INT64_MAX, SEEK_CUR), EINVAL);
    CHECK_ERR(lseek(fd, INT64_MAX - 4, SEEK_CUR), EINVAL);
    CHECK_ERR(lseek(fd, INT64_MIN, SEEK_CUR), EINVAL);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(close(fd), 0);
}

ABI_TEST(rw, no_file_has_a_position_beyond_the_last_number)
{
    static const char *const paths[] = {"/dev/shm", "/proc", "/proc/self", "/proc/version",
                                        "/dev/vcs1"};
    int fd = open("f", O_RDWR | O_CREAT, 0600);

    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_ERR(lseek(fd, INT64_MAX, SEEK_END), EINVAL);
    check_far_positions(fd);
    check_far_positions(open(".", O_RDONLY));
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        fd = open(paths[i], O_RDONLY);
        if (fd >= 0) {
            check_far_positions(fd);
        }
    }
}

ABI_TEST(rw, holes_read_as_zero_and_are_found)
{
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    char buf[4096];

    CHECK_EQ(pwrite(fd, "end", 3, 1 << 20), 3);
    memset(buf, 1, sizeof(buf));
    CHECK_EQ(pread(fd, buf, sizeof(buf), 4096), 4096);
    for (size_t i = 0; i < sizeof(buf); i++) {
        CHECK_EQ(buf[i], 0);
    }
    CHECK_EQ(lseek(fd, 0, SEEK_DATA), 1 << 20);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
    CHECK_ERR(lseek(fd, (1 << 20) + 3, SEEK_DATA), ENXIO);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, (1 << 20) + 3);
    CHECK(st.st_blocks * 512 <= 65536);
}

ABI_TEST(rw, vectors_gather_and_scatter)
{
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    char a[3] = "abc", b[4] = "defg", x[5], y[5];
    struct iovec out[2] = {{a, 3}, {b, 4}}, in[2] = {{x, 5}, {y, 5}};

    CHECK_EQ(writev(fd, out, 2), 7);
    CHECK_EQ(preadv(fd, in, 2, 0), 7);
    CHECK(memcmp(x, "abcde", 5) == 0 && memcmp(y, "fg", 2) == 0);
    CHECK_ERR(readv(fd, in, -1), EINVAL);
    CHECK_ERR(writev(fd, out, 2000), EINVAL);
}

ABI_TEST(rw, bad_addresses_give_efault)
{
    int fd = open("f", O_RDWR | O_CREAT, 0600), zero = open("/dev/zero", O_RDONLY);

    CHECK_ERR(write(fd, (void *)8, 10), EFAULT);
    CHECK_ERR(read(zero, (void *)8, 10), EFAULT);
    CHECK_ERR(read(zero, (void *)0xffff800000000000, 10), EFAULT);
    CHECK_ERR(syscall(SYS_open, (char *)8, O_RDONLY), EFAULT);
    CHECK_ERR(syscall(SYS_pipe2, (void *)8, 0), EFAULT);
    CHECK_ERR(syscall(SYS_newfstatat, AT_FDCWD, ".", (void *)8, 0), EFAULT);
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(munmap(page + 4096, 4096), 0);
    memset(page, 'x', 4096);
    CHECK_EQ(write(fd, page + 4090, 100), 6);
}

ABI_TEST(truncate, shrinks_grows_and_clears)
{
    char buf[8];
    struct stat st;

    abi_write_file("f", "0123456789");
    CHECK_EQ(truncate("f", 4), 0);
    int fd = open("f", O_RDWR);
    CHECK_EQ(ftruncate(fd, 8), 0);
    CHECK_EQ(read(fd, buf, 8), 8);
    CHECK(memcmp(buf, "0123\0\0\0\0", 8) == 0);
    CHECK_ERR(truncate("f", -1), EINVAL);
    CHECK_ERR(truncate(".", 0), EISDIR);
    int ro = open("f", O_RDONLY);
    CHECK_ERR(ftruncate(ro, 0), EINVAL);
    CHECK_EQ(fallocate(fd, 0, 0, 100), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 100);
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 2), 0);
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK(memcmp(buf, "\0\00023", 4) == 0);
}

ABI_TEST(sendfile, copies_from_a_position_and_moves_it)
{
    char buf[16];
    off_t pos = 2;
    int p[2];

    abi_write_file("f", "0123456789");
    int fd = open("f", O_RDONLY);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sendfile(p[1], fd, &pos, 5), 5);
    CHECK_EQ(pos, 7);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(read(p[0], buf, 16), 5);
    CHECK(memcmp(buf, "23456", 5) == 0);
    CHECK_EQ(sendfile(p[1], fd, NULL, 100), 10);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
}

ABI_TEST(dev, null_zero_full_random)
{
    char buf[64];
    int null = open("/dev/null", O_RDWR), full = open("/dev/full", O_RDWR),
        zero = open("/dev/zero", O_RDWR);

    CHECK_EQ(write(null, buf, 64), 64);
    CHECK_EQ(read(null, buf, 64), 0);
    CHECK_ERR(write(full, buf, 1), ENOSPC);
    memset(buf, 1, 64);
    CHECK_EQ(read(full, buf, 64), 64);
    CHECK_EQ(buf[63], 0);
    CHECK_EQ(read(zero, buf, 64), 64);
    int random = open("/dev/urandom", O_RDONLY);
    CHECK_EQ(read(random, buf, 64), 64);
    int same = 0;
    for (int i = 1; i < 64; i++) {
        same += buf[i] == buf[0];
    }
    CHECK(same < 16);
    struct stat st;
    CHECK_EQ(fstat(null, &st), 0);
    CHECK_EQ(st.st_mode & S_IFMT, S_IFCHR);
    CHECK_EQ(st.st_rdev, 0x103);
}

ABI_TEST(fcntl, duplicates_and_flags)
{
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    int high = fcntl(fd, F_DUPFD, 100);

    CHECK_EQ(high, 100);
    CHECK_EQ(fcntl(high, F_GETFD), 0);
    CHECK_EQ(fcntl(high, F_SETFD, FD_CLOEXEC), 0);
    CHECK_EQ(fcntl(high, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 200), 200);
    CHECK_EQ(fcntl(200, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK), 0);
    CHECK_EQ(fcntl(high, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
    CHECK_EQ(dup2(fd, 50), 50);
    CHECK_ERR(dup2(fd, -1), EBADF);
    CHECK_ERR(dup3(fd, fd, 0), EINVAL);
    CHECK_ERR(fcntl(fd, 9999, 0), EINVAL);
    CHECK_EQ(lseek(fd, 7, SEEK_SET), 7);
    CHECK_EQ(lseek(50, 0, SEEK_CUR), 7);
}

ABI_TEST(fcntl, record_locks_conflict_between_processes)
{
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};

    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    int status = IN_CHILD({
        struct flock mine = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
        CHECK_ERR(fcntl(fd, F_SETLK, &mine), EAGAIN);
        CHECK_EQ(fcntl(fd, F_GETLK, &mine), 0);
        CHECK_EQ(mine.l_type, F_WRLCK);
        CHECK_EQ(mine.l_pid, getppid());
        mine = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 1};
        CHECK_EQ(fcntl(fd, F_SETLK, &mine), 0);
    });
    CHECK_EQ(status, 0);
}

static void *lock_and_wait(void *arg)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return (void *)(intptr_t)(fcntl(*(int *)arg, F_SETLKW, &lock) == 0 ? 0 : errno);
}

ABI_TEST(fcntl, a_record_lock_that_comes_after_the_close_is_none)
{
    int fd = open("f", O_RDWR | O_CREAT, 0600), other = open("f", O_RDWR), pipes[2][2];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    pthread_t thread;
    void *result;

    CHECK_EQ(pipe(pipes[0]) | pipe(pipes[1]), 0);
    pid_t holder = abi_fork();
    if (holder == 0) {
        CHECK_EQ(fcntl(other, F_SETLK, &lock), 0);
        CHECK_EQ(write(pipes[0][1], "", 1), 1);
        CHECK_EQ(read(pipes[1][0], &(char){0}, 1), 1);
        _exit(0);
    }
    CHECK_EQ(read(pipes[0][0], &(char){0}, 1), 1);
    CHECK_EQ(pthread_create(&thread, NULL, lock_and_wait, &fd), 0);
    abi_wait_asleep(1);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(write(pipes[1][1], "", 1), 1);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, EBADF);
    int status;
    CHECK_EQ(waitpid(holder, &status, 0), holder);
    CHECK_EQ(status, 0);
    status = IN_CHILD({ CHECK_EQ(fcntl(other, F_SETLK, &lock), 0); });
    CHECK_EQ(status, 0);
}

ABI_TEST(fcntl, flock_belongs_to_the_open_file)
{
    int a = open("f", O_RDWR | O_CREAT, 0600), b = open("f", O_RDWR);

    CHECK_EQ(syscall(SYS_flock, a, 2 /* LOCK_EX */), 0);
    CHECK_ERR(syscall(SYS_flock, b, 2 | 4 /* LOCK_NB */), EAGAIN);
    CHECK_EQ(syscall(SYS_flock, dup(a), 8 /* LOCK_UN */), 0);
    CHECK_EQ(syscall(SYS_flock, b, 1 | 4), 0);
    CHECK_EQ(syscall(SYS_flock, a, 1 | 4), 0);
}

ABI_TEST(sync, a_range_that_ends_beyond_all_files_is_refused)
{
    int fd = open("f", O_RDWR | O_CREAT, 0600);

    CHECK_EQ(sync_file_range(fd, 0, 1, 0), 0);
    CHECK_ERR(sync_file_range(fd, INT64_MAX, 1, 0), EINVAL);
    CHECK_ERR(sync_file_range(fd, -1, 1, 0), EINVAL);
    CHECK_ERR(sync_file_range(fd, 0, -1, 0), EINVAL);
    CHECK_ERR(sync_file_range(fd, 0, 1, 8), EINVAL);
}

ABI_TEST(sync, ranges_and_advice_are_for_files_with_data)
{
    int fds[2];
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    int writer = open("f", O_WRONLY);

    CHECK_EQ(pipe(fds), 0);
    CHECK_ERR(sync_file_range(fds[1], 0, 1, 0), ESPIPE);
    CHECK_ERR(sync_file_range(-1, 0, 1, 0), EBADF);
    CHECK_EQ(sync_file_range(fd, 0, 0, 7), 0);
    CHECK_EQ(readahead(fd, 0, 4096), 0);
    CHECK_EQ(readahead(fd, 1 << 20, 4096), 0);
    CHECK_ERR(readahead(writer, 0, 4096), EBADF);
    CHECK_ERR(readahead(-1, 0, 4096), EBADF);
    CHECK_ERR(readahead(fds[0], 0, 4096), EINVAL);
    CHECK_EQ(posix_fadvise(fds[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
    for (int advice = 0; advice < 6; advice++) {
        CHECK_EQ(posix_fadvise(fd, 0, 0, advice), 0);
    }
    CHECK_EQ(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL), EINVAL);
    CHECK_EQ(posix_fadvise(fd, 0, 0, 6), EINVAL);
    CHECK_EQ(write(fd, "data", 4), 4);
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    char data[4];
    CHECK_EQ(pread(fd, data, 4, 0), 4);
    CHECK_EQ(memcmp(data, "data", 4), 0);
}
