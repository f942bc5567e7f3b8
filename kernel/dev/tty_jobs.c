/*
 * Terminals and sessions: controlling terminals and job control (POSIX.1-2017 11.1.2-11.1.4, tty_ioctl(4), credentials(7)).
 *
 * A terminal that controls a session has tty->session set, holds references to the session and its foreground group, and is held by
 * one reference itself for as long. The other direction (process to terminal) is kernel/proc's: processes of the session have it, but not all.
 * A terminal leaves its session under ctrl_lock, and all processes with it, so tty_current() never sees one that is being freed.
 */
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/fcntl.h>

#include "kernel/dev/tty_impl.h"

static struct spinlock ctrl_lock = SPINLOCK_INIT("tty ctrl");

struct tty *tty_current(void)
{
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);
    struct tty *tty = jobctl->current_tty();

    if (tty != NULL) {
        tty_get(tty);
    }
    spin_unlock_irqrestore(&ctrl_lock, flags);
    return tty;
}

void tty_describe_slot(void *const *slot, uint64_t *ret_rdev, int *ret_group)
{
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);
    const struct tty *tty = READ_ONCE(*slot);

    *ret_rdev = tty == NULL ? 0 : tty->rdev;
    *ret_group = tty == NULL ? -1 : pid_nr(tty->foreground);
    spin_unlock_irqrestore(&ctrl_lock, flags);
}

static bool is_controlling_current_locked(const struct tty *tty)
{
    return tty->session != NULL && tty->session == jobctl->current_session() &&
           jobctl->current_tty() == tty;
}

/* The terminal's foreground group, referenced; NULL: none. */
static struct pid *foreground_get(struct tty *tty)
{
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);
    struct pid *group = pid_get(tty->foreground);

    spin_unlock_irqrestore(&ctrl_lock, flags);
    return group;
}

void tty_signal_foreground(struct tty *tty, int signo)
{
    struct pid *group = foreground_get(tty);

    if (group != NULL) {
        (void)jobctl->signal_group(group, signo);
        pid_put(group);
    }
}

/* What becomes of a process of this group in the background: as tty_check_background(). */
static int stop_background(struct pid *group, int signo)
{
    if (jobctl->current_ignores(signo)) {
        return signo == SIGTTIN ? -EIO : 0;
    }
    if (jobctl->group_is_orphaned(group)) {
        return -EIO;
    }
    (void)jobctl->signal_group(group, signo);
    /* One thread of each process is told of it: this one has to look whether or not it was chosen. */
    thread_set_work(current_thread(), THREAD_WORK_SIGNAL);
    return -ERESTARTSYS;
}

int tty_check_background(struct tty *tty, int signo)
{
    struct pid *group = jobctl->current_group();
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);
    bool background =
        is_controlling_current_locked(tty) && tty->foreground != NULL && tty->foreground != group;

    spin_unlock_irqrestore(&ctrl_lock, flags);
    int err = background ? stop_background(group, signo) : 0;
    pid_put(group);
    return err;
}

/* ---- gaining and losing a controlling terminal ---- */

/* The current process leads its session. */
static void attach_locked(struct tty *tty)
{
    struct pid *session = jobctl->current_session();

    if (tty->session == NULL) {
        tty_get(tty);
    }
    pid_put(tty->session);
    pid_put(tty->foreground);
    tty->session = pid_get(session);
    tty->foreground = jobctl->current_group();
    jobctl->current_set_tty(tty);
}

/* Returns whether there was a session: the caller then drops the reference that it held, outside the lock. */
static bool detach_locked(struct tty *tty, struct pid **ret_session, struct pid **ret_foreground)
{
    *ret_session = tty->session;
    *ret_foreground = tty->foreground;
    if (tty->session == NULL) {
        return false;
    }
    jobctl->session_clear_tty(tty->session);
    tty->session = NULL;
    tty->foreground = NULL;
    return true;
}

void tty_acquire_on_open(struct tty *tty)
{
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);

    if (jobctl->current_is_session_leader() && jobctl->current_tty() == NULL &&
        tty->session == NULL) {
        attach_locked(tty);
    }
    spin_unlock_irqrestore(&ctrl_lock, flags);
}

void tty_leave_session(struct tty *tty, enum tty_leave why)
{
    struct pid *session, *foreground;
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);
    bool attached = detach_locked(tty, &session, &foreground);

    spin_unlock_irqrestore(&ctrl_lock, flags);
    if (!attached) {
        return;
    }
    if (why == TTY_HUNG_UP) {
        (void)jobctl->signal_process(session, SIGHUP);
        (void)jobctl->signal_process(session, SIGCONT);
    }
    if (foreground != NULL) {
        (void)jobctl->signal_group(foreground, SIGHUP);
        if (why != TTY_LEADER_ENDS) {
            (void)jobctl->signal_group(foreground, SIGCONT);
        }
    }
    pid_put(foreground);
    pid_put(session);
    tty_put(tty);
}

