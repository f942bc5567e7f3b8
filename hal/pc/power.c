/*
 * Leaving: power off and reset, each by the best way first and then by all others, because firmware lies.
 */
#include "kernel/machine/power.h"

#include "hal/pc/pc.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/io.h"
#include "kernel/machine/preempt.h"

#define KBC_STATUS      0x64
#define KBC_COMMAND     0x64
#define KBC_INPUT_FULL  0x02u
#define KBC_PULSE_RESET 0xfe /* pulse output line 0, which is the CPU's reset */

#define RESET_CONTROL      0xcf9 /* PCI chipsets: bit 1 hard reset, bit 2 do it, bit 3 power-cycle */
#define RESET_CONTROL_HARD 0x02u
#define RESET_CONTROL_GO   0x04u

static struct machine_shutdown *shutdowns; /* [a] pushed by registration, never removed */

void machine_shutdown_register(struct machine_shutdown *shutdown)
{
    shutdown->next = atomic_load_relaxed(&shutdowns);
    while (!atomic_cas(&shutdowns, &shutdown->next, shutdown)) {
    }
}

static void shutdown_begin(void)
{
    irq_disable();
    others_stop();
    for (struct machine_shutdown *each = atomic_load_acquire(&shutdowns); each != NULL;
         each = each->next) {
        each->fn(each);
    }
}

void machine_power_off(void)
{
    shutdown_begin();
    acpi_power_off();
    log_write(LOG_EMERG, "power: the machine does not turn itself off: it is safe to do so now");
    cpu_halt_forever();
}

static void reset_by_keyboard_controller(void)
{
    for (unsigned i = 0; i < 1000 && (port_read8(KBC_STATUS) & KBC_INPUT_FULL); i++) {
        clock_delay_us(10);
    }
    port_write8(KBC_COMMAND, KBC_PULSE_RESET);
    clock_delay_us(5000);
}

static void reset_by_chipset(void)
{
    uint8_t value = port_read8(RESET_CONTROL) & (uint8_t) ~(RESET_CONTROL_HARD | RESET_CONTROL_GO);

    port_write8(RESET_CONTROL, value | RESET_CONTROL_HARD);
    clock_delay_us(50);
    port_write8(RESET_CONTROL, value | RESET_CONTROL_HARD | RESET_CONTROL_GO);
    clock_delay_us(5000);
}

/* An exception that finds no descriptor table is a shutdown, which the board answers with a reset (SDM 3A, 6.15). */
static void reset_by_triple_fault(void)
{
    struct __packed {
        uint16_t limit;
        uint64_t base;
    } none = {.limit = 0, .base = 0};

    __asm__ volatile("lidt %0; int3" : : "m"(none));
}

void machine_reset(void)
{
    shutdown_begin();
    acpi_reset();
    reset_by_keyboard_controller();
    reset_by_chipset();
    reset_by_triple_fault();
    cpu_halt_forever();
}

void machine_halt(void)
{
    shutdown_begin();
    cpu_halt_forever();
}
