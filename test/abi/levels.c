/*
 * Addresses above 47 bits, which there are with 5 levels of page tables (Documentation of Linux, x86/x86_64/5level-paging): a hint up there
 * asks for one, nothing else gives one. On machines with 4 levels the same tests see that there are none.
 */
#include <asm/prctl.h>
#include <linux/futex.h>
#include <sys/uio.h>

#include "abi.h"

#define PAGE   4096ul
#define RW     (PROT_READ | PROT_WRITE)
#define ANON   (MAP_PRIVATE | MAP_ANONYMOUS)
#define WINDOW 0x7ffffffff000ul /* the highest address without a hint */
#define HIGH   0x00a123456789a000ul
#define TOP_5  (1ul << 56)

static bool five_levels(void)
{
    char line[8192];
    bool five = false;
    FILE *info = fopen("/proc/cpuinfo", "r");

    CHECK(info != NULL);
    while (fgets(line, sizeof(line), info) != NULL) {
        if (strncmp(line, "flags", 5) == 0) {
            five = strstr(line, " la57") != NULL;
        }
    }
    (void)fclose(info);
    return five;
}

static char *map_at(unsigned long addr, unsigned long len, int prot, int flags)
{
    return mmap((void *)addr, len, prot, ANON | flags, -1, 0);
}

/* Two pages above 47 bits, or below where there are none; behind them is a hole. */
static char *high_pages(int prot)
{
    char *p = map_at(HIGH, 3 * PAGE, prot, 0);

    CHECK(p != MAP_FAILED);
    CHECK_EQ((unsigned long)p > WINDOW, five_levels());
    CHECK_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    return p;
}

ABI_TEST(levels, a_high_hint_gives_a_high_address)
{
    char *p = map_at(HIGH, 2 * PAGE, RW, 0);
    char *q = map_at(HIGH, 2 * PAGE, RW, 0); /* not free any more */

    CHECK(p != MAP_FAILED && q != MAP_FAILED && p != q);
    if (five_levels()) {
        CHECK_EQ((unsigned long)p, HIGH);
        CHECK((unsigned long)q > WINDOW);
    } else {
        CHECK((unsigned long)p < WINDOW && (unsigned long)q < WINDOW);
    }
    q = map_at(-1ul, PAGE, RW, 0);
    CHECK_EQ((unsigned long)q > WINDOW, five_levels());
}

ABI_TEST(levels, without_a_high_hint_no_address_is_high)
{
    char local;

    CHECK((unsigned long)map_at(0, 1ul << 40, PROT_NONE, MAP_NORESERVE) < WINDOW);
    CHECK((unsigned long)map_at(WINDOW - PAGE, 2 * PAGE, RW, 0) < WINDOW - PAGE);
    CHECK((unsigned long)map_at(WINDOW, PAGE, RW, 0) < WINDOW);
    CHECK(map_at(0, 1ul << 47, PROT_NONE, MAP_NORESERVE) == MAP_FAILED);
    CHECK((unsigned long)&local < WINDOW);
    CHECK((unsigned long)sbrk(0) < WINDOW);
    CHECK((unsigned long)&five_levels < WINDOW);
    if (five_levels()) {
        CHECK_EQ((unsigned long)map_at(HIGH, 1ul << 47, PROT_NONE, MAP_NORESERVE), HIGH);
    }
}

ABI_TEST(levels, fixed_addresses_go_as_far_as_the_levels)
{
    const unsigned long places[] = {WINDOW, 1ul << 47, 1ul << 48, HIGH, TOP_5 - 2 * PAGE};

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *p = map_at(places[i], PAGE, RW, MAP_FIXED);
        if (five_levels()) {
            CHECK_EQ((unsigned long)p, places[i]);
            *p = 1;
            CHECK_EQ(munmap(p, PAGE), 0);
        } else {
            CHECK(p == MAP_FAILED && errno == ENOMEM);
            CHECK_ERR(munmap((void *)places[i], PAGE), EINVAL);
        }
    }
    CHECK(map_at(TOP_5 - PAGE, PAGE, RW, MAP_FIXED) == MAP_FAILED && errno == ENOMEM);
    CHECK_ERR(munmap((void *)(TOP_5 - PAGE), PAGE), EINVAL);
    CHECK_ERR(munmap((void *)TOP_5, PAGE), EINVAL);
}

