/*
 * Terminals: the registry, opening and closing, hangup, and what /dev/console means. Input from drivers is in tty_input.c, reading
 * and writing in tty_io.c, settings in tty_ioctl.c, sessions in tty_jobs.c, the byte processing in ldisc*.c.
 *
 * A terminal outlives its opens: the driver creates it once (a pseudo-terminal: for each pair). Each open file has a struct tty_file,
 * which remembers the terminal's hangup count at the time of the open: a file opened before a hangup is dead for ever, one
 * opened afterwards works.
 */
#include "kernel/dev/tty.h"

#include <asm/fcntl.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/major.h>
#include <linux/tty.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/dev/pty.h"
#include "kernel/dev/tty_impl.h"
#include "kernel/dev/vt.h"
#include "kernel/mm/kmalloc.h"

/* The registry: terminals in order of creation. Short (a few, plus the open ptys), and looked at by opens alone. */
static struct spinlock registry_lock = SPINLOCK_INIT("tty registry");
static struct list_node registry = LIST_INIT(registry);
static struct tty *console_override; /* [registry_lock] */

struct tty *(*tty_active_vt)(void);

/* ttydefaults: "sane" of stty(1), 38400 baud, 8 bits. */
static const struct ktermios default_termios = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD | HUPCL,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_line = N_TTY,
    .c_cc = {[VINTR] = 'C' - 64,
             [VQUIT] = '\\' - 64,
             [VERASE] = 0x7f,
             [VKILL] = 'U' - 64,
             [VEOF] = 'D' - 64,
             [VMIN] = 1,
             [VSTART] = 'Q' - 64,
             [VSTOP] = 'S' - 64,
             [VSUSP] = 'Z' - 64,
             [VREPRINT] = 'R' - 64,
             [VDISCARD] = 'O' - 64,
             [VWERASE] = 'W' - 64,
             [VLNEXT] = 'V' - 64},
    .c_ispeed = 38400,
    .c_ospeed = 38400,
};

/* ---- the registry ---- */

static struct tty *registry_find_locked(uint64_t rdev, const char *name, size_t name_len)
{
    struct tty *tty;

    list_for_each (tty, &registry, node) {
        if (name == NULL ? tty->rdev == rdev
                         : strncmp(tty->name, name, name_len) == 0 && tty->name[name_len] == '\0') {
            return tty;
        }
    }
    return NULL;
}

struct tty *tty_find(uint64_t rdev)
{
    uint64_t flags = spin_lock_irqsave(&registry_lock);
    struct tty *tty = registry_find_locked(rdev, NULL, 0);

    if (tty != NULL) {
        tty_get(tty);
    }
    spin_unlock_irqrestore(&registry_lock, flags);
    return tty;
}

static struct tty *find_by_name(const char *name, size_t len)
{
    uint64_t flags = spin_lock_irqsave(&registry_lock);
    struct tty *tty = registry_find_locked(0, name, len);

    if (tty != NULL) {
        tty_get(tty);
    }
    spin_unlock_irqrestore(&registry_lock, flags);
    return tty;
}

static void hangup_work_fn(struct work *work);

static void tty_setup(struct tty *tty)
{
    refcount_init(&tty->refs, 1);
    list_init(&tty->node);
    rwsem_init(&tty->termios_lock, "tty termios");
    spin_init(&tty->lock, "tty");
    wait_queue_init(&tty->read_wait);
    wait_queue_init(&tty->write_wait);
    async_list_init(&tty->async);
    mutex_init(&tty->read_lock, "tty read");
    mutex_init(&tty->write_lock, "tty write");
    mutex_init(&tty->output_lock, "tty output");
    mutex_init(&tty->open_lock, "tty open");
    work_init(&tty->echo_work, tty_echo_work);
    work_init(&tty->hangup_work, hangup_work_fn);
}

int tty_create(const char *name, uint64_t rdev, const struct tty_driver_ops *ops, void *private,
               struct tty **ret_tty)
{
    struct tty *tty = kzalloc(sizeof(*tty));
    uint64_t flags;
    bool taken;

    if (tty == NULL) {
        return -ENOMEM;
    }
    tty_setup(tty);
    tty->ops = ops;
    tty->private = private;
    tty->rdev = rdev;
    tty->termios = default_termios;
    (void)str_copy(tty->name, name, sizeof(tty->name));

    flags = spin_lock_irqsave(&registry_lock);
    taken = registry_find_locked(rdev, NULL, 0) != NULL;
    if (!taken) {
        list_push_back(&registry, &tty->node);
    }
    spin_unlock_irqrestore(&registry_lock, flags);
    if (taken) {
        kfree(tty);
        return -EBUSY;
    }
    /* Slaves of ptys are shown by devpts, all others in /dev. */
    if (!tty_is_pty(tty)) {
        (void)devfs_create(tty->name, S_IFCHR | 0620, rdev);
    }
    *ret_tty = tty;
    return 0;
}

