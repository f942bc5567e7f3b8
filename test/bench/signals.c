/* Signals: installing a handler, delivering to it, and repairing a fault from it. */
#include "test/bench/bench.h"

#define PAGE 4096

static volatile long delivered;
static char *fault_page;

static void count_signal(int number)
{
    (void)number;
    delivered++;
}

static void make_writable(int number)
{
    (void)number;
    mprotect(fault_page, PAGE, PROT_READ | PROT_WRITE);
}

static int row_install(long count)
{
    struct sigaction action = {.sa_handler = count_signal};

    if (sigaction(SIGUSR1, &action, NULL) < 0) {
        return bench_error("sigaction");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        sigaction(SIGUSR1, &action, NULL);
    }
    mark_end();
    return 0;
}

static int row_deliver(long count)
{
    struct sigaction action = {.sa_handler = count_signal};
    pid_t me = getpid();

    if (sigaction(SIGUSR1, &action, NULL) < 0) {
        return bench_error("sigaction");
    }
    delivered = 0;
    mark_begin();
    for (long i = 0; i < count; i++) {
        syscall(SYS_kill, me, SIGUSR1);
    }
    mark_end();
    if (delivered != count) {
        errno = EPROTO;
        return bench_error("signals lost");
    }
    return 0;
}

/* Write to a read-only page; the handler makes it writable; protect it again. */
static int row_segv(long count)
{
    struct sigaction action = {.sa_handler = make_writable};

    if (sigaction(SIGSEGV, &action, NULL) < 0) {
        return bench_error("sigaction");
    }
    fault_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fault_page == MAP_FAILED) {
        return bench_error("mmap");
    }
    *fault_page = 1;
    mark_begin();
    for (long i = 0; i < count; i++) {
        if (mprotect(fault_page, PAGE, PROT_READ) < 0) {
            return bench_error("mprotect");
        }
        *(volatile char *)fault_page = (char)i;
    }
    mark_end();
    munmap(fault_page, PAGE);
    signal(SIGSEGV, SIG_DFL);
    return 0;
}

const struct row signal_rows[] = {
    {"sig_install", row_install, UNIT_OPERATION, 1, 10000},
    {"sig_deliver", row_deliver, UNIT_OPERATION, 1, 5000},
    {"segv_mprotect", row_segv, UNIT_OPERATION, 1, 2000},
    {NULL},
};
