/* Debuggers' tools (ptrace(2)): registers with FPU state, single steps, debug registers, SIGTRAP's codes, and hostile values. */
#include "trace.h"

#include <elf.h>
#include <sys/uio.h>

static volatile long watched[4];

static uint64_t debug_get(pid_t pid, unsigned n)
{
    uint64_t value = 0;

    CHECK_EQ(TRACE(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg) + 8 * n, &value), 0);
    return value;
}

static long debug_set(pid_t pid, unsigned n, uint64_t value)
{
    return TRACE(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + 8 * n, value);
}

static siginfo_t info_of(pid_t pid)
{
    siginfo_t info;

    CHECK_EQ(TRACE(PTRACE_GETSIGINFO, pid, 0, &info), 0);
    return info;
}

/* Run to the INT3 at which the child waits. */
static void to_breakpoint(pid_t pid)
{
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGTRAP));
    CHECK_EQ(info_of(pid).si_code, SI_KERNEL);
}

#define BREAKPOINT __asm__ volatile("int3" ::: "memory")

/* ---- register sets ---- */

ABI_TEST(steps, register_sets_are_vectors_of_any_length)
{
    pid_t pid = TRACED_CHILD({});
    struct user_regs_struct regs, again;
    struct iovec vec = {&again, sizeof(again) + 64};

    regs = trace_regs(pid);
    memset(&again, 0, sizeof(again));
    CHECK_EQ(TRACE(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vec), 0);
    CHECK_EQ(vec.iov_len, sizeof(regs));
    CHECK_EQ(memcmp(&regs, &again, sizeof(regs)), 0);
    vec.iov_len = 16;
    memset(&again, 0, sizeof(again));
    CHECK_EQ(TRACE(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vec), 0);
    CHECK_EQ(vec.iov_len, 16);
    CHECK_EQ(again.r14, regs.r14);
    CHECK_EQ(again.r13, 0);
    vec.iov_len = 12;
    CHECK_ERR(TRACE(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vec), EINVAL);
    CHECK_ERR(TRACE(PTRACE_GETREGSET, pid, 0x999, &vec), EINVAL);
    CHECK_ERR(TRACE(PTRACE_GETREGSET, pid, NT_PRSTATUS, 16), EFAULT);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, fpu_state_is_read_and_written)
{
    static double result;
    pid_t pid = TRACED_CHILD({
        double value = 1.5;
        __asm__ volatile("movsd %1, %%xmm7\n\tint3\n\tmovsd %%xmm7, %0"
                         : "=m"(result)
                         : "m"(value)
                         : "xmm7");
        _exit(result == 2.5 ? 0 : 1);
    });
    struct user_fpregs_struct fp;
    double value;

    to_breakpoint(pid);
    CHECK_EQ(TRACE(PTRACE_GETFPREGS, pid, 0, &fp), 0);
    memcpy(&value, (uint8_t *)fp.xmm_space + 7 * 16, 8);
    CHECK(value == 1.5);
    CHECK_EQ(fp.cwd, 0x37f);
    CHECK_EQ(fp.mxcsr, 0x1f80);
    value = 2.5;
    memcpy((uint8_t *)fp.xmm_space + 7 * 16, &value, 8);
    CHECK_EQ(TRACE(PTRACE_SETFPREGS, pid, 0, &fp), 0);
    fp.mxcsr |= 0x80000000;
    CHECK_ERR(TRACE(PTRACE_SETFPREGS, pid, 0, &fp), EINVAL);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, the_whole_fpu_state_goes_in_and_out_and_bad_ones_are_refused)
{
    static uint8_t area[16384] __attribute__((aligned(64))), again[16384];
    pid_t pid = TRACED_CHILD({});
    struct iovec vec = {area, sizeof(area)};

    if (TRACE(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &vec) == 0) {
        size_t size = vec.iov_len;
        uint64_t bad = ~0ull;
        CHECK(size >= 576);
        CHECK(area[464] & 1); /* XCR0 */
        area[160] = 0x5a;     /* XMM0 */
        area[512] |= 2;
        CHECK_EQ(TRACE(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vec), 0);
        vec.iov_base = again;
        CHECK_EQ(TRACE(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &vec), 0);
        CHECK_EQ(memcmp(area, again, 576), 0);
        vec.iov_len = size - 8;
        CHECK_ERR(TRACE(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vec), EFAULT);
        vec.iov_len = size;
        memcpy(again + 512, &bad, 8); /* components that there are not */
        CHECK_ERR(TRACE(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vec), EINVAL);
        memcpy(again, area, sizeof(area));
        memcpy(again + 528, &bad, 8); /* reserved */
        CHECK_ERR(TRACE(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vec), EINVAL);
    } else {
        CHECK_EQ(errno, EINVAL); /* a CPU without XSAVE */
    }
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, struct_user_is_peeked_and_poked_by_words)
{
    pid_t pid = TRACED_CHILD({});
    uint64_t value = 0;

    CHECK_EQ(TRACE(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), &value), 0);
    CHECK_EQ(value, trace_regs(pid).rip);
    CHECK_EQ(TRACE(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, r15), 99), 0);
    CHECK_EQ(trace_regs(pid).r15, 99);
    CHECK_ERR(TRACE(PTRACE_PEEKUSER, pid, 4, &value), EIO);
    CHECK_ERR(TRACE(PTRACE_PEEKUSER, pid, 928, &value), EIO);
    CHECK_ERR(TRACE(PTRACE_PEEKUSER, pid, -8, &value), EIO);
    CHECK_ERR(TRACE(PTRACE_POKEUSER, pid, offsetof(struct user, u_tsize), 1), EIO);
    CHECK_ERR(TRACE(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, cs), 0x10), EIO);
    CHECK_ERR(TRACE(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, ss), 0), EIO);
    CHECK_ERR(TRACE(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, ds), 0x18), EIO);
    CHECK_ERR(TRACE(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, fs_base), 1ull << 63),
              EIO);
    CHECK_EQ(TRACE(PTRACE_KILL, pid, 0, 0), 0);
    CHECK_EQ(trace_wait(pid), SIGKILL);
}

