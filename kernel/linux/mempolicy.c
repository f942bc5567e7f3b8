/*
 * Memory and NUMA nodes: set_mempolicy(2), get_mempolicy(2), mbind(2), set_mempolicy_home_node(2), migrate_pages(2), move_pages(2).
 */
#include <linux/capability.h>

#include "kernel/base/bitmap.h"
#include "kernel/linux/remote.h"
#include "kernel/linux/syscall.h"
#include "kernel/proc/process.h"
#include "kernel/security/cred.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/migrate.h"

#define WORD_BITS     64u
#define MASK_MAX_BITS (PAGE_SIZE * 8)
#define LINUX_MAX_NODE                                                                             \
    1024u /* what Linux is built for: numbers up to here may be named, if nothing is there */

/* ---- masks of nodes ---- */

/* One word of a mask, of which bits from `valid` on do not count. */
static int word_from_user(const uint64_t __user *umask, uint64_t i, uint64_t valid,
                          uint64_t *ret_word)
{
    uint64_t word;
    int err = copy_from_user(&word, umask + i, sizeof(word));

    if (err == 0) {
        *ret_word = valid >= WORD_BITS ? word : word & (BIT(valid) - 1);
    }
    return err;
}

/* `maxnode` is one more than the bits that are given (mbind(2)). -EINVAL: a node that cannot be. */
static int nodes_from_user(const uint64_t __user *umask, uint64_t maxnode, nodemask_t *ret_nodes)
{
    nodemask_t nodes = 0;
    uint64_t bits = umask == NULL ? 0 : maxnode - 1;

    if (umask != NULL && maxnode > MASK_MAX_BITS + 1) {
        return -EINVAL;
    }
    for (uint64_t i = 0; maxnode > 1 && i * WORD_BITS < bits; i++) {
        uint64_t word;
        int err = word_from_user(umask, i, bits - i * WORD_BITS, &word);
        if (err < 0) {
            return err;
        }
        if (i == 0) {
            nodes = word;
        } else if (word != 0 && i * WORD_BITS >= LINUX_MAX_NODE) {
            return -EINVAL;
        }
    }
    *ret_nodes = nodes;
    return 0;
}

/* The mask, as many bits as there is room for; zeros behind it. */
static int nodes_to_user(uint64_t __user *umask, uint64_t maxnode, nodemask_t nodes)
{
    uint64_t nbytes = ALIGN_UP(maxnode - 1, WORD_BITS) / 8;

    if (nbytes > sizeof(nodes)) {
        if (nbytes > PAGE_SIZE) {
            return -EINVAL;
        }
        if (clear_user((char __user *)umask + sizeof(nodes), nbytes - sizeof(nodes)) < 0) {
            return -EFAULT;
        }
        nbytes = sizeof(nodes);
    }
    return copy_to_user(umask, &nodes, nbytes);
}

static bool is_admin(void)
{
    return cred_has_cap(cred_current(), CAP_SYS_NICE);
}

/* ---- policies ---- */

SYSCALL3(set_mempolicy, int, mode, const uint64_t __user *, mask, uint64_t, maxnode)
{
    struct thread *thread = current_thread();
    struct mempolicy policy;
    nodemask_t nodes;
    int err = mempolicy_check_mode(mode);

    if (err == 0) {
        err = nodes_from_user(mask, maxnode, &nodes);
    }
    if (err == 0) {
        err = mempolicy_make(mode, nodes, &policy);
    }
    if (err == 0) {
        thread->mempolicy = policy;
        thread->interleave = 0;
    }
    return err;
}

/* The node that holds addr, which is brought in if need be. */
static int node_of_address(struct vmspace *vm, uint64_t addr)
{
    char byte;

    if (vmspace_access(vm, addr, &byte, 1, false, false) != 1) {
        return -EFAULT;
    }
    return vmspace_node_at(vm, addr, true);
}

