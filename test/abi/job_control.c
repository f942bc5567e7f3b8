/* Terminals and sessions (ioctl_tty(2), credentials(7)): whose terminal it is, who is in the foreground, and who loses it. */
#include "abi.h"

#include <pty.h>
#include <sched.h>
#include <sys/ioctl.h>

#ifndef TIOCSIG
#define TIOCSIG 0x40045436
#endif

static int master, slave;
static char slave_name[64];

static int set_foreground(int fd, int group)
{
    return ioctl(fd, TIOCSPGRP, &group);
}

static int foreground(int fd)
{
    int group = -1;

    CHECK_EQ(ioctl(fd, TIOCGPGRP, &group), 0);
    return group;
}

static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY);

    CHECK(fd >= 0 || errno == ENXIO);
    return fd >= 0 && close(fd) == 0;
}

/* A pair, and `run` as the leader of a session without a terminal. */
static void in_session(void (*run)(void))
{
    CHECK_EQ(openpty(&master, &slave, slave_name, NULL, NULL), 0);
    CHECK_EQ(IN_CHILD(CHECK(setsid() > 0); run()), 0);
}

static void take(void)
{
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
    CHECK_EQ(signal(SIGTTOU, SIG_IGN) == SIG_ERR, 0);
    CHECK_EQ(signal(SIGHUP, SIG_IGN) == SIG_ERR, 0);
}

/* A child in a group of its own, for the parent to end. */
static pid_t sleeper(void)
{
    pid_t self = getpid(), child = abi_fork();

    if (child == 0) {
        abi_end_with(self);
        pause();
        _exit(0);
    }
    CHECK_EQ(setpgid(child, child), 0);
    return child;
}

static void end_sleeper(pid_t child)
{
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

static void refuse_groups(void)
{
    int outside = getppid(), ended = sleeper();

    take();
    end_sleeper(ended);
    for (int i = 0; i < 2; i++) {
        int fd = i == 0 ? slave : master;
        CHECK_ERR(set_foreground(fd, -1), EINVAL);
        CHECK_ERR(set_foreground(fd, 0), ESRCH);
        CHECK_ERR(set_foreground(fd, ended), ESRCH);
        CHECK_ERR(set_foreground(fd, outside), EPERM);
        CHECK_ERR(ioctl(fd, TIOCSPGRP, (void *)8), EFAULT);
        CHECK_EQ(set_foreground(fd, getpid()), 0);
    }
    pid_t job = sleeper();
    CHECK_EQ(set_foreground(slave, job), 0);
    CHECK_EQ(foreground(slave), job);
    end_sleeper(job);
    CHECK_EQ(foreground(slave), job);
    CHECK_ERR(set_foreground(slave, job), ESRCH);
    CHECK_EQ(set_foreground(slave, getpid()), 0);
}

ABI_TEST(job, groups_that_are_not_there_or_elsewhere_come_not_to_the_foreground)
{
    in_session(refuse_groups);
    /* Whose terminal it is not is told before what the group is. */
    CHECK_ERR(set_foreground(slave, getpid()), ENOTTY);
    CHECK_ERR(set_foreground(slave, 0), ENOTTY);
    CHECK_ERR(set_foreground(master, 0), ENOTTY);
    CHECK_ERR(set_foreground(slave, -1), EINVAL);
    CHECK_ERR(ioctl(slave, TIOCSPGRP, (void *)8), EFAULT);
    CHECK_ERR(ioctl(slave, TIOCGPGRP, (void *)8), ENOTTY);
}

static void name_a_member(void)
{
    pid_t self = getpid(), child;

    take();
    child = abi_fork();
    if (child == 0) {
        abi_end_with(self);
        pause();
    }
    CHECK_EQ(set_foreground(slave, child), 0); /* it leads no group */
    CHECK_EQ(foreground(slave), child);
    CHECK_EQ(set_foreground(slave, self), 0);
    end_sleeper(child);
}

ABI_TEST(job, a_process_that_leads_no_group_counts_as_one_for_the_foreground)
{
    in_session(name_a_member);
}

static void come_back_as_an_orphan(void)
{
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
    pid_t job = sleeper();
    CHECK_EQ(set_foreground(slave, job), 0);
    CHECK_ERR(set_foreground(slave, getpid()), ENOTTY); /* nobody would let it go on from SIGTTOU */
    CHECK_ERR(ioctl(slave, TCFLSH, TCIFLUSH), EIO);
    end_sleeper(job);
}

ABI_TEST(job, an_orphaned_group_in_the_background_has_no_say)
{
    in_session(come_back_as_an_orphan);
}

/* ---- signals from the master ---- */

static void get_signals(void)
{
    sigset_t set, none;
    int number;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGHUP);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    take();
    for (int i = 0; i < 3; i++) {
        static const int sent[] = {SIGINT, SIGQUIT, SIGTSTP};
        CHECK_EQ(ioctl(master, TIOCSIG, sent[i]), 0);
        CHECK_EQ(sigwait(&set, &number), 0);
        CHECK_EQ(number, sent[i]);
    }
    static const int others[] = {-1, 0, SIGHUP, SIGKILL, SIGCONT, SIGWINCH, 32, 64, 65};
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CHECK_ERR(ioctl(master, TIOCSIG, others[i]), EINVAL);
    }
    CHECK_EQ(sigpending(&none), 0);
    CHECK_EQ(sigismember(&none, SIGHUP), 0);
    CHECK_ERR(ioctl(slave, TIOCSIG, SIGINT), ENOTTY);
}

