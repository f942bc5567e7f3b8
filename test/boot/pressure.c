/*
 * pressure WHAT   uses up memory in one of several ways, for memory_test.py. Says what came of it in a line; some ways end by being killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB 1048576ul

static void die(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(2);
}

static char *map(size_t len, int rights)
{
    char *at = mmap(NULL, len, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        die("mmap");
    }
    return at;
}

/* Content that does not compress. */
static void fill(char *at, size_t len)
{
    static uint64_t x = 88172645463325252ull;

    for (size_t i = 0; i < len; i += sizeof(x)) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(at + i, &x, sizeof(x));
    }
}

static void touch(size_t mib)
{
    fill(map(mib * MIB, PROT_READ | PROT_WRITE), mib * MIB);
}

static void adjust(int adj)
{
    FILE *file = fopen("/proc/self/oom_score_adj", "w");

    if (file == NULL || fprintf(file, "%d", adj) < 0 || fclose(file) != 0) {
        die("oom_score_adj");
    }
}

/* A child that runs fn(arg) and stays until it is killed; returns when fn has. */
static pid_t child(void (*fn)(int), int arg)
{
    int ready[2];
    char byte;

    if (pipe(ready) < 0) {
        die("pipe");
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        die("fork");
    }
    if (pid == 0) {
        fn(arg);
        (void)!write(ready[1], "x", 1);
        for (;;) {
            pause();
        }
    }
    close(ready[1]);
    (void)!read(ready[0], &byte, 1);
    close(ready[0]);
    return pid;
}

/* A word that children share. */
static volatile pid_t *shared_word;

static void share_word(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED) {
        die("mmap");
    }
    shared_word = at;
}

/* How the child is: its signal, 0 for an orderly end, -1 while it lives. */
static int fate(pid_t pid)
{
    int status = 0;

    pid_t got = waitpid(pid, &status, WNOHANG);
    return got == 0 ? -1 : WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* ---- ways ---- */

static void way_hog(void)
{
    touch(4096);
    printf("all touched\n");
}

/* Beside memory that does not compress a few pages in turns: in the end they only change places. */
static void change_places(void)
{
    size_t len = 4096 * MIB, turns = 40 * 4096;
    char *stays = map(len, PROT_READ | PROT_WRITE);
    volatile char *by_turns = map(turns, PROT_READ | PROT_WRITE);

    for (size_t i = 0; i < len; i += 4096) {
        fill(stays + i, 4096);
        for (size_t k = 0; k < turns; k += 4096) {
            by_turns[k] = 0;
        }
    }
}

/* Many times, as it is a matter of luck whether the last ones hold each other up. */
static void way_thrash(void)
{
    unsigned killed = 0;

    for (unsigned i = 0; i < 8; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid < 0) {
            die("fork");
        }
        if (pid == 0) {
            change_places();
            _exit(0);
        }
        waitpid(pid, &status, 0);
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    }
    printf("%u of 8 killed\n", killed);
}

/* ---- swap ---- */

/* The words of page `i`: each page another, all of them easy to compress. */
static uint64_t word(size_t i, size_t k)
{
    return k % 64 == 0 ? i * 2654435761u : k / 32;
}

static void fill_easily(uint64_t *at, size_t npages)
{
    for (size_t i = 0; i < npages; i++) {
        for (size_t k = 0; k < 512; k++) {
            at[i * 512 + k] = word(i, k);
        }
    }
}

static const char *check(const uint64_t *at, size_t npages)
{
    for (size_t i = 0; i < npages; i++) {
        for (size_t k = 0; k < 512; k++) {
            if (at[i * 512 + k] != word(i, k)) {
                return "spoilt";
            }
        }
    }
    return "as written";
}

/* More than there is memory. */
static void way_squeeze(void)
{
    size_t npages = 400 * MIB / 4096;
    uint64_t *at = (uint64_t *)map(npages * 4096, PROT_READ | PROT_WRITE);

    fill_easily(at, npages);
    printf("400 MiB %s\n", check(at, npages));
}

static long in_swap_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmSwap: %ld", &kb);
    }
    fclose(file);
    return kb;
}

