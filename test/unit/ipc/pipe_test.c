/*
 * Pipes and FIFOs against pipe(7) and fifo(7).
 */
#include <linux/fs.h>

#define TEST_SUITE "ipc"
#include "kernel/ipc/pipe.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static struct file *ends[2]; /* read end, write end */
static char big[3 * PIPE_DEFAULT_BYTES];

static void pipe_begin(int flags)
{
    tree_begin(NULL);
    EXPECT_EQ(pipe_create(flags, &ends[0], &ends[1]), 0);
}

static void pipe_end(void)
{
    file_put(ends[0]);
    file_put(ends[1]);
    tree_end();
}

static void close_end(int i)
{
    file_put(ends[i]);
    ends[i] = NULL;
}

static ssize_t put(struct file *file, const void *data, size_t len)
{
    struct iov_iter from;

    iov_init_kernel(&from, (void *)(uintptr_t)data, len);
    return vfs_write(file, &from, NULL);
}

static ssize_t take(struct file *file, void *data, size_t len)
{
    struct iov_iter to;

    iov_init_kernel(&to, data, len);
    return vfs_read(file, &to, NULL);
}

TEST(pipe, carries_bytes_in_order)
{
    char buf[64] = {0};

    pipe_begin(0);
    EXPECT_EQ(put(ends[1], "hello ", 6), 6);
    EXPECT_EQ(put(ends[1], "world", 5), 5);
    EXPECT_EQ(take(ends[0], buf, 3), 3);
    EXPECT_EQ(take(ends[0], buf + 3, 60), 8);
    EXPECT_STR_EQ(buf, "hello world");
    EXPECT_EQ(put(ends[0], "x", 1), -EBADF);
    EXPECT_EQ(take(ends[1], buf, 1), -EBADF);
    EXPECT_EQ(vfs_llseek(ends[0], 0, SEEK_SET), -ESPIPE);
    pipe_end();
}

TEST(pipe, ends_when_the_writer_closes_and_breaks_when_the_reader_does)
{
    char c;

    pipe_begin(0);
    EXPECT_EQ(put(ends[1], "a", 1), 1);
    close_end(1);
    EXPECT_EQ(take(ends[0], &c, 1), 1);
    EXPECT_EQ(take(ends[0], &c, 1), 0);
    pipe_end();
    pipe_begin(0);
    close_end(0);
    EXPECT_EQ(put(ends[1], "a", 1), -EPIPE);
    pipe_end();
}

TEST(pipe, without_blocking_small_writes_are_whole_or_not_at_all)
{
    pipe_begin(O_NONBLOCK);
    EXPECT_EQ(take(ends[0], big, 1), -EAGAIN);
    EXPECT_EQ(put(ends[1], big, PIPE_DEFAULT_BYTES - 1), PIPE_DEFAULT_BYTES - 1);
    EXPECT_EQ(put(ends[1], big, 2), -EAGAIN);
    EXPECT_EQ(put(ends[1], big, PIPE_BUF_BYTES), -EAGAIN);
    EXPECT_EQ(put(ends[1], big, 1), 1);
    EXPECT_EQ(put(ends[1], big, 1), -EAGAIN);
    EXPECT_EQ(take(ends[0], big, PIPE_BUF_BYTES - 1), PIPE_BUF_BYTES - 1);
    EXPECT_EQ(put(ends[1], big, 1), -EAGAIN); /* a page is free only when all of it was read */
    EXPECT_EQ(take(ends[0], big, 1), 1);
    EXPECT_EQ(put(ends[1], big, 2 * PIPE_BUF_BYTES), PIPE_BUF_BYTES);
    pipe_end();
}

