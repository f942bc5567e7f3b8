/* Tracing (ptrace(2)): events of processes and threads that come and go, and ends. */
#include "trace.h"

#include <pthread.h>
#include <sys/prctl.h>

/* ---- events ---- */

ABI_TEST(ptrace, fork_is_an_event_and_its_child_is_traced)
{
    pid_t pid = TRACED_CHILD({
        int status = IN_CHILD(_exit(3));
        _exit(WEXITSTATUS(status));
    });
    unsigned long child = 0;
    int tracer;

    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_FORK));
    CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &child), 0);
    CHECK_EQ(trace_wait((pid_t)child), STOPPED(SIGSTOP));
    trace_state((pid_t)child, &tracer);
    CHECK_EQ(tracer, getpid());
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, (pid_t)child, 0), 3 << 8); /* we hear first, then its parent */
    CHECK_EQ(trace_wait(pid), STOPPED(SIGCHLD));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 3 << 8);
}

ABI_TEST(ptrace, vfork_and_its_end_are_events)
{
    pid_t pid = TRACED_CHILD({
        pid_t child = vfork();
        if (child == 0) {
            _exit(4);
        }
        int status;
        waitpid(child, &status, 0);
        _exit(WEXITSTATUS(status));
    });
    unsigned long child = 0, again = 0;

    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_VFORK));
    CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &child), 0);
    CHECK_EQ(trace_wait((pid_t)child), STOPPED(SIGSTOP));
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, (pid_t)child, 0), 4 << 8);
    int status = trace_wait(pid);
    if (status == STOPPED(SIGCHLD)) {
        status = trace_go(PTRACE_CONT, pid, 0);
    }
    CHECK_EQ(status, EVENT_STOPPED(PTRACE_EVENT_VFORK_DONE));
    CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &again), 0);
    CHECK_EQ(again, child);
    status = trace_go(PTRACE_CONT, pid, 0);
    if (status == STOPPED(SIGCHLD)) {
        status = trace_go(PTRACE_CONT, pid, 0);
    }
    CHECK_EQ(status, 4 << 8);
}

static void *thread_end(void *arg)
{
    return arg;
}

ABI_TEST(ptrace, threads_of_a_seized_process_come_with_events_and_are_waited_for)
{
    int reaped[2];

    CHECK_EQ(pipe(reaped), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        pthread_t thread;
        char byte;
        raise(SIGSTOP);
        pthread_create(&thread, NULL, thread_end, NULL);
        pthread_join(thread, NULL);
        (void)read(reaped[0], &byte, 1); /* a thread that ends beside exit_group() has its status */
        _exit(7);
    }
    unsigned long tid = 0;
    int status;
    siginfo_t info;

    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(TRACE(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT), 0);
    CHECK_EQ(trace_wait(pid), PTRACE_EVENT_STOP << 16 | STOPPED(SIGSTOP));
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_STOP));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGCONT));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_CLONE));
    CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &tid), 0);
    CHECK_EQ(trace_wait((pid_t)tid), EVENT_STOPPED(PTRACE_EVENT_STOP));
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, (pid_t)tid, 0), EVENT_STOPPED(PTRACE_EVENT_EXIT));
    CHECK_EQ(trace_go(PTRACE_CONT, (pid_t)tid, 0), 0);
    CHECK_ERR(waitpid((pid_t)tid, &status, __WALL), ECHILD);
    CHECK_EQ(write(reaped[1], "", 1), 1);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED), 0);
    CHECK_EQ(info.si_code, CLD_TRAPPED);
    CHECK_EQ(info.si_status, PTRACE_EVENT_EXIT << 8 | SIGTRAP);
    unsigned long code = 0;
    CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &code), 0);
    CHECK_EQ(code, 7 << 8);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 7 << 8);
}

ABI_TEST(ptrace, execve_is_an_event_or_a_sigtrap)
{
    for (int event = 0; event < 2; event++) {
        pid_t pid = TRACED_CHILD({
            char *argv[] = {"/proc/self/exe", "no_such_test", NULL};
            execv("/proc/self/exe", argv);
        });
        unsigned long old = 0;

        CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, event ? PTRACE_O_TRACEEXEC : 0), 0);
        if (event) {
            CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_EXEC));
            CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &old), 0);
            CHECK_EQ(old, pid);
        } else {
            CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGTRAP));
        }
        trace_end(pid);
    }
}

static char *exec_args[] = {"/proc/self/exe", "no_such_test", NULL};

static void *thread_exec(void *arg)
{
    execv("/proc/self/exe", exec_args);
    return arg;
}

ABI_TEST(ptrace, execve_of_a_thread_takes_the_number_of_the_main_one)
{
    pid_t pid = TRACED_CHILD({
        pthread_t thread;
        pthread_create(&thread, NULL, thread_exec, NULL);
        pause();
    });
    unsigned long tid = 0, old = 0;

    CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), EVENT_STOPPED(PTRACE_EVENT_CLONE));
    CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &tid), 0);
    CHECK_EQ(trace_wait((pid_t)tid), STOPPED(SIGSTOP));
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(TRACE(PTRACE_CONT, tid, 0, 0), 0);
    CHECK_EQ(trace_wait(pid), EVENT_STOPPED(PTRACE_EVENT_EXEC));
    CHECK_EQ(TRACE(PTRACE_GETEVENTMSG, pid, 0, &old), 0);
    CHECK_EQ(old, tid);
    CHECK_ERR(TRACE(PTRACE_CONT, tid, 0, 0), ESRCH);
    trace_end(pid);
}

/* ---- ends ---- */

