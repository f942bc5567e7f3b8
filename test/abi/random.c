/*
 * Random numbers: getrandom(2), random(4).
 */
#include <linux/random.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/time.h>

#include "abi.h"

#define PAGE 4096
#define LONG (256l << 20)

static volatile sig_atomic_t nalarms;

static void on_alarm(int signal)
{
    (void)signal;
    nalarms++;
}

/* SIGALRM, which interrupts, at each interval. */
static void alarms(long interval_us)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval timer = {{0, interval_us}, {0, interval_us}};

    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static int ready_for(int fd, short events)
{
    struct pollfd pollfd = {.fd = fd, .events = events};

    CHECK(poll(&pollfd, 1, 0) >= 0);
    return pollfd.revents;
}

/* On a machine without a generator of its own, before anybody has waited: test/boot. */
ABI_TEST(random, before_there_is_a_seed_only_who_waits_gets_numbers)
{
    uint64_t number;
    int n, fd = open("/dev/random", O_RDONLY | O_NONBLOCK),
           urandom = open("/dev/urandom", O_RDONLY);
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    CHECK(fd >= 0 && urandom >= 0);
    CHECK_EQ(ioctl(fd, RNDGETENTCNT, &n), 0);
    if (n == 256) {
        abi_skip("there is a seed");
    }
    CHECK_ERR(getrandom(&number, 8, GRND_NONBLOCK), EAGAIN);
    CHECK_ERR(read(fd, &number, 8), EAGAIN);
    CHECK_EQ(getrandom(&number, 8, GRND_INSECURE), 8);
    CHECK_EQ(read(urandom, &number, 8), 8);
    CHECK_EQ(ready_for(fd, POLLIN | POLLOUT), POLLOUT);
    pid_t child = abi_fork();
    if (child == 0) {
        CHECK_EQ(getrandom(&number, 8, 0), 8);
        _exit(0);
    }
    CHECK_EQ(poll(&readable, 1, -1), 1);
    CHECK_EQ(read(fd, &number, 8), 8);
    CHECK_EQ(getrandom(&number, 8, GRND_NONBLOCK), 8);
    CHECK_EQ(waitpid(child, &n, 0), child);
    CHECK_EQ(n, 0);
}

ABI_TEST(random, flags_say_what_to_do_without_a_seed)
{
    static const unsigned good[] = {0,
                                    GRND_NONBLOCK,
                                    GRND_RANDOM,
                                    GRND_INSECURE,
                                    GRND_NONBLOCK | GRND_RANDOM,
                                    GRND_NONBLOCK | GRND_INSECURE};
    uint64_t numbers[6] = {0};

    for (int i = 0; i < 6; i++) {
        CHECK_EQ(getrandom(&numbers[i], 8, good[i]), 8);
        for (int k = 0; k < i; k++) {
            CHECK(numbers[k] != numbers[i]);
        }
    }
    CHECK_ERR(getrandom(numbers, 8, GRND_RANDOM | GRND_INSECURE), EINVAL);
    CHECK_ERR(getrandom(numbers, 8, 8), EINVAL);
}

ABI_TEST(random, what_can_be_read_is_told_to_those_who_poll)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
    int fd = open("/dev/random", O_RDWR), set = epoll_create1(0);
    uint64_t number;

    CHECK_EQ(getrandom(&number, 8, 0), 8);
    CHECK_EQ(ready_for(fd, POLLIN | POLLOUT), POLLIN);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    CHECK_EQ(epoll_wait(set, &event, 1, 0), 1);
    CHECK_EQ(event.events, EPOLLIN);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_ADD, open("/dev/urandom", O_RDWR), &event), EPERM);
}

ABI_TEST(random, a_child_gets_numbers_of_its_own)
{
    uint64_t *numbers = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(numbers != MAP_FAILED);
    CHECK_EQ(IN_CHILD({ CHECK_EQ(getrandom(numbers, 64, 0), 64); }), 0);
    CHECK_EQ(getrandom(numbers + 8, 64, 0), 64);
    for (int i = 0; i < 8; i++) {
        CHECK(numbers[i] != numbers[i + 8]);
    }
}

ABI_TEST(random, what_can_be_written_is_filled)
{
    uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_EQ(getrandom(p + PAGE - 100, 200, 0), 100);
    CHECK_EQ(getrandom(p, SIZE_MAX, 0), PAGE);
    CHECK_ERR(getrandom(p + PAGE, 8, 0), EFAULT);
    CHECK_EQ(getrandom(p + PAGE, 0, 0), 0);
}

ABI_TEST(random, a_short_request_is_whole_whatever_signals_come)
{
    static uint8_t buf[1000];

    alarms(500);
    while (nalarms < 200) {
        CHECK_EQ(getrandom(buf, sizeof(buf), 0), sizeof(buf));
    }
}

ABI_TEST(random, a_long_request_ends_when_a_signal_comes)
{
    uint8_t *p = mmap(NULL, LONG, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int fd = open("/dev/urandom", O_RDWR);

    CHECK(p != MAP_FAILED && fd >= 0);
    alarms(5000);
    for (int i = 0; i < 3; i++) {
        ssize_t n = i == 0   ? getrandom(p, LONG, 0)
                    : i == 1 ? read(fd, p, LONG)
                             : write(fd, p, LONG);
        CHECK(n > 0 && n < LONG);
        CHECK_EQ(n % PAGE, 0);
    }
}

ABI_TEST(random, the_device_takes_requests_from_root)
{
    static const unsigned privileged[] = {RNDADDENTROPY, RNDADDTOENTCNT, RNDZAPENTCNT, RNDCLEARPOOL,
                                          RNDRESEEDCRNG};
    struct {
        int bits, size;
        char data[16];
    } info = {8, 16, "something"};
    int fd = open("/dev/random", O_RDWR), n = 0;

    CHECK(fd >= 0);
    CHECK_EQ(ioctl(fd, RNDGETENTCNT, &n), 0);
    CHECK_EQ(n, 256);
    CHECK_EQ(ioctl(fd, RNDRESEEDCRNG), 0);
    CHECK_EQ(ioctl(fd, RNDZAPENTCNT), 0);
    CHECK_EQ(ioctl(fd, RNDCLEARPOOL), 0);
    CHECK_EQ(ioctl(fd, RNDADDENTROPY, &info), 0);
    info.size = -1;
    CHECK_EQ(ioctl(fd, RNDADDENTROPY, &info), -1);
    info.size = 16;
    info.bits = -1;
    CHECK_ERR(ioctl(fd, RNDADDENTROPY, &info), EINVAL);
    n = 8;
    CHECK_EQ(ioctl(fd, RNDADDTOENTCNT, &n), 0);
    n = -1;
    CHECK_ERR(ioctl(fd, RNDADDTOENTCNT, &n), EINVAL);
    CHECK_ERR(ioctl(fd, RNDADDTOENTCNT, 8), EFAULT);
    CHECK_ERR(ioctl(fd, FIOCLEX + 0x1000), EINVAL);
    CHECK_EQ(ioctl(fd, RNDGETENTCNT, &n), 0);
    CHECK_EQ(n, 256); /* nothing takes it away */
    int status = IN_CHILD({
        CHECK_EQ(setresuid(4323, 4323, 4323), 0);
        for (int i = 0; i < 5; i++) {
            CHECK_ERR(ioctl(fd, privileged[i], &info), EPERM);
        }
    });
    CHECK_EQ(status, 0);
}