TEST(pipe, packets_keep_their_borders)
{
    char buf[16];

    pipe_begin(O_DIRECT);
    EXPECT_EQ(put(ends[1], "abc", 3), 3);
    EXPECT_EQ(put(ends[1], "defgh", 5), 5);
    EXPECT_EQ(take(ends[0], buf, sizeof(buf)), 3);
    EXPECT_EQ(take(ends[0], buf, 2), 2);
    EXPECT_EQ(put(ends[1], "i", 1), 1);
    EXPECT_EQ(take(ends[0], buf, sizeof(buf)), 1);
    EXPECT_EQ(buf[0], 'i');
    pipe_end();
}

TEST(pipe, poll_tells_each_end_what_it_may_do)
{
    pipe_begin(O_NONBLOCK);
    EXPECT_EQ(vfs_poll(ends[0], NULL), 0);
    EXPECT_EQ(vfs_poll(ends[1], NULL), POLLOUT | POLLWRNORM);
    EXPECT_EQ(put(ends[1], big, sizeof(big)), PIPE_DEFAULT_BYTES);
    EXPECT_EQ(vfs_poll(ends[0], NULL), POLLIN | POLLRDNORM);
    EXPECT_EQ(vfs_poll(ends[1], NULL), 0);
    close_end(1);
    EXPECT_EQ(vfs_poll(ends[0], NULL), POLLIN | POLLRDNORM | POLLHUP);
    EXPECT_EQ(take(ends[0], big, sizeof(big)), PIPE_DEFAULT_BYTES);
    EXPECT_EQ(vfs_poll(ends[0], NULL), POLLHUP);
    pipe_end();
    pipe_begin(0);
    close_end(0);
    EXPECT_EQ(vfs_poll(ends[1], NULL), POLLOUT | POLLWRNORM | POLLERR);
    pipe_end();
}

TEST(pipe, size_can_be_changed_while_it_holds_bytes)
{
    char buf[8] = {0};

    pipe_begin(O_NONBLOCK);
    EXPECT_EQ(pipe_get_size(ends[0]), 65536);
    EXPECT_EQ(put(ends[1], "kept", 4), 4);
    EXPECT_EQ(pipe_set_size(ends[0], 5000), 8192);
    EXPECT_EQ(pipe_get_size(ends[1]), 8192);
    EXPECT_EQ(pipe_set_size(ends[0], 1ull << 32), -EINVAL);
    EXPECT_EQ(put(ends[1], big, 5000),
              904 + 4096); /* the tail joins the first page, the rest fills the second */
    EXPECT_EQ(pipe_set_size(ends[0], 4096), -EBUSY);
    EXPECT_EQ(take(ends[0], buf, 4), 4);
    EXPECT_STR_EQ(buf, "kept");
    EXPECT_EQ(pipe_set_size(ends[0], 1 << 20), 1 << 20);
    tree_become(1000, 1000);
    current_thread()->cred->cap_effective = 0;
    EXPECT_EQ(pipe_set_size(ends[0], 2 << 20), -EPERM);
    pipe_end();
}

TEST(pipe, an_end_can_be_opened_anew_by_its_place)
{
    struct file *again;
    char c;

    pipe_begin(0);
    EXPECT_EQ(put(ends[1], "ab", 2), 2);
    EXPECT_EQ(vfs_open_path(&ends[0]->path, O_RDONLY, &again), 0);
    EXPECT_EQ(take(again, &c, 1), 1);
    close_end(1);
    EXPECT_EQ(take(again, &c, 1), 1);
    EXPECT_EQ(take(again, &c, 1), 0);
    file_put(again);
    EXPECT_EQ(vfs_open_path(&ends[0]->path, O_RDONLY, &again),
              0); /* with no writer it does not wait */
    EXPECT_EQ(take(again, &c, 1), 0);
    file_put(again);
    pipe_end();
}

/* ---- with a second thread ---- */

static size_t moved;
static bool intact;

