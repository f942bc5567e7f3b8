/*
 * Terminals: ioctl(2) (tty_ioctl(4)): settings in their three historical forms, window size, queues, flow control.
 *
 * Changes of settings by a background process stop it with SIGTTOU first, as termios(3) demands.
 */
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/tty.h>

#include "kernel/base/string.h"
#include "kernel/dev/tty_impl.h"

/* ---- settings ---- */

/* Bits per second of the Bxxx codes (asm/termbits.h), for callers that do not say it in c_ospeed. */
static uint32_t baud_of(uint32_t cflag, uint32_t speed)
{
    static const struct {
        uint32_t code, speed;
    } table[] = {{B0, 0},
                 {B50, 50},
                 {B75, 75},
                 {B110, 110},
                 {B134, 134},
                 {B150, 150},
                 {B200, 200},
                 {B300, 300},
                 {B600, 600},
                 {B1200, 1200},
                 {B1800, 1800},
                 {B2400, 2400},
                 {B4800, 4800},
                 {B9600, 9600},
                 {B19200, 19200},
                 {B38400, 38400},
                 {B57600, 57600},
                 {B115200, 115200},
                 {B230400, 230400},
                 {B460800, 460800},
                 {B500000, 500000},
                 {B576000, 576000},
                 {B921600, 921600},
                 {B1000000, 1000000},
                 {B1152000, 1152000},
                 {B1500000, 1500000},
                 {B2000000, 2000000},
                 {B2500000, 2500000},
                 {B3000000, 3000000},
                 {B3500000, 3500000},
                 {B4000000, 4000000}};
    uint32_t code = cflag & CBAUD;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].code == code) {
            return table[i].speed;
        }
    }
    return code == BOTHER ? speed : 9600;
}

int tty_drain(struct tty *tty)
{
    uint32_t hangups = atomic_load_relaxed(&tty->hangups);

    if (tty->ops->chars_in_buffer == NULL) {
        return 0;
    }
    return wait_event_interruptible(&tty->write_wait,
                                    tty->ops->chars_in_buffer(tty) == 0 ||
                                        atomic_load_relaxed(&tty->hangups) != hangups);
}

/* Is ^S/^Q flow control (with the usual characters) on? The master of a pty in packet mode wants to know of changes. */
static bool uses_flow_control(const struct ktermios *termios)
{
    return (termios->c_iflag & IXON) != 0 && termios->c_cc[VSTOP] == 023 &&
           termios->c_cc[VSTART] == 021;
}

static void keep_bits(tcflag_t *flags, tcflag_t old, tcflag_t locked)
{
    *flags = (*flags & ~locked) | (old & locked);
}

/* Take what is locked from the old settings (ioctl_tty(2), "Locking the termios structure"). */
static void termios_keep_locked(struct ktermios *termios, const struct ktermios *old,
                                const struct ktermios *locked)
{
    keep_bits(&termios->c_iflag, old->c_iflag, locked->c_iflag);
    keep_bits(&termios->c_oflag, old->c_oflag, locked->c_oflag);
    keep_bits(&termios->c_cflag, old->c_cflag, locked->c_cflag);
    keep_bits(&termios->c_lflag, old->c_lflag, locked->c_lflag);
    termios->c_line = locked->c_line != 0 ? old->c_line : termios->c_line;
    for (unsigned i = 0; i < ARRAY_SIZE(termios->c_cc); i++) {
        termios->c_cc[i] = locked->c_cc[i] != 0 ? old->c_cc[i] : termios->c_cc[i];
    }
}

int tty_set_termios(struct tty *tty, const struct ktermios *wanted, unsigned how)
{
    struct ktermios old, *new = &tty->termios;
    bool was_stopped;
    uint64_t flags;
    int err;

    if ((how & TTY_SET_DRAIN) != 0) {
        err = tty_drain(tty);
        if (err < 0) {
            return err;
        }
    }
    if ((how & TTY_SET_FLUSH) != 0) {
        tty_flush_input(tty);
    }
    rwsem_lock_write(&tty->termios_lock);
    old = tty->termios;
    tty->termios = *wanted;
    termios_keep_locked(&tty->termios, &old, &tty->locked_termios);
    if (tty->ops->set_termios != NULL) {
        tty->ops->set_termios(tty, &old);
    }
    mutex_lock(&tty->output_lock);
    flags = spin_lock_irqsave(&tty->lock);
    was_stopped = tty->stopped;
    if (tty->ldisc != NULL) {
        ldisc_set_termios(tty->ldisc, &tty->termios);
    }
    spin_unlock_irqrestore(&tty->lock, flags);
    mutex_unlock(&tty->output_lock);
    if (tty->ops->packet_event != NULL && uses_flow_control(&old) != uses_flow_control(new)) {
        tty->ops->packet_event(tty, uses_flow_control(new) ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP);
    }
    bool freed = was_stopped && (old.c_iflag & IXON) != 0 && (new->c_iflag &IXON) == 0;
    rwsem_unlock_write(&tty->termios_lock);
    if (freed) {
        tty_stop(tty, false);
    }
    tty_unthrottle(tty);
    wait_wake_all(&tty->read_wait, POLLIN | POLLRDNORM); /* what is readable may have changed */
    return 0;
}

