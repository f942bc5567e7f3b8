/*
 * Terminals: read(2), write(2) and poll(2).
 *
 * Reading: canonical mode gives at most one line; raw mode follows VMIN and VTIME in the four cases of POSIX.1-2017 11.1.7. Bytes go
 * through a small buffer on the stack, because the ring may be flushed by an interrupt handler at any time and user memory may fault.
 * Writing: user bytes are taken in chunks, processed (OPOST) no further than the driver has room, and counted when the driver has them.
 */
#include <asm/fcntl.h>
#include <asm/poll.h>
#include <asm/signal.h>

#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/dev/tty_impl.h"

/* ---- reading ---- */

/* Move what is there (a line at most) to the reader. Bytes moved, or -EFAULT; *ret_end: this read is finished. */
static ssize_t take_available(struct tty *tty, struct iov_iter *to, bool *ret_end)
{
    struct ldisc *ld = tty->ldisc;
    uint8_t bounce[512];
    ssize_t got = 0;

    *ret_end = false;
    while (!*ret_end) {
        size_t n, consume, moved;
        uint32_t flushes;
        uint64_t flags = spin_lock_irqsave(&tty->lock);
        if (!ldisc_readable(ld, 1)) {
            spin_unlock_irqrestore(&tty->lock, flags);
            break;
        }
        n = ldisc_peek(ld, bounce, MIN(to->count, sizeof(bounce)), to->count, &consume, ret_end);
        flushes = ld->flushes;
        spin_unlock_irqrestore(&tty->lock, flags);

        moved = iov_copy_to(to, bounce, n);
        if (moved < n) {
            consume = moved;
            *ret_end = true;
        }
        flags = spin_lock_irqsave(&tty->lock);
        if (ld->flushes == flushes) {
            ldisc_consume(ld, consume);
        }
        spin_unlock_irqrestore(&tty->lock, flags);
        got += (ssize_t)moved;
        if (moved < n && got == 0) {
            return -EFAULT;
        }
    }
    if (READ_ONCE(tty->throttled)) {
        tty_unthrottle(tty);
    }
    return got;
}

struct read_wait {
    bool canon;
    size_t want;      /* raw: go on waiting for this many bytes (VMIN) */
    ktime_t time;     /* raw: VTIME in ns */
    ktime_t deadline; /* raw: give up at */
};

static void read_wait_init(struct tty *tty, struct read_wait *wait, size_t count)
{
    const struct ktermios *termios = &tty->ldisc->termios;
    size_t min = termios->c_cc[VMIN];

    wait->canon = (termios->c_lflag & ICANON) != 0;
    wait->time = (ktime_t)termios->c_cc[VTIME] * (NS_PER_S / 10);
    wait->want = MIN(min, count);
    wait->deadline = KTIME_MAX;
    if (min == 0) {
        wait->deadline = wait->time == 0 ? 0 : ktime_now() + wait->time;
    }
}

/* Wait for more. 0: look again; 1: time is up; negative: a signal. */
static int read_more(struct tty *tty, struct tty_file *opened, struct read_wait *wait, size_t got)
{
    size_t want = wait->want > got ? wait->want - got : 1;
    int err;

    if (wait->canon || wait->deadline == KTIME_MAX) {
        if (wait->time > 0 && !wait->canon) {
            want = 1; /* the timer between bytes starts with the first */
        }
        return wait_event_interruptible(&tty->read_wait, ldisc_readable(tty->ldisc, want) ||
                                                             tty_file_hung_up(opened));
    }
    if (wait->deadline == 0) {
        return 1;
    }
    err = wait_event_interruptible_until(
        &tty->read_wait, ldisc_readable(tty->ldisc, 1) || tty_file_hung_up(opened), wait->deadline);
    return err == -ETIMEDOUT ? 1 : err;
}

