/*
 * The scheduler: who runs next, switching, waking, yielding, the idle loop.
 *
 * Interface: schedule, preempt_schedule, thread_wake_states, thread_prepare_sleep and thread_finish_sleep, sched_yield_cpu,
 * sched_set_nice, sched_idle_loop. Data: struct runqueue (runqueue.h), which also says how its lock works.
 *
 * Sleeping without losing a wake: a thread first says that it sleeps (its state), then looks at its condition, then calls
 * schedule(). A waker first makes the condition true, then looks at the state. Both have a full barrier in between, so at
 * least one sees the other. A wake before schedule() just turns the state back. A thread that is preempted between the two
 * stays on the run queue whatever its state says, and goes to sleep when it calls schedule() itself.
 *
 * Threads are woken on the CPU they last ran on; nothing moves them yet.
 */
#include "kernel/sched/runqueue.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"
#include "kernel/core/panic.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/mmu.h"
#include "kernel/sched/pid.h"
#include "kernel/sync/rcu.h"

DEFINE_PER_CPU(struct runqueue, runqueue);

/* round(1024 / 1.25^nice) and round(2^32 / weight) for nice -20..19. */
const uint32_t sched_weight[40] = {
    88818, 71054, 56843, 45475, 36380, 29104, 23283, 18626, 14901, 11921, 9537, 7629, 6104, 4883,
    3906,  3125,  2500,  2000,  1600,  1280,  1024,  819,   655,   524,   419,  336,  268,  215,
    172,   137,   110,   88,    70,    56,    45,    36,    29,    23,    18,   15,
};
const uint32_t sched_inverse_weight[40] = {
    48357,    60447,    75558,    94447,     118058,    147573,    184468,    230590,
    288233,   360286,   450348,   562979,    703632,    879576,    1099582,   1374390,
    1717987,  2147484,  2684355,  3355443,   4194304,   5244160,   6557202,   8196502,
    10250519, 12782641, 16025997, 19976592,  24970740,  31350126,  39045157,  48806447,
    61356676, 76695845, 95443718, 119304647, 148102321, 186737709, 238609294, 286331153,
};

enum reschedule_kind { RESCHEDULE_SLEEP, RESCHEDULE_PREEMPT, RESCHEDULE_YIELD };

struct runqueue *runqueue_lock_of(struct thread *thread)
{
    for (;;) {
        uint32_t cpu = atomic_load_relaxed(&thread->cpu);
        struct runqueue *rq = per_cpu_ptr(runqueue, cpu);
        runqueue_lock(rq);
        if (likely(thread->cpu == cpu)) {
            return rq;
        }
        runqueue_unlock(rq);
    }
}

/* ---- virtual time ---- */

void runqueue_update_current_locked(struct runqueue *rq, ktime_t now)
{
    struct thread *current = rq->current;
    ktime_t delta = now - current->exec_start;

    if (unlikely(delta <= 0)) {
        return;
    }
    current->exec_start = now;
    current->runtime_ns += delta;
    if (current == rq->idle) {
        return;
    }
    current->vruntime += vruntime_delta(current, (uint64_t)delta);
    uint64_t smallest = current->vruntime;
    if (rq->leftmost != NULL && vruntime_before(rq->leftmost->vruntime, smallest)) {
        smallest = rq->leftmost->vruntime;
    }
    if (vruntime_before(rq->min_vruntime, smallest)) {
        rq->min_vruntime = smallest;
    }
}

void runqueue_insert_locked(struct runqueue *rq, struct thread *thread)
{
    struct rb_node **link = &rq->tree.node, *parent = NULL;
    bool leftmost = true;

    while (*link != NULL) {
        parent = *link;
        if (vruntime_before(thread->vruntime,
                            rb_entry(parent, struct thread, run_node)->vruntime)) {
            link = &parent->left;
        } else {
            link = &parent->right;
            leftmost = false;
        }
    }
    rb_insert(&rq->tree, &thread->run_node, parent, link);
    if (leftmost) {
        rq->leftmost = thread;
    }
    thread->on_queue = true;
    rq->nqueued++;
}

void runqueue_remove_locked(struct runqueue *rq, struct thread *thread)
{
    if (rq->leftmost == thread) {
        struct rb_node *next = rq->nqueued == 1 ? NULL : rb_next(&thread->run_node);
        rq->leftmost = next == NULL ? NULL : rb_entry(next, struct thread, run_node);
    }
    rb_remove(&rq->tree, &thread->run_node);
    thread->on_queue = false;
    rq->nqueued--;
}

