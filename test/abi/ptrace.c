/* Tracing (ptrace(2)): who may, stops and what they tell, memory, signals, going on, system calls. */
#include "trace.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/uio.h>

static volatile long word = 0x1122334455667788;
static volatile int caught;

static void note(int signo)
{
    caught = signo;
}

/* ---- who may, and what is refused ---- */

ABI_TEST(ptrace, a_traced_child_stops_at_signals_and_says_so_in_proc)
{
    int tracer;
    pid_t pid = TRACED_CHILD({});

    CHECK_EQ(trace_state(pid, &tracer), 't');
    CHECK_EQ(tracer, getpid());
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(ptrace, requests_on_strangers_fail)
{
    pid_t pid = trace_idle_child();
    long value;

    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 0), ESRCH);
    CHECK_ERR(TRACE(PTRACE_PEEKDATA, pid, &word, &value), ESRCH);
    CHECK_ERR(TRACE(PTRACE_ATTACH, 0, 0, 0), ESRCH);
    CHECK_ERR(TRACE(PTRACE_ATTACH, 0x3ffffff, 0, 0), ESRCH);
    CHECK_ERR(TRACE(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
    CHECK_ERR(TRACE(PTRACE_SEIZE, pid, 1, 0), EIO);
    CHECK_ERR(TRACE(PTRACE_SEIZE, pid, 0, 0x8000), EIO);
    CHECK_EQ(TRACE(PTRACE_SEIZE, pid, 0, 0), 0);
    CHECK_ERR(TRACE(PTRACE_ATTACH, pid, 0, 0), EPERM);
    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 0), ESRCH); /* it runs */
    trace_end(pid);
}

ABI_TEST(ptrace, a_running_tracee_answers_esrch_and_odd_requests_eio)
{
    pid_t pid = TRACED_CHILD({
        for (;;) {
            pause();
        }
    });

    CHECK_ERR(TRACE(12345, pid, 0, 0), EIO);
    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 65), EIO);
    CHECK_ERR(TRACE(PTRACE_INTERRUPT, pid, 0, 0), EIO); /* not seized */
    CHECK_ERR(TRACE(PTRACE_LISTEN, pid, 0, 0), EIO);
    CHECK_ERR(TRACE(PTRACE_SETOPTIONS, pid, 0, 0x8000), EINVAL);
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 0), ESRCH);
    trace_end(pid);
}

ABI_TEST(ptrace, an_unprivileged_tracer_meets_other_users_and_undumpable_processes)
{
    pid_t other = trace_idle_child();
    int status = IN_CHILD({
        CHECK_EQ(setgid(1000), 0);
        CHECK_EQ(setuid(1000), 0);
        CHECK_ERR(TRACE(PTRACE_ATTACH, other, 0, 0), EPERM);
        pid_t pid = abi_fork();
        if (pid == 0) {
            prctl(PR_SET_DUMPABLE, 0);
            for (;;) {
                pause();
            }
        }
        abi_wait_state(pid, pid, 'S');
        CHECK_ERR(TRACE(PTRACE_ATTACH, pid, 0, 0), EPERM);
        trace_end(pid);
    });

    CHECK_EQ(status, 0);
    trace_end(other);
}

ABI_TEST(ptrace, who_can_do_more_than_its_parent_does_not_ask_it_to_trace)
{
    int go[2];
    char byte;

    CHECK_EQ(pipe(go), 0);
    CHECK_EQ(IN_CHILD({
                 int status;
                 pid_t pid = abi_fork();
                 if (pid == 0) {
                     CHECK_EQ(read(go[0], &byte, 1), 1);
                     CHECK_ERR(TRACE(PTRACE_TRACEME, 0, 0, 0), EPERM);
                     CHECK_EQ(setuid(1000), 0);
                     CHECK_EQ(TRACE(PTRACE_TRACEME, 0, 0, 0), 0);
                     _exit(0);
                 }
                 CHECK_EQ(setuid(1000), 0);
                 CHECK_EQ(write(go[1], "", 1), 1);
                 CHECK_EQ(waitpid(pid, &status, 0), pid);
                 CHECK_EQ(status, 0);
             }),
             0);
}

/* ---- memory ---- */

