/*
 * memfd_create(2) and seals.
 */
#include <sys/vfs.h>

#include "abi.h"

#define ADD_SEALS    1033 /* linux/fcntl.h */
#define GET_SEALS    1034
#define SEAL_SEAL    1
#define SEAL_SHRINK  2
#define SEAL_GROW    4
#define SEAL_WRITE   8
#define SEAL_FUTURE  16
#define CLOEXEC      1u
#define SEALING      2u
#define PUNCH        3 /* with its size kept */
#define MAX_NAME_LEN 249

static int memfd(const char *name, unsigned flags)
{
    return (int)syscall(SYS_memfd_create, name, flags);
}

static int sealable(size_t size)
{
    int fd = memfd("sealed", SEALING);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, (off_t)size), 0);
    return fd;
}

ABI_TEST(memfd, arguments_are_checked)
{
    char name[MAX_NAME_LEN + 2];

    CHECK_ERR(memfd("x", 0x80000000u), EINVAL);
    CHECK_ERR(memfd("x", 0x100), EINVAL);
    CHECK_ERR(memfd((char *)8, 0), EFAULT);
    memset(name, 'a', sizeof(name));
    name[MAX_NAME_LEN + 1] = 0;
    CHECK_ERR(memfd(name, 0), EINVAL);
    name[MAX_NAME_LEN] = 0;
    CHECK(memfd(name, 0) >= 0);
    CHECK(memfd("", 0) >= 0);
}

ABI_TEST(memfd, is_a_file_of_memory)
{
    struct stat st;
    struct statfs fs;
    char link[64], text[128] = "", buf[8] = "";
    int fd = memfd("a/b c", CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0777);
    CHECK_EQ(fstatfs(fd, &fs), 0);
    CHECK_EQ(fs.f_type, 0x01021994);
    CHECK_EQ(write(fd, "hello", 5), 5);
    CHECK_EQ(pread(fd, buf, 8, 1), 4);
    CHECK(strcmp(buf, "ello") == 0);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    CHECK(readlink(link, text, sizeof(text)) > 0);
    CHECK(strcmp(text, "/memfd:a/b c (deleted)") == 0);
    int again = open(link, O_RDONLY);
    CHECK(again >= 0);
    CHECK_EQ(read(again, buf, 8), 5);
    CHECK_ERR(write(again, "x", 1), EBADF);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    CHECK_EQ(map[4], 'o');
    map[0] = 'j';
    close(fd);
    CHECK_EQ(pread(again, buf, 1, 0), 1);
    CHECK_EQ(buf[0], 'j');
}

ABI_TEST(memfd, seals_need_to_be_allowed)
{
    int fd = memfd("x", 0);

    CHECK_EQ(fcntl(fd, GET_SEALS), SEAL_SEAL);
    CHECK_ERR(fcntl(fd, ADD_SEALS, SEAL_GROW), EPERM);
    fd = sealable(0);
    CHECK_EQ(fcntl(fd, GET_SEALS), 0);
    CHECK_ERR(fcntl(fd, ADD_SEALS, 0x1000), EINVAL);
    CHECK_EQ(fcntl(fd, ADD_SEALS, SEAL_GROW), 0);
    CHECK_EQ(fcntl(fd, ADD_SEALS, SEAL_SHRINK | SEAL_SEAL), 0);
    CHECK_EQ(fcntl(fd, GET_SEALS), SEAL_GROW | SEAL_SHRINK | SEAL_SEAL);
    CHECK_ERR(fcntl(fd, ADD_SEALS, SEAL_WRITE), EPERM);
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", sealable(0));
    fd = open(link, O_RDONLY);
    CHECK(fd >= 0);
    CHECK_ERR(fcntl(fd, ADD_SEALS, SEAL_WRITE), EPERM);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_ERR(fcntl(ends[1], GET_SEALS), EINVAL);
    CHECK_ERR(fcntl(ends[1], ADD_SEALS, SEAL_WRITE), EINVAL);
}

ABI_TEST(memfd, size_seals_hold)
{
    int fd = sealable(8192);

    CHECK_EQ(fcntl(fd, ADD_SEALS, SEAL_SHRINK), 0);
    CHECK_ERR(ftruncate(fd, 4096), EPERM);
    CHECK_EQ(ftruncate(fd, 12288), 0);
    CHECK_EQ(ftruncate(fd, 12288), 0);
    CHECK_EQ(fcntl(fd, ADD_SEALS, SEAL_GROW), 0);
    CHECK_ERR(ftruncate(fd, 16384), EPERM);
    CHECK_EQ(ftruncate(fd, 12288), 0);
    CHECK_EQ(pwrite(fd, "x", 1, 12287), 1);
    CHECK_ERR(pwrite(fd, "x", 1, 12288), EPERM);
    CHECK_ERR(fallocate(fd, 0, 12288, 4096), EPERM);
    CHECK_EQ(fallocate(fd, 0, 8192, 4096), 0);
    CHECK_EQ(fallocate(fd, PUNCH, 0, 4096), 0);
}

ABI_TEST(memfd, the_write_seal_needs_that_nobody_may_write)
{
    int fd = sealable(8192);
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    CHECK(map != MAP_FAILED);
    CHECK_ERR(fcntl(fd, ADD_SEALS, SEAL_WRITE), EBUSY);
    CHECK_EQ(mprotect(map, 4096, PROT_READ), 0);
    CHECK_ERR(fcntl(fd, ADD_SEALS, SEAL_WRITE), EBUSY);
    CHECK_EQ(munmap(map, 4096), 0);
    CHECK_ERR(fcntl(fd, ADD_SEALS, SEAL_WRITE), EBUSY);
    CHECK_EQ(munmap(map + 4096, 4096), 0);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED);
    CHECK_EQ(fcntl(fd, ADD_SEALS, SEAL_WRITE), 0);
    map[0] = 'p';
    CHECK_ERR(write(fd, "x", 1), EPERM);
    CHECK_EQ(write(fd, "x", 0), 0);
    CHECK_ERR(fallocate(fd, PUNCH, 0, 4096), EPERM);
    CHECK_EQ(ftruncate(fd, 16384), 0);
    CHECK(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED);
    CHECK_EQ(map[0], 0);
}

ABI_TEST(memfd, the_future_write_seal_spares_what_is_mapped)
{
    int fd = sealable(4096);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    CHECK(map != MAP_FAILED);
    CHECK_EQ(fcntl(fd, ADD_SEALS, SEAL_FUTURE), 0);
    map[0] = 'w';
    CHECK_ERR(pwrite(fd, "x", 1, 0), EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
          errno == EPERM);
    char *view = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(view != MAP_FAILED);
    CHECK_EQ(view[0], 'w');
    CHECK_ERR(mprotect(view, 4096, PROT_READ | PROT_WRITE), EACCES);
    /* The old mapping is inherited as it is. */
    CHECK_EQ(IN_CHILD(map[0] = 'c'), 0);
    CHECK_EQ(view[0], 'c');
    CHECK_ERR(fcntl(fd, ADD_SEALS, SEAL_WRITE), EBUSY);
    CHECK_EQ(munmap(map, 4096), 0);
    CHECK_EQ(fcntl(fd, ADD_SEALS, SEAL_WRITE), 0);
    CHECK_EQ(view[0], 'c');
}
