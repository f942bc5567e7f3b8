/*
 * Bringing the platform up: firmware tables, the count of processors, interrupt controllers.
 */
#include "hal/pc/pc.h"
#include "kernel/abi/boot.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/machine/init.h"
#include "kernel/machine/smp.h"
#include "kernel/machine/vector.h"

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

void machine_init_platform(const struct boot_handoff *handoff)
{
    acpi_init(param_bool("acpi", true) ? handoff->rsdp : 0);
    const struct acpi_madt *madt = acpi_madt();
    unsigned ncpus = cpus_listed(madt);
    machine_set_possible_cpus(ncpus);
    log_info("smp: %u CPU%s, %u online", ncpus, ncpus == 1 ? "" : "s", cpu_count());
    irq_init(madt);
}