static ssize_t read_locked(struct tty *tty, struct tty_file *opened, struct iov_iter *to,
                           bool nonblock)
{
    struct read_wait wait;
    ssize_t got = 0;
    int err = 0;
    bool end;

    read_wait_init(tty, &wait, to->count);
    for (;;) {
        ssize_t n = take_available(tty, to, &end);
        if (n < 0) {
            return got > 0 ? got : n;
        }
        got += n;
        if (end) {
            return got;
        }
        if (tty_file_hung_up(opened)) { /* while it waited: a later read finds the end */
            return got > 0 || !atomic_load_relaxed(&tty->other_closed) ? got : -EIO;
        }
        if (!wait.canon && got > 0) {
            if ((size_t)got >= wait.want) {
                return got;
            }
            if (wait.time > 0) {
                wait.deadline = ktime_now() + wait.time;
            }
        }
        if (nonblock) { /* -EAGAIN where a wait would be: with VMIN and VTIME 0 there is none */
            return got > 0 || (!wait.canon && wait.deadline == 0) ? got : -EAGAIN;
        }
        err = tty_check_background(tty, SIGTTIN);
        if (err == 0) {
            err = read_more(tty, opened, &wait, (size_t)got);
        }
        if (err != 0) {
            return got > 0 ? got : (err > 0 ? 0 : err);
        }
        wait.canon = (tty->ldisc->termios.c_lflag & ICANON) != 0;
    }
}

ssize_t tty_file_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct tty_file *opened = file->private;
    struct tty *tty = opened->tty;
    bool nonblock = (file->flags & O_NONBLOCK) != 0;
    ssize_t n;
    int err;

    (void)pos;
    if (tty_file_hung_up(opened)) {
        return 0;
    }
    if (to->count == 0) {
        return 0;
    }
    err = tty_check_background(tty, SIGTTIN);
    if (err < 0) {
        return err;
    }
    if (!mutex_trylock(&tty->read_lock)) {
        if (nonblock) {
            return -EAGAIN;
        }
        if (mutex_lock_interruptible(&tty->read_lock) < 0) {
            return -ERESTARTSYS;
        }
    }
    n = read_locked(tty, opened, to, nonblock);
    mutex_unlock(&tty->read_lock);
    return n;
}

/* ---- writing ---- */

/* Give the driver as much of data as it has room for. Bytes of data consumed. */
static size_t output_some(struct tty *tty, const uint8_t *data, size_t len)
{
    uint8_t out[512];
    size_t used = 0;

    mutex_lock(&tty->output_lock);
    (void)tty_echo_flush_locked(tty); /* what was typed before comes before */
    while (used < len && !READ_ONCE(tty->stopped)) {
        size_t room = tty->ops->write_room(tty), n, taken;
        if (room == 0) {
            break;
        }
        if ((tty->ldisc->termios.c_oflag & OPOST) == 0) {
            taken = tty->ops->write(tty, data + used, len - used);
            n = taken;
        } else {
            n = ldisc_output(tty->ldisc, data + used, len - used, out, MIN(room, sizeof(out)),
                             &taken);
            if (n > 0) {
                (void)tty->ops->write(tty, out, n);
            }
        }
        if (taken == 0) {
            break; /* what the next byte becomes does not fit */
        }
        used += taken;
    }
    mutex_unlock(&tty->output_lock);
    tty_echo_flush(tty);
    return used;
}

/* Room for the longest thing that one byte can become: eight blanks of a tab. */
static bool write_ready(struct tty *tty, const struct tty_file *opened)
{
    return tty_file_hung_up(opened) || (!READ_ONCE(tty->stopped) && tty->ops->write_room(tty) >= 8);
}

