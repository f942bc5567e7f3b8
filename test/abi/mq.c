/*
 * POSIX message queues.
 */
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "abi.h"

static mqd_t create(const char *name, int flags, long messages, long bytes)
{
    struct mq_attr attr = {.mq_maxmsg = messages, .mq_msgsize = bytes};
    mqd_t mq = mq_open(name, O_CREAT | O_EXCL | O_RDWR | flags, 0600, &attr);
    CHECK(mq >= 0);
    return mq;
}

static void expect(mqd_t mq, const char *text, unsigned priority)
{
    char got[16384];
    unsigned got_priority;
    CHECK_EQ(mq_receive(mq, got, sizeof(got), &got_priority), strlen(text));
    CHECK_EQ(memcmp(got, text, strlen(text)), 0);
    CHECK_EQ(got_priority, priority);
}

static int send(mqd_t mq, const char *text, unsigned priority)
{
    return mq_send(mq, text, strlen(text), priority);
}

ABI_TEST(mq, come_by_priority_and_age)
{
    mqd_t mq = create("/abi_order", 0, 8, 16);
    struct mq_attr attr;

    CHECK_EQ(send(mq, "a0", 0), 0);
    CHECK_EQ(send(mq, "b7", 7), 0);
    CHECK_EQ(send(mq, "c0", 0), 0);
    CHECK_EQ(send(mq, "d32767", 32767), 0);
    CHECK_EQ(send(mq, "e7", 7), 0);
    CHECK_EQ(send(mq, "", 3), 0);
    CHECK_EQ(mq_getattr(mq, &attr), 0);
    CHECK_EQ(attr.mq_curmsgs, 6);
    CHECK_EQ(attr.mq_maxmsg, 8);
    CHECK_EQ(attr.mq_msgsize, 16);
    expect(mq, "d32767", 32767);
    expect(mq, "b7", 7);
    CHECK_EQ(send(mq, "f7", 7), 0);
    expect(mq, "e7", 7);
    expect(mq, "f7", 7);
    expect(mq, "", 3);
    expect(mq, "a0", 0);
    expect(mq, "c0", 0);
    CHECK_EQ(mq_unlink("/abi_order"), 0);
    CHECK_ERR(mq_unlink("/abi_order"), ENOENT);
    CHECK_EQ(send(mq, "still", 1), 0); /* it lives while it is open */
    expect(mq, "still", 1);
}

ABI_TEST(mq, arguments_are_checked)
{
    mqd_t mq = create("/abi_args", O_NONBLOCK, 1, 4);
    struct mq_attr attr = {.mq_maxmsg = 0, .mq_msgsize = 4};
    struct timespec wrong = {0, 1000000000};
    char text[8];

    CHECK_ERR(send(mq, "abcde", 0), EMSGSIZE);
    CHECK_ERR(mq_send(mq, "a", 1, 32768), EINVAL);
    CHECK_ERR(mq_receive(mq, text, 3, NULL), EMSGSIZE);
    CHECK_ERR(mq_receive(mq, text, 4, NULL), EAGAIN);
    CHECK_EQ(send(mq, "abcd", 0), 0);
    CHECK_ERR(send(mq, "x", 0), EAGAIN);
    CHECK_ERR(mq_timedsend(mq, "x", 1, 0, &wrong), EINVAL);
    CHECK_ERR(mq_send(STDIN_FILENO, "x", 1, 0), EBADF);
    CHECK_ERR(mq_send(999, "x", 1, 0), EBADF);
    CHECK_ERR(mq_open("/abi_none", O_RDWR), ENOENT);
    CHECK_ERR(mq_open("/abi/none", O_RDWR | O_CREAT, 0600, NULL), EACCES);
    CHECK_ERR(mq_open("/abi_args", O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
    CHECK_ERR(mq_open("/abi_new", O_RDWR | O_CREAT, 0600, &attr), EINVAL);
    attr.mq_maxmsg = 65537;
    CHECK_ERR(mq_open("/abi_new", O_RDWR | O_CREAT, 0600, &attr), EINVAL);
    attr.mq_maxmsg = 1;
    attr.mq_msgsize = 16 * 1024 * 1024 + 1;
    CHECK_ERR(mq_open("/abi_new", O_RDWR | O_CREAT, 0600, &attr), EINVAL);
    mqd_t only_read = mq_open("/abi_args", O_RDONLY | O_NONBLOCK);
    CHECK(only_read >= 0);
    CHECK_ERR(send(only_read, "x", 0), EBADF);
    CHECK_EQ(mq_receive(only_read, text, 8, NULL), 4);
    CHECK_EQ(IN_CHILD(CHECK_EQ(setgid(77), 0); CHECK_EQ(setuid(77), 0);
                      CHECK_ERR(mq_open("/abi_args", O_RDONLY), EACCES); attr.mq_maxmsg = 11;
                      attr.mq_msgsize = 10;
                      CHECK_ERR(mq_open("/abi_new", O_RDWR | O_CREAT, 0600, &attr), EINVAL)),
             0);
    CHECK_EQ(mq_unlink("/abi_args"), 0);
}

ABI_TEST(mq, memory_is_limited)
{
    struct rlimit limit = {10000, 10000};
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 1000};

    CHECK_EQ(setrlimit(RLIMIT_MSGQUEUE, &limit), 0);
    CHECK_ERR(mq_open("/abi_limit", O_RDWR | O_CREAT, 0600, &attr), EMFILE);
    attr.mq_maxmsg = 5;
    mqd_t mq = mq_open("/abi_limit", O_RDWR | O_CREAT, 0600, &attr);
    CHECK(mq >= 0);
    CHECK_ERR(mq_open("/abi_limit2", O_RDWR | O_CREAT, 0600, &attr), EMFILE);
    CHECK_EQ(mq_unlink("/abi_limit"), 0);
    CHECK_EQ(mq_close(mq), 0);
    mq = mq_open("/abi_limit2", O_RDWR | O_CREAT, 0600, &attr);
    CHECK(mq >= 0);
    CHECK_EQ(mq_unlink("/abi_limit2"), 0);
}

static void on_signal(int signo)
{
    (void)signo;
}

ABI_TEST(mq, waiting)
{
    mqd_t mq = create("/abi_wait", 0, 1, 8);
    struct timespec until;
    char text[8];
    int status;
    pid_t child = abi_fork();

    if (child == 0) {
        CHECK_EQ(mq_receive(mq, text, 8, NULL), 3);
        CHECK_EQ(send(mq, "1", 0), 0);
        CHECK_EQ(send(mq, "2", 9), 0); /* full: waits */
        _exit(memcmp(text, "yes", 3));
    }
    abi_wait_state(child, child, 'S');
    CHECK_EQ(send(mq, "yes", 0), 0); /* it goes to who waits for it: the queue stays empty */
    struct pollfd pollfd = {.fd = mq, .events = POLLIN | POLLOUT};
    do {
        CHECK_EQ(poll(&pollfd, 1, -1), 1);
    } while ((pollfd.revents & POLLIN) == 0);
    CHECK_EQ(pollfd.revents, POLLIN); /* one message is all it takes */
    abi_wait_state(child, child, 'S');
    expect(mq, "1", 0);
    expect(mq, "2", 9);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(poll(&pollfd, 1, 0), 1);
    CHECK_EQ(pollfd.revents, POLLOUT);
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &until), 0);
    CHECK_ERR(mq_timedreceive(mq, text, 8, NULL, &until), ETIMEDOUT);
    until.tv_sec -= 5;
    CHECK_ERR(mq_timedreceive(mq, text, 8, NULL, &until), ETIMEDOUT);
    CHECK_EQ(send(mq, "full", 0), 0);
    CHECK_ERR(mq_timedsend(mq, "x", 1, 0, &until), ETIMEDOUT);
    struct sigaction action = {.sa_handler = on_signal};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    (void)abi_wake_by(SIGALRM);
    CHECK_ERR(send(mq, "x", 0), EINTR);
    CHECK_EQ(mq_unlink("/abi_wait"), 0);
}

