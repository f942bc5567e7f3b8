/* Core dumps (core(5)): when there is one, what it is called, and what it holds. */
#include "trace.h"

#include <elf.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define PATTERN "/proc/sys/kernel/core_pattern"

static char former[256];

static void restore_pattern(void)
{
    abi_write_file(PATTERN, former);
}

/* Cores of this test's children are called `pattern`; the system's own pattern comes back at the end. */
static void with_pattern(const char *pattern)
{
    int fd = open(PATTERN, O_RDWR);
    ssize_t n = read(fd, former, sizeof(former) - 1);

    CHECK(n >= 0);
    former[n] = '\0';
    close(fd);
    atexit(restore_pattern);
    abi_write_file(PATTERN, pattern);
}

static void allow(rlim_t bytes)
{
    const struct rlimit limit = {bytes, RLIM_INFINITY};

    CHECK_EQ(setrlimit(RLIMIT_CORE, &limit), 0);
}

/* ---- a core, read back ---- */

static struct core {
    uint8_t *data;
    size_t size;
    const Elf64_Ehdr *header;
    const Elf64_Phdr *phdrs;
} core;

static void core_read(const char *name)
{
    struct stat st;
    int fd = open(name, O_RDONLY);

    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    core.size = (size_t)st.st_size;
    core.data = mmap(NULL, core.size, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(core.data != MAP_FAILED);
    close(fd);
    core.header = (const void *)core.data;
    core.phdrs = (const void *)(core.data + core.header->e_phoff);
    CHECK_EQ(memcmp(core.header->e_ident, ELFMAG, SELFMAG), 0);
    CHECK_EQ(core.header->e_type, ET_CORE);
    CHECK_EQ(core.header->e_machine, EM_X86_64);
    CHECK_EQ(core.phdrs[0].p_type, PT_NOTE);
    const Elf64_Phdr *last = &core.phdrs[core.header->e_phnum - 1];
    CHECK_EQ(core.size, last->p_offset + last->p_filesz);
}

/* Number n of the notes of this type; NULL: there are fewer. */
static const uint8_t *core_note(uint32_t type, unsigned n, size_t *ret_size)
{
    const uint8_t *at = core.data + core.phdrs[0].p_offset, *end = at + core.phdrs[0].p_filesz;

    while (at < end) {
        const Elf64_Nhdr *note = (const void *)at;
        const uint8_t *desc = at + sizeof(*note) + ((note->n_namesz + 3) & ~3u);
        if (note->n_type == type && n-- == 0) {
            *ret_size = note->n_descsz;
            return desc;
        }
        at = desc + ((note->n_descsz + 3) & ~3u);
    }
    return NULL;
}

/* What the core has of this address; NULL: nothing. */
static const void *core_memory(const volatile void *address, size_t len)
{
    uint64_t va = (uint64_t)address;

    for (unsigned i = 1; i < core.header->e_phnum; i++) {
        const Elf64_Phdr *phdr = &core.phdrs[i];
        if (va >= phdr->p_vaddr && va + len <= phdr->p_vaddr + phdr->p_filesz) {
            return core.data + phdr->p_offset + (va - phdr->p_vaddr);
        }
    }
    return NULL;
}

/* ---- when ---- */

ABI_TEST(coredump, none_without_a_limit_or_when_not_dumpable)
{
    with_pattern("core");
    int status = IN_CHILD(allow(0); abort());
    CHECK_EQ(status, SIGABRT);
    status = IN_CHILD(allow(RLIM_INFINITY); prctl(PR_SET_DUMPABLE, 0); abort());
    CHECK_EQ(status, SIGABRT);
    status = IN_CHILD(allow(RLIM_INFINITY); raise(SIGTERM));
    CHECK_EQ(status, SIGTERM);
    CHECK_ERR(access("core", F_OK), ENOENT);
}

ABI_TEST(coredump, one_that_is_larger_than_the_limit_is_cut_short)
{
    with_pattern("core");
    int status = IN_CHILD(allow(8192); abort());
    struct stat st;

    CHECK_EQ(status, SIGABRT | 0x80);
    CHECK_EQ(stat("core", &st), 0);
    CHECK(st.st_size <= 8192);
}

ABI_TEST(coredump, its_name_follows_the_pattern)
{
    char name[64];
    pid_t pid;

    with_pattern("a%%.%e.%p.%s.%u.%Zx");
    int status = IN_CHILD({
        prctl(PR_SET_NAME, "..", 0, 0, 0);
        allow(RLIM_INFINITY);
        signal(SIGQUIT, SIG_DFL); /* a shell may have had it ignored */
        raise(SIGQUIT);
    });
    CHECK_EQ(status, SIGQUIT | 0x80);
    fflush(NULL);
    pid = abi_fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "a/b", 0, 0, 0);
        allow(RLIM_INFINITY);
        raise(SIGSEGV);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, SIGSEGV | 0x80);
    snprintf(name, sizeof(name), "a%%.a!b.%d.11.0.x", pid);
    CHECK_EQ(access(name, F_OK), 0);
}

