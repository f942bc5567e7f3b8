/*
 * Making and reaping threads. A thread structure comes from a cache of constructed objects, its stack from the arena's per-CPU
 * cache of stacks, so that a fork in a busy system touches no allocator lock.
 *
 * References: one belongs to the running thread itself and is dropped by whoever runs after it has exited (its stack is in use until
 * then); others belong to who holds pointers (kernel/proc, timers).
 */
#include "kernel/sched/thread.h"

#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/time.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/preempt.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/kthread.h"
#include "kernel/sched/pid.h"
#include "kernel/sched/runqueue.h"

struct thread boot_thread = {
    .state = THREAD_RUNNABLE,
    .class = &idle_class,
    .prio = PRIO_IDLE,
    .boost_prio = PRIO_IDLE,
    .refs = {.value = 1},
    .comm = "idle",
    .cpu_mask = {{~0ull, ~0ull, ~0ull, ~0ull}},
    .timer_slack_ns = TIMER_SLACK_NS,
    .timer_slack_default_ns = TIMER_SLACK_NS,
};

static struct slab_cache *thread_cache;
static uint64_t total_forks; /* [a] */

static void sleep_timer_expired(struct timer *timer)
{
    (void)thread_wake(container_of(timer, struct thread, sleep_timer));
}

static void thread_construct(void *object)
{
    struct thread *thread = object;

    memset(thread, 0, sizeof(*thread));
    timer_init(&thread->sleep_timer, sleep_timer_expired);
    dl_thread_init(thread);
    list_init(&thread->process_node);
    list_init(&thread->sig_pending.queue);
    thread_pi_init(&thread->pi);
    list_init(&thread->futex_owned);
    list_init(&thread->cpu_timers);
}

#ifdef CONFIG_FAIL
static struct fail_task *fail_task(void)
{
    return in_thread() ? &current_thread()->fail : NULL;
}
#endif

void thread_cache_init(void)
{
    /* By RCU: who spins for a lock looks at the thread that held it a moment ago (spin_queue.c). */
    thread_cache = slab_cache_create("thread", sizeof(struct thread), 0,
                                     SLAB_ALIGN_CACHELINE | SLAB_TYPE_STABLE_RCU, thread_construct);
    timer_init(&boot_thread.sleep_timer, sleep_timer_expired);
    list_init(&boot_thread.process_node);
    list_init(&boot_thread.sig_pending.queue);
    thread_pi_init(&boot_thread.pi);
#ifdef CONFIG_FAIL
    fail_task_hook = fail_task;
#endif
}

/*
 * Members that higher rooms set are NULL: thread_free() left them so, or the constructor. The memory is that of a thread that has ended: nothing of it may
 * be seen by this one.
 */
static struct thread *thread_alloc(const char *comm)
{
    struct thread *parent = current_thread();
    struct thread *thread = slab_alloc(thread_cache, 0);

    if (thread == NULL) {
        return NULL;
    }
    thread->stack = kstack_alloc();
    if (thread->stack == NULL) {
        slab_free(thread_cache, thread);
        return NULL;
    }
    thread->work = 0;
    thread->state = THREAD_NEW;
    thread->cpu = cpu_id();
    thread->ioprio = READ_ONCE(parent->ioprio);
    sched_params_inherit(thread, parent);
    thread->cpu_mask = parent->cpu_mask;
    thread->rt.ran = 0;
    thread->dl.overrun = false;
    thread->in_flight = false;
    thread->runtime_ns = thread->run_delay = 0;
    thread->nrun = 0;
    thread->utime_ticks = thread->stime_ticks = 0;
    thread->nvcsw = thread->nivcsw = 0;
    thread->switch_work = 0;
    thread->sync_since = 0;
    thread->sync_belief = 0;
    thread->stalled = 0;
    thread->io_delay = 0;
    thread->minflt = thread->majflt = 0;
    thread->io = (struct thread_io){0};
    thread->exiting = thread->futex_ended = thread->nproc_exceeded = false;
    thread->stop_number = 0;
    thread->timer_slack_ns = atomic_load_relaxed(&parent->timer_slack_ns);
    thread->timer_slack_default_ns = thread->timer_slack_ns;
    thread->altstack_base = thread->altstack_size = 0;
    thread->altstack_flags = 0;
    thread->fault = parent->fault;
    thread->fault_runs = (struct thread_fault_runs){0};
    thread->mempolicy = parent->mempolicy;
    thread->interleave = parent->interleave;
    thread->start_time = ktime_now();
#ifdef CONFIG_FAIL
    thread->fail = (struct fail_task){.make_it_fail = parent->fail.make_it_fail};
#endif
    refcount_init(&thread->refs, 1);
    if (comm != thread->comm) {
        (void)str_copy(thread->comm, comm, sizeof(thread->comm));
    }
    return thread;
}

static void thread_free(struct thread *thread)
{
    ASSERT(thread->dead == NULL && !thread->burying && thread->files_owed == NULL);
    kstack_free(thread->stack);
    thread->stack = NULL;
    thread->process = NULL;
    thread->vm = NULL;
    thread->mmu = NULL;
    thread->files = NULL;
    thread->fs = NULL;
    thread->cred = NULL;
    pid_put(thread->pid);
    thread->pid = NULL;
    thread->set_child_tid = NULL;
    thread->clear_child_tid = NULL;
    thread->robust_list = NULL;
    thread->rseq.area = NULL;
    thread->alarm_group = NULL;
    thread->kernel_fn = NULL;
    thread->bound = false;
    thread->restart.fn = NULL;
    thread->journal = NULL;
    kfree(thread->trace);
    thread->trace = NULL;
    slab_free(thread_cache, thread);
}

void thread_put(struct thread *thread)
{
    if (thread != NULL && refcount_put(&thread->refs)) {
        (void)timer_cancel_sync(&thread->sleep_timer);
        (void)timer_cancel_sync(&thread->dl.timer);
        if (unlikely(thread->dl.bandwidth != 0)) {
            (void)dl_admit(thread, NULL); /* it never ran, or was given some when it ended */
        }
        cpu_thread_fini(thread);
        thread_free(thread);
    }
}

void thread_discard(struct thread *thread)
{
    thread_put(thread);
}

struct thread *thread_create_user(const char *comm)
{
    struct thread *thread = thread_alloc(comm);

    if (thread != NULL) {
        (void)atomic_fetch_add_relaxed(&total_forks, 1);
    }
    return thread;
}

uint64_t sched_total_forks(void)
{
    return atomic_load_relaxed(&total_forks);
}

static void kernel_thread_main(void *arg)
{
    struct thread *thread = arg;

    machine_thread_started();
    thread->kernel_fn(thread->kernel_arg);
    kthread_leave(thread);
    thread_exit();
}

struct thread *thread_create_kernel(const char *comm, void (*fn)(void *arg), void *arg)
{
    struct thread *thread = thread_alloc(comm);

    if (thread == NULL) {
        return NULL;
    }
    sched_params_inherit(thread, &boot_thread);
    thread->cpu_mask = boot_thread.cpu_mask;
    thread->mempolicy = boot_thread.mempolicy;
    thread->kernel_fn = fn;
    thread->kernel_arg = arg;
    cpu_thread_init_kernel(thread, kernel_thread_main, thread);
    return thread;
}

struct thread *thread_create_idle(unsigned id)
{
    struct thread *thread = thread_create_kernel("idle", NULL, NULL);

    if (thread != NULL) {
        thread->state = THREAD_RUNNABLE;
        thread->cpu = id;
        thread->prio = PRIO_IDLE;
        thread->class = &idle_class;
    }
    return thread;
}
