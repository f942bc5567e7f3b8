/*
 * What a new process or thread has from the one that made it, and not from one that has ended: the system may use the same memory for both.
 */
#include "abi.h"

#include <pthread.h>
#include <ucontext.h>

#define PAGE   4096ul
#define NTRIES 16

static volatile uint64_t fault_address; /* that a signal's context tells */

static void on_signal(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;

    (void)info;
    fault_address = (uint64_t)uc->uc_mcontext.gregs[REG_CR2];
    if (signo == SIGSEGV) {
        _exit(0);
    }
}

static uint64_t told_address(void)
{
    const struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

    CHECK_EQ(sigaction(SIGUSR1, &action, NULL) | sigaction(SIGSEGV, &action, NULL), 0);
    fault_address = 1;
    CHECK_EQ(raise(SIGUSR1), 0);
    return fault_address;
}

ABI_TEST(fresh, the_last_fault_is_that_of_the_parent)
{
    uint64_t mine = told_address();

    for (int i = 0; i < NTRIES; i++) {
        CHECK_EQ(IN_CHILD(*(volatile char *)0x10000 = 1), 0);
        CHECK_EQ(IN_CHILD(CHECK_EQ(told_address(), mine)), 0);
    }
}

/* Each touches one page more than the one before, and then this one of new memory. */
ABI_TEST(fresh, memory_comes_a_page_at_a_time_to_who_has_touched_none)
{
    for (unsigned long n = 1; n < NTRIES; n++) {
        CHECK_EQ(IN_CHILD({
                     char *at = mmap(NULL, NTRIES * PAGE, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                     CHECK(at != MAP_FAILED);
                     for (unsigned long i = 0; i < n; i++) {
                         at[i * PAGE] = 1;
                     }
                 }),
                 0);
        CHECK_EQ(IN_CHILD({
                     unsigned char there[NTRIES];
                     char *at = mmap(NULL, NTRIES * PAGE, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                     CHECK(at != MAP_FAILED);
                     at[n * PAGE] = 1;
                     CHECK_EQ(mincore(at, NTRIES * PAGE, there), 0);
                     for (unsigned long i = 0; i < NTRIES; i++) {
                         CHECK_EQ(there[i] & 1, i == n);
                     }
                 }),
                 0);
    }
}

static void *has_no_signal_stack(void *stack)
{
    const stack_t mine = {.ss_sp = stack, .ss_size = 16 * PAGE};
    stack_t told;

    CHECK_EQ(sigaltstack(NULL, &told), 0);
    CHECK(told.ss_sp == NULL && told.ss_size == 0 && told.ss_flags == SS_DISABLE);
    CHECK_EQ(sigaltstack(&mine, NULL), 0);
    return NULL;
}

ABI_TEST(fresh, a_thread_has_no_stack_for_signals)
{
    static char stack[16 * PAGE];

    for (int i = 0; i < NTRIES; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, has_no_signal_stack, stack), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
}