/* What get_mempolicy(2) tells: a mode or a node, and nodes. */
static int policy_answer(uint64_t addr, uint64_t flags, int *ret_mode, nodemask_t *ret_nodes)
{
    struct thread *thread = current_thread();
    struct mempolicy policy = thread->mempolicy;
    bool own = (flags & MPOL_F_ADDR) == 0;

    if ((flags & MPOL_F_MEMS_ALLOWED) != 0) {
        *ret_mode = 0;
        *ret_nodes = nodes_with_memory();
        return (flags & (MPOL_F_NODE | MPOL_F_ADDR)) != 0 ? -EINVAL : 0;
    }
    if (own && addr != 0) {
        return -EINVAL;
    }
    int err = own ? 0 : vmspace_policy_at(thread->vm, addr, &policy);
    if (err < 0) {
        return err;
    }
    *ret_nodes = mempolicy_nodes(&policy);
    *ret_mode = policy.mode | (policy.mode == MPOL_DEFAULT ? 0 : policy.flags);
    if ((flags & MPOL_F_NODE) != 0) {
        if (own && policy.mode != MPOL_INTERLEAVE) {
            return -EINVAL;
        }
        err = own ? (int)mempolicy_interleave_next(&policy) : node_of_address(thread->vm, addr);
        *ret_mode = err;
    }
    return MIN(err, 0);
}

SYSCALL5(get_mempolicy, int __user *, umode, uint64_t __user *, umask, uint64_t, maxnode, uint64_t,
         addr, uint64_t, flags)
{
    nodemask_t nodes = 0;
    int mode;

    if ((umask != NULL && maxnode < nodes_count()) ||
        (flags & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED)) != 0) {
        return -EINVAL;
    }
    int err = policy_answer(addr, flags, &mode, &nodes);
    if (err == 0 && umode != NULL) {
        err = put_user(mode, umode);
    }
    if (err == 0 && umask != NULL) {
        err = nodes_to_user(umask, maxnode, nodes);
    }
    return err;
}

/* The range [start, start + len), len rounded up. 1: it is empty. */
static int range_check(uint64_t start, uint64_t len, uint64_t *ret_end)
{
    uint64_t end = start + ALIGN_UP(len, PAGE_SIZE);

    if (end < start) {
        return -EINVAL;
    }
    *ret_end = end;
    return end == start;
}

SYSCALL6(mbind, uint64_t, start, uint64_t, len, uint64_t, mode, const uint64_t __user *, mask,
         uint64_t, maxnode, uint64_t, flags)
{
    struct mempolicy policy;
    nodemask_t nodes;
    uint64_t end;
    int err = mempolicy_check_mode((int)mode);

    if (err == 0) {
        err = nodes_from_user(mask, maxnode, &nodes);
    }
    if (err < 0) {
        return err;
    }
    if ((flags & ~(uint64_t)MPOL_MF_VALID) != 0) {
        return -EINVAL;
    }
    if ((flags & MPOL_MF_MOVE_ALL) != 0 && !is_admin()) {
        return -EPERM;
    }
    if (!IS_ALIGNED(start, PAGE_SIZE)) {
        return -EINVAL;
    }
    err = range_check(start, len, &end);
    if (err != 0) {
        return MIN(err, 0);
    }
    err = mempolicy_make((int)mode, nodes, &policy);
    if (err < 0) {
        return err;
    }
    if (policy.mode == MPOL_DEFAULT) {
        flags &= ~(uint64_t)MPOL_MF_STRICT;
    }
    return vmspace_bind(current_thread()->vm, start, end, &policy, (unsigned)flags);
}

SYSCALL4(set_mempolicy_home_node, uint64_t, start, uint64_t, len, uint64_t, node, uint64_t, flags)
{
    uint64_t end;

    if (!IS_ALIGNED(start, PAGE_SIZE) || flags != 0 || node >= MAX_NODES ||
        ((nodes_online() >> node) & 1) == 0) {
        return -EINVAL;
    }
    int err = range_check(start, len, &end);
    if (err != 0) {
        return MIN(err, 0);
    }
    return vmspace_set_home_node(current_thread()->vm, start, end, (unsigned)node);
}

