/* The corners of mmap(2), mremap(2), madvise(2), mincore(2), msync(2) and mlock(2). */
#include "abi.h"

#include <sys/uio.h>

#define PAGE 4096ul
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static char *map(size_t len, int prot)
{
    char *p = mmap(NULL, len, prot, ANON, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

/* A file of n pages, page i full of byte 'a' + i. */
static int file_of(unsigned n)
{
    char page[4096];
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);

    CHECK(fd >= 0);
    for (unsigned i = 0; i < n; i++) {
        memset(page, 'a' + (int)i, sizeof(page));
        CHECK_EQ(write(fd, page, sizeof(page)), 4096);
    }
    return fd;
}

/* How often the line of /proc/self/maps that starts at `p` says `text`; -1: there is no such line. */
static int maps_line_has(const void *p, const char *text)
{
    char line[512], start[32];
    int found = -1;
    FILE *maps = fopen("/proc/self/maps", "r");

    CHECK(maps != NULL);
    (void)snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strncmp(line, start, strlen(start)) == 0) {
            found = strstr(line, text) != NULL;
        }
    }
    (void)fclose(maps);
    return found;
}

/* ---- where mappings go ---- */

ABI_TEST(mappings, hints_are_taken_where_nothing_is)
{
    char *p = map(4 * PAGE, RW);

    CHECK_EQ(munmap(p, 4 * PAGE), 0);
    CHECK(mmap(p, PAGE, RW, ANON, -1, 0) == p);
    CHECK(mmap(p, PAGE, RW, ANON, -1, 0) != p);
    CHECK(mmap(p + PAGE + 5, PAGE, RW, ANON, -1, 0) == p + PAGE);
}

ABI_TEST(mappings, noreplace_spares_what_is_there)
{
    char *p = map(4 * PAGE, RW);

    p[2 * PAGE] = 7;
    CHECK_EQ(munmap(p, PAGE), 0);
    CHECK(mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p);
    CHECK_ERR((long)mmap(p + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK_EQ(p[2 * PAGE], 7);
    CHECK(mmap(p + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + 2 * PAGE);
    CHECK_EQ(p[2 * PAGE], 0);
    CHECK_ERR((long)mmap(p + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERR((long)mmap((void *)0xfffffffffff000, PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
}

ABI_TEST(mappings, low_addresses_on_request)
{
    char *p = mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);

    CHECK(p != MAP_FAILED);
    CHECK((unsigned long)p < 0x80000000ul);
}

ABI_TEST(mappings, neighbours_that_are_alike_show_as_one)
{
    char *p = map(8 * PAGE, PROT_NONE);

    CHECK_EQ(mprotect(p + 2 * PAGE, 2 * PAGE, RW), 0);
    CHECK_EQ(maps_line_has(p + 2 * PAGE, "rw-p"), 1);
    CHECK_EQ(maps_line_has(p + 3 * PAGE, "rw-p"), -1);
    CHECK_EQ(mprotect(p + 4 * PAGE, PAGE, RW), 0);
    CHECK_EQ(maps_line_has(p + 2 * PAGE, "rw-p"), 1);
    CHECK_EQ(maps_line_has(p + 4 * PAGE, "rw-p"), -1);
    CHECK_EQ(maps_line_has(p + 5 * PAGE, "---p"), 1);
}

/* ---- files ---- */

ABI_TEST(mappings, read_write_and_mappings_see_the_same_file)
{
    int fd = file_of(3);
    char c = 0;
    char *shared = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, PAGE);

    CHECK(shared != MAP_FAILED && private != MAP_FAILED);
    CHECK_EQ(shared[PAGE], 'b');
    CHECK_EQ(private[0], 'b');
    shared[PAGE] = 'X';
    CHECK_EQ(pread(fd, &c, 1, PAGE), 1);
    CHECK_EQ(c, 'X');
    CHECK_EQ(private[0], 'X'); /* not yet a copy */
    private[0] = 'P';
    CHECK_EQ(shared[PAGE], 'X');
    CHECK_EQ(pwrite(fd, "Y", 1, PAGE), 1);
    CHECK_EQ(shared[PAGE], 'Y');
    CHECK_EQ(private[0], 'P');
    CHECK_EQ(msync(shared, 3 * PAGE, MS_SYNC), 0);
}

ABI_TEST(mappings, truncation_reaches_into_mappings)
{
    int fd = file_of(4);
    char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);

    CHECK(p != MAP_FAILED);
    CHECK_EQ(p[2 * PAGE], 'c');
    CHECK_EQ(ftruncate(fd, PAGE + 100), 0);
    CHECK_EQ(p[PAGE + 99], 'b');
    CHECK_EQ(p[PAGE + 100], 0);
    CHECK_EQ(WTERMSIG(IN_CHILD({ (void)*(volatile char *)(p + 2 * PAGE); })), SIGBUS);
    CHECK_EQ(ftruncate(fd, 4 * PAGE), 0);
    CHECK_EQ(p[2 * PAGE], 0);
    p[3 * PAGE] = 'z';
    CHECK_EQ(lseek(fd, 0, SEEK_END), 4 * PAGE);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), 0);
    CHECK_EQ(p[0], 0);
}

ABI_TEST(mappings, a_mapping_outlives_descriptor_and_name)
{
    int fd = file_of(2);
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);

    CHECK(p != MAP_FAILED);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(unlink("file"), 0);
    CHECK_EQ(p[PAGE], 'b');
    p[PAGE] = 'q';
    CHECK_EQ(WEXITSTATUS(IN_CHILD({ _exit(p[PAGE] == 'q' ? 5 : 6); })), 5);
    CHECK_EQ(maps_line_has(p, "(deleted)"), 1);
}

ABI_TEST(mappings, rights_of_the_descriptor_bound_those_of_the_mapping)
{
    int fd = file_of(1);
    int ro = open("file", O_RDONLY), wo = open("file", O_WRONLY);

    CHECK(ro >= 0 && wo >= 0);
    CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, wo, 0), EACCES);
    CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED, ro, 0), EACCES);
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0);
    CHECK(p != MAP_FAILED);
    CHECK_ERR(mprotect(p, PAGE, RW), EACCES);
    p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, 0);
    CHECK(p != MAP_FAILED);
    CHECK_EQ(mprotect(p, PAGE, RW), 0);
    p[0] = 'M';
    p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK_EQ(mprotect(p, PAGE, RW), 0);
    CHECK_EQ(p[0], 'a');
    CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, 999, 0), EBADF);
}

