/*
 * CPUs come and go while the system runs.
 */
#pragma once

#include "kernel/core/hotplug.h"

/*
 * Boot: remember the table of steps, whose last has no name, and start all CPUs but those that the parameter maxcpus= leaves off, at once. Those that do not come in time
 * are reported and stay off. Thread context.
 */
void cpus_start(const struct cpu_step *steps);

/* Start a CPU. 0, also when it is online; -EINVAL: there is no such CPU; -EIO: it did not come; -ENOMEM. Thread context, sleeps. */
int cpu_up(unsigned id);
/*
 * Stop a CPU: threads, timers, interrupts and whatever else it has go to others. 0, also when it is offline; -EINVAL: there is no such CPU;
 * -EBUSY: it cannot be done without, as is always so of CPU 0; -EOPNOTSUPP: the machine could not start it again; -ENOMEM. Thread context, sleeps.
 */
int cpu_down(unsigned id);

/* Between these no CPU comes or goes. Thread context, may sleep. */
void cpus_read_lock(void);
void cpus_read_unlock(void);

/* kernel_main_cpu(): the steps of the running CPU, then it is online. Interrupts off. */
void cpu_come_online(void);
/* The idle thread of a CPU that leaves: the way out. Interrupts off. */
void cpu_go_offline(void) __noreturn;
