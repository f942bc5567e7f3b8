/* Signals for many (kill(2)) and those who fork meanwhile: a child is among the members of its group before or after, never in between. */
#include "abi.h"

#include <sched.h>

#define ROUNDS_MS 300
#define GONE_MS   10000

static struct hopping {
    volatile unsigned hops;
    volatile bool over;
    pid_t tester;
} * hopping;

static long now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Nobody is left behind when the test has failed. */
static bool goes_on(void)
{
    return !hopping->over && kill(hopping->tester, 0) == 0;
}

/* Each has a child and ends. The library's fork() blocks signals, so that they may have come before. */
static void hop(void)
{
    while (goes_on()) {
        hopping->hops++;
        if (syscall(SYS_fork) > 0) {
            break;
        }
    }
    _exit(0);
}

static void hop_by_thread(void);

static int fork_and_end(void *arg)
{
    (void)arg;
    while (goes_on()) {
        hopping->hops++;
        pid_t pid = (pid_t)syscall(SYS_fork);
        if (pid == 0) {
            hop_by_thread();
        } else if (pid > 0) {
            break;
        }
    }
    _exit(0);
}

/* The same, but another thread does it while the main one waits for signals. */
static void hop_by_thread(void)
{
    static char stacks[2][16384] __attribute__((aligned(16)));
    static unsigned free; /* a child is on the other one */

    free = !free;
    CHECK(clone(fork_and_end, stacks[free] + sizeof(stacks[0]),
                CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
                NULL) > 0);
    while (goes_on()) {
        abi_sleep_ms(10);
    }
    _exit(0);
}

static unsigned sleepers; /* that the group has besides */

/* A new group of one process that hops, or two, at any time. */
static pid_t start_hopping(void (*how)(void))
{
    unsigned before = hopping->hops;
    pid_t group = abi_fork();

    if (group == 0) {
        CHECK_EQ(setpgid(0, 0), 0);
        for (unsigned i = 0; i < sleepers; i++) {
            if (fork() == 0) {
                while (goes_on()) {
                    abi_sleep_ms(10);
                }
                _exit(0);
            }
        }
        how();
    }
    while (hopping->hops - before < 3) {
        abi_sleep_ms(1);
    }
    return group;
}

static void prepare(void)
{
    hopping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(hopping != MAP_FAILED);
    hopping->tester = getpid();
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR); /* nobody is waited for */
}

static void sleep_a_little(void)
{
    const struct timespec ts = {0, random() % 2000000};

    (void)nanosleep(&ts, NULL);
}

static void check_gone(pid_t group)
{
    for (long end = now_ms() + GONE_MS; now_ms() < end; abi_sleep_ms(1)) {
        if (kill(-group, 0) != 0) {
            CHECK_EQ(errno, ESRCH);
            return;
        }
    }
    hopping->over = true;
    abi_fail(__FILE__, __LINE__, "somebody has survived");
}

static void kill_rounds(void (*how)(void), bool all, int signo)
{
    for (long end = now_ms() + ROUNDS_MS; now_ms() < end;) {
        pid_t group = start_hopping(how);
        sleep_a_little();
        CHECK_EQ(kill(all ? -1 : -group, signo), 0);
        check_gone(group);
    }
}

ABI_TEST(fork_signal, no_child_escapes_what_ends_its_group)
{
    prepare();
    kill_rounds(hop, false, SIGKILL);
    kill_rounds(hop, false, SIGTERM);
}

ABI_TEST(fork_signal, no_child_escapes_what_ends_a_large_group)
{
    prepare();
    sleepers = 30;
    kill_rounds(hop, false, SIGKILL);
    kill_rounds(hop, false, SIGTERM);
}

#define MEMBERS 40u
#define SIGNALS 3u

static void count_signals(volatile unsigned *count, pid_t parent)
{
    sigset_t set;
    int signo;

    abi_end_with(parent);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    for (;;) {
        CHECK_EQ(sigwait(&set, &signo), 0);
        (*count)++;
    }
}