ABI_TEST(mappings, a_copy_of_a_file_page_is_kept_over_fork)
{
    int fd = file_of(2);
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);

    CHECK(p != MAP_FAILED);
    p[0] = '1';
    CHECK_EQ(WEXITSTATUS(IN_CHILD({
                 bool ok = p[0] == '1' && p[PAGE] == 'b';
                 p[0] = '2';
                 p[PAGE] = '3';
                 _exit(ok && p[0] == '2' ? 9 : 1);
             })),
             9);
    CHECK_EQ(p[0], '1');
    CHECK_EQ(p[PAGE], 'b');
}

/* ---- mremap ---- */

ABI_TEST(mappings, mremap_to_a_fixed_place)
{
    char *from = map(4 * PAGE, RW), *to = map(8 * PAGE, RW);

    memset(from, 'f', 4 * PAGE);
    memset(to, 't', 8 * PAGE);
    CHECK(mremap(from, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + 2 * PAGE) ==
          to + 2 * PAGE);
    CHECK_EQ(to[PAGE], 't');
    CHECK_EQ(to[2 * PAGE], 'f');
    CHECK_EQ(to[6 * PAGE], 't');
    CHECK_ERR(munmap(from + 1, PAGE), EINVAL);
    CHECK_ERR((long)mremap(from, PAGE, PAGE, MREMAP_MAYMOVE, 0), EFAULT);
    CHECK_ERR((long)mremap(to, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE),
              EINVAL);
    CHECK_ERR((long)mremap(to, PAGE, 0, 0, 0), EINVAL);
    CHECK_ERR((long)mremap(to, PAGE, PAGE, 64, 0), EINVAL);
}

