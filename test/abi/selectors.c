/*
 * Segment registers of 64-bit programs (Intel SDM volume 3, 3.4.2): DS, ES, FS and GS hold what their thread has loaded, whoever else runs on its
 * CPU, across forks and signals, until the next program. User mode has two selectors to load, and none.
 */
#include "trace.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>

#define NONE 0u
#define DATA 0x2bu
#define CODE 0x33u

struct selectors {
    unsigned ds, es, fs, gs;
};

static struct selectors selectors_read(void)
{
    struct selectors now;

    __asm__ volatile("movl %%ds, %0; movl %%es, %1; movl %%fs, %2; movl %%gs, %3"
                     : "=r"(now.ds), "=r"(now.es), "=r"(now.fs), "=r"(now.gs));
    return now;
}

/* All but FS, by whose base the C library lives. */
static void selectors_load(unsigned ds, unsigned es, unsigned gs)
{
    __asm__ volatile("movl %0, %%ds; movl %1, %%es; movl %2, %%gs" : : "r"(ds), "r"(es), "r"(gs));
}

static bool selectors_are(unsigned ds, unsigned es, unsigned gs)
{
    struct selectors now = selectors_read();

    return now.ds == ds && now.es == es && now.fs == NONE && now.gs == gs;
}

/* A system call with `fs` in FS, and what is there afterwards; the base is put back, and FS with it. */
static unsigned fs_after(unsigned fs, long nr)
{
    unsigned long base = 0, rax = (unsigned long)nr;
    unsigned after;

    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &base), 0);
    __asm__ volatile("movl %2, %%fs; syscall; movl %%fs, %1; movl %3, %%eax; movl %4, %%edi;"
                     "movq %5, %%rsi; syscall"
                     : "+a"(rax), "=&r"(after)
                     : "r"(fs), "i"(SYS_arch_prctl), "i"(ARCH_SET_FS), "r"(base)
                     : "rcx", "r11", "rdi", "rsi", "memory");
    CHECK_EQ(rax, 0);
    return after;
}

static void one_cpu(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

#define ROUNDS 2000

static void *keep(void *arg)
{
    unsigned other = arg == NULL ? DATA : CODE;

    CHECK(selectors_are(DATA, NONE, CODE)); /* its creator's */
    selectors_load(NONE, other, other);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(sched_yield(), 0);
        CHECK(selectors_are(NONE, other, other));
        CHECK_EQ(fs_after(other, SYS_sched_yield), other);
    }
    return NULL;
}

ABI_TEST(selectors, are_their_threads_own)
{
    pthread_t threads[2];

    one_cpu();
    CHECK(selectors_are(NONE, NONE, NONE));
    selectors_load(DATA, NONE, CODE);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, keep, i == 0 ? NULL : threads), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(sched_yield(), 0);
        CHECK(selectors_are(DATA, NONE, CODE));
        CHECK_EQ(fs_after(NONE, SYS_sched_yield), NONE);
    }
    CHECK_EQ(pthread_join(threads[0], NULL), 0);
    CHECK_EQ(pthread_join(threads[1], NULL), 0);
    CHECK(selectors_are(DATA, NONE, CODE));
}

ABI_TEST(fresh_selectors, are_what_a_program_starts_with)
{
    CHECK(selectors_are(NONE, NONE, NONE));
}

ABI_TEST(selectors, go_to_a_child_and_not_to_a_program)
{
    int null = open("/dev/null", O_WRONLY);

    selectors_load(DATA, CODE, DATA);
    CHECK_EQ(IN_CHILD(CHECK(selectors_are(DATA, CODE, DATA))), 0);
    CHECK_EQ(IN_CHILD(dup2(null, 1); execl("/proc/self/exe", "abi", "fresh_selectors", NULL)), 0);
    CHECK(selectors_are(DATA, CODE, DATA));
}

static volatile bool as_interrupted;

static void look(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;

    (void)signo;
    (void)info;
    as_interrupted = selectors_are(DATA, CODE, DATA) &&
                     uc->uc_mcontext.gregs[REG_CSGSFS] >> 16 == (long long)DATA << 32;
    selectors_load(CODE, DATA, CODE);
}

ABI_TEST(selectors, are_left_alone_by_signals)
{
    struct sigaction sa = {.sa_sigaction = look, .sa_flags = SA_SIGINFO};

    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    selectors_load(DATA, CODE, DATA);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(as_interrupted);
    CHECK(selectors_are(CODE, DATA, CODE));
}

ABI_TEST(selectors, give_way_to_a_base)
{
    unsigned long base = 1;

    selectors_load(DATA, DATA, DATA);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &base), 0);
    CHECK_EQ(base, 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x10000), 0);
    CHECK(selectors_are(DATA, DATA, NONE));
    CHECK_EQ(sched_yield(), 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &base), 0);
    CHECK_EQ(base, 0x10000);
}

ABI_TEST(selectors, are_a_debuggers_to_see_and_set)
{
    pid_t pid = TRACED_CHILD({
        selectors_load(DATA, CODE, DATA);
        __asm__ volatile("int3" ::: "memory");
        CHECK(selectors_are(CODE, NONE, CODE));
    });

    struct user_regs_struct regs = trace_regs(pid);
    CHECK(regs.ds == NONE && regs.es == NONE && regs.fs == NONE && regs.gs == NONE);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), STOPPED(SIGTRAP));
    regs = trace_regs(pid);
    CHECK(regs.ds == DATA && regs.es == CODE && regs.fs == NONE && regs.gs == DATA);
    trace_set_regs(pid, &regs);
    CHECK_ERR(TRACE(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, ds), 0x18), EIO);
    regs.ds = regs.gs = CODE;
    regs.es = NONE;
    trace_set_regs(pid, &regs);
    CHECK_EQ(trace_go(PTRACE_CONT, pid, 0), 0);
}
