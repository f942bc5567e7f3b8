/*
 * The 8254 timer, the last resort: channel 2 as a free-running counter (it wraps every 55 ms), channel 0 as a one-shot event
 * timer on ISA interrupt 0. 8254 data sheet; 1.193182 MHz is the PC's.
 *
 * Locks: pit_lock (irqsave) keeps the two bytes of a count together.
 */
#include "hal/pc/pc.h"
#include "kernel/irq/irq.h"
#include "kernel/machine/io.h"
#include "kernel/mm/resource.h"
#include "kernel/sync/spinlock.h"

#define PIT_HZ         1193182u
#define PIT_CHANNEL0   0x40
#define PIT_CHANNEL2   0x42
#define PIT_COMMAND    0x43
#define PORT_B         0x61 /* bit 0: gate of channel 2, bit 1: speaker */
#define PORT_B_GATE    0x01u
#define PORT_B_SPEAKER 0x02u

#define CHANNEL0_ONE_SHOT 0x30 /* both bytes, mode 0: interrupt on terminal count */
#define CHANNEL2_RATE     0xb4 /* both bytes, mode 2: count down over and over */
#define CHANNEL2_LATCH    0x80

static uint64_t pit_counter_read(void);

static struct spinlock pit_lock = SPINLOCK_INIT("pit");
static struct counter pit_counter = {
    .source = {.name = "pit", .frequency_hz = PIT_HZ, .read = pit_counter_read},
    .wrap = {.mask = 0xffff},
};
static bool pit_found;

static uint16_t pit_raw(void)
{
    uint64_t flags = spin_lock_irqsave(&pit_lock);

    port_write8(PIT_COMMAND, CHANNEL2_LATCH);
    uint16_t count = port_read8(PIT_CHANNEL2);
    count |= (uint16_t)(port_read8(PIT_CHANNEL2) << 8);
    spin_unlock_irqrestore(&pit_lock, flags);
    return (uint16_t)-count; /* it counts down */
}

static uint64_t pit_counter_read(void)
{
    uint64_t last = atomic_load_acquire(&pit_counter.wrap.last);

    return wrap_counter_extend(&pit_counter.wrap, last, pit_raw());
}

static struct resource pit_resource = {
    .start = PIT_CHANNEL0, .last = PIT_COMMAND, .name = "timer0"};

struct counter *pit_init(void)
{
    /* Firmware leaves channel 0 ticking 18 times a second, on an input that the HPET may get. In mode 0 it waits for a count. */
    port_write8(PIT_COMMAND, CHANNEL0_ONE_SHOT);
    port_write8(PORT_B, (uint8_t)((port_read8(PORT_B) & ~PORT_B_SPEAKER) | PORT_B_GATE));
    port_write8(PIT_COMMAND, CHANNEL2_RATE);
    port_write8(PIT_CHANNEL2, 0);
    port_write8(PIT_CHANNEL2, 0);
    uint16_t start = pit_raw();
    for (unsigned i = 0; i < 10000; i++) {
        if (pit_raw() != start) {
            pit_found = true;
            (void)resource_add(&resource_ports, &pit_resource);
            pit_counter.wrap.last = pit_raw();
            return &pit_counter;
        }
    }
    return NULL;
}

/* ---- event timer ---- */

static enum irq_result pit_interrupt(struct irq_handler *handler)
{
    (void)handler;
    machine_timer_interrupt();
    return IRQ_HANDLED;
}

static struct irq_handler pit_handler = {.fn = pit_interrupt, .name = "pit"};

static void pit_event_program(uint64_t ticks)
{
    uint64_t flags = spin_lock_irqsave(&pit_lock);

    port_write8(PIT_COMMAND, CHANNEL0_ONE_SHOT);
    port_write8(PIT_CHANNEL0, (uint8_t)ticks);
    port_write8(PIT_CHANNEL0, (uint8_t)(ticks >> 8));
    spin_unlock_irqrestore(&pit_lock, flags);
}

static void pit_event_stop(void)
{
    port_write8(PIT_COMMAND, CHANNEL0_ONE_SHOT);
}

static int pit_event_start(void)
{
    pit_event_stop();
    return irq_attach(0, IRQ_FLAG_ISA | IRQ_FLAG_TIMER, &pit_handler);
}

static struct event_device pit_event_device = {
    .name = "pit",
    .frequency_hz = PIT_HZ,
    .min_ticks = 8,
    .max_ticks = 0xffff,
    .program = pit_event_program,
    .stop = pit_event_stop,
    .start = pit_event_start,
};

struct event_device *pit_event(void)
{
    return pit_found ? &pit_event_device : NULL;
}
