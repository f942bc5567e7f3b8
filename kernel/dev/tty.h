/*
 * Terminals: the line discipline (termios(3), POSIX.1-2017 chapter 11) between a driver below and readers above.
 *
 *   driver (serial, virtual terminal, pty master) --tty_receive()--> line discipline --> read(2)
 *   write(2) --> output processing --> driver->write()
 *
 * Job control goes through jobctl (sched/pid.h).
 *
 * Locking: open_lock (mutex): opens, closes, hangup. write_lock (mutex): one write(2) at a time. output_lock (mutex): output column and
 * the driver's write(). read_lock (mutex): one reader at a time. termios_lock (rwsem): settings. lock (spin, irqsave): the input
 * buffer, the echo queue and the flow-control state, so that tty_receive() may run in an interrupt handler. A global spinlock
 * (tty_jobs.c, "ctrl") ties terminals to sessions.
 * Order: open_lock -> write_lock -> termios_lock -> output_lock -> lock;  ctrl -> the process tree lock.
 */
#pragma once

#include <asm/termbits.h>
#include <asm/termios.h>

#include "kernel/sched/pid.h"
#include "kernel/sched/work.h"
#include "kernel/vfs/async.h"
#include "kernel/vfs/file.h"

struct tty;
struct ldisc;

/* A driver answers this from ioctl() to let the generic code go on. */
#define ENOIOCTLCMD 515

struct tty_driver_ops {
    int (*open)(struct tty *tty);   /* first open; NULL: nothing */
    void (*close)(struct tty *tty); /* last close */
    /*
     * Take output, already processed (OPOST): bytes taken, less than len when full (then tty_wake_writers() later). May sleep.
     * Never called twice at once; takes at least what write_room() said just before.
     */
    size_t (*write)(struct tty *tty, const uint8_t *data, size_t len_bytes);
    size_t (*write_room)(struct tty *tty);
    size_t (*chars_in_buffer)(
        struct tty *tty); /* for tcdrain and TIOCOUTQ; NULL: nothing is ever buffered */
    void (*flush_output)(
        struct tty *tty); /* throw away what is buffered; any context; NULL: nothing to throw */
    void (*set_stopped)(
        struct tty *tty,
        bool
            stopped); /* ^S, ^Q, tcflow: hold or resume what is buffered; any context; may be NULL */
    void (*set_termios)(
        struct tty *tty,
        const struct ktermios *old); /* baud rate, size, flow control; thread context */
    void (*throttle)(struct tty *tty,
                     bool on); /* the input buffer is nearly full, or has room again; any context */
    int64_t (*ioctl)(struct tty *tty, unsigned cmd,
                     uint64_t arg); /* -ENOIOCTLCMD (515): go on with the generic ones */
    void (*winsize_changed)(struct tty *tty);
    void (*packet_event)(struct tty *tty,
                         uint8_t bits); /* TIOCPKT_*: pseudo-terminals only; any context */
    void (*hangup)(struct tty *tty);
    void (*release)(struct tty *tty); /* last reference: free private */
};

struct tty {
    const struct tty_driver_ops *ops; /* [I] */
    void *private;                    /* [I] the driver's */
    char name[16];                    /* [I] "ttyS0", "tty1", "pts/3" */
    uint64_t rdev;                    /* [I] */
    struct refcount refs;
    struct list_node node; /* [registry] */

    struct rwsem termios_lock;
    struct ktermios termios;         /* [termios_lock] */
    struct ktermios locked_termios;  /* [termios_lock] what is not zero here does not change */
    struct ktermios initial_termios; /* [I] what a first open starts with */
    struct winsize winsize;          /* [termios_lock] */

    struct pid *session;    /* [ctrl] referenced */
    struct pid *foreground; /* [ctrl] referenced */

    struct spinlock lock;
    struct ldisc *
        ldisc; /* [lock] input buffer, canonical state, echo; made by the first open, never unmade */
    uint8_t packet_mode; /* [lock] pty: the master wants TIOCPKT_* events */
    bool stopped;        /* [lock] output stopped by ^S or tcflow */
    bool throttled;      /* [lock] the driver was told to hold input back */
    uint32_t dropped;    /* [lock] input bytes lost to a full buffer */

    struct wait_queue read_wait, write_wait;
    struct async_list async; /* O_ASYNC */
    bool
        wrote_less; /* [a] for it: a write did not take everything, so that there is room is news */
    struct mutex read_lock, write_lock, output_lock, open_lock;
    struct work echo_work; /* flushes echoes that arrived in interrupt context */
    struct work hangup_work;

    unsigned opens;    /* [open_lock] */
    uint32_t hangups;  /* [a] an open file whose count differs has been hung up */
    bool exclusive;    /* [open_lock] TIOCEXCL */
    bool locked;       /* [open_lock] pty: TIOCSPTLCK, not to be opened yet */
    bool keep_input;   /* [I] input counts even while nobody has it open */
    bool other_closed; /* [a] pty: the master is gone */
};

