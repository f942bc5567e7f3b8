/* What the CPU shows of itself: exceptions as signals, signal frames, registers across the kernel, segment bases, the vDSO. */
#include "abi.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <elf.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <ucontext.h>

#define NONCANONICAL 0x8000000000000000ull

static volatile int seen, seen_code;
static volatile uint64_t seen_addr, seen_rip, seen_trap, seen_error, seen_cr2;
static volatile uint64_t skip; /* bytes of the instruction to step over */

static void on_fault(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    seen = signo;
    seen_code = info->si_code;
    seen_addr = (uint64_t)info->si_addr;
    seen_rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    seen_trap = (uint64_t)uc->uc_mcontext.gregs[REG_TRAPNO];
    seen_error = (uint64_t)uc->uc_mcontext.gregs[REG_ERR];
    seen_cr2 = (uint64_t)uc->uc_mcontext.gregs[REG_CR2];
    uc->uc_mcontext.gregs[REG_RIP] += (greg_t)skip;
}

static void catch (int signo, void (*fn)(int, siginfo_t *, void *))
{
    struct sigaction sa = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO};

    CHECK_EQ(sigaction(signo, &sa, NULL), 0);
}

static void catch_all(void)
{
    static const int signals[] = {SIGFPE, SIGILL, SIGTRAP, SIGSEGV, SIGBUS};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        catch (signals[i], on_fault);
    }
}

/* Run one instruction of `bytes` bytes that faults, and step over it. */
#define FAULT(bytes, insn, ...)                                                                    \
    do {                                                                                           \
        seen = 0;                                                                                  \
        skip = (bytes);                                                                            \
        __asm__ volatile(insn __VA_ARGS__);                                                        \
    } while (0)

ABI_TEST(cpu, integer_faults_become_signals)
{
    catch_all();
    FAULT(2, "divl %%ecx", : : "a"(1), "d"(0), "c"(0) : "cc");
    CHECK_EQ(seen, SIGFPE);
    CHECK_EQ(seen_code, FPE_INTDIV);
    CHECK_EQ(seen_addr, seen_rip);
    CHECK_EQ(seen_trap, 0);
    FAULT(2, "ud2");
    CHECK_EQ(seen, SIGILL);
    CHECK_EQ(seen_code, ILL_ILLOPN);
    CHECK_EQ(seen_addr, seen_rip);
    FAULT(0, "int3");
    CHECK_EQ(seen, SIGTRAP);
    CHECK_EQ(seen_code, SI_KERNEL);
    CHECK_EQ(seen_trap, 3);
    FAULT(1, "hlt");
    CHECK_EQ(seen, SIGSEGV);
    CHECK_EQ(seen_code, SI_KERNEL);
    CHECK_EQ(seen_addr, 0);
    CHECK_EQ(seen_trap, 13);
    FAULT(1, "cli");
    CHECK_EQ(seen, SIGSEGV);
    FAULT(2, "int $0x21");
    CHECK_EQ(seen, SIGSEGV);
    CHECK_EQ(seen_error & 7, 2); /* a gate of the IDT (SDM volume 3, 6.13) */
    FAULT(1, "inb %%dx, %%al", : : "d"(0x80) : "rax");
    CHECK_EQ(seen, SIGSEGV);
}

ABI_TEST(cpu, memory_faults_become_signals)
{
    char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    catch_all();
    CHECK(page != MAP_FAILED);
    CHECK_EQ(munmap(page + 4096, 4096), 0);
    FAULT(2, "movb (%%rax), %%cl", : : "a"(page + 4096) : "rcx");
    CHECK_EQ(seen, SIGSEGV);
    CHECK_EQ(seen_code, SEGV_MAPERR);
    CHECK_EQ(seen_addr, (uint64_t)page + 4096);
    CHECK_EQ(seen_cr2, (uint64_t)page + 4096);
    CHECK_EQ(seen_trap, 14);
    CHECK_EQ(seen_error, 4);
    FAULT(2, "movb %%cl, (%%rax)", : : "a"(page), "c"(0) : "memory");
    CHECK_EQ(seen, SIGSEGV);
    CHECK_EQ(seen_code, SEGV_ACCERR);
    CHECK_EQ(seen_addr, (uint64_t)page);
    CHECK_EQ(seen_error & 6, 6);
    FAULT(2, "movb (%%rax), %%cl", : : "a"(NONCANONICAL) : "rcx");
    CHECK_EQ(seen, SIGSEGV);
    CHECK_EQ(seen_code, SI_KERNEL);
    CHECK_EQ(seen_addr, 0);
    FAULT(2, "movb (%%rax), %%cl", : : "a"(0xffffffff80000000ull) : "rcx");
    CHECK_EQ(seen, SIGSEGV);
    CHECK_EQ(seen_addr, 0xffffffff80000000ull);
}

