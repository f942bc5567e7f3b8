/*
 * Rarer corners of mmap(2), mremap(2), mprotect(2): flags that must be refused, limits, memory that grows downwards, and views of files in
 * another order (remap_file_pages(2)).
 */
#include "abi.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#define PAGE 4096ul
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define HUGE (2ul << 20)

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define HUGE_SIZE_SHIFT 26

static char *map(size_t len, int prot)
{
    char *p = mmap(NULL, len, prot, ANON, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

/* A file of n pages, page i full of byte 'a' + i. */
static int file_of(unsigned n)
{
    char page[PAGE];
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);

    CHECK(fd >= 0);
    for (unsigned i = 0; i < n; i++) {
        memset(page, 'a' + (int)i, sizeof(page));
        CHECK_EQ(write(fd, page, sizeof(page)), 4096);
    }
    return fd;
}

static void limit(int resource, rlim_t bytes)
{
    struct rlimit limits = {bytes, bytes};

    CHECK_EQ(setrlimit(resource, &limits), 0);
}

/* ---- flags ---- */

ABI_TEST(mmap_flags, that_are_validated_are_refused_when_unknown)
{
    int fd = file_of(1);
    const int validate = MAP_SHARED_VALIDATE;

    CHECK(mmap(NULL, PAGE, RW, validate, fd, 0) != MAP_FAILED);
    CHECK(mmap(NULL, PAGE, RW, validate | MAP_POPULATE | MAP_NORESERVE, fd, 0) != MAP_FAILED);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, validate | MAP_SYNC, fd, 0), EOPNOTSUPP);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, validate | 0x1000000, fd, 0), EOPNOTSUPP);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, validate | MAP_ANONYMOUS, -1, 0), EINVAL);
    /* Without validation they are passed over, as ever. */
    CHECK(mmap(NULL, PAGE, RW, MAP_SHARED | 0x1000000, fd, 0) != MAP_FAILED);
    CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE | 0x1000000, fd, 0) != MAP_FAILED);
    CHECK(mmap(NULL, PAGE, RW, ANON | 0x1000000, -1, 0) != MAP_FAILED);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, 0, fd, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, 4, fd, 0), EINVAL);
}

