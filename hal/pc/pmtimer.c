/*
 * The ACPI power-management timer: 3.579545 MHz, 24 or 32 bits wide (ACPI 6.5, 4.8.3.3). A slow read, but every ACPI machine
 * that is not hardware-reduced has it, and nothing ever changes its rate.
 */
#include "hal/pc/pc.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/machine/io.h"
#include "kernel/mm/resource.h"

#define PMTIMER_HZ 3579545u

static uint64_t pmtimer_counter_read(void);

static struct counter pmtimer_counter = {
    .source = {.name = "acpi_pm", .frequency_hz = PMTIMER_HZ, .read = pmtimer_counter_read},
};
static uint16_t pmtimer_port;      /* [I] */
static uint32_t *pmtimer_register; /* [I] NULL: I/O port */

static uint32_t pmtimer_raw(void)
{
    return pmtimer_register != NULL ? mmio_read32(pmtimer_register) : port_read32(pmtimer_port);
}

static uint64_t pmtimer_counter_read(void)
{
    uint64_t last = atomic_load_acquire(&pmtimer_counter.wrap.last);

    return wrap_counter_extend(&pmtimer_counter.wrap, last, pmtimer_raw());
}

static struct resource pmtimer_resource;

struct counter *pmtimer_init(void)
{
    const struct acpi_fadt *fadt = acpi_fadt();

    if (fadt == NULL || (fadt->flags & ACPI_FADT_HW_REDUCED) || fadt->pm_timer_len != 4 ||
        fadt->pm_timer.address == 0 || !param_bool("pmtmr", true)) {
        return NULL;
    }
    if (fadt->pm_timer.space == ACPI_GAS_MEMORY) {
        pmtimer_register = mmio_map(fadt->pm_timer.address, 4, false);
        if (pmtimer_register == NULL) {
            return NULL;
        }
    }
    pmtimer_port = (uint16_t)fadt->pm_timer.address;
    pmtimer_counter.wrap.mask = (fadt->flags & ACPI_FADT_TMR_VAL_EXT) ? UINT32_MAX : 0xffffffu;
    uint32_t start = pmtimer_raw();
    for (unsigned i = 0; i < 10000; i++) {
        if (pmtimer_raw() != start) {
            pmtimer_counter.wrap.last = pmtimer_raw() & pmtimer_counter.wrap.mask;
            pmtimer_resource = (struct resource){.start = fadt->pm_timer.address,
                                                 .last = fadt->pm_timer.address + 3,
                                                 .name = "ACPI PM_TMR"};
            (void)resource_add(pmtimer_register != NULL ? &resource_memory : &resource_ports,
                               &pmtimer_resource);
            return &pmtimer_counter;
        }
    }
    log_warn("acpi_pm: the timer at %#llx stands still, not used",
             (unsigned long long)fadt->pm_timer.address);
    return NULL;
}