ABI_TEST(cpu, unaligned_access_with_ac_gives_sigbus)
{
    static uint64_t words[2];

    catch_all();
    seen = 0;
    skip = 3;
    __asm__ volatile("pushfq\n\torl $0x40000, (%%rsp)\n\tpopfq\n\t"
                     "movq (%%rax), %%rcx\n\t"
                     "pushfq\n\tandl $~0x40000, (%%rsp)\n\tpopfq"
                     :
                     : "a"((char *)words + 1)
                     : "rcx", "cc", "memory");
    if (seen == 0) {
        return; /* emulators do not check alignment */
    }
    CHECK_EQ(seen, SIGBUS);
    CHECK_EQ(seen_code, BUS_ADRALN);
    CHECK_EQ(seen_trap, 17);
}

static void on_float(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    seen = signo;
    seen_code = info->si_code;
    uc->uc_mcontext.fpregs->mxcsr = 0x1f80;
    uc->uc_mcontext.fpregs->cwd = 0x37f;
    uc->uc_mcontext.fpregs->swd = 0;
}

ABI_TEST(cpu, float_faults_tell_their_kind)
{
    uint32_t mxcsr = 0x1f80 & ~0x200u; /* division by zero unmasked */
    uint16_t control = 0x37f & ~4;
    double one = 1, zero = 0;

    catch (SIGFPE, on_float);
    __asm__ volatile("ldmxcsr %0\n\tmovsd %1, %%xmm0\n\tdivsd %2, %%xmm0"
                     :
                     : "m"(mxcsr), "m"(one), "m"(zero)
                     : "xmm0");
    if (seen == 0) {
        return; /* emulators do not raise them */
    }
    CHECK_EQ(seen, SIGFPE);
    CHECK_EQ(seen_code, FPE_FLTDIV);
    seen = 0;
    __asm__ volatile("fldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait\n\tfstp %%st(0)"
                     :
                     : "m"(control));
    CHECK_EQ(seen, SIGFPE);
    CHECK_EQ(seen_code, FPE_FLTDIV);
}

static volatile int steps;

static void on_step(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)signo;
    steps++;
    seen_code = info->si_code;
    if (steps >= 4) {
        uc->uc_mcontext.gregs[REG_EFL] &= ~0x100;
    }
}

ABI_TEST(cpu, trap_flag_steps_through_a_system_call)
{
    long pid;

    catch (SIGTRAP, on_step);
    __asm__ volatile("movl $39, %%eax\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
                     "nop\n\tsyscall\n\tnop\n\tnop\n\tnop"
                     : "=a"(pid)
                     :
                     : "rcx", "r11", "cc", "memory");
    CHECK_EQ(pid, getpid());
    CHECK_EQ(steps, 4);
    CHECK_EQ(seen_code, TRAP_TRACE);
}

static void on_change(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)signo;
    (void)info;
    uc->uc_mcontext.gregs[REG_RBX] = 0x1111;
    uc->uc_mcontext.gregs[REG_R12] = 0x2222;
    uc->uc_mcontext.gregs[REG_R15] = 0x3333;
    uc->uc_mcontext.gregs[REG_RCX] = 0x4444;
    uc->uc_mcontext.gregs[REG_R11] = 0x5555;
    uc->uc_mcontext.gregs[REG_EFL] |= 0x400; /* DF */
    ((uint64_t *)uc->uc_mcontext.fpregs->_xmm)[2 * 7] = 0x6666;
}

