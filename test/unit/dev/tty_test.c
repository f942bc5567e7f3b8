/*
 * Terminals over a driver of the test's own: reads with VMIN and VTIME, writes that wait for room, flow control, job control, hangup.
 */
#define TEST_SUITE "dev"
#include "test/unit/dev/tty_play.h"

TEST(tty, a_reader_sleeps_until_the_line_is_there)
{
    begin();
    start(reader, &file);
    EXPECT(!done);
    type("hi");
    run();
    EXPECT(!done);
    type("\r");
    run();
    EXPECT(done);
    EXPECT_EQ(result, 3);
    EXPECT_STR_EQ(got, "hi\n");
    end();
}

TEST(tty, echoes_at_once_in_a_thread_and_soon_from_an_interrupt)
{
    begin();
    preempt_enable();
    type("a");
    preempt_disable();
    EXPECT_STR_EQ(written, "a");
    type("b"); /* as in an interrupt: no sleeping here */
    EXPECT_STR_EQ(written, "a");
    run();
    EXPECT_STR_EQ(written, "ab");
    end();
}

TEST(tty, an_echo_comes_before_what_is_written_after_it)
{
    begin();
    type("a"); /* as in an interrupt: the echo is to come soon */
    preempt_enable();
    EXPECT_EQ(file_write(&file, "out"), 3);
    preempt_disable();
    EXPECT_STR_EQ(written, "aout");
    run();
    EXPECT_STR_EQ(written, "aout");
    end();
}

TEST(tty, nonblocking_reads_and_polls_tell_that_nothing_is_there)
{
    begin();
    file.flags = O_NONBLOCK;
    EXPECT_EQ(file_read(&file, got, 10), -EAGAIN);
    EXPECT_EQ(file.fops->poll(&file, NULL), POLLOUT | POLLWRNORM);
    type("x\n");
    run();
    EXPECT_EQ(file.fops->poll(&file, NULL) & POLLIN, POLLIN);
    EXPECT_EQ(file_read(&file, got, 10), 2);
    end();
}

TEST(tty, vmin_0_vtime_0_never_waits)
{
    begin();
    set_raw(0, 0);
    EXPECT_EQ(file_read(&file, got, 10), 0);
    type("xy");
    EXPECT_EQ(file_read(&file, got, 10), 2);
    end();
}

TEST(tty, vtime_alone_limits_the_wait_for_the_first_byte)
{
    ktime_t before;

    begin();
    set_raw(0, 5);
    before = ktime_now();
    start(reader, &file);
    EXPECT(done);
    EXPECT_EQ(result, 0);
    EXPECT_EQ((done_at - before) / NS_PER_MS, 500);
    end();
}

TEST(tty, vmin_waits_for_as_many_bytes)
{
    begin();
    set_raw(3, 0);
    start(reader, &file);
    type("ab");
    run();
    EXPECT(!done);
    type("c");
    run();
    EXPECT(done);
    EXPECT_STR_EQ(got, "abc");
    end();
}

TEST(tty, vmin_with_vtime_gives_up_between_bytes_but_not_before_the_first)
{
    ktime_t before;

    begin();
    set_raw(3, 1);
    start(reader, &file);
    EXPECT(!done);
    before = ktime_now();
    type("a");
    run();
    EXPECT(done);
    EXPECT_STR_EQ(got, "a");
    EXPECT_EQ((done_at - before) / NS_PER_MS, 100);
    end();
}

TEST(tty, a_writer_waits_for_room_and_loses_nothing)
{
    begin();
    room = 5;
    start(writer, "one\ntwo\n");
    EXPECT(!done);
    EXPECT_STR_EQ(written, "one\r\n");
    room = 100;
    tty_wake_writers(tty);
    run();
    EXPECT(done);
    EXPECT_EQ(result, 8);
    EXPECT_STR_EQ(written, "one\r\ntwo\r\n");
    end();
}

TEST(tty, a_nonblocking_writer_gets_what_there_is_room_for)
{
    begin();
    file.flags = O_NONBLOCK;
    room = 3;
    EXPECT_EQ(file_write(&file, "abcdef"), 3);
    EXPECT_EQ(file_write(&file, "def"), -EAGAIN);
    end();
}

TEST(tty, control_s_holds_output_and_control_q_lets_it_go)
{
    begin();
    type("\023");
    start(writer, "text");
    EXPECT(!done);
    EXPECT_STR_EQ(written, "");
    type("\021");
    run();
    EXPECT(done);
    EXPECT_STR_EQ(written, "text");
    end();
}

