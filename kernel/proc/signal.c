/*
 * Sending signals, and the queues they wait in.
 *
 * A pending signal is a bit in a set and, memory and limits permitting, an entry in a queue that carries its siginfo. Signals
 * below SIGRTMIN are pending once; the others queue up. Each thread has a queue of its own, and shares the process' with its
 * siblings: what comes there is for whichever of them does not block it and looks first. A sender makes one of them look.
 *
 * There may be as many entries as RLIMIT_SIGPENDING lets a user have. So of each number only the oldest is in the queue itself, and has the others
 * in a list of its own: to find one takes a look at each number that is pending, to forget all of a number a single splice. They are freed
 * afterwards, in turns.
 *
 * Locking: process->siglock (spin, irqsave): senders may be interrupts. A thread writes its mask itself, under the same lock, so a
 * sender sees whether to wake it; and one that blocks what is pending for all passes it on (signal_retarget_locked).
 */
#include <asm/poll.h>

#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/slab.h"
#include "kernel/proc/ptrace_impl.h"

/* So many forgotten entries are freed at a time, with interrupts off. */
#define FREE_TURN 16u

static struct slab_cache *queued_cache;

void signal_queue_init(void)
{
    queued_cache = slab_cache_create("signal_queued", sizeof(struct signal_queued), 0, 0, NULL);
    if (queued_cache == NULL) {
        panic("signal: no memory for the first cache");
    }
}

void siginfo_kernel(siginfo_t *info, int signo)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = signo;
    info->si_code = SI_KERNEL;
}

void siginfo_user(siginfo_t *info, int signo, int code)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = signo;
    info->si_code = code;
    info->si_pid = process_current()->pid->nr;
    info->si_uid = cred_current()->uid;
}

/* ---- queue entries ---- */

/*
 * The limit counts what a user has queued. Signals of the kernel, and those below SIGRTMIN that kill(2) sends, may exceed it: they
 * do not pile up. The target's siglock held.
 */
struct signal_queued *signal_queued_create(struct process *target, const siginfo_t *info)
{
    struct user *user = target->user;
    bool exempt = info->si_signo < SIGRTMIN && info->si_code >= 0;

    if (!exempt && atomic_load_relaxed(&user->nsigpending) >=
                       atomic_load_relaxed(&target->limits[RLIMIT_SIGPENDING].rlim_cur)) {
        return NULL;
    }
    struct signal_queued *queued = slab_alloc(queued_cache, 0);
    if (queued != NULL) {
        (void)atomic_fetch_add_relaxed(&user->nsigpending, 1);
        queued->accounted = user_get(user);
        queued->timer = NULL;
        queued->info = *info;
    }
    return queued;
}

void signal_queued_free(struct signal_queued *queued)
{
    if (queued != NULL && unlikely(queued->timer != NULL)) {
        posix_timer_done(queued->timer);
    } else if (queued != NULL) {
        (void)atomic_fetch_sub_relaxed(&queued->accounted->nsigpending, 1);
        user_put(queued->accounted);
        slab_free(queued_cache, queued);
    }
}

/* ---- queues ---- */

static struct signal_queued *oldest_of(const struct signal_pending *pending, int signo)
{
    struct signal_queued *queued;

    list_for_each (queued, &pending->queue, node) {
        if (queued->info.si_signo == signo) {
            return queued;
        }
    }
    return NULL;
}

static void queue_push(struct signal_pending *pending, struct signal_queued *queued)
{
    struct signal_queued *oldest = oldest_of(pending, queued->info.si_signo);

    list_init(&queued->others);
    list_push_back(oldest != NULL ? &oldest->others : &pending->queue, &queued->node);
}

/* The oldest of its number leaves the queue. True: another takes its place. */
static bool queue_remove_oldest(struct signal_queued *oldest)
{
    struct list_node *first = list_pop_front(&oldest->others);

    if (likely(first == NULL)) {
        list_remove(&oldest->node);
        return false;
    }
    list_splice_back(&list_entry(first, struct signal_queued, node)->others, &oldest->others);
    list_insert_before(&oldest->node, first);
    list_remove(&oldest->node);
    return true;
}

