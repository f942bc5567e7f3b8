/*
 * User and group ids and capabilities (credentials(7), capabilities(7)).
 */
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/securebits.h>

#include "kernel/linux/syscall.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/coredump.h"
#include "kernel/security/cred.h"

#define KEEP    UINT32_MAX /* -1: leave this id as it is */
#define CAP_ALL (BIT(CAP_LAST_CAP + 1) - 1)

SYSCALL0(getuid)
{
    return cred_current()->uid;
}

SYSCALL0(geteuid)
{
    return cred_current()->euid;
}

SYSCALL0(getgid)
{
    return cred_current()->gid;
}

SYSCALL0(getegid)
{
    return cred_current()->egid;
}

/* capabilities(7), "Effect of user ID changes on capabilities". `old` is what holds until the commit. */
static void fix_caps_after_setuid(struct cred *new, const struct cred *old)
{
    bool was_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
    bool is_root = new->uid == 0 || new->euid == 0 || new->suid == 0;

    if ((new->securebits &SECBIT_NO_SETUID_FIXUP) != 0) {
        return;
    }
    if (was_root && !is_root) {
        if ((new->securebits &SECBIT_KEEP_CAPS) == 0) {
            new->cap_permitted = 0;
            new->cap_effective = 0;
        }
        new->cap_ambient = 0;
    }
    if (old->euid == 0 && new->euid != 0) {
        new->cap_effective = 0;
    } else if (old->euid != 0 && new->euid == 0) {
        new->cap_effective = new->cap_permitted;
    }
}

/*
 * Who acts as another hides what the process has so far (prctl(2), PR_SET_DUMPABLE and PR_SET_PDEATHSIG): before the new rights can be seen,
 * which process_may_access() looks at first.
 */
static void commit(struct cred *new)
{
    if (cred_acts_as_other(new, cred_current())) {
        atomic_store_relaxed(&current_thread()->vm->dumpable,
                             (uint8_t)atomic_load_relaxed(&coredump_settings.suid_dumpable));
        process_current()->pdeath_signal = 0;
    }
    cred_commit(new);
}

static int64_t commit_uids(uint32_t uid, uint32_t euid, uint32_t suid)
{
    const struct cred *old = cred_current();
    struct cred *new = cred_clone(old);

    if (new == NULL) {
        return -ENOMEM;
    }
    new->uid = uid;
    new->euid = euid;
    new->suid = suid;
    new->fsuid = euid;
    fix_caps_after_setuid(new, old);
    bool other = uid != old->uid;
    commit(new);
    if (other) {
        process_follow_user();
    }
    return 0;
}

static int64_t commit_gids(uint32_t gid, uint32_t egid, uint32_t sgid)
{
    struct cred *new = cred_clone(cred_current());

    if (new == NULL) {
        return -ENOMEM;
    }
    new->gid = gid;
    new->egid = egid;
    new->sgid = sgid;
    new->fsgid = egid;
    commit(new);
    return 0;
}

SYSCALL1(setuid, uint32_t, uid)
{
    const struct cred *old = cred_current();

    if (uid == KEEP) {
        return -EINVAL;
    }
    if (current_has_cap(CAP_SETUID)) {
        return commit_uids(uid, uid, uid);
    }
    return uid == old->uid || uid == old->suid ? commit_uids(old->uid, uid, old->suid) : -EPERM;
}

SYSCALL1(setgid, uint32_t, gid)
{
    const struct cred *old = cred_current();

    if (gid == KEEP) {
        return -EINVAL;
    }
    if (current_has_cap(CAP_SETGID)) {
        return commit_gids(gid, gid, gid);
    }
    return gid == old->gid || gid == old->sgid ? commit_gids(old->gid, gid, old->sgid) : -EPERM;
}

/* setreuid(2): the saved id follows when the real one is set or the effective one leaves it. */
SYSCALL2(setreuid, uint32_t, ruid, uint32_t, euid)
{
    const struct cred *old = cred_current();
    bool capable = current_has_cap(CAP_SETUID);

    if ((ruid != KEEP && !capable && ruid != old->uid && ruid != old->euid) ||
        (euid != KEEP && !capable && euid != old->uid && euid != old->euid && euid != old->suid)) {
        return -EPERM;
    }
    uint32_t new_r = ruid != KEEP ? ruid : old->uid, new_e = euid != KEEP ? euid : old->euid;
    bool follow = ruid != KEEP || (euid != KEEP && euid != old->uid);
    return commit_uids(new_r, new_e, follow ? new_e : old->suid);
}

