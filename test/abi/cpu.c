/* What the CPU shows of itself: exceptions as signals, signal frames, registers across the kernel, segment bases. */
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

static void on_change_preserved(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)signo;
    (void)info;
    uc->uc_mcontext.gregs[REG_RBX] = 0x1111;
    uc->uc_mcontext.gregs[REG_R12] = 0x2222;
    uc->uc_mcontext.gregs[REG_R15] = 0x3333;
}

static void on_change(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    on_change_preserved(signo, info, context);
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

/* With rcx and r11 as the call leaves them, there is a quick way back. */
ABI_TEST(cpu, handler_may_change_what_calls_preserve)
{
    uint64_t out[3] = {0};

    catch (SIGUSR1, on_change_preserved);
    __asm__ volatile("movl $62, %%eax\n\tmovl $10, %%esi\n\tsyscall\n\t"
                     "movq %%rbx, 0(%[out])\n\tmovq %%r12, 8(%[out])\n\tmovq %%r15, 16(%[out])"
                     :
                     : [out] "r"(out), "D"(getpid())
                     : "rax", "rbx", "rcx", "rsi", "r11", "r12", "r15", "cc", "memory");
    CHECK_EQ(out[0], 0x1111);
    CHECK_EQ(out[1], 0x2222);
    CHECK_EQ(out[2], 0x3333);
}

static struct float_modes {
    uint32_t mxcsr;
    uint16_t control, status;
} in_handler;

static void modes_get(struct float_modes *modes)
{
    __asm__ volatile("stmxcsr %0" : "=m"(modes->mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(modes->control));
    __asm__ volatile("fnstsw %0" : "=m"(modes->status));
}

static void on_modes(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)info;
    (void)context;
    modes_get(&in_handler);
}

ABI_TEST(cpu, handler_starts_with_initial_floating_point_state)
{
    struct float_modes modes = {.mxcsr = 0xff80,
                                .control = 0x027b}; /* flush to zero, truncate; #Z unmasked */

    catch (SIGUSR1, on_modes);
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(modes.mxcsr), "m"(modes.control));
    __asm__ volatile("fld1\n\tfldz\n\tfdivrp" ::
                         : "st", "st(1)"); /* told at the next instruction that looks */
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    modes_get(&modes);
    __asm__ volatile("fninit");
    CHECK_EQ(in_handler.mxcsr, 0x1f80);
    CHECK_EQ(in_handler.control, 0x037f);
    CHECK_EQ(in_handler.status, 0);
    CHECK_EQ(modes.mxcsr, 0xff80);
    CHECK_EQ(modes.control, 0x027b);
    CHECK_EQ(modes.status & 0x84, 0x84); /* #Z, and that it is to be told */
}

static long fault_code;

static void on_kernel_address(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)signo;
    (void)info;
    fault_code = uc->uc_mcontext.gregs[REG_ERR];
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* movb (%rax), %al */
}

ABI_TEST(cpu, faults_do_not_tell_what_the_kernel_has_where)
{
    catch (SIGSEGV, on_kernel_address);
    for (uint64_t addr = 0xffff800000000000; addr != 0; addr += 1ull << 41) {
        fault_code = 0;
        __asm__ volatile("movb (%%rax), %%al" : : "a"(addr) : "memory");
        CHECK_EQ(fault_code, 5); /* user mode, not allowed */
    }
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
