/*
 * Functions called on other CPUs.
 *
 * `fn` runs in hard interrupt context, interrupts off, once on each CPU that was asked for and is online. What the caller wrote
 * before is seen by fn; with `wait`, what fn wrote is seen by the caller afterwards. A CPU that waits serves the calls it gets
 * itself, even with interrupts off, so any number of CPUs may call each other at once. Therefore the caller holds no lock that
 * any fn takes, and none that other CPUs take with interrupts off.
 */
#pragma once

#include "kernel/machine/smp.h"

typedef void smp_call_fn(void *arg);

/* Call fn on one CPU; on the caller's own, directly. 0; -ENXIO: it is offline, nothing was called. Any context but NMI. */
int smp_call_one(unsigned cpu, smp_call_fn *fn, void *arg, bool wait);
/* Call fn on the CPUs of the set, the caller's own (directly, last) if it is in it. Any context but NMI. */
void smp_call_many(const struct cpumask *mask, smp_call_fn *fn, void *arg, bool wait);
/* The same on all CPUs, and on all but the caller's. */
void smp_call_all(smp_call_fn *fn, void *arg, bool wait);
void smp_call_others(smp_call_fn *fn, void *arg, bool wait);

/* Do what others have asked this CPU for. For loops that wait with interrupts off. Any context but NMI. */
void smp_call_serve(void);

/* The CPU runs, or is about to leave: kernel_main_cpu() and cpu_down() alone. */
void cpu_set_online(unsigned id, bool online);
