/*
 * What messages of local sockets carry besides bytes (unix(7), "Ancillary messages"): the sender's credentials and open files.
 *
 * Files in a message are references that no descriptor table shows, so they are counted: per user, against RLIMIT_NOFILE (else anybody could
 * open as many as memory has room for), and per local socket, for the collector (gc.c).
 *
 * Who frees a message may hold locks that its files want when they are closed: splice(2) reads with a pipe locked whose other end may be in the
 * message. So they are closed on the way to user mode. That also takes no more stack for a chain of any length, of sockets with messages that carry
 * sockets: each that is closed only leaves the next one to be closed.
 */
#include <linux/capability.h>

#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/unix/unix.h"
#include "kernel/vfs/fdtable.h"

#define RIGHTS_MAX   253u   /* unix(7): SCM_MAX_FD */
#define OVERFLOW_UID 65534u /* of who was not told */

struct unix_rights {
    struct user *user; /* who sent them, referenced */
    unsigned count;
    struct file *files[]; /* referenced */
};

_Static_assert(sizeof(struct unix_control) <= sizeof(((struct packet *)NULL)->control), "control");

/* ---- letting go ---- */

/* No message carries them any more. */
static void rights_land(struct unix_rights *rights)
{
    for (unsigned i = 0; i < rights->count; i++) {
        unix_file_lands(rights->files[i]);
    }
}

/* They have landed. */
static void rights_free(struct unix_rights *rights)
{
    for (unsigned i = 0; i < rights->count; i++) {
        file_put_later(rights->files[i]);
    }
    (void)atomic_fetch_sub_relaxed(&rights->user->files_sent, rights->count);
    user_put(rights->user);
    kfree(rights);
}

void unix_control_drop(struct unix_control *control)
{
    if (control->credentials) {
        pid_put(control->pid);
        control->credentials = false;
    }
    if (control->rights != NULL) {
        rights_land(control->rights);
        rights_free(control->rights);
        control->rights = NULL;
    }
}

static void control_destroy(struct packet *packet)
{
    unix_control_drop(unix_control(packet));
}

/* ---- sending ---- */

/* May the current thread say that it is this one? unix(7), SCM_CREDENTIALS. */
static int credentials_check(const struct ucred *claim)
{
    const struct cred *cred = cred_current();
    struct pid *self = jobctl == NULL ? NULL : jobctl->current_process();

    if (claim->uid == UINT32_MAX || claim->gid == UINT32_MAX) {
        return -EINVAL;
    }
    bool pid_ok = claim->pid == pid_nr(self) || cred_has_cap(cred, CAP_SYS_ADMIN);
    bool uid_ok = claim->uid == cred->uid || claim->uid == cred->euid || claim->uid == cred->suid ||
                  cred_has_cap(cred, CAP_SETUID);
    bool gid_ok = claim->gid == cred->gid || claim->gid == cred->egid || claim->gid == cred->sgid ||
                  cred_has_cap(cred, CAP_SETGID);
    return pid_ok && uid_ok && gid_ok ? 0 : -EPERM;
}

static int parse_credentials(const struct control_item *item, struct unix_control *control)
{
    struct ucred claim;

    if (item->len != sizeof(claim)) {
        return -EINVAL;
    }
    memcpy(&claim, item->data, sizeof(claim));
    int err = credentials_check(&claim);
    if (err < 0) {
        return err;
    }
    struct pid *pid = pid_find(claim.pid);
    if (pid == NULL) {
        return -ESRCH;
    }
    if (control->credentials) {
        pid_put(control->pid); /* the last one counts */
    }
    control->credentials = true;
    control->pid = pid;
    control->uid = claim.uid;
    control->gid = claim.gid;
    return 0;
}

/* Room for `more` files. */
static int rights_grow(struct unix_rights **rights, unsigned more)
{
    struct unix_rights *old = *rights;
    unsigned count = (old == NULL ? 0 : old->count) + more;

    if (count > RIGHTS_MAX) {
        return -EINVAL;
    }
    struct unix_rights *fresh = krealloc(old, sizeof(*fresh) + count * sizeof(fresh->files[0]));
    if (fresh == NULL) {
        return -ENOMEM;
    }
    if (old == NULL) {
        fresh->user = user_get(cred_current()->user);
        fresh->count = 0;
    }
    *rights = fresh;
    return 0;
}

static int parse_rights(const struct control_item *item, struct unix_control *control)
{
    size_t n = item->len / sizeof(int);

    if (n == 0) {
        return 0;
    }
    int err = n > RIGHTS_MAX ? -EINVAL : rights_grow(&control->rights, (unsigned)n);
    for (size_t i = 0; err == 0 && i < n; i++) {
        int fd;
        memcpy(&fd, item->data + i * sizeof(fd), sizeof(fd));
        struct file *file = fd_file_any(fd);
        if (file == NULL) {
            return -EBADF;
        }
        struct unix_rights *rights = control->rights;
        unix_file_flies(file);
        (void)atomic_fetch_add_relaxed(&rights->user->files_sent, 1);
        rights->files[rights->count++] = file;
    }
    return err;
}

/*
 * Files on their way are open files nobody counts otherwise: as many as a process may have descriptors. -ETOOMANYREFS, -ERESTARTSYS. What nobody can
 * receive any more does not count.
 */