static void termios_get(struct tty *tty, struct ktermios *ret_termios)
{
    rwsem_lock_read(&tty->termios_lock);
    *ret_termios = tty->termios;
    rwsem_unlock_read(&tty->termios_lock);
}

/* struct termios and termios2 are the first and all members of ktermios (asm/termbits.h). */
_Static_assert(offsetof(struct ktermios, c_ispeed) == offsetof(struct termios2, c_ispeed), "ABI");
_Static_assert(offsetof(struct ktermios, c_cc) == offsetof(struct termios, c_cc), "ABI");

static int64_t get_termios(struct tty *tty, void __user *arg, size_t size)
{
    struct ktermios termios;

    termios_get(tty, &termios);
    return copy_to_user(arg, &termios, size);
}

static int64_t get_locked_termios(struct tty *tty, void __user *arg)
{
    struct ktermios locked;

    rwsem_lock_read(&tty->termios_lock);
    locked = tty->locked_termios;
    rwsem_unlock_read(&tty->termios_lock);
    return copy_to_user(arg, &locked, sizeof(struct termios));
}

static int64_t set_locked_termios(struct tty *tty, const void __user *arg)
{
    struct ktermios locked = {0};

    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    if (copy_from_user(&locked, arg, sizeof(struct termios)) < 0) {
        return -EFAULT;
    }
    rwsem_lock_write(&tty->termios_lock);
    tty->locked_termios = locked;
    rwsem_unlock_write(&tty->termios_lock);
    return 0;
}

static int64_t set_termios(struct tty *tty, const void __user *arg, size_t size, unsigned how)
{
    struct ktermios termios;
    int err = tty_check_background(tty, SIGTTOU);

    if (err < 0) {
        return err;
    }
    termios_get(tty, &termios);
    if (copy_from_user(&termios, arg, size) < 0) {
        return -EFAULT;
    }
    termios.c_line = N_TTY;
    termios.c_ospeed = baud_of(termios.c_cflag, termios.c_ospeed);
    if (size != sizeof(struct termios2) || (termios.c_cflag & CIBAUD) == 0) {
        termios.c_ispeed = termios.c_ospeed;
    } else {
        termios.c_ispeed = baud_of(termios.c_cflag >> IBSHIFT, termios.c_ispeed);
    }
    return tty_set_termios(tty, &termios, how);
}

/* System V's struct termio: 16-bit flags, 8 characters. */
static int64_t get_termio(struct tty *tty, void __user *arg)
{
    struct ktermios termios;
    struct termio old = {0};

    termios_get(tty, &termios);
    old.c_iflag = (unsigned short)termios.c_iflag;
    old.c_oflag = (unsigned short)termios.c_oflag;
    old.c_cflag = (unsigned short)termios.c_cflag;
    old.c_lflag = (unsigned short)termios.c_lflag;
    old.c_line = termios.c_line;
    memcpy(old.c_cc, termios.c_cc, NCC);
    return copy_to_user(arg, &old, sizeof(old));
}

static int64_t set_termio(struct tty *tty, const void __user *arg, unsigned how)
{
    struct ktermios termios;
    struct termio new;
    int err = tty_check_background(tty, SIGTTOU);

    if (err < 0) {
        return err;
    }
    if (copy_from_user(&new, arg, sizeof(new)) < 0) {
        return -EFAULT;
    }
    termios_get(tty, &termios);
    termios.c_iflag = (termios.c_iflag & ~0xffffu) | new.c_iflag;
    termios.c_oflag = (termios.c_oflag & ~0xffffu) | new.c_oflag;
    termios.c_cflag = (termios.c_cflag & ~0xffffu) | new.c_cflag;
    termios.c_lflag = (termios.c_lflag & ~0xffffu) | new.c_lflag;
    memcpy(termios.c_cc, new.c_cc, NCC);
    termios.c_ospeed = baud_of(termios.c_cflag, termios.c_ospeed);
    termios.c_ispeed = termios.c_ospeed;
    return tty_set_termios(tty, &termios, how);
}

