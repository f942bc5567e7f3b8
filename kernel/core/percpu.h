/*
 * Per-CPU variables: one copy for each CPU, reached by an offset in this_cpu.
 *
 *     DEFINE_PER_CPU(struct foo_cache, foo_cache);
 *     preempt_disable();  struct foo_cache *c = this_cpu_ptr(foo_cache);  ...  preempt_enable();
 *
 * The linked copy is CPU 0's own, in use long before the others exist; theirs start as zeros.
 */
#pragma once

#include <arch/cpu.h>

#include "kernel/machine/smp.h"

#ifdef HOST_BUILD
#define PER_CPU_SECTION "percpu" /* a name for which the linker defines start and end */
#else
#define PER_CPU_SECTION ".percpu"
#endif
#define DEFINE_PER_CPU(type, name)                                                                 \
    __attribute__((section(PER_CPU_SECTION))) __typeof__(type) percpu_##name
#define DECLARE_PER_CPU(type, name) extern __typeof__(type) percpu_##name

/* Preemption is off, or the caller does not mind which CPU's copy it gets. */
#define this_cpu_ptr(name)                                                                         \
    ((__typeof__(&percpu_##name))((uintptr_t)&percpu_##name + this_cpu->percpu_offset))
#define per_cpu_ptr(name, id)                                                                      \
    ((__typeof__(&percpu_##name))((uintptr_t)&percpu_##name + cpu_by_id(id)->percpu_offset))