ABI_TEST(cpu, handler_may_change_every_register)
{
    uint64_t out[7] = {0};

    catch (SIGUSR1, on_change);
    /* kill(getpid(), SIGUSR1) */
    __asm__ volatile(
        "movl $62, %%eax\n\tmovl $10, %%esi\n\tsyscall\n\t"
        "movq %%rbx, 0(%[out])\n\tmovq %%r12, 8(%[out])\n\tmovq %%r15, 16(%[out])\n\t"
        "movq %%rcx, 24(%[out])\n\tmovq %%r11, 32(%[out])\n\tmovq %%xmm7, 40(%[out])\n\t"
        "pushfq\n\tpopq 48(%[out])\n\tcld"
        :
        : [out] "r"(out), "D"(getpid())
        : "rax", "rbx", "rcx", "rsi", "r11", "r12", "r15", "xmm7", "cc", "memory");
    CHECK_EQ(out[0], 0x1111);
    CHECK_EQ(out[1], 0x2222);
    CHECK_EQ(out[2], 0x3333);
    CHECK_EQ(out[3], 0x4444);
    CHECK_EQ(out[4], 0x5555);
    CHECK_EQ(out[5], 0x6666);
    CHECK_EQ(out[6] & 0x400, 0x400);
}

ABI_TEST(cpu, system_call_keeps_all_but_rcx_and_r11)
{
    uint64_t in[10], out[10], flags = 0;

    for (int i = 0; i < 10; i++) {
        in[i] = 0x0101010101010101ull * (unsigned)(i + 1);
    }
    __asm__ volatile(
        "pushq %%rbp\n\tmovq %[in], %%rax\n\t"
        "movq (%%rax), %%rbx\n\tmovq 8(%%rax), %%rdx\n\tmovq 16(%%rax), %%rsi\n\t"
        "movq 24(%%rax), %%r8\n\tmovq 32(%%rax), %%r9\n\tmovq 40(%%rax), %%r10\n\t"
        "movq 48(%%rax), %%r12\n\tmovq 56(%%rax), %%r13\n\tmovq 64(%%rax), %%rbp\n\t"
        "movl $39, %%eax\n\tstd\n\tstc\n\tsyscall\n\t"
        "pushfq\n\tpopq %%rcx\n\tcld\n\tmovq %[out], %%rax\n\t"
        "movq %%rbx, (%%rax)\n\tmovq %%rdx, 8(%%rax)\n\tmovq %%rsi, 16(%%rax)\n\t"
        "movq %%r8, 24(%%rax)\n\tmovq %%r9, 32(%%rax)\n\tmovq %%r10, 40(%%rax)\n\t"
        "movq %%r12, 48(%%rax)\n\tmovq %%r13, 56(%%rax)\n\tmovq %%rbp, 64(%%rax)\n\tpopq %%rbp"
        : "=&c"(flags)
        : [in] "r"((uint64_t)in), [out] "r"((uint64_t)out)
        : "rax", "rbx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "cc", "memory");
    for (int i = 0; i < 9; i++) {
        CHECK_EQ(out[i], in[i]);
    }
    CHECK_EQ(flags & 0x401, 0x401);
}

ABI_TEST(cpu, system_call_with_any_stack_pointer)
{
    static const uint64_t stacks[] = {0, 1, NONCANONICAL, UINT64_MAX, 0xffffffff80000000ull};

    for (size_t i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
        long pid;
        __asm__ volatile("movq %%rsp, %%rbx\n\tmovq %[sp], %%rsp\n\tmovl $39, %%eax\n\tsyscall\n\t"
                         "movq %%rbx, %%rsp"
                         : "=&a"(pid)
                         : [sp] "r"(stacks[i])
                         : "rbx", "rcx", "r11", "memory");
        CHECK_EQ(pid, getpid());
    }
}

ABI_TEST(cpu, wild_jumps_and_stacks_kill_the_process_alone)
{
    int status = IN_CHILD(__asm__ volatile("jmpq *%0" : : "r"(NONCANONICAL)));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = IN_CHILD(__asm__ volatile("jmpq *%0" : : "r"(0xffffffff80000000ull)));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = IN_CHILD(__asm__ volatile("movq %0, %%rsp\n\tpushq %%rax" : : "r"(NONCANONICAL)));
    CHECK(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS));
    /* A signal for a thread whose stack cannot take the frame. */
    status = IN_CHILD({
        catch (SIGUSR1, on_fault);
        __asm__ volatile("movq %0, %%rsp\n\tmovl $62, %%eax\n\tmovl $10, %%esi\n\tsyscall\n\tud2"
                         :
                         : "r"(NONCANONICAL), "D"(getpid())
                         : "rax", "rsi", "rcx", "r11", "memory");
    });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    /* The same at the address after the last one a program can have. */
    status = IN_CHILD({
        uint8_t *page = mmap((void *)0x7fffffffe000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (page != MAP_FAILED) {
            page[4094] = 0x0f;
            page[4095] = 0x05; /* syscall, which returns to the byte behind */
            __asm__ volatile("movl $39, %%eax\n\tjmpq *%0" : : "r"(page + 4094) : "rax");
        }
        raise(SIGSEGV);
    });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* ---- hostile signal frames ---- */

static volatile int hostile;

static void on_hostile(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uint8_t *fpu = (uint8_t *)uc->uc_mcontext.fpregs;

    (void)signo;
    (void)info;
    switch (hostile) {
    case 0:
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)NONCANONICAL;
        break;
    case 1:
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)0xffffffff80000000ull;
        break;
    case 2:
        uc->uc_mcontext.gregs[REG_CSGSFS] = 0x10; /* the kernel's cs */
        break;
    case 3:
        uc->uc_mcontext.gregs[REG_CSGSFS] = 0;
        break;
    case 4:
        uc->uc_mcontext.gregs[REG_CSGSFS] |= (greg_t)(0xabcull << 48); /* ss */
        break;
    case 5:
        uc->uc_mcontext.fpregs = (void *)NONCANONICAL;
        break;
    case 6:
        uc->uc_mcontext.fpregs = (void *)8;
        break;
    case 7:
        uc->uc_mcontext.fpregs->mxcsr = 0xffffffff;
        break;
    case 8:
        memset(fpu + 512, 0xff, 64); /* XSAVE header */
        break;
    case 9:
        memset(fpu + 464, 0xff, 48); /* the frame's own marks */
        break;
    case 10:
        uc->uc_mcontext.gregs[REG_EFL] = -1; /* IOPL, NT, VM ... */
        break;
    case 11:
        uc->uc_mcontext.gregs[REG_RSP] = (greg_t)NONCANONICAL;
        break;
    default:
        uc->uc_mcontext.fpregs = NULL;
        break;
    }
}

