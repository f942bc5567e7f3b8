/*
 * Pseudo-terminals (pty(7), ioctl_tty(2)).
 *
 *   master write --> tty_receive_some(slave) --> line discipline --> slave read
 *   slave write  --> output processing --> ring --> master read
 *
 * Everything is done in the caller's context: no thread and no queue lies between the two sides. The struct pty belongs to the slave
 * terminal (tty->private) and dies with it; the master file holds a reference to the slave.
 *
 * Ends: the master's close hangs the slave up and takes its node away. The slave's last close makes the master's reads fail with -EIO once
 * the ring is empty, until the slave is opened again. The number is free again when both are closed.
 *
 * Locks:  p pty->lock (spin, irqsave; inner to tty->lock)   r pty->read_lock (mutex)   I immutable
 */
#include "kernel/dev/pty.h"

#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/major.h>

#include "kernel/base/bitmap.h"
#include "kernel/base/printf.h"
#include "kernel/base/ring.h"
#include "kernel/core/panic.h"
#include "kernel/dev/tty_impl.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/fdtable.h"

#define RING_BYTES 8192u

struct pty {
    struct tty *slave; /* [I] */
    void *instance;    /* [I] devpts mount, referenced while the master lives */
    unsigned index;    /* [I] */
    struct spinlock lock;
    struct ring ring;            /* [p] from slave to master */
    bool slave_closed;           /* [p] it was open and is no more */
    bool packet;                 /* [p] TIOCPKT */
    uint8_t packet_status;       /* [p] TIOCPKT_* not yet told; 0 without packet mode */
    struct mutex read_lock;      /* one master reader at a time */
    struct wait_queue read_wait; /* the master's */
    struct wait_queue write_wait;
    struct async_list async; /* O_ASYNC of the master */
    uint8_t buf[RING_BYTES];
};

const struct pty_fs_ops *pty_fs;

static struct spinlock index_lock = SPINLOCK_INIT("pty index");
static uint64_t index_map[BITMAP_WORDS(PTY_MAX)]; /* [index_lock] */

static int index_alloc(void)
{
    size_t index;

    spin_lock(&index_lock);
    index = bitmap_find_clear(index_map, PTY_MAX, 0);
    if (index < PTY_MAX) {
        bitmap_set(index_map, index);
    }
    spin_unlock(&index_lock);
    return index < PTY_MAX ? (int)index : -ENOSPC;
}

unsigned pty_count(void)
{
    spin_lock(&index_lock);
    size_t n = bitmap_count(index_map, PTY_MAX);
    spin_unlock(&index_lock);
    return (unsigned)n;
}

static void index_free(unsigned index)
{
    spin_lock(&index_lock);
    bitmap_clear(index_map, index);
    spin_unlock(&index_lock);
}

struct tty *pty_find_slave(const struct inode *node)
{
    struct tty *slave = tty_find(node->rdev);

    /* Looked at after the search: a node is removed before its number is free for another pair. */
    if (slave != NULL && !pty_fs->is_slave(node)) {
        tty_put(slave);
        return NULL;
    }
    return slave;
}

/* ---- the slave's driver ---- */

static void wake_master_reader(struct pty *pty, uint32_t key)
{
    if (wait_queue_active(&pty->read_wait)) {
        wait_wake_all(&pty->read_wait, key);
    }
    if ((key & POLLIN) != 0) {
        async_tell(&pty->async, POLL_IN);
    }
}

static int slave_open(struct tty *tty)
{
    struct pty *pty = tty->private;
    uint64_t flags = spin_lock_irqsave(&pty->lock);

    pty->slave_closed = false;
    spin_unlock_irqrestore(&pty->lock, flags);
    return 0;
}

static void slave_close(struct tty *tty)
{
    struct pty *pty = tty->private;
    uint64_t flags = spin_lock_irqsave(&pty->lock);

    pty->slave_closed = true;
    spin_unlock_irqrestore(&pty->lock, flags);
    wake_master_reader(pty, POLLHUP);
}

static size_t slave_write(struct tty *tty, const uint8_t *data, size_t len_bytes)
{
    struct pty *pty = tty->private;
    uint64_t flags = spin_lock_irqsave(&pty->lock);
    size_t n = ring_write(&pty->ring, data, (uint32_t)MIN(len_bytes, (size_t)RING_BYTES));

    spin_unlock_irqrestore(&pty->lock, flags);
    if (n > 0) {
        wake_master_reader(pty, POLLIN | POLLRDNORM);
    }
    return n;
}