ABI_TEST(steps, thread_areas_are_read_and_set_by_arch_prctl)
{
    pid_t pid = TRACED_CHILD({});
    uint64_t base = 0;

    CHECK_EQ(TRACE(PTRACE_ARCH_PRCTL, pid, &base, 0x1003 /* ARCH_GET_FS */), 0);
    CHECK_EQ(base, trace_regs(pid).fs_base);
    CHECK_EQ(TRACE(PTRACE_ARCH_PRCTL, pid, 0x1000, 0x1001 /* ARCH_SET_GS */), 0);
    CHECK_EQ(trace_regs(pid).gs_base, 0x1000);
    CHECK_ERR(TRACE(PTRACE_ARCH_PRCTL, pid, 1ull << 63, 0x1001), EPERM);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, hostile_registers_harm_the_tracee_alone)
{
    static const uint64_t rips[] = {0, 0x8000000000000000ull, 0x0000800000000000ull,
                                    0x00007ffffffff000ull, ~0ull};
    for (unsigned i = 0; i < sizeof(rips) / sizeof(rips[0]); i++) {
        pid_t pid = TRACED_CHILD(pause());
        struct user_regs_struct regs = trace_regs(pid);

        regs.rip = rips[i];
        regs.rsp = rips[sizeof(rips) / sizeof(rips[0]) - 1 - i];
        regs.eflags = ~0ull;
        regs.orig_rax = -1;
        trace_set_regs(pid, &regs);
        regs = trace_regs(pid);
        CHECK_EQ(regs.eflags & 0x3200, 0x200); /* IF stays, IOPL does not come */
        regs.eflags &= ~0x100ull;
        trace_set_regs(pid, &regs);
        int status = trace_go(PTRACE_CONT, pid, 0);
        CHECK(status == STOPPED(SIGSEGV) || status == STOPPED(SIGBUS));
        CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGKILL), SIGKILL);
    }
}

/* ---- single steps ---- */

