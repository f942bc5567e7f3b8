/*
 * May one process look into another (ptrace(2), "Ptrace access mode checking")? For /proc and, later, ptrace.
 */
#include <linux/capability.h>

#include "kernel/proc/internal.h"

bool process_may_access(struct process *target)
{
    const struct cred *mine = cred_current();

    if (target == process_current()) {
        return true;
    }
    struct cred *theirs = process_cred_get(target);
    bool same = mine->fsuid == theirs->uid && mine->fsuid == theirs->euid &&
                mine->fsuid == theirs->suid && mine->fsgid == theirs->gid &&
                mine->fsgid == theirs->egid && mine->fsgid == theirs->sgid && target->dumpable &&
                (theirs->cap_permitted & ~mine->cap_permitted) == 0;
    cred_put(theirs);
    return same || cred_has_cap(mine, CAP_SYS_PTRACE);
}
