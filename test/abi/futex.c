/* futex(2): waiting and waking between processes. */
#include "abi.h"

#include <linux/futex.h>

static long futex(volatile uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0xffffffffu);
}

ABI_TEST(futex, values_and_addresses_are_checked)
{
    uint32_t word = 5;
    struct timespec ts = {0, 10000000};

    CHECK_ERR(futex(&word, FUTEX_WAIT, 4, NULL), EAGAIN);
    CHECK_ERR(futex(&word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 5, &ts), ETIMEDOUT);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL), 0);
    CHECK_ERR(futex((uint32_t *)((char *)&word + 1), FUTEX_WAKE, 1, NULL), EINVAL);
    CHECK_ERR(futex((uint32_t *)8, FUTEX_WAIT, 1, NULL), EFAULT);
    ts.tv_nsec = -1;
    CHECK_ERR(futex(&word, FUTEX_WAIT, 5, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
}

ABI_TEST(futex, a_shared_word_wakes_another_process)
{
    volatile uint32_t *word =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (int i = 0; i < 50; i++) {
        word[0] = 0;
        pid_t pid = abi_fork();
        if (pid == 0) {
            while (word[0] == 0) {
                long r = futex(word, FUTEX_WAIT, 0, NULL);
                CHECK(r == 0 || errno == EAGAIN);
            }
            _exit(7);
        }
        abi_sleep_ms(i % 3);
        word[0] = 1;
        CHECK(futex(word, FUTEX_WAKE, 10, NULL) <= 1);
        int status;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 7 << 8);
    }
}

static void on_alarm(int signo)
{
    (void)signo;
}

ABI_TEST(futex, a_signal_ends_the_wait)
{
    uint32_t word = 1;
    struct sigaction sa = {.sa_handler = on_alarm};

    CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
    (void)alarm(1);
    CHECK_ERR(futex(&word, FUTEX_WAIT, 1, NULL), EINTR);
}