ABI_TEST(steps, one_instruction_at_a_time_with_trap_trace)
{
    pid_t pid = TRACED_CHILD({ __asm__ volatile("int3\n\tnop\n\tnop\n\tnop"); });

    to_breakpoint(pid);
    uint64_t rip = trace_regs(pid).rip;
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, 0), STOPPED(SIGTRAP));
        struct user_regs_struct regs = trace_regs(pid);
        CHECK_EQ(regs.rip, rip + (uint64_t)i);
        CHECK_EQ(regs.eflags & 0x100, 0); /* the debugger's flag does not show */
        siginfo_t info = info_of(pid);
        CHECK_EQ(info.si_code, 2 /* TRAP_TRACE */);
        CHECK_EQ((uint64_t)info.si_addr, regs.rip);
    }
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, a_step_over_a_call_of_the_system_ends_behind_it)
{
    pid_t pid = TRACED_CHILD({
        long result;
        __asm__ volatile("int3\n\tsyscall\n\tnop"
                         : "=a"(result)
                         : "0"(SYS_getppid)
                         : "rcx", "r11", "memory");
    });

    to_breakpoint(pid);
    uint64_t rip = trace_regs(pid).rip;
    CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, 0), STOPPED(SIGTRAP));
    CHECK_EQ(trace_regs(pid).rip, rip + 2);
    CHECK_EQ(trace_regs(pid).rax, getpid());
    CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, 0), STOPPED(SIGTRAP));
    CHECK_EQ(trace_regs(pid).rip, rip + 3);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, pushf_and_popf_are_stepped_over)
{
    pid_t pid = TRACED_CHILD({
        uint64_t flags;
        __asm__ volatile("pushfq\n\tint3\n\tpopfq\n\tnop\n\tpushfq\n\tpopq %0"
                         : "=r"(flags)::"memory", "cc");
        _exit((flags & 0x100) == 0 ? 0 : 1);
    });

    to_breakpoint(pid);
    uint64_t rip = trace_regs(pid).rip;
    CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, 0), STOPPED(SIGTRAP));
    CHECK_EQ(trace_regs(pid).rip, rip + 1);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, repeated_string_instructions_step_by_rounds)
{
    pid_t pid = TRACED_CHILD({
        static char from[4], to[4];
        void *si = from, *di = to;
        long count = 3;
        __asm__ volatile("int3\n\trep movsb\n\tnop" : "+S"(si), "+D"(di), "+c"(count)::"memory");
    });

    to_breakpoint(pid);
    uint64_t rip = trace_regs(pid).rip;
    for (int left = 2; left >= 0; left--) {
        CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, 0), STOPPED(SIGTRAP));
        CHECK_EQ(trace_regs(pid).rcx, left);
    }
    CHECK(trace_regs(pid).rip == rip || trace_regs(pid).rip == rip + 2);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

static volatile int handled;

static void handler(int signo)
{
    handled = signo;
}

ABI_TEST(steps, a_step_with_a_signal_stops_at_the_handlers_first_instruction)
{
    signal(SIGUSR1, handler);
    pid_t pid = TRACED_CHILD({
        raise(SIGUSR1);
        _exit(handled == SIGUSR1 ? 0 : 1);
    });

    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1));
    CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, SIGUSR1), STOPPED(SIGTRAP));
    CHECK_EQ(trace_regs(pid).rip, (uint64_t)handler);
    CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, 0), STOPPED(SIGTRAP));
    CHECK(trace_regs(pid).rip != (uint64_t)handler);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, a_handlers_return_is_stepped_through)
{
    signal(SIGUSR1, handler);
    pid_t pid = TRACED_CHILD({
        raise(SIGUSR1);
        _exit(handled == SIGUSR1 ? 0 : 1);
    });
    int steps = 0;

    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1));
    uint64_t sp = trace_regs(pid).rsp;
    CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, SIGUSR1), STOPPED(SIGTRAP));
    while (trace_regs(pid).rsp < sp && ++steps < 1000) {
        CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, 0), STOPPED(SIGTRAP));
    }
    CHECK(steps > 3 && steps < 1000);
    CHECK_EQ(trace_regs(pid).rsp, sp);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

/* ---- debug registers ---- */

ABI_TEST(steps, debug_registers_are_read_back_and_bad_ones_refused)
{
    pid_t pid = TRACED_CHILD({});

    CHECK_EQ(debug_get(pid, 0), 0);
    CHECK_EQ(debug_get(pid, 6), 0xffff0ff0);
    CHECK_EQ(debug_get(pid, 7), 0);
    CHECK_EQ(debug_set(pid, 1, (uint64_t)&watched[1]), 0);
    CHECK_EQ(debug_set(pid, 7, 0xd00004), 0);
    CHECK_EQ(debug_get(pid, 1), (uint64_t)&watched[1]);
    CHECK_EQ(debug_get(pid, 7), 0xd00004);
    CHECK_ERR(debug_set(pid, 4, 1), EIO);
    CHECK_ERR(debug_set(pid, 7, 0x20001), EINVAL); /* I/O */
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, a_watchpoint_stops_behind_the_write)
{
    pid_t pid = TRACED_CHILD({
        watched[0] = 1;
        watched[1] = 2;
        watched[2] = 3;
        watched[1] = 4;
    });
    long value = 0;

    CHECK_EQ(debug_set(pid, 0, (uint64_t)&watched[1]), 0);
    CHECK_EQ(debug_set(pid, 7, 0x90001), 0); /* writes of 8 bytes */
    for (long expected = 2; expected <= 4; expected += 2) {
        CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGTRAP));
        CHECK_EQ(info_of(pid).si_code, 4 /* TRAP_HWBKPT */);
        CHECK_EQ(debug_get(pid, 6) & 0xf, 1);
        CHECK_EQ(TRACE(PTRACE_PEEKDATA, pid, &watched[1], &value), 0);
        CHECK_EQ(value, expected);
    }
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