static ssize_t write_chunk(struct tty *tty, struct tty_file *opened, const uint8_t *data,
                           size_t len, bool nonblock)
{
    size_t done = 0;
    int err;

    for (;;) {
        if (tty_file_hung_up(opened)) {
            return done > 0 ? (ssize_t)done : -EIO;
        }
        done += output_some(tty, data + done, len - done);
        if (done == len) {
            return (ssize_t)done;
        }
        if (nonblock) {
            return done > 0 ? (ssize_t)done : -EAGAIN;
        }
        err = wait_event_interruptible(&tty->write_wait, write_ready(tty, opened));
        if (err < 0) {
            return done > 0 ? (ssize_t)done : err;
        }
    }
}

static ssize_t write_locked(struct tty *tty, struct tty_file *opened, struct iov_iter *from,
                            bool nonblock)
{
    uint8_t chunk[512];
    ssize_t done = 0;

    while (from->count > 0) {
        if (done > 0 && thread_signal_pending(current_thread())) {
            break; /* however much room there is */
        }
        size_t want = MIN(from->count, sizeof(chunk));
        size_t len = iov_copy_from(from, chunk, want);
        ssize_t n = len == 0 ? -EFAULT : write_chunk(tty, opened, chunk, len, nonblock);
        if (n < 0) {
            iov_revert(from, len);
            return done > 0 ? done : n;
        }
        done += n;
        if ((size_t)n < want) {
            iov_revert(from, len - (size_t)n);
            break;
        }
    }
    return done;
}

ssize_t tty_file_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    struct tty_file *opened = file->private;
    struct tty *tty = opened->tty;
    bool nonblock = (file->flags & O_NONBLOCK) != 0;
    ssize_t n;
    int err;

    (void)pos;
    if (tty_file_hung_up(opened)) {
        return -EIO;
    }
    if ((tty->ldisc->termios.c_lflag & TOSTOP) != 0) {
        err = tty_check_background(tty, SIGTTOU);
        if (err < 0) {
            return err;
        }
    }
    if (!mutex_trylock(&tty->write_lock)) {
        if (nonblock) {
            return -EAGAIN;
        }
        if (mutex_lock_interruptible(&tty->write_lock) < 0) {
            return -ERESTARTSYS;
        }
    }
    n = write_locked(tty, opened, from, nonblock);
    if (from->count > 0) {
        atomic_store_relaxed(&tty->wrote_less, true);
    }
    mutex_unlock(&tty->write_lock);
    return n;
}

/* ---- signals, poll ---- */

static int tty_file_fasync(int fd, struct file *file, bool on)
{
    struct tty_file *opened = file->private;

    if (on) {
        tty_give_owner(opened->tty, file);
    }
    return async_set(&opened->tty->async, fd, file, on);
}

/* Writable for poll: not merely one byte, so that a program that polls does not write in crumbs. */
#define POLL_OUT_ROOM 256u

uint32_t tty_file_poll(struct file *file, struct poll_table *table)
{
    struct tty_file *opened = file->private;
    struct tty *tty = opened->tty;
    const struct ktermios *termios = &tty->ldisc->termios;
    size_t want = 1;
    uint32_t mask = 0;

    poll_wait(table, &tty->read_wait);
    poll_wait(table, &tty->write_wait);
    if (tty_file_hung_up(opened)) {
        return POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM;
    }
    if ((termios->c_lflag & ICANON) == 0 && termios->c_cc[VTIME] == 0 && termios->c_cc[VMIN] > 0) {
        want = termios->c_cc[VMIN];
    }
    if (ldisc_readable(tty->ldisc, want)) {
        mask |= POLLIN | POLLRDNORM;
    }
    if (!READ_ONCE(tty->stopped) && tty->ops->write_room(tty) >= POLL_OUT_ROOM) {
        mask |= POLLOUT | POLLWRNORM;
    }
    return mask;
}

const struct file_ops tty_fops = {
    .open = tty_file_open,
    .release = tty_file_release,
    .read = tty_file_read,
    .write = tty_file_write,
    .poll = tty_file_poll,
    .ioctl = tty_file_ioctl,
    .fasync = tty_file_fasync,
};
