/*
 * The local APIC of the running CPU: end of interrupt, errors, messages to other CPUs, and a timer. Intel SDM 3A, chapter 11.
 *
 * Registers are 32 bits wide, 16 bytes apart: memory-mapped in xAPIC mode, machine-specific registers 0x800 + offset / 16 in
 * x2APIC mode, which is taken whenever CPUID offers it (and may not be left again if firmware turned it on).
 *
 * Locks: a CPU touches only its own registers, with interrupts off. The mode is fixed at boot.
 */
#include "hal/pc/cpuid.h"
#include "hal/pc/pc.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/core/percpu.h"
#include "kernel/machine/io.h"
#include "kernel/machine/vector.h"
#include "kernel/mm/resource.h"

enum lapic_register {
    LAPIC_ID = 0x020,
    LAPIC_VERSION = 0x030,
    LAPIC_TPR = 0x080,
    LAPIC_EOI = 0x0b0,
    LAPIC_SVR = 0x0f0,
    LAPIC_ISR = 0x100, /* 8 registers of 32 vectors */
    LAPIC_IRR = 0x200,
    LAPIC_ESR = 0x280,
    LAPIC_ICR = 0x300, /* 64 bits in x2APIC mode, else two registers */
    LAPIC_ICR_HIGH = 0x310,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_LVT_THERMAL = 0x330,
    LAPIC_LVT_PERFMON = 0x340,
    LAPIC_LVT_LINT0 = 0x350,
    LAPIC_LVT_LINT1 = 0x360,
    LAPIC_LVT_ERROR = 0x370,
    LAPIC_TIMER_INITIAL = 0x380,
    LAPIC_TIMER_CURRENT = 0x390,
    LAPIC_TIMER_DIVIDE = 0x3e0,
};

#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_MASK   0x000ffffffffff000ull

#define SVR_ENABLE       0x100u
#define LVT_MASKED       0x10000u
#define LVT_NMI          0x400u
#define LVT_EXTINT       0x700u
#define LVT_TSC_DEADLINE 0x40000u
#define TIMER_DIVIDE_16  0x3u

#define CPUID_1_EDX_APIC         BIT(9)
#define CPUID_1_ECX_X2APIC       BIT(21)
#define CPUID_1_ECX_TSC_DEADLINE BIT(24)

static uint8_t *lapic_registers; /* xAPIC; NULL: x2APIC mode or none */
static bool lapic_x2apic;
static bool lapic_found;
static DEFINE_PER_CPU(uint64_t, lapic_spurious);
static DEFINE_PER_CPU(uint64_t, lapic_errors);

static uint32_t lapic_read(enum lapic_register reg)
{
    if (lapic_x2apic) {
        return (uint32_t)msr_read(MSR_X2APIC + reg / 16);
    }
    return mmio_read32(lapic_registers + reg);
}

static void lapic_write(enum lapic_register reg, uint32_t value)
{
    if (lapic_x2apic) {
        msr_write(MSR_X2APIC + reg / 16, value);
    } else {
        mmio_write32(lapic_registers + reg, value);
    }
}

bool lapic_present(void)
{
    return lapic_found;
}

uint32_t lapic_id(void)
{
    if (!lapic_found) {
        return 0;
    }
    uint32_t id = lapic_read(LAPIC_ID);
    return lapic_x2apic ? id : id >> 24;
}

void lapic_eoi(void)
{
    lapic_write(LAPIC_EOI, 0);
}

bool lapic_is_requested(unsigned vector)
{
    return (lapic_read((enum lapic_register)(LAPIC_IRR + vector / 32 * 16)) & BIT(vector % 32)) !=
           0;
}

/* Nothing is in service, so nothing is acknowledged (SDM 3A, 11.9). */
static void spurious_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    (void)vector;
    this_cpu->irq_count++;
    ++*this_cpu_ptr(lapic_spurious);
}

static void error_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    (void)vector;
    this_cpu->irq_count++;
    ++*this_cpu_ptr(lapic_errors);
    lapic_write(LAPIC_ESR, 0); /* a write latches what happened since the last one */
    uint32_t errors = lapic_read(LAPIC_ESR);
    lapic_eoi();
    log_once(LOG_WARNING, "lapic: error status %#x", errors);
}

/* Firmware or a boot loader may have left interrupts in service; without an end they would block others for ever. */
static void lapic_drain(void)
{
    for (unsigned round = 0; round < 256; round++) {
        uint32_t in_service = 0;
        for (unsigned i = 0; i < 8; i++) {
            in_service |= lapic_read((enum lapic_register)(LAPIC_ISR + i * 16));
        }
        if (in_service == 0) {
            return;
        }
        lapic_eoi();
    }
}

/* Program the running CPU's local APIC: everything masked but the error interrupt and the NMI pin. */
static void lapic_init_cpu(uint8_t nmi_lint, bool extint)
{
    unsigned max_lvt = (lapic_read(LAPIC_VERSION) >> 16) & 0xff;

    lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    lapic_write(LAPIC_TPR, 0);
    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
    lapic_write(LAPIC_LVT_LINT0, nmi_lint == 0 ? LVT_NMI : extint ? LVT_EXTINT : LVT_MASKED);
    lapic_write(LAPIC_LVT_LINT1, nmi_lint == 1 ? LVT_NMI : LVT_MASKED);
    if (max_lvt >= 4) {
        lapic_write(LAPIC_LVT_PERFMON, LVT_MASKED);
    }
    if (max_lvt >= 5) {
        lapic_write(LAPIC_LVT_THERMAL, LVT_MASKED);
    }
    lapic_drain();
    lapic_write(LAPIC_ESR, 0);
    lapic_write(LAPIC_LVT_ERROR, VECTOR_ERROR);
    lapic_write(LAPIC_TIMER_DIVIDE, TIMER_DIVIDE_16);
}

