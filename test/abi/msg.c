/*
 * System V message queues.
 */
#include <limits.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "abi.h"

#define KEY 0x4c696e6d
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct message {
    long type;
    char text[8192];
};

static int create(void)
{
    int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    CHECK(id >= 0);
    return id;
}

static int send(int id, long type, const char *text, int flags)
{
    struct message message = {.type = type};
    strcpy(message.text, text);
    return msgsnd(id, &message, strlen(text), flags);
}

/* Receive and compare. */
static void expect(int id, long wanted, int flags, long type, const char *text)
{
    struct message message;
    CHECK_EQ(msgrcv(id, &message, sizeof(message.text), wanted, flags | IPC_NOWAIT), strlen(text));
    CHECK_EQ(message.type, type);
    CHECK_EQ(memcmp(message.text, text, strlen(text)), 0);
}

static struct msqid_ds stat_of(int id)
{
    struct msqid_ds ds;
    CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
    return ds;
}

ABI_TEST(msg, are_chosen_by_type)
{
    int id = create();
    struct message message;

    CHECK_EQ(send(id, 3, "three", 0), 0);
    CHECK_EQ(send(id, 1, "one", 0), 0);
    CHECK_EQ(send(id, 2, "two", 0), 0);
    CHECK_EQ(send(id, 1, "uno", 0), 0);
    CHECK_EQ(send(id, 5, "", 0), 0);
    struct msqid_ds ds = stat_of(id);
    CHECK_EQ(ds.msg_qnum, 5);
    CHECK_EQ(ds.msg_cbytes, 14);
    CHECK_EQ(ds.msg_lspid, getpid());
    CHECK_EQ(ds.msg_qbytes, 16384);
    expect(id, 1, MSG_COPY, 1, "one"); /* here: the number of the message */
    expect(id, 2, 0, 2, "two");
    expect(id, -2, 0, 1, "one");
    expect(id, 3, MSG_EXCEPT, 1, "uno");
    expect(id, 0, 0, 3, "three");
    CHECK_ERR(msgrcv(id, &message, 10, 4, IPC_NOWAIT), ENOMSG);
    CHECK_ERR(msgrcv(id, &message, 10, LONG_MIN + 1, IPC_NOWAIT | MSG_COPY), ENOMSG);
    expect(id, LONG_MIN, 0, 5, "");
    CHECK_ERR(msgrcv(id, &message, 10, 0, IPC_NOWAIT), ENOMSG);
    CHECK_ERR(msgrcv(id, &message, 10, 0, MSG_COPY), EINVAL);
    ds = stat_of(id);
    CHECK_EQ(ds.msg_qnum, 0);
    CHECK_EQ(ds.msg_cbytes, 0);
    CHECK_EQ(ds.msg_lrpid, getpid());
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

ABI_TEST(msg, lengths_are_checked)
{
    int id = create();
    struct message message = {.type = 1};

    CHECK_ERR(msgsnd(id, &message, 8193, IPC_NOWAIT), EINVAL);
    CHECK_ERR(msgsnd(id, &message, (size_t)-1, IPC_NOWAIT), EINVAL);
    message.type = 0;
    CHECK_ERR(msgsnd(id, &message, 1, IPC_NOWAIT), EINVAL);
    CHECK_ERR(msgsnd(id, NULL, 1, IPC_NOWAIT), EFAULT);
    CHECK_EQ(send(id, 1, "abcdef", 0), 0);
    CHECK_ERR(msgrcv(id, &message, 5, 0, IPC_NOWAIT), E2BIG);
    CHECK_EQ(stat_of(id).msg_qnum, 1);
    message.text[3] = '!';
    CHECK_EQ(msgrcv(id, &message, 3, 0, IPC_NOWAIT | MSG_NOERROR), 3);
    CHECK_EQ(memcmp(message.text, "abc!", 4), 0);
    CHECK_ERR(msgrcv(id, &message, (size_t)-1, 0, IPC_NOWAIT), EINVAL);
    message.type = 1;
    CHECK_EQ(msgsnd(id, &message, 8192, IPC_NOWAIT), 0);
    CHECK_EQ(msgsnd(id, &message, 8192, IPC_NOWAIT), 0);
    CHECK_ERR(msgsnd(id, &message, 1, IPC_NOWAIT), EAGAIN);
    CHECK_EQ(msgsnd(id, &message, 0, IPC_NOWAIT), 0);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(msgsnd(id, &message, 1, 0), EINVAL);
}

ABI_TEST(msg, who_waits_goes_on)
{
    int id = create(), status;
    struct message message;
    pid_t child = abi_fork();

    if (child == 0) {
        CHECK_EQ(msgrcv(id, &message, 3, 7, 0), 3);
        _exit(memcmp(message.text, "yes", 3));
    }
    CHECK_EQ(send(id, 6, "no", 0), 0);
    CHECK_EQ(send(id, 7, "yes", 0), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    expect(id, 0, 0, 6, "no");
    /* A sender for whom there is no room. */
    memset(&message, 'x', sizeof(message));
    message.type = 1;
    CHECK_EQ(msgsnd(id, &message, 8192, 0), 0);
    CHECK_EQ(msgsnd(id, &message, 8192, 0), 0);
    child = abi_fork();
    if (child == 0) {
        _exit(send(id, 2, "late", 0) == 0 ? 0 : 1);
    }
    usleep(20000);
    CHECK_EQ(stat_of(id).msg_qnum, 2);
    CHECK_EQ(msgrcv(id, &message, 8192, 0, 0), 8192);
    CHECK_EQ(msgrcv(id, &message, 8192, 2, 0), 4);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(stat_of(id).msg_lspid, child);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

static void on_signal(int signo)
{
    (void)signo;
}

ABI_TEST(msg, waiting_ends_by_removal_and_signals)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int id = create(), status, ready[2];
    struct message message;
    char c;

    CHECK_EQ(pipe(ready), 0);
    pid_t child = abi_fork();
    if (child == 0) {
        sigaction(SIGUSR1, &action, NULL);
        CHECK_EQ(write(ready[1], "", 1), 1);
        CHECK_ERR(msgrcv(id, &message, 3, 0, 0), EINTR);
        CHECK_EQ(write(ready[1], "", 1), 1);
        CHECK_ERR(msgrcv(id, &message, 3, 0, 0), EIDRM);
        _exit(0);
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    abi_wait_state(child, child, 'S');
    CHECK_EQ(kill(child, SIGUSR1), 0);
    CHECK_EQ(read(ready[0], &c, 1), 1);
    abi_wait_state(child, child, 'S');
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

ABI_TEST(msg, keys_permissions_and_limits)
{
    int id = msgget(KEY, IPC_CREAT | IPC_EXCL | 0600);
    struct msqid_ds ds;
    struct message message;

    CHECK(id >= 0);
    CHECK_EQ(msgget(KEY, 0), id);
    CHECK_ERR(msgget(KEY, IPC_CREAT | IPC_EXCL), EEXIST);
    ds = stat_of(id);
    CHECK_EQ(ds.msg_perm.mode, 0600);
    CHECK_EQ(ds.msg_stime, 0);
    CHECK(ds.msg_ctime != 0);
    CHECK_EQ(IN_CHILD(CHECK_EQ(setgid(77), 0); CHECK_EQ(setuid(77), 0);
                      CHECK_ERR(send(id, 1, "x", 0), EACCES);
                      CHECK_ERR(msgrcv(id, &message, 1, 0, IPC_NOWAIT), EACCES);
                      CHECK_ERR(msgctl(id, IPC_STAT, &ds), EACCES);
                      CHECK_ERR(msgctl(id, IPC_RMID, NULL), EPERM)),
             0);
    ds.msg_perm.uid = 77;
    ds.msg_qbytes = 4;
    CHECK_EQ(msgctl(id, IPC_SET, &ds), 0);
    CHECK_ERR(send(id, 1, "abcde", IPC_NOWAIT), EAGAIN);
    CHECK_EQ(IN_CHILD(CHECK_EQ(setgid(77), 0); CHECK_EQ(setuid(77), 0);
                      CHECK_EQ(send(id, 1, "abcd", IPC_NOWAIT), 0); ds.msg_qbytes = 16385;
                      CHECK_ERR(msgctl(id, IPC_SET, &ds), EPERM)),
             0);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(msgget(KEY, 0), ENOENT);
}

ABI_TEST(msg, figures)
{
    struct msginfo info;
    int id = create();
    struct msqid_ds ds;

    CHECK_EQ(send(id, 1, "abc", 0), 0);
    CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
    CHECK_EQ(info.msgmax, 8192);
    CHECK_EQ(info.msgmnb, 16384);
    int highest = msgctl(0, MSG_INFO, (struct msqid_ds *)&info);
    CHECK(highest >= 0 && info.msgpool >= 1 && info.msgmap >= 1 && info.msgtql >= 3);
    bool found = false;
    for (int i = 0; i <= highest; i++) {
        found |= msgctl(i, MSG_STAT, &ds) == id && ds.msg_qnum == 1;
    }
    CHECK(found);
    FILE *file = fopen("/proc/sysvipc/msg", "r");
    char line[256];
    CHECK(file != NULL && fgets(line, sizeof(line), file) != NULL);
    found = false;
    while (fgets(line, sizeof(line), file) != NULL) {
        int msqid, mode, bytes, number;
        found |= sscanf(line, "%*d %d %o %d %d", &msqid, &mode, &bytes, &number) == 4 &&
                 msqid == id && mode == 0600 && bytes == 3 && number == 1;
    }
    CHECK(found);
    fclose(file);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

/* ---- many ---- */

#define MANY    3000
#define WAITERS 60

static void send_many(int id)
{
    char text[16];

    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "%d", i);
        CHECK_EQ(send(id, i == MANY - 2 ? 5 : i == MANY - 1 ? 6 : 10 + i % 7, text, IPC_NOWAIT), 0);
    }
}

ABI_TEST(msg, are_chosen_among_thousands)
{
    struct message message;
    int id = create();

    send_many(id);
    CHECK_EQ(stat_of(id).msg_qnum, MANY);
    expect(id, 6, 0, 6, "2999");
    expect(id, -9, 0, 5, "2998");
    expect(id, -12, 0, 10, "0");
    expect(id, 13, 0, 13, "3");
    expect(id, 10, MSG_EXCEPT, 11, "1");
    expect(id, 0, 0, 12, "2");
    CHECK_ERR(msgrcv(id, &message, sizeof(message.text), -9, IPC_NOWAIT), ENOMSG);
    CHECK_ERR(msgrcv(id, &message, sizeof(message.text), 77, IPC_NOWAIT), ENOMSG);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

/* Takes messages by the smallest type until there are none: their number, and the sum of what they say. */
static void take_all(int id, long type, int to)
{
    struct message message;
    long got[2] = {0, 0};
    ssize_t n;

    while ((n = msgrcv(id, &message, sizeof(message.text) - 1, type, IPC_NOWAIT)) >= 0) {
        message.text[n] = '\0';
        got[0]++;
        got[1] += atol(message.text);
    }
    _exit(write(to, got, sizeof(got)) != sizeof(got));
}

ABI_TEST(msg, each_of_thousands_is_taken_once)
{
    long got[2], number = 0, sum = 0;
    int p[2], status, id = create();

    CHECK_EQ(pipe(p), 0);
    send_many(id);
    for (int i = 0; i < 4; i++) {
        if (abi_fork() == 0) {
            take_all(id, i % 2 == 0 ? -100 : 0, p[1]);
        }
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(read(p[0], got, sizeof(got)), sizeof(got));
        number += got[0];
        sum += got[1];
        CHECK(wait(&status) > 0);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(number, MANY);
    CHECK_EQ(sum, (long)MANY * (MANY - 1) / 2);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

/* So many children are in the call, and asleep. */
static void wait_asleep(const pid_t *pids)
{
    for (int i = 0; i < WAITERS; i++) {
        abi_wait_state(pids[i], pids[i], 'S');
    }
}

static void check_all_end(int code)
{
    int status;

    for (int i = 0; i < WAITERS; i++) {
        CHECK(wait(&status) > 0);
        CHECK_EQ(status, code << 8);
    }
}

/* One message makes room for all that wait; then the queue goes, with as many waiting to receive. */
ABI_TEST(msg, many_who_wait_all_go_on)
{
    static struct message big = {.type = 1};
    pid_t pids[WAITERS];
    int id = create();

    CHECK_EQ(msgsnd(id, &big, 8192, 0), 0);
    CHECK_EQ(msgsnd(id, &big, 8192, 0), 0);
    for (int i = 0; i < WAITERS; i++) {
        pids[i] = abi_fork();
        if (pids[i] == 0) {
            _exit(send(id, 2, i % 2 == 0 ? "x" : "", 0) == 0 ? 4 : 1);
        }
    }
    for (int i = 0; i < WAITERS; i += 2) {
        abi_wait_state(pids[i], pids[i], 'S'); /* the empty ones find room */
    }
    CHECK_EQ(msgrcv(id, &big, 8192, 1, 0), 8192);
    check_all_end(4);
    CHECK_EQ(stat_of(id).msg_qnum, 1 + WAITERS);
    for (int i = 0; i < WAITERS; i++) {
        pids[i] = abi_fork();
        if (pids[i] == 0) {
            _exit(msgrcv(id, &big, 8192, 3, 0) < 0 && errno == EIDRM ? 5 : 1);
        }
    }
    wait_asleep(pids);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    check_all_end(5);
}

/* A handler ends the call, also one that lets others begin anew. */
static void check_interrupted(int id, bool sends)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int status;

    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        static struct message message = {.type = 1};
        CHECK_ERR(sends ? msgsnd(id, &message, 8192, 0) : msgrcv(id, &message, 8192, 2, 0), EINTR);
        _exit(0);
    }
    abi_wait_state(pid, pid, 'S');
    while (waitpid(pid, &status, WNOHANG) == 0) {
        CHECK_EQ(kill(pid, SIGUSR1), 0); /* perhaps it does not wait yet */
        abi_sleep_ms(1);
    }
    CHECK_EQ(status, 0);
}

/* A queue that has no room for another large one. */
static int create_full(void)
{
    static struct message big = {.type = 1};
    int id = create();

    CHECK_EQ(msgsnd(id, &big, 8192, 0), 0);
    CHECK_EQ(msgsnd(id, &big, 8192, 0), 0);
    return id;
}

ABI_TEST(msg, waiting_ends_with_a_handler)
{
    int id = create_full();

    check_interrupted(id, false);
    check_interrupted(id, true);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

static void stop_and_continue(pid_t pid)
{
    int status;

    abi_wait_state(pid, pid, 'S');
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK(WIFCONTINUED(status));
    abi_wait_state(pid, pid, 'S');
}

static void check_ended_well(pid_t pid)
{
    int status;

    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

ABI_TEST(msg, waiting_goes_on_after_a_stop)
{
    static struct message message = {.type = 1};
    int id = create_full();

    pid_t pid = abi_fork();
    if (pid == 0) {
        _exit(msgsnd(id, &message, 8192, 0) == 0 ? 0 : 1);
    }
    stop_and_continue(pid);
    CHECK_EQ(msgrcv(id, &message, 8192, 1, 0), 8192);
    check_ended_well(pid);
    pid = abi_fork();
    if (pid == 0) {
        _exit(msgrcv(id, &message, 8192, 2, 0) == 1 ? 0 : 1);
    }
    stop_and_continue(pid);
    CHECK_EQ(msgrcv(id, &message, 8192, 1, 0), 8192);
    CHECK_EQ(send(id, 2, "x", 0), 0);
    check_ended_well(pid);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}
