/*
 * CPUs come and go while the system runs: the order of it. What is done in each room is in its struct cpu_step.
 *
 *     up:    prepare ... prepare -> the machine starts the CPU -> online ... online, online set -> ready ... ready
 *     down:  leave ... leave -> a thread takes the CPU over, sends all others away, ends -> the CPU's idle thread:
 *            online cleared, offline ... offline, the CPU stops -> dead ... dead
 *
 * A prepare or leave that fails has those undone that were done before. Once threads are being sent away nothing can fail.
 *
 * On its way out a CPU clears its bit of the online set with interrupts off, and then waits until every other one has answered a call:
 * whoever had seen the bit has made his request by then, which is served; nobody makes another.
 *
 * Locks: cpus_lock is held for writing by who changes the set; the steps run with it held.
 */
#include "kernel/sched/hotplug.h"

#include "kernel/base/errno.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/core/smp_call.h"
#include "kernel/core/time.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"

#define ARRIVAL_NS (10 * NS_PER_S)   /* an emulated machine with more CPUs than its host is slow */
#define LOOK_NS    (100 * NS_PER_US) /* at what is a few steps away */

static struct rwsem cpus_lock;
static const struct cpu_step *steps; /* [I] */
static unsigned nsteps;              /* [I] */
static struct wait_queue cpus_wait =
    WAIT_QUEUE_INIT(cpus_wait); /* somebody came, or is about to stop */
static unsigned leaver;         /* [a] who is about to stop; 0: nobody */

void cpus_read_lock(void)
{
    rwsem_lock_read(&cpus_lock);
}

void cpus_read_unlock(void)
{
    rwsem_unlock_read(&cpus_lock);
}

/* ---- up ---- */

static void cpu_ready(unsigned id, unsigned first)
{
    for (unsigned i = first; i < nsteps; i++) {
        if (steps[i].ready != NULL) {
            steps[i].ready(id);
        }
    }
}

/* Undo the first `n` steps' prepare. */
static void cpu_dead(unsigned id, unsigned n)
{
    while (n-- > 0) {
        if (steps[n].dead != NULL) {
            steps[n].dead(id);
        }
    }
}

static int cpu_prepare(unsigned id)
{
    for (unsigned i = 0; i < nsteps; i++) {
        int err = steps[i].prepare == NULL ? 0 : steps[i].prepare(id);
        if (err < 0) {
            log_err("cpu: %u stays off: %s: error %d", id, steps[i].name, -err);
            cpu_dead(id, i);
            return err;
        }
    }
    return 0;
}

void cpu_come_online(void)
{
    unsigned id = cpu_id();

    for (unsigned i = 0; i < nsteps; i++) {
        if (steps[i].online != NULL) {
            steps[i].online(id);
        }
    }
    cpu_set_online(id, true);
    smp_cpu_entered();
    wait_wake_all(&cpus_wait, 0);
}

/*
 * Start the CPUs of the set, which are prepared, and say that they are ready; those that do not come are taken out of it, and what was prepared
 * is undone.
 */
static void cpus_bring(struct cpumask *mask)
{
    struct cpumask missing = *mask;
    ktime_t end = ktime_now() + ARRIVAL_NS;
    unsigned id;
    int err = smp_start_cpus(mask);

    if (err < 0) {
        log_err("cpu: others cannot be started, error %d", -err);
    }
    if (err == 0) {
        (void)wait_event_until(&cpus_wait, !cpumask_andnot(&missing, mask, cpus_online()), end);
    }
    for_each_cpu_in (id, &missing) {
        if (err == 0 && !smp_forget_cpu(id)) {
            /* It has come this far by now; the rest are a few steps. */
            while (!cpu_is_online(id)) {
                thread_sleep_ns(LOOK_NS);
            }
            continue;
        }
        if (err == 0) {
            log_err("cpu: %u did not start within %u s", id, (unsigned)(ARRIVAL_NS / NS_PER_S));
        }
        cpumask_clear(mask, id);
        cpu_dead(id, nsteps);
    }
    for_each_cpu_in (id, mask) {
        cpu_ready(id, 0);
    }
    sched_domains_rebuild();
}

