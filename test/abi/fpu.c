/* Vector and floating-point registers: each process has its own, and nothing the kernel does in between changes them. */
#include "abi.h"

#include <cpuid.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile int seen;

static bool has_avx(void)
{
    unsigned a, b, c, d, lo, hi;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (3u << 27)) != (3u << 27)) {
        return false;
    }
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (lo & 6) == 6;
}

struct vectors {
    uint8_t bytes[16][32];
    uint32_t mxcsr;
    uint16_t control;
};

static void vectors_fill(struct vectors *v, unsigned seed)
{
    for (size_t i = 0; i < sizeof(v->bytes); i++) {
        ((uint8_t *)v->bytes)[i] = (uint8_t)(seed * 37 + i * 11 + (i >> 5));
    }
    v->mxcsr = 0x1f80 | (seed & 3) << 13;
    v->control = (uint16_t)(0x37f | (seed & 3) << 10);
}

#define EACH_REGISTER(x)                                                                           \
    x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
#define LOAD_SSE(n) "movups " #n "*32(%0), %%xmm" #n "\n\t"
#define SAVE_SSE(n) "movups %%xmm" #n ", " #n "*32(%0)\n\t"
#define LOAD_AVX(n) "vmovups " #n "*32(%0), %%ymm" #n "\n\t"
#define SAVE_AVX(n) "vmovups %%ymm" #n ", " #n "*32(%0)\n\t"

/* Load all registers, make one system call, store them again: nothing of the compiler's comes between. */
static long vectors_through(const struct vectors *in, struct vectors *out, bool avx, long nr,
                            long arg1, long arg2)
{
    long result;

    *out = *in;
    if (avx) {
        __asm__ volatile(
            "ldmxcsr 512(%0)\n\tfldcw 516(%0)\n\t" EACH_REGISTER(
                LOAD_AVX) "syscall\n\t" EACH_REGISTER(SAVE_AVX) "stmxcsr 512(%0)\n\tfnstcw "
                                                                "516(%0)\n\t"
            : "+&b"(out), "=a"(result)
            : "1"(nr), "D"(arg1), "S"(arg2)
            : "rcx", "r11", "memory");
    } else {
        __asm__ volatile(
            "ldmxcsr 512(%0)\n\tfldcw 516(%0)\n\t" EACH_REGISTER(
                LOAD_SSE) "syscall\n\t" EACH_REGISTER(SAVE_SSE) "stmxcsr 512(%0)\n\tfnstcw "
                                                                "516(%0)\n\t"
            : "+&b"(out), "=a"(result)
            : "1"(nr), "D"(arg1), "S"(arg2)
            : "rcx", "r11", "memory");
    }
    uint32_t mxcsr = 0x1f80;
    uint16_t control = 0x37f;
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(control));
    return result;
}

static bool vectors_equal(const struct vectors *a, const struct vectors *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0 && a->mxcsr == b->mxcsr &&
           a->control == b->control;
}

ABI_TEST(fpu, each_process_has_its_own_registers)
{
    bool avx = has_avx();
    int children[4];

    for (unsigned c = 0; c < 4; c++) {
        fflush(NULL);
        children[c] = abi_fork();
        CHECK(children[c] >= 0);
        if (children[c] == 0) {
            struct vectors in, out;
            for (unsigned i = 0; i < 500; i++) {
                struct timespec ts = {0, 1000};
                vectors_fill(&in, c * 1000 + i);
                if (i % 10 == 0) {
                    (void)vectors_through(&in, &out, avx, SYS_nanosleep, (long)&ts, 0);
                } else {
                    (void)vectors_through(&in, &out, avx, SYS_sched_yield, 0, 0);
                }
                if (!vectors_equal(&in, &out)) {
                    _exit(1);
                }
            }
            _exit(0);
        }
    }
    for (unsigned c = 0; c < 4; c++) {
        int status;
        CHECK_EQ(waitpid(children[c], &status, 0), children[c]);
        CHECK_EQ(status, 0);
    }
}