ABI_TEST(cpu, hostile_signal_frames_harm_nobody_else)
{
    for (hostile = 0; hostile < 13; hostile++) {
        int status = IN_CHILD({
            catch (SIGUSR1, on_hostile);
            raise(SIGUSR1);
            uint64_t flags;
            __asm__ volatile("pushfq\n\tpopq %0\n\tcld" : "=r"(flags));
            _exit((flags & 0x3000) == 0 ? 0 : 2); /* never an I/O privilege */
        });
        bool lived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        bool killed =
            WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGTRAP ||
                                    WTERMSIG(status) == SIGBUS);
        if (!lived && !killed) {
            abi_fail(__FILE__, __LINE__, "hostile frame %d: status %#x", hostile, status);
        }
        if (hostile < 4 && lived) {
            abi_fail(__FILE__, __LINE__, "hostile frame %d was obeyed", hostile);
        }
    }
    /* rt_sigreturn without any frame */
    int status = IN_CHILD(__asm__ volatile("movq %0, %%rsp\n\tmovl $15, %%eax\n\tsyscall\n\tud2"
                                           :
                                           : "r"(16ull)
                                           : "rax", "memory"));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

ABI_TEST(cpu, red_zone_survives_a_signal)
{
    uint64_t out = 0;

    catch (SIGUSR1, on_fault);
    skip = 0;
    __asm__ volatile("subq $256, %%rsp\n\tmovq $0x5a5a, -128(%%rsp)\n\tmovq $0x4b4b, -8(%%rsp)\n\t"
                     "movl $62, %%eax\n\tmovl $10, %%esi\n\tsyscall\n\t"
                     "movq -128(%%rsp), %[out]\n\taddq -8(%%rsp), %[out]\n\taddq $256, %%rsp"
                     : [out] "=&r"(out)
                     : "D"(getpid())
                     : "rax", "rsi", "rcx", "r11", "cc", "memory");
    CHECK_EQ(out, 0x5a5a + 0x4b4b);
}

