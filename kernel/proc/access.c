/*
 * May one process look into another (ptrace(2), "Ptrace access mode checking")? For /proc and, later, ptrace.
 */
#include <linux/capability.h>

#include "kernel/proc/internal.h"

static bool may_access(struct process *target, uint32_t uid, uint32_t gid)
{
    const struct cred *mine = cred_current();

    if (target == process_current()) {
        return true;
    }
    struct cred *theirs = process_cred_get(target);
    bool same = uid == theirs->uid && uid == theirs->euid && uid == theirs->suid &&
                gid == theirs->gid && gid == theirs->egid && gid == theirs->sgid &&
                target->dumpable == 1 && (theirs->cap_permitted & ~mine->cap_permitted) == 0;
    cred_put(theirs);
    return same || cred_has_cap(mine, CAP_SYS_PTRACE);
}

bool process_may_access(struct process *target)
{
    const struct cred *mine = cred_current();

    return may_access(target, mine->fsuid, mine->fsgid);
}

bool process_may_attach(struct process *target)
{
    const struct cred *mine = cred_current();

    return may_access(target, mine->uid, mine->gid);
}
