/*
 * The set of CPUs, as the machine found them.
 */
#pragma once

#include "kernel/machine/percpu.h"

/* CPUs that run kernel code, those the firmware lists, and the struct of one. Any context. */
unsigned cpu_count(void);          /* online; ids are 0 .. cpu_count()-1 */
unsigned cpu_count_possible(void); /* online and parked */
struct cpu *cpu_by_id(unsigned id);

/* Word `index` of the bitmap of online CPUs. */
static inline uint64_t cpus_online_word(unsigned index)
{
    unsigned n = cpu_count();

    if (n <= index * 64) {
        return 0;
    }
    return n >= (index + 1) * 64 ? ~0ull : (1ull << (n - index * 64)) - 1;
}

/* Make CPU `id` look at its need-resched flag soon. Any context. */
void smp_send_reschedule(unsigned id);
/* Entry point that the machine calls (kernel/sched): such a request came in. Hard interrupt context. */
void machine_reschedule_interrupt(void);
/* Stop all other CPUs for good; for panic. */
void smp_stop_others(void);

#define for_each_cpu(id) for ((id) = 0; (id) < cpu_count(); (id)++)