void tty_remove(struct tty *tty)
{
    uint64_t flags = spin_lock_irqsave(&registry_lock);

    list_remove(&tty->node);
    if (console_override == tty) {
        console_override = NULL;
    }
    spin_unlock_irqrestore(&registry_lock, flags);
    if (!tty_is_pty(tty)) {
        devfs_remove(tty->name);
    }
    tty_put(tty);
}

void tty_put(struct tty *tty)
{
    if (tty == NULL || !refcount_put(&tty->refs)) {
        return;
    }
    if (tty->ops->release != NULL) {
        tty->ops->release(tty);
    }
    kfree(tty->ldisc);
    kfree(tty);
}

/* ---- the console ---- */

int tty_set_console(struct tty *tty)
{
    uint64_t flags = spin_lock_irqsave(&registry_lock);
    int err = 0;

    if (tty != NULL && console_override != NULL) {
        err = -EBUSY;
    } else if (tty != NULL && atomic_load_relaxed(&tty->other_closed)) {
        err = -EIO; /* tty_remove() comes, or has been */
    } else {
        console_override = tty;
    }
    spin_unlock_irqrestore(&registry_lock, flags);
    return err;
}

static struct tty *active_vt(void)
{
    return tty_active_vt == NULL ? NULL : tty_active_vt();
}

/* The terminal that a console= value names ("ttyS0,115200", "tty0"), referenced; NULL: not there. */
static struct tty *console_by_name(const char *name)
{
    const char *comma = strchr(name, ',');
    size_t len = comma == NULL ? strlen(name) : (size_t)(comma - name);

    if (len == 4 && strncmp(name, "tty0", 4) == 0) {
        return active_vt();
    }
    return find_by_name(name, len);
}

struct tty *tty_console(void)
{
    const char *name = param_string("console");
    struct tty *tty = NULL;
    uint64_t flags = spin_lock_irqsave(&registry_lock);

    if (console_override != NULL) {
        tty = tty_get(console_override);
    }
    spin_unlock_irqrestore(&registry_lock, flags);
    if (tty == NULL && name != NULL) {
        tty = console_by_name(name);
    }
    if (tty == NULL) {
        tty = active_vt();
    }
    return tty == NULL ? find_by_name("ttyS0", 5) : tty;
}

/* ---- open and close ---- */

static int ldisc_ensure(struct tty *tty)
{
    struct ldisc *ld;
    uint64_t flags;

    if (tty->ldisc == NULL) {
        ld = kmalloc(sizeof(*ld));
        if (ld == NULL) {
            return -ENOMEM;
        }
        ldisc_init(ld, &tty->termios);
        atomic_store_release(&tty->ldisc, ld);
    }
    if (!tty->keep_input) {
        flags = spin_lock_irqsave(&tty->lock);
        ldisc_flush_input(tty->ldisc);
        tty->throttled = false;
        spin_unlock_irqrestore(&tty->lock, flags);
    }
    return 0;
}

int tty_keep_input(struct tty *tty)
{
    tty->keep_input = true;
    return ldisc_ensure(tty);
}

static int open_locked(struct tty *tty)
{
    int err;

    if (tty->other_closed || tty->locked) {
        return -EIO;
    }
    if (tty->exclusive && tty->opens > 0 && !current_has_cap(CAP_SYS_ADMIN)) {
        return -EBUSY;
    }
    if (tty->opens == 0) {
        err = ldisc_ensure(tty);
        if (err == 0 && tty->ops->open != NULL) {
            err = tty->ops->open(tty);
        }
        if (err < 0) {
            return err;
        }
    }
    tty->opens++;
    return 0;
}

int tty_open_file(struct tty *tty, struct file *file, bool noctty)
{
    struct tty_file *opened = kmalloc(sizeof(*opened));
    int err;

    if (opened == NULL) {
        tty_put(tty);
        return -ENOMEM;
    }
    mutex_lock(&tty->open_lock);
    err = open_locked(tty);
    opened->tty = tty;
    opened->hangups = atomic_load_relaxed(&tty->hangups);
    mutex_unlock(&tty->open_lock);
    if (err < 0) {
        kfree(opened);
        tty_put(tty);
        return err;
    }
    file->private = opened;
    file->fops = &tty_fops;
    /* Who may only write has no right to read by way of /dev/tty. */
    if (!noctty && (file->mode & FMODE_READ) != 0) {
        tty_acquire_on_open(tty);
    }
    return 0;
}