/* ---- asking for a reschedule ---- */

static void runqueue_resched_locked(struct runqueue *rq)
{
    struct thread *current = rq->current;

    (void)__atomic_fetch_or(&current->work, THREAD_WORK_RESCHED, __ATOMIC_RELAXED);
    if (likely(rq == this_cpu_ptr(runqueue))) {
        preempt_set_need_resched();
    } else {
        smp_send_reschedule(current->cpu);
    }
}

/* Others wait: see that the running thread's slice ends. The timer may be armed already, for any time up to a slice ahead. */
static void slice_timer_start_locked(struct runqueue *rq, ktime_t now)
{
    if (timer_is_armed(&rq->slice_timer) || rq != this_cpu_ptr(runqueue)) {
        return;
    }
    timer_arm(&rq->slice_timer, MAX(rq->current->slice_end, now + SCHED_WAKE_MARGIN_NS));
}

static void slice_timer_expired(struct timer *timer)
{
    struct runqueue *rq = container_of(timer, struct runqueue, slice_timer);

    runqueue_lock(rq);
    if (rq->nqueued > 0 && rq->current != rq->idle) {
        ktime_t now = ktime_now();
        if (now >= rq->current->slice_end) {
            runqueue_resched_locked(rq);
        } else {
            timer_arm(timer, rq->current->slice_end);
        }
    }
    runqueue_unlock(rq);
}

void machine_reschedule_interrupt(void)
{
    if ((atomic_load_relaxed(&current_thread()->work) & THREAD_WORK_RESCHED) != 0) {
        preempt_set_need_resched();
    }
    rcu_tick(); /* a grace period may wait for this CPU */
}

/* ---- switching ---- */

void runqueue_finish_switch(void)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);
    struct thread *prev = rq->switched_from;
    bool dead = prev->state == THREAD_DEAD;

    runqueue_unlock(rq);
    if (unlikely(dead)) {
        irq_enable();
        thread_put(prev);
        irq_disable();
    }
}

void machine_thread_started(void)
{
    rcu_switch_restore(RCU_NOT_BLOCKED);
    runqueue_finish_switch();
    irq_enable();
}

/* Give the CPU from `prev` to `next`, which is out of the tree. Returns when `prev` is chosen again, maybe much later. */
static void runqueue_switch_locked(struct runqueue *rq, struct thread *prev, struct thread *next,
                                   ktime_t now)
{
    rq->current = next;
    rq->switched_from = prev;
    rq->switches++;
    next->exec_start = now;
    next->slice_end = now + SCHED_SLICE_NS;
    if (prev == rq->idle) {
        sched_tick_start(rq, now);
    }
    if (rq->nqueued > 0) {
        slice_timer_start_locked(rq, now);
    }
    if (next->mmu != prev->mmu) {
        mmu_switch(next->mmu);
    }
    uint32_t nesting = rcu_switch_save();
    (void)cpu_switch(prev, next);
    rcu_switch_restore(nesting);
    runqueue_finish_switch();
}

/*
 * Choose who runs now. Interrupts off at entry and return.
 * SLEEP: the current thread leaves the queue if its state says so. PREEMPT: it wants to go on whatever its state says.
 * YIELD: anybody else comes first.
 */
static void reschedule(enum reschedule_kind kind)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);
    ktime_t now = ktime_now();

    rcu_note_context_switch();
    runqueue_lock(rq);
    struct thread *prev = rq->current, *next = rq->leftmost;
    bool stays = prev != rq->idle && (prev->state == THREAD_RUNNABLE || kind == RESCHEDULE_PREEMPT);
    preempt_clear_need_resched();
    if ((atomic_load_relaxed(&prev->work) & THREAD_WORK_RESCHED) != 0) {
        thread_clear_work(prev, THREAD_WORK_RESCHED);
    }
    runqueue_update_current_locked(rq, now);

    if (next == NULL) {
        next = stays ? prev : rq->idle;
    } else if (stays && kind != RESCHEDULE_YIELD &&
               !vruntime_before(next->vruntime, prev->vruntime)) {
        next = prev;
    }
    if (next == prev) {
        prev->slice_end = now + SCHED_SLICE_NS;
        if (rq->nqueued > 0) {
            slice_timer_start_locked(rq, now);
        }
        runqueue_unlock(rq);
        return;
    }
    if (next != rq->idle) {
        runqueue_remove_locked(rq, next);
    }
    if (stays) {
        runqueue_insert_locked(rq, prev);
        prev->nivcsw++;
        if (prev->rseq.area != NULL) {
            (void)__atomic_fetch_or(&prev->work, THREAD_WORK_RSEQ, __ATOMIC_RELAXED);
        }
    } else {
        prev->nvcsw++;
    }
    if (next->rseq.area != NULL && next->rseq.cpu != next->cpu) {
        (void)__atomic_fetch_or(&next->work, THREAD_WORK_RSEQ, __ATOMIC_RELAXED);
    }
    runqueue_switch_locked(rq, prev, next, now);
}