ABI_TEST(coredump, it_follows_no_link_and_replaces_a_former_one)
{
    with_pattern("core");
    abi_write_file("victim", "precious");
    CHECK_EQ(symlink("victim", "core"), 0);
    int status = IN_CHILD(allow(RLIM_INFINITY); abort());
    struct stat st;

    CHECK_EQ(status, SIGABRT | 0x80);
    CHECK_EQ(lstat("core", &st), 0);
    CHECK(S_ISREG(st.st_mode));
    CHECK_EQ(stat("victim", &st), 0);
    CHECK_EQ(st.st_size, 8);
}

/* ---- what ---- */

static volatile uint64_t touched[512] = {0x1111222233334444};

ABI_TEST(coredump, memory_signal_and_files_are_in_it)
{
    size_t size;
    siginfo_t info;

    with_pattern("core");
    /* 64 MiB of which one page is touched; and one that is not wanted. */
    uint8_t *large =
        mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *secret = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(large != MAP_FAILED && secret != MAP_FAILED);
    CHECK_EQ(madvise(secret, 4096, 16 /* MADV_DONTDUMP */), 0);
    int status = IN_CHILD({
        allow(RLIM_INFINITY);
        touched[1] = 0x5555666677778888;
        strcpy((char *)large + (20 << 20), "needle");
        strcpy((char *)secret, "secret");
        *(volatile int *)16 = 1;
    });
    CHECK_EQ(status, SIGSEGV | 0x80);
    core_read("core");
    const uint64_t *words = core_memory(&touched[0], 16);
    CHECK(words != NULL);
    CHECK_EQ(words[0], 0x1111222233334444);
    CHECK_EQ(words[1], 0x5555666677778888);
    const char *needle = core_memory(large + (20 << 20), 7);
    CHECK(needle != NULL && strcmp(needle, "needle") == 0);
    CHECK(core_memory(secret, 8) == NULL);
    const uint8_t *desc = core_note(NT_SIGINFO, 0, &size);
    CHECK(desc != NULL && size == sizeof(info));
    memcpy(&info, desc, sizeof(info));
    CHECK_EQ(info.si_signo, SIGSEGV);
    CHECK_EQ((uint64_t)info.si_addr, 16);
    CHECK(core_note(NT_AUXV, 0, &size) != NULL);
    desc = core_note(0x46494c45 /* NT_FILE */, 0, &size);
    CHECK(desc != NULL && *(const uint64_t *)desc >= 1 && ((const uint64_t *)desc)[1] == 4096);
    CHECK(core_note(NT_PRPSINFO, 0, &size) != NULL && size == 136);
    /* Holes take no room. */
    struct stat st;
    CHECK_EQ(stat("core", &st), 0);
    CHECK(st.st_size > 64 << 20);
    CHECK(st.st_blocks * 512 < 32 << 20);
}

static pthread_barrier_t barrier;
static volatile int marked_now;

static void *spin_with_mark(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&barrier);
    __asm__ volatile("mov $0x7ead, %%r14\n\tmovl $1, %0\n1:\tjmp 1b" : "=m"(marked_now) : : "r14");
    return NULL;
}

static void *sleep_inside(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&barrier);
    for (;;) {
        pause();
    }
}

