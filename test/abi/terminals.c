/* Pseudo-terminals (pty(7), ioctl_tty(2)): settings, numbers and nodes, packet mode, and what the end of a session leaves. */
#include "abi.h"

#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

static int master, slave;

static void open_pair(void)
{
    CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0);
}

/* asm/termbits.h has the kernel's structure, which is not the library's. */
struct settings {
    uint32_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[19];
};

ABI_TEST(terminal, locked_settings_stay)
{
    struct settings locks, now;

    open_pair();
    memset(&locks, 1, sizeof(locks));
    CHECK_EQ(ioctl(slave, TIOCGLCKTRMIOS, &locks), 0);
    struct settings none = {0};
    CHECK_EQ(memcmp(&locks, &none, sizeof(none)), 0);
    locks.lflag = ECHO;
    locks.cc[VINTR] = 1;
    CHECK_EQ(ioctl(slave, TIOCSLCKTRMIOS, &locks), 0);
    CHECK_EQ(ioctl(slave, TIOCGLCKTRMIOS, &locks), 0);
    CHECK(locks.lflag == ECHO && locks.cc[VINTR] == 1);

    CHECK_EQ(ioctl(slave, TCGETS, &now), 0);
    CHECK((now.lflag & (ECHO | ICANON)) == (ECHO | ICANON) && now.cc[VINTR] == 3);
    now.lflag &= ~(uint32_t)(ECHO | ICANON);
    now.cc[VINTR] = 9;
    now.cc[VQUIT] = 9;
    CHECK_EQ(ioctl(slave, TCSETS, &now), 0);
    CHECK_EQ(ioctl(slave, TCGETS, &now), 0);
    CHECK_EQ(now.lflag & (ECHO | ICANON), ECHO);
    CHECK_EQ(now.cc[VINTR], 3);
    CHECK_EQ(now.cc[VQUIT], 9);

    CHECK_EQ(ioctl(slave, TIOCSLCKTRMIOS, &none), 0);
    now.lflag &= ~(uint32_t)ECHO;
    CHECK_EQ(ioctl(slave, TCSETS, &now), 0);
    CHECK_EQ(ioctl(slave, TCGETS, &now), 0);
    CHECK_EQ(now.lflag & ECHO, 0);
    CHECK_ERR(ioctl(slave, TIOCSLCKTRMIOS, (void *)8), EFAULT);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setuid(65534), 0);
                 CHECK_ERR(ioctl(slave, TIOCSLCKTRMIOS, &none), EPERM);
             }),
             0);
}

/* A master alone, its slave unlocked; the slave's number. */
static unsigned open_master(void)
{
    unsigned number;

    master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0);
    CHECK_EQ(unlockpt(master), 0);
    CHECK_EQ(ioctl(master, TIOCGPTN, &number), 0);
    return number;
}

