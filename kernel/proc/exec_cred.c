/*
 * Who a program runs as: set-user-ID and set-group-ID bits, and what execve does to capabilities.
 *
 * Source: capabilities(7), "Transformation of capabilities during execve()", "Capabilities and execution of programs by root";
 * credentials(7); prctl(2) for no_new_privs. Files carry no capabilities of their own here.
 */
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>

#include "kernel/proc/exec.h"
#include "kernel/proc/ptrace.h"
#include "kernel/vfs/mount.h"

#define SECURE_BIT(n) (1u << (n))

/* Change euid and egid of `cred` as the file says. True: something changed hands. */
static bool apply_set_id(struct cred *cred, struct file *file)
{
    const struct inode *inode = file->inode;
    uint32_t mode = atomic_load_relaxed(&inode->mode);

    if ((mode & (S_ISUID | S_ISGID)) == 0 || (file->path.mount->flags & MS_NOSUID) != 0) {
        return false;
    }
    if ((mode & S_ISUID) != 0) {
        cred->euid = inode->uid;
    }
    /* Without group execute permission the bit means something else (mandatory locking, inode(7)). */
    if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) {
        cred->egid = inode->gid;
    }
    return true;
}

static void transform_capabilities(struct cred *cred, bool set_id)
{
    uint64_t file_permitted = 0, file_inheritable = 0;
    bool file_effective = false;

    if ((cred->securebits & SECURE_BIT(SECURE_NOROOT)) == 0) {
        if (cred->euid == 0 || cred->uid == 0) {
            file_permitted = file_inheritable = ~0ull;
        }
        file_effective = cred->euid == 0;
    }
    if (set_id) {
        cred->cap_ambient = 0;
    }
    cred->cap_permitted = (cred->cap_inheritable & file_inheritable) |
                          (file_permitted & cred->cap_bounding) | cred->cap_ambient;
    cred->cap_effective = file_effective ? cred->cap_permitted : cred->cap_ambient;
}

static bool cred_same(const struct cred *a, const struct cred *b)
{
    return a->euid == b->euid && a->suid == b->suid && a->fsuid == b->fsuid && a->egid == b->egid &&
           a->sgid == b->sgid && a->fsgid == b->fsgid && a->cap_permitted == b->cap_permitted &&
           a->cap_effective == b->cap_effective && a->cap_ambient == b->cap_ambient &&
           a->securebits == b->securebits;
}

/* `barred`: it is to gain nothing. */
static void transform(struct cred *new, const struct cred *old, struct file *file, bool barred)
{
    *new = *old;
    bool set_id = !barred && apply_set_id(new, file);
    new->suid = new->fsuid = new->euid;
    new->sgid = new->fsgid = new->egid;
    new->securebits &= ~SECURE_BIT(SECURE_KEEP_CAPS);
    transform_capabilities(new, set_id && (new->euid != old->euid || new->egid != old->egid));
    if (barred) {
        new->cap_permitted &= old->cap_permitted;
        new->cap_effective &= new->cap_permitted;
    }
}

static bool gains_privileges(const struct cred *new, const struct cred *old)
{
    return new->euid != old->euid || new->egid != old->egid ||
           (new->cap_permitted & ~old->cap_permitted) != 0;
}

int exec_identity_make(struct file *file, struct exec_identity *ret_identity)
{
    struct cred *old = current_thread()->cred;
    struct cred new;

    transform(&new, old, file, process_current()->no_new_privs);
    if (gains_privileges(&new, old) && !ptrace_raise_begin()) {
        transform(&new, old, file, true);
    }
    ret_identity->secure = new.uid != new.euid || new.gid != new.egid ||
                           (new.uid != 0 && (new.cap_permitted & ~new.cap_ambient) != 0 &&
                            new.cap_effective != new.cap_ambient);
    ret_identity->other = cred_acts_as_other(&new, old);
    if (cred_same(&new, old)) {
        ret_identity->cred = cred_get(old); /* the usual case costs no copy */
        return 0;
    }
    struct cred *copy = cred_clone(old);
    if (copy == NULL) {
        current_thread()->exec_raises = false;
        return -ENOMEM;
    }
    copy->euid = copy->suid = copy->fsuid = new.euid;
    copy->egid = copy->sgid = copy->fsgid = new.egid;
    copy->securebits = new.securebits;
    copy->cap_permitted = new.cap_permitted;
    copy->cap_effective = new.cap_effective;
    copy->cap_ambient = new.cap_ambient;
    ret_identity->cred = copy;
    return 0;
}

void exec_identity_drop(struct exec_identity *identity)
{
    current_thread()->exec_raises = false;
    cred_put(identity->cred);
}
