/*
 * Pseudo-terminals: what goes both ways through the line discipline, and what the close of either end does.
 */
#define TEST_SUITE "dev"
#include "test/unit/dev/tty_play.h"

static unsigned shown;

static void *instance_get(struct file *ptmx)
{
    (void)ptmx;
    return &shown;
}

static void instance_put(void *instance)
{
    (void)instance;
}

static int slave_add(void *instance, unsigned index, uint64_t rdev)
{
    (void)instance;
    (void)index;
    (void)rdev;
    shown++;
    return 0;
}

static void slave_remove(void *instance, unsigned index)
{
    (void)instance;
    (void)index;
    shown--;
}

static const struct pty_fs_ops test_fs = {
    .instance_get = instance_get,
    .instance_put = instance_put,
    .slave_add = slave_add,
    .slave_remove = slave_remove,
};

static struct file master;

static void begin_pty(void)
{
    setup_threads();
    pty_fs = &test_fs;
    memset(&master, 0, sizeof(master));
    memset(&file, 0, sizeof(file));
    EXPECT_EQ(pty_open_master(&master), 0);
    EXPECT_EQ(shown, 1);
    tty = tty_find(DEV_MAKE(136, 0));
    EXPECT(tty != NULL);
    EXPECT_EQ(tty_open_file(tty_get(tty), &file, true), -EIO); /* still locked */
    tty->locked = false;
    EXPECT_EQ(tty_open_file(tty_get(tty), &file, true), 0);
    lockdep_ignore_sleeping(false);
    preempt_enable();
}

static void end_pty(void)
{
    pty_fs = NULL;
    tty_put(tty);
}

static const char *master_read(void)
{
    memset(got, 0, sizeof(got));
    master.flags = O_NONBLOCK;
    result = file_read(&master, got, sizeof(got) - 1);
    return got;
}

TEST(pty, carries_both_ways_through_the_line_discipline)
{
    begin_pty();
    EXPECT_EQ(file_write(&file, "out\n"), 4);
    EXPECT_STR_EQ(master_read(), "out\r\n");
    EXPECT_EQ(file_write(&master, "in\r"), 3);
    EXPECT_STR_EQ(master_read(), "in\r\n"); /* the echo */
    EXPECT_EQ(file_read(&file, got, 10), 3);
    EXPECT_MEM_EQ(got, "in\n", 3);
    (void)master_read();
    EXPECT_EQ(result, -EAGAIN);
    file.fops->release(&file);
    master.fops->release(&master);
    end_pty();
}

TEST(pty, keeps_what_the_master_wrote_before_the_slave_was_opened_again)
{
    begin_pty();
    file.fops->release(&file);
    EXPECT_EQ(file_write(&master, "early\n"), 6);
    EXPECT_EQ(tty_open_file(tty_get(tty), &file, true), 0);
    EXPECT_EQ(file_read(&file, got, 10), 6);
    file.fops->release(&file);
    master.fops->release(&master);
    end_pty();
}

TEST(pty, the_slaves_close_lets_the_master_read_the_rest_and_then_fails)
{
    begin_pty();
    EXPECT_EQ(file_write(&file, "last"), 4);
    file.fops->release(&file);
    EXPECT_EQ(master.fops->poll(&master, NULL) & (POLLHUP | POLLIN), POLLHUP | POLLIN);
    EXPECT_STR_EQ(master_read(), "last");
    (void)master_read();
    EXPECT_EQ(result, -EIO);
    master.fops->release(&master);
    end_pty();
}

TEST(pty, a_hangup_lets_the_master_read_the_rest)
{
    begin_pty();
    EXPECT_EQ(file_write(&file, "last"), 4);
    tty_hangup(tty);
    EXPECT_STR_EQ(master_read(), "last");
    file.fops->release(&file);
    master.fops->release(&master);
    end_pty();
}

TEST(pty, the_masters_close_hangs_the_slave_up)
{
    begin_pty();
    master.fops->release(&master);
    EXPECT_EQ(shown, 0);
    EXPECT_EQ(file_read(&file, got, 10), 0);
    EXPECT_EQ(file_write(&file, "x"), -EIO);
    EXPECT(tty_find(DEV_MAKE(136, 0)) == NULL);
    file.fops->release(&file);
    end_pty();
}

TEST(pty, the_end_of_a_session_tells_the_foreground_and_hangs_nothing_up)
{
    begin_pty();
    leader = true;
    tty_acquire_on_open(tty);
    EXPECT_PTR_EQ(current_tty, tty);
    tty_session_exit();
    EXPECT(current_tty == NULL);
    EXPECT_STR_EQ(sent, "10:1 ");
    EXPECT_EQ(file_write(&file, "late"), 4);
    EXPECT_STR_EQ(master_read(), "late");
    file.fops->release(&file);
    master.fops->release(&master);
    end_pty();
}

TEST(pty, a_full_slave_makes_the_master_wait_and_reading_lets_it_go_on)
{
    char block[65];
    size_t total = 0;

    begin_pty();
    memset(block, 'x', 63);
    block[63] = '\n';
    block[64] = '\0';
    master.flags = O_NONBLOCK;
    for (ssize_t n = 64; n == 64; total += (size_t)n) {
        n = file_write(&master, block);
        n = MAX(n, (ssize_t)0);
        (void)master_read();
        master.flags = O_NONBLOCK;
    }
    EXPECT_LE(total, 4096);
    EXPECT_GT(total, 4000);
    EXPECT_EQ(master.fops->poll(&master, NULL) & POLLOUT, 0);
    EXPECT_EQ(file_read(&file, got, 100), 64);
    EXPECT_EQ(master.fops->poll(&master, NULL) & POLLOUT, POLLOUT);
    file.fops->release(&file);
    master.fops->release(&master);
    end_pty();
}
