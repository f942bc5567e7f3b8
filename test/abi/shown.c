/* What /proc/PID tells of a process' memory: maps, smaps, smaps_rollup, pagemap, clear_refs, status. */
#include "abi.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sys/prctl.h>

#define PAGE 4096ul
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *map(size_t npages)
{
    char *p = mmap(NULL, npages * PAGE, RW, ANON, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

/* All of a file of this process. */
static char *read_all(const char *path, size_t at_a_time, size_t *ret_len)
{
    static char buffer[1 << 20];
    int fd = open(path, O_RDONLY);
    ssize_t n;

    CHECK(fd >= 0);
    *ret_len = 0;
    while ((n = read(fd, buffer + *ret_len, at_a_time)) > 0) {
        *ret_len += (size_t)n;
        CHECK(*ret_len + at_a_time < sizeof(buffer));
    }
    CHECK_EQ(n, 0);
    buffer[*ret_len] = '\0';
    close(fd);
    return buffer;
}

/* Where the value of `field` of the region that begins at p stands in smaps. */
static const char *smaps_field(const void *p, const char *field)
{
    char start[32];
    size_t len;
    char *text = read_all("/proc/self/smaps", 65536, &len);

    (void)snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
    char *at = strstr(text, start);
    CHECK(at != NULL);
    at = strstr(at, field);
    CHECK(at != NULL && at[-1] == '\n');
    return at + strlen(field);
}

static long smaps_kb(const void *p, const char *field)
{
    return strtol(smaps_field(p, field), NULL, 10);
}

static long status_kb(const char *field)
{
    size_t len;
    char *at = strstr(read_all("/proc/self/status", 65536, &len), field);

    CHECK(at != NULL);
    return strtol(at + strlen(field), NULL, 10);
}

/* Three of n pages, in an order that nobody takes for a run. */
static void touch_three(volatile char *p)
{
    p[12 * PAGE] = 1;
    p[7 * PAGE] = 1;
    p[2 * PAGE] = 1;
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* ---- maps ---- */

ABI_TEST(maps, reads_of_any_size_give_the_same_text)
{
    static char whole[1 << 18], part[5000];
    size_t whole_len, len;
    char *p = map(1000);

    for (unsigned i = 0; i < 1000; i += 2) { /* a thousand regions */
        CHECK_EQ(mprotect(p + i * PAGE, PAGE, PROT_READ), 0);
    }
    char *text = read_all("/proc/self/maps", 1 << 18, &whole_len);
    CHECK(whole_len > 30000 && whole_len < sizeof(whole));
    memcpy(whole, text, whole_len);
    text = read_all("/proc/self/maps", 77, &len);
    CHECK_EQ(len, whole_len);
    CHECK(memcmp(text, whole, len) == 0);
    int fd = open("/proc/self/maps", O_RDONLY);
    for (off_t at = 0; at < (off_t)whole_len; at += 9973) {
        ssize_t n = pread(fd, part, sizeof(part), at);
        CHECK(n > 0);
        CHECK(memcmp(part, whole + at, (size_t)n) == 0);
    }
    CHECK_EQ(pread(fd, part, 10, 5), 10); /* backwards */
    CHECK(memcmp(part, whole + 5, 10) == 0);
    CHECK_EQ(pread(fd, part, 10, (off_t)whole_len), 0);
}

/* ---- smaps ---- */

ABI_TEST(smaps, anonymous_pages_are_private_and_dirty)
{
    char *p = map(16);

    CHECK_EQ(smaps_kb(p, "Size:"), 64);
    CHECK_EQ(smaps_kb(p, "Rss:"), 0);
    CHECK_EQ(*(volatile char *)(p + 4 * PAGE), 0);
    CHECK_EQ(smaps_kb(p, "Rss:"), 0); /* the page of zeros is nobody's */
    touch_three(p);
    CHECK_EQ(smaps_kb(p, "Rss:"), 12);
    CHECK_EQ(smaps_kb(p, "Pss:"), 12);
    CHECK_EQ(smaps_kb(p, "Anonymous:"), 12);
    CHECK_EQ(smaps_kb(p, "Private_Dirty:"), 12);
    CHECK_EQ(smaps_kb(p, "Private_Clean:"), 0);
    CHECK_EQ(smaps_kb(p, "Shared_Dirty:"), 0);
    CHECK_EQ(smaps_kb(p, "Swap:"), 0);
    CHECK_EQ(smaps_kb(p, "KernelPageSize:"), 4);
    CHECK_EQ(smaps_kb(p, "MMUPageSize:"), 4);
}

ABI_TEST(smaps, what_fork_shares_counts_in_parts)
{
    char *p = map(16);
    int status;

    touch_three(p);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(smaps_kb(p, "Rss:"), 12);
        CHECK_EQ(smaps_kb(p, "Pss:"), 6);
        CHECK_EQ(smaps_kb(p, "Shared_Dirty:"), 12);
        p[7 * PAGE] = 2;
        CHECK_EQ(smaps_kb(p, "Pss:"), 8);
        CHECK_EQ(smaps_kb(p, "Private_Dirty:"), 4);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(smaps_kb(p, "Pss:"), 12);
    CHECK_EQ(smaps_kb(p, "Private_Dirty:"), 12);
}

ABI_TEST(smaps, a_file_mapped_twice_counts_in_parts)
{
    char page[4096] = "x";
    int fd = open("file", O_RDWR | O_CREAT, 0644);

    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(write(fd, page, sizeof(page)), 4096);
    }
    char *a = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    CHECK(a != MAP_FAILED);
    CHECK_EQ(smaps_kb(a, "Rss:"), 16);
    CHECK_EQ(smaps_kb(a, "Pss:"), 16);
    CHECK_EQ(smaps_kb(a, "Anonymous:"), 0);
    char *b = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    CHECK(b != MAP_FAILED);
    CHECK_EQ(smaps_kb(b, "Anonymous:"), 16); /* populated for writing: copies */
    CHECK_EQ(smaps_kb(a, "Pss:"), 16);
    char *c = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    CHECK(c != MAP_FAILED);
    CHECK_EQ(smaps_kb(a, "Pss:"), 8);
    CHECK_EQ(smaps_kb(a, "Shared_Clean:") + smaps_kb(a, "Shared_Dirty:"), 16);
}

/* The words of VmFlags, without what only some kernels tell. */
static void check_flags(const void *p, const char *expected)
{
    char words[128] = "", line[128] = "";

    (void)sscanf(smaps_field(p, "VmFlags:"), "%127[^\n]", line);
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
        if (strcmp(word, "sd") != 0 && strcmp(word, "nh") != 0) {
            strcat(words, word);
            strcat(words, " ");
        }
    }
    if (strcmp(words, expected) != 0) {
        abi_fail(__FILE__, __LINE__, "VmFlags: expected %s, got %s", expected, words);
    }
}

ABI_TEST(smaps, flags_have_their_names)
{
    char *p = map(4);
    char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *none = mmap(NULL, PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

    CHECK(shared != MAP_FAILED && none != MAP_FAILED);
    check_flags(p, "rd wr mr mw me ac ");
    check_flags(shared, "rd wr sh mr mw me ms ");
    check_flags(none, "mr mw me nr ");
    CHECK_EQ(mprotect(p, 4 * PAGE, PROT_READ | PROT_EXEC), 0);
    CHECK_EQ(madvise(none, PAGE, MADV_DONTFORK), 0);
    CHECK_EQ(madvise(none, PAGE, MADV_DONTDUMP), 0);
    CHECK_EQ(madvise(none, PAGE, MADV_RANDOM), 0);
    check_flags(none, "mr mw me rr dc nr dd ");
}

ABI_TEST(smaps, locked_pages_are_told)
{
    char *p = map(8);

    CHECK_EQ(smaps_kb(p, "Locked:"), 0);
    CHECK_EQ(mlock(p, 8 * PAGE), 0);
    CHECK_EQ(smaps_kb(p, "Locked:"), 32);
    CHECK_EQ(smaps_kb(p, "Rss:"), 32);
    CHECK_EQ(status_kb("VmLck:"), 32);
    CHECK(strstr(smaps_field(p, "VmFlags:"), " lo ") != NULL);
}

ABI_TEST(smaps, rollup_is_the_sum)
{
    static const char *const fields[] = {
        "Rss:", "Pss:", "Shared_Clean:", "Private_Dirty:", "Anonymous:"};
    char path[64];
    int pipes[2];
    size_t len;

    CHECK_EQ(pipe(pipes), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        touch_three(map(16));
        CHECK_EQ(write(pipes[1], "x", 1), 1);
        pause();
    }
    CHECK_EQ(read(pipes[0], path, 1), 1);
    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        long sum = 0, regions = 0;
        (void)snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
        for (char *at = read_all(path, 65536, &len); (at = strchr(at, '\n')) != NULL;) {
            at++;
            if (strncmp(at, fields[i], strlen(fields[i])) == 0) {
                sum += strtol(at + strlen(fields[i]), NULL, 10);
                regions++;
            }
        }
        (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        char *at = strstr(read_all(path, 65536, &len), fields[i]);
        CHECK(at != NULL);
        long rolled = strtol(at + strlen(fields[i]), NULL, 10);
        CHECK(rolled >= sum && rolled <= sum + regions); /* each was rounded down */
    }
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

/* ---- clear_refs ---- */

ABI_TEST(clear_refs, references_are_forgotten_and_seen_again)
{
    volatile char *p = map(16);

    touch_three(p);
    CHECK_EQ(smaps_kb((void *)p, "Referenced:"), 12);
    write_file("/proc/self/clear_refs", "3\n"); /* files alone */
    CHECK_EQ(smaps_kb((void *)p, "Referenced:"), 12);
    write_file("/proc/self/clear_refs", "1\n");
    CHECK_EQ(smaps_kb((void *)p, "Referenced:"), 0);
    CHECK_EQ(smaps_kb((void *)p, "Rss:"), 12);
    /* A translation that the CPU still knows would not be noted. */
    CHECK_EQ(mprotect((void *)(p + 2 * PAGE), PAGE, PROT_READ), 0);
    CHECK_EQ(mprotect((void *)(p + 2 * PAGE), PAGE, RW), 0);
    p[2 * PAGE] = 2;
    CHECK_EQ(smaps_kb((void *)p, "Referenced:"), 4);
    write_file("/proc/self/clear_refs", "2\n");
    CHECK_EQ(smaps_kb((void *)p, "Referenced:"), 0);
}

ABI_TEST(clear_refs, the_peak_starts_anew)
{
    char *p = map(4096);

    /* Twice what is asked for: the program's own data may become a huge page while it looks. */
    memset(p, 1, 4096 * PAGE);
    CHECK_EQ(munmap(p, 4096 * PAGE), 0);
    CHECK(status_kb("VmHWM:") >= status_kb("VmRSS:") + 7000);
    CHECK(status_kb("VmPeak:") >= status_kb("VmSize:") + 7000);
    write_file("/proc/self/clear_refs", "5");
    CHECK(status_kb("VmHWM:") <= status_kb("VmRSS:") + 1000);
}

ABI_TEST(clear_refs, the_peak_is_that_before_a_mapped_file_shrank)
{
    int fd = (int)syscall(SYS_memfd_create, "file", 0);

    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, 4096 * PAGE), 0);
    char *p = mmap(NULL, 4096 * PAGE, RW, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 1, 4096 * PAGE);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK(status_kb("VmHWM:") >= status_kb("VmRSS:") + 7000);
}

ABI_TEST(clear_refs, takes_what_it_knows_alone)
{
    char byte;
    int fd = open("/proc/self/clear_refs", O_RDWR);

    CHECK(fd >= 0);
    CHECK_ERR(write(fd, "0", 1), EINVAL);
    CHECK_ERR(write(fd, "6", 1), EINVAL);
    CHECK_ERR(write(fd, "one", 3), EINVAL);
    CHECK_ERR(read(fd, &byte, 1), EINVAL);
}

/* ---- pagemap ---- */

#define PM_EXCLUSIVE (1ull << 56)
#define PM_FILE      (1ull << 61)
#define PM_PRESENT   (1ull << 63)
#define PM_FRAME     ((1ull << 55) - 1)

static uint64_t pagemap_of(const void *p)
{
    uint64_t word;
    int fd = open("/proc/self/pagemap", O_RDONLY);

    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, &word, 8, (off_t)((unsigned long)p / PAGE * 8)), 8);
    close(fd);
    return word;
}

