/*
 * The table of processes: making, finding, naming and forgetting them.
 *
 * A process is found through its struct pid. It holds references to that, to its main thread, and is itself held by the tree (one
 * reference from process_link_locked() to process_release()) and by whoever found it.
 *
 * Structures come from a cache of constructed objects: locks, lists and wait queues are made once, and are empty and free again
 * whenever a structure goes back; so a fork sets only what it inherits.
 */
#include <linux/capability.h>

#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/time.h"
#include "kernel/mm/slab.h"
#include "kernel/proc/internal.h"
#include "kernel/proc/oom.h"

struct spinlock process_tree_lock = SPINLOCK_INIT("process tree");
struct process *process_init_task;
struct list_node process_all = LIST_INIT(process_all);

static struct slab_cache *process_cache;
static uint64_t process_total; /* [process_tree_lock] in the tree */

static void process_construct(void *object)
{
    struct process *process = object;

    memset(process, 0, sizeof(*process));
    spin_init(&process->siglock, "siglock");
    wait_queue_init(&process->child_wait);
    wait_queue_init(&process->exit_wait);
    list_init(&process->children);
    list_init(&process->sibling);
    list_init(&process->tracees);
    list_init(&process->all_node);
    list_init(&process->group_node);
    list_init(&process->session_node);
    list_init(&process->shared.queue);
    list_init(&process->forks);
    list_init(&process->threads);
    wait_queue_init(&process->threads_wait);
    work_init(&process->call_work, call_work_run);
    wait_queue_init(&process->signalfd_wait);
    process->stop_number = 1; /* from one life to the next: any number but 0 */
    timer_init(&process->real_timer, itimer_real_expired);
    spin_init(&process->cpu_timers.lock, "cpu timers");
    list_init(&process->cpu_timers.armed);
}

struct process *process_alloc(void)
{
    struct process *process = slab_alloc(process_cache, 0);

    if (process != NULL) {
        refcount_init(&process->refs, 1);
    }
    return process;
}

void process_put(struct process *process)
{
    if (process == NULL || !refcount_put(&process->refs)) {
        return;
    }
    if (process->actions != NULL) {
        signal_actions_put(process->actions);
        process->actions = NULL;
    }
    if (process->user != NULL) {
        user_put(process->user);
        process->user = NULL;
    }
    process->pid = NULL;
    process->kernel_thread = false;
    if (process->leader != NULL) {
        thread_put(process->leader);
        process->leader = NULL;
    }
    slab_free(process_cache, process);
}

/* Before the one that makes it, if that is there: who goes through a list from its front meets it before that one, or neither (kill.c). */
static void link_to_others_locked(struct process *process, struct process *maker)
{
    bool made = maker != NULL && maker->group != NULL;
    bool same = made && maker->group == process->group;

    process->many = made ? maker->many : 0;
    list_push_back(made ? &maker->all_node : &process_all, &process->all_node);
    list_push_back(same ? &maker->group_node : &process->group->group_members,
                   &process->group_node);
    list_push_back(&process->session->session_members, &process->session_node);
}

void process_link_locked(struct process *process, struct process *parent, struct pid *group,
                         struct pid *session)
{
    process->parent = parent;
    process->parent_nr = 0;
    if (parent != NULL) {
        process->parent_nr = parent->pid->nr;
        list_push_back(&parent->children, &process->sibling);
    }
    process->group = group;
    process->session = session;
    if (likely(group != NULL)) {
        link_to_others_locked(process, process_current());
    }
    process->state = PROCESS_LIVE;
    process->nthreads = process->nlive = 1;
    process->ncharged = 1;
    list_push_back(&process->threads, &process->leader->process_node);
    process->pid->process = process;
    process->pid->thread = process->leader;
    process_total++;
}

void process_unlink_locked(struct process *process)
{
    list_remove(&process->sibling);
    list_remove(&process->all_node);
    list_remove(&process->group_node);
    list_remove(&process->session_node);
    list_remove(&process->leader->process_node);
    process->parent = NULL;
    process->tty = NULL; /* of the session, which will not tell it any more when that goes */
    process->pid->process = NULL;
    process->pid->thread = NULL;
    process->state = PROCESS_DEAD;
    process_total--;
}

void process_release(struct process *process)
{
    struct list_node forgotten = LIST_INIT(forgotten);
    struct cred *cred = process->leader->cred;

    if (signal_pending_forget_locked(&process->shared, &forgotten)) {
        signal_forgotten_free(process, &forgotten);
    }
    pid_put(process->group);
    pid_put(process->session);
    process->group = NULL;
    process->session = NULL;
    threads_uncharge(process->user);
    process->leader->cred = NULL;
    cred_put(cred);
    process_put(process);
}

/* ---- finding ---- */

static struct process *process_of_pid(struct pid *pid)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct process *process = pid->process;

    if (process != NULL) {
        (void)process_get(process);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return process;
}

struct process *process_find(int nr)
{
    struct pid *pid = pid_find(nr);

    if (pid == NULL) {
        return NULL;
    }
    struct process *process = process_of_pid(pid);
    pid_put(pid);
    return process;
}

struct process *process_next(int nr)
{
    struct pid *pid;

    while ((pid = pid_next(nr)) != NULL) {
        struct process *process = process_of_pid(pid);
        nr = pid->nr + 1;
        pid_put(pid);
        if (process != NULL) {
            return process;
        }
    }
    return NULL;
}

uint64_t process_count(void)
{
    return atomic_load_relaxed(&process_total);
}

int process_parent_nr(struct process *process)
{
    return atomic_load_relaxed(&process->parent_nr);
}

struct cred *thread_cred_get_locked(struct thread *thread)
{
    struct cred *cred;

    do {
        cred = rcu_dereference(thread->cred); /* without references it is being replaced just now */
    } while (cred != NULL && !refcount_get_unless_zero(&cred->refs));
    return cred;
}

struct cred *thread_cred_get(struct thread *thread)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct cred *cred = thread_cred_get_locked(thread);

    spin_unlock_irqrestore(&process_tree_lock, flags);
    return cred != NULL ? cred : cred_get(&cred_init_user);
}

struct cred *process_cred_get(struct process *process)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct cred *cred = thread_cred_get_locked(process->leader);

    spin_unlock_irqrestore(&process_tree_lock, flags);
    return cred != NULL ? cred : cred_get(&cred_init_user);
}

static bool may_have_reserve(void)
{
    return current_has_cap(CAP_SYS_ADMIN);
}

static bool may_lock_memory(void)
{
    return current_has_cap(CAP_IPC_LOCK);
}

void process_init(void)
{
    process_cache = slab_cache_create("process", sizeof(struct process), 0, SLAB_ALIGN_CACHELINE,
                                      process_construct);
    if (process_cache == NULL) {
        panic("process: no memory for the first cache");
    }
    signal_actions_init();
    signal_queue_init();
    jobctl_init();
    sched_alarm_hook = cpu_timers_alarm;
    vm_admin_hook = may_have_reserve;
    vm_lock_hook = may_lock_memory;
    vm_ending_hook = signal_ends_current;
    oom_init();
    clock_step_init();
}