ABI_TEST(mmap_flags, huge_pages_of_a_pool_that_is_empty)
{
    int fd = file_of(1);
    const int flags = ANON | MAP_HUGETLB;

    CHECK_ERR((long)mmap(NULL, HUGE, RW, flags, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap(NULL, HUGE, RW, flags | 21 << HUGE_SIZE_SHIFT, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap(NULL, HUGE, RW, flags | 22 << HUGE_SIZE_SHIFT, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, HUGE, RW, flags | 63 << HUGE_SIZE_SHIFT, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, 0, RW, flags, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, HUGE, RW, MAP_PRIVATE | MAP_HUGETLB, fd, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, HUGE, RW, MAP_PRIVATE | MAP_HUGETLB, 999, 0), EBADF);
}

ABI_TEST(mmap_flags, arguments_that_overflow)
{
    int fd = file_of(1);
    off_t last = (off_t)(~0ul >> 1 & ~(PAGE - 1));

    CHECK_ERR((long)mmap(NULL, ~0ul, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap(NULL, ~0ul - PAGE + 2, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap(NULL, 1ul << 60, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, (off_t)(1ul << 63)), EOVERFLOW);
    CHECK_ERR((long)mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, last), EOVERFLOW);
    CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 1l << 40) != MAP_FAILED);
    CHECK(mmap(NULL, PAGE, RW, ANON, -1, (off_t)(1ul << 63)) != MAP_FAILED);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, ANON, -1, 1), EINVAL);
    CHECK_ERR((long)mmap(NULL, 0, RW, MAP_PRIVATE, 999, 0), EBADF);
    CHECK_ERR((long)mmap((void *)~(PAGE - 1), PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap((void *)0x400001, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EINVAL);
    CHECK_ERR(munmap((void *)PAGE, ~0ul), EINVAL);
    CHECK_ERR(munmap((void *)PAGE, 0), EINVAL);
}

/* More than this machine will ever have, unless overcommit_memory says that nothing may be promised that is not there. */
static size_t too_much(void)
{
    struct sysinfo info;

    if (strtol(abi_read_file("/proc/sys/vm/overcommit_memory"), NULL, 10) != 0) {
        abi_skip("overcommit_memory is not 0");
    }
    CHECK_EQ(sysinfo(&info), 0);
    return (info.totalram + info.totalswap) * info.mem_unit * 2 & ~(PAGE - 1);
}

ABI_TEST(mmap_flags, shared_memory_without_a_promise_may_be_larger_than_memory)
{
    const int flags = MAP_SHARED | MAP_ANONYMOUS;
    size_t len = too_much();

    CHECK_ERR((long)mmap(NULL, len, RW, flags, -1, 0), ENOMEM);
    char *p = mmap(NULL, len, RW, flags | MAP_NORESERVE, -1, 0);
    CHECK(p != MAP_FAILED);
    p[len - 1] = 1;
    CHECK_EQ(IN_CHILD(CHECK_EQ(p[len - 1], 1); p[0] = 2), 0);
    CHECK_EQ(p[0], 2);
    CHECK_EQ(munmap(p, len), 0);
}

/* ---- limits ---- */

static rlim_t mapped_pages(void)
{
    char text[64] = {0};
    int fd = open("/proc/self/statm", O_RDONLY);

    CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    CHECK_EQ(close(fd), 0);
    return strtoul(text, NULL, 10);
}

static void in_limited_space(void)
{
    char *p = map(16 * PAGE, RW);

    limit(RLIMIT_AS, mapped_pages() * PAGE);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap(NULL, 2 << 20, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap(NULL, 2 << 20, PROT_NONE, ANON, -1, 0), ENOMEM);
    CHECK_ERR((long)mmap(NULL, 2 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_ERR((long)mremap(p, PAGE, 2 << 20, MREMAP_MAYMOVE), ENOMEM);
    /* What replaces as much as it brings, or makes less, is let through. */
    CHECK(mmap(p, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p);
    CHECK_EQ(munmap(p + 8 * PAGE, 8 * PAGE), 0);
}

ABI_TEST(mmap_limits, address_space)
{
    CHECK_EQ(IN_CHILD(in_limited_space()), 0);
}

static void in_limited_data(void)
{
    char *none = map(1 << 20, PROT_NONE);

    limit(RLIMIT_DATA, 64 << 10);
    CHECK_ERR((long)mmap(NULL, 1 << 20, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERR(mprotect(none, 1 << 20, RW), ENOMEM);
    CHECK(mmap(NULL, 1 << 20, PROT_READ, ANON, -1, 0) != MAP_FAILED);
    CHECK(mmap(NULL, 1 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    CHECK((long)sbrk(1 << 20) == -1);
}

ABI_TEST(mmap_limits, data)
{
    CHECK_EQ(IN_CHILD(in_limited_data()), 0);
}

/* ---- memory that grows downwards ---- */

/* A growing page at the upper end of n pages that are otherwise free. */
static volatile char *growing(size_t n)
{
    char *p = map(n * PAGE, PROT_NONE);

    CHECK_EQ(munmap(p, n * PAGE), 0);
    CHECK(mmap(p + (n - 1) * PAGE, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0) ==
          p + (n - 1) * PAGE);
    return p + (n - 1) * PAGE;
}

static int grown_with_guard(char *below)
{
    volatile char *top = growing(1024);

    if (below != NULL) { /* 300 pages down: the guard is 256 */
        CHECK(mmap((char *)top - 300 * PAGE, PAGE, *below ? PROT_READ : PROT_NONE, ANON | MAP_FIXED,
                   -1, 0) != MAP_FAILED);
    }
    top[-PAGE] = 1;
    top[-40 * (long)PAGE] = 1;
    return top[-20 * (long)PAGE];
}

ABI_TEST(growsdown, grows_as_it_is_touched_and_keeps_a_gap)
{
    char readable = 1, none = 0;

    CHECK_EQ(IN_CHILD(_exit(grown_with_guard(NULL))), 0);
    CHECK_EQ(IN_CHILD(_exit(grown_with_guard(&readable))), 0);
    CHECK_EQ(IN_CHILD(_exit(grown_with_guard(&none))), 0);
    volatile char *top = growing(1024);
    CHECK(mmap((char *)top - 300 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) != MAP_FAILED);
    CHECK_EQ(WTERMSIG(IN_CHILD(top[-60 * (long)PAGE] = 1)), SIGSEGV);
    CHECK_EQ(IN_CHILD(top[-40 * (long)PAGE] = 1), 0);
    /* What nobody can access may lie closer. */
    CHECK_EQ(mprotect((char *)top - 300 * PAGE, PAGE, PROT_NONE), 0);
    CHECK_EQ(IN_CHILD(top[-60 * (long)PAGE] = 1), 0);
    CHECK_EQ(WTERMSIG(IN_CHILD(top[-300 * (long)PAGE] = 1)), SIGSEGV);
}

ABI_TEST(growsdown, ends_at_the_limit_of_stacks)
{
    volatile char *top = growing(2048);

    CHECK_EQ(WTERMSIG(IN_CHILD({
                 limit(RLIMIT_STACK, 256 << 10);
                 top[-100 * (long)PAGE] = 1;
             })),
             SIGSEGV);
    CHECK_EQ(IN_CHILD({
                 limit(RLIMIT_STACK, 256 << 10);
                 top[-50 * (long)PAGE] = 1;
             }),
             0);
}

ABI_TEST(growsdown, system_calls_make_it_grow_too)
{
    char *top = (char *)growing(1024);
    int fd = file_of(1);

    CHECK_EQ(pread(fd, top - 10 * PAGE, PAGE, 0), 4096);
    CHECK_EQ(top[-10 * (long)PAGE], 'a');
}

ABI_TEST(growsdown, its_rights_change_from_the_lower_end_on)
{
    /* Before the other: it may go where the guard of what grows ends, and leave it no room. */
    char *plain = map(2 * PAGE, RW);
    char *top = (char *)growing(1024);

    top[-(long)PAGE] = 1;
    top[-4 * (long)PAGE] = 1;
    CHECK_EQ(mprotect(top - PAGE, PAGE, PROT_READ | PROT_GROWSDOWN), 0);
    CHECK_EQ(WTERMSIG(IN_CHILD(top[-4 * (long)PAGE] = 1)), SIGSEGV);
    CHECK_EQ(WTERMSIG(IN_CHILD(top[-(long)PAGE] = 1)), SIGSEGV);
    top[0] = 1;
    CHECK_ERR(mprotect(plain, PAGE, RW | PROT_GROWSDOWN), EINVAL);
    CHECK_ERR(mprotect(plain, PAGE, RW | PROT_GROWSUP), EINVAL);
    CHECK_ERR(mprotect(top, PAGE, RW | PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
    CHECK_ERR(mprotect(plain, PAGE, RW | 0x100), EINVAL);
}

ABI_TEST(growsdown, files_and_shared_memory_do_not)
{
    int fd = file_of(1), zero = open("/dev/zero", O_RDWR);
    int reader = open("file", O_RDONLY), writer = open("file", O_WRONLY);
    int dir = open(".", O_RDONLY);

    CHECK(zero >= 0 && reader >= 0 && writer >= 0 && dir >= 0);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, reader, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED | MAP_GROWSDOWN, fd, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_GROWSDOWN, fd, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, zero, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED | MAP_GROWSDOWN, zero, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0),
              EINVAL);
    /* What else is wrong is said first. */
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED | MAP_GROWSDOWN, reader, 0), EACCES);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, writer, 0), EACCES);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, dir, 0), ENODEV);
}

/* ---- mremap ---- */

ABI_TEST(mremap_forms, no_old_size_shows_shared_memory_a_second_time)
{
    char *shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *private = map(2 * PAGE, RW);

    CHECK(shared != MAP_FAILED);
    char *second = mremap(shared + PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE);
    CHECK(second != MAP_FAILED);
    shared[PAGE] = 's';
    CHECK_EQ(second[0], 's');
    second[PAGE] = 't';
    CHECK_EQ(shared[2 * PAGE], 't');
    CHECK_ERR((long)mremap(private, 0, PAGE, MREMAP_MAYMOVE), EINVAL);
    CHECK_ERR((long)mremap(shared, 0, PAGE, 0), ENOMEM);
    CHECK(mremap(shared, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, private) == private);
    shared[0] = 'u';
    CHECK_EQ(private[0], 'u');
}

ABI_TEST(mremap_forms, errors)
{
    char *p = map(8 * PAGE, RW);
    const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;

    CHECK_EQ(mprotect(p + 4 * PAGE, PAGE, PROT_READ), 0);
    CHECK_ERR((long)mremap(p + 3 * PAGE, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE), EFAULT);
    CHECK_ERR((long)mremap(p, PAGE, 2 * PAGE, 0), ENOMEM);
    CHECK_ERR((long)mremap(p + 1, PAGE, PAGE, MREMAP_MAYMOVE), EINVAL);
    CHECK_ERR((long)mremap(p, PAGE, PAGE, MREMAP_FIXED, p), EINVAL);
    CHECK_ERR((long)mremap(p, PAGE, PAGE, MREMAP_DONTUNMAP), EINVAL);
    CHECK_ERR((long)mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP), EINVAL);
    CHECK_ERR((long)mremap(p, PAGE, PAGE, fixed, p + 17), EINVAL);
    CHECK_ERR((long)mremap(p, PAGE, PAGE, fixed, (char *)-PAGE), EINVAL);
    CHECK_ERR((long)mremap(p, 2 * PAGE, 2 * PAGE, fixed, p + PAGE), EINVAL);
    CHECK_ERR((long)mremap(p, PAGE, 0, MREMAP_MAYMOVE), EINVAL);
    CHECK(mremap(p, 2 * PAGE, PAGE, 0) == p);
    CHECK(mremap(p, PAGE, 2 * PAGE, 0) == p);
}

ABI_TEST(mremap_forms, pages_alone_move_and_their_place_stays)
{
    int fd = file_of(2);
    char *file = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    char *from = map(2 * PAGE, RW), *to = map(2 * PAGE, RW);
    const int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;

    from[0] = 'f';
    to[0] = 't';
    CHECK(mremap(from, 2 * PAGE, 2 * PAGE, flags | MREMAP_FIXED, to) == to);
    CHECK_EQ(to[0], 'f');
    CHECK_EQ(from[0], 0);
    from[0] = 'g';
    CHECK_EQ(to[0], 'f');
    char *second = mremap(file, 2 * PAGE, 2 * PAGE, flags, NULL);
    CHECK(second != MAP_FAILED);
    CHECK_EQ(second[PAGE], 'b');
    second[PAGE] = 'B';
    CHECK_EQ(file[PAGE], 'B'); /* found again in the file */
}

/* ---- remap_file_pages ---- */

ABI_TEST(remap_file_pages, shows_the_pages_of_a_file_in_another_order)
{
    int fd = file_of(4);
    volatile char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);

    CHECK(p != MAP_FAILED);
    CHECK_EQ(remap_file_pages((void *)p, PAGE, 0, 3, 0), 0);
    CHECK_EQ(remap_file_pages((void *)(p + 2 * PAGE), 2 * PAGE, 0, 0, MAP_NONBLOCK), 0);
    CHECK_EQ(p[0], 'd');
    CHECK_EQ(p[PAGE], 'b');
    CHECK_EQ(p[2 * PAGE], 'a');
    CHECK_EQ(p[3 * PAGE], 'b');
    p[3 * PAGE] = 'Q';
    CHECK_EQ(p[PAGE], 'Q');
    volatile char *memory = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memory[3 * PAGE] = 'm';
    CHECK_EQ(remap_file_pages((void *)memory, PAGE, 0, 3, 0), 0);
    CHECK_EQ(memory[0], 'm');
    memory[0] = 'n';
    CHECK_EQ(memory[3 * PAGE], 'n');
}

