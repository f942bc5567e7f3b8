/*
 * Robust futexes: the list in user memory of what a thread has locked, walked when the thread ends.
 *
 * The words are the user's and so is the list: it may be torn, circular or a lie. The walk reads at most ROBUST_LIST_LIMIT entries,
 * touches a word only if it bears the thread's number, and gives up at the first fault, as set_robust_list(2) has it.
 */
#include <linux/futex.h>

#include "kernel/machine/user.h"
#include "kernel/proc/futex.h"
#include "kernel/sched/pid.h"
#include "kernel/sched/thread.h"

/* An entry as the list has it: the lowest bit says that its futex inherits priority. */
struct robust_entry {
    uint64_t node; /* user address of a struct robust_list */
    bool inherits;
};

static int entry_get(struct robust_entry *ret_entry, struct robust_list __user *__user *uptr)
{
    uint64_t value;
    int err = get_user(value, (const uint64_t __user *)uptr);

    if (err == 0) {
        *ret_entry = (struct robust_entry){value & ~1ull, (value & 1) != 0};
    }
    return err;
}

/*
 * The owner of a word is dead. `pending`: the thread was about to lock or unlock it; it may have unlocked it and died before it woke
 * anybody. -EFAULT, -EINVAL: the walk ends.
 */
static int word_owner_died(const struct thread *thread, const struct robust_entry *entry,
                           int64_t offset, bool pending)
{
    uint32_t __user *uaddr = (uint32_t __user *)(entry->node + (uint64_t)offset);
    uint32_t value, seen, tid = (uint32_t)pid_nr(thread->pid);

    if ((uintptr_t)uaddr % sizeof(uint32_t) != 0) {
        return -EINVAL;
    }
    int err = get_user(seen, uaddr);
    if (err < 0) {
        return err;
    }
    if (pending && !entry->inherits && seen == 0) {
        (void)futex_wake(uaddr, false, 1, FUTEX_ANY);
        return 0;
    }
    do {
        if ((seen & FUTEX_TID_MASK) != tid) {
            return 0;
        }
        value = seen;
        err = user_cmpxchg_u32(uaddr, value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen);
        if (err < 0) {
            return err;
        }
    } while (seen != value);
    if ((value & FUTEX_WAITERS) != 0 && !entry->inherits) {
        (void)futex_wake(uaddr, false, 1, FUTEX_ANY);
    }
    return 0;
}

static void list_walk(const struct thread *thread, struct robust_list_head __user *head)
{
    struct robust_entry entry, next, pending;
    int64_t offset;

    if (entry_get(&entry, user_member(&head->list, next)) < 0 ||
        get_user(offset, (const int64_t __user *)user_member(head, futex_offset)) < 0 ||
        entry_get(&pending, user_member(head, list_op_pending)) < 0) {
        return;
    }
    for (unsigned left = ROBUST_LIST_LIMIT; entry.node != (uintptr_t)head && left > 0; left--) {
        /* Read on first: whoever gets the lock may take the entry out. */
        int err = entry_get(&next, (struct robust_list __user *__user *)entry.node);
        if (entry.node != pending.node && word_owner_died(thread, &entry, offset, false) < 0) {
            return;
        }
        if (err < 0) {
            return;
        }
        entry = next;
    }
    if (pending.node != 0) {
        (void)word_owner_died(thread, &pending, offset, true);
    }
}

void futex_exit_robust(struct thread *thread)
{
    struct robust_list_head __user *head = thread->robust_list;

    if (head != NULL) {
        thread->robust_list = NULL;
        list_walk(thread, head);
    }
}