/* What a child that has become undumpable tells its tracer: 0 or an error of PEEK, and the same of POKE. */
static void check_words_of_undumpable(int error)
{
    long value = 0;
    pid_t pid = TRACED_CHILD(prctl(PR_SET_DUMPABLE, 0); raise(SIGSTOP));

    CHECK_EQ(TRACE(PTRACE_PEEKDATA, pid, &word, &value), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGSTOP));
    int peeked = TRACE(PTRACE_PEEKDATA, pid, &word, &value) == 0 ? 0 : errno;
    int poked = TRACE(PTRACE_POKEDATA, pid, &word, 7) == 0 ? 0 : errno;
    CHECK_EQ(peeked, error);
    CHECK_EQ(poked, error);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

/* Whose own rights count is decided when tracing begins: with PTRACE_TRACEME the tracee's. */
ABI_TEST(ptrace, words_of_the_undumpable_are_for_the_privileged)
{
    check_words_of_undumpable(0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setuid(1000), 0);
                 CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
                 check_words_of_undumpable(EIO);
             }),
             0);
}

ABI_TEST(ptrace, words_are_peeked_and_poked_also_where_the_program_may_not_write)
{
    static const volatile long constant = 42;
    pid_t pid = TRACED_CHILD(_exit(word == 7 && constant == 43 ? 5 : 6));
    long value = 0;

    CHECK_EQ(TRACE(PTRACE_PEEKDATA, pid, &word, &value), 0);
    CHECK_EQ(value, 0x1122334455667788);
    CHECK_EQ(TRACE(PTRACE_POKEDATA, pid, &word, 7), 0);
    CHECK_EQ(TRACE(PTRACE_POKETEXT, pid, &constant, 43), 0);
    CHECK_EQ(TRACE(PTRACE_PEEKTEXT, pid, &constant, &value), 0);
    CHECK_EQ(value, 43);
    CHECK_EQ(constant, 42);
    CHECK_EQ(word, 0x1122334455667788);
    CHECK_ERR(TRACE(PTRACE_PEEKDATA, pid, 8, &value), EIO);
    CHECK_ERR(TRACE(PTRACE_POKEDATA, pid, 8, 1), EIO);
    CHECK_ERR(TRACE(PTRACE_PEEKDATA, pid, -8, &value), EIO);
    CHECK_ERR(TRACE(PTRACE_PEEKDATA, pid, &word, 8), EFAULT);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 5 << 8);
}

ABI_TEST(ptrace, a_poke_into_a_shared_read_only_mapping_fails)
{
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, 4096), 0);
    int reader = open("file", O_RDONLY);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, reader, 0);
    CHECK(map != MAP_FAILED);
    void *private = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE, reader, 0);
    CHECK(private != MAP_FAILED);
    pid_t pid = TRACED_CHILD({});

    CHECK_ERR(TRACE(PTRACE_POKEDATA, pid, map, 1), EIO);
    CHECK_EQ(TRACE(PTRACE_POKEDATA, pid, private, 1), 0);
    CHECK_EQ(*(volatile long *)map, 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

/* ---- signals ---- */

ABI_TEST(ptrace, a_signal_is_dropped_changed_or_let_through)
{
    signal(SIGUSR1, note);
    signal(SIGUSR2, note);
    pid_t pid = TRACED_CHILD({
        raise(SIGUSR1);
        if (caught != 0) {
            _exit(1);
        }
        raise(SIGUSR1);
        if (caught != SIGUSR2) {
            _exit(2);
        }
        raise(SIGUSR1);
        _exit(caught == SIGUSR1 ? 0 : 3);
    });

    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGUSR2), STOPPED(SIGUSR1));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGUSR1), 0);
}

ABI_TEST(ptrace, ignored_signals_stop_too_and_sigkill_does_not)
{
    signal(SIGUSR1, SIG_IGN);
    pid_t pid = TRACED_CHILD({
        raise(SIGUSR1);
        raise(SIGCHLD);
        raise(SIGKILL);
    });

    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGUSR1), STOPPED(SIGCHLD));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGCHLD), SIGKILL);
}

static siginfo_t seen;

static void note_info(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    seen = *info;
}