/* termios(3), raw mode: with VMIN and VTIME 0 a read never waits, so O_NONBLOCK changes nothing. */
ABI_TEST(terminal, that_never_waits_has_nothing_to_refuse)
{
    struct settings now;
    char byte;

    open_pair();
    CHECK_EQ(ioctl(slave, TCGETS, &now), 0);
    now.lflag &= ~(uint32_t)(ECHO | ICANON);
    now.cc[VMIN] = now.cc[VTIME] = 0;
    CHECK_EQ(ioctl(slave, TCSETS, &now), 0);
    CHECK_EQ(read(slave, &byte, 1), 0);
    CHECK_EQ(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_EQ(read(slave, &byte, 1), 0);
    now.cc[VTIME] = 1;
    CHECK_EQ(ioctl(slave, TCSETS, &now), 0);
    CHECK_ERR(read(slave, &byte, 1), EAGAIN);
    now.cc[VMIN] = 1;
    now.cc[VTIME] = 0;
    CHECK_EQ(ioctl(slave, TCSETS, &now), 0);
    CHECK_ERR(read(slave, &byte, 1), EAGAIN);
    now.lflag |= ICANON;
    now.cc[VMIN] = 0;
    CHECK_EQ(ioctl(slave, TCSETS, &now), 0);
    CHECK_ERR(read(slave, &byte, 1), EAGAIN);
}

ABI_TEST(terminal, the_node_of_one_that_has_ended_opens_no_later_one)
{
    unsigned number = open_master(), tries = 0;
    char name[32], link[32];

    snprintf(name, sizeof(name), "/dev/pts/%u", number);
    int node = open(name, O_PATH);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", node);
    slave = open(link, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    CHECK_EQ(close(slave), 0);
    CHECK_EQ(close(master), 0);
    CHECK_ERR(open(link, O_RDWR | O_NOCTTY), EIO);
    /* The number is given again, if nobody else on this machine was faster. */
    while (open_master() != number && ++tries < 16) {
    }
    CHECK_ERR(open(link, O_RDWR | O_NOCTTY), EIO);
    if (tries < 16) {
        CHECK(open(name, O_RDWR | O_NOCTTY) >= 0);
    }
}

ABI_TEST(terminal, keeps_its_number_until_both_ends_are_closed)
{
    unsigned number;

    open_pair();
    CHECK_EQ(ioctl(master, TIOCGPTN, &number), 0);
    CHECK_EQ(close(master), 0);
    CHECK(open_master() != number);
}

ABI_TEST(terminal, opens_while_others_close)
{
    pid_t other = abi_fork();

    for (unsigned i = 0; i < 4000; i++) {
        (void)open_master();
        CHECK_EQ(close(master), 0);
    }
    if (other == 0) {
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(other, &status, 0), other);
    CHECK_EQ(status, 0);
}

ABI_TEST(terminal, a_device_node_elsewhere_opens_no_slave)
{
    unsigned number = open_master();

    CHECK_EQ(mknod("node", S_IFCHR | 0600, makedev(136, number)), 0);
    CHECK_ERR(open("node", O_RDWR | O_NOCTTY), EIO);
    CHECK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY) >= 0);
}

static int poll_master(void)
{
    struct pollfd entry = {.fd = master, .events = POLLIN | POLLPRI};

    CHECK(poll(&entry, 1, 0) >= 0);
    return entry.revents;
}

static void set_packet_mode(int on)
{
    CHECK_EQ(ioctl(master, TIOCPKT, &on), 0);
}

ABI_TEST(terminal, the_end_of_packet_mode_takes_what_was_to_be_told_along)
{
    char byte;

    open_pair();
    CHECK_EQ(fcntl(master, F_SETFL, O_NONBLOCK), 0);
    set_packet_mode(1);
    CHECK_EQ(tcflush(slave, TCIFLUSH), 0);
    CHECK_EQ(poll_master(), POLLIN | POLLPRI);
    set_packet_mode(0);
    CHECK_EQ(poll_master(), 0);
    CHECK_ERR(read(master, &byte, 1), EAGAIN);
    set_packet_mode(1);
    CHECK_EQ(poll_master(), 0);
}

ABI_TEST(terminal, a_packet_of_one_byte_tells_its_kind)
{
    char packet[8];

    open_pair();
    CHECK_EQ(fcntl(master, F_SETFL, O_NONBLOCK), 0);
    set_packet_mode(1);
    CHECK_EQ(write(slave, "ab", 2), 2);
    CHECK_EQ(read(master, packet, 1), 1);
    CHECK_EQ(packet[0], TIOCPKT_DATA);
    CHECK_EQ(read(master, packet, sizeof(packet)), 3);
    CHECK(packet[0] == TIOCPKT_DATA && packet[1] == 'a' && packet[2] == 'b');
    CHECK_ERR(read(master, packet, 1), EAGAIN);
}

/* When `ended` closes: say on the terminal, which is nobody's any more, which of the two signals have come. */
static void run_job(int ended)
{
    char text[3] = "--";
    sigset_t pending;

    CHECK_EQ(read(ended, text, 1), 0);
    CHECK_EQ(sigpending(&pending), 0);
    text[0] = sigismember(&pending, SIGHUP) ? 'h' : '-';
    text[1] = sigismember(&pending, SIGCONT) ? 'c' : '-';
    CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_EQ(write(slave, text, 2), 2);
    _exit(0);
}