ABI_TEST(cpu, alternate_stack_that_is_too_small_kills)
{
    int status = IN_CHILD({
        static char small[4096];
        stack_t ss = {.ss_sp = small, .ss_size = 2048};
        struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        (void)sigaltstack(&ss, NULL);
        ss.ss_size = 512;
        if (sigaltstack(&ss, NULL) == 0) {
            _exit(3);
        }
        sigaction(SIGUSR1, &sa, NULL);
        raise(SIGUSR1);
    });
    /* 2048 bytes are enough for a frame with SSE and AVX, not for one with AVX-512. */
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
          (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
}

/* ---- vector registers ---- */

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
        children[c] = fork();
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

/* ---- segment bases ---- */

ABI_TEST(cpu, segment_bases_are_each_process_own)
{
    uint64_t value = 0;
    static uint64_t cell = 0x77;

    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, &cell), 0);
    __asm__ volatile("movq %%gs:0, %0" : "=r"(value));
    CHECK_EQ(value, 0x77);
    CHECK_ERR(syscall(SYS_arch_prctl, ARCH_SET_GS, NONCANONICAL), EPERM);
    CHECK_ERR(syscall(SYS_arch_prctl, ARCH_SET_GS, 0xffffffff80000000ull), EPERM);
    CHECK_ERR(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
    CHECK_ERR(syscall(SYS_arch_prctl, ARCH_GET_FS, 16), EFAULT);
    int status = IN_CHILD({
        static uint64_t other = 0x88;
        __asm__ volatile("movq %%gs:0, %0" : "=r"(value));
        bool inherited = value == 0x77;
        (void)syscall(SYS_arch_prctl, ARCH_SET_GS, &other);
        sched_yield();
        __asm__ volatile("movq %%gs:0, %0" : "=r"(value));
        _exit(inherited && value == 0x88 ? 0 : 1);
    });
    CHECK_EQ(status, 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &value), 0);
    CHECK_EQ(value, (uint64_t)&cell);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &value), 0);
    uint64_t self;
    __asm__ volatile("movq %%fs:0, %0" : "=r"(self));
    CHECK_EQ(self, value); /* the thread pointer points at itself (psABI, 3.4.6) */
}

ABI_TEST(cpu, fsgsbase_instructions_when_the_auxv_says_so)
{
    static uint64_t cell = 0x99;
    uint64_t base = 0, value = 0;

    if ((getauxval(AT_HWCAP2) & 2) == 0) {
        return;
    }
    __asm__ volatile("wrgsbase %0" : : "r"(&cell));
    sched_yield();
    abi_sleep_ms(2);
    __asm__ volatile("rdgsbase %0\n\tmovq %%gs:0, %1" : "=r"(base), "=r"(value));
    CHECK_EQ(base, (uint64_t)&cell);
    CHECK_EQ(value, 0x99);
    /* Any canonical value is the program's own business, also one of the kernel half. */
    __asm__ volatile("wrgsbase %0" : : "r"(0xffffffff81234000ull));
    CHECK_EQ(getpid(), (pid_t)syscall(SYS_getpid));
    abi_sleep_ms(2);
    __asm__ volatile("rdgsbase %0" : "=r"(base));
    CHECK_EQ(base, 0xffffffff81234000ull);
    int status = IN_CHILD(__asm__ volatile("movq %%gs:0, %0" : "=r"(value)));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    catch (SIGUSR1, on_fault);
    skip = 0;
    CHECK_EQ(raise(SIGUSR1), 0);
}

/* ---- vDSO ---- */

typedef int clock_fn(int, struct timespec *);
typedef long getcpu_fn(unsigned *, unsigned *, void *);

/* The address of a function in the vDSO, by its dynamic symbols. */
static void *vdso_find(const char *name)
{
    const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)image;
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *hash = NULL;

    CHECK(image != NULL && memcmp(image, ELFMAG, SELFMAG) == 0);
    const Elf64_Phdr *phdr = (const Elf64_Phdr *)(image + ehdr->e_phoff);
    for (int i = 0; i < ehdr->e_phnum; i++) {
        const Elf64_Dyn *dynamic = (const Elf64_Dyn *)(image + phdr[i].p_offset);
        for (; phdr[i].p_type == PT_DYNAMIC && dynamic->d_tag != DT_NULL; dynamic++) {
            const char *at = image + dynamic->d_un.d_ptr;
            symbols = dynamic->d_tag == DT_SYMTAB ? (const Elf64_Sym *)at : symbols;
            strings = dynamic->d_tag == DT_STRTAB ? at : strings;
            hash = dynamic->d_tag == DT_HASH ? (const uint32_t *)at : hash;
        }
    }
    CHECK(symbols != NULL && strings != NULL);
    for (uint32_t i = 1; i < (hash != NULL ? hash[1] : 32); i++) {
        if (strcmp(strings + symbols[i].st_name, name) == 0) {
            return (void *)(image + symbols[i].st_value);
        }
    }
    return NULL;
}