/* Forget signals of `mask`; those with entries go to `forgotten`. */
static void pending_forget(struct signal_pending *pending, uint64_t mask,
                           struct list_node *forgotten)
{
    struct signal_queued *oldest, *next;

    pending->set &= ~mask;
    list_for_each_safe (oldest, next, &pending->queue, node) {
        if ((SIGMASK(oldest->info.si_signo) & mask) != 0) {
            list_remove(&oldest->node);
            list_push_back(forgotten, &oldest->node);
            list_splice_back(forgotten, &oldest->others);
        }
    }
}

/* The end of some entries. A timer may take its own out of the list as long as it is there. siglock held. */
static void forgotten_free_locked(struct list_node *forgotten, unsigned max)
{
    struct list_node *node;

    for (; max > 0 && (node = list_pop_front(forgotten)) != NULL; max--) {
        struct signal_queued *queued = list_entry(node, struct signal_queued, node);
        if (queued->timer != NULL) {
            posix_timer_done_locked(queued->timer);
        } else {
            signal_queued_free(queued);
        }
    }
}

void signal_forgotten_free(struct process *process, struct list_node *forgotten)
{
    for (bool more = true; more;) {
        uint64_t flags = spin_lock_irqsave(&process->siglock);
        forgotten_free_locked(forgotten, FREE_TURN);
        more = !list_empty(forgotten);
        spin_unlock_irqrestore(&process->siglock, flags);
    }
}

bool signal_pending_forget_locked(struct signal_pending *pending, struct list_node *forgotten)
{
    pending_forget(pending, ~0ull, forgotten);
    return !list_empty(forgotten);
}

bool signal_forget_locked(struct process *process, uint64_t mask, struct list_node *forgotten)
{
    struct thread *thread;

    pending_forget(&process->shared, mask, forgotten);
    if (unlikely((process->private_signals & mask) != 0)) {
        list_for_each (thread, &process->threads, process_node) {
            pending_forget(&thread->sig_pending, mask, forgotten);
        }
        process->private_signals &= ~mask;
    }
    return !list_empty(forgotten);
}

/* Take one entry of `signo`; the bit stays while another is queued. */
static struct signal_queued *pending_take(struct signal_pending *pending, int signo)
{
    struct signal_queued *oldest = oldest_of(pending, signo);

    if (oldest == NULL || !queue_remove_oldest(oldest)) {
        pending->set &= ~SIGMASK(signo);
    }
    return oldest;
}

int signal_dequeue_locked(struct process *process, struct thread *thread, uint64_t blocked,
                          struct signal_queued **ret_queued)
{
    struct signal_pending *pending = &thread->sig_pending;
    uint64_t set = pending->set & ~blocked;

    /* SIGKILL before all others: a stop that came to the thread alone is not to hold it up. */
    if (set == 0 || unlikely((process->shared.set & SIGMASK(SIGKILL)) != 0)) {
        pending = &process->shared;
        set = pending->set & ~blocked;
    }
    if (unlikely((set & SIGMASK(SIGKILL)) != 0)) {
        set = SIGMASK(SIGKILL);
    }
    if (set == 0) {
        return 0;
    }
    if ((set & SIGMASK_SYNCHRONOUS) != 0) {
        set &= SIGMASK_SYNCHRONOUS;
    }
    int signo = (int)bit_ffs(set) + 1;
    *ret_queued = pending_take(pending, signo);
    if (*ret_queued != NULL && unlikely((*ret_queued)->timer != NULL)) {
        posix_timer_taken_locked((*ret_queued)->timer);
    }
    return signo;
}

