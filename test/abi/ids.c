/*
 * Who a process acts as (credentials(7)), and what starts afresh when that changes: whether others may look into it, and the signal at its
 * parent's end (prctl(2), PR_SET_DUMPABLE and PR_SET_PDEATHSIG).
 */
#include "abi.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/stat.h>

#define KEEP (-1)
#define USER 1000

#define IS_DUMPABLE 1 /* exit statuses of the program, together */
#define HAS_SIGNAL  2

static bool has_signal(void)
{
    int signo;

    CHECK_EQ(prctl(PR_GET_PDEATHSIG, &signo), 0);
    return signo != 0;
}

/* The test program by another name tells what it has. */
static void __attribute__((constructor)) as_program(void)
{
    if (strcmp(program_invocation_short_name, "tell") == 0) {
        _exit((prctl(PR_GET_DUMPABLE) == 1 ? IS_DUMPABLE : 0) | (has_signal() ? HAS_SIGNAL : 0));
    }
}

static void set_both(void)
{
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGTERM), 0);
}

static int after_suid(void)
{
    return atoi(abi_read_file("/proc/sys/fs/suid_dumpable"));
}

#define CHANGES(call)                                                                              \
    do {                                                                                           \
        set_both();                                                                                \
        CHECK((call) >= 0);                                                                        \
        CHECK_EQ(prctl(PR_GET_DUMPABLE), after_suid());                                            \
        CHECK(!has_signal());                                                                      \
    } while (0)

#define CHANGES_NOT(call)                                                                          \
    do {                                                                                           \
        set_both();                                                                                \
        CHECK((call) >= 0);                                                                        \
        CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);                                                       \
        CHECK(has_signal());                                                                       \
    } while (0)

static int drop_capabilities(uint32_t permitted)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, permitted, 0}, {0, 0, 0}};

    return (int)syscall(SYS_capset, &header, data);
}

ABI_TEST(ids, of_files_and_effective_ones_hide_a_process_when_they_change)
{
    CHANGES_NOT(syscall(SYS_setfsuid, 0));
    CHANGES(syscall(SYS_setfsuid, USER));
    CHANGES_NOT(syscall(SYS_setfsuid, USER));
    CHANGES(syscall(SYS_setfsuid, 0));
    CHANGES(syscall(SYS_setfsgid, USER));
    CHANGES(syscall(SYS_setresgid, KEEP, 0, KEEP)); /* takes that of files along */
    CHANGES(syscall(SYS_setresgid, KEEP, USER, KEEP));
    CHANGES_NOT(syscall(SYS_setresgid, USER, KEEP, USER));
    CHANGES(syscall(SYS_setgid, 0));
    CHANGES_NOT(syscall(SYS_setgroups, 1, &(gid_t){USER}));
    CHANGES(syscall(SYS_setresuid, KEEP, USER, KEEP));
    CHANGES(syscall(SYS_setresuid, KEEP, 0, KEEP));
    CHANGES_NOT(syscall(SYS_setresuid, USER, KEEP, USER));
    CHANGES_NOT(drop_capabilities(1u << CAP_KILL));
    CHANGES(syscall(SYS_setuid, USER));
}

/* What the program tells that is executed after `prepare`. */
#define TOLD_AFTER(prepare)                                                                        \
    WEXITSTATUS(IN_CHILD({                                                                         \
        set_both();                                                                                \
        CHECK((prepare) >= 0);                                                                     \
        CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGTERM), 0);                                             \
        (void)execl("./tell", "tell", (char *)NULL);                                               \
        _exit(99);                                                                                 \
    }))

ABI_TEST(ids, that_an_execve_changes_hide_a_process)
{
    int hidden = after_suid() == 1 ? IS_DUMPABLE : 0;

    abi_copy_self("tell", 0755);
    CHECK_EQ(TOLD_AFTER(0), IS_DUMPABLE | HAS_SIGNAL);
    CHECK_EQ(TOLD_AFTER(prctl(PR_SET_KEEPCAPS, 1)), IS_DUMPABLE | HAS_SIGNAL);
    CHECK_EQ(TOLD_AFTER(setresuid(USER, USER, USER)), IS_DUMPABLE | HAS_SIGNAL);
    CHECK_EQ(TOLD_AFTER(drop_capabilities(0)), hidden); /* it has them again */
    CHECK_EQ(TOLD_AFTER(syscall(SYS_setfsuid, USER)), hidden);
    CHECK_EQ(TOLD_AFTER(syscall(SYS_setfsgid, USER)), hidden);
    CHECK_EQ(TOLD_AFTER(setresuid(USER, KEEP, KEEP)), hidden);
    CHECK_EQ(TOLD_AFTER(setresgid(KEEP, USER, KEEP)), hidden);
}

/* Who may execute a program but not read it cannot read it from the process either. */
ABI_TEST(ids, that_may_not_read_a_program_do_not_see_into_it)
{
    int hidden = after_suid() == 1 ? IS_DUMPABLE : 0;

    abi_copy_self("tell", 0711);
    CHECK_EQ(TOLD_AFTER(0), IS_DUMPABLE | HAS_SIGNAL);
    CHECK_EQ(TOLD_AFTER(setresuid(USER, USER, USER)), hidden | HAS_SIGNAL);
}

static int hide(void *unused)
{
    (void)unused;
    return prctl(PR_SET_DUMPABLE, 0);
}

/* It is the memory that is hidden, whoever else has it. */
ABI_TEST(ids, hide_those_who_share_the_memory)
{
    static _Alignas(16) char stack[65536];

    set_both();
    pid_t pid = clone(hide, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    CHECK_EQ(IN_CHILD(_exit(prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1)), 0); /* a copy is like it */
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    CHECK_EQ(IN_CHILD(_exit(hide(NULL))), 0);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
}

static uid_t owner(pid_t pid, const char *what)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%d%s", pid, what);
    CHECK_EQ(stat(path, &st), 0);
    return st.st_uid;
}

static void check_owners(pid_t pid, uid_t uid)
{
    CHECK_EQ(owner(pid, ""), USER);
    CHECK_EQ(owner(pid, "/task"), USER);
    CHECK_EQ(owner(pid, "/fd"), uid);
    CHECK_EQ(owner(pid, "/status"), uid);
    CHECK_EQ(owner(pid, "/environ"), uid);
}

/* proc(5): all but what anybody may enter is root's while a process is hidden, and when it has ended. */
ABI_TEST(ids, own_what_proc_has_of_those_who_are_not_hidden)
{
    siginfo_t info;

    CHECK_EQ(setresuid(USER, USER, USER), 0);
    set_both();
    check_owners(getpid(), USER);
    CHECK_EQ(hide(NULL), 0);
    check_owners(getpid(), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    check_owners(getpid(), USER);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    check_owners(pid, 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}
