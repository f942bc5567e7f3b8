/*
 * Read-copy-update: quiescent states, and the thread that runs grace periods. The idea and the interface: kernel/sync/rcu.h.
 *
 * A CPU notices that a grace period has begun by a number that is not the one it has seen (this_cpu->rcu_seen), wherever it passes the
 * scheduler or is met by the tick: there it is outside of all sections with preemption off. If its thread is inside a preemptible read section, this
 * thread is left behind: it goes on the leaf's list and reports itself when it leaves the section. So one tick after its start a grace period
 * waits for threads only, and for CPUs that have preemption off.
 *
 * Idle CPUs are not asked and not woken: `rcu_idle` counts the ends of idle times; the thread looks at it when the grace period begins, and
 * every few milliseconds from then on. So it asks those that run one thread without ticks. What is still in the way after several looks is sent an interrupt, at once when somebody
 * is in a hurry (rcu_synchronize_expedited).
 *
 * Why it works: the number of the grace period is published with a full barrier before any CPU or thread is looked at, and whoever asks for "the
 * next one" (rcu_gp_next) reads it after a full barrier. So every read section that the asker must wait for began before the looking. Reports
 * chain through the locks of the leaves to the end of the grace period.
 *
 * Locks:  g the thread that runs grace periods   a atomic   o own CPU, interrupts off
 */
#include "kernel/sched/rcu.h"

#include "kernel/base/printf.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/core/percpu.h"
#include "kernel/sched/runqueue.h"
#include "kernel/sched/wait.h"

#define SCAN_FIRST_NS (10 * NS_PER_MS)
#define SCAN_MOST_NS  (640 * NS_PER_MS)
#define SCANS_TO_POKE 2u /* looks after which CPUs in the way are interrupted */
#define BACKTRACE_MAX 24
#define STALL_SECONDS 21
#define SYNC_QUEUES   4u

struct rcu_cpu {
    uint32_t idle_before; /* [g] this CPU's rcu_idle when the grace period began */
};
static DEFINE_PER_CPU(struct rcu_cpu, rcu_cpu);

struct rcu_tree rcu_tree;
uint64_t rcu_gp_started;
uint64_t rcu_gp_done;

static uint64_t gp_needed;       /* [a] highest number that anybody has asked for */
static uint64_t gp_hurried;      /* [a] highest number that somebody is in a hurry for */
static struct thread *gp_thread; /* [a] NULL until rcu_start() */
static struct wait_queue sync_wait[SYNC_QUEUES]; /* by number of the grace period */
static ktime_t stall_ns = STALL_SECONDS * NS_PER_S;
static uint64_t nhurried, npokes, nstalls; /* [g] */

/* ---- quiescent states ---- */

/* The grace period is complete: its thread goes on. */
static void gp_wake(void)
{
    struct thread *thread = atomic_load_acquire(&gp_thread);

    if (thread != NULL) {
        (void)thread_wake(thread);
    }
}

void rcu_note_slow(void)
{
    struct rcu_reader *reader = rcu_read_held() ? &current_thread()->rcu : NULL;
    uint64_t gp;

    if ((reader == NULL || reader->leaf != NULL) &&
        this_cpu->rcu_seen == atomic_load_relaxed(&rcu_gp_started)) {
        return; /* known already */
    }
    bool done = rcu_tree_pass(&rcu_tree, cpu_id(), reader, &gp);
    this_cpu->rcu_seen = gp;
    if (reader != NULL) {
        this_cpu->rcu_nesting &= ~RCU_NOT_BLOCKED;
    }
    if (done) {
        gp_wake();
    }
}

void rcu_interrupted_slow(void)
{
    if ((preempt_count() & PREEMPT_ATOMIC_MASK) == PREEMPT_HARDIRQ_ONE) {
        rcu_note_slow(); /* as if what was interrupted had been preempted */
    } else {
        preempt_set_need_resched(); /* it passes the scheduler as soon as it may */
    }
}

/*
 * An interrupt may come at any place in rcu_read_unlock(), and end up here before the thread does: the first one does it all.
 */
void rcu_read_unlock_slow(void)
{
    struct rcu_reader *reader = &current_thread()->rcu;
    uint64_t flags = irq_save();
    bool done = false;

    if (this_cpu->rcu_nesting == 0) {
        this_cpu->rcu_nesting = RCU_NOT_BLOCKED;
        done = reader->leaf != NULL && rcu_tree_reader_done(&rcu_tree, reader);
    }
    irq_restore(flags);
    if (done) {
        gp_wake();
    }
}

/* Both are full barriers: what was read before an idle time is over when the time is seen, what is read after it was not begun before. */
void rcu_idle_enter(void)
{
    (void)__atomic_fetch_add(&cpu_self()->rcu_idle, 1, __ATOMIC_SEQ_CST);
}