ABI_TEST(ptrace, siginfo_is_read_and_replaced)
{
    struct sigaction sa = {.sa_sigaction = note_info, .sa_flags = SA_SIGINFO};
    siginfo_t info;

    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR2, &sa, NULL), 0);
    pid_t pid = TRACED_CHILD({
        const union sigval value = {.sival_int = 99};
        sigqueue(getpid(), SIGUSR1, value);
        if (seen.si_value.sival_int != 77 || seen.si_code != SI_QUEUE) {
            _exit(1);
        }
        raise(SIGUSR1);
        /* Another signal than the one that came: from the tracer. */
        _exit(seen.si_signo == SIGUSR2 && seen.si_code == SI_USER && seen.si_pid == getppid() ? 0
                                                                                              : 2);
    });

    CHECK_EQ(TRACE(PTRACE_GETSIGINFO, pid, 0, &info), 0);
    CHECK_EQ(info.si_signo, SIGSTOP);
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1));
    CHECK_EQ(TRACE(PTRACE_GETSIGINFO, pid, 0, &info), 0);
    CHECK_EQ(info.si_code, SI_QUEUE);
    CHECK_EQ(info.si_value.sival_int, 99);
    info.si_value.sival_int = 77;
    CHECK_EQ(TRACE(PTRACE_SETSIGINFO, pid, 0, &info), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGUSR1), STOPPED(SIGUSR1));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGUSR2), 0);
}

ABI_TEST(ptrace, the_mask_is_read_and_set_and_pending_signals_are_peeked)
{
    struct {
        uint64_t off;
        uint32_t flags;
        int32_t nr;
    } args = {0, 1, 10};
    siginfo_t infos[10];
    uint64_t mask = 0;
    pid_t pid = TRACED_CHILD({
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigaddset(&set, SIGRTMIN);
        sigprocmask(SIG_BLOCK, &set, NULL);
        for (int i = 0; i < 3; i++) {
            const union sigval value = {.sival_int = i};
            sigqueue(getpid(), SIGRTMIN, value);
        }
        kill(getpid(), SIGUSR1);
        kill(getpid(), SIGSTOP); /* raise() has a mask of its own */
    });

    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGSTOP));
    CHECK_EQ(TRACE(0x4209 /* PEEKSIGINFO */, pid, &args, infos), 4);
    CHECK_EQ(infos[1].si_value.sival_int, 1);
    CHECK_EQ(infos[3].si_signo, SIGUSR1);
    args.off = 2;
    args.nr = 1;
    CHECK_EQ(TRACE(0x4209, pid, &args, infos), 1);
    CHECK_EQ(infos[0].si_value.sival_int, 2);
    args.flags = 0;
    args.off = 0;
    CHECK_EQ(TRACE(0x4209, pid, &args, infos), 0);
    args.flags = 2;
    CHECK_ERR(TRACE(0x4209, pid, &args, infos), EINVAL);
    CHECK_ERR(TRACE(0x420a /* GETSIGMASK */, pid, 4, &mask), EINVAL);
    CHECK_EQ(TRACE(0x420a, pid, 8, &mask), 0);
    CHECK_EQ(mask, 1ull << (SIGUSR1 - 1) | 1ull << (SIGRTMIN - 1));
    mask = ~0ull & ~(1ull << (SIGUSR1 - 1));
    CHECK_EQ(TRACE(0x420b /* SETSIGMASK */, pid, 8, &mask), 0);
    CHECK_EQ(TRACE(0x420a, pid, 8, &mask), 0);
    CHECK_EQ(mask, ~0ull & ~(1ull << (SIGUSR1 - 1)) & ~(1ull << (SIGKILL - 1)) &
                       ~(1ull << (SIGSTOP - 1)));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1)); /* unblocked now */
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGUSR1), SIGUSR1);
}

/* ---- attaching and letting go ---- */

ABI_TEST(ptrace, attach_stops_by_sigstop_and_detach_lets_go)
{
    pid_t pid = trace_idle_child();

    CHECK_EQ(TRACE(PTRACE_ATTACH, pid, 0, 0), 0);
    CHECK_EQ(trace_wait(pid), STOPPED(SIGSTOP));
    CHECK_EQ(trace_state(pid, NULL), 't');
    CHECK_ERR(TRACE(PTRACE_DETACH, pid, 0, 65), EIO);
    CHECK_EQ(TRACE(PTRACE_DETACH, pid, 0, 0), 0);
    CHECK_ERR(TRACE(PTRACE_DETACH, pid, 0, 0), ESRCH);
    int tracer;
    while (trace_state(pid, &tracer) != 'S') {
        abi_sleep_ms(1);
    }
    CHECK_EQ(tracer, 0);
    trace_end(pid);
}

ABI_TEST(ptrace, attach_to_a_stopped_process_gives_its_stop_at_once)
{
    pid_t pid = trace_idle_child();
    int status;

    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(TRACE(PTRACE_ATTACH, pid, 0, 0), 0);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), pid);
    CHECK_EQ(status, STOPPED(SIGSTOP));
    CHECK_EQ(TRACE(PTRACE_DETACH, pid, 0, 0), 0);
    trace_end(pid);
}

