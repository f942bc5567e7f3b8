/*
 * Programs that gain privileges by execve(2): who may look into a process that is about to, is just at it, or has just done so
 * (ptrace(2), execve(2), capabilities(7)).
 *
 * The test program itself, copied, is that program: by the name of the copy it knows that it is not to run tests.
 */
#include "trace.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define SECRET_ADDR ((char *)0x7000000000) /* mapped in the privileged program alone */
#define SECRET_FD   50                     /* and open there alone */
#define PRIVILEGED  10                     /* exit statuses */
#define ORDINARY    11
#define BY_NAME     12 /* root, but with the capability of setting IDs at most */

#define USER 1000

static bool has_capabilities_but(uint32_t mask)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};

    return syscall(SYS_capget, &header, data) == 0 &&
           ((data[0].permitted & ~mask) | data[1].permitted) != 0;
}

static void have_secrets(void)
{
    char *page = mmap(SECRET_ADDR, 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    (void)dup2(open("secret", O_RDONLY), SECRET_FD);
    if (page == SECRET_ADDR) {
        page[0] = 's';
    }
}

static void __attribute__((constructor)) as_program(void)
{
    if (strcmp(program_invocation_short_name, "su") == 0) {
        have_secrets();
        abi_sleep_ms(3);
        _exit(geteuid() == 0 ? PRIVILEGED : ORDINARY);
    }
    if (strcmp(program_invocation_short_name, "laid") == 0) {
        _exit(geteuid() == 0 && (personality(0xffffffff) & ADDR_NO_RANDOMIZE) == 0 ? PRIVILEGED
                                                                                   : ORDINARY);
    }
    if (strcmp(program_invocation_short_name, "stacked") == 0) {
        struct rlimit limit;
        _exit(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur == limit.rlim_max ? ORDINARY
              : limit.rlim_cur == 8 << 20                                              ? PRIVILEGED
                                                                                       : BY_NAME);
    }
    if (strcmp(program_invocation_short_name, "capable") == 0) {
        _exit(has_capabilities_but(0) ? PRIVILEGED : ORDINARY);
    }
    if (strcmp(program_invocation_short_name, "raised") == 0) {
        _exit(geteuid() != 0                           ? ORDINARY
              : has_capabilities_but(1u << CAP_SETUID) ? PRIVILEGED
                                                       : BY_NAME);
    }
}

static void make_set_id(const char *name)
{
    struct statvfs where;

    CHECK_EQ(statvfs(".", &where), 0);
    if ((where.f_flag & ST_NOSUID) != 0) {
        abi_skip("set-user-ID bits mean nothing here");
    }
    abi_copy_self(name, 04755);
}

static void make_su(void)
{
    make_set_id("su");
    abi_write_file("secret", "secret");
    CHECK_EQ(chmod("secret", 0600), 0);
}

static void become_user(void)
{
    CHECK_EQ(setresgid(USER, USER, USER), 0);
    CHECK_EQ(setresuid(USER, USER, USER), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
}

static void run(const char *name)
{
    (void)execl(name, name, (char *)NULL);
    _exit(99);
}

/* ---- who is traced gains nothing ---- */

enum asker { THE_TRACER, ITSELF_AS_ROOT, ITSELF_AS_USER };

/* The status of a set-user-ID program that we trace, because `asker` said so. */
static int traced_su(enum asker asker)
{
    int go[2];
    char byte;

    CHECK_EQ(pipe(go), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK(asker != ITSELF_AS_ROOT || TRACE(PTRACE_TRACEME, 0, 0, 0) == 0);
        become_user();
        CHECK(asker != ITSELF_AS_USER || TRACE(PTRACE_TRACEME, 0, 0, 0) == 0);
        CHECK_EQ(read(go[0], &byte, 1), 1);
        run("./su");
    }
    CHECK(asker != THE_TRACER || TRACE(PTRACE_SEIZE, pid, 0, 0) == 0);
    CHECK_EQ(write(go[1], "g", 1), 1);
    int status = trace_wait(pid);
    if (asker != THE_TRACER) {
        CHECK_EQ(status, STOPPED(SIGTRAP)); /* of the execve */
        status = trace_go(PTRACE_CONT, pid, 0);
    }
    return status;
}

ABI_TEST(set_id, counts_for_a_tracee_if_who_asked_for_the_tracing_was_privileged)
{
    make_su();
    CHECK_EQ(traced_su(THE_TRACER), PRIVILEGED << 8);
    CHECK_EQ(traced_su(ITSELF_AS_ROOT), PRIVILEGED << 8);
    /* Its parent has the right, but perhaps for a moment only, and does not know. */
    CHECK_EQ(traced_su(ITSELF_AS_USER), ORDINARY << 8);
    CHECK_EQ(IN_CHILD(become_user(); CHECK_EQ(traced_su(THE_TRACER), ORDINARY << 8)), 0);
}

/* ---- who comes too late to trace ---- */

static pid_t sibling; /* the thread that execve waits for, at its tracer's pleasure; 0: let go */

static void let_sibling_go(int signo)
{
    (void)signo;
    (void)TRACE(PTRACE_CONT, sibling, 0, 0);
    (void)waitpid(sibling, NULL, __WALL);
    sibling = 0;
}

static void *tell_and_wait(void *fd)
{
    pid_t tid = (pid_t)syscall(SYS_gettid);

    (void)write((int)(intptr_t)fd, &tid, sizeof(tid));
    for (;;) {
        pause();
    }
    return NULL;
}

static uid_t effective_user(pid_t pid)
{
    char path[64];
    unsigned real, effective;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    const char *line = strstr(abi_read_file(path), "Uid:");
    CHECK(line != NULL);
    CHECK_EQ(sscanf(line, "Uid: %u %u", &real, &effective), 2);
    return effective;
}

/* As a user, attach to a process of his own whose execve has been decided, but waits for a thread. */
static void attach_in_between(void)
{
    int tell[2], go[2];
    pthread_t thread;
    char byte;

    CHECK_EQ(pipe(tell) | pipe(go), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(pthread_create(&thread, NULL, tell_and_wait, (void *)(intptr_t)tell[1]), 0);
        CHECK_EQ(read(go[0], &byte, 1), 1);
        run("./su");
    }
    CHECK_EQ(read(tell[0], &sibling, sizeof(sibling)), sizeof(sibling));
    CHECK_EQ(TRACE(PTRACE_SEIZE, sibling, 0, PTRACE_O_TRACEEXIT), 0);
    CHECK_EQ(write(go[1], "g", 1), 1);
    CHECK_EQ(trace_wait(sibling), EVENT_STOPPED(PTRACE_EVENT_EXIT));
    /* To wait until the execve is over is right, too: it is then to be let. */
    CHECK(signal(SIGALRM, let_sibling_go) != SIG_ERR);
    (void)alarm(1);
    long result = TRACE(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXEC);
    int error = errno;
    (void)alarm(0);
    if (sibling != 0) {
        let_sibling_go(0);
    }
    if (result == 0) {
        CHECK_EQ(trace_wait(pid), EVENT_STOPPED(PTRACE_EVENT_EXEC));
        CHECK(effective_user(pid) != 0);
        trace_end(pid);
        return;
    }
    CHECK_EQ(error, EPERM);
    CHECK_EQ(trace_wait(pid), PRIVILEGED << 8);
}

ABI_TEST(set_id, nobody_attaches_while_an_execve_that_gains_privileges_waits)
{
    make_su();
    CHECK_EQ(IN_CHILD(become_user(); attach_in_between()), 0);
}

/* ---- who looks while it happens ---- */

/* One look into the process. True: it showed what is the privileged program's. */
typedef bool look_fn(pid_t pid, int pidfd);

static bool look_at_descriptor(pid_t pid, int pidfd)
{
    (void)pid;
    return syscall(SYS_pidfd_getfd, pidfd, SECRET_FD, 0) >= 0;
}

static bool look_at_memory(pid_t pid, int pidfd)
{
    char byte;
    struct iovec local = {&byte, 1}, remote = {SECRET_ADDR, 1};

    (void)pidfd;
    return process_vm_readv(pid, &local, 1, &remote, 1, 0) == 1;
}

/* What is opened is of the program that ran then: also when it is read later. */
static bool look_through_file(pid_t pid, int pidfd)
{
    static int last = -1;
    char path[64], byte;
    bool seen = last >= 0 && pread(last, &byte, 1, (off_t)(uintptr_t)SECRET_ADDR) == 1;

    (void)pidfd;
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        (void)close(last);
        last = fd;
    }
    return seen;
}

static bool look_as_tracer(pid_t pid, int pidfd)
{
    int status;

    (void)pidfd;
    if (TRACE(PTRACE_SEIZE, pid, 0, 0) != 0 || TRACE(PTRACE_INTERRUPT, pid, 0, 0) != 0 ||
        waitpid(pid, &status, __WALL | WNOWAIT) != pid || !WIFSTOPPED(status)) {
        return false;
    }
    bool seen = effective_user(pid) == 0;
    (void)TRACE(PTRACE_DETACH, pid, 0, 0);
    return seen;
}

#define ROUNDS 40u /* of each kind */

static void look_all_the_time(look_fn *look, void (*prepare)(void), const char *program)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        int ready[2];
        char byte;

        CHECK_EQ(pipe(ready), 0);
        pid_t pid = abi_fork();
        if (pid == 0) {
            prepare();
            (void)write(ready[1], "r", 1);
            abi_sleep_ms(1); /* the looks have begun */
            run(program);
        }
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        CHECK(pidfd >= 0);
        CHECK_EQ(read(ready[0], &byte, 1), 1);
        while (waitpid(pid, NULL, WNOHANG) == 0) {
            CHECK(!look(pid, pidfd));
        }
        CHECK_EQ(close(ready[0]) | close(ready[1]) | close(pidfd), 0);
    }
}