ABI_TEST(mappings, mremap_without_unmapping_leaves_empty_pages)
{
    char *from = map(2 * PAGE, RW);

    memset(from, 'f', 2 * PAGE);
    char *to = mremap(from, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    CHECK(to != MAP_FAILED && to != from);
    CHECK_EQ(to[PAGE], 'f');
    CHECK_EQ(from[PAGE], 0);
}

ABI_TEST(mappings, mremap_moves_file_pages_and_copies)
{
    int fd = file_of(4);
    char *p = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);

    CHECK(p != MAP_FAILED);
    p[PAGE] = 'C';
    char *to = map(16 * PAGE, PROT_NONE);
    CHECK(mremap(p + PAGE, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    CHECK_EQ(to[0], 'C');
    CHECK_EQ(to[1], 'b');
    CHECK_EQ(to[PAGE], 'c');
    CHECK_EQ(to[2 * PAGE], 'd');
    CHECK_EQ(p[0], 'a');
    CHECK_EQ(p[3 * PAGE], 'd');
}

/* ---- madvise ---- */

ABI_TEST(mappings, advice_for_fork)
{
    char *p = map(3 * PAGE, RW);

    memset(p, 'x', 3 * PAGE);
    CHECK_EQ(madvise(p, PAGE, MADV_DONTFORK), 0);
    CHECK_EQ(madvise(p + PAGE, PAGE, MADV_WIPEONFORK), 0);
    CHECK_EQ(WTERMSIG(IN_CHILD({ (void)*(volatile char *)p; })), SIGSEGV);
    CHECK_EQ(WEXITSTATUS(IN_CHILD({ _exit(p[PAGE] == 0 && p[2 * PAGE] == 'x' ? 3 : 4); })), 3);
    CHECK_EQ(madvise(p, PAGE, MADV_DOFORK), 0);
    CHECK_EQ(madvise(p + PAGE, PAGE, MADV_KEEPONFORK), 0);
    CHECK_EQ(WEXITSTATUS(IN_CHILD({ _exit(p[0] == 'x' && p[PAGE] == 'x' ? 3 : 4); })), 3);
    int fd = file_of(1);
    char *f = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK_ERR(madvise(f, PAGE, MADV_WIPEONFORK), EINVAL);
    CHECK_ERR(madvise(f, PAGE, MADV_FREE), EINVAL);
}

ABI_TEST(mappings, advice_is_checked)
{
    char *p = map(4 * PAGE, RW);

    CHECK_ERR(madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
    CHECK_ERR(madvise(p, PAGE, 12345), EINVAL);
    CHECK_EQ(madvise(p, 0, MADV_DONTNEED), 0);
    CHECK_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    p[3 * PAGE] = 'y';
    CHECK_ERR(madvise(p, 4 * PAGE, MADV_DONTNEED), ENOMEM);
    CHECK_EQ(p[3 * PAGE], 0); /* done all the same */
    CHECK_EQ(madvise(p, 2 * PAGE, MADV_SEQUENTIAL), 0);
    CHECK_EQ(madvise(p, 2 * PAGE, MADV_RANDOM), 0);
    CHECK_EQ(madvise(p, 2 * PAGE, MADV_WILLNEED), 0);
    CHECK_EQ(madvise(p, 2 * PAGE, MADV_DONTDUMP), 0);
}

ABI_TEST(mappings, populating_faults_in)
{
    char *p = map(4 * PAGE, RW);
    unsigned char vec[4];

    if (madvise(p, PAGE, MADV_POPULATE_WRITE) < 0 && errno == EINVAL) {
        return; /* Linux before 5.14 */
    }
    CHECK_EQ(madvise(p, 4 * PAGE, MADV_POPULATE_WRITE), 0);
    CHECK_EQ(mincore(p, 4 * PAGE, vec), 0);
    CHECK_EQ((vec[0] & vec[1] & vec[2] & vec[3]) & 1, 1);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0);
    CHECK_ERR(madvise(p, PAGE, MADV_POPULATE_WRITE), EINVAL);
    CHECK_EQ(madvise(p, PAGE, MADV_POPULATE_READ), 0);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_ERR(madvise(p, 4 * PAGE, MADV_POPULATE_READ), ENOMEM);
}

/* So long a range that nobody waits for its end: 16 TiB of zeros take little memory as huge pages, and some seconds at the least. */
ABI_TEST(mappings, populating_ends_with_a_fatal_signal)
{
    static const int signals[] = {SIGKILL, SIGTERM};
    const size_t len = 16ul << 40;
    int ready[2], status;
    char byte;

    CHECK_EQ(pipe(ready), 0);
    for (unsigned i = 0; i < 2; i++) {
        pid_t pid = abi_fork();
        if (pid == 0) {
            char *p = mmap(NULL, len, PROT_READ, ANON | MAP_NORESERVE, -1, 0);
            CHECK(p != MAP_FAILED);
            (void)madvise(p, len, MADV_HUGEPAGE);
            (void)write(ready[1], "r", 1);
            (void)madvise(p, len, MADV_POPULATE_READ);
            pause();
        }
        CHECK_EQ(read(ready[0], &byte, 1), 1);
        abi_sleep_ms(20); /* mostly it is at it then */
        CHECK_EQ(kill(pid, signals[i]), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, signals[i]);
    }
}

/* ---- mincore, msync, mlock ---- */

ABI_TEST(mappings, mincore_tells_and_checks)
{
    unsigned char vec[8];
    int fd = file_of(3);
    char *f = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 0);

    CHECK(f != MAP_FAILED);
    CHECK_EQ(mincore(f, 3 * PAGE, vec), 0);
    CHECK_EQ((vec[0] & vec[1] & vec[2]) & 1, 1);
    char *p = map(4 * PAGE, RW);
    CHECK_EQ(mincore(p, 4 * PAGE, vec), 0);
    CHECK_EQ(vec[3] & 1, 0);
    p[3 * PAGE] = 1;
    CHECK_EQ(mincore(p, 4 * PAGE, vec), 0);
    CHECK_EQ(vec[3] & 1, 1);
    CHECK_ERR(mincore(p + 1, PAGE, vec), EINVAL);
    CHECK_ERR(mincore(p, 4 * PAGE, NULL), EFAULT);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_ERR(mincore(p, 4 * PAGE, vec), ENOMEM);
}

ABI_TEST(mappings, msync_is_checked)
{
    char *p = map(3 * PAGE, RW);

    CHECK_EQ(msync(p, 3 * PAGE, MS_ASYNC), 0);
    CHECK_ERR(msync(p, PAGE, MS_ASYNC | MS_SYNC), EINVAL);
    CHECK_ERR(msync(p, PAGE, 64), EINVAL);
    CHECK_ERR(msync(p + 1, PAGE, MS_SYNC), EINVAL);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_ERR(msync(p, 3 * PAGE, MS_SYNC), ENOMEM);
}

/* mmap(2), "Notes": on this hardware what may be written may be read. */
ABI_TEST(mappings, what_may_be_written_may_be_read)
{
    char data[8 * PAGE];
    int fd = open("file", O_RDWR | O_CREAT, 0600);

    memset(data, 'x', sizeof(data));
    CHECK_EQ(write(fd, data, sizeof(data)), (long)sizeof(data));
    char *own = map(8 * PAGE, PROT_WRITE);
    char *shared = mmap(NULL, sizeof(data), PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, sizeof(data), PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(shared != MAP_FAILED && private != MAP_FAILED);
    shared[PAGE] = 'y';
    private[PAGE] = 'z';
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(*(volatile char *)(own + i * PAGE), 0);
        CHECK_EQ(*(volatile char *)(shared + i * PAGE), i == 1 ? 'y' : 'x');
        CHECK_EQ(*(volatile char *)(private + i * PAGE), i == 1 ? 'z' : 'x');
    }
}

/* Read past its rights by who may, memory has its content when it gets rights. */
ABI_TEST(mappings, what_was_read_without_rights_is_there_with_them)
{
    char data[8 * PAGE];
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    int mem = open("/proc/self/mem", O_RDONLY);

    memset(data, 'x', sizeof(data));
    CHECK_EQ(write(fd, data, sizeof(data)), (long)sizeof(data));
    char *p = mmap(NULL, sizeof(data), PROT_NONE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    CHECK_EQ(pread(mem, data, 1, (off_t)(uintptr_t)(p + 3 * PAGE)), 1);
    CHECK_EQ(data[0], 'x');
    CHECK_EQ(mprotect(p, 8 * PAGE, PROT_READ), 0);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(p[i * PAGE], 'x');
    }
}

ABI_TEST(mappings, locked_memory_is_there)
{
    char *p = map(4 * PAGE, RW);
    unsigned char vec[4];

    CHECK_EQ(mlock(p, 4 * PAGE), 0);
    CHECK_EQ(mincore(p, 4 * PAGE, vec), 0);
    CHECK_EQ((vec[0] & vec[1] & vec[2] & vec[3]) & 1, 1);
    CHECK_ERR(madvise(p, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_EQ(munlock(p, 4 * PAGE), 0);
    CHECK_EQ(madvise(p, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_ERR(mlock(p, 4 * PAGE), ENOMEM);
}

/* ---- faults while the kernel copies ---- */

ABI_TEST(mappings, calls_move_what_they_can_reach)
{
    char *p = map(3 * PAGE, RW);
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    CHECK_ERR(write(fds[1], p + 2 * PAGE, 10), EFAULT);
    CHECK_EQ(write(fds[1], "0123456789", 10), 10);
    CHECK_ERR(read(fds[0], p + 2 * PAGE, 10), EFAULT);
    int fd = file_of(2);
    CHECK_EQ(pread(fd, p + 2 * PAGE - 100, 200, 0), 100);
    CHECK_EQ(p[2 * PAGE - 1], 'a');
    struct iovec vec[2] = {{p, 10}, {p + 2 * PAGE, 10}};
    CHECK_EQ(preadv(fd, vec, 2, 0), 10);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0);
    CHECK_ERR(pread(fd, p, 10, 0), EFAULT);
}

ABI_TEST(mappings, a_file_is_written_from_its_own_mapping)
{
    int fd = file_of(2);
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    char c;

    CHECK(p != MAP_FAILED);
    CHECK_EQ(pwrite(fd, p + PAGE, PAGE, 0), 4096);
    CHECK_EQ(p[0], 'b');
    CHECK_EQ(pwrite(fd, p, 2 * PAGE, 2 * PAGE), 2 * 4096);
    CHECK_EQ(pread(fd, &c, 1, 4 * PAGE - 1), 1);
    CHECK_EQ(c, 'b');
}