static int64_t termios_ioctl(struct tty *tty, unsigned cmd, uint64_t arg)
{
    void __user *user = (void __user *)arg;

    switch (cmd) {
    case TCGETS:
        return get_termios(tty, user, sizeof(struct termios));
    case TCSETS:
        return set_termios(tty, user, sizeof(struct termios), 0);
    case TCSETSW:
        return set_termios(tty, user, sizeof(struct termios), TTY_SET_DRAIN);
    case TCSETSF:
        return set_termios(tty, user, sizeof(struct termios), TTY_SET_DRAIN | TTY_SET_FLUSH);
    case TCGETS2:
        return get_termios(tty, user, sizeof(struct termios2));
    case TCSETS2:
        return set_termios(tty, user, sizeof(struct termios2), 0);
    case TCSETSW2:
        return set_termios(tty, user, sizeof(struct termios2), TTY_SET_DRAIN);
    case TCSETSF2:
        return set_termios(tty, user, sizeof(struct termios2), TTY_SET_DRAIN | TTY_SET_FLUSH);
    case TIOCGLCKTRMIOS:
        return get_locked_termios(tty, user);
    case TIOCSLCKTRMIOS:
        return set_locked_termios(tty, user);
    case TCGETA:
        return get_termio(tty, user);
    case TCSETA:
        return set_termio(tty, user, 0);
    case TCSETAW:
        return set_termio(tty, user, TTY_SET_DRAIN);
    case TCSETAF:
        return set_termio(tty, user, TTY_SET_DRAIN | TTY_SET_FLUSH);
    default:
        return -ENOIOCTLCMD;
    }
}

/* ---- window size ---- */

int tty_set_winsize(struct tty *tty, const struct winsize *size)
{
    bool changed;

    rwsem_lock_write(&tty->termios_lock);
    changed = memcmp(&tty->winsize, size, sizeof(*size)) != 0;
    tty->winsize = *size;
    rwsem_unlock_write(&tty->termios_lock);
    if (changed) {
        if (tty->ops->winsize_changed != NULL) {
            tty->ops->winsize_changed(tty);
        }
        tty_signal_foreground(tty, SIGWINCH);
    }
    return 0;
}

static int64_t winsize_ioctl(struct tty *tty, unsigned cmd, void __user *arg)
{
    struct winsize size;

    if (cmd == TIOCSWINSZ) {
        return copy_from_user(&size, arg, sizeof(size)) < 0 ? -EFAULT : tty_set_winsize(tty, &size);
    }
    rwsem_lock_read(&tty->termios_lock);
    size = tty->winsize;
    rwsem_unlock_read(&tty->termios_lock);
    return copy_to_user(arg, &size, sizeof(size));
}

/* ---- queues and flow ---- */

static int64_t flush_queues(struct tty *tty, uint64_t which)
{
    int err = tty_check_background(tty, SIGTTOU);

    if (err < 0) {
        return err;
    }
    if (which > TCIOFLUSH) {
        return -EINVAL;
    }
    if (which != TCOFLUSH) {
        tty_flush_input(tty);
    }
    if (which != TCIFLUSH) {
        tty_flush_output(tty);
    }
    return 0;
}

/* Send the START or STOP character to the other side. */
static void send_flow_char(struct tty *tty, unsigned slot)
{
    struct ktermios termios;

    termios_get(tty, &termios);
    if (termios.c_cc[slot] != 0) {
        mutex_lock(&tty->output_lock);
        (void)tty->ops->write(tty, &termios.c_cc[slot], 1);
        mutex_unlock(&tty->output_lock);
    }
}

static int64_t flow_ioctl(struct tty *tty, uint64_t action)
{
    int err = tty_check_background(tty, SIGTTOU);

    if (err < 0) {
        return err;
    }
    switch (action) {
    case TCOOFF:
        tty_stop(tty, true);
        return 0;
    case TCOON:
        tty_stop(tty, false);
        return 0;
    case TCIOFF:
        send_flow_char(tty, VSTOP);
        return 0;
    case TCION:
        send_flow_char(tty, VSTART);
        return 0;
    default:
        return -EINVAL;
    }
}

static int64_t pending_input(struct tty *tty, int __user *arg)
{
    uint64_t flags = spin_lock_irqsave(&tty->lock);
    int n = (int)ldisc_available(tty->ldisc);

    spin_unlock_irqrestore(&tty->lock, flags);
    return put_user(n, arg);
}

static int64_t pending_output(struct tty *tty, int __user *arg)
{
    int n = tty->ops->chars_in_buffer == NULL ? 0 : (int)tty->ops->chars_in_buffer(tty);

    return put_user(n, arg);
}