static size_t slave_write_room(struct tty *tty)
{
    return ring_space(&((struct pty *)tty->private)->ring);
}

static void slave_flush_output(struct tty *tty)
{
    struct pty *pty = tty->private;
    uint64_t flags = spin_lock_irqsave(&pty->lock);

    pty->ring.tail = pty->ring.head;
    spin_unlock_irqrestore(&pty->lock, flags);
}

static void slave_throttle(struct tty *tty, bool on)
{
    struct pty *pty = tty->private;

    if (!on) {
        wait_wake_all(&pty->write_wait, POLLOUT | POLLWRNORM);
    }
}

/* What is the opposite of an event, and so no longer worth telling. */
static uint8_t packet_opposite(uint8_t bits)
{
    switch (bits) {
    case TIOCPKT_STOP:
        return TIOCPKT_START;
    case TIOCPKT_START:
        return TIOCPKT_STOP;
    case TIOCPKT_NOSTOP:
        return TIOCPKT_DOSTOP;
    case TIOCPKT_DOSTOP:
        return TIOCPKT_NOSTOP;
    default:
        return 0;
    }
}

static void slave_packet_event(struct tty *tty, uint8_t bits)
{
    struct pty *pty = tty->private;
    uint64_t flags = spin_lock_irqsave(&pty->lock);
    bool told = pty->packet;

    if (told) {
        pty->packet_status &= (uint8_t)~packet_opposite(bits);
        pty->packet_status |= bits;
    }
    spin_unlock_irqrestore(&pty->lock, flags);
    if (told) {
        wake_master_reader(pty, POLLPRI | POLLIN | POLLRDNORM);
    }
}

static void slave_release(struct tty *tty)
{
    struct pty *pty = tty->private;

    index_free(pty->index);
    kfree(pty);
}

static const struct tty_driver_ops slave_ops = {
    .open = slave_open,
    .close = slave_close,
    .write = slave_write,
    .write_room = slave_write_room,
    .flush_output = slave_flush_output,
    .throttle = slave_throttle,
    .packet_event = slave_packet_event,
    .release = slave_release,
};

/* ---- the master: read, write, poll ---- */

static bool master_readable(struct pty *pty)
{
    return ring_used(&pty->ring) > 0 || READ_ONCE(pty->packet_status) != 0 ||
           READ_ONCE(pty->slave_closed);
}

/* Take up to size bytes; in packet mode behind a byte that tells their kind. 0: nothing is there. */
static size_t master_take(struct pty *pty, uint8_t *buf, size_t size)
{
    uint64_t flags = spin_lock_irqsave(&pty->lock);
    size_t n = 0;

    if (pty->packet && pty->packet_status != 0) {
        buf[0] = pty->packet_status;
        pty->packet_status = 0;
        n = 1;
    } else if (!pty->packet) {
        n = ring_read(&pty->ring, buf, (uint32_t)size);
    } else if (ring_used(&pty->ring) > 0) {
        buf[0] = TIOCPKT_DATA;
        n = 1 + ring_read(&pty->ring, buf + 1, (uint32_t)size - 1);
    }
    spin_unlock_irqrestore(&pty->lock, flags);
    return n;
}

static ssize_t master_read_locked(struct pty *pty, struct iov_iter *to)
{
    uint8_t bounce[512];
    ssize_t got = 0;

    while (to->count > 0) {
        size_t n = master_take(pty, bounce, MIN(to->count, sizeof(bounce)));
        size_t moved = iov_copy_to(to, bounce, n);
        got += (ssize_t)moved;
        if (moved < n) {
            return got > 0 ? got : -EFAULT;
        }
        if (n < sizeof(bounce) || pty->packet) {
            break; /* packet mode: one packet for each read */
        }
    }
    return got;
}

