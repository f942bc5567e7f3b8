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

void machine_init_nodes(const struct boot_handoff *handoff)
{
    if (param_bool("acpi", true)) {
        acpi_init_early(handoff);
    }
}

void machine_init_platform(const struct boot_handoff *handoff)
{
    (void)handoff;
    acpi_init();
    irq_init(acpi_madt());
    cpus_list(acpi_madt());
}
