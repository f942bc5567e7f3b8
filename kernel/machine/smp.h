/*
 * The CPUs of the machine: how many there are, which run, and how one makes another look up.
 *
 * An id names a CPU for ever. A CPU that is offline keeps its struct cpu and its per-CPU data: sums of counters count them all
 * (for_each_cpu), everything that hands out work or tells what runs goes by those that are online (for_each_online_cpu).
 */
#pragma once

#include "kernel/machine/cpumask.h"

/*
 * CPUs that have a struct cpu and per-CPU data; their ids are 0 .. cpu_count()-1. 1 until the step of boot that makes the others
 * (machine_init_platform), the same from then on. Any context.
 */
unsigned cpu_count(void);
/* CPUs that may ever be online: those. */
static inline unsigned cpu_count_possible(void)
{
    return cpu_count();
}
struct cpu *cpu_by_id(unsigned id);

/*
 * CPUs that run kernel code. The set changes under its reader's eyes, unless he holds cpus_read_lock() (kernel/sched/hotplug.h); while he has
 * interrupts off, none of those goes away, for a CPU leaves only after all others have answered an interrupt.
 */
extern struct cpumask cpus_online_mask_; /* [a] kernel/core/smp_call.c */

static inline const struct cpumask *cpus_online(void)
{
    return &cpus_online_mask_;
}

static inline bool cpu_is_online(unsigned id)
{
    return cpumask_test(&cpus_online_mask_, id);
}

static inline unsigned cpu_count_online(void)
{
    return cpumask_weight(&cpus_online_mask_);
}

#define for_each_cpu(id)        for ((id) = 0; (id) < cpu_count(); (id)++)
#define for_each_online_cpu(id) for_each_cpu_in (id, cpus_online())

/* ---- coming and going; for kernel/sched/hotplug.c ---- */

/*
 * Start the CPUs of the set: each runs kernel_main_cpu() on the stack of its cpu_by_id(id)->idle. Thread context. 0: they are on their way; whether
 * one arrives is seen by cpu_is_online(). -ENOMEM, -ENODEV: the machine cannot.
 */
int smp_start_cpus(const struct cpumask *mask);
/* Wait no longer for a CPU that was started: it may not come any more. False: it is there already. */
bool smp_forget_cpu(unsigned id);
/* The running CPU, which came, is in the set now: it catches up with what it was not told of the kernel's half before. Interrupts off. */
void smp_cpu_entered(void);
/* A CPU that has left can be started again. */
bool smp_cpus_return(void);
/* The running CPU, on its idle thread, is about to leave: it lets go of the address space and the page tables that it keeps. Interrupts off. */
void smp_cpu_leave(void);
/* It leaves: interrupts off, nothing of the kernel's memory is touched any more, until it is started again. */
void smp_cpu_park(void) __noreturn;
/* The CPU has left, and uses its stack no more. */
bool smp_cpu_is_parked(unsigned id);

/* ---- messages between CPUs ---- */

/* Make CPU `id` look at its need-resched flag soon. Any context. */
void smp_send_reschedule(unsigned id);
/* Entry point that the machine calls (kernel/sched): such a request came in. Hard interrupt context. */
void machine_reschedule_interrupt(void);

/* Make the CPUs of the set, the caller's not among them, call machine_call_interrupt(). Any context but NMI. */
void smp_send_call(const struct cpumask *mask);
/* Entry point (kernel/core/smp_call.c): such a message came in. Hard interrupt context. */
void machine_call_interrupt(void);

/* Interrupt CPU `id`, not the caller's, whatever it does: it calls machine_nmi_request(). Any context. */
void smp_send_nmi(unsigned id);
/* Entry point (kernel/core/panic.c): this was interrupted. NMI context: no locks. False: nobody asked for it. */
struct trapframe;
bool machine_nmi_request(const struct trapframe *frame);

/*
 * Stop all other CPUs for good, after they have done machine_nmi_request(); for kernel/core/panic.c. Waits a moment for them. Interrupts off.
 * One CPU stops the others: a second one that wants to is stopped here.
 */
void smp_stop_others(void);

/* What each CPU has received so far, for /proc/interrupts. */
enum smp_message { SMP_RESCHEDULE, SMP_CALL, SMP_TLB, SMP_NMESSAGES };
uint64_t smp_message_count(enum smp_message message, unsigned id);