TEST(tty, asks_the_driver_to_hold_back_before_the_buffer_is_full)
{
    char block[101];

    begin();
    set_raw(1, 0);
    memset(block, 'x', 100);
    block[100] = '\0';
    for (int i = 0; i < 40; i++) {
        type(block);
    }
    EXPECT_EQ(throttles, 1);
    end();
}

TEST(tty, a_hangup_ends_open_files_for_good_but_not_the_terminal)
{
    struct file second = {.mode = FMODE_READ | FMODE_WRITE};

    begin();
    start(reader, &file);
    preempt_enable();
    tty_hangup(tty);
    preempt_disable();
    run();
    EXPECT(done);
    EXPECT_EQ(result, 0);
    EXPECT_EQ(file_read(&file, got, 10), 0);
    EXPECT_EQ(file_write(&file, "x"), -EIO);
    EXPECT_EQ(file.fops->ioctl(&file, TCGETS, 0), -EIO);
    EXPECT_EQ(file.fops->poll(&file, NULL) & (POLLHUP | POLLIN), POLLHUP | POLLIN);
    EXPECT_EQ(tty_open_file(tty_get(tty), &second, true), 0);
    EXPECT_EQ(file_write(&second, "new"), 3);
    EXPECT_STR_EQ(written, "new");
    second.fops->release(&second);
    end();
}

/* Make the terminal control the session, with group_b in the foreground. */
static void take_control(void)
{
    leader = true;
    tty_acquire_on_open(tty);
    EXPECT_PTR_EQ(current_tty, tty);
    pid_put(tty->foreground);
    tty->foreground = pid_get(&group_b);
}

static void give_up_control(void)
{
    tty_leave_session(tty, TTY_GIVEN_UP);
    EXPECT(current_tty == NULL);
}

TEST(tty, the_foreground_group_gets_the_signals_of_keys_and_sizes)
{
    struct winsize size = {.ws_row = 30, .ws_col = 100};

    begin();
    take_control();
    type("\003");
    EXPECT_EQ(tty_set_winsize(tty, &size), 0);
    EXPECT_EQ(tty_set_winsize(tty, &size), 0); /* no change, no signal */
    EXPECT_STR_EQ(sent, "20:2 20:28 ");
    run();
    give_up_control();
    end();
}

TEST(tty, a_background_reader_is_stopped)
{
    begin();
    take_control();
    EXPECT_EQ(file_read(&file, got, 10), -ERESTARTSYS);
    EXPECT_STR_EQ(sent, "10:21 "); /* SIGTTIN to its own group */
    ignores = true;
    EXPECT_EQ(file_read(&file, got, 10), -EIO);
    ignores = false;
    orphaned = true;
    EXPECT_EQ(file_read(&file, got, 10), -EIO);
    give_up_control();
    end();
}

TEST(tty, the_group_in_the_background_is_held_while_it_is_told)
{
    begin();
    take_control();
    uint32_t refs = refcount_read(&group_a.refs);
    EXPECT_EQ(file_read(&file, got, 10), -ERESTARTSYS);
    EXPECT_EQ(sent_refs, refs + 1); /* its process may go to another one meanwhile */
    EXPECT_EQ(refcount_read(&group_a.refs), refs);
    give_up_control();
    end();
}

TEST(tty, a_background_writer_is_stopped_only_with_tostop)
{
    struct ktermios termios;

    begin();
    take_control();
    EXPECT_EQ(file_write(&file, "a"), 1);
    termios = tty->termios;
    termios.c_lflag |= TOSTOP;
    EXPECT_EQ(tty_set_termios(tty, &termios, 0), 0);
    EXPECT_EQ(file_write(&file, "b"), -ERESTARTSYS);
    EXPECT_STR_EQ(sent, "10:22 ");
    ignores = true;
    EXPECT_EQ(file_write(&file, "b"), 1);
    give_up_control();
    end();
}

TEST(tty, the_end_of_a_session_hangs_up_and_tells_the_foreground)
{
    begin();
    take_control();
    tty_session_exit();
    EXPECT_STR_EQ(sent, "10:1 10:18 20:1 20:18 ");
    EXPECT(current_tty == NULL);
    EXPECT_EQ(file_read(&file, got, 10), 0);
    end();
}
