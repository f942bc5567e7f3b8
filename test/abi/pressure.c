/* Pressure stall information: /proc/pressure and its triggers. */
#include "abi.h"

#include <poll.h>

static const char *const paths[] = {"/proc/pressure/cpu", "/proc/pressure/memory",
                                    "/proc/pressure/io"};

static void need_pressure(void)
{
    if (access(paths[0], F_OK) != 0) {
        abi_skip("no /proc/pressure here");
    }
}

static short polled(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};

    CHECK(poll(&pollfd, 1, 0) >= 0);
    return pollfd.revents;
}

/* One line of a file, from its first character on. */
static char *check_line(char *at, const char *kind)
{
    float avg[3];
    unsigned long long total;
    char form[128], found[8];

    CHECK_EQ(sscanf(at, "%7s avg10=%f avg60=%f avg300=%f total=%llu", found, &avg[0], &avg[1],
                    &avg[2], &total),
             5);
    CHECK_EQ(strcmp(found, kind), 0);
    for (int i = 0; i < 3; i++) {
        CHECK(avg[i] >= 0 && avg[i] <= 100);
    }
    struct timespec up;
    CHECK_EQ(clock_gettime(CLOCK_BOOTTIME, &up), 0);
    CHECK(total <= ((unsigned long long)up.tv_sec + 1) * 1000000);
    snprintf(form, sizeof(form), "%s avg10=%.2f avg60=%.2f avg300=%.2f total=%llu\n", kind, avg[0],
             avg[1], avg[2], total);
    CHECK_EQ(strncmp(at, form, strlen(form)), 0);
    return at + strlen(form);
}

ABI_TEST(pressure, each_resource_has_some_and_full)
{
    char text[512];

    need_pressure();
    for (int i = 0; i < 3; i++) {
        int fd = open(paths[i], O_RDONLY);
        CHECK(fd >= 0);
        ssize_t len = read(fd, text, sizeof(text) - 1);
        CHECK(len > 0);
        text[len] = 0;
        CHECK_EQ(*check_line(check_line(text, "some"), "full"), 0);
        CHECK_EQ(read(fd, text, sizeof(text)), 0);
        CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
        CHECK_EQ(read(fd, text, 6), 6);
        CHECK_EQ(memcmp(text, "avg10=", 6), 0);
        CHECK_EQ(polled(fd), POLLIN | POLLOUT | POLLPRI | POLLERR);
        CHECK_EQ(close(fd), 0);
    }
}

static int trigger(const char *text, size_t len)
{
    int fd = open(paths[1], O_RDWR);

    CHECK(fd >= 0);
    int result = write(fd, text, len) < 0 ? -errno : 0;
    if (result == 0) {
        CHECK_EQ(polled(fd), POLLIN | POLLOUT);
    }
    CHECK_EQ(close(fd), 0);
    return result;
}

#define TRIGGER(text) trigger(text, sizeof(text))

ABI_TEST(pressure, a_trigger_is_a_kind_a_threshold_and_a_window)
{
    need_pressure();
    CHECK_EQ(TRIGGER("some 2000000 2000000"), 0);
    CHECK_EQ(TRIGGER("full 1999999 2000000"), 0);
    CHECK_EQ(TRIGGER("some 150000 10000000\n"), 0);
    CHECK_EQ(TRIGGER("some 0 2000000"), -EINVAL);
    CHECK_EQ(TRIGGER("some 2000001 2000000"), -EINVAL);
    CHECK_EQ(TRIGGER("some 100000 499999"), -EINVAL);
    CHECK_EQ(TRIGGER("some 150000 12000000"), -EINVAL);
    CHECK_EQ(TRIGGER("both 150000 2000000"), -EINVAL);
    CHECK_EQ(TRIGGER("some 150000"), -EINVAL);
    CHECK_EQ(TRIGGER("some -1 2000000"), -EINVAL);
    CHECK_EQ(TRIGGER(""), -EINVAL);
    CHECK_EQ(trigger("", 0), -EINVAL);
    /* The last byte is taken for the end of the string: this is a window of 0.2 s. */
    CHECK_EQ(trigger("some 150000 2000000", 19), -EINVAL);
}

ABI_TEST(pressure, a_file_is_one_trigger)
{
    static const char text[] = "some 1900000 2000000";

    need_pressure();
    int fd = open(paths[1], O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(polled(fd), POLLIN | POLLOUT | POLLPRI | POLLERR);
    CHECK_EQ(write(fd, text, sizeof(text)), sizeof(text));
    CHECK_ERR(write(fd, text, sizeof(text)), EBUSY);
    CHECK_EQ(polled(fd), POLLIN | POLLOUT);
}

ABI_TEST(pressure, losing_the_cpu_sets_a_trigger_off)
{
    static const char text[] = "some 20000 2000000";
    struct pollfd pollfd = {.events = POLLPRI};
    pid_t children[2];

    need_pressure();
    pollfd.fd = open(paths[0], O_RDWR);
    CHECK(pollfd.fd >= 0);
    CHECK_EQ(write(pollfd.fd, text, sizeof(text)), sizeof(text));
    for (int i = 0; i < 2; i++) {
        children[i] = abi_fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            unsigned long one = 1; /* CPU 0, both */
            (void)syscall(SYS_sched_setaffinity, 0, sizeof(one), &one);
            for (;;) {
            }
        }
    }
    CHECK_EQ(poll(&pollfd, 1, 60000), 1);
    CHECK_EQ(pollfd.revents, POLLPRI);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(kill(children[i], SIGKILL), 0);
        CHECK_EQ(waitpid(children[i], NULL, 0), children[i]);
    }
}