static void nothing(void)
{
}

static void look_at_su(look_fn *look)
{
    make_su();
    CHECK_EQ(IN_CHILD(become_user(); look_all_the_time(look, nothing, "./su")), 0);
}

ABI_TEST(set_id, descriptors_of_the_privileged_program_cannot_be_had_around_its_execve)
{
    look_at_su(look_at_descriptor);
}

ABI_TEST(set_id, memory_of_the_privileged_program_does_not_show_around_its_execve)
{
    look_at_su(look_at_memory);
}

ABI_TEST(set_id, memory_opened_around_an_execve_is_not_the_privileged_program_s)
{
    look_at_su(look_through_file);
}

ABI_TEST(set_id, nobody_attaches_to_the_privileged_program_around_its_execve)
{
    look_at_su(look_as_tracer);
}

static void hide(void)
{
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
    have_secrets();
    CHECK_EQ(fcntl(SECRET_FD, F_SETFD, FD_CLOEXEC), 0);
}

/* The other way round: what has been kept from others is not theirs when the next program lets them look. */
static void look_at_hidden(look_fn *look)
{
    abi_write_file("secret", "secret");
    abi_copy_self("capable", 0755);
    CHECK_EQ(IN_CHILD(become_user(); look_all_the_time(look, hide, "./capable")), 0);
}

