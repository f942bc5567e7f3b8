/*
 * The platform's part of having several CPUs: which there are, waking them, messages.
 *
 * Waking: an INIT message, which leaves a processor waiting, then a start-up message that names a page below 1 MiB, and a second one to
 * those that have not come soon (Intel SDM 3A, 8.4.4.1). Everybody gets each before anybody is waited for. Where firmware keeps the
 * processors itself, it says so by a mailbox, which takes one at a time (ACPI 6.5, 5.2.12.19).
 *
 * Locks: everything but platform_send_*() under the hotplug lock of who calls.
 */
#include <arch/page.h>

#include "hal/pc/cpuid.h"
#include "hal/pc/pc.h"
#include "kernel/base/errno.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/machine/clock.h"
#include "kernel/machine/io.h"
#include "kernel/machine/smp.h"
#include "kernel/machine/vector.h"

#define INIT_WAIT_US                                                                               \
    10000u /* what the SDM asks for; processors of this century need none, virtual ones neither */
#define START_UP_US     200u
#define SECOND_WAIT_US  2000u /* before the second start-up message */
#define MAILBOX_WAIT_US 1000000u

/* ACPI 6.5, table 5.43. */
struct wakeup_mailbox {
    uint16_t command; /* 1: wake up; 0: done */
    uint16_t reserved;
    uint32_t apic_id;
    uint64_t vector;
};
#define MAILBOX_WAKEUP 1u

static struct wakeup_mailbox *mailbox; /* NULL: not mapped yet */

/* ---- the list ---- */

/* Intel SDM 2A, CPUID: leaf 0BH gives the 32-bit id, leaf 1 the lower 8 bits of it. */
static uint32_t own_apic_id(void)
{
    if (cpuid_max(0) >= 0x0b && cpuid_read(0x0b, 0).ebx != 0) {
        return cpuid_read(0x0b, 0).edx;
    }
    return cpuid_read(1, 0).ebx >> 24;
}

static bool cpu_add(uint32_t apic_id)
{
    int node = acpi_cpu_node(apic_id);
    int id = machine_add_cpu(apic_id, node < 0 ? 0 : (unsigned)node);

    if (id < 0) {
        log_warn("smp: processor with APIC id %u left out: %s", apic_id,
                 id == -ENOMEM ? "no memory" : "too many");
    }
    return id >= 0;
}

/* How many CPUs the user wants to be there at all. */
static unsigned cpus_wanted(void)
{
    if (param_bool("nosmp", false) || !lapic_present()) {
        return 1;
    }
    return (unsigned)CLAMP(param_u64("nr_cpus", MAX_CPUS), 1, MAX_CPUS);
}

void cpus_list(const struct acpi_madt *madt)
{
    unsigned wanted = cpus_wanted(), listed = 1, unreachable = 0;
    uint32_t own = own_apic_id();

    (void)cpu_add(own);
    for (unsigned i = 0; madt != NULL && i < madt->ncpus; i++) {
        const struct acpi_cpu *cpu = &madt->cpu[i];
        if (!cpu->enabled || cpu->apic_id == own) {
            continue;
        }
        listed++;
        if (cpu->apic_id > lapic_max_id()) {
            unreachable++;
        } else if (cpu_count() < wanted && !cpu_add(cpu->apic_id)) {
            break;
        }
    }
    if (unreachable != 0) {
        log_warn("smp: %u processors have APIC ids that need x2APIC mode", unreachable);
    }
    log_info("smp: %u CPU%s listed, %u of them for use", listed, listed == 1 ? "" : "s",
             cpu_count());
}

/* ---- do the CPUs' TSCs agree? ---- */

/*
 * CPUs read their TSCs in turns, in no order but that of `latest`: who finds there a value above its own, which another CPU read before, is
 * behind that CPU's. The CPU that waits takes part, and all that arrive.
 */
static uint64_t tsc_latest; /* [a] the highest value read */
static uint64_t tsc_warp;   /* [a] the worst that was found; 0: none */

#define TSC_ROUNDS 1000u

static void raise_to(uint64_t *max, uint64_t value)
{
    uint64_t old = atomic_load_relaxed(max);

    while (old < value && !atomic_cas(max, &old, value)) {
    }
}

