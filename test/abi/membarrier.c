/* membarrier(2): a barrier for others, so that they need none. */
#include "abi.h"

#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>

#define ROUNDS    300 /* each takes a turn of both sides, which a busy machine gives late */
#define SIGNATURE 0x53053053u

static long membarrier(int command, unsigned flags, int cpu)
{
    return syscall(SYS_membarrier, command, flags, cpu);
}

ABI_TEST(membarrier, all_commands_are_there)
{
    for (int command = 1; command <= MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ; command *= 2) {
        CHECK((membarrier(MEMBARRIER_CMD_QUERY, 0, 0) & command) != 0);
    }
    CHECK_EQ(membarrier(MEMBARRIER_CMD_QUERY, 0, 99), membarrier(MEMBARRIER_CMD_QUERY, 0, 0));
    CHECK_ERR(membarrier(MEMBARRIER_CMD_QUERY, 1, 0), EINVAL);
    CHECK_ERR(membarrier(1 << 20, 0, 0), EINVAL);
    CHECK_ERR(membarrier(MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0), EINVAL);
    CHECK_ERR(membarrier(MEMBARRIER_CMD_GLOBAL, 1, 0), EINVAL);
    CHECK_ERR(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_FLAG_CPU, 0), EINVAL);
    CHECK_ERR(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0), EINVAL);
    CHECK_ERR(
        membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0),
        EINVAL);
}

ABI_TEST(membarrier, private_commands_want_their_own_registration)
{
    static const int commands[] = {MEMBARRIER_CMD_PRIVATE_EXPEDITED,
                                   MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
                                   MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ};

    for (int i = 2; i >= 0; i--) {
        for (int k = 0; k < 3; k++) {
            if (k <= i) {
                CHECK_ERR(membarrier(commands[k], 0, 0), EPERM);
            } else {
                CHECK_EQ(membarrier(commands[k], 0, 0), 0);
            }
        }
        CHECK_EQ(membarrier(commands[i] << 1, 0, 0), 0);
        CHECK_EQ(membarrier(commands[i] << 1, 0, 0), 0);
        CHECK_EQ(membarrier(commands[i], 0, 0), 0);
    }
}

ABI_TEST(membarrier, global_commands_want_none)
{
    CHECK_EQ(membarrier(MEMBARRIER_CMD_GLOBAL, 0, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0), 0);
}

ABI_TEST(membarrier, one_cpu_may_be_named_and_need_not_be_there)
{
    CHECK_ERR(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0), EPERM);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0), 0);
    static const int cpus[] = {0, 1, -1, -77, 9999, INT32_MAX};
    for (size_t i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++) {
        CHECK_EQ(
            membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, cpus[i]), 0);
    }
}

/* Also run by the one below, after execve(2). */
ABI_TEST(fresh_membarrier, a_new_program_is_not_registered)
{
    CHECK_ERR(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), EPERM);
}

ABI_TEST(membarrier, fork_hands_the_registration_on_and_exec_ends_it)
{
    int null = open("/dev/null", O_WRONLY);

    CHECK(null >= 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
    CHECK_EQ(IN_CHILD(CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), 0)), 0);
    CHECK_EQ(IN_CHILD(CHECK_EQ(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0), 0)), 0);
    CHECK_EQ(IN_CHILD(dup2(null, 1); execl("/proc/self/exe", "abi", "fresh_membarrier", NULL)), 0);
    CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), 0);
}

/* ---- two who write one word and read the other's: one of them sees the other's ---- */

struct pair {
    int command;      /* of the slow side */
    unsigned arrived; /* both add one a round */
    int fast, slow;   /* what they write */
    int fast_saw[ROUNDS], slow_saw[ROUNDS];
};

