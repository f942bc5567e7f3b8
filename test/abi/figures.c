/* What /proc tells of the memory of the whole machine: meminfo, vmstat, slabinfo, vmallocinfo, kpagecount, kpageflags. */
#include "abi.h"

#include <linux/kernel-page-flags.h>

#define PAGE 4096ul
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* The figure behind `name` at the start of a line. */
static long figure(const char *path, const char *name)
{
    char *text = abi_read_file(path), *at = text;

    do {
        at = strstr(at, name);
        CHECK(at != NULL);
        at += strlen(name);
    } while (at - strlen(name) != text && at[-1 - (long)strlen(name)] != '\n');
    return strtol(at, NULL, 10);
}

ABI_TEST(meminfo, names_stand_in_their_order)
{
    static const char *const names[] = {
        "MemTotal:",     "MemFree:",        "MemAvailable:", "Buffers:",      "Cached:",
        "SwapCached:",   "Active:",         "Inactive:",     "Active(anon):", "Inactive(anon):",
        "Active(file):", "Inactive(file):", "Unevictable:",  "Mlocked:",      "SwapTotal:",
        "SwapFree:",     "Dirty:",          "Writeback:",    "AnonPages:",    "Mapped:",
        "Shmem:",        "KReclaimable:",   "Slab:",         "SReclaimable:", "SUnreclaim:",
        "KernelStack:",  "PageTables:",     "NFS_Unstable:", "Bounce:",       "WritebackTmp:",
        "CommitLimit:",  "Committed_AS:",   "VmallocTotal:", "VmallocUsed:",  "VmallocChunk:",
        "Percpu:",
    };
    char *at = abi_read_file("/proc/meminfo");

    CHECK(strncmp(at, "MemTotal:", 9) == 0);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "%s%s", i == 0 ? "" : "\n", names[i]);
        at = strstr(at, line);
        if (at == NULL) {
            abi_fail(__FILE__, __LINE__, "no %s behind what should stand before it", names[i]);
        }
        char *end = strchr(at + 1, '\n');
        CHECK(end != NULL && memcmp(end - 3, " kB", 3) == 0);
    }
}

ABI_TEST(meminfo, touched_memory_is_counted)
{
    long grown = 0;

    for (int round = 0; round < 100 && grown < 24 << 10; round++) { /* others come and go */
        long before = figure("/proc/meminfo", "AnonPages:");
        char *p = mmap(NULL, 32 << 20, RW, ANON | MAP_POPULATE, -1, 0);
        CHECK(p != MAP_FAILED);
        grown = figure("/proc/meminfo", "AnonPages:") - before;
        CHECK_EQ(munmap(p, 32 << 20), 0);
    }
    CHECK(grown >= 24 << 10);
    CHECK(mmap(NULL, 32 << 20, RW, ANON, -1, 0) != MAP_FAILED);
    CHECK(figure("/proc/meminfo", "Committed_AS:") >= 32 << 10);
    CHECK(figure("/proc/meminfo", "MemTotal:") > figure("/proc/meminfo", "MemFree:"));
    CHECK(figure("/proc/meminfo", "MemTotal:") > figure("/proc/meminfo", "MemAvailable:"));
}

ABI_TEST(vmstat, faults_are_counted)
{
    long before = figure("/proc/vmstat", "pgfault ");
    volatile char *p = mmap(NULL, 200 * PAGE, RW, ANON, -1, 0);

    CHECK(p != MAP_FAILED);
    for (unsigned i = 200; i-- > 0;) {
        p[i * PAGE] = 1;
    }
    CHECK(figure("/proc/vmstat", "pgfault ") >= before + 200);
    CHECK(figure("/proc/vmstat", "nr_anon_pages ") > 0);
    CHECK(figure("/proc/vmstat", "nr_free_pages ") > 0);
    CHECK(figure("/proc/vmstat", "pgfree ") > 0);
}

ABI_TEST(slabinfo, lines_have_their_columns)
{
    char *line = abi_read_file("/proc/slabinfo");
    unsigned n = 0;

    CHECK(strncmp(line, "slabinfo - version: 2.1\n# name ", 31) == 0);
    line = strchr(strchr(line, '\n') + 1, '\n') + 1;
    for (; *line != '\0'; line = strchr(line, '\n') + 1, n++) {
        char name[64];
        unsigned long active, objects, size, per_slab, pages, limit, batch, factor, used, slabs,
            shared;
        CHECK_EQ(sscanf(line,
                        "%63s %lu %lu %lu %lu %lu : tunables %lu %lu %lu : slabdata %lu %lu %lu\n",
                        name, &active, &objects, &size, &per_slab, &pages, &limit, &batch, &factor,
                        &used, &slabs, &shared),
                 12);
        CHECK(active <= objects && used <= slabs && per_slab > 0 && pages > 0);
        CHECK(objects <= slabs * per_slab || slabs == 0);
    }
    CHECK(n > 10);
}

ABI_TEST(vmallocinfo, areas_have_their_size)
{
    unsigned long start, end, bytes;
    unsigned n = 0;

    for (char *line = abi_read_file("/proc/vmallocinfo"); *line != '\0'; n++) {
        char *next = strchr(line, '\n');
        if (next == NULL) {
            break; /* longer than the buffer */
        }
        CHECK_EQ(sscanf(line, "0x%lx-0x%lx %lu ", &start, &end, &bytes), 3);
        CHECK(bytes > 0 && bytes % PAGE == 0); /* the addresses may be made unreadable */
        line = next + 1;
    }
    CHECK(n > 0);
}

