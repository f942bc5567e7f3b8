/*
 * System V semaphores.
 */
#include <limits.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "abi.h"

#define KEY 0x4c696e73

union arg {
    int val;
    struct semid_ds *ds;
    unsigned short *array;
    struct seminfo *info;
};

static int create(int nsems)
{
    int id = semget(IPC_PRIVATE, nsems, IPC_CREAT | 0600);
    CHECK(id >= 0);
    return id;
}

static int get(int id, int num, int cmd)
{
    int value = semctl(id, num, cmd);
    CHECK(value >= 0);
    return value;
}

static int op(int id, int num, int by, int flags)
{
    struct sembuf buf = {(unsigned short)num, (short)by, (short)flags};
    return semop(id, &buf, 1);
}

static void set(int id, int num, int value)
{
    CHECK_EQ(semctl(id, num, SETVAL, (union arg){.val = value}), 0);
}

/* Until n wait for semaphore num to be more (GETNCNT) or zero (GETZCNT). */
static void wait_for_waiters(int id, int num, int cmd, int n)
{
    while (get(id, num, cmd) != n) {
        sched_yield();
    }
}

ABI_TEST(sem, values_and_limits)
{
    int id = create(3);
    unsigned short all[3] = {1, 2, 32767}, got[3];

    CHECK_EQ(get(id, 0, GETVAL), 0);
    CHECK_EQ(semctl(id, 0, SETALL, (union arg){.array = all}), 0);
    CHECK_EQ(semctl(id, 0, GETALL, (union arg){.array = got}), 0);
    CHECK_EQ(memcmp(all, got, sizeof(all)), 0);
    CHECK_ERR(op(id, 2, 1, 0), ERANGE);
    CHECK_ERR(semctl(id, 0, SETVAL, (union arg){.val = 32768}), ERANGE);
    CHECK_ERR(semctl(id, 0, SETVAL, (union arg){.val = -1}), ERANGE);
    CHECK_ERR(semctl(id, 3, GETVAL), EINVAL);
    CHECK_ERR(op(id, 3, 1, 0), EFBIG);
    CHECK_ERR(op(id, 0, -2, IPC_NOWAIT), EAGAIN);
    CHECK_EQ(op(id, 0, -1, 0), 0);
    CHECK_ERR(op(id, 1, 0, IPC_NOWAIT), EAGAIN);
    CHECK_EQ(op(id, 0, 0, IPC_NOWAIT), 0);
    CHECK_EQ(get(id, 0, GETPID), getpid());
    CHECK_ERR(semop(id, NULL, 0), EINVAL);
    struct sembuf many[501] = {0};
    CHECK_ERR(semop(id, many, 501), E2BIG);
    CHECK_EQ(semop(id, many, 500), 0);
    CHECK_ERR(semop(id, (void *)1, 1), EFAULT);
    CHECK_ERR(semop(-1, many, 1), EINVAL);
    CHECK_ERR(semop(id + 32768, many, 1), EINVAL);
    CHECK_ERR(semget(IPC_PRIVATE, 0, 0600), EINVAL);
    CHECK_ERR(semget(IPC_PRIVATE, -1, 0600), EINVAL);
    CHECK_ERR(semget(IPC_PRIVATE, 32001, 0600), EINVAL);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK_ERR(semctl(id, 0, IPC_RMID), EINVAL);
}