static void arrive(struct pair *pair, unsigned round)
{
    __atomic_fetch_add(&pair->arrived, 1, __ATOMIC_SEQ_CST);
    for (unsigned spins = 0; __atomic_load_n(&pair->arrived, __ATOMIC_SEQ_CST) < 2 * (round + 1);) {
        if (++spins % 1000 == 0) {
            sched_yield();
        }
    }
}

static void *fast_side(void *arg)
{
    struct pair *pair = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        arrive(pair, i);
        __atomic_store_n(&pair->fast, (int)i + 1, __ATOMIC_RELAXED);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        pair->fast_saw[i] = __atomic_load_n(&pair->slow, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void slow_side(struct pair *pair)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        arrive(pair, i);
        __atomic_store_n(&pair->slow, (int)i + 1, __ATOMIC_RELAXED);
        CHECK_EQ(membarrier(pair->command, 0, 0), 0);
        pair->slow_saw[i] = __atomic_load_n(&pair->fast, __ATOMIC_RELAXED);
    }
}

static void check_pair(const struct pair *pair)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(pair->fast_saw[i] == i + 1 || pair->slow_saw[i] == i + 1);
    }
}

static struct pair *pair_create(int command)
{
    struct pair *pair =
        mmap(NULL, sizeof(*pair), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(pair != MAP_FAILED);
    pair->command = command;
    return pair;
}

static void threads_see_each_other(int command)
{
    struct pair *pair = pair_create(command);
    pthread_t thread;

    CHECK_EQ(membarrier(command << 1, 0, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, fast_side, pair), 0);
    slow_side(pair);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    check_pair(pair);
}

ABI_TEST(membarrier, a_private_barrier_is_passed_by_all_threads)
{
    threads_see_each_other(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

ABI_TEST(membarrier, a_core_that_forgets_what_it_fetched_passes_a_barrier_too)
{
    threads_see_each_other(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
}

ABI_TEST(membarrier, a_global_barrier_is_passed_by_those_who_want_it)
{
    struct pair *pair = pair_create(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
    pid_t child = abi_fork();

    if (child == 0) {
        CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
        (void)fast_side(pair);
        _exit(0);
    }
    int status;
    slow_side(pair);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    check_pair(pair);
}

/* ---- sequences start anew ---- */

static struct rseq area;
static volatile int entered;

/* Loop in a sequence for ever: only its end by the kernel leads out. */
static __attribute__((noinline)) void loop_until_aborted(void)
{
    __asm__ volatile(".pushsection .data.rseq, \"aw\"\n\t"
                     ".balign 32\n"
                     "3:\n\t"
                     ".long 0, 0\n\t"
                     ".quad 1f, 2f - 1f, 4f\n\t"
                     ".popsection\n\t"
                     "leaq 3b(%%rip), %%rax\n\t"
                     "movq %%rax, %0\n"
                     "1:\n\t"
                     "movl $1, %1\n\t"
                     "pause\n\t"
                     "jmp 1b\n"
                     "2:\n"
                     ".long 0x53053053\n"
                     "4:\n\t"
                     : "=m"(area.rseq_cs), "=m"(entered)
                     :
                     : "rax", "memory");
}

static void *loop_in_sequence(void *arg)
{
    CHECK_EQ(syscall(SYS_rseq, &area, sizeof(area), 0, SIGNATURE), 0);
    loop_until_aborted();
    CHECK_EQ(syscall(SYS_rseq, &area, sizeof(area), RSEQ_FLAG_UNREGISTER, SIGNATURE), 0);
    return arg;
}

ABI_TEST(membarrier, sequences_of_other_threads_start_anew)
{
    pthread_t thread;

    CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0), 0);
    for (int i = 0; i < 20; i++) {
        entered = 0;
        CHECK_EQ(pthread_create(&thread, NULL, loop_in_sequence, NULL), 0);
        while (!entered) {
            sched_yield();
        }
        CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
                            i % 2 == 0 ? 0 : MEMBARRIER_CMD_FLAG_CPU, (int)area.cpu_id),
                 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
}
