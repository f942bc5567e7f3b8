/*
 * prctl(2).
 */
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>

#include "kernel/base/string.h"
#include "kernel/linux/syscall.h"
#include "kernel/proc/signal.h"
#include "kernel/vm/huge.h"

static int64_t set_comm(uint64_t arg)
{
    char name[COMM_SIZE] = "";
    ssize_t len = strncpy_from_user(name, (const char __user *)arg, sizeof(name));

    if (len < 0 && len != -ENAMETOOLONG) {
        return len;
    }
    name[COMM_SIZE - 1] = '\0';
    memcpy(current_thread()->comm, name, sizeof(name));
    return 0;
}

static int64_t change_cred(void (*change)(struct cred *cred, uint64_t arg), uint64_t arg)
{
    struct cred *new = cred_clone(cred_current());

    if (new == NULL) {
        return -ENOMEM;
    }
    change(new, arg);
    cred_commit(new);
    return 0;
}

static void drop_bounding(struct cred *cred, uint64_t cap)
{
    cred->cap_bounding &= ~BIT(cap);
}

static void raise_ambient(struct cred *cred, uint64_t cap)
{
    cred->cap_ambient |= BIT(cap);
}

static void lower_ambient(struct cred *cred, uint64_t cap)
{
    cred->cap_ambient &= ~BIT(cap);
}

static void clear_ambient(struct cred *cred, uint64_t unused)
{
    (void)unused;
    cred->cap_ambient = 0;
}

static void set_securebits(struct cred *cred, uint64_t bits)
{
    cred->securebits = (uint32_t)bits;
}

static int64_t ambient(uint64_t op, uint64_t cap, uint64_t a4, uint64_t a5)
{
    const struct cred *cred = cred_current();

    if (op == PR_CAP_AMBIENT_CLEAR_ALL) {
        return (cap | a4 | a5) != 0 ? -EINVAL : change_cred(clear_ambient, 0);
    }
    if ((a4 | a5) != 0 || cap > CAP_LAST_CAP) {
        return -EINVAL;
    }
    switch (op) {
    case PR_CAP_AMBIENT_IS_SET:
        return (int64_t)((cred->cap_ambient >> cap) & 1);
    case PR_CAP_AMBIENT_RAISE:
        if ((cred->cap_permitted & cred->cap_inheritable & BIT(cap)) == 0 ||
            (cred->securebits & SECBIT_NO_CAP_AMBIENT_RAISE) != 0) {
            return -EPERM;
        }
        return change_cred(raise_ambient, cap);
    case PR_CAP_AMBIENT_LOWER:
        return change_cred(lower_ambient, cap);
    default:
        return -EINVAL;
    }
}

static int64_t capability_prctl(int option, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    const struct cred *cred = cred_current();

    switch (option) {
    case PR_CAPBSET_READ:
        return a2 > CAP_LAST_CAP ? -EINVAL : (int64_t)((cred->cap_bounding >> a2) & 1);
    case PR_CAPBSET_DROP:
        if (!current_has_cap(CAP_SETPCAP)) {
            return -EPERM;
        }
        return a2 > CAP_LAST_CAP ? -EINVAL : change_cred(drop_bounding, a2);
    case PR_CAP_AMBIENT:
        return ambient(a2, a3, a4, a5);
    case PR_GET_SECUREBITS:
        return cred->securebits;
    case PR_SET_SECUREBITS: {
        uint32_t locked = (cred->securebits & SECURE_ALL_LOCKS) >> 1;
        if (!current_has_cap(CAP_SETPCAP) || ((cred->securebits ^ a2) & locked) != 0 ||
            (cred->securebits & SECURE_ALL_LOCKS & ~a2) != 0 ||
            (a2 & ~(uint64_t)(SECURE_ALL_LOCKS | SECURE_ALL_BITS)) != 0) {
            return -EPERM;
        }
        return change_cred(set_securebits, a2);
    }
    case PR_GET_KEEPCAPS:
        return (cred->securebits >> SECURE_KEEP_CAPS) & 1;
    case PR_SET_KEEPCAPS:
        if (a2 > 1) {
            return -EINVAL;
        }
        if ((cred->securebits & SECBIT_KEEP_CAPS_LOCKED) != 0) {
            return -EPERM;
        }
        return change_cred(set_securebits, (cred->securebits & ~(uint32_t)SECBIT_KEEP_CAPS) |
                                               (a2 << SECURE_KEEP_CAPS));
    default:
        return -EINVAL;
    }
}

SYSCALL5(prctl, int, option, uint64_t, a2, uint64_t, a3, uint64_t, a4, uint64_t, a5)
{
    struct process *process = process_current();

    switch (option) {
    case PR_SET_NAME:
        return set_comm(a2);
    case PR_GET_NAME:
        return copy_to_user((void __user *)a2, current_thread()->comm, COMM_SIZE);
    case PR_SET_PDEATHSIG:
        if (a2 > SIGNAL_COUNT) {
            return -EINVAL;
        }
        process->pdeath_signal = (int)a2;
        return 0;
    case PR_GET_PDEATHSIG:
        return put_user(process->pdeath_signal, (int __user *)a2);
    case PR_GET_DUMPABLE:
        return atomic_load_relaxed(&current_thread()->vm->dumpable);
    case PR_SET_DUMPABLE:
        if (a2 > 1) {
            return -EINVAL;
        }
        atomic_store_relaxed(&current_thread()->vm->dumpable, (uint8_t)a2);
        return 0;
    case PR_SET_NO_NEW_PRIVS:
        if (a2 != 1 || (a3 | a4 | a5) != 0) {
            return -EINVAL;
        }
        process->no_new_privs = true;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return (a2 | a3 | a4 | a5) != 0 ? -EINVAL : process->no_new_privs;
    case PR_SET_CHILD_SUBREAPER:
        process->child_subreaper = a2 != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_user((int)process->child_subreaper, (int __user *)a2);
    case PR_SET_THP_DISABLE:
        if ((a3 | a4 | a5) != 0) {
            return -EINVAL;
        }
        vmspace_disable_huge(current_thread()->vm, a2 != 0);
        return 0;
    case PR_GET_THP_DISABLE:
        return (a2 | a3 | a4 | a5) != 0 ? -EINVAL : vmspace_huge_is_disabled(current_thread()->vm);
    case PR_GET_TIMERSLACK:
        return (int64_t)MIN(current_thread()->timer_slack_ns, (uint64_t)INT64_MAX);
    case PR_SET_TIMERSLACK:
        thread_set_timer_slack(current_thread(), a2);
        return 0;
    default:
        return capability_prctl(option, a2, a3, a4, a5);
    }
}