ABI_TEST(levels, system_calls_take_addresses_as_far_as_the_levels)
{
    const unsigned long beyond[] = {five_levels() ? TOP_5 - 8 : WINDOW + PAGE - 8,
                                    five_levels() ? TOP_5 : 1ul << 47,
                                    1ul << 56,
                                    1ul << 60,
                                    0xff11000000000000ul,
                                    0xffff888000000000ul,
                                    -8ul};
    char *p = high_pages(RW);
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    memcpy(p, "Hello, you there", 16);
    CHECK_EQ(write(fds[1], p, 16), 16);
    CHECK_EQ(read(fds[0], p + PAGE, 16), 16);
    CHECK_EQ(memcmp(p, p + PAGE, 16), 0);
    strcpy(p, "a name");
    CHECK_EQ(mkdir(p, 0700), 0);
    CHECK_EQ(stat(p, (struct stat *)(p + PAGE)), 0);
    CHECK_EQ(pipe((int *)p), 0);
    CHECK_EQ(write(fds[1], "12345678", 8), 8);
    for (unsigned i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        CHECK_ERR(read(fds[0], (void *)beyond[i], 8), EFAULT);
        CHECK_ERR(write(fds[1], (void *)beyond[i], 8), EFAULT);
        CHECK_ERR(syscall(SYS_pipe, (void *)beyond[i]), EFAULT);
        CHECK_ERR(syscall(SYS_mkdir, (void *)beyond[i], 0700), EFAULT);
        CHECK_ERR(syscall(SYS_futex, (void *)(beyond[i] & ~3ul), FUTEX_WAIT, 0, NULL, NULL, 0),
                  EFAULT);
    }
}

ABI_TEST(levels, high_memory_is_memory_as_any_other)
{
    char *p = high_pages(RW);
    struct iovec local = {.iov_len = 5}, remote = {.iov_len = 5};
    unsigned char in_core[2] = {9, 9};
    char copy[5];

    p[PAGE] = 1;
    CHECK_EQ(mincore(p, 2 * PAGE, in_core), 0);
    CHECK(in_core[0] == 0 && in_core[1] == 1);
    strcpy(p, "fork");
    CHECK_EQ(IN_CHILD(_exit(strcmp(p, "fork") == 0 && (p[0] = 'x') == 'x' ? 3 : 4)), 3 << 8);
    CHECK_EQ(p[0], 'f');
    local.iov_base = copy;
    remote.iov_base = p;
    CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 5);
    CHECK_EQ(strcmp(copy, "fork"), 0);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0);
    CHECK_EQ(madvise(p + PAGE, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(p[PAGE], 0);
    char *q = mremap(p + PAGE, PAGE, 2 * PAGE, 0); /* in place */
    CHECK(q == p + PAGE);
    q = mremap(p + PAGE, 2 * PAGE, 1 << 21, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED);
    q[(1 << 21) - 1] = 1;
    CHECK_EQ(munmap(p, PAGE), 0);
}

ABI_TEST(levels, huge_blocks_may_lie_high)
{
    const unsigned long size = 8ul << 20;
    char *p = map_at(HIGH & ~((2ul << 20) - 1), size, RW, 0);

    CHECK(p != MAP_FAILED);
    CHECK_EQ((unsigned long)p > WINDOW, five_levels());
    memset(p, 7, size);
    CHECK_EQ(IN_CHILD(for (unsigned long i = 0; i < size; i += PAGE) {
                 if (p[i]++ != 7) {
                     _exit(1);
                 }
             }),
             0);
    CHECK_EQ(munmap(p + PAGE, size - 2 * PAGE), 0);
    CHECK(p[0] == 7 && p[size - 1] == 7);
}

/* getppid(2) and back. */
static const unsigned char code[] = {0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3};

ABI_TEST(levels, system_calls_can_be_made_from_high_code)
{
    char *p = high_pages(RW | PROT_EXEC);

    memcpy(p, code, sizeof(code));
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(((int (*)(void))p)(), getppid());
    }
}

static volatile unsigned long handler_stack;

static void note_stack(int signo)
{
    char local = (char)signo;

    handler_stack = (unsigned long)&local;
}

ABI_TEST(levels, handlers_may_run_on_a_high_stack)
{
    char *p = map_at(HIGH, 64 * PAGE, RW, 0);
    stack_t stack = {.ss_sp = p, .ss_size = 64 * PAGE};
    struct sigaction action = {.sa_handler = note_stack, .sa_flags = SA_ONSTACK};

    CHECK(p != MAP_FAILED);
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(handler_stack - (unsigned long)p < 64 * PAGE);
}

ABI_TEST(levels, segment_bases_may_be_high)
{
    unsigned long base = 0;

    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, high_pages(RW)), 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &base), 0);
    CHECK_EQ(base > WINDOW, five_levels());
    CHECK_ERR(syscall(SYS_arch_prctl, ARCH_SET_GS, five_levels() ? TOP_5 : 1ul << 47), EPERM);
}