/* Make a terminal with default settings and register its device node number. -ENOMEM, -EBUSY. Thread context. */
int tty_create(const char *name, uint64_t rdev, const struct tty_driver_ops *ops, void *private,
               struct tty **ret_tty);
/* Input counts from now on, before any open and after the last close (the slave of a pty). -ENOMEM. Before the tty is shown. */
int tty_keep_input(struct tty *tty);
/* Take it out of the registry (no new opens) and drop the creator's reference. Thread context. */
void tty_remove(struct tty *tty);
void tty_put(struct tty *tty);
static inline struct tty *tty_get(struct tty *tty)
{
    refcount_get(&tty->refs);
    return tty;
}
/* Input from the driver. Any context. Returns bytes taken (the rest is dropped and counted when the buffer is full). */
size_t tty_receive(struct tty *tty, const uint8_t *data, size_t len_bytes);
/* The same for a source that can wait: bytes not taken are not counted as dropped. */
size_t tty_receive_some(struct tty *tty, const uint8_t *data, size_t len_bytes);
/* Would tty_receive_some() take at least one byte? Any context. */
bool tty_receive_room(struct tty *tty);
/* A break, parity or framing error with its byte. Any context. */
enum tty_error { TTY_BREAK, TTY_PARITY, TTY_FRAME, TTY_OVERRUN };
void tty_receive_error(struct tty *tty, uint8_t byte, unsigned kind);
/* The driver has room again. Any context. */
void tty_wake_writers(struct tty *tty);
/* Modem line lost, or the other end of a pty closed. Thread context. */
void tty_hangup(struct tty *tty);
/* The same from any context, done soon by a kernel thread. */
void tty_hangup_later(struct tty *tty);
/* The terminal with this device number, referenced; NULL: none. */
struct tty *tty_find(uint64_t rdev);
struct tty *file_tty(struct file *file); /* NULL: not a terminal */
/* Open `tty` (reference taken over in any case) on `file`. For devices that choose the terminal themselves (ptmx peers). */
int tty_open_file(struct tty *tty, struct file *file, bool noctty);
/* Kernel messages and boot: what /dev/console means (last console= parameter, else tty0 with a screen, else ttyS0). */
struct tty *tty_console(void);
/* Another terminal instead (TIOCCONS), until that is removed; NULL: no more. -EBUSY: there is one already. */
int tty_set_console(struct tty *tty);
/* What /dev/tty0 means: the virtual terminal on the screen, referenced; NULL: none. Set by vt.c. */
extern struct tty *(*tty_active_vt)(void);
void tty_init(void);
extern const struct file_ops tty_fops;

/* Settings, for ioctl and for drivers (a pty master sets its slave's). Thread context. */
#define TTY_SET_DRAIN 0x1u /* wait until output has gone out */
#define TTY_SET_FLUSH 0x2u /* and throw unread input away */
int tty_set_termios(struct tty *tty, const struct ktermios *new, unsigned how);
int tty_set_winsize(struct tty *tty, const struct winsize *size);
int64_t tty_ioctl_generic(struct tty *tty, struct file *file, unsigned cmd, uint64_t arg);
void tty_flush_input(struct tty *tty);     /* any context */
void tty_flush_output(struct tty *tty);    /* any context */
void tty_stop(struct tty *tty, bool stop); /* any context */
int tty_drain(struct tty *tty);            /* -ERESTARTSYS */

/* ---- controlling terminals (tty_jobs.c) ---- */
/* The current process' controlling terminal, referenced, or NULL. */
struct tty *tty_current(void);
/* An open for reading without O_NOCTTY: a session leader that has no terminal gets it, unless it is another session's. */
void tty_acquire_on_open(struct tty *tty);
int64_t tty_jobs_ioctl(struct tty *tty, struct file *file, unsigned cmd, uint64_t arg);
/* Stop or refuse a background process that reads (SIGTTIN) or changes or writes (SIGTTOU): 0, -EIO or -ERESTARTSYS. */
int tty_check_background(struct tty *tty, int signo);
/* For /proc: number and foreground group (-1: none) of the terminal in `slot`, where jobctl keeps it. 0: none. */
void tty_describe_slot(void *const *slot, uint64_t *ret_rdev, int *ret_group);
/* A signal to the foreground group. Any context. */
void tty_signal_foreground(struct tty *tty, int signo);
/* The session leader exits: its terminal is freed from the session and, unless it is a pty's slave, hung up. Thread context. */
void tty_session_exit(void);
/* Take the terminal from its session and tell the processes why. Thread context. */
enum tty_leave {
    TTY_HUNG_UP,    /* SIGHUP and SIGCONT to the leader and to the foreground group */
    TTY_GIVEN_UP,   /* SIGHUP and SIGCONT to the foreground group */
    TTY_LEADER_ENDS /* SIGHUP to the foreground group */
};
void tty_leave_session(struct tty *tty, enum tty_leave why);
