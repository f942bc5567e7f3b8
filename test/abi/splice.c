/* splice(2), tee(2), vmsplice(2). */
#include "abi.h"

#include <sys/epoll.h>
#include <sys/uio.h>

static int one[2], two[2]; /* pipes */

static void make_pipes(void)
{
    CHECK_EQ(pipe(one), 0);
    CHECK_EQ(pipe(two), 0);
}

static void expect_bytes(int fd, const char *text)
{
    char buf[256];

    CHECK_EQ(read(fd, buf, sizeof(buf)), (ssize_t)strlen(text));
    CHECK_EQ(memcmp(buf, text, strlen(text)), 0);
}

static void expect_empty(int fd)
{
    char byte;

    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERR(read(fd, &byte, 1), EAGAIN);
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
}

ABI_TEST(splice, from_a_file_at_its_position_and_at_ours)
{
    loff_t at = 6;

    make_pipes();
    abi_write_file("f", "hello world");
    int fd = open("f", O_RDONLY);
    CHECK_EQ(splice(fd, NULL, one[1], NULL, 5, 0), 5);
    expect_bytes(one[0], "hello");
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(splice(fd, &at, one[1], NULL, 100, SPLICE_F_MOVE | SPLICE_F_MORE), 5);
    expect_bytes(one[0], "world");
    CHECK_EQ(at, 11);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(splice(fd, &at, one[1], NULL, 100, 0), 0);
}

ABI_TEST(splice, into_a_file)
{
    loff_t at = 3;

    make_pipes();
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    CHECK_EQ(write(one[1], "abcdef", 6), 6);
    CHECK_EQ(splice(one[0], NULL, fd, &at, 4, 0), 4);
    CHECK_EQ(at, 7);
    CHECK_EQ(splice(one[0], NULL, fd, NULL, 100, 0), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    char buf[16];
    CHECK_EQ(read(fd, buf, sizeof(buf)), 7);
    CHECK_EQ(memcmp(buf, "ef\0abcd", 7), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, O_APPEND), 0);
    CHECK_EQ(write(one[1], "x", 1), 1);
    CHECK_ERR(splice(one[0], NULL, fd, NULL, 1, 0), EINVAL);
    expect_bytes(one[0], "x");
}

ABI_TEST(splice, between_pipes_moves_whole_slots_and_parts)
{
    make_pipes();
    CHECK_EQ(write(one[1], "abcdef", 6), 6);
    CHECK_EQ(splice(one[0], NULL, two[1], NULL, 4, 0), 4);
    CHECK_EQ(write(two[1], "XY", 2), 2); /* not into the page that both have */
    CHECK_EQ(write(one[1], "gh", 2), 2);
    expect_bytes(one[0], "efgh");
    expect_bytes(two[0], "abcdXY");
    CHECK_EQ(write(one[1], "more", 4), 4);
    CHECK_EQ(splice(one[0], NULL, two[1], NULL, 100, 0), 4);
    expect_empty(one[0]);
    expect_bytes(two[0], "more");
}