static int check_sent(const struct user *user)
{
    uint64_t limit = fd_limit_hook == NULL ? UINT64_MAX : fd_limit_hook();

    if (likely(atomic_load_relaxed(&user->files_sent) <= limit) ||
        current_has_cap(CAP_SYS_RESOURCE) || current_has_cap(CAP_SYS_ADMIN)) {
        return 0;
    }
    int err = unix_collect_wait();
    return err < 0 || atomic_load_relaxed(&user->files_sent) <= limit ? err : -ETOOMANYREFS;
}

static int parse_one(const struct control_item *item, struct unix_control *control)
{
    int err;

    if (item->level != SOL_SOCKET) {
        return 0; /* not for us */
    }
    switch (item->type) {
    case SCM_RIGHTS:
        err = check_sent(cred_current()->user);
        return err < 0 ? err : parse_rights(item, control);
    case SCM_CREDENTIALS:
        return parse_credentials(item, control);
    default:
        return -EINVAL;
    }
}

int unix_control_parse(struct message *message, struct unix_control *ret_control)
{
    struct unix_control control = {0};
    struct control_item item;
    int more;

    while ((more = control_next(&message->control, &item)) > 0) {
        more = parse_one(&item, &control);
        if (more < 0) {
            break;
        }
    }
    if (more < 0) {
        unix_control_drop(&control);
        return more;
    }
    *ret_control = control;
    return 0;
}

void unix_control_attach_slow(struct packet *packet, struct unix_control *control)
{
    struct unix_control *own = unix_control(packet);

    *own = (struct unix_control){.pid = control->pid,
                                 .uid = control->uid,
                                 .gid = control->gid,
                                 .credentials = true,
                                 .rights = control->rights};
    if (control->credentials) {
        (void)pid_get(own->pid);
    } else {
        const struct cred *cred = cred_current();
        own->pid = jobctl == NULL ? NULL : pid_get(jobctl->current_process());
        own->uid = cred == NULL ? 0 : cred->uid;
        own->gid = cred == NULL ? 0 : cred->gid;
    }
    control->rights = NULL;
    packet->destroy = control_destroy;
}

/* ---- receiving ---- */

void unix_credentials_of(struct packet *packet, struct ucred *ret_cred)
{
    *ret_cred = (struct ucred){.pid = 0, .uid = OVERFLOW_UID, .gid = OVERFLOW_UID};
    if (packet->destroy != NULL) {
        const struct unix_control *control = unix_control(packet);
        *ret_cred = (struct ucred){pid_nr(control->pid), control->uid, control->gid};
    }
}

void unix_tell_credentials(struct unix_socket *socket, struct message *message,
                           const struct ucred *cred)
{
    if (socket_has_option(&socket->socket, SOCKET_PASSCRED)) {
        (void)control_put(message, SOL_SOCKET, SCM_CREDENTIALS, cred, sizeof(*cred));
    }
}

/* Give the receiver one file; `slot` is where its number goes. */
static int install(struct file *file, bool cloexec, int __user *slot)
{
    int fd = fd_reserve(0, cloexec, fd_limit_hook == NULL ? UINT64_MAX : fd_limit_hook());

    if (fd < 0) {
        return fd;
    }
    if (put_user(fd, slot) < 0) {
        fd_unreserve(fd);
        return -EFAULT;
    }
    fd_install(fd, file_get(file));
    return 0;
}

static void install_all(struct message *message, struct file *const *files, unsigned count)
{
    struct message_control *control = &message->control;
    ssize_t room = control_room(control) / (ssize_t)sizeof(int);
    unsigned fit = room <= 0 ? 0 : (unsigned)MIN((size_t)room, (size_t)count), done = 0;
    int __user *slots = user_at(control->out, sizeof(struct cmsghdr));

    while (done < fit && install(files[done], (message->flags & MSG_CMSG_CLOEXEC) != 0,
                                 user_at(slots, done * sizeof(int))) == 0) {
        done++;
    }
    if (done < count) {
        message->result |= MSG_CTRUNC;
    }
    if (done > 0) {
        struct cmsghdr header = {CMSG_LEN(done * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        size_t step = MIN(CMSG_SPACE(done * sizeof(int)), control->left);
        if (copy_to_user(control->out, &header, sizeof(header)) == 0) {
            control->out = user_at(control->out, step);
            control->left -= step;
        }
    }
}

void unix_tell_rights(struct message *message, struct packet *packet, bool peek)
{
    struct unix_control *control = unix_control(packet);
    struct unix_rights *rights = control->rights;

    if (peek) {
        for (unsigned i = 0; i < rights->count; i++) {
            (void)unix_file_peek(rights->files[i]);
        }
        install_all(message, rights->files, rights->count);
        for (unsigned i = 0; i < rights->count; i++) {
            file_put(rights->files[i]);
        }
        return;
    }
    control->rights = NULL;
    rights_land(rights); /* a socket that somebody may use is nothing for a collector at work */
    install_all(message, rights->files, rights->count);
    rights_free(rights);
}

unsigned unix_rights_count(struct packet *packet)
{
    return unix_control(packet)->rights->count;
}

struct file *unix_rights_file(struct packet *packet, unsigned index)
{
    const struct unix_rights *rights = unix_control(packet)->rights;

    return index < rights->count ? rights->files[index] : NULL;
}
