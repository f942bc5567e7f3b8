/*
 * What the files of the terminal core share among themselves. Private to kernel/dev/tty*.c.
 */
#pragma once

#include <linux/major.h>

#include "kernel/dev/ldisc.h"
#include "kernel/dev/ldisc_impl.h"
#include "kernel/dev/tty.h"

/* One open of a terminal: file->private of files with tty_fops. */
struct tty_file {
    struct tty *tty;  /* [I] referenced */
    uint32_t hangups; /* [I] tty->hangups at the open */
};

/* Is it the slave of a pseudo-terminal? */
static inline bool tty_is_pty(const struct tty *tty)
{
    return DEV_MAJOR(tty->rdev) == UNIX98_PTY_SLAVE_MAJOR;
}

static inline bool tty_file_hung_up(const struct tty_file *opened)
{
    return atomic_load_acquire(&opened->tty->hangups) != opened->hangups;
}

int tty_file_open(struct inode *inode, struct file *file);
void tty_file_release(struct file *file);
ssize_t tty_file_read(struct file *file, struct iov_iter *to, loff_t *pos);
ssize_t tty_file_write(struct file *file, struct iov_iter *from, loff_t *pos);
uint32_t tty_file_poll(struct file *file, struct poll_table *table);
int64_t tty_file_ioctl(struct file *file, unsigned cmd, uint64_t arg);

/* Write pending echoes if nobody else is about to. Thread context; no lock of the terminal but open_lock held. */
void tty_echo_flush(struct tty *tty);
/* Write pending echoes as far as the driver has room. Thread context, output_lock held. False: no room for all. */
bool tty_echo_flush_locked(struct tty *tty);
/* The same from any context: at once where sleeping is allowed, else by a kernel thread. */
void tty_echo_kick(struct tty *tty);
/* A reader has made room. Thread context. */
void tty_unthrottle(struct tty *tty);
/* Of tty->echo_work. */
void tty_echo_work(struct work *work);
/* tty_jobs.c. The owner whom signals tell of input: the foreground group, else the current process; unless there is one (F_SETOWN). */
void tty_give_owner(struct tty *tty, struct file *file);
