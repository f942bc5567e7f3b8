/* Address spaces: mmap(2) and family. */
#include "abi.h"

#define PAGE 4096ul
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *map(size_t len, int prot)
{
    char *p = mmap(NULL, len, prot, ANON, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

/* Does touching this byte kill? */
static bool deadly(volatile char *p, bool write)
{
    return WTERMSIG(IN_CHILD({
               if (write) {
                   *p = 1;
               } else {
                   (void)*p;
               }
           })) != 0;
}

ABI_TEST(mmap, anonymous_memory_is_zero_and_private)
{
    char *p = map(64 * PAGE, RW);

    for (size_t i = 0; i < 64 * PAGE; i += 512) {
        CHECK_EQ(p[i], 0);
    }
    memset(p, 5, 64 * PAGE);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK(deadly(p + PAGE, false));
    CHECK_EQ(p[0], 5);
    CHECK_EQ(p[2 * PAGE], 5);
}

ABI_TEST(mmap, arguments_are_checked)
{
    CHECK_ERR((long)mmap(NULL, 0, RW, ANON, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0), EBADF);
    CHECK_ERR((long)mmap((void *)1, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, 1ul << 60, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERR(munmap((void *)1, PAGE), EINVAL);
    CHECK_ERR(munmap(NULL, 0), EINVAL);
    CHECK_ERR(mprotect((void *)PAGE, PAGE, PROT_READ), ENOMEM);
    char *p = map(PAGE, RW);
    CHECK_ERR((long)mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK(mmap(p, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p);
}

ABI_TEST(mmap, rights_are_enforced)
{
    char *p = map(4 * PAGE, RW);

    memset(p, 0xc3, 4 * PAGE); /* ret */
    CHECK_EQ(mprotect(p + PAGE, PAGE, PROT_READ), 0);
    CHECK(deadly(p + PAGE, true));
    CHECK(!deadly(p + PAGE, false));
    CHECK(!deadly(p + 2 * PAGE, true));
    CHECK_EQ(mprotect(p, PAGE, PROT_NONE), 0);
    CHECK(deadly(p, false));
    CHECK_EQ(WTERMSIG(IN_CHILD(((void (*)(void))(p + 2 * PAGE))())), SIGSEGV);
    CHECK_EQ(mprotect(p + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC), 0);
    CHECK_EQ(IN_CHILD(((void (*)(void))(p + 2 * PAGE))()), 0);
    CHECK_EQ(mprotect(p, 4 * PAGE, RW), 0);
    CHECK_EQ((unsigned char)p[PAGE], 0xc3);
}

ABI_TEST(mmap, private_file_pages_are_copied_on_write)
{
    char buf[4];

    abi_write_file("f", "data");
    int fd = open("f", O_RDWR);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    CHECK(memcmp(p, "data", 5) == 0);
    CHECK_EQ(pwrite(fd, "DATA", 4, 0), 4);
    CHECK(memcmp(p, "DATA", 4) == 0); /* not yet copied */
    p[0] = 'x';
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK(memcmp(buf, "DATA", 4) == 0);
    CHECK(memcmp(p, "xATA", 4) == 0);
}

ABI_TEST(mmap, shared_file_pages_are_the_file)
{
    char buf[4];

    abi_write_file("f", "data");
    int fd = open("f", O_RDWR);
    char *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    char *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    p[0] = 'x';
    CHECK_EQ(q[0], 'x');
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK(memcmp(buf, "xata", 4) == 0);
    CHECK_EQ(pwrite(fd, "Y", 1, 1), 1);
    CHECK_EQ(p[1], 'Y');
    CHECK_EQ(msync(p, PAGE, MS_SYNC), 0);
    int ro = open("f", O_RDONLY);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED, ro, 0), EACCES);
    CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, ro, 0) != MAP_FAILED);
}

ABI_TEST(mmap, beyond_the_file_is_sigbus)
{
    abi_write_file("f", "data");
    int fd = open("f", O_RDWR);
    char *p = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    CHECK_EQ(p[PAGE - 1], 0);
    CHECK_EQ(WTERMSIG(IN_CHILD(p[PAGE] = 1)), SIGBUS);
    CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
    p[PAGE] = 1;
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(WTERMSIG(IN_CHILD(p[0] = 1)), SIGBUS);
}

ABI_TEST(mmap, shared_memory_is_shared_with_children)
{
    int *p = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK_EQ(IN_CHILD(p[10] = 77), 0);
    CHECK_EQ(p[10], 77);
}

ABI_TEST(mremap, grows_moves_and_shrinks)
{
    char *p = map(4 * PAGE, RW);

    memset(p, 9, 4 * PAGE);
    p = mremap(p, 4 * PAGE, 1000 * PAGE, MREMAP_MAYMOVE);
    CHECK(p != MAP_FAILED);
    CHECK_EQ(p[4 * PAGE - 1], 9);
    CHECK_EQ(p[999 * PAGE], 0);
    CHECK(mremap(p, 1000 * PAGE, PAGE, 0) == p);
    CHECK(deadly(p + PAGE, false));
    char *place = map(8 * PAGE, PROT_NONE);
    CHECK(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
    CHECK_EQ(place[0], 9);
    CHECK(deadly(p, false));
    CHECK_ERR((long)mremap(place + 1, PAGE, PAGE, 0), EINVAL);
}

ABI_TEST(brk, moves_both_ways)
{
    char *start = (char *)syscall(SYS_brk, 0);

    CHECK_EQ(syscall(SYS_brk, start + 10 * PAGE), (long)(start + 10 * PAGE));
    memset(start, 1, 10 * PAGE);
    CHECK_EQ(syscall(SYS_brk, start), (long)start);
    CHECK_EQ(syscall(SYS_brk, start + 10 * PAGE), (long)(start + 10 * PAGE));
    CHECK_EQ(start[5 * PAGE], 0);
    CHECK_EQ(syscall(SYS_brk, 0), (long)(start + 10 * PAGE));
}

ABI_TEST(madvise, dontneed_forgets)
{
    char *p = map(16 * PAGE, RW);

    memset(p, 3, 16 * PAGE);
    CHECK_EQ(madvise(p + PAGE, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(p[PAGE], 0);
    CHECK_EQ(p[2 * PAGE], 3);
    CHECK_EQ(madvise(p, 16 * PAGE, MADV_DONTFORK), 0);
    CHECK_EQ(WTERMSIG(IN_CHILD((void)*(volatile char *)p)), SIGSEGV);
    CHECK_ERR(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_ERR(madvise(p, PAGE, 12345), EINVAL);
    unsigned char vec[2];
    CHECK_EQ(mincore(p, 2 * PAGE, vec), 0);
    CHECK_EQ(vec[0] & 1, 1);
}

ABI_TEST(fork, copy_on_write_over_many_generations)
{
    char *p = map(64 * PAGE, RW);

    for (int i = 0; i < 64; i++) {
        p[i * (long)PAGE] = (char)i;
    }
    int status = IN_CHILD({
        p[0] = 100;
        int inner = IN_CHILD({
            CHECK_EQ(p[0], 100);
            p[PAGE] = 101;
            CHECK_EQ(munmap(p + 2 * PAGE, 30 * PAGE), 0);
        });
        CHECK_EQ(inner, 0);
        CHECK_EQ(p[PAGE], 1);
        CHECK_EQ(p[10 * PAGE], 10);
    });
    CHECK_EQ(status, 0);
    for (int i = 0; i < 64; i++) {
        CHECK_EQ(p[i * (long)PAGE], i);
    }
}

ABI_TEST(stack, grows_to_its_limit)
{
    CHECK_EQ(IN_CHILD({
                 volatile char *top = __builtin_frame_address(0);
                 for (size_t down = 0; down < 4u << 20; down += 4096) {
                     *(top - down - 8192) = 1;
                 }
             }),
             0);
    CHECK_EQ(WTERMSIG(IN_CHILD({
                 volatile char *top = __builtin_frame_address(0);
                 for (size_t down = 0; down < 64u << 20; down += 4096) {
                     *(top - down) = 1;
                 }
             })),
             SIGSEGV);
}
