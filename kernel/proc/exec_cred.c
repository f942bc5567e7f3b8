/*
 * Who a program runs as: set-user-ID and set-group-ID bits, and what execve does to capabilities.
 *
 * Source: capabilities(7), "Transformation of capabilities during execve()", "Capabilities and execution of programs by root";
 * credentials(7); prctl(2) for no_new_privs. Files carry no capabilities of their own here.
 *
 * Nobody gets privileges on whom another one, who need not have them, has a hold: a tracer, or a process that shares the root (execve(2)).
 */
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>

#include "kernel/proc/exec.h"
#include "kernel/proc/ptrace.h"
#include "kernel/vfs/mount.h"

/* Change euid and egid of `cred` as the file says. True: something changed hands. */
static bool apply_set_id(struct cred *cred, struct file *file)
{
    struct inode *inode = file->inode;

    if ((atomic_load_relaxed(&inode->mode) & (S_ISUID | S_ISGID)) == 0 ||
        (file->path.mount->flags & MS_NOSUID) != 0) {
        return false;
    }
    /* Whose the bits are: chown(2) changes the owner and takes the bits away in one. */
    spin_lock(&inode->attr_lock);
    uint32_t mode = inode->mode;
    if ((mode & S_ISUID) != 0) {
        cred->euid = inode->uid;
    }
    /* Without group execute permission the bit means something else (mandatory locking, inode(7)). */
    if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) {
        cred->egid = inode->gid;
    }
    spin_unlock(&inode->attr_lock);
    return (mode & (S_ISUID | S_ISGID)) != 0;
}

static void transform_capabilities(struct cred *cred, bool set_id)
{
    uint64_t file_permitted = 0, file_inheritable = 0;
    bool file_effective = false;

    if ((cred->securebits & SECBIT_NOROOT) == 0) {
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

static void follow_effective_ids(struct cred *cred)
{
    cred->suid = cred->fsuid = cred->euid;
    cred->sgid = cred->fsgid = cred->egid;
}

static void transform(struct cred *new, const struct cred *old, struct file *file,
                      bool no_new_privs)
{
    *new = *old;
    bool set_id = !no_new_privs && apply_set_id(new, file);
    follow_effective_ids(new);
    new->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
    transform_capabilities(new, set_id && (new->euid != old->euid || new->egid != old->egid));
}

static bool gains_privileges(const struct cred *new, const struct cred *old)
{
    return new->euid != old->euid || new->egid != old->egid ||
           (new->cap_permitted & ~old->cap_permitted) != 0;
}

/* It is to gain nothing; IDs are what it may set without the file. */
static void hold_back(struct cred *new, const struct cred *old, bool no_new_privs)
{
    if (no_new_privs || !cred_has_cap(old, CAP_SETUID)) {
        new->euid = old->euid;
        new->egid = old->egid;
        follow_effective_ids(new);
    }
    new->cap_permitted &= old->cap_permitted;
    new->cap_effective &= new->cap_permitted;
}

/* ---- who has a hold on it ---- */

/* Has a thread of another process the same root, directory and umask (clone(2), CLONE_FS)? Tree lock held. */
static bool fs_is_shared_locked(const struct thread *thread)
{
    const struct thread *sibling;
    uint32_t others = thread->fs->users;

    list_for_each (sibling, &thread->process->threads, process_node) {
        others -= sibling->fs == thread->fs;
    }
    return others != 0;
}

/*
 * The current thread is to get privileges. False: it is not, since another one would have a hold on the program, by tracing it or by its
 * directory; else nobody else comes to have any until exec_raise_end_locked().
 */
static bool raise_begin(void)
{
    struct thread *thread = current_thread();
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    thread->exec_raises = ptrace_may_raise_locked() && !fs_is_shared_locked(thread);
    if (thread->exec_raises) {
        thread->fs->raising++;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return thread->exec_raises;
}

void exec_raise_end_locked(void)
{
    struct thread *thread = current_thread();

    if (thread->exec_raises) {
        thread->exec_raises = false;
        thread->fs->raising--;
    }
}

static void raise_end(void)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    exec_raise_end_locked();
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

/* ---- all of it ---- */

int exec_identity_make(struct file *file, struct exec_identity *ret_identity)
{
    struct cred *old = current_thread()->cred;
    bool no_new_privs = process_current()->no_new_privs;
    struct cred new;

    transform(&new, old, file, no_new_privs);
    if (gains_privileges(&new, old) && (no_new_privs || !raise_begin())) {
        hold_back(&new, old, no_new_privs);
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
        raise_end();
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
    raise_end();
    cred_put(identity->cred);
}
