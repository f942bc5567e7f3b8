/*
 * Terminals: the line discipline (termios(3), POSIX.1-2017 chapter 11) between a driver below and readers above.
 *
 *   driver (serial, virtual terminal, pty master) --tty_receive()--> line discipline --> read(2)
 *   write(2) --> output processing --> driver->write()
 *
 * Job control goes through jobctl (sched/pid.h). Locking: tty->termios_lock (rwsem) for settings; read_lock (mutex) one reader
 * at a time; tty->lock (spin, irqsave) for the input buffer, so that receive may run in an interrupt handler.
 */
#pragma once

#include <asm/termbits.h>
#include <asm/termios.h>

#include "kernel/sched/pid.h"
#include "kernel/vfs/file.h"

struct tty;

struct tty_driver_ops {
    int (*open)(struct tty *tty);                 /* first open; NULL: nothing */
    void (*close)(struct tty *tty);               /* last close */
    /* Take output, already processed (OPOST): bytes taken, less than len when full (then tty_wake_writers() later). May sleep. */
    size_t (*write)(struct tty *tty, const uint8_t *data, size_t len_bytes);
    size_t (*write_room)(struct tty *tty);
    size_t (*chars_in_buffer)(struct tty *tty);   /* for tcdrain and TIOCOUTQ */
    void (*set_termios)(struct tty *tty, const struct ktermios *old); /* baud rate, size, flow control */
    void (*throttle)(struct tty *tty, bool on);   /* the input buffer is nearly full, or has room again */
    int64_t (*ioctl)(struct tty *tty, unsigned cmd, uint64_t arg); /* -ENOIOCTLCMD (515): go on with the generic ones */
    void (*winsize_changed)(struct tty *tty);
    void (*hangup)(struct tty *tty);
    void (*release)(struct tty *tty);             /* last reference: free private */
};

struct tty {
    const struct tty_driver_ops *ops; /* [I] */
    void *private;                    /* [I] the driver's */
    char name[16];                    /* [I] "ttyS0", "tty1", "pts/3" */
    uint64_t rdev;                    /* [I] */
    struct refcount refs;
    struct ktermios termios;          /* [termios_lock] */
    struct winsize winsize;           /* [termios_lock] */
    struct pid *session;              /* [ctrl_lock] referenced */
    struct pid *foreground;           /* [ctrl_lock] referenced */
    struct tty_ldisc *ldisc;          /* [I] input buffer, canonical state, echo (dev/ldisc.c) */
    struct wait_queue read_wait, write_wait;
    unsigned opens;                   /* [open_lock] */
    bool hung_up;                     /* [a] */
    bool packet_mode, stopped;        /* pty packet mode; output stopped by ^S */
};

/* Make a terminal with default settings and register its device node number. -ENOMEM, -EBUSY. */
int tty_create(const char *name, uint64_t rdev, const struct tty_driver_ops *ops, void *private,
               struct tty **ret_tty);
void tty_put(struct tty *tty);
static inline struct tty *tty_get(struct tty *tty)
{
    refcount_get(&tty->refs);
    return tty;
}
/* Input from the driver. Any context. Returns bytes taken (the rest is dropped and counted when the buffer is full). */
size_t tty_receive(struct tty *tty, const uint8_t *data, size_t len_bytes);
/* A break, parity or framing error with its byte. */
void tty_receive_error(struct tty *tty, uint8_t byte, unsigned kind);
/* The driver has room again. Any context. */
void tty_wake_writers(struct tty *tty);
/* Modem line lost, or the other end of a pty closed. Thread context. */
void tty_hangup(struct tty *tty);
/* The terminal with this device number, referenced; NULL: none. */
struct tty *tty_find(uint64_t rdev);
struct tty *file_tty(struct file *file); /* NULL: not a terminal */
/* Kernel messages and boot: what /dev/console means (last console= parameter, else tty0 with a screen, else ttyS0). */
void tty_set_console(struct tty *tty);
struct tty *tty_console(void);
void tty_init(void);
extern const struct file_ops tty_fops;