int cpu_up(unsigned id)
{
    struct cpumask mask = CPUMASK_NONE;
    int err = 0;

    if (id >= cpu_count()) {
        return -EINVAL;
    }
    rwsem_lock_write(&cpus_lock);
    if (!cpu_is_online(id)) {
        err = cpu_prepare(id);
        if (err == 0) {
            cpumask_set(&mask, id);
            cpus_bring(&mask);
            err = cpumask_test(&mask, id) ? 0 : -EIO;
        }
    }
    rwsem_unlock_write(&cpus_lock);
    return err;
}

/* ---- down ---- */

static int cpu_leave(unsigned id)
{
    for (unsigned i = nsteps; i-- > 0;) {
        int err = steps[i].leave == NULL ? 0 : steps[i].leave(id);
        if (err < 0) {
            cpu_ready(id, i + 1);
            return err;
        }
    }
    return 0;
}

static void nothing(void *arg)
{
    (void)arg;
}

void cpu_go_offline(void)
{
    unsigned id = cpu_id();

    preempt_disable();
    atomic_store_release(&leaver, id);
    wait_wake_all(&cpus_wait, 0);
    smp_cpu_leave();
    cpu_set_online(id, false);
    smp_call_others(nothing, NULL, true);
    smp_call_serve();
    for (unsigned i = nsteps; i-- > 0;) {
        if (steps[i].offline != NULL) {
            steps[i].offline(id);
        }
    }
    smp_cpu_park();
}

static int cpu_send_away(unsigned id)
{
    struct thread *stop = sched_stop_create(id);

    if (stop == NULL) {
        return -ENOMEM;
    }
    int err = cpu_leave(id);
    if (err < 0) {
        thread_discard(stop);
        return err;
    }
    sched_stop_start(stop);
    wait_event(&cpus_wait, atomic_load_acquire(&leaver) == id);
    atomic_store_relaxed(&leaver, 0);
    while (!smp_cpu_is_parked(id)) {
        thread_sleep_ns(LOOK_NS);
    }
    cpu_dead(id, nsteps);
    sched_domains_rebuild();
    log_debug("cpu: %u is offline", id);
    return 0;
}

int cpu_down(unsigned id)
{
    int err = 0;

    if (id >= cpu_count()) {
        return -EINVAL;
    }
    if (id == 0) {
        return -EBUSY;
    }
    if (!smp_cpus_return()) {
        return -EOPNOTSUPP;
    }
    rwsem_lock_write(&cpus_lock);
    if (cpu_is_online(id)) {
        err = cpu_send_away(id);
    }
    rwsem_unlock_write(&cpus_lock);
    return err;
}

/* ---- boot ---- */

void cpus_start(const struct cpu_step *table)
{
    struct cpumask mask = CPUMASK_NONE;
    uint64_t max = param_u64("maxcpus", MAX_CPUS);
    unsigned id;

    rwsem_init(&cpus_lock, "set of CPUs");
    steps = table;
    for (nsteps = 0; table[nsteps].name != NULL; nsteps++) {
    }
    if (cpu_count() == 1) {
        return;
    }
    ktime_t begin = ktime_now();
    rwsem_lock_write(&cpus_lock);
    for_each_cpu (id) {
        if (id != 0 && id < max && cpu_prepare(id) == 0) {
            cpumask_set(&mask, id);
        }
    }
    if (!cpumask_empty(&mask)) {
        cpus_bring(&mask);
    }
    rwsem_unlock_write(&cpus_lock);
    log_info("smp: %u of %u CPUs online after %llu ms", cpu_count_online(), cpu_count(),
             (unsigned long long)((ktime_now() - begin) / NS_PER_MS));
}