ABI_TEST(ptrace, detach_with_a_stopping_signal_leaves_it_stopped)
{
    pid_t pid = TRACED_CHILD({});
    int status;

    CHECK_EQ(TRACE(PTRACE_DETACH, pid, 0, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(status, STOPPED(SIGSTOP));
    CHECK_EQ(trace_state(pid, NULL), 'T');
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(trace_wait(pid), 0);
}

ABI_TEST(ptrace, a_seized_process_stops_when_interrupted)
{
    pid_t pid = trace_idle_child();
    siginfo_t info;

    CHECK_EQ(TRACE(PTRACE_SEIZE, pid, 0, 0), 0);
    CHECK_EQ(TRACE(PTRACE_INTERRUPT, pid, 0, 0), 0);
    CHECK_EQ(trace_wait(pid), EVENT_STOPPED(PTRACE_EVENT_STOP));
    CHECK_EQ(TRACE(PTRACE_GETSIGINFO, pid, 0, &info), 0);
    CHECK_EQ(info.si_signo, SIGTRAP);
    CHECK_EQ(info.si_code, PTRACE_EVENT_STOP << 8 | SIGTRAP);
    CHECK_EQ(TRACE(PTRACE_INTERRUPT, pid, 0, 0), 0); /* is remembered */
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_STOP));
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    trace_end(pid);
}

ABI_TEST(ptrace, a_seized_process_listens_while_its_group_stops)
{
    pid_t pid = trace_idle_child();
    siginfo_t info;
    int status;

    CHECK_EQ(TRACE(PTRACE_SEIZE, pid, 0, 0), 0);
    CHECK_EQ(kill(pid, SIGTSTP), 0);
    CHECK_EQ(trace_wait(pid), STOPPED(SIGTSTP));
    CHECK_ERR(TRACE(PTRACE_LISTEN, pid, 0, 0), EIO);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGSTOP), PTRACE_EVENT_STOP << 16 | STOPPED(SIGSTOP));
    CHECK_EQ(TRACE(PTRACE_GETSIGINFO, pid, 0, &info), 0);
    CHECK_EQ(info.si_code, PTRACE_EVENT_STOP << 8 | SIGSTOP);
    CHECK_EQ(TRACE(PTRACE_LISTEN, pid, 0, 0), 0);
    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 0), ESRCH);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(trace_wait(pid), EVENT_STOPPED(PTRACE_EVENT_STOP));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGCONT));
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, SIGCONT), 0);
    trace_end(pid);
}

ABI_TEST(ptrace, a_group_stop_of_an_attached_process_has_no_siginfo)
{
    pid_t pid = TRACED_CHILD({
        raise(SIGTSTP);
        raise(SIGUSR1);
    });
    siginfo_t info;

    CHECK_EQ(setpgid(pid, pid), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGTSTP));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGSTOP), STOPPED(SIGSTOP));
    CHECK_ERR(TRACE(PTRACE_GETSIGINFO, pid, 0, &info), EINVAL);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGUSR1), SIGUSR1);
}

/* ---- system calls ---- */

