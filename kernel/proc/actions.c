/*
 * What a process does on each signal: the table of sigaction(2).
 *
 * fork and exec share tables; a table with more than one reference is changed by making a copy first, unless the processes mean to
 * share it (CLONE_SIGHAND). Reading needs the reader's siglock; the words of an entry are changed under it too.
 */
#include <linux/sched.h>

#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/slab.h"
#include "kernel/proc/ptrace_impl.h"

/* Flags that user space may set (sigaction(2)); others are dropped, so that programs can probe for them. */
#define SA_RESTORER_FLAG 0x04000000ull
#define ACTION_FLAGS                                                                               \
    ((uint64_t)(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER) | \
     (uint64_t)SA_RESETHAND | SA_RESTORER_FLAG)

struct signal_actions signal_actions_default = {
    .refs = {.value = 2}, /* never one: always copied before a change */
    .lock = SPINLOCK_INIT("signal actions"),
};

struct signal_actions signal_actions_none = {
    .refs = {.value = 2},
    .lock = SPINLOCK_INIT("signal actions"),
    .action = {[0 ... SIGNAL_COUNT - 1] = {.handler = ACTION_IGNORE}},
};

static struct slab_cache *actions_cache;

void signal_actions_init(void)
{
    actions_cache = slab_cache_create("signal_actions", sizeof(struct signal_actions), 0, 0, NULL);
    if (actions_cache == NULL) {
        panic("signal: no memory for the first cache");
    }
}

struct signal_actions *signal_actions_get(struct signal_actions *actions)
{
    refcount_get(&actions->refs);
    return actions;
}

void signal_actions_put(struct signal_actions *actions)
{
    if (refcount_put(&actions->refs)) {
        slab_free(actions_cache, actions);
    }
}

struct signal_actions *signal_actions_copy(const struct signal_actions *actions)
{
    struct signal_actions *copy = slab_alloc(actions_cache, 0);

    if (copy != NULL) {
        refcount_init(&copy->refs, 1);
        copy->together = false;
        spin_init(&copy->lock, "signal actions");
        memcpy(copy->action, actions->action, sizeof(copy->action));
    }
    return copy;
}

/* The table, fit for a change; NULL: no memory. siglock held. */
static struct signal_actions *actions_writable_locked(struct process *process)
{
    struct signal_actions *old = process->actions;

    if (likely(refcount_read(&old->refs) == 1) || old->together) {
        return old;
    }
    struct signal_actions *copy = signal_actions_copy(old);
    if (copy != NULL) {
        process->actions = copy;
        signal_actions_put(old);
    }
    return copy;
}

bool signal_ignored_locked(const struct process *process, const struct thread *thread, int signo,
                           bool forced)
{
    uint64_t handler = process->actions->action[signo - 1].handler;

    if (((thread->sig_blocked | thread->sig_waited) & SIGMASK(signo)) != 0) {
        return false; /* it may find a handler when it is unblocked */
    }
    if (unlikely(thread_is_traced(thread)) && signo != SIGKILL) {
        return false; /* the tracer sees it first */
    }
    /* Process 1 hears what it has a handler for; only the kernel itself can stop or kill it. */
    if (unlikely(process->unkillable) && handler == ACTION_DEFAULT &&
        !(forced && (SIGMASK(signo) & SIGMASK_UNBLOCKABLE) != 0)) {
        return true;
    }
    return handler == ACTION_IGNORE ||
           (handler == ACTION_DEFAULT && (SIGMASK(signo) & SIGMASK_DEFAULT_IGNORE) != 0);
}

bool signal_set_ends_locked(const struct process *process, uint64_t set)
{
    for (set &= ~(SIGMASK_DEFAULT_IGNORE | SIGMASK_STOP); set != 0; set &= set - 1) {
        if (process->actions->action[bit_ffs(set)].handler == ACTION_DEFAULT) {
            return true;
        }
    }
    return false;
}

