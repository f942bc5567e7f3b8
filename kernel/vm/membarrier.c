/*
 * membarrier(2) by interrupts to the CPUs that run the program, and to no others.
 *
 * Nothing is paid for it when threads are switched. A CPU that takes up an address space, or comes back to the one that it had kept while it
 * ran a kernel thread, passes a full barrier between saying so (mmu_space_cpus()) and user mode; and the lock of its run queue is one between
 * user mode and saying that it left. So of a CPU that is not among those, what it did before is visible, and what it will do
 * comes after. From one thread of the space to another it stays among them.
 *
 * SYNC_CORE: CPUs may also have fetched instructions ahead. Taking up a space forgets them (MOV to CR3 does), an interrupt too; coming
 * back to a kept space does not, so CPUs that keep it are interrupted as well.
 *
 * RSEQ: a thread that is interrupted in its sequence starts it anew. One that is not running has been disturbed anyway.
 *
 * Locks:  r registered_lock (spin)
 */
#include "kernel/vm/membarrier.h"

#include <linux/membarrier.h>

#include "kernel/base/errno.h"
#include "kernel/core/smp_call.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/preempt.h"
#include "kernel/sched/thread.h"
#include "kernel/sync/rcu.h"
#include "kernel/sync/spinlock.h"
#include "kernel/vm/vmspace.h"

#define REGISTERED_ALL                                                                             \
    (MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |        \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE |                                         \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)
#define COMMANDS_ALL                                                                               \
    (REGISTERED_ALL | MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |                    \
     MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |               \
     MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ)

static struct spinlock registered_lock = SPINLOCK_INIT("membarrier");
static struct list_node registered = LIST_INIT(registered); /* [r] spaces, for GLOBAL_EXPEDITED */

/* ---- registration ---- */

static void list_registered(struct vmspace *vm)
{
    spin_lock(&registered_lock);
    if (!vm->membarrier_listed) {
        vm->membarrier_listed = true;
        list_push_back(&registered, &vm->membarrier_link);
    }
    spin_unlock(&registered_lock);
}

static int membarrier_register(struct vmspace *vm, unsigned command)
{
    if (command == MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) {
        list_registered(vm);
    }
    (void)__atomic_fetch_or(&vm->membarrier, command, __ATOMIC_SEQ_CST);
    return 0;
}

void membarrier_fork(struct vmspace *child, const struct vmspace *parent)
{
    child->membarrier = atomic_load_relaxed(&parent->membarrier);
    child->membarrier_listed = false;
    if (unlikely((child->membarrier & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0)) {
        list_registered(child);
    }
}

void membarrier_forget(struct vmspace *vm)
{
    if (unlikely(vm->membarrier_listed)) {
        spin_lock(&registered_lock);
        list_remove(&vm->membarrier_link);
        spin_unlock(&registered_lock);
    }
}

/* ---- barriers ---- */

static void barrier_requested(void *arg)
{
    (void)arg;
    atomic_fence();
}

static void restart_requested(void *arg)
{
    struct thread *thread = current_thread();

    (void)arg;
    atomic_fence();
    if (thread->rseq.area != NULL) {
        thread_set_work(thread, THREAD_WORK_RSEQ);
    }
}

/* Each running thread of all registered programs. */
static void global_expedited(void)
{
    struct cpumask mask = CPUMASK_NONE, one;
    struct vmspace *vm;

    atomic_fence();
    preempt_disable();
    spin_lock(&registered_lock);
    list_for_each (vm, &registered, membarrier_link) {
        mmu_space_cpus(&vm->mmu, false, &one);
        (void)cpumask_or(&mask, &mask, &one);
    }
    spin_unlock(&registered_lock);
    cpumask_clear(&mask, cpu_id());
    smp_call_many(&mask, barrier_requested, NULL, true);
    preempt_enable();
    atomic_fence();
}

/* Those of this program; with 0 <= cpu, those of that CPU alone. */
static void private_expedited(struct vmspace *vm, unsigned command, int cpu)
{
    bool sync_core = command == MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE;
    bool restart = command == MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ;
    struct cpumask mask;

    atomic_fence();
    preempt_disable();
    mmu_space_cpus(&vm->mmu, sync_core, &mask);
    cpumask_clear(&mask, cpu_id());
    if (cpu >= 0) {
        bool there = (unsigned)cpu < MAX_CPUS && cpumask_test(&mask, (unsigned)cpu);
        mask = CPUMASK_NONE;
        if (there) {
            cpumask_set(&mask, (unsigned)cpu);
        }
    }
    if (!cpumask_empty(&mask)) {
        smp_call_many(&mask, restart ? restart_requested : barrier_requested, NULL, true);
    }
    if (sync_core) {
        cpu_sync_core();
    }
    preempt_enable();
    atomic_fence();
}

/* ---- the call ---- */

static int private_checked(struct vmspace *vm, unsigned command, int cpu)
{
    /* The bit of a private command's registration is the one above its own. */
    if ((atomic_load_relaxed(&vm->membarrier) & command << 1) == 0) {
        return -EPERM;
    }
    private_expedited(vm, command, cpu);
    return 0;
}

int vmspace_membarrier(struct vmspace *vm, int command, unsigned flags, int cpu)
{
    bool one_cpu =
        command == MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ && flags == MEMBARRIER_CMD_FLAG_CPU;

    if (flags != 0 && !one_cpu) {
        return -EINVAL;
    }
    switch (command) {
    case MEMBARRIER_CMD_QUERY:
        return COMMANDS_ALL;
    case MEMBARRIER_CMD_GLOBAL:
        if (cpu_count_online() > 1) {
            rcu_synchronize();
        }
        return 0;
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
        global_expedited();
        return 0;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ:
        return membarrier_register(vm, (unsigned)command);
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ:
        return private_checked(vm, (unsigned)command, one_cpu ? cpu : -1);
    default:
        return -EINVAL;
    }
}