ABI_TEST(vdso, clocks_agree_with_the_system_call)
{
    static const int clocks[] = {
        CLOCK_REALTIME,        CLOCK_MONOTONIC,        CLOCK_BOOTTIME,          CLOCK_MONOTONIC_RAW,
        CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID};
    clock_fn *read = (clock_fn *)vdso_find("__vdso_clock_gettime");
    clock_fn *resolution = (clock_fn *)vdso_find("__vdso_clock_getres");

    CHECK(read != NULL && resolution != NULL);
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct timespec a, b, c;
        CHECK_EQ(syscall(SYS_clock_gettime, clocks[i], &a), 0);
        CHECK_EQ(read(clocks[i], &b), 0);
        CHECK_EQ(syscall(SYS_clock_gettime, clocks[i], &c), 0);
        int64_t na = a.tv_sec * 1000000000ll + a.tv_nsec, nb = b.tv_sec * 1000000000ll + b.tv_nsec;
        int64_t nc = c.tv_sec * 1000000000ll + c.tv_nsec;
        CHECK(na <= nb);
        CHECK(nb <= nc);
        CHECK_EQ(resolution(clocks[i], &a), 0);
        CHECK_EQ(syscall(SYS_clock_getres, clocks[i], &b), 0);
        CHECK_EQ(a.tv_nsec, b.tv_nsec);
    }
    CHECK_EQ(read(99, &(struct timespec){0}), -EINVAL);
}

ABI_TEST(vdso, never_goes_backwards)
{
    clock_fn *read = (clock_fn *)vdso_find("__vdso_clock_gettime");
    struct timespec last = {0}, now;

    for (int i = 0; i < 200000; i++) {
        CHECK_EQ(read(CLOCK_MONOTONIC, &now), 0);
        CHECK(now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
        CHECK(now.tv_sec > last.tv_sec ||
              (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec));
        last = now;
    }
}

ABI_TEST(vdso, other_functions_work)
{
    getcpu_fn *cpu = (getcpu_fn *)vdso_find("__vdso_getcpu");
    time_t (*seconds)(time_t *) = (time_t(*)(time_t *))vdso_find("__vdso_time");
    int (*day)(struct timeval *, void *) =
        (int (*)(struct timeval *, void *))vdso_find("__vdso_gettimeofday");
    unsigned id = 999, node = 999;
    struct timeval tv;

    CHECK(cpu != NULL && seconds != NULL && day != NULL);
    CHECK_EQ(cpu(&id, &node, NULL), 0);
    CHECK(id < 256 && node < 64);
    CHECK_EQ(cpu(NULL, NULL, NULL), 0);
    time_t now = time(NULL), stored = 0;
    CHECK(llabs((long long)(seconds(&stored) - now)) <= 1);
    CHECK(llabs((long long)(stored - now)) <= 1);
    CHECK_EQ(day(&tv, NULL), 0);
    CHECK(llabs((long long)(tv.tv_sec - now)) <= 1);
    CHECK(tv.tv_usec >= 0 && tv.tv_usec < 1000000);
}

struct sched_attr_ {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

ABI_TEST(sched, attributes_are_told_and_set)
{
    struct sched_attr_ attr = {.size = sizeof(attr), .nice = 7};
    struct timespec ts;

    CHECK_EQ(syscall(SYS_sched_setattr, 0, &attr, 0), 0);
    memset(&attr, 0xff, sizeof(attr));
    CHECK_EQ(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), 0);
    CHECK_EQ(attr.size, sizeof(attr));
    CHECK_EQ(attr.policy, 0);
    CHECK_EQ(attr.nice, 7);
    CHECK_EQ(attr.priority, 0);
    CHECK_EQ(syscall(SYS_sched_getattr, 0, &attr, 48, 0), 0);
    CHECK_EQ(attr.size, 48);
    CHECK_ERR(syscall(SYS_sched_getattr, 0, &attr, 47, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, 999999, &attr, 48, 0), ESRCH);
    attr.size = 40;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, &attr, 0), E2BIG);
    attr.size = 48;
    attr.priority = 1;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, &attr, 0), EINVAL);
    CHECK_EQ(syscall(SYS_sched_rr_get_interval, 0, &ts), 0);
    CHECK(ts.tv_sec == 0 && ts.tv_nsec >= 0);
    CHECK_ERR(syscall(SYS_sched_rr_get_interval, -1, &ts), EINVAL);
}
