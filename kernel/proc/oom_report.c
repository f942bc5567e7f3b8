/*
 * The OOM killer's reports. The figures of the machine and the table of processes come at most once in REPORT_NS: a storm of kills would
 * push everything else out of the log. The line about each kill always comes.
 */
#include "kernel/proc/oom_report.h"

#include "kernel/core/log.h"
#include "kernel/core/time.h"
#include "kernel/mm/frame.h"
#include "kernel/vm/swap.h"

#define REPORT_NS (2 * NS_PER_S)

static unsigned long long kb(uint64_t npages)
{
    return (unsigned long long)npages << (PAGE_SHIFT - 10);
}

static uint32_t uid_of(struct process *process)
{
    struct cred *cred = process_cred_get(process);
    uint32_t uid = cred->uid;

    cred_put(cred);
    return uid;
}

void oom_report_memory(void)
{
    struct frame_stats frames;
    struct swap_stats swap;

    frame_stats(&frames);
    swap_stats(&swap);
    log_warn("Mem-Info: total:%llukB free:%llukB anon:%llukB file:%llukB shmem:%llukB slab:%llukB "
             "pagetables:%llukB kernel_stack:%llukB kernel:%llukB",
             kb(frames.total), kb(frames.free), kb(frames.by_kind[PAGE_ANON]),
             kb(frames.by_kind[PAGE_FILE]), kb(frames.by_kind[PAGE_SHARED]),
             kb(frames.by_kind[PAGE_SLAB]), kb(frames.by_kind[PAGE_TABLE]),
             kb(frames.by_kind[PAGE_STACK]), kb(frames.by_kind[PAGE_KERNEL]));
    log_warn("Free swap  = %llukB", kb(swap.free));
    log_warn("Total swap = %llukB", kb(swap.total));
}

static void report_tasks(void)
{
    struct oom_space space;

    log_info("Tasks state (memory values in pages):");
    log_info("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name");
    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        if (oom_space_look(process, &space)) {
            log_info("[%7d] %5u %5d %8llu %8llu %8llu %8llu         %5d %s", process->pid->nr,
                     uid_of(process), process->pid->nr, (unsigned long long)space.total,
                     (unsigned long long)(space.anon + space.file + space.shared),
                     (unsigned long long)space.tables << PAGE_SHIFT, (unsigned long long)space.swap,
                     atomic_load_relaxed(&process->oom_score_adj), process->leader->comm);
        }
        process_put(process);
        process = process_next(next);
    }
}

void oom_report_begin(bool thrashes)
{
    static ktime_t next_report; /* [a] */
    struct thread *thread = current_thread();
    ktime_t now = ktime_now();
    ktime_t due = atomic_load_relaxed(&next_report);

    if (now < due || !__atomic_compare_exchange_n(&next_report, &due, now + REPORT_NS, false,
                                                  __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        return;
    }
    log_warn("%s invoked oom-killer: order=0, oom_score_adj=%d", thread->comm,
             thread->process == NULL ? 0 : atomic_load_relaxed(&thread->process->oom_score_adj));
    if (thrashes) {
        log_warn("What is free now was in use a moment ago, and is wanted again at once");
    }
    oom_report_memory();
    if (atomic_load_relaxed(&oom_dump_tasks) != 0) {
        report_tasks();
    }
}

void oom_report_kill(struct process *victim, const struct oom_space *space)
{
    uint32_t uid = uid_of(victim);
    const char *name = victim->leader->comm;
    int nr = victim->pid->nr;

    log_info("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),global_oom,task=%s,pid=%d,uid=%u",
             name, nr, uid);
    log_err("Out of memory: Killed process %d (%s) total-vm:%llukB, anon-rss:%llukB, "
            "file-rss:%llukB, shmem-rss:%llukB, UID:%u pgtables:%llukB oom_score_adj:%d",
            nr, name, kb(space->total), kb(space->anon), kb(space->file), kb(space->shared), uid,
            kb(space->tables), atomic_load_relaxed(&victim->oom_score_adj));
}

void oom_report_reaped(struct process *process)
{
    struct oom_space space = {0};

    (void)oom_space_look(process, &space);
    log_info("oom_reaper: reaped process %d (%s), now anon-rss:%llukB, file-rss:%llukB, "
             "shmem-rss:%llukB",
             process->pid->nr, process->leader->comm, kb(space.anon), kb(space.file),
             kb(space.shared));
}