/* TIOCSTI: a byte as if typed: on one's own terminal, or with the capability. */
static int64_t fake_input(struct tty *tty, const char __user *arg)
{
    struct tty *own = tty_current();
    uint8_t byte;

    tty_put(own);
    if (own != tty && !current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    if (get_user(byte, arg) < 0) {
        return -EFAULT;
    }
    (void)tty_receive(tty, &byte, 1);
    return 0;
}

static int64_t queue_ioctl(struct tty *tty, unsigned cmd, uint64_t arg)
{
    int err;

    switch (cmd) {
    case TCFLSH:
        return flush_queues(tty, arg);
    case TCXONC:
        return flow_ioctl(tty, arg);
    case FIONREAD: /* TIOCINQ */
        return pending_input(tty, (int __user *)arg);
    case TIOCOUTQ:
        return pending_output(tty, (int __user *)arg);
    case TIOCSTI:
        return fake_input(tty, (const char __user *)arg);
    case TCSBRK: /* argument 0 is a break, which the driver would have taken; all others are tcdrain */
    case TCSBRKP:
        err = tty_check_background(tty, SIGTTOU);
        return err < 0 ? err : tty_drain(tty);
    default:
        return -ENOIOCTLCMD;
    }
}

/* ---- the rest ---- */

static int64_t exclusive_ioctl(struct tty *tty, unsigned cmd, int __user *arg)
{
    int value;

    mutex_lock(&tty->open_lock);
    value = tty->exclusive;
    if (cmd != TIOCGEXCL) {
        tty->exclusive = cmd == TIOCEXCL;
    }
    mutex_unlock(&tty->open_lock);
    return cmd == TIOCGEXCL ? put_user(value, arg) : 0;
}

static int64_t local_ioctl(struct tty *tty, unsigned cmd, int __user *arg)
{
    struct ktermios termios;
    int value;

    termios_get(tty, &termios);
    if (cmd == TIOCGSOFTCAR) {
        value = (termios.c_cflag & CLOCAL) != 0;
        return put_user(value, arg);
    }
    if (get_user(value, arg) < 0) {
        return -EFAULT;
    }
    termios.c_cflag = value != 0 ? termios.c_cflag | CLOCAL : termios.c_cflag & ~(tcflag_t)CLOCAL;
    return tty_set_termios(tty, &termios, 0);
}

/* TIOCCONS: /dev/console means this terminal from now on; on a virtual terminal or the console: what it meant at boot again. */
static int64_t redirect_console(struct tty *tty)
{
    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    return tty_set_console(DEV_MAJOR(tty->rdev) == 4 ? NULL : tty);
}

static int64_t discipline_ioctl(unsigned cmd, int __user *arg)
{
    int value = N_TTY;

    if (cmd == TIOCGETD) {
        return put_user(value, arg);
    }
    if (get_user(value, arg) < 0) {
        return -EFAULT;
    }
    return value == N_TTY ? 0 : -EINVAL;
}

static int64_t device_number(struct tty *tty, unsigned __user *arg)
{
    unsigned rdev = (unsigned)tty->rdev;

    return put_user(rdev, arg);
}

int64_t tty_ioctl_generic(struct tty *tty, struct file *file, unsigned cmd, uint64_t arg)
{
    int64_t result = tty_jobs_ioctl(tty, file, cmd, arg);

    if (result == -ENOIOCTLCMD) {
        result = termios_ioctl(tty, cmd, arg);
    }
    if (result == -ENOIOCTLCMD) {
        result = queue_ioctl(tty, cmd, arg);
    }
    if (result != -ENOIOCTLCMD) {
        return result;
    }
    switch (cmd) {
    case TIOCGWINSZ:
    case TIOCSWINSZ:
        return winsize_ioctl(tty, cmd, (void __user *)arg);
    case TIOCEXCL:
    case TIOCNXCL:
    case TIOCGEXCL:
        return exclusive_ioctl(tty, cmd, (int __user *)arg);
    case TIOCGETD:
    case TIOCSETD:
        return discipline_ioctl(cmd, (int __user *)arg);
    case TIOCGSOFTCAR:
    case TIOCSSOFTCAR:
        return local_ioctl(tty, cmd, (int __user *)arg);
    case TIOCGDEV:
        return device_number(tty, (unsigned __user *)arg);
    case TIOCCONS:
        return redirect_console(tty);
    case TIOCVHANGUP:
        if (!current_has_cap(CAP_SYS_ADMIN)) {
            return -EPERM;
        }
        tty_hangup(tty);
        return 0;
    default:
        return -ENOTTY;
    }
}

int64_t tty_file_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    struct tty_file *opened = file->private;
    struct tty *tty = opened->tty;
    int64_t result;

    if (tty_file_hung_up(opened)) {
        return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
    }
    if (tty->ops->ioctl != NULL) {
        result = tty->ops->ioctl(tty, cmd, arg);
        if (result != -ENOIOCTLCMD) {
            return result;
        }
    }
    return tty_ioctl_generic(tty, file, cmd, arg);
}
