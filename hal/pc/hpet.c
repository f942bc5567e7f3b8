/*
 * HPET: a counter whose rate the chip itself states exactly, and one comparator as one-shot event timer.
 * IA-PC HPET specification 1.0a, chapter 2.
 *
 *   0x000 capabilities: 12:8 last comparator, 13 64-bit counter, 15 legacy routing; high word: period in femtoseconds
 *   0x010 configuration: 0 enable, 1 legacy routing     0x0f0 main counter
 *   0x100 comparator 0 configuration: 1 level, 2 interrupt enable, 3 periodic, 8 force 32 bits, 13:9 route, 14 by message;
 *         high word: which I/O APIC inputs it can be routed to     0x108 comparator 0 value
 *
 * Only the low 32 bits are used: one access reads them, and the wrap is extended in software.
 *
 * Locks: the comparator belongs to the CPU that takes its interrupt, with interrupts off.
 */
#include "hal/pc/pc.h"
#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/irq/irq.h"
#include "kernel/machine/io.h"
#include "kernel/mm/resource.h"

#define HPET_CAPABILITIES 0x000
#define HPET_PERIOD       0x004
#define HPET_CONFIG       0x010
#define HPET_COUNTER      0x0f0
#define HPET_T0_CONFIG    0x100
#define HPET_T0_ROUTES    0x104
#define HPET_T0_VALUE     0x108
#define HPET_BYTES        0x400

#define HPET_CAP_LEGACY      BIT(15)
#define HPET_CONFIG_ENABLE   BIT(0)
#define HPET_CONFIG_LEGACY   BIT(1)
#define HPET_TN_LEVEL        BIT(1)
#define HPET_TN_ENABLE       BIT(2)
#define HPET_TN_PERIODIC     BIT(3)
#define HPET_TN_32BIT        BIT(8)
#define HPET_TN_ROUTE(n)     ((uint32_t)(n) << 9)
#define HPET_TN_ROUTE_MASK   HPET_TN_ROUTE(31)
#define HPET_TN_FSB          BIT(14)
#define HPET_MAX_PERIOD_FS   100000000u /* 10 MHz at least, 2.3.4 */
#define FEMTOSECONDS         1000000000000000ull
#define HPET_MIN_EVENT_TICKS 64u

static uint8_t *hpet_registers;

static uint32_t hpet_read(unsigned reg)
{
    return mmio_read32(hpet_registers + reg);
}

static void hpet_write(unsigned reg, uint64_t value)
{
    mmio_write32(hpet_registers + reg, (uint32_t)value);
}

static uint64_t hpet_counter_read(void);

static struct counter hpet_counter = {
    .source = {.name = "hpet", .read = hpet_counter_read},
    .wrap = {.mask = UINT32_MAX},
};

static uint64_t hpet_counter_read(void)
{
    uint64_t last = atomic_load_acquire(&hpet_counter.wrap.last);

    return wrap_counter_extend(&hpet_counter.wrap, last, hpet_read(HPET_COUNTER));
}

/* A counter that stands still is broken; a few reads take longer than its slowest tick. */
static bool hpet_counts(void)
{
    uint32_t start = hpet_read(HPET_COUNTER);

    for (unsigned i = 0; i < 10000; i++) {
        if (hpet_read(HPET_COUNTER) != start) {
            return true;
        }
    }
    return false;
}

static struct resource hpet_resource;

struct counter *hpet_init(void)
{
    const struct acpi_hpet *table = acpi_hpet();