ABI_TEST(job, a_master_sends_the_signals_of_keys_and_no_others)
{
    in_session(get_signals);
    CHECK_EQ(ioctl(master, TIOCSIG, SIGINT), 0); /* to nobody */
}

/* ---- whose terminal it is ---- */

static void member_gives_up(void)
{
    CHECK_ERR(ioctl(slave, TIOCNOTTY), ENOTTY);
    take();
    CHECK_ERR(ioctl(master, TIOCNOTTY), ENOTTY);
    CHECK_EQ(IN_CHILD({
                 CHECK(has_terminal());
                 CHECK_EQ(ioctl(slave, TIOCNOTTY), 0);
                 CHECK(!has_terminal());
                 CHECK_ERR(ioctl(slave, TIOCNOTTY), ENOTTY);
                 CHECK_ERR(ioctl(slave, TIOCGPGRP, &(int){0}), ENOTTY);
                 CHECK_ERR(set_foreground(slave, getpid()), ENOTTY);
                 CHECK_ERR(ioctl(slave, TIOCSCTTY, 0), EPERM); /* it leads no session */
                 CHECK_EQ(IN_CHILD(CHECK(!has_terminal())), 0);
             }),
             0);
    CHECK(has_terminal());
    CHECK_EQ(foreground(slave), getpid());
    CHECK_EQ(ioctl(slave, TIOCNOTTY), 0);
    CHECK(!has_terminal());
}

ABI_TEST(job, who_leads_no_session_gives_the_terminal_up_for_itself)
{
    in_session(member_gives_up);
}

static void take_later(void)
{
    int start[2];
    char byte;

    CHECK_EQ(pipe(start), 0);
    pid_t self = getpid(), early = abi_fork();
    if (early == 0) {
        abi_end_with(self);
        CHECK_EQ(read(start[0], &byte, 1), 1);
        _exit(has_terminal());
    }
    take();
    CHECK_EQ(write(start[1], "x", 1), 1);
    int status;
    CHECK_EQ(waitpid(early, &status, 0), early);
    CHECK_EQ(status, 0);
    CHECK_EQ(IN_CHILD(CHECK(has_terminal())), 0);
}

ABI_TEST(job, who_was_there_before_the_session_had_a_terminal_has_none)
{
    in_session(take_later);
}

static void take_by_the_master(void)
{
    CHECK_EQ(ioctl(master, TIOCSCTTY, 0), 0);
    CHECK(has_terminal());
    CHECK_EQ(foreground(slave), getpid());
}

ABI_TEST(job, a_master_can_be_asked_for_its_slave_as_the_terminal)
{
    in_session(take_by_the_master);
}

