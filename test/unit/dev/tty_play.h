/*
 * For tests of terminals: a driver of the test's own, and programs that are kernel threads; the process they belong to is played by the test
 * (struct jobctl_ops).
 */
#pragma once

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
static char sent[128];     /* "group:signal " of each signal */
static uint32_t sent_refs; /* of the group at the last one */

static inline int record_signal(struct pid *target, int signo)
{
    size_t at = strlen(sent);

    (void)ksnprintf(sent + at, sizeof(sent) - at, "%d:%d ", target->nr, signo);
    sent_refs = refcount_read(&target->refs);
    return 0;
}

static inline struct pid *get_group(void)
{
    return pid_get(current_group);
}

static inline struct pid *get_session(void)
{
    return &group_a;
}

static inline bool is_leader(void)
{
    return leader;
}

static inline bool does_ignore(int signo)
{
    (void)signo;
    return ignores;
}

static inline bool is_orphaned(struct pid *group)
{
    (void)group;
    return orphaned;
}

static inline int in_session(struct pid *group, struct pid *session)
{
    (void)group;
    (void)session;
    return 0;
}

static inline void set_tty(void *tty)
{
    current_tty = tty;
}

static inline void clear_tty(struct pid *session)
{
    (void)session;
    current_tty = NULL;
}

static inline void *get_tty(void)
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
    .current_tty = get_tty,
    .current_set_tty = set_tty,
    .session_clear_tty = clear_tty,
};

/* ---- the driver ---- */

static char written[4096];
static size_t room, closes, throttles;

static inline size_t driver_write(struct tty *tty, const uint8_t *data, size_t len)
{
    size_t at = strlen(written), n = MIN(len, room);

    (void)tty;
    memcpy(written + at, data, n);
    written[at + n] = '\0';
    room -= n;
    return n;
}

static inline size_t driver_room(struct tty *tty)
{
    (void)tty;
    return room;
}

static inline void driver_close(struct tty *tty)
{
    (void)tty;
    closes++;
}

static inline void driver_throttle(struct tty *tty, bool on)
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

static inline void setup_threads(void)
{
    static bool workers;

    host_sched_begin();
    lockdep_ignore_sleeping(true);
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

static inline void run(void)
{
    preempt_enable();
    host_run_threads();
    preempt_disable();
}

static inline void begin(void)
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

static inline void end(void)
{
    file.fops->release(&file);
    EXPECT_EQ(closes, 1);
    EXPECT_EQ(refcount_read(&tty->refs), 1);
    tty_remove(tty);
    lockdep_ignore_sleeping(false);
    preempt_enable();
}

static inline void set_raw(uint8_t min, uint8_t time)
{
    struct ktermios termios = tty->termios;

    termios.c_iflag = 0;
    termios.c_lflag = 0;
    termios.c_cc[VMIN] = min;
    termios.c_cc[VTIME] = time;
    EXPECT_EQ(tty_set_termios(tty, &termios, 0), 0);
}

static inline void type(const char *text)
{
    (void)tty_receive(tty, (const uint8_t *)text, strlen(text));
}

static inline ssize_t file_read(struct file *from, void *buf, size_t size)
{
    struct iov_iter iter;
    loff_t pos = 0;

    iov_init_kernel(&iter, buf, size);
    return from->fops->read(from, &iter, &pos);
}

static inline ssize_t file_write(struct file *to, const char *text)
{
    struct iov_iter iter;
    loff_t pos = 0;

    iov_init_kernel(&iter, (void *)(uintptr_t)text, strlen(text));
    return to->fops->write(to, &iter, &pos);
}

static inline void reader(void *arg)
{
    struct file *from = arg;

    memset(got, 0, sizeof(got));
    result = file_read(from, got, sizeof(got) - 1);
    done_at = ktime_now();
    done = true;
}

static inline void writer(void *arg)
{
    result = file_write(&file, arg);
    done = true;
}

static inline void start(void (*fn)(void *), void *arg)
{
    struct thread *thread = thread_create_kernel("program", fn, arg);

    done = false;
    EXPECT(thread != NULL);
    thread_start(thread);
    run();
}