ABI_TEST(pagemap, tells_each_page)
{
    const uint64_t bits = PM_PRESENT | PM_FILE | PM_EXCLUSIVE;
    char *p = map(16);
    char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    touch_three(p);
    *shared = 1;
    CHECK_EQ(pagemap_of(p + 7 * PAGE) & bits, PM_PRESENT | PM_EXCLUSIVE);
    CHECK_EQ(pagemap_of(p + 8 * PAGE) & bits, 0);
    CHECK_EQ(pagemap_of(shared) & bits, bits);
    CHECK_EQ(*(volatile char *)(p + 8 * PAGE), 0);
    CHECK_EQ(pagemap_of(p + 8 * PAGE) & (PM_PRESENT | PM_FILE), PM_PRESENT);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(pagemap_of(p + 7 * PAGE) & bits, PM_PRESENT);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

ABI_TEST(pagemap, is_read_by_whole_words)
{
    uint64_t words[4];
    int fd = open("/proc/self/pagemap", O_RDONLY);

    CHECK(fd >= 0);
    CHECK_ERR(read(fd, words, 7), EINVAL);
    CHECK_ERR(pread(fd, words, 8, 4), EINVAL);
    CHECK_EQ(read(fd, words, 32), 32);
    CHECK_EQ(pread(fd, words, 32, (off_t)((1ul << 56) / PAGE * 8)), 0);
    CHECK_EQ(lseek(fd, 80, SEEK_SET), 80);
}

ABI_TEST(pagemap, frames_are_told_to_administrators_alone)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    volatile char *p = map(1);

    *p = 1;
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    if ((data[0].effective & 1u << CAP_SYS_ADMIN) != 0) {
        CHECK((pagemap_of((void *)p) & PM_FRAME) != 0);
    }
    data[0].effective &= ~(1u << CAP_SYS_ADMIN);
    CHECK_EQ(syscall(SYS_capset, &header, data), 0);
    CHECK_EQ(pagemap_of((void *)p) & (PM_FRAME | PM_PRESENT), PM_PRESENT);
}