/* A session on the slave with a job in a group of its own, whose leader ends, or gives the terminal up before: what the job says. */
static void check_job(bool foreground, bool give_up, const char *expected)
{
    char text[8] = "";
    int ended[2];
    sigset_t set;

    open_pair();
    CHECK_EQ(pipe(ended), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCONT);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    pid_t leader = abi_fork();
    if (leader == 0) {
        close(ended[1]);
        close(master);
        CHECK(setsid() > 0);
        CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
        pid_t job = abi_fork();
        if (job == 0) {
            run_job(ended[0]);
        }
        CHECK_EQ(setpgid(job, job), 0);
        CHECK_EQ(foreground ? tcsetpgrp(slave, job) : 0, 0);
        CHECK_EQ(give_up ? ioctl(slave, TIOCNOTTY) : 0, 0);
        _exit(0);
    }
    CHECK_EQ(close(slave), 0);
    CHECK_EQ(waitpid(leader, NULL, 0), leader);
    CHECK_EQ(close(ended[1]), 0);
    CHECK_EQ(read(master, text, sizeof(text)), 2);
    if (strcmp(text, expected) != 0) {
        abi_fail(__FILE__, __LINE__, "expected '%s', got '%s'", expected, text);
    }
    CHECK_ERR(read(master, text, sizeof(text)), EIO);
}

ABI_TEST(terminal, works_on_for_background_jobs_when_the_leader_ends)
{
    check_job(false, false, "--");
}

ABI_TEST(terminal, works_on_for_the_foreground_group_which_is_told_that_the_leader_ends)
{
    check_job(true, false, "h-");
}

ABI_TEST(terminal, works_on_when_the_leader_gives_it_up)
{
    check_job(true, true, "hc");
}

/* ---- job control ---- */

static void *read_in_background(void *arg)
{
    char byte;
    ssize_t n = read(slave, &byte, 1);

    *(int *)arg = n == 1 ? byte : -errno;
    return NULL;
}

/* In a process group of its own, which is not the terminal's: another thread than the main one reads. */
static void background(pid_t parent)
{
    pthread_t thread;
    int got = 0;

    abi_end_with(parent);
    CHECK_EQ(setpgid(0, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, read_in_background, &got), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(got, '\n');
    _exit(0);
}

ABI_TEST(terminal, a_thread_that_reads_in_the_background_stops_and_then_reads)
{
    int status;

    open_pair();
    pid_t leader = abi_fork();
    if (leader == 0) {
        CHECK(setsid() > 0);
        CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
        pid_t self = getpid(), pid = abi_fork();
        if (pid == 0) {
            background(self);
        }
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK_EQ(status, SIGTTIN << 8 | 0x7f);
        CHECK_EQ(tcsetpgrp(slave, pid), 0);
        CHECK_EQ(write(master, "\n", 1), 1);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
        _exit(0);
    }
    CHECK_EQ(waitpid(leader, &status, 0), leader);
    CHECK_EQ(status, 0);
}

/* ---- ends ---- */

static volatile int read_error;

static void *read_to_the_end(void *arg)
{
    char byte;

    (void)arg;
    read_error = read(slave, &byte, 1) < 0 ? errno : 0;
    return NULL;
}

ABI_TEST(terminal, a_read_that_waits_fails_when_the_master_closes_and_a_later_one_is_at_the_end)
{
    pthread_t reader;
    char byte;

    open_pair();
    read_error = -1;
    CHECK_EQ(pthread_create(&reader, NULL, read_to_the_end, NULL), 0);
    abi_wait_asleep(1);
    CHECK_EQ(close(master), 0);
    CHECK_EQ(pthread_join(reader, NULL), 0);
    CHECK_EQ(read_error, EIO);
    CHECK_EQ(read(slave, &byte, 1), 0);
}

ABI_TEST(terminal, that_is_the_console_is_the_only_one_and_no_more_when_it_ends)
{
    open_pair();
    int first_master = master, first = slave;
    if (ioctl(first, TIOCCONS) != 0 && errno == EPERM) {
        abi_skip("the console is not ours to redirect");
    }
    open_pair();
    CHECK_ERR(ioctl(slave, TIOCCONS), EBUSY);
    CHECK_ERR(ioctl(first, TIOCCONS), EBUSY);
    CHECK_EQ(close(first_master), 0);
    CHECK_ERR(ioctl(first, TIOCCONS), EIO);
    CHECK_EQ(close(first), 0);
    CHECK_EQ(ioctl(slave, TIOCCONS), 0);
    CHECK_EQ(close(master), 0);
    CHECK_EQ(close(slave), 0);
}