static int __attribute__((noinline)) called(int a)
{
    __asm__ volatile("" ::: "memory");
    return a + 1;
}

ABI_TEST(steps, a_breakpoint_in_hardware_stops_before_the_instruction_each_time)
{
    pid_t pid = TRACED_CHILD({
        for (int i = 0; i < 3; i++) {
            (void)called(i);
        }
    });

    CHECK_EQ(debug_set(pid, 3, (uint64_t)called), 0);
    CHECK_EQ(debug_set(pid, 7, 0x40), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGTRAP));
        CHECK_EQ(trace_regs(pid).rip, (uint64_t)called);
        CHECK_EQ(trace_regs(pid).rdi, i);
        CHECK_EQ(debug_get(pid, 6) & 0xf, 8);
    }
    CHECK_EQ(debug_set(pid, 7, 0), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, watchpoints_are_of_one_thread_and_not_inherited)
{
    pid_t pid = TRACED_CHILD({
        int status = IN_CHILD({
            for (int i = 0; i < 1000; i++) {
                watched[1] = i;
            }
        });
        watched[0] = status;
        watched[1] = 7;
    });

    CHECK_EQ(debug_set(pid, 0, (uint64_t)&watched[1]), 0);
    CHECK_EQ(debug_set(pid, 7, 0x90001), 0);
    for (int i = 0; i < 1000; i++) {
        watched[1] = i; /* nor ours: the address is the same */
    }
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGCHLD));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGTRAP));
    long value;
    CHECK_EQ(TRACE(PTRACE_PEEKDATA, pid, &watched[1], &value), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, what_the_kernel_writes_to_watched_memory_arrives)
{
    pid_t pid = TRACED_CHILD({
        int fds[2];
        CHECK_EQ(pipe(fds), 0);
        long value = 12345;
        CHECK_EQ(write(fds[1], &value, sizeof(value)), (ssize_t)sizeof(value));
        CHECK_EQ(read(fds[0], (void *)&watched[1], sizeof(value)), (ssize_t)sizeof(value));
        _exit(watched[1] == 12345 ? 0 : 1);
    });

    CHECK_EQ(debug_set(pid, 0, (uint64_t)&watched[1]), 0);
    CHECK_EQ(debug_set(pid, 7, 0x90001), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(steps, a_watched_stack_segment_load_before_a_system_call_is_survived)
{
    /* MOV SS puts the watchpoint's exception off until behind SYSCALL, in the kernel. */
    pid_t pid = TRACED_CHILD({
        long result;
        watched[2] = 0x2b;
        for (int i = 0; i < 100; i++) {
            __asm__ volatile("movw (%1), %%ss\n\tsyscall"
                             : "=a"(result)
                             : "r"(&watched[2]), "0"(SYS_getppid)
                             : "rcx", "r11", "memory");
        }
        _exit(result == getppid() ? 0 : 1);
    });

    CHECK_EQ(debug_set(pid, 0, (uint64_t)&watched[2]), 0);
    CHECK_EQ(debug_set(pid, 7, 0xb0001), 0); /* reads and writes */
    int status = trace_go(PTRACE_CONT, pid, 0);
    CHECK_EQ(status, STOPPED(SIGTRAP)); /* watched[2] = */
    while (status == STOPPED(SIGTRAP)) {
        status = trace_go(PTRACE_CONT, pid, 0);
    }
    CHECK_EQ(status, 0);
}

/* ---- execve ---- */

ABI_TEST(steps, execve_forgets_steps_and_watchpoints)
{
    pid_t pid = TRACED_CHILD({
        char *argv[] = {"/proc/self/exe", "no_such_test", NULL};
        execv("/proc/self/exe", argv);
    });

    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC), 0);
    CHECK_EQ(debug_set(pid, 0, (uint64_t)&watched[1]), 0);
    CHECK_EQ(debug_set(pid, 7, 0x90001), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_EXEC));
    CHECK_EQ(debug_get(pid, 7), 0);
    uint64_t rip = trace_regs(pid).rip;
    CHECK_EQ(trace_go(PTRACE_SINGLESTEP, pid, 0), STOPPED(SIGTRAP));
    CHECK_EQ(trace_regs(pid).rip, rip);
    CHECK_EQ(TRACE(PTRACE_KILL, pid, 0, 0), 0);
    CHECK_EQ(trace_wait(pid), SIGKILL);
}