ABI_TEST(coredump, each_thread_has_its_registers_in_it)
{
    size_t size;
    unsigned n = 0, marked = 0, fpu = 0;

    with_pattern("core");
    int status = IN_CHILD({
        pthread_t thread;
        allow(RLIM_INFINITY);
        pthread_barrier_init(&barrier, NULL, 4);
        pthread_create(&thread, NULL, spin_with_mark, NULL);
        pthread_create(&thread, NULL, sleep_inside, NULL);
        pthread_create(&thread, NULL, sleep_inside, NULL);
        pthread_barrier_wait(&barrier);
        while (!marked_now) {
            sched_yield();
        }
        __asm__ volatile("mov $0xd1e, %%r15\n\tud2" ::: "r15");
    });
    CHECK_EQ(status, SIGILL | 0x80);
    core_read("core");
    for (const uint8_t *desc; (desc = core_note(NT_PRSTATUS, n, &size)) != NULL; n++) {
        CHECK_EQ(size, 336);
        const uint64_t *regs = (const void *)(desc + 112);
        CHECK_EQ(*(const int *)desc, SIGILL);
        if (n == 0) {
            CHECK_EQ(regs[0], 0xd1e); /* the one that dies is the first */
        }
        marked += regs[1] == 0x7ead;
    }
    while (core_note(NT_FPREGSET, fpu, &size) != NULL) {
        CHECK_EQ(size, 512);
        fpu++;
    }
    CHECK_EQ(n, 4);
    CHECK_EQ(fpu, 4);
    CHECK_EQ(marked, 1);
}

ABI_TEST(coredump, the_filter_says_which_memory)
{
    int fd;
    char text[32];

    with_pattern("core");
    uint8_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    strcpy((char *)shared, "shared");
    fd = open("/proc/self/coredump_filter", O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, text, sizeof(text)), 9);
    CHECK_EQ(strtoul(text, NULL, 16), 0x33);
    int status = IN_CHILD(allow(RLIM_INFINITY); abort());
    CHECK_EQ(status, SIGABRT | 0x80);
    core_read("core");
    CHECK(core_memory(shared, 7) != NULL);
    CHECK_EQ(pwrite(fd, "0x31", 4, 0), 4);
    status = IN_CHILD(allow(RLIM_INFINITY); abort()); /* it is inherited */
    CHECK_EQ(status, SIGABRT | 0x80);
    core_read("core");
    CHECK(core_memory(shared, 7) == NULL);
    CHECK(core_memory(&touched[0], 8) != NULL);
    CHECK_EQ(pwrite(fd, "0", 1, 0), 1);
    status = IN_CHILD(allow(RLIM_INFINITY); abort());
    CHECK_EQ(status, SIGABRT | 0x80);
    core_read("core");
    CHECK(core_memory(&touched[0], 8) == NULL);
}

/* ---- threads that end meanwhile ---- */

static void *end_at_once(void *arg)
{
    return arg;
}

/* Its main thread crashes when it is told to; the other one ends. */
static void crash_when_told(int fd)
{
    pthread_t thread;
    char byte;

    allow(RLIM_INFINITY);
    CHECK_EQ(pthread_create(&thread, NULL, end_at_once, NULL), 0);
    CHECK_EQ(read(fd, &byte, 1), 1);
    *(volatile int *)16 = 1;
}

/* The next status, which is not to be waited for for ever. */
static int wait_a_while(pid_t pid)
{
    int status = -1;

    for (int ms = 0; waitpid(pid, &status, __WALL | WNOHANG) == 0; ms++) {
        CHECK(ms < 20000);
        abi_sleep_ms(1);
    }
    return status;
}

ABI_TEST(coredump, it_does_not_wait_for_a_thread_that_stops_at_its_end)
{
    unsigned long tid = 0;
    int go[2];

    with_pattern("core");
    CHECK_EQ(pipe(go), 0);
    pid_t pid = TRACED_CHILD(crash_when_told(go[0]));
    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_CLONE));
    CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &tid), 0);
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(trace_wait((pid_t)tid), STOPPED(SIGSTOP));
    CHECK_EQ(trace_go(PTRACE_CONT, (pid_t)tid, 0), EVENT_STOPPED(PTRACE_EVENT_EXIT));
    CHECK_EQ(write(go[1], "x", 1), 1);
    CHECK_EQ(trace_wait(pid), STOPPED(SIGSEGV));
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, SIGSEGV), 0);
    CHECK_EQ(wait_a_while(pid), EVENT_STOPPED(PTRACE_EVENT_EXIT)); /* the dump is over */
    (void)TRACE(PTRACE_CONT, tid, 0, 0); /* it may have been sent on its way */
    (void)wait_a_while((pid_t)tid);
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(wait_a_while(pid), SIGSEGV | 0x80);
    core_read("core");
}
