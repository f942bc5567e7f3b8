/*
 * poll(2) and select(2): what is ready at once, what comes later, and timeouts.
 */
#include <linux/poll.h>

#define TEST_SUITE "vfs"
#include "hal/host/host.h"
#include "kernel/ipc/pipe.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static int pipe_fds[2];

static void poll_begin(void)
{
    struct file *ends[2];

    tree_begin(NULL);
    EXPECT_EQ(pipe_create(0, &ends[0], &ends[1]), 0);
    for (int i = 0; i < 2; i++) {
        pipe_fds[i] = fd_add(ends[i], false);
        EXPECT_GE(pipe_fds[i], 0);
    }
}

static void put_byte(void)
{
    struct iov_iter from;
    struct file *file = fd_file(pipe_fds[1]);

    iov_init_kernel(&from, (char[]){'x'}, 1);
    EXPECT_EQ(vfs_write(file, &from, NULL), 1);
    file_put(file);
}

TEST(poll, answers_at_once_without_waiting)
{
    poll_begin();
    int plain = tree_open("f", O_RDWR | O_CREAT, 0644);
    struct pollfd fds[] = {{.fd = pipe_fds[0], .events = POLLIN},
                           {.fd = pipe_fds[1], .events = POLLOUT},
                           {.fd = plain, .events = POLLIN | POLLOUT},
                           {.fd = -1, .events = POLLIN, .revents = 77},
                           {.fd = 99, .events = POLLIN}};
    EXPECT_EQ(vfs_do_poll(fds, ARRAY_SIZE(fds), KTIME_MAX), 3);
    EXPECT_EQ(fds[0].revents, 0);
    EXPECT_EQ(fds[1].revents, POLLOUT);
    EXPECT_EQ(fds[2].revents, POLLIN | POLLOUT);
    EXPECT_EQ(fds[3].revents, 0);
    EXPECT_EQ(fds[4].revents, POLLNVAL);
    EXPECT_EQ(vfs_do_poll(fds, 1, 0), 0);
    put_byte();
    EXPECT_EQ(vfs_do_poll(fds, 1, 0), 1);
    EXPECT_EQ(vfs_do_poll(NULL, 0, 0), 0);
    tree_end();
}

TEST(poll, select_answers_each_set)
{
    uint64_t in[1], out[1], ret_in[1], ret_out[1];

    poll_begin();
    put_byte();
    in[0] = BIT(pipe_fds[0]) | BIT(pipe_fds[1]);
    out[0] = BIT(pipe_fds[1]);
    struct select_sets sets = {.in = in, .out = out, .ret_in = ret_in, .ret_out = ret_out};
    EXPECT_EQ(vfs_do_select(8, &sets, KTIME_MAX), 2);
    EXPECT_EQ(ret_in[0], BIT(pipe_fds[0]));
    EXPECT_EQ(ret_out[0], BIT(pipe_fds[1]));
    in[0] |= BIT(60);
    EXPECT_EQ(vfs_do_select(61, &sets, 0), -EBADF);
    EXPECT_EQ(vfs_do_select(60, &sets, 0), 2); /* bits at or above n do not count */
    tree_end();
}

static int poll_result;
static short poll_revents;
static ktime_t poll_deadline;

static void poller_main(void *arg)
{
    struct pollfd fd = {.fd = pipe_fds[0], .events = POLLIN};

    (void)arg;
    poll_result = vfs_do_poll(&fd, 1, poll_deadline);
    poll_revents = fd.revents;
}

TEST(poll, waits_until_a_file_is_ready)
{
    poll_begin();
    poll_result = -1;
    poll_deadline = KTIME_MAX;
    tree_spawn(poller_main, NULL);
    tree_run();
    EXPECT_EQ(poll_result, -1);
    put_byte();
    tree_run();
    EXPECT_EQ(poll_result, 1);
    EXPECT_EQ(poll_revents, POLLIN);
    tree_end();
}

TEST(poll, waits_on_more_files_than_it_keeps_on_its_stack)
{
    struct file *ends[2];

    poll_begin();
    poll_result = -1;
    poll_deadline = KTIME_MAX;
    for (int i = 0; i < 30; i++) {
        EXPECT_EQ(pipe_create(0, &ends[0], &ends[1]), 0);
        EXPECT_GE(fd_add(ends[0], false), 0);
        EXPECT_GE(fd_add(ends[1], false), 0);
    }
    tree_spawn(poller_main, NULL);
    tree_run();
    EXPECT_EQ(poll_result, -1);
    EXPECT_EQ(fd_close(pipe_fds[1]), 0);
    tree_run();
    EXPECT_EQ(poll_result, 1);
    EXPECT_EQ(poll_revents, POLLHUP);
    tree_end();
}
