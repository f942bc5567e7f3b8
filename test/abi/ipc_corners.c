/*
 * Corners of System V IPC: undone operations and threads, forms of choosing messages, what segments can be mapped and remapped as, and who
 * may ask.
 */
#include "abi.h"

#include <limits.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

union arg {
    int val;
    struct semid_ds *ds;
    unsigned short *array;
    struct seminfo *info;
};

static int op(int id, int by, int flags)
{
    struct sembuf buf = {0, (short)by, (short)flags};

    return semop(id, &buf, 1);
}

static int value(int id)
{
    return semctl(id, 0, GETVAL);
}

static int sem;

static void *undoing_thread(void *arg)
{
    CHECK_EQ(op(sem, 3, SEM_UNDO), 0);
    return arg;
}

ABI_TEST(sem_undo, happens_when_the_last_who_shares_the_list_ends)
{
    sem = semget(IPC_PRIVATE, 1, 0600);
    CHECK(sem >= 0);
    CHECK_EQ(IN_CHILD({
                 pthread_t thread;
                 CHECK_EQ(op(sem, 2, SEM_UNDO), 0);
                 CHECK_EQ(pthread_create(&thread, NULL, undoing_thread, NULL), 0);
                 CHECK_EQ(pthread_join(thread, NULL), 0);
                 CHECK_EQ(value(sem), 5); /* a thread of the C library shares the list */
             }),
             0);
    CHECK_EQ(value(sem), 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(op(sem, 2, SEM_UNDO), 0);
                 CHECK_EQ(IN_CHILD(CHECK_EQ(value(sem), 2)), 0); /* a child has a list of its own */
                 CHECK_EQ(value(sem), 2);
                 CHECK_EQ(op(sem, -1, SEM_UNDO), 0);
                 CHECK_EQ(value(sem), 1);
             }),
             0);
    CHECK_EQ(value(sem), 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(op(sem, 4, SEM_UNDO), 0);
                 CHECK_EQ(semctl(sem, 0, SETVAL, (union arg){.val = 1}), 0); /* forgets it */
             }),
             0);
    CHECK_EQ(value(sem), 1);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(op(sem, 4, SEM_UNDO), 0);
                 CHECK_EQ(op(sem, -5, 0), 0);
             }),
             0);
    CHECK_EQ(value(sem), 0); /* what cannot be undone is undone as far as it goes */
    CHECK_EQ(semctl(sem, 0, IPC_RMID), 0);
}

ABI_TEST(sem_undo, outlives_another_program_and_unshare_ends_it)
{
    int pipes[2];
    char byte;

    sem = semget(IPC_PRIVATE, 1, 0600);
    CHECK_EQ(pipe(pipes), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(op(sem, 2, SEM_UNDO), 0);
        CHECK_EQ(dup2(open("/dev/null", O_WRONLY), 1), 1); /* it lists its tests: none */
        execl("/proc/self/exe", "abi", "no-such-test", NULL);
        _exit(9);
    }
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(value(sem), 0);
    pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(op(sem, 2, SEM_UNDO), 0);
        CHECK_EQ(syscall(SYS_unshare, CLONE_SYSVSEM), 0);
        CHECK_EQ(value(sem), 0); /* at once */
        _exit(write(pipes[1], "x", 1) == 1 ? 0 : 1);
    }
    CHECK_EQ(read(pipes[0], &byte, 1), 1);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(semctl(sem, 0, IPC_RMID), 0);
}

struct message {
    long type;
    char text[16];
};

static void put(int id, long type, const char *text)
{
    struct message message = {.type = type};

    strcpy(message.text, text);
    CHECK_EQ(msgsnd(id, &message, strlen(text), 0), 0);
}

static const char *get(int id, long type, int flags)
{
    static struct message message;
    ssize_t n = msgrcv(id, &message, sizeof(message.text), type, flags);

    if (n < 0) {
        return errno == ENOMSG ? "none" : errno == EINVAL ? "inval" : errno == E2BIG ? "big" : "?";
    }
    message.text[n] = '\0';
    return message.text;
}

