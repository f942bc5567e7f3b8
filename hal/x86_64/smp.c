/*
 * The set of CPUs. Today the boot CPU runs and the others stay parked in firmware's hands; the platform counts them.
 */
#include "kernel/machine/smp.h"

#include "hal/x86_64/percpu.h"
#include "kernel/core/panic.h"
#include "kernel/machine/vector.h"

static unsigned possible_cpus __ro_after_init = 1;

unsigned cpu_count(void)
{
    return 1;
}

unsigned cpu_count_possible(void)
{
    return possible_cpus;
}

void machine_set_possible_cpus(unsigned ncpus)
{
    possible_cpus = MAX(ncpus, 1u);
}

struct cpu *cpu_by_id(unsigned id)
{
    BUG_ON(id != 0);
    return &boot_cpu.cpu;
}

/* With one CPU, the target is the caller: it looks at its flag before it goes back to what it did. */
void smp_send_reschedule(unsigned id)
{
    BUG_ON(id != 0);
}

void smp_send_call(const struct cpumask *mask)
{
    BUG_ON(!cpumask_empty(mask));
}

void smp_stop_others(void)
{
}