bool signal_ends_current(void)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;

    if (process == NULL) {
        return false;
    }
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    uint64_t set = (thread->sig_pending.set | process->shared.set) & ~thread->sig_blocked;
    if (thread_is_traced(thread)) {
        set &= SIGMASK(SIGKILL); /* the tracer decides about the others */
    }
    bool ends = process->group_exiting ||
                (process->exec_thread != NULL && process->exec_thread != thread) ||
                signal_set_ends_locked(process, set);
    spin_unlock_irqrestore(&process->siglock, flags);
    return ends;
}

void signal_take_info(int signo, struct signal_queued *queued, siginfo_t *ret_info)
{
    if (queued != NULL) {
        *ret_info = queued->info;
        signal_queued_free(queued);
        return;
    }
    memset(ret_info, 0, sizeof(*ret_info));
    ret_info->si_signo = signo;
    ret_info->si_code = SI_USER;
}

/* ---- sending ---- */

void signal_recalc_locked(struct thread *thread)
{
    const struct process *process = thread->process;

    if (((process->shared.set | thread->sig_pending.set) & ~thread->sig_blocked) != 0 ||
        thread_stop_wanted(process, thread) || unlikely(trace_trap_pending(thread))) {
        thread_set_work(thread, THREAD_WORK_SIGNAL);
    } else if (thread_signal_pending(thread)) {
        thread_clear_work(thread, THREAD_WORK_SIGNAL);
    }
}

/* A stop is over, by SIGCONT or SIGKILL, even if not all threads have come to it. */
static void stop_end_locked(struct process *process, bool by_continue)
{
    process->stopped = false;
    if (by_continue && (process->stop_left == 0 || process->stop_told)) {
        process->continued = true;
        process->continue_untold = true;
    }
    stop_let_off_locked(process);
}

/* For signals that queue up for timers alone. */
static void forget_now_locked(struct process *process, uint64_t mask)
{
    struct list_node forgotten = LIST_INIT(forgotten);

    if (signal_forget_locked(process, mask, &forgotten)) {
        forgotten_free_locked(&forgotten, ~0u);
    }
}

/* Stop signals and SIGCONT cancel each other; SIGCONT and SIGKILL end a stop, whatever becomes of the signal itself. */
static void prepare_stop_continue_locked(struct process *process, int signo)
{
    bool stopped = process->stopped;

    if ((SIGMASK(signo) & SIGMASK_STOP) != 0) {
        forget_now_locked(process, SIGMASK(SIGCONT));
        return;
    }
    if (signo == SIGCONT) {
        forget_now_locked(process, SIGMASK_STOP);
        process->stop_dequeued = false;
    }
    if (stopped) {
        stop_end_locked(process, signo == SIGCONT);
    }
    if (stopped || signo == SIGCONT) {
        call_begin_locked(process, CALL_GO_ON);
        call_turn_locked(process);
    }
}

void signal_wake_thread_locked(struct thread *thread)
{
    thread_set_work(thread,
                    THREAD_WORK_SIGNAL); /* a full barrier: pairs with thread_prepare_sleep */
    /* The current thread as well: this may be an interrupt that met it about to sleep. */
    if (atomic_load_relaxed(&thread->state) == THREAD_SLEEPING) {
        (void)thread_wake_states(thread, BIT(THREAD_SLEEPING));
    }
}

static bool takes_signal(const struct thread *thread, int signo)
{
    return (thread->sig_blocked & SIGMASK(signo)) == 0 && !thread->exiting;
}

/*
 * Wake a thread for a signal of the whole process: the main one, unless it blocks it or has others to see to, and a sibling is free.
 * If all block it, it waits for the first that does not any more.
 */
static void wake_any_locked(struct process *process, int signo)
{
    struct thread *chosen = takes_signal(process->leader, signo) ? process->leader : NULL, *thread;

    if (unlikely(process->nlive > 1 || process->leader->exiting) &&
        (chosen == NULL || thread_signal_pending(chosen))) {
        list_for_each (thread, &process->threads, process_node) {
            if (takes_signal(thread, signo)) {
                chosen = thread;
                if (!thread_signal_pending(thread)) {
                    break;
                }
            }
        }
    }
    if (chosen != NULL) {
        signal_wake_thread_locked(chosen);
    }
}