#define CHECK_TEXT(call, want) CHECK(strcmp(call, want) == 0)

ABI_TEST(msg_choice, copies_exceptions_and_cuts)
{
    int id = msgget(IPC_PRIVATE, 0600);
    struct message message;

    CHECK(id >= 0);
    put(id, 5, "five");
    put(id, 3, "three");
    put(id, 9, "nine");
    CHECK_TEXT(get(id, 5, MSG_EXCEPT | IPC_NOWAIT), "three");
    put(id, 3, "three");
    CHECK_TEXT(get(id, -4, IPC_NOWAIT), "three");
    CHECK_TEXT(get(id, -4, IPC_NOWAIT), "none");
    CHECK_TEXT(get(id, -9, IPC_NOWAIT), "five"); /* the lowest type up to 9 */
    CHECK_ERR(msgrcv(id, &message, 2, 0, IPC_NOWAIT), E2BIG);
    CHECK_EQ(msgrcv(id, &message, 2, 0, IPC_NOWAIT | MSG_NOERROR), 2);
    CHECK_EQ(message.type, 9);
    CHECK_TEXT(get(id, 0, IPC_NOWAIT), "none");
    CHECK_ERR(msgrcv(id, &message, (size_t)-1, 0, IPC_NOWAIT), EINVAL);
    message.type = 0;
    CHECK_ERR(msgsnd(id, &message, 1, IPC_NOWAIT), EINVAL);
    message.type = -1;
    CHECK_ERR(msgsnd(id, &message, 1, IPC_NOWAIT), EINVAL);
    message.type = LONG_MAX;
    CHECK_EQ(msgsnd(id, &message, 0, IPC_NOWAIT), 0);
    CHECK_EQ(msgrcv(id, &message, 0, LONG_MIN, IPC_NOWAIT), 0); /* as far as there are types */
    CHECK_ERR(msgrcv(id, &message, 4, 0, MSG_COPY), EINVAL);    /* it may not wait */
    CHECK_ERR(msgrcv(id, &message, 4, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT), EINVAL);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(msgrcv(id, &message, 4, 0, IPC_NOWAIT), EINVAL);
    CHECK_ERR(msgctl(id, IPC_RMID, NULL), EINVAL);
}

ABI_TEST(shm_forms, maps_as_it_is_asked_to)
{
    int id = shmget(IPC_PRIVATE, 8192, 0600);
    struct shmid_ds ds;

    CHECK(id >= 0);
    char *rw = shmat(id, NULL, 0), *ro = shmat(id, NULL, SHM_RDONLY);
    char *exec = shmat(id, NULL, SHM_EXEC);
    CHECK(rw != (void *)-1 && ro != (void *)-1 && exec != (void *)-1);
    strcpy(rw, "shared");
    CHECK(strcmp(ro, "shared") == 0 && strcmp(exec, "shared") == 0);
    CHECK(WIFSIGNALED(IN_CHILD(*(volatile char *)ro = 'x')));
    exec[4096] = (char)0xc3; /* ret */
    ((void (*)(void))(uintptr_t)(exec + 4096))();
    CHECK(WIFSIGNALED(IN_CHILD(((void (*)(void))(uintptr_t)(rw + 4096))())));
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_nattch, 3);
    CHECK_EQ(ds.shm_segsz, 8192);
    CHECK_EQ(ds.shm_cpid, getpid());
    /* Over what is there only when told so, and not without an address. */
    CHECK(shmat(id, rw, 0) == (void *)-1 && errno == EINVAL);
    CHECK(shmat(id, rw, SHM_REMAP) == rw);
    CHECK(shmat(id, NULL, SHM_REMAP) == (void *)-1 && errno == EINVAL);
    CHECK(shmat(id, rw + 1, 0) == (void *)-1 && errno == EINVAL);
    CHECK(shmat(-1, NULL, 0) == (void *)-1 && errno == EINVAL);
    char *rounded = shmat(id, ro + 8192 + 65536 + 77, SHM_RND);
    CHECK(rounded != (void *)-1 && (uintptr_t)rounded % 4096 == 0);
    CHECK_EQ(shmctl(id, SHM_LOCK, NULL), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK((ds.shm_perm.mode & 02000) != 0);
    CHECK_EQ(shmctl(id, SHM_UNLOCK, NULL), 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK((ds.shm_perm.mode & 01000) != 0);  /* to be destroyed with the last */
    CHECK(shmat(id, NULL, 0) != (void *)-1); /* by its number it is there still */
    CHECK_ERR(shmdt(rw + 4096), EINVAL);
    CHECK_EQ(shmdt(rw), 0);
    CHECK_ERR(shmdt(rw), EINVAL);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2077, 2077, 2077), 0);
                 CHECK_ERR(shmctl(id, SHM_LOCK, NULL), EPERM);
                 CHECK_ERR(shmctl(id, IPC_STAT, &ds), EACCES);
                 CHECK_ERR(shmctl(id, IPC_RMID, NULL), EPERM);
                 CHECK(shmat(id, NULL, SHM_RDONLY) == (void *)-1 && errno == EACCES);
             }),
             0);
}