SYSCALL2(setregid, uint32_t, rgid, uint32_t, egid)
{
    const struct cred *old = cred_current();
    bool capable = current_has_cap(CAP_SETGID);

    if ((rgid != KEEP && !capable && rgid != old->gid && rgid != old->egid) ||
        (egid != KEEP && !capable && egid != old->gid && egid != old->egid && egid != old->sgid)) {
        return -EPERM;
    }
    uint32_t new_r = rgid != KEEP ? rgid : old->gid, new_e = egid != KEEP ? egid : old->egid;
    bool follow = rgid != KEEP || (egid != KEEP && egid != old->gid);
    return commit_gids(new_r, new_e, follow ? new_e : old->sgid);
}

static bool one_of(uint32_t id, uint32_t a, uint32_t b, uint32_t c)
{
    return id == KEEP || id == a || id == b || id == c;
}

SYSCALL3(setresuid, uint32_t, ruid, uint32_t, euid, uint32_t, suid)
{
    const struct cred *c = cred_current();

    if (!current_has_cap(CAP_SETUID) &&
        !(one_of(ruid, c->uid, c->euid, c->suid) && one_of(euid, c->uid, c->euid, c->suid) &&
          one_of(suid, c->uid, c->euid, c->suid))) {
        return -EPERM;
    }
    return commit_uids(ruid != KEEP ? ruid : c->uid, euid != KEEP ? euid : c->euid,
                       suid != KEEP ? suid : c->suid);
}

SYSCALL3(setresgid, uint32_t, rgid, uint32_t, egid, uint32_t, sgid)
{
    const struct cred *c = cred_current();

    if (!current_has_cap(CAP_SETGID) &&
        !(one_of(rgid, c->gid, c->egid, c->sgid) && one_of(egid, c->gid, c->egid, c->sgid) &&
          one_of(sgid, c->gid, c->egid, c->sgid))) {
        return -EPERM;
    }
    return commit_gids(rgid != KEEP ? rgid : c->gid, egid != KEEP ? egid : c->egid,
                       sgid != KEEP ? sgid : c->sgid);
}

static int64_t three_to_user(uint32_t a, uint32_t b, uint32_t c, uint32_t __user *ua,
                             uint32_t __user *ub, uint32_t __user *uc)
{
    if (put_user(a, ua) < 0 || put_user(b, ub) < 0 || put_user(c, uc) < 0) {
        return -EFAULT;
    }
    return 0;
}

SYSCALL3(getresuid, uint32_t __user *, ruid, uint32_t __user *, euid, uint32_t __user *, suid)
{
    const struct cred *c = cred_current();

    return three_to_user(c->uid, c->euid, c->suid, ruid, euid, suid);
}

SYSCALL3(getresgid, uint32_t __user *, rgid, uint32_t __user *, egid, uint32_t __user *, sgid)
{
    const struct cred *c = cred_current();

    return three_to_user(c->gid, c->egid, c->sgid, rgid, egid, sgid);
}

/* File-system ids: the old value is the result, whether or not the change was allowed (setfsuid(2)). */
SYSCALL1(setfsuid, uint32_t, uid)
{
    const struct cred *old = cred_current();
    uint32_t former = old->fsuid;

    if (uid == KEEP || !(current_has_cap(CAP_SETUID) ||
                         one_of(uid, old->uid, old->euid, old->suid) || uid == former)) {
        return former;
    }
    struct cred *new = cred_clone(old);
    if (new != NULL) {
        const uint64_t fs_caps = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) |
                                 BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_LINUX_IMMUTABLE) |
                                 BIT(CAP_MKNOD) | BIT(CAP_MAC_OVERRIDE);
        new->fsuid = uid;
        bool adjust = (new->securebits &SECBIT_NO_SETUID_FIXUP) == 0;
        if (adjust && former == 0 && uid != 0) {
            new->cap_effective &= ~fs_caps;
        } else if (adjust && former != 0 && uid == 0) {
            new->cap_effective |= new->cap_permitted &fs_caps;
        }
        commit(new);
    }
    return former;
}

SYSCALL1(setfsgid, uint32_t, gid)
{
    const struct cred *old = cred_current();
    uint32_t former = old->fsgid;

    if (gid != KEEP &&
        (current_has_cap(CAP_SETGID) || one_of(gid, old->gid, old->egid, old->sgid))) {
        struct cred *new = cred_clone(old);
        if (new != NULL) {
            new->fsgid = gid;
            commit(new);
        }
    }
    return former;
}

SYSCALL2(getgroups, int, size, uint32_t __user *, list)
{
    const struct group_list *groups = cred_current()->groups;
    uint32_t count = groups != NULL ? groups->count : 0;

    if (size < 0 || (size != 0 && (uint32_t)size < count)) {
        return -EINVAL;
    }
    if (size != 0 && count != 0 && copy_to_user(list, groups->gids, count * sizeof(uint32_t)) < 0) {
        return -EFAULT;
    }
    return count;
}

