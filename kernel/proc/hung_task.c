/*
 * Threads that hang in the kernel: see hung_task.h.
 *
 * A thread that sleeps was last charged for CPU time when it went to sleep (thread->exec_start), so how long it has slept is known without a
 * record of its own. The watch looks every hung_task_check_interval, so a thread is told at the latest after the sum of both times; and not
 * again in the next look, for it was then asleep for longer than both: only a sleep whose limit fell into the last interval is news.
 */
#include "kernel/proc/hung_task.h"

#include "kernel/core/panic.h"
#include "kernel/proc/process.h"

#define BACKTRACE_MAX 24

uint64_t hung_task_timeout = 120;
uint64_t hung_task_check_interval;
int32_t hung_task_warnings = 10;
uint32_t hung_task_panic;

static ktime_t looked;   /* own thread: when the last look began */
static uint32_t changes; /* [a] of the settings */
static struct wait_queue changed = WAIT_QUEUE_INIT(changed);

static void report(struct thread *thread, ktime_t slept)
{
    uintptr_t addrs[BACKTRACE_MAX];

    log_err("hung_task: thread %d (%s) has been in state D for more than %lld s",
            pid_nr(thread->pid), thread->comm, (long long)(slept / NS_PER_S));
    backtrace_log_addresses(LOG_ERR, addrs, cpu_backtrace_thread(thread, addrs, BACKTRACE_MAX));
    if (atomic_load_relaxed(&hung_task_panic) != 0) {
        panic("hung_task: a thread is blocked");
    }
}

bool hung_task_look(struct thread *thread, ktime_t now)
{
    ktime_t limit = (ktime_t)(atomic_load_relaxed(&hung_task_timeout) * NS_PER_S);
    ktime_t slept = now - atomic_load_relaxed(&thread->exec_start);

    if (atomic_load_relaxed(&thread->state) != THREAD_UNINTERRUPTIBLE || slept < limit ||
        slept - limit >= now - looked) {
        return false;
    }
    int32_t left = atomic_load_relaxed(&hung_task_warnings);
    if (left == 0) {
        return false;
    }
    if (left > 0) {
        atomic_store_relaxed(&hung_task_warnings, left - 1);
    }
    report(thread, slept);
    return true;
}

static void look_at_process(struct process *process, ktime_t now)
{
    for (struct thread *thread = process_next_thread(process, 1); thread != NULL;) {
        int next = pid_nr(thread->pid) + 1;
        (void)hung_task_look(thread, now);
        thread_put(thread);
        thread = process_next_thread(process, next);
    }
}

static void look_at_all(void)
{
    ktime_t now = ktime_now();

    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        if (!process->kernel_thread) { /* those sleep so while they have nothing to do */
            look_at_process(process, now);
        }
        process_put(process);
        process = process_next(next);
    }
    looked = now;
}

/* How long until the next look. */
static ktime_t interval(void)
{
    uint64_t timeout = atomic_load_relaxed(&hung_task_timeout);
    uint64_t seconds = atomic_load_relaxed(&hung_task_check_interval);

    if (timeout == 0) {
        return KTIME_MAX;
    }
    return (ktime_t)((seconds == 0 ? timeout : MIN(seconds, timeout)) * NS_PER_S);
}

static void watch_main(void *arg)
{
    (void)arg;
    for (;;) {
        uint32_t seen = atomic_load_acquire(&changes);
        ktime_t pause = interval();
        ktime_t until = pause == KTIME_MAX ? KTIME_MAX : ktime_now() + pause;
        int err =
            wait_event_interruptible_until(&changed, atomic_load_acquire(&changes) != seen, until);
        if (err < 0) {
            look_at_all();
        }
    }
}

void hung_task_restart(void)
{
    (void)atomic_fetch_add(&changes, 1);
    wait_wake_all(&changed, 0);
}

void hung_task_start(void)
{
    struct thread *thread = thread_create_kernel("khungtaskd", watch_main, NULL);

    if (thread == NULL) {
        panic("hung_task: no memory for its thread");
    }
    looked = ktime_now();
    thread_start(thread);
}