/* Private memory, shared memory and that of a child, out and back by swapoff(2). */
static void way_swapoff(void)
{
    size_t npages = 32 * MIB / 4096;
    uint64_t *own = (uint64_t *)map(npages * 4096, PROT_READ | PROT_WRITE);
    uint64_t *shared =
        mmap(NULL, npages * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    fill_easily(own, npages);
    fill_easily(shared, npages);
    if (madvise(own, npages * 4096, MADV_PAGEOUT) < 0 ||
        madvise(shared, npages * 4096, MADV_PAGEOUT) < 0) {
        die("madvise");
    }
    long before = in_swap_kb();
    int done[2];
    char byte = 0;
    if (pipe(done) < 0) {
        die("pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)!read(done[0], &byte, 1);
        printf("child %ld kB out, %s\n", in_swap_kb(), check(own, npages));
        fflush(stdout);
        _exit(0);
    }
    int err = swapoff("/dev/zram0");
    printf("%ld kB out, swapoff %d, then %ld kB, %s and %s\n", before, err, in_swap_kb(),
           check(own, npages), check(shared, npages));
    fflush(stdout);
    (void)!write(done[1], &byte, 1);
    waitpid(pid, NULL, 0);
}

#define NSLOTS 32u

/* Of pages that are out, how many /proc/self/pagemap shows at places of their own in the first area (its bits 0 to 4, 5 to 54 and 62). */
static unsigned slots_of(const char *at)
{
    uint64_t words[NSLOTS];
    unsigned n = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY);

    if (pread(fd, words, sizeof(words), (off_t)((uintptr_t)at / 4096 * 8)) != sizeof(words)) {
        die("pagemap");
    }
    close(fd);
    for (unsigned i = 0; i < NSLOTS; i++) {
        uint64_t slot = words[i] >> 5 & ((1ull << 50) - 1);
        bool own =
            words[i] >> 62 == 1 && (words[i] & 31) == 0 && slot > 0 && slot < 512 * MIB / 4096;
        for (unsigned j = 0; j < i; j++) {
            own &= words[j] != words[i];
        }
        n += own;
    }
    return n;
}

/* Pages of System V shared memory in swap, when all of it was sent there. */
static unsigned long out_of_shm(char *at)
{
    struct shm_info info;

    if (madvise(at, NSLOTS * 4096, MADV_PAGEOUT) < 0 ||
        shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info) < 0) {
        die("SHM_INFO");
    }
    return info.shm_swp;
}

/* Where in swap pages are; and shared memory that was locked is not there. */
static void way_slots(void)
{
    char *own = map(NSLOTS * 4096, PROT_READ | PROT_WRITE);
    int id = shmget(IPC_PRIVATE, NSLOTS * 4096, IPC_CREAT | 0600);
    char *shared = shmat(id, NULL, 0);

    if (shared == (char *)-1 || shmctl(id, SHM_LOCK, NULL) < 0) {
        die("shm");
    }
    fill_easily((uint64_t *)own, NSLOTS);
    fill_easily((uint64_t *)shared, NSLOTS);
    if (madvise(own, NSLOTS * 4096, MADV_PAGEOUT) < 0) {
        die("madvise");
    }
    printf("%u slots, ", slots_of(own));
    printf("locked %lu out, ", out_of_shm(shared));
    shmctl(id, SHM_UNLOCK, NULL);
    printf("unlocked %lu out, ", out_of_shm(shared));
    printf("%s and %s\n", check((uint64_t *)own, NSLOTS), check((uint64_t *)shared, NSLOTS));
    shmctl(id, IPC_RMID, NULL);
}

/* Read faults over a vast range: nothing but page tables. */
static void way_sparse(void)
{
    size_t len = 1ul << 45;
    volatile char *at = map(len, PROT_READ), sum = 0;

    (void)madvise((void *)at, len, MADV_NOHUGEPAGE); /* zeros in huge leaves need no table */
    for (size_t i = 0; i < len; i += 2 * MIB) {
        sum += at[i];
    }
    printf("all touched %d\n", sum);
}

static void hold(int mib)
{
    touch((size_t)mib);
}

static void hold_in_swap(int mib)
{
    size_t npages = (size_t)mib * MIB / 4096;
    uint64_t *own = (uint64_t *)map(npages * 4096, PROT_READ | PROT_WRITE);

    fill_easily(own, npages);
    if (madvise(own, npages * 4096, MADV_PAGEOUT) < 0 || in_swap_kb() < mib * 1000) {
        die("madvise");
    }
}

/* What is in swap counts as well when somebody is to be killed. */
static void way_swapped(void)
{
    pid_t out = child(hold_in_swap, 64), in = child(hold, 16);
    int fd = open("/proc/sysrq-trigger", O_WRONLY);

    if (fd < 0 || write(fd, "f", 1) != 1) {
        die("sysrq");
    }
    pid_t dead = waitpid(-1, NULL, 0);
    printf("%s killed\n", dead == out ? "who is in swap" : dead == in ? "who is not" : "somebody");
    kill(dead == out ? in : out, SIGKILL);
}

static void hold_dear(int mib)
{
    adjust(-1000);
    touch((size_t)mib);
}

static void hold_cheap(int mib)
{
    adjust(900);
    touch((size_t)mib);
}

/* Of three, the cheap one goes first, though it has least; the dear one never. */
static void way_adjusted(void)
{
    pid_t dear = child(hold_dear, 100), plain = child(hold, 60), cheap = child(hold_cheap, 20);
    pid_t more = child(hold, 80);

    siginfo_t info;
    waitid(P_ALL, 0, &info, WEXITED | WNOWAIT); /* its memory is free before its end is told */
    printf("dear %d plain %d cheap %d more %d\n", fate(dear), fate(plain), fate(cheap), fate(more));
    fflush(stdout);
    kill(0, SIGKILL);
}

static int sharer(void *arg)
{
    (void)arg;
    for (;;) {
        pause();
    }
    return 0;
}