ABI_TEST(splice, tee_leaves_what_it_copies)
{
    make_pipes();
    CHECK_EQ(write(one[1], "abcdef", 6), 6);
    CHECK_EQ(tee(one[0], two[1], 4, 0), 4);
    CHECK_EQ(write(one[1], "gh", 2), 2);
    expect_bytes(two[0], "abcd");
    expect_bytes(one[0], "abcdefgh");
    CHECK_ERR(tee(one[0], two[1], 4, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_EQ(close(one[1]), 0);
    CHECK_EQ(tee(one[0], two[1], 4, 0), 0);
}

ABI_TEST(splice, memory_goes_in_and_comes_out)
{
    char out[8] = "";
    struct iovec parts[2] = {{"abc", 3}, {"defg", 4}}, whole = {out, sizeof(out)};

    make_pipes();
    CHECK_EQ(vmsplice(one[1], parts, 2, 0), 7);
    CHECK_EQ(vmsplice(one[0], &whole, 1, 0), 7);
    CHECK_EQ(memcmp(out, "abcdefg", 7), 0);
    CHECK_ERR(vmsplice(one[0], &whole, 1, SPLICE_F_NONBLOCK), EAGAIN);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    CHECK_ERR(vmsplice(fd, parts, 2, 0), EBADF);
    CHECK_ERR(vmsplice(-1, parts, 2, 0), EBADF);
}

ABI_TEST(splice, what_does_not_fit_is_refused)
{
    loff_t at = 0;

    make_pipes();
    abi_write_file("f", "hello world");
    int fd = open("f", O_RDWR), other = open("f", O_RDONLY);
    CHECK_ERR(splice(fd, NULL, other, NULL, 1, 0), EBADF);
    CHECK_ERR(splice(other, NULL, fd, NULL, 1, 0), EINVAL);
    CHECK_ERR(splice(one[1], NULL, fd, NULL, 1, 0), EBADF);
    CHECK_ERR(splice(fd, NULL, one[0], NULL, 1, 0), EBADF);
    CHECK_ERR(splice(one[0], &at, fd, NULL, 1, 0), ESPIPE);
    CHECK_ERR(splice(fd, NULL, one[1], &at, 1, 0), ESPIPE);
    CHECK_ERR(splice(one[0], NULL, one[1], NULL, 1, 0), EINVAL);
    CHECK_ERR(splice(fd, NULL, one[1], NULL, 1, 0x40), EINVAL);
    CHECK_ERR(splice(fd, (loff_t *)8, one[1], NULL, 1, 0), EFAULT);
    CHECK_ERR(splice(-1, NULL, one[1], NULL, 1, 0), EBADF);
    CHECK_EQ(splice(fd, NULL, one[1], NULL, 0, 0), 0);
    CHECK_ERR(tee(fd, one[1], 1, 0), EINVAL);
    CHECK_ERR(tee(one[0], one[1], 1, 0), EINVAL);
    CHECK_ERR(splice(one[0], NULL, two[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERR(splice(one[0], NULL, fd, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_EQ(close(one[1]), 0);
    CHECK_EQ(splice(one[0], NULL, two[1], NULL, 1, 0), 0);
    CHECK_EQ(splice(one[0], NULL, fd, NULL, 1, 0), 0);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK_EQ(close(two[0]), 0);
    CHECK_ERR(splice(fd, NULL, two[1], NULL, 1, 0), EPIPE);
}

/* A file goes through two pipes into another, by processes that wait for each other. */
ABI_TEST(splice, a_long_file_passes_through)
{
    enum { SIZE = 1 << 20 };
    char *text = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ssize_t n;

    make_pipes();
    for (size_t i = 0; i < SIZE; i++) {
        text[i] = (char)(i * 7 + i / 4096);
    }
    int in = open("in", O_RDWR | O_CREAT, 0644), out = open("out", O_RDWR | O_CREAT, 0644);
    CHECK_EQ(write(in, text, SIZE), SIZE);
    CHECK_EQ(lseek(in, 0, SEEK_SET), 0);
    pid_t reader = abi_fork();
    if (reader == 0) {
        while ((n = splice(in, NULL, one[1], NULL, 100000, 0)) > 0) {
        }
        _exit(n == 0 ? 0 : 1);
    }
    pid_t middle = abi_fork();
    if (middle == 0) {
        CHECK_EQ(close(one[1]), 0);
        while ((n = splice(one[0], NULL, two[1], NULL, 5000, 0)) > 0) {
        }
        _exit(n == 0 ? 0 : 1);
    }
    CHECK_EQ(close(one[1]), 0);
    CHECK_EQ(close(two[1]), 0);
    while ((n = splice(two[0], NULL, out, NULL, 70000, 0)) > 0) {
    }
    CHECK_EQ(n, 0);
    int status;
    CHECK_EQ(waitpid(reader, &status, 0), reader);
    CHECK_EQ(status, 0);
    CHECK_EQ(waitpid(middle, &status, 0), middle);
    CHECK_EQ(status, 0);
    CHECK_EQ(pread(out, text + SIZE, SIZE, 0), SIZE);
    CHECK_EQ(memcmp(text, text + SIZE, SIZE), 0);
}

/* ---- who else waits ---- */

static void fill(int fd)
{
    static char page[4096];

    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (write(fd, page, sizeof(page)) == (ssize_t)sizeof(page)) {
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
}

/* A child that does one thing after it has slept. */
#define SLEEPER(call)                                                                              \
    ({                                                                                             \
        pid_t sleeper_ = abi_fork();                                                               \
        if (sleeper_ == 0) {                                                                       \
            abi_end_with(getppid());                                                               \
            _exit((call) == 1 ? 0 : 1);                                                            \
        }                                                                                          \
        abi_wait_state(sleeper_, sleeper_, 'S');                                                   \
        sleeper_;                                                                                  \
    })

static void check_done(pid_t pid)
{
    int status;

    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

static void check_waits_on(pid_t pid)
{
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

ABI_TEST(splice, that_waits_for_room_leaves_the_bytes_to_another_reader)
{
    char byte;

    make_pipes();
    fill(two[1]);
    pid_t middle = SLEEPER(splice(one[0], NULL, two[1], NULL, 1, 0));
    pid_t reader = SLEEPER(read(one[0], &byte, 1));
    CHECK_EQ(write(one[1], "x", 1), 1);
    check_done(reader);
    check_waits_on(middle);
}

ABI_TEST(splice, that_waits_for_bytes_leaves_the_room_to_another_writer)
{
    char page[4096];

    make_pipes();
    fill(two[1]);
    CHECK_EQ(write(one[1], "x", 1), 1);
    pid_t middle = SLEEPER(splice(one[0], NULL, two[1], NULL, 1, 0));
    expect_bytes(one[0], "x");
    pid_t writer = SLEEPER(write(two[1], "y", 1));
    CHECK_EQ(read(two[0], page, sizeof(page)), sizeof(page));
    check_done(writer);
    check_waits_on(middle);
}

ABI_TEST(splice, into_a_pipe_is_an_event_each_time)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int set = epoll_create1(0);

    make_pipes();
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, one[0], &event), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(write(two[1], "x", 1), 1);
        CHECK_EQ(splice(two[0], NULL, one[1], NULL, 1, 0), 1);
        CHECK_EQ(epoll_wait(set, &event, 1, 0), 1);
        CHECK_EQ(epoll_wait(set, &event, 1, 0), 0);
    }
}
