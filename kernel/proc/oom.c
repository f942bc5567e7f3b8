/*
 * The OOM killer: choosing, killing, and seeing to it that the victim's memory really comes back.
 *
 * vm asks here when a page cannot be had although reclaim has looked everywhere, or when what it finds is wanted again at once (kernel/vm/oom.h,
 * thrash.h). The process whose end gives back most is chosen; all processes that share its address space end with it. While a victim is dying
 * nobody else is chosen: who asks waits. It is over when the address space is gone. A victim that is stuck (it sleeps where signals do not
 * reach, perhaps for a lock of him who waits for memory) makes no progress: then the reaper thread takes its anonymous memory away; and if even
 * that is not possible for a while, it is passed over and the next one is chosen.
 *
 * A thread that is being killed asks for no more memory: its faults fail, and it ends. What its end itself needs are small requests of the
 * kernel, which reach below the watermark where the others stop.
 *
 * Locking: `oom_lock` (spin) protects who the victim is. It comes after process_tree_lock.
 */
#include "kernel/proc/oom.h"

#include <linux/capability.h>

#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/time.h"
#include "kernel/mm/frame.h"
#include "kernel/proc/internal.h"
#include "kernel/proc/oom_report.h"
#include "kernel/vm/oom.h"
#include "kernel/vm/swap.h"

#define WATCH_NS   (100 * NS_PER_MS) /* the reaper looks at the victim this often */
#define PATIENCE   3                 /* looks without progress before its memory is taken */
#define REAP_TRIES 20                /* failed attempts at that before another one is chosen */
#define RETRY_NS   (20 * NS_PER_MS)  /* how long who asked sleeps when nobody can be chosen */
#define MESSAGE_NS (10 * NS_PER_S)   /* between two complaints about that */

int oom_panic;
int oom_kill_allocating;
int oom_dump_tasks = 1;

static struct spinlock oom_lock = SPINLOCK_INIT("oom");
static const struct vmspace *
    victim_space; /* [oom_lock] of the victim; an address alone, no reference. NULL: nobody is dying */
static uint64_t victim_number; /* [oom_lock] counts the victims */
static uint64_t nkills;        /* [a] processes */
static struct wait_queue victim_gone = WAIT_QUEUE_INIT(victim_gone);
static struct wait_queue reaper_wait = WAIT_QUEUE_INIT(reaper_wait);

uint64_t oom_kills(void)
{
    return atomic_load_relaxed(&nkills);
}

/* ---- who is dying ---- */

static const struct vmspace *victim_address(uint64_t *ret_number)
{
    uint64_t flags = spin_lock_irqsave(&oom_lock);
    const struct vmspace *vm = victim_space;

    *ret_number = victim_number;
    spin_unlock_irqrestore(&oom_lock, flags);
    return vm;
}

/* The victim has given its memory back, or never will: others may be chosen. */
static void victim_clear(const struct vmspace *vm)
{
    uint64_t flags = spin_lock_irqsave(&oom_lock);
    bool it_was = victim_space == vm;

    if (it_was) {
        victim_space = NULL;
    }
    spin_unlock_irqrestore(&oom_lock, flags);
    if (it_was) {
        wait_wake_all(&victim_gone, 0);
    }
}

/* ---- choosing ---- */

/* Is the thread about to end, whatever happens? Each word is right at any time, so no lock. */
static bool is_ending(const struct thread *thread)
{
    const struct process *process = thread->process;

    return process != NULL &&
           (READ_ONCE(thread->exiting) || READ_ONCE(process->group_exiting) ||
            ((READ_ONCE(thread->sig_pending.set) | READ_ONCE(process->shared.set)) &
             SIGMASK(SIGKILL)) != 0);
}

static bool may_be_killed(const struct process *process)
{
    return process != process_init_task &&
           atomic_load_relaxed(&process->oom_score_adj) != OOM_ADJ_MIN;
}

/*
 * The space of a process; NULL: it has none any more. It is there while the tree lock is held, without a reference: one that was the last
 * would have to be put, and that may sleep for locks which whoever asks for memory holds.
 */
static struct vmspace *space_of_locked(const struct process *process)
{
    struct thread *thread;

    list_for_each (thread, &process->threads, process_node) {
        if (thread->vm != NULL) {
            return thread->vm;
        }
    }
    return NULL;
}

bool oom_space_look(const struct process *process, struct oom_space *ret_space)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct vmspace *vm = space_of_locked(process);

    if (vm != NULL) {
        *ret_space = (struct oom_space){
            .vm = vm,
            .anon = atomic_load_relaxed(&vm->rss_anon),
            .file = atomic_load_relaxed(&vm->rss_file),
            .shared = atomic_load_relaxed(&vm->rss_shared),
            .swap = atomic_load_relaxed(&vm->rss_swap),
            .tables = READ_ONCE(vm->mmu.ntables),
            .total = READ_ONCE(vm->total_pages),
            .is_shared = refcount_read(&vm->refs) > process->nthreads,
            .is_reaped = atomic_load_relaxed(&vm->oom_reaped),
        };
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return vm != NULL;
}

