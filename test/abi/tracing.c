/* ptrace(2): what its requests refuse, sizes that are told, and what is known of a tracee's registered areas; how calls are numbered. */
#include "trace.h"

#include <sys/prctl.h>
#include <sys/time.h>

struct peek_args {
    uint64_t off;
    uint32_t flags;
    int32_t nr;
};

struct rseq_configuration {
    uint64_t pointer;
    uint32_t size, signature, flags, pad;
};

ABI_TEST(tracing, requests_check_what_they_get)
{
    pid_t pid = TRACED_CHILD(pause());
    uint64_t mask = 0;
    siginfo_t infos[2];
    struct peek_args peek = {.nr = 2};

    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 65), EIO);
    CHECK_ERR(TRACE(PTRACE_SYSCALL, pid, 0, -1), EIO);
    CHECK_ERR(TRACE(PTRACE_DETACH, pid, 0, 65), EIO);
    CHECK_ERR(TRACE(PTRACE_SETOPTIONS, pid, 0, 1u << 25), EINVAL);
    CHECK_ERR(TRACE(PTRACE_SETOPTIONS, pid, 0, 0x100), EINVAL);
    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, 0xff | PTRACE_O_EXITKILL), 0);
    CHECK_ERR(TRACE(PTRACE_GETSIGMASK, pid, 4, &mask), EINVAL);
    CHECK_ERR(TRACE(PTRACE_SETSIGMASK, pid, 16, &mask), EINVAL);
    CHECK_ERR(TRACE(PTRACE_GETSIGMASK, pid, 8, 8), EFAULT);
    CHECK_EQ(TRACE(PTRACE_GETSIGMASK, pid, 8, &mask), 0);
    CHECK_EQ(TRACE(PTRACE_PEEKSIGINFO, pid, &peek, infos), 0); /* none is pending */
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    peek.flags = PTRACE_PEEKSIGINFO_SHARED;
    CHECK_EQ(TRACE(PTRACE_PEEKSIGINFO, pid, &peek, infos), 1);
    CHECK_EQ(infos[0].si_signo, SIGUSR1);
    peek.off = 1;
    CHECK_EQ(TRACE(PTRACE_PEEKSIGINFO, pid, &peek, infos), 0);
    peek.flags = 2;
    CHECK_ERR(TRACE(PTRACE_PEEKSIGINFO, pid, &peek, infos), EINVAL);
    peek = (struct peek_args){.nr = -1};
    CHECK_ERR(TRACE(PTRACE_PEEKSIGINFO, pid, &peek, infos), EINVAL);
    CHECK_ERR(TRACE(PTRACE_PEEKSIGINFO, pid, 8, infos), EFAULT);
    CHECK_ERR(TRACE(PTRACE_GETREGS, pid, 0, 8), EFAULT);
    CHECK_ERR(TRACE(PTRACE_PEEKTEXT, pid, 8, &mask), EIO);
    CHECK_ERR(TRACE(PTRACE_POKETEXT, pid, 8, 1), EIO);
    CHECK_ERR(TRACE(PTRACE_PEEKUSER, pid, 3, &mask), EIO);
    CHECK_ERR(TRACE(PTRACE_PEEKUSER, pid, 1 << 20, &mask), EIO);
    CHECK_ERR(TRACE(PTRACE_LISTEN, pid, 0, 0), EIO);    /* it was not seized */
    CHECK_ERR(TRACE(PTRACE_INTERRUPT, pid, 0, 0), EIO); /* likewise */
    CHECK_ERR(TRACE(12345, pid, 0, 0), EIO);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    (void)trace_wait(pid);
}

ABI_TEST(tracing, whom_one_may_not_have)
{
    pid_t pid = TRACED_CHILD(pause());

    CHECK_ERR(TRACE(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
    CHECK_ERR(TRACE(PTRACE_SEIZE, getpid(), 0, 0), EPERM);
    CHECK_ERR(TRACE(PTRACE_ATTACH, pid, 0, 0), EPERM); /* it is ours */
    CHECK_ERR(TRACE(PTRACE_ATTACH, 999999, 0, 0), ESRCH);
    CHECK_ERR(TRACE(PTRACE_SEIZE, pid, 1, 0), EIO);
    CHECK_ERR(TRACE(PTRACE_SEIZE, pid, 0, 1u << 25), EIO);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(TRACE(PTRACE_TRACEME, 0, 0, 0), 0);
                 CHECK_ERR(TRACE(PTRACE_TRACEME, 0, 0, 0), EPERM);
                 CHECK_ERR(TRACE(PTRACE_CONT, getppid(), 0, 0), ESRCH); /* not our tracee */
             }),
             0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    (void)trace_wait(pid);
}

ABI_TEST(tracing, a_seized_one_stops_on_demand_and_listens_in_group_stops_alone)
{
    pid_t pid = abi_fork();
    siginfo_t info;

    if (pid == 0) {
        CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
        for (;;) {
            pause();
        }
    }
    CHECK_EQ(TRACE(PTRACE_SEIZE, pid, 0, 0), 0);
    CHECK_EQ(TRACE(PTRACE_INTERRUPT, pid, 0, 0), 0);
    CHECK_EQ(trace_wait(pid), PTRACE_EVENT_STOP << 16 | STOPPED(SIGTRAP));
    CHECK_EQ(TRACE(PTRACE_GETSIGINFO, pid, 0, &info), 0);
    CHECK_EQ(info.si_code, PTRACE_EVENT_STOP << 8 | SIGTRAP);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGSTOP));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGSTOP), PTRACE_EVENT_STOP << 16 | STOPPED(SIGSTOP));
    CHECK_EQ(TRACE(PTRACE_LISTEN, pid, 0, 0), 0);
    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 0), ESRCH); /* it listens, and is not to be told */
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(trace_wait(pid), PTRACE_EVENT_STOP << 16 | STOPPED(SIGTRAP));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGCONT));
    CHECK_EQ(TRACE(PTRACE_DETACH, pid, 0, 0), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    (void)trace_wait(pid);
}