ABI_TEST(fpu, child_inherits_the_registers)
{
    struct vectors in, out;
    bool avx = has_avx();
    int status;

    vectors_fill(&in, 5);
    fflush(NULL);
    long pid = vectors_through(&in, &out, avx, SYS_fork, 0, 0);
    if (pid == 0) {
        _exit(vectors_equal(&in, &out) ? 0 : 1);
    }
    CHECK(pid > 0);
    CHECK(vectors_equal(&in, &out));
    CHECK_EQ(waitpid((int)pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

ABI_TEST(fpu, registers_survive_page_faults)
{
    size_t size = 256 * 4096;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool avx = has_avx();

    CHECK(memory != MAP_FAILED);
    for (size_t i = 0; i < size; i += 4096) {
        struct vectors in, out;
        vectors_fill(&in, (unsigned)i / 4096);
        /* The kernel writes to a page that is not there yet. */
        CHECK_EQ(vectors_through(&in, &out, avx, SYS_uname, (long)(memory + i), 0), 0);
        CHECK(vectors_equal(&in, &out));
        CHECK_EQ(memory[i + 4095], 0);
    }
}

static void on_clobber(int signo)
{
    struct vectors in, out;

    (void)signo;
    vectors_fill(&in, 77);
    (void)vectors_through(&in, &out, has_avx(), SYS_getpid, 0, 0);
    seen = 1;
}

ABI_TEST(fpu, registers_survive_a_handler_that_uses_them)
{
    struct vectors in, out;

    signal(SIGUSR1, on_clobber);
    vectors_fill(&in, 9);
    CHECK_EQ(vectors_through(&in, &out, has_avx(), SYS_kill, getpid(), SIGUSR1), 0);
    CHECK_EQ(seen, 1);
    CHECK(vectors_equal(&in, &out));
}

#define STACK_SIZE 65536

/* SIGUSR1 runs on the STACK_SIZE bytes at `stack`, less the last `below`. */
static void handle_on_stack(char *stack, size_t below, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    stack_t alternate = {.ss_sp = stack, .ss_size = STACK_SIZE - below};

    CHECK_EQ(sigaltstack(&alternate, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

ABI_TEST(fpu, registers_are_saved_to_a_stack_that_was_never_touched)
{
    char *stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool avx = has_avx();

    CHECK(stack != MAP_FAILED);
    /* The state lies across two pages, each time by 64 bytes more. */
    for (size_t below = 0; below < 4096; below += 64) {
        struct vectors in, out;

        handle_on_stack(stack, below, on_clobber);
        CHECK_EQ(madvise(stack, STACK_SIZE, MADV_DONTNEED), 0);
        vectors_fill(&in, (unsigned)below / 64);
        seen = 0;
        CHECK_EQ(vectors_through(&in, &out, avx, SYS_kill, getpid(), SIGUSR1), 0);
        CHECK_EQ(seen, 1);
        CHECK(vectors_equal(&in, &out));
    }
}

ABI_TEST(fpu, a_stack_that_cannot_hold_the_registers_is_the_end)
{
    char *stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(stack != MAP_FAILED);
    CHECK_EQ(mprotect(stack, STACK_SIZE - 4096, PROT_READ), 0);
    for (size_t below = 4096 - 1024; below < 4096; below += 64) {
        int status;
        pid_t pid = abi_fork();

        if (pid == 0) {
            struct rlimit none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            handle_on_stack(stack, below, on_clobber);
            raise(SIGUSR1);
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
}

static char *moved_to;

/* The state that the handler returns to is elsewhere: in a file, of which no page is mapped yet. */
static void on_signal_move(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    char *state = (char *)uc->uc_mcontext.fpregs;
    uint32_t size;
    int file = memfd_create("state", 0);

    (void)info;
    memcpy(&size, state + 464 + 4, sizeof(size)); /* struct _fpx_sw_bytes: extended_size */
    size = size == 0 ? 512 : size;
    if (file < 0 || write(file, state, size) != (ssize_t)size) {
        return;
    }
    moved_to = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (moved_to != MAP_FAILED) {
        uc->uc_mcontext.fpregs = (void *)moved_to;
        memset(state, 0, 416);
        on_clobber(signo);
    }
}

ABI_TEST(fpu, registers_come_back_from_wherever_the_frame_says)
{
    struct sigaction action = {.sa_sigaction = on_signal_move, .sa_flags = SA_SIGINFO};
    struct vectors in, out;

    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    vectors_fill(&in, 21);
    seen = 0;
    CHECK_EQ(vectors_through(&in, &out, has_avx(), SYS_kill, getpid(), SIGUSR1), 0);
    CHECK_EQ(seen, 1);
    CHECK(vectors_equal(&in, &out));
    CHECK_EQ(munmap(moved_to, 16384), 0);
}

ABI_TEST(fpu, timer_signals_do_not_disturb_arithmetic)
{
    struct itimerval value = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    volatile double sum = 0;

    signal(SIGALRM, on_clobber);
    CHECK_EQ(setitimer(ITIMER_REAL, &value, NULL), 0);
    for (int i = 1; i <= 3000000; i++) {
        sum += i;
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &off, NULL), 0);
    CHECK(sum == 4500001500000.0);
}
