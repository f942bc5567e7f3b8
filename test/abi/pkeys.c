/*
 * Protection keys (pkeys(7)): which keys can be had, what they forbid to programs and to the kernel in their name, what signals, fork,
 * execve and changes of mappings do to them, and memory that can be executed but not read.
 *
 * Tests of what only a CPU with keys can do are skipped on others; corners.c says what is left there.
 */
#include <cpuid.h>
#include <pthread.h>
#include <sys/uio.h>
#include <ucontext.h>

#include "abi.h"

#define PAGE       4096ul
#define HUGE       (2ul << 20)
#define RW         (PROT_READ | PROT_WRITE)
#define ANON       (MAP_PRIVATE | MAP_ANONYMOUS)
#define NO_ACCESS  1u /* PKEY_DISABLE_ACCESS */
#define NO_WRITE   2u /* PKEY_DISABLE_WRITE */
#define LAST_KEY   15
#define FRESH_PKRU 0x55555554u
#define PKUERR     4 /* SEGV_PKUERR */

static unsigned pkru_read(void)
{
    unsigned value, zero;

    __asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(value), "=d"(zero) : "c"(0)); /* RDPKRU */
    return value;
}

static void pkru_write(unsigned value)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xef"
                     :
                     : "a"(value), "c"(0), "d"(0)
                     : "memory"); /* WRPKRU */
}

static void restrict_key(int key, unsigned rights)
{
    pkru_write((pkru_read() & ~(3u << 2 * key)) | rights << 2 * key);
}

static void need_keys(void)
{
    unsigned a, b, c = 0, d;

    (void)__get_cpuid_count(7, 0, &a, &b, &c, &d);
    if ((c & 1u << 4) == 0) { /* OSPKE */
        abi_skip("no protection keys");
    }
}

static int key_alloc(unsigned rights)
{
    return (int)syscall(SYS_pkey_alloc, 0, rights);
}

static int key_protect(void *p, unsigned long len, int prot, int key)
{
    return (int)syscall(SYS_pkey_mprotect, p, len, prot, key);
}

static char *map(unsigned long len)
{
    char *p = mmap(NULL, len, RW, ANON, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

/* A page that says "text", with a key that allows nothing to be hindered yet. */
static char *keyed_page(int *ret_key)
{
    char *p = map(PAGE);

    strcpy(p, "text");
    *ret_key = key_alloc(0);
    CHECK(*ret_key > 0);
    CHECK_EQ(key_protect(p, PAGE, RW, *ret_key), 0);
    return p;
}

static long smaps_key(const void *p)
{
    char line[512], start[32];
    long key = -1;
    bool inside = false;
    FILE *smaps = fopen("/proc/self/smaps", "r");

    CHECK(smaps != NULL);
    (void)snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
    while (fgets(line, sizeof(line), smaps) != NULL) {
        if (strchr(line, '-') != NULL && strstr(line, " kB") == NULL) {
            inside = inside ? false : strncmp(line, start, strlen(start)) == 0;
        }
        if (inside && strncmp(line, "ProtectionKey:", 14) == 0) {
            key = strtol(line + 14, NULL, 10);
        }
    }
    (void)fclose(smaps);
    return key;
}

/* ---- what an access does: 0, or the si_code of SIGSEGV ---- */

static volatile int fault_code;
static void *volatile fault_addr;
static volatile int fault_key;
static volatile unsigned handler_pkru;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)signo;
    handler_pkru = pkru_read();
    fault_code = info->si_code;
    fault_addr = info->si_addr;
    fault_key = (int)*(unsigned *)((char *)info + 32); /* si_pkey */
    uc->uc_mcontext.gregs[REG_RIP] += 3;               /* the access is one of three bytes */
}

static void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
}

static int try_read(const char *p)
{
    unsigned value;

    fault_code = 0;
    __asm__ volatile(".byte 0x0f, 0xb6, 0x07"
                     : "=a"(value)
                     : "D"(p)
                     : "memory"); /* movzbl (%rdi), %eax */
    return fault_code;
}

static int try_write(char *p)
{
    fault_code = 0;
    __asm__ volatile(".byte 0xc6, 0x07, 0x31" : : "D"(p) : "memory"); /* movb $'1', (%rdi) */
    return fault_code;
}

/* ---- keys ---- */

ABI_TEST(pkeys, are_given_out_lowest_first_and_taken_back)
{
    need_keys();
    CHECK_EQ(pkru_read(), FRESH_PKRU);
    for (int key = 1; key <= LAST_KEY; key++) {
        CHECK_EQ(key_alloc((unsigned)key % 4), key);
        CHECK_EQ(pkru_read() >> 2 * key & 3, key % 4);
    }
    CHECK_ERR(key_alloc(0), ENOSPC);
    CHECK_EQ(syscall(SYS_pkey_free, 7), 0);
    CHECK_ERR(syscall(SYS_pkey_free, 7), EINVAL);
    CHECK_ERR(key_protect(map(PAGE), PAGE, RW, 7), EINVAL);
    CHECK_ERR(key_protect(map(PAGE), PAGE, RW, 16), EINVAL);
    CHECK_EQ(key_protect(map(PAGE), 0, RW, 16), 0);
    CHECK_ERR(key_alloc(4), EINVAL);
    CHECK_EQ(key_alloc(0), 7);
}