static struct {
    uint32_t words[8];
} area __attribute__((aligned(32)));

ABI_TEST(tracing, the_area_of_restartable_sequences_is_told)
{
    pid_t pid = TRACED_CHILD({
        CHECK_EQ(syscall(SYS_rseq, &area, 32, 0, 0x53053053), 0);
        raise(SIGSTOP);
    });
    struct rseq_configuration conf = {.pad = 77};

    CHECK_ERR(TRACE(0x420f, pid, sizeof(conf), 8), EFAULT);
    CHECK_EQ(TRACE(0x420f, pid, 0, 8), sizeof(conf)); /* what there is */
    CHECK_EQ(TRACE(0x420f, pid, 4096, &conf), sizeof(conf));
    CHECK_EQ(conf.pointer, 0);
    CHECK_EQ(conf.pad, 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGSTOP));
    CHECK_EQ(TRACE(0x420f, pid, sizeof(conf), &conf), sizeof(conf));
    CHECK_EQ(conf.pointer, (uintptr_t)&area);
    CHECK_EQ(conf.size, 32);
    CHECK_EQ(conf.signature, 0x53053053);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    (void)trace_wait(pid);
}

ABI_TEST(tracing, as_much_of_a_call_is_told_as_there_is_room_for)
{
    pid_t pid = TRACED_CHILD({ (void)getppid(); });
    struct {
        struct __ptrace_syscall_info info;
        uint64_t more;
    } out;

    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
    CHECK_EQ(TRACE(PTRACE_GET_SYSCALL_INFO, pid, sizeof(out), &out),
             24); /* none: the common part */
    CHECK_EQ(out.info.op, PTRACE_SYSCALL_INFO_NONE);
    CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), SYSCALL_STOPPED);
    memset(&out, 0xff, sizeof(out));
    CHECK_EQ(TRACE(PTRACE_GET_SYSCALL_INFO, pid, 8, &out), 80); /* all that there is */
    CHECK_EQ(out.info.op, PTRACE_SYSCALL_INFO_ENTRY);
    CHECK_EQ(((uint8_t *)&out)[8], 0xff);
    CHECK_EQ(TRACE(PTRACE_GET_SYSCALL_INFO, pid, 0, NULL), 80);
    CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), SYSCALL_STOPPED);
    CHECK_EQ(TRACE(PTRACE_GET_SYSCALL_INFO, pid, sizeof(out), &out), 33);
    CHECK_EQ(out.info.op, PTRACE_SYSCALL_INFO_EXIT);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    (void)trace_wait(pid);
}

/* ---- numbers of calls ---- */

#define HIGH 0xffffffff00000000ull

static long call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    long result = (long)nr;

    __asm__ volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

ABI_TEST(tracing, a_call_is_numbered_by_32_bits)
{
    CHECK_EQ(call(1ull << 32 | SYS_getpid, 0, 0, 0), getpid());
    CHECK_EQ(call(HIGH | SYS_getpid, 0, 0, 0), getpid());
    CHECK_EQ(call(~0ull, 0, 0, 0), -ENOSYS);
    CHECK_EQ(call(UINT32_MAX, 0, 0, 0), -ENOSYS);
    CHECK_EQ(call(1ull << 31 | SYS_getpid, 0, 0, 0), -ENOSYS);
    CHECK_EQ(call(HIGH | 0x7fffffff, 0, 0, 0), -ENOSYS);
}

static int pipe_ends[2];

static void write_one(int signo)
{
    (void)signo;
    (void)!write(pipe_ends[1], "x", 1);
}

ABI_TEST(tracing, a_call_with_more_bits_is_restarted_all_the_same)
{
    struct sigaction sa = {.sa_handler = write_one, .sa_flags = SA_RESTART};
    struct itimerval soon = {.it_value = {0, 20000}};
    char byte = 0;

    CHECK_EQ(pipe(pipe_ends), 0);
    CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    CHECK_EQ(call(HIGH | SYS_read, (uint64_t)pipe_ends[0], (uint64_t)&byte, 1), 1);
    CHECK_EQ(byte, 'x');
}

ABI_TEST(tracing, a_tracer_sees_the_number_and_the_whole_register)
{
    struct __ptrace_syscall_info info;
    pid_t pid = TRACED_CHILD(_exit(call(7ull << 32 | SYS_lseek, -1ull, 0, 9) == -EBADF ? 0 : 1));
    struct user_regs_struct regs;

    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
    do {
        CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), SYSCALL_STOPPED);
        regs = trace_regs(pid);
    } while (regs.rdx != 9 || regs.rax != (uint64_t)-ENOSYS);
    CHECK_EQ(regs.orig_rax, 7ull << 32 | SYS_lseek);
    CHECK(TRACE(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
    CHECK_EQ(info.entry.nr, SYS_lseek);
    regs.orig_rax = UINT32_MAX; /* -1: none is made */
    regs.rax = (uint64_t)-EBADF;
    trace_set_regs(pid, &regs);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}