ABI_TEST(sem, several_operations_happen_together_or_not_at_all)
{
    int id = create(2);
    struct sembuf ops[3] = {{0, 3, 0}, {1, -1, IPC_NOWAIT}, {0, -1, 0}};

    CHECK_ERR(semop(id, ops, 3), EAGAIN);
    CHECK_EQ(get(id, 0, GETVAL), 0);
    set(id, 1, 1);
    CHECK_EQ(semop(id, ops, 3), 0);
    CHECK_EQ(get(id, 0, GETVAL), 2);
    CHECK_EQ(get(id, 1, GETVAL), 0);
    CHECK_EQ(get(id, 1, GETPID), getpid());
    struct sembuf twice[2] = {{0, -1, 0}, {0, -2, IPC_NOWAIT}}; /* the second sees the first */
    CHECK_ERR(semop(id, twice, 2), EAGAIN);
    CHECK_EQ(get(id, 0, GETVAL), 2);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

ABI_TEST(sem, waiters_go_on_when_they_can)
{
    int id = create(2);
    pid_t one = abi_fork(), several, zero;

    if (one == 0) {
        _exit(op(id, 0, -2, 0) == 0 ? 0 : 1);
    }
    wait_for_waiters(id, 0, GETNCNT, 1);
    several = abi_fork();
    if (several == 0) {
        struct sembuf ops[2] = {{0, -1, 0}, {1, -1, 0}};
        _exit(semop(id, ops, 2) == 0 ? 0 : 1);
    }
    wait_for_waiters(id, 0, GETNCNT, 2);
    set(id, 0, 1); /* not enough for the first, nor for the second without the other semaphore */
    wait_for_waiters(id, 1, GETNCNT, 1);
    CHECK_EQ(get(id, 0, GETVAL), 1);
    CHECK_EQ(op(id, 1, 1, 0), 0);
    int status;
    CHECK_EQ(waitpid(several, &status, 0), several);
    CHECK_EQ(status, 0);
    CHECK_EQ(get(id, 1, GETVAL), 0);
    CHECK_EQ(get(id, 0, GETNCNT), 1);
    zero = abi_fork();
    if (zero == 0) {
        CHECK_EQ(op(id, 1, 1, 0), 0);
        _exit(op(id, 1, 0, 0) == 0 ? 0 : 1);
    }
    wait_for_waiters(id, 1, GETZCNT, 1);
    CHECK_EQ(op(id, 1, -1, 0), 0);
    CHECK_EQ(waitpid(zero, &status, 0), zero);
    CHECK_EQ(status, 0);
    CHECK_EQ(op(id, 0, 3, 0), 0);
    CHECK_EQ(waitpid(one, &status, 0), one);
    CHECK_EQ(status, 0);
    CHECK_EQ(get(id, 0, GETVAL), 1);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

static void on_signal(int signo)
{
    (void)signo;
}

ABI_TEST(sem, waiting_ends_by_removal_signals_and_time)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct timespec brief = {0, 20000000}, wrong = {0, 1000000000};
    struct sembuf down = {0, -1, 0};
    int id = create(1), status;
    pid_t child = abi_fork();

    if (child == 0) {
        _exit(op(id, 0, -1, 0) == -1 && errno == EIDRM ? 0 : 1);
    }
    wait_for_waiters(id, 0, GETNCNT, 1);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    id = create(1);
    child = abi_fork();
    if (child == 0) { /* never restarted (signal(7)) */
        sigaction(SIGUSR1, &action, NULL);
        _exit(op(id, 0, -1, 0) == -1 && errno == EINTR ? 0 : 1);
    }
    wait_for_waiters(id, 0, GETNCNT, 1);
    CHECK_EQ(kill(child, SIGUSR1), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(get(id, 0, GETNCNT), 0);
    CHECK_ERR(syscall(SYS_semtimedop, id, &down, 1, &brief), EAGAIN);
    CHECK_ERR(syscall(SYS_semtimedop, id, &down, 1, &wrong), EINVAL);
    CHECK_EQ(get(id, 0, GETNCNT), 0);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

ABI_TEST(sem, what_a_process_did_is_undone)
{
    int id = create(2);

    set(id, 0, 5);
    CHECK_EQ(IN_CHILD(CHECK_EQ(op(id, 0, -3, SEM_UNDO), 0); CHECK_EQ(op(id, 0, 1, SEM_UNDO), 0);
                      CHECK_EQ(op(id, 1, 2, 0), 0)),
             0);
    CHECK_EQ(get(id, 0, GETVAL), 5);
    CHECK_EQ(get(id, 1, GETVAL), 2);
    /* A new value forgets what was done before. */
    CHECK_EQ(IN_CHILD(CHECK_EQ(op(id, 0, -3, SEM_UNDO), 0); set(id, 0, 9)), 0);
    CHECK_EQ(get(id, 0, GETVAL), 9);
    /* It stays above zero. */
    CHECK_EQ(IN_CHILD(CHECK_EQ(op(id, 1, 4, SEM_UNDO), 0); CHECK_EQ(op(id, 1, -6, 0), 0)), 0);
    CHECK_EQ(get(id, 1, GETVAL), 0);
    /* A child of fork does not inherit it. */
    CHECK_EQ(op(id, 0, -1, SEM_UNDO), 0);
    CHECK_EQ(IN_CHILD(), 0);
    CHECK_EQ(get(id, 0, GETVAL), 8);
    CHECK_EQ(unshare(CLONE_SYSVSEM), 0);
    CHECK_EQ(get(id, 0, GETVAL), 9);
    /* What waits for it goes on. */
    set(id, 1, 1);
    pid_t child = abi_fork();
    if (child == 0) {
        CHECK_EQ(op(id, 1, -1, SEM_UNDO), 0);
        pause();
    }
    while (get(id, 1, GETVAL) != 0) {
        sched_yield();
    }
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(op(id, 1, -1, 0), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

ABI_TEST(sem, keys_and_permissions)
{
    int id = semget(KEY, 2, IPC_CREAT | IPC_EXCL | 0640);
    struct semid_ds ds;

    CHECK(id >= 0);
    CHECK_EQ(semget(KEY, 0, 0), id);
    CHECK_EQ(semget(KEY, 2, IPC_CREAT), id);
    CHECK_ERR(semget(KEY, 3, 0), EINVAL);
    CHECK_ERR(semget(KEY, 2, IPC_CREAT | IPC_EXCL), EEXIST);
    CHECK_EQ(semctl(id, 0, IPC_STAT, (union arg){.ds = &ds}), 0);
    CHECK_EQ(ds.sem_nsems, 2);
    CHECK_EQ(ds.sem_otime, 0);
    CHECK(ds.sem_ctime != 0);
    CHECK_EQ(ds.sem_perm.mode, 0640);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    CHECK_EQ(semctl(id, 0, IPC_STAT, (union arg){.ds = &ds}), 0);
    CHECK(ds.sem_otime != 0);
    CHECK_EQ(IN_CHILD(CHECK_EQ(setgid(77), 0); CHECK_EQ(setuid(77), 0);
                      CHECK_ERR(semget(KEY, 0, 0600), EACCES); CHECK_EQ(semget(KEY, 0, 0), id);
                      CHECK_ERR(op(id, 0, 1, 0), EACCES); CHECK_ERR(semctl(id, 0, GETVAL), EACCES);
                      CHECK_ERR(semctl(id, 0, IPC_RMID), EPERM)),
             0);
    ds.sem_perm.uid = 77;
    ds.sem_perm.mode = 0200;
    CHECK_EQ(semctl(id, 0, IPC_SET, (union arg){.ds = &ds}), 0);
    CHECK_EQ(IN_CHILD(CHECK_EQ(setgid(77), 0); CHECK_EQ(setuid(77), 0);
                      CHECK_EQ(op(id, 0, 1, 0), 0); CHECK_ERR(semctl(id, 0, GETVAL), EACCES);
                      CHECK_EQ(semctl(id, 0, IPC_RMID), 0)),
             0);
    CHECK_ERR(semget(KEY, 0, 0), ENOENT);
}

ABI_TEST(sem, figures)
{
    struct seminfo info;
    int id = create(7);

    CHECK(semctl(0, 0, IPC_INFO, (union arg){.info = &info}) >= 0);
    CHECK_EQ(info.semmsl, 32000);
    CHECK_EQ(info.semopm, 500);
    CHECK_EQ(info.semmni, 32000);
    CHECK_EQ(info.semvmx, 32767);
    int highest = semctl(0, 0, SEM_INFO, (union arg){.info = &info});
    CHECK(highest >= 0 && info.semusz >= 1 && info.semaem >= 7);
    bool found = false;
    for (int i = 0; i <= highest; i++) {
        struct semid_ds ds;
        found |= semctl(i, 0, SEM_STAT, (union arg){.ds = &ds}) == id && ds.sem_nsems == 7;
    }
    CHECK(found);
    FILE *file = fopen("/proc/sysvipc/sem", "r");
    char line[256];
    CHECK(file != NULL && fgets(line, sizeof(line), file) != NULL);
    CHECK(strstr(line, "nsems") != NULL);
    found = false;
    while (fgets(line, sizeof(line), file) != NULL) {
        int semid, mode, nsems;
        found |= sscanf(line, "%*d %d %o %d", &semid, &mode, &nsems) == 3 && semid == id &&
                 mode == 0600 && nsems == 7;
    }
    CHECK(found);
    fclose(file);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}