static pid_t share(void)
{
    static char stack[65536];

    return clone(sharer, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
}

/* Two processes, one space: both end. */
static void hold_together(int mib)
{
    shared_word[0] = share();
    touch((size_t)mib);
}

static void way_together(void)
{
    share_word();
    pid_t first = child(hold_together, 150);
    pid_t more = child(hold, 100);
    int end = -1; /* both come to theirs in their own time, and init has to take notice of one */
    for (unsigned i = 0; i < 6000 && (end < 0 || kill(shared_word[0], 0) == 0); i++) {
        end = end < 0 ? fate(first) : end;
        usleep(10000);
    }
    printf("first %d other %d more %d\n", end, kill(shared_word[0], 0) == 0, fate(more));
    kill(more, SIGKILL);
}

/*
 * The one with most memory waits for the lock of a file, whose holder waits for memory: the victim cannot end, so its memory must be taken.
 */
static void way_stuck(void)
{
    int file = open("/tmp/stuck", O_CREAT | O_RDWR | O_TRUNC, 0600);
    int go[2];
    char byte = 0;

    if (file < 0 || pipe(go) < 0) {
        die("stuck");
    }
    pid_t hog = fork();
    if (hog == 0) {
        touch(150);
        (void)!write(go[1], "x", 1);
        for (;;) { /* one of these will find the file locked, before memory runs out */
            (void)!pwrite(file, &byte, 1, 0);
        }
    }
    (void)!read(go[0], &byte, 1);
    char *zeros = map(115 * MIB, PROT_READ);
    ssize_t n = pwrite(file, zeros, 115 * MIB, 0);
    int status = 0;
    waitpid(hog, &status, 0);
    printf("wrote %zd MiB, victim %d\n", n / (ssize_t)MIB, WTERMSIG(status));
    unlink("/tmp/stuck");
}

/* Started where nobody may be killed: waits until somebody gives memory back. */
static void way_unkillable(void)
{
    int status = -1;

    share_word();
    pid_t holder = child(hold, 100);
    pid_t helper = fork();
    if (helper == 0) {
        char *at = map(90 * MIB, PROT_READ | PROT_WRITE);
        fill(at, 90 * MIB);
        *shared_word = 1;
        sleep(3);
        *shared_word = 2;
        _exit(0);
    }
    while (*shared_word == 0) {
        usleep(10000);
    }
    touch(80);
    bool waited = *shared_word == 2;
    waitpid(helper, &status, 0);
    printf("all touched, waited %d, helper %d\n", waited, status);
    kill(holder, SIGKILL);
}

/* Empty files, until the file system says that it is full. */
static void way_files(void)
{
    char name[64];
    int n = 0, fd;

    for (;; n++) {
        snprintf(name, sizeof(name), "/tmp/pressure%d", n);
        fd = open(name, O_CREAT | O_WRONLY | O_EXCL, 0600);
        if (fd < 0) {
            break;
        }
        close(fd);
    }
    int error = errno;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "/tmp/pressure%d", i);
        unlink(name);
    }
    printf("%s after %s files\n", error == ENOSPC ? "full" : strerror(error),
           n > 1000 ? "many" : "few");
}

static void become_nobody(void)
{
    if (setgid(65534) < 0 || setuid(65534) < 0) {
        die("setuid");
    }
}

/* Processes that stay, as many as there can be. */
static void bomb(void)
{
    int n = 0;
    pid_t pid;

    while ((pid = fork()) > 0) {
        n++;
    }
    if (pid == 0) {
        pause();
        _exit(0);
    }
    printf("%s after %s processes\n", strerror(errno), n > 100 ? "many" : "few");
    fflush(stdout);
    kill(0, SIGKILL);
}

static void way_bomb(void)
{
    bomb();
}

static void way_user_bomb(void)
{
    become_nobody();
    bomb();
}

/* All pipes that one user can have, filled. */
static void way_pipes(void)
{
    static char page[4096];
    struct rlimit files = {4096, 4096};
    unsigned long bytes = 0;
    int ends[2], n = 0;

    setrlimit(RLIMIT_NOFILE, &files);
    become_nobody();
    for (; pipe2(ends, O_NONBLOCK) == 0; n++) {
        ssize_t wrote;
        fcntl(ends[1], F_SETPIPE_SZ, MIB);
        while ((wrote = write(ends[1], page, sizeof(page))) > 0) {
            bytes += (unsigned long)wrote;
        }
    }
    printf("%s with %s than 80 MiB in %s pipes\n", strerror(errno),
           bytes > 80 * MIB ? "more" : "less", n > 2000 ? "many" : "few");
}

static const struct way {
    const char *name;
    void (*run)(void);
} ways[] = {
    {"hog", way_hog},           {"sparse", way_sparse},   {"adjusted", way_adjusted},
    {"together", way_together}, {"stuck", way_stuck},     {"unkillable", way_unkillable},
    {"files", way_files},       {"bomb", way_bomb},       {"user-bomb", way_user_bomb},
    {"pipes", way_pipes},       {"squeeze", way_squeeze}, {"swapoff", way_swapoff},
    {"thrash", way_thrash},     {"slots", way_slots},     {"swapped", way_swapped},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(argv[1], ways[i].name) == 0) {
            ways[i].run();
            return 0;
        }
    }
    return 1;
}
