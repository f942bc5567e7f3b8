/*
 * hostile COUNT SEED [leak]      COUNT random system calls with hostile arguments, from children that are replaced as they die
 *
 * The children are nobody, in a folder of their own, so that what they may do is theirs alone; the kernel must live, and with `leak`
 * the free memory afterwards must be what it was (within SLACK_KIB). Prints TAP.
 */
#include "abi.h"

#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#define LAST_SYSCALL 452
#define NOBODY       65534
#define STUCK_MS     1500
#define SLACK_KIB    1024
#define BATCH        5000 /* calls of one child at most */

/* What would end or outlive the test instead of testing. */
static const int left_out[] = {
    SYS_exit,         SYS_exit_group, SYS_fork,    SYS_vfork,  SYS_clone,
    435 /* clone3 */, SYS_pause,      SYS_kill,    SYS_reboot, SYS_rt_sigsuspend,
    SYS_setsid,       SYS_ptrace,     SYS_vhangup,
};

static volatile uint64_t
    *calls_done; /* shared with the child, which may scribble over it: believed only within BATCH */
static uint64_t state;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Arguments near every edge: small numbers, descriptors, pointers good and bad, huge lengths, bits. */
static uint64_t hostile_argument(char *memory, size_t size)
{
    uint64_t r = next_random();

    switch (r % 16) {
    case 0:
        return 0;
    case 1:
        return ~0ull;
    case 2:
        return r >> 32 & 7;
    case 3:
    case 4:
        return r >> 32 & 31;
    case 5:
        return 1ull << (r >> 32 & 63);
    case 6:
        return 0xffff800000000000ull + (r >> 20);
    case 7:
        return 0x7fffffffffffull - (r >> 52);
    case 8:
        return (uint64_t)(int64_t)-100; /* AT_FDCWD */
    case 9:
        return r >> 32 & 0xffff;
    case 10:
        return (uint64_t)(uintptr_t)memory + size - (r >> 56); /* runs off the end */
    case 11:
        return (uint64_t)(uintptr_t) "/proc/self/stat";
    case 12:
        return (uint64_t)(uintptr_t) "name";
    case 13:
        return r;
    default:
        return (uint64_t)(uintptr_t)memory + (r >> 40) % size;
    }
}

static bool is_left_out(long nr)
{
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        if (left_out[i] == nr) {
            return true;
        }
    }
    return false;
}

static void child(uint64_t seed, uint64_t count)
{
    size_t size = 1 << 16;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct rlimit limit = {256 << 20, 256 << 20}, file = {1 << 20, 1 << 20};
    int null = open("/dev/null", O_RDWR);

    (void)dup2(null, 0);
    (void)dup2(null, 1);
    (void)dup2(null, 2);
    (void)setrlimit(RLIMIT_AS, &limit);
    (void)setrlimit(RLIMIT_FSIZE, &file);
    (void)setgroups(0, NULL);
    (void)setresgid(NOBODY, NOBODY, NOBODY);
    (void)setresuid(NOBODY, NOBODY, NOBODY);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    state = seed | 1;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = next_random() % 4 != 0 ? next_random() : next_random() & 0xff;
        memcpy(memory + i, &word, 8);
    }
    for (uint64_t done = 0; done < count;) {
        long nr = (long)(next_random() % (LAST_SYSCALL + 4));
        if (is_left_out(nr)) {
            continue;
        }
        *calls_done = ++done;
        (void)syscall(nr, hostile_argument(memory, size), hostile_argument(memory, size),
                      hostile_argument(memory, size), hostile_argument(memory, size),
                      hostile_argument(memory, size), hostile_argument(memory, size));
    }
    _exit(0);
}

/* Wait for the child; one that makes no progress (it waits for what never comes) is killed. */
static void supervise(pid_t pid)
{
    uint64_t seen = *calls_done;

    for (long quiet_ms = 0;; quiet_ms += 10) {
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            return;
        }
        if (*calls_done != seen) {
            seen = *calls_done;
            quiet_ms = 0;
        }
        if (quiet_ms >= STUCK_MS) {
            (void)kill(pid, SIGKILL);
        }
        abi_sleep_ms(quiet_ms > 200 ? 10 : 1);
    }
}

static uint64_t run(uint64_t target, uint64_t seed)
{
    char dir[64], command[128];
    uint64_t total = 0;

    (void)snprintf(dir, sizeof(dir), "/tmp/hostile.%d", (int)getpid());
    (void)mkdir(dir, 0777);
    (void)chmod(dir, 0777);
    if (chdir(dir) != 0) {
        return 0;
    }
    while (total < target) {
        uint64_t count = target - total < BATCH ? target - total : BATCH;
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        *calls_done = 0;
        pid_t pid = fork();
        if (pid == 0) {
            child(seed, count);
        }
        supervise(pid);
        total += *calls_done < count ? *calls_done : count;
    }
    (void)chdir("/");
    (void)snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", dir, dir);
    (void)system(command);
    return total;
}

int main(int argc, char **argv)
{
    uint64_t target = argc > 1 ? strtoull(argv[1], NULL, 0) : 10000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    bool leak = argc > 3;

    calls_done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (calls_done == MAP_FAILED) {
        return 1;
    }
    printf("1..%d\n", leak ? 2 : 1);
    (void)run(target / 20 + 1, seed ^ 0x5555); /* warm caches, so that they do not count as leaks */
    long before = abi_free_kib();
    uint64_t total = run(target, seed);
    printf("ok 1 - hostile: %llu calls with seed %llu\n", (unsigned long long)total,
           (unsigned long long)seed);
    if (leak) {
        long after = abi_free_kib();
        bool good = before - after <= SLACK_KIB;
        printf("%sok 2 - hostile: free memory %ld KiB before, %ld KiB after\n", good ? "" : "not ",
               before, after);
        return good ? 0 : 1;
    }
    return 0;
}