SYSCALL2(setgroups, int, size, const uint32_t __user *, list)
{
    struct group_list *groups = NULL;

    if (!current_has_cap(CAP_SETGID)) {
        return -EPERM;
    }
    if (size < 0 || size > NGROUPS_MAX) {
        return -EINVAL;
    }
    if (size > 0) {
        uint32_t *gids = kcalloc((size_t)size, sizeof(uint32_t));
        if (gids == NULL) {
            return -ENOMEM;
        }
        int err = copy_from_user(gids, list, (size_t)size * sizeof(uint32_t));
        if (err == 0) {
            groups = group_list_create(gids, (uint32_t)size);
            err = groups == NULL ? -ENOMEM : 0;
        }
        kfree(gids);
        if (err < 0) {
            return err;
        }
    }
    struct cred *new = cred_clone(cred_current());
    if (new == NULL) {
        group_list_put(groups);
        return -ENOMEM;
    }
    group_list_put(new->groups);
    new->groups = groups;
    cred_commit(new);
    return 0;
}

/* ---- capabilities ---- */

/* Check the header's version; an unknown one is answered with ours. *ret_words is 1 or 2. */
static int cap_header(struct __user_cap_header_struct __user *uheader, int *ret_pid,
                      unsigned *ret_words)
{
    struct __user_cap_header_struct header;

    if (copy_from_user(&header, uheader, sizeof(header)) < 0) {
        return -EFAULT;
    }
    switch (header.version) {
    case _LINUX_CAPABILITY_VERSION_1:
        *ret_words = 1;
        break;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        *ret_words = 2;
        break;
    default:
        return put_user((uint32_t)_LINUX_CAPABILITY_VERSION_3, user_member(uheader, version)) < 0
                   ? -EFAULT
                   : -EINVAL;
    }
    *ret_pid = header.pid;
    return 0;
}

SYSCALL2(capget, struct __user_cap_header_struct __user *, uheader,
         struct __user_cap_data_struct __user *, udata)
{
    struct __user_cap_data_struct data[2];
    struct cred *cred;
    unsigned words;
    int pid;
    int err = cap_header(uheader, &pid, &words);

    if (err < 0) {
        return udata == NULL && err == -EINVAL ? 0 : err;
    }
    if (pid < 0) {
        return -EINVAL;
    }
    if (pid == 0 || pid == pid_nr(current_thread()->pid)) {
        cred = cred_get(current_thread()->cred);
    } else {
        struct thread *thread;
        struct process *process = process_find_thread(pid, &thread);
        if (process == NULL) {
            return -ESRCH;
        }
        cred = thread_cred_get(thread);
        thread_put(thread);
        process_put(process);
    }
    for (unsigned i = 0; i < 2; i++) {
        data[i] = (struct __user_cap_data_struct){
            .effective = (uint32_t)(cred->cap_effective >> (32 * i)),
            .permitted = (uint32_t)(cred->cap_permitted >> (32 * i)),
            .inheritable = (uint32_t)(cred->cap_inheritable >> (32 * i))};
    }
    cred_put(cred);
    return copy_to_user(udata, data, words * sizeof(data[0]));
}

SYSCALL2(capset, struct __user_cap_header_struct __user *, uheader,
         const struct __user_cap_data_struct __user *, udata)
{
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    const struct cred *old = cred_current();
    unsigned words;
    int pid;
    int err = cap_header(uheader, &pid, &words);

    if (err < 0) {
        return err;
    }
    if (pid != 0 && pid != pid_nr(current_thread()->pid)) {
        return -EPERM;
    }
    if (copy_from_user(data, udata, words * sizeof(data[0])) < 0) {
        return -EFAULT;
    }
    uint64_t effective = (data[0].effective | (uint64_t)data[1].effective << 32) & CAP_ALL;
    uint64_t permitted = (data[0].permitted | (uint64_t)data[1].permitted << 32) & CAP_ALL;
    uint64_t inheritable = (data[0].inheritable | (uint64_t)data[1].inheritable << 32) & CAP_ALL;
    uint64_t may_inherit =
        old->cap_inheritable | (current_has_cap(CAP_SETPCAP) ? CAP_ALL : old->cap_permitted);
    if ((permitted & ~old->cap_permitted) != 0 || (effective & ~permitted) != 0 ||
        (inheritable & ~may_inherit) != 0 ||
        (inheritable & ~(old->cap_inheritable | old->cap_bounding)) != 0) {
        return -EPERM;
    }
    struct cred *new = cred_clone(old);
    if (new == NULL) {
        return -ENOMEM;
    }
    new->cap_effective = effective;
    new->cap_permitted = permitted;
    new->cap_inheritable = inheritable;
    new->cap_ambient &= permitted &inheritable;
    cred_commit(new);
    return 0;
}