/* ---- where things are ---- */

ABI_TEST(iomem, memory_lies_in_it_and_addresses_are_the_administrators)
{
    unsigned long long start, end, total = 0;
    char name[128];
    unsigned n = 0, inner = 0;
    int status;

    for (char *line = abi_read_file("/proc/iomem"); *line != '\0'; line = strchr(line, '\n') + 1) {
        CHECK_EQ(sscanf(line, "%llx-%llx : %127[^\n]", &start, &end, name), 3);
        CHECK(start <= end);
        total += line[0] != ' ' && strcmp(name, "System RAM") == 0 ? end - start + 1 : 0;
        inner += line[0] == ' ' && line[2] != ' ' && strncmp(name, "Kernel ", 7) == 0;
    }
    if (total > 1) { /* 1: all were 0 - 0 */
        CHECK((long)(total >> 10) >= figure("/proc/meminfo", "MemTotal:"));
        CHECK(inner >= 3); /* code, rodata or data, bss */
    }
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        for (char *line = abi_read_file("/proc/iomem"); *line != '\0';
             line = strchr(line, '\n') + 1) {
            CHECK_EQ(sscanf(line, "%llx-%llx : %127[^\n]", &start, &end, name), 3);
            CHECK(start == 0 && end == 0);
            n++;
        }
        CHECK(n > 3);
        for (char *line = abi_read_file("/proc/ioports"); *line != '\0';
             line = strchr(line, '\n') + 1) {
            CHECK_EQ(sscanf(line, "%llx-%llx : %127[^\n]", &start, &end, name), 3);
            CHECK(start == 0 && end == 0);
        }
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* ---- open files and terminals ---- */

ABI_TEST(sysfs_fs, open_files_and_terminals_are_counted)
{
    long before = figure("/proc/sys/fs/file-nr", ""), ptys = figure("/proc/sys/kernel/pty/nr", "");
    int fds[256], ptmx = open("/dev/ptmx", O_RDWR | O_NOCTTY);

    CHECK(ptmx >= 0);
    for (unsigned i = 0; i < 256; i++) {
        fds[i] = open("/dev/null", O_RDONLY);
        CHECK(fds[i] >= 0);
    }
    CHECK(figure("/proc/sys/kernel/pty/nr", "") >= ptys + 1);
    CHECK(figure("/proc/sys/fs/file-nr", "") >= before + 128); /* others close theirs meanwhile */
    unsigned long used, spare, most;
    CHECK_EQ(sscanf(abi_read_file("/proc/sys/fs/file-nr"), "%lu\t%lu\t%lu\n", &used, &spare, &most),
             3);
    CHECK(used < most && spare == 0);
}

/* ---- frames ---- */

static uint64_t word_at(const char *path, unsigned long index)
{
    uint64_t word;
    int fd = open(path, O_RDONLY);

    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, &word, 8, (off_t)(index * 8)), 8);
    close(fd);
    return word;
}

ABI_TEST(kpage, tells_what_a_frame_is)
{
    volatile char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);
    volatile char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    CHECK(p != MAP_FAILED && shared != MAP_FAILED);
    *p = *shared = 1;
    unsigned long pfn = word_at("/proc/self/pagemap", (unsigned long)p / PAGE) & ((1ul << 55) - 1);
    if (pfn == 0) {
        return; /* not told here, so neither is the rest */
    }
    CHECK_EQ(word_at("/proc/kpagecount", pfn), 1);
    uint64_t flags = word_at("/proc/kpageflags", pfn);
    CHECK((flags & 1u << KPF_ANON) != 0 && (flags & 1u << KPF_MMAP) != 0);
    CHECK((flags & (1u << KPF_BUDDY | 1u << KPF_SLAB | 1u << KPF_NOPAGE)) == 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(word_at("/proc/kpagecount", pfn), 2);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    pfn = word_at("/proc/self/pagemap", (unsigned long)shared / PAGE) & ((1ul << 55) - 1);
    flags = word_at("/proc/kpageflags", pfn);
    CHECK((flags & 1u << KPF_ANON) == 0 && (flags & 1u << KPF_MMAP) != 0);
    CHECK((flags & 1u << KPF_SWAPBACKED) != 0);
}

ABI_TEST(kpage, is_read_by_whole_words)
{
    uint64_t words[512];
    unsigned free = 0, slab = 0, tables = 0;
    int fd = open("/proc/kpageflags", O_RDONLY);

    if (fd < 0) {
        CHECK_EQ(errno, EPERM);
        return;
    }
    CHECK_ERR(read(fd, words, 12), EINVAL);
    CHECK_ERR(pread(fd, words, 8, 4), EINVAL);
    CHECK_EQ(pread(fd, words, 8, 1ll << 50), 0);
    for (ssize_t n; (n = read(fd, words, sizeof(words))) > 0;) {
        for (ssize_t i = 0; i < n / 8; i++) {
            free += (words[i] & 1u << KPF_BUDDY) != 0;
            slab += (words[i] & 1u << KPF_SLAB) != 0;
            tables += (words[i] & 1u << KPF_PGTABLE) != 0;
        }
    }
    CHECK(free > 0 && slab > 0 && tables > 0);
}