void rcu_idle_exit(void)
{
    uint64_t flags = irq_save();

    if ((this_cpu->rcu_idle & RCU_IDLE) != 0) {
        (void)__atomic_fetch_add(&cpu_self()->rcu_idle, 1, __ATOMIC_SEQ_CST);
    }
    irq_restore(flags);
}

/* ---- a grace period ---- */

static uint32_t idle_count(unsigned cpu)
{
    return __atomic_load_n(&cpu_by_id(cpu)->rcu_idle, __ATOMIC_SEQ_CST);
}

static bool is_idle(unsigned cpu)
{
    uint32_t count = idle_count(cpu);

    per_cpu_ptr(rcu_cpu, cpu)->idle_before = count;
    return (count & RCU_IDLE) != 0;
}

static bool was_idle(unsigned cpu)
{
    uint32_t count = idle_count(cpu);

    return (count & RCU_IDLE) != 0 || count != per_cpu_ptr(rcu_cpu, cpu)->idle_before;
}

/* Who takes no ticks does not notice by himself. */
static bool was_idle_or_ask(unsigned cpu)
{
    if (was_idle(cpu)) {
        return true;
    }
    if (cpumask_test(&sched_tickless, cpu)) {
        smp_send_reschedule(cpu);
    }
    return false;
}

static bool was_idle_or_poke(unsigned cpu)
{
    if (was_idle(cpu)) {
        return true;
    }
    if (cpu != cpu_id()) {
        npokes++;
        smp_send_reschedule(cpu); /* its handler calls rcu_tick() */
    }
    return false;
}

/* The CPU that this thread runs on: it is outside of all read sections. */
static void pass_self(void)
{
    irq_disable();
    rcu_note_context_switch();
    irq_enable();
}

static void report_reader(struct thread *thread)
{
    uintptr_t addrs[BACKTRACE_MAX];

    log_err("rcu:   %s, last on cpu %u, is inside a read section", thread->comm,
            atomic_load_relaxed(&thread->cpu));
    backtrace_log_addresses(LOG_ERR, addrs, cpu_backtrace_thread(thread, addrs, BACKTRACE_MAX));
}

/* A CPU in the way, by an interrupt that nothing keeps from it. */
static void report_cpus(const struct cpumask *stuck)
{
    unsigned id;

    for_each_cpu_in (id, stuck) {
        backtrace_log_cpu(LOG_ERR, id);
    }
}

static void report_stall(uint64_t gp, ktime_t since)
{
    struct cpumask stuck = CPUMASK_NONE;

    nstalls++;
    log_err("rcu: grace period %llu has waited for %lld ms:", (unsigned long long)gp,
            (long long)((ktime_now() - since) / NS_PER_MS));
    for (unsigned i = 0; i < RCU_LEAVES; i++) {
        struct rcu_leaf *leaf = &rcu_tree.leaves[i];
        uint64_t flags = spin_lock_irqsave(&leaf->lock);
        struct thread *thread;
        for (uint32_t left = leaf->waiting; left != 0; left &= left - 1) {
            unsigned id = i * RCU_LEAF_CPUS + (unsigned)__builtin_ctz(left);
            log_err("rcu:   cpu %u has not passed the scheduler", id);
            cpumask_set(&stuck, id);
        }
        list_for_each (thread, &leaf->readers, rcu.node) {
            report_reader(thread);
        }
        spin_unlock_irqrestore(&leaf->lock, flags);
    }
    report_cpus(&stuck);
}

static bool hurried(uint64_t gp)
{
    return atomic_load_relaxed(&gp_hurried) >= gp;
}

/* Wait until everybody has reported for grace period `gp`. */
static void gp_wait(uint64_t gp)
{
    ktime_t since = ktime_now(), stall = since + stall_ns;
    ktime_t pause = SCAN_FIRST_NS, scan = since + pause;
    unsigned nscans = 0;
    bool poked = false;

    for (;;) {
        if (!poked && hurried(gp)) {
            poked = true;
            nhurried++;
            pass_self();
            (void)rcu_tree_scan(&rcu_tree, was_idle_or_poke);
        }
        thread_prepare_sleep(THREAD_SLEEPING);
        if (rcu_tree_complete(&rcu_tree)) {
            break;
        }
        if ((poked || !hurried(gp)) && schedule_until(MIN(scan, stall))) {
            ktime_t now = ktime_now();
            if (now >= stall) {
                report_stall(gp, since);
                stall = now + 3 * stall_ns;
            }
            (void)rcu_tree_scan(&rcu_tree,
                                ++nscans > SCANS_TO_POKE ? was_idle_or_poke : was_idle_or_ask);
            pause = nscans > SCANS_TO_POKE ? MIN(2 * pause, SCAN_MOST_NS) : pause;
            scan = now + pause;
        }
    }
    thread_finish_sleep();
}