ABI_TEST(pkeys, forbid_reading_and_writing)
{
    int key;

    need_keys();
    catch_faults();
    char *p = keyed_page(&key);
    CHECK_EQ(try_read(p), 0);
    CHECK_EQ(try_write(p), 0);
    restrict_key(key, NO_WRITE);
    CHECK_EQ(try_read(p), 0);
    CHECK_EQ(try_write(p), PKUERR);
    CHECK(fault_addr == p);
    CHECK_EQ(fault_key, key);
    restrict_key(key, NO_ACCESS);
    CHECK_EQ(try_read(p), PKUERR);
    CHECK_EQ(try_write(p), PKUERR);
    restrict_key(key, 0);
    CHECK_EQ(try_write(p), 0);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0); /* keeps the key */
    CHECK_EQ(try_write(p), 2);                 /* SEGV_ACCERR */
    CHECK_EQ(smaps_key(p), key);
    CHECK_EQ(mprotect(p, PAGE, PROT_NONE), 0);
    CHECK_EQ(mprotect(p, PAGE, RW), 0);
    restrict_key(key, NO_ACCESS);
    CHECK_EQ(try_read(p), PKUERR);
    CHECK_EQ(key_protect(p, PAGE, RW, 0), 0);
    CHECK_EQ(try_read(p), 0);
}

ABI_TEST(pkeys, hold_for_pages_not_yet_there_and_for_huge_ones)
{
    char *p = map(2 * HUGE);
    char *block = (char *)(((unsigned long)p + HUGE - 1) & -HUGE);

    need_keys();
    catch_faults();
    int key = key_alloc(0);
    CHECK_EQ(key_protect(p, 2 * HUGE, RW, key), 0);
    restrict_key(key, NO_ACCESS);
    CHECK_EQ(try_read(block + 5 * PAGE), PKUERR);
    CHECK_EQ(try_write(block + 5 * PAGE), PKUERR);
    CHECK_EQ(fault_key, key);
    restrict_key(key, 0);
    (void)madvise(p, 2 * HUGE, MADV_HUGEPAGE);
    memset(block, 1, HUGE);
    restrict_key(key, NO_WRITE);
    CHECK_EQ(try_write(block + HUGE - 1), PKUERR);
    CHECK_EQ(key_protect(block + PAGE, PAGE, RW, 0), 0); /* a piece of it */
    CHECK_EQ(try_write(block + PAGE), 0);
    CHECK_EQ(try_write(block + 2 * PAGE), PKUERR);
    CHECK_EQ(try_write(block), PKUERR);
    CHECK_EQ(madvise(block, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(try_read(block), 0);
    CHECK_EQ(try_write(block), PKUERR);
}

ABI_TEST(pkeys, hold_for_system_calls)
{
    int key, fds[2];

    need_keys();
    CHECK_EQ(pipe(fds), 0);
    char *p = keyed_page(&key);
    restrict_key(key, NO_WRITE);
    CHECK_EQ(write(fds[1], p, 4), 4);
    CHECK_ERR(read(fds[0], p, 4), EFAULT);
    restrict_key(key, NO_ACCESS);
    CHECK_ERR(write(fds[1], p, 4), EFAULT);
    CHECK_ERR(mkdir(p, 0700), EFAULT);
    CHECK_ERR(pipe((int *)p), EFAULT);
    CHECK_ERR(mlock(p, PAGE), ENOMEM);
    CHECK_ERR(madvise(p, PAGE, 22 /* MADV_POPULATE_READ */), EINVAL);
    restrict_key(key, 0);
    CHECK_EQ(read(fds[0], p, 4), 4);
    CHECK_EQ(mlock(p, PAGE), 0);
}

ABI_TEST(pkeys, do_not_hold_for_debuggers)
{
    int key;
    char copy[5] = "";

    need_keys();
    char *p = keyed_page(&key);
    struct iovec local = {.iov_base = copy, .iov_len = 5}, remote = {.iov_base = p, .iov_len = 5};
    restrict_key(key, NO_ACCESS);
    CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 5);
    CHECK_EQ(strcmp(copy, "text"), 0);
    int mem = open("/proc/self/mem", O_RDWR);
    CHECK_EQ(pwrite(mem, "next", 4, (off_t)p), 4);
    restrict_key(key, 0);
    CHECK_EQ(strcmp(p, "next"), 0);
}

/* ---- signals ---- */

/* PKRU's place in the frame. */
static unsigned *frame_pkru(ucontext_t *uc)
{
    unsigned size, offset = 0, c, d;

    __cpuid_count(13, 9, size, offset, c, d);
    CHECK_EQ(size, 8);
    return (unsigned *)((char *)uc->uc_mcontext.fpregs + offset);
}

static volatile unsigned seen_in_frame;

static void change_frame(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)signo, (void)info;
    handler_pkru = pkru_read();
    seen_in_frame = *frame_pkru(uc);
    *frame_pkru(uc) = 0x55555550;
    pkru_write(0x1550);
}