void signal_retarget_locked(struct process *process, const struct thread *thread, uint64_t mask)
{
    uint64_t pending = process->shared.set & mask;
    struct thread *sibling;

    if (pending == 0) {
        return;
    }
    list_for_each (sibling, &process->threads, process_node) {
        if (sibling != thread && !sibling->exiting && (pending & ~sibling->sig_blocked) != 0) {
            signal_wake_thread_locked(sibling);
        }
    }
}

/* Before a signal is queued: is it of no use to anyone? SIGCONT and the stop signals have their effect now, whatever becomes of them. */
static bool send_begin_locked(struct process *process, struct thread *to, int signo, bool forced)
{
    if (unlikely(process->group_exiting || (to != NULL && to->exiting))) {
        if (process->dumping && signo == SIGKILL) {
            process->shared.set |= SIGMASK(SIGKILL); /* the dump is cut short */
        }
        return false;
    }
    if ((SIGMASK(signo) & (SIGMASK_STOP | SIGMASK(SIGCONT) | SIGMASK(SIGKILL))) != 0 &&
        (!process->unkillable || forced)) {
        prepare_stop_continue_locked(process, signo);
    }
    return !signal_ignored_locked(process, to != NULL ? to : process->leader, signo, forced);
}

static struct signal_pending *pending_of(struct process *process, struct thread *to)
{
    return to != NULL ? &to->sig_pending : &process->shared;
}

/* SIGKILL, which has been put where they look for it, ends stops for a tracer. */
static void kill_stops_locked(struct process *process, struct thread *to)
{
    if (to != NULL) {
        (void)thread_wake_states(to, BIT(THREAD_TRACED));
        return;
    }
    bool under_way = process->call == CALL_GO_ON; /* somebody has been moved to go on with it */
    call_begin_locked(process, CALL_GO_ON);
    if (!under_way) {
        call_turn_locked(process);
    }
}

/* It is in the queue, or in the set alone: let those know who may be waiting for it. */
static void send_end_locked(struct process *process, struct thread *to, int signo)
{
    pending_of(process, to)->set |= SIGMASK(signo);
    if (to != NULL) {
        process->private_signals |= SIGMASK(signo);
    }
    /* Without a fence: who waits there looks at the sets under the siglock. */
    if (unlikely(!list_empty(&process->signalfd_wait.waiters))) {
        wait_wake_all(&process->signalfd_wait, POLLIN);
    }
    if (unlikely(signo == SIGKILL)) {
        kill_stops_locked(process, to);
    }
    if (to == NULL) {
        wake_any_locked(process, signo);
    } else if (takes_signal(to, signo)) {
        signal_wake_thread_locked(to);
    }
}

int signal_send_locked(struct process *process, struct thread *to, const siginfo_t *info,
                       bool forced)
{
    struct signal_pending *pending = pending_of(process, to);
    int signo = info->si_signo;

    if (!send_begin_locked(process, to, signo, forced) ||
        (signo < SIGRTMIN && (pending->set & SIGMASK(signo)) != 0)) {
        return 0;
    }
    struct signal_queued *queued = signal_queued_create(process, info);
    if (queued != NULL) {
        queue_push(pending, queued);
    } else if (signo >= SIGRTMIN && info->si_code != SI_USER) {
        return -EAGAIN;
    }
    send_end_locked(process, to, signo);
    return 0;
}

bool signal_send_queued_locked(struct process *process, struct thread *to,
                               struct signal_queued *queued)
{
    int signo = queued->info.si_signo;

    if (!send_begin_locked(process, to, signo, false)) {
        return false;
    }
    queue_push(pending_of(process, to), queued);
    send_end_locked(process, to, signo);
    return true;
}

