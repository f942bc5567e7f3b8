/*
 * Requests by a key (kernel/core/sysrq.h) that have to do with processes: tables of threads and memory, ends, and sync. They walk and wait, so
 * the thread for deferred work does them.
 *
 * Locks: `wanted` is atomic: one bit for each letter.
 */
#include "kernel/core/sysrq.h"

#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/machine/cpu.h"
#include "kernel/proc/internal.h"
#include "kernel/proc/oom.h"
#include "kernel/proc/oom_report.h"
#include "kernel/sched/work.h"
#include "kernel/vfs/mount.h"

#define BACKTRACE_MAX 24

static uint32_t wanted; /* [a] BIT(key - 'a') */

static char state_letter(const struct thread *thread)
{
    switch (atomic_load_relaxed(&thread->state)) {
    case THREAD_SLEEPING:
        return 'S';
    case THREAD_UNINTERRUPTIBLE:
        return 'D';
    case THREAD_STOPPED:
        return 'T';
    case THREAD_TRACED:
        return 't';
    case THREAD_DEAD:
        return 'Z';
    default:
        return 'R';
    }
}

static void show_thread(const struct process *process, struct thread *thread)
{
    uintptr_t addrs[BACKTRACE_MAX];

    log_info("task:%-15s state:%c pid:%-5d tgid:%-5d cpu:%u", thread->comm, state_letter(thread),
             pid_nr(thread->pid), pid_nr(process->pid), atomic_load_relaxed(&thread->cpu));
    backtrace_log_addresses(LOG_INFO, addrs, cpu_backtrace_thread(thread, addrs, BACKTRACE_MAX));
}

static void show_threads(bool blocked_alone)
{
    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        for (struct thread *thread = process_next_thread(process, 1); thread != NULL;) {
            int next_thread = pid_nr(thread->pid) + 1;
            if (!blocked_alone || atomic_load_relaxed(&thread->state) == THREAD_UNINTERRUPTIBLE) {
                show_thread(process, thread);
            }
            thread_put(thread);
            thread = process_next_thread(process, next_thread);
        }
        process_put(process);
        process = process_next(next);
    }
}

static void sync_all(void)
{
    int err = vfs_sync_all();

    log_notice(err < 0 ? "Emergency Sync failed" : "Emergency Sync complete");
}

static void do_one(char key)
{
    switch (key) {
    case 'e':
        signal_kill_all(SIGTERM);
        break;
    case 'f':
        oom_kill_one();
        break;
    case 'i':
        signal_kill_all(SIGKILL);
        break;
    case 'm':
        oom_report_memory();
        break;
    case 's':
        sync_all();
        break;
    default:
        show_threads(key == 'w');
        break;
    }
}

static void do_wanted(struct work *work)
{
    uint32_t left = atomic_exchange(&wanted, 0);

    (void)work;
    for (; left != 0; left &= left - 1) {
        do_one((char)('a' + __builtin_ctz(left)));
    }
}

static void later(char key)
{
    static struct work work = {.fn = do_wanted};

    (void)atomic_fetch_or(&wanted, (uint32_t)BIT(key - 'a'));
    (void)work_queue(&work);
}

SYSRQ_KEY(terminate) = {.key = 'e',
                        .help = "terminate-all-tasks(e)",
                        .text = "Terminate All Tasks",
                        .mask = SYSRQ_SIGNAL,
                        .fn = later};
SYSRQ_KEY(oom) = {.key = 'f',
                  .help = "memory-full-oom-kill(f)",
                  .text = "Manual OOM execution",
                  .mask = SYSRQ_SIGNAL,
                  .fn = later};
SYSRQ_KEY(kill) = {.key = 'i',
                   .help = "kill-all-tasks(i)",
                   .text = "Kill All Tasks",
                   .mask = SYSRQ_SIGNAL,
                   .fn = later};
SYSRQ_KEY(memory) = {.key = 'm',
                     .help = "show-memory-usage(m)",
                     .text = "Show Memory",
                     .mask = SYSRQ_DUMP,
                     .fn = later};
SYSRQ_KEY(sync) = {
    .key = 's', .help = "sync(s)", .text = "Emergency Sync", .mask = SYSRQ_SYNC, .fn = later};
SYSRQ_KEY(threads) = {.key = 't',
                      .help = "show-task-states(t)",
                      .text = "Show State",
                      .mask = SYSRQ_DUMP,
                      .fn = later};
SYSRQ_KEY(blocked) = {.key = 'w',
                      .help = "show-blocked-tasks(w)",
                      .text = "Show Blocked State",
                      .mask = SYSRQ_DUMP,
                      .fn = later};