/* By index; _ANY wants no right to read. */
ABI_TEST(ipc_stat, any_of_the_table)
{
    int id = semget(IPC_PRIVATE, 3, 0600), mid = msgget(IPC_PRIVATE, 0600);
    int sid = shmget(IPC_PRIVATE, 4096, 0600), found = 0;
    struct semid_ds ds;
    struct msqid_ds mds;
    struct shmid_ds sds;
    struct seminfo info;

    CHECK(id >= 0 && mid >= 0 && sid >= 0);
    int top = semctl(0, 0, SEM_INFO, (union arg){.info = &info});
    CHECK(top >= 0 && info.semusz >= 1 && info.semaem >= 3);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2077, 2077, 2077), 0);
                 for (int i = 0; i <= top; i++) {
                     if (semctl(i, 0, SEM_STAT_ANY, (union arg){.ds = &ds}) == id) {
                         CHECK_EQ(ds.sem_nsems, 3);
                         CHECK_ERR(semctl(i, 0, SEM_STAT, (union arg){.ds = &ds}), EACCES);
                         found++;
                     }
                     if (msgctl(i, MSG_STAT_ANY, &mds) == mid) {
                         CHECK_ERR(msgctl(i, MSG_STAT, &mds), EACCES);
                     }
                 }
                 CHECK_EQ(found, 1);
                 CHECK_ERR(semctl(id, 0, GETVAL), EACCES);
                 CHECK_ERR(semctl(id, 0, SETVAL, (union arg){.val = 1}), EACCES);
                 CHECK_ERR(semctl(id, 0, IPC_SET, (union arg){.ds = &ds}), EPERM);
                 CHECK_ERR(op(id, 1, 0), EACCES);
                 CHECK_ERR(msgctl(mid, IPC_RMID, NULL), EPERM);
                 CHECK_ERR(shmctl(sid, IPC_RMID, NULL), EPERM);
             }),
             0);
    CHECK_ERR(semctl(30000, 0, SEM_STAT, (union arg){.ds = &ds}), EINVAL);
    CHECK_ERR(semctl(id, 0, 99, 0), EINVAL);
    CHECK_ERR(msgctl(mid, 99, &mds), EINVAL);
    CHECK_ERR(shmctl(sid, 99, &sds), EINVAL);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK_EQ(msgctl(mid, IPC_RMID, NULL), 0);
    CHECK_EQ(shmctl(sid, IPC_RMID, NULL), 0);
}