ABI_TEST(set_id, descriptors_of_a_hidden_program_cannot_be_had_around_the_execve_of_another)
{
    look_at_hidden(look_at_descriptor);
}

ABI_TEST(set_id, memory_of_a_hidden_program_does_not_show_around_the_execve_of_another)
{
    look_at_hidden(look_at_memory);
}

/* ---- no new privileges ---- */

ABI_TEST(set_id, capabilities_that_were_dropped_come_back_to_root_unless_it_wants_none)
{
    for (int want = 0; want < 2; want++) {
        int status = IN_CHILD({
            struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
            struct __user_cap_data_struct data[2] = {{0}};

            abi_copy_self("capable", 0755);
            CHECK_EQ(syscall(SYS_capset, &header, data), 0);
            CHECK(want != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
            run("./capable");
        });
        CHECK_EQ(status, (want ? PRIVILEGED : ORDINARY) << 8);
    }
}

ABI_TEST(set_id, no_caller_says_how_a_privileged_program_is_laid_out)
{
    make_set_id("laid");
    int status = IN_CHILD({
        become_user();
        CHECK(personality(ADDR_NO_RANDOMIZE) >= 0);
        run("./laid");
    });
    CHECK_EQ(status, PRIVILEGED << 8);
}

/* ---- who shares root, directory and umask with another process (CLONE_FS) ---- */

static char stack[16384] __attribute__((aligned(16)));

/* Goes on until the other one has let go of the write end, by execve too. */
static int wait_for_end(void *end)
{
    int *fds = end;
    char byte;

    (void)close(fds[1]);
    (void)read(fds[0], &byte, 1);
    _exit(0);
}

static int wait_for_ever(void *unused)
{
    (void)unused;
    for (;;) {
        pause();
    }
}

static void start_partner(int flags)
{
    static int end[2];

    CHECK_EQ(pipe2(end, O_CLOEXEC), 0);
    CHECK(clone(wait_for_end, stack + sizeof(stack), flags, end) > 0);
}

#define RUN_BY_USER(prepare)                                                                       \
    IN_CHILD({                                                                                     \
        become_user();                                                                             \
        prepare;                                                                                   \
        run("./raised");                                                                           \
    })

ABI_TEST(set_id, counts_for_nobody_whose_directory_another_process_can_change)
{
    make_set_id("raised");
    CHECK_EQ(RUN_BY_USER(), PRIVILEGED << 8);
    CHECK_EQ(RUN_BY_USER(start_partner(0)), PRIVILEGED << 8);
    CHECK_EQ(RUN_BY_USER(start_partner(CLONE_FS)), ORDINARY << 8);
    CHECK_EQ(RUN_BY_USER(start_partner(CLONE_FS); CHECK_EQ(unshare(CLONE_FS), 0)), PRIVILEGED << 8);
    /* Threads end with the old program. */
    CHECK_EQ(
        RUN_BY_USER(CHECK(clone(wait_for_ever, stack + sizeof(stack),
                                CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0)),
        PRIVILEGED << 8);
    /* Nor does a partner that has ended share anything. */
    CHECK_EQ(RUN_BY_USER(int status;
                         pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
                         if (pid == 0) { _exit(0); } CHECK_EQ(waitpid(pid, &status, 0), pid)),
             PRIVILEGED << 8);
}

/* execve(2), "Effect on process attributes": who calls a privileged program does not say where its stack ends. */
ABI_TEST(set_id, programs_have_eight_megabytes_of_stack_at_most)
{
    struct rlimit limit = {32 << 20, 32 << 20};

    make_set_id("stacked");
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
                 run("./stacked"); /* by root: nothing new */
             }),
             ORDINARY << 8);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
                 become_user();
                 run("./stacked");
             }),
             PRIVILEGED << 8);
}

static void keep_setuid_alone(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{1u << CAP_SETUID, 1u << CAP_SETUID, 0}, {0}};

    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
    become_user();
    CHECK_EQ(syscall(SYS_capset, &header, data), 0);
}

ABI_TEST(set_id, alone_counts_where_somebody_has_a_hold_on_who_may_set_it_anyway)
{
    make_set_id("raised");
    CHECK_EQ(IN_CHILD(keep_setuid_alone(); start_partner(CLONE_FS); run("./raised")), BY_NAME << 8);
    pid_t pid = abi_fork();
    if (pid == 0) {
        keep_setuid_alone();
        CHECK_EQ(TRACE(PTRACE_TRACEME, 0, 0, 0), 0);
        run("./raised");
    }
    CHECK_EQ(trace_wait(pid), STOPPED(SIGTRAP));
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), BY_NAME << 8);
}