int tty_file_open(struct inode *inode, struct file *file)
{
    bool noctty = (file->flags & O_NOCTTY) != 0;
    struct tty *tty;

    if (inode->rdev == DEV_MAKE(TTYAUX_MAJOR, 2)) {
        return pty_open_master(file);
    }
    if (inode->rdev == DEV_MAKE(TTYAUX_MAJOR, 0)) {
        tty = tty_current();
        noctty = true;
        if (tty == NULL) {
            return -ENXIO;
        }
    } else if (inode->rdev == DEV_MAKE(TTYAUX_MAJOR, 1)) {
        tty = tty_console();
        noctty = true;
    } else if (inode->rdev == DEV_MAKE(TTY_MAJOR, 0)) {
        tty = active_vt();
        noctty = true;
    } else if (DEV_MAJOR(inode->rdev) == UNIX98_PTY_SLAVE_MAJOR) {
        tty = pty_find_slave(inode);
    } else {
        tty = tty_find(inode->rdev);
    }
    if (tty == NULL) {
        return DEV_MAJOR(inode->rdev) == UNIX98_PTY_SLAVE_MAJOR ? -EIO : -ENODEV;
    }
    return tty_open_file(tty, file, noctty);
}

void tty_file_release(struct file *file)
{
    struct tty_file *opened = file->private;
    struct tty *tty = opened->tty;

    mutex_lock(&tty->open_lock);
    if (--tty->opens == 0) {
        tty->exclusive = false;
        if (tty->ops->close != NULL) {
            tty->ops->close(tty);
        }
    }
    mutex_unlock(&tty->open_lock);
    kfree(opened);
    tty_put(tty);
}

struct tty *file_tty(struct file *file)
{
    return file->fops == &tty_fops ? ((struct tty_file *)file->private)->tty : NULL;
}

/* ---- hangup ---- */

void tty_hangup(struct tty *tty)
{
    mutex_lock(&tty->open_lock);
    (void)atomic_fetch_add(&tty->hangups, 1);
    tty_flush_input(tty);
    if (tty->ops->flush_output != NULL && tty->ops->chars_in_buffer != NULL) {
        tty->ops->flush_output(
            tty); /* where nothing is ever buffered, all has gone out: a pty's master reads it still */
    }
    if (tty->ops->hangup != NULL) {
        tty->ops->hangup(tty);
    }
    mutex_unlock(&tty->open_lock);
    tty_leave_session(tty, TTY_HUNG_UP);
    tty_stop(tty, false);
    wait_wake_all(&tty->read_wait, POLLIN | POLLERR | POLLHUP);
    wait_wake_all(&tty->write_wait, POLLOUT | POLLERR | POLLHUP);
}

static void hangup_work_fn(struct work *work)
{
    struct tty *tty = container_of(work, struct tty, hangup_work);

    tty_hangup(tty);
    tty_put(tty);
}

void tty_hangup_later(struct tty *tty)
{
    tty_get(tty);
    if (!work_queue(&tty->hangup_work)) {
        tty_put(tty);
    }
}

/* ---- boot ---- */

static void register_devices(uint32_t major, uint32_t first, uint32_t count, const char *name)
{
    if (chrdev_register(major, first, count, name, &tty_fops) < 0) {
        log_err("tty: cannot register %s", name);
    }
}

static void create_node(const char *name, uint32_t mode, uint64_t rdev)
{
    if (devfs_create(name, S_IFCHR | mode, rdev) < 0) {
        log_err("tty: cannot create /dev/%s", name);
    }
}

void tty_init(void)
{
    register_devices(TTY_MAJOR, 0, 1, "/dev/vc/0");
    register_devices(TTY_MAJOR, 1, 63, "tty");
    register_devices(TTY_MAJOR, 64, 192, "ttyS");
    register_devices(TTYAUX_MAJOR, 0, 1, "/dev/tty");
    register_devices(TTYAUX_MAJOR, 1, 1, "/dev/console");
    register_devices(TTYAUX_MAJOR, 2, 1, "/dev/ptmx");
    register_devices(UNIX98_PTY_SLAVE_MAJOR, 0, PTY_MAX, "pts");
    create_node("tty", 0666, DEV_MAKE(TTYAUX_MAJOR, 0));
    create_node("console", 0600, DEV_MAKE(TTYAUX_MAJOR, 1));
    create_node("ptmx", 0666, DEV_MAKE(TTYAUX_MAJOR, 2));
    create_node("tty0", 0620, DEV_MAKE(TTY_MAJOR, 0));
    (void)devfs_create("pts", S_IFDIR | 0755, 0);
    jobctl_session_exit_hook = tty_session_exit;
    vt_init();
}