static void reader_main(void *arg)
{
    char buf[1000];
    ssize_t n;

    (void)arg;
    while ((n = take(ends[0], buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            intact = intact && buf[i] == (char)((moved + (size_t)i) * 7);
        }
        moved += (size_t)n;
    }
}

static void writer_main(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)(i * 7);
    }
    EXPECT_EQ(put(ends[1], big, sizeof(big)), (ssize_t)sizeof(big));
    close_end(1);
}

TEST(pipe, blocking_writers_and_readers_wait_for_each_other)
{
    pipe_begin(0);
    moved = 0;
    intact = true;
    tree_spawn(reader_main, NULL);
    tree_spawn(writer_main, NULL);
    tree_run();
    EXPECT_EQ(moved, sizeof(big));
    EXPECT(intact);
    pipe_end();
}

static unsigned woken;

static void one_byte_main(void *arg)
{
    char c;

    (void)arg;
    if (take(ends[0], &c, 1) == 1) {
        woken++;
    }
}

TEST(pipe, a_reader_that_leaves_bytes_behind_wakes_the_next)
{
    pipe_begin(0);
    woken = 0;
    for (int i = 0; i < 3; i++) {
        tree_spawn(one_byte_main, NULL);
    }
    tree_run();
    EXPECT_EQ(woken, 0);
    EXPECT_EQ(put(ends[1], "ab", 2), 2);
    tree_run();
    EXPECT_EQ(woken, 2);
    close_end(1);
    tree_run();
    EXPECT_EQ(woken, 2);
    pipe_end();
}

static int opened_fd[2];

static void fifo_reader_main(void *arg)
{
    (void)arg;
    opened_fd[0] = tree_open("fifo", O_RDONLY, 0);
}

static void fifo_writer_main(void *arg)
{
    (void)arg;
    opened_fd[1] = tree_open("fifo", O_WRONLY, 0);
}

TEST(pipe, fifos_open_when_both_sides_are_there)
{
    char buf[8] = {0};

    tree_begin(NULL);
    EXPECT_EQ(vfs_mknod(AT_FDCWD, "fifo", S_IFIFO | 0644, 0), 0);
    opened_fd[0] = opened_fd[1] = -1;
    tree_spawn(fifo_reader_main, NULL);
    tree_run();
    EXPECT_EQ(opened_fd[0], -1);
    tree_spawn(fifo_writer_main, NULL);
    tree_run();
    EXPECT_GE(opened_fd[0], 0);
    EXPECT_GE(opened_fd[1], 0);
    struct file *in = fd_file(opened_fd[0]), *out = fd_file(opened_fd[1]);
    EXPECT_EQ(put(out, "fifo", 4), 4);
    EXPECT_EQ(take(in, buf, 8), 4);
    EXPECT_STR_EQ(buf, "fifo");
    file_put(in);
    file_put(out);
    tree_end();
}

TEST(pipe, fifos_without_blocking)
{
    char c;

    tree_begin(NULL);
    EXPECT_EQ(vfs_mknod(AT_FDCWD, "fifo", S_IFIFO | 0644, 0), 0);
    EXPECT_EQ(tree_open("fifo", O_WRONLY | O_NONBLOCK, 0), -ENXIO);
    int in = tree_open("fifo", O_RDONLY | O_NONBLOCK, 0);
    EXPECT_GE(in, 0);
    struct file *reader = fd_file(in);
    EXPECT_EQ(vfs_poll(reader, NULL), 0); /* no writer yet is not a hang-up */
    EXPECT_EQ(take(reader, &c, 1), 0);
    int out = tree_open("fifo", O_WRONLY | O_NONBLOCK, 0);
    EXPECT_GE(out, 0);
    EXPECT_EQ(take(reader, &c, 1), -EAGAIN);
    EXPECT_EQ(fd_close(out), 0);
    EXPECT_EQ(vfs_poll(reader, NULL), POLLHUP);
    EXPECT_EQ(take(reader, &c, 1), 0);
    file_put(reader);
    int both = tree_open("fifo", O_RDWR, 0);
    EXPECT_GE(both, 0);
    tree_end();
}
