/*
 * System V shared memory.
 */
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/sysinfo.h>

#include "abi.h"

#define PAGE         4096
#define KEY          0x4c696e6e
#define STAT_ANY     15
#define SEGMENT_DEST 01000u

static int create(size_t size)
{
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    CHECK(id >= 0);
    return id;
}

static struct shmid_ds stat_of(int id)
{
    struct shmid_ds ds;
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    return ds;
}

ABI_TEST(shm, is_shared_and_counted)
{
    int id = create(2 * PAGE + 5);
    char *a = shmat(id, NULL, 0);
    char *b = shmat(id, NULL, 0);

    CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
    CHECK_EQ(a[0], 0);
    a[3 * PAGE - 1] = 'x';
    CHECK_EQ(b[3 * PAGE - 1], 'x');
    CHECK_EQ(IN_CHILD(CHECK_EQ(stat_of(id).shm_nattch, 4); a[1] = 'c'; CHECK_EQ(shmdt(b), 0);
                      CHECK_EQ(stat_of(id).shm_nattch, 3)),
             0);
    CHECK_EQ(b[1], 'c');
    struct shmid_ds ds = stat_of(id);
    CHECK_EQ(ds.shm_nattch, 2);
    CHECK_EQ(ds.shm_segsz, 2 * PAGE + 5);
    CHECK_EQ(ds.shm_cpid, getpid());
    CHECK(ds.shm_lpid != getpid()); /* the child was the last */
    CHECK_EQ(ds.shm_perm.mode, 0600);
    CHECK_EQ(ds.shm_perm.uid, 0);
    CHECK(ds.shm_atime != 0 && ds.shm_dtime != 0 && ds.shm_ctime != 0);
    CHECK_EQ(shmdt(a), 0);
    CHECK_EQ(b[1], 'c');
    CHECK_ERR(shmdt(a), EINVAL);
    CHECK_ERR(shmdt(b + 1), EINVAL);
    CHECK_ERR(shmdt(b + PAGE), EINVAL);
    CHECK_EQ(shmdt(b), 0);
    CHECK_EQ(stat_of(id).shm_nattch, 0);
    a = shmat(id, NULL, 0);
    CHECK_EQ(a[1], 'c'); /* it stays while nobody has it */
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

ABI_TEST(shm, without_a_promise_may_be_larger_than_memory)
{
    struct sysinfo info;

    if (strtol(abi_read_file("/proc/sys/vm/overcommit_memory"), NULL, 10) != 0) {
        abi_skip("overcommit_memory is not 0");
    }
    CHECK_EQ(sysinfo(&info), 0);
    size_t size = (info.totalram + info.totalswap) * info.mem_unit * 2;
    CHECK_ERR(shmget(IPC_PRIVATE, size, IPC_CREAT | 0600), ENOMEM);
    CHECK_ERR(shmget(IPC_PRIVATE, 1ul << 63, IPC_CREAT | SHM_NORESERVE | 0600), EINVAL);
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | SHM_NORESERVE | 0600);
    CHECK(id >= 0);
    CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
    char *p = shmat(id, NULL, 0);
    CHECK(p != (void *)-1);
    p[size - 1] = 1;
    CHECK_EQ(IN_CHILD(CHECK_EQ(p[size - 1], 1)), 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

ABI_TEST(shm, removal_waits_for_the_last)
{
    int id = shmget(KEY, PAGE, IPC_CREAT | IPC_EXCL | 0600);
    char *a;

    CHECK(id >= 0);
    a = shmat(id, NULL, 0);
    a[0] = 'a';
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_EQ(stat_of(id).shm_perm.mode, 0600 | SEGMENT_DEST);
    CHECK_ERR(shmget(KEY, PAGE, 0600), ENOENT);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    char *b = shmat(id, NULL, 0); /* Linux lets it */
    CHECK(b != (void *)-1);
    CHECK_EQ(b[0], 'a');
    CHECK_EQ(shmdt(a), 0);
    CHECK_EQ(b[0], 'a');
    CHECK_EQ(munmap(b, PAGE), 0);
    struct shmid_ds ds;
    CHECK_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
    CHECK(shmat(id, NULL, 0) == (void *)-1 && errno == EINVAL);
}

ABI_TEST(shm, keys_find_segments)
{
    int id = shmget(KEY + 1, 2 * PAGE, IPC_CREAT | 0640);

    CHECK(id >= 0);
    CHECK_EQ(shmget(KEY + 1, 2 * PAGE, 0), id);
    CHECK_EQ(shmget(KEY + 1, 0, 0), id);
    CHECK_EQ(shmget(KEY + 1, PAGE, IPC_CREAT | 0600), id);
    CHECK_ERR(shmget(KEY + 1, PAGE, IPC_CREAT | IPC_EXCL), EEXIST);
    CHECK_ERR(shmget(KEY + 1, 2 * PAGE + 1, 0), EINVAL);
    CHECK_ERR(shmget(KEY + 2, PAGE, 0), ENOENT);
    CHECK_ERR(shmget(KEY + 2, 0, IPC_CREAT | 0600), EINVAL);
    CHECK_ERR(shmget(IPC_PRIVATE, ~(size_t)0, 0600), EINVAL);
    int other = create(PAGE);
    CHECK(other != id);
    CHECK_EQ(shmctl(other, IPC_RMID, NULL), 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(shmctl(id, IPC_RMID, NULL), EINVAL);
}

ABI_TEST(shm, permissions_bind_others)
{
    int id = create(PAGE);
    struct shmid_ds ds = stat_of(id);

    ds.shm_perm.mode = 0604;
    CHECK_EQ(shmctl(id, IPC_SET, &ds), 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setgid(99) | setuid(99), 0);
                 CHECK(shmat(id, NULL, 0) == (void *)-1 && errno == EACCES);
                 CHECK(shmat(id, NULL, SHM_EXEC | SHM_RDONLY) == (void *)-1 && errno == EACCES);
                 char *view = shmat(id, NULL, SHM_RDONLY);
                 CHECK(view != (void *)-1);
                 CHECK_EQ(view[0], 0);
                 CHECK_ERR(mprotect(view, PAGE, PROT_READ | PROT_WRITE), EACCES);
                 CHECK_ERR(shmctl(id, IPC_RMID, NULL), EPERM);
                 CHECK_ERR(shmctl(id, IPC_SET, &ds), EPERM);
                 CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
                 CHECK_ERR(shmctl(id, SHM_LOCK, NULL), EPERM);
             }),
             0);
    ds.shm_perm.mode = 0600;
    CHECK_EQ(shmctl(id, IPC_SET, &ds), 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setgid(99) | setuid(99), 0);
                 CHECK_ERR(shmctl(id, IPC_STAT, &ds), EACCES);
                 CHECK(shmat(id, NULL, SHM_RDONLY) == (void *)-1 && errno == EACCES);
             }),
             0);
    ds.shm_perm.uid = 99;
    CHECK_EQ(shmctl(id, IPC_SET, &ds), 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setgid(99) | setuid(99), 0);
                 CHECK(shmat(id, NULL, 0) != (void *)-1);
                 CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
             }),
             0);
    CHECK_ERR(shmctl(id, IPC_RMID, NULL), EINVAL);
}