    if (table == NULL || !param_bool("hpet", true)) {
        return NULL;
    }
    hpet_registers = mmio_map(table->pa, HPET_BYTES, false);
    if (hpet_registers == NULL) {
        log_err("hpet: no memory to map its registers");
        return NULL;
    }
    uint32_t period_fs = hpet_read(HPET_PERIOD);
    if (period_fs == 0 || period_fs > HPET_MAX_PERIOD_FS) {
        log_warn("hpet: nothing at %#llx", (unsigned long long)table->pa);
        goto unmap;
    }
    hpet_write(HPET_T0_CONFIG, hpet_read(HPET_T0_CONFIG) & ~(HPET_TN_ENABLE | HPET_TN_PERIODIC));
    hpet_write(HPET_CONFIG, (hpet_read(HPET_CONFIG) & ~HPET_CONFIG_LEGACY) | HPET_CONFIG_ENABLE);
    if (!hpet_counts()) {
        log_warn("hpet: the counter stands still, not used");
        goto unmap;
    }
    hpet_counter.source.frequency_hz = (FEMTOSECONDS + period_fs / 2) / period_fs;
    hpet_counter.wrap.last = hpet_read(HPET_COUNTER);
    log_info("hpet: %llu kHz, %u comparators",
             (unsigned long long)hpet_counter.source.frequency_hz / 1000,
             ((hpet_read(HPET_CAPABILITIES) >> 8) & 31) + 1);
    hpet_resource =
        (struct resource){.start = table->pa, .last = table->pa + HPET_BYTES - 1, .name = "HPET 0"};
    (void)resource_add(&resource_memory, &hpet_resource);
    return &hpet_counter;

unmap:
    mmio_unmap(hpet_registers, HPET_BYTES);
    hpet_registers = NULL;
    return NULL;
}

/* ---- event timer ---- */

static enum irq_result hpet_interrupt(struct irq_handler *handler)
{
    (void)handler;
    machine_timer_interrupt();
    return IRQ_HANDLED;
}

static struct irq_handler hpet_handler = {.fn = hpet_interrupt, .name = "hpet"};

/* The comparator matches on equality: a value that passed while it was written would match a whole wrap later. */
static void hpet_event_program(uint64_t ticks)
{
    for (;; ticks *= 2) {
        uint32_t value = hpet_read(HPET_COUNTER) + (uint32_t)ticks;
        hpet_write(HPET_T0_VALUE, value);
        if ((int32_t)(value - hpet_read(HPET_COUNTER)) > (int32_t)(HPET_MIN_EVENT_TICKS / 4)) {
            return;
        }
    }
}

static void hpet_event_stop(void)
{
    hpet_write(HPET_T0_VALUE, hpet_read(HPET_COUNTER) - 1);
}

static void hpet_event_enable(uint64_t config)
{
    config |= hpet_read(HPET_T0_CONFIG) &
              ~(HPET_TN_LEVEL | HPET_TN_PERIODIC | HPET_TN_ROUTE_MASK | HPET_TN_FSB);
    hpet_write(HPET_T0_CONFIG, config | HPET_TN_32BIT | HPET_TN_ENABLE);
}

/* By an I/O APIC input that the comparator can reach: the PIT's, which is idle then, or one above the ISA interrupts. */
static int hpet_event_start(void)
{
    uint32_t routes = hpet_read(HPET_T0_ROUTES) & 0xffff0004u;

    while (routes != 0) {
        unsigned gsi = (routes & 4u) ? 2 : bit_fls(routes);
        if (irq_attach(gsi, IRQ_FLAG_TIMER, &hpet_handler) == 0) {
            hpet_event_enable(HPET_TN_ROUTE(gsi));
            return 0;
        }
        routes &= ~(1u << gsi);
    }
    if (!(hpet_read(HPET_CAPABILITIES) & HPET_CAP_LEGACY)) {
        return -ENODEV;
    }
    int err = irq_attach(0, IRQ_FLAG_ISA | IRQ_FLAG_TIMER, &hpet_handler);
    if (err == 0) {
        hpet_write(HPET_CONFIG, hpet_read(HPET_CONFIG) | HPET_CONFIG_LEGACY);
        hpet_event_enable(0);
    }
    return err;
}

static struct event_device hpet_event_device = {
    .name = "hpet",
    .min_ticks = HPET_MIN_EVENT_TICKS,
    .max_ticks = INT32_MAX,
    .program = hpet_event_program,
    .stop = hpet_event_stop,
    .start = hpet_event_start,
};

struct event_device *hpet_event(void)
{
    hpet_event_device.frequency_hz = hpet_counter.source.frequency_hz;
    return hpet_registers != NULL ? &hpet_event_device : NULL;
}