/* Call fn for each process that has the space, until it says true. */
static bool for_sharers(const struct vmspace *vm, bool (*fn)(struct process *process))
{
    struct oom_space space;
    bool found = false;

    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        found = oom_space_look(process, &space) && space.vm == vm && fn(process);
        process_put(process);
        process = found ? NULL : process_next(next);
    }
    return found;
}

static bool is_unkillable(struct process *process)
{
    return !may_be_killed(process);
}

/* All of memory and swap, in pages; at least one. */
static uint64_t all_memory(void)
{
    struct frame_stats frames;
    struct swap_stats swap;

    frame_stats(&frames);
    swap_stats(&swap);
    return MAX(frames.total + swap.total, 1ull);
}

static int64_t badness(struct process *process, uint64_t all)
{
    struct oom_space space;

    if (!may_be_killed(process) || !oom_space_look(process, &space) || space.is_reaped ||
        (space.is_shared && for_sharers(space.vm, is_unkillable))) {
        return OOM_BADNESS_NEVER;
    }
    int64_t adj = atomic_load_relaxed(&process->oom_score_adj);
    return (int64_t)(space.anon + space.file + space.shared + space.swap + space.tables) +
           adj * (int64_t)all / 1000;
}

int64_t oom_badness(struct process *process, uint64_t *ret_total)
{
    *ret_total = all_memory();
    return badness(process, *ret_total);
}

/* The process whose end helps most, referenced; NULL: none may be killed. */
static struct process *choose(void)
{
    struct process *chosen = NULL;
    int64_t most = OOM_BADNESS_NEVER;
    uint64_t all = all_memory();

    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        int64_t points = badness(process, all);
        if (points > most) {
            struct process *former = chosen;
            chosen = process;
            process = former;
            most = points;
        }
        if (process != NULL) {
            process_put(process);
        }
        process = process_next(next);
    }
    return chosen;
}

/* ---- killing ---- */

/* It becomes the victim, if it still has a space and nobody else is dying. */
static bool victim_set(struct process *process)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct vmspace *vm = space_of_locked(process);
    bool set = false;

    spin_lock(&oom_lock);
    if (vm != NULL && victim_space == NULL) {
        victim_space = vm;
        victim_number++;
        vmspace_oom_mark(vm);
        set = true;
    }
    spin_unlock(&oom_lock);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return set;
}

static bool kill_one(struct process *process)
{
    siginfo_t info;

    siginfo_kernel(&info, SIGKILL);
    (void)signal_send_process(process, &info);
    (void)atomic_fetch_add_relaxed(&nkills, 1);
    return false;
}

/* With all that share the space: it is free only after the last of them. */
static void kill_victim(struct process *victim)
{
    struct oom_space space;

    if (oom_space_look(victim, &space) && victim_set(victim)) {
        oom_report_kill(victim, &space);
        if (space.is_shared) {
            (void)for_sharers(space.vm, kill_one);
        } else {
            (void)kill_one(victim);
        }
        wait_wake_all(&reaper_wait, 0);
    }
}

/* ---- oom_score_adj ---- */

int oom_adjust(struct process *process, int64_t adj)
{
    struct oom_space space;
    bool capable = current_has_cap(CAP_SYS_RESOURCE);

    if (adj < OOM_ADJ_MIN || adj > OOM_ADJ_MAX) {
        return -EINVAL;
    }
    if (!capable && adj < atomic_load_relaxed(&process->oom_score_adj_least)) {
        return -EACCES;
    }
    /* Whom vfork(2) made shares for a moment only. */
    bool is_shared =
        READ_ONCE(process->vfork_done) && oom_space_look(process, &space) && space.is_shared;
    for (struct process *other = process_next(1); other != NULL;) {
        int next = other->pid->nr + 1;
        struct oom_space theirs;
        if (other == process ||
            (is_shared && oom_space_look(other, &theirs) && theirs.vm == space.vm &&
             other != process_init_task && READ_ONCE(other->vfork_done))) {
            atomic_store_relaxed(&other->oom_score_adj, (int)adj);
            if (capable) {
                atomic_store_relaxed(&other->oom_score_adj_least, (int)adj);
            }
        }
        process_put(other);
        other = process_next(next);
    }
    return 0;
}

/* ---- asked by vm ---- */

/* Is what can wait for memory really to wait: no zone that serves user pages has more than is kept for others? */
static bool memory_is_short(void)
{
    struct zone_stats zone;

    for (unsigned i = 0; i < nodes_count() * ZONE_COUNT; i++) {
        if (zone_stats(i / ZONE_COUNT, (enum zone_id)(i % ZONE_COUNT), &zone) &&
            zone.free > zone.min + zone.protection[ZONE_NORMAL]) {
            return false;
        }
    }
    return true;
}