ABI_TEST(fork_signal, each_member_of_a_large_group_hears_of_each_signal_once)
{
    volatile unsigned *counts =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t self = getpid(), group = 0;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    for (unsigned i = 0; i < MEMBERS; i++) {
        pid_t pid = abi_fork();
        if (pid == 0) {
            count_signals(&counts[i], self);
        }
        CHECK_EQ(setpgid(pid, group), 0);
        group = group == 0 ? pid : group;
    }
    for (unsigned i = 0; i < SIGNALS; i++) {
        CHECK_EQ(kill(-group, SIGRTMIN), 0);
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        for (unsigned ms = 0; counts[i] < SIGNALS && ms < GONE_MS; ms++) {
            abi_sleep_ms(1);
        }
    }
    abi_sleep_ms(20);
    for (unsigned i = 0; i < MEMBERS; i++) {
        CHECK_EQ(counts[i], SIGNALS);
    }
    CHECK_EQ(kill(-group, SIGKILL), 0);
    while (wait(NULL) > 0) {
    }
    CHECK_ERR(kill(-group, 0), ESRCH);
}

ABI_TEST(fork_signal, no_child_of_a_thread_escapes_what_ends_its_group)
{
    prepare();
    kill_rounds(hop_by_thread, false, SIGKILL);
    kill_rounds(hop_by_thread, false, SIGTERM);
}

ABI_TEST(fork_signal, no_child_escapes_what_ends_everybody)
{
    prepare();
    CHECK_EQ(setresuid(2004, 2004, 2004), 0);
    kill_rounds(hop, true, SIGKILL);
}

ABI_TEST(fork_signal, no_child_escapes_what_stops_its_group)
{
    prepare();
    for (long end = now_ms() + ROUNDS_MS; now_ms() < end;) {
        pid_t group = start_hopping(hop);
        unsigned before = hopping->hops - 1;
        sleep_a_little();
        CHECK_EQ(kill(-group, SIGSTOP), 0);
        for (int i = 0; i < 100 && hopping->hops != before; i++) {
            before = hopping->hops;
            abi_sleep_ms(10);
        }
        hopping->over = hopping->hops != before;
        CHECK(!hopping->over);
        CHECK_EQ(kill(-group, SIGKILL), 0);
        check_gone(group);
    }
}

/* ---- a process that ends while it forks ---- */

#define LARGE_BYTES (32ul << 20) /* it takes a while to copy the tables of so much memory */
#define NUMBERS     4096u

static void be_large(void)
{
    char *memory =
        mmap(NULL, LARGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    (void)madvise(memory, LARGE_BYTES, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < LARGE_BYTES; i += 4096) {
        memory[i] = 1;
    }
}

static void fork_all_the_time(void)
{
    while (goes_on()) {
        hopping->hops++;
        if (syscall(SYS_fork) == 0) {
            _exit(0);
        }
    }
    _exit(0);
}

/* All processes that there are, those that have ended included, until nobody has waited for them. */
static unsigned list_processes(pid_t *numbers)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    unsigned n = 0;

    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL && n < NUMBERS) {
        numbers[n] = atoi(entry->d_name);
        n += numbers[n] != 0;
    }
    CHECK_EQ(closedir(dir), 0);
    return n;
}

static bool is_among(pid_t pid, const pid_t *numbers, unsigned n)
{
    while (n > 0 && numbers[n - 1] != pid) {
        n--;
    }
    return n > 0;
}

static void end_one_that_forks(int signo)
{
    static pid_t numbers[NUMBERS];
    pid_t pid = abi_fork(), child;

    if (pid == 0) {
        fork_all_the_time();
    }
    while (hopping->hops == 0) {
        abi_sleep_ms(1);
    }
    sleep_a_little();
    CHECK_EQ(kill(pid, signo), 0);
    unsigned n = list_processes(numbers);
    while ((child = waitpid(-1, NULL, 0)) > 0) { /* its children are ours now */
        CHECK(is_among(child, numbers, n));
    }
    CHECK_EQ(errno, ECHILD);
    hopping->hops = 0;
}

ABI_TEST(fork_signal, nobody_is_born_to_who_has_been_ended)
{
    prepare();
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
    be_large();
    for (long end = now_ms() + ROUNDS_MS; now_ms() < end;) {
        end_one_that_forks(SIGKILL);
        end_one_that_forks(SIGTERM);
    }
}