static void tsc_compare(void)
{
    uint64_t before = atomic_load_acquire(&tsc_latest);
    uint64_t now = tsc_read_inline();

    if (now < before) {
        raise_to(&tsc_warp, before - now);
    }
    raise_to(&tsc_latest, now);
}

/* ---- waking ---- */

static bool all_arrived(const struct cpumask *mask)
{
    struct cpumask missing;

    return !cpumask_andnot(&missing, mask, cpus_online());
}

/* Compare TSCs with the CPUs that come, until all are there (true) or the time is over. */
static bool wait_comparing(const struct cpumask *mask, unsigned us)
{
    ktime_t end = clock_monotonic_ns() + (ktime_t)us * 1000;

    while (!all_arrived(mask)) {
        if (clock_monotonic_ns() >= end) {
            return false;
        }
        tsc_compare();
        __asm__ volatile("pause");
    }
    return true;
}

static void wake_by_messages(const struct cpumask *mask, uint32_t page)
{
    unsigned id;

    for_each_cpu_in (id, mask) {
        lapic_send(machine_apic_id(id), LAPIC_INIT);
    }
    clock_delay_us(tsc_is_virtual() ? START_UP_US : INIT_WAIT_US);
    for_each_cpu_in (id, mask) {
        lapic_send(machine_apic_id(id), LAPIC_START_UP | page);
    }
    if (wait_comparing(mask, SECOND_WAIT_US)) {
        return;
    }
    for_each_cpu_in (id, mask) {
        if (!cpu_is_online(id)) {
            lapic_send(machine_apic_id(id), LAPIC_START_UP | page);
        }
    }
    (void)wait_comparing(mask, SECOND_WAIT_US);
}

static int wake_by_mailbox(const struct cpumask *mask, paddr_t pa, paddr_t entry)
{
    unsigned id;

    if (mailbox == NULL) {
        mailbox = mmio_map(pa, sizeof(*mailbox), false);
    }
    if (mailbox == NULL) {
        return -ENOMEM;
    }
    for_each_cpu_in (id, mask) {
        mailbox->apic_id = machine_apic_id(id);
        mailbox->vector = entry;
        /* Release: the firmware's loop sees the other members when it sees the command; it clears it to acknowledge. */
        __atomic_store_n(&mailbox->command, MAILBOX_WAKEUP, __ATOMIC_RELEASE);
        for (unsigned us = 0;
             __atomic_load_n(&mailbox->command, __ATOMIC_ACQUIRE) != 0 && us < MAILBOX_WAIT_US;
             us += 10) {
            clock_delay_us(10);
        }
    }
    return 0;
}

int platform_wake_cpus(const struct cpumask *mask, paddr_t real_mode_page, paddr_t mailbox_entry)
{
    const struct acpi_madt *madt = acpi_madt();

    if (!event_is_per_cpu()) {
        log_warn("smp: the local APICs' timers do not work, the other CPUs stay off");
        return -ENODEV;
    }
    if (madt != NULL && madt->mailbox_pa != 0) {
        int err = wake_by_mailbox(mask, madt->mailbox_pa, mailbox_entry);
        if (err != 0) {
            return err;
        }
        (void)wait_comparing(mask, SECOND_WAIT_US);
    } else {
        wake_by_messages(mask, (uint32_t)(real_mode_page >> PAGE_SHIFT));
    }
    uint64_t warp = atomic_load_relaxed(&tsc_warp);
    if (warp != 0) {
        clock_reject_tsc("the CPUs' TSCs differ", warp);
    }
    return 0;
}

/* A mailbox wakes each processor once, and those that it wakes take no INIT messages. */
bool platform_cpus_return(void)
{
    const struct acpi_madt *madt = acpi_madt();

    return madt == NULL || madt->mailbox_pa == 0;
}

void platform_start_cpu(void)
{
    for (unsigned i = 0; i < TSC_ROUNDS; i++) {
        tsc_compare();
    }
    lapic_start_cpu();
    event_start_cpu();
}

void platform_stop_cpu(void)
{
    lapic_stop_cpu();
}

/* ---- messages ---- */

void platform_send_message(unsigned id, unsigned vector)
{
    lapic_send(machine_apic_id(id), LAPIC_FIXED | vector);
}

void platform_send_nmi(unsigned id)
{
    lapic_send(machine_apic_id(id), LAPIC_NMI);
}

void platform_end_message(void)
{
    lapic_eoi();
}