void tty_session_exit(void)
{
    struct tty *tty;

    if (!jobctl->current_is_session_leader()) {
        return;
    }
    tty = tty_current();
    if (tty == NULL) {
        return;
    }
    if (tty_is_pty(tty)) {
        tty_leave_session(tty, TTY_LEADER_ENDS); /* others write on, and the master reads it */
    } else {
        tty_hangup(tty);
    }
    tty_put(tty);
}

/* ---- ioctl ---- */

static int64_t set_controlling(struct tty *tty, struct file *file, bool steal)
{
    struct pid *robbed = NULL, *foreground = NULL;
    int64_t result = -EPERM;
    bool stolen = false;
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);

    if (is_controlling_current_locked(tty) && jobctl->current_is_session_leader()) {
        result = 0;
        goto unlock;
    }
    if (!jobctl->current_is_session_leader() || jobctl->current_tty() != NULL) {
        goto unlock;
    }
    if (tty->session != NULL) {
        if (!steal || !current_has_cap(CAP_SYS_ADMIN)) {
            goto unlock;
        }
        stolen = detach_locked(tty, &robbed, &foreground);
    }
    /* Opened for writing only is not enough to become the reader that a controlling terminal is. */
    if ((file->mode & FMODE_READ) == 0 && !current_has_cap(CAP_SYS_ADMIN)) {
        goto unlock;
    }
    attach_locked(tty);
    result = 0;

unlock:
    spin_unlock_irqrestore(&ctrl_lock, flags);
    if (stolen) {
        pid_put(robbed);
        pid_put(foreground);
        tty_put(tty);
    }
    return result;
}

/* TIOCNOTTY: a leader gives the terminal up for its whole session, anyone else for itself. */
static int64_t give_up(struct tty *tty)
{
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);
    bool mine = is_controlling_current_locked(tty);
    bool leads = jobctl->current_is_session_leader();

    if (mine && !leads) {
        jobctl->current_set_tty(NULL);
    }
    spin_unlock_irqrestore(&ctrl_lock, flags);
    if (mine && leads) {
        tty_leave_session(tty, TTY_GIVEN_UP);
    }
    return mine ? 0 : -ENOTTY;
}

static int64_t get_foreground(struct tty *tty, bool from_master, int __user *arg)
{
    struct pid *group;
    bool mine;
    int nr;
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);

    mine = from_master || is_controlling_current_locked(tty);
    group = pid_get(tty->foreground);
    spin_unlock_irqrestore(&ctrl_lock, flags);
    nr = pid_nr(group);
    pid_put(group);
    return mine ? put_user(nr, arg) : -ENOTTY;
}

static int64_t set_foreground(struct tty *tty, int __user *arg)
{
    struct pid *group, *old = NULL;
    int nr, err = tty_check_background(tty, SIGTTOU);
    uint64_t flags;

    if (err < 0) {
        return err == -EIO ? -ENOTTY : err;
    }
    if (get_user(nr, arg) < 0) {
        return -EFAULT;
    }
    if (nr < 0) {
        return -EINVAL;
    }
    group = pid_find(nr);
    flags = spin_lock_irqsave(&ctrl_lock);
    if (!is_controlling_current_locked(tty)) {
        err = -ENOTTY;
    } else {
        err = group == NULL ? -ESRCH : jobctl->group_in_session(group, tty->session);
    }
    if (err == 0) {
        old = tty->foreground;
        tty->foreground = group;
        group = NULL;
    }
    spin_unlock_irqrestore(&ctrl_lock, flags);
    pid_put(group);
    pid_put(old);
    return err;
}

static int64_t get_session(struct tty *tty, bool from_master, int __user *arg)
{
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);
    bool mine = from_master || is_controlling_current_locked(tty);
    int nr = pid_nr(tty->session);

    spin_unlock_irqrestore(&ctrl_lock, flags);
    if (!mine || nr == 0) {
        return -ENOTTY;
    }
    return put_user(nr, arg);
}

int64_t tty_jobs_ioctl(struct tty *tty, struct file *file, unsigned cmd, uint64_t arg)
{
    bool from_master = file_tty(file) != tty;

    switch (cmd) {
    case TIOCSCTTY:
        return set_controlling(tty, file, (int)arg == 1);
    case TIOCNOTTY:
        return from_master ? -ENOTTY : give_up(tty);
    case TIOCGPGRP:
        return get_foreground(tty, from_master, (int __user *)arg);
    case TIOCSPGRP:
        return set_foreground(tty, (int __user *)arg);
    case TIOCGSID:
        return get_session(tty, from_master, (int __user *)arg);
    default:
        return -ENOIOCTLCMD;
    }
}

void tty_give_owner(struct tty *tty, struct file *file)
{
    uint64_t flags = spin_lock_irqsave(&ctrl_lock);
    struct pid *group = pid_get(tty->foreground);

    spin_unlock_irqrestore(&ctrl_lock, flags);
    if (group != NULL) {
        file_set_first_owner(file, group, F_OWNER_PGRP);
        pid_put(group);
    } else {
        file_set_first_owner(file, jobctl->current_process(), F_OWNER_PID);
    }
}
