/*
 * Terminals over a driver of the test's own: reads with VMIN and VTIME, writes that wait for room, flow control, job control, hangup; and
 * pseudo-terminals. Programs are kernel threads; the process they belong to is played by the test (struct jobctl_ops).
 */
#define TEST_SUITE "dev"
#include "test/unit/test.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/signal.h>

#include "hal/host/host.h"
#include "kernel/base/printf.h"
#include "kernel/core/time.h"
#include "kernel/dev/pty.h"

/* ---- the process that acts ---- */

static struct pid group_a = {.nr = 10, .refs = {100}}, group_b = {.nr = 20, .refs = {100}};
static struct pid *current_group;
static struct tty *current_tty;
static bool leader, ignores, orphaned;
static char sent[128]; /* "group:signal " of each signal */

static int record_signal(struct pid *target, int signo)
{
    size_t at = strlen(sent);

    (void)ksnprintf(sent + at, sizeof(sent) - at, "%d:%d ", target->nr, signo);
    return 0;
}

static struct pid *get_group(void)
{
    return current_group;
}

static struct pid *get_session(void)
{
    return &group_a;
}

static bool is_leader(void)
{
    return leader;
}

static bool does_ignore(int signo)
{
    (void)signo;
    return ignores;
}

static bool is_orphaned(struct pid *group)
{
    (void)group;
    return orphaned;
}

static bool in_session(struct pid *group, struct pid *session)
{
    (void)group;
    (void)session;
    return true;
}

static void set_tty(struct pid *session, void *tty)
{
    (void)session;
    current_tty = tty;
}

static void *get_tty(void)
{
    return current_tty;
}

static const struct jobctl_ops jobs = {
    .signal_group = record_signal,
    .signal_process = record_signal,
    .current_group = get_group,
    .current_session = get_session,
    .current_is_session_leader = is_leader,
    .current_ignores = does_ignore,
    .group_is_orphaned = is_orphaned,
    .group_in_session = in_session,
    .session_set_tty = set_tty,
    .current_tty = get_tty,
};

/* ---- the driver ---- */

static char written[4096];
static size_t room, closes, throttles;

static size_t driver_write(struct tty *tty, const uint8_t *data, size_t len)
{
    size_t at = strlen(written), n = MIN(len, room);

    (void)tty;
    memcpy(written + at, data, n);
    written[at + n] = '\0';
    room -= n;
    return n;
}

static size_t driver_room(struct tty *tty)
{
    (void)tty;
    return room;
}

static void driver_close(struct tty *tty)
{
    (void)tty;
    closes++;
}

static void driver_throttle(struct tty *tty, bool on)
{
    (void)tty;
    throttles += on;
}

static const struct tty_driver_ops driver = {
    .write = driver_write,
    .write_room = driver_room,
    .close = driver_close,
    .throttle = driver_throttle,
};

/* ---- the scene ---- */

static struct tty *tty;
static struct file file;
static char got[256];
static ssize_t result;
static bool done;
static ktime_t done_at;

static void setup_threads(void)
{
    static bool workers;

    host_sched_init();
    preempt_disable();
    lockdep_ignore_sleeping(true);
    host_clock_set_manual(ktime_now() + NS_PER_S);
    irq_disable();
    machine_timer_interrupt();
    irq_enable();
    if (!workers) {
        work_threads_start();
        workers = true;
    }
    jobctl = &jobs;
    current_group = &group_a;
    current_tty = NULL;
    leader = ignores = orphaned = false;
    sent[0] = '\0';
}

static void run(void)
{
    preempt_enable();
    host_run_threads();
    preempt_disable();
}

static void begin(void)
{
    setup_threads();
    written[0] = '\0';
    room = sizeof(written) - 1;
    closes = throttles = 0;
    EXPECT_EQ(tty_create("test", DEV_MAKE(240, 1), &driver, NULL, &tty), 0);
    memset(&file, 0, sizeof(file));
    file.mode = FMODE_READ | FMODE_WRITE;
    EXPECT_EQ(tty_open_file(tty_get(tty), &file, true), 0);
}

static void end(void)
{
    file.fops->release(&file);
    EXPECT_EQ(closes, 1);
    EXPECT_EQ(refcount_read(&tty->refs), 1);
    tty_remove(tty);
    lockdep_ignore_sleeping(false);
    preempt_enable();
}

static void set_raw(uint8_t min, uint8_t time)
{
    struct ktermios termios = tty->termios;

    termios.c_iflag = 0;
    termios.c_lflag = 0;
    termios.c_cc[VMIN] = min;
    termios.c_cc[VTIME] = time;
    EXPECT_EQ(tty_set_termios(tty, &termios, 0), 0);
}

static void type(const char *text)
{
    (void)tty_receive(tty, (const uint8_t *)text, strlen(text));
}

static ssize_t file_read(struct file *from, void *buf, size_t size)
{
    struct iov_iter iter;
    loff_t pos = 0;

    iov_init_kernel(&iter, buf, size);
    return from->fops->read(from, &iter, &pos);
}

static ssize_t file_write(struct file *to, const char *text)
{
    struct iov_iter iter;
    loff_t pos = 0;

    iov_init_kernel(&iter, (void *)(uintptr_t)text, strlen(text));
    return to->fops->write(to, &iter, &pos);
}

static void reader(void *arg)
{
    struct file *from = arg;

    memset(got, 0, sizeof(got));
    result = file_read(from, got, sizeof(got) - 1);
    done_at = ktime_now();
    done = true;
}

static void writer(void *arg)
{
    result = file_write(&file, arg);
    done = true;
}

static void start(void (*fn)(void *), void *arg)
{
    struct thread *thread = thread_create_kernel("program", fn, arg);

    done = false;
    EXPECT(thread != NULL);
    thread_start(thread);
    run();
}

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
    tty_leave_session(tty, false);
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

/* ---- pseudo-terminals ---- */

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