ABI_TEST(ptrace, calls_stop_at_entry_and_exit_and_tell_what_they_are)
{
    struct {
        uint8_t op, pad[3];
        uint32_t arch;
        uint64_t ip, sp;
        union {
            struct {
                uint64_t nr, args[6];
            } entry;
            struct {
                int64_t rval;
                uint8_t is_error;
            } exit;
        };
    } info;
    pid_t pid = TRACED_CHILD(syscall(SYS_lseek, -1L, 2L, 3L));

    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
    CHECK_EQ(TRACE(0x420e, pid, sizeof(info), &info), 24);
    CHECK_EQ(info.op, 0);
    CHECK_EQ(info.arch, 0xc000003e);
    for (;;) {
        CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), SYSCALL_STOPPED);
        CHECK_EQ(TRACE(0x420e, pid, sizeof(info), &info), 24 + 56);
        CHECK_EQ(info.op, 1);
        struct user_regs_struct regs = trace_regs(pid);
        CHECK_EQ(regs.rax, -ENOSYS);
        CHECK_EQ(regs.orig_rax, info.entry.nr);
        CHECK_EQ(regs.rip, info.ip);
        if (info.entry.nr == SYS_lseek) {
            break;
        }
        CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), SYSCALL_STOPPED);
    }
    CHECK_EQ(info.entry.args[0], -1);
    CHECK_EQ(info.entry.args[1], 2);
    CHECK_EQ(info.entry.args[2], 3);
    CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), SYSCALL_STOPPED);
    CHECK_EQ(TRACE(0x420e, pid, sizeof(info), &info), 24 + 9);
    CHECK_EQ(info.op, 2);
    CHECK_EQ(info.exit.rval, -EBADF);
    CHECK_EQ(info.exit.is_error, 1);
    CHECK_EQ(trace_regs(pid).orig_rax, SYS_lseek);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(ptrace, a_call_is_changed_at_entry_and_at_exit)
{
    pid_t pid = TRACED_CHILD(_exit(syscall(SYS_getpid) == 77 ? 0 : 1));

    CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), STOPPED(SIGTRAP));
    struct user_regs_struct regs = trace_regs(pid);
    while (regs.orig_rax != SYS_getpid) {
        CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), STOPPED(SIGTRAP));
        CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), STOPPED(SIGTRAP));
        regs = trace_regs(pid);
    }
    regs.orig_rax = SYS_getppid;
    trace_set_regs(pid, &regs);
    CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), STOPPED(SIGTRAP));
    regs = trace_regs(pid);
    CHECK_EQ(regs.rax, getpid());
    regs.rax = 77;
    trace_set_regs(pid, &regs);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(ptrace, a_call_is_skipped_by_number_minus_1_and_callee_saved_registers_change)
{
    pid_t pid = TRACED_CHILD({
        long result, rbx = 1, r12;
        __asm__ volatile("mov $2, %%r12\n\tsyscall\n\tmov %%r12, %1"
                         : "=a"(result), "=r"(r12), "+b"(rbx)
                         : "0"(SYS_getpid)
                         : "rcx", "r11", "r12", "memory");
        _exit(result == 55 && rbx == 11 && r12 == 12 ? 0 : 1);
    });
    struct user_regs_struct regs;

    do {
        CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), STOPPED(SIGTRAP));
        regs = trace_regs(pid);
    } while (regs.orig_rax != SYS_getpid || regs.rax != (uint64_t)-ENOSYS);
    regs.orig_rax = -1;
    regs.rax = 55;
    regs.rbx = 11;
    regs.r12 = 12;
    trace_set_regs(pid, &regs);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(ptrace, an_interrupted_call_is_made_again_unless_the_tracer_says_otherwise)
{
    pid_t pid = TRACED_CHILD({
        int fds[2];
        char byte;
        CHECK_EQ(pipe(fds), 0);
        _exit(syscall(SYS_read, fds[0], &byte, 1) == -1 && errno == EINTR ? 0 : 1);
    });
    struct user_regs_struct regs;

    do {
        CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), STOPPED(SIGTRAP));
        regs = trace_regs(pid);
    } while (regs.orig_rax != SYS_read);
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    abi_wait_state(pid, pid, 'S');
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    CHECK_EQ(trace_wait(pid), STOPPED(SIGUSR1));
    regs = trace_regs(pid);
    CHECK_EQ(regs.rax, -512); /* ERESTARTSYS, which only tracers see */
    CHECK_EQ(regs.orig_rax, SYS_read);
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0); /* goes on reading */
    abi_wait_state(pid, pid, 'S');
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    CHECK_EQ(trace_wait(pid), STOPPED(SIGUSR1));
    regs = trace_regs(pid);
    CHECK_EQ(regs.rax, -512);
    regs.orig_rax = -1;
    regs.rax = -EINTR;
    trace_set_regs(pid, &regs);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}

ABI_TEST(ptrace, sysemu_stops_at_entry_and_makes_no_call)
{
    pid_t pid = TRACED_CHILD(_exit(syscall(SYS_getpid) == 123 ? 0 : 1));
    struct user_regs_struct regs;

    do {
        CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), STOPPED(SIGTRAP)); /* out of raise() */
        regs = trace_regs(pid);
    } while (regs.orig_rax != SYS_getpid);
    CHECK_EQ(trace_go(PTRACE_SYSCALL, pid, 0), STOPPED(SIGTRAP));
    regs = trace_regs(pid);
    regs.rax = 123;
    trace_set_regs(pid, &regs);
    CHECK_EQ(trace_go(31 /* SYSEMU */, pid, 0), STOPPED(SIGTRAP)); /* exit_group */
    regs = trace_regs(pid);
    CHECK_EQ(regs.orig_rax, SYS_exit_group);
    CHECK_EQ(regs.rdi, 0);
    CHECK_EQ(TRACE(PTRACE_KILL, pid, 0, 0), 0);
    CHECK_EQ(trace_wait(pid), SIGKILL);
}
