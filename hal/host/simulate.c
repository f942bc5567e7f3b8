/*
 * Simulated CPUs: several of the scheduler's CPUs on one host thread, by turns, on a clock that the test moves.
 *
 * A step gives each CPU the host thread once. It takes the interrupts that have come for it, and runs what its scheduler has chosen, until a
 * thread says that it has used the step up (host_sim_pass) or the idle thread has nothing to do. Nobody passes with a lock held, so no CPU ever
 * finds one taken; all that happens is the same in each run.
 */
#include <stdlib.h>

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/core/percpu.h"
#include "kernel/core/smp_call.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/smp.h"
#include "kernel/sched/rcu.h"
#include "kernel/sched/sched.h"

static unsigned nsimulated;
static bool messages[HOST_MAX_CPUS];
static bool irq_enabled_of[HOST_MAX_CPUS];
static uint64_t nmessages;

bool host_is_simulated(void)
{
    return nsimulated > 0 && host_cpu->id != 0;
}

void host_sim_message(unsigned id)
{
    if (id <= nsimulated && id != cpu_id()) {
        nmessages += !messages[id];
        messages[id] = true;
    }
}

uint64_t host_sim_messages(void)
{
    return nmessages;
}

static void reschedule_interrupt(void *arg)
{
    (void)arg;
    machine_reschedule_interrupt();
}

void host_sim_pass(void)
{
    host_context_leave();
    /* The next step; which CPU it is may have changed with the thread. */
    if (messages[cpu_id()] && irq_enabled()) {
        messages[cpu_id()] = false;
        (void)host_run_interrupt(reschedule_interrupt, NULL);
    }
    (void)host_clock_poll();
}

static void idle_main(void *arg)
{
    (void)arg;
    sched_cpu_online(cpu_id());
    rcu_cpu_online(cpu_id());
    cpu_set_online(cpu_id(), true);
    host_context_leave();
    sched_idle_loop();
}

static void run(unsigned id)
{
    host_irq_enabled = irq_enabled_of[id];
    host_context_resume(id);
    irq_enabled_of[id] = host_irq_enabled;
    host_irq_enabled = true;
}

void host_sim_begin(unsigned n, const struct host_topology *topology)
{
    if (nsimulated > 0) {
        return; /* the same machine again */
    }
    host_machine_init();
    host_set_cpu_count(n + 1); /* before timers and run queues are made for them */
    host_clock_set_manual(1000000000);
    host_sched_init();
    for (unsigned id = 1; id <= n; id++) {
        struct thread *placeholder = cpu_by_id(id)->idle;
        cpu_set_online(id, false);
        if (sched_cpu_prepare(id) < 0 || rcu_cpu_prepare(id) < 0) {
            abort();
        }
        struct thread *idle = cpu_by_id(id)->idle;
        cpu_by_id(id)->current = idle;
        free(placeholder);
        cpu_thread_fini(idle);
        cpu_thread_init_kernel(idle, idle_main, NULL);
    }
    nsimulated = n;
    for (unsigned id = 1; id <= n; id++) {
        run(id);
        sched_cpu_ready(id);
    }
    if (sched_cpu_leave(0) < 0) {
        abort();
    }
    cpu_set_online(0, false);
    host_set_topology(topology);
    sched_domains_rebuild();
}

void host_sim_step(int64_t ns)
{
    for (unsigned id = 1; id <= nsimulated; id++) {
        run(id);
    }
    host_clock_move(ns);
}