ABI_TEST(shm, places)
{
    int id = create(2 * PAGE);
    char *room = mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(room != MAP_FAILED);
    CHECK_EQ(munmap(room + 4 * PAGE, 2 * PAGE), 0);
    CHECK(shmat(id, room + 4 * PAGE + 100, SHM_RND) == room + 4 * PAGE);
    CHECK_EQ(shmdt(room + 4 * PAGE), 0);
    CHECK(shmat(id, room + 4 * PAGE + 100, 0) == (void *)-1 && errno == EINVAL);
    CHECK(shmat(id, room + 3 * PAGE, 0) == (void *)-1 && errno == EINVAL);
    CHECK(shmat(id, NULL, SHM_REMAP) == (void *)-1 && errno == EINVAL);
    CHECK(shmat(id, room, SHM_REMAP) == room);
    CHECK(shmat(-1, NULL, 0) == (void *)-1 && errno == EINVAL);
    /* What is left of it after a cut goes too. */
    int big = create(4 * PAGE);
    char *at = shmat(big, NULL, 0);
    CHECK(at != (void *)-1);
    CHECK_EQ(munmap(at + PAGE, PAGE), 0);
    CHECK_EQ(stat_of(big).shm_nattch, 2);
    CHECK_EQ(shmdt(at), 0);
    CHECK_EQ(stat_of(big).shm_nattch, 0);
    CHECK_EQ(shmctl(big, IPC_RMID, NULL), 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

ABI_TEST(shm, commands)
{
    struct shmid_ds ds;
    struct shminfo limits;
    struct shm_info usage;
    int id = create(3 * PAGE);
    int highest = shmctl(0, IPC_INFO, (struct shmid_ds *)(void *)&limits);

    CHECK(highest >= 0);
    CHECK_EQ(limits.shmmin, 1);
    CHECK(limits.shmmni >= 4096);
    CHECK_EQ(shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&usage), highest);
    CHECK(usage.used_ids >= 1 && usage.shm_tot >= 3);
    bool found = false;
    for (int i = 0; i <= highest; i++) {
        found |= shmctl(i, SHM_STAT, &ds) == id && ds.shm_segsz == 3 * PAGE;
    }
    CHECK(found);
    CHECK_EQ(shmctl(id & 0x7fff, STAT_ANY, &ds), id);
    CHECK_ERR(shmctl(id, 99, &ds), EINVAL);
    CHECK_ERR(shmctl(id, -1, &ds), EINVAL);
    CHECK_ERR(shmctl(-1, IPC_STAT, &ds), EINVAL);
    CHECK_ERR(shmctl(id, IPC_STAT, (void *)8), EFAULT);
    CHECK_ERR(shmctl(id, IPC_SET, (void *)8), EFAULT);
    CHECK_ERR(shmctl(id + 0x8000, IPC_STAT, &ds), EINVAL);
    CHECK_EQ(shmctl(id, SHM_LOCK, NULL), 0);
    CHECK_EQ(stat_of(id).shm_perm.mode, 0600 | 02000);
    CHECK_EQ(shmctl(id, SHM_UNLOCK, NULL), 0);
    CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

/* getrlimit(2), RLIMIT_MEMLOCK: of a user, apart from what processes lock; who locks first pays, until it is unlocked or gone. */
ABI_TEST(shm, what_is_locked_is_limited)
{
    struct rlimit limit = {4 * PAGE, 4 * PAGE};
    int ids[3];

    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    CHECK_EQ(setgid(4711) | setuid(4711), 0);
    for (int i = 0; i < 3; i++) {
        ids[i] = create(2 * PAGE);
    }
    CHECK_EQ(shmctl(ids[0], SHM_LOCK, NULL), 0);
    CHECK_EQ(shmctl(ids[0], SHM_LOCK, NULL), 0);
    CHECK_EQ(shmctl(ids[1], SHM_LOCK, NULL), 0);
    CHECK_ERR(shmctl(ids[2], SHM_LOCK, NULL), ENOMEM);
    CHECK_EQ(stat_of(ids[2]).shm_perm.mode & 02000, 0);
    CHECK_EQ(shmctl(ids[0], SHM_UNLOCK, NULL), 0);
    CHECK_EQ(shmctl(ids[0], SHM_UNLOCK, NULL), 0);
    CHECK_EQ(shmctl(ids[2], SHM_LOCK, NULL), 0);
    CHECK_EQ(shmctl(ids[1], IPC_RMID, NULL), 0);
    CHECK_EQ(shmctl(ids[0], SHM_LOCK, NULL), 0);
    limit.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    CHECK_ERR(shmctl(ids[0], SHM_LOCK, NULL), EPERM);
    CHECK_EQ(shmctl(ids[0], SHM_UNLOCK, NULL), 0);
    CHECK_EQ(shmctl(ids[0], IPC_RMID, NULL), 0);
    CHECK_EQ(shmctl(ids[2], IPC_RMID, NULL), 0);
}

ABI_TEST(shm, is_seen_in_proc)
{
    char line[512], maps[64];
    int id = shmget(KEY + 3, 5 * PAGE, IPC_CREAT | 0600);
    char *at = shmat(id, NULL, 0);
    bool found = false;

    CHECK(at != (void *)-1);
    at[0] = at[PAGE] = 1;
    FILE *file = fopen("/proc/sysvipc/shm", "r");
    CHECK(file != NULL);
    CHECK(fgets(line, sizeof(line), file) != NULL);
    CHECK(strncmp(line, "       key      shmid perms                  size  cpid  lpid nattch",
                  68) == 0);
    while (fgets(line, sizeof(line), file) != NULL) {
        int key, shmid, cpid, lpid;
        unsigned mode;
        unsigned long size, nattach, rss, swap;
        if (sscanf(line, "%d %d %o %lu %d %d %lu %*u %*u %*u %*u %*u %*u %*u %lu %lu", &key, &shmid,
                   &mode, &size, &cpid, &lpid, &nattach, &rss, &swap) == 9 &&
            shmid == id) {
            found = true;
            CHECK_EQ(key, KEY + 3);
            CHECK_EQ(mode, 0600);
            CHECK_EQ(size, 5 * PAGE);
            CHECK_EQ(cpid, getpid());
            CHECK_EQ(nattach, 1);
            CHECK_EQ(rss, 2 * PAGE);
        }
    }
    CHECK(found);
    fclose(file);
    snprintf(maps, sizeof(maps), "/SYSV%08x (deleted)\n", KEY + 3);
    file = fopen("/proc/self/maps", "r");
    found = false;
    while (fgets(line, sizeof(line), file) != NULL) {
        found |= strstr(line, maps) != NULL && strstr(line, "rw-s") != NULL;
    }
    CHECK(found);
    fclose(file);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

ABI_TEST(shm, exec_and_exit_let_go)
{
    int id = create(PAGE);
    int status = IN_CHILD(CHECK(shmat(id, NULL, 0) != (void *)-1); _exit(3));

    CHECK_EQ(WEXITSTATUS(status), 3);
    CHECK_EQ(stat_of(id).shm_nattch, 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}