ABI_TEST(ptrace, requests_on_the_dead_fail_and_killing_them_does_nothing)
{
    pid_t pid = TRACED_CHILD({});
    siginfo_t info;

    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(TRACE(PTRACE_KILL, pid, 0, 0), 0);
    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 0), ESRCH);
    CHECK_ERR(TRACE(PTRACE_DETACH, pid, 0, 0), ESRCH);
    CHECK_ERR(TRACE(PTRACE_ATTACH, pid, 0, 0), EPERM);
    CHECK_EQ(trace_wait(pid), 0);
}

static void *set_flag(void *arg)
{
    *(volatile bool *)arg = true;
    return NULL;
}

/* In a process that has stopped for all but the tracer: a new thread, which stands still until the process goes on. */
static void start_thread_while_stopped(int told)
{
    volatile bool ran = false;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, set_flag, (void *)&ran), 0);
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid()) {
            abi_wait_state(getpid(), atoi(entry->d_name), 'T');
        }
    }
    closedir(dir);
    CHECK(!ran);
    CHECK_EQ(write(told, "x", 1), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(ran);
}

ABI_TEST(ptrace, who_runs_in_a_stopped_process_may_have_a_new_thread)
{
    int told[2];
    char byte;

    CHECK_EQ(pipe(told), 0);
    pid_t pid = TRACED_CHILD({
        close(told[0]);
        start_thread_while_stopped(told[1]);
    });
    close(told[1]);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, SIGSTOP), STOPPED(SIGSTOP)); /* the stop of the group */
    CHECK_EQ(TRACE(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(read(told[0], &byte, 1), 1);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    int status = trace_wait(pid);
    if (status == STOPPED(SIGCONT)) { /* else the new thread has taken it */
        status = trace_go(PTRACE_CONT, pid, 0);
    }
    CHECK_EQ(status, 0);
}

ABI_TEST(ptrace, sigkill_comes_before_a_stop_of_the_thread_alone)
{
    pid_t pid = trace_idle_child();

    CHECK_EQ(kill(pid, SIGSTOP), 0);
    while (trace_state(pid, NULL) != 'T') {
        abi_sleep_ms(1);
    }
    CHECK_EQ(syscall(SYS_tgkill, pid, pid, SIGSTOP), 0);
    trace_end(pid);
}

ABI_TEST(ptrace, sigkill_ends_any_stop)
{
    pid_t pid = TRACED_CHILD({});

    trace_end(pid);
    CHECK_ERR(TRACE(PTRACE_CONT, pid, 0, 0), ESRCH);
}

ABI_TEST(ptrace, the_end_of_the_tracer_lets_go_or_kills)
{
    for (int kills = 0; kills < 2; kills++) {
        pid_t pid = trace_idle_child();
        int status = IN_CHILD({
            CHECK_EQ(TRACE(PTRACE_ATTACH, pid, 0, 0), 0);
            CHECK_EQ(trace_wait(pid), STOPPED(SIGSTOP));
            CHECK_EQ(TRACE(PTRACE_SETOPTIONS, pid, 0, kills ? PTRACE_O_EXITKILL : 0), 0);
        });

        CHECK_EQ(status, 0);
        if (kills) {
            CHECK_EQ(trace_wait(pid), SIGKILL);
        } else {
            int tracer;
            while (trace_state(pid, &tracer) != 'S') {
                abi_sleep_ms(1);
            }
            CHECK_EQ(tracer, 0);
            trace_end(pid);
        }
    }
}

ABI_TEST(ptrace, a_tracer_hears_of_the_end_before_the_parent)
{
    int go[2], told[2], status;
    char byte;

    CHECK_EQ(pipe(go), 0);
    CHECK_EQ(pipe(told), 0);
    pid_t pid = trace_idle_child();
    pid_t tracer = abi_fork();
    if (tracer == 0) {
        CHECK_EQ(TRACE(PTRACE_SEIZE, pid, 0, 0), 0);
        CHECK_EQ(write(told[1], "x", 1), 1);
        CHECK_EQ(read(go[0], &byte, 1), 1);
        CHECK_EQ(trace_wait(pid), SIGTERM);
        _exit(0);
    }
    CHECK_EQ(read(told[0], &byte, 1), 1);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    abi_sleep_ms(50);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0); /* not ours yet */
    CHECK_EQ(kill(tracer, SIGKILL), 0);
    CHECK_EQ(trace_wait(tracer), SIGKILL);
    CHECK_EQ(trace_wait(pid), SIGKILL);
}

/* Only the thread that traces may ask, and __WNOTHREAD keeps to one's own. */
static pid_t tracee;

static void *trace_elsewhere(void *arg)
{
    static long word;
    long value;
    int status;

    (void)arg;
    CHECK_ERR(TRACE(PTRACE_PEEKDATA, tracee, &word, &value), ESRCH);
    CHECK_ERR(waitpid(tracee, &status, __WALL | __WNOTHREAD), ECHILD);
    CHECK_EQ(waitpid(tracee, &status, __WALL | WNOHANG), 0);
    return NULL;
}

ABI_TEST(ptrace, a_tracee_belongs_to_one_thread)
{
    pthread_t thread;

    tracee = TRACED_CHILD({});
    CHECK_EQ(pthread_create(&thread, NULL, trace_elsewhere, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(trace_go(PTRACE_CONT, tracee, 0), 0);
}

ABI_TEST(ptrace, the_parent_gets_sigchld_for_each_stop)
{
    sigset_t set;
    siginfo_t info;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    pid_t pid = TRACED_CHILD(raise(SIGUSR1));
    /* Who waits may see a stop before its signal is sent, so the signals are waited for. */
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_status, SIGSTOP);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGUSR1));
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_TRAPPED);
    CHECK_EQ(info.si_status, SIGUSR1);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}
