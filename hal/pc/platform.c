/*
 * Bringing the platform up: firmware tables, the count of processors, interrupt controllers.
 */
#include "hal/pc/cpuid.h"
#include "hal/pc/pc.h"
#include "kernel/abi/boot.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/machine/init.h"
#include "kernel/machine/smp.h"
#include "kernel/machine/vector.h"
#include "kernel/mm/node.h"

/* Processors that the firmware lists as usable now; without a list there is the one we run on. */
static unsigned cpus_listed(const struct acpi_madt *madt)
{
    unsigned ncpus = 0;

    for (unsigned i = 0; madt != NULL && i < madt->ncpus; i++) {
        if (madt->cpu[i].enabled) {
            ncpus++;
        }
    }
    return CLAMP(ncpus, 1u, (unsigned)MAX_CPUS);
}

void machine_init_nodes(const struct boot_handoff *handoff)
{
    if (param_bool("acpi", true)) {
        acpi_init_early(handoff);
    }
}

/* Intel SDM 2A, CPUID: leaf 0BH gives the 32-bit id, leaf 1 the lower 8 bits of it. */
static uint32_t own_apic_id(void)
{
    if (cpuid_max(0) >= 0x0b && cpuid_read(0x0b, 0).ebx != 0) {
        return cpuid_read(0x0b, 0).edx;
    }
    return cpuid_read(1, 0).ebx >> 24;
}

void machine_init_platform(const struct boot_handoff *handoff)
{
    (void)handoff;
    acpi_init();
    int node = acpi_cpu_node(own_apic_id());
    node_add_cpu(node < 0 ? 0 : (unsigned)node, 0);
    const struct acpi_madt *madt = acpi_madt();
    unsigned ncpus = cpus_listed(madt);
    machine_set_possible_cpus(ncpus);
    log_info("smp: %u CPU%s, %u online", ncpus, ncpus == 1 ? "" : "s", cpu_count_online());
    irq_init(madt);
}