static void wait_for_victim(uint64_t number)
{
    ktime_t deadline = ktime_now() + WATCH_NS;
    uint64_t now;

    (void)wait_event_until(&victim_gone, victim_address(&now) == NULL || now != number, deadline);
}

/* Nobody may be killed: there is nothing to do but to wait for somebody to give memory back of his own accord. */
static void wait_for_better_times(void)
{
    static ktime_t next_message; /* [a] */
    const struct thread *thread = current_thread();
    ktime_t now = ktime_now();
    ktime_t due = atomic_load_relaxed(&next_message);

    if (now >= due && __atomic_compare_exchange_n(&next_message, &due, now + MESSAGE_NS, false,
                                                  __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        log_err("Out of memory and no killable processes: %s (%d) waits for somebody to free some",
                thread->comm, thread->pid == NULL ? 0 : thread->pid->nr);
    }
    thread_sleep_ns(RETRY_NS);
}

void oom_kill_one(void)
{
    uint64_t number;

    oom_report_begin(false);
    struct process *victim = victim_address(&number) == NULL ? choose() : NULL;
    if (victim == NULL) {
        log_info("OOM request ignored. No task eligible");
        return;
    }
    kill_victim(victim);
    process_put(victim);
}

static bool out_of_memory(bool thrashes)
{
    struct thread *thread = current_thread();
    uint64_t number;

    if (is_ending(thread)) {
        return false;
    }
    if (!thrashes && !memory_is_short()) {
        sched_yield_cpu(); /* somebody gave some back meanwhile */
        return true;
    }
    if (victim_address(&number) != NULL) {
        wait_for_victim(number);
        return !is_ending(thread);
    }
    oom_report_begin(thrashes);
    if (atomic_load_relaxed(&oom_panic) != 0) {
        panic("Out of memory: %s panic_on_oom is enabled",
              atomic_load_relaxed(&oom_panic) == 2 ? "compulsory" : "system-wide");
    }
    struct process *victim = NULL;
    uint64_t total;
    if (atomic_load_relaxed(&oom_kill_allocating) && thread->process != NULL &&
        oom_badness(thread->process, &total) != OOM_BADNESS_NEVER) {
        victim = process_get(thread->process);
    }
    if (victim == NULL) {
        victim = choose();
    }
    if (victim == NULL) {
        wait_for_better_times();
        return true;
    }
    kill_victim(victim);
    process_put(victim);
    if (victim_address(&number) != NULL && !is_ending(thread)) {
        wait_for_victim(number);
    }
    return !is_ending(thread);
}

/* ---- the reaper ---- */

/* The victim's space and a process that has it, both referenced. NULL: all have let go of it. */
static struct vmspace *victim_space_get(struct process **ret_process)
{
    uint64_t number;
    const struct vmspace *wanted = victim_address(&number);

    for (struct process *process = process_next(1); wanted != NULL && process != NULL;) {
        int next = process->pid->nr + 1;
        struct vmspace *vm = process_vm_get(process);
        if (vm == wanted) {
            *ret_process = process;
            return vm;
        }
        vmspace_put(vm);
        process_put(process);
        process = process_next(next);
    }
    return NULL;
}

/* Watch one victim until it is gone or has lost its memory. */
static void watch_victim(uint64_t number)
{
    uint64_t now, held_before = UINT64_MAX;
    unsigned patience = PATIENCE, tries = REAP_TRIES;

    for (;;) {
        thread_sleep_ns(WATCH_NS);
        const struct vmspace *address = victim_address(&now);
        if (address == NULL || now != number) {
            return;
        }
        struct process *process = NULL;
        struct vmspace *vm = victim_space_get(&process);
        if (vm == NULL) {
            continue; /* its last user has let go of it and takes it apart */
        }
        uint64_t held = atomic_load_relaxed(&vm->rss_anon) + atomic_load_relaxed(&vm->rss_swap);
        bool done = false;
        if (held < held_before) {
            patience = PATIENCE;
        } else if (patience > 0) {
            patience--;
        } else if (vmspace_oom_reap(vm)) {
            oom_report_reaped(process);
            done = true;
        } else if (--tries == 0) {
            log_info("oom_reaper: unable to reap pid:%d (%s)", process->pid->nr,
                     process->leader->comm);
            done = true;
        }
        held_before = held;
        if (done) {
            atomic_store_relaxed(&vm->oom_reaped, true);
            victim_clear(vm);
        }
        vmspace_put(vm);
        process_put(process);
        if (done) {
            return;
        }
    }
}

static void reaper_main(void *arg)
{
    uint64_t number;

    (void)arg;
    for (;;) {
        wait_event(&reaper_wait, victim_address(&number) != NULL);
        watch_victim(number);
    }
}

static const struct vm_oom_ops ops = {.out_of_memory = out_of_memory, .space_gone = victim_clear};

void oom_init(void)
{
    struct thread *reaper = thread_create_kernel("oom_reaper", reaper_main, NULL);

    BUG_ON(reaper == NULL);
    thread_start(reaper);
    vm_set_oom(&ops);
}