/* ---- moving ---- */

static int vm_of(int tid, struct vmspace **ret_vm)
{
    if (tid == 0) {
        *ret_vm = current_thread()->vm;
        vmspace_get(*ret_vm);
        return 0;
    }
    return remote_vm_get(tid, ret_vm);
}

/* Nodes of `from` go to those of `to` in order, going round. A node that is in both stays if the two have different numbers of nodes. */
static void nodes_pair(nodemask_t from, nodemask_t to, int8_t ret_to[MAX_NODES])
{
    unsigned nto = (unsigned)__builtin_popcountll(to);
    bool alike = (unsigned)__builtin_popcountll(from) == nto;
    unsigned i = 0;

    for (unsigned node = 0; node < MAX_NODES; node++) {
        ret_to[node] = NODE_LOCAL;
        if (((from >> node) & 1) == 0) {
            continue;
        }
        unsigned target = nodemask_nth(to, i++);
        if (target != node && (alike || ((to >> node) & 1) == 0)) {
            ret_to[node] = (int8_t)target;
        }
    }
}

SYSCALL4(migrate_pages, int, tid, uint64_t, maxnode, const uint64_t __user *, ufrom,
         const uint64_t __user *, uto)
{
    int8_t pairs[MAX_NODES];
    struct vmspace *vm;
    nodemask_t from, to;
    int err = nodes_from_user(ufrom, maxnode, &from);

    if (err == 0) {
        err = nodes_from_user(uto, maxnode, &to);
    }
    if (err == 0) {
        err = vm_of(tid, &vm);
    }
    if (err < 0) {
        return err;
    }
    int64_t result = -EINVAL;
    if ((to & ~nodes_with_memory()) != 0 && !is_admin()) {
        result = -EPERM;
    } else if ((to & nodes_with_memory()) != 0) {
        nodes_pair(from, to & nodes_with_memory(), pairs);
        result = vmspace_migrate(vm, pairs, is_admin());
    }
    vmspace_put(vm);
    return result;
}

/* One page of move_pages(2). 1: it stayed where it was, for no fault of the caller's. */
static int move_one(struct vmspace *vm, uint64_t i, const uint64_t __user *uaddrs,
                    const int __user *unodes, int __user *ustatus, bool shared)
{
    uint64_t addr;
    int node, status, err;

    if (get_user(addr, uaddrs + i) < 0 || (unodes != NULL && get_user(node, unodes + i) < 0)) {
        return -EFAULT;
    }
    if (unodes == NULL) {
        status = vmspace_node_at(vm, addr, false);
        return put_user(status, ustatus + i);
    }
    if (node < 0 || node >= (int)MAX_NODES || ((nodes_with_memory() >> node) & 1) == 0) {
        return -ENODEV;
    }
    status = vmspace_move_page(vm, addr, (unsigned)node, shared);
    bool stayed = status == -EBUSY || status == -ENOMEM;
    if (status == 0) {
        status = node;
    }
    err = put_user(status, ustatus + i);
    return err < 0 ? err : stayed;
}

SYSCALL6(move_pages, int, tid, uint64_t, count, const uint64_t __user *, uaddrs, const int __user *,
         unodes, int __user *, ustatus, int, flags)
{
    struct vmspace *vm;
    int64_t stayed = 0;

    if ((flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)) != 0) {
        return -EINVAL;
    }
    if ((flags & MPOL_MF_MOVE_ALL) != 0 && !is_admin()) {
        return -EPERM;
    }
    int err = vm_of(tid, &vm);
    if (err < 0) {
        return err;
    }
    for (uint64_t i = 0; err >= 0 && i < count; i++) {
        err = move_one(vm, i, uaddrs, unodes, ustatus, (flags & MPOL_MF_MOVE_ALL) != 0);
        stayed += err > 0;
        if (thread_signal_pending(current_thread()) && err >= 0 && i + 1 < count) {
            err = -EINTR;
        }
    }
    vmspace_put(vm);
    return err < 0 ? err : stayed;
}