static ssize_t master_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct pty *pty = file->private;
    ssize_t got;
    int err;

    (void)pos;
    if (to->count == 0) {
        return 0;
    }
    for (;;) {
        if (mutex_lock_interruptible(&pty->read_lock) < 0) {
            return -ERESTARTSYS;
        }
        got = master_read_locked(pty, to);
        mutex_unlock(&pty->read_lock);
        if (got != 0) {
            tty_wake_writers(pty->slave);
            return got;
        }
        if (READ_ONCE(pty->slave_closed) && ring_used(&pty->ring) == 0) {
            return -EIO;
        }
        if ((file->flags & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        err = wait_event_interruptible(&pty->read_wait, master_readable(pty));
        if (err < 0) {
            return err;
        }
    }
}

/* Feed one chunk to the slave's line discipline. Bytes taken, or an error when none were. */
static ssize_t master_write_chunk(struct pty *pty, const uint8_t *data, size_t len, bool nonblock)
{
    size_t done = 0;
    int err;

    for (;;) {
        done += tty_receive_some(pty->slave, data + done, len - done);
        if (done == len) {
            return (ssize_t)done;
        }
        if (nonblock) {
            return done > 0 ? (ssize_t)done : -EAGAIN;
        }
        err = wait_event_interruptible(&pty->write_wait, tty_receive_room(pty->slave));
        if (err < 0) {
            return done > 0 ? (ssize_t)done : err;
        }
    }
}

static ssize_t master_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    struct pty *pty = file->private;
    bool nonblock = (file->flags & O_NONBLOCK) != 0;
    uint8_t chunk[512];
    ssize_t done = 0;

    (void)pos;
    while (from->count > 0) {
        size_t want = MIN(from->count, sizeof(chunk));
        size_t len = iov_copy_from(from, chunk, want);
        ssize_t n = len == 0 ? -EFAULT : master_write_chunk(pty, chunk, len, nonblock);
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

static uint32_t master_poll(struct file *file, struct poll_table *table)
{
    struct pty *pty = file->private;
    uint32_t mask = 0;

    poll_wait(table, &pty->read_wait);
    poll_wait(table, &pty->write_wait);
    if (ring_used(&pty->ring) > 0) {
        mask |= POLLIN | POLLRDNORM;
    }
    if (READ_ONCE(pty->packet_status) != 0) {
        mask |= POLLIN | POLLRDNORM | POLLPRI;
    }
    if (tty_receive_room(pty->slave)) {
        mask |= POLLOUT | POLLWRNORM;
    }
    if (READ_ONCE(pty->slave_closed)) {
        mask |= POLLHUP;
    }
    return mask;
}

/* ---- the master: ioctl ---- */

static int64_t set_lock(struct pty *pty, const int __user *arg)
{
    int locked;

    if (get_user(locked, arg) < 0) {
        return -EFAULT;
    }
    mutex_lock(&pty->slave->open_lock);
    pty->slave->locked = locked != 0;
    mutex_unlock(&pty->slave->open_lock);
    return 0;
}

static int64_t set_packet(struct pty *pty, const int __user *arg)
{
    uint64_t flags;
    int on;

    if (get_user(on, arg) < 0) {
        return -EFAULT;
    }
    flags = spin_lock_irqsave(&pty->lock);
    if ((on != 0) != pty->packet) {
        pty->packet = on != 0;
        pty->packet_status = 0;
    }
    spin_unlock_irqrestore(&pty->lock, flags);
    return 0;
}

/* TIOCGPTPEER: open the slave without its name, so that it works whatever is mounted where. */
static int64_t open_peer(struct file *ptmx, struct pty *pty, int open_flags)
{
    struct file *file;
    struct path path;
    int err, fd;

    if ((open_flags & ~(O_ACCMODE | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    err = pty_fs->slave_path(ptmx, pty->index, &path);
    if (err < 0) {
        return err;
    }
    err = vfs_open_path(&path, open_flags, &file);
    path_put(&path);
    if (err < 0) {
        return err;
    }
    fd = fd_add(file, (open_flags & O_CLOEXEC) != 0);
    if (fd < 0) {
        file_put(file);
    }
    return fd;
}

/* TCFLSH seen from the master: its input is the ring, its output the slave's input. */
static int64_t master_flush(struct pty *pty, uint64_t which)
{
    if (which > TCIOFLUSH) {
        return -EINVAL;
    }
    if (which != TCOFLUSH) {
        slave_flush_output(pty->slave);
        tty_wake_writers(pty->slave);
    }
    if (which != TCIFLUSH) {
        tty_flush_input(pty->slave);
    }
    return 0;
}

/* TIOCSIG: those that keys send. */
static int64_t send_signal(struct pty *pty, int signo)
{
    if (signo != SIGINT && signo != SIGQUIT && signo != SIGTSTP) {
        return -EINVAL;
    }
    tty_signal_foreground(pty->slave, signo);
    return 0;
}

static int64_t master_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    struct pty *pty = file->private;
    int __user *user = (int __user *)arg;
    int value;

    switch (cmd) {
    case TIOCGPTN:
        return put_user(pty->index, (unsigned __user *)arg);
    case TIOCSPTLCK:
        return set_lock(pty, user);
    case TIOCGPTLCK:
        value = pty->slave->locked;
        return put_user(value, user);
    case TIOCPKT:
        return set_packet(pty, user);
    case TIOCGPKT:
        value = pty->packet;
        return put_user(value, user);
    case TIOCGPTPEER:
        return open_peer(file, pty, (int)arg);
    case TIOCSIG:
        return send_signal(pty, (int)arg);
    case FIONREAD:
        value = (int)ring_used(&pty->ring);
        return put_user(value, user);
    case TIOCOUTQ:
        value = 0;
        return put_user(value, user);
    case TCFLSH:
        return master_flush(pty, arg);
    case TIOCGDEV:
        value = (int)DEV_MAKE(UNIX98_PTY_MASTER_MAJOR, pty->index);
        return put_user(value, user);
    default:
        return tty_ioctl_generic(pty->slave, file, cmd, arg);
    }
}

/* ---- the master: making and unmaking ---- */

static void master_release(struct file *file)
{
    struct pty *pty = file->private;
    struct tty *slave = pty->slave;

    atomic_store_release(&slave->other_closed, true);
    pty_fs->slave_remove(pty->instance, pty->index);
    pty_fs->instance_put(pty->instance);
    tty_hangup(slave);
    tty_remove(slave); /* may free pty */
}

static int master_fasync(int fd, struct file *file, bool on)
{
    struct pty *pty = file->private;

    if (on) {
        file_set_first_owner(file, jobctl->current_process(), F_OWNER_PID);
    }
    return async_set(&pty->async, fd, file, on);
}

static const struct file_ops master_fops = {
    .release = master_release,
    .fasync = master_fasync,
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = master_ioctl,
};

/* A pty with its slave terminal, locked against opens; the instance reference is taken over on success only. */
static int pty_create(void *instance, struct pty **ret_pty)
{
    struct pty *pty = kzalloc(sizeof(*pty));
    char name[16];
    int index, err;

    if (pty == NULL) {
        return -ENOMEM;
    }
    index = index_alloc();
    if (index < 0) {
        err = index;
        goto free_pty;
    }
    pty->index = (unsigned)index;
    pty->instance = instance;
    spin_init(&pty->lock, "pty");
    mutex_init(&pty->read_lock, "pty read");
    wait_queue_init(&pty->read_wait);
    wait_queue_init(&pty->write_wait);
    async_list_init(&pty->async);
    ring_init(&pty->ring, pty->buf, RING_BYTES);
    (void)ksnprintf(name, sizeof(name), "pts/%u", pty->index);
    err = tty_create(name, DEV_MAKE(UNIX98_PTY_SLAVE_MAJOR, pty->index), &slave_ops, pty,
                     &pty->slave);
    if (err < 0) {
        goto free_index;
    }
    pty->slave->locked = true;
    err = tty_keep_input(pty->slave);
    if (err < 0) {
        tty_remove(pty->slave);
        return err;
    }
    *ret_pty = pty;
    return 0;

free_index:
    index_free(pty->index);
free_pty:
    kfree(pty);
    return err;
}

int pty_open_master(struct file *file)
{
    void *instance = pty_fs == NULL ? NULL : pty_fs->instance_get(file);
    struct pty *pty;
    int err;

    if (instance == NULL) {
        return -EIO;
    }
    err = pty_create(instance, &pty);
    if (err < 0) {
        goto put_instance;
    }
    err = pty_fs->slave_add(instance, pty->index, pty->slave->rdev);
    if (err < 0) {
        tty_remove(pty->slave);
        goto put_instance;
    }
    file->private = pty;
    file->fops = &master_fops;
    return 0;

put_instance:
    pty_fs->instance_put(instance);
    return err;
}