void schedule(void)
{
    ASSERT((preempt_count() & PREEMPT_ATOMIC_MASK) == 0);
    do {
        irq_disable();
        reschedule(RESCHEDULE_SLEEP);
        irq_enable();
    } while (unlikely(need_resched()));
}

void preempt_schedule_irq(void)
{
    do {
        reschedule(RESCHEDULE_PREEMPT);
    } while (unlikely(need_resched()));
}

void preempt_schedule(void)
{
    if (!irq_enabled()) {
        return; /* the next preempt_enable() or interrupt will do */
    }
    irq_disable();
    preempt_schedule_irq();
    irq_enable();
}

void sched_yield_cpu(void)
{
    /* Without a lock: a thread that comes just now will preempt by its own right. */
    if (atomic_load_relaxed(&this_cpu_ptr(runqueue)->nqueued) == 0) {
        return;
    }
    irq_disable();
    reschedule(RESCHEDULE_YIELD);
    irq_enable();
}

/* The end of a thread: its state changes with interrupts off, so that it is never preempted as a dead one. */
void thread_exit(void)
{
    lockdep_check_none_held("the end of a thread");
    irq_disable();
    atomic_store_relaxed(&current_thread()->state, THREAD_DEAD);
    reschedule(RESCHEDULE_SLEEP);
    panic("sched: a dead thread was chosen");
}

/* ---- sleeping and waking ---- */

void thread_prepare_sleep(enum thread_state state)
{
    /* A full barrier: pairs with the one in thread_wake_states. */
    (void)__atomic_exchange_n(&current_thread()->state, (uint32_t)state, __ATOMIC_SEQ_CST);
}

void thread_finish_sleep(void)
{
    atomic_store_relaxed(&current_thread()->state, THREAD_RUNNABLE);
}

void runqueue_wake_locked(struct runqueue *rq, struct thread *thread)
{
    struct thread *current = rq->current;
    ktime_t now = 0;

    if (current != rq->idle) {
        now = ktime_now();
        runqueue_update_current_locked(rq, now);
    }
    uint64_t floor = rq->min_vruntime - SCHED_SLEEP_CREDIT_NS;
    if (vruntime_before(thread->vruntime, floor)) {
        thread->vruntime = floor;
    }
    runqueue_insert_locked(rq, thread);
    if (current == rq->idle ||
        vruntime_before(thread->vruntime + vruntime_delta(thread, SCHED_WAKE_MARGIN_NS),
                        current->vruntime)) {
        runqueue_resched_locked(rq);
    } else if (rq == this_cpu_ptr(runqueue)) {
        slice_timer_start_locked(rq, now);
    } else if (rq->nqueued == 1) {
        runqueue_resched_locked(rq); /* only its own CPU can start its slice timer */
    }
}

/* Threads that run or want to, on one CPU; a moment's figure. */
static unsigned runqueue_load(unsigned id)
{
    const struct runqueue *rq = per_cpu_ptr(runqueue, id);

    return atomic_load_relaxed(&rq->nqueued) +
           (atomic_load_relaxed(&rq->current) != rq->idle ? 1 : 0);
}

bool thread_wake_states(struct thread *thread, uint32_t mask)
{
    /* The condition was made true before this; pairs with thread_prepare_sleep. */
    atomic_fence();
    if ((BIT(atomic_load_relaxed(&thread->state)) & mask) == 0) {
        return false;
    }
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);
    bool woken = (BIT(thread->state) & mask) != 0;
    if (woken) {
        atomic_store_relaxed(&thread->state, THREAD_RUNNABLE);
        if (rq->current != thread && !thread->on_queue) {
            runqueue_wake_locked(rq, thread);
        }
    }
    spin_unlock_raw_(&rq->lock);
    irq_restore(flags);
    preempt_enable();
    return woken;
}