ABI_TEST(pkeys, rights_are_fresh_in_handlers_and_come_back)
{
    struct sigaction action = {.sa_sigaction = change_frame, .sa_flags = SA_SIGINFO};
    int key;

    need_keys();
    catch_faults();
    char *p = keyed_page(&key);
    restrict_key(key, NO_WRITE);
    unsigned before = pkru_read();
    CHECK_EQ(try_write(p), PKUERR);
    CHECK_EQ(handler_pkru, FRESH_PKRU);
    CHECK_EQ(pkru_read(), before);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(seen_in_frame, before);
    CHECK_EQ(handler_pkru, FRESH_PKRU);
    CHECK_EQ(pkru_read(), 0x55555550); /* what the handler put there */
    pkru_write(0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(seen_in_frame, 0);
}

/* ---- children and programs ---- */

static void *thread_main(void *arg)
{
    unsigned *seen = arg;

    *seen = pkru_read();
    pkru_write(0);
    return NULL;
}

ABI_TEST(pkeys, rights_are_a_threads_own)
{
    pthread_t thread;
    unsigned seen = 0;
    int key;

    need_keys();
    char *p = keyed_page(&key);
    restrict_key(key, NO_WRITE);
    unsigned mine = pkru_read();
    CHECK_EQ(pthread_create(&thread, NULL, thread_main, &seen), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(seen, mine);
    CHECK_EQ(pkru_read(), mine);
    for (unsigned i = 0; i < 20; i++) { /* they change places */
        CHECK_EQ(IN_CHILD(pkru_write(i % 3 << 8); abi_sleep_ms(1);
                          _exit(pkru_read() == i % 3 << 8 ? 5 : 6)),
                 5 << 8);
        CHECK_EQ(pkru_read(), mine);
    }
    CHECK_EQ(IN_CHILD(CHECK_EQ(pkru_read(), mine); catch_faults(); CHECK_EQ(try_write(p), PKUERR);
                      CHECK_EQ(key_alloc(0), key + 1)),
             0);
    CHECK_EQ(key_alloc(0), key + 1);
}

ABI_TEST(fresh_pkeys, are_what_a_program_starts_with)
{
    need_keys();
    CHECK_EQ(pkru_read(), FRESH_PKRU);
    CHECK_EQ(key_alloc(0), 1);
}

ABI_TEST(pkeys, begin_anew_with_a_program)
{
    int key;

    need_keys();
    (void)keyed_page(&key);
    pkru_write(0);
    int null = open("/dev/null", O_WRONLY);
    CHECK_EQ(IN_CHILD(dup2(null, 1); execl("/proc/self/exe", "abi", "fresh_pkeys", NULL)), 0);
}

/* ---- memory to execute alone ---- */

static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* return 42 */

ABI_TEST(pkeys, hide_what_is_to_be_executed_alone)
{
    char *p = map(4 * PAGE);

    need_keys();
    catch_faults();
    memcpy(p + PAGE, code, sizeof(code));
    CHECK_EQ(mprotect(p + PAGE, 2 * PAGE, PROT_EXEC), 0);
    CHECK_EQ(((int (*)(void))(p + PAGE))(), 42);
    CHECK_EQ(try_read(p + PAGE), PKUERR);
    long key = smaps_key(p + PAGE);
    CHECK(key > 0);
    CHECK_EQ(fault_key, key);
    CHECK_ERR(syscall(SYS_pkey_free, key), EINVAL);
    CHECK_ERR(key_protect(p, PAGE, RW, (int)key), EINVAL);
    CHECK(key_alloc(0) != key);
    char *q = mmap(NULL, PAGE, PROT_EXEC, ANON, -1, 0);
    CHECK_EQ(smaps_key(q), key);
    CHECK_EQ(try_read(q), PKUERR);
    /* Over memory of both kinds. */
    CHECK_EQ(mprotect(p, 4 * PAGE, PROT_READ | PROT_EXEC), 0);
    CHECK_EQ(smaps_key(p), 0);
    CHECK_EQ(try_read(p + PAGE), 0);
    CHECK_EQ(((int (*)(void))(p + PAGE))(), 42);
    CHECK_EQ(IN_CHILD(_exit(try_read(q) == PKUERR ? 3 : 4)), 3 << 8);
}

ABI_TEST(pkeys, stay_with_what_moves)
{
    char *p = map(4 * PAGE);
    char *to = map(4 * PAGE);

    need_keys();
    catch_faults();
    int key = key_alloc(NO_WRITE);
    p[PAGE] = 1;
    CHECK_EQ(key_protect(p + PAGE, 2 * PAGE, RW, key), 0);
    CHECK(mremap(p + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE) ==
          to + PAGE);
    CHECK_EQ(smaps_key(to + PAGE), key);
    CHECK_EQ(try_write(to + PAGE), PKUERR);
    CHECK_EQ(try_write(to + 2 * PAGE), PKUERR);
    CHECK_EQ(try_write(to), 0);
    CHECK(mmap(to + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == to + PAGE);
    CHECK_EQ(try_write(to + PAGE), 0);
}