static void gp_run(void)
{
    uint64_t gp = rcu_gp_started + 1;

    atomic_store_relaxed(&rcu_gp_started, gp);
    atomic_fence(); /* pairs with rcu_gp_next() */
    if (!rcu_tree_start(&rcu_tree, gp, is_idle)) {
        pass_self();
        gp_wait(gp);
    }
    atomic_fence();
    atomic_store_release(&rcu_gp_done, gp);
    wait_wake_all(&sync_wait[gp % SYNC_QUEUES], 0);
    rcu_calls_wake();
}

static void gp_main(void *arg)
{
    (void)arg;
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (atomic_load_acquire(&gp_needed) <= rcu_gp_done) {
            schedule();
        }
        thread_finish_sleep();
        while (atomic_load_acquire(&gp_needed) > rcu_gp_done) {
            gp_run();
        }
    }
}

/* ---- asking for one ---- */

uint64_t rcu_gp_next(void)
{
    atomic_fence();
    return atomic_load_relaxed(&rcu_gp_started) + 1;
}

static void raise_to(uint64_t *number, uint64_t gp)
{
    uint64_t old = atomic_load_relaxed(number);

    while (old < gp && !atomic_cas(number, &old, gp)) {
    }
}

void rcu_gp_request(uint64_t gp, bool hurry)
{
    if (hurry) {
        raise_to(&gp_hurried, gp);
    }
    raise_to(&gp_needed, gp);
    gp_wake();
}

static void synchronize(bool hurry)
{
    might_sleep();
    if (atomic_load_acquire(&gp_thread) == NULL) {
        return; /* boot: this is the only thread, and it is no reader */
    }
    uint64_t gp = rcu_gp_next();
    rcu_gp_request(gp, hurry);
    wait_event(&sync_wait[gp % SYNC_QUEUES], rcu_gp_is_done(gp));
    atomic_fence();
}

void rcu_synchronize(void)
{
    synchronize(false);
}

/* A grace period that runs already is hurried too: `gp` cannot begin before it ends. */
void rcu_synchronize_expedited(void)
{
    synchronize(true);
}

#ifdef CONFIG_LOCKDEP
void rcu_fail_not_reading(const char *what, const char *file, int line)
{
    char text[80];

    (void)kscnprintf(text, sizeof(text), "%s is followed outside of a read section", what);
    lockdep_fail_at((uintptr_t)__builtin_return_address(0), text, file, line);
}
#endif

/* ---- CPUs, boot ---- */

int rcu_cpu_prepare(unsigned id)
{
    struct cpu *cpu = cpu_by_id(id);

    cpu->rcu_nesting = RCU_NOT_BLOCKED;
    cpu->rcu_seen = 0;
    return rcu_calls_prepare(id);
}

void rcu_cpu_online(unsigned id)
{
    rcu_tree_cpu_online(&rcu_tree, id);
}

void rcu_cpu_offline(unsigned id)
{
    if (rcu_tree_cpu_offline(&rcu_tree, id)) {
        gp_wake();
    }
}

void rcu_cpu_dead(unsigned id)
{
    rcu_calls_adopt(id);
}

void rcu_init(void)
{
    rcu_tree_init(&rcu_tree);
    rcu_tree_cpu_online(&rcu_tree, cpu_id());
}

void rcu_start(void)
{
    struct thread *thread = thread_create_kernel("rcu_grace", gp_main, NULL);
    unsigned id;

    if (thread == NULL) {
        panic("rcu: no memory for its thread");
    }
    stall_ns = (ktime_t)CLAMP(param_u64("linnet.rcu_stall", STALL_SECONDS), 1, 86400) * NS_PER_S;
    for (unsigned i = 0; i < SYNC_QUEUES; i++) {
        wait_queue_init(&sync_wait[i]);
    }
    for_each_cpu (id) {
        if (rcu_calls_prepare(id) < 0) {
            panic("rcu: no memory for its callbacks");
        }
    }
    thread_start(thread);
    atomic_store_release(&gp_thread, thread);
    rcu_calls_start();
}

void rcu_stats(struct rcu_stats *ret_stats)
{
    *ret_stats = (struct rcu_stats){
        .started = atomic_load_relaxed(&rcu_gp_started),
        .done = atomic_load_relaxed(&rcu_gp_done),
        .expedited = atomic_load_relaxed(&nhurried),
        .pokes = atomic_load_relaxed(&npokes),
        .stalls = atomic_load_relaxed(&nstalls),
    };
    rcu_calls_stats(ret_stats);
}
