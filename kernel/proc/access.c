/*
 * May one process look into another (ptrace(2), "Ptrace access mode checking")? For ptrace, /proc and calls that name another process.
 */
#include <linux/capability.h>

#include "kernel/proc/internal.h"

/* Tree lock held. One without memory is what it was: its descriptors are closed a moment later. A kernel thread never was. */
static bool is_dumpable_locked(struct process *process)
{
    const struct vmspace *vm = process_vm_locked(process);

    return vm != NULL ? atomic_load_relaxed(&vm->dumpable) == 1 : process->was_dumpable;
}

/* Tree lock held. */
static bool may_access_locked(struct process *target, uint32_t uid, uint32_t gid)
{
    const struct cred *mine = cred_current(), *theirs = rcu_dereference(target->leader->cred);

    if (target == process_current()) {
        return true;
    }
    if (theirs == NULL) {
        theirs = &cred_init_user;
    }
    bool same = uid == theirs->uid && uid == theirs->euid && uid == theirs->suid &&
                gid == theirs->gid && gid == theirs->egid && gid == theirs->sgid &&
                is_dumpable_locked(target) && (theirs->cap_permitted & ~mine->cap_permitted) == 0;
    return same || cred_has_cap(mine, CAP_SYS_PTRACE);
}

static bool process_may_access_locked(struct process *target)
{
    const struct cred *mine = cred_current();

    return may_access_locked(target, mine->fsuid, mine->fsgid);
}

bool process_may_attach_locked(struct process *target)
{
    const struct cred *mine = cred_current();

    return may_access_locked(target, mine->uid, mine->gid);
}

static bool may(struct process *target, bool (*may_locked)(struct process *))
{
    if (target == process_current()) {
        return true;
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    bool answer = may_locked(target);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return answer;
}

bool process_may_access(struct process *target)
{
    return may(target, process_may_access_locked);
}

bool process_may_attach(struct process *target)
{
    return may(target, process_may_attach_locked);
}

void process_owner(struct process *process, bool hidden, uint32_t *ret_uid, uint32_t *ret_gid)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    const struct cred *cred = rcu_dereference(process->leader->cred);
    const struct vmspace *vm = process_vm_locked(process);

    if (cred == NULL || (hidden && (vm == NULL || atomic_load_relaxed(&vm->dumpable) != 1))) {
        cred = &cred_init_user;
    }
    *ret_uid = cred->euid;
    *ret_gid = cred->egid;
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

int thread_vm_get_checked(struct thread *thread, struct process *process, bool attach,
                          struct vmspace **ret_vm)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct vmspace *vm = thread->vm;
    int err = 0;

    if (vm == NULL) {
        err = -ESRCH;
    } else if (!(attach ? process_may_attach_locked(process)
                        : process_may_access_locked(process))) {
        err = -EACCES;
    } else {
        vmspace_get(vm);
        *ret_vm = vm;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return err;
}