/* Where a new thread waits least: its creator's CPU, or one that has less to do. Threads of the kernel stay where they are made. */
static uint32_t place_new(const struct thread *thread)
{
    unsigned best = thread->cpu, id;

    if (thread->process == NULL) {
        return best;
    }
    unsigned least = runqueue_load(best);
    for_each_online_cpu (id) {
        if (least == 0) {
            break;
        }
        if (runqueue_load(id) < least && bitmap_test(thread->cpu_mask, id)) {
            least = runqueue_load(id);
            best = id;
        }
    }
    return best;
}

void thread_start(struct thread *thread)
{
    uint64_t flags = irq_save();
    thread->cpu = place_new(thread);
    struct runqueue *rq = runqueue_lock_of(thread);

    /* A newcomer waits one slice of virtual time, so that making threads gains nobody CPU time. */
    thread->state = THREAD_RUNNABLE;
    thread->vruntime = rq->min_vruntime + vruntime_delta(thread, SCHED_SLICE_NS);
    runqueue_wake_locked(rq, thread);
    spin_unlock_raw_(&rq->lock);
    irq_restore(flags);
    preempt_enable();
}

void thread_set_work(struct thread *thread, uint32_t bits)
{
    (void)__atomic_fetch_or(&thread->work, bits, __ATOMIC_SEQ_CST);
    uint32_t cpu = atomic_load_relaxed(&thread->cpu);
    if (unlikely(cpu != cpu_id()) && per_cpu_ptr(runqueue, cpu)->current == thread) {
        smp_send_reschedule(cpu);
    }
}

void sched_set_nice(struct thread *thread, int nice)
{
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);

    if (rq->current == thread) {
        runqueue_update_current_locked(rq, ktime_now());
    }
    thread->nice = (int8_t)CLAMP(nice, -20, 19);
    thread->prio = (uint16_t)(PRIO_NICE_0 + thread->nice);
    spin_unlock_raw_(&rq->lock);
    irq_restore(flags);
    preempt_enable();
}

void sched_set_affinity(struct thread *thread, const uint64_t mask[4])
{
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);

    for (unsigned i = 0; i < ARRAY_SIZE(thread->cpu_mask); i++) {
        thread->cpu_mask[i] = mask[i];
    }
    spin_unlock_raw_(&rq->lock);
    irq_restore(flags);
    preempt_enable();
}

unsigned sched_nr_running(void)
{
    unsigned id, n = 0;

    for_each_cpu (id) {
        n += runqueue_load(id);
    }
    return n;
}

/* ---- boot ---- */

#ifdef CONFIG_LOCKDEP
static struct lockdep_stack *current_lockdep_stack(void)
{
    return &current_thread()->lockdep;
}
#endif

void sched_init(void)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);

    rcu_init();
    thread_cache_init();
    pid_table_init();
    spin_init(&rq->lock, "run queue");
    rq->idle = rq->current = &boot_thread;
    boot_thread.exec_start = boot_thread.start_time = ktime_now();
    boot_thread.cpu = cpu_id();
    this_cpu->idle = &boot_thread;
    this_cpu->current = &boot_thread;
    timer_init(&rq->slice_timer, slice_timer_expired);
    sched_tick_init(rq);
#ifdef CONFIG_LOCKDEP
    lockdep_thread_stack = current_lockdep_stack;
#endif
}

int sched_cpu_prepare(unsigned id)
{
    struct runqueue *rq = per_cpu_ptr(runqueue, id);

    if (rq->idle == NULL) {
        struct thread *idle = thread_create_idle(id);
        if (idle == NULL) {
            return -ENOMEM;
        }
        spin_init(&rq->lock, "run queue");
        timer_init(&rq->slice_timer, slice_timer_expired);
        sched_tick_init(rq);
        rq->idle = idle;
    }
    rq->current = rq->idle;
    cpu_by_id(id)->idle = rq->idle;
    return 0;
}

void sched_cpu_online(unsigned id)
{
    per_cpu_ptr(runqueue, id)->idle->exec_start = ktime_now();
}

void sched_idle_loop(void)
{
    for (;;) {
        irq_disable();
        if (need_resched()) {
            irq_enable();
            schedule();
        } else {
            rcu_idle_enter();
            cpu_idle();
            rcu_idle_exit();
        }
    }
}