ABI_TEST(remap_file_pages, errors)
{
    int fd = file_of(4);
    char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);

    CHECK_ERR(remap_file_pages(p, PAGE, PROT_READ, 0, 0), EINVAL);
    CHECK_ERR(remap_file_pages(p, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(remap_file_pages(p, 5 * PAGE, 0, 0, 0), EINVAL);
    CHECK_ERR(remap_file_pages(p, 2 * PAGE, 0, ~0ul, 0), EINVAL);
    CHECK_ERR(remap_file_pages(private, PAGE, 0, 1, 0), EINVAL);
    CHECK_ERR(remap_file_pages(map(PAGE, RW), PAGE, 0, 0, 0), EINVAL);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_ERR(remap_file_pages(p, 3 * PAGE, 0, 0, 0), EINVAL);
    CHECK_EQ(p[0], 'a');
}

/* ---- protection keys ---- */

/* Where the CPU has none, or the kernel does not offer them, no key can be had and nothing else changes. */
ABI_TEST(pkeys, are_refused_where_there_are_none)
{
    char *p = map(PAGE, RW);
    int key = (int)syscall(SYS_pkey_alloc, 0, 0);
    int err = errno;

    CHECK_ERR(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_pkey_alloc, 0, 8), EINVAL);
    CHECK_ERR(syscall(SYS_pkey_free, -1), EINVAL);
    CHECK_ERR(syscall(SYS_pkey_free, 77), EINVAL);
    CHECK_ERR(syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ, 77), EINVAL);
    if (key < 0) {
        CHECK_EQ(err, EINVAL);
        CHECK_ERR(syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ, 1), EINVAL);
        CHECK_ERR(syscall(SYS_pkey_free, 0), EINVAL);
    }
    p[0] = 1;
    CHECK_EQ(syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ, -1), 0);
    CHECK_EQ(WTERMSIG(IN_CHILD(p[0] = 2)), SIGSEGV);
}