int signal_action_set(int signo, const struct signal_action *new, struct signal_action *ret_old)
{
    struct process *process = process_current();
    struct list_node forgotten = LIST_INIT(forgotten);
    struct signal_actions *actions;
    bool had_signals = false;

    if (signo < 1 || signo > SIGNAL_COUNT ||
        (new != NULL && (SIGMASK(signo) & SIGMASK_UNBLOCKABLE) != 0)) {
        return -EINVAL;
    }
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    actions = new != NULL ? actions_writable_locked(process) : process->actions;
    if (actions == NULL) {
        spin_unlock_irqrestore(&process->siglock, flags);
        return -ENOMEM;
    }
    struct signal_action *action = &actions->action[signo - 1];
    if (unlikely(actions->together)) {
        spin_lock(&actions->lock);
    }
    if (ret_old != NULL) {
        *ret_old = *action;
    }
    if (new != NULL) {
        action->handler = new->handler;
        action->flags = new->flags &ACTION_FLAGS;
        action->restorer = new->restorer;
        action->mask = new->mask & ~SIGMASK_UNBLOCKABLE;
    }
    if (unlikely(actions->together)) {
        spin_unlock(&actions->lock);
    }
    /* POSIX.1-2017, 2.4.3: a pending signal that becomes ignored is discarded, blocked or not. */
    if (new != NULL &&
        (new->handler == ACTION_IGNORE ||
         (new->handler == ACTION_DEFAULT && (SIGMASK(signo) & SIGMASK_DEFAULT_IGNORE) != 0))) {
        had_signals = signal_forget_locked(process, SIGMASK(signo), &forgotten);
        signal_recalc_locked(current_thread());
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    if (unlikely(had_signals)) {
        signal_forgotten_free(process, &forgotten);
    }
    return 0;
}

bool signal_action_reset_locked(struct process *process, int signo)
{
    struct signal_actions *actions = actions_writable_locked(process);

    if (actions == NULL) {
        return false;
    }
    actions->action[signo - 1] = (struct signal_action){0};
    return true;
}

int signal_actions_inherit(struct process *child, struct process *parent, uint64_t clone_flags)
{
    uint64_t flags = spin_lock_irqsave(&parent->siglock);
    struct signal_actions *table = parent->actions;

    if ((clone_flags & CLONE_CLEAR_SIGHAND) != 0) {
        if (signal_prepare_exec(parent, &child->actions) == 0 && child->actions == NULL) {
            child->actions = signal_actions_get(table);
        }
    } else if ((clone_flags & CLONE_SIGHAND) != 0) {
        /* From now on one table for both: it must be the parent's own. */
        table = actions_writable_locked(parent);
        if (table != NULL) {
            table->together = true;
            child->actions = signal_actions_get(table);
        }
    } else {
        child->actions = table->together ? signal_actions_copy(table) : signal_actions_get(table);
    }
    spin_unlock_irqrestore(&parent->siglock, flags);
    return child->actions == NULL ? -ENOMEM : 0;
}

/* exec(2): caught signals get their default action; ignored ones stay ignored; flags and masks are forgotten. */
int signal_prepare_exec(struct process *process, struct signal_actions **ret_actions)
{
    struct signal_actions *old = process->actions, *new;
    bool plain = true;

    for (unsigned i = 0; i < SIGNAL_COUNT && plain; i++) {
        plain = old->action[i].handler <= ACTION_IGNORE && old->action[i].flags == 0 &&
                old->action[i].mask == 0;
    }
    if (plain && !old->together) {
        *ret_actions = NULL;
        return 0;
    }
    bool ignores = false;
    for (unsigned i = 0; i < SIGNAL_COUNT && !ignores; i++) {
        ignores = old->action[i].handler == ACTION_IGNORE;
    }
    if (!ignores) {
        *ret_actions = signal_actions_get(&signal_actions_default);
        return 0;
    }
    new = signal_actions_copy(&signal_actions_default);
    if (new == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        if (old->action[i].handler == ACTION_IGNORE) {
            new->action[i].handler = ACTION_IGNORE;
        }
    }
    *ret_actions = new;
    return 0;
}
