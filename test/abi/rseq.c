/* rseq(2): sequences that start anew when the thread is disturbed in them. */
#include "abi.h"

#include <linux/rseq.h>
#include <sched.h>
#include <sys/time.h>
#include <ucontext.h>

#define SIGNATURE 0x53053053u

static struct rseq area;
static volatile uintptr_t interrupted_at;
extern char rseq_start[], rseq_end[];

static long rseq(void *at, uint32_t len, int flags, uint32_t signature)
{
    return syscall(SYS_rseq, at, len, flags, signature);
}

static void enter(void)
{
    CHECK_EQ(rseq(&area, sizeof(area), 0, SIGNATURE), 0);
}

/* Loop in a sequence for ever: only its end by the kernel leads out. */
static __attribute__((noinline)) void loop_until_aborted(void)
{
    __asm__ volatile(".pushsection .data.rseq, \"aw\"\n\t"
                     ".balign 32\n"
                     "3:\n\t"
                     ".long 0, 0\n\t"
                     ".quad 1f, 2f - 1f, rseq_abort_here\n\t"
                     ".popsection\n\t"
                     "leaq 3b(%%rip), %%rax\n\t"
                     "movq %%rax, %0\n"
                     "1:\n"
                     "rseq_start:\n\t"
                     "pause\n\t"
                     "jmp 1b\n"
                     "2:\n"
                     "rseq_end:\n\t"
                     ".long 0x53053053\n"
                     "rseq_abort_here:\n\t"
                     : "=m"(area.rseq_cs)
                     :
                     : "rax", "memory");
}

static __attribute__((noinline)) void loop_with_a_broken_sequence(void)
{
    __asm__ volatile(".pushsection .data.rseq, \"aw\"\n\t"
                     ".balign 32\n"
                     "3:\n\t"
                     ".long 0, 0\n\t"
                     ".quad 1f, 2f - 1f, rseq_broken_abort\n\t"
                     ".popsection\n\t"
                     "leaq 3b(%%rip), %%rax\n\t"
                     "movq %%rax, %0\n"
                     "1:\n\t"
                     "pause\n\t"
                     "jmp 1b\n"
                     "2:\n\t"
                     ".long 0\n"
                     "rseq_broken_abort:\n\t"
                     : "=m"(area.rseq_cs)
                     :
                     : "rax", "memory");
}

static void on_alarm(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info;
    interrupted_at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

static void alarm_soon(void)
{
    struct sigaction sa = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};
    struct itimerval soon = {{0, 0}, {0, 20000}};

    CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
}

ABI_TEST(rseq, an_area_is_registered_once)
{
    CHECK_ERR(rseq((char *)&area + 4, sizeof(area), 0, SIGNATURE), EINVAL);
    CHECK_ERR(rseq(&area, 8, 0, SIGNATURE), EINVAL);
    CHECK_ERR(rseq(&area, sizeof(area), 0x40, SIGNATURE), EINVAL);
    CHECK_ERR(rseq(&area, sizeof(area), RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL);
    CHECK_ERR(rseq((void *)-4096l, sizeof(area), 0, SIGNATURE), EFAULT);
    enter();
    CHECK_ERR(rseq(&area, sizeof(area), 0, SIGNATURE), EBUSY);
    CHECK_ERR(rseq(&area, sizeof(area), 0, SIGNATURE + 1), EPERM);
    CHECK_ERR(rseq(&area + 1, sizeof(area), 0, SIGNATURE), EINVAL);
    CHECK_ERR(rseq(&area, sizeof(area), RSEQ_FLAG_UNREGISTER, SIGNATURE + 1), EPERM);
    CHECK_EQ(rseq(&area, sizeof(area), RSEQ_FLAG_UNREGISTER, SIGNATURE), 0);
    CHECK_EQ(area.cpu_id, (uint32_t)RSEQ_CPU_ID_UNINITIALIZED);
    enter();
}

/* On the first CPU that we may use, alone. */
static unsigned stay_on_one_cpu(void)
{
    cpu_set_t set;
    unsigned cpu = 0;

    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    while (!CPU_ISSET(cpu, &set)) {
        cpu++;
    }
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
    return cpu;
}

ABI_TEST(rseq, the_area_tells_the_cpu)
{
    unsigned cpu = stay_on_one_cpu();

    area.cpu_id_start = area.cpu_id = 77;
    enter();
    CHECK_EQ(area.cpu_id, cpu);
    CHECK_EQ(area.cpu_id_start, cpu);
}

ABI_TEST(rseq, a_signal_aborts_the_sequence)
{
    enter();
    for (int i = 0; i < 3; i++) {
        interrupted_at = 0;
        alarm_soon();
        loop_until_aborted();
        CHECK_EQ(area.rseq_cs, 0);
        while (interrupted_at ==
               0) { /* a switch may have ended the sequence before the signal came */
        }
        CHECK(interrupted_at - (uintptr_t)rseq_start >= (uintptr_t)(rseq_end - rseq_start));
    }
}

ABI_TEST(rseq, losing_the_cpu_aborts_the_sequence)
{
    pid_t rival;

    (void)stay_on_one_cpu();
    rival = abi_fork();
    if (rival == 0) {
        for (;;) {
        }
    }
    enter();
    for (int i = 0; i < 3; i++) {
        loop_until_aborted();
        CHECK_EQ(area.rseq_cs, 0);
    }
    CHECK_EQ(kill(rival, SIGKILL), 0);
    CHECK_EQ(waitpid(rival, NULL, 0), rival);
}

ABI_TEST(rseq, a_place_without_the_signature_is_no_place_to_go_on)
{
    int status = IN_CHILD({
        enter();
        alarm_soon();
        loop_with_a_broken_sequence();
    });

    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

ABI_TEST(rseq, flags_have_no_meaning_any_more)
{
    area.flags = RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL;
    int status = IN_CHILD({
        enter();
        sched_yield(); /* no sequence, no matter */
        alarm_soon();
        loop_until_aborted();
    });

    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
    CHECK_EQ(IN_CHILD({
                 enter();
                 alarm_soon();
                 pause();
             }),
             0);
}

static char stack[16384] __attribute__((aligned(16)));

static int leave_in_thread(void *result)
{
    *(long *)result = rseq(&area, sizeof(area), RSEQ_FLAG_UNREGISTER, SIGNATURE);
    return 0;
}

ABI_TEST(rseq, a_child_has_the_area_and_who_shares_the_memory_has_not)
{
    long result = 0;

    enter();
    CHECK_EQ(IN_CHILD(CHECK_EQ(rseq(&area, sizeof(area), RSEQ_FLAG_UNREGISTER, SIGNATURE), 0)), 0);
    pid_t pid = clone(leave_in_thread, stack + sizeof(stack), CLONE_VM | SIGCHLD, &result);
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(result, -1);
    CHECK_EQ(rseq(&area, sizeof(area), RSEQ_FLAG_UNREGISTER, SIGNATURE), 0);
}