ABI_TEST(shown, memory_of_others_is_not)
{
    char path[64], buffer[64];
    static const char *const names[] = {"maps", "smaps", "smaps_rollup", "pagemap"};
    int status;

    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", getpid(), names[i]);
        pid_t pid = abi_fork();
        if (pid == 0) {
            CHECK_EQ(setgid(65534), 0);
            CHECK_EQ(setuid(65534), 0);
            int fd = open(path, O_RDONLY);
            CHECK(fd < 0 || read(fd, buffer, 64) < 0);
            CHECK_EQ(errno, EACCES);
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
    }
}

/* ---- map_files ---- */

static unsigned map_files(const char *wanted, bool *ret_found)
{
    DIR *dir = opendir("/proc/self/map_files");
    unsigned n = 0;
    unsigned long start, end, last = 0;

    CHECK(dir != NULL);
    *ret_found = false;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        CHECK_EQ(sscanf(entry->d_name, "%lx-%lx", &start, &end), 2);
        CHECK(start >= last && end > start && entry->d_type == DT_LNK);
        last = end;
        n++;
        *ret_found = *ret_found || strcmp(entry->d_name, wanted) == 0;
    }
    closedir(dir);
    return n;
}

ABI_TEST(map_files, each_mapping_of_a_file_is_a_link_to_it)
{
    char path[] = "/tmp/abi-mapXXXXXX", name[64], link[128], target[128], gone[128];
    int fd = mkstemp(path), status;
    bool found;
    struct stat st, opened;

    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, 4 * PAGE), 0);
    char *p = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    char *anon = map(2);
    CHECK(p != MAP_FAILED);
    (void)snprintf(name, sizeof(name), "%lx-%lx", (unsigned long)p, (unsigned long)p + 3 * PAGE);
    (void)snprintf(link, sizeof(link), "/proc/self/map_files/%s", name);
    unsigned n = map_files(name, &found);
    CHECK(found);
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    CHECK_EQ(len, (ssize_t)strlen(path));
    CHECK(memcmp(target, path, (size_t)len) == 0);
    CHECK_EQ(lstat(link, &st), 0);
    CHECK_EQ(st.st_mode,
             S_IFLNK | 0600); /* as the descriptor was opened, whatever the mapping allows */
    (void)snprintf(gone, sizeof(gone), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
                   (unsigned long)p + 2 * PAGE);
    CHECK_ERR(readlink(gone, target, sizeof(target)), ENOENT);
    (void)snprintf(gone, sizeof(gone), "/proc/self/map_files/0%s", name);
    CHECK_ERR(readlink(gone, target, sizeof(target)), ENOENT);
    (void)snprintf(gone, sizeof(gone), "/proc/self/map_files/%lx-%lx", (unsigned long)anon,
                   (unsigned long)anon + 2 * PAGE);
    CHECK_ERR(readlink(gone, target, sizeof(target)), ENOENT);
    CHECK_EQ(unlink(path), 0); /* the link still leads to it */
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(stat(link, &opened), 0);
    CHECK(st.st_ino == opened.st_ino && st.st_dev == opened.st_dev);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
        CHECK(readlink(link, target, sizeof(target)) > 0);
        CHECK_ERR(open(link, O_RDONLY), EPERM);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(munmap(p, 3 * PAGE), 0);
    CHECK_ERR(readlink(link, target, sizeof(target)), ENOENT);
    CHECK_EQ(map_files(name, &found), n - 1);
    close(fd);
}