static volatile siginfo_t told;

static void on_told(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    told = *info;
}

ABI_TEST(mq, a_process_is_told_once)
{
    mqd_t mq = create("/abi_told", O_NONBLOCK, 4, 8);
    struct sigaction action = {.sa_sigaction = on_told, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 1234};

    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(mq_notify(mq, &event), 0);
    CHECK_ERR(mq_notify(mq, &event), EBUSY);
    pid_t child = abi_fork();
    if (child == 0) {
        CHECK_ERR(mq_notify(mq, &event), EBUSY);
        CHECK_EQ(mq_notify(mq, NULL), 0); /* not its own: nothing happens */
        CHECK_EQ(send(mq, "a", 0), 0);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(told.si_signo, SIGUSR1);
    CHECK_EQ(told.si_code, SI_MESGQ);
    CHECK_EQ(told.si_value.sival_int, 1234);
    CHECK_EQ(told.si_pid, child);
    told.si_signo = 0;
    expect(mq, "a", 0);
    CHECK_EQ(send(mq, "b", 0), 0); /* not again */
    CHECK_EQ(told.si_signo, 0);
    CHECK_EQ(mq_notify(mq, &event), 0);
    CHECK_EQ(send(mq, "c", 0), 0); /* the queue was not empty */
    CHECK_EQ(told.si_signo, 0);
    CHECK_EQ(mq_close(dup(mq)), 0); /* gives it up */
    CHECK_EQ(IN_CHILD(CHECK_EQ(mq_notify(mq, &event), 0)), 0);
    CHECK_EQ(mq_notify(mq, &event), 0); /* the child's went with it */
    CHECK_EQ(mq_notify(mq, NULL), 0);
    event.sigev_signo = 65;
    CHECK_ERR(mq_notify(mq, &event), EINVAL);
    CHECK_EQ(mq_unlink("/abi_told"), 0);
}

ABI_TEST(mq, queues_are_files)
{
    mqd_t mq = create("/abi_file", 0, 4, 8);
    char text[128], wanted[128];

    CHECK_EQ(send(mq, "abc", 0), 0);
    CHECK_EQ(mkdir("m", 0700), 0);
    CHECK_EQ(mount("none", "m", "mqueue", 0, NULL), 0);
    int fd = open("m/abi_file", O_RDONLY);
    CHECK(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    CHECK(n > 0);
    text[n] = '\0';
    snprintf(wanted, sizeof(wanted), "QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", 3, 0,
             0, 0);
    CHECK_EQ(strcmp(text, wanted), 0);
    struct stat st;
    CHECK_EQ(stat("m/abi_file", &st), 0);
    CHECK(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600);
    CHECK_EQ(st.st_size, 80);
    CHECK_EQ(mq_receive(fd, text, sizeof(text), NULL), 3); /* it is a descriptor of the queue */
    CHECK_EQ(close(open("m/new", O_RDWR | O_CREAT, 0600)), 0);
    CHECK_EQ(mq_unlink("/new"), 0);
    CHECK_ERR(mkdir("m/dir", 0700), EPERM);
    CHECK_EQ(unlink("m/abi_file"), 0);
    CHECK_ERR(mq_open("/abi_file", O_RDONLY), ENOENT);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(umount("m"), 0);
}