static struct resource lapic_resource = {.name = "Local APIC"};
static uint8_t lapic_nmi_lint =
    1; /* [I] without a MADT, LINT1 is the NMI pin, as the MP specification wires it */

/* From disabled, the way to x2APIC mode leads through xAPIC mode (SDM 3A, 11.12.5). */
static void lapic_mode_set(void)
{
    uint64_t base = msr_read(MSR_APIC_BASE);

    msr_write(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
    if (lapic_x2apic) {
        msr_write(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
    }
}

/* What firmware left on stays on. */
static bool wants_x2apic(uint32_t cpuid_1_ecx, uint64_t base)
{
    const struct acpi_dmar *dmar = acpi_dmar();

    if ((cpuid_1_ecx & CPUID_1_ECX_X2APIC) == 0) {
        return false;
    }
    return (base & APIC_BASE_X2APIC) != 0 ||
           !(param_bool("nox2apic", false) || (dmar != NULL && dmar->no_x2apic));
}

bool lapic_init(const struct acpi_madt *madt, bool extint)
{
    struct cpuid features = cpuid_read(1, 0);

    if (!(features.edx & CPUID_1_EDX_APIC) || param_bool("nolapic", false)) {
        return false;
    }
    uint64_t base = msr_read(MSR_APIC_BASE);
    lapic_x2apic = wants_x2apic(features.ecx, base);
    lapic_mode_set();
    if (!lapic_x2apic) {
        lapic_registers = mmio_map(base & APIC_BASE_MASK, 4096, false);
        if (lapic_registers == NULL) {
            log_err("lapic: no memory to map its registers");
            return false;
        }
        lapic_resource.start = base & APIC_BASE_MASK;
        lapic_resource.last = lapic_resource.start + 4095;
        (void)resource_add(&resource_memory, &lapic_resource);
    }
    lapic_found = true;
    machine_vector_install(VECTOR_SPURIOUS, spurious_interrupt);
    machine_vector_install(VECTOR_ERROR, error_interrupt);
    lapic_nmi_lint = madt != NULL ? madt->nmi_lint : lapic_nmi_lint;
    lapic_init_cpu(lapic_nmi_lint, extint);
    log_info("lapic: id %u, %s mode%s", lapic_id(), lapic_x2apic ? "x2APIC" : "xAPIC",
             extint ? ", 8259 on LINT0" : "");
    return true;
}

void lapic_start_cpu(void)
{
    lapic_mode_set();
    lapic_init_cpu(lapic_nmi_lint, false);
}

void lapic_stop_cpu(void)
{
    lapic_timer_mask();
    lapic_write(LAPIC_LVT_ERROR, LVT_MASKED | VECTOR_ERROR);
    lapic_drain();
}

/* ---- messages (SDM 3A, 11.6) ---- */

#define ICR_PENDING 0x1000u
#define ICR_ASSERT  0x4000u

/* Interrupts are off, or a handler's message would take the place of the half-written one. */
void lapic_send(uint32_t apic_id, uint32_t command)
{
    uint64_t flags = irq_save();

    if (lapic_x2apic) {
        /* What was written before is seen by who gets the message: this write is not a serialising one (SDM 3A, 11.12.3). */
        __asm__ volatile("mfence; lfence" ::: "memory");
        msr_write(MSR_X2APIC + LAPIC_ICR / 16, (uint64_t)apic_id << 32 | ICR_ASSERT | command);
    } else {
        while ((lapic_read(LAPIC_ICR) & ICR_PENDING) != 0) {
            __asm__ volatile("pause");
        }
        lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
        lapic_write(LAPIC_ICR, ICR_ASSERT | command);
    }
    irq_restore(flags);
}

uint32_t lapic_max_id(void)
{
    return lapic_x2apic ? UINT32_MAX - 1 : 0xfe;
}

void lapic_timer_start(uint64_t ticks)
{
    lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)ticks);
}

uint32_t lapic_timer_count(void)
{
    return lapic_read(LAPIC_TIMER_CURRENT);
}

void lapic_timer_enable(bool tsc_deadline)
{
    lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER | (tsc_deadline ? LVT_TSC_DEADLINE : 0));
    /* The mode must have arrived before the first deadline is written (SDM 3A, 11.5.4.1). */
    __asm__ volatile("mfence" ::: "memory");
}

void lapic_timer_mask(void)
{
    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
}

bool lapic_timer_has_deadline(void)
{
    return lapic_found && (cpuid_read(1, 0).ecx & CPUID_1_ECX_TSC_DEADLINE) != 0;
}

void lapic_timer_deadline(uint64_t tsc)
{
    msr_write(MSR_TSC_DEADLINE, tsc);
}

uint64_t lapic_spurious_count(unsigned cpu)
{
    return READ_ONCE(*per_cpu_ptr(lapic_spurious, cpu));
}

uint64_t lapic_error_count(unsigned cpu)
{
    return READ_ONCE(*per_cpu_ptr(lapic_errors, cpu));
}