static void open_slave(int flags, bool taken)
{
    int fd = open(slave_name, flags);

    CHECK(fd >= 0);
    CHECK_EQ(has_terminal(), taken);
    CHECK_EQ(taken ? ioctl(fd, TIOCNOTTY) : 0, 0);
}

static void take_by_open(void)
{
    CHECK_EQ(signal(SIGHUP, SIG_IGN) == SIG_ERR, 0);
    open_slave(O_RDWR | O_NOCTTY, false);
    open_slave(O_WRONLY, false);
    open_slave(O_PATH | O_RDWR, false);
    CHECK_EQ(IN_CHILD(open_slave(O_RDWR, false)), 0); /* it leads no session */
    open_slave(O_RDONLY, true);
    open_slave(O_RDWR, true);
    CHECK(open(slave_name, O_RDWR) >= 0);
    CHECK_EQ(IN_CHILD(CHECK(setsid() > 0); open_slave(O_RDWR, false)), 0); /* it is taken */
}

ABI_TEST(job, a_terminal_is_taken_by_opening_it_for_reading)
{
    in_session(take_by_open);
}

/* ---- its end ---- */

#define FORKS 4

/* Where the kernel writes the child's number when it is nearly there: to a page that it has to clear first, which takes its time. */
static pid_t fork_slowly(void)
{
    const size_t huge = 2ul << 20;
    char *area = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(area != MAP_FAILED);
    char *page = area + (huge - (uintptr_t)area % huge);
    (void)madvise(page, huge, MADV_HUGEPAGE);
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_PARENT_SETTID, 0, page, 0, 0);
    CHECK(child >= 0);
    CHECK_EQ(munmap(area, 2 * huge), 0);
    return child;
}

static void close_pair(void)
{
    CHECK_EQ(close(master), 0);
    CHECK_EQ(close(slave), 0);
}

/* Children for the leader, who gives the terminal up meanwhile. They look for it when it is no more. */
static void make_children(int ready, int go)
{
    int status, failed = 0;
    char byte = 'x';

    for (int i = 0; i < FORKS; i++) {
        if (fork_slowly() == 0) {
            close_pair();
            CHECK_EQ(write(ready, &byte, 1), 1);
            CHECK_EQ(close(ready), 0);
            CHECK_EQ(read(go, &byte, 1), 0);
            _exit(open("/dev/tty", O_RDWR) >= 0);
        }
    }
    close_pair();
    while (wait(&status) > 0) {
        failed |= status;
    }
    _exit(failed != 0);
}

static void give_up_meanwhile(long delay_us)
{
    struct timespec delay = {0, delay_us * 1000};
    int ready[2], go[2], status;
    char byte;

    take();
    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(pipe(go), 0);
    pid_t maker = abi_fork();
    if (maker == 0) {
        CHECK_EQ(close(go[1]), 0);
        make_children(ready[1], go[0]);
    }
    CHECK_EQ(nanosleep(&delay, NULL), 0);
    CHECK_EQ(ioctl(slave, TIOCNOTTY), 0);
    close_pair();
    CHECK_EQ(close(ready[1]), 0); /* so that nobody waits for those who were not made */
    CHECK_EQ(close(go[0]), 0);
    for (int i = 0; i < FORKS; i++) {
        CHECK_EQ(read(ready[0], &byte, 1), 1);
    }
    CHECK_EQ(close(go[1]), 0);
    CHECK_EQ(waitpid(maker, &status, 0), maker);
    CHECK_EQ(status, 0);
    _exit(0);
}

ABI_TEST(job, a_terminal_that_has_ended_is_not_that_of_children_made_meanwhile)
{
    for (int round = 0; round < 60; round++) {
        int status;

        CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0);
        pid_t leader = abi_fork();
        if (leader == 0) {
            CHECK(setsid() > 0);
            give_up_meanwhile(round * 100);
        }
        close_pair();
        CHECK_EQ(waitpid(leader, &status, 0), leader);
        CHECK_EQ(status, 0);
    }
}