void signal_unqueue_locked(struct process *process, struct thread *to, struct signal_queued *queued)
{
    struct signal_pending *pending = pending_of(process, to);
    int signo = queued->info.si_signo;

    if (oldest_of(pending, signo) != queued) {
        list_remove(&queued->node); /* a later one, or forgotten meanwhile */
    } else if (!queue_remove_oldest(queued)) {
        pending->set &= ~SIGMASK(signo);
    }
}

int signal_send_process(struct process *target, const siginfo_t *info)
{
    uint64_t flags = spin_lock_irqsave(&target->siglock);
    int err = signal_send_locked(target, NULL, info, info->si_code == SI_KERNEL);

    spin_unlock_irqrestore(&target->siglock, flags);
    return err;
}

int signal_send_thread(struct thread *target, const siginfo_t *info)
{
    struct process *process = target->process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    int err = signal_send_locked(process, target, info, info->si_code == SI_KERNEL);

    spin_unlock_irqrestore(&process->siglock, flags);
    return err;
}

/* Stop signals and SIGCONT cancel each other here as well. */
void signal_tell_forks_locked(struct process *process, int signo)
{
    struct fork_signals *fork;

    list_for_each (fork, &process->forks, node) {
        if ((SIGMASK(signo) & SIGMASK_STOP) != 0) {
            fork->set &= ~SIGMASK(SIGCONT);
        } else if (signo == SIGCONT) {
            fork->set &= ~SIGMASK_STOP;
        }
        fork->set |= SIGMASK(signo);
    }
}

int signal_send_member(struct process *process, const siginfo_t *info)
{
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    signal_tell_forks_locked(process, info->si_signo);
    int err = signal_send_locked(process, NULL, info, info->si_code == SI_KERNEL);
    spin_unlock_irqrestore(&process->siglock, flags);
    return err;
}

int signal_send_group_locked(struct pid *group, const siginfo_t *info)
{
    struct process *process;
    int result = -ESRCH;

    list_for_each (process, &group->group_members, group_node) {
        int err = signal_send_member(process, info);
        if (result != 0) {
            result = err;
        }
    }
    return result;
}

int signal_send_group(struct pid *group, const siginfo_t *info)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    int result = signal_send_group_locked(group, info);

    spin_unlock_irqrestore(&process_tree_lock, flags);
    return result;
}

/*
 * An exception cannot wait: a handler that is blocked would never run, and an ignored one would fault again for ever. So both give
 * way to the default action, even in process 1.
 */
void signal_force(const siginfo_t *info)
{
    struct process *process = process_current();
    struct thread *thread = current_thread();
    int signo = info->si_signo;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    uint64_t handler = process->actions->action[signo - 1].handler;

    if ((thread->sig_blocked & SIGMASK(signo)) != 0 || handler == ACTION_IGNORE) {
        if (handler != ACTION_DEFAULT && !signal_action_reset_locked(process, signo)) {
            signo = SIGKILL; /* no memory even for that */
        }
        thread->sig_blocked &= ~SIGMASK(signo);
        handler = ACTION_DEFAULT;
    }
    /* A debugger's breakpoint is not to cost process 1 its life. */
    if (handler == ACTION_DEFAULT && !thread_is_traced(thread)) {
        process->unkillable = false;
    }
    siginfo_t forced = *info;
    forced.si_signo = signo;
    (void)signal_send_locked(process, thread, &forced, true);
    signal_recalc_locked(thread);
    spin_unlock_irqrestore(&process->siglock, flags);
}

void signal_force_fatal(int signo)
{
    struct process *process = process_current();
    siginfo_t info;
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    if (!signal_action_reset_locked(process, signo)) {
        signo = SIGKILL;
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    siginfo_kernel(&info, signo);
    signal_force(&info);
}

void signal_force_bad_frame(int failed)
{
    siginfo_t info;

    if (failed == SIGSEGV) {
        signal_force_fatal(SIGSEGV);
        return;
    }
    siginfo_kernel(&info, SIGSEGV);
    signal_force(&info);
}