/* ---- /proc/PID/io ---- */

struct io {
    unsigned long long read_bytes, write_bytes, reads, writes;
    size_t len; /* of the text */
};

static struct io io_of(const char *path)
{
    struct io io;
    char text[512];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    CHECK(n > 0);
    close(fd);
    text[n] = '\0';
    CHECK_EQ(sscanf(text, "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\n", &io.read_bytes,
                    &io.write_bytes, &io.reads, &io.writes),
             4);
    io.len = (size_t)n;
    return io;
}

ABI_TEST(shown, io_counts_calls_and_bytes)
{
    char buffer[1000] = "";

    int fd = open("f", O_RDWR | O_CREAT, 0644);
    struct io before = io_of("/proc/self/io"), task = io_of("/proc/thread-self/io");
    CHECK_EQ(write(fd, buffer, 1000), 1000);
    CHECK_EQ(pread(fd, buffer, 300, 0), 300);
    CHECK_EQ(pread(fd, buffer, 300, 900), 100);
    CHECK_EQ(read(fd, buffer, 300), 0);
    struct io after = io_of("/proc/self/io");
    CHECK_EQ(after.read_bytes - before.read_bytes, 400 + before.len + task.len);
    CHECK_EQ(after.reads - before.reads, 3 + 2);
    CHECK_EQ(after.write_bytes - before.write_bytes, 1000);
    CHECK_EQ(after.writes - before.writes, 1);
    CHECK_EQ(task.reads, before.reads + 1);

    CHECK_EQ(IN_CHILD(CHECK_EQ(write(fd, buffer, 77), 77)), 0);
    before = after;
    after = io_of("/proc/self/io");
    CHECK_EQ(after.write_bytes - before.write_bytes, 77); /* a child that was waited for counts */
}
